//! How much work a schema makes of checking a value. A skill writes its schemas, so one that would keep the host busy for ever is refused instead of used.
//!
//! [`check`] looks at a schema alone: that it is of a form in which it can be foreseen what it refers to, and that following it comes to an end. [`steps`] counts the
//! steps of checking one value: each part of a schema once for each time that it is held against a part of the value. The count is an upper bound that is had
//! without doing it, because what a reference leads to is counted once for each part of the value, however often it is referred to.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// The largest schema, in bytes.
pub const BYTES_MAX: usize = 256 << 10;
/// The most patterns in a schema: each may become a large machine.
const PATTERNS_MAX: usize = 64;
/// The most places that a schema refers to.
const TARGETS_MAX: usize = 2_000;
/// How many schemas may apply to the same part of a value because one leads to the next.
const CHAIN_MAX: usize = 64;
/// The most steps of checking a value.
pub const STEPS_MAX: u64 = 10_000_000;

/// Keywords of which the value is a schema for the same part of the value, a list of such, or names with such.
const SAME_ONE: &[&str] = &["not", "if", "then", "else"];
const SAME_LIST: &[&str] = &["allOf", "anyOf", "oneOf"];
const SAME_NAMED: &[&str] = &["dependentSchemas", "dependencies"];
/// Keywords of which the value is a schema for parts of the value, a list of such, or names with such.
const PART_ONE: &[&str] = &[
    "additionalProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const PART_LIST: &[&str] = &["prefixItems", "items"];
const PART_NAMED: &[&str] = &["properties", "patternProperties"];
/// Keywords of which the value holds schemas that apply to nothing by themselves.
const KEPT_NAMED: &[&str] = &["$defs", "definitions"];
/// Keywords by which a schema refers to what cannot be foreseen.
const UNFORESEEN: &[&str] = &["$dynamicRef", "$recursiveRef"];

/// Checks that a schema can be used without harm, whatever it is held against but for its size.
pub(super) fn check(root: &Value) -> Result<(), String> {
    let bytes = root.to_string().len();
    if bytes > BYTES_MAX {
        return Err(format!("it has {bytes} bytes; at most {BYTES_MAX} are taken"));
    }
    let mut look = Look {
        root,
        patterns: 0,
        looked: HashSet::new(),
        targets: HashSet::new(),
        chains: HashMap::new(),
    };
    look.everywhere()?;
    if look.patterns > PATTERNS_MAX {
        let patterns = look.patterns;
        return Err(format!("it has {patterns} patterns; at most {PATTERNS_MAX} are taken"));
    }
    if look.targets.len() > TARGETS_MAX {
        let targets = look.targets.len();
        return Err(format!(
            "it refers to {targets} places in itself; at most {TARGETS_MAX} are taken"
        ));
    }
    Ok(())
}

/// Returns how many steps it takes at most to check a value, or says that it takes too many. The schema was checked.
pub(super) fn steps(root: &Value, value: &Value) -> Result<u64, String> {
    let mut count = Count {
        root,
        counted: HashMap::new(),
        made: 0,
    };
    match count.at(root, value) {
        Some(steps) if steps <= STEPS_MAX => Ok(steps),
        _ => Err(format!(
            "checking it would take more than {STEPS_MAX} steps, because of what the schema refers to again and again; a simpler schema takes fewer"
        )),
    }
}

/// Returns what a reference leads to.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    match pointer.contains('%') {
        true => root.pointer(&percent_decoded(pointer)?),
        false => root.pointer(pointer),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                decoded.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
                after
            }
            (b'%', _) => return None,
            (byte, after) => {
                decoded.push(*byte);
                after
            }
        };
    }
    String::from_utf8(decoded).ok()
}

/// Names a place in memory: of parts of one schema, or of one value.
fn place(value: &Value) -> usize {
    std::ptr::from_ref(value).addr()
}

/// A look at a schema alone.
struct Look<'a> {
    root: &'a Value,
    patterns: usize,
    /// What was looked at.
    looked: HashSet<usize>,
    targets: HashSet<usize>,
    /// How long the chain is that begins at a part; none while it is being followed.
    chains: HashMap<usize, Option<usize>>,
}

impl<'a> Look<'a> {
    /// Looks at all that the schema holds and refers to: whatever is referred to is a schema, wherever it lies. Each part is looked at once.
    fn everywhere(&mut self) -> Result<(), String> {
        let mut open = vec![self.root];
        while let Some(schema) = open.pop() {
            let Some(members) = schema.as_object() else {
                continue;
            };
            if !self.looked.insert(place(schema)) {
                continue;
            }
            self.at(schema, members)?;
            let kept = named(members, KEPT_NAMED);
            open.extend(same(members).chain(parts(members)).chain(kept));
            open.extend(self.referred(members)?);
        }
        Ok(())
    }

    /// Looks at one part.
    fn at(&mut self, schema: &'a Value, members: &'a Map<String, Value>) -> Result<(), String> {
        if let Some(name) = UNFORESEEN.iter().find(|name| members.contains_key(**name)) {
            return Err(format!("it uses `{name}`, which is not followed here; `$ref` is"));
        }
        if place(schema) != place(self.root) && is_another(members) {
            return Err(ANOTHER.to_owned());
        }
        self.patterns += usize::from(members.contains_key("pattern"));
        self.patterns += members
            .get("patternProperties")
            .and_then(Value::as_object)
            .map_or(0, Map::len);
        self.chain(schema, 0).map(|_| ())
    }

    /// Returns what a part refers to.
    fn referred(&mut self, members: &'a Map<String, Value>) -> Result<Option<&'a Value>, String> {
        let Some(reference) = members.get("$ref").and_then(Value::as_str) else {
            return Ok(None);
        };
        let Some(target) = target(self.root, reference) else {
            return Err(format!(
                "it refers to `{reference}`, which is no place in it: references begin with `#/`, and nothing is fetched"
            ));
        };
        // What lies in a schema with an address of its own refers to places of that one.
        let within = reference.match_indices('/').skip(1);
        let holders = within.filter_map(|(end, _)| self::target(self.root, &reference[..end])?.as_object());
        if holders.into_iter().any(is_another) {
            return Err(ANOTHER.to_owned());
        }
        self.targets.insert(place(target));
        Ok(Some(target))
    }

    /// Returns how many schemas apply to the same part of a value because this one does, one leading to the next; `depth` of them lead to it.
    fn chain(&mut self, schema: &'a Value, depth: usize) -> Result<usize, String> {
        let Some(members) = schema.as_object() else {
            return Ok(0);
        };
        match self.chains.get(&place(schema)) {
            None => {}
            Some(None) => return Err("a part of it refers to itself, so that following it never ends".to_owned()),
            Some(Some(known)) => return Ok(*known),
        }
        // Asked on the way down, so that no stack is needed for what is refused.
        let too_long =
            || format!("more than {CHAIN_MAX} schemas in it apply to the same value, one leading to the next");
        if depth > CHAIN_MAX {
            return Err(too_long());
        }
        self.chains.insert(place(schema), None);
        let referred = members.get("$ref").and_then(Value::as_str);
        let referred = referred.and_then(|reference| target(self.root, reference));
        let mut longest = 0;
        for next in same(members).chain(referred) {
            longest = longest.max(1 + self.chain(next, depth + 1)?);
            if longest > CHAIN_MAX {
                return Err(too_long());
            }
        }
        self.chains.insert(place(schema), Some(longest));
        Ok(longest)
    }
}

/// Why a schema within another is refused.
const ANOTHER: &str = "it holds another schema with an `$id` of its own; only the whole schema may have one";

/// Returns whether a schema within another has an address of its own.
fn is_another(members: &Map<String, Value>) -> bool {
    ["$id", "id"]
        .iter()
        .any(|name| members.get(*name).is_some_and(Value::is_string))
}

/// A count of steps.
struct Count<'a> {
    root: &'a Value,
    /// What was counted for a place that is referred to and a part of the value; none while it is being counted.
    counted: HashMap<(usize, usize), Option<u64>>,
    /// What counting itself took.
    made: u64,
}

impl<'a> Count<'a> {
    /// Counts the steps of holding a part of the schema against a part of the value; none if there are too many to count.
    fn at(&mut self, schema: &'a Value, value: &'a Value) -> Option<u64> {
        self.made += 1;
        if self.made > STEPS_MAX {
            return None;
        }
        let Some(members) = schema.as_object() else {
            return Some(1);
        };
        let listed = members.get("enum").and_then(Value::as_array).map_or(0, Vec::len) as u64;
        let long = value.as_str().map_or(0, |text| text.len() / 32) as u64;
        let mut steps = 1 + members.len() as u64 + listed + long;
        // What is left over is found by looking at everything again.
        let again = match members.contains_key("unevaluatedProperties") || members.contains_key("unevaluatedItems") {
            true => 4,
            false => 1,
        };
        for next in same(members) {
            steps = steps.checked_add(self.at(next, value)?.checked_mul(again)?)?;
        }
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let target = target(self.root, reference)?;
            steps = steps.checked_add(self.referred(target, value)?.checked_mul(again)?)?;
        }
        steps = steps.checked_add(self.of_parts(members, value)?)?;
        (steps <= STEPS_MAX).then_some(steps)
    }

    fn referred(&mut self, schema: &'a Value, value: &'a Value) -> Option<u64> {
        let key = (place(schema), place(value));
        if let Some(known) = self.counted.get(&key) {
            // What leads back to itself takes steps without end; `check` refuses it.
            return *known;
        }
        self.counted.insert(key, None);
        let steps = self.at(schema, value)?;
        self.counted.insert(key, Some(steps));
        Some(steps)
    }

    /// Counts what applies to the members or the items of a value.
    fn of_parts(&mut self, members: &'a Map<String, Value>, value: &'a Value) -> Option<u64> {
        let mut steps: u64 = 0;
        if let Some(properties) = members.get("properties").and_then(Value::as_object) {
            steps = steps.checked_add(properties.len() as u64)?;
            for (name, schema) in properties {
                if let Some(part) = value.get(name) {
                    steps = steps.checked_add(self.at(schema, part)?)?;
                }
            }
        }
        let each = named(members, &["patternProperties"])
            .chain(ones(members, PART_ONE))
            .chain(lists(members, PART_LIST));
        for schema in each {
            match value {
                Value::Object(of) => {
                    for part in of.values() {
                        steps = steps.checked_add(self.at(schema, part)?)?;
                    }
                }
                Value::Array(of) => {
                    for part in of {
                        steps = steps.checked_add(self.at(schema, part)?)?;
                    }
                }
                _ => {}
            }
        }
        Some(steps)
    }
}

/// Returns the schemas that apply to the same part of a value, those that are referred to apart.
fn same(members: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    ones(members, SAME_ONE)
        .chain(lists(members, SAME_LIST))
        .chain(named(members, SAME_NAMED))
}

/// Returns the schemas that apply to parts of a value.
fn parts(members: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    ones(members, PART_ONE)
        .chain(lists(members, PART_LIST))
        .chain(named(members, PART_NAMED))
}

fn ones<'a>(members: &'a Map<String, Value>, names: &'static [&str]) -> impl Iterator<Item = &'a Value> {
    names
        .iter()
        .filter_map(|name| members.get(*name).filter(|value| value.is_object()))
}

fn lists<'a>(members: &'a Map<String, Value>, names: &'static [&str]) -> impl Iterator<Item = &'a Value> {
    names.iter().filter_map(|name| members.get(*name)?.as_array()).flatten()
}

fn named<'a>(members: &'a Map<String, Value>, names: &'static [&str]) -> impl Iterator<Item = &'a Value> {
    names
        .iter()
        .filter_map(|name| members.get(*name)?.as_object())
        .flat_map(Map::values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A schema of which each part applies the next one twice to the same value.
    fn doubling(parts: usize) -> Value {
        let mut defs = Map::new();
        for part in 0..parts {
            let next = json!({ "$ref": format!("#/$defs/a{}", part + 1) });
            defs.insert(format!("a{part}"), json!({ "allOf": [next, next] }));
        }
        defs.insert(format!("a{parts}"), json!({"type": "object"}));
        json!({ "$ref": "#/$defs/a0", "$defs": defs })
    }

    #[test]
    fn a_schema_that_doubles_is_counted_without_being_followed() {
        assert_eq!(check(&doubling(10)), Ok(()));
        assert!(steps(&doubling(10), &json!({})).is_ok());
        let told = steps(&doubling(30), &json!({})).expect_err("2^30 steps");
        assert!(told.contains("more than 10000000 steps"), "{told}");
        assert!(check(&doubling(200)).is_err_and(|told| told.contains("more than 64 schemas")));
    }

    #[test]
    fn a_schema_that_doubles_with_the_depth_of_a_value_is_counted_for_that_value() {
        let branch = json!({"properties": {"next": {"$ref": "#/$defs/a"}}});
        let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [branch, branch]}}});
        let nested = |depth: usize| (0..depth).fold(json!({}), |inner, _| json!({ "next": inner }));
        assert_eq!(check(&schema), Ok(()));
        assert!(steps(&schema, &nested(10)).is_ok());
        assert!(steps(&schema, &nested(100)).is_err());
    }

    #[test]
    fn what_refers_to_itself_at_the_same_value_never_ends() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            json!({"properties": {"x": {"allOf": [{"$ref": "#/properties/x"}]}}}),
        ] {
            assert!(
                check(&schema).is_err_and(|told| told.contains("refers to itself")),
                "{schema}"
            );
        }
        let list = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert_eq!(check(&list), Ok(()));
    }

    #[test]
    fn what_cannot_be_foreseen_is_refused_in_words() {
        for (schema, why) in [
            (
                json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
                "no place in it",
            ),
            (json!({"$ref": "#/$defs/nowhere"}), "no place in it"),
            (json!({"$dynamicRef": "#a"}), "`$dynamicRef`"),
            (json!({"properties": {"a": {"$id": "https://example.org/a"}}}), "`$id`"),
            (
                json!({"properties": (0..100).map(|n| (n.to_string(), json!({"pattern": "a"}))).collect::<Map<_, _>>()}),
                "100 patterns",
            ),
            (json!({"description": "x".repeat(BYTES_MAX)}), "bytes"),
        ] {
            assert!(check(&schema).is_err_and(|told| told.contains(why)), "{why}");
        }
        // A property may be called anything.
        assert_eq!(
            check(&json!({"properties": {"$id": {"type": "string"}, "id": {}}})),
            Ok(())
        );
        assert_eq!(check(&json!({"$ref": "#/$defs/a%20b", "$defs": {"a b": true}})), Ok(()));
    }

    #[test]
    fn what_is_referred_to_is_looked_at_wherever_it_lies() {
        let patterns: Map<_, _> = (0..100)
            .map(|n| (n.to_string(), json!({"pattern": n.to_string()})))
            .collect();
        let all: Vec<_> = (0..100).map(|n| json!({ "$ref": format!("#/x/{n}") })).collect();
        for (schema, why) in [
            (
                json!({"$ref": "#/x/a", "x": {"a": {"items": {"$ref": "#/x/b"}}, "b": {"$ref": "#/x/b"}}}),
                "refers to itself",
            ),
            (json!({"anyOf": all, "x": patterns}), "100 patterns"),
            (
                json!({"$ref": "#/x/a", "x": {"a": {"$dynamicRef": "#a"}}}),
                "`$dynamicRef`",
            ),
            (
                json!({"$ref": "#/x/a", "x": {"a": {"$id": "https://example.org/a"}}}),
                "`$id`",
            ),
            (
                json!({"$ref": "#/x/a", "x": {"$id": "https://example.org/a", "a": {"$ref": "#/b"}}, "b": true}),
                "`$id`",
            ),
            (
                json!({"$ref": "#/x/a", "x": {"a": {"$ref": "#/x/nowhere"}}}),
                "no place in it",
            ),
        ] {
            assert!(check(&schema).is_err_and(|told| told.contains(why)), "{why}");
        }
        let tree = json!({"$ref": "#/x/tree", "x": {"tree": {"items": {"$ref": "#/x/tree"}}}});
        assert_eq!(check(&tree), Ok(()));
        assert!(steps(&tree, &json!([[], [[]]])).is_ok());
    }

    #[test]
    fn a_long_chain_is_refused_before_it_is_followed_to_its_end() {
        let links: Map<_, _> = (0..8_000)
            .map(|n| (n.to_string(), json!({ "$ref": format!("#/{}", (n + 1) % 8_000) })))
            .collect();
        let schema = json!({"$ref": "#/x/0", "x": links.clone()});
        assert!(check(&schema).is_err());
        let mut schema = Value::Object(links);
        schema["$ref"] = "#/0".into();
        assert!(check(&schema).is_err_and(|told| told.contains("more than 64 schemas")));
    }

    #[test]
    fn counting_what_leads_back_to_itself_ends() {
        let schema = json!({"$ref": "#/x", "x": {"$ref": "#/x"}});
        assert!(steps(&schema, &json!(1)).is_err());
    }

    #[test]
    fn a_large_value_of_a_plain_schema_is_no_burden() {
        let schema = json!({"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}});
        let value: Value = (0..500_000).collect();
        assert!(steps(&schema, &value).is_ok());
    }
}
