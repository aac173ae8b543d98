//! What is installed: a folder under the skills directory that holds a component is a skill, by being there.
//!
//! A folder with a `SKILL.md` and no component is prose for an agent and none of our business. What looks like a skill and cannot be one is listed with the reason.
//! Whether a component loads is the runtime's to say.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use skillhost_core::id::SkillName;

use crate::env::{self, Environment};
use crate::error::{CliError, Result};
use crate::exit::Exit;

/// The most folders that are looked at.
const FOLDERS_MAX: usize = 10_000;

/// How often a folder is looked into that changes all the time.
const LOOKS_MAX: usize = 16;

/// The word for programs that there is no such skill.
pub const UNKNOWN: &str = "unknown_skill";

/// What a component is called if a folder holds several.
pub const COMPONENT: &str = "skill.wasm";

/// The folder that skills are installed in.
#[derive(Clone, Debug)]
pub struct Library {
    root: PathBuf,
}

/// A folder that holds a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The skill's name: its folder's.
    pub name: SkillName,
    /// The folder, wherever it really is.
    pub folder: PathBuf,
    /// The component, relative to the folder.
    pub component: String,
}

/// A folder that looks like a skill and cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The folder's name.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

/// What a folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A skill, as far as can be seen from outside.
    Skill(Installed),
    /// Something that was meant to be one.
    Broken(Broken),
    /// A skill without a component: instructions for an agent.
    Prose,
    /// Nothing of ours.
    Other,
}

impl Library {
    /// Finds the folder; it need not be there.
    pub fn find(chosen: Option<&Path>, environment: &Environment) -> Result<Self> {
        let root = chosen.map(Path::to_owned).or_else(|| environment.skills.clone());
        let root = match (root, &environment.user_folder) {
            (Some(root), _) => root,
            (None, Some(user)) => user.join(".claude").join("skills"),
            (None, None) => {
                let message = "no folder of skills: neither `--skills-dir` nor SKILLHOST_SKILLS nor HOME names one";
                return Err(CliError::new(Exit::Host, "no_home", message)
                    .hint(format!("`export {}=/path/to/skills`", env::SKILLS)));
            }
        };
        let unusable =
            |e| CliError::new(Exit::Host, "no_skills", format!("`{}` is no folder", root.display())).caused_by(&e);
        let root = std::path::absolute(&root).map_err(unusable)?;
        Ok(Self { root })
    }

    /// Takes a folder for one that skills are installed in.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns everything that is a skill or was meant to be one, by name.
    pub fn list(&self) -> Result<(Vec<Installed>, Vec<Broken>)> {
        let mut skills = Vec::new();
        let mut broken = Vec::new();
        for name in self.names()? {
            match self.look(&name) {
                Found::Skill(skill) => skills.push(skill),
                Found::Broken(reason) => broken.push(reason),
                Found::Prose | Found::Other => {}
            }
        }
        Ok((skills, broken))
    }

    /// Returns the names of all that may be a skill.
    pub fn names(&self) -> Result<Vec<String>> {
        let unreadable = |e: io::Error| {
            let message = format!("could not read the folder of skills `{}`", self.root.display());
            CliError::new(Exit::Host, "skills_unreadable", message).caused_by(&e)
        };
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(unreadable(e)),
        };
        let mut names = Vec::new();
        for entry in entries.take(FOLDERS_MAX) {
            let name = entry.map_err(unreadable)?.file_name();
            // What has no readable name cannot be launched, and what begins with a dot is somebody's work in progress.
            if let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns the skill of this name, or says why there is none.
    pub fn get(&self, name: &str) -> Result<Installed> {
        let found = match SkillName::parse(name) {
            Ok(_) => self.look(name),
            Err(e) => return Err(CliError::of(Exit::Invalid, UNKNOWN, &e).hint(self.which_there_are(name))),
        };
        match found {
            Found::Skill(skill) => Ok(skill),
            Found::Broken(broken) => {
                let message = format!("skill `{name}` cannot be launched: {}", broken.reason);
                Err(CliError::new(Exit::Unsupported, "broken_skill", message).hint(broken.hint))
            }
            Found::Prose => {
                let message =
                    format!("skill `{name}` has no component: it is instructions for an agent, not a program");
                Err(CliError::invalid(UNKNOWN, message).hint(self.which_there_are(name)))
            }
            Found::Other => {
                let message = format!("there is no skill `{name}` in `{}`", self.root.display());
                Err(CliError::invalid(UNKNOWN, message).hint(self.which_there_are(name)))
            }
        }
    }

    fn which_there_are(&self, name: &str) -> String {
        let (skills, broken) = self.list().unwrap_or_default();
        let names = skills.iter().map(|skill| skill.name.as_str());
        let names = names.chain(broken.iter().map(|skill| skill.name.as_str()));
        match nearest(name, names) {
            Some(nearest) => format!("did you mean `{nearest}`? `skillhost skills` shows what is installed"),
            None if skills.is_empty() => format!(
                "nothing is installed there; a folder `{}` that holds `{COMPONENT}` would be",
                self.root.join("<name>").display()
            ),
            None => "`skillhost skills` shows what is installed".to_owned(),
        }
    }

    /// Says what the folder of this name is.
    pub fn look(&self, name: &str) -> Found {
        let folder = self.root.join(name);
        steadily(&folder, || self.look_once(name))
    }

    fn look_once(&self, name: &str) -> Found {
        let folder = self.root.join(name);
        let broken = |reason: String, hint: String| {
            Found::Broken(Broken {
                name: name.to_owned(),
                reason,
                hint,
            })
        };
        // The folder itself may be a link: that is how people install what they work on.
        let Ok(folder) = fs::canonicalize(&folder).and_then(|real| match real.is_dir() {
            true => Ok(real),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }) else {
            return Found::Other;
        };
        let components = match components(&folder) {
            Ok(components) => components,
            Err(e) => {
                return broken(
                    format!("its folder cannot be read: {e}"),
                    format!("`ls -ld {}`", folder.display()),
                );
            }
        };
        let component = match &components[..] {
            [] if folder.join("SKILL.md").exists() => return Found::Prose,
            [] => return Found::Other,
            [only] => only.clone(),
            several if several.iter().any(|name| name == COMPONENT) => COMPONENT.to_owned(),
            several => {
                let named = several
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ");
                let reason = format!("its folder holds several components ({named}) and none is called `{COMPONENT}`");
                return broken(reason, format!("rename the one that is meant to `{COMPONENT}`"));
            }
        };
        match SkillName::parse(name) {
            Ok(name) => Found::Skill(Installed {
                name,
                folder,
                component,
            }),
            Err(e) => broken(e.to_string(), "rename its folder".to_owned()),
        }
    }
}

/// Looks into a folder, and looks again if another was put in its place meanwhile: what was seen may be what was left of the old one.
pub(crate) fn steadily<T>(folder: &Path, look: impl Fn() -> T) -> T {
    // A folder that is made anew may get the number of one that is gone, but not the time of its renaming.
    let which = || {
        let metadata = fs::metadata(folder).ok()?;
        Some((metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
    };
    let mut before = which();
    let mut seen = look();
    for _ in 1..LOOKS_MAX {
        let after = which();
        if after == before {
            break;
        }
        before = after;
        seen = look();
    }
    seen
}

/// Returns whether a folder holds a component.
pub fn holds_component(folder: &Path) -> bool {
    components(folder).is_ok_and(|components| !components.is_empty())
}

fn components(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(".wasm")
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Returns what of `known` the word was probably meant to be.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LIKENESS_MIN: f64 = 0.75;
    let scored = known.map(|name| (strsim::jaro_winkler(word, name), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= LIKENESS_MIN).then_some(best.1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    struct Skills(tempfile::TempDir);

    impl Skills {
        fn with(files: &[&str]) -> Self {
            let skills = Self(tempfile::tempdir().unwrap());
            for file in files {
                let path = skills.0.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "x").unwrap();
            }
            skills
        }

        fn installed(&self) -> Library {
            Library {
                root: self.0.path().to_owned(),
            }
        }

        fn component(&self, name: &str) -> String {
            self.installed().get(name).unwrap().component
        }

        fn error(&self, name: &str) -> String {
            let error = self.installed().get(name).unwrap_err();
            let hint = error.hint.clone().unwrap();
            format!("{error}\n{hint}").replace(&*self.0.path().to_string_lossy(), "skills")
        }
    }

    #[test]
    fn a_folder_that_holds_a_component_is_installed_by_being_there() {
        let skills = Skills::with(&["one/skill.wasm", "one/other.wasm", "two/anything.wasm", "two/SKILL.md"]);
        assert_eq!(skills.component("one"), "skill.wasm");
        assert_eq!(skills.component("two"), "anything.wasm");
    }

    #[test]
    fn prose_is_left_alone_and_what_cannot_be_a_skill_is_told() {
        let skills = Skills::with(&[
            "prose/SKILL.md",
            "notes/readme.txt",
            "file.wasm",
            "two/a.wasm",
            "two/b.wasm",
            "Big/x.wasm",
        ]);
        let (installed, broken) = skills.installed().list().unwrap();
        assert_eq!(installed, []);
        let names: Vec<_> = broken.iter().map(|broken| broken.name.as_str()).collect();
        assert_eq!(names, ["Big", "two"]);
        assert_eq!(
            skills.error("two"),
            "skill `two` cannot be launched: its folder holds several components (`a.wasm`, `b.wasm`) and none is called `skill.wasm`\n\
             rename the one that is meant to `skill.wasm`"
        );
        assert!(skills.error("prose").contains("instructions for an agent"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_never_leaves_the_folder() {
        let skills = Skills::with(&["hello-world/skill.wasm"]);
        assert_eq!(
            skills.error("helo-world"),
            "there is no skill `helo-world` in `skills`\ndid you mean `hello-world`? `skillhost skills` shows what is installed"
        );
        for name in ["..", "../hello-world", "/etc", "hello-world/"] {
            assert!(skills.error(name).contains("is not a skill's name"), "{name}");
        }
    }

    #[test]
    fn a_skills_folder_that_is_not_there_holds_nothing() {
        let library = Library {
            root: PathBuf::from("/no/such/folder"),
        };
        assert_eq!(library.list().unwrap(), (Vec::new(), Vec::new()));
        assert!(
            library
                .get("x")
                .unwrap_err()
                .hint
                .unwrap()
                .starts_with("nothing is installed there")
        );
    }

    #[test]
    fn a_linked_folder_is_installed() {
        let skills = Skills::with(&["one/skill.wasm"]);
        std::os::unix::fs::symlink(skills.0.path().join("one"), skills.0.path().join("linked")).unwrap();
        assert!(skills.installed().get("linked").is_ok());
    }
}
