//! What a command has to say, for people and for programs.
//!
//! With `--json` it is one [`Envelope`], the same for every command: `schema/skillhost-run-v1.json` describes it, and is kept by the rule for persisted shapes: only
//! ever extended. Off a terminal it is one line of at most [`LINE_BYTES_MAX`], without nulls, as agents read it.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use skillhost_core::id::{LaunchId, RunId, SkillName};

use super::dev::Development;
use crate::error::CliError;
use crate::exit::Exit;
use crate::explain;
use crate::home;
use crate::terminal::{self, Terminal, plain};

/// The longest line of JSON, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 4_096;

/// How long texts may still be, in characters, when they are cut because a line is too long: the last where that is not enough.
const TEXT_CHARS: [usize; 3] = [PREVIEW_CHARS, 100, 40];

/// How much of a long result is shown beside the file that holds it, in characters.
const PREVIEW_CHARS: usize = 400;

/// The name and version of the envelope.
const SCHEMA: &str = "skillhost-run/v1";

/// What a command has to say.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub exit: Exit,
    /// For people, on standard output.
    pub text: String,
    /// Instead of the text where no person reads it: a file as it is.
    pub raw: Option<Vec<u8>>,
    /// For people, on standard error.
    pub notes: String,
    /// For programs.
    pub envelope: Envelope,
    /// Where the result goes if it is too long for a line.
    pub result_file: Option<PathBuf>,
}

/// What a command has to say to a program.
#[derive(Debug, Default, Serialize)]
pub struct Envelope {
    /// How the run stands that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// What its launch is known by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_id: Option<LaunchId>,
    /// Its skill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill: Option<SkillName>,
    /// What it returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The file that holds the result, if it is too long for a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_path: Option<PathBuf>,
    /// How long it is then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<usize>,
    /// How it begins then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// Whether a script answered instead of a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorMember>,
    /// What the run waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitMember>,
    /// How the daemon is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon: Option<Value>,
    /// What `status` says of the run beside its labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<Value>,
    /// What the last runs of the skill cost and took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_runs: Option<Value>,
    /// The file or folder that the command made or looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A component: what it is, imports and says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<Value>,
    /// What `dev` says of the execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub development: Option<Development>,
    /// What a command lists.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
    /// How many further rows and waits there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// What went wrong.
#[derive(Debug, Serialize)]
pub struct ErrorMember {
    /// A short word: one of skillhost's, or the skill's own.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What `skillhost explain` tells more by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<&'static str>,
}

/// Something that a run waits for.
#[derive(Debug, Serialize)]
pub struct WaitMember {
    /// The number of the call.
    pub call: u64,
    /// `timer`, `event`, `question`, `skill` or `decision`.
    pub kind: &'static str,
    /// What the event or the question is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What the answer has to fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Who is asked: `user`, `agent` or `system`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Until when, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The command that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_command: Option<String>,
}

/// What a command lists; the member is called after what it holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// `list`.
    Runs(Vec<Value>),
    /// `show`.
    Calls(Vec<Value>),
    /// `status`.
    Labels(Vec<Value>),
    /// `logs`.
    Lines(Vec<Value>),
    /// `inbox`.
    Entries(Vec<Value>),
    /// `skills`.
    Skills(Vec<Value>),
    /// `build`, `check` and `install`: what is wrong with a skill.
    Problems(Vec<Value>),
    /// `test`.
    Cases(Vec<Value>),
    /// `auth list`.
    Keys(Vec<Value>),
    /// `secret list`.
    Secrets(Vec<Value>),
    /// `grant` and `grants`.
    Grants(Vec<Value>),
    /// `cost`.
    Costs(Vec<Value>),
    /// `prune` and `discard`.
    Forgotten(Vec<Value>),
    /// `backup` and `restore`: the runs that were not over.
    Unfinished(Vec<Value>),
    /// `replay`.
    Replays(Vec<Value>),
    /// `diff`.
    Differences(Vec<Value>),
    /// `compare`.
    Compared(Vec<Value>),
    /// `doctor`.
    Checks(Vec<Value>),
    /// `explain`.
    Topics(Vec<Value>),
}

impl Rows {
    fn values(&mut self) -> &mut Vec<Value> {
        match self {
            Self::Runs(rows)
            | Self::Calls(rows)
            | Self::Labels(rows)
            | Self::Lines(rows)
            | Self::Entries(rows)
            | Self::Skills(rows)
            | Self::Problems(rows)
            | Self::Cases(rows)
            | Self::Keys(rows)
            | Self::Secrets(rows)
            | Self::Grants(rows)
            | Self::Costs(rows)
            | Self::Forgotten(rows)
            | Self::Unfinished(rows)
            | Self::Replays(rows)
            | Self::Differences(rows)
            | Self::Compared(rows)
            | Self::Checks(rows)
            | Self::Topics(rows) => rows,
        }
    }
}

/// The envelope with what every command's has.
#[derive(Serialize)]
struct Whole<'a> {
    schema: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    exit_code: u8,
    #[serde(flatten)]
    envelope: &'a Envelope,
}

impl ErrorMember {
    /// Makes one of skillhost's own, which names what explains it.
    pub fn new(code: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint,
            explain: explain::word_for(code),
        }
    }

    /// Makes one of a skill that failed: its code may be one that it made up.
    pub fn of_skill(code: String, message: String, hint: Option<String>) -> Self {
        Self {
            explain: Some(explain::word_for_failure(&code)),
            code,
            message,
            hint,
        }
    }
}

impl Report {
    /// Makes the report of a command that did what it was asked.
    pub fn done(text: impl Into<String>, envelope: Envelope) -> Self {
        Self {
            exit: Exit::Done,
            text: text.into(),
            raw: None,
            notes: String::new(),
            envelope,
            result_file: None,
        }
    }

    /// Makes the report of one that could not.
    pub fn of_error(error: &CliError) -> Self {
        let member = ErrorMember::new(error.code, plain(&error.sentence()), error.hint.clone());
        Self::failed(error.exit, member, Envelope::default())
    }

    /// Makes the report of a command that ended otherwise than well, and says more than that.
    pub fn failed(exit: Exit, error: ErrorMember, envelope: Envelope) -> Self {
        let mut notes = format!("error: {}\n", error.message.trim_end());
        if let Some(hint) = &error.hint {
            notes.push_str(&format!("hint: {hint}\n"));
        }
        if let Some(word) = error.explain {
            notes.push_str(&format!("see: `skillhost explain {word}`\n"));
        }
        Self {
            exit,
            text: String::new(),
            raw: None,
            notes,
            envelope: Envelope {
                error: Some(error),
                ..envelope
            },
            result_file: None,
        }
    }

    /// Prints it in the form that was asked for.
    pub fn print(mut self, command: Option<&str>, json: bool, terminal: Terminal) -> io::Result<()> {
        if !json {
            match self.raw.as_ref().filter(|_| !terminal.stdout) {
                Some(bytes) => terminal::print_raw(bytes)?,
                None => terminal::print(&self.text)?,
            }
            terminal::note(&self.notes);
            return Ok(());
        }
        if terminal.stdout {
            return terminal::print(&serde_json::to_string_pretty(&self.whole(command)).map_err(io::Error::other)?);
        }
        let line = self.line(command)?;
        terminal::print(&line)
    }

    fn whole<'a>(&'a self, command: Option<&'a str>) -> Whole<'a> {
        Whole {
            schema: SCHEMA,
            ok: self.exit == Exit::Done,
            command,
            exit_code: self.exit.code(),
            envelope: &self.envelope,
        }
    }

    /// Returns the line, shortened until it is no longer than it may be.
    fn line(&mut self, command: Option<&str>) -> io::Result<String> {
        loop {
            let line = serde_json::to_string(&self.whole(command)).map_err(io::Error::other)?;
            if line.len() <= LINE_BYTES_MAX || !self.shorten(line.len() - LINE_BYTES_MAX)? {
                return Ok(line);
            }
        }
    }

    /// Leaves something out that is `excess` bytes too much, or a part of that; returns whether there was anything left to leave out.
    fn shorten(&mut self, excess: usize) -> io::Result<bool> {
        if let (Some(result), Some(path)) = (self.envelope.result.take(), &self.result_file) {
            let text = serde_json::to_string(&result).map_err(io::Error::other)?;
            home::write_whole(path, text.as_bytes())?;
            self.envelope.result_path = Some(path.clone());
            self.envelope.result_bytes = Some(text.len());
            self.envelope.preview = Some(text.chars().take(PREVIEW_CHARS).collect());
            return Ok(true);
        }
        if self.envelope.cut_texts(TEXT_CHARS[0]) {
            return Ok(true);
        }
        if let Some(rows) = self.envelope.rows.as_mut().map(Rows::values)
            && let Some(last) = rows.pop()
        {
            self.envelope.more += 1;
            // Many short rows are left out in one go, so that this does not take for ever.
            let bytes = serde_json::to_string(&last).map_err(io::Error::other)?.len() + 1;
            let further = (excess / bytes.max(1) / 2).min(rows.len());
            rows.truncate(rows.len() - further);
            self.envelope.more += further;
            return Ok(true);
        }
        for wait in &mut self.envelope.waits {
            if wait.schema.take().is_some() {
                return Ok(true);
            }
        }
        if self.envelope.waits.len() > 1 && self.envelope.waits.pop().is_some() {
            self.envelope.more += 1;
            return Ok(true);
        }
        Ok(TEXT_CHARS.into_iter().any(|chars| self.envelope.cut_texts(chars)))
    }
}

impl Envelope {
    /// Makes one that lists something.
    pub fn of_rows(rows: Rows) -> Self {
        Self {
            rows: Some(rows),
            ..Self::default()
        }
    }

    /// Cuts the texts that a skill, a model or an error wrote, to `chars_max` characters; returns whether one was longer.
    fn cut_texts(&mut self, chars_max: usize) -> bool {
        let mut was_cut = false;
        let mut cut = |text: &mut String| {
            if text.chars().count() > chars_max {
                *text = text.chars().take(chars_max - 1).chain(['…']).collect();
                was_cut = true;
            }
        };
        if let Some(error) = &mut self.error {
            cut(&mut error.code);
            cut(&mut error.message);
            error.hint.iter_mut().for_each(&mut cut);
        }
        self.preview.iter_mut().for_each(&mut cut);
        let prompts = self.waits.iter_mut().filter_map(|wait| wait.prompt.as_mut());
        prompts.for_each(&mut cut);
        let standing = self.standing.iter_mut();
        let mut members: Vec<&mut Value> = standing
            .filter_map(Value::as_object_mut)
            .flat_map(|object| object.values_mut())
            .collect();
        while let Some(member) = members.pop() {
            match member {
                Value::String(text) => cut(text),
                Value::Object(inner) => members.extend(inner.values_mut()),
                _ => {}
            }
        }
        was_cut
    }
}

/// Returns how a path is shown: beneath the user's own folder with `~`.
pub(super) fn path_for_people(path: &Path, user_folder: Option<&Path>) -> String {
    match user_folder.and_then(|user| path.strip_prefix(user).ok()) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use serde_json::json;

    use super::*;

    fn line(mut report: Report) -> Value {
        let line = report.line(Some("launch")).unwrap();
        assert!(line.len() <= LINE_BYTES_MAX, "{} bytes", line.len());
        assert!(!line.contains(":null"), "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_long_result_goes_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/x.json");
        let result = json!({"text": "é".repeat(5_000)});
        let mut report = Report::done(
            "",
            Envelope {
                result: Some(result.clone()),
                ..Envelope::default()
            },
        );
        report.result_file = Some(path.clone());
        let line = line(report);
        assert_eq!(line["result_path"], json!(path));
        let written = std::fs::read(&path).unwrap();
        assert_eq!(line["result_bytes"], json!(written.len()));
        assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), result);
    }

    #[test]
    fn rows_are_left_out_from_the_end_and_counted() {
        let rows: Vec<Value> = (0..1_000).map(|n| json!({"run": n})).collect();
        let line = line(Report::done("", Envelope::of_rows(Rows::Runs(rows))));
        let kept = line["runs"].as_array().unwrap();
        assert_eq!(kept[0], json!({"run": 0}));
        assert!(kept.len() > 100, "{}", kept.len());
        assert_eq!(kept.len() + line["more"].as_u64().unwrap() as usize, 1_000);
    }

    #[test]
    fn a_long_message_is_cut() {
        let error = CliError::new(Exit::Failed, "x", "é".repeat(50_000)).hint("short");
        let line = line(Report::of_error(&error));
        assert!(line["error"]["message"].as_str().unwrap().ends_with('…'));
        assert_eq!(line["error"]["hint"], json!("short"));
        assert_eq!(line["ok"], json!(false));
        assert_eq!(line["exit_code"], json!(30));
    }

    fn wait(call: u64, prompt: &str) -> WaitMember {
        WaitMember {
            call,
            kind: "question",
            name: Some("publish".to_owned()),
            prompt: Some(prompt.to_owned()),
            schema: Some(json!({"type": "object"})),
            audience: Some("user".to_owned()),
            until: None,
            answer_command: Some(format!("skillhost answer x#{call} --input JSON")),
        }
    }

    #[test]
    fn a_long_prompt_is_cut_before_anything_is_left_out() {
        let envelope = Envelope {
            waits: vec![wait(1, &"é".repeat(50_000))],
            rows: Some(Rows::Labels(vec![json!({"label": "x"})])),
            ..Envelope::default()
        };
        let line = line(Report::done("", envelope));
        assert_eq!(
            line["waits"][0]["prompt"].as_str().unwrap().chars().count(),
            PREVIEW_CHARS
        );
        assert!(line["waits"][0]["prompt"].as_str().unwrap().ends_with('…'));
        assert_eq!(line["waits"][0]["schema"], json!({"type": "object"}));
        assert_eq!(line["labels"], json!([{"label": "x"}]));
    }

    #[test]
    fn waits_that_are_left_out_are_counted() {
        let waits = (0..100).map(|call| wait(call, "Publish?")).collect();
        let line = line(Report::done(
            "",
            Envelope {
                waits,
                ..Envelope::default()
            },
        ));
        let kept = line["waits"].as_array().unwrap();
        assert!(kept.len() > 10, "{}", kept.len());
        assert_eq!(kept.len() + line["more"].as_u64().unwrap() as usize, 100);
    }

    #[test]
    fn whatever_is_long_a_line_is_not() {
        let long = "\u{1}".repeat(20_000);
        let error = CliError::new(Exit::Failed, "x", long.clone()).hint(long.clone());
        let envelope = Envelope {
            waits: (0..9).map(|call| wait(call, &long)).collect(),
            rows: Some(Rows::Labels(vec![json!({"label": long})])),
            standing: Some(json!({
                "progress": long, "said_last": long, "tokens": 1,
                "trouble": {"code": "x", "message": long, "hint": long},
            })),
            ..Report::of_error(&error).envelope
        };
        let mut report = Report::done("", envelope);
        report.envelope.error.as_mut().unwrap().message = long.clone();
        report.exit = Exit::Failed;
        let line = line(report);
        assert_eq!(line["standing"]["tokens"], json!(1));
        assert_eq!(line["more"], json!(9));
    }
}
