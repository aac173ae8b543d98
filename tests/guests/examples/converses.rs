//! Sends a model the whole conversation each time, for so many turns.

use skillhost_sdk::prelude::*;
use skillhost_test_guests::{NOTHING_SEEN, mix};

#[data]
struct Input {
    turns: u32,
    /// How long what is said in a turn is, in words.
    #[serde(default = "words")]
    words: u32,
}

fn words() -> u32 {
    100
}

#[data]
struct Output {
    digest: String,
}

#[skill(name = "converses")]
async fn run(input: Input) -> Result<Output> {
    let mut digest = NOTHING_SEEN;
    let mut said: Vec<model::Message> = Vec::new();
    for turn in 0..input.turns {
        let question = text(turn, input.words);
        let reply = model::haiku(question.as_str()).history(said.clone()).reply().await?;
        digest = mix(digest, &reply.text());
        said.push(model::Message {
            role: model::Role::User,
            content: vec![model::Block::Text(question)],
        });
        said.push(reply.message());
    }
    Ok(Output {
        digest: format!("{digest:016x}"),
    })
}

/// Returns words that are in no other turn, as what models and tools say is.
fn text(turn: u32, words: u32) -> String {
    let words = (0..words).map(|word| format!("{:08x}", mix(NOTHING_SEEN, &format!("{turn} {word}")) as u32));
    words.collect::<Vec<_>>().join(" ")
}
