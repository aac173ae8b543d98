//! How fast skillhost is: one table, with the limits of the machine measured in the same run and, for each figure, the bar that it is held to.
//!
//! `cargo xtask bench` builds the program as users have it, and this, and runs it. Everything is measured from outside: the real program, a real daemon, its database. What a daemon
//! did is timed by the entries of its journal, whose times it wrote itself. Figures that belong together are measured in turns, because a shared machine is not
//! equally fast all the time; of each there are several, of which the table shows the median, the lowest and the highest.
//!
//! A rate of what waits for the disk is held to a bar for a machine that commits 6,700 single rows a second. On a slower disk the bar is scaled, and the table says so.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for a person at a terminal, that has nothing to lose"
)]

mod counts;
mod daemon;
mod growth;
mod launch;
mod machine;
mod place;
mod replay;
mod report;
mod steps;
mod waiting;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use machine::Machine;
use place::Place;
use report::Report;

/// What is measured, in the order of the table.
const PARTS: &[(&str, Part)] = &[
    ("launch", launch::measure),
    ("lone", steps::lone),
    ("reads", steps::reads),
    ("bursts", steps::bursts),
    ("fan-out", steps::fan_out),
    ("http", steps::over_http),
    ("replay", replay::measure),
    ("waiting", waiting::measure),
    ("growth", growth::measure),
];

type Part = fn(&Setting, &Machine, &mut Report);

#[derive(Parser)]
#[command(name = "cargo xtask bench", about = "Measure skillhost, and this machine beside it")]
struct Cli {
    /// The program
    #[arg(long)]
    program: PathBuf,
    /// The program that measures the engine alone
    #[arg(long)]
    engine: PathBuf,
    /// The folder of the built skills
    #[arg(long)]
    skills: PathBuf,
    /// The folder of the built fixtures
    #[arg(long)]
    fixtures: PathBuf,
    /// How often each figure is measured
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Count instructions instead, and compare them with what this file has
    #[arg(long)]
    counts: Option<PathBuf>,
    /// Write the counts into that file
    #[arg(long, requires = "counts")]
    record: bool,
    /// Measure these parts only: launch, lone, reads, bursts, fan-out, http, replay, waiting or growth
    parts: Vec<String>,
}

/// What the parts are measured with.
struct Setting {
    program: PathBuf,
    engine: PathBuf,
    skills: PathBuf,
    fixtures: PathBuf,
    repeats: usize,
}

impl Setting {
    /// Makes a state folder of its own, in which these skills and fixtures are installed.
    fn place(&self, installed: &[&str]) -> Place {
        Place::new(self, installed)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let setting = Setting {
        program: cli.program,
        engine: cli.engine,
        skills: cli.skills,
        fixtures: cli.fixtures,
        repeats: cli.repeats.max(1),
    };
    let unknown = cli.parts.iter().find(|part| PARTS.iter().all(|(name, _)| name != part));
    if let Some(part) = unknown {
        let names: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        eprintln!("error: there is no part `{part}`: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    if let Some(recorded) = &cli.counts {
        return match counts::count(&setting, recorded, cli.record) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    eprintln!("the machine itself ...");
    let mut report = Report::default();
    let machine = Machine::measure(&setting, &mut report);
    for (name, part) in PARTS {
        if cli.parts.is_empty() || cli.parts.iter().any(|wanted| wanted == name) {
            eprintln!("{name} ...");
            part(&setting, &machine, &mut report);
        }
    }
    match cli.json {
        true => println!("{}", report.json()),
        false => print!("{}", report.table()),
    }
    ExitCode::SUCCESS
}
