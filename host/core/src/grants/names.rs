//! The names by which grants and what is granted are known: each is checked once, where it is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[$meta:meta])* $type:ident, $check:ident, $wrong:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// The name of a secret that the user stored.
    SecretName, is_secret, "`{}` names no secret: 1 to 64 letters, digits, `-`, `_` and `.`, not beginning with a dot";
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
    is_word(text)
}

/// Returns whether a text can name a secret.
pub fn is_secret(text: &str) -> bool {
    is_word(text)
}

fn is_word(text: &str) -> bool {
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
