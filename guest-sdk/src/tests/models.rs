use crate::bindings::skillhost::skill::model::{Block, Error, Reply, Request, Role, StopReason};
use crate::executor::block_on;
use crate::fake::{host, last_words, says};
use crate::prelude::*;

#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
struct Finding {
    title: String,
    #[schemars(range(min = 1, max = 5))]
    weight: u8,
}

/// Lets the model answer one thing after the other.
fn model_says<const N: usize>(replies: [Reply; N]) {
    let mut replies = replies.into_iter();
    host(|world| world.model = Box::new(move |_| Ok(replies.next().expect("no more replies are scripted"))));
}

fn stopped(text: &str, stop_reason: StopReason) -> Reply {
    Reply {
        stop_reason,
        ..says(text)
    }
}

fn finding() -> Result<Finding> {
    block_on(model::opus("Find").label("find").json())
}

fn asked() -> Vec<Request> {
    host(|world| world.asked.clone())
}

#[test]
fn a_reply_that_fits_takes_one_call() {
    model_says([says(r#"{"title": "a", "weight": 3}"#)]);
    assert_eq!(
        finding(),
        Ok(Finding {
            title: "a".to_owned(),
            weight: 3
        })
    );
    assert_eq!(asked().len(), 1);
}

#[test]
fn an_unusable_reply_is_repaired_once_and_the_model_is_shown_what_is_wrong() {
    model_says([says(r#"{"weight": 9}"#), says(r#"{"title": "a", "weight": 3}"#)]);
    assert_eq!(
        finding(),
        Ok(Finding {
            title: "a".to_owned(),
            weight: 3
        })
    );
    let repair = &asked()[1];
    let roles: Vec<Role> = repair.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
    let told = last_words(repair);
    assert!(
        told.starts_with("That reply cannot be used: the value has no member `title`; `weight` has to be at most 5."),
        "{told}"
    );
    assert_eq!(
        host(|world| world.calls[1].label.clone()),
        Some("find: repair".to_owned())
    );
}

#[test]
fn a_reply_that_is_unusable_twice_is_a_typed_failure_with_the_reply() {
    model_says([says("I would rather not."), says("No.")]);
    let failure = finding().expect_err("neither reply holds a value");
    assert_eq!(failure.code(), code::UNUSABLE_REPLY);
    assert_eq!(
        failure.message(),
        "the reply of fake-1 is not of the form that was asked for: there is no JSON in it"
    );
    assert_eq!(
        failure.details().map(|details| details["reply"].clone()),
        Some("No.".into())
    );
    assert_eq!(asked().len(), 2);
}

#[test]
fn a_provider_that_knows_schemas_is_held_to_one_and_any_other_is_told() {
    model_says([
        says(r#"{"title": "a", "weight": 3}"#),
        says(r#"{"title": "a", "weight": 3}"#),
    ]);
    assert!(finding().is_ok());
    host(|world| world.features.clear());
    assert!(finding().is_ok());
    let asked = asked();
    assert!(asked[0].output_schema.is_some() && last_words(&asked[0]) == "Find");
    assert!(asked[1].output_schema.is_none() && last_words(&asked[1]).contains("It must fit this JSON Schema"));
}

#[test]
fn a_model_that_searches_is_told_the_schema_because_it_cites() {
    model_says([says(r#"{"title": "a", "weight": 3}"#)]);
    let found: Result<Finding> = block_on(model::sonnet("Find").web_search(5).json());
    assert!(found.is_ok());
    assert_eq!(asked()[0].output_schema, None);
}

#[test]
fn a_paused_reply_is_continued_with_what_was_said_so_far() {
    model_says([
        stopped("one ", StopReason::Paused),
        stopped("two ", StopReason::Paused),
        says("three"),
    ]);
    let reply = block_on(model::opus("Count").reply()).expect("it ends");
    assert_eq!((reply.text(), reply.usage.output), ("one two three".to_owned(), 3));
    let last = asked().pop().expect("three were asked");
    assert_eq!(last.messages.len(), 3);
    assert_eq!(last.messages[1].content, [Block::Text("one ".to_owned())]);
}

#[test]
fn a_reply_that_is_paused_without_end_is_given_up() {
    host(|world| world.model = Box::new(|_| Ok(stopped("", StopReason::Paused))));
    let failure = block_on(model::opus("Count").text()).expect_err("it never ends");
    assert_eq!(failure.message(), "the provider paused its reply more than 10 times");
    assert_eq!(asked().len(), 11);
}

#[test]
fn refusals_and_tool_calls_are_failures_where_text_is_expected() {
    for (stop_reason, code) in [
        (StopReason::Refused, code::REFUSED),
        (StopReason::ContextFull, code::CONTEXT_FULL),
        (StopReason::ToolUse, code::TOOL_USE),
    ] {
        model_says([stopped("", stop_reason)]);
        assert!(finding().is_err_and(|failure| failure.code() == code));
    }
    assert_eq!(asked().len(), 3, "none is repaired");
}

#[test]
fn a_reply_that_was_cut_off_says_so_in_its_repair() {
    model_says([
        stopped(r#"{"title": "a"#, StopReason::MaxTokens),
        says(r#"{"title": "a", "weight": 3}"#),
    ]);
    assert!(finding().is_ok());
    let told = last_words(&asked()[1]);
    assert!(
        told.contains("it was cut off at its longest; it is not JSON: EOF while parsing a string"),
        "{told}"
    );
}

#[test]
fn errors_of_the_provider_keep_their_code() {
    host(|world| world.model = Box::new(|_| Err(Error::Budget("100 calls are spent".to_owned()))));
    let failure = finding().expect_err("nothing is left to spend");
    assert_eq!(format!("{failure:?}"), "budget: 100 calls are spent");
}
