//! Does things that must not be done twice.

use skillhost_sdk::prelude::*;
use skillhost_test_guests::acts::act;

#[data]
struct Input {
    /// What is done.
    #[serde(default = "names")]
    names: Vec<String>,
    /// Whether all at once.
    #[serde(default)]
    parallel: bool,
    /// Whether it says that twice is as once.
    #[serde(default)]
    idempotent: bool,
    /// Whether a model is asked between them.
    #[serde(default)]
    ask: bool,
}

fn names() -> Vec<String> {
    vec!["first".to_owned(), "second".to_owned()]
}

#[data]
struct Output {
    /// What came of each.
    answers: Vec<String>,
}

#[skill(name = "acts")]
async fn run(input: Input) -> Result<Output> {
    let limit = if input.parallel { input.names.len() } else { 1 };
    let answers = map(input.names, limit, async |name: String| {
        if input.ask {
            model::haiku(format!("before {name}")).text().await?;
        }
        let call = act(&name).label(&name);
        let call = if input.idempotent { call.idempotent() } else { call };
        // A skipped act is an error that the skill sees; here it is an answer like any other.
        Ok(call.await.unwrap_or_else(|failure| format!("failed: {failure}")))
    });
    Ok(Output {
        answers: answers.await.all()?,
    })
}
