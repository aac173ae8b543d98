//! A host for this crate's own tests and for the examples of its documentation: it answers as scripted, in the order that a test chooses, and notes every call.
//!
//! The modules have the names and signatures of the world's. Start with [`World`] and [`host`].

#![allow(dead_code, reason = "the examples need less of it than the tests")]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use crate::bindings::skillhost::skill::{
    http as wit_http, model as wit_model, process as wit_process, run as wit_run, signals as wit_signals,
    skills as wit_skills, types,
};

/// What the host holds and how it behaves.
pub(crate) struct World {
    /// Every call, in the order started.
    pub(crate) calls: Vec<Noted>,
    /// Chooses which of the open calls is delivered next.
    pub(crate) next: Next,
    /// Answers model calls.
    pub(crate) model: Model,
    /// What was asked of models.
    pub(crate) asked: Vec<wit_model::Request>,
    /// What signals and questions are answered.
    pub(crate) answers: VecDeque<Result<wit_signals::Answer, wit_signals::Error>>,
    /// What comes of programs, in order.
    pub(crate) programs: VecDeque<Result<wit_process::Ended, wit_process::Error>>,
    /// What servers answer, in order; an empty URL is that of the request.
    pub(crate) servers: VecDeque<Result<wit_http::Response, wit_http::Error>>,
    /// What other skills return, in order.
    pub(crate) skills: VecDeque<Result<String, wit_skills::Error>>,
    /// What people left.
    pub(crate) notes: Vec<wit_run::Note>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) features: Vec<String>,
    pub(crate) log: Vec<String>,
    pub(crate) cancelled: bool,
    /// The time, in nanoseconds.
    pub(crate) now: u64,
    pub(crate) zone_offsets: Vec<wit_run::ZoneOffset>,
}

type Next = Box<dyn FnMut(&[&Noted]) -> u32>;
type Model = Box<dyn FnMut(&wit_model::Request) -> Result<wit_model::Reply, wit_model::Error>>;

/// A call, as the host saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) number: u32,
    pub(crate) what: String,
    pub(crate) label: Option<String>,
    pub(crate) cleanup: bool,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Delivered,
    Finished,
    Dropped,
}

impl World {
    /// Answers every model call with its own last words, and delivers in the order started.
    pub(crate) fn new() -> Self {
        Self {
            calls: Vec::new(),
            next: Box::new(|open| open[0].number),
            model: Box::new(|request| Ok(says(&last_words(request)))),
            asked: Vec::new(),
            answers: VecDeque::new(),
            programs: VecDeque::new(),
            servers: VecDeque::new(),
            skills: VecDeque::new(),
            notes: Vec::new(),
            files: BTreeMap::new(),
            features: vec!["schema".to_owned()],
            log: Vec::new(),
            cancelled: false,
            now: 1_000_000_000,
            zone_offsets: Vec::new(),
        }
    }

    /// Returns what was called, in the order started.
    pub(crate) fn what(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call.what.as_str()).collect()
    }

    /// Returns the states of the calls whose description begins so.
    pub(crate) fn states(&self, what: &str) -> Vec<State> {
        let calls = self.calls.iter().filter(|call| call.what.starts_with(what));
        calls.map(|call| call.state).collect()
    }
}

/// Makes a reply of text.
pub(crate) fn says(text: &str) -> wit_model::Reply {
    wit_model::Reply {
        content: vec![wit_model::Block::Text(text.to_owned())],
        stop_reason: wit_model::StopReason::End,
        model: "fake-1".to_owned(),
        usage: wit_model::Usage {
            input: 1,
            output: 1,
            cache_read: 0,
            cache_write: 0,
        },
        extra: None,
    }
}

/// Returns the texts of a request's last message.
pub(crate) fn last_words(request: &wit_model::Request) -> String {
    let content = request.messages.last().map(|message| message.content.as_slice());
    let texts = content.into_iter().flatten().filter_map(|block| match block {
        wit_model::Block::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// Looks at this thread's host, or changes it. Each test has a thread of its own.
pub(crate) fn host<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(act)
}

fn start(what: String, options: &types::CallOptions) -> tasks::Pending {
    host(|world| {
        let number = u32::try_from(world.calls.len()).expect("a test makes few calls");
        world.calls.push(Noted {
            number,
            what,
            label: options.label.clone(),
            cleanup: options.cleanup,
            state: State::Open,
        });
        tasks::Pending { number }
    })
}

/// Takes the answer of a call, which has to be delivered.
fn finish(pending: tasks::Pending) -> Noted {
    host(|world| {
        let call = &mut world.calls[pending.number as usize];
        assert_eq!(call.state, State::Delivered, "the SDK finishes only what was delivered");
        call.state = State::Finished;
        call.clone()
    })
}

/// Says whether a call is refused because the run was cancelled.
fn refused(call: &Noted) -> bool {
    host(|world| world.cancelled) && !call.cleanup
}

pub(crate) mod tasks {
    use super::{Noted, State, host};

    #[derive(Debug)]
    pub(crate) struct Pending {
        pub(super) number: u32,
    }

    impl Drop for Pending {
        fn drop(&mut self) {
            host(|world| {
                let call = &mut world.calls[self.number as usize];
                if call.state != State::Finished {
                    call.state = State::Dropped;
                }
            });
        }
    }

    pub(crate) struct PendingSet(std::cell::RefCell<Vec<u32>>);

    impl PendingSet {
        pub(crate) fn new() -> Self {
            Self(std::cell::RefCell::default())
        }

        pub(crate) fn add(&self, pending: &Pending) -> u32 {
            assert!(!self.0.borrow().contains(&pending.number), "a call is added once");
            self.0.borrow_mut().push(pending.number);
            // Tokens are not numbers.
            pending.number + 1_000
        }

        pub(crate) fn wait(&self) -> u32 {
            let number = host(|world| {
                let members = self.0.borrow();
                let is_open = |call: &&Noted| call.state == State::Open && members.contains(&call.number);
                let open: Vec<Noted> = world.calls.iter().filter(is_open).cloned().collect();
                assert!(!open.is_empty(), "waits for nothing");
                let number = (world.next)(&open.iter().collect::<Vec<_>>());
                world.calls[number as usize].state = State::Delivered;
                number
            });
            number + 1_000
        }
    }
}

pub(crate) mod model {
    use super::tasks::Pending;
    use super::{finish, host, last_words, refused, start, types};
    pub(crate) use crate::bindings::skillhost::skill::model::*;

    pub(crate) fn start_complete(request: &Request, options: &types::CallOptions) -> Pending {
        host(|world| world.asked.push(request.clone()));
        let pending = start(format!("ask {}", last_words(request)), options);
        REQUESTS.with_borrow_mut(|requests| requests.push((pending.number, request.clone())));
        pending
    }

    pub(crate) fn finish_complete(pending: Pending) -> Result<Reply, Error> {
        let call = finish(pending);
        if refused(&call) {
            return Err(Error::Cancelled);
        }
        let request = REQUESTS.with_borrow(|requests| {
            let found = requests.iter().find(|(number, _)| *number == call.number);
            found.expect("it was started").1.clone()
        });
        // Out of the host while it answers, so that the answer may look at the host.
        let mut model = host(|world| std::mem::replace(&mut world.model, Box::new(|_| unreachable!())));
        let reply = model(&request);
        host(|world| world.model = model);
        reply
    }

    thread_local! {
        static REQUESTS: std::cell::RefCell<Vec<(u32, Request)>> = const { std::cell::RefCell::new(Vec::new()) };
    }
}

pub(crate) mod files {
    use super::tasks::Pending;
    use super::{finish, host, refused, start, types};
    pub(crate) use crate::bindings::skillhost::skill::files::*;

    pub(crate) fn read(path: &str, _options: &types::CallOptions) -> Result<Vec<u8>, Error> {
        host(|world| world.files.get(path).cloned()).ok_or_else(|| Error::NotFound(format!("there is no `{path}`")))
    }

    pub(crate) fn list(path: &str, _what: &ListOptions, _options: &types::CallOptions) -> Result<Listing, Error> {
        let folder = format!("{path}/");
        let entry = |path: &String| Entry {
            path: path.clone(),
            kind: Kind::File,
            size: 0,
            modified_ns: None,
        };
        let entries = host(|world| {
            world
                .files
                .keys()
                .filter(|path| path.starts_with(&folder))
                .map(entry)
                .collect()
        });
        Ok(Listing { entries, next: None })
    }

    pub(crate) fn start_read(path: &str, options: &types::CallOptions) -> Pending {
        start(format!("read {path}"), options)
    }

    pub(crate) fn finish_read(pending: Pending) -> Result<Vec<u8>, Error> {
        let call = finish(pending);
        let path = call.what.strip_prefix("read ").expect("it was started as a read");
        host(|world| world.files.get(path).cloned()).ok_or_else(|| Error::NotFound(path.to_owned()))
    }

    pub(crate) fn start_read_range(path: &str, _offset: u64, _length: u64, options: &types::CallOptions) -> Pending {
        start_read(path, options)
    }

    pub(crate) fn finish_read_range(pending: Pending) -> Result<Vec<u8>, Error> {
        finish_read(pending)
    }

    pub(crate) fn start_write(path: &str, contents: &[u8], options: &types::CallOptions) -> Pending {
        host(|world| world.files.insert(path.to_owned(), contents.to_vec()));
        start(format!("write {path}"), options)
    }

    pub(crate) fn finish_write(pending: Pending) -> Result<(), Error> {
        if refused(&finish(pending)) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    pub(crate) fn start_append(path: &str, contents: &[u8], options: &types::CallOptions) -> Pending {
        host(|world| world.files.entry(path.to_owned()).or_default().extend(contents));
        start(format!("append {path}"), options)
    }

    pub(crate) fn finish_append(pending: Pending) -> Result<(), Error> {
        finish_write(pending)
    }

    pub(crate) fn start_remove(path: &str, options: &types::CallOptions) -> Pending {
        start(format!("remove {path}"), options)
    }

    pub(crate) fn finish_remove(pending: Pending) -> Result<(), Error> {
        finish_write(pending)
    }

    pub(crate) fn start_stat(path: &str, options: &types::CallOptions) -> Pending {
        start(format!("stat {path}"), options)
    }

    pub(crate) fn finish_stat(pending: Pending) -> Result<Entry, Error> {
        let call = finish(pending);
        Ok(Entry {
            path: call.what.trim_start_matches("stat ").to_owned(),
            kind: Kind::File,
            size: 0,
            modified_ns: Some(1),
        })
    }

    /// One entry a page, so that paging is seen.
    pub(crate) fn start_list(path: &str, what: &ListOptions, options: &types::CallOptions) -> Pending {
        start(
            format!("list {path} after {}", what.after.as_deref().unwrap_or("")),
            options,
        )
    }

    pub(crate) fn finish_list(pending: Pending) -> Result<Listing, Error> {
        let call = finish(pending);
        let (path, after) = call
            .what
            .trim_start_matches("list ")
            .split_once(" after ")
            .expect("it was started as a list");
        let all = list(path, &everything(), &crate::call::Options::default().render())?.entries;
        let mut rest = all.into_iter().filter(|entry| entry.path.as_str() > after);
        let entries: Vec<Entry> = rest.by_ref().take(1).collect();
        let more = rest.next().is_some();
        let next = entries.last().filter(|_| more).map(|entry| entry.path.clone());
        Ok(Listing { entries, next })
    }

    fn everything() -> ListOptions {
        ListOptions {
            glob: None,
            recursive: true,
            limit: None,
            after: None,
        }
    }
}

pub(crate) mod process {
    use super::tasks::Pending;
    use super::{finish, host, refused, start, types};
    pub(crate) use crate::bindings::skillhost::skill::process::*;

    pub(crate) fn start_run(command: &Command, options: &types::CallOptions) -> Pending {
        let words = [std::slice::from_ref(&command.program), command.arguments.as_slice()];
        let words = words.concat().join(" ");
        let place = command.folder.as_deref().unwrap_or("run");
        let twice = if options.idempotent { ", twice as once" } else { "" };
        start(format!("run {words} in {place}{twice}"), options)
    }

    pub(crate) fn finish_run(pending: Pending) -> Result<Ended, Error> {
        match refused(&finish(pending)) {
            true => Err(Error::Cancelled),
            false => host(|world| world.programs.pop_front()).expect("the test scripts what comes of a program"),
        }
    }
}

pub(crate) mod http {
    use super::tasks::Pending;
    use super::{finish, host, refused, start, types};
    pub(crate) use crate::bindings::skillhost::skill::http::*;

    pub(crate) fn start_send(request: &Request, options: &types::CallOptions) -> Pending {
        let headers: Vec<String> = request
            .headers
            .iter()
            .map(|header| format!(", {}: {}", header.name, header.value))
            .collect();
        let body = String::from_utf8_lossy(&request.body);
        let body = if body.is_empty() {
            String::new()
        } else {
            format!(", {body}")
        };
        start(
            format!("{} {}{}{body}", request.method, request.url, headers.concat()),
            options,
        )
    }

    pub(crate) fn finish_send(pending: Pending) -> Result<Response, Error> {
        let call = finish(pending);
        if refused(&call) {
            return Err(Error::Cancelled);
        }
        let mut response = host(|world| world.servers.pop_front()).expect("the test scripts what servers answer")?;
        if response.url.is_empty() {
            let asked = call.what.split([' ', ',']).nth(1).expect("it was started with a URL");
            response.url = asked.to_owned();
        }
        Ok(response)
    }
}

pub(crate) mod skills {
    use super::tasks::Pending;
    use super::{finish, host, refused, start, types};
    pub(crate) use crate::bindings::skillhost::skill::skills::*;

    pub(crate) fn start_call(request: &Request, options: &types::CallOptions) -> Pending {
        start(format!("call {} with {}", request.skill, request.input), options)
    }

    pub(crate) fn finish_call(pending: Pending) -> Result<String, Error> {
        match refused(&finish(pending)) {
            true => Err(Error::Cancelled),
            false => host(|world| world.skills.pop_front()).expect("the test scripts what other skills return"),
        }
    }
}

pub(crate) mod inbox {
    use super::tasks::Pending;
    use super::{finish, refused, start, types};
    pub(crate) use crate::bindings::skillhost::skill::inbox::*;

    pub(crate) fn start_post(message: &Message, options: &types::CallOptions) -> Pending {
        start(format!("post {} {:?}", message.title, message.attachments), options)
    }

    pub(crate) fn finish_post(pending: Pending) -> Result<(), Error> {
        if refused(&finish(pending)) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}

pub(crate) mod clock {
    use super::tasks::Pending;
    use super::{finish, host, refused, start, types};
    pub(crate) use crate::bindings::skillhost::skill::clock::Error;

    pub(crate) fn now() -> u64 {
        host(|world| world.now)
    }

    pub(crate) fn start_sleep(duration_ns: u64, options: &types::CallOptions) -> Pending {
        start(format!("sleep {duration_ns}"), options)
    }

    pub(crate) fn finish_sleep(pending: Pending) -> Result<(), Error> {
        if refused(&finish(pending)) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}

pub(crate) mod random {
    pub(crate) fn next() -> u64 {
        4
    }

    pub(crate) fn bytes(length: u32) -> Vec<u8> {
        vec![4; length as usize]
    }
}

pub(crate) mod signals {
    use super::tasks::Pending;
    use super::{finish, host, start, types};
    pub(crate) use crate::bindings::skillhost::skill::signals::*;

    pub(crate) fn start_wait(event: &Event, options: &types::CallOptions) -> Pending {
        start(format!("wait {}", event.name), options)
    }

    pub(crate) fn finish_wait(pending: Pending) -> Result<Answer, Error> {
        finish(pending);
        host(|world| world.answers.pop_front()).expect("the test scripts an answer")
    }

    pub(crate) fn start_ask(question: &Question, options: &types::CallOptions) -> Pending {
        start(
            format!("question {} {:?}", question.name, question.attachments),
            options,
        )
    }

    pub(crate) fn finish_ask(pending: Pending) -> Result<Answer, Error> {
        finish_wait(pending)
    }
}

pub(crate) mod run {
    use super::tasks::Pending;
    use super::{finish, host, refused, start, types};
    use crate::bindings::skillhost::skill::run::{Error, Mount, Note, RunInfo};

    pub(crate) fn start_notes(options: &types::CallOptions) -> Pending {
        start("notes".to_owned(), options)
    }

    pub(crate) fn finish_notes(pending: Pending) -> Result<Vec<Note>, Error> {
        if refused(&finish(pending)) {
            Err(Error::Cancelled)
        } else {
            Ok(host(|world| std::mem::take(&mut world.notes)))
        }
    }

    /// The host ends the guest there.
    pub(crate) fn continue_as(input: &str) {
        panic!("goes on as {input}");
    }

    pub(crate) fn info() -> RunInfo {
        let mount = |name: &str| Mount {
            name: name.to_owned(),
            writable: name != "skill",
        };
        RunInfo {
            id: "r1".to_owned(),
            skill: "tested".to_owned(),
            mounts: vec![mount("data"), mount("run"), mount("skill"), mount("notes")],
            started_ns: 1,
            zone: "Europe/Berlin".to_owned(),
            zone_offsets: host(|world| world.zone_offsets.clone()),
            provider: "fake".to_owned(),
            features: host(|world| world.features.clone()),
        }
    }
}

pub(crate) mod log {
    use super::host;
    use crate::bindings::skillhost::skill::log::Level;

    pub(crate) fn write_at(level: Level, message: &str, _: &str) {
        host(|world| world.log.push(format!("{level:?}: {message}")));
    }

    pub(crate) fn progress(label: &str, done: u64, total: Option<u64>) {
        host(|world| world.log.push(format!("{label} {done}/{total:?}")));
    }
}
