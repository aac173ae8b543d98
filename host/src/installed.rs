//! Keeps true what the journal says of an installed skill: the last bundle of it that could be used, and what is wrong with what lies in its folder now.
//!
//! What lies in the folder counts, whoever looks: a launch looks for itself and is never behind. The row in the journal is for what cannot be used, a half-written
//! component say: then the last bundle that could be stays in use. So whoever looks first (the daemon, as it is told of changed files) loads what is new before
//! anybody launches it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use skillhost_core::id::{Digest, SkillName};
use skillhost_core::time::Timestamp;
use skillhost_journal::{InstalledRow, Journal, Problem, SkillPlace};
use skillhost_runtime::Description;

use crate::bundle::{SCRIPT, Scan};
use crate::describe::{input_schema, output_schema};
use crate::digest_cache::DigestCache;
use crate::driver::now;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::skills::{self, Installed, Library};

/// How often a skill is looked at again that changes while it is read.
const LOOKS_MAX: u32 = 5;

/// Reads a component.
pub type Bytes = Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send>;

/// Returns what a component says of itself, after it was loaded if that is not known yet.
pub type Describe<'a> = dyn Fn(&SkillName, Digest, Bytes) -> Result<Description> + 'a;

/// What a run of a skill begins on. Its bundle is in the journal.
#[derive(Clone, Debug)]
pub struct Edition {
    /// The skill.
    pub skill: SkillName,
    /// The bundle.
    pub bundle: Digest,
    /// The component in it.
    pub component: Digest,
    /// What the component says of itself.
    pub description: Description,
    /// The replies that are scripted for use without a provider.
    pub script: Option<String>,
}

/// An installed skill, as it can be launched.
#[derive(Clone, Debug)]
pub struct Settled {
    /// What a run begins on.
    pub edition: Edition,
    /// If that is not what lies in the folder: why not.
    pub instead: Option<Instead>,
}

/// Why a run does not begin on what lies in the skill's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instead {
    /// What is wrong with that.
    pub problem: Problem,
    /// Since when what is used instead was installed.
    pub since: Timestamp,
}

/// Looks at installed skills.
pub struct Shelf<'a> {
    /// Where it is kept what could be used.
    pub journal: &'a Arc<dyn Journal>,
    /// The folder of skills.
    pub skills: &'a Library,
    /// The folder of what is known of files that did not change.
    pub digests: PathBuf,
    /// How a component's description is had.
    pub describe: &'a Describe<'a>,
}

impl Edition {
    /// Loads what was scanned, as far as that is needed to know that it can be launched.
    fn of(skill: &SkillName, scan: &Arc<Scan>, describe: &Describe<'_>) -> Result<Self> {
        let reader = Arc::clone(scan);
        let description = describe(skill, scan.component(), Box::new(move || reader.read_component()))?;
        input_schema(skill, &description)?;
        output_schema(skill, &description)?;
        Ok(Self {
            skill: skill.clone(),
            bundle: scan.bundle().digest(),
            component: scan.component(),
            description,
            script: scan.script()?,
        })
    }

    /// Does the same with a folder that is installed nowhere, and keeps its bundle for a run.
    pub fn apart(journal: &dyn Journal, skill: &SkillName, scan: &Arc<Scan>, describe: &Describe<'_>) -> Result<Self> {
        let edition = Self::of(skill, scan, describe)?;
        journal.put_bundle(scan.bundle(), now(), &|file| scan.read(file))?;
        Ok(edition)
    }
}

impl Shelf<'_> {
    /// Looks at a skill's folder, makes its row true, and returns what a run begins on: what lies there, or the last that could be used.
    ///
    /// # Errors
    /// If there is no such skill, or nothing of it could ever be used.
    pub fn settle(&self, name: &str) -> Result<Settled> {
        let mut looks = 1;
        loop {
            // What was believed unchanged may be what was not.
            let is_trusting = looks == 1;
            match self.look(name, is_trusting) {
                Err(error) if is_changing(&error) && looks < LOOKS_MAX => looks += 1,
                looked => return looked,
            }
        }
    }

    /// Forgets what is not there any more, and returns the names of all that is or should be.
    pub fn names(&self) -> Result<Vec<String>> {
        let names = self.skills.names()?;
        for row in self.journal.installed()? {
            let is_here = row.place.folder == self.skills.root();
            if is_here && !names.iter().any(|name| name == row.place.skill.as_str()) {
                self.forget(&row.place)?;
            }
        }
        Ok(names)
    }

    fn forget(&self, place: &SkillPlace) -> Result<()> {
        DigestCache::anew(&self.digests, place).forget();
        self.journal.uninstall(place)?;
        Ok(())
    }

    fn look(&self, name: &str, is_trusting: bool) -> Result<Settled> {
        let Ok(skill) = SkillName::parse(name) else {
            return Err(self.skills.get(name).err().unwrap_or_else(|| unknown(name)));
        };
        let place = SkillPlace {
            folder: self.skills.root().to_owned(),
            skill,
        };
        let row = self.journal.installed_in(&place)?;
        let found = self.skills.get(name);
        let known = match is_trusting {
            true => DigestCache::open(&self.digests, &place),
            false => DigestCache::anew(&self.digests, &place),
        };
        let error = match found.and_then(|found| self.edition(&found, &known, &place, row.as_ref())) {
            Ok(edition) => return Ok(Settled { edition, instead: None }),
            Err(error) => error,
        };
        match row {
            Some(_) if error.code == skills::UNKNOWN => {
                self.forget(&place)?;
                Err(error)
            }
            // It may not be what was believed of it.
            Some(_) if is_trusting && is_changing(&error) => Err(error),
            Some(row) if is_of_the_skill(&error) => self.instead(row, error),
            _ => Err(error),
        }
    }

    /// Loads what lies in the folder, and makes it what is installed.
    fn edition(
        &self,
        found: &Installed,
        known: &DigestCache,
        place: &SkillPlace,
        row: Option<&InstalledRow>,
    ) -> Result<Edition> {
        let scan = Arc::new(Scan::but_for(found, known)?);
        let edition = Edition::of(&found.name, &scan, self.describe)?;
        if row.is_none_or(|row| row.bundle != edition.bundle || row.problem.is_some()) {
            let component = edition.component;
            self.journal
                .install(place, scan.bundle(), &component, now(), &|file| scan.read(file))?;
        }
        scan.keep_in(known);
        Ok(edition)
    }

    /// Returns the last that could be used.
    fn instead(&self, row: InstalledRow, error: CliError) -> Result<Settled> {
        let problem = problem(&error);
        if row.problem.as_ref() != Some(&problem) {
            self.journal.note_problem(&row.place, &problem)?;
        }
        let skill = row.place.skill.clone();
        let bytes = crate::describe::pinned_bytes(self.journal, row.component);
        let description = (self.describe)(&skill, row.component, Box::new(bytes))?;
        let edition = Edition {
            skill,
            bundle: row.bundle,
            component: row.component,
            description,
            script: self.script(&row)?,
        };
        let since = row.at;
        Ok(Settled {
            edition,
            instead: Some(Instead { problem, since }),
        })
    }

    fn script(&self, row: &InstalledRow) -> Result<Option<String>> {
        let bundle = self.journal.bundle(&row.bundle)?;
        let Some(script) = bundle.as_ref().and_then(|bundle| bundle.file(SCRIPT)) else {
            return Ok(None);
        };
        let text = self.journal.blob(&script.digest)?;
        // It was text when it was installed.
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// Returns an error as what is known to be wrong with a skill.
pub fn problem(error: &CliError) -> Problem {
    Problem {
        code: error.code.to_owned(),
        // `skill x does not load: reason` is said once.
        message: error.causes.last().cloned().unwrap_or_else(|| reason(&error.message)),
        hint: match (&error.hint, error.code) {
            (Some(hint), code) if code != crate::describe::DOES_NOT_LOAD => hint.clone(),
            _ => "rebuild the skill, or tell its author".to_owned(),
        },
    }
}

/// Returns what comes after `skill x cannot be launched: `.
fn reason(message: &str) -> String {
    message
        .split_once(" cannot be launched: ")
        .map_or(message, |(_, reason)| reason)
        .to_owned()
}

/// Returns whether what lies in the folder is at fault: looking again at the same would come to the same.
pub fn is_of_the_skill(error: &CliError) -> bool {
    error.exit == Exit::Unsupported || error.code == "bad_skill" || error.code == "bad_script" || is_changing(error)
}

/// Returns whether a file changed while it was read.
fn is_changing(error: &CliError) -> bool {
    error.exit == Exit::Host && [crate::describe::DOES_NOT_LOAD, "skill_changed"].contains(&error.code)
}

fn unknown(name: &str) -> CliError {
    CliError::invalid(skills::UNKNOWN, format!("there is no skill `{name}`"))
}
