//! Performs `http.send`: one request, and the redirects that follow from it.
//!
//! Start with [`Web`], one for each worker, and [`Sites`], one for each run. Each step goes through the same: its place is compared with the grants, an address that is
//! named by its number is checked, and one that a name leads to is checked where the connection is made ([`lookup`]). Secrets are filled in for one step, and are not in what
//! the next is made of. Redirects are followed by hand, so that none is followed unseen. A proxy of the environment is not used: it would look names up by itself.

mod address;
mod lookup;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, Url};
use skillhost_core::calls::files::Bytes;
use skillhost_core::calls::http::{
    HEADER_BYTES_MAX, Header, RECEIVE_BYTES_DEFAULT, RECEIVE_BYTES_MAX, REDIRECTS_MAX, Request, Response,
    TIMEOUT_DEFAULT, only_reads,
};
use skillhost_core::effect::Class;
use skillhost_core::grants::{Place, SecretName};
use skillhost_core::machine::{Again, Ended, Ticket};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::retry::FaultKind;
use skillhost_core::secret;

use crate::granted::Granted;
use crate::model::http::configured;
use crate::redact::Redactor;
use crate::slots::{Share, Slots};
use crate::watch::{Progress, Watch};
use address::is_public;
use lookup::{Any, Lookup, Private, PublicOnly};

/// The most requests that are under way at once; others wait. Each is a connection, and may hold what a response may.
pub const AT_ONCE_MAX: usize = 64;
/// The most of them for one run.
pub const AT_ONCE_OF_RUN_MAX: usize = 16;

/// How long to wait for the next byte.
const STALL: Duration = Duration::from_secs(60);

/// The headers that go along when a redirect leads to another place: they say what is wanted, and nothing about who wants it.
const HARMLESS: [&str; 6] = [
    "accept",
    "accept-language",
    "if-modified-since",
    "if-none-match",
    "range",
    "user-agent",
];

/// The header by which a server knows a request that comes twice.
const KEY: &str = "idempotency-key";

/// The headers that say something about the body, and go with it.
const OF_THE_BODY: [&str; 4] = ["content-type", "content-encoding", "content-language", KEY];

/// What the requests of one worker share: connections. Cheap to clone.
#[derive(Clone)]
pub struct Web(Arc<Shared>);

struct Shared {
    lookup: Arc<Lookup>,
    patience: Duration,
    slots: Slots,
    /// Made when they are first needed: with TLS or without, to public addresses or to any.
    clients: [[OnceLock<Result<Client, String>>; 2]; 2],
}

impl Default for Web {
    fn default() -> Self {
        Self::looking_up(lookup::by_system(), STALL)
    }
}

impl Web {
    /// Makes what the requests of a worker share. Nothing is connected before the first.
    pub fn new() -> Self {
        Self::default()
    }

    fn looking_up(lookup: Arc<Lookup>, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            lookup,
            patience,
            slots: Slots::new(AT_ONCE_MAX, AT_ONCE_OF_RUN_MAX),
            clients: Default::default(),
        }))
    }

    fn client(&self, secure: bool, private: bool) -> Result<Client, Fault> {
        let made = self.0.clients[usize::from(secure)][usize::from(private)].get_or_init(|| {
            let builder = match secure {
                true => Client::builder(),
                // It needs no certificates, which take long to read.
                false => Client::builder().tls_certs_only([]),
            };
            let lookup = Arc::clone(&self.0.lookup);
            let builder = match private {
                true => builder.dns_resolver(Arc::new(Any(lookup))),
                false => builder.dns_resolver(Arc::new(PublicOnly(lookup))),
            };
            configured(builder.no_proxy().referer(false)).map_err(|error| words(&error))
        });
        made.clone()
            .map_err(|why| Fault::new(Fault::FAILED, format!("TLS cannot be set up: {why}")))
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web(..)")
    }
}

/// Sends the requests of one run.
#[derive(Clone, Debug)]
pub struct Sites {
    web: Web,
    share: Share,
    granted: Granted,
}

/// Why there is no response.
struct Miss {
    fault: Fault,
    /// Whether sending it again may help.
    may_pass: bool,
}

impl From<Fault> for Miss {
    fn from(fault: Fault) -> Self {
        let may_pass = false;
        Self { fault, may_pass }
    }
}

impl Sites {
    /// Makes it out of what was granted to the run.
    pub fn new(web: Web, granted: Granted) -> Self {
        let share = web.0.slots.share();
        Self { web, share, granted }
    }

    /// Performs `http.send` once.
    pub(crate) async fn perform(&self, ticket: &Ticket, watch: &Watch) -> Ended {
        let timeout = ticket.options().timeout().unwrap_or(TIMEOUT_DEFAULT);
        watch.report(ticket.number(), Progress::Queued);
        let _turn = self.share.turn().await;
        let answer = match tokio::time::timeout(timeout, self.send(ticket, watch)).await {
            Ok(answer) => answer,
            Err(_) => {
                let seconds = timeout.as_secs_f64();
                Err(Fault::new(Fault::TIMEOUT, format!("no whole response within {seconds} s")).into())
            }
        };
        // Whatever came of it, nothing is told that was not searched for secrets.
        let redactor = self.granted.redactor().await;
        let (outcome, may_pass) = match answer {
            Ok(response) => (Outcome::Ok(Payload::of(&redacted(response, &redactor))), false),
            Err(Miss { fault, may_pass }) => {
                let message = redactor.text(fault.message);
                (Outcome::from(Fault { message, ..fault }), may_pass)
            }
        };
        let again = (may_pass && ticket.class() != Class::AtMostOnce).then_some(Again {
            kind: FaultKind::Network,
            after: None,
        });
        Ended::Returned {
            outcome,
            spent: None,
            again,
        }
    }

    async fn send(&self, ticket: &Ticket, watch: &Watch) -> Result<Response, Miss> {
        let request: Request = ticket
            .request()
            .read()
            .map_err(|error| invalid(format!("malformed request: {error}")))?;
        let mut step = Step::first(&request, &ticket.key())?;
        watch.report(
            ticket.number(),
            Progress::Started {
                attempt: ticket.attempt(),
            },
        );
        let mut redirects = request.redirects.unwrap_or(REDIRECTS_MAX).min(REDIRECTS_MAX);
        loop {
            let response = self.take(&step).await?;
            let next = match redirects {
                0 => None,
                _ => step.next(&response)?,
            };
            match next {
                Some(next) => step = next,
                None => return self.receive(&request, &step, response, ticket, watch).await,
            }
            redirects -= 1;
        }
    }

    /// Takes one step: a request whose response is not looked at yet, but for its head.
    async fn take(&self, step: &Step) -> Result<reqwest::Response, Miss> {
        let place = place(&step.url)?;
        let site = self.granted.site(step.method.as_str(), &place, &step.secrets)?;
        if let Some(address) = literal(&step.url)
            && !site.private
            && !is_public(address)
        {
            return Err(private(&place, &format!("{address} is one")).into());
        }
        let request = self
            .web
            .client(place.secure, site.private)?
            .request(step.method.clone(), step.url.clone())
            .headers(self.filled(step).await?)
            .body(step.body.clone());
        match tokio::time::timeout(self.web.0.patience, request.send()).await {
            Err(_) => Err(self.stalled(&place)),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => match cause::<Private>(&error) {
                Some(found) => Err(private(&place, &found.to_string()).into()),
                None => Err(broken(&place, &error)),
            },
        }
    }

    /// Returns the headers of a step with the secrets that they name, of which it was checked that its place may be told.
    async fn filled(&self, step: &Step) -> Result<HeaderMap, Fault> {
        let mut headers = step.headers.clone();
        if step.secrets.is_empty() {
            return Ok(headers);
        }
        let secrets = self.granted.secrets(&step.secrets).await?;
        let mut bytes = 0;
        for (name, text) in &step.naming {
            let text = secrets.fill(text)?;
            bytes += text.len();
            let mut value = value(&text).ok_or_else(|| unsendable(name.as_str()))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        match bytes > HEADER_BYTES_MAX {
            true => Err(Fault {
                data: Some(HEADER_BYTES_MAX.into()),
                ..Fault::new(
                    Fault::TOO_LARGE,
                    format!("the headers have {bytes} bytes with their secrets; at most {HEADER_BYTES_MAX} are sent"),
                )
            }),
            false => Ok(headers),
        }
    }

    /// Reads the response of the last step.
    async fn receive(
        &self,
        request: &Request,
        step: &Step,
        mut response: reqwest::Response,
        ticket: &Ticket,
        watch: &Watch,
    ) -> Result<Response, Miss> {
        let place = place(&step.url)?;
        let bytes_max = request
            .receive_bytes
            .unwrap_or(RECEIVE_BYTES_DEFAULT)
            .min(RECEIVE_BYTES_MAX);
        let status = response.status().as_u16();
        let headers = recorded(response.headers())?;
        let mut body = Vec::new();
        loop {
            match tokio::time::timeout(self.web.0.patience, response.chunk()).await {
                Err(_) => return Err(self.stalled(&place)),
                Ok(Err(error)) => return Err(broken(&place, &error)),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            }
            if body.len() as u64 > u64::from(bytes_max) {
                return Err(too_long(&place, bytes_max).into());
            }
            let progress = Progress::Streamed {
                bytes: body.len() as u64,
                tokens: None,
            };
            watch.report(ticket.number(), progress);
        }
        Ok(Response {
            status,
            url: step.url.to_string(),
            headers,
            body: Bytes(body),
            extra: None,
        })
    }

    fn stalled(&self, place: &Place) -> Miss {
        let seconds = self.web.0.patience.as_secs_f64();
        Fault::new(Fault::TIMEOUT, format!("{place} sent no byte for {seconds} s")).into()
    }
}

/// A request as it goes over one connection.
struct Step {
    method: Method,
    url: Url,
    headers: HeaderMap,
    /// The headers that name secrets, which are filled in when the step is taken.
    naming: Vec<(HeaderName, String)>,
    /// The secrets that they name.
    secrets: Vec<SecretName>,
    body: Vec<u8>,
}

impl Step {
    fn first(request: &Request, key: &str) -> Result<Self, Fault> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| invalid(format!("`{}` is no method", request.method)))?;
        let mut url = Url::parse(&request.url).map_err(|error| invalid(format!("`{}`: {error}", request.url)))?;
        url.set_fragment(None);
        let (mut headers, mut naming, mut secrets) = (HeaderMap::new(), Vec::new(), Vec::new());
        for Header { name, value: text } in &request.headers {
            let bad = || unsendable(name);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let named = secret::named(text).map_err(invalid)?;
            let value = value(text).ok_or_else(bad)?;
            match named.is_empty() {
                true => drop(headers.append(name, value)),
                false => naming.push((name, text.clone())),
            }
            secrets.extend(named);
        }
        let has_key = headers.contains_key(KEY) || naming.iter().any(|(name, _)| name == KEY);
        if !only_reads(&request.method) && !has_key {
            let key = HeaderValue::from_str(key).expect("a key is made of letters, digits and a slash");
            headers.insert(KEY, key);
        }
        Ok(Self {
            method,
            url,
            headers,
            naming,
            secrets,
            body: request.body.0.clone(),
        })
    }

    /// Returns the step that a response asks for, if it is a redirect that can be followed.
    fn next(&self, response: &reqwest::Response) -> Result<Option<Self>, Fault> {
        let status = response.status().as_u16();
        let Some(location) = response
            .headers()
            .get(LOCATION)
            .filter(|_| (300..400).contains(&status))
        else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(location.as_bytes());
        let mut url = self.url.join(&text).map_err(|error| {
            let message = format!("{} redirects to something that is no URL: {error}", self.url);
            Fault::new(Fault::FAILED, message)
        })?;
        url.set_fragment(None);
        let reads = only_reads(self.method.as_str());
        let becomes_get = match status {
            301 | 302 => self.method == Method::POST,
            303 => !reads,
            307 | 308 => false,
            _ => return Ok(None),
        };
        let same_place = place(&url)? == place(&self.url)?;
        if !reads && !becomes_get && !same_place {
            // What was to be done there is not done elsewhere unasked: the redirect is the response.
            return Ok(None);
        }
        let mut headers = self.headers.clone();
        let (mut naming, mut secrets) = (self.naming.clone(), self.secrets.clone());
        if becomes_get {
            for name in OF_THE_BODY {
                headers.remove(name);
            }
            naming.retain(|(name, _)| !OF_THE_BODY.contains(&name.as_str()));
        }
        if !same_place {
            // A secret was granted for the place that it was sent to, and for no other.
            (naming, secrets) = (Vec::new(), Vec::new());
            let known = std::mem::take(&mut headers);
            let harmless = known.iter().filter(|(name, _)| HARMLESS.contains(&name.as_str()));
            headers.extend(harmless.map(|(name, value)| (name.clone(), value.clone())));
        }
        Ok(Some(Self {
            method: if becomes_get { Method::GET } else { self.method.clone() },
            url,
            headers,
            naming,
            secrets,
            // What is sent along with a question is for the place that was asked.
            body: match same_place && !becomes_get {
                true => self.body.clone(),
                false => Vec::new(),
            },
        }))
    }
}

/// Returns the value of a header.
fn value(text: &str) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

/// Puts the names of secrets in their place, wherever a server may repeat them.
fn redacted(response: Response, redactor: &Redactor) -> Response {
    let headers = response.headers.into_iter().map(|header| Header {
        name: header.name,
        value: redactor.text(header.value),
    });
    Response {
        status: response.status,
        url: redactor.text(response.url),
        headers: headers.collect(),
        body: Bytes(redactor.bytes(response.body.0)),
        extra: response.extra,
    }
}

/// Reads where a URL leads.
fn place(url: &Url) -> Result<Place, Fault> {
    let secure = match url.scheme() {
        "https" => true,
        "http" => false,
        other => return Err(invalid(format!("`{other}:` is neither http nor https"))),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("a URL with a user name or a password is not used".to_owned()));
    }
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => Ok(Place {
            secure,
            host: host.to_owned(),
            port,
        }),
        _ => Err(invalid(format!("`{url}` names no host"))),
    }
}

/// Returns the address that a URL names by its number.
fn literal(url: &Url) -> Option<std::net::IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// Returns the headers of a response as they are recorded.
fn recorded(headers: &HeaderMap) -> Result<Vec<Header>, Fault> {
    let recorded: Vec<Header> = headers
        .iter()
        .map(|(name, value)| Header {
            name: name.as_str().to_owned(),
            value: value.as_bytes().iter().copied().map(char::from).collect(),
        })
        .collect();
    let bytes: usize = recorded
        .iter()
        .map(|header| header.name.len() + header.value.len())
        .sum();
    match bytes > HEADER_BYTES_MAX {
        true => Err(Fault::new(
            Fault::FAILED,
            format!("the response has headers of {bytes} bytes; at most {HEADER_BYTES_MAX} are taken"),
        )),
        false => Ok(recorded),
    }
}

fn unsendable(name: &str) -> Fault {
    invalid(format!("the header `{name}` cannot be sent as it is"))
}

fn invalid(message: String) -> Fault {
    Fault::new(Fault::INVALID, message)
}

fn private(place: &Place, why: &str) -> Fault {
    let message =
        format!("{place} is denied: addresses of this machine and its networks were not granted for it, and {why}");
    Fault::new(Fault::DENIED, message)
}

fn too_long(place: &Place, bytes_max: u32) -> Fault {
    Fault {
        data: Some(bytes_max.into()),
        ..Fault::new(
            Fault::TOO_LARGE,
            format!("{place} sends more than the {bytes_max} bytes that the request allows"),
        )
    }
}

/// Nothing came, or it broke off.
fn broken(place: &Place, error: &reqwest::Error) -> Miss {
    let what = match error.is_connect() {
        true => "could not be reached",
        false => "broke off",
    };
    Miss {
        fault: Fault::new(Fault::FAILED, format!("{place} {what}: {}", words(error))),
        may_pass: !error.is_builder(),
    }
}

/// Returns what an error and its causes say; the URL is told anyway, and may be long.
fn words(error: &reqwest::Error) -> String {
    let mut cause = std::error::Error::source(error);
    let mut last = None;
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    last.unwrap_or_else(|| error.to_string())
}

/// Finds an error of a type among the causes of another.
fn cause<T: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
