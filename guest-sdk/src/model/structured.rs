//! Finds the value in a model's reply.
//!
//! Models wrap what they are asked for in words and fences, so it is looked for in four places, in this order: the whole text, a fenced block,
//! a block of `KEY|value` lines, and what stands between the outermost braces. The first that fits the schema is taken.

mod lines;
mod schema;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use schema::faults;

/// Returns the value that a reply holds, or says what is wrong with it.
pub(crate) fn value<T: DeserializeOwned>(text: &str, schema: &Value) -> Result<T, String> {
    let mut wrong = None;
    for candidate in candidates(text, schema) {
        match fit(candidate, schema) {
            Ok(value) => return Ok(value),
            // What is wrong with the likeliest place is what helps.
            Err(reason) => wrong = wrong.or(Some(reason)),
        }
    }
    Err(wrong.unwrap_or_else(|| unparsed(text)))
}

/// Says why nothing in a text is JSON.
fn unparsed(text: &str) -> String {
    let likeliest = fenced(text).first().map_or(text, |block| *block);
    match serde_json::from_str::<Value>(likeliest.trim()) {
        Err(error) if likeliest.trim().starts_with(['{', '[']) => format!("it is not JSON: {error}"),
        _ => "there is no JSON in it".to_owned(),
    }
}

/// Returns what may be the value, the likeliest first.
fn candidates(text: &str, schema: &Value) -> Vec<Value> {
    let text = text.trim();
    let mut found: Vec<Value> = Vec::new();
    found.extend(serde_json::from_str(text));
    found.extend(
        fenced(text)
            .into_iter()
            .filter_map(|block| serde_json::from_str(block).ok()),
    );
    found.extend(lines::block(text, schema));
    found.extend(outermost(text, '{', '}').and_then(|part| serde_json::from_str(part).ok()));
    found.extend(outermost(text, '[', ']').and_then(|part| serde_json::from_str(part).ok()));
    found
}

/// Returns the contents of fenced blocks, those that call themselves JSON first.
fn fenced(text: &str) -> Vec<&str> {
    let mut blocks: Vec<(&str, &str)> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("```") {
        let after = &rest[start + 3..];
        let Some((language, body)) = after.split_once('\n') else {
            break;
        };
        // A fence ends where a line begins with one; JSON strings have no line breaks, so none can be inside.
        let end = if body.starts_with("```") {
            Some(0)
        } else {
            body.find("\n```").map(|end| end + 1)
        };
        let Some(end) = end else { break };
        blocks.push((language.trim(), &body[..end]));
        rest = &body[end + 3..];
    }
    blocks.sort_by_key(|(language, _)| !language.eq_ignore_ascii_case("json"));
    blocks.into_iter().map(|(_, body)| body).collect()
}

fn outermost(text: &str, open: char, close: char) -> Option<&str> {
    let start = text.find(open)?;
    let end = text.rfind(close)?;
    (start < end).then(|| &text[start..=end])
}

fn fit<T: DeserializeOwned>(value: Value, schema: &Value) -> Result<T, String> {
    let faults = schema::faults(&value, schema);
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Tells a model in words what to answer, for providers that cannot hold it to a schema.
pub(crate) fn instructions(schema: &Value) -> String {
    format!(
        "Answer with one JSON value and nothing else: no words before or after it, no code fence. It must fit this JSON Schema:\n\n{schema}"
    )
}
