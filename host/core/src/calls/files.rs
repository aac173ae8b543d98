//! `files`: reading and writing in mounts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most bytes that one call moves.
pub const BYTES_MAX: u64 = 8 << 20;

/// The bytes of a file: in journals `{"text": ..}` where they are UTF-8, else `{"base64": ..}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form<T> {
    Text(T),
    Base64(T),
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => Form::Text(text).serialize(serializer),
            Err(_) => Form::Base64(STANDARD.encode(&self.0).as_str()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::<String>::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_bytes())),
            Form::Base64(text) => STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// `files.read`, `files.stat`, `files.remove`. The first answers [`Bytes`], the second [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// With its mount.
    pub path: String,
}

/// `files.read-range`; answers [`Bytes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRange {
    /// With its mount.
    pub path: String,
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// `files.write` and `files.append`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// With its mount.
    pub path: String,
    /// What to write.
    pub contents: Bytes,
}

/// What is measured before an append: the length of the file in bytes, if it is there (rule R3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// In bytes.
    pub length: Option<u64>,
}

/// `files.list`; answers [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The folder, with its mount.
    pub path: String,
    /// Only paths that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// Whether to go into folders.
    #[serde(default)]
    pub recursive: bool,
    /// The most entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Go on after this path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// Anything else.
    Other,
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// With its mount.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// In bytes; 0 for a folder.
    pub size: u64,
    /// In nanoseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_ns: Option<u64>,
}

/// Entries in byte order of their paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// What is there.
    pub entries: Vec<Entry>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
