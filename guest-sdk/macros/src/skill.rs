//! `#[skill]`: exports a function as the skill that the component is.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseBuffer, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, LitStr, Meta, Result, ReturnType, Token, Type};

pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let function: ItemFn =
        syn::parse2(function).map_err(|error| Error::new(error.span(), "`#[skill]` stands above an `async fn`"))?;
    let input = checked(&function)?;
    let run = &function.sig.ident;
    let about = about(&arguments, &function)?;
    let (assertion, call) = match input {
        Some(input) => {
            let assertion = quote_spanned! {input.span()=>
                const fn input<T: ::skillhost_sdk::__private::Input>() {}
                const _: () = input::<#input>();
            };
            (assertion, quote!(#run))
        }
        None => (quote!(), quote!(|_: ::skillhost_sdk::__private::Nothing| #run())),
    };
    Ok(quote! {
        #function

        const _: () = {
            #assertion
            const ABOUT: ::skillhost_sdk::__private::About = #about;

            struct Skill;

            impl ::skillhost_sdk::__private::Guest for Skill {
                fn describe() -> ::skillhost_sdk::__private::Description {
                    ::skillhost_sdk::__private::describe(&ABOUT, #call)
                }

                fn run(
                    input: ::std::string::String,
                ) -> ::core::result::Result<::std::string::String, ::skillhost_sdk::__private::Failure> {
                    ::skillhost_sdk::__private::execute(&input, #call)
                }
            }

            ::skillhost_sdk::bindings::__export_skill!(Skill with_types_in ::skillhost_sdk::bindings);
        };
    })
}

/// Checks the form of the function and returns the type of its input, if it takes one.
fn checked(function: &ItemFn) -> Result<Option<&Type>> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        let place = signature.fn_token;
        return Err(Error::new_spanned(
            place,
            "a skill is an `async fn`: write `async` before `fn`",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a skill has no generic parameters",
        ));
    }
    if let ReturnType::Default = signature.output {
        return Err(Error::new_spanned(
            signature,
            "a skill returns a result: write `-> Result<Output>`, with `#[data]` above `Output`",
        ));
    }
    if signature.inputs.len() > 1 {
        return Err(Error::new_spanned(
            &signature.inputs,
            "a skill takes one input: make a struct of it, with `#[data]` above, and a field for each value",
        ));
    }
    match signature.inputs.first() {
        None => Ok(None),
        Some(FnArg::Typed(input)) => Ok(Some(&input.ty)),
        Some(FnArg::Receiver(receiver)) => Err(Error::new_spanned(receiver, "a skill is a function, not a method")),
    }
}

fn about(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let package = |variable: &str| std::env::var(variable).unwrap_or_default();
    let (name, name_span) = match &arguments.name {
        Some(name) => (name.value(), name.span()),
        None => (package("CARGO_PKG_NAME"), Span::call_site()),
    };
    let well_formed = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !well_formed {
        return Err(Error::new(
            name_span,
            format!(
                "`{name}` cannot be the name of a skill, which has at most 64 lower-case letters, digits and hyphens; \
                 `#[skill(name = \"..\")]` gives it another than the package's"
            ),
        ));
    }
    let version = match &arguments.version {
        Some(version) => version.value(),
        None => package("CARGO_PKG_VERSION"),
    };
    let summary = match &arguments.summary {
        Some(summary) => summary.value(),
        None => documentation(function).unwrap_or_else(|| package("CARGO_PKG_DESCRIPTION")),
    };
    let needs = &arguments.needs;
    let requests = arguments.requests.iter().map(|request| {
        let Request {
            capability,
            target,
            access,
            reason,
        } = request;
        let access = match access {
            Some(access) => quote!(::core::option::Option::Some(#access)),
            None => quote!(::core::option::Option::None),
        };
        quote! {
            ::skillhost_sdk::__private::Request {
                capability: #capability,
                target: #target,
                access: #access,
                reason: #reason,
            }
        }
    });
    Ok(quote! {
        ::skillhost_sdk::__private::About {
            name: #name,
            version: #version,
            summary: #summary,
            needs: &[#(#needs),*],
            requests: &[#(#requests),*],
        }
    })
}

/// Returns the first paragraph of a function's documentation as one line.
pub(crate) fn documentation(function: &ItemFn) -> Option<String> {
    let mut words = Vec::new();
    for attribute in &function.attrs {
        let Meta::NameValue(meta) = &attribute.meta else {
            continue;
        };
        let Expr::Lit(ExprLit {
            lit: Lit::Str(line), ..
        }) = &meta.value
        else {
            continue;
        };
        if !meta.path.is_ident("doc") {
            continue;
        }
        let line = line.value();
        match line.trim() {
            "" if words.is_empty() => {}
            "" => break,
            line => words.push(line.to_owned()),
        }
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// What may stand there.
const KNOWN: &str = "`name`, `version`, `summary`, `needs(..)`, `files(..)`, `process(..)`, `http(..)`, `skills(..)`";

/// What stands in the brackets of `#[skill(..)]`.
#[derive(Default)]
struct Arguments {
    name: Option<LitStr>,
    version: Option<LitStr>,
    summary: Option<LitStr>,
    needs: Vec<&'static str>,
    requests: Vec<Request>,
}

struct Request {
    capability: &'static str,
    target: LitStr,
    access: Option<String>,
    reason: LitStr,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let word: Ident = input
                .parse()
                .map_err(|error| Error::new(error.span(), format!("expected one of {KNOWN}")))?;
            match word.to_string().as_str() {
                "name" => arguments.name = Some(text(input)?),
                "version" => arguments.version = Some(text(input)?),
                "summary" => arguments.summary = Some(text(input)?),
                "needs" => arguments.needs.extend(needs(input)?),
                "files" => arguments.requests.push(request(input, &word, "files")?),
                "process" => arguments.requests.push(request(input, &word, "process")?),
                "http" => arguments.requests.push(request(input, &word, "http")?),
                "skills" => arguments.requests.push(request(input, &word, "skills")?),
                _ => {
                    return Err(Error::new(
                        word.span(),
                        format!("`#[skill]` knows no `{word}`; it knows {KNOWN}"),
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

/// `= ".."`
fn text(input: ParseStream<'_>) -> Result<LitStr> {
    let wrong = |error: Error| Error::new(error.span(), "expected a text: `= \"..\"`");
    input.parse::<Token![=]>().map_err(wrong)?;
    input.parse().map_err(wrong)
}

/// Returns what stands in parentheses after a word; without them, `example` shows what belongs there.
fn in_parentheses<'a>(input: ParseStream<'a>, example: &str) -> Result<ParseBuffer<'a>> {
    fn content(input: ParseStream<'_>) -> Result<ParseBuffer<'_>> {
        let content;
        syn::parenthesized!(content in input);
        Ok(content)
    }
    content(input).map_err(|error| Error::new(error.span(), format!("expected parentheses: `{example}`")))
}

/// `(web_search, tools, schema)`
fn needs(input: ParseStream<'_>) -> Result<Vec<&'static str>> {
    let content = in_parentheses(input, "needs(web_search)")?;
    let words: Punctuated<Ident, Token![,]> = content.parse_terminated(Ident::parse, Token![,])?;
    let need = |word: Ident| match word.to_string().as_str() {
        "web_search" => Ok("web-search"),
        "tools" => Ok("tools"),
        "schema" => Ok("schema"),
        _ => Err(Error::new(
            word.span(),
            format!("a model provider has no feature `{word}`; it may have `web_search`, `tools`, `schema`"),
        )),
    };
    words.into_iter().map(need).collect()
}

/// `("project", read, reason = "..")`: what is asked for, how it is to be used, and why.
fn request(input: ParseStream<'_>, word: &Ident, capability: &'static str) -> Result<Request> {
    let (example, known) = match capability {
        "files" => (
            "files(\"project\", read, reason = \"..\")",
            "`read`, `read_write`, `reason = \"..\"`",
        ),
        "http" => (
            "http(\"api.example.org\", read, reason = \"..\")",
            "`read`, `read_write`, `private`, `secret(\"NAME\", ..)`, `reason = \"..\"`",
        ),
        "skills" => ("skills(\"translate\", reason = \"..\")", "`reason = \"..\"`"),
        _ => (
            "process(\"cargo\", reason = \"..\")",
            "`env(\"NAME\", ..)`, `secret(\"NAME\", ..)`, `reason = \"..\"`",
        ),
    };
    let content = in_parentheses(input, example)?;
    let target: LitStr = content.parse().map_err(|error| {
        Error::new(
            error.span(),
            format!("expected what is asked for, as a text: `{example}`"),
        )
    })?;
    let mut access: Vec<String> = Vec::new();
    let mut reason = None;
    while content.parse::<Option<Token![,]>>()?.is_some() && !content.is_empty() {
        let member: Ident = content.parse()?;
        match (member.to_string().as_str(), capability) {
            ("reason", _) => reason = Some(text(&content)?),
            ("read", "files" | "http") => access.push("read".to_owned()),
            ("read_write", "files" | "http") => access.push("read-write".to_owned()),
            ("private", "http") => access.push("private".to_owned()),
            ("env", "process") => access.extend(variables(&content)?),
            ("secret", "process" | "http") => access.extend(secrets(&content)?),
            _ => {
                return Err(Error::new(
                    member.span(),
                    format!("`{word}` knows no `{member}`; it knows {known}"),
                ));
            }
        }
    }
    if !content.is_empty() {
        return Err(content.error("expected `,`"));
    }
    let uses = access.iter().filter(|access| access.starts_with("read")).count();
    if matches!(capability, "files" | "http") && uses != 1 {
        let what = if capability == "files" {
            "the files are"
        } else {
            "the host is"
        };
        return Err(Error::new(
            target.span(),
            format!("say how {what} to be used: `read` or `read_write`"),
        ));
    }
    let reason = reason.ok_or_else(|| {
        Error::new(
            word.span(),
            "say why, in words for the user, who is asked to allow it: `reason = \"..\"`",
        )
    })?;
    Ok(Request {
        capability,
        target,
        access: (!access.is_empty()).then(|| access.join(" ")),
        reason,
    })
}

/// `("github-token")`
fn secrets(input: ParseStream<'_>) -> Result<Vec<String>> {
    let content = in_parentheses(input, "secret(\"github-token\")")?;
    let names: Punctuated<LitStr, Token![,]> = content.parse_terminated(|input| input.parse(), Token![,])?;
    let checked = names.into_iter().map(|name| {
        let text = name.value();
        let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        match (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_part) {
            true => Ok(format!("secret:{text}")),
            false => Err(Error::new(
                name.span(),
                format!(
                    "`{text}` cannot name a secret: 1 to 64 letters, digits, `-`, `_` and `.`, not beginning with a dot"
                ),
            )),
        }
    });
    checked.collect()
}

/// `("HOME", "CARGO_HOME")`
fn variables(input: ParseStream<'_>) -> Result<Vec<String>> {
    let content = in_parentheses(input, "env(\"HOME\")")?;
    let names: Punctuated<LitStr, Token![,]> = content.parse_terminated(|input| input.parse(), Token![,])?;
    let checked = names.into_iter().map(|name| {
        let text = name.value();
        let well_formed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match well_formed && !text.is_empty() && text != "PATH" && !text.starts_with("SKILLHOST_") {
            true => Ok(text),
            false => Err(Error::new(
                name.span(),
                format!("`{text}` names no variable that a program can be given; `PATH` it is given anyway"),
            )),
        }
    });
    checked.collect()
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn refusal(arguments: TokenStream, function: TokenStream) -> String {
        expand(arguments, function).expect_err("it is refused").to_string()
    }

    fn of_function(function: TokenStream) -> String {
        refusal(quote!(), function)
    }

    fn of_arguments(arguments: TokenStream) -> String {
        refusal(
            arguments,
            quote!(
                async fn run(input: Input) -> Result<Output> {
                    todo()
                }
            ),
        )
    }

    #[test]
    fn what_is_no_skill_is_told_what_one_is() {
        assert_eq!(
            of_function(quote!(
                struct Run;
            )),
            "`#[skill]` stands above an `async fn`"
        );
        assert_eq!(
            of_function(quote!(
                fn run() -> Result<()> {}
            )),
            "a skill is an `async fn`: write `async` before `fn`"
        );
        assert_eq!(
            of_function(quote!(
                async fn run<T>(t: T) -> Result<T> {}
            )),
            "a skill has no generic parameters"
        );
        assert_eq!(
            of_function(quote!(
                async fn run(input: Input) {}
            )),
            "a skill returns a result: write `-> Result<Output>`, with `#[data]` above `Output`"
        );
        assert_eq!(
            of_function(quote!(
                async fn run(a: String, b: String) -> Result<()> {}
            )),
            "a skill takes one input: make a struct of it, with `#[data]` above, and a field for each value"
        );
        assert_eq!(
            of_function(quote!(
                async fn run(&self) -> Result<()> {}
            )),
            "a skill is a function, not a method"
        );
    }

    #[test]
    fn an_argument_that_is_not_known_is_told_which_are() {
        assert_eq!(
            of_arguments(quote!(title = "x")),
            "`#[skill]` knows no `title`; it knows `name`, `version`, `summary`, `needs(..)`, `files(..)`, `process(..)`, `http(..)`, `skills(..)`"
        );
        assert_eq!(
            of_arguments(quote!(needs(telepathy))),
            "a model provider has no feature `telepathy`; it may have `web_search`, `tools`, `schema`"
        );
        assert_eq!(
            of_arguments(quote!(files("project", write, reason = "x"))),
            "`files` knows no `write`; it knows `read`, `read_write`, `reason = \"..\"`"
        );
        assert_eq!(
            of_arguments(quote!(process("cargo", read))),
            "`process` knows no `read`; it knows `env(\"NAME\", ..)`, `secret(\"NAME\", ..)`, `reason = \"..\"`"
        );
        assert_eq!(
            of_arguments(quote!(http("a.org", post, reason = "x"))),
            "`http` knows no `post`; it knows `read`, `read_write`, `private`, `secret(\"NAME\", ..)`, `reason = \"..\"`"
        );
    }

    #[test]
    fn what_is_not_well_formed_is_shown_how_it_would_be() {
        for (arguments, expected) in [
            (
                quote!("greeter"),
                "expected one of `name`, `version`, `summary`, `needs(..)`, `files(..)`, `process(..)`, `http(..)`, `skills(..)`",
            ),
            (quote!(name), "expected a text: `= \"..\"`"),
            (quote!(summary = 5), "expected a text: `= \"..\"`"),
            (quote!(needs = "tools"), "expected parentheses: `needs(web_search)`"),
            (
                quote!(files = "project"),
                "expected parentheses: `files(\"project\", read, reason = \"..\")`",
            ),
            (
                quote!(process(cargo)),
                "expected what is asked for, as a text: `process(\"cargo\", reason = \"..\")`",
            ),
        ] {
            assert_eq!(of_arguments(arguments), expected);
        }
    }

    #[test]
    fn a_request_says_how_and_why() {
        assert_eq!(
            of_arguments(quote!(files("project", reason = "x"))),
            "say how the files are to be used: `read` or `read_write`"
        );
        assert_eq!(
            of_arguments(quote!(http("a.org", private, reason = "x"))),
            "say how the host is to be used: `read` or `read_write`"
        );
        assert_eq!(
            of_arguments(quote!(process("cargo", env("PATH"), reason = "x"))),
            "`PATH` names no variable that a program can be given; `PATH` it is given anyway"
        );
        assert_eq!(
            of_arguments(quote!(http("a.org", read, secret("a b"), reason = "x"))),
            "`a b` cannot name a secret: 1 to 64 letters, digits, `-`, `_` and `.`, not beginning with a dot"
        );
        assert_eq!(
            of_arguments(quote!(process("cargo"))),
            "say why, in words for the user, who is asked to allow it: `reason = \"..\"`"
        );
    }

    #[test]
    fn a_name_is_checked() {
        assert_eq!(
            of_arguments(quote!(name = "My Skill")),
            "`My Skill` cannot be the name of a skill, which has at most 64 lower-case letters, digits and hyphens; \
             `#[skill(name = \"..\")]` gives it another than the package's"
        );
    }

    #[test]
    fn the_summary_is_the_first_paragraph_of_the_documentation() {
        let function: ItemFn = syn::parse_quote! {
            ///
            /// Greets somebody,
            /// or nobody.
            ///
            /// Rarely both.
            async fn run() -> Result<()> {}
        };
        assert_eq!(documentation(&function), Some("Greets somebody, or nobody.".to_owned()));
    }

    #[test]
    fn what_is_asked_for_reaches_the_description() {
        let arguments = quote!(
            needs(web_search, schema),
            files("project", read_write, reason = "to mend it"),
            process("cargo", env("HOME", "CARGO_HOME"), reason = "to test it"),
            http("*.a.org", read, private, reason = "to ask"),
            skills("translate", reason = "to be read everywhere")
        );
        let expanded = expand(
            arguments,
            quote!(
                async fn run(i: Input) -> Result<Output> {}
            ),
        )
        .expect("it is a skill");
        let expanded = expanded.to_string();
        for part in [
            "\"web-search\" , \"schema\"",
            "\"read-write\"",
            "\"to mend it\"",
            "\"HOME CARGO_HOME\"",
            "\"read private\"",
            "\"skills\"",
            "\"to be read everywhere\"",
        ] {
            assert!(expanded.contains(part), "{part} in {expanded}");
        }
    }
}
