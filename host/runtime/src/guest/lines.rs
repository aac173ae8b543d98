//! What a guest prints, made into lines.

use std::collections::VecDeque;

use super::limits::LINE_BYTES_MAX;

/// How many lines of standard error are kept to explain a trap.
const TAIL_LINES_MAX: usize = 40;

#[derive(Debug, Default)]
pub(crate) struct Lines {
    out: Begun,
    err: Begun,
    tail: VecDeque<String>,
}

/// A line that has no end yet.
#[derive(Debug, Default)]
struct Begun {
    bytes: Vec<u8>,
    /// How many bytes were left out because the line is too long.
    cut: usize,
}

impl Lines {
    /// Takes what was printed and returns the lines that are whole.
    pub(crate) fn push(&mut self, stderr: bool, bytes: &[u8]) -> Vec<String> {
        let begun = if stderr { &mut self.err } else { &mut self.out };
        let mut whole = Vec::new();
        let mut parts = bytes.split(|byte| *byte == b'\n');
        begun.push(parts.next().unwrap_or_default());
        for part in parts {
            whole.push(begun.end());
            begun.push(part);
        }
        if stderr {
            self.keep(&whole);
        }
        whole
    }

    /// Ends the lines that were begun; the first member says whether it is of standard error.
    pub(crate) fn end(&mut self) -> Vec<(bool, String)> {
        let mut ended = Vec::new();
        for (stderr, begun) in [(false, &mut self.out), (true, &mut self.err)] {
            if !begun.bytes.is_empty() {
                ended.push((stderr, begun.end()));
            }
        }
        if let Some((true, text)) = ended.last().cloned() {
            self.keep(&[text]);
        }
        ended
    }

    /// Returns the last lines of standard error.
    pub(crate) fn tail(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }

    fn keep(&mut self, lines: &[String]) {
        self.tail.extend(lines.iter().cloned());
        while self.tail.len() > TAIL_LINES_MAX {
            self.tail.pop_front();
        }
    }
}

impl Begun {
    fn push(&mut self, part: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.bytes.len()).min(part.len());
        self.bytes.extend_from_slice(&part[..room]);
        self.cut += part.len() - room;
    }

    fn end(&mut self) -> String {
        let bytes = std::mem::take(&mut self.bytes);
        let mut text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(&bytes)).into_owned();
        let cut = std::mem::take(&mut self.cut);
        if cut > 0 {
            text.push_str(&cut_note(cut));
        }
        text
    }
}

/// Cuts a text that is too long at a character, and says so at its end.
pub(crate) fn cut_to(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let end = text.floor_char_boundary(bytes_max);
    format!("{}{}", &text[..end], cut_note(text.len() - end))
}

fn cut_note(bytes: usize) -> String {
    format!(" … ({bytes} bytes cut off)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_are_printed() {
        let mut lines = Lines::default();
        assert!(lines.push(false, b"one, ").is_empty());
        assert_eq!(lines.push(false, b"two\r\n\nthree"), ["one, two", ""]);
        assert_eq!(lines.end(), [(false, "three".to_owned())]);
        assert!(lines.end().is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut_and_says_so() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.push(true, &[b'x'; 1_000]).is_empty());
        }
        let whole = lines.push(true, b"\n");
        assert_eq!(whole.len(), 1);
        assert!(
            whole[0].ends_with(" … (83616 bytes cut off)"),
            "{}",
            &whole[0][16_000..]
        );
        assert_eq!(lines.tail().count(), 1);
    }

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(cut_to("aäb".to_owned(), 2), "a … (3 bytes cut off)");
    }
}
