//! Notices, told by a real program and to a server on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use skillhost_core::id::{Digest, Epoch, Seq, SignalName};
use skillhost_core::time::Timestamp;
use skillhost_journal::Trouble;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn row(status: Status) -> RunRow {
    let run = RunId::parse("01jd3k6v8m4t9qwertzuiopas1").unwrap();
    RunRow {
        launch: LaunchId::parse("nightly").unwrap(),
        run,
        superseded: false,
        skill: SkillName::parse("deep-research").unwrap(),
        status,
        bundle: Digest::of(b"bundle"),
        component: Digest::of(b"component"),
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        entries: 2,
        holder: None,
        epoch: Epoch(1),
        held_from: Seq(1),
        simulated: true,
        caller_folder: None,
        silent: false,
        parent: None,
        trouble: Some(Trouble {
            code: "no_key".to_owned(),
            message: "there is no key".to_owned(),
            hint: None,
            at: Timestamp(0),
            attempts: 3,
        }),
    }
}

fn question() -> Question {
    Question {
        name: SignalName::parse("publish").unwrap(),
        prompt: "Publish <b>it</b>?\u{1b}[2J\nIt has 3 pages.".to_owned(),
        schema: None,
        audience: Audience::User,
        details: None,
        attachments: Vec::new(),
        timeout_ns: None,
        extra: None,
    }
}

/// Tells notices with this configuration and returns when all are told.
fn tell(config: &str, search_path: &Path, notices: Vec<Notice>) {
    let config: Config = toml::from_str(config).unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio.block_on(async {
        let (notifier, telling) = Notifier::new(&config, Some(search_path.as_os_str()));
        notices.into_iter().for_each(|notice| notifier.tell(notice));
        drop(notifier);
        telling.finish(Duration::from_secs(60)).await;
    });
}

fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_command_is_given_every_notice_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let program = program(folder.path(), "chat", "cat >> \"$1\"; echo >> \"$1\"");
    let config = format!("[notify]\ncommand = [{program:?}, {out:?}]");
    let notices = vec![
        Notice::ended(&row(Status::Done)),
        Notice::asks(&row(Status::Waiting), Number(4), &question()),
        Notice::decision(&row(Status::Parked), Number(7)),
        Notice::parked(&row(Status::Parked)).unwrap(),
    ];
    tell(&config, folder.path(), notices);
    let told: Vec<Value> = std::fs::read_to_string(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        told[0],
        json!({
            "schema": "skillhost-notice/v1", "event": "ended", "status": "done", "run_id": "01jd3k6v8m4t9qwertzuiopas1",
            "launch_id": "nightly", "skill": "deep-research", "simulated": true
        })
    );
    assert_eq!(told[1]["prompt"], "Publish <b>it</b>?[2J\nIt has 3 pages.");
    assert_eq!(told[1]["audience"], "user");
    assert_eq!((&told[2]["event"], &told[2]["call"]), (&json!("decision"), &json!(7)));
    assert_eq!(
        (&told[3]["event"], &told[3]["code"]),
        (&json!("parked"), &json!("no_key"))
    );
}

#[test]
#[cfg(not(target_os = "macos"))]
fn the_desktop_shows_words_and_no_markup_unless_it_is_not_to() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    program(
        folder.path(),
        "notify-send",
        &format!("printf '%s|' \"$@\" >> {}", out.display()),
    );
    let asks = Notice::asks(&row(Status::Waiting), Number(4), &question());
    let quiet = Notice {
        desktop: false,
        ..Notice::ended(&row(Status::Done))
    };
    tell("", folder.path(), vec![asks.clone(), quiet]);
    let told = std::fs::read_to_string(&out).unwrap();
    assert_eq!(
        told,
        "--app-name|skillhost|--|SIMULATED: deep-research asks|Publish &lt;b&gt;it&lt;/b&gt;?[2J It has 3 pages.|"
    );
    tell("[notify]\ndesktop = false", folder.path(), vec![asks.clone()]);
    // Where there is no such program nothing is shown, and nothing fails.
    tell("", Path::new("/no/such/folder"), vec![asks]);
    assert_eq!(std::fs::read_to_string(out).unwrap(), told);
}

#[test]
fn a_webhook_is_posted_to_and_a_command_that_fails_keeps_nothing_from_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut part = [0; 4_096];
                let read = stream.read(&mut part).await.unwrap();
                assert_ne!(read, 0, "the request ended early");
                request.extend_from_slice(&part[..read]);
            }
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            String::from_utf8(request).unwrap()
        })
    });
    let config = format!("[notify]\ncommand = [\"/no/such/program\"]\nwebhook = \"http://{address}/hook?token=x\"");
    tell(&config, Path::new("/"), vec![Notice::ended(&row(Status::Failed))]);
    let request = server.join().unwrap();
    assert!(request.starts_with("POST /hook?token=x HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("\"event\":\"ended\",\"status\":\"failed\""),
        "{request}"
    );
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_without_the_secret_in_it() {
    let check = |text: &str| toml::from_str::<Config>(text).unwrap().notify.check();
    assert_eq!(
        check("[notify]\nwebhook = \"https://chat.test/x\"\ncommand = [\"chat\"]"),
        Ok(())
    );
    assert_eq!(
        check("[notify]\nwebhook = \"ftp://chat.test/token\""),
        Err("`notify.webhook` is neither an http nor an https URL".to_owned())
    );
    assert_eq!(
        check("[notify]\ncommand = [\" \"]"),
        Err("`notify.command` names no program".to_owned())
    );
}
