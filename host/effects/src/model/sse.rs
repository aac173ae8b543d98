//! Server-sent events out of bytes that arrive in pieces of any size.
//!
//! Only what model providers use: `event` and `data`. Comments, ids and retry times are passed over. The crates for this are either unkept or bring a parser of
//! their own; the format fits a page.

/// The longest event, in bytes: a server that never ends one must not fill memory.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// What kind; empty if the server did not say.
    pub(crate) name: String,
    /// Its lines of data, joined.
    pub(crate) data: String,
}

/// An event was longer than it may be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream has more than {EVENT_BYTES_MAX} bytes")]
pub(crate) struct TooLong;

/// Puts the pieces together.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    pending: Vec<u8>,
    /// How much of `pending` was read into `event` already.
    read: usize,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Adds bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.pending.drain(..self.read);
        self.read = 0;
        if self.pending.len() + self.event.data.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes the next event that is complete.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        while let Some(line) = self.take_line() {
            if !line.is_empty() {
                self.field(&line);
                continue;
            }
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                return Some(event);
            }
        }
        None
    }

    /// Takes a line that is complete, without its end: `\n`, `\r\n` or `\r`.
    fn take_line(&mut self) -> Option<String> {
        let rest = &self.pending[self.read..];
        let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'))?;
        let length = match (rest[end], rest.get(end + 1)) {
            (b'\r', Some(b'\n')) => 2,
            // Whether a `\n` follows is not known yet.
            (b'\r', None) => return None,
            _ => 1,
        };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.read += end + length;
        Some(line)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\n\nevent: a\ndata: one\n\ndata: two\r\ndata:  three\r\n\r\nevent: empty\n\nid: 7\ndata\n\ndata: cut";

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece).expect("short");
            while let Some(event) = parser.next_event() {
                events.push((event.name, event.data));
            }
        }
        events
    }

    #[test]
    fn a_stream_gives_the_same_events_wherever_it_is_cut() {
        let expected: Vec<(String, String)> = [("a", "one"), ("", "two\n three"), ("", "")]
            .map(|(n, d)| (n.to_owned(), d.to_owned()))
            .to_vec();
        let bytes = STREAM.as_bytes();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(events(&[head, tail]), expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(events(&single), expected);
    }

    #[test]
    fn an_event_that_never_ends_is_refused() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; EVENT_BYTES_MAX];
        assert_eq!(parser.push(&piece), Ok(()));
        assert_eq!(parser.push(b"x"), Err(TooLong));
    }
}
