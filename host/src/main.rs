//! The command line of skillhost.
fn main() {}
