//! Drafts a notice, asks a person, and publishes what was approved. A draft that is not approved is written anew, as the person wishes.

use skillhost_sdk::prelude::*;

/// How many drafts are written before it is left at that.
const DRAFTS_MAX: u32 = 3;

#[data]
struct Input {
    /// What the notice is about.
    topic: String,
}

#[data]
struct Notice {
    /// Whether it was published.
    published: bool,
    /// Where the last draft is.
    draft: String,
    /// What the person said to it.
    comment: String,
}

/// Drafts a notice and publishes it once a person approves.
#[skill]
async fn run(input: Input) -> Result<Notice> {
    let mut approval = Approval::no();
    for number in 1..=DRAFTS_MAX {
        let draft = draft(&input.topic, &approval.comment, number).await?;
        files::run()
            .write("notice.md", &draft)
            .label("write notice.md")
            .await?;
        approval = ask(
            "publish",
            format!("Publish this notice about {}?", input.topic),
        )
        .user()
        .attach("notice.md")
        .timeout(days(2), Approval::no())
        .await?;
        if approval.approve {
            publish(&input.topic, &draft).await?;
        }
        if is_settled(&approval) {
            break;
        }
    }
    Ok(Notice {
        published: approval.approve,
        draft: "run/notice.md".to_owned(),
        comment: approval.comment,
    })
}

async fn draft(topic: &str, wish: &str, number: u32) -> Result<String> {
    let wish = if wish.is_empty() { "None." } else { wish };
    model::sonnet(prompt!("draft", topic, wish))
        .label(format!("draft {number}"))
        .text()
        .await
}

async fn publish(topic: &str, notice: &str) -> Result<()> {
    inbox::post(format!("Notice: {topic}"))
        .body(notice)
        .attach("notice.md")
        .label("publish")
        .await
}

/// Says whether nothing more is wished for: a refusal without a word is final.
fn is_settled(approval: &Approval) -> bool {
    approval.approve || approval.comment.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_with_a_wish_asks_for_another_draft() {
        assert!(is_settled(&Approval::yes()));
        assert!(is_settled(&Approval::no()));
        let wish = Approval {
            comment: "shorter".to_owned(),
            ..Approval::no()
        };
        assert!(!is_settled(&wish));
    }
}
