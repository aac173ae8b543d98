//! HTTP as model providers need it: requests that are answered by a stream of events, and failures sorted by whether they may pass.
//!
//! No redirect is followed, which could carry a key elsewhere. No byte for a while is a failure, be it of the headers or in the middle of the stream. Secrets are taken out of
//! whatever a server says before it becomes a message.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::Value;
use skillhost_core::outcome::Fault;
use skillhost_core::retry::FaultKind;

use super::settings::{Credential, Server};
use super::sse::{Event, Parser};
use super::{Asked, Clients, Miss, Name, OpenError};
use crate::watch::Progress;

/// How much of an error's body is read.
const ERROR_BYTES_MAX: usize = 64 << 10;
/// How much of what a server says goes into a message, in characters.
const EXCERPT_CHARS_MAX: usize = 500;
/// A header's value that is shorter keeps no secret; to take it out would tear words apart.
const SECRET_BYTES_MIN: usize = 6;
/// The longest reply, in bytes as they come over the wire.
const REPLY_BYTES_MAX: u64 = 256 << 20;

/// A server, and how it is spoken to.
#[derive(Debug)]
pub(crate) struct Endpoint {
    name: Name,
    client: reqwest::Client,
    server: Server,
    headers: HeaderMap,
}

/// An answer that goes on arriving.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    endpoint: &'a Endpoint,
    asked: &'a Asked<'a>,
    response: reqwest::Response,
    parser: Parser,
    bytes: u64,
    tokens: Option<u64>,
}

impl Endpoint {
    /// Checks the settings and makes the client, which connects at its first request.
    pub(crate) fn new(
        name: Name,
        server: Server,
        key_header: &'static str,
        clients: &Clients,
    ) -> Result<Self, OpenError> {
        let setting = |reason: &str| OpenError::Setting {
            setting: server.url_setting.to_owned(),
            reason: reason.to_owned(),
        };
        let url = reqwest::Url::parse(&server.base_url).map_err(|e| setting(&format!("is not a URL: {e}")))?;
        let client = match url.scheme() {
            "http" => clients.plain(),
            "https" => clients
                .tls()
                .map_err(|e| setting(&format!("needs TLS, which cannot be set up: {e}")))?,
            _ => return Err(setting("is neither an http nor an https URL")),
        };
        let headers = headers(&server, key_header)?;
        Ok(Self {
            name,
            client,
            server,
            headers,
        })
    }

    /// Returns the address, which names the place that a limit on parallel calls is for.
    pub(crate) fn base_url(&self) -> &str {
        &self.server.base_url
    }

    /// Asks for a stream of events.
    pub(crate) async fn ask<'a>(&'a self, path: &str, body: &Value, asked: &'a Asked<'a>) -> Result<Answer<'a>, Miss> {
        let key = HeaderValue::from_str(asked.key).expect("a key is made of letters, digits and a slash");
        let request = self
            .client
            .post(format!("{}{path}", self.server.base_url))
            .headers(self.headers.clone())
            .header("idempotency-key", key)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let response = match tokio::time::timeout(self.server.stall, request.send()).await {
            Err(_) => return Err(self.stalled()),
            Ok(Err(error)) => return Err(self.unreachable(error)),
            Ok(Ok(response)) => response,
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        Ok(Answer {
            endpoint: self,
            asked,
            response,
            parser: Parser::default(),
            bytes: 0,
            tokens: None,
        })
    }

    /// Sorts an error that the server named, in a status or in the middle of a stream.
    pub(crate) fn sort(&self, named: &NamedError, after: Option<Duration>) -> Miss {
        let said = self.redact(&named.message);
        let who = format!("provider `{}` at {}", self.name, self.server.base_url);
        let status = named.status.map(|status| format!(" ({status})")).unwrap_or_default();
        let kind = if named.kind.is_empty() {
            String::new()
        } else {
            format!(" {}", named.kind)
        };
        let what = format!("{who} answered{status}{kind}: {said}");
        match named.judge() {
            Judgement::Overloaded => Miss::maybe(FaultKind::Overloaded, after, Fault::new(Fault::OVERLOADED, what)),
            Judgement::Billing => Miss::never(Fault::new(
                Fault::DENIED,
                format!("{what}; the account has no credit or quota left: trying again does not help until it has"),
            )),
            Judgement::Key => Miss::never(Fault::new(
                Fault::DENIED,
                format!("{what}; check {}, see `skillhost doctor`", self.key_variables()),
            )),
            Judgement::Moved => Miss::never(Fault::new(
                Fault::FAILED,
                format!(
                    "{what}; redirects are not followed: set `{}` to where the server is",
                    self.server.url_setting
                ),
            )),
            Judgement::Missing => Miss::never(Fault::new(
                Fault::INVALID,
                format!(
                    "{what}; does the model exist, and is `{}` right?",
                    self.server.url_setting
                ),
            )),
            Judgement::Request => Miss::never(Fault::new(Fault::INVALID, what)),
        }
    }

    /// The stream ended or broke before the answer did.
    pub(crate) fn truncated(&self, how: &str) -> Miss {
        let message = format!(
            "the answer of provider `{}` at {} {how}",
            self.name, self.server.base_url
        );
        Miss::maybe(FaultKind::Network, None, Fault::new(Fault::FAILED, message)).with_cost_unknown()
    }

    /// The server speaks something else.
    pub(crate) fn foreign(&self, said: &str) -> Miss {
        let message = format!(
            "provider `{}` at {} answered with something that is not its protocol; is `{}` right? It began: {}",
            self.name,
            self.server.base_url,
            self.server.url_setting,
            self.redact(said),
        );
        Miss::never(Fault::new(Fault::FAILED, message))
    }

    async fn refused(&self, mut response: reqwest::Response) -> Miss {
        let status = response.status().as_u16();
        let after = retry_after(response.headers(), SystemTime::now());
        let advice = response
            .headers()
            .get("x-should-retry")
            .and_then(|value| value.to_str().ok());
        let should_retry = advice.and_then(|text| text.parse::<bool>().ok());
        let mut body = Vec::new();
        // What cannot be read of an error's body is left out; the status says enough.
        while let Ok(Ok(Some(chunk))) = tokio::time::timeout(self.server.stall, response.chunk()).await {
            body.extend_from_slice(&chunk);
            if body.len() > ERROR_BYTES_MAX {
                break;
            }
        }
        let named = NamedError::of_status(status, &String::from_utf8_lossy(&body), should_retry);
        self.sort(&named, after)
    }

    fn stalled(&self) -> Miss {
        let message = format!(
            "provider `{}` at {} sent no byte for {} s; `SKILLHOST_STALL_SECONDS` sets how long to wait",
            self.name,
            self.server.base_url,
            self.server.stall.as_secs_f64()
        );
        Miss::maybe(FaultKind::Network, None, Fault::new(Fault::FAILED, message)).with_cost_unknown()
    }

    fn unreachable(&self, error: reqwest::Error) -> Miss {
        let reached = !error.is_connect();
        let (name, place, setting) = (self.name, &self.server.base_url, self.server.url_setting);
        let causes = self.redact(&causes(error));
        let message = match reached {
            false => format!(
                "could not reach provider `{name}` at {place}: {causes}; check the connection and `{setting}`, see `skillhost doctor`"
            ),
            true => format!("the connection to provider `{name}` at {place} broke off before it answered: {causes}"),
        };
        let miss = Miss::maybe(FaultKind::Network, None, Fault::new(Fault::FAILED, message));
        if reached { miss.with_cost_unknown() } else { miss }
    }

    fn key_variables(&self) -> &'static str {
        match self.name {
            Name::Anthropic => "`ANTHROPIC_API_KEY` or `ANTHROPIC_AUTH_TOKEN`",
            _ => "`OPENAI_API_KEY`",
        }
    }

    /// Takes the secrets out of a text, in case the server repeats them.
    fn redact(&self, text: &str) -> String {
        let credential = match &self.server.credential {
            Credential::Key(secret) | Credential::Bearer(secret) => Some(secret),
            Credential::None => None,
        };
        let secrets = credential
            .into_iter()
            .chain(self.server.headers.iter().map(|(_, secret)| secret));
        let revealed = secrets
            .map(super::Secret::reveal)
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN);
        excerpt(&revealed.fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]")))
    }
}

impl Answer<'_> {
    /// Returns the next event, or `None` once the server has ended the stream.
    pub(crate) async fn next_event(&mut self) -> Result<Option<Event>, Miss> {
        loop {
            if let Some(event) = self.parser.next_event() {
                return Ok(Some(event));
            }
            let Some(chunk) = self.next_chunk().await? else {
                return Ok(None);
            };
            self.parser
                .push(chunk.as_ref())
                .map_err(|e| self.endpoint.foreign(&e.to_string()))?;
        }
    }

    /// Returns the whole body, if the server answered with JSON instead of a stream.
    pub(crate) async fn whole(&mut self) -> Result<Option<Value>, Miss> {
        let kind = self
            .response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        if kind.starts_with("text/event-stream") {
            return Ok(None);
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.next_chunk().await? {
            body.extend_from_slice(chunk.as_ref());
        }
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(self.endpoint.foreign(&String::from_utf8_lossy(&body))),
        }
    }

    /// Tells whoever watches how many tokens were written so far.
    pub(crate) fn count_tokens(&mut self, tokens: u64) {
        self.tokens = Some(tokens);
    }

    async fn next_chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Miss> {
        let chunk = match tokio::time::timeout(self.endpoint.server.stall, self.response.chunk()).await {
            Err(_) => return Err(self.endpoint.stalled()),
            Ok(Err(error)) => {
                let causes = self.endpoint.redact(&causes(error));
                return Err(self.endpoint.truncated(&format!("broke off: {causes}")));
            }
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(chunk))) => chunk,
        };
        self.bytes += chunk.len() as u64;
        if self.bytes > REPLY_BYTES_MAX {
            return Err(self.endpoint.foreign(&format!("more than {REPLY_BYTES_MAX} bytes")));
        }
        let progress = Progress::Streamed {
            bytes: self.bytes,
            tokens: self.tokens,
        };
        self.asked.watch.report(self.asked.number, progress);
        Ok(Some(chunk))
    }
}

/// An error as a server named it.
#[derive(Debug, Default)]
pub(crate) struct NamedError {
    pub(crate) status: Option<u16>,
    /// Such as `overloaded_error`.
    pub(crate) kind: String,
    pub(crate) message: String,
    /// What the server itself says about trying again.
    should_retry: Option<bool>,
}

enum Judgement {
    Overloaded,
    Billing,
    Key,
    Moved,
    Missing,
    Request,
}

impl NamedError {
    fn of_status(status: u16, body: &str, should_retry: Option<bool>) -> Self {
        let parsed: Option<Value> = serde_json::from_str(body).ok();
        let named = parsed.as_ref().map(Self::of_body).unwrap_or_default();
        let unnamed = named.message.is_empty();
        Self {
            status: Some(status),
            message: if unnamed { body.trim().to_owned() } else { named.message },
            kind: named.kind,
            should_retry,
        }
    }

    /// Reads `{"error": {"type", "code", "message"}}`, which both protocols use, and the shorter forms of other servers.
    pub(crate) fn of_body(body: &Value) -> Self {
        let error = body.get("error").unwrap_or(body);
        let text = |member: &str| error.get(member).and_then(Value::as_str).unwrap_or("").to_owned();
        let code = text("code");
        let message = match error.as_str() {
            Some(message) => message.to_owned(),
            None => text("message"),
        };
        Self {
            status: None,
            kind: if code.is_empty() { text("type") } else { code },
            message,
            should_retry: None,
        }
    }

    fn judge(&self) -> Judgement {
        let about_money = ["billing_error", "insufficient_quota", "billing_hard_limit_reached"]
            .contains(&self.kind.as_str())
            || self.message.contains("credit balance");
        if about_money || self.status == Some(402) {
            return Judgement::Billing;
        }
        if self.should_retry == Some(true) {
            return Judgement::Overloaded;
        }
        match self.status {
            Some(401 | 403) => Judgement::Key,
            Some(404) => Judgement::Missing,
            Some(300..=399) => Judgement::Moved,
            Some(408 | 409 | 425 | 429 | 500..) if self.should_retry != Some(false) => Judgement::Overloaded,
            Some(_) => Judgement::Request,
            // In the middle of a stream there is no status.
            None => match self.kind.as_str() {
                "authentication_error" | "permission_error" | "invalid_api_key" => Judgement::Key,
                "not_found_error" | "model_not_found" => Judgement::Missing,
                "invalid_request_error" | "request_too_large" | "context_length_exceeded" => Judgement::Request,
                _ => Judgement::Overloaded,
            },
        }
    }
}

/// Reads how long a server wants to be left alone: milliseconds, seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1_000.0).ok();
    }
    let wanted = text(RETRY_AFTER.as_str())?;
    match wanted.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => Some(
            httpdate::parse_http_date(wanted)
                .ok()?
                .duration_since(now)
                .unwrap_or(Duration::ZERO),
        ),
    }
}

fn headers(server: &Server, key_header: &'static str) -> Result<HeaderMap, OpenError> {
    let setting = |name: &str, reason: &str| OpenError::Setting {
        setting: name.to_owned(),
        reason: reason.to_owned(),
    };
    let secret_value = |name: &str, text: &str| {
        let mut value =
            HeaderValue::from_str(text).map_err(|_| setting(name, "has characters that no header may have"))?;
        value.set_sensitive(true);
        Ok::<_, OpenError>(value)
    };
    let mut headers = HeaderMap::new();
    match &server.credential {
        Credential::Key(key) => {
            headers.insert(key_header, secret_value("the provider's key", key.reveal())?);
        }
        Credential::Bearer(token) => {
            let value = secret_value("the provider's key", &format!("Bearer {}", token.reveal()))?;
            headers.insert("authorization", value);
        }
        Credential::None => {}
    }
    for (name, value) in &server.headers {
        let parsed: HeaderName = name.parse().map_err(|_| setting(name, "cannot name a header"))?;
        headers.insert(parsed, secret_value(name, value.reveal())?);
    }
    Ok(headers)
}

/// Makes a client for plain HTTP: loopback servers, and gateways on the same machine. It trusts no certificate.
pub(crate) fn plain_client() -> reqwest::Client {
    configured(reqwest::Client::builder().tls_certs_only([]))
        .expect("a client without certificates needs nothing of the system")
}

/// Makes a client that trusts what the system trusts.
pub(crate) fn tls_client() -> Result<reqwest::Client, String> {
    configured(reqwest::Client::builder()).map_err(causes)
}

/// Makes a client that says who it is and follows no redirect by itself.
pub(crate) fn configured(builder: reqwest::ClientBuilder) -> reqwest::Result<reqwest::Client> {
    // The builder panics without a default; losing the race to another caller leaves the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent = concat!("skillhost/", env!("CARGO_PKG_VERSION"));
    builder
        .user_agent(agent)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Returns what an error and its causes say, without the URL, which may hold a secret.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn excerpt(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &'static str, value: &str) -> Option<Duration> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let value = HeaderValue::from_str(value).expect("a header");
        retry_after(&HeaderMap::from_iter([(HeaderName::from_static(name), value)]), now)
    }

    #[test]
    fn retry_after_is_read_as_seconds_milliseconds_or_a_date() {
        assert_eq!(asked("retry-after", "30"), Some(Duration::from_secs(30)));
        assert_eq!(asked("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        assert_eq!(
            asked("retry-after", "Sun, 09 Sep 2001 01:47:10 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            asked("retry-after", "Sun, 09 Sep 2001 01:46:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(asked("retry-after", "soon"), None);
        assert_eq!(asked("retry-after", "-1"), None);
    }
}
