//! Secrets in variables: told to whom they were granted for, and found in what is printed.

use super::*;
use crate::tests::stored;

const VALUE: &str = "s3cret-value-91c2";

fn bench() -> Bench {
    let asked = &[
        ("process", "sh", "TOKEN GREETING secret:one secret:missing"),
        ("process", "env", "TOKEN"),
    ];
    let mut bench = Bench::new(asked);
    let file = stored(bench.folder.path(), &[("one", VALUE), ("other", "another-value")]);
    bench.programs.granted = granted(asked).with_secrets(file);
    bench
}

fn knowing(token: &str, command: Command) -> Command {
    Command {
        environment: [("TOKEN".to_owned(), token.to_owned())].into(),
        ..command
    }
}

#[tokio::test]
async fn a_variable_is_filled_in_and_what_the_program_prints_is_redacted_in_the_answer_and_in_the_log() {
    let bench = bench();
    // In pieces, in several ways, at the cut, and on both outputs.
    let script = r#"printf '%s' "${TOKEN%-*}"; sleep 0.1; printf '%s\n' "-${TOKEN##*-}"; printf 'u:%s' "$TOKEN" | base64 >&2; printf "$TOKEN""#;
    let ended = bench.run(&knowing("Bearer {{secret:one}}", sh(script))).await.unwrap();
    assert_eq!(kept(&ended.stdout), "Bearer {{secret:one}}\nBearer {{secret:one}}");
    assert!(
        kept(&ended.stderr).contains("{{secret:one}}"),
        "{}",
        kept(&ended.stderr)
    );
    let printed = bench.printed().join("\n");
    assert!(
        printed.contains("Bearer {{secret:one}}") && !printed.contains("s3cret"),
        "{printed}"
    );
    let short = Command {
        keep_bytes: Some(7),
        ..knowing("{{secret:one}}", sh("printf $TOKEN"))
    };
    let ended = bench.run(&short).await.unwrap();
    assert_eq!(kept(&ended.stdout), "t:one}}", "the end of the name, not of the value");
}

#[tokio::test]
async fn nothing_is_filled_in_elsewhere() {
    let bench = bench();
    let command = Command {
        arguments: ["-c", "echo \"$1\"; cat", "sh", "{{secret:one}}"]
            .map(str::to_owned)
            .to_vec(),
        input: Bytes(b"{{secret:one}}".to_vec()),
        ..knowing("plain", sh(""))
    };
    let ended = bench.run(&command).await.unwrap();
    assert_eq!(kept(&ended.stdout), "{{secret:one}}\n{{secret:one}}");
    // It would say the same of the value.
    let count = Command {
        arguments: ["-c", "printf %s \"$1\" | wc -c", "sh", "{{secret:one}}"]
            .map(str::to_owned)
            .to_vec(),
        ..knowing("plain", sh(""))
    };
    assert_eq!(kept(&bench.run(&count).await.unwrap().stdout).trim(), "14");
}

#[tokio::test]
async fn a_secret_that_may_not_be_told_or_is_not_stored_is_denied_and_the_program_is_not_run() {
    let bench = bench();
    let proof = bench.folder.path().join("proof");
    let touch = sh(&format!("touch {}", proof.display()));
    for (command, token, says) in [
        (
            touch.clone(),
            "{{secret:other}}",
            "the secret `other` was not granted for the program `sh`",
        ),
        (
            command("env", &[]),
            "{{secret:one}}",
            "the secret `one` was not granted for the program `env`",
        ),
        (touch.clone(), "{{secret:missing}}", "`skillhost secret set missing`"),
    ] {
        let fault = bench.run(&knowing(token, command)).await.unwrap_err();
        assert_eq!(fault.code, Fault::DENIED);
        assert!(fault.message.contains(says), "{}", fault.message);
    }
    let fault = bench.run(&knowing("{{secret:", touch)).await.unwrap_err();
    assert_eq!(fault.code, Fault::INVALID);
    assert!(!proof.exists());
}

#[tokio::test]
async fn what_is_said_of_a_program_that_took_too_long_is_redacted() {
    let bench = bench();
    let command = knowing("{{secret:one}}", sh("echo $TOKEN; sleep 1000"));
    let limit = Duration::from_millis(300);
    let fault = bench.run_within(&command, Some(limit)).await.unwrap_err();
    assert_eq!(fault.code, Fault::TIMEOUT);
    assert!(!fault.message.contains("s3cret"), "{}", fault.message);
}
