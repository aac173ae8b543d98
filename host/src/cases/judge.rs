//! Compares what came of a case with what it expects, and says in words where they differ.

use std::collections::BTreeMap;

use serde_json::Value;
use skillhost_core::effect::{Function, Kind};
use skillhost_core::entry::{How, Record};
use skillhost_core::id::Seq;
use skillhost_core::machine::Wait;
use skillhost_core::outcome::Outcome;
use skillhost_effects::model::offline::{Script, UNSCRIPTED, glob_matches, missing_reply};

use super::{Case, Ending, ExpectedFile, ExpectedMessage, Texts};
use crate::problem::Problem;
use crate::readable::{difference, readable};
use crate::stage::{Curtain, MISPLAYED, Played, UNPLAYED};
use crate::terminal::{cut, plain, plain_line};
use crate::timeline::Timeline;

/// How many lines of a difference are shown.
const LINES_MAX: usize = 60;

/// How much of what was expected and found is told, in characters; the difference shows more.
const TEXT_CHARS_MAX: usize = 400;

/// A folder's files, by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Something in which a case and its skill do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, and where in the case.
    pub problem: Problem,
    /// The difference line by line, where there is one: `-` as expected, `+` as found.
    pub difference: String,
}

/// Judges a case by what was played of it. `name` is how its file is called.
pub fn judge(case: &Case, name: &str, played: &Played, files: &Files) -> Vec<Finding> {
    let mut judge = Judge {
        case,
        name,
        findings: Vec::new(),
    };
    // What was not answered is why the rest is otherwise.
    judge.unanswered(&played.records);
    judge.misfits(played);
    let is_answered = judge.findings.is_empty();
    judge.ending(played);
    let is_over = matches!(played.curtain, Curtain::Over(_));
    judge.calls(&played.records);
    judge.files(files);
    judge.inbox(played);
    // A reply that nobody asked for may be the one that is missed. All the rest is not asked for by a run that does not come that far.
    if is_over {
        judge.unused_replies(&played.records);
    }
    if is_over && is_answered {
        judge.unused(played);
    }
    judge.findings
}

struct Judge<'a> {
    case: &'a Case,
    name: &'a str,
    findings: Vec<Finding>,
}

impl Judge<'_> {
    fn place(&self, path: &[&str]) -> String {
        format!("{}:{}:1", self.name, self.case.lines.at(path))
    }

    fn add(&mut self, path: &[&str], problem: Problem) {
        self.add_with(path, problem, String::new());
    }

    fn add_with(&mut self, path: &[&str], mut problem: Problem, difference: String) {
        for text in [&mut problem.expected, &mut problem.found].into_iter().flatten() {
            *text = cut(text, TEXT_CHARS_MAX);
        }
        let problem = problem.at(self.place(path));
        self.findings.push(Finding { problem, difference });
    }

    fn ending(&mut self, played: &Played) {
        let expected = self.case.expect.status;
        let (ending, value) = match &played.curtain {
            Curtain::Over(How::Done(result)) => (Ending::Done, result.read::<Value>().unwrap_or_default()),
            Curtain::Over(How::Continued(_)) => {
                let input = played.next.as_ref();
                (
                    Ending::Continued,
                    input.and_then(|input| input.read().ok()).unwrap_or_default(),
                )
            }
            Curtain::Over(How::Failed(failure)) => {
                if expected == Ending::Failed {
                    return self.failure(&failure.code, &failure.message);
                }
                let found = match failure.code.as_str() {
                    // What it has no reply for was told of the call.
                    UNSCRIPTED => format!("failed: {UNSCRIPTED}"),
                    code => format!("failed: {code}: {}", plain_line(&failure.message)),
                };
                let problem = Problem::error("case_ends_otherwise", "the run failed")
                    .expected(expected.as_str())
                    .found(found);
                let place = failure.backtrace.as_deref().map(plain).unwrap_or_default();
                return self.add_with(&["expect", "status"], problem, place);
            }
            other => {
                let (message, fix) = without_end(other);
                let problem = Problem::error("case_ends_otherwise", message).expected(expected.as_str());
                return self.add(&["expect", "status"], problem.fix(fix));
            }
        };
        if ending != expected {
            let problem = Problem::error("case_ends_otherwise", "the run ended otherwise")
                .expected(expected.as_str())
                .found(format!("{}, with {value}", ending.as_str()));
            return self.add(&["expect", "status"], problem);
        }
        self.output(&value);
    }

    fn failure(&mut self, code: &str, message: &str) {
        let Some(expected) = &self.case.expect.failure else {
            return;
        };
        let missing = missing(&expected.contains, message);
        if expected.code == code && missing.is_empty() {
            return;
        }
        let mut words = format!("`{}`", expected.code);
        if !expected.contains.0.is_empty() {
            words.push_str(&format!(" with {}", quoted(&expected.contains.0)));
        }
        let problem = Problem::error("case_ends_otherwise", "the run failed otherwise")
            .expected(words)
            .found(format!("`{code}`: {}", plain_line(message)));
        self.add(&["expect", "failure"], problem);
    }

    fn output(&mut self, found: &Value) {
        let expect = &self.case.expect;
        if let Some(expected) = expect.output.as_ref().filter(|expected| !same(expected, found)) {
            let problem = Problem::error("other_output", "the result is another one")
                .expected(expected.to_string())
                .found(found.to_string());
            let differs = difference(&readable(&sorted(expected)), &readable(&sorted(found)), LINES_MAX);
            self.add_with(&["expect", "output"], problem, differs);
        }
        for (member, expected) in self.case.expect.output_has.iter().flatten() {
            let found = found.get(member).unwrap_or(&Value::Null);
            if !same(expected, found) {
                let problem = Problem::error("other_output", format!("`{member}` of the result is something else"))
                    .expected(expected.to_string())
                    .found(found.to_string());
                let differs = difference(&readable(&sorted(expected)), &readable(&sorted(found)), LINES_MAX);
                self.add_with(&["expect", "output_has", member], problem, differs);
            }
        }
    }

    fn calls(&mut self, records: &[Record]) {
        let Some(expected) = &self.case.expect.calls else {
            return;
        };
        let timeline = Timeline::of(records, Seq(0)).expect("a played journal begins as any other");
        let found: Vec<&str> = timeline.calls.iter().map(|call| call.label.as_str()).collect();
        let functions: Vec<&str> = timeline.calls.iter().map(|call| call.function.name()).collect();
        let fits = |pattern: &str, at: usize| glob_matches(pattern, found[at]) || pattern == functions[at];
        if expected.len() == found.len() && expected.iter().enumerate().all(|(at, pattern)| fits(pattern, at)) {
            return;
        }
        // A pattern that fits a call is shown as that call, so that only what differs is seen to differ.
        let mut next = 0;
        let shown = expected
            .iter()
            .map(|pattern| match (next..found.len()).find(|at| fits(pattern, *at)) {
                Some(at) => {
                    next = at + 1;
                    found[at].to_owned()
                }
                None => pattern.clone(),
            });
        let lines = |labels: Vec<String>| labels.iter().map(|label| format!("{label}\n")).collect::<String>();
        let expected_lines = lines(shown.collect());
        let found_lines = lines(found.iter().map(|label| (*label).to_owned()).collect());
        let problem = Problem::error("other_calls", "the skill makes other calls")
            .expected(quoted(expected))
            .found(quoted(&found));
        let differs = difference(&expected_lines, &found_lines, LINES_MAX);
        self.add_with(&["expect", "calls"], problem, differs);
    }

    fn files(&mut self, files: &Files) {
        for (path, expected) in &self.case.expect.files {
            let member = ["expect", "files", path.as_str()];
            let found = files.get(path);
            let (expected, found) = match (expected, found) {
                (ExpectedFile::Absent, None) => continue,
                (ExpectedFile::Absent, Some(_)) => {
                    let problem = Problem::error("other_files", format!("there is a file `{path}`"));
                    self.add(&member, problem.expected("no such file"));
                    continue;
                }
                (_, None) => {
                    let there: Vec<&String> = files.keys().collect();
                    let problem = Problem::error("other_files", format!("there is no file `{path}`"));
                    self.add(&member, problem.found(format!("files: {}", quoted(&there))));
                    continue;
                }
                (expected, Some(found)) => (expected, String::from_utf8_lossy(found)),
            };
            match expected {
                ExpectedFile::Text(text) if *text != found => {
                    let problem = Problem::error("other_files", format!("file `{path}` holds something else"));
                    self.add_with(&member, problem, difference(text, &found, LINES_MAX));
                }
                ExpectedFile::Contains(contains) => {
                    for missing in missing(contains, &found) {
                        let problem = Problem::error("other_files", format!("file `{path}` does not contain it"))
                            .expected(format!("`{missing}`"))
                            .found(plain_line(&found));
                        self.add(&member, problem);
                    }
                }
                _ => {}
            }
        }
    }

    fn inbox(&mut self, played: &Played) {
        let Some(expected) = &self.case.expect.inbox else {
            return;
        };
        let titles: Vec<String> = played.posts.iter().map(|post| plain_line(&post.title)).collect();
        if expected.len() != titles.len() {
            let problem = Problem::error("other_inbox", "another number of messages was posted")
                .expected(expected.len().to_string())
                .found(quoted(&titles));
            return self.add(&["expect", "inbox"], problem);
        }
        for (index, (ExpectedMessage { title, contains }, post)) in expected.iter().zip(&played.posts).enumerate() {
            let member = ["expect", "inbox", &index.to_string()];
            if let Some(title) = title.as_ref().filter(|title| **title != post.title) {
                let problem = Problem::error("other_inbox", "a message has another title")
                    .expected(format!("`{title}`"))
                    .found(format!("`{}`", titles[index]));
                self.add(&member, problem);
            }
            for missing in missing(contains, &post.body) {
                let problem = Problem::error("other_inbox", "a message does not contain it")
                    .expected(format!("`{missing}`"))
                    .found(plain_line(&post.body));
                self.add(&member, problem);
            }
        }
    }

    /// Calls that the case says nothing to.
    fn unanswered(&mut self, records: &[Record]) {
        let timeline = Timeline::of(records, Seq(0)).expect("a played journal begins as any other");
        for call in &timeline.calls {
            let Some(Outcome::Err(fault)) = &call.outcome else {
                continue;
            };
            let what = format!("call {} `{}`", call.number, call.label);
            if fault.code == UNSCRIPTED {
                let label = call.is_labelled.then_some(call.label.as_str());
                let mut problem = Problem::error("no_reply", format!("{what} has no reply in the case"));
                match missing_reply(&call.request, label) {
                    Some(reply) if !fault.message.contains("`turns`") => problem = problem.fix(reply),
                    _ => problem = problem.found(fault.message.replace("`offline.toml`", "the case")),
                }
                self.add(&["reply"], problem);
            } else if fault.code == MISPLAYED {
                self.add(
                    &["effect"],
                    Problem::error("bad_answer", format!("{what}: {}", fault.message)),
                );
            } else if fault.code == UNPLAYED {
                let name = if call.is_labelled {
                    call.label.as_str()
                } else {
                    call.function.name()
                };
                let name = toml::Value::from(name);
                let problem = Problem::error("no_effect", format!("{what}: {}", fault.message))
                    .fix(format!("[[effect]]\ncall = {name}\nanswer = {{}}"));
                self.add(&["effect"], problem);
            }
        }
    }

    /// Answers that do not fit their questions.
    fn misfits(&mut self, played: &Played) {
        for (index, reason) in &played.misfits {
            let name = &self.case.answers[*index].name;
            let message = format!("the answer to `{name}` does not fit: {reason}");
            self.add(&["answer", &index.to_string()], Problem::error("bad_answer", message));
        }
    }

    /// What the case says, beside replies, and nobody asked for.
    fn unused(&mut self, played: &Played) {
        let unused = &played.unused;
        for index in &unused.answers {
            let name = &self.case.answers[*index].name;
            self.not_asked_for("answer", *index, format!("question `{name}` was not asked so often"));
        }
        for index in &unused.events {
            let name = &self.case.events[*index].name;
            self.not_asked_for("event", *index, format!("nothing waited for event `{name}`"));
        }
        for index in &unused.notes {
            self.not_asked_for("notes", *index, "the skill did not read this note".to_owned());
        }
        for index in &unused.effects {
            let call = &self.case.effects[*index].call;
            let is_played =
                Function::named(call).is_some_and(|function| !matches!(function.kind(), Kind::Effect | Kind::Skill));
            let words = match is_played {
                true => format!("`{call}` is not replaced: answers, events and time are the case's own"),
                false => format!("no call `{call}` was made for this"),
            };
            self.not_asked_for("effect", *index, words);
        }
    }

    fn unused_replies(&mut self, records: &[Record]) {
        let Some(script) = self.case.script.as_deref().and_then(|text| Script::parse(text).ok()) else {
            return;
        };
        let timeline = Timeline::of(records, Seq(0)).expect("a played journal begins as any other");
        let asked = timeline
            .calls
            .iter()
            .filter(|call| call.function == Function::MODEL_COMPLETE);
        let asked = asked.map(|call| (&call.request, call.is_labelled.then_some(call.label.as_str())));
        for (index, used) in script.uses(asked).into_iter().enumerate() {
            if used.calls == 0 {
                self.not_asked_for("reply", index, "no call was answered with this reply".to_owned());
            } else if used.calls < used.turns {
                let words = format!(
                    "this reply has {} turns, and {} of them were asked for",
                    used.turns, used.calls
                );
                self.not_asked_for("reply", index, words);
            }
        }
    }

    fn not_asked_for(&mut self, member: &str, index: usize, words: String) {
        let problem = Problem::error("not_asked_for", words).fix("take it out of the case, or mend the skill");
        self.add(&[member, &index.to_string()], problem);
    }
}

/// Says why a run has no end of its own, and what to do.
pub(super) fn without_end(curtain: &Curtain) -> (String, &'static str) {
    match curtain {
        Curtain::Stuck(waits) => {
            let waits: Vec<String> = waits
                .iter()
                .map(|(number, wait)| format!("call {number}: {}", awaited(wait)))
                .collect();
            let message = match waits.is_empty() {
                true => "the run waits without end".to_owned(),
                false => format!(
                    "the run waits without end for what the case does not say: {}",
                    waits.join("; ")
                ),
            };
            (
                message,
                "add an `[[answer]]` or an `[[event]]`, or give the call a timeout",
            )
        }
        Curtain::Endless => (
            "the run goes on and on".to_owned(),
            "`continue_as` ends a run so that another goes on; `status = \"continued\"` expects that",
        ),
        Curtain::Mismatch(mismatch) => (
            format!("after the kill, the skill did something else than before: {mismatch}"),
            "a skill may depend only on its input and on what its calls answer",
        ),
        Curtain::Broken(reason) => (format!("the run could not be played: {reason}"), "play it again"),
        Curtain::Over(How::Cancelled(_)) => ("the run was cancelled".to_owned(), "nobody cancels a case"),
        Curtain::Over(_) => unreachable!("a run that is over has an end of its own"),
    }
}

fn awaited(wait: &Wait) -> String {
    match wait {
        Wait::Timer => "a time".to_owned(),
        Wait::Event(name) => format!("event `{name}`"),
        Wait::Question(name) => format!("an answer to `{name}`"),
        Wait::Decision => "a decision".to_owned(),
        Wait::Skill(_) => "another skill".to_owned(),
    }
}

/// Returns what of some texts is not in another.
fn missing<'a>(texts: &'a Texts, text: &str) -> Vec<&'a str> {
    let missing = texts.0.iter().filter(|part| !text.contains(part.as_str()));
    missing.map(String::as_str).collect()
}

fn quoted(texts: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = texts
        .iter()
        .map(|text| format!("`{}`", plain_line(text.as_ref())))
        .collect();
    match quoted.is_empty() {
        true => "none".to_owned(),
        false => quoted.join(", "),
    }
}

/// Compares values as cases can write them: what is absent is as what is null, and 1 is as 1.0.
pub(super) fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let names = expected.keys().chain(found.keys());
            let of =
                |members: &serde_json::Map<String, Value>, name: &str| members.get(name).cloned().unwrap_or_default();
            names
                .into_iter()
                .all(|name| same(&of(expected, name), &of(found, name)))
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len()
                && expected
                    .iter()
                    .zip(found)
                    .all(|(expected, found)| same(expected, found))
        }
        (Value::Number(expected), Value::Number(found)) if expected.is_f64() != found.is_f64() => {
            expected.as_f64() == found.as_f64()
        }
        (expected, found) => expected == found,
    }
}

/// Returns a value as it is shown beside another: its members by name, without those that are null.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, member)| !member.is_null()).collect();
            members.sort_by_key(|(name, _)| *name);
            members
                .into_iter()
                .map(|(name, member)| (name.clone(), sorted(member)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}
