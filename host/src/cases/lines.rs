//! Where in a TOML file its members stand, so that what is said of one can name its line.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// The lines of a file's members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<Vec<String>, usize>);

impl Lines {
    /// Reads a file, which has to be TOML: of anything else it knows nothing.
    pub fn of(text: &str) -> Self {
        let mut reader = Reader {
            text,
            lines: BTreeMap::new(),
        };
        if let Ok(table) = DeTable::parse(text) {
            reader.table(table.get_ref(), &mut Vec::new());
        }
        Self(reader.lines)
    }

    /// Returns the line of a member, from 1; what is counted is given by its place, from 0. Of a member that is not there it is the line of the one around it.
    pub fn at(&self, path: &[&str]) -> usize {
        let mut path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        loop {
            match self.0.get(&path) {
                Some(line) => return *line,
                None if path.pop().is_none() => return 1,
                None => {}
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    lines: BTreeMap<Vec<String>, usize>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>) {
        for (name, value) in table {
            path.push(name.get_ref().to_string());
            // The member's name, wherever its value begins.
            self.note(path, name.span().start);
            self.value(value.get_ref(), path);
            path.pop();
        }
    }

    fn value(&mut self, value: &DeValue<'_>, path: &mut Vec<String>) {
        match value {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    self.note(path, item.span().start);
                    self.value(item.get_ref(), path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, path: &[String], offset: usize) {
        let line = 1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        self.lines.entry(path.to_vec()).or_insert(line);
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
}
