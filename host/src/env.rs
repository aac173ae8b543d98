//! The environment variables that skillhost reads, all of them; nothing else in this crate asks the environment.
//!
//! Those that choose and reach a model provider are named beside their use, in [`skillhost_effects::model::variable`], and are captured here with the rest.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use skillhost_effects::model;

/// The folder that keeps runs, journal, inbox and configuration; `~/.skillhost` if absent.
pub const HOME: &str = "SKILLHOST_HOME";

/// The folder that skills are installed in; `~/.claude/skills` if absent. `--skills-dir` goes before it.
pub const SKILLS: &str = "SKILLHOST_SKILLS";

/// What the user is called.
pub const USER: &str = "USER";

/// What one process was told by its environment, read once when it starts.
#[derive(Clone, Debug)]
pub struct Environment {
    /// [`HOME`].
    pub home: Option<PathBuf>,
    /// [`SKILLS`].
    pub skills: Option<PathBuf>,
    /// The user's own folder.
    pub user_folder: Option<PathBuf>,
    /// The folder it was started from.
    pub caller_folder: Option<PathBuf>,
    /// What the user is called, where it is recorded who did something.
    pub user: Option<String>,
    /// Where programs are looked for.
    pub search_path: Option<OsString>,
    /// Whether it was started by a model call of ours ([`model::CHILD_MARKER`]).
    pub is_model_call: bool,
    /// What chooses and reaches a model provider, keys included.
    pub model: model::Environment,
}

impl Environment {
    /// Reads this process's.
    pub fn current() -> Self {
        Self {
            home: path(HOME),
            skills: path(SKILLS),
            user_folder: std::env::home_dir().filter(|folder| folder.is_absolute()),
            caller_folder: std::env::current_dir().ok(),
            user: std::env::var(USER).ok().filter(|name| !name.is_empty()),
            search_path: search_path(),
            is_model_call: std::env::var_os(model::CHILD_MARKER).is_some(),
            model: model::Environment::current(),
        }
    }
}

/// Returns what starts this program once more, also when the file that was started is another one by now.
pub fn own_program() -> PathBuf {
    let named = std::env::current_exe().unwrap_or_default();
    match cfg!(target_os = "linux") && !is_run_by_another(&named) {
        true => PathBuf::from("/proc/self/exe"),
        false => named,
    }
}

/// Returns whether the process is another program's, which carries this one out: valgrind does so, and says of itself that it is this one.
fn is_run_by_another(named: &Path) -> bool {
    let file = |path: &Path| std::fs::metadata(path).map(|about| (about.dev(), about.ino()));
    match (file(Path::new("/proc/self/exe")), file(named)) {
        (Ok(running), Ok(named)) => running != named,
        // What was started is gone, as happens at an upgrade.
        _ => false,
    }
}

/// Returns where programs are looked for, skills' among them.
pub fn search_path() -> Option<OsString> {
    std::env::var_os(model::variable::PATH)
}

/// Returns the value of a variable that the user granted to a program.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
