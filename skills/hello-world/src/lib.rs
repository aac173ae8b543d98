//! Greets somebody by a model call: as small as a skill can be.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    /// Who is greeted.
    name: String,
}

#[data]
struct Greeting {
    /// One friendly sentence.
    text: String,
}

/// Greets somebody.
#[skill]
async fn run(input: Input) -> Result<Greeting> {
    model::haiku(prompt!("greeter.user", name = input.name))
        .label("greet")
        .json()
        .await
}
