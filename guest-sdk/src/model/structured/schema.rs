//! Checks a value against the schemas that `schemars` makes, and says in words for a model what does not fit.
//!
//! Reading the value into its type already refuses most of what is wrong, but it stops at the first fault and does not know about bounds. Here all
//! faults are found, so that one repair is enough. Keywords that are not known here (`pattern`, `format`, `not`) are passed over: a check that
//! refuses what its type accepts would be worse than none, and a whole validator is ten times the code of a small skill (2.6 MB against 0.2 MB).

use serde_json::{Map, Value};

/// The most faults that are told of.
const FAULTS_MAX: usize = 8;

/// How deep references and values are followed.
const DEPTH_MAX: usize = 64;

/// Returns what does not fit, a sentence for each fault; nothing if all of it fits.
pub(crate) fn faults(value: &Value, schema: &Value) -> Vec<String> {
    let mut check = Check {
        root: schema,
        faults: Vec::new(),
    };
    check.value(value, schema, "", 0);
    check.faults
}

struct Check<'s> {
    root: &'s Value,
    faults: Vec<String>,
}

impl Check<'_> {
    fn fault(&mut self, place: &str, what: &str) {
        if self.faults.len() < FAULTS_MAX {
            let place = if place.is_empty() { "the value" } else { place };
            self.faults.push(format!("{place} {what}"));
        }
    }

    fn value(&mut self, value: &Value, schema: &Value, place: &str, depth: usize) {
        let Some(schema) = schema.as_object().filter(|_| depth < DEPTH_MAX) else {
            return;
        };
        if let Some(referenced) = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| self.resolve(reference))
        {
            self.value(value, &referenced, place, depth + 1);
        }
        self.kind(value, schema, place);
        self.choice(value, schema, place, depth);
        match value {
            Value::Object(members) => self.object(members, schema, place, depth),
            Value::Array(items) => self.array(items, schema, place, depth),
            Value::Number(number) => self.number(number.as_f64().unwrap_or_default(), schema, place),
            Value::String(text) => self.length(
                text.chars().count(),
                schema,
                ["minLength", "maxLength"],
                "characters",
                place,
            ),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn resolve(&self, reference: &str) -> Option<Value> {
        self.root.pointer(reference.strip_prefix('#')?).cloned()
    }

    fn kind(&mut self, value: &Value, schema: &Map<String, Value>, place: &str) {
        let kinds: Vec<&str> = match schema.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        if !kinds.iter().any(|kind| is(value, kind)) {
            self.fault(
                place,
                &format!("has to be of type {}, not {}", kinds.join(" or "), kind_of(value)),
            );
        }
    }

    fn choice(&mut self, value: &Value, schema: &Map<String, Value>, place: &str, depth: usize) {
        if let Some(only) = schema.get("const")
            && only != value
        {
            self.fault(place, &format!("has to be {only}"));
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array)
            && !choices.contains(value)
        {
            let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
            self.fault(place, &format!("has to be one of {}, not {value}", choices.join(", ")));
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.value(value, part, place, depth + 1);
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(parts) = schema.get(keyword).and_then(Value::as_array) else {
                continue;
            };
            let mut closest: Option<Vec<String>> = None;
            for part in parts {
                let mut check = Check {
                    root: self.root,
                    faults: Vec::new(),
                };
                check.value(value, part, place, depth + 1);
                if closest
                    .as_ref()
                    .is_none_or(|closest| check.faults.len() < closest.len())
                {
                    closest = Some(check.faults);
                }
            }
            // What is wrong with the alternative that fits best is what helps.
            for fault in closest.unwrap_or_default() {
                if self.faults.len() < FAULTS_MAX {
                    self.faults.push(fault);
                }
            }
        }
    }

    fn object(&mut self, members: &Map<String, Value>, schema: &Map<String, Value>, place: &str, depth: usize) {
        let properties = schema.get("properties").and_then(Value::as_object);
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if let Some(name) = name.as_str()
                && !members.contains_key(name)
            {
                self.fault(place, &format!("has no member `{name}`"));
            }
        }
        for (name, value) in members {
            let place = if place.is_empty() {
                format!("`{name}`")
            } else {
                format!("{place}.`{name}`")
            };
            match (
                properties.and_then(|properties| properties.get(name)),
                schema.get("additionalProperties"),
            ) {
                (Some(property), _) => self.value(value, property, &place, depth + 1),
                (None, Some(Value::Bool(false))) => self.fault(&place, "is not a member that was asked for"),
                (None, Some(others)) => self.value(value, others, &place, depth + 1),
                (None, None) => {}
            }
        }
    }

    fn array(&mut self, items: &[Value], schema: &Map<String, Value>, place: &str, depth: usize) {
        self.length(items.len(), schema, ["minItems", "maxItems"], "items", place);
        let prefix = schema
            .get("prefixItems")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = prefix.get(index).or_else(|| schema.get("items")) {
                self.value(item, schema, &format!("{place}[{index}]"), depth + 1);
            }
        }
    }

    fn number(&mut self, number: f64, schema: &Map<String, Value>, place: &str) {
        let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            self.fault(place, &format!("has to be at least {least}"));
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            self.fault(place, &format!("has to be at most {most}"));
        }
        if let Some(below) = bound("exclusiveMaximum").filter(|below| number >= *below) {
            self.fault(place, &format!("has to be less than {below}"));
        }
        if let Some(above) = bound("exclusiveMinimum").filter(|above| number <= *above) {
            self.fault(place, &format!("has to be more than {above}"));
        }
    }

    fn length(&mut self, length: usize, schema: &Map<String, Value>, [min, max]: [&str; 2], what: &str, place: &str) {
        let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
        let length = length as u64;
        if let Some(least) = bound(min).filter(|least| length < *least) {
            self.fault(place, &format!("has to have at least {least} {what}, not {length}"));
        }
        if let Some(most) = bound(max).filter(|most| length > *most) {
            self.fault(place, &format!("may have at most {most} {what}, not {length}"));
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match (kind, value) {
        ("integer", Value::Number(number)) => number.as_f64().is_some_and(|number| number.fract() == 0.0),
        ("number", Value::Number(_)) => true,
        _ => kind_of(value) == kind,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
