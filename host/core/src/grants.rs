//! What a user lets a skill do beyond its own folders: which programs it may run, with whom it may speak over HTTP, which of his secrets they are told, which folders of
//! his its runs are given, and which other skills it may call.
//!
//! A skill asks in its `describe`; that gives it nothing. What was granted when a run was launched stands in its `started` entry, and everything else is denied. This
//! module compares; where grants are kept and how the user is asked is another's business. Start with [`Grants`].

mod host;
mod names;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calls::http::only_reads;
use crate::id::SkillName;

pub use host::HostPattern;
pub use names::{MountName, ProgramName, SecretName, VariableName, is_mount, is_program, is_secret, is_variable};

/// Stands for every method, or every port.
const ANY: &str = "*";

/// Stands before the name of a secret where a skill says how it uses a program or a host.
const SECRET: &str = "secret:";

/// What a skill may do. Nothing, as long as nothing is added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// The programs that it may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub process: Vec<Program>,
    /// The hosts that it may speak with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<Site>,
    /// The folders that each of its runs is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Folder>,
    /// The skills that it may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<SkillName>,
}

/// A folder of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// What the skill calls it.
    pub mount: MountName,
    /// Where it is: absolute.
    pub path: String,
    /// Whether what is there may be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub writable: bool,
}

/// A program that may be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// A name that is looked up, or an absolute path. A skill has to call it by the same.
    pub program: ProgramName,
    /// The variables of the environment that it is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<VariableName>,
    /// The secrets that the host fills in where the value of a variable names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
}

/// A host that may be spoken with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Which.
    pub host: HostPattern,
    /// How: methods in upper case, or `*` for all.
    pub methods: Vec<String>,
    /// Whether it may be at an address of the user's own machine or networks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// The secrets that the host fills in where a header names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
}

/// Something that was not granted, in words for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(String);

impl Grants {
    /// Returns whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.process.is_empty() && self.http.is_empty() && self.files.is_empty() && self.skills.is_empty()
    }

    /// Finds the grant by which a program may be run with values of its own for these variables, in which these secrets are filled in.
    pub fn program<'a>(
        &self,
        program: &str,
        variables: impl IntoIterator<Item = &'a str>,
        secrets: &[SecretName],
    ) -> Result<&Program, Denied> {
        let found = self.process.iter().find(|granted| granted.program.as_str() == program);
        let granted = found.ok_or_else(|| Denied(format!("the program `{program}` was not granted")))?;
        let is_granted = |name: &str| granted.environment.iter().any(|known| known.as_str() == name);
        if let Some(name) = variables.into_iter().find(|name| !is_granted(name)) {
            return Err(Denied(format!(
                "the variable `{name}` was not granted for the program `{program}`"
            )));
        }
        match secrets.iter().find(|name| !granted.secrets.contains(name)) {
            None => Ok(granted),
            Some(name) => Err(Denied(format!(
                "the secret `{name}` was not granted for the program `{program}`"
            ))),
        }
    }

    /// Finds the grant by which a place may be spoken with, and be told these secrets. Where several do, one that also allows private addresses goes first.
    pub fn site(&self, method: &str, place: &Place, secrets: &[SecretName]) -> Result<&Site, Denied> {
        let here = || self.http.iter().filter(|site| site.host.matches(place));
        let may = || here().filter(|site| site.may(method));
        let may_tell = |site: &&Site| site.tells(secrets);
        let found = may().filter(may_tell).max_by_key(|site| site.private);
        found.ok_or_else(|| {
            let unknown = secrets
                .iter()
                .find(|name| !may().any(|site| site.secrets.contains(name)));
            match (here().next(), may().next(), unknown) {
                (None, ..) => Denied(format!("{place} was not granted")),
                (_, None, _) => Denied(format!("the method {method} was not granted for {place}")),
                (.., Some(name)) => Denied(format!("the secret `{name}` was not granted for {place}")),
                _ => Denied(format!("these secrets were not granted together for {place}")),
            }
        })
    }

    /// Returns the secrets that somebody may be told.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        let programs = self.process.iter().flat_map(|program| &program.secrets);
        programs.chain(self.http.iter().flat_map(|site| &site.secrets))
    }

    /// Checks that a skill may be called.
    pub fn skill(&self, name: &SkillName) -> Result<(), Denied> {
        match self.skills.contains(name) {
            true => Ok(()),
            false => Err(Denied(format!("to call the skill `{name}` was not granted"))),
        }
    }

    /// Finds the folder that is given under a name.
    pub fn folder(&self, mount: &str) -> Option<&Folder> {
        self.files.iter().find(|folder| folder.mount.as_str() == mount)
    }

    /// Checks that this very folder may be used under this name, and be changed if that is wanted.
    pub fn uses(&self, mount: &str, path: &str, writable: bool) -> Result<(), Denied> {
        match self.folder(mount).filter(|folder| folder.path == path) {
            Some(folder) if folder.writable || !writable => Ok(()),
            Some(_) => Err(Denied(format!("to change the folder `{mount}/` was not granted"))),
            None => Err(Denied(format!("the folder `{mount}/` was not granted"))),
        }
    }

    /// Returns whether everything that the other allows is allowed here, too.
    pub fn covers(&self, other: &Self) -> bool {
        other.missing_in(self).is_empty()
    }

    /// Returns what of this the other does not allow.
    #[must_use]
    pub fn missing_in(&self, other: &Self) -> Self {
        let process = self.process.iter().filter(|asked| {
            let variables = asked.environment.iter().map(VariableName::as_str);
            let found = other.program(asked.program.as_str(), variables, &asked.secrets);
            found.is_err()
        });
        let http = self
            .http
            .iter()
            .filter(|asked| !other.http.iter().any(|site| site.covers(asked)));
        let files = self.files.iter().filter(|asked| {
            let Folder { mount, path, writable } = asked;
            other.uses(mount.as_str(), path, *writable).is_err()
        });
        let skills = self.skills.iter().filter(|asked| other.skill(asked).is_err());
        Self {
            process: process.cloned().collect(),
            http: http.cloned().collect(),
            files: files.cloned().collect(),
            skills: skills.cloned().collect(),
        }
    }

    /// Returns what both allow: of a skill that another one calls, which may do no more than that (rule K1). Folders are not among it, as each run is given its own.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let process = self.process.iter().filter_map(|program| {
            let known = other.process.iter().find(|known| known.program == program.program)?;
            Some(program.within(known))
        });
        let mut http: Vec<Site> = Vec::new();
        for (own, others) in self
            .http
            .iter()
            .flat_map(|own| other.http.iter().map(move |others| (own, others)))
        {
            let both = own.both(others);
            http.extend(both.filter(|both| !http.iter().any(|known| known.covers(both))));
        }
        let skills = self.skills.iter().filter(|skill| other.skills.contains(skill));
        Self {
            process: process.collect(),
            http,
            files: Vec::new(),
            skills: skills.cloned().collect(),
        }
    }

    /// Adds what another allows. A folder takes the place of the one that was given under its name.
    pub fn add(&mut self, other: &Self) {
        for folder in &other.files {
            self.files.retain(|known| known.mount != folder.mount);
            self.files.push(folder.clone());
        }
        for program in &other.process {
            match self.process.iter_mut().find(|known| known.program == program.program) {
                None => self.process.push(program.clone()),
                Some(known) => {
                    add_new(&mut known.environment, &program.environment);
                    add_new(&mut known.secrets, &program.secrets);
                }
            }
        }
        for site in &other.http {
            if !self.http.iter().any(|known| known.covers(site)) {
                self.http.push(site.clone());
            }
        }
        for skill in &other.skills {
            if !self.skills.contains(skill) {
                self.skills.push(skill.clone());
            }
        }
    }
}

impl Program {
    /// Returns what both this and another grant of the program allow.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let environment = self.environment.iter().filter(|name| other.environment.contains(name));
        let secrets = self.secrets.iter().filter(|name| other.secrets.contains(name));
        Self {
            program: self.program.clone(),
            environment: environment.cloned().collect(),
            secrets: secrets.cloned().collect(),
        }
    }
}

impl Site {
    /// Returns what both this and another grant allow, for what both were found for.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let secrets = self.secrets.iter().filter(|name| other.secrets.contains(name));
        Self {
            private: self.private && other.private,
            secrets: secrets.cloned().collect(),
            ..self.clone()
        }
    }

    /// Returns whether requests of this method may be sent.
    pub fn may(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known == ANY || known == method)
    }

    /// Returns what both allow of whatever they name; `None` if that is nothing.
    fn both(&self, other: &Self) -> Option<Self> {
        let host = match (self.host.covers(&other.host), other.host.covers(&self.host)) {
            (true, _) => &other.host,
            (false, true) => &self.host,
            (false, false) => return None,
        };
        let methods: Vec<String> = match self.methods.iter().any(|method| method == ANY) {
            true => other.methods.clone(),
            false => self
                .methods
                .iter()
                .filter(|method| other.may(method))
                .cloned()
                .collect(),
        };
        (!methods.is_empty()).then(|| Self {
            host: host.clone(),
            methods,
            ..self.within(other)
        })
    }

    /// Returns whether everything that the other allows is allowed here, too.
    fn covers(&self, other: &Self) -> bool {
        let methods = other.methods.iter().all(|method| self.may(method));
        self.host.covers(&other.host) && methods && (self.private || !other.private) && self.tells(&other.secrets)
    }

    fn tells(&self, secrets: &[SecretName]) -> bool {
        secrets.iter().all(|name| self.secrets.contains(name))
    }
}

fn add_new<T: Clone + PartialEq>(known: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !known.contains(one) {
            known.push(one.clone());
        }
    }
}

/// Reads what a skill asks for in its description as what it would be granted; `None` if it is about an interface that needs no grant of this kind.
///
/// # Errors
/// In words for the skill's author, if it cannot be granted as it is asked for.
pub fn asked(capability: &str, target: Option<&str>, access: Option<&str>) -> Result<Option<Grants>, String> {
    let words = || access.unwrap_or_default().split_whitespace();
    let target = || target.ok_or_else(|| format!("it asks for `{capability}` and does not say on what"));
    match capability {
        "process" => {
            let mut program = Program {
                program: target()?.parse()?,
                environment: Vec::new(),
                secrets: Vec::new(),
            };
            for word in words() {
                match word.strip_prefix(SECRET) {
                    Some(name) => program.secrets.push(name.parse()?),
                    None => program.environment.push(word.parse()?),
                }
            }
            let process = vec![program];
            Ok(Some(Grants {
                process,
                ..Grants::default()
            }))
        }
        "http" => {
            let mut site = Site {
                host: target()?.parse()?,
                methods: vec!["GET".to_owned(), "HEAD".to_owned()],
                private: false,
                secrets: Vec::new(),
            };
            for word in words() {
                match word {
                    "read" => {}
                    "read-write" => site.methods = vec![ANY.to_owned()],
                    "private" => site.private = true,
                    _ => match word.strip_prefix(SECRET) {
                        Some(name) => site.secrets.push(name.parse()?),
                        None => {
                            return Err(format!(
                                "`{word}` is no way to use `http`; there are `read`, `read-write`, `private` and `{SECRET}NAME`"
                            ));
                        }
                    },
                }
            }
            let http = vec![site];
            Ok(Some(Grants {
                http,
                ..Grants::default()
            }))
        }
        "skills" => {
            let name = target()?;
            let skill = SkillName::parse(name).map_err(|_| format!("`{}` names no skill", name.escape_debug()))?;
            Ok(Some(Grants {
                skills: vec![skill],
                ..Grants::default()
            }))
        }
        _ => Ok(None),
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mount, path, writable } = self;
        let how = if *writable { "change" } else { "read" };
        write!(f, "{how} the folder {path}, as {mount}/")
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run the program {}", self.program)?;
        if !self.environment.is_empty() {
            let names: Vec<&str> = self.environment.iter().map(VariableName::as_str).collect();
            write!(f, ", given the variables {}", names.join(", "))?;
        }
        write_secrets(f, &self.secrets)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let everything = self.methods.iter().any(|method| method == ANY);
        match everything {
            true => write!(f, "send anything to {}", self.host)?,
            false if self.methods.iter().all(|method| only_reads(method)) => write!(f, "read from {}", self.host)?,
            false => write!(f, "send {} to {}", self.methods.join(", "), self.host)?,
        }
        write_secrets(f, &self.secrets)?;
        match self.private {
            true => f.write_str(", also at an address of this machine or its networks"),
            false => Ok(()),
        }
    }
}

fn write_secrets(f: &mut fmt::Formatter<'_>, secrets: &[SecretName]) -> fmt::Result {
    let names: Vec<&str> = secrets.iter().map(SecretName::as_str).collect();
    match names.as_slice() {
        [] => Ok(()),
        [name] => write!(f, ", told the secret {name}"),
        _ => write!(f, ", told the secrets {}", names.join(", ")),
    }
}

/// Where a request goes. The host is as a URL names it once it was read: in lower case, in ASCII, addresses in their one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether by TLS.
    pub secure: bool,
    /// A name, or an address; one of version 6 in brackets.
    pub host: String,
    /// Which port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secure, host, port } = self;
        match (secure, port) {
            (true, 443) => write!(f, "https://{host}"),
            (true, port) => write!(f, "https://{host}:{port}"),
            (false, 80) => write!(f, "http://{host}"),
            (false, port) => write!(f, "http://{host}:{port}"),
        }
    }
}
