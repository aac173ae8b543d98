//! The macros of `skillhost-sdk`, which re-exports them.
//!
//! What an author gets wrong is said where it stands and with what was expected, so every refusal here is a `syn::Error` with a span.

mod data;
mod prompt;
mod skill;
#[path = "../../src/prompt/template.rs"]
#[allow(dead_code, reason = "the SDK substitutes, the macro only checks")]
mod template;
mod tool;

use proc_macro::TokenStream;

/// Makes an async function a skill.
///
/// ```text
/// /// Greets somebody.
/// #[skill(needs(tools), files("project", read, reason = "to know the names"))]
/// async fn run(input: Input) -> Result<Greeting> { .. }
/// ```
///
/// Name and version are the package's unless `name = ".."` and `version = ".."` say otherwise; the summary is `summary = ".."`, else the first
/// paragraph of the function's documentation, else the package's description. `needs(web_search, tools, schema)` is what the skill cannot do without in
/// a model provider. `files("mount", read | read_write, reason = "..")`, `process("program", env("NAME", ..), reason = "..")`,
/// `http("host", read | read_write, private, reason = "..")` and `skills("skill", reason = "..")` ask the user for something, with the reason that he is shown; `private` is for a host of his own machine
/// or network. The function takes its input (or nothing) and returns a `Result` of its output; both types are `#[data]`.
#[proc_macro_attribute]
pub fn skill(arguments: TokenStream, function: TokenStream) -> TokenStream {
    skill::expand(arguments.into(), function.into())
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}

/// Makes an async function a tool, which a model may use ([`Agent`](https://docs.rs/skillhost-sdk)).
///
/// ```text
/// #[tool("Reads a file of the project")]
/// async fn read(
///     /// Relative to the project's folder.
///     path: String,
/// ) -> Result<String> { .. }
/// ```
///
/// Without a text the first paragraph of the function's documentation says what it does. The arguments are owned values with a schema (`#[data]`
/// makes any type one); their documentation is for the model, and `#[serde(default)]` makes one optional. The function can be called as ever.
#[proc_macro_attribute]
pub fn tool(description: TokenStream, function: TokenStream) -> TokenStream {
    tool::expand(description.into(), function.into())
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}

/// Makes a type one that crosses the boundary of a skill: its input, its output, or what a model answers.
///
/// It becomes `Serialize`, `Deserialize`, `JsonSchema`, `Clone` and `Debug`. Documentation of the type and its fields is in the schema, where
/// users and models read it. `#[serde(..)]` and `#[schemars(..)]` work as ever.
#[proc_macro_attribute]
pub fn data(arguments: TokenStream, definition: TokenStream) -> TokenStream {
    data::expand(arguments.into(), definition.into())
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}

/// Takes a prompt from the folder `prompts/`, with values for its variables.
///
/// `prompt!("greeter.user", name = input.name)` is `prompts/greeter.user.md` with the value in the place of `$name`; `$$` is a dollar. It is checked
/// when the skill is compiled that the file is there and that exactly its variables are given. The text is read when the skill runs.
#[proc_macro]
pub fn prompt(arguments: TokenStream) -> TokenStream {
    prompt::expand(arguments.into())
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
