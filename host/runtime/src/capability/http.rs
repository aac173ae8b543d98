//! `http`: requests to hosts that were granted. Where the first one goes is compared with the grants here, so that what was not granted is never begun; addresses and
//! redirects are the effect's to check.

use skillhost_core::calls::files::Bytes;
use skillhost_core::calls::http::{
    BODY_BYTES_MAX, HEADER_BYTES_MAX, HEADERS_MAX, Header, RECEIVE_BYTES_MAX, REDIRECTS_MAX, Request, Response,
    URL_BYTES_MAX,
};
use skillhost_core::effect::Function;
use skillhost_core::grants::Place;
use skillhost_core::outcome::Fault;
use skillhost_core::secret::seems_named;
use url::Url;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, json_object, not_granted, other, secrets, text};
use crate::bindings::skillhost::skill::http::{self as wit, CallOptions, Error, Host};
use crate::guest::state::{Facts, State};

impl Host for State {
    async fn send(
        &mut self,
        request: wit::Request,
        options: CallOptions,
    ) -> wasmtime::Result<Result<wit::Response, Error>> {
        let response = self.call(self.request_draft(request).with(options)).await?;
        Ok(response.map(shown).map_err(error))
    }

    fn start_send(&mut self, request: wit::Request, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.request_draft(request).with(options))
    }

    async fn finish_send(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<wit::Response, Error>> {
        let response = self.finish(pending, Function::HTTP_SEND).await?;
        Ok(response.map(shown).map_err(error))
    }
}

impl State {
    fn request_draft(&self, request: wit::Request) -> Draft {
        let malformed = check(&request);
        let (extra, refused_extra) = json_object("the request's `extra`", request.extra);
        let headers = request.headers.into_iter().map(|header| Header {
            name: header.name,
            value: header.value,
        });
        let request = Request {
            method: request.method,
            url: request.url,
            headers: headers.collect(),
            body: Bytes(request.body),
            redirects: request.redirects,
            receive_bytes: request.receive_bytes,
            extra,
        };
        let refused = self.refused_place(&request);
        let draft = Draft::new(Function::HTTP_SEND, &request)
            .refuse(malformed)
            .refuse(refused_extra)
            .refuse(refused)
            .bounded(Fault::TOO_LARGE);
        Draft {
            only_reads: request.only_reads(),
            ..draft
        }
    }

    fn refused_place(&self, request: &Request) -> Option<Fault> {
        let Facts::Run { info, grants, .. } = &self.facts else {
            return None;
        };
        let place = place(&request.url).map_err(|why| Fault::new(Fault::INVALID, why));
        let secrets = secrets(request.headers.iter().map(|header| header.value.as_str()));
        match (place, secrets) {
            (Err(malformed), _) | (_, Err(malformed)) => Some(malformed),
            (Ok(place), Ok(secrets)) => {
                let denied = grants.site(&request.method, &place, &secrets).err()?;
                Some(not_granted(&denied, &info.skill))
            }
        }
    }
}

/// Reads where a request goes.
fn place(url: &str) -> Result<Place, String> {
    let shown = || url.escape_debug().to_string();
    let parsed = Url::parse(url).map_err(|error| format!("`{}` is no URL: {error}", shown()))?;
    let secure = match parsed.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(format!("`{}` is neither an http nor an https URL", shown())),
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("a URL with a user name or a password is not used: it would be in the journal".to_owned());
    }
    match (parsed.host_str(), parsed.port_or_known_default()) {
        (Some(host), Some(port)) => Ok(Place {
            secure,
            host: host.to_owned(),
            port,
        }),
        _ => Err(format!("`{}` names no host", shown())),
    }
}

fn check(request: &wit::Request) -> Option<Fault> {
    let invalid = |message: String| Some(Fault::new(Fault::INVALID, message));
    let method = &request.method;
    let is_method = (1..=32).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    if !is_method || matches!(method.as_str(), "CONNECT" | "TRACE") {
        return invalid(format!(
            "`{}` is no method that can be sent; one is in upper case, and neither CONNECT nor TRACE",
            method.escape_debug()
        ));
    }
    if request.url.len() > URL_BYTES_MAX {
        return invalid(format!("a URL of more than {URL_BYTES_MAX} bytes"));
    }
    if seems_named(&request.url) {
        return invalid("a secret is filled in where a header names it, and not in a URL".to_owned());
    }
    if request.headers.len() > HEADERS_MAX {
        return invalid(format!("more than {HEADERS_MAX} headers"));
    }
    let header_bytes: usize = request.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return invalid(format!("headers of more than {HEADER_BYTES_MAX} bytes"));
    }
    if let Some(bad) = request.headers.iter().find(|header| !may_set(&header.name)) {
        let name = bad.name.escape_debug();
        return invalid(format!(
            "a skill may not set the header `{name}`: it belongs to the connection, or the host sets it"
        ));
    }
    if request.redirects.is_some_and(|redirects| redirects > REDIRECTS_MAX) {
        return invalid(format!("at most {REDIRECTS_MAX} redirects are followed"));
    }
    if request.receive_bytes.is_some_and(|bytes| bytes > RECEIVE_BYTES_MAX) {
        return invalid(format!("at most {RECEIVE_BYTES_MAX} bytes are received"));
    }
    (request.body.len() > BODY_BYTES_MAX).then(|| Fault {
        data: Some(BODY_BYTES_MAX.into()),
        ..Fault::new(
            Fault::TOO_LARGE,
            format!(
                "the body has {} bytes; at most {BODY_BYTES_MAX} are sent",
                request.body.len()
            ),
        )
    })
}

/// Returns whether a skill may set a header.
fn may_set(name: &str) -> bool {
    const HOSTS_OWN: [&str; 14] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty()
        && name.bytes().all(is_token)
        && !HOSTS_OWN.contains(&name.to_ascii_lowercase().as_str())
        && !name.to_ascii_lowercase().starts_with("proxy-")
}

fn shown(response: Response) -> wit::Response {
    let headers = response.headers.into_iter().map(|header| wit::Header {
        name: header.name,
        value: header.value,
    });
    let Bytes(body) = response.body;
    wit::Response {
        status: response.status,
        url: response.url,
        headers: headers.collect(),
        body,
        extra: response.extra.map(text),
    }
}

fn error(fault: Fault) -> Error {
    let bound = fault.data.as_ref().and_then(|data| data.as_u64());
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        Fault::DENIED => Error::Denied(fault.message),
        Fault::TOO_LARGE => Error::TooLarge(bound.unwrap_or(BODY_BYTES_MAX as u64)),
        Fault::INVALID => Error::Invalid(fault.message),
        Fault::BUDGET => Error::Budget(fault.message),
        Fault::TIMEOUT => Error::Timeout(fault.message),
        Fault::FAILED => Error::Failed(fault.message),
        _ => Error::Other(other(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str) -> wit::Request {
        wit::Request {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: vec![],
            body: vec![],
            redirects: None,
            receive_bytes: None,
            extra: None,
        }
    }

    #[test]
    fn a_place_is_read_as_whoever_connects_reads_it() {
        let shown = |url: &str| place(url).map(|place| place.to_string());
        for (url, expected) in [
            ("https://Example.ORG/x?y#z", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://0x7f.1:8080/", "http://127.0.0.1:8080"),
            ("https://b\u{fc}cher.de", "https://xn--bcher-kva.de"),
            ("https://[::ffff:7f00:1]/", "https://[::ffff:7f00:1]"),
            ("https:\\\\example.org\\@other.org/", "https://example.org"),
        ] {
            assert_eq!(shown(url).as_deref(), Ok(expected), "{url}");
        }
        for url in [
            "",
            "/x",
            "example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "https://a:b@c/",
        ] {
            assert!(place(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_belongs_to_the_connection_is_not_the_skills_to_say() {
        for name in [
            "Host",
            "CONNECTION",
            "content-length",
            "Proxy-Foo",
            "",
            "a b",
            "a\r\nb",
            "a:b",
        ] {
            assert!(!may_set(name), "{name:?}");
        }
        for name in ["Authorization", "x-y", "accept"] {
            assert!(may_set(name), "{name:?}");
        }
        for method in ["", "get", "CONNECT", "TRACE", "GET /x HTTP/1.1"] {
            assert!(check(&request(method, "https://a.org")).is_some(), "{method:?}");
        }
        assert_eq!(check(&request("DELETE", "https://a.org")), None);
        let long = wit::Request {
            body: vec![0; BODY_BYTES_MAX + 1],
            ..request("POST", "https://a.org")
        };
        assert_eq!(check(&long).expect("a fault").code, Fault::TOO_LARGE);
    }
}
