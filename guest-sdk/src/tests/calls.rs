use crate::bindings::skillhost::skill::signals::{Answer, Error};
use crate::executor::block_on;
use crate::fake::host;
use crate::prelude::*;

fn file(path: &str, text: &str) {
    host(|world| world.files.insert(path.to_owned(), text.into()));
}

fn rendered(name: &'static str, values: [(&'static str, String); 1]) -> std::result::Result<String, String> {
    Prompt::file(name, values)
        .render()
        .map_err(|failure| format!("{failure:?}"))
}

fn ada() -> [(&'static str, String); 1] {
    [("name", "Ada".to_owned())]
}

#[test]
fn a_prompt_is_read_from_the_bundle_without_a_call() {
    file("skill/prompts/greeter.user.md", "Greet $name, for $$5.\n\n");
    assert_eq!(rendered("greeter.user", ada()), Ok("Greet Ada, for $5.".to_owned()));
    assert!(host(|world| world.calls.is_empty()));
}

#[test]
fn a_missing_prompt_names_those_that_are_there() {
    file("skill/prompts/greeter.user.md", "");
    file("skill/prompts/parts/one.md", "");
    let expected = "prompt: the skill's folder has no `prompts/greeter.md`; its prompts: `greeter.user`, `parts/one`";
    assert_eq!(rendered("greeter", ada()), Err(expected.to_owned()));
}

#[test]
fn a_variable_that_an_edited_prompt_asks_for_names_those_that_are_given() {
    file("skill/prompts/greeter.md", "Greet $name in $language.");
    let expected = "prompt: prompt `greeter` has a variable `language` which the skill does not give; it gives `name`";
    assert_eq!(rendered("greeter", ada()), Err(expected.to_owned()));
}

#[test]
fn a_lone_dollar_in_a_prompt_is_placed() {
    file("skill/prompts/greeter.md", "Greet $name.\nIt costs $5.");
    let expected = "prompt: prompt `greeter` has a `$` in line 2 that no name follows; write `$$` for a dollar";
    assert_eq!(rendered("greeter", ada()), Err(expected.to_owned()));
}

#[test]
fn what_is_wrong_with_a_prompt_surfaces_where_it_is_awaited() {
    let asked = block_on(model::haiku(Prompt::file("none", [])).text());
    assert!(asked.is_err_and(|failure| failure.code() == code::PROMPT));
}

#[test]
fn a_listing_is_read_to_its_end_relative_to_its_mount() {
    for path in ["notes/a.md", "notes/b.md", "notes/c/d.md", "run/e.md"] {
        file(path, "");
    }
    let paths = block_on(async { files::mount("notes")?.glob("**/*.md").label("the notes").await });
    assert_eq!(paths, Ok(["a.md", "b.md", "c/d.md"].map(str::to_owned).to_vec()));
    let labels: Vec<_> = host(|world| world.calls.iter().map(|call| call.label.clone()).collect());
    assert_eq!(labels, vec![Some("the notes".to_owned()); 3]);
}

#[test]
fn a_mount_that_was_not_granted_names_those_that_were() {
    let failure = files::mount("project").map_err(|failure| failure.to_string());
    assert_eq!(
        failure,
        Err("this run has no mount `project`; it has `data`, `run`, `skill`, `notes`".to_owned())
    );
}

#[test]
fn text_that_is_not_utf_8_is_refused_by_path() {
    host(|world| world.files.insert("run/a.bin".to_owned(), vec![0xff]));
    let failure = block_on(files::run().read_text("a.bin")).map_err(|failure| failure.to_string());
    assert_eq!(failure, Err("`run/a.bin` is not UTF-8 text".to_owned()));
}

#[test]
fn attachments_without_a_mount_are_in_the_run_folder() {
    let posted = inbox::post("Done")
        .attach("report.md")
        .attach("parts/a.md")
        .attach("notes/b.md");
    assert_eq!(block_on(async { posted.await }), Ok(()));
    let expected = r#"post Done ["run/report.md", "run/parts/a.md", "notes/b.md"]"#;
    assert_eq!(host(|world| world.what().join(";")), expected);
}

#[test]
fn a_title_is_one_line_of_at_most_200_bytes() {
    let posted = inbox::post(format!("A question\nof {}", "ü".repeat(200)));
    assert_eq!(block_on(async { posted.await }), Ok(()));
    let shown = host(|world| world.what().join(""));
    assert!(
        shown.starts_with("post A question of üü") && shown.ends_with("ü… []"),
        "{shown}"
    );
    assert!(shown.len() <= "post  []".len() + 200);
}

fn answers(answer: Result<&str, Error>) {
    let answer = answer.map(|value| Answer {
        value: value.to_owned(),
        by: None,
    });
    host(|world| world.answers.push_back(answer));
}

fn approval(limited: bool) -> Result<Approval> {
    block_on(async {
        let question = ask("publish", "Publish?").user().attach("report.md");
        if limited {
            question.timeout(days(2), Approval::no()).await
        } else {
            question.within(days(2)).await
        }
    })
}

#[test]
fn an_answer_is_read_as_what_was_asked_for() {
    answers(Ok(r#"{"approve": true}"#));
    assert_eq!(approval(true), Ok(Approval::yes()));
}

#[test]
fn no_answer_in_time_is_the_answer_given_for_it() {
    answers(Err(Error::Timeout));
    assert_eq!(approval(true), Ok(Approval::no()));
}

#[test]
fn no_answer_in_time_is_a_failure_where_none_is_given_for_it() {
    answers(Err(Error::Timeout));
    assert!(approval(false).is_err_and(|failure| failure.code() == code::TIMEOUT));
}

#[test]
fn a_cancelled_question_is_not_taken_for_one_without_an_answer() {
    answers(Err(Error::Cancelled));
    assert!(approval(true).is_err_and(|failure| failure.is_cancelled()));
}

#[test]
fn an_event_has_the_type_that_is_waited_for() {
    answers(Ok("[1, 2]"));
    let event: Result<Vec<u32>> = block_on(async { signals::wait("numbers").await });
    assert_eq!(event, Ok(vec![1, 2]));
}

#[test]
fn notes_are_given_once_with_who_left_them_when() {
    let note = crate::bindings::skillhost::skill::run::Note {
        message: "mind the gap".to_owned(),
        at_ns: 5_000,
        by: Some("ada".to_owned()),
    };
    host(|world| world.notes.push(note));
    let notes = block_on(async { run::notes().label("what people say").await });
    let expected = run::Note {
        message: "mind the gap".to_owned(),
        at: std::time::UNIX_EPOCH + std::time::Duration::from_micros(5),
        by: Some("ada".to_owned()),
    };
    assert_eq!(notes, Ok(vec![expected]));
    assert_eq!(block_on(run::notes()), Ok(vec![]));
    assert_eq!(host(|world| world.what().join(";")), "notes;notes");
    host(|world| world.cancelled = true);
    assert!(block_on(run::notes()).is_err_and(|failure| failure.is_cancelled()));
}

#[test]
fn a_label_is_one_line_of_at_most_200_bytes() {
    let long = "ü".repeat(150);
    block_on(async {
        assert_eq!(sleep(secs(1)).label("two\n lines").await, Ok(()));
        assert_eq!(sleep(secs(1)).label(&long).await, Ok(()));
    });
    let labels: Vec<String> = host(|world| world.calls.iter().filter_map(|call| call.label.clone()).collect());
    assert_eq!(labels[0], "two lines");
    assert!(labels[1].len() <= 200 && labels[1].ends_with("ü…"), "{}", labels[1]);
}

#[test]
fn errors_of_libraries_become_failures_with_their_causes() {
    let failure = Failure::from("x".parse::<u8>().expect_err("x is no number"));
    assert_eq!(format!("{failure:?}"), "error: invalid digit found in string");
    let failure = Failure::from(serde_json::from_str::<u8>("x").expect_err("x is no JSON")).context("the number");
    assert_eq!(
        format!("{failure:?}"),
        "json: the number: expected value at line 1 column 1"
    );
}
