//! A guest that is after files that it was not given, or after the whole disk: with every path that it can think of, while another process changes what lies there.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use skillhost_it::{Place, result_of, told};

use crate::{HARMLESS, Hostile, NEIGHBOUR, PROGRAM, install};

/// What lies outside, and is nobody's to see.
const SECRET: &str = "what-lies-outside-5e1d";
const LARGE: u64 = 4 << 30;

/// A place with a daemon, a run that has nothing to do with it, and a folder `docs` of the user's.
fn place() -> Place {
    let place = Place::new(PROGRAM, &["files"]);
    install(&place, NEIGHBOUR, &Hostile::of(NEIGHBOUR, HARMLESS).component());
    let user = place.user_folder();
    for folder in ["docs/folder", "outside"] {
        fs::create_dir_all(user.join(folder)).unwrap();
    }
    fs::write(user.join("secret"), SECRET).unwrap();
    fs::write(user.join("outside/secret"), SECRET).unwrap();
    fs::write(user.join("docs/folder/secret"), "inside").unwrap();
    place.json(&["launch", NEIGHBOUR, "--await"]);
    place
}

/// Runs `files` in the daemon with these steps, serves somebody else meanwhile, and returns what came of each step.
fn besiege(place: &Place, steps: &[Value]) -> Vec<String> {
    let daemon = place.daemon_pid().unwrap();
    let input = json!({ "steps": steps }).to_string();
    let launch = [
        "launch",
        "files",
        "--await",
        "--json",
        "--input",
        "-",
        "--mount",
        "docs=docs:rw",
    ];
    let mut launch = place.command(&launch);
    let launch = launch
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut launched = launch.spawn().unwrap();
    let mut stdin = launched.stdin.take().unwrap();
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
    let other = place.run(&["launch", NEIGHBOUR, "--await", "--json"]);
    assert!(other.status.success(), "nobody else was served: {}", told(&other));
    let output: Output = launched.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert_eq!(place.daemon_pid(), Some(daemon), "the daemon did not survive it");
    let faults = fs::read_to_string(place.state().faults()).unwrap_or_default();
    assert_eq!(faults, "", "the host panicked");
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = envelope["run_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", told(&output)));
    let result: Value = serde_json::from_slice(&place.run(&["result", run]).stdout).unwrap();
    serde_json::from_value(result["came"].clone()).unwrap()
}

fn step(deed: &str, path: &str) -> Value {
    json!({"deed": deed, "mount": "docs", "path": path, "text": "x"})
}

#[test]
fn no_path_leads_out_however_it_is_written_and_whatever_lies_there() {
    let place = place();
    let docs = place.user_folder().join("docs");
    for (link, to) in [
        ("out", "../outside"),
        ("far", "/etc"),
        ("file", "../secret"),
        ("self", "/proc/self"),
        ("root", "/proc/self/root"),
        ("zero", "/dev/zero"),
        ("loop", "loop"),
    ] {
        symlink(to, docs.join(link)).unwrap();
    }
    assert!(
        Command::new("mkfifo")
            .arg(docs.join("fifo"))
            .status()
            .unwrap()
            .success()
    );
    let paths = [
        "../secret",
        "folder/../../secret",
        "folder/../../outside/secret",
        "./../secret",
        ".../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "%2e%2e%2fsecret",
        "..\\secret",
        "..\u{0}/secret",
        "\u{ff0e}\u{ff0e}/secret",
        "\u{2025}/secret",
        ".\u{200b}./secret",
        "/etc/passwd",
        "//etc/passwd",
        "~/secret",
        "out/secret",
        "far/passwd",
        "file",
        "self/environ",
        "self/cwd/secret",
        "root/etc/passwd",
        "/proc/self/environ",
        "zero",
        "fifo",
        "loop",
        "",
        ".",
    ];
    let mut steps = Vec::new();
    for path in paths {
        steps.extend(["read", "write", "append", "list"].map(|deed| step(deed, path)));
        steps.push(json!({"deed": "read", "mount": "docs/..", "path": path}));
    }
    let came = besiege(&place, &steps);
    for (step, came) in steps.iter().zip(&came) {
        assert!(!came.contains(SECRET) && !came.contains("root:"), "{step}: {came}");
        // Of a read nothing came, and whoever asked was told why.
        let codes = ["denied", "invalid", "not-found", "failed", "no-mount"];
        let is_refused = codes.iter().any(|code| came.contains(code));
        assert!(is_refused || step["deed"] != "read", "{step}: {came}");
    }
    let there = |path: &str| fs::read_to_string(place.user_folder().join(path)).unwrap();
    assert_eq!(
        (there("secret").as_str(), there("outside/secret").as_str()),
        (SECRET, SECRET)
    );
    let outside: Vec<_> = fs::read_dir(place.user_folder().join("outside")).unwrap().collect();
    assert_eq!(outside.len(), 1, "{outside:?}");
}

#[test]
fn a_link_that_another_process_swaps_in_and_out_leads_nowhere() {
    let place = place();
    let docs = place.user_folder().join("docs");
    let swap = "while :; do ln -sfn ../outside swapped; mkdir -p real; rm -f swapped; mv -T real swapped; echo inside > swapped/secret; rm -r swapped; done 2>/dev/null";
    let mut swapping = Command::new("sh")
        .args(["-c", swap])
        .current_dir(&docs)
        .spawn()
        .unwrap();
    let steps: Vec<Value> = ["read", "append", "write", "read"]
        .iter()
        .cycle()
        .take(600)
        .map(|deed| step(deed, "swapped/secret"))
        .collect();
    let came = besiege(&place, &steps);
    swapping.kill().unwrap();
    swapping.wait().unwrap();
    let refused = came.iter().filter(|came| came.contains("denied")).count();
    assert!(!came.iter().any(|came| came.contains(SECRET)), "{came:?}");
    assert!(refused > 0, "the link was met at least once: {came:?}");
    let outside = place.user_folder().join("outside");
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), SECRET);
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
}

fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

#[test]
fn a_file_that_says_it_has_4_gb_is_neither_read_whole_nor_filled() {
    let place = place();
    let path = place.user_folder().join("docs/sparse");
    let sparse = fs::File::create(&path).unwrap();
    sparse.set_len(LARGE).unwrap();
    sparse.write_all_at(b"end", LARGE - 3).unwrap();
    let came = besiege(
        &place,
        &[
            step("read", "sparse"),
            step("stat", "sparse"),
            step("append", "sparse"),
            step("stat", "sparse"),
            step("list", ""),
        ],
    );
    assert!(came[0].contains("too-large"), "{came:?}");
    assert_eq!(came[1], format!("Kind::File sparse {LARGE}"));
    assert_eq!(
        (came[2].as_str(), came[3].as_str()),
        ("appended", &*format!("Kind::File sparse {}", LARGE + 1))
    );
    assert!(taken(&path) < 1 << 20, "{} bytes of the disk", taken(&path));
    // Whoever gives it as an input, or has it in his skill, is told or reads none of it.
    let input = json!({"source": "docs/sparse", "steps": []}).to_string();
    let given = place.run(&["launch", "files", "--await", "--json", "--input", &input]);
    assert!(
        result_of(&given)["came"][0].as_str().unwrap().contains("too-large"),
        "{}",
        told(&given)
    );
    let prompts = place.skills().join("files/prompts");
    fs::create_dir(&prompts).unwrap();
    fs::File::create(prompts.join("p.md")).unwrap().set_len(LARGE).unwrap();
    let skills = told(&place.run(&["skills"]));
    assert!(
        skills.contains("files cannot be used as it is: it is larger than"),
        "{skills}"
    );
}

#[test]
fn a_guest_that_writes_without_end_is_stopped_by_its_budget_and_takes_no_more_of_the_disk() {
    let place = place();
    fs::write(place.home().join("config.toml"), "[budget]\nwritten_mib = 2\n").unwrap();
    let text = "x".repeat(256 << 10);
    let mut steps: Vec<Value> = (0..20)
        .map(|n| json!({"deed": "write", "path": format!("{n}"), "text": text}))
        .collect();
    steps.push(json!({"deed": "append", "path": "0", "text": text}));
    let came = besiege(&place, &steps);
    let written = came.iter().filter(|came| *came == "written").count();
    assert!((7..=8).contains(&written), "{came:?}");
    for refused in &came[written..] {
        assert!(
            refused.contains("budget") && refused.contains("written_mib"),
            "{refused}"
        );
    }
    let runs = fs::read_dir(place.home().join("runs")).unwrap();
    let files = runs.flat_map(|run| fs::read_dir(run.unwrap().path()).unwrap());
    let bytes: u64 = files.map(|file| taken(&file.unwrap().path())).sum();
    assert!(bytes <= 2 << 20, "{bytes} bytes of the disk");
}
