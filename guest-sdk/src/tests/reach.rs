use crate::bindings::skillhost::skill::http::Error as HttpError;
use crate::bindings::skillhost::skill::process::{End, Ended, Error as ProcessError, Output};
use crate::bindings::skillhost::skill::types::OtherError;
use crate::example;
use crate::executor::block_on;
use crate::fake::host;
use crate::prelude::*;

fn noted() -> Vec<(String, Option<String>)> {
    host(|world| {
        world
            .calls
            .iter()
            .map(|call| (call.what.clone(), call.label.clone()))
            .collect()
    })
}

fn ended(end: End, stdout: &[u8], stderr: &[u8]) -> Ended {
    let output = |bytes: &[u8]| Output {
        kept: bytes.to_vec(),
        cut_bytes: 7,
    };
    Ended {
        end,
        stdout: output(stdout),
        stderr: output(stderr),
        extra: None,
    }
}

#[test]
fn a_program_is_told_apart_in_the_timeline_by_its_words_unless_it_has_a_name() {
    example::program_says(0, "");
    example::program_says(0, "");
    block_on(async {
        process::run("cargo", ["test", "--quiet"]).await?;
        process::run("git", ["pull"])
            .cwd("project")
            .idempotent()
            .label("update")
            .await
    })
    .unwrap();
    let named = |what: &str, label: &str| (what.to_owned(), Some(label.to_owned()));
    assert_eq!(
        noted(),
        [
            named("run cargo test --quiet in run", "cargo test --quiet"),
            named("run git pull in project, twice as once", "update"),
        ]
    );
}

#[test]
fn how_a_program_ended_is_an_answer_and_a_failure_only_when_it_is_checked() {
    let came = ended(End::Signalled(9), b"out", b"first\nlast \xff\n");
    host(|world| world.programs.push_back(Ok(came)));
    let ended = block_on(async { process::run("sh", ["-c", "x"]).keep(100).await }).unwrap();
    assert_eq!(
        (ended.success(), ended.code(), ended.stdout_cut_bytes),
        (false, None, 7)
    );
    assert_eq!(ended.stderr_text(), "first\nlast \u{fffd}\n");
    let failure = ended.checked().unwrap_err();
    assert_eq!(failure.code(), code::EXIT);
    assert_eq!(failure.message(), "`sh` was ended by signal 9: first\nlast \u{fffd}");
}

#[test]
fn what_is_not_run_fails_with_the_code_of_the_reason() {
    let errors = [
        (ProcessError::Denied("no".to_owned()), code::DENIED),
        (ProcessError::NotFound("no".to_owned()), code::NOT_FOUND),
        (ProcessError::TooLarge(5), code::TOO_LARGE),
        (ProcessError::Timeout("no".to_owned()), code::TIMEOUT),
        (
            ProcessError::Other(OtherError {
                code: "skipped".to_owned(),
                message: "no".to_owned(),
            }),
            "skipped",
        ),
    ];
    for (error, expected) in errors {
        host(|world| world.programs.push_back(Err(error)));
        let came = block_on(async { process::run("sh", ["-c", "x"]).await });
        assert_eq!(came.unwrap_err().code(), expected);
    }
}

#[test]
fn a_request_is_sent_with_its_headers_and_body_and_named_without_what_is_asked_for() {
    example::server_says(200, r#"{"n": 3}"#);
    #[derive(serde::Deserialize)]
    struct Count {
        n: u32,
    }
    let response = block_on(async {
        let asked = http::send("put", "https://a.org/x?token=1")
            .header("x-one", "1")
            .json(&[1, 2]);
        asked.idempotent().await
    })
    .unwrap();
    assert_eq!(response.json::<Count>().unwrap().n, 3);
    let what = "PUT https://a.org/x?token=1, x-one: 1, content-type: application/json, [1,2]";
    assert_eq!(noted(), [(what.to_owned(), Some("PUT https://a.org/x".to_owned()))]);
    host(|world| world.servers.push_back(Err(HttpError::Denied("no".to_owned()))));
    let denied = block_on(async { http::get("https://b.org/").await });
    assert_eq!(denied.unwrap_err().code(), code::DENIED);
}

#[test]
fn what_cannot_be_written_as_json_is_not_sent() {
    struct Never;
    impl serde::Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    let failed = block_on(async { http::post("https://a.org/").json(&Never).await });
    assert_eq!(failed.unwrap_err().code(), code::JSON);
    assert_eq!(noted(), []);
}
