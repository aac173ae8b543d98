//! Looks into several topics at once and writes a report. A topic that fails is named in the report and stops nothing else.

use skillhost_sdk::prelude::*;

/// How many topics are looked into at once.
const TOPICS_AT_ONCE: usize = 8;

#[data]
struct Input {
    /// What is looked into, such as `--topics rivers --topics lakes`.
    #[schemars(length(min = 1))]
    topics: Vec<String>,
}

#[data]
struct Report {
    /// Where the report is.
    report: String,
    /// The report in a few sentences.
    summary: String,
    /// The topics that failed, and why.
    missed: Vec<String>,
}

/// What was found out about a topic.
#[data]
struct Finding {
    /// The topic, as it was asked for.
    topic: String,
    /// What there is to know about it, in a paragraph.
    answer: String,
}

/// Looks into several topics at once and writes a report.
#[skill]
async fn run(input: Input) -> Result<Report> {
    let topics = &input.topics;
    let looks = map(0..topics.len(), TOPICS_AT_ONCE, async |index| {
        look(&topics[index]).await
    });
    let (found, missed) = looks.progress("topics").await.split();
    let missed: Vec<String> = missed
        .into_iter()
        .map(|missed| format!("{}: {}", topics[missed.index], missed.failure))
        .collect();
    if found.is_empty() {
        return Err(Failure::new("nothing-found", missed.join("; ")));
    }

    let summary = model::sonnet(prompt!("summary", findings = json(&found)))
        .label("summary")
        .text()
        .await?;
    let text = report(&summary, &found, &missed);
    files::run()
        .write("report.md", &text)
        .label("write report.md")
        .await?;
    Ok(Report {
        report: "run/report.md".to_owned(),
        summary,
        missed,
    })
}

async fn look(topic: &str) -> Result<Finding> {
    model::haiku(prompt!("look", topic))
        .label(format!("look: {topic}"))
        .timeout(mins(5))
        .json()
        .await
}

fn report(summary: &str, found: &[Finding], missed: &[String]) -> String {
    let mut text = format!("# Report\n\n{summary}\n");
    for finding in found {
        text.push_str(&format!("\n## {}\n\n{}\n", finding.topic, finding.answer));
    }
    if !missed.is_empty() {
        text.push_str(&format!("\n## Not answered\n\n- {}\n", missed.join("\n- ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_named_at_the_end() {
        let found = [Finding {
            topic: "rivers".to_owned(),
            answer: "They run.".to_owned(),
        }];
        let whole = "# Report\n\nAll is well.\n\n## rivers\n\nThey run.\n";
        assert_eq!(report("All is well.", &found, &[]), whole);
        let missed = ["lakes: overloaded".to_owned()];
        let with_missed = format!("{whole}\n## Not answered\n\n- lakes: overloaded\n");
        assert_eq!(report("All is well.", &found, &missed), with_missed);
    }
}
