//! Requests to loopback servers that note what they are sent, and names that lead where a test says.

#![allow(clippy::unwrap_used, reason = "a test")]

mod secrets;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use reqwest::dns::{Name, Resolve as _};
use skillhost_core::calls::CallOptions;
use skillhost_core::effect::Function;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::tests::{RUN, granted, no_provider, ticket_of};

/// What is granted: an interface, a target, and how that is to be used.
type Asked<'a> = (&'a str, &'a str, &'a str);

/// A server that answers each request with what a function makes of it, and notes it.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// What is answered goes over the wire as it is; nothing at all leaves the request unanswered.
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !is_whole(&request) {
                        if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let request = String::from_utf8_lossy(&request).into_owned();
                    let answer = answer(&request);
                    noted.lock().unwrap().push(request);
                    if answer.is_empty() {
                        std::future::pending::<()>().await;
                    }
                    socket.write_all(answer.as_bytes()).await.ok();
                });
            }
        });
        Self { port, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns what was sent, without the lines that say from where to where.
    fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let plain = |request: &String| {
            let lines = request.split("\r\n").filter(|line| !line.starts_with("host: "));
            lines.collect::<Vec<_>>().join("\n")
        };
        seen.iter().map(plain).collect()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn answer(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn redirect(status: u16, to: &str) -> String {
    answer(&format!("{status} Elsewhere\r\nlocation: {to}"), "moved")
}

/// Names that lead to these addresses, and how often one was looked up.
fn names(known: &[(&str, &[&str])]) -> (Arc<Lookup>, Arc<Mutex<u32>>) {
    let table: BTreeMap<String, Vec<IpAddr>> = known
        .iter()
        .map(|(name, found)| ((*name).to_owned(), found.iter().map(|a| a.parse().unwrap()).collect()))
        .collect();
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let lookup: Arc<Lookup> = Arc::new(move |name| {
        *counted.lock().unwrap() += 1;
        let found = table.get(&name).cloned().ok_or(io::ErrorKind::NotFound.into());
        Box::pin(async move { found })
    });
    (lookup, count)
}

fn web() -> Web {
    Web::looking_up(names(&[]).0, Duration::from_secs(10))
}

fn request(method: &str, url: &str) -> Request {
    Request {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes(Vec::new()),
        redirects: None,
        receive_bytes: None,
        extra: None,
    }
}

async fn send(web: Web, asked: &[Asked<'_>], request: &Request) -> (Result<Response, Fault>, bool) {
    let class = match request.only_reads() {
        true => Class::Retryable,
        false => Class::AtMostOnce,
    };
    let options = CallOptions::default();
    let ticket = ticket_of(Function::HTTP_SEND, class, Payload::of(request), options, no_provider());
    perform(Sites::new(web, granted(asked)), &ticket).await
}

async fn perform(sites: Sites, ticket: &Ticket) -> (Result<Response, Fault>, bool) {
    match sites.perform(ticket, &Watch::silent()).await {
        Ended::Returned { outcome, again, .. } => {
            let answer = match outcome {
                Outcome::Ok(response) => Ok(response.read().unwrap()),
                Outcome::Err(fault) => Err(*fault),
            };
            (answer, again.is_some())
        }
        other => panic!("{other:?}"),
    }
}

const LOOPBACK: &[Asked<'_>] = &[("http", "http://127.0.0.1:*", "read-write private")];

async fn sent(request: &Request) -> Result<Response, Fault> {
    send(web(), LOOPBACK, request).await.0
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body.0).unwrap()
}

#[tokio::test]
async fn a_request_goes_out_as_it_is_and_its_response_comes_back_whole() {
    let server = Server::start(|_| answer("201 Made\r\nx-one: 1\r\nx-one: \u{e4}", "made")).await;
    let response = sent(&Request {
        headers: vec![("x-two".to_owned(), "2".to_owned()).into()],
        body: Bytes(b"body".to_vec()),
        ..request("POST", &server.url("/a?b=c#d"))
    })
    .await
    .unwrap();
    assert_eq!((response.status, text(&response)), (201, "made"));
    assert_eq!(response.url, server.url("/a?b=c"));
    let headers: Vec<(String, String)> = response.headers.into_iter().map(Into::into).collect();
    assert!(headers.contains(&("x-one".to_owned(), "1".to_owned())), "{headers:?}");
    let [seen] = &server.seen()[..] else { panic!() };
    assert!(seen.starts_with("POST /a?b=c HTTP/1.1\nx-two: 2\n"), "{seen}");
    assert!(seen.contains(&format!("\nidempotency-key: {RUN}/0\n")), "{seen}");
    assert!(seen.ends_with("\n\nbody"), "{seen}");
}

#[tokio::test]
async fn what_only_reads_bears_no_key_and_a_status_is_an_answer() {
    let server = Server::start(|_| answer("503 Busy", "later")).await;
    let (answer, again) = send(web(), LOOPBACK, &request("GET", &server.url("/"))).await;
    assert_eq!((answer.unwrap().status, again), (503, false));
    assert!(!server.seen()[0].contains("idempotency-key"));
}

#[tokio::test]
async fn a_place_or_a_method_that_was_not_granted_is_not_connected_to() {
    let server = Server::start(|_| answer("200 OK", "")).await;
    let url = server.url("/");
    let here = format!("http://127.0.0.1:{}", server.port);
    let cases: [(&[Asked<'_>], &str); 4] = [
        (&[], "GET"),
        (&[("http", "http://127.0.0.1:1", "read-write private")], "GET"),
        (&[("http", &here, "read private")], "DELETE"),
        // Granted, but not as an address of this machine.
        (&[("http", &here, "read-write")], "GET"),
    ];
    for (asked, method) in cases {
        let (answer, again) = send(web(), asked, &request(method, &url)).await;
        assert_eq!(
            (answer.unwrap_err().code.as_str(), again),
            (Fault::DENIED, false),
            "{asked:?}"
        );
    }
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn an_address_of_this_machine_is_denied_in_whatever_form_it_is_written() {
    for (host, granted) in [
        ("127.0.0.1", "http://127.0.0.1:*"),
        ("0x7f.1", "http://127.0.0.1:*"),
        ("2130706433", "http://127.0.0.1:*"),
        ("0177.0.0.01", "http://127.0.0.1:*"),
        ("[::1]", "http://[::1]:*"),
        ("169.254.169.254", "http://169.254.169.254:*"),
        ("0.0.0.0", "http://0.0.0.0:*"),
    ] {
        let url = format!("http://{host}:9/");
        let asked = [("http", granted, "read")];
        let fault = send(web(), &asked, &request("GET", &url)).await.0.unwrap_err();
        assert_eq!(fault.code, Fault::DENIED, "{host}: {}", fault.message);
        assert!(
            fault.message.contains("addresses of this machine"),
            "{host}: {}",
            fault.message
        );
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_denied_where_the_connection_is_made() {
    let server = Server::start(|_| answer("200 OK", "inner")).await;
    let (lookup, count) = names(&[
        ("inner.test", &["127.0.0.1"]),
        ("meta.test", &["169.254.169.254", "::1"]),
    ]);
    for name in ["inner.test", "meta.test"] {
        let web = Web::looking_up(Arc::clone(&lookup), Duration::from_secs(10));
        let url = format!("http://{name}:{}/", server.port);
        let (answer, again) = send(web, &[("http", "http://*.test:*", "read")], &request("GET", &url)).await;
        let fault = answer.unwrap_err();
        assert_eq!(
            (fault.code.as_str(), again),
            (Fault::DENIED, false),
            "{}",
            fault.message
        );
        assert!(
            fault.message.contains(&format!("`{name}` leads to the address")),
            "{}",
            fault.message
        );
    }
    assert_eq!(server.seen(), Vec::<String>::new());
    *count.lock().unwrap() = 0;
    let web = Web::looking_up(lookup, Duration::from_secs(10));
    let url = format!("http://inner.test:{}/", server.port);
    let asked = [("http", "http://inner.test:*", "read private")];
    let response = send(web, &asked, &request("GET", &url)).await.0.unwrap();
    assert_eq!(text(&response), "inner");
    assert_eq!(*count.lock().unwrap(), 1, "what was looked up is what is connected to");
}

#[tokio::test]
async fn of_several_addresses_only_public_ones_are_given_to_a_connection() {
    let (lookup, _) = names(&[(
        "mixed.test",
        &["10.0.0.1", "8.8.8.8", "::ffff:127.0.0.1", "2606:4700::1"],
    )]);
    let name: Name = "mixed.test".parse().unwrap();
    let found = PublicOnly(lookup).resolve(name).await.unwrap();
    let found: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    assert_eq!(found, ["8.8.8.8", "2606:4700::1"]);
}

#[tokio::test]
async fn a_redirect_to_what_was_not_granted_is_denied_and_not_followed() {
    let inner = Server::start(|_| answer("200 OK", "secret")).await;
    let to = inner.url("/");
    let (lookup, _) = names(&[("public.test", &["127.0.0.1"]), ("private.test", &["127.0.0.1"])]);
    let port = inner.port;
    let cases = [
        to.clone(),
        format!("http://private.test:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://user:password@public.test/".to_owned(),
    ];
    for to in cases {
        let target = to.clone();
        let outer = Server::start(move |_| redirect(302, &target)).await;
        let web = Web::looking_up(Arc::clone(&lookup), Duration::from_secs(10));
        let url = format!("http://public.test:{}/", outer.port);
        // The inner server is where a name leads that is granted, but not as one of this machine.
        let here = format!("http://public.test:{}", outer.port);
        let asked = [
            ("http", here.as_str(), "read private"),
            ("http", "http://private.test:*", "read"),
        ];
        let fault = send(web, &asked, &request("GET", &url)).await.0.unwrap_err();
        assert!(
            [Fault::DENIED, Fault::INVALID].contains(&fault.code.as_str()),
            "{to}: {fault:?}"
        );
        assert_eq!(outer.seen().len(), 1);
    }
    assert_eq!(inner.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn to_another_place_a_redirect_takes_along_nothing_that_says_who_asks() {
    let other = Server::start(|_| answer("200 OK", "there")).await;
    let to = other.url("/there#part");
    let first = Server::start(move |_| redirect(301, &to)).await;
    let headers = [
        ("Authorization", "Bearer s"),
        ("X-Api-Key", "s"),
        ("Cookie", "s"),
        ("Accept", "text/plain"),
    ];
    let headers = headers.map(|(name, value)| Header::from((name.to_owned(), value.to_owned())));
    let asked = Request {
        headers: headers.to_vec(),
        body: Bytes(b"my own words".to_vec()),
        ..request("GET", &first.url("/here"))
    };
    let response = sent(&asked).await.unwrap();
    assert_eq!((text(&response), response.url.clone()), ("there", other.url("/there")));
    let there = other.seen().remove(0);
    assert!(there.contains("accept: text/plain"), "{there}");
    for gone in ["authorization", "x-api-key", "cookie", "referer", "my own words"] {
        assert!(!there.to_lowercase().contains(gone), "{there}");
    }
    let back = Server::start(|request| match request.starts_with("GET /one ") {
        true => redirect(302, "/two"),
        false => answer("200 OK", "two"),
    })
    .await;
    let asked = Request {
        url: back.url("/one"),
        ..asked
    };
    assert_eq!(text(&sent(&asked).await.unwrap()), "two");
    assert!(
        back.seen()[1].contains("authorization: Bearer s") && back.seen()[1].contains("my own words"),
        "the same place is told again"
    );
}

#[tokio::test]
async fn what_a_redirect_makes_of_a_request_goes_by_its_status() {
    for (status, expected) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        let server = Server::start(move |request| match request.contains(" /one ") {
            true => redirect(status, "/two"),
            false => answer("200 OK", "two"),
        })
        .await;
        let asked = Request {
            body: Bytes(b"body".to_vec()),
            ..request("POST", &server.url("/one"))
        };
        assert_eq!(text(&sent(&asked).await.unwrap()), "two");
        let second = &server.seen()[1];
        assert!(second.starts_with(&format!("{expected} /two ")), "{status}: {second}");
        assert_eq!(second.ends_with("body"), expected == "POST", "{status}: {second}");
    }
}

#[tokio::test]
async fn what_was_to_be_done_is_not_done_elsewhere_and_redirects_end() {
    let other = Server::start(|_| answer("200 OK", "there")).await;
    let to = other.url("/");
    let first = Server::start(move |_| redirect(307, &to)).await;
    let response = sent(&request("POST", &first.url("/"))).await.unwrap();
    assert_eq!((response.status, text(&response)), (307, "moved"));
    assert_eq!(other.seen(), Vec::<String>::new());
    let round = Server::start(|_| redirect(302, "/again")).await;
    assert_eq!(sent(&request("GET", &round.url("/"))).await.unwrap().status, 302);
    assert_eq!(round.seen().len(), 11);
    let none = Request {
        redirects: Some(0),
        ..request("GET", &round.url("/"))
    };
    assert_eq!(sent(&none).await.unwrap().status, 302);
    assert_eq!(round.seen().len(), 12);
}

#[tokio::test]
async fn a_body_that_is_longer_than_wanted_is_an_error_with_the_bound() {
    let server = Server::start(|_| answer("200 OK", &"x".repeat(100_000))).await;
    let asked = |bytes| Request {
        receive_bytes: Some(bytes),
        ..request("GET", &server.url("/"))
    };
    assert_eq!(sent(&asked(100_000)).await.unwrap().body.0.len(), 100_000);
    let fault = sent(&asked(99_999)).await.unwrap_err();
    assert_eq!(
        (fault.code.as_str(), fault.data),
        (Fault::TOO_LARGE, Some(99_999.into()))
    );
}

#[tokio::test]
async fn what_breaks_off_may_pass_for_what_only_reads_and_is_told_of_the_rest() {
    let server = Server::start(|_| "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned()).await;
    for (method, may_pass) in [("GET", true), ("POST", false)] {
        let (answer, again) = send(web(), LOOPBACK, &request(method, &server.url("/"))).await;
        let fault = answer.unwrap_err();
        assert_eq!(
            (fault.code.as_str(), again),
            (Fault::FAILED, may_pass),
            "{}",
            fault.message
        );
        assert!(fault.message.contains("broke off"), "{}", fault.message);
    }
    let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let (answer, again) = send(web(), LOOPBACK, &request("GET", &format!("http://{nobody}/"))).await;
    assert!(answer.unwrap_err().message.contains("could not be reached"));
    assert!(again);
    let unknown = [("http", "nobody.test", "read")];
    let (answer, again) = send(web(), &unknown, &request("GET", "https://nobody.test/")).await;
    assert_eq!((answer.unwrap_err().code.as_str(), again), (Fault::FAILED, true));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_waited_for() {
    let server = Server::start(|_| String::new()).await;
    let web = Web::looking_up(names(&[]).0, Duration::from_millis(50));
    let (answer, again) = send(web, LOOPBACK, &request("GET", &server.url("/"))).await;
    assert_eq!((answer.unwrap_err().code.as_str(), again), (Fault::TIMEOUT, false));
}

#[tokio::test]
async fn a_run_whose_servers_never_answer_keeps_nobody_else_waiting() {
    let silent = Server::start(|_| String::new()).await;
    let other = Server::start(|_| answer("200 OK", "here")).await;
    let web = web();
    let of_one_run = Sites::new(web.clone(), granted(LOOPBACK));
    let many: Vec<_> = (0..AT_ONCE_OF_RUN_MAX + 20)
        .map(|_| {
            let (sites, request) = (of_one_run.clone(), request("GET", &silent.url("/")));
            tokio::spawn(async move {
                let options = CallOptions::default();
                let payload = Payload::of(&request);
                let ticket = ticket_of(Function::HTTP_SEND, Class::Retryable, payload, options, no_provider());
                sites.perform(&ticket, &Watch::silent()).await
            })
        })
        .collect();
    while silent.seen().len() < AT_ONCE_OF_RUN_MAX {
        tokio::task::yield_now().await;
    }
    let (answered, _) = send(web, LOOPBACK, &request("GET", &other.url("/"))).await;
    assert_eq!(answered.unwrap().status, 200);
    assert_eq!(silent.seen().len(), AT_ONCE_OF_RUN_MAX);
    many.iter().for_each(tokio::task::JoinHandle::abort);
}
