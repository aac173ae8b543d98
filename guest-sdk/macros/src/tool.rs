//! `#[tool]`: an async function that a model may use. It stays a function that can be called; what it returns is a future that also knows its name,
//! its description and its arguments.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, FnArg, Ident, ItemFn, LitStr, Pat, Result, ReturnType, Type};

/// The most bytes of a tool's name, as providers have it.
const NAME_BYTES_MAX: usize = 64;

/// The most arguments of a tool: the SDK knows functions of so many.
const ARGUMENTS_MAX: usize = 8;

struct Argument {
    name: Ident,
    ty: Type,
    attributes: Vec<Attribute>,
}

pub(crate) fn expand(description: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let function: ItemFn =
        syn::parse2(function).map_err(|error| Error::new(error.span(), "`#[tool]` stands above an `async fn`"))?;
    let description = described(description, &function)?;
    let arguments = checked(&function)?;
    let ItemFn { attrs, vis, sig, block } = &function;
    let name = &sig.ident;
    let text = name.to_string();
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::new(
            name.span(),
            format!("the name of a tool has at most {NAME_BYTES_MAX} bytes"),
        ));
    }
    let called = format_ident!("__tool_{}", name);
    let answer = match &sig.output {
        ReturnType::Type(_, answer) => answer,
        ReturnType::Default => unreachable!("checked above"),
    };
    let names: Vec<&Ident> = arguments.iter().map(|argument| &argument.name).collect();
    let types: Vec<&Type> = arguments.iter().map(|argument| &argument.ty).collect();
    let notes: Vec<&Vec<Attribute>> = arguments.iter().map(|argument| &argument.attributes).collect();
    Ok(quote! {
        #(#attrs)*
        #vis fn #name(#(#names: #types),*) -> #called {
            #called(::std::boxed::Box::pin(async move #block))
        }

        /// A call of the function of this name.
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #[must_use = "a tool is used when its call is awaited"]
        #vis struct #called(::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = #answer>>>);

        const _: () = {
            /// The arguments, as a model gives them.
            #[derive(::skillhost_sdk::serde::Deserialize, ::skillhost_sdk::schemars::JsonSchema)]
            #[serde(crate = "::skillhost_sdk::serde", deny_unknown_fields)]
            #[schemars(crate = "::skillhost_sdk::schemars")]
            pub struct Arguments {
                #(#(#notes)* #names: #types,)*
            }

            impl ::core::future::Future for #called {
                type Output = #answer;

                fn poll(
                    mut self: ::core::pin::Pin<&mut Self>,
                    context: &mut ::core::task::Context<'_>,
                ) -> ::core::task::Poll<Self::Output> {
                    self.0.as_mut().poll(context)
                }
            }

            impl ::skillhost_sdk::agent::ToolCalled for #called {
                type Arguments = Arguments;
                type Answer = <#answer as ::skillhost_sdk::__private::Fallible>::Value;
                const NAME: &'static str = #text;
                const DESCRIPTION: &'static str = #description;

                fn call(arguments: Arguments) -> Self {
                    let Arguments { #(#names),* } = arguments;
                    #name(#(#names),*)
                }
            }
        };
    })
}

/// Returns what the tool does: the attribute's text, else the function's documentation.
fn described(description: TokenStream, function: &ItemFn) -> Result<String> {
    let missing = "say what the tool does, in words for the model: `#[tool(\"Reads a file of the project\")]`";
    if description.is_empty() {
        return crate::skill::documentation(function).ok_or_else(|| Error::new(function.sig.ident.span(), missing));
    }
    let text: LitStr = syn::parse2(description).map_err(|error| Error::new(error.span(), missing))?;
    match text.value().trim() {
        "" => Err(Error::new(text.span(), missing)),
        words => Ok(words.to_owned()),
    }
}

/// Checks the form of the function and returns its arguments.
fn checked(function: &ItemFn) -> Result<Vec<Argument>> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        return Err(Error::new_spanned(
            signature.fn_token,
            "a tool is an `async fn`: write `async` before `fn`",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a tool has no generic parameters",
        ));
    }
    if let ReturnType::Default = signature.output {
        return Err(Error::new_spanned(
            signature,
            "a tool returns a result: write `-> Result<String>`, or `-> Result<Answer>` with `#[data]` above `Answer`",
        ));
    }
    if signature.inputs.len() > ARGUMENTS_MAX {
        return Err(Error::new_spanned(
            &signature.inputs,
            format!("a tool takes at most {ARGUMENTS_MAX} arguments: make a struct of some, with `#[data]` above"),
        ));
    }
    signature.inputs.iter().map(argument).collect()
}

fn argument(argument: &FnArg) -> Result<Argument> {
    let argument = match argument {
        FnArg::Typed(argument) => argument,
        FnArg::Receiver(receiver) => {
            return Err(Error::new_spanned(receiver, "a tool is a function, not a method"));
        }
    };
    let name = match &*argument.pat {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() && name.mutability.is_none() => {
            name.ident.clone()
        }
        Pat::Ident(name) if name.mutability.is_some() => {
            return Err(Error::new(
                name.span(),
                "a tool's argument is a plain name: write `let mut` inside",
            ));
        }
        other => {
            return Err(Error::new_spanned(
                other,
                "a tool's argument is a plain name, by which the model gives it",
            ));
        }
    };
    if let Type::Reference(reference) = &*argument.ty {
        return Err(Error::new_spanned(
            reference,
            "a tool owns its arguments, as the model gives them: `String` instead of `&str`, `Vec<T>` instead of `&[T]`",
        ));
    }
    Ok(Argument {
        name,
        ty: (*argument.ty).clone(),
        attributes: argument.attrs.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(description: TokenStream, function: TokenStream) -> String {
        expand(description, function).expect_err("it is refused").to_string()
    }

    fn of_function(function: TokenStream) -> String {
        refusal(quote!("Does it"), function)
    }

    #[test]
    fn what_is_no_tool_is_told_what_one_is() {
        let result =
            "a tool returns a result: write `-> Result<String>`, or `-> Result<Answer>` with `#[data]` above `Answer`";
        for (function, expected) in [
            (
                quote!(
                    struct Read;
                ),
                "`#[tool]` stands above an `async fn`",
            ),
            (
                quote!(
                    fn read() -> Result<()> {}
                ),
                "a tool is an `async fn`: write `async` before `fn`",
            ),
            (
                quote!(
                    async fn read<T>(t: T) -> Result<T> {}
                ),
                "a tool has no generic parameters",
            ),
            (
                quote!(
                    async fn read(path: String) {}
                ),
                result,
            ),
            (
                quote!(
                    async fn read(&self) -> Result<()> {}
                ),
                "a tool is a function, not a method",
            ),
        ] {
            assert_eq!(of_function(function), expected);
        }
    }

    #[test]
    fn an_argument_is_a_plain_name_of_something_owned() {
        assert_eq!(
            of_function(quote!(
                async fn read(path: &str) -> Result<()> {}
            )),
            "a tool owns its arguments, as the model gives them: `String` instead of `&str`, `Vec<T>` instead of `&[T]`"
        );
        assert_eq!(
            of_function(quote!(
                async fn read((a, b): (u8, u8)) -> Result<()> {}
            )),
            "a tool's argument is a plain name, by which the model gives it"
        );
        assert_eq!(
            of_function(quote!(
                async fn read(mut path: String) -> Result<()> {}
            )),
            "a tool's argument is a plain name: write `let mut` inside"
        );
        assert_eq!(
            of_function(quote!(
                async fn read(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8) -> Result<()> {}
            )),
            "a tool takes at most 8 arguments: make a struct of some, with `#[data]` above"
        );
    }

    #[test]
    fn what_a_tool_does_is_said_by_the_attribute_or_by_the_documentation() {
        let missing = "say what the tool does, in words for the model: `#[tool(\"Reads a file of the project\")]`";
        let plain = quote!(
            async fn read() -> Result<()> {}
        );
        assert_eq!(refusal(quote!(), plain.clone()), missing);
        assert_eq!(refusal(quote!("  "), plain.clone()), missing);
        assert_eq!(refusal(quote!(description = "x"), plain), missing);
        let documented = quote!(
            /// Reads a file,
            /// whole.
            async fn read() -> Result<()> {}
        );
        let expanded = expand(quote!(), documented).expect("it is a tool").to_string();
        assert!(expanded.contains("\"Reads a file, whole.\""), "{expanded}");
    }

    #[test]
    fn what_is_said_about_an_argument_reaches_the_schema_and_not_the_function() {
        let function = quote!(
            async fn read(
                /// Relative to the project.
                path: String,
                #[serde(default)] limit: u32,
            ) -> Result<String> {
            }
        );
        let expanded = expand(quote!("Reads"), function).expect("it is a tool").to_string();
        assert!(expanded.contains("fn read (path : String , limit : u32)"), "{expanded}");
        assert!(expanded.contains("# [serde (default)] limit : u32"), "{expanded}");
    }
}
