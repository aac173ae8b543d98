//! The table, and the same as JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// The part that it belongs to.
    part: &'static str,
    what: String,
    unit: Unit,
    median: f64,
    low: f64,
    high: f64,
    repeats: usize,
    /// What was waited for before anything was counted as done.
    durability: Durability,
    bar: Option<Bar>,
    /// Whether the median keeps to the bar.
    is_met: Option<bool>,
    /// What else there is to say.
    note: Option<String>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Something a second.
    PerSecond,
    /// A million bytes.
    Mb,
    /// Bytes.
    Bytes,
    /// One figure divided by another.
    Ratio,
}

/// What was on the disk when something counted as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Durability {
    /// Nothing is written.
    None,
    /// Each call's entry is synced before it is performed, and the end of the run before it is told.
    EachCall,
    /// Calls need no barrier; the end of the run is synced before it is told.
    AtEnd,
}

/// What a figure is held to.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// At least the part `by` of `rate`, as the disk was slower than the one that the bar is stated for.
    Scaled { rate: f64, by: f64 },
}

impl Report {
    /// Adds what was measured several times. Returns the median.
    pub(crate) fn add(&mut self, line: Line, mut measured: Vec<f64>) -> f64 {
        measured.sort_by(f64::total_cmp);
        let median = median(&measured);
        let is_met = line.bar.map(|bar| match bar {
            Bar::AtMost(most) => median <= most,
            Bar::AtLeast(least) => median >= least,
            Bar::Scaled { rate, by } => median >= rate * by,
        });
        let (unit, what) = (line.unit, &line.what);
        eprintln!("  {what}: {}{}", unit.show(median), unit.sign());
        self.figures.push(Figure {
            part: line.part,
            what: line.what,
            unit: line.unit,
            median,
            low: measured[0],
            high: measured[measured.len() - 1],
            repeats: measured.len(),
            durability: line.durability,
            bar: line.bar,
            is_met,
            note: line.note,
        });
        median
    }

    /// Returns the table.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let mut part = "";
        for figure in &self.figures {
            if figure.part != part {
                part = figure.part;
                writeln!(
                    table,
                    "\n{part:<66} {:>11} {:>21} {:>13}",
                    "median", "low to high", "bar"
                )
                .unwrap();
            }
            let unit = figure.unit;
            let spread = format!("{} to {}", unit.show(figure.low), unit.show(figure.high));
            let bar = figure.bar.map_or(String::new(), |bar| match bar {
                Bar::AtMost(most) => format!("<= {}", unit.show(most)),
                Bar::AtLeast(least) => format!(">= {}", unit.show(least)),
                Bar::Scaled { rate, by } => format!(">= {}", unit.show(rate * by)),
            });
            let is_met = match figure.is_met {
                None => "",
                Some(true) => "met",
                Some(false) => "MISSED",
            };
            let scaled = match figure.bar {
                Some(Bar::Scaled { rate, by }) => format!(", {by:.2} of {}", unit.show(rate)),
                _ => String::new(),
            };
            let median = format!("{}{}", unit.show(figure.median), unit.sign());
            let line = format!(
                "  {:<64} {median:>11} {spread:>21} {bar:>13} {is_met}{scaled}",
                figure.what
            );
            writeln!(table, "{}", line.trim_end()).unwrap();
            if let Some(note) = &figure.note {
                writeln!(table, "      {note}").unwrap();
            }
        }
        table
    }

    /// Returns the figures as JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and words serialise")
    }
}

/// What a figure is of, before it is measured.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    part: &'static str,
    what: String,
    unit: Unit,
    durability: Durability,
    bar: Option<Bar>,
    note: Option<String>,
}

impl Line {
    /// Returns a line without a bar.
    pub(crate) fn new(part: &'static str, what: impl Into<String>, unit: Unit, durability: Durability) -> Self {
        Self {
            part,
            what: what.into(),
            unit,
            durability,
            bar: None,
            note: None,
        }
    }

    /// Holds it to a bar.
    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        self.bar = Some(bar);
        self
    }

    /// Says something beside it.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

impl Unit {
    fn sign(self) -> &'static str {
        match self {
            Self::Ms => " ms",
            Self::Us => " us",
            Self::PerSecond => "/s",
            Self::Mb => " MB",
            Self::Bytes => " B",
            Self::Ratio => "",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            _ if value >= 1_000.0 => thousands(value),
            _ if value >= 100.0 => format!("{value:.0}"),
            _ => format!("{value:.1}"),
        }
    }
}

/// Writes a large number with a comma after each three digits.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the middle one of sorted numbers, of which there is at least one.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let (left, right) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    f64::midpoint(left, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_median_spread_and_whether_the_bar_is_met() {
        let mut report = Report::default();
        let line = Line::new("part", "calls", Unit::PerSecond, Durability::EachCall);
        let median = report.add(
            line.clone().bar(Bar::AtLeast(1_000.0)),
            vec![30_000.0, 900.0, 1_234_567.0],
        );
        assert!((median - 30_000.0).abs() < 1e-9);
        let scaled = Bar::Scaled {
            rate: 1_000.0,
            by: 0.07,
        };
        report.add(line.clone().bar(scaled), vec![71.0]);
        report.add(line.bar(Bar::AtMost(10.0)).note("beside"), vec![20.0, 10.4]);
        let table = report.table();
        assert!(table.contains("30,000/s"), "{table}");
        assert!(table.contains("900 to 1,234,567"), "{table}");
        assert!(table.contains(">= 1,000 met\n"), "{table}");
        assert!(table.contains(">= 70.0 met, 0.07 of 1,000\n"), "{table}");
        assert!(
            table.contains("15.2/s") && table.contains("<= 10.0 MISSED\n      beside"),
            "{table}"
        );
    }
}
