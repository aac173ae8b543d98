//! `prompt!`: checks file and variables now, and makes what reads them later.

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, LitStr, Result, Token};

use crate::template::{Template, listed};

/// `"name", variable = value, ..`
struct Arguments {
    name: LitStr,
    variables: Vec<Variable>,
}

struct Variable {
    name: Ident,
    value: Expr,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse().map_err(|error| {
            Error::new(
                error.span(),
                "expected the name of a prompt, such as `prompt!(\"greeter.user\", name = input.name)`",
            )
        })?;
        let mut variables = Vec::new();
        if !input.is_empty() {
            input.parse::<Token![,]>().map_err(|error| {
                Error::new(error.span(), "expected `,` between the prompt's name and its variables")
            })?;
            let given: Punctuated<Variable, Token![,]> = input.parse_terminated(Variable::parse, Token![,])?;
            variables.extend(given);
        }
        Ok(Self { name, variables })
    }
}

impl Parse for Variable {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse().map_err(|error| {
            Error::new(
                error.span(),
                "expected a variable of the prompt and its value, such as `name = input.name`",
            )
        })?;
        // `name` alone is `name = name`, as in a struct.
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            input.parse()?
        } else {
            syn::parse_quote!(#name)
        };
        Ok(Self { name, value })
    }
}

pub(crate) fn expand(arguments: TokenStream) -> Result<TokenStream> {
    let Arguments { name, variables } = syn::parse2(arguments)?;
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let text = read(&PathBuf::from(package).join("prompts"), &name)?;
    check(&name, &text, &variables)?;
    let path = format!("/prompts/{}.md", name.value());
    let values = variables.iter().map(|Variable { name, value }| {
        let name = name.to_string();
        quote!((#name, ::std::string::ToString::to_string(&#value)))
    });
    Ok(quote! {{
        // Compiled again when the prompt changes, so that its variables are checked again. Nothing of it is in the component.
        const _: &[u8] = ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #path));
        ::skillhost_sdk::Prompt::file(#name, [#(#values),*])
    }})
}

/// Reads a prompt of a folder.
fn read(folder: &Path, name: &LitStr) -> Result<String> {
    let value = name.value();
    let well_formed = !value.is_empty()
        && value
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    if !well_formed {
        return Err(Error::new(
            name.span(),
            "the name of a prompt is that of a file in `prompts/` without `.md`: letters, digits, `-`, `_`, `.`",
        ));
    }
    std::fs::read_to_string(folder.join(format!("{value}.md"))).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no `prompts/{value}.md`"),
            _ => format!("could not read `prompts/{value}.md`: {error}"),
        };
        let mut names = Vec::new();
        collect(folder, "", &mut names);
        names.sort();
        Error::new(
            name.span(),
            format!("{what}; prompts: {}", listed(names.iter().map(String::as_str))),
        )
    })
}

/// Collects the names of all prompts.
fn collect(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{prefix}{name}/"), names);
        } else if let Some(name) = name.strip_suffix(".md") {
            names.push(format!("{prefix}{name}"));
        }
    }
}

/// Compares the variables of a prompt with those that are given.
fn check(name: &LitStr, text: &str, given: &[Variable]) -> Result<()> {
    let prompt = name.value();
    let template = Template::parse(text).map_err(|error| {
        let line = error.line;
        Error::new(
            name.span(),
            format!("`prompts/{prompt}.md` has a `$` in line {line} that no name follows; write `$$` for a dollar"),
        )
    })?;
    let wanted = template.variables();
    let has = listed(wanted.iter().copied());
    for (index, variable) in given.iter().enumerate() {
        if !wanted.iter().any(|wanted| variable.name == wanted) {
            let message = format!(
                "`prompts/{prompt}.md` has no variable `{}`; it has {has}",
                variable.name
            );
            return Err(Error::new(variable.name.span(), message));
        }
        if given[..index].iter().any(|earlier| earlier.name == variable.name) {
            return Err(Error::new(
                variable.name.span(),
                format!("`{}` is given twice", variable.name),
            ));
        }
    }
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|wanted| !given.iter().any(|variable| variable.name == wanted))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        name.span(),
        format!("`prompts/{prompt}.md` also needs a value for {}", listed(missing)),
    ))
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    /// What is said of a `prompt!` whose text is this.
    fn said(text: &str, arguments: TokenStream) -> String {
        let arguments: Arguments = syn::parse2(arguments).expect("the arguments are well formed");
        match check(&arguments.name, text, &arguments.variables) {
            Ok(()) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn exactly_the_variables_of_a_prompt_are_given() {
        let text = "Greet $name in $language for $$5.";
        assert_eq!(said(text, quote!("hi", name = 1, language)), "fine");
        assert_eq!(
            said(text, quote!("hi", name = 1)),
            "`prompts/hi.md` also needs a value for `language`"
        );
        assert_eq!(
            said(text, quote!("hi", name = 1, language, nmae = 2,)),
            "`prompts/hi.md` has no variable `nmae`; it has `name`, `language`"
        );
        assert_eq!(said(text, quote!("hi", name, name, language)), "`name` is given twice");
        assert_eq!(
            said("Hello.", quote!("hi", name)),
            "`prompts/hi.md` has no variable `name`; it has none"
        );
    }

    #[test]
    fn a_lone_dollar_is_placed() {
        assert_eq!(
            said("Costs\n$5", quote!("hi")),
            "`prompts/hi.md` has a `$` in line 2 that no name follows; write `$$` for a dollar"
        );
    }

    #[test]
    fn a_prompt_that_is_missing_names_those_that_are_there() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../skills/hello-world/prompts");
        let error = read(&folder, &syn::parse_quote!("greeter")).expect_err("there is no such prompt");
        assert_eq!(
            error.to_string(),
            "there is no `prompts/greeter.md`; prompts: `greeter.user`"
        );
    }

    #[test]
    fn the_name_of_a_prompt_leads_out_of_no_folder() {
        for name in ["", "../secret", "/etc/passwd", "a//b", "a b", "a/./b"] {
            let name = LitStr::new(name, proc_macro2::Span::call_site());
            let error = read(Path::new("prompts"), &name).expect_err("it is no name");
            assert!(
                error.to_string().starts_with("the name of a prompt is that of a file"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_variable_shows_an_example() {
        for (arguments, expected) in [
            (
                quote!("greeting", 5),
                "expected a variable of the prompt and its value, such as `name = input.name`",
            ),
            (
                quote!("greeting" name = 5),
                "expected `,` between the prompt's name and its variables",
            ),
        ] {
            let error = expand(arguments).expect_err("it is refused");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_name_shows_an_example() {
        let error = expand(quote!(greeting)).expect_err("a name is a text");
        assert_eq!(
            error.to_string(),
            "expected the name of a prompt, such as `prompt!(\"greeter.user\", name = input.name)`"
        );
    }
}
