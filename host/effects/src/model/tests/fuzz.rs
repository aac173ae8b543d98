//! What model providers answer, and what guests call files, changed at random: none of it may stop the host.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use skillhost_loopback::fuzz::Fuzz;

use super::*;

/// A server that answers every request with the same bytes, and hangs up.
struct Parrot {
    url: String,
    says: Arc<Mutex<Vec<u8>>>,
}

impl Parrot {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&says);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let says = theirs.lock().unwrap().clone();
                // One who hangs up first is not waited for.
                answer(stream.unwrap(), &says).ok();
            }
        });
        Self { url, says }
    }
}

fn answer(mut stream: TcpStream, says: &[u8]) -> std::io::Result<()> {
    let mut asked = Vec::new();
    let mut piece = [0; 4096];
    let text = |asked: &[u8]| String::from_utf8_lossy(asked).to_ascii_lowercase();
    loop {
        let length = stream.read(&mut piece)?;
        asked.extend_from_slice(&piece[..length]);
        let head = text(&asked);
        let body = head.split_once("\r\n\r\n").map(|(head, _)| head.len() + 4);
        let expected = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        if length == 0
            || body
                .zip(expected)
                .is_some_and(|(body, expected)| asked.len() >= body + expected)
        {
            break;
        }
    }
    // The first letter says what kind of answer it is.
    let (kind, body) = says.split_first().unwrap_or((&b's', &[]));
    let (status, form) = match kind {
        b'j' => ("200 OK", "application/json"),
        b'e' => ("400 Bad Request", "application/json"),
        b'o' => ("529 Overloaded", "text/plain"),
        _ => ("200 OK", "text/event-stream"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {form}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// Gives a provider's protocol answers that nobody thought of.
fn fuzz(target: &str, name: Name, url_variable: &str, key_variable: &str, words: &[&str]) {
    let parrot = Parrot::start();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let hub = Hub::new();
    let settings = settings(&[(url_variable, &parrot.url), (key_variable, "a key")]);
    let provider = hub.open(name, &settings, None).unwrap();
    let mut asked = request("hello");
    asked.output_schema = Some(serde_json::json!({"type": "object", "properties": {}}));
    let asked = RefCell::new(asked);
    Fuzz::of(target).words(words).run(300, |input| {
        *parrot.says.lock().unwrap() = input.to_vec();
        let asked = asked.borrow();
        // Whatever it is, it is a reply or a miss.
        drop(tokio.block_on(complete(&provider, &asked, Made::default())));
    });
}

#[test]
fn fuzz_anthropic() {
    let words = [
        "\n\n",
        "data: ",
        "event: ",
        r#""content_block":1"#,
        r#""content_block":"x""#,
        r#""content_block":[]"#,
        r#""delta":{"type":"text_delta","text":"x"}"#,
        r#""delta":{"type":"citations_delta","citation":{}}"#,
        r#"{"type":"message_stop"}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        "null",
    ];
    fuzz(
        "anthropic",
        Name::Anthropic,
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_API_KEY",
        &words,
    );
}

#[test]
fn fuzz_openai() {
    let words = [
        "\n\n",
        "data: ",
        "[DONE]",
        r#""choices":[{}]"#,
        r#""tool_calls":[{"index":18446744073709551615}]"#,
        r#""finish_reason":"stop""#,
        r#""usage":{"completion_tokens":-1}"#,
        "null",
    ];
    fuzz("openai", Name::OpenAi, "OPENAI_BASE_URL", "OPENAI_API_KEY", &words);
}
