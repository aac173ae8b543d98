//! How a grant names hosts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ANY, Place};

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

    /// Returns whether all that the other names is named here, too.
    pub(super) fn covers(&self, other: &Self) -> bool {
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
