//! The JSON Schemas that a skill's description carries: checking values against them, and finding what a field takes.
//!
//! A schema comes from a skill and is not trusted: nothing that it refers to outside itself is fetched or read, and one that would keep the host busy is refused ([`burden`]).

mod burden;

pub use burden::{BYTES_MAX, STEPS_MAX as CHECK_STEPS_MAX};

use std::collections::{BTreeSet, HashSet};

use jsonschema::error::{ValidationError, ValidationErrorKind};
use serde_json::Value;
use skillhost_core::payload::Payload;

/// The largest machine that is made of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 2 << 20;

/// The stack that schemas are followed on, whose parts may lead to one another: address space, of which only what is needed is taken.
const STACK_BYTES: usize = 256 << 20;

/// Schemas and values that nest no deeper than this are checked where they are.
const SHALLOW_MAX: usize = 32;

/// How many mistakes of one value are told at once.
const MISTAKES_MAX: usize = 5;

/// How far references are followed to find what a field takes.
const REFERENCES_MAX: usize = 16;

/// How many parts of a schema and a value are looked at to find what is of a format.
const STEPS_MAX: usize = 100_000;

/// How deep parts may lie in each other there.
const DEPTH_MAX: usize = 256;

/// A schema that is known to be one.
#[derive(Debug)]
pub struct Schema {
    root: Value,
    validator: jsonschema::Validator,
    /// Whether following it goes no deeper than a thread's usual stack has room for, if the value is shallow too.
    is_shallow: bool,
}

impl Schema {
    /// Parses the text of a schema. An empty text takes everything.
    pub fn parse(text: &str) -> Result<Self, String> {
        let root = match text.trim() {
            "" => Value::Bool(true),
            text => serde_json::from_str(text).map_err(|e| format!("it is not JSON: {e}"))?,
        };
        Self::of(root)
    }

    /// Takes a schema as a value.
    pub fn of(root: Value) -> Result<Self, String> {
        // Linear-time matching: a pattern of the skill's must not be able to stop the host.
        let patterns = jsonschema::PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
        let options = jsonschema::options().with_pattern_options(patterns);
        let build = || {
            options
                .build(&root)
                .map_err(|e| format!("it is not a JSON Schema: {e}"))
        };
        let known = || burden::check(&root).and_then(|()| build());
        // In this order: what refers is looked for by going through all of it.
        let is_shallow = is_shallow(&root, SHALLOW_MAX) && !refers(&root);
        let validator = match is_shallow {
            true => known()?,
            false => deeply(known).flatten()?,
        };
        Ok(Self {
            root,
            validator,
            is_shallow,
        })
    }

    /// Checks a value; the mistakes are named by field.
    pub fn check(&self, value: &Value) -> Result<(), Vec<String>> {
        let check = || {
            burden::steps(&self.root, value).map_err(|told| vec![told])?;
            self.mistakes(value)
        };
        // Nearly all are: and a thread takes longer to make than they take to check.
        if self.is_shallow && is_shallow(value, SHALLOW_MAX) {
            return check();
        }
        deeply(check).unwrap_or_else(|told| Err(vec![told]))
    }

    fn mistakes(&self, value: &Value) -> Result<(), Vec<String>> {
        let mut mistakes: Vec<String> = Vec::new();
        for error in self.validator.iter_errors(value) {
            let mistake = describe(&error);
            if mistakes.len() == MISTAKES_MAX {
                mistakes.push("and more".to_owned());
                break;
            }
            if !mistakes.contains(&mistake) {
                mistakes.push(mistake);
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// Returns the schema as it was given.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// Returns the names of the fields that a value may have, if the schema lists them, in its order.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let properties = self.resolve(&self.root).get("properties")?.as_object()?;
        Some(properties.keys().map(String::as_str).collect())
    }

    /// Returns the names of the fields that a value must have.
    pub fn required(&self) -> Vec<&str> {
        let required = self.resolve(&self.root).get("required").and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Returns what the schema says of a field.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let field = self.resolve(&self.root).get("properties")?.get(name)?;
        Some(self.resolve(field))
    }

    /// Returns whether fields that it does not list are taken, because it says so.
    pub fn takes_more(&self) -> bool {
        match self.resolve(&self.root).get("additionalProperties") {
            Some(Value::Bool(false)) | None => false,
            Some(_) => true,
        }
    }

    /// Returns the kinds of value that a part of this schema takes; none if it does not say.
    pub fn kinds(&self, part: &Value) -> Vec<Kind> {
        let mut kinds = Vec::new();
        self.collect_kinds(part, &mut kinds, &mut HashSet::new());
        kinds
    }

    /// Collects kinds, of each part once, however often it is referred to.
    fn collect_kinds<'a>(&'a self, part: &'a Value, kinds: &mut Vec<Kind>, seen: &mut HashSet<*const Value>) {
        let part = self.resolve(part);
        if !seen.insert(part) {
            return;
        }
        let mut add = |name: &str| {
            if let Some(kind) = Kind::named(name).filter(|kind| !kinds.contains(kind)) {
                kinds.push(kind);
            }
        };
        match part.get("type") {
            Some(Value::String(name)) => add(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(add),
            _ => {
                let listed = part.get("enum").and_then(Value::as_array).into_iter().flatten();
                listed
                    .chain(part.get("const"))
                    .for_each(|value| add(Kind::of(value).as_str()));
            }
        }
        for union in ["anyOf", "oneOf", "allOf"] {
            let parts = part.get(union).and_then(Value::as_array).into_iter().flatten();
            parts.for_each(|part| self.collect_kinds(part, kinds, seen));
        }
    }

    /// Returns what the elements of an array have to be.
    pub fn items<'a>(&'a self, part: &'a Value) -> Option<&'a Value> {
        let part = self.resolve(part);
        if let Some(items) = part.get("items") {
            return Some(self.resolve(items));
        }
        let unions = ["anyOf", "oneOf"]
            .into_iter()
            .filter_map(|union| part.get(union)?.as_array());
        let items = unions.flatten().find_map(|part| self.resolve(part).get("items"));
        items.map(|items| self.resolve(items))
    }

    /// Returns where in a value there is a text of this format, as JSON pointers in the order of the value.
    ///
    /// # Errors
    /// If the schema takes too many turns, or goes too deep, to say.
    pub fn of_format(&self, format: &str, value: &Value) -> Result<Vec<String>, String> {
        let mut search = Search {
            schema: self,
            format,
            found: Vec::new(),
            steps: 0,
        };
        search.look(&self.root, value, "", 0)?;
        // Each once, however many parts of the schema say so.
        let mut seen = BTreeSet::new();
        search.found.retain(|place| seen.insert(place.clone()));
        Ok(search.found)
    }

    /// Returns whether a part of this schema is about texts of this format, or lists of them.
    pub fn has_format(&self, format: &str, part: &Value) -> bool {
        let is = |part: &Value| part.get("format").and_then(Value::as_str) == Some(format);
        let part = self.resolve(part);
        let unions = ["anyOf", "oneOf", "allOf"].into_iter();
        let listed = unions.filter_map(|union| part.get(union)?.as_array()).flatten();
        std::iter::once(part)
            .chain(listed)
            .map(|part| self.resolve(part))
            .any(|part| is(part) || part.get("items").is_some_and(|items| is(self.resolve(items))))
    }

    /// Follows `{"$ref": "#/.."}`.
    fn resolve<'a>(&'a self, mut part: &'a Value) -> &'a Value {
        for _ in 0..REFERENCES_MAX {
            let reference = part.get("$ref").and_then(Value::as_str);
            match reference.and_then(|reference| burden::target(&self.root, reference)) {
                Some(target) => part = target,
                None => break,
            }
        }
        part
    }
}

/// Looks in a value for texts of a format.
struct Search<'a> {
    schema: &'a Schema,
    format: &'a str,
    /// JSON pointers.
    found: Vec<String>,
    steps: usize,
}

impl Search<'_> {
    fn look(&mut self, part: &Value, value: &Value, place: &str, depth: usize) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS_MAX || depth > DEPTH_MAX {
            return Err("it is too deep to say which texts are paths".to_owned());
        }
        let part = self.schema.resolve(part);
        for union in ["anyOf", "oneOf", "allOf"] {
            let parts = part.get(union).and_then(Value::as_array).into_iter().flatten();
            parts
                .into_iter()
                .try_for_each(|part| self.look(part, value, place, depth + 1))?;
        }
        match value {
            Value::String(_) if part.get("format").and_then(Value::as_str) == Some(self.format) => {
                self.found.push(place.to_owned());
            }
            Value::Array(elements) => {
                if let Some(part) = part.get("items") {
                    for (index, element) in elements.iter().enumerate() {
                        self.look(part, element, &format!("{place}/{index}"), depth + 1)?;
                    }
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let known = part.get("properties").and_then(|known| known.get(name));
                    if let Some(part) = known.or_else(|| part.get("additionalProperties")) {
                        let name = name.replace('~', "~0").replace('/', "~1");
                        self.look(part, member, &format!("{place}/{name}"), depth + 1)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns whether values lie in each other no deeper than so many.
fn is_shallow(value: &Value, most: usize) -> bool {
    match value {
        Value::Array(members) => most > 0 && members.iter().all(|member| is_shallow(member, most - 1)),
        Value::Object(members) => most > 0 && members.values().all(|member| is_shallow(member, most - 1)),
        _ => true,
    }
}

/// Returns whether a part of a schema that is shallow leads to another.
fn refers(schema: &Value) -> bool {
    match schema {
        Value::Array(parts) => parts.iter().any(refers),
        Value::Object(parts) => parts
            .iter()
            .any(|(name, part)| matches!(name.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef") || refers(part)),
        _ => false,
    }
}

/// Does something on a stack of its own, on which what a skill nests cannot use up the one of this thread.
fn deeply<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let deep = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = deep
            .spawn_scoped(scope, work)
            .map_err(|error| format!("the system gives no thread to check it on: {error}"))?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// A kind of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number without a fraction.
    Integer,
    /// Any number.
    Number,
    /// Text.
    String,
    /// A list.
    Array,
    /// Named members.
    Object,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Null,
        Self::Boolean,
        Self::Integer,
        Self::Number,
        Self::String,
        Self::Array,
        Self::Object,
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Returns the word that schemas use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    /// Returns the kind of a value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

/// Checks a run's result against the output schema of its skill, and says in words what does not fit.
///
/// The driver calls it before it lets the machine finish a run as done, so that the `finished` entry says what the result was found to be.
pub fn check_result(output_schema: &Schema, result: &Payload) -> Result<(), String> {
    let value: Value = result
        .read()
        .map_err(|e| format!("it is not JSON that can be read: {e}"))?;
    output_schema.check(&value).map_err(|mistakes| mistakes.join("; "))
}

fn describe(error: &ValidationError<'_>) -> String {
    let place = place(error.instance_path().as_str());
    let missing = match error.kind() {
        ValidationErrorKind::Required { property } => property.as_str(),
        _ => None,
    };
    match (missing, place) {
        (Some(name), None) => format!("field `{name}` is missing"),
        (Some(name), Some(place)) => format!("field `{place}.{name}` is missing"),
        (None, None) => error.masked_with("the value").to_string(),
        (None, Some(place)) => format!("field `{place}`: {}", shortened(error)),
    }
}

fn shortened(error: &ValidationError<'_>) -> String {
    const VALUE_CHARS_MAX: usize = 60;
    let text = error.to_string();
    let value = error.instance().to_string();
    if value.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    let short: String = value.chars().take(VALUE_CHARS_MAX).collect();
    text.replacen(&value, &format!("{short}…"), 1)
}

/// Turns a JSON pointer into the way a person writes it: `/parts/2/title` into `parts[2].title`.
fn place(pointer: &str) -> Option<String> {
    let mut place = String::new();
    for part in pointer.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        match name.bytes().all(|b| b.is_ascii_digit()) {
            true => place.push_str(&format!("[{name}]")),
            false if place.is_empty() => place = name,
            false => place.push_str(&format!(".{name}")),
        }
    }
    (!place.is_empty()).then_some(place)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use serde_json::json;

    use super::*;

    fn mistakes(schema: Value, value: Value) -> String {
        Schema::of(schema).unwrap().check(&value).unwrap_err().join("; ")
    }

    #[test]
    fn mistakes_name_their_field() {
        let schema = json!({
            "type": "object",
            "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}}},
            "required": ["name"],
            "$defs": {"Part": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}}
        });
        assert_eq!(mistakes(schema.clone(), json!({})), "field `name` is missing");
        assert_eq!(
            mistakes(schema.clone(), json!({"name": 3})),
            "field `name`: 3 is not of type \"string\""
        );
        assert_eq!(
            mistakes(schema, json!({"name": "x", "parts": [{"title": "a"}, {}]})),
            "field `parts[1].title` is missing"
        );
    }

    #[test]
    fn a_long_value_is_shown_by_its_beginning() {
        let text = mistakes(
            json!({"properties": {"n": {"type": "integer"}}}),
            json!({"n": "x".repeat(500)}),
        );
        assert!(text.len() < 120, "{text}");
    }

    #[test]
    fn a_schema_fetches_nothing() {
        assert!(Schema::of(json!({"$ref": "http://127.0.0.1:9/schema.json"})).is_err());
        assert!(Schema::of(json!({"$ref": "file:///etc/passwd"})).is_err());
    }

    #[test]
    fn kinds_are_found_behind_references_and_unions() {
        let schema = Schema::of(json!({
            "properties": {
                "depth": {"$ref": "#/$defs/Depth"},
                "tags": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
                "tone": {"type": ["string", "null"]}
            },
            "$defs": {"Depth": {"enum": ["deep", 3]}}
        }))
        .unwrap();
        let kinds = |name: &str| schema.kinds(schema.field(name).unwrap());
        assert_eq!(kinds("depth"), [Kind::String, Kind::Integer]);
        assert_eq!(kinds("tags"), [Kind::Array, Kind::Null]);
        assert_eq!(kinds("tone"), [Kind::String, Kind::Null]);
        assert_eq!(
            schema.kinds(schema.items(schema.field("tags").unwrap()).unwrap()),
            [Kind::Integer]
        );
    }

    #[test]
    fn texts_of_a_format_are_found_behind_references_unions_and_lists() {
        let schema = Schema::of(json!({
            "properties": {
                "one": {"type": ["string", "null"], "format": "path"},
                "many": {"type": "array", "items": {"$ref": "#/$defs/Path"}},
                "maybe": {"anyOf": [{"$ref": "#/$defs/Path"}, {"type": "null"}]},
                "deep": {"properties": {"a/b": {"$ref": "#/$defs/Path"}}},
                "map": {"additionalProperties": {"$ref": "#/$defs/Path"}},
                "text": {"type": "string"}
            },
            "$defs": {"Path": {"type": "string", "format": "path"}}
        }))
        .unwrap();
        let value = json!({
            "one": "a", "many": ["b", "c"], "maybe": "d", "deep": {"a/b": "e"}, "map": {"x": "f"}, "text": "g", "other": "h",
        });
        let mut found = schema.of_format("path", &value).unwrap();
        found.sort();
        assert_eq!(found, ["/deep/a~1b", "/many/0", "/many/1", "/map/x", "/maybe", "/one"]);
        assert_eq!(
            schema.of_format("path", &json!({"one": null, "many": null})),
            Ok(Vec::new())
        );
        let has = |name: &str| schema.has_format("path", schema.field(name).unwrap());
        assert!(has("one") && has("many") && has("maybe") && !has("text"));
    }

    #[test]
    fn a_schema_that_never_ends_is_given_up() {
        let schema = Schema::of(json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"type": "object"}]}));
        // Whether or not the validator takes it, what looks for formats does not go on for ever.
        if let Ok(schema) = schema {
            assert!(schema.of_format("path", &json!({})).is_err());
        }
    }

    #[test]
    fn the_longest_way_through_a_schema_and_a_value_has_room_on_the_stack() {
        // Each part leads to the next by lists in lists, as deep as JSON may be.
        let parts: serde_json::Map<_, _> = (0..burden::BYTES_MAX / 1_100)
            .map(|part| {
                let next = json!({ "$ref": format!("#/x/{}", part + 1) });
                (
                    part.to_string(),
                    (0..100).fold(next, |inner, _| json!({ "items": inner })),
                )
            })
            .collect();
        let last = parts.len().to_string();
        let mut schema = json!({"$ref": "#/x/0", "x": parts});
        schema["x"][last] = json!({"type": "integer"});
        let schema = Schema::of(schema).unwrap();
        let value = (0..120).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(schema.check(&value), Ok(()));
        // And by one part for each reference.
        let parts: serde_json::Map<_, _> = (0..1_999)
            .map(|part| {
                (
                    part.to_string(),
                    json!({"items": {"$ref": format!("#/x/{}", part + 1)}}),
                )
            })
            .collect();
        let mut schema = json!({"$ref": "#/x/0", "x": parts});
        schema["x"]["1999"] = json!({"type": "integer"});
        assert_eq!(Schema::of(schema).unwrap().check(&value), Ok(()));
    }

    #[test]
    fn a_result_that_does_not_fit_is_told_in_words() {
        let schema = Schema::parse(r#"{"type":"object","required":["greeting"]}"#).unwrap();
        assert_eq!(
            check_result(&schema, &Payload::parse(r#"{"greeting":1}"#).unwrap()),
            Ok(())
        );
        let error = check_result(&schema, &Payload::parse("{}").unwrap()).unwrap_err();
        assert_eq!(error, "field `greeting` is missing");
    }

    #[test]
    fn what_is_shallow_needs_no_more_stack_than_half_of_what_a_thread_has() {
        for wrap in [
            |inner: Value| json!({"items": inner}),
            |inner: Value| json!({"not": inner}),
            |inner: Value| json!({"anyOf": [inner, {"type": "null"}]}),
            |inner: Value| json!({"properties": {"more": inner}, "required": ["more"]}),
        ] {
            let mut deepest = json!({"type": "string", "pattern": "^a*$"});
            while is_shallow(&wrap(deepest.clone()), SHALLOW_MAX) {
                deepest = wrap(deepest);
            }
            let thread = std::thread::Builder::new().stack_size(1 << 20);
            let parsed = thread.spawn(move || Schema::of(deepest).map(|schema| schema.is_shallow));
            assert_eq!(parsed.unwrap().join().unwrap(), Ok(true));
        }
    }
}
