//! Measuring: the program is built as users have it, and measured by a program of its own, `tests/bench`.

use std::process::Command;

use skillhost_toolchain::Choice;

use crate::{guests, step, workspace};

/// Measures, and prints the table.
pub(crate) fn measure(choice: Choice, repeats: usize, json: bool, parts: &[String]) -> Result<(), String> {
    let mut bench = built(choice)?;
    bench.args(["--repeats", &repeats.to_string()]);
    bench.args(json.then_some("--json")).args(parts);
    step::run("what skillhost does", &mut bench)
}

/// Counts instructions, and compares them with those that are recorded, or records them.
pub(crate) fn count(choice: Choice, record: bool) -> Result<(), String> {
    let mut bench = built(choice)?;
    bench.arg("--counts").arg(workspace().join("tests/bench/counts.json"));
    bench.args(record.then_some("--record"));
    step::run("what it takes, in instructions", &mut bench)
}

/// Builds everything, and returns the program that measures.
fn built(choice: Choice) -> Result<Command, String> {
    let guests = guests(choice)?;
    let packages = ["skillhost", "skillhost-bench", "skillhost-runtime"];
    let mut build = step::cargo(["build", "--release"]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    build.args(["--bin", "skillhost", "--bin", "skillhost-bench", "--example", "engine"]);
    step::run("the program, optimised", &mut build)?;
    let release = guests.folder().join("release");
    let mut bench = Command::new(release.join("skillhost-bench"));
    bench.arg("--program").arg(release.join("skillhost"));
    bench.arg("--engine").arg(release.join("examples/engine"));
    bench.arg("--skills").arg(guests.skills());
    bench.arg("--fixtures").arg(guests.folder().join("guests"));
    Ok(bench)
}
