//! Answers questions from the documents in `references/`, which are installed with the skill: a model looks for itself what it reads.

use skillhost_sdk::prelude::*;

/// The folder of the documents.
const DOCUMENTS: &str = "references";

/// How often the model is asked at most for one answer.
const TURNS_MAX: u32 = 12;

#[data]
struct Input {
    /// What is to be found out.
    question: String,
}

#[data]
struct Answer {
    /// The answer, in a few sentences.
    answer: String,
    /// The documents that it rests on, by name; none if they do not say.
    documents: Vec<String>,
}

#[tool("Lists the names of all documents")]
async fn list_documents() -> Result<Vec<String>> {
    let paths = files::skill().glob(format!("{DOCUMENTS}/**/*.md")).await?;
    Ok(paths.iter().map(|path| name_of(path).to_owned()).collect())
}

#[tool("Reads a document")]
async fn read_document(
    /// As `list_documents` names it.
    name: String,
) -> Result<String> {
    files::skill()
        .read_text(format!("{DOCUMENTS}/{name}.md"))
        .await
}

/// Answers a question from the documents that the skill brings along.
#[skill(needs(tools))]
async fn run(input: Input) -> Result<Answer> {
    Agent::sonnet(prompt!("agent"))
        .tools((list_documents, read_document))
        .turns(TURNS_MAX)
        .on_limit(Summarise)
        .ask(input.question)
        .json()
        .await
}

/// Returns what a document is called: its path below the folder, without its ending.
fn name_of(path: &str) -> &str {
    let below = path.strip_prefix(DOCUMENTS).unwrap_or(path);
    below.trim_start_matches('/').trim_end_matches(".md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_called_by_its_path_below_the_folder() {
        assert_eq!(name_of("references/bridges.md"), "bridges");
        assert_eq!(name_of("references/roads/old.md"), "roads/old");
    }
}
