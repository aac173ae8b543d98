//! JSON Schemas in the form to which a provider can hold its models.

use serde_json::{Map, Value, json};

use super::Miss;
use skillhost_core::outcome::Fault;

/// The deepest schema that is looked at.
const DEPTH_MAX: u32 = 64;

/// Formats of texts that are known to providers.
const FORMATS: [&str; 8] = ["date-time", "time", "date", "email", "uri", "uuid", "ipv4", "ipv6"];

/// Returns the schema with every object closed and without the bounds that a grammar cannot express. The skill checks those itself.
///
/// Returns `None` if it cannot be put that way: an object with names of its own choosing, a schema that allows anything, one that refers to itself.
pub(super) fn closed(schema: &Value) -> Option<Value> {
    if refers_to_itself(schema) {
        return None;
    }
    close(schema, DEPTH_MAX)
}

/// Returns whether a provider refused a request because of its schema.
pub(super) fn is_to_blame(miss: &Miss) -> bool {
    let message = &miss.fault.message;
    let named = [
        "schema",
        "output_config",
        "output_format",
        "response_format",
        "structured output",
    ];
    miss.fault.code == Fault::INVALID && named.iter().any(|word| message.contains(word))
}

fn close(schema: &Value, depth: u32) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let members = schema.as_object().filter(|members| !members.is_empty())?;
    let mut kept = Map::new();
    for (name, value) in members {
        let closed = match name.as_str() {
            "type" if value.is_array() => continue,
            "type" | "enum" | "const" | "description" | "title" | "$ref" | "required" => value.clone(),
            "format" if FORMATS.contains(&value.as_str().unwrap_or("")) => value.clone(),
            "minItems" if matches!(value.as_u64(), Some(0 | 1)) => value.clone(),
            "items" => close(value, depth)?,
            "properties" | "$defs" | "definitions" => close_members(value, depth)?,
            "anyOf" | "allOf" => close_all(value, depth)?,
            "oneOf" => {
                kept.insert("anyOf".to_owned(), close_all(value, depth)?);
                continue;
            }
            "additionalProperties" if *value == Value::Bool(false) => continue,
            "additionalProperties" | "patternProperties" | "prefixItems" | "not" | "if" => return None,
            _ => continue,
        };
        kept.insert(name.clone(), closed);
    }
    match members.get("type") {
        Some(Value::Array(types)) => one_of_types(types, kept),
        Some(kind) if kind == "object" && !kept.contains_key("properties") => None,
        Some(kind) if kind == "object" => {
            kept.insert("additionalProperties".to_owned(), false.into());
            Some(Value::Object(kept))
        }
        Some(_) => Some(Value::Object(kept)),
        None => ["$ref", "anyOf", "allOf", "enum", "const"]
            .iter()
            .any(|name| kept.contains_key(*name))
            .then_some(Value::Object(kept)),
    }
}

/// Several types become one schema for each, which is how optional members are written.
fn one_of_types(types: &[Value], kept: Map<String, Value>) -> Option<Value> {
    let of_type = |kind: &Value| {
        let mut members = kept.clone();
        members.remove("description");
        let allowed = members.get("enum").and_then(Value::as_array);
        let is_null = kind == "null";
        if is_null {
            members.clear();
        } else if let Some(allowed) = allowed {
            let others: Vec<Value> = allowed.iter().filter(|value| !value.is_null()).cloned().collect();
            members.insert("enum".to_owned(), others.into());
        }
        members.insert("type".to_owned(), kind.clone());
        if kind == "object" {
            members.get("properties")?;
            members.insert("additionalProperties".to_owned(), false.into());
        }
        Some(Value::Object(members))
    };
    let any: Option<Vec<Value>> = types.iter().map(of_type).collect();
    let mut schema = json!({"anyOf": any?});
    if let Some(description) = kept.get("description") {
        schema["description"] = description.clone();
    }
    Some(schema)
}

fn close_members(value: &Value, depth: u32) -> Option<Value> {
    let closed = value
        .as_object()?
        .iter()
        .map(|(name, schema)| Some((name.clone(), close(schema, depth)?)));
    closed.collect::<Option<Map<_, _>>>().map(Value::Object)
}

fn close_all(value: &Value, depth: u32) -> Option<Value> {
    let closed = value.as_array()?.iter().map(|schema| close(schema, depth));
    closed.collect::<Option<Vec<_>>>().map(Value::Array)
}

fn refers_to_itself(schema: &Value) -> bool {
    let definitions = ["$defs", "definitions"]
        .into_iter()
        .filter_map(|name| schema.get(name)?.as_object());
    let definitions: Vec<(&String, &Value)> = definitions.flatten().collect();
    let edges = |from: &Value| {
        let text = from.to_string();
        let named = |name: &str| text.contains(&format!("/{name}\""));
        definitions
            .iter()
            .enumerate()
            .filter(|(_, (name, _))| named(name))
            .map(|(index, _)| index)
            .collect::<Vec<_>>()
    };
    let next: Vec<Vec<usize>> = definitions.iter().map(|(_, definition)| edges(definition)).collect();
    if schema.to_string().contains("\"$ref\":\"#\"") {
        return true;
    }
    (0..next.len()).any(|start| {
        let mut seen = vec![false; next.len()];
        let mut open = next[start].clone();
        while let Some(at) = open.pop() {
            if at == start {
                return true;
            }
            if !std::mem::replace(&mut seen[at], true) {
                open.extend(&next[at]);
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_and_bounds_are_left_to_the_skill() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Plan",
            "type": "object",
            "properties": {
                "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "minItems": 1, "maxItems": 8},
                "note": {"type": ["string", "null"], "description": "if any", "maxLength": 80},
                "count": {"type": "integer", "format": "uint32", "minimum": 0},
            },
            "required": ["parts"],
            "$defs": {"Part": {"type": "object", "properties": {"kind": {"oneOf": [{"const": "a"}, {"const": "b"}]}}}},
        });
        assert_eq!(
            closed(&schema),
            Some(json!({
                "title": "Plan",
                "type": "object",
                "properties": {
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "minItems": 1},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "if any"},
                    "count": {"type": "integer"},
                },
                "required": ["parts"],
                "$defs": {"Part": {"type": "object", "properties": {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}}, "additionalProperties": false}},
                "additionalProperties": false,
            }))
        );
    }

    #[test]
    fn what_a_grammar_cannot_express_is_not_asked_for() {
        for schema in [
            json!(true),
            json!({}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "object"}),
            json!({"type": "object", "properties": {"any": true}}),
            json!({"$ref": "#/$defs/Tree", "$defs": {"Tree": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}}}),
        ] {
            assert_eq!(closed(&schema), None, "{schema}");
        }
    }
}
