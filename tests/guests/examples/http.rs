//! Sends requests, as its input says.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    /// One after the other.
    requests: Vec<Request>,
}

#[data]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    redirects: Option<u32>,
    #[serde(default)]
    receive: Option<u32>,
    #[serde(default)]
    idempotent: bool,
}

#[data]
struct Output {
    /// What came of each.
    answers: Vec<String>,
}

#[skill(
    name = "http",
    http("http://127.0.0.1:*", read_write, private, reason = "to show what is sent")
)]
async fn run(input: Input) -> Result<Output> {
    let answers = map(input.requests, 1, async |request: Request| Ok(answer(request).await))
        .await
        .all()?;
    Ok(Output { answers })
}

async fn answer(request: Request) -> String {
    let mut send = http::send(request.method, request.url).body(request.body);
    for (name, value) in request.headers {
        send = send.header(name, value);
    }
    if let Some(redirects) = request.redirects {
        send = send.redirects(redirects);
    }
    if let Some(bytes) = request.receive {
        send = send.receive(bytes);
    }
    if request.idempotent {
        send = send.idempotent();
    }
    match send.await {
        Ok(response) => format!("{} {}", response.status, response.text()),
        Err(failure) => format!("{}: {}", failure.code(), failure.message()),
    }
}
