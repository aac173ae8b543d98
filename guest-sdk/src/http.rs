//! Sends requests over HTTP, to hosts that the user has to grant: `#[skill(http("api.example.org", read, reason = ".."))]`.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<()> {
//! # skillhost_sdk::example::server_says(200, r#"{"stars": 3}"#);
//! #[data]
//! struct Repository {
//!     stars: u64,
//! }
//! let response = http::get("https://api.example.org/repos/1").header("accept", "application/json").await?;
//! let repository: Repository = response.checked()?.json()?;
//! assert_eq!(repository.stars, 3);
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```
//!
//! A status that says that something is wrong is an answer, not a failure; [`checked`](Response::checked) makes it one. `GET` and `HEAD` are sent again if the host
//! crashed meanwhile; about others the user is asked then, unless the skill says that twice is as once ([`idempotent`](Request::idempotent)).
//!
//! What is sent and received is in the run's journal, headers included. A header may name a secret of the user's, which the host fills in, and which the skill never sees:
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<()> {
//! # skillhost_sdk::example::server_says(200, "{}");
//! // #[skill(http("api.example.org", read, secret("example-token"), reason = ".."))]
//! let token = secret("example-token");
//! let response = http::get("https://api.example.org/me").header("authorization", format!("Bearer {token}")).await?;
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```

use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::skillhost::skill::types::Reuse;
use crate::call::{Call, Options};
use crate::failure::{Failure, IntoFailure as _, Result, code};
use crate::host;

/// How much of a body goes into a failure, in bytes.
const SAID_BYTES_MAX: usize = 500;

/// Reads what is at a URL.
pub fn get(url: impl Into<String>) -> Request {
    send("GET", url)
}

/// Posts to a URL.
pub fn post(url: impl Into<String>) -> Request {
    send("POST", url)
}

/// Sends a request of any method.
pub fn send(method: impl AsRef<str>, url: impl Into<String>) -> Request {
    Request {
        request: host::http::Request {
            method: method.as_ref().to_ascii_uppercase(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            redirects: None,
            receive_bytes: None,
            extra: None,
        },
        unusable: None,
        options: Options::default(),
    }
}

/// A request that is sent when it is awaited.
#[must_use = "a request is sent when it is awaited"]
#[derive(Clone, Debug)]
pub struct Request {
    request: host::http::Request,
    /// Why it cannot be sent.
    unusable: Option<Failure>,
    options: Options,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Where it came from: the URL of the request, or of the last redirect.
    pub url: String,
    /// Names in lower case and values, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// What came.
    pub body: Vec<u8>,
}

impl Request {
    /// Adds a header. What [`secret`](crate::secret) names in it is filled in by the host.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push(host::http::Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Sends this, at most 4 MiB.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = body.into();
        self
    }

    /// Sends a value as JSON.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(error) => {
                self.unusable = Some(error.into());
                self
            }
        }
    }

    /// Follows at most so many redirects: 10 if nothing is said, which is the most.
    pub fn redirects(mut self, redirects: u32) -> Self {
        self.request.redirects = Some(redirects);
        self
    }

    /// Receives a body of at most so many bytes, else it fails with the code `too-large`: 1 MiB if nothing is said, at most 4 MiB.
    pub fn receive(mut self, bytes: u32) -> Self {
        self.request.receive_bytes = Some(bytes);
        self
    }

    /// Says what the timeline shows instead of the method and the URL.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }

    /// Limits how long it may take, 10 minutes if nothing is said; then it fails with the code `timeout`.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// Says how often it may be sent when the server is not reached; only what may be sent twice is.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = Some(attempts);
        self
    }

    /// States that sending it twice is as once, so that it is sent again after a crash of the host.
    pub fn idempotent(mut self) -> Self {
        self.options.idempotent = true;
        self
    }

    /// States that the response depends on the request alone, so that it may be reused while developing.
    pub fn pure(mut self) -> Self {
        self.options.reuse = Some(Reuse::Pure);
        self
    }

    fn call(self) -> Call<Response> {
        let Self {
            request,
            unusable,
            mut options,
        } = self;
        if let Some(failure) = unusable {
            return Call::known(Err(failure));
        }
        if options.label.is_none() {
            // What stands behind a `?` may be long, and is nobody's name for it.
            let url = request.url.split(['?', '#']).next().unwrap_or_default();
            options.set_label(&format!("{} {url}", request.method));
        }
        Call::new(
            move |options| host::http::start_send(&request, options),
            |pending| match host::http::finish_send(pending) {
                Ok(response) => Ok(Response {
                    status: response.status,
                    url: response.url,
                    headers: response.headers.into_iter().map(|h| (h.name, h.value)).collect(),
                    body: response.body,
                }),
                Err(error) => Err(error.into_failure()),
            },
        )
        .with_options(options)
    }
}

impl IntoFuture for Request {
    type Output = Result<Response>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Response>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.call())
    }
}

impl Response {
    /// Says whether the status is one of success, 200 to 299.
    pub fn success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the first header of a name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the body as text; what is not UTF-8 is replaced by `\u{fffd}`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Reads the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::new(code::JSON, format!("the response of {}: {error}", self.url)))
    }

    /// Makes it a failure with the code `status` if it is not one of success, with the beginning of the body.
    ///
    /// ```
    /// # use skillhost_sdk::prelude::*;
    /// # async fn example() -> Result<()> {
    /// # skillhost_sdk::example::server_says(404, "no such repository");
    /// let failure = http::get("https://api.example.org/repos/0").await?.checked().unwrap_err();
    /// assert_eq!(failure.code(), code::STATUS);
    /// assert_eq!(failure.message(), "https://api.example.org/repos/0 answered with status 404: no such repository");
    /// # Ok(())
    /// # }
    /// # skillhost_sdk::example::run(example());
    /// ```
    pub fn checked(self) -> Result<Self> {
        if self.success() {
            return Ok(self);
        }
        let text = self.text();
        let text = text.trim();
        let said = &text[..text.floor_char_boundary(SAID_BYTES_MAX)];
        let message = format!("{} answered with status {}: {said}", self.url, self.status);
        Err(Failure::new(code::STATUS, message))
    }
}
