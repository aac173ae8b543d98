//! Lays a timeline out as lines, and folds it until it fits.
//!
//! Folding says less about many calls rather than nothing about some: first neighbours of the same name become one line, then all of the same name, then neighbours of
//! the same function; only what is still too long loses its middle.

use std::time::Duration;

use super::{CallLine, Timeline, count, duration, grouped};
use crate::terminal::Table;

/// How much of a line names that were folded together may take, in characters.
const NAMES_CHARS_MAX: usize = 60;

/// Calls that share a line.
struct Group<'a> {
    calls: Vec<&'a CallLine>,
}

pub(super) fn render(timeline: &Timeline, most: usize, width: usize) -> String {
    let groups = fold(&timeline.calls, most);
    let mut table = Table::new(["CALL", "AT", "TOOK", "TOKENS", "FROM", "WHAT"]).right(&[0, 1, 2, 3]);
    let left_out = groups.len().saturating_sub(most);
    let (head, tail) = match left_out {
        0 => (groups.len(), 0),
        _ => (most / 2, most - most / 2),
    };
    for group in &groups[..head] {
        table.row(group.cells(timeline));
    }
    if left_out > 0 {
        let calls: usize = groups[head..groups.len() - tail]
            .iter()
            .map(|group| group.calls.len())
            .sum();
        let text = format!("... {} left out; `--all` shows them", count(calls as u64, "call"));
        let mut cells = [const { String::new() }; 6];
        cells[5] = text;
        table.row(cells);
        for group in &groups[groups.len() - tail..] {
            table.row(group.cells(timeline));
        }
    }
    table.render(width)
}

fn fold(calls: &[CallLine], most: usize) -> Vec<Group<'_>> {
    let single: Vec<Group<'_>> = calls.iter().map(|call| Group { calls: vec![call] }).collect();
    if single.len() <= most {
        return single;
    }
    let neighbours = merge(single, |a, b| a.label == b.label);
    if neighbours.len() <= most {
        return neighbours;
    }
    let named = gather(neighbours);
    if named.len() <= most {
        return named;
    }
    merge(named, |a, b| a.function == b.function)
}

/// Puts neighbours together.
fn merge<'a>(groups: Vec<Group<'a>>, alike: impl Fn(&CallLine, &CallLine) -> bool) -> Vec<Group<'a>> {
    let mut merged: Vec<Group<'a>> = Vec::new();
    for mut group in groups {
        match merged.last_mut() {
            Some(last) if alike(last.first(), group.first()) => last.calls.append(&mut group.calls),
            _ => merged.push(group),
        }
    }
    merged
}

/// Puts groups of the same name together, where the first of them stands.
fn gather(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let mut gathered: Vec<Group<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for mut group in groups {
        match places.get(&group.first().label) {
            Some(&place) => {
                let group_there: &mut Group<'_> = &mut gathered[place];
                group_there.calls.append(&mut group.calls);
            }
            None => {
                places.insert(group.first().label.clone(), gathered.len());
                gathered.push(group);
            }
        }
    }
    gathered
}

impl Group<'_> {
    fn first(&self) -> &CallLine {
        self.calls.first().expect("a group has a call")
    }

    fn cells(&self, timeline: &Timeline) -> [String; 6] {
        let tokens: u64 = self.calls.iter().map(|call| call.tokens).sum();
        [
            self.number(),
            format!("+{}", duration(timeline.since_start(self.first().started_at))),
            self.took().map_or_else(String::new, duration),
            if tokens == 0 { String::new() } else { grouped(tokens) },
            self.from().to_owned(),
            self.what(),
        ]
    }

    fn number(&self) -> String {
        match self.calls.len() {
            1 => self.first().number.to_string(),
            many => format!("{many} x"),
        }
    }

    /// Returns how long it was from the start of the first to the end of the last.
    fn took(&self) -> Option<Duration> {
        let ended = self.calls.iter().filter_map(|call| call.ended_at).max()?;
        Some(ended.since(self.first().started_at))
    }

    /// Says whether the last attempt was given the outcomes by the journal, or saw them happen.
    fn from(&self) -> &'static str {
        let replayed = self.calls.iter().filter(|call| call.replayed).count();
        match replayed {
            0 if self.calls.iter().all(|call| call.outcome.is_none()) => "",
            0 => "live",
            all if all == self.calls.len() => "replay",
            _ => "both",
        }
    }

    fn what(&self) -> String {
        if let [call] = self.calls[..] {
            return with_remarks(&call.label, &call.remarks());
        }
        let failed = self.calls.iter().filter(|call| call.fault().is_some()).count();
        let again: u32 = self.calls.iter().map(|call| call.attempts - 1).sum();
        let open = self
            .calls
            .iter()
            .filter(|call| call.outcome.is_none() && !call.dropped)
            .count();
        let remarks = [
            (failed, "with an error"),
            (again as usize, "performed again"),
            (open, "in flight"),
        ];
        let remarks = remarks.iter().filter(|(number, _)| *number > 0);
        let remarks: Vec<String> = remarks.map(|(number, what)| format!("{number} {what}")).collect();
        with_remarks(&self.names(), &remarks.join("; "))
    }

    fn names(&self) -> String {
        let first = &self.first().label;
        if self.calls.iter().all(|call| call.label == *first) {
            return first.clone();
        }
        let mut names: Vec<&str> = Vec::new();
        let mut chars = 0;
        for call in &self.calls {
            if !names.contains(&call.label.as_str()) {
                chars += call.label.chars().count() + 2;
                if chars > NAMES_CHARS_MAX {
                    names.push("...");
                    break;
                }
                names.push(&call.label);
            }
        }
        format!("{}: {}", self.first().function, names.join(", "))
    }
}

fn with_remarks(label: &str, remarks: &str) -> String {
    match remarks.is_empty() {
        true => label.to_owned(),
        false => format!("{label} ({remarks})"),
    }
}
