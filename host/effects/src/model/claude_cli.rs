//! `claude-cli`: a `claude -p` for each call, for people with a subscription and no key.
//!
//! The program is a coding agent; what is wanted is the model behind it. So it runs in an empty folder, without the user's settings, hooks, servers and session files,
//! without its own system prompt, and without tools unless the user granted some. It refuses to run inside another one's shell, so the variables that say
//! so are taken away; [`CHILD_MARKER`] is added, by which our own hook knows to stay silent. Its process group ends with the future that waits for it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use skillhost_core::calls::model::{Block, Message, Reply, Role, StopReason, Tool, Usage};
use skillhost_core::outcome::Fault;
use skillhost_core::retry::FaultKind;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Asked, Miss};
use crate::watch::Progress;

/// Set for every `claude` that is started here.
pub const CHILD_MARKER: &str = "SKILLHOST_CHILD";

/// What tells a `claude` that it runs inside another.
const SCRUBBED: [&str; 3] = ["CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT"];

/// The system prompt where a skill has none; without one the program would add its own, which is long and about coding.
const SYSTEM_DEFAULT: &str = "Answer the request.";

/// Tools of the program that only read the web.
const READING: [&str; 2] = ["WebSearch", "WebFetch"];

/// The most that the program may print, in bytes.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;

/// How much of what it says on standard error goes into a message, in bytes.
const STDERR_BYTES_MAX: u64 = 2_000;

/// The file that standard error goes to.
const ERRORS: &str = "errors";

/// Runs `claude -p`.
#[derive(Debug)]
pub(super) struct ClaudeCli {
    program: PathBuf,
    tools: BTreeSet<String>,
    stall: Duration,
}

impl ClaudeCli {
    pub(super) fn new(program: PathBuf, tools: &[String], stall: Duration) -> Self {
        Self {
            program,
            tools: tools.iter().cloned().collect(),
            stall,
        }
    }

    pub(super) fn place(&self) -> &Path {
        &self.program
    }

    /// Returns whether it acts by itself: with any tool that does more than read the web.
    pub(super) fn acts(&self) -> bool {
        self.tools.iter().any(|tool| !READING.contains(&tool.as_str()))
    }

    pub(super) fn features(&self) -> Vec<String> {
        let searches = self.tools.contains("WebSearch");
        searches.then(|| "web-search".to_owned()).into_iter().collect()
    }

    pub(super) async fn complete(&self, asked: &Asked<'_>) -> Result<Reply, Miss> {
        let prompt = prompt(asked, self.tools.contains("WebSearch"))?;
        let folders = tempfile::tempdir().map_err(|e| broken(format!("could not make a folder for `claude`: {e}")))?;
        let mut child = self.start(asked, folders.path())?;
        let mut input = child.process.stdin.take().expect("standard input is piped");
        let output = child.process.stdout.take().expect("standard output is piped");
        let feed = async move {
            // A program that does not read to the end says why by its exit.
            let _ = input.write_all(prompt.as_bytes()).await;
            drop(input);
            std::future::pending::<Infallible>().await
        };
        let printed = tokio::select! {
            printed = self.read(output, asked) => printed?,
            never = feed => match never {},
        };
        let status = match tokio::time::timeout(self.stall, child.process.wait()).await {
            Ok(status) => status.map_err(|e| broken(format!("could not wait for `claude`: {e}")))?,
            Err(_) => return Err(self.stalled()),
        };
        let errors = tail(&folders.path().join(ERRORS));
        if printed.is_none() && !status.success() {
            let said = if errors.is_empty() {
                "it said nothing".to_owned()
            } else {
                errors
            };
            return Err(sort(&format!("`claude` ended with {status}: {said}"), &said));
        }
        match printed {
            Some(result) => reply(&result, asked),
            None => Err(broken(format!(
                "`claude` ended well and answered nothing{}{errors}; try `echo hello | claude -p` in a terminal",
                if errors.is_empty() { "" } else { ": " }
            ))),
        }
    }

    fn start(&self, asked: &Asked<'_>, folders: &Path) -> Result<Running, Miss> {
        let work = folders.join("empty");
        let system = folders.join("system.md");
        let text = asked.request.system.as_deref().filter(|text| !text.trim().is_empty());
        // A file, because a pipe would stay open as long as anything that the program started.
        let prepared = std::fs::create_dir(&work)
            .and_then(|()| std::fs::write(&system, text.unwrap_or(SYSTEM_DEFAULT)))
            .and_then(|()| File::create(folders.join(ERRORS)));
        let errors = prepared.map_err(|e| broken(format!("could not prepare a folder for `claude`: {e}")))?;
        let tools = self.tools.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let mut command = Command::new(&self.program);
        command
            .args([
                "-p",
                "--output-format",
                "stream-json",
                "--verbose",
                "--include-partial-messages",
            ])
            .args(["--model", asked.model, "--system-prompt-file"])
            .arg(&system)
            .args([
                "--setting-sources",
                "",
                "--strict-mcp-config",
                "--no-session-persistence",
                "--disable-slash-commands",
            ])
            .args(["--tools", &tools]);
        if !tools.is_empty() {
            command.args(["--allowedTools", &tools]);
        }
        for variable in SCRUBBED {
            command.env_remove(variable);
        }
        command.env(CHILD_MARKER, "1").current_dir(&work);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        command.process_group(0).kill_on_drop(true);
        match command.spawn() {
            Ok(process) => Ok(Running::new(process)),
            Err(e) => Err(Miss::never(Fault::new(
                Fault::FAILED,
                format!(
                    "could not start `{}`: {e}; `skillhost doctor` checks it",
                    self.program.display()
                ),
            ))),
        }
    }

    /// Reads what the program prints, one JSON value a line, and keeps the result.
    async fn read(&self, output: impl AsyncRead + Unpin, asked: &Asked<'_>) -> Result<Option<Value>, Miss> {
        let mut lines = BufReader::new(AsyncReadExt::take(output, OUTPUT_BYTES_MAX));
        let mut result = None;
        let mut line = Vec::new();
        let mut bytes = 0;
        loop {
            line.clear();
            let length = match tokio::time::timeout(self.stall, lines.read_until(b'\n', &mut line)).await {
                Err(_) => return Err(self.stalled()),
                Ok(read) => read.map_err(|e| broken(format!("could not read what `claude` prints: {e}")))?,
            };
            if length == 0 {
                return Ok(result);
            }
            bytes += length as u64;
            asked
                .watch
                .report(asked.number, Progress::Streamed { bytes, tokens: None });
            let text = String::from_utf8_lossy(&line);
            if text.trim().is_empty() {
                continue;
            }
            match serde_json::from_str::<Value>(&text) {
                Ok(value) if value["type"] == "result" => result = Some(value),
                Ok(_) => {}
                Err(_) => {
                    let excerpt: String = text.trim().chars().take(200).collect();
                    return Err(sort(
                        &format!("`claude` printed something that is not JSON: {excerpt}"),
                        &excerpt,
                    ));
                }
            }
        }
    }

    fn stalled(&self) -> Miss {
        let message = format!(
            "`claude` printed nothing for {} s; `SKILLHOST_STALL_SECONDS` sets how long to wait",
            self.stall.as_secs_f64()
        );
        Miss::maybe(FaultKind::Network, None, Fault::new(Fault::FAILED, message)).with_cost_unknown()
    }
}

/// A process, whose group ends with this value.
struct Running {
    process: Child,
    group: Option<rustix::process::Pid>,
}

impl Running {
    fn new(process: Child) -> Self {
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        let group = id.and_then(rustix::process::Pid::from_raw);
        Self { process, group }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The leader may be gone, and what it started may not. Its id is not given to another process while a member of its group lives; a group without members
        // is not found, which is as good.
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Returns the end of what the program said on standard error.
fn tail(path: &Path) -> String {
    let mut kept = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let length = file.metadata().map_or(0, |found| found.len());
        let skipped = file.seek(SeekFrom::Start(length.saturating_sub(STDERR_BYTES_MAX)));
        // What cannot be read of it is left out of a message.
        let _ = skipped.and_then(|_| file.take(STDERR_BYTES_MAX).read_to_end(&mut kept));
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// Writes the conversation as one text, which is all that the program takes.
fn prompt(asked: &Asked<'_>, may_search: bool) -> Result<String, Miss> {
    let invalid = |what: &str| {
        let message = format!(
            "provider `claude-cli` {what}; `run.info` lists what a provider can do, and `ANTHROPIC_API_KEY` reaches one that can"
        );
        Err(Miss::never(Fault::new(Fault::INVALID, message)))
    };
    for tool in &asked.request.tools {
        match tool {
            Tool::Function { .. } => return invalid("has no tools that a skill defines"),
            Tool::Provider(value) if value["type"] == "web_search" && may_search => {}
            Tool::Provider(_) => {
                return invalid("was not granted this tool (`tools` in `[model.claude-cli]` of the configuration)");
            }
        }
    }
    let mut said = Vec::new();
    for message in &asked.request.messages {
        match text_of(message) {
            Some(text) => said.push((message.role, text)),
            None => return invalid("takes texts only"),
        }
    }
    if let [(Role::User, text)] = said.as_slice() {
        return Ok(text.clone());
    }
    let turns = said.iter().map(|(role, text)| match role {
        Role::User => format!("<user>\n{text}\n</user>"),
        Role::Assistant => format!("<assistant>\n{text}\n</assistant>"),
    });
    let transcript = turns.collect::<Vec<_>>().join("\n");
    Ok(format!(
        "{transcript}\n\nThe above is a conversation so far. Write the assistant's next turn, and nothing else."
    ))
}

fn text_of(message: &Message) -> Option<String> {
    let texts = message.content.iter().map(|block| match block {
        Block::Text(text) => Some(text.as_str()),
        _ => None,
    });
    Some(texts.collect::<Option<Vec<_>>>()?.join("\n"))
}

fn reply(result: &Value, asked: &Asked<'_>) -> Result<Reply, Miss> {
    let text = result["result"].as_str().unwrap_or("").trim();
    if result["is_error"] == true || result["subtype"].as_str().is_some_and(|kind| kind != "success") {
        let kind = result["subtype"].as_str().unwrap_or("error");
        let what = if text.is_empty() { kind } else { text };
        return Err(sort(&format!("`claude` failed: {what}"), what));
    }
    if text.is_empty() {
        return Err(broken(
            "`claude` ended well with an empty answer; try `echo hello | claude -p` in a terminal".to_owned(),
        ));
    }
    let count = |member: &str| result["usage"][member].as_u64().unwrap_or(0);
    // It names the models that it used; the first is the one that was asked for.
    let model = result["modelUsage"].as_object().and_then(|models| models.keys().next());
    Ok(Reply {
        content: vec![Block::Text(text.to_owned())],
        stop_reason: stop_reason(result["stop_reason"].as_str()),
        model: model.map_or(asked.model, String::as_str).to_owned(),
        usage: Usage {
            input: count("input_tokens"),
            output: count("output_tokens"),
            cache_read: count("cache_read_input_tokens"),
            cache_write: count("cache_creation_input_tokens"),
        },
        simulated: false,
        extra: result["total_cost_usd"]
            .as_f64()
            .map(|usd| json!({"total_cost_usd": usd})),
    })
}

fn stop_reason(reason: Option<&str>) -> StopReason {
    match reason {
        None | Some("end_turn") => StopReason::End,
        Some("max_tokens") => StopReason::MaxTokens,
        Some("refusal") => StopReason::Refused,
        Some(other) => StopReason::Other(other.to_owned()),
    }
}

/// Sorts a failure by the program's own words, since it names no kind.
fn sort(message: &str, said: &str) -> Miss {
    let said = said.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["usage limit", "limit reached", "hit your limit", "credit balance"]) {
        let message = format!(
            "{message}; the subscription's limit is reached: launch again later, or use a key (`ANTHROPIC_API_KEY`)"
        );
        return Miss::never(Fault::new(Fault::DENIED, message));
    }
    if says(&["/login", "log in", "not logged in", "api key", "authenticat", "oauth"]) {
        let message = format!("{message}; run `claude` in a terminal and log in, see `skillhost doctor`");
        return Miss::never(Fault::new(Fault::DENIED, message));
    }
    if says(&[
        "overloaded",
        "api error: 5",
        "api error: 429",
        "rate limit",
        "internal server error",
    ]) {
        return Miss::maybe(FaultKind::Overloaded, None, Fault::new(Fault::OVERLOADED, message)).with_cost_unknown();
    }
    if says(&[
        "connection error",
        "fetch failed",
        "econnrefused",
        "econnreset",
        "enotfound",
        "timed out",
    ]) {
        return Miss::maybe(FaultKind::Network, None, Fault::new(Fault::FAILED, message)).with_cost_unknown();
    }
    if says(&["prompt is too long", "unknown option", "invalid model", "may not exist"]) {
        let message = format!("{message}; is `claude` up to date (`claude update`), and the model right?");
        return Miss::never(Fault::new(Fault::INVALID, message));
    }
    broken(message.to_owned())
}

fn broken(message: String) -> Miss {
    Miss::never(Fault::new(Fault::FAILED, message)).with_cost_unknown()
}
