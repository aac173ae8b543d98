//! Inputs that nobody thought of: seeds that are kept in the repository, changed at random, given to whatever reads what others write.
//!
//! It runs on any compiler and looks at no coverage: what it knows of a format are the seeds and the words that it is given. The same seed number makes the same inputs. An input
//! that fails, or that is not done with after a minute, is written beside the seeds, where every later run tries it first; so it is repeated by running again, and kept from
//! coming back by being committed.

#![allow(clippy::print_stderr, reason = "it speaks to whoever runs the tests")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long to go on, in seconds; without it, for so many inputs as the test says.
pub const SECONDS: &str = "SKILLHOST_FUZZ_SECONDS";
/// The number that the inputs are made from.
pub const SEED: &str = "SKILLHOST_FUZZ_SEED";

/// The longest input that is made, in bytes.
const BYTES_MAX: usize = 256 << 10;
/// How long one input may take. What reads them takes milliseconds, so this is a fault and not a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many inputs that were made are changed further.
const POOL_MAX: usize = 64;
/// What numbers are replaced by.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1e999",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "4294967296",
    "0.1",
];

/// Something that reads what others write.
#[derive(Debug)]
pub struct Fuzz {
    target: String,
    folder: PathBuf,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    patience: Duration,
    /// What is done about an input that takes longer, once it was told: nothing that goes on for ever can be interrupted.
    give_up: fn(),
}

impl Fuzz {
    /// Finds the seeds of a target: the files in `tests/fuzz/<target>` of the workspace.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(target: &str) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("it lies among the tests");
        let folder = tests.join("fuzz").join(target);
        let found = std::fs::read_dir(&folder).expect("the target has seeds");
        let mut paths: Vec<PathBuf> = found.map(|file| file.expect("a file").path()).collect();
        paths.sort();
        let seeds = paths
            .iter()
            .map(|path| std::fs::read(path).expect("a seed can be read"));
        Self {
            target: target.to_owned(),
            folder,
            seeds: seeds.collect(),
            words: Vec::new(),
            patience: PATIENCE,
            give_up: || std::process::abort(),
        }
    }

    /// Adds a seed.
    #[must_use]
    pub fn seed(mut self, seed: &[u8]) -> Self {
        self.seeds.push(seed.to_vec());
        self
    }

    /// Adds words of the format, which are put in here and there.
    #[must_use]
    pub fn words(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| word.as_bytes().to_vec()));
        self
    }

    /// Gives each seed to `read`, and then inputs made of them: so many, or for as long as the environment says.
    ///
    /// Ends the process if an input takes longer than a minute.
    ///
    /// # Panics
    /// If `read` does.
    pub fn run(self, inputs: u64, read: impl Fn(&[u8])) {
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| self.watch(begun, ended));
            // Moved in, so that the watch ends with it, however that comes about.
            let (begin, end) = (begin, end);
            self.run_watched(inputs, |input| {
                // Whoever watches goes on for as long as this does.
                begin.send(input.to_vec()).ok();
                read(input);
                end.send(()).ok();
            });
        });
    }

    /// Watches whether each input that is begun with is done with in time.
    fn watch(&self, begun: mpsc::Receiver<Vec<u8>>, ended: mpsc::Receiver<()>) {
        while let Ok(input) = begun.recv() {
            let done = match ended.recv_timeout(self.patience) {
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.patience.as_secs_f64();
                    self.tell(&input, &format!("takes longer than {seconds} s"));
                    (self.give_up)();
                    ended.recv().is_ok()
                }
                done => done.is_ok(),
            };
            if !done {
                return;
            }
        }
    }

    fn run_watched(&self, inputs: u64, read: impl Fn(&[u8])) {
        for seed in &self.seeds {
            self.give(seed, &read);
        }
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let time = number(SECONDS).map(Duration::from_secs);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let base = number(SEED).unwrap_or(if time.is_some() { now.as_micros() as u64 } else { 1 });
        let began = Instant::now();
        let mut made = 0;
        let mut pool = self.seeds.clone();
        while time.map_or(made < inputs, |time| began.elapsed() < time) {
            let mut chance = Chance::new(base.wrapping_add(made));
            let input = self.made(&pool, &mut chance);
            self.give(&input, &read);
            made += 1;
            if chance.below(8) == 0 && input.len() < BYTES_MAX / 4 {
                match pool.len() < self.seeds.len() + POOL_MAX {
                    true => pool.push(input),
                    false => {
                        let place = self.seeds.len() + chance.below(POOL_MAX);
                        pool[place] = input;
                    }
                }
            }
        }
        eprintln!(
            "fuzz {}: {} seeds, {made} inputs made, seed {base}",
            self.target,
            self.seeds.len()
        );
    }

    fn give(&self, input: &[u8], read: impl Fn(&[u8])) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| read(input))) {
            self.tell(input, "fails");
            resume_unwind(panic);
        }
    }

    /// Keeps an input that found something, and says how it is repeated.
    fn tell(&self, input: &[u8], what: &str) {
        // FNV-1a: a name, nothing more.
        let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let path = self.folder.join(format!("found-{hash:016x}"));
        let told = match std::fs::write(&path, input) {
            Ok(()) => format!("it is written to `{}`", path.display()),
            Err(error) => format!("it could not be written to `{}`: {error}", path.display()),
        };
        eprintln!(
            "fuzz {}: an input of {} bytes {what}; {told}; `cargo xtask fuzz {}` tries it first",
            self.target,
            input.len(),
            self.target
        );
    }

    fn made(&self, pool: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
        let mut input = pool[chance.below(pool.len())].clone();
        for _ in 0..=chance.below(6) {
            self.change(&mut input, pool, chance);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn change(&self, input: &mut Vec<u8>, pool: &[Vec<u8>], chance: &mut Chance) {
        let at = chance.below(input.len() + 1);
        let longest = 1 << chance.below(9);
        let end = (at + chance.below(longest)).min(input.len());
        match chance.below(9) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b'\n'][chance.below(8)],
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                let most = 1 << chance.below(8);
                let times = 1 + chance.below(most);
                let pieces = piece.repeat(times.min(BYTES_MAX / piece.len().max(1)));
                input.splice(at..at, pieces);
            }
            4 => {
                let other = &pool[chance.below(pool.len())];
                let from = chance.below(other.len() + 1);
                let to = (from + chance.below(256)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            5 if !self.words.is_empty() => {
                let word = &self.words[chance.below(self.words.len())];
                input.splice(at..at, word.iter().copied());
            }
            6 => {
                let digits = input.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit());
                let places: Vec<usize> = digits.map(|(place, _)| place).collect();
                if !places.is_empty() {
                    let place = places[chance.below(places.len())];
                    input.splice(place..=place, NUMBERS[chance.below(NUMBERS.len())].bytes());
                }
            }
            7 => {
                let random: Vec<u8> = (0..chance.below(9)).map(|_| chance.below(256) as u8).collect();
                input.splice(at..at, random);
            }
            _ => {
                // Two pieces change places.
                let piece: Vec<u8> = input.drain(at..end).collect();
                let to = chance.below(input.len() + 1);
                input.splice(to..to, piece);
            }
        }
    }
}

/// Numbers that look random, and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        chance.below(1);
        chance
    }

    /// Returns a number below `bound` (xorshift64*).
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Whether an input was given up that hung.
    static GIVEN_UP: AtomicBool = AtomicBool::new(false);

    #[test]
    fn an_input_that_hangs_is_told_kept_and_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let fuzz = || Fuzz {
            folder: folder.path().to_owned(),
            patience: Duration::from_millis(200),
            give_up: || GIVEN_UP.store(true, Ordering::SeqCst),
            ..Fuzz::of("signals").seed(b"hangs")
        };
        // One that goes on until it is given up; the real one ends the process then.
        let read = |input: &[u8]| {
            while input == b"hangs" && !GIVEN_UP.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        };
        fuzz().run(0, read);
        assert!(GIVEN_UP.load(Ordering::SeqCst));
        let found: Vec<PathBuf> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|file| file.expect("a file").path())
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(std::fs::read(&found[0]).expect("a file"), b"hangs");
    }

    #[test]
    fn an_input_that_panics_is_told_kept_and_ends_the_test() {
        let folder = tempfile::tempdir().expect("a folder");
        let fuzz = Fuzz {
            folder: folder.path().to_owned(),
            ..Fuzz::of("signals").seed(b"panics")
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| fuzz.run(0, |input| assert_ne!(input, b"panics"))));
        assert!(panicked.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let fuzz = Fuzz::of("signals").words(&["word"]);
        let made = |number| fuzz.made(&fuzz.seeds, &mut Chance::new(number));
        assert_eq!(made(7), made(7));
        assert!((0..20).any(|number| made(number) != made(number + 1)));
    }
}
