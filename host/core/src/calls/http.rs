//! `http`: requests and responses.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::Bytes;

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// The most headers of a request.
pub const HEADERS_MAX: usize = 100;
/// The most bytes of a request's headers, names and values together.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// The longest body that is sent, in bytes.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// The most redirects that are followed, also where the request does not say.
pub const REDIRECTS_MAX: u32 = 10;
/// The longest body that is received where the request does not say, in bytes.
pub const RECEIVE_BYTES_DEFAULT: u32 = 1 << 20;
/// The longest body that may be received, in bytes.
pub const RECEIVE_BYTES_MAX: u32 = 4 << 20;
/// How long a request may take where the call does not say.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);

/// A header: name and value. Recorded as a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value; a byte that is no ASCII is the character of that number.
    pub value: String,
}

impl From<(String, String)> for Header {
    fn from((name, value): (String, String)) -> Self {
        Self { name, value }
    }
}

impl From<Header> for (String, String) {
    fn from(header: Header) -> Self {
        (header.name, header.value)
    }
}

/// `http.send`; answers [`Response`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// Where to.
    pub url: String,
    /// What is said about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// What is sent.
    #[serde(default = "nothing", skip_serializing_if = "is_nothing")]
    pub body: Bytes,
    /// How many redirects are followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirects: Option<u32>,
    /// The longest body that is received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_bytes: Option<u32>,
    /// What later versions of the world add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

impl Request {
    /// Returns whether it only reads, so that sending it twice is as once.
    pub fn only_reads(&self) -> bool {
        only_reads(&self.method)
    }
}

/// Returns whether requests of a method only read, so that sending one twice is as once.
pub fn only_reads(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Where it came from.
    pub url: String,
    /// What is said about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// What came.
    #[serde(default = "nothing", skip_serializing_if = "is_nothing")]
    pub body: Bytes,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

impl Response {
    /// Returns what a person says in a server's place: that all went well, with these words.
    pub fn said(text: String) -> Self {
        Self {
            status: 200,
            url: "by hand".to_owned(),
            headers: Vec::new(),
            body: Bytes(text.into_bytes()),
            extra: None,
        }
    }
}

fn nothing() -> Bytes {
    Bytes(Vec::new())
}

fn is_nothing(bytes: &Bytes) -> bool {
    bytes.0.is_empty()
}
