//! Summarises a text with one model call.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    /// The text that is summarised; `--arg text=@FILE` reads it from a file.
    text: String,
    /// How many sentences the summary may have.
    #[serde(default = "three")]
    sentences: u32,
}

fn three() -> u32 {
    3
}

#[data]
struct Summary {
    /// Three to eight words.
    title: String,
    /// The summary.
    text: String,
}

/// Summarises a text in a few sentences.
#[skill]
async fn run(input: Input) -> Result<Summary> {
    let text = something(&input.text)?;
    model::haiku(prompt!("summary", text, sentences = input.sentences))
        .label("summary")
        .json()
        .await
}

/// Refuses a text of which nothing could be said, before a model is paid for saying so.
fn something(text: &str) -> Result<&str> {
    match text.trim() {
        "" => Err(Failure::new("no-text", "there is no text to summarise")),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_words_is_refused() {
        assert_eq!(something(" rivers \n"), Ok("rivers"));
        assert!(something(" \n").is_err_and(|failure| failure.code() == "no-text"));
    }
}
