//! Reviews a diff: every file by itself and all at once, every finding looked at a second time, one report.
//!
//! Start with `run`. What a file's review or its check fails at is said in the report and stops nothing else.

mod diff;
mod report;

use diff::Change;
use skillhost_sdk::prelude::*;

/// How many files are reviewed at once.
const FILES_AT_ONCE: usize = 8;

/// The most that a reviewer is given of a whole file, in bytes.
const WHOLE_BYTES_MAX: u64 = 64_000;

#[data]
struct Input {
    /// What changed, as `git diff` prints it: `--arg diff=@-` reads it from a pipe.
    diff: String,
    /// What the change is for, or what to look at in particular.
    #[serde(default)]
    about: String,
    /// The folder that the change was made in: each file is then reviewed with the whole of it at hand.
    project: Option<InputPath>,
}

#[data]
struct Review {
    /// Where the report is.
    report: String,
    /// What to make of the change, in a few sentences.
    summary: String,
    /// What was found and held up to a second look, the worst first.
    findings: Vec<Found>,
    /// How many findings did not hold up to a second look.
    rejected: usize,
    /// Files that were not reviewed, and why.
    not_reviewed: Vec<String>,
}

/// What a reviewer says of one file.
#[data]
struct Remarks {
    /// Nothing, if there is nothing worth changing.
    findings: Vec<Finding>,
}

#[data]
struct Finding {
    severity: Severity,
    /// What is wrong, in one line.
    title: String,
    /// The line in the new file; in the old one if it was removed.
    line: Option<u32>,
    /// What happens, under which circumstances, and why that is wrong.
    explanation: String,
    /// What to do instead.
    suggestion: String,
}

#[data]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// Wrong results, lost data, a crash, a hole.
    Bug,
    /// Works, but will bite: races, leaks, missing checks or tests, misleading names.
    Risk,
    /// Better done differently.
    Nit,
}

/// What a second look at the findings of one file says.
#[data]
struct Verdicts {
    /// One for each finding.
    verdicts: Vec<Verdict>,
}

#[data]
struct Verdict {
    /// The number of the finding.
    finding: usize,
    /// Whether it holds.
    holds: bool,
    /// Why, in a sentence.
    reason: String,
}

/// A finding that was looked at a second time.
#[data]
struct Found {
    file: String,
    #[serde(flatten)]
    finding: Finding,
    /// What the second look says; absent if there was none.
    second_look: Option<String>,
}

/// Reviews a diff file by file, has every finding checked by a second look, and writes one report.
#[skill]
async fn run(input: Input) -> Result<Review> {
    let diff = diff::split(&input.diff);
    if diff.changes.is_empty() {
        let skipped = if diff.skipped.is_empty() {
            String::new()
        } else {
            format!(" ({})", diff.skipped.join("; "))
        };
        return Err(Failure::new(
            "nothing-to-review",
            format!(
                "there is no change to review in the diff{skipped}; pipe one in: git diff | skillhost launch code-review --arg diff=@-"
            ),
        ));
    }
    let names: Vec<String> = diff.changes.iter().map(Change::name).collect();
    let files = names.join("\n");
    let about = if input.about.trim().is_empty() {
        "Nothing was said about it."
    } else {
        input.about.trim()
    };
    log::info!(
        "{} changes to review, {} files skipped",
        names.len(),
        diff.skipped.len()
    );

    let (looks, missed) = map(diff.changes, FILES_AT_ONCE, async |change: Change| {
        look(change, &files, about, input.project.as_ref()).await
    })
    .progress("files")
    .await
    .split();
    let mut not_reviewed = diff.skipped;
    not_reviewed.extend(
        missed
            .iter()
            .map(|missed| format!("{}: {}", names[missed.index], missed.failure)),
    );
    if let (true, Some(missed)) = (looks.is_empty(), missed.into_iter().next()) {
        return Err(missed.failure.context("no file could be reviewed"));
    }

    let rejected = looks.iter().map(|look| look.rejected).sum();
    let mut findings: Vec<Found> = looks.into_iter().flat_map(|look| look.found).collect();
    // Stable, so that findings of one severity stay in the order of the diff.
    findings.sort_by(|left, right| left.finding.severity.cmp(&right.finding.severity));

    let summary = summary(&findings, &files, about).await?;
    let text = report::write(&summary, &findings, rejected, &not_reviewed);
    files::run().write("review.md", &text).label("write review.md").await?;
    inbox::post(report::title(&findings, names.len()))
        .body(&summary)
        .attach("review.md")
        .label("post to the inbox")
        .await?;
    Ok(Review {
        report: "run/review.md".to_owned(),
        summary,
        findings,
        rejected,
        not_reviewed,
    })
}

/// What came of one file.
struct Look {
    found: Vec<Found>,
    rejected: usize,
}

/// Returns what a reviewer is given of the whole file; nothing if it cannot be read, because it was deleted, say.
async fn whole(project: &InputPath, path: &str) -> Result<String> {
    let read = project.mount().read_range(path, 0, WHOLE_BYTES_MAX);
    match read.label(format!("read {path}")).await {
        Ok(bytes) => {
            let part = if bytes.len() as u64 == WHOLE_BYTES_MAX {
                "The beginning of the file"
            } else {
                "The whole file"
            };
            let text = String::from_utf8_lossy(&bytes);
            Ok(format!(
                "{part}, as it is now, for context:\n\n<file>\n{text}\n</file>\n"
            ))
        }
        Err(failure) if failure.is_cancelled() => Err(failure),
        Err(failure) => {
            log::info!("{path} is reviewed without the whole of it: {failure}");
            Ok(String::new())
        }
    }
}

/// Reviews a file, then has what was found checked.
async fn look(change: Change, files: &str, about: &str, project: Option<&InputPath>) -> Result<Look> {
    let name = change.name();
    let whole = match project {
        Some(project) => whole(project, &change.path).await?,
        None => String::new(),
    };
    let request = model::sonnet(prompt!("review", about, files, file = name, diff = change.text, whole));
    let remarks: Remarks = request
        .system(prompt!("review.system"))
        .label(format!("review: {name}"))
        .timeout(mins(10))
        .json()
        .await?;
    if remarks.findings.is_empty() {
        return Ok(Look {
            found: Vec::new(),
            rejected: 0,
        });
    }
    let verdicts = match check(&change, &remarks).await {
        Ok(verdicts) => verdicts,
        Err(failure) if failure.is_cancelled() => return Err(failure),
        Err(failure) => {
            log::warn!("no second look at {name}: {failure}");
            Vec::new()
        }
    };
    let all = remarks.findings.len();
    let mut found = Vec::new();
    for (number, finding) in (1..).zip(remarks.findings) {
        let verdict = verdicts.iter().find(|verdict| verdict.finding == number);
        if verdict.is_none_or(|verdict| verdict.holds) {
            found.push(Found {
                file: change.path.clone(),
                finding,
                second_look: verdict.map(|verdict| verdict.reason.clone()),
            });
        }
    }
    let rejected = all - found.len();
    Ok(Look { found, rejected })
}

async fn check(change: &Change, remarks: &Remarks) -> Result<Vec<Verdict>> {
    let name = change.name();
    let numbered = remarks.findings.iter().zip(1..);
    let findings: Vec<String> = numbered
        .map(|(finding, number)| format!("Finding {number}:\n{}", json(finding)))
        .collect();
    let request = model::opus(prompt!(
        "check",
        file = name,
        diff = change.text,
        findings = findings.join("\n\n")
    ));
    let verdicts: Verdicts = request
        .system(prompt!("check.system"))
        .label(format!("check: {name}"))
        .timeout(mins(10))
        .json()
        .await?;
    Ok(verdicts.verdicts)
}

/// Summarises the findings. They are worth having without a summary too, so a failure here is no failure of the run.
async fn summary(findings: &[Found], files: &str, about: &str) -> Result<String> {
    let findings = if findings.is_empty() {
        "None.".to_owned()
    } else {
        json(findings)
    };
    let request = model::sonnet(prompt!("summary", about, files, findings));
    match request.label("summary").max_tokens(1_000).text().await {
        Ok(summary) => Ok(summary.trim().to_owned()),
        Err(failure) if failure.is_cancelled() => Err(failure),
        Err(failure) => {
            log::warn!("the findings were not summarised: {failure}");
            Ok("The findings could not be summarised.".to_owned())
        }
    }
}
