//! What the user lets each skill do: `grants.toml`, which lies with the user and never with a skill.
//!
//! A skill asks in its description; [`asked`] reads that. What was granted is kept here until it is revoked. A run is launched with what its skill is granted at that
//! moment, and may do no more than that, nor more than is granted when it does it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use skillhost_core::entry::Mount;
use skillhost_core::grants::{self, Grants};
use skillhost_core::id::SkillName;
use skillhost_effects::files::{self, OWN};
use skillhost_runtime::Description;

use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::home::{self, Home, read_regular};
use crate::terminal::plain_line;

/// The longest file, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The rights by which others could change the file.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The capability by which folders are asked for.
const FILES: &str = "files";

/// What stands at the head of the file.
const HEAD: &str = "\
# What each skill may do beyond its own folder. `skillhost grants` shows it, `skillhost grant SKILL` adds to it, `skillhost grants revoke SKILL` takes it back.

";

/// What all skills are granted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Granted {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    skills: BTreeMap<SkillName, Grants>,
    /// By the folder of the crate. They are not kept in there: whoever gives somebody a crate must not give himself what it asks for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    crates: BTreeMap<String, Grants>,
}

/// Who is granted something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// A skill that is installed.
    Skill(SkillName),
    /// A crate in which a skill is written, by its folder.
    Crate(String),
}

impl Grantee {
    /// Returns who is granted something when this skill is run in this state folder: that of a crate is for the crate alone.
    pub fn of(home: &Home, skill: &SkillName) -> Self {
        match home.is_apart() {
            false => Self::Skill(skill.clone()),
            true => Self::crate_in(home.root().parent().unwrap_or(home.root())),
        }
    }

    /// Returns the crate in a folder.
    pub fn crate_in(folder: &Path) -> Self {
        let real = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        Self::Crate(real.to_string_lossy().into_owned())
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skill(skill) => skill.fmt(f),
            Self::Crate(folder) => f.write_str(&plain_line(folder)),
        }
    }
}

/// Returns what is granted to a skill that is run in a state folder.
pub fn of(home: &Home, skill: &SkillName) -> Result<Grants> {
    Ok(Granted::load(home)?.of(&Grantee::of(home, skill)))
}

/// Something that a skill asks for and that needs a grant.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What it would be granted.
    pub grants: Grants,
    /// What that means.
    pub words: String,
    /// Why it asks, in its own words.
    pub reason: String,
}

impl Granted {
    /// Reads what is granted.
    pub fn load(home: &Home) -> Result<Self> {
        let path = home.grants();
        let unreadable = |e: io::Error| {
            let message = format!("could not read what skills are granted, in `{}`", path.display());
            CliError::new(Exit::Storage, "grants_unreadable", message).caused_by(&e)
        };
        let bytes = match read_regular(&path, BYTES_MAX) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(unreadable)?,
        };
        if home::open_to_others(&path).map_err(unreadable)? & WRITABLE_BY_OTHERS != 0 {
            let message = format!(
                "others than you may change `{}`, which says what skills may do",
                path.display()
            );
            return Err(CliError::new(Exit::Storage, "grants_open", message).hint(format!(
                "look at what is in it, and then `chmod 600 {}`",
                path.display()
            )));
        }
        let text = String::from_utf8_lossy(&bytes);
        toml::from_str(&text).map_err(|e| malformed(&path, &e))
    }

    /// Returns what somebody is granted.
    pub fn of(&self, grantee: &Grantee) -> Grants {
        let known = match grantee {
            Grantee::Skill(skill) => self.skills.get(skill),
            Grantee::Crate(folder) => self.crates.get(folder),
        };
        known.cloned().unwrap_or_default()
    }

    /// Returns everybody who is granted something, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (Grantee, &Grants)> {
        let skills = self.skills.iter();
        let skills = skills.map(|(skill, grants)| (Grantee::Skill(skill.clone()), grants));
        let crates = self.crates.iter();
        skills.chain(crates.map(|(folder, grants)| (Grantee::Crate(folder.clone()), grants)))
    }
}

fn malformed(path: &Path, error: &toml::de::Error) -> CliError {
    let message = format!("`{}` is malformed: {}", path.display(), error.message().trim_end());
    CliError::invalid("bad_grants", message)
        .hint("mend the file, or move it away and grant anew with `skillhost grant SKILL`")
}

/// Adds to what somebody is granted.
pub fn grant(home: &Home, grantee: &Grantee, more: &Grants) -> Result<()> {
    home.make()?;
    change(home, |granted| {
        let known = match grantee {
            Grantee::Skill(skill) => granted.skills.entry(skill.clone()).or_default(),
            Grantee::Crate(folder) => granted.crates.entry(folder.clone()).or_default(),
        };
        known.add(more);
    })
}

/// Takes back what somebody is granted, and returns what that was.
pub fn revoke(home: &Home, grantee: &Grantee) -> Result<Option<Grants>> {
    match home.grants().exists() {
        true => change(home, |granted| match grantee {
            Grantee::Skill(skill) => granted.skills.remove(skill),
            Grantee::Crate(folder) => granted.crates.remove(folder),
        }),
        false => Ok(None),
    }
}

/// Changes what is granted, and nobody else does meanwhile.
fn change<T>(home: &Home, change: impl FnOnce(&mut Granted) -> T) -> Result<T> {
    let path = home.grants();
    let unwritable = |e: io::Error| {
        let message = format!("could not write `{}`", path.display());
        CliError::new(Exit::Storage, "not_written", message).caused_by(&e)
    };
    let _alone = home::lock(&path).map_err(unwritable)?;
    let mut granted = Granted::load(home)?;
    let changed = change(&mut granted);
    let text = toml::to_string(&granted).map_err(|e| unwritable(io::Error::other(e)))?;
    home::write_whole(&path, format!("{HEAD}{text}").as_bytes()).map_err(unwritable)?;
    Ok(changed)
}

/// Reads what a skill asks for that needs a grant. What cannot be granted as it is asked for is told in words.
pub fn asked(description: &Description) -> (Vec<Request>, Vec<String>) {
    let (mut requests, mut unusable) = (Vec::new(), Vec::new());
    for request in &description.requests {
        let grants = grants::asked(
            &request.capability,
            request.target.as_deref(),
            request.access.as_deref(),
        );
        match grants {
            Ok(None) => {}
            Ok(Some(grants)) => requests.push(Request {
                words: words(&grants).join(", "),
                grants,
                reason: plain_line(&request.reason),
            }),
            Err(why) => unusable.push(plain_line(&why)),
        }
    }
    (requests, unusable)
}

/// A folder that a skill asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// What the skill calls it.
    pub mount: Mount,
    /// Why, in its own words.
    pub reason: String,
}

impl MountRequest {
    /// Says what it asks for.
    pub fn words(&self) -> String {
        let how = self.verb();
        format!("{how} a folder that you name, as {}/", self.mount.name)
    }

    /// Says what is to be done in it.
    pub fn verb(&self) -> &'static str {
        if self.mount.writable { "change" } else { "read" }
    }

    /// Returns how the folder is named on the command line.
    pub fn flag(&self) -> String {
        let suffix = if self.mount.writable { ":rw" } else { "" };
        format!("--mount {}=PATH{suffix}", self.mount.name)
    }
}

/// Reads the folders that a skill asks for. What cannot be given as it is asked for is told in words.
pub fn mounts_asked(description: &Description) -> (Vec<MountRequest>, Vec<String>) {
    let (mut asked, mut unusable) = (Vec::<MountRequest>::new(), Vec::new());
    for request in description
        .requests
        .iter()
        .filter(|request| request.capability == FILES)
    {
        match mount_asked(request.target.as_deref(), request.access.as_deref()) {
            Ok(mount) => asked.push(MountRequest {
                mount,
                reason: plain_line(&request.reason),
            }),
            Err(why) => unusable.push(plain_line(&why)),
        }
    }
    (asked, unusable)
}

fn mount_asked(name: Option<&str>, access: Option<&str>) -> std::result::Result<Mount, String> {
    let name = name.ok_or_else(|| format!("it asks for `{FILES}` and does not say in which mount"))?;
    files::check_name(name).map_err(|e| e.to_string())?;
    if OWN.contains(&name) {
        return Err(format!(
            "it asks for the mount `{name}`, and every run has one of its own"
        ));
    }
    match access.unwrap_or("read") {
        "read" => Ok(Mount::own(name, false)),
        "read-write" => Ok(Mount::own(name, true)),
        other => Err(format!(
            "`{other}` is no way to use `{FILES}`; there are `read` and `read-write`"
        )),
    }
}

/// Returns all that a skill asks for, together.
pub fn wanted(description: &Description) -> Grants {
    let mut wanted = Grants::default();
    for request in asked(description).0 {
        wanted.add(&request.grants);
    }
    wanted
}

/// Returns what a skill asks for and is not granted.
pub fn missing(description: &Description, granted: &Grants) -> Vec<Request> {
    let (requests, _) = asked(description);
    let missing = requests.into_iter().filter(|request| !granted.covers(&request.grants));
    missing.collect()
}

/// Says what grants allow, each in words of its own.
pub fn words(grants: &Grants) -> Vec<String> {
    let programs = grants.process.iter().map(|program| plain_line(&program.to_string()));
    programs
        .chain(grants.http.iter().map(|site| plain_line(&site.to_string())))
        .chain(grants.files.iter().map(|folder| plain_line(&folder.to_string())))
        .chain(grants.skills.iter().map(|skill| format!("call the skill {skill}")))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::env::Environment;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment {
            home: Some(folder.path().to_owned()),
            ..Environment::current()
        };
        let home = Home::find(&environment).unwrap();
        (folder, home)
    }

    fn cargo() -> Grants {
        grants::asked("process", Some("cargo"), Some("HOME")).unwrap().unwrap()
    }

    #[test]
    fn what_is_granted_stays_until_it_is_revoked() {
        let (_folder, home) = home();
        let skill = Grantee::Skill(SkillName::parse("fixer").unwrap());
        assert_eq!(Granted::load(&home).unwrap(), Granted::default());
        assert_eq!(revoke(&home, &skill).unwrap(), None);
        grant(&home, &skill, &cargo()).unwrap();
        let site = grants::asked("http", Some("example.org"), None).unwrap().unwrap();
        grant(&home, &skill, &site).unwrap();
        let granted = Granted::load(&home).unwrap().of(&skill);
        assert!(granted.covers(&cargo()) && granted.covers(&site));
        assert_eq!(home::open_to_others(&home.grants()).unwrap(), 0);
        assert_eq!(revoke(&home, &skill).unwrap(), Some(granted));
        assert!(Granted::load(&home).unwrap().of(&skill).is_empty());
    }

    #[test]
    fn a_file_that_others_may_change_is_not_believed() {
        let (_folder, home) = home();
        let skill = Grantee::Skill(SkillName::parse("fixer").unwrap());
        grant(&home, &skill, &cargo()).unwrap();
        std::fs::set_permissions(home.grants(), std::fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(Granted::load(&home).unwrap_err().code, "grants_open");
    }

    #[test]
    fn a_file_that_is_malformed_grants_nothing_and_says_what_is_wrong() {
        let (_folder, home) = home();
        for text in [
            "[skills.fixer]\nprocess = [{ program = \"../x\" }]\n",
            "[skills.fixer]\neverything = true\n",
            "[skills.fixer]\nhttp = [{ host = \"*\", methods = [\"*\"] }]\n",
        ] {
            home::write_whole(&home.grants(), text.as_bytes()).unwrap();
            assert_eq!(Granted::load(&home).unwrap_err().code, "bad_grants", "{text}");
        }
    }
}
