//! A server of this machine that answers as a test says, and notes what it was asked.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server that goes on for as long as the test does.
pub struct Site {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// Starts one that makes each answer, with its head, of the request.
    pub fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                let request = request(&mut socket);
                let answer = answer(&request);
                noted.lock().unwrap().push(request);
                socket.write_all(answer.as_bytes()).ok();
            }
        });
        Self { port, seen }
    }

    /// Starts one that repeats all that it is asked, in its body and in a header for each line.
    pub fn echo() -> Self {
        Self::start(|request| {
            let lines = request.lines().filter(|line| !line.is_empty()).enumerate();
            let headers: String = lines.map(|(n, line)| format!("x-line-{n}: {line}\r\n")).collect();
            answer("200 OK", &headers, request)
        })
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns what it was asked.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a request without a body: those of these tests have none.
fn request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0; 4_096];
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read(&mut chunk) {
            Ok(length @ 1..) => request.extend_from_slice(&chunk[..length]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// Returns a whole answer; further headers each end their line.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}
