//! Whether this process may open files enough to begin with.

use std::fs::File;
use std::io;

/// How many descriptors a runtime takes at least, with some beside it.
const SPARE_MIN: usize = 12;

/// Makes sure that a runtime can be set up: where it is refused a descriptor for signals, it panics, as if that were a fault of ours.
pub fn ensure() -> io::Result<()> {
    let spare: io::Result<Vec<File>> = (0..SPARE_MIN).map(|_| File::open("/dev/null")).collect();
    spare.map(drop)
}
