//! A machine for one test.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A state folder, a skills folder, and nothing else.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        };
        fs::create_dir(machine.path("skills")).unwrap();
        machine
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        // What the program prints is the real path.
        fs::canonicalize(self.folder.path()).unwrap().join(below)
    }

    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs a command line (words are separated by blanks) and returns what is to be seen of it.
    #[must_use]
    pub(crate) fn see(&self, line: &str) -> String {
        self.see_with(line, "")
    }

    /// The same, with something on standard input.
    #[must_use]
    pub(crate) fn see_with(&self, line: &str, stdin: &str) -> String {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_skillhost"));
        command
            .args(&words)
            .env_clear()
            .env("HOME", self.path("user"))
            .env("TZ", "UTC")
            .env("SKILLHOST_HOME", self.path("home"))
            .env("SKILLHOST_SKILLS", self.path("skills"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if words.contains(&"--json") {
            check_envelope(&stdout, output.status.code());
        }
        let mut seen = format!("$ skillhost {line}\nexit {}\n", output.status.code().unwrap());
        for (name, text) in [("stdout", stdout), ("stderr", stderr)] {
            if !text.is_empty() {
                seen.push_str(&format!("--- {name}\n{text}"));
            }
        }
        seen.replace(&*self.path("").to_string_lossy(), "[DIR]/")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A daemon that a command started must not outlive the test.
        let stop = Command::new(env!("CARGO_BIN_EXE_skillhost"))
            .args(["worker", "stop", "--force"])
            .env_clear()
            .env("HOME", self.path("user"))
            .env("SKILLHOST_HOME", self.path("home"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output();
        drop(stop);
    }
}

/// Checks what a program relies on: one line, short, without nulls, as the schema says, with the exit code that the process had.
fn check_envelope(stdout: &str, exit: Option<i32>) {
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 1, "not one line: {stdout}");
    assert!(stdout.len() <= 4_097, "{} bytes", stdout.len());
    let envelope: serde_json::Value = serde_json::from_str(stdout).unwrap();
    let schema =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/skillhost-run-v1.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let mistakes: Vec<String> = validator
        .iter_errors(&envelope)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(mistakes.is_empty(), "{mistakes:?} in {stdout}");
    assert_eq!(envelope["exit_code"].as_i64(), exit.map(i64::from));
    assert_eq!(envelope["ok"].as_bool(), Some(exit == Some(0)));
    assert!(!has_null(&envelope), "a null in {stdout}");
}

fn has_null(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::Array(values) => values.iter().any(has_null),
        // What a skill returned, asked or answered is its own affair.
        serde_json::Value::Object(members) => members.iter().any(|(name, value)| {
            !matches!(name.as_str(), "result" | "request" | "answer" | "schema") && has_null(value)
        }),
        _ => false,
    }
}
