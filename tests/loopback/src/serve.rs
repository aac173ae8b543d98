//! Requests in, streams out.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::reply::{Reply, echo};
use crate::{Behaviour, Rule, Seen, State, anthropic, openai};

type Body = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

/// What goes over the wire, in order.
enum Step {
    Send(String),
    Hang,
    Break,
    /// Nothing more: the request is answered.
    Answered,
}

/// Counts a request as in flight until it is answered or given up.
struct InFlight(Arc<State>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

pub(crate) async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            // A client that goes away, and a body that is told to break, end here.
            let _ = connection.await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(_) => String::new(),
    };
    let key = header(&head.headers, "idempotency-key");
    Ok(match (&head.method, head.uri.path()) {
        (&Method::POST, path @ ("/v1/messages" | "/v1/chat/completions")) => {
            complete(state, path.to_owned(), &head.headers, key, body).await
        }
        (&Method::POST, "/acts") => {
            let (held, last) = {
                let mut state = state.lock();
                *state.counts.acts.entry(key).or_default() += 1;
                (state.acts_held, state.acts_last)
            };
            tokio::time::sleep(last).await;
            if held {
                std::future::pending::<()>().await;
            }
            plain(StatusCode::OK, "text/plain", format!("acted: {body}"))
        }
        (&Method::GET, "/counts") => {
            let counts = serde_json::to_string(&state.lock().counts).expect("counts serialise");
            plain(StatusCode::OK, "application/json", counts)
        }
        (&Method::POST, "/rules") => match serde_json::from_str::<Rule>(&body) {
            Ok(rule) => {
                state.lock().rules.push(rule);
                plain(StatusCode::NO_CONTENT, "text/plain", String::new())
            }
            Err(e) => plain(StatusCode::BAD_REQUEST, "text/plain", e.to_string()),
        },
        (&Method::POST, "/release") => {
            state.released.send_modify(|times| *times += 1);
            plain(StatusCode::NO_CONTENT, "text/plain", String::new())
        }
        _ => plain(StatusCode::NOT_FOUND, "text/plain", "no such place".to_owned()),
    })
}

async fn complete(state: Arc<State>, path: String, headers: &HeaderMap, key: String, text: String) -> Response<Body> {
    let mut released = state.released.subscribe();
    released.mark_unchanged();
    let (request, rule) = note(&state, &path, headers, &key, &text);
    let in_flight = InFlight(Arc::clone(&state));
    if rule.hold {
        // The state, and so the sender, lives as long as this request.
        let _ = released.changed().await;
    }
    if rule.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(rule.delay_ms)).await;
    }
    let is_anthropic = path == "/v1/messages";
    let render = if is_anthropic {
        anthropic::events
    } else {
        openai::events
    };
    let error = if is_anthropic { anthropic::error } else { openai::error };
    let echoed = || render(&Reply::text(&request, &echo(&request)));
    let whole = |events: Vec<String>| events.into_iter().map(Step::Send).chain([Step::Answered]).collect();
    let cut = |events: usize, last: Option<Step>| {
        let head = echoed().into_iter().take(events).map(Step::Send);
        head.chain(last).collect::<Vec<_>>()
    };
    let steps = match rule.behaviour {
        Behaviour::Echo => whole(echoed()),
        Behaviour::Text(text) => whole(render(&Reply::text(&request, &text))),
        Behaviour::Blocks { blocks, stop_reason } => whole(render(&Reply::new(&request, blocks, &stop_reason))),
        Behaviour::Status { status, headers, body } => {
            let mut response = plain(
                StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT),
                "application/json",
                body,
            );
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (name.parse::<hyper::header::HeaderName>(), value.parse()) {
                    response.headers_mut().insert(name, value);
                }
            }
            return response;
        }
        Behaviour::Plain { kind, body } => return plain(StatusCode::OK, &kind, body),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::HangAfter(events) => cut(events, Some(Step::Hang)),
        Behaviour::BreakAfter(events) => cut(events, Some(Step::Break)),
        Behaviour::EndAfter(events) => cut(events, None),
        Behaviour::ErrorAfter { events, kind, message } => cut(events, Some(Step::Send(error(&kind, &message)))),
        Behaviour::Garbage(data) => vec![Step::Send(format!("data: {data}\n\n"))],
    };
    let mut response = Response::new(streamed(steps, state, key, in_flight));
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/event-stream"),
    );
    response
}

/// Writes a request down, and finds the rule that answers it.
fn note(state: &State, path: &str, headers: &HeaderMap, key: &str, text: &str) -> (Value, Rule) {
    let request: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let mut inner = state.lock();
    *inner.counts.requests.entry(key.to_owned()).or_default() += 1;
    inner.in_flight += 1;
    inner.counts.parallel_max = inner.counts.parallel_max.max(inner.in_flight);
    let named = headers
        .keys()
        .map(|name| (name.as_str().to_owned(), header(headers, name.as_str())));
    let seen = Seen {
        path: path.to_owned(),
        headers: named.collect(),
        body: request.clone(),
    };
    inner.requests.push(seen);
    let rule = inner
        .rules
        .iter_mut()
        .find_map(|rule| rule.take(text))
        .unwrap_or_default();
    drop(inner);
    state.seen.send_modify(|seen| *seen += 1);
    (request, rule)
}

fn streamed(steps: Vec<Step>, state: Arc<State>, key: String, in_flight: InFlight) -> Body {
    let start = (steps.into_iter(), state, key, in_flight);
    let frames = stream::unfold(start, |(mut steps, state, key, in_flight)| async move {
        let frame = match steps.next() {
            None => return None,
            Some(Step::Answered) => {
                *state.lock().counts.answered.entry(key).or_default() += 1;
                return None;
            }
            Some(Step::Send(text)) => Ok(Frame::data(Bytes::from(text))),
            Some(Step::Break) => {
                // What was sent before goes out first: the connection is flushed when the body has nothing to give.
                tokio::task::yield_now().await;
                Err(io::Error::other("told to break off"))
            }
            Some(Step::Hang) => std::future::pending().await,
        };
        Some((frame, (steps, state, key, in_flight)))
    });
    StreamBody::new(frames.boxed())
}

fn plain(status: StatusCode, kind: &str, body: String) -> Response<Body> {
    let frames = stream::iter((!body.is_empty()).then(|| Ok(Frame::data(Bytes::from(body)))));
    let mut response = Response::new(StreamBody::new(frames.boxed()));
    *response.status_mut() = status;
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
        .to_owned()
}
