//! Three steps with an approval in the middle: a draft, a question to the user, and what follows from the answer.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    /// What it is about.
    topic: String,
}

#[data]
struct Output {
    /// Whether it was published.
    published: bool,
    /// What the user said to it.
    comment: String,
}

#[skill(name = "approval")]
async fn run(input: Input) -> Result<Output> {
    let draft = model::haiku(format!("Draft something about {}", input.topic))
        .label("draft")
        .text()
        .await?;
    files::run().write("draft.md", &draft).await?;
    let approval: Approval = ask("publish", "Publish the draft?").user().attach("draft.md").await?;
    if approval.approve {
        model::haiku(format!("Announce: {draft}"))
            .label("announce")
            .text()
            .await?;
    }
    Ok(Output {
        published: approval.approve,
        comment: approval.comment,
    })
}
