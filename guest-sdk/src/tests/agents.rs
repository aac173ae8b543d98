use std::cell::Cell;

use crate::bindings::skillhost::skill::model::{Block, Reply, Request, Role, StopReason, ToolCall, ToolOutcome};
use crate::executor::block_on;
use crate::fake::{State, host, last_words, says};
use crate::prelude::*;

#[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
struct Answer {
    text: String,
}

#[tool("Reads a file")]
async fn read(
    /// Relative to the folder.
    path: String,
) -> Result<String> {
    files::mount("notes")?.read_text(path).await
}

/// Adds numbers,
/// several at once.
///
/// This is for readers of the source.
#[tool]
async fn add(numbers: Vec<u32>, #[serde(default)] twice: bool) -> Result<u32> {
    let sum: u32 = numbers.iter().sum();
    Ok(if twice { sum * 2 } else { sum })
}

#[tool("Gives up")]
async fn give_up() -> Result<()> {
    Err(Failure::new("hopeless", "nothing can be done").fatal())
}

/// A reply that asks for tools.
fn wants<const N: usize>(calls: [(&str, &str, &str); N]) -> Reply {
    let calls = calls.map(|(id, name, input)| {
        Block::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            input: input.to_owned(),
        })
    });
    Reply {
        content: std::iter::once(Block::Text("Let me see.".to_owned()))
            .chain(calls)
            .collect(),
        stop_reason: StopReason::ToolUse,
        ..says("")
    }
}

fn model_says<const N: usize>(replies: [Reply; N]) {
    let mut replies = replies.into_iter();
    host(|world| world.model = Box::new(move |_| Ok(replies.next().expect("no more replies are scripted"))));
}

fn asked() -> Vec<Request> {
    host(|world| world.asked.clone())
}

/// Returns what the tools answered in the last message of a request: id, answer, whether it is an error.
fn outcomes(request: &Request) -> Vec<(String, String, bool)> {
    let last = request.messages.last().expect("a request has messages");
    let outcome = |block: &Block| match block {
        Block::ToolOutcome(ToolOutcome { id, content, is_error }) => Some((id.clone(), content.clone(), *is_error)),
        _ => None,
    };
    last.content.iter().filter_map(outcome).collect()
}

fn file(path: &str, text: &str) {
    host(|world| world.files.insert(path.to_owned(), text.into()));
}

fn answered(id: &str, content: &str) -> (String, String, bool) {
    (id.to_owned(), content.to_owned(), false)
}

fn refused(id: &str, content: &str) -> (String, String, bool) {
    (id.to_owned(), content.to_owned(), true)
}

#[test]
fn an_agent_uses_tools_until_it_has_an_answer() {
    file("notes/a.md", "seven");
    model_says([
        wants([("t1", "read", r#"{"path": "a.md"}"#)]),
        wants([("t2", "add", r#"{"numbers": [7, 8], "twice": true}"#)]),
        says("It is 30."),
    ]);
    let agent = Agent::sonnet("Be exact.").tools((read, add)).label("sum");
    assert_eq!(block_on(agent.ask("Add up").text()), Ok("It is 30.".to_owned()));
    let asked = asked();
    let roles: Vec<Role> = asked[2].messages.iter().map(|message| message.role).collect();
    assert_eq!(
        roles,
        [Role::User, Role::Assistant, Role::User, Role::Assistant, Role::User]
    );
    assert_eq!(outcomes(&asked[1]), [answered("t1", "seven")]);
    assert_eq!(outcomes(&asked[2]), [answered("t2", "30")]);
    assert_eq!(asked[0].system.as_deref(), Some("Be exact."));
    let labels: Vec<_> = host(|world| world.calls.iter().filter_map(|call| call.label.clone()).collect());
    assert_eq!(labels, ["sum: turn 1", "sum: turn 2", "sum: turn 3"]);
}

#[test]
fn the_schema_of_a_tool_is_that_of_its_arguments() {
    use crate::bindings::skillhost::skill::model::Tool;
    model_says([says("Done.")]);
    assert!(block_on(Agent::haiku("").tools((read, add)).ask("Go").text()).is_ok());
    let asked = asked();
    let [Tool::Function(read), Tool::Function(add)] = asked[0].tools.as_slice() else {
        panic!("{:?}", asked[0].tools);
    };
    assert_eq!(
        (read.name.as_str(), read.description.as_str()),
        ("read", "Reads a file")
    );
    let schema: serde_json::Value = serde_json::from_str(&read.input_schema).expect("a schema is JSON");
    assert_eq!(schema["properties"]["path"]["description"], "Relative to the folder.");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(add.description, "Adds numbers, several at once.");
    let schema: serde_json::Value = serde_json::from_str(&add.input_schema).expect("a schema is JSON");
    assert_eq!(schema["required"], serde_json::json!(["numbers"]));
}

#[test]
fn the_tools_of_one_turn_run_at_once_and_are_answered_in_order() {
    for path in ["notes/a", "notes/b", "notes/c"] {
        file(path, path);
    }
    model_says([
        wants(["a", "b", "c"].map(|name| {
            let input = match name {
                "a" => r#"{"path": "a"}"#,
                "b" => r#"{"path": "b"}"#,
                _ => r#"{"path": "c"}"#,
            };
            (name, "read", input)
        })),
        says("Done."),
    ]);
    host(|world| world.next = Box::new(|open| open[open.len() - 1].number));
    assert!(block_on(Agent::haiku("").tools(read).ask("Go").text()).is_ok());
    let expected = ["a", "b", "c"].map(|name| answered(name, &format!("notes/{name}")));
    assert_eq!(outcomes(&asked()[1]), expected);
    let what = host(|world| world.what().join("; "));
    assert!(what.contains("read notes/a; read notes/b; read notes/c"), "{what}");
}

#[test]
fn a_tool_that_fails_tells_the_model_and_so_do_arguments_that_do_not_fit_and_unknown_names() {
    model_says([
        wants([
            ("1", "read", r#"{"path": "none"}"#),
            ("2", "add", r#"{"numbers": ["x"], "thrice": true}"#),
            ("3", "ad", "{}"),
            ("4", "add", "{"),
        ]),
        says("I see."),
    ]);
    assert!(block_on(Agent::haiku("").tools((read, add)).ask("Go").text()).is_ok());
    let told = outcomes(&asked()[1]);
    assert_eq!(
        told,
        [
            refused("1", "notes/none"),
            refused(
                "2",
                "the arguments of `add` cannot be used: `numbers`[0] has to be of type integer, not string; \
                 `thrice` is not a member that was asked for"
            ),
            refused("3", "there is no tool `ad`; there are: read, add"),
            refused(
                "4",
                "the arguments of `add` cannot be used: EOF while parsing an object at line 1 column 1"
            ),
        ]
    );
    let warned = host(|world| {
        world
            .log
            .contains(&"Level::Warn: tool `read` failed: notes/none".to_owned())
    });
    assert!(warned);
}

#[test]
fn a_fatal_failure_ends_the_agent_and_what_was_under_way() {
    model_says([wants([("1", "read", r#"{"path": "a"}"#), ("2", "give_up", "")])]);
    let failure = block_on(Agent::haiku("").tools((read, give_up)).ask("Go").text()).expect_err("it gave up");
    assert_eq!(format!("{failure:?}"), "hopeless: nothing can be done");
    assert_eq!(host(|world| world.states("read")), [State::Dropped]);
}

#[test]
fn an_agent_of_a_cancelled_run_ends() {
    let slow = agent::tool(
        "slow",
        "Sleeps",
        async |_: serde_json::Map<String, serde_json::Value>| {
            host(|world| world.cancelled = true);
            sleep(secs(1)).await
        },
    );
    model_says([wants([("1", "slow", "{}")])]);
    let failure = block_on(Agent::haiku("").tools(slow).ask("Go").text()).expect_err("the run was cancelled");
    assert!(failure.is_cancelled());
}

#[test]
fn an_agent_whose_turns_are_used_up_fails_or_says_what_it_has() {
    let again = || wants([("1", "add", r#"{"numbers": [1]}"#)]);
    model_says([again(), again()]);
    let agent = Agent::haiku("").tools(add).turns(2);
    let failure = block_on(agent.ask("Go").text()).expect_err("it is not done");
    assert_eq!(
        format!("{failure:?}"),
        "turn-limit: the agent was not done after 2 turns"
    );
    assert_eq!(asked().len(), 2);

    model_says([again(), again(), says("Three, I think.")]);
    let agent = agent.on_limit(Summarise);
    assert_eq!(block_on(agent.ask("Go").text()), Ok("Three, I think.".to_owned()));
    let last = asked().pop().expect("it was asked");
    assert_eq!(outcomes(&last), [answered("1", "1")], "its last tools still answer");
    assert!(last_words(&last).starts_with("Your turns are used up"));

    model_says([again(), again(), again()]);
    let failure = block_on(agent.ask("Go").text()).expect_err("it does not listen");
    assert_eq!(failure.code(), code::TURN_LIMIT);
}

#[test]
fn the_answer_of_an_agent_has_a_type_and_is_repaired_once() {
    let answer = |result: Result<Answer>| result.map(|answer| answer.text);
    model_says([
        says("No JSON."),
        wants([("1", "add", r#"{"numbers": [1]}"#)]),
        says(r#"{"text": "a"}"#),
    ]);
    let agent = Agent::haiku("").tools(add).turns(3);
    assert_eq!(answer(block_on(agent.ask("Go").json())), Ok("a".to_owned()));
    let told = last_words(&asked()[1]);
    assert!(
        told.starts_with("That reply cannot be used: there is no JSON in it."),
        "{told}"
    );

    model_says([says("No JSON."), says("Still none.")]);
    let failure = block_on(agent.turns(1).ask("Go").json::<Answer>()).expect_err("there is no answer");
    assert_eq!(failure.code(), code::UNUSABLE_REPLY);
}

#[test]
fn a_function_under_the_attribute_can_be_called_as_ever() {
    assert_eq!(block_on(add(vec![1, 2], false)), Ok(3));
}

#[test]
fn a_closure_can_be_a_tool_and_use_what_is_around_it() {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Words {
        text: String,
    }
    let seen = Cell::new(0);
    let count = agent::tool("count", "Counts", async |words: Words| {
        seen.set(seen.get() + 1);
        Ok(words.text.len())
    });
    model_says([wants([("1", "count", r#"{"text": "four"}"#)]), says("Done.")]);
    let tools = vec![count];
    assert!(block_on(Agent::haiku("").tools(tools).ask("Go").text()).is_ok());
    assert_eq!((seen.get(), outcomes(&asked()[1])), (1, vec![answered("1", "4")]));
}

#[test]
fn two_tools_of_one_name_are_refused() {
    let failure = block_on(Agent::haiku("").tools((add, add)).ask("Go").text()).expect_err("which is meant?");
    assert_eq!(failure.message(), "an agent has two tools of the name `add`");
    assert!(host(|world| world.calls.is_empty()));
}

#[test]
fn a_long_answer_of_a_tool_is_cut_off_and_says_so() {
    file("notes/long", &"ü".repeat(100_000));
    model_says([wants([("1", "read", r#"{"path": "long"}"#)]), says("Long.")]);
    assert!(block_on(Agent::haiku("").tools(read).ask("Go").text()).is_ok());
    let (_, told, _) = outcomes(&asked()[1]).remove(0);
    assert!(
        told.ends_with("ü\n(cut off: these are the first 131072 of 200000 bytes)"),
        "{}",
        &told[told.len() - 100..]
    );
}
