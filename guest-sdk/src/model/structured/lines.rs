//! Values that a model writes as lines, which long texts survive better than JSON:
//!
//! ```text
//! STRUCTURED_OUTPUT_START
//! TITLE|A title
//! BODY|A text that
//! goes on over lines
//! STRUCTURED_OUTPUT_END
//! ```

use serde_json::{Map, Value};

const START: &str = "STRUCTURED_OUTPUT_START";
const END: &str = "STRUCTURED_OUTPUT_END";

/// Reads the last such block. A line begins a value if it names a property of the schema, in whatever case; any other goes on with the value before.
/// A key that comes again adds to a list.
pub(super) fn block(text: &str, schema: &Value) -> Option<Value> {
    let start = text.rfind(START)? + START.len();
    let body = &text[start..];
    let body = &body[..body.find(END)?];
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut values: Vec<(String, String)> = Vec::new();
    for line in body.trim_matches(['\r', '\n']).lines() {
        match key(line, properties) {
            Some((key, value)) => values.push((key, value.to_owned())),
            None => {
                // Nothing goes before the first key.
                let (_, value) = values.last_mut()?;
                value.push('\n');
                value.push_str(line);
            }
        }
    }
    let mut object = Map::new();
    for (key, text) in values {
        let kind = properties.and_then(|properties| kind(properties.get(&key)?, schema));
        let text = text.trim();
        if kind.as_deref() != Some("array") {
            object.insert(key, typed(text, kind.as_deref()));
            continue;
        }
        let list = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
        let list = list.as_array_mut().expect("made as one above");
        match serde_json::from_str(text) {
            Ok(Value::Array(items)) => list.extend(items),
            Ok(item) => list.push(item),
            Err(_) => list.push(text.into()),
        }
    }
    (!object.is_empty()).then_some(Value::Object(object))
}

/// Splits a line that begins a value into the property's name and the rest.
fn key<'l>(line: &'l str, properties: Option<&Map<String, Value>>) -> Option<(String, &'l str)> {
    let (key, value) = line.split_once('|')?;
    let key = key.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return None;
    }
    match properties {
        Some(properties) => {
            let name = properties.keys().find(|name| alike(name, key))?;
            Some((name.clone(), value))
        }
        None => Some((key.to_ascii_lowercase(), value)),
    }
}

/// Compares names without regard to case and to how their words are joined.
fn alike(name: &str, key: &str) -> bool {
    let letters = |text: &str| -> Vec<u8> {
        text.bytes()
            .filter(u8::is_ascii_alphanumeric)
            .map(|byte| byte.to_ascii_lowercase())
            .collect()
    };
    letters(name) == letters(key)
}

/// Returns the type that a property's schema names, `null` aside.
fn kind(property: &Value, schema: &Value) -> Option<String> {
    if let Some(reference) = property.get("$ref").and_then(Value::as_str) {
        return kind(schema.pointer(reference.strip_prefix('#')?)?, schema);
    }
    match property.get("type")? {
        Value::String(kind) => Some(kind.clone()),
        Value::Array(kinds) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").map(str::to_owned)
        }
        _ => None,
    }
}

fn typed(text: &str, kind: Option<&str>) -> Value {
    if kind == Some("string") {
        return text.into();
    }
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
