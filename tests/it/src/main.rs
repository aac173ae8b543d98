//! The program `skillhost`, built with what tests need.

use std::process::ExitCode;

fn main() -> ExitCode {
    skillhost::cli::main(std::env::args_os().collect()).into()
}
