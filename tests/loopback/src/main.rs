//! The server as a process: prints its URL, answers until its standard input ends.
//!
//! `skillhost-loopback [port]`

use std::io::{self, Read as _, Write as _};

use skillhost_loopback::Loopback;

fn main() -> io::Result<()> {
    let port = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|_| io::Error::other(format!("`{text}` is not a port")))?,
        None => 0,
    };
    let server = Loopback::start_on(port)?;
    writeln!(io::stdout(), "{}", server.url())?;
    io::stdout().flush()?;
    // Whoever started it holds the other end; when that process is gone, so is the need for this one.
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest)?;
    Ok(())
}
