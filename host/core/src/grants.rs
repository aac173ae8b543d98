//! What a user lets a skill do beyond its own folders: which programs it may run, with whom it may speak over HTTP, and which folders of his its runs are given.
//!
//! A skill asks in its `describe`; that gives it nothing. What was granted when a run was launched stands in its `started` entry, and everything else is denied. This
//! module compares; where grants are kept and how the user is asked is another's business. Start with [`Grants`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::calls::http::only_reads;

/// Stands for every method, or every port.
const ANY: &str = "*";

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
}

/// Something that was not granted, in words for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(String);

impl Grants {
    /// Returns whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.process.is_empty() && self.http.is_empty() && self.files.is_empty()
    }

    /// Finds the grant by which a program may be run with values of its own for these variables.
    pub fn program<'a>(&self, program: &str, variables: impl IntoIterator<Item = &'a str>) -> Result<&Program, Denied> {
        let found = self.process.iter().find(|granted| granted.program.as_str() == program);
        let granted = found.ok_or_else(|| Denied(format!("the program `{program}` was not granted")))?;
        let is_granted = |name: &str| granted.environment.iter().any(|known| known.as_str() == name);
        match variables.into_iter().find(|name| !is_granted(name)) {
            None => Ok(granted),
            Some(name) => Err(Denied(format!(
                "the variable `{name}` was not granted for the program `{program}`"
            ))),
        }
    }

    /// Finds the grant by which a place may be spoken with. Where several do, one that also allows private addresses goes first.
    pub fn site(&self, method: &str, place: &Place) -> Result<&Site, Denied> {
        let here = || self.http.iter().filter(|site| site.host.matches(place));
        let may = |site: &&Site| site.may(method);
        let found = here().filter(may).max_by_key(|site| site.private);
        found.ok_or_else(|| match here().next() {
            Some(_) => Denied(format!("the method {method} was not granted for {place}")),
            None => Denied(format!("{place} was not granted")),
        })
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
            other.program(asked.program.as_str(), variables).is_err()
        });
        let http = self
            .http
            .iter()
            .filter(|asked| !other.http.iter().any(|site| site.covers(asked)));
        let files = self.files.iter().filter(|asked| {
            let Folder { mount, path, writable } = asked;
            other.uses(mount.as_str(), path, *writable).is_err()
        });
        Self {
            process: process.cloned().collect(),
            http: http.cloned().collect(),
            files: files.cloned().collect(),
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
                    let new = program
                        .environment
                        .iter()
                        .filter(|name| !known.environment.contains(name));
                    let new: Vec<_> = new.cloned().collect();
                    known.environment.extend(new);
                }
            }
        }
        for site in &other.http {
            if !self.http.iter().any(|known| known.covers(site)) {
                self.http.push(site.clone());
            }
        }
    }
}

impl Site {
    /// Returns whether requests of this method may be sent.
    pub fn may(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known == ANY || known == method)
    }

    /// Returns whether everything that the other allows is allowed here, too.
    fn covers(&self, other: &Self) -> bool {
        let methods = other.methods.iter().all(|method| self.may(method));
        self.host.covers(&other.host) && methods && (self.private || !other.private)
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
            let environment = words().map(str::parse).collect::<Result<Vec<_>, _>>()?;
            let program = Program {
                program: target()?.parse()?,
                environment,
            };
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
            };
            for word in words() {
                match word {
                    "read" => {}
                    "read-write" => site.methods = vec![ANY.to_owned()],
                    "private" => site.private = true,
                    _ => {
                        return Err(format!(
                            "`{word}` is no way to use `http`; there are `read`, `read-write` and `private`"
                        ));
                    }
                }
            }
            let http = vec![site];
            Ok(Some(Grants {
                http,
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
        match self.environment.as_slice() {
            [] => Ok(()),
            names => {
                let names: Vec<&str> = names.iter().map(VariableName::as_str).collect();
                write!(f, ", given the variables {}", names.join(", "))
            }
        }
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
        match self.private {
            true => f.write_str(", also at an address of this machine or its networks"),
            false => Ok(()),
        }
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

/// Names one host or several: `example.org`, `*.example.org` (but not `example.org` itself), `example.org:8443`, `http://localhost:8080`, `http://localhost:*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    secure: bool,
    /// Whether all below the name, and not the name itself.
    below: bool,
    name: String,
    /// `None` for all.
    port: Option<u16>,
}

impl HostPattern {
    /// Returns whether a place is among those that are named.
    pub fn matches(&self, place: &Place) -> bool {
        self.secure == place.secure
            && self.port.is_none_or(|port| port == place.port)
            && self.has(place.host.strip_suffix('.').unwrap_or(&place.host))
    }

    fn has(&self, host: &str) -> bool {
        match self.below {
            false => host == self.name,
            true => host
                .strip_suffix(&self.name)
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        let names = match (self.below, other.below) {
            (_, false) => self.has(&other.name),
            (true, true) => self.name == other.name || self.has(&other.name),
            (false, true) => false,
        };
        self.secure == other.secure && names && (self.port.is_none() || self.port == other.port)
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` names no host; one is named as in `example.org`, `*.example.org`, `example.org:8443`, `http://localhost:8080`, in lower case and ASCII"
            )
        };
        let (secure, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => (true, text),
        };
        let (below, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        // The colons in brackets belong to an address.
        let name_end = rest.rfind(']').map_or(0, |bracket| bracket + 1);
        let (name, port) = match rest[name_end..].rfind(':') {
            Some(colon) => rest.split_at(name_end + colon),
            None => (rest, ""),
        };
        let port = match port.strip_prefix(':') {
            None => Some(if secure { 443 } else { 80 }),
            Some(ANY) => None,
            Some(port) => Some(port.parse().map_err(|_| wrong())?),
        };
        match is_host(name) && !(below && name.starts_with('[')) {
            true => Ok(Self {
                secure,
                below,
                name: name.to_owned(),
                port,
            }),
            false => Err(wrong()),
        }
    }
}

/// Returns whether a text is a name or an address, in the form that URLs give them.
fn is_host(name: &str) -> bool {
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address
            .parse::<std::net::Ipv6Addr>()
            // One that carries an address of version 4 is written otherwise in a URL, and is nobody's name for a host.
            .is_ok_and(|parsed| parsed.to_string() == address && parsed.to_ipv4_mapped().is_none());
    }
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    let ends_in_number = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    match ends_in_number {
        true => name
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|parsed| parsed.to_string() == name),
        false => name.len() <= 253 && name.split('.').all(is_part),
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            secure,
            below,
            name,
            port,
        } = self;
        f.write_str(if *secure { "" } else { "http://" })?;
        f.write_str(if *below { "*." } else { "" })?;
        f.write_str(name)?;
        match (port, secure) {
            (Some(443), true) | (Some(80), false) => Ok(()),
            (Some(port), _) => write!(f, ":{port}"),
            (None, _) => f.write_str(":*"),
        }
    }
}

macro_rules! names {
    ($($(#[$meta:meta])* $type:ident, $check:ident, $wrong:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Returns it as a text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match $check(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(format!($wrong, text.escape_debug())),
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of a program, or its absolute path.
    ProgramName, is_program, "`{}` names no program: a name without `/`, or an absolute path";
    /// The name of a mount, with which the paths in it begin.
    MountName, is_mount, "`{}` cannot name a mount: 1 to 64 letters, digits, `-`, `_` and `.`, not beginning with a dot";
    /// The name of a variable of the environment.
    VariableName, is_variable, "`{}` names no variable: letters, digits and `_`, and neither `PATH` nor one of the host's own";
}

/// Returns whether a text names a program: by a name, or by an absolute path.
pub fn is_program(text: &str) -> bool {
    let is_path = text.starts_with('/') && !text.ends_with('/');
    !text.is_empty()
        && text.len() <= 1_024
        && !matches!(text, "." | "..")
        && !text.chars().any(char::is_control)
        && (is_path || !text.contains('/'))
}

/// Returns whether a text can name a mount.
pub fn is_mount(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_part)
}

/// Returns whether a text names a variable that a program may be given. `PATH` it has anyway, and those that begin with `SKILLHOST_` are the host's.
pub fn is_variable(text: &str) -> bool {
    let well_formed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    well_formed
        && (1..=128).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text != "PATH"
        && !text.starts_with("SKILLHOST_")
}

#[cfg(test)]
mod tests;
