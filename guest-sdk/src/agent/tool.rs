//! Tools: what a model may use, and how what it asks for reaches a function.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::describe::input_schema;
use crate::failure::{Failure, Result, code};
use crate::model::FunctionTool;
use crate::model::structured::faults;

/// The longest answer of a tool that a model is shown, in bytes. A longer one is cut off, and says so.
pub const ANSWER_BYTES_MAX: usize = 128 << 10;

/// Makes a tool of a closure, which can use what is around it. `A` is `#[data]`; each of its fields is an argument.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # use skillhost_sdk::example;
/// #[data]
/// struct Search {
///     /// What is looked for.
///     words: String,
/// }
///
/// # async fn example() -> Result<String> {
/// # let notes = ["rivers are wet".to_owned(), "seas are salty".to_owned()];
/// # example::model_says([r#"search({"words": "wet"})"#, "Rivers are wet."]);
/// let search = agent::tool("search", "Searches the notes", async |search: Search| {
///     Ok(notes.iter().filter(|note| note.contains(&search.words)).cloned().collect::<Vec<_>>())
/// });
/// Agent::haiku("You know the notes.").tools(search).ask("What is wet?").text().await
/// # }
/// # assert_eq!(example::run(example()), "Rivers are wet.");
/// ```
pub fn tool<'a, A, T, F>(name: impl Into<String>, description: impl Into<String>, work: F) -> Tool<'a>
where
    A: DeserializeOwned + JsonSchema + 'a,
    T: Serialize,
    F: AsyncFn(A) -> Result<T> + 'a,
{
    let work = Rc::new(work);
    Tool::new::<A>(name.into(), description.into(), move |arguments| {
        let work = work.clone();
        Box::pin(async move { said(&work(read(arguments)?).await?) })
    })
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

/// Something that a model may use.
#[derive(Clone)]
pub struct Tool<'a> {
    name: String,
    description: String,
    schema: Rc<Value>,
    work: Rc<dyn Fn(Value) -> Answer<'a> + 'a>,
}

impl<'a> Tool<'a> {
    fn new<A: JsonSchema>(name: String, description: String, work: impl Fn(Value) -> Answer<'a> + 'a) -> Self {
        Self {
            name,
            description,
            schema: Rc::new(input_schema::<A>().to_value()),
            work: Rc::new(work),
        }
    }

    /// Returns the name by which the model asks for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns it as a request shows it to the model.
    pub fn spec(&self) -> FunctionTool {
        FunctionTool {
            name: self.name.clone(),
            description: self.description.clone(),
            input_schema: self.schema.to_string(),
        }
    }

    /// Uses it, with arguments as the model gives them. What does not fit is a failure that says all that does not.
    pub async fn call(&self, arguments: &str) -> Result<String> {
        // Some models give nothing at all where there are no arguments.
        let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
        let wrong = |what: String| {
            Failure::new(
                code::INVALID,
                format!("the arguments of `{}` cannot be used: {what}", self.name),
            )
        };
        let arguments: Value = serde_json::from_str(arguments).map_err(|error| wrong(error.to_string()))?;
        let faults = faults(&arguments, &self.schema);
        if !faults.is_empty() {
            return Err(wrong(faults.join("; ")));
        }
        Ok(cut((self.work)(arguments).await?))
    }
}

impl fmt::Debug for Tool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tool({})", self.name)
    }
}

fn read<A: DeserializeOwned>(arguments: Value) -> Result<A> {
    serde_json::from_value(arguments).map_err(|error| Failure::new(code::INVALID, error))
}

/// Puts what a tool returns into words: a text as it is, nothing as `done`, anything else as JSON.
fn said(answer: &impl Serialize) -> Result<String> {
    Ok(match serde_json::to_value(answer)? {
        Value::String(text) => text,
        Value::Null => "done".to_owned(),
        value => value.to_string(),
    })
}

fn cut(mut answer: String) -> String {
    if answer.len() > ANSWER_BYTES_MAX {
        let whole = answer.len();
        answer.truncate(answer.floor_char_boundary(ANSWER_BYTES_MAX));
        answer.push_str(&format!(
            "\n(cut off: these are the first {} of {whole} bytes)",
            answer.len()
        ));
    }
    answer
}

/// A call of a function under `#[tool]`, which knows what a model has to be told about the function. The attribute makes it.
#[doc(hidden)]
pub trait ToolCalled: Future<Output = Result<Self::Answer>> + Sized {
    /// The arguments, as fields.
    type Arguments: DeserializeOwned + JsonSchema;
    /// What the function returns.
    type Answer: Serialize;
    /// The function's name.
    const NAME: &'static str;
    /// What it does.
    const DESCRIPTION: &'static str;
    /// Calls the function.
    fn call(arguments: Self::Arguments) -> Self;
}

/// What can be a tool: a function under [`#[tool]`](macro@crate::tool), or a [`Tool`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tool",
    note = "put `#[tool(\"what it does\")]` above the `async fn`, or make a tool of a closure by `agent::tool`"
)]
pub trait IntoTool<'a, Kind> {
    /// Makes it one.
    fn into_tool(self) -> Tool<'a>;
}

impl<'a> IntoTool<'a, Tool<'a>> for Tool<'a> {
    fn into_tool(self) -> Self {
        self
    }
}

/// Several tools, as a tuple, or one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tool and no tuple of tools",
    note = "put `#[tool(\"what it does\")]` above the `async fn`, or make a tool of a closure by `agent::tool`"
)]
pub trait Tools<'a, Kind> {
    /// Adds them to a list.
    #[doc(hidden)]
    fn collect(self, tools: &mut Vec<Tool<'a>>);
}

/// Tells the implementation for one tool from those for tuples.
#[derive(Debug)]
pub struct One<Kind>(std::marker::PhantomData<Kind>);

impl<'a, Kind, T: IntoTool<'a, Kind>> Tools<'a, One<Kind>> for T {
    fn collect(self, tools: &mut Vec<Tool<'a>>) {
        tools.push(self.into_tool());
    }
}

impl<'a> Tools<'a, Tool<'a>> for Vec<Tool<'a>> {
    fn collect(self, tools: &mut Vec<Tool<'a>>) {
        tools.extend(self);
    }
}

/// Functions of so many arguments are tools: which they are, the type of their calls says.
macro_rules! functions {
    ($($argument:ident)*) => {
        impl<'a, Function, Called, $($argument),*> IntoTool<'a, (Called, $($argument,)*)> for Function
        where
            Function: Fn($($argument),*) -> Called,
            Called: ToolCalled + 'a,
            Called::Arguments: 'a,
        {
            fn into_tool(self) -> Tool<'a> {
                Tool::new::<Called::Arguments>(Called::NAME.to_owned(), Called::DESCRIPTION.to_owned(), |arguments| {
                    Box::pin(async move { said(&Called::call(read(arguments)?).await?) })
                })
            }
        }
    };
}

functions!();
functions!(A);
functions!(A B);
functions!(A B C);
functions!(A B C D);
functions!(A B C D E);
functions!(A B C D E F);
functions!(A B C D E F G);
functions!(A B C D E F G H);

macro_rules! tuples {
    ($($tool:ident $kind:ident),*) => {
        impl<'a, $($tool, $kind),*> Tools<'a, ($($kind,)*)> for ($($tool,)*)
        where
            $($tool: IntoTool<'a, $kind>),*
        {
            fn collect(self, tools: &mut Vec<Tool<'a>>) {
                #[allow(non_snake_case, reason = "a name for each type")]
                let ($($tool,)*) = self;
                $(tools.push($tool.into_tool());)*
            }
        }
    };
}

tuples!(A KA);
tuples!(A KA, B KB);
tuples!(A KA, B KB, C KC);
tuples!(A KA, B KB, C KC, D KD);
tuples!(A KA, B KB, C KC, D KD, E KE);
tuples!(A KA, B KB, C KC, D KD, E KE, F KF);
tuples!(A KA, B KB, C KC, D KD, E KE, F KF, G KG);
tuples!(A KA, B KB, C KC, D KD, E KE, F KF, G KG, H KH);
tuples!(A KA, B KB, C KC, D KD, E KE, F KF, G KG, H KH, I KI);
tuples!(A KA, B KB, C KC, D KD, E KE, F KF, G KG, H KH, I KI, J KJ);
tuples!(A KA, B KB, C KC, D KD, E KE, F KF, G KG, H KH, I KI, J KJ, K KK);
tuples!(A KA, B KB, C KC, D KD, E KE, F KF, G KG, H KH, I KI, J KJ, K KK, L KL);
