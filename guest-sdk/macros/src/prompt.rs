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
            input.parse::<Token![,]>()?;
            let given: Punctuated<Variable, Token![,]> = input.parse_terminated(Variable::parse, Token![,])?;
            variables.extend(given);
        }
        Ok(Self { name, variables })
    }
}

impl Parse for Variable {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
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
    let text = read(&name)?;
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

/// Reads a prompt of the package that is being compiled.
fn read(name: &LitStr) -> Result<String> {
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
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("prompts");
    std::fs::read_to_string(folder.join(format!("{value}.md"))).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no `prompts/{value}.md`"),
            _ => format!("could not read `prompts/{value}.md`: {error}"),
        };
        let mut names = Vec::new();
        collect(&folder, "", &mut names);
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
