//! `cargo xtask test`: what CI runs, in the order in which a mistake shows soonest. Its last line says how many tests passed and failed.

use std::process::Command;
use std::sync::Mutex;

use skillhost_toolchain::Choice;
use skillhost_toolchain::workspace::{GUESTS_VARIABLE, guest_packages};

use crate::step::{announce, cargo, heed, run};
use crate::workspace;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

/// Runs everything, or only the tests whose names contain one of the filters.
pub(crate) fn run_all(choice: Choice, filters: &[String]) -> Result<(), String> {
    let mut count = Count::default();
    let done = checks(filters).and_then(|()| tests(choice, filters, &mut count));
    if let Err(message) = &done {
        eprintln!("error: {message}");
        // A step that is no test counts as one that failed, so that nobody takes the line for good news.
        count.failed = count.failed.max(1);
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    done.map_err(|_| "not everything passed".to_owned())
}

fn checks(filters: &[String]) -> Result<(), String> {
    if !filters.is_empty() {
        return Ok(());
    }
    run("format", &mut cargo(["fmt", "--all", "--check"]))?;
    let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run("lints", &mut cargo(lints))?;
    crate::advisories::check()
}

fn tests(choice: Choice, filters: &[String], count: &mut Count) -> Result<(), String> {
    let guests = crate::guests(choice)?;
    let not_here = guest_packages(workspace()).map_err(|error| error.to_string())?;
    // Guests are tested as components, by the tests of the host.
    let packages = not_here.iter().flat_map(|package| ["--exclude", package]);
    let packages: Vec<&str> = ["--workspace"].into_iter().chain(packages).collect();
    let mut all_passed = true;
    let mut step = |what: &str, mut command: Command, count: &mut Count| {
        announce(what);
        command.env(GUESTS_VARIABLE, guests.folder());
        let counted = Mutex::new(Count::default());
        let passed = heed(&mut command, |line| {
            if let Some(more) = read_count(line) {
                let mut counted = counted.lock().expect("nobody panics holding it");
                counted.passed += more.passed;
                counted.failed += more.failed;
            }
        })?;
        let counted = counted.into_inner().expect("nobody panics holding it");
        count.passed += counted.passed;
        // What cannot even be built has no closing line.
        count.failed += counted.failed.max(u64::from(!passed));
        all_passed &= passed;
        Ok::<_, String>(())
    };
    if filters.is_empty() {
        let arguments = [&["test", "--doc"], packages.as_slice()].concat();
        step("examples in the documentation", cargo(arguments), count)?;
    }
    let filters = filters.iter().map(String::as_str);
    let arguments = match has_nextest() {
        true => [
            &["nextest", "run", "--no-fail-fast", "--no-tests", "warn"],
            packages.as_slice(),
            &filters.collect::<Vec<_>>(),
        ]
        .concat(),
        false => {
            let named = filters.collect::<Vec<_>>();
            [
                &["test", "--lib", "--bins", "--tests", "--no-fail-fast"],
                packages.as_slice(),
                &["--"],
                &named,
            ]
            .concat()
        }
    };
    step("tests", cargo(arguments), count)?;
    match all_passed {
        true => Ok(()),
        false => Err("tests failed, as it says above".to_owned()),
    }
}

/// Gives targets inputs that nobody thought of, for so long each.
pub(crate) fn fuzz(target: Option<&str>, seconds: u64, seed: Option<u64>) -> Result<(), String> {
    let filter = format!("fuzz_{}", target.unwrap_or_default());
    let not_here = guest_packages(workspace()).map_err(|error| error.to_string())?;
    let packages = not_here.iter().flat_map(|package| ["--exclude", package]);
    let arguments: Vec<&str> = ["test", "--workspace"]
        .into_iter()
        .chain(packages)
        .chain([
            "--lib",
            "--test",
            "fuzz",
            "--",
            &filter,
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .collect();
    let mut command = cargo(arguments);
    command.env("SKILLHOST_FUZZ_SECONDS", seconds.to_string());
    if let Some(seed) = seed {
        command.env("SKILLHOST_FUZZ_SEED", seed.to_string());
    }
    run("fuzz", &mut command)
}

/// Simulates for so long, beginning with a seed; or shows one case.
pub(crate) fn simulate(seconds: Option<u64>, seed: Option<u64>, case: Option<&str>) -> Result<(), String> {
    let filter = match case {
        Some(_) => "one_case_is_shown",
        None => "every_promise_holds_in_every_simulation",
    };
    let mut command = one_test("sim", filter)?;
    let variables = [
        ("SKILLHOST_SIM_SECONDS", seconds.map(|seconds| seconds.to_string())),
        ("SKILLHOST_SIM_SEED", seed.map(|seed| seed.to_string())),
        ("SKILLHOST_SIM_CASE", case.map(str::to_owned)),
    ];
    command.envs(variables.into_iter().filter_map(|(name, value)| Some((name, value?))));
    run("simulation", &mut command)
}

/// Kills so often, or for so long, beginning with a seed.
pub(crate) fn kill(choice: Choice, count: Option<u64>, seconds: Option<u64>, seed: Option<u64>) -> Result<(), String> {
    let guests = crate::guests(choice)?;
    let mut command = one_test("kills", "r5_killed_again_and_again_all_runs_end_as_if_undisturbed")?;
    let variables = [
        ("SKILLHOST_KILLS", count),
        ("SKILLHOST_KILLS_SECONDS", seconds),
        ("SKILLHOST_KILLS_SEED", seed),
    ];
    let given = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_string())));
    command.envs(given).env(GUESTS_VARIABLE, guests.folder());
    run("kills", &mut command)
}

/// Soaks for so long.
pub(crate) fn soak(choice: Choice, seconds: u64, seed: Option<u64>, json: bool) -> Result<(), String> {
    let guests = crate::guests(choice)?;
    let mut command = one_test("kills", "a_soak_accounts_for_every_launch_and_nothing_grows")?;
    let variables = [
        ("SKILLHOST_SOAK_SECONDS", Some(seconds)),
        ("SKILLHOST_SOAK_SEED", seed),
        ("SKILLHOST_SOAK_JSON", json.then_some(1)),
    ];
    let given = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_string())));
    command.envs(given).env(GUESTS_VARIABLE, guests.folder());
    run("soak", &mut command)
}

/// Returns the command that runs one test at length.
fn one_test(target: &str, filter: &str) -> Result<Command, String> {
    let not_here = guest_packages(workspace()).map_err(|error| error.to_string())?;
    let packages = not_here.iter().flat_map(|package| ["--exclude", package]);
    let arguments: Vec<&str> = ["test", "--workspace"]
        .into_iter()
        .chain(packages)
        .chain(["--test", target, "--", filter, "--nocapture"])
        .collect();
    Ok(cargo(arguments))
}

/// Makes the database of the format of the day that later skillhosts are tested with.
pub(crate) fn golden(choice: Choice) -> Result<(), String> {
    let guests = crate::guests(choice)?;
    let mut command = one_test(
        "golden",
        "a_database_of_each_former_format_is_opened_and_its_runs_go_on",
    )?;
    // By the program under test.
    command
        .env("SKILLHOST_GOLDEN_BY", "")
        .env(GUESTS_VARIABLE, guests.folder());
    run("golden database", &mut command)
}

/// Tries the journal's storage for so long, beginning with a seed.
pub(crate) fn try_storage(seconds: Option<u64>, seed: Option<u64>, only: Option<&str>) -> Result<(), String> {
    let mut command = one_test("storage", "storage_keeps_its_promises_for_as_long_as_is_asked")?;
    // Without anything said, once and briefly.
    let seed = seed.or((seconds.is_none() && only.is_none()).then_some(0));
    let variables = [
        ("SKILLHOST_STORAGE_SECONDS", seconds.map(|seconds| seconds.to_string())),
        ("SKILLHOST_STORAGE_SEED", seed.map(|seed| seed.to_string())),
        ("SKILLHOST_STORAGE_ONLY", only.map(str::to_owned)),
    ];
    command.envs(variables.into_iter().filter_map(|(name, value)| Some((name, value?))));
    run("storage", &mut command)
}

fn has_nextest() -> bool {
    cargo(["nextest", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Reads the line with which a test runner closes, if it is one.
fn read_count(line: &str) -> Option<Count> {
    let line = without_colours(line);
    let line = line.trim_start();
    if !line.starts_with("test result: ") && !line.starts_with("Summary [") {
        return None;
    }
    let before = |word: &str| {
        let words: Vec<&str> = line
            .split([' ', ',', ';', '('])
            .filter(|word| !word.is_empty())
            .collect();
        let at = words.iter().position(|found| *found == word)?;
        words[at.checked_sub(1)?].parse::<u64>().ok()
    };
    Some(Count {
        passed: before("passed").unwrap_or(0),
        failed: before("failed").unwrap_or(0) + before("timed").unwrap_or(0) + before("exec").unwrap_or(0),
    })
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('m').map_or("", |(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_both_runners_are_read() {
        let count = |passed, failed| Some(Count { passed, failed });
        for (line, expected) in [
            (
                "test result: ok. 43 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.40s",
                count(43, 0),
            ),
            (
                "test result: FAILED. 41 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
                count(41, 2),
            ),
            (
                "     Summary [   0.012s] 5 tests run: 4 passed (1 slow), 1 failed, 3 skipped",
                count(4, 1),
            ),
            (
                "     Summary [   9.1s] 3/5 tests run: 1 passed, 1 timed out, 2 skipped",
                count(1, 1),
            ),
            (
                "\u{1b}[32;1m     Summary\u{1b}[0m [   0.5s] \u{1b}[1m7\u{1b}[0m tests run: \u{1b}[1m7\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped",
                count(7, 0),
            ),
            ("        PASS [   0.004s] skillhost-core entry::tests::one_failed", None),
            ("", None),
        ] {
            assert_eq!(read_count(line), expected, "{line}");
        }
    }
}
