//! What a program prints: the end of it is kept, and its lines go to the run's log while they come.

use std::io;
use std::sync::{Mutex, MutexGuard};

use skillhost_core::calls::files::Bytes;
use skillhost_core::calls::process::Output;
use skillhost_core::id::Number;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::redact::Redactor;
use crate::watch::{Progress, Watch};

/// How much of what one program prints goes to the log, in bytes.
const LOG_BYTES_MAX: usize = 1 << 20;
/// The most lines of it.
const LOG_LINES_MAX: usize = 20_000;
/// The longest line; a longer one goes to the log in parts.
const LINE_BYTES_MAX: usize = 8 << 10;
/// How much is read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Both outputs of one program.
pub(super) struct Outputs<'a> {
    watch: &'a Watch,
    number: Number,
    log: Mutex<Log>,
    /// Nothing is kept or logged that was not searched for secrets.
    redactor: &'a Redactor,
}

/// How much of the program's output has gone to the log.
#[derive(Default)]
struct Log {
    bytes: usize,
    lines: usize,
    is_full: bool,
}

/// The end of one output, which goes on arriving.
#[derive(Debug)]
pub(super) struct Kept {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// At most twice what is kept: so a byte is moved once, on average.
    bytes: Vec<u8>,
    total: u64,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(watch: &'a Watch, number: Number, redactor: &'a Redactor) -> Self {
        let log = Mutex::default();
        Self {
            watch,
            number,
            log,
            redactor,
        }
    }

    /// Reads an output to its end.
    pub(super) async fn read(&self, mut from: impl AsyncRead + Unpin, stderr: bool, kept: &Kept) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut line = Vec::new();
        let mut redacted = self.redactor.stream();
        loop {
            let length = match from.read(&mut chunk).await {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let came = match length {
                0 => redacted.end(),
                _ => redacted.push(&chunk[..length]),
            };
            kept.push(&came);
            self.log_lines(&came, &mut line, stderr);
            if length == 0 {
                self.log(&mut line, stderr);
                return Ok(());
            }
        }
    }

    /// Says the lines of a piece; `line` is what has come so far of the last one.
    fn log_lines(&self, piece: &[u8], line: &mut Vec<u8>, stderr: bool) {
        for byte in piece {
            match byte {
                b'\n' => self.log(line, stderr),
                _ => line.push(*byte),
            }
            if line.len() >= LINE_BYTES_MAX {
                self.log(line, stderr);
            }
        }
    }

    /// Says a line, if there is one, as long as there is room.
    fn log(&self, line: &mut Vec<u8>, stderr: bool) {
        let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
        line.clear();
        let mut log = lock(&self.log);
        if text.is_empty() || log.is_full {
            return;
        }
        log.bytes += text.len();
        log.lines += 1;
        log.is_full = log.bytes > LOG_BYTES_MAX || log.lines > LOG_LINES_MAX;
        let text = match log.is_full {
            false => text,
            true => format!(
                "(call {} prints more than {} MiB or {LOG_LINES_MAX} lines; what follows is not in the log)",
                self.number,
                LOG_BYTES_MAX >> 20
            ),
        };
        self.watch.report(self.number, Progress::Printed { stderr, text });
    }
}

impl Kept {
    pub(super) fn new(bytes_max: usize) -> Self {
        let inner = Mutex::default();
        Self { bytes_max, inner }
    }

    fn push(&self, chunk: &[u8]) {
        let mut inner = lock(&self.inner);
        inner.total += chunk.len() as u64;
        inner.bytes.extend_from_slice(chunk);
        if inner.bytes.len() > 2 * self.bytes_max + CHUNK_BYTES {
            let surplus = inner.bytes.len() - self.bytes_max;
            inner.bytes.drain(..surplus);
        }
    }

    /// Returns what is kept so far.
    pub(super) fn output(&self) -> Output {
        let inner = lock(&self.inner);
        let from = inner.bytes.len().saturating_sub(self.bytes_max);
        let kept = inner.bytes[from..].to_vec();
        Output {
            cut_bytes: inner.total - kept.len() as u64,
            kept: Bytes(kept),
        }
    }

    /// Returns at most so many bytes of the end, as text.
    pub(super) fn tail(&self, bytes_max: usize) -> String {
        let inner = lock(&self.inner);
        let from = inner.bytes.len().saturating_sub(bytes_max);
        String::from_utf8_lossy(&inner.bytes[from..]).trim().to_owned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds the lock")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::sync::Arc;

    use super::*;

    async fn printed(bytes: &[u8], bytes_max: usize) -> (Output, Vec<String>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&said);
        let watch = Watch::new(move |_, progress| {
            if let Progress::Printed { text, .. } = progress {
                sink.lock().unwrap().push(text);
            }
        });
        let kept = Kept::new(bytes_max);
        let redactor = Redactor::default();
        let outputs = Outputs::new(&watch, Number(7), &redactor);
        outputs.read(bytes, false, &kept).await.unwrap();
        let said = said.lock().unwrap().clone();
        (kept.output(), said)
    }

    #[tokio::test]
    async fn the_end_is_kept_and_what_came_before_is_counted() {
        let (output, said) = printed(b"one\r\ntwo\n\nthree", 6).await;
        assert_eq!((output.kept.0.as_slice(), output.cut_bytes), (b"\nthree".as_slice(), 9));
        assert_eq!(said, ["one", "two", "three"]);
        let (output, _) = printed(b"one", 6).await;
        assert_eq!((output.kept.0.as_slice(), output.cut_bytes), (b"one".as_slice(), 0));
        let (output, _) = printed(b"one", 0).await;
        assert_eq!((output.kept.0.len(), output.cut_bytes), (0, 3));
    }

    #[tokio::test]
    async fn more_than_a_machine_has_room_for_is_neither_kept_nor_logged() {
        let much = b"0123456789abcde\n".repeat(1 << 20);
        let (output, said) = printed(&much, 1_000).await;
        assert_eq!(output.kept.0.len(), 1_000);
        assert_eq!(output.cut_bytes, much.len() as u64 - 1_000);
        assert_eq!(said.len(), LOG_LINES_MAX + 1);
        assert!(said.last().unwrap().contains("what follows is not in the log"));
    }

    #[tokio::test]
    async fn what_is_no_text_is_kept_as_it_is_and_logged_as_well_as_can_be() {
        let mut bytes = vec![0xff, 0xfe, b'a', 0];
        bytes.extend(vec![b'x'; LINE_BYTES_MAX]);
        let (output, said) = printed(&bytes, 1 << 20).await;
        assert_eq!(output.kept.0, bytes);
        assert_eq!(said.len(), 2);
        assert!(said[0].starts_with("\u{fffd}\u{fffd}a\0x"));
    }
}
