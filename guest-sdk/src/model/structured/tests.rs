use serde_json::{Value, json};

use super::value;

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "title": { "type": "string" },
            "long_text": { "type": ["string", "null"] },
            "count": { "type": "integer", "minimum": 0 },
            "tags": { "$ref": "#/$defs/Tags" },
        },
        "required": ["title"],
        "$defs": { "Tags": { "type": "array", "items": { "type": "string" }, "maxItems": 3 } },
    })
}

#[track_caller]
fn finds(text: &str, expected: Value) {
    assert_eq!(value::<Value>(text, &schema()), Ok(expected));
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    assert_eq!(value::<Value>(text, &schema()), Err(expected.to_owned()));
}

#[test]
fn the_whole_text_is_tried_first() {
    finds(
        " {\"title\": \"has ``` in it {}\"}\n",
        json!({"title": "has ``` in it {}"}),
    );
}

#[test]
fn a_fenced_block_is_found_between_words_and_other_fences() {
    finds(
        "Sure:\n```python\nprint({})\n```\nand\n```json\n{\"title\": \"a\"}\n```\nas you wished",
        json!({"title": "a"}),
    );
    finds("```\n{\"title\": \"a\"}\n```", json!({"title": "a"}));
}

#[test]
fn a_fence_that_is_not_closed_leaves_the_braces() {
    finds("```json\n{\"title\": \"a\"}", json!({"title": "a"}));
}

#[test]
fn lines_of_keys_may_span_lines_and_hold_tables() {
    finds(
        "Here it is.\nSTRUCTURED_OUTPUT_START\nTITLE|a | b\nLONG-TEXT|first\n\n| x | y |\nNOTE|no key of the schema\n\nCOUNT| 3\nTAGS|one\nTAGS|two\nSTRUCTURED_OUTPUT_END\n",
        json!({"title": "a | b", "long_text": "first\n\n| x | y |\nNOTE|no key of the schema", "count": 3, "tags": ["one", "two"]}),
    );
    finds(
        "STRUCTURED_OUTPUT_START\nTITLE|7\nTAGS|[\"one\", \"two\"]\nSTRUCTURED_OUTPUT_END",
        json!({"title": "7", "tags": ["one", "two"]}),
    );
}

#[test]
fn the_outermost_braces_are_tried_last() {
    finds(
        "I think {\"title\": \"a\", \"count\": 1} is it",
        json!({"title": "a", "count": 1}),
    );
}

#[test]
fn a_place_that_does_not_fit_gives_way_to_one_that_does() {
    finds(
        "```json\n{\"count\": 1}\n```\nor rather\n```json\n{\"title\": \"a\"}\n```",
        json!({"title": "a"}),
    );
}

#[test]
fn a_list_is_found_between_brackets() {
    let list = json!({"type": "array", "items": {"type": "object"}});
    assert_eq!(
        value::<Value>("It is [{\"a\": 1}, {\"a\": 2}].", &list),
        Ok(json!([{"a": 1}, {"a": 2}]))
    );
}

#[test]
fn what_is_wrong_is_said_for_all_that_is_wrong() {
    refuses(
        r#"{"count": -1, "tags": ["a", 2, "c", "d"]}"#,
        "the value has no member `title`; `count` has to be at least 0; `tags` may have at most 3 items, not 4; `tags`[1] has to be of type string, not number",
    );
    refuses("", "there is no JSON in it");
    refuses(
        "{\"title\": \"a\",}",
        "it is not JSON: trailing comma at line 1 column 15",
    );
}

#[test]
fn alternatives_are_judged_by_the_one_that_fits_best() {
    let either = json!({"anyOf": [
        {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind", "x", "y"]},
        {"type": "object", "properties": {"kind": {"enum": ["b", "c"]}}, "required": ["kind"]},
    ]});
    assert_eq!(
        value::<Value>(r#"{"kind": "d"}"#, &either),
        Err("`kind` has to be one of \"b\", \"c\", not \"d\"".to_owned())
    );
    assert_eq!(value::<Value>(r#"{"kind": "c"}"#, &either), Ok(json!({"kind": "c"})));
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let list = json!({"$ref": "#/$defs/List", "$defs": {"List": {
        "type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/List"}, {"type": "null"}]}}
    }}});
    let value_of = |text| value::<Value>(text, &list);
    assert!(value_of(r#"{"next": {"next": {"next": null}}}"#).is_ok());
    assert!(value_of(r#"{"next": {"next": {"next": 7}}}"#).is_err());
    assert!(value::<Value>("1", &json!({"$ref": "#"})).is_ok());
}
