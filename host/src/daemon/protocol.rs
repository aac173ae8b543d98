//! What commands and the daemon say to each other: one JSON value a line, in both directions.
//!
//! The daemon speaks first ([`Hello`]). Then each [`Request`] is answered by one [`Reply`], but for [`Request::Watch`], after which the daemon goes on
//! speaking until the other side is gone. Nothing here is durable: whatever has to survive stands in the journal before it is spoken of.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skillhost_core::id::{RunId, WorkerId};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::librarian::{SkillSight, SkillState, SkillStates};
use crate::driver::Seen;

/// The version of this protocol, and of the journal's format that both sides go by: it is raised with either. A daemon of another one is asked nothing but to stop.
pub(super) const PROTOCOL: u32 = 2;

/// The longest line, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What the daemon says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The version of the program.
    pub version: String,
}

impl Hello {
    /// Returns what this program's daemon says.
    pub(super) fn own() -> Self {
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What is asked of the daemon.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Drive a run, which is in the journal.
    Drive {
        /// Which.
        run: RunId,
        /// The variables that choose and reach its model provider, keys included. Held in memory for this run.
        environment: BTreeMap<String, String>,
    },
    /// Something was put into a run's mailbox.
    Wake {
        /// Whose.
        run: RunId,
    },
    /// Let go of a run, because this connection's other side is to take it. It is left alone until that says `Wake`, or is gone.
    Lend {
        /// Which.
        run: RunId,
    },
    /// Tell what is seen of a run from now on.
    Watch {
        /// Which.
        run: RunId,
    },
    /// Tell how the skills in a folder stand, and what changes there from now on.
    Follow {
        /// The folder.
        library: PathBuf,
    },
    /// Tell how the daemon is.
    Status,
    /// Start no further effects, record what comes back, and end. `Drained` is the answer, when that is done.
    Stop,
    /// Stop if nothing is being driven; else do nothing, and say `Busy`.
    StopIfIdle,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done, or has begun.
    Done,
    /// Something was seen of the watched run.
    Seen(Seen<'static>),
    /// How the watched run stands has changed: look into the journal.
    Look,
    /// How every skill of the followed folder stands.
    Skills(SkillStates),
    /// A skill of the followed folder stands otherwise.
    Skill(SkillSight),
    /// How the daemon is.
    Status(Box<Status>),
    /// So many effects are still under way; the daemon ends when none is.
    Draining {
        /// How many runs are still driven.
        runs: usize,
    },
    /// The daemon ends now.
    Drained,
    /// The daemon has something to do.
    Busy,
    /// The daemon could not.
    Refused {
        /// Why.
        message: String,
    },
}

/// How the daemon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// The worker that it is, as leases name it.
    pub worker: WorkerId,
    /// The version of its program.
    pub version: String,
    /// How long it has been there, in seconds.
    pub up_seconds: u64,
    /// How many runs it has in memory, or on their way there.
    pub runs: usize,
    /// The most that may work at once.
    pub runs_max: usize,
    /// Whether it stays although there is nothing to do.
    pub stays: bool,
    /// What it knows of installed skills.
    pub following: Following,
}

/// What the daemon knows of the skills that it follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Their folder.
    pub folder: PathBuf,
    /// How many can be used as they are.
    pub sound: usize,
    /// The names of those that cannot, the first [`BROKEN_MAX`].
    pub broken: Vec<String>,
    /// Why the folder is looked at once a second, if the system does not tell of changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polls: Option<String>,
}

/// How many skills are named that cannot be used as they are.
const BROKEN_MAX: usize = 20;

impl Following {
    pub(super) fn of(folder: PathBuf, states: &SkillStates, polls: Option<String>) -> Self {
        let is_sound = |state: &SkillState| matches!(state, SkillState::Sound { .. });
        let broken = states.iter().filter(|(_, state)| !is_sound(state));
        Self {
            folder,
            sound: states.values().filter(|state| is_sound(state)).count(),
            broken: broken.take(BROKEN_MAX).map(|(name, _)| name.clone()).collect(),
            polls,
        }
    }
}

/// Writes one line.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut lines = Vec::new();
    line(message, &mut lines)?;
    send(stream, &lines).await
}

/// Adds a message to others as a line.
pub(super) fn line(message: &impl Serialize, lines: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, message).map_err(io::Error::other)?;
    lines.push(b'\n');
    Ok(())
}

/// Sends lines.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), lines: &[u8]) -> io::Result<()> {
    stream.write_all(lines).await?;
    stream.flush().await
}

/// Reads one line; `None` when the other side is gone. What is not of this protocol is an error.
pub(super) async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    stream.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => serde_json::from_slice(&line).map(Some).map_err(|e| {
            let message = format!("what came over the socket is not understood: {e}");
            io::Error::new(io::ErrorKind::InvalidData, message)
        }),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[tokio::test]
    async fn a_message_is_a_line_of_json_and_reads_back() {
        let mut written = Vec::new();
        let run = RunId::parse("01jd0000000000000000000000").unwrap();
        write(&mut written, &Request::Wake { run: run.clone() }).await.unwrap();
        assert_eq!(written, b"{\"wake\":{\"run\":\"01jd0000000000000000000000\"}}\n");
        let mut reader = written.as_slice();
        assert!(read::<Request>(&mut reader).await.unwrap() == Some(Request::Wake { run }));
        assert!(read::<Request>(&mut reader).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_cut_off_or_foreign_is_an_error() {
        let cut = read::<Request>(&mut b"{\"wake\"".as_slice()).await.err().unwrap();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        let foreign = read::<Request>(&mut b"GET / HTTP/1.1\n".as_slice())
            .await
            .err()
            .unwrap();
        assert_eq!(foreign.kind(), io::ErrorKind::InvalidData);
    }
}
