//! What cargo cannot do alone: `cargo xtask demo` shows a run that survives its process, `cargo xtask test` does all that CI does, and
//! `cargo xtask guests` builds the skills that ship and the fixtures,
//! and `cargo xtask fuzz` gives whatever reads what others write inputs that nobody thought of, `cargo xtask sim` lets everything go wrong that may,
//! `cargo xtask kills` and `cargo xtask soak` do so with real processes, and `cargo xtask storage` takes the power from the journal's disk at every step, and has it fail and lie.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks to whoever started it"
)]

mod advisories;
mod bench;
mod demo;
mod step;
mod test;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use skillhost_toolchain::workspace::{Guests, build_guests};
use skillhost_toolchain::{Choice, Packages};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and show skillhost")]
struct Cli {
    /// The compiler for guests: auto, rustup or debian
    #[arg(long, global = true, default_value = "auto", env = skillhost_toolchain::CHOICE_VARIABLE)]
    guest_toolchain: Choice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure launches, durable calls, replays and waiting runs, and beside them this machine itself
    Bench {
        /// How often each figure is measured
        #[arg(long, default_value_t = 5)]
        repeats: usize,
        /// Print the figures as JSON
        #[arg(long)]
        json: bool,
        /// Measure these parts only: launch, lone, reads, bursts, fan-out, http, replay, waiting or growth
        parts: Vec<String>,
    },
    /// Count the instructions of launches, calls and replays, and compare them with those that are recorded; callgrind counts
    Counts {
        /// Record them
        #[arg(long)]
        record: bool,
    },
    /// Build everything, run hello-world, kill deep-research in its middle and let it finish
    Demo,
    /// Give whatever reads what others write inputs that nobody thought of
    Fuzz {
        /// What to try, as in `cargo xtask fuzz anthropic`; without it, everything, one after the other
        target: Option<String>,
        /// How long to try each, in seconds
        #[arg(long = "for", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
        seconds: u64,
        /// The number that the inputs are made from; without it, a new one, which is told
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Make the database that later formats are tested with, of the format of the day
    Golden,
    /// Build the skills that ship and the fixtures into `guests/` and `skills/` of the target folder
    Guests,
    /// Kill the daemon again and again, with SIGKILL, while runs of all kinds go on, and judge what they leave
    Kills {
        /// How many kills; without it, as many as in the tests, or as the time allows
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        /// How long, in seconds
        #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
        seconds: Option<u64>,
        /// The seed of the first ordeal; each further one has the next
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Simulate processes, disks, clocks and people around the real driver, and let them fail
    Sim {
        /// How long, in seconds; without it, as long as in the tests
        #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
        seconds: Option<u64>,
        /// The seed to begin with; each further simulation has the next one
        #[arg(long)]
        seed: Option<u64>,
        /// One case alone, with all that happens in it, as a simulation that failed printed it
        #[arg(long, conflicts_with_all = ["seconds", "seed"])]
        case: Option<String>,
    },
    /// Take the power from the journal's disk at every step, have it fail, and have it lie
    Storage {
        /// How long, in seconds, and at length; without it, once and as briefly as in the tests
        #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
        seconds: Option<u64>,
        /// The seed to begin with; each further round has the next one
        #[arg(long)]
        seed: Option<u64>,
        /// One way alone: power, upgrade, growth, cut, trouble or lies
        #[arg(long, value_name = "WAY")]
        only: Option<String>,
    },
    /// Let runs of all kinds go on for long, kill, exchange and forget, and see that every launch is accounted for and nothing grows
    Soak {
        /// How long, as `60s` or `10m`
        #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = seconds)]
        seconds: u64,
        /// The seed
        #[arg(long)]
        seed: Option<u64>,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run everything that CI runs: format, lints, guests, tests
    Test {
        /// Run only the tests whose names contain one of these, and no checks
        filters: Vec<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Bench { repeats, json, parts } => bench::measure(cli.guest_toolchain, *repeats, *json, parts),
        Command::Counts { record } => bench::count(cli.guest_toolchain, *record),
        Command::Demo => demo::show_all(cli.guest_toolchain),
        Command::Fuzz { target, seconds, seed } => test::fuzz(target.as_deref(), *seconds, *seed),
        Command::Golden => test::golden(cli.guest_toolchain),
        Command::Guests => guests(cli.guest_toolchain).map(|guests| println!("{}", guests.skills().display())),
        Command::Kills { count, seconds, seed } => test::kill(cli.guest_toolchain, *count, *seconds, *seed),
        Command::Sim { seconds, seed, case } => test::simulate(*seconds, *seed, case.as_deref()),
        Command::Soak { seconds, seed, json } => test::soak(cli.guest_toolchain, *seconds, *seed, *json),
        Command::Storage { seconds, seed, only } => test::try_storage(*seconds, *seed, only.as_deref()),
        Command::Test { filters } => test::run_all(cli.guest_toolchain, filters),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Reads a time as `60`, `60s` or `10m`.
fn seconds(text: &str) -> Result<u64, String> {
    let (number, seconds_each) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number = number.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(seconds_each))
        .ok_or_else(|| format!("`{text}` is no time, as `60s` or `10m` is"))
}

/// Returns the folder of the workspace.
fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.ancestors().nth(2).expect("xtask lies two folders deep")
}

/// Builds the guests, installing their compiler if it is missing.
fn guests(choice: Choice) -> Result<Guests, String> {
    step::announce("guests");
    build_guests(workspace(), choice, Packages::Install).map_err(|error| error.to_string())
}
