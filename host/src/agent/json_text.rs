//! Adds an element to a JSON text or takes one out, and leaves every other byte as it was.
//!
//! Reading a file into values and writing it anew would lose what a person or another program put into its form: indentation, the spelling of numbers, a member
//! that stands twice. So values are only found here, by where they stand, and the text is cut and joined.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// How a text is indented that does not show it.
const UNIT_DEFAULT: &str = "  ";

/// A list or an object in a text: where it stands, and where its elements do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// From its opening bracket to behind its closing one.
    pub span: Range<usize>,
    /// Where the value of each element stands.
    pub values: Vec<Range<usize>>,
    /// What each element is called; empty for a list.
    pub names: Vec<String>,
}

impl Container {
    /// Finds the object that stands in `span`; `None` if something else does.
    pub fn object(text: &str, span: Range<usize>) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(&text[span.clone()]);
        let (names, values): (_, Vec<&RawValue>) = json.deserialize_map(Members).ok()?.into_iter().unzip();
        Some(Self::at(text, span, names, &values))
    }

    /// Finds the list that stands in `span`; `None` if something else does.
    pub fn list(text: &str, span: Range<usize>) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(&text[span.clone()]);
        let values = json.deserialize_seq(Elements).ok()?;
        Some(Self::at(text, span, Vec::new(), &values))
    }

    fn at(text: &str, span: Range<usize>, names: Vec<String>, values: &[&RawValue]) -> Self {
        // The values are borrowed from the text, so their addresses tell where in it they are.
        let place = |value: &&RawValue| {
            let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
            start..start + value.get().len()
        };
        let values = values.iter().map(place).collect();
        Self { span, values, names }
    }

    /// Returns where the value of the member of this name stands; of the last one if it stands twice, as readers of JSON take it.
    pub fn member(&self, name: &str) -> Option<Range<usize>> {
        let index = self.names.iter().rposition(|known| known == name)?;
        Some(self.values[index].clone())
    }

    /// Returns the text with one more element at the end of this container, in the manner in which the text is laid out. `depth` is how many containers it is in.
    pub fn with(&self, text: &str, depth: usize, name: Option<&str>, value: &Value) -> String {
        let on_lines = text.trim().contains('\n') || text.trim() == "{}";
        let (line, line_end) = match on_lines {
            true => (line_start(text, depth + 1), line_start(text, depth)),
            false => (String::new(), String::new()),
        };
        let colon = if on_lines { ": " } else { ":" };
        let name = name.map_or_else(String::new, |name| format!("{}{colon}", Value::from(name)));
        let value = match on_lines {
            true => serde_json::to_string_pretty(value).map(|text| indent(&text, &line, &unit(&line, depth + 1))),
            false => serde_json::to_string(value),
        };
        let element = format!("{name}{}", value.expect("a value serialises"));
        match self.values.last() {
            Some(last) => format!("{},{line}{element}{}", &text[..last.end], &text[last.end..]),
            None => format!(
                "{}{line}{element}{line_end}{}",
                &text[..=self.span.start],
                &text[self.span.end - 1..]
            ),
        }
    }

    /// Returns the text without the element at `index`.
    pub fn without(&self, text: &str, index: usize) -> String {
        let cut = match (index, self.values.len()) {
            (_, 1) => self.span.start + 1..self.span.end - 1,
            (0, _) => {
                let behind = self.values[0].end;
                let comma = text[behind..].find(',').expect("elements are parted by commas");
                self.span.start + 1..behind + comma + 1
            }
            (index, _) => self.values[index - 1].end..self.values[index].end,
        };
        format!("{}{}", &text[..cut.start], &text[cut.end..])
    }
}

/// Returns where the one value of a text stands.
pub fn root(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..start + text.trim().len()
}

/// Returns the beginning of a line that stands `depth` containers deep.
fn line_start(text: &str, depth: usize) -> String {
    // The first line begins outside of every container.
    let mut lines = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let indented = lines.find(|line| line.starts_with([' ', '\t']));
    let unit = indented.map_or(UNIT_DEFAULT, |line| &line[..line.len() - line.trim_start().len()]);
    format!("\n{}", unit.repeat(depth))
}

fn unit(line_start: &str, depth: usize) -> String {
    line_start[1..1 + (line_start.len() - 1) / depth].to_owned()
}

/// Moves what `serde_json` laid out to where it is to stand.
fn indent(pretty: &str, line_start: &str, unit: &str) -> String {
    let lines = pretty.lines().map(|line| {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 2;
        format!("{}{text}", unit.repeat(depth))
    });
    lines.collect::<Vec<_>>().join(line_start)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use serde_json::json;

    use super::*;

    fn object(text: &str) -> Container {
        Container::object(text, root(text)).unwrap()
    }

    #[test]
    fn an_element_is_added_in_the_manner_of_the_text() {
        let cases = [
            ("{}", "{\n  \"b\": [\n    1\n  ]\n}"),
            ("{\"a\":1e5}", "{\"a\":1e5,\"b\":[1]}"),
            (
                "{\n\t\"a\": 1.50\n}\n",
                "{\n\t\"a\": 1.50,\n\t\"b\": [\n\t\t1\n\t]\n}\n",
            ),
            (
                " {\n    \"a\" : \"\\u00e9\"  }",
                " {\n    \"a\" : \"\\u00e9\",\n    \"b\": [\n        1\n    ]  }",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(object(before).with(before, 0, Some("b"), &json!([1])), after);
        }
    }

    #[test]
    fn what_was_added_is_taken_out_without_a_trace() {
        for text in ["{\"a\":1e5}", "{\n\t\"a\": 1.50\n}\n", "{ \"a\": 1, \"a\": 2 }"] {
            let more = object(text).with(text, 0, Some("b"), &json!({"c": []}));
            let there = object(&more);
            assert_eq!(there.without(&more, there.values.len() - 1), text);
        }
        let text = "{\n  \"a\": 1,\n  \"b\": 2\n}";
        assert_eq!(object(text).without(text, 0), "{\n  \"b\": 2\n}");
        let list = "[ 1 ]";
        assert_eq!(Container::list(list, root(list)).unwrap().without(list, 0), "[]");
    }

    #[test]
    fn a_value_is_found_where_it_stands() {
        let text = "{\"a\": {\"b\": [1, \"]}\", 3]}, \"a\": 2}";
        let object = object(text);
        assert_eq!(&text[object.member("a").unwrap()], "2");
        assert_eq!(&text[object.values[0].clone()], "{\"b\": [1, \"]}\", 3]}");
        assert_eq!(Container::list(text, root(text)), None);
    }
}
