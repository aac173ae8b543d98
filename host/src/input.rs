//! Makes the input of a run out of what was given on the command line, as the skill's input schema says, and checks it.

use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{CliError, Result};
use crate::fields::{self, Given};
use crate::home::read_regular;
use crate::mounts::PATH_FORMAT;
use crate::schema::{Kind, Schema};
use crate::skills::nearest;

/// The largest input, in bytes.
pub const BYTES_MAX: u64 = 8 << 20;

/// What was given for an input, or for the answer to a question.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// `--input`: JSON, `@file` or `-`.
    pub input: Option<String>,
    /// Single fields, in the order given; they go before `--input`.
    pub fields: Vec<Given>,
}

/// What was given, with files and standard input read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raw {
    input: Option<Value>,
    fields: Vec<(String, fields::Value)>,
}

/// What an input is for, in the words of messages.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// `the input of skill `x``.
    pub what: &'a str,
    /// Flags that a misspelt field may have been meant to be.
    pub flags: fn() -> Vec<String>,
    /// How its fields are given.
    pub spelling: Spelling,
}

/// How fields are given on the command line.
#[derive(Clone, Copy, Debug)]
pub enum Spelling {
    /// `--name value`.
    Flag,
    /// `name=value`.
    Word,
}

impl Spelling {
    fn field(self, name: &str) -> String {
        match self {
            Self::Flag => format!("`--{name}`"),
            Self::Word => format!("`{name}=`"),
        }
    }
}

impl Words {
    /// Reads the files and the standard input that are named.
    pub fn read(&self, stdin: &mut dyn Read) -> Result<Raw> {
        let mut reader = Reader { stdin: Some(stdin) };
        let input = match self.input.as_deref() {
            None => None,
            Some(text) => {
                let text = match text {
                    "-" => reader.standard_input("--input")?,
                    text => reader.text("--input", text)?,
                };
                let value = serde_json::from_str(&text).map_err(|e| {
                    CliError::invalid("bad_input", format!("`--input` is not JSON: {e}")).hint(
                        "`--input '{\"name\": \"Ada\"}'` or `--input @file.json`; a text has quotes of its own: `--input '\"yes\"'`",
                    )
                })?;
                Some(value)
            }
        };
        let mut read = Vec::new();
        for given in &self.fields {
            let value = match &given.value {
                fields::Value::Present => fields::Value::Present,
                fields::Value::Text(text) => fields::Value::Text(reader.text(&given.name, text)?),
                fields::Value::Json(text) => fields::Value::Json(reader.text(&given.name, text)?),
            };
            read.push((given.name.clone(), value));
        }
        Ok(Raw { input, fields: read })
    }
}

struct Reader<'a> {
    stdin: Option<&'a mut dyn Read>,
}

impl Reader<'_> {
    /// Understands `@file`, `@-`, and `@@` for a text that begins with `@`.
    fn text(&mut self, name: &str, text: &str) -> Result<String> {
        match text.strip_prefix('@') {
            None => Ok(text.to_owned()),
            Some("-") => self.standard_input(name),
            Some(rest) if rest.starts_with('@') => Ok(rest.to_owned()),
            Some(path) => {
                let bytes =
                    read_regular(Path::new(path), BYTES_MAX).map_err(|e| unreadable(name, &format!("`{path}`"), &e))?;
                utf8(name, &format!("`{path}`"), bytes)
            }
        }
    }

    fn standard_input(&mut self, name: &str) -> Result<String> {
        let Some(stdin) = self.stdin.take() else {
            return Err(CliError::invalid(
                "stdin_twice",
                format!("`{name}` cannot be read from standard input, which was read already"),
            )
            .hint("put one of them into a file and give it as `@file`"));
        };
        let mut bytes = Vec::new();
        let read = stdin.take(BYTES_MAX + 1).read_to_end(&mut bytes);
        let read = read.and_then(|_| match bytes.len() as u64 > BYTES_MAX {
            true => Err(io::Error::other(format!("it is larger than {BYTES_MAX} bytes"))),
            false => Ok(()),
        });
        read.map_err(|e| unreadable(name, "standard input", &e))?;
        utf8(name, "standard input", bytes)
    }
}

fn unreadable(name: &str, what: &str, error: &io::Error) -> CliError {
    CliError::invalid("unreadable_input", format!("could not read {what} for `{name}`")).caused_by(error)
}

fn utf8(name: &str, what: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| CliError::invalid("not_utf8", format!("{what}, given for `{name}`, is not UTF-8 text")))
}

impl Raw {
    /// Takes a whole input.
    pub fn of(input: Value) -> Self {
        Self {
            input: Some(input),
            fields: Vec::new(),
        }
    }

    /// Returns whether nothing at all was given.
    pub fn is_empty(&self) -> bool {
        self.input.is_none() && self.fields.is_empty()
    }

    /// Returns the value that was given, checked against the schema.
    pub fn assemble(&self, schema: &Schema, about: About<'_>) -> Result<Value> {
        let value = match (&self.input, self.fields.is_empty()) {
            (Some(value), true) => value.clone(),
            (Some(Value::Object(base)), false) => Value::Object(self.add_fields(base.clone(), schema, about)?),
            (Some(_), false) => {
                return Err(CliError::invalid(
                    "bad_input",
                    "`--input` is no object, so no fields can be added to it".to_owned(),
                ));
            }
            (None, _) => Value::Object(self.add_fields(Map::new(), schema, about)?),
        };
        if let Value::Object(object) = &value {
            object.keys().try_for_each(|name| check_known(name, schema, about))?;
        }
        schema.check(&value).map_err(|mistakes| {
            let message = format!("{} does not fit: {}", about.what, mistakes.join("; "));
            let usage = usage(schema, about.spelling);
            CliError::invalid("bad_input", message).hint(usage.unwrap_or_else(|| {
                // It has no fields to be named.
                "`skillhost explain input` says how one is given".to_owned()
            }))
        })?;
        Ok(value)
    }

    fn add_fields(
        &self,
        mut object: Map<String, Value>,
        schema: &Schema,
        about: About<'_>,
    ) -> Result<Map<String, Value>> {
        let mut names: Vec<String> = Vec::new();
        let mut values: Vec<Vec<&fields::Value>> = Vec::new();
        for (given, value) in &self.fields {
            let name = field_name(given, schema);
            check_known(&name, schema, about)?;
            match names.iter().position(|known| *known == name) {
                Some(index) => values[index].push(value),
                None => {
                    names.push(name);
                    values.push(vec![value]);
                }
            }
        }
        for (name, values) in names.into_iter().zip(values) {
            let value = coerce_field(&name, &values, schema).map_err(|error| match error.hint {
                None => error.maybe_hint(usage(schema, about.spelling)),
                Some(_) => error,
            })?;
            object.insert(name, value);
        }
        Ok(object)
    }
}

/// Returns the field that a flag means: `--max-results` is `max_results` or `maxResults` if the schema says so.
fn field_name(given: &str, schema: &Schema) -> String {
    let fields = schema.fields().unwrap_or_default();
    let plain = |name: &str| {
        name.chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .collect::<String>()
            .to_lowercase()
    };
    if fields.contains(&given) {
        return given.to_owned();
    }
    let mut alike = fields.iter().filter(|field| plain(field) == plain(given));
    match (alike.next(), alike.next()) {
        (Some(field), None) => (*field).to_owned(),
        _ => given.to_owned(),
    }
}

fn check_known(name: &str, schema: &Schema, about: About<'_>) -> Result<()> {
    let Some(fields) = schema.fields().filter(|_| !schema.takes_more()) else {
        return Ok(());
    };
    if fields.contains(&name) {
        return Ok(());
    }
    let error = CliError::invalid("unknown_field", format!("{} has no field `{name}`", about.what));
    let flags = (about.flags)();
    Err(
        match nearest(name, fields.iter().copied().chain(flags.iter().map(String::as_str))) {
            Some(near) if fields.contains(&near) => error.hint(format!("did you mean `{near}`?")),
            Some(flag) => error.hint(format!("did you mean the flag `--{flag}`?")),
            None => error.maybe_hint(usage(schema, about.spelling)),
        },
    )
}

/// Returns which fields there are, those first that must be given.
fn usage(schema: &Schema, spelling: Spelling) -> Option<String> {
    const FIELDS_MAX: usize = 20;
    let fields = schema.fields()?;
    if fields.is_empty() {
        return Some("it has no fields: leave them out".to_owned());
    }
    let required = schema.required();
    let (must, may): (Vec<&str>, Vec<&str>) = fields.iter().copied().partition(|field| required.contains(field));
    let must = must
        .iter()
        .map(|name| format!("{}{}", spelling.field(name), takes(schema, name)));
    let may = may
        .iter()
        .map(|name| format!("[{}{}]", spelling.field(name), takes(schema, name)));
    let listed: Vec<String> = must.chain(may).take(FIELDS_MAX).collect();
    let more = if fields.len() > FIELDS_MAX { " and more" } else { "" };
    Some(format!("its fields: {}{more}", listed.join(", ")))
}

fn takes(schema: &Schema, name: &str) -> String {
    let kinds = schema.field(name).map(|part| schema.kinds(part)).unwrap_or_default();
    if schema
        .field(name)
        .is_some_and(|part| schema.has_format(PATH_FORMAT, part))
    {
        return " (path)".to_owned();
    }
    let kinds: Vec<&str> = kinds
        .into_iter()
        .filter(|kind| *kind != Kind::Null)
        .map(Kind::as_str)
        .collect();
    if kinds.is_empty() {
        String::new()
    } else {
        format!(" ({})", kinds.join(" or "))
    }
}

fn coerce_field(name: &str, values: &[&fields::Value], schema: &Schema) -> Result<Value> {
    let anything = Value::Bool(true);
    let part = schema.field(name).unwrap_or(&anything);
    let kinds = schema.kinds(part);
    let last = *values.last().expect("a field was given at least once");
    // Given several times, or once as something that is no list itself, each is an element.
    let is_list = kinds.contains(&Kind::Array) && !kinds.contains(&Kind::String);
    let whole = values.len() == 1 && matches!(last, fields::Value::Text(text) if text.trim_start().starts_with('['));
    if is_list && !whole && !matches!(last, fields::Value::Json(_)) {
        let items = schema.items(part).unwrap_or(&anything);
        let kinds = schema.kinds(items);
        return values
            .iter()
            .map(|value| coerce(name, value, &kinds))
            .collect::<Result<_>>()
            .map(Value::Array);
    }
    match values.len() {
        1 => coerce(name, last, &kinds),
        times => Err(CliError::invalid(
            "field_twice",
            format!("field `{name}` was given {times} times and is no list"),
        )),
    }
}

/// Makes of a text what the schema asks for. Where it takes text, text it stays.
fn coerce(name: &str, value: &fields::Value, kinds: &[Kind]) -> Result<Value> {
    let (text, as_json) = match value {
        fields::Value::Present if kinds.is_empty() || kinds.contains(&Kind::Boolean) => return Ok(Value::Bool(true)),
        fields::Value::Present => {
            return Err(CliError::invalid("no_value", format!("field `{name}` needs a value"))
                .hint(format!("`--{name} <{}>`", one_of(kinds).replace(' ', "-"))));
        }
        fields::Value::Text(text) => (text, false),
        fields::Value::Json(text) => (text, true),
    };
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    if as_json {
        return parsed.ok_or_else(|| {
            CliError::invalid(
                "bad_input",
                format!("field `{name}` was given as JSON and is not: `{}`", short(text)),
            )
        });
    }
    if kinds.is_empty() || kinds.contains(&Kind::String) {
        return Ok(Value::String(text.clone()));
    }
    let fitting = parsed.filter(|value| {
        let kind = Kind::of(value);
        kinds.contains(&kind) || (kind == Kind::Integer && kinds.contains(&Kind::Number))
    });
    fitting.ok_or_else(|| {
        CliError::invalid(
            "bad_input",
            format!("field `{name}` takes {}, not `{}`", one_of(kinds), short(text)),
        )
    })
}

fn one_of(kinds: &[Kind]) -> String {
    let names = kinds.iter().filter(|kind| **kind != Kind::Null).map(|kind| match kind {
        Kind::Boolean => "true or false",
        Kind::Integer => "a whole number",
        Kind::Number => "a number",
        Kind::String => "text",
        Kind::Array => "a JSON list",
        Kind::Object => "a JSON object",
        Kind::Null => "null",
    });
    match names.collect::<Vec<_>>()[..] {
        [] => "null".to_owned(),
        ref names => names.join(" or "),
    }
}

fn short(text: &str) -> String {
    crate::terminal::cut(&crate::terminal::plain_line(text), 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::of(json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "max_results": {"type": "integer", "minimum": 1},
                "ratio": {"type": ["number", "null"]},
                "deep": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "numbers": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
                "where": {"type": "object"}
            },
            "required": ["name"]
        }))
        .unwrap()
    }

    fn given(args: &str, stdin: &str, input: Option<&str>) -> Result<Value> {
        let args = args.split('|').filter(|arg| !arg.is_empty());
        let fields = args.map(|arg| match arg.contains('=') {
            true => fields::parse_arg(arg).unwrap(),
            false => Given {
                name: arg.to_owned(),
                value: fields::Value::Present,
            },
        });
        let words = Words {
            input: input.map(str::to_owned),
            fields: fields.collect(),
        };
        let about = About {
            what: "the input of skill `x`",
            flags: || vec!["await".to_owned()],
            spelling: Spelling::Flag,
        };
        words.read(&mut stdin.as_bytes())?.assemble(&schema(), about)
    }

    fn error(args: &str) -> String {
        let error = given(args, "", None).unwrap_err();
        format!(
            "{error}{}",
            error
                .hint
                .as_ref()
                .map_or_else(String::new, |hint| format!(" ({hint})"))
        )
    }

    #[test]
    fn fields_become_what_the_schema_asks_for() {
        let value = given(
            "name=7|max-results=3|ratio=2|deep|tags=a|tags=b|numbers=[1,2]|where={\"a\":1}",
            "",
            None,
        )
        .unwrap();
        assert_eq!(
            value,
            json!({"name": "7", "max_results": 3, "ratio": 2, "deep": true, "tags": ["a", "b"], "numbers": [1, 2], "where": {"a": 1}})
        );
        assert_eq!(
            given("name=x|tags=a|numbers=4|ratio=null", "", None).unwrap(),
            json!({"name": "x", "tags": ["a"], "numbers": [4], "ratio": null})
        );
        assert_eq!(
            given("name=x|deep=false|maxResults=1", "", None).unwrap(),
            json!({"name": "x", "deep": false, "max_results": 1})
        );
        assert_eq!(
            given("name:=\"x\"|tags:=[\"[\"]", "", None).unwrap(),
            json!({"name": "x", "tags": ["["]})
        );
    }

    #[test]
    fn values_come_from_files_and_once_from_standard_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("name.txt");
        std::fs::write(&path, "from a file\n").unwrap();
        let arg = format!("name=@{}", path.display());
        assert_eq!(given(&arg, "", None).unwrap(), json!({"name": "from a file\n"}));
        assert_eq!(
            given("name=@-", "from a pipe", None).unwrap(),
            json!({"name": "from a pipe"})
        );
        assert_eq!(given("name=@@handle", "", None).unwrap(), json!({"name": "@handle"}));
        assert_eq!(
            given("deep", r#"{"name": "x"}"#, Some("-")).unwrap(),
            json!({"name": "x", "deep": true})
        );
        assert_eq!(
            given("name=y", "", Some(r#"{"name": "x"}"#)).unwrap(),
            json!({"name": "y"})
        );
        assert!(
            error("name=@-|tags=@-").starts_with("`tags` cannot be read from standard input, which was read already")
        );
        assert_eq!(
            error("name=@/no/such"),
            "could not read `/no/such` for `name`: No such file or directory (os error 2)"
        );
        std::fs::write(&path, [0xff]).unwrap();
        assert!(error(&arg).ends_with("is not UTF-8 text"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let of_field = "field `max_results` takes a whole number, not `many` (its fields: `--name` (string)";
        assert!(error("name=x|max_results=many").starts_with(of_field));
        assert!(error("name=x|ratio=[]").starts_with("field `ratio` takes a number, not `[]`"));
        assert_eq!(
            error("name=x|max_results=0"),
            "the input of skill `x` does not fit: field `max_results`: 0 is less than the minimum of 1 (its fields: `--name` (string), [`--max_results` (integer)], [`--ratio` (number)], [`--deep` (boolean)], [`--tags` (array)], [`--numbers` (array)], [`--where` (object)])"
        );
        assert_eq!(error("name"), "field `name` needs a value (`--name <text>`)");
        assert!(error("name=x|name=y").starts_with("field `name` was given 2 times and is no list"));
        assert!(error("deep").starts_with("the input of skill `x` does not fit: field `name` is missing"));
        assert_eq!(
            error("name=x|nmae=y"),
            "the input of skill `x` has no field `nmae` (did you mean `name`?)"
        );
        assert_eq!(
            error("name=x|awiat"),
            "the input of skill `x` has no field `awiat` (did you mean the flag `--await`?)"
        );
        assert!(
            given("", "", Some("{"))
                .unwrap_err()
                .sentence()
                .starts_with("`--input` is not JSON: EOF")
        );
        assert!(
            given("", "", Some(r#"{"name":"x","other":1}"#))
                .unwrap_err()
                .sentence()
                .contains("no field `other`")
        );
    }
}
