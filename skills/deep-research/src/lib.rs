//! Answers a question as a small team would: one plans, several look into a part each, one checks them against each other, one writes the report.
//!
//! A part that fails is reported, not fatal. Start with `run`.

use skillhost_sdk::prelude::*;

/// How many parts are looked into at once.
const PARTS_AT_ONCE: usize = 8;

/// How often a model may search the web for one part.
const SEARCHES_MAX: u32 = 5;

/// How long one part may take.
const PART_TIME_MAX_MINUTES: u64 = 15;

/// What the first line of a report says that was written without the web.
const NO_WEB: &str =
    "> This report was written without access to the web: it rests on what the models know, and cites nothing.";

#[data]
struct Question {
    /// What is to be found out.
    question: String,
    /// Into how many parts it is split at most.
    #[serde(default = "six")]
    #[schemars(range(min = 1, max = 24))]
    parts_max: u32,
}

fn six() -> u32 {
    6
}

#[data]
struct Report {
    /// Where the report is.
    report: String,
    /// The answer in a few sentences.
    summary: String,
    /// Whether the models could search the web.
    web: bool,
    /// The parts that were answered.
    answered: Vec<String>,
    /// The parts that failed, and why.
    missed: Vec<String>,
}

/// How a question is split.
#[data]
struct Plan {
    /// What the person wants to know and what for, in one or two sentences.
    intent: String,
    /// Questions that can be answered independently of each other and together answer the whole.
    #[schemars(length(min = 1))]
    parts: Vec<Part>,
}

#[data]
struct Part {
    /// Two to five words.
    title: String,
    /// The question, so that it can be understood without the others.
    question: String,
}

/// What was found out about a part.
#[data]
struct Finding {
    /// The answer, in Markdown.
    answer: String,
    /// How far it can be relied on.
    confidence: Confidence,
    /// What the answer rests on. Empty if nothing was read.
    #[serde(default)]
    sources: Vec<Source>,
    /// What could not be found out.
    #[serde(default)]
    gaps: Vec<String>,
}

#[data]
#[serde(rename_all = "lowercase")]
enum Confidence {
    High,
    Medium,
    Low,
}

#[data]
struct Source {
    title: String,
    /// The full address of the page.
    url: String,
}

/// How the findings stand to each other.
#[data]
struct Review {
    /// Statements of different parts that cannot both be true, and which is the more credible and why.
    #[serde(default)]
    contradictions: Vec<String>,
    /// Statements that are not supported well enough to be passed on without a warning.
    #[serde(default)]
    doubtful: Vec<String>,
    /// What the question needs that no part answers.
    #[serde(default)]
    missing: Vec<String>,
}

/// A part and what was found out about it.
#[data]
struct Answered {
    title: String,
    question: String,
    #[serde(flatten)]
    finding: Finding,
}

/// Plans, researches and answers a question in depth, and writes a report with its sources.
#[skill]
async fn run(input: Question) -> Result<Report> {
    let web = run::info().has("web-search");
    let plan = plan(&input).await?;
    log::info!("{} parts: {}", plan.parts.len(), plan.intent);

    let parts = plan.parts.clone();
    let outcomes = map(parts, PARTS_AT_ONCE, async |part: Part| {
        research(part, &plan.intent, web).await
    });
    let (found, missed) = outcomes.progress("parts").await.split();
    let missed: Vec<String> = missed
        .into_iter()
        .map(|missed| format!("{}: {}", plan.parts[missed.index].title, missed.failure))
        .collect();
    if found.is_empty() {
        return Err(Failure::new(
            "no-findings",
            format!("none of the parts could be answered: {}", missed.join("; ")),
        ));
    }
    for missed in &missed {
        log::warn!("not answered: {missed}");
    }

    let review = review(&input.question, &found).await;
    let text = report(&input.question, &plan, &found, &missed, review, web).await?;
    files::run().write("report.md", &text).label("write report.md").await?;
    let summary = summary(&input.question, &text).await?;
    inbox::post(format!("Research: {}", title(&input.question)))
        .body(notice(&summary, &missed, web))
        .attach("report.md")
        .label("post to the inbox")
        .await?;
    Ok(Report {
        report: "run/report.md".to_owned(),
        summary,
        web,
        answered: found.into_iter().map(|answered| answered.title).collect(),
        missed,
    })
}

async fn plan(input: &Question) -> Result<Plan> {
    let prompt = prompt!("plan", question = input.question, parts_max = input.parts_max);
    let mut plan: Plan = model::opus(prompt)
        .system(prompt!("plan.system"))
        .label("plan")
        .json()
        .await?;
    plan.parts.truncate(input.parts_max as usize);
    Ok(plan)
}

async fn research(part: Part, intent: &str, web: bool) -> Result<Answered> {
    let system = if web {
        prompt!("part.web")
    } else {
        prompt!("part.no-web")
    };
    let request = model::sonnet(prompt!("part", intent, question = part.question))
        .system(system)
        .label(format!("part: {}", part.title))
        .timeout(mins(PART_TIME_MAX_MINUTES));
    let request = if web { request.web_search(SEARCHES_MAX) } else { request };
    let mut finding: Finding = request.json().await?;
    if !web {
        // What was not read cannot be cited, whatever a model remembers.
        finding.sources.clear();
    }
    Ok(Answered {
        title: part.title,
        question: part.question,
        finding,
    })
}

/// Checks the findings against each other. Without this check there still is a report, which says so.
async fn review(question: &str, found: &[Answered]) -> Result<Review> {
    let reviewed = model::opus(prompt!("review", question, findings = json(found)))
        .system(prompt!("review.system"))
        .label("cross-check")
        .json()
        .await;
    if let Err(failure) = &reviewed {
        log::warn!("the findings were not checked against each other: {failure}");
    }
    reviewed
}

async fn report(
    question: &str,
    plan: &Plan,
    found: &[Answered],
    missed: &[String],
    review: Result<Review>,
    web: bool,
) -> Result<String> {
    let review = match review {
        Ok(review) => json(&review),
        Err(failure) if failure.is_cancelled() => return Err(failure),
        Err(_) => "The findings could not be checked against each other. Say so in the report.".to_owned(),
    };
    let not_answered = if missed.is_empty() {
        "None.".to_owned()
    } else {
        list(missed)
    };
    let prompt = prompt!(
        "report",
        question,
        intent = plan.intent,
        findings = json(found),
        review,
        missed = not_answered
    );
    let text = model::opus(prompt)
        .system(prompt!("report.system"))
        .label("report")
        .max_tokens(16_000)
        .text()
        .await?;
    let text = text.trim();
    Ok(if web {
        format!("{text}\n")
    } else {
        format!("{NO_WEB}\n\n{text}\n")
    })
}

/// Summarises the report. It is there without a summary too, so a failure here is no failure of the run.
async fn summary(question: &str, report: &str) -> Result<String> {
    let request = model::haiku(prompt!("summary", question, report));
    match request.label("summary").max_tokens(500).text().await {
        Ok(summary) => Ok(summary.trim().to_owned()),
        Err(failure) if failure.is_cancelled() => Err(failure),
        Err(failure) => {
            log::warn!("the report was not summarised: {failure}");
            Ok("The report is ready. It could not be summarised.".to_owned())
        }
    }
}

fn notice(summary: &str, missed: &[String], web: bool) -> String {
    let mut body = summary.to_owned();
    if !web {
        body.push_str("\n\nThe models had no access to the web.");
    }
    if !missed.is_empty() {
        body.push_str(&format!("\n\nNot answered:\n{}", list(missed)));
    }
    body
}

fn list(items: &[String]) -> String {
    items
        .iter()
        .map(|item| format!("- {item}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns what of a question fits into a title.
fn title(question: &str) -> String {
    const CHARACTERS_MAX: usize = 80;
    let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARACTERS_MAX) {
        None => line,
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
    }
}
