//! What is seen of a run on a terminal while it is driven: one line that moves, and above it what the skill says. Nothing where nobody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use skillhost_core::machine::{Level, Line};

use crate::driver::{Observer, Seen};
use crate::terminal::{Terminal, cut, plain_line};
use crate::timeline::grouped;

/// How often the line moves although nothing happened.
const TICK: Duration = Duration::from_millis(120);

/// Shows a run on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    width: usize,
    tally: Tally,
}

/// What the line tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    replayed: u64,
    started: u64,
    returned: u64,
    tokens: u64,
    doing: String,
}

impl Progress {
    /// Begins to show a run of this skill.
    pub fn new(terminal: Terminal, skill: &str) -> Self {
        let bar = terminal.stderr.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style =
                ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}").expect("the template is well formed");
            bar.set_style(style);
            bar.enable_steady_tick(TICK);
            bar.set_message(skill.to_owned());
            bar
        });
        Self {
            bar,
            width: terminal.width,
            tally: Tally {
                doing: skill.to_owned(),
                ..Tally::default()
            },
        }
    }

    /// Shows nothing while `hidden`, because a person is asked something.
    pub fn hide(&self, hidden: bool) {
        let Some(bar) = &self.bar else { return };
        match hidden {
            true => bar.set_draw_target(ProgressDrawTarget::hidden()),
            false => bar.set_draw_target(ProgressDrawTarget::stderr()),
        }
    }

    fn say(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.println(cut(&plain_line(text), self.width));
        }
    }
}

impl Observer for Progress {
    fn on(&mut self, seen: Seen<'_>) {
        let Some(bar) = &self.bar else { return };
        match seen {
            Seen::Line(line) if said(&line).is_some() => self.say(said(&line).unwrap_or_default()),
            Seen::Storage(Some(message)) => {
                self.say(&format!(
                    "warning: the journal cannot be written, which is tried again: {message}"
                ));
            }
            other => {
                if self.tally.take(&other) {
                    bar.set_message(self.tally.line());
                }
            }
        }
    }
}

/// Returns what a line says to whoever watches.
fn said(line: &Line) -> Option<&str> {
    match line {
        Line::Message { level, message, .. } if *level >= Level::Info => Some(message),
        Line::Printed { text, .. } => Some(text),
        _ => None,
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Tally {
    /// Takes in what happened; returns whether the line changed by it.
    fn take(&mut self, seen: &Seen<'_>) -> bool {
        match seen {
            Seen::Replayed(_) => self.replayed += 1,
            Seen::Live if self.replayed > 0 => self.doing = "goes on where it was interrupted".to_owned(),
            Seen::Called { function, label, .. } => {
                self.started += 1;
                self.doing = label.as_deref().map_or_else(|| function.to_string(), plain_line);
            }
            Seen::Returned { tokens, .. } => {
                self.returned += 1;
                self.tokens += tokens;
            }
            Seen::Retried { fault, .. } => {
                let why = fault.as_deref().map_or_else(|| "a crash".to_owned(), plain_line);
                self.doing = format!("tries again after {why}");
            }
            Seen::Line(line) => {
                let Line::Progress { label, done, total } = &**line else {
                    return false;
                };
                let total = total.map_or_else(String::new, |total| format!(" of {total}"));
                self.doing = format!("{} {done}{total}", plain_line(label));
            }
            Seen::Idle(1..) => self.doing = "waits".to_owned(),
            _ => return false,
        }
        true
    }

    fn line(&self) -> String {
        let mut parts = Vec::new();
        if self.replayed > 0 {
            parts.push(format!("{} replayed", grouped(self.replayed)));
        }
        parts.push(format!("{} done", grouped(self.returned)));
        // After a crash, calls that were started before it may be answered.
        match self.started.saturating_sub(self.returned) {
            0 => {}
            flying => parts.push(format!("{} in flight", grouped(flying))),
        }
        if self.tokens > 0 {
            parts.push(format!("{} tokens", grouped(self.tokens)));
        }
        format!("{}: {}", parts.join(", "), self.doing)
    }
}

#[cfg(test)]
mod tests {
    use skillhost_core::effect::Function;
    use skillhost_core::id::Number;

    use super::*;

    #[test]
    fn the_line_tells_what_is_done_and_what_is_being_done() {
        let mut tally = Tally::default();
        assert!(tally.take(&Seen::Replayed(Number(0))));
        assert!(tally.take(&Seen::Live));
        assert_eq!(tally.line(), "1 replayed, 0 done: goes on where it was interrupted");
        for number in 1..3 {
            let label = Some("part:\u{1b}[1m rivers".into());
            tally.take(&Seen::Called {
                number: Number(number),
                function: Function::MODEL_COMPLETE,
                label,
            });
        }
        tally.take(&Seen::Returned {
            number: Number(1),
            fault: None,
            tokens: 1_234,
        });
        assert_eq!(
            tally.line(),
            "1 replayed, 1 done, 1 in flight, 1,234 tokens: part:[1m rivers"
        );
    }
}
