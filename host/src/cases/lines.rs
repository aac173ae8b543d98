//! Where in a TOML file its members stand, so that what is said of one can name its line.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// The lines of a file's members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    members: BTreeMap<Vec<String>, usize>,
    /// The first value that JSON does not have, by its line.
    unsayable: Option<(usize, &'static str)>,
}

impl Lines {
    /// Reads a file, which has to be TOML: of anything else it knows nothing.
    pub fn of(text: &str) -> Self {
        let mut reader = Reader {
            starts: LineStarts::of(text),
            lines: Self::default(),
        };
        if let Ok(table) = DeTable::parse(text) {
            reader.table(table.get_ref(), &mut Vec::new());
        }
        reader.lines
    }

    /// Returns the line of a member, from 1; what is counted is given by its place, from 0. Of a member that is not there it is the line of the one around it.
    pub fn at(&self, path: &[&str]) -> usize {
        let mut path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        loop {
            match self.members.get(&path) {
                Some(line) => return *line,
                None if path.pop().is_none() => return 1,
                None => {}
            }
        }
    }

    /// Returns a value that no JSON can say, with its line, if there is one: a date, but for that at the top, or a number that is none.
    pub fn unsayable(&self) -> Option<&(usize, &'static str)> {
        self.unsayable.as_ref()
    }
}

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub struct LineStarts(Vec<usize>);

impl LineStarts {
    /// Finds them.
    pub fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect())
    }

    /// Returns the line that holds a byte, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

struct Reader {
    starts: LineStarts,
    lines: Lines,
}

impl Reader {
    fn table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>) {
        for (name, value) in table {
            path.push(name.get_ref().to_string());
            // The member's name, wherever its value begins.
            self.note(path, name.span().start);
            self.value(value.get_ref(), path, value.span().start);
            path.pop();
        }
    }

    fn value(&mut self, value: &DeValue<'_>, path: &mut Vec<String>, offset: usize) {
        match value {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    self.note(path, item.span().start);
                    self.value(item.get_ref(), path, item.span().start);
                    path.pop();
                }
            }
            DeValue::Datetime(_) if path.len() > 1 => self.cannot_say("a date", offset),
            DeValue::Float(float) if float.as_str().contains(['n', 'i']) => self.cannot_say("this number", offset),
            _ => {}
        }
    }

    fn cannot_say(&mut self, what: &'static str, offset: usize) {
        let line = self.starts.line(offset);
        self.lines.unsayable.get_or_insert((line, what));
    }

    fn note(&mut self, path: &[String], offset: usize) {
        let line = self.starts.line(offset);
        self.lines.members.entry(path.to_vec()).or_insert(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_has_its_line_and_what_is_not_there_that_of_what_is_around_it() {
        let text = "a = 1\n\n[[reply]]\nx = 1\n[[reply]]\nx = 2\n\n[expect]\noutput = { b = 1 }\n[expect.files]\n\"a.md\" = \"\"\"\none\n\"\"\"\n";
        let lines = Lines::of(text);
        assert_eq!(lines.at(&["a"]), 1);
        assert_eq!(lines.at(&["reply", "1"]), 5);
        assert_eq!(lines.at(&["reply", "1", "x"]), 6);
        assert_eq!(lines.at(&["expect", "output", "b"]), 9);
        assert_eq!(lines.at(&["expect", "files", "a.md"]), 11);
        assert_eq!(lines.at(&["expect", "status"]), 8);
        assert_eq!(lines.at(&["nothing"]), 1);
        assert_eq!(Lines::of("= no TOML").at(&["a"]), 1);
    }

    #[test]
    fn what_json_cannot_say_is_found_with_its_line() {
        assert_eq!(Lines::of("at = 2026-01-05T09:00:00Z\n").unsayable(), None);
        assert_eq!(
            Lines::of("a = 1.5\nb = { c = [2026-01-05] }\n").unsayable(),
            Some(&(2, "a date"))
        );
        assert_eq!(Lines::of("a = 1e5\nb = -nan\n").unsayable(), Some(&(2, "this number")));
        assert_eq!(Lines::of("b = inf\n").unsayable(), Some(&(1, "this number")));
    }
}
