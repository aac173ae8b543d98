//! Runs the examples of this documentation, on a host that answers as they script it. Not for skills: they are tested as components, by `skillhost test`.

use std::future::Future;

use crate::bindings::skillhost::skill::http::Response;
use crate::bindings::skillhost::skill::model::{Block, StopReason, ToolCall};
use crate::bindings::skillhost::skill::process::{End, Ended, Output};
use crate::bindings::skillhost::skill::signals::{Answer, Error};
use crate::bindings::skillhost::skill::{skills, types};
use crate::executor::block_on;
use crate::failure::Result;
use crate::fake::{World, host, says};

/// Runs an example, which may not fail, and returns what it returns.
///
/// # Panics
///
/// When the example fails.
pub fn run<T>(example: impl Future<Output = Result<T>>) -> T {
    let came = block_on(example);
    host(|world| *world = World::new());
    came.expect("an example does not fail")
}

/// Has models answer one thing after the other; `name(arguments)` asks for a tool. Without it they repeat the last words that they were told.
pub fn model_says<const N: usize>(replies: [&'static str; N]) {
    let mut replies = replies.into_iter();
    let mut reply = move || {
        let text = replies.next().expect("an example scripts as many replies as it needs");
        let mut reply = says(text);
        if let Some((name, input)) = tool(text) {
            reply.stop_reason = StopReason::ToolUse;
            reply.content = vec![Block::ToolCall(ToolCall {
                id: "t".to_owned(),
                name: name.to_owned(),
                input: input.to_owned(),
            })];
        }
        reply
    };
    host(|world| world.model = Box::new(move |_| Ok(reply())));
}

fn tool(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('(')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    Some((name, rest.strip_suffix(')')?)).filter(|_| is_name)
}

/// Puts a file into a mount: `run/notes.md`.
pub fn file(path: &str, text: &str) {
    host(|world| world.files.insert(path.to_owned(), text.into()));
}

/// Has the next event or answer be this JSON.
pub fn answer(json: &str) {
    let answer = Answer {
        value: json.to_owned(),
        by: None,
    };
    host(|world| world.answers.push_back(Ok(answer)));
}

/// Has the next program print this and end with this code.
pub fn program_says(code: i32, text: &str) {
    let output = |text: &str| Output {
        kept: text.into(),
        cut_bytes: 0,
    };
    let ended = Ended {
        end: End::Exited(code),
        stdout: output(text),
        stderr: output(""),
        extra: None,
    };
    host(|world| world.programs.push_back(Ok(ended)));
}

/// Has the next skill that is called return this JSON.
pub fn skill_says(result: &str) {
    host(|world| world.skills.push_back(Ok(result.to_owned())));
}

/// Has the next skill that is called fail.
pub fn skill_fails(code: &str, message: &str) {
    let failure = types::Failure {
        code: code.to_owned(),
        message: message.to_owned(),
        details: None,
    };
    host(|world| world.skills.push_back(Err(skills::Error::Failed(failure))));
}

/// Has the next request be answered with this.
pub fn server_says(status: u16, body: &str) {
    let response = Response {
        status,
        url: String::new(),
        headers: Vec::new(),
        body: body.into(),
        extra: None,
    };
    host(|world| world.servers.push_back(Ok(response)));
}

/// Has the next event or answer not come in time.
pub fn nothing_comes() {
    host(|world| world.answers.push_back(Err(Error::Timeout)));
}

/// Returns what was called so far.
pub fn called() -> Vec<String> {
    host(|world| world.what().into_iter().map(str::to_owned).collect())
}
