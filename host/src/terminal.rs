//! Where a command's words go: data to standard output, everything else to standard error.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The width of lines where there is no terminal to ask.
const WIDTH_DEFAULT: usize = 100;
/// Tables do not get narrower than this.
const WIDTH_MIN: usize = 40;

/// What is known of the two streams.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether a person reads standard output.
    pub stdout: bool,
    /// Whether a person reads standard error.
    pub stderr: bool,
    /// Whether a person types into standard input.
    pub stdin: bool,
    /// How wide lines may be.
    pub width: usize,
}

impl Terminal {
    /// Asks this process's streams.
    pub fn current() -> Self {
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let stdout = io::stdout().is_terminal();
        Self {
            stdout,
            stderr: io::stderr().is_terminal(),
            stdin: io::stdin().is_terminal(),
            width: width.filter(|_| stdout).unwrap_or(WIDTH_DEFAULT).max(WIDTH_MIN),
        }
    }
}

/// Writes data. A reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), text)
}

/// Writes data as it is, for a program that reads it.
pub fn print_raw(bytes: &[u8]) -> io::Result<()> {
    let mut stream = io::stdout().lock();
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes everything that is not data.
pub fn note(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = write_to(&mut io::stderr().lock(), text);
}

/// Writes the beginning of a line that a person is to go on with.
pub fn prompt(text: &str) {
    let mut stream = io::stderr().lock();
    // Nobody is left to ask if this fails.
    let _ = write!(stream, "{text}").and_then(|()| stream.flush());
}

/// Asks for a line. What is typed comes when it has been typed; nothing comes at the end of the input, or if something else is asked before.
///
/// A thread reads, as nothing can be done about a person who does not type; it ends with the process. There is one at most: of a question that nobody waits for any more
/// it is still there, and what it reads is the answer to the question that is on the screen by then. So no line is lost to one that was left.
pub fn ask(text: &str) -> oneshot::Receiver<String> {
    static ASKED: Asked = Asked::new();
    let read = || {
        let mut line = String::new();
        matches!(io::stdin().lock().read_line(&mut line), Ok(1..)).then_some(line)
    };
    ASKED.next(read, || prompt(text))
}

/// Who gets the next line, and whether somebody reads it already.
struct Asked(Mutex<(Option<oneshot::Sender<String>>, bool)>);

impl Asked {
    const fn new() -> Self {
        Self(Mutex::new((None, false)))
    }

    /// Has the next line come here, and shows what is asked. In this order: whoever types as soon as it is shown types to what asks now.
    fn next(
        &'static self,
        read: impl FnOnce() -> Option<String> + Send + 'static,
        show: impl FnOnce(),
    ) -> oneshot::Receiver<String> {
        let typed = self.ask(read);
        show();
        typed
    }

    fn ask(&'static self, read: impl FnOnce() -> Option<String> + Send + 'static) -> oneshot::Receiver<String> {
        let (sender, typed) = oneshot::channel();
        let mut asked = self.lock();
        asked.0 = Some(sender);
        if !std::mem::replace(&mut asked.1, true) {
            std::thread::spawn(move || {
                let line = read();
                let mut asked = self.lock();
                asked.1 = false;
                if let (Some(sender), Some(line)) = (asked.0.take(), line) {
                    // Whoever asked may have gone on without.
                    sender.send(line).ok();
                }
            });
        }
        typed
    }

    fn lock(&self) -> MutexGuard<'_, (Option<oneshot::Sender<String>>, bool)> {
        // Nothing that runs under the lock leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_to(stream: &mut dyn Write, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(stream, "{text}{end}").and_then(|()| stream.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Makes a text that came from a skill or a model safe to show: no control characters but line ends and tabs, nothing that turns the direction of writing around or hides.
pub fn plain(text: &str) -> String {
    text.chars()
        .filter(|&c| matches!(c, '\n' | '\t') || is_plain(c))
        .collect()
}

/// The same, on one line.
pub fn plain_line(text: &str) -> String {
    let words = text
        .split_whitespace()
        .map(|word| word.chars().filter(|&c| is_plain(c)).collect::<String>());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn is_plain(c: char) -> bool {
    // What turns the direction of writing around, or is not seen at all: Unicode's default ignorable characters.
    let hidden = matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    !c.is_control() && !hidden
}

/// Cuts a line to `width` columns, with `…` where something was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut columns = 0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            columns += c.width().unwrap_or(0);
            columns < width
        })
        .collect();
    format!("{}…", kept.trim_end())
}

/// A table whose columns are as wide as what they hold; the last is cut where the line ends.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// Begins a table with these headings.
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).to_vec()],
            right: Vec::new(),
        }
    }

    /// Begins a table without headings.
    pub fn bare() -> Self {
        Self::default()
    }

    /// Aligns these columns at their right.
    #[must_use]
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Returns the lines, none of them wider than `width`.
    pub fn render(&self, width: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column].saturating_sub(cell.width()));
                match self.right.contains(&column) {
                    true => line.extend([&pad, cell.as_str()]),
                    false => line.extend([cell.as_str(), &pad]),
                }
                line.push_str("  ");
            }
            text.push_str(&cut(line.trim_end(), width));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_skill_says_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mred\u{7}\r\nb\u{202e}c\td"), "a[31mred\nbc\td");
        let hidden =
            "\u{ad}\u{34f}\u{61c}\u{1160}\u{17b4}\u{180b}\u{200b}\u{3164}\u{fe0f}\u{ffa0}\u{fffb}\u{e0041}\u{e0fff}";
        assert_eq!(plain(&format!("p{hidden}q")), "pq");
        assert_eq!(plain_line("  two\nlines\u{1b}  here "), "two lines here");
    }

    #[test]
    fn a_line_is_the_answer_to_the_last_question_also_if_it_was_waited_for_before() {
        static ASKED: Asked = Asked::new();
        let (typing, typed) = std::sync::mpsc::channel::<String>();
        let left = ASKED.next(move || typed.recv().ok(), || ());
        drop(left);
        // It is typed, and read, as soon as the question is shown.
        let type_at_once = || {
            typing.send("it".to_owned()).expect("it is read");
            while ASKED.lock().1 {
                std::thread::yield_now();
            }
        };
        let asked = ASKED.next(|| Some("what comes later".to_owned()), type_at_once);
        assert_eq!(asked.blocking_recv().as_deref(), Ok("it"));
        // The next one reads anew, and hears of the end.
        assert!(ASKED.next(|| None, || ()).blocking_recv().is_err());
    }

    #[test]
    fn lines_are_cut_by_columns_not_by_bytes() {
        assert_eq!(cut("日本語テキスト", 7), "日本語…");
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
    }

    #[test]
    fn a_table_is_as_wide_as_what_it_holds() {
        let mut table = Table::new(["RUN", "CALLS", "LABEL"]).right(&[1]);
        table.row(["a".to_owned(), "1".to_owned(), "first".to_owned()]);
        table.row([
            "bbbb".to_owned(),
            "12345".to_owned(),
            "a label that is too long".to_owned(),
        ]);
        assert_eq!(
            table.render(24),
            "RUN   CALLS  LABEL\na         1  first\nbbbb  12345  a label th…\n"
        );
    }
}
