//! What a fixture that may reach outside does, as its input says.

use skillhost_sdk::prelude::*;

/// One deed.
#[data]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Waits for an event of this name.
    Wait(String),
    /// Sends a request: method, URL, headers.
    Send(String, String, Vec<(String, String)>),
    /// Runs a line of a shell, with this value for `TOKEN`.
    Shell(String, String),
    /// Runs a program with one argument.
    Run(String, String),
    /// Appends to a file: mount, path, text.
    Append(String, String, String),
    /// Reads a file: mount, path.
    Read(String, String),
    /// Prints something.
    Print(String),
}

/// Does it, and says what came of it.
#[allow(clippy::print_stdout, reason = "what a skill prints is logged")]
pub async fn perform(deed: Deed) -> String {
    let done = match deed {
        Deed::Wait(name) => signals::wait(name).await.map(|event: String| event),
        Deed::Send(method, url, headers) => {
            let mut request = http::send(method, url);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            request
                .await
                .map(|response| format!("{} {} {:?}", response.status, response.text(), response.headers))
        }
        Deed::Shell(line, token) => process::run("sh", ["-c", &line])
            .env("TOKEN", token)
            .await
            .map(|ended| format!("{:?} {} {}", ended.code(), ended.text(), ended.stderr_text())),
        Deed::Run(program, argument) => process::run(program, [argument])
            .await
            .map(|ended| format!("{:?} {}", ended.code(), ended.text())),
        Deed::Append(mount, path, text) => match files::mount(&mount) {
            Ok(mount) => mount.append(path, text).await.map(|()| "appended".to_owned()),
            Err(failure) => Err(failure),
        },
        Deed::Read(mount, path) => match files::mount(&mount) {
            Ok(mount) => mount.read_text(path).await,
            Err(failure) => Err(failure),
        },
        Deed::Print(text) => {
            println!("{text}");
            Ok(text)
        }
    };
    done.unwrap_or_else(|failure| format!("{}: {}", failure.code(), failure.message()))
}
