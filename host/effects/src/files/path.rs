//! What a guest calls a file: a mount and the way below it.
//!
//! The text is chosen by an adversary. What passes here cannot climb, start at the root of the machine, or name what the host keeps for itself; that links do not
//! lead out is seen to where files are opened ([`super::folder`]).

use skillhost_core::outcome::Fault;

/// The longest path, in bytes.
pub(super) const PATH_BYTES_MAX: usize = 1_024;

/// How the names of unfinished writes begin. Such files are the host's own: a guest neither sees them nor reaches them.
pub(super) const RESERVED: &str = ".skillhost-";

/// A path that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountPath {
    text: String,
    mount_bytes: usize,
}

impl MountPath {
    /// Checks a path as a guest gives it. One `/` at its end is taken off.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let invalid = |why: String| Err(Fault::new(Fault::INVALID, why));
        if text.len() > PATH_BYTES_MAX {
            return invalid(format!(
                "the path has {} bytes, and at most {PATH_BYTES_MAX} are allowed",
                text.len()
            ));
        }
        if text.chars().any(char::is_control) {
            return invalid(format!("`{}` contains a control character", text.escape_debug()));
        }
        if text.starts_with('/') {
            return Err(Fault::new(
                Fault::DENIED,
                format!("`{text}` is absolute; a path begins with its mount, such as `run/`"),
            ));
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        for part in text.split('/') {
            match part {
                "" => {
                    return invalid(format!("`{text}` has an empty part; a path looks like `run/report.md`"));
                }
                "." => return invalid(format!("`{text}` has the part `.`; leave it out")),
                ".." => {
                    return Err(Fault::new(
                        Fault::DENIED,
                        format!("`{text}` has the part `..`, which is denied"),
                    ));
                }
                part if is_reserved(part) => {
                    return Err(Fault::new(
                        Fault::DENIED,
                        format!("`{text}` names a file of the host's own: names beginning with `{RESERVED}` are"),
                    ));
                }
                _ => {}
            }
        }
        Ok(Self {
            text: text.to_owned(),
            mount_bytes: text.find('/').unwrap_or(text.len()),
        })
    }

    /// Returns the whole path, without a `/` at its end.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns its mount's name.
    pub(super) fn mount(&self) -> &str {
        &self.text[..self.mount_bytes]
    }

    /// Returns the way below the mount; empty for the mount itself.
    pub(super) fn below(&self) -> &str {
        self.text.get(self.mount_bytes + 1..).unwrap_or("")
    }
}

/// Returns whether a file of this name is the host's own.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// Returns whether a guest could name a file found on disk.
pub fn is_nameable(name: &str) -> bool {
    !is_reserved(name) && !name.chars().any(char::is_control)
}

/// Splits the way below a mount into the folder's way (empty for the mount) and the name in it.
pub(super) fn split(below: &str) -> (&str, &str) {
    below.rsplit_once('/').unwrap_or(("", below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        MountPath::parse(text).expect_err(text).code
    }

    #[test]
    fn a_path_is_a_mount_and_the_way_below_it() {
        let path = MountPath::parse("run/a b/ü.md").unwrap();
        assert_eq!((path.mount(), path.below()), ("run", "a b/ü.md"));
        let root = MountPath::parse("project/").unwrap();
        assert_eq!((root.text(), root.mount(), root.below()), ("project", "project", ""));
    }

    #[test]
    fn what_climbs_or_starts_at_the_root_is_denied() {
        for text in [
            "/etc/passwd",
            "/",
            "..",
            "../run/x",
            "run/..",
            "run/../../x",
            "run/a/../b",
            "run/..//x",
        ] {
            assert_eq!(code(text), Fault::DENIED, "{text}");
        }
    }

    #[test]
    fn dots_and_percents_that_only_look_like_climbing_are_plain_names() {
        for text in [
            "run/...",
            "run/..a",
            "run/%2e%2e/x",
            "run/..\\x",
            "run/a..",
            "run/\u{2025}/x",
        ] {
            assert_eq!(MountPath::parse(text).unwrap().text(), text);
        }
    }

    #[test]
    fn what_is_not_well_formed_is_invalid() {
        for text in [
            "",
            "run//x",
            "run/./x",
            "./run/x",
            "run/x//",
            "run/\0",
            "run/a\nb",
            "run/\u{7f}",
            "run/\u{85}",
        ] {
            assert_eq!(code(text), Fault::INVALID, "{text:?}");
        }
    }

    #[test]
    fn a_path_may_have_1024_bytes_and_no_more() {
        let longest = format!("run/{}", "a".repeat(PATH_BYTES_MAX - 4));
        assert!(MountPath::parse(&longest).is_ok());
        assert_eq!(code(&format!("{longest}a")), Fault::INVALID);
    }

    #[test]
    fn the_hosts_own_files_are_denied_wherever_they_stand() {
        assert_eq!(code("run/.skillhost-x.tmp"), Fault::DENIED);
        assert_eq!(code("run/.skillhost-x/inside"), Fault::DENIED);
        assert!(MountPath::parse("run/.skillhost").is_ok());
    }
}
