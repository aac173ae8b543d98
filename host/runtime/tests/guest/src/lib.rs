//! A guest that does what its input says, a word at a time, and returns what it saw: the tests are written as such scripts.
//!
//! The input is a JSON string of statements, one a line. The result is a JSON array of strings, one for each statement that saw something.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

wit_bindgen::generate!({ path: "../../../../wit", world: "skill" });

use skillhost::skill::tasks::{Pending, PendingSet};
use skillhost::skill::types::{CallOptions, Reuse};
use skillhost::skill::{clock, files, inbox, log, model, random, run, signals};

struct Probe;

export!(Probe);

impl Guest for Probe {
    fn describe() -> Description {
        Description {
            name: "probe".to_owned(),
            version: "1".to_owned(),
            summary: format!("random {} at {}", random::next(), clock::now()),
            input_schema: r#"{"type":"string"}"#.to_owned(),
            output_schema: r#"{"type":"array"}"#.to_owned(),
            requests: vec![],
            needs: vec!["tools".to_owned()],
            extra: None,
        }
    }

    fn run(input: String) -> Result<String, Failure> {
        let mut script = Script::default();
        for line in input.trim_matches('"').split("\\n") {
            let words: Vec<&str> = line.split(' ').collect();
            if let Some(seen) = script.step(&words)? {
                script.trace.push(seen);
            }
        }
        let mut result = String::from("[");
        for (index, seen) in script.trace.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(result, "{comma}{seen:?}").expect("a string takes all");
        }
        Ok(result + "]")
    }
}

#[derive(Default)]
struct Script {
    pendings: HashMap<String, Pending>,
    sets: HashMap<String, PendingSet>,
    trace: Vec<String>,
}

fn options() -> CallOptions {
    CallOptions {
        label: None,
        timeout_ns: None,
        attempts: None,
        reuse: Reuse::Auto,
        idempotent: false,
        cleanup: false,
        extra: None,
    }
}

fn request(text: &str) -> model::Request {
    model::Request {
        model: "haiku".to_owned(),
        system: None,
        messages: vec![model::Message {
            role: model::Role::User,
            content: vec![model::Block::Text(text.to_owned())],
        }],
        tools: vec![],
        max_tokens: Some(10),
        temperature: None,
        stop_sequences: vec![],
        output_schema: None,
        extra: None,
    }
}

impl Script {
    fn step(&mut self, words: &[&str]) -> Result<Option<String>, Failure> {
        let rest = words.get(1..).unwrap_or_default().join(" ");
        let number = || rest.parse::<u64>().expect("a number");
        Ok(match words {
            [""] => None,
            ["start", name, "sleep", ns] => {
                let pending = clock::start_sleep(ns.parse().expect("a number"), &options());
                let id = pending.id();
                self.pendings.insert((*name).to_owned(), pending);
                Some(format!("{name} is {id}"))
            }
            ["start", name, "model", text] => {
                self.pendings.insert((*name).to_owned(), model::start_complete(&request(text), &options()));
                None
            }
            ["finish", name] => {
                let pending = self.pendings.remove(*name).expect("a pending");
                Some(format!("{name}: {:?}", clock::finish_sleep(pending)))
            }
            ["finish-model", name] => {
                let pending = self.pendings.remove(*name).expect("a pending");
                Some(format!("{name}: {}", replied(model::finish_complete(pending))))
            }
            ["drop", name] => {
                drop(self.pendings.remove(*name));
                None
            }
            ["set", name] => {
                self.sets.insert((*name).to_owned(), PendingSet::new());
                None
            }
            ["add", set, name] => {
                let token = self.sets[*set].add(&self.pendings[*name]);
                Some(format!("{name} is {set}/{token}"))
            }
            ["wait", set] => Some(format!("{set}/{}", self.sets[*set].wait())),
            ["drop-set", set] => {
                drop(self.sets.remove(*set));
                None
            }
            ["sleep", ns] => Some(format!("{:?}", clock::sleep(ns.parse().expect("a number"), &options()))),
            ["model", ..] => Some(replied(model::complete(&request(&rest), &options()))),
            ["read", path] => Some(match files::read(path, &options()) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(error) => format!("{error:?}"),
            }),
            ["write", path, contents] => Some(format!("{:?}", files::write(path, contents.as_bytes(), &options()))),
            ["write-much", path, bytes] => {
                let contents = vec![b'x'; bytes.parse().expect("a number")];
                Some(format!("{:?}", files::write(path, &contents, &options())))
            }
            ["list", path] => {
                let what = files::ListOptions {
                    glob: None,
                    recursive: true,
                    limit: None,
                    after: None,
                };
                let listing = files::list(path, &what, &options()).expect("a listing");
                Some(listing.entries.into_iter().map(|entry| entry.path).collect::<Vec<_>>().join(" "))
            }
            ["post", ..] => {
                let message = inbox::Message {
                    title: rest,
                    body: String::new(),
                    attachments: vec![],
                    extra: None,
                };
                Some(format!("{:?}", inbox::post(&message, &options())))
            }
            ["ask", name] => {
                let question = signals::Question {
                    name: (*name).to_owned(),
                    prompt: "well?".to_owned(),
                    schema: None,
                    audience: signals::Audience::User,
                    details: None,
                    attachments: vec![],
                    timeout_ns: Some(7_000),
                    extra: None,
                };
                Some(format!("{:?}", signals::ask(&question, &options())))
            }
            ["continue", input] => {
                run::continue_as(input);
                Some("it returned".to_owned())
            }
            ["zone"] => Some(format!("{:?}", run::info().zone_offsets)),
            ["notes"] => Some(format!("{:?}", run::notes(&options()))),
            ["start", name, "notes"] => {
                self.pendings.insert((*name).to_owned(), run::start_notes(&options()));
                None
            }
            ["finish-notes", name] => {
                let pending = self.pendings.remove(*name).expect("a pending");
                Some(format!("{name}: {:?}", run::finish_notes(pending).map(|notes| notes.len())))
            }
            ["info"] => Some(format!("{:?}", run::info())),
            ["now"] => Some(format!("{}", clock::now())),
            ["readings", ..] => {
                let last = (0..number()).map(|_| clock::now()).last();
                Some(format!("{last:?}"))
            }
            ["random"] => Some(format!("{} {:?}", random::next(), random::bytes(3))),
            ["random-bytes", ..] => Some(format!("{}", random::bytes(number() as u32).len())),
            ["print", ..] => {
                println!("{rest}");
                None
            }
            ["print-open", ..] => {
                print!("{rest}");
                std::io::stdout().flush().expect("it flushes");
                None
            }
            ["eprint", ..] => {
                eprintln!("{rest}");
                None
            }
            ["print-much", ..] => {
                (0..number()).for_each(|_| println!("a line"));
                None
            }
            ["log", ..] => {
                log::write(log::Level::Info, &rest);
                log::progress("work", 1, Some(2));
                None
            }
            _ => return Self::std_step(words, &rest),
        })
    }

    fn std_step(words: &[&str], rest: &str) -> Result<Option<String>, Failure> {
        let number = || rest.parse::<u64>().expect("a number");
        Ok(match words {
            ["std-sleep", ..] => {
                let before = Instant::now();
                std::thread::sleep(Duration::from_millis(number()));
                Some(format!("slept {} us", before.elapsed().as_micros()))
            }
            ["std-now"] => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
                Some(format!("{}", now.as_nanos()))
            }
            ["hashmap"] => {
                let map: HashMap<u32, ()> = (0..20).map(|n| (n, ())).collect();
                Some(format!("{:?}", map.keys().collect::<Vec<_>>()))
            }
            ["env"] => {
                let mut line = String::new();
                let read = std::io::stdin().read_line(&mut line).map_err(|error| error.kind());
                Some(format!(
                    "{:?} {:?} {read:?} {:?} {:?}",
                    std::env::vars().count(),
                    std::env::args().count(),
                    std::fs::read("/etc/passwd").map_err(|error| error.kind()),
                    std::net::TcpStream::connect("127.0.0.1:80").map(|_| ()).map_err(|error| error.kind()),
                ))
            }
            ["panic", ..] => panic!("{rest}"),
            ["exit", code] => std::process::exit(code.parse().expect("a number")),
            ["overflow"] => Some(format!("{}", deeper(1))),
            ["divide", ..] => Some(format!("{:?}", 1_u64.checked_div(number()))),
            ["grow", ..] => {
                let bytes = number() as usize;
                let mut memory: Vec<u8> = Vec::new();
                Some(match memory.try_reserve_exact(bytes) {
                    Ok(()) => "grown".to_owned(),
                    Err(_) => "refused".to_owned(),
                })
            }
            ["devour"] => {
                let mut held = Vec::new();
                loop {
                    held.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            ["spin"] => loop {
                black_box(0);
            },
            ["compute", ..] => {
                let sum = (0..number()).fold(0_u64, |sum, n| black_box(sum.wrapping_mul(31).wrapping_add(n)));
                Some(format!("{sum}"))
            }
            ["fail", code, ..] => {
                return Err(Failure {
                    code: (*code).to_owned(),
                    message: "on purpose".to_owned(),
                    details: Some("{\"n\":1}".to_owned()),
                });
            }
            other => panic!("no such statement: {other:?}"),
        })
    }
}

fn replied(reply: Result<model::Reply, model::Error>) -> String {
    match reply {
        Ok(reply) => match &reply.content[..] {
            [model::Block::Text(text)] => text.clone(),
            other => format!("{other:?}"),
        },
        Err(error) => format!("{error:?}"),
    }
}

#[inline(never)]
fn deeper(n: u64) -> u64 {
    let bytes = black_box([n; 16]);
    if n == 0 { 0 } else { deeper(n + 1) + bytes[3] }
}
