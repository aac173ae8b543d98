//! JSON Schemas in the form to which a provider can hold its models.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::http::Endpoint;
use super::{Asked, Miss};
use skillhost_core::id::Digest;
use skillhost_core::machine::Again;
use skillhost_core::outcome::Fault;
use skillhost_core::retry::FaultKind;

/// The largest schema that is looked at, in bytes. It is a skill's, and is looked at where others wait.
const BYTES_MAX: usize = 256 << 10;

/// The deepest schema that is looked at.
const DEPTH_MAX: u32 = 64;

/// Keywords that say something of values of one kind only.
const OF_A_KIND: [(&str, &str); 4] = [
    ("properties", "object"),
    ("required", "object"),
    ("items", "array"),
    ("minItems", "array"),
];

/// Keywords that are not repeated for each of several types: what is nested in them would double with each level.
const NOT_REPEATED: [&str; 4] = ["anyOf", "allOf", "$defs", "definitions"];

/// Formats of texts that are known to providers.
const FORMATS: [&str; 8] = ["date-time", "time", "date", "email", "uri", "uuid", "ipv4", "ipv6"];

/// Returns the schema with every object closed and without the bounds that a grammar cannot express. The skill checks those itself.
///
/// Returns `None` if it cannot be put that way: an object with names of its own choosing, a schema that allows anything, one that is too large or refers to itself.
pub(super) fn closed(schema: &Value) -> Option<Value> {
    if schema.to_string().len() > BYTES_MAX || refers_to_itself(schema) {
        return None;
    }
    close(schema, DEPTH_MAX)
}

/// How many refused schemas are remembered; when there are more, all are forgotten, and each is tried again once.
const REFUSED_MAX: usize = 10_000;

/// Which schemas providers refused, for all runs of a worker. Each is sent once in vain: the machine performs the call again, so that every request is on an account.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<HashSet<Digest>>);

impl Refused {
    /// Returns the schema, unless the provider refused it for that model.
    pub(super) fn without<T>(&self, endpoint: &Endpoint, asked: &Asked<'_>, schema: Option<T>) -> Option<T> {
        let refused = self.0.lock().expect("nothing panics while it holds the lock");
        schema.filter(|_| refused.is_empty() || !refused.contains(&named(endpoint, asked)))
    }

    /// Takes in how a request ended that was sent with a schema. If that is why it was refused, it is to be performed again, without it.
    pub(super) fn blame(&self, endpoint: &Endpoint, asked: &Asked<'_>, miss: Miss) -> Miss {
        if !is_to_blame(&miss) {
            return miss;
        }
        let mut refused = self.0.lock().expect("nothing panics while it holds the lock");
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused.insert(named(endpoint, asked));
        Miss {
            again: Some(Again {
                kind: FaultKind::Form,
                after: None,
            }),
            ..miss
        }
    }
}

/// Names a schema that a provider is asked to hold a model to.
fn named(endpoint: &Endpoint, asked: &Asked<'_>) -> Digest {
    let schema = asked.request.output_schema.as_ref();
    Digest::of(json!([endpoint.base_url(), asked.model, schema]).to_string().as_bytes())
}

/// Returns whether a provider refused a request because of its schema.
fn is_to_blame(miss: &Miss) -> bool {
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

/// Several types become one schema for each, which is how optional members are written. What is nested goes with the one type that it is about.
fn one_of_types(types: &[Value], kept: Map<String, Value>) -> Option<Value> {
    let is_repeated = |index: usize| types[..index].contains(&types[index]);
    // There are seven types, so the look back is short.
    if types.len() > 7 || (0..types.len()).any(is_repeated) || NOT_REPEATED.iter().any(|name| kept.contains_key(*name))
    {
        return None;
    }
    let of_type = |kind: &Value| {
        let is_about = |name: &str| OF_A_KIND.iter().all(|(known, of)| *known != name || kind == of);
        let about = kept.iter().filter(|(name, _)| is_about(name) && *name != "description");
        let mut members: Map<_, _> = about.map(|(name, value)| (name.clone(), value.clone())).collect();
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

/// Returns whether following a schema into its parts and along its references leads back to where one was, or to nowhere. Each part is followed once.
fn refers_to_itself(root: &Value) -> bool {
    let place = |value: &Value| std::ptr::from_ref(value).addr();
    // Whether all that a part leads to was followed.
    let mut followed: HashMap<usize, bool> = HashMap::new();
    let mut open = vec![root];
    while let Some(part) = open.last() {
        let part = *part;
        match followed.get(&place(part)) {
            Some(_) => {
                followed.insert(place(part), true);
                open.pop();
                continue;
            }
            None => followed.insert(place(part), false),
        };
        let Some(next) = leads_to(root, part) else {
            return true;
        };
        for next in next {
            match followed.get(&place(next)) {
                // It is on the way here.
                Some(false) => return true,
                Some(true) => {}
                None => open.push(next),
            }
        }
    }
    false
}

/// Returns the parts of a part, and what it refers to; nothing, if that is nowhere.
fn leads_to<'a>(root: &'a Value, part: &'a Value) -> Option<Vec<&'a Value>> {
    let mut next = Vec::new();
    match part {
        Value::Array(parts) => next.extend(parts.iter().filter(|part| part.is_object() || part.is_array())),
        Value::Object(members) => {
            next.extend(members.values().filter(|part| part.is_object() || part.is_array()));
            if let Some(Value::String(reference)) = members.get("$ref") {
                next.push(root.pointer(reference.strip_prefix('#')?)?);
            }
        }
        _ => {}
    }
    Some(next)
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

    #[test]
    fn references_are_followed_once_each_and_cycles_found_wherever_they_lie() {
        let leads = |text: &str| refers_to_itself(&serde_json::from_str(text).unwrap());
        assert!(leads(r##"{"$ref":"#"}"##));
        assert!(leads(r##"{"properties":{"a":{"items":{"$ref":"#/properties/a"}}}}"##));
        assert!(leads(
            r##"{"$ref":"#/x/a","x":{"a":{"items":{"$ref":"#/x/b"}},"b":{"$ref":"#/x/a"}}}"##
        ));
        assert!(leads(r##"{"$ref":"#/$defs/nowhere"}"##));
        assert!(!leads(
            r##"{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}],"$defs":{"a":{"items":{"$ref":"#/$defs/b"}},"b":{}}}"##
        ));
        assert!(!leads(
            r##"{"properties":{"$ref":{"type":"string"},"b":{"$ref":"#/properties/$ref"}}}"##
        ));
    }

    #[test]
    fn a_schema_of_very_many_definitions_is_gone_through_once() {
        let definition = |n: usize| (format!("d{n}"), json!({ "$ref": format!("#/$defs/d{}", n + 1) }));
        let few: Map<_, _> = (0..5_000).map(definition).collect();
        let mut schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": few});
        schema["$defs"]["d5000"] = json!({"type": "string"});
        // As many as fit: a way that grows with their square takes minutes for them, and a recursive one more stack than there is.
        assert!(closed(&schema).is_some());
        let many: Map<_, _> = (0..60_000).map(definition).collect();
        assert_eq!(
            closed(&json!({"type": "object", "properties": {}, "$defs": many})),
            None
        );
    }

    #[test]
    fn types_do_not_multiply_what_is_nested() {
        let types = json!(["object", "array", "string", "number", "boolean", "null"]);
        let nested = (0..60).fold(
            json!({"type": "string"}),
            |inner, _| json!({"type": types, "properties": {"a": inner}}),
        );
        let deep = closed(&nested).map(|closed| closed.to_string().len());
        assert!(deep.is_some_and(|bytes| bytes < 100_000), "{deep:?}");
        let nested = (0..60).fold(
            json!({"type": "string"}),
            |inner, _| json!({"type": ["string", "number"], "anyOf": [inner]}),
        );
        assert_eq!(closed(&nested), None);
        assert_eq!(closed(&json!({"type": vec!["null"; 20_000], "enum": [1]})), None);
    }
}
