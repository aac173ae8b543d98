//! The words of a story: what is written in its rows, and how actions and entries read in them.

use std::sync::Arc;
use std::time::Duration;

use skillhost_core::budget::{Budget, Cost, Over};
use skillhost_core::calls::run::Note;
use skillhost_core::calls::skills::Launched;
use skillhost_core::calls::{CallOptions, Reuse};
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{
    By, Called, Due, Entry, Failure, Finished, How, Record, Retried, Returned, Rung, Started, Why,
};
use skillhost_core::id::{Number, RunId, SignalName};
use skillhost_core::machine::{
    Action, Again, Asks, Call, Command, Decision, Ended, Level, Line, Local, Source, Stop, Wait, Write,
};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_core::payload::Payload;
use skillhost_core::price::{Price, Prices};
use skillhost_core::retry::FaultKind;
use skillhost_core::time::Timestamp;

/// The run that stories are told of; copies of it have other ids.
pub(crate) const RUN: &str = "01jd0000000000000000000000";

/// `money=500 strict price=2 wall=9 computing=9 written=9 journal=9 rung=50:haiku live`: prices are of the model `sonnet` and for a token, and money in millionths.
pub(crate) fn limit(words: &Words<'_>, started: &mut Started) {
    let limits = &mut started.limits;
    limits.microdollars_max = words.amount("money");
    limits.priced_only = words.has("strict");
    limits.wall_ms_max = words.amount("wall");
    limits.written_bytes_max = words.amount("written");
    limits.journal_bytes_max = words.amount("journal");
    limits.ladder = words
        .value("rung")
        .and_then(|rung| rung.split_once(':'))
        .map(|(percent, tier)| Rung {
            percent: percent.parse().unwrap(),
            tier: tier.to_owned(),
        })
        .into_iter()
        .collect();
    let priced = |(name, model): (&str, &str)| {
        let each = words.amount(name)? * 1_000_000;
        let price = Price {
            input: each,
            output: each,
            cache_read: each,
            cache_write: each,
        };
        Some((model.to_owned(), price))
    };
    let prices = [("price", "sonnet"), ("low", "haiku")].into_iter().filter_map(priced);
    limits.prices = prices.collect::<Prices>();
    started.provider.simulated = false;
}

/// Takes a reservation out of the journal that had no room in the day, as whoever commits does.
pub(crate) fn refuse(number: Number, durable: &mut [Record]) -> Over {
    let of = |record: &&mut Record| record.entry.number() == Some(number);
    let record = durable.iter_mut().rfind(of).unwrap();
    let wanted = match &mut record.entry {
        Entry::Called(called) => {
            let called = Arc::make_mut(called);
            called.over = Some(Budget::Tokens);
            called.reserved.take()
        }
        Entry::Retried(retried) => retried.reserved.take(),
        other => panic!("{other:?} reserves nothing"),
    };
    Over {
        budget: Budget::Tokens,
        limit: 1_000,
        used: 900,
        wanted: wanted.unwrap().tokens,
    }
}

/// The words of a row or a part of it.
pub(crate) struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self(text.split_whitespace().collect())
    }

    pub(crate) fn first(&self) -> &'a str {
        self.0.first().copied().unwrap_or_default()
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    pub(crate) fn number(&self) -> Number {
        Number(self.0[1].parse().unwrap())
    }

    /// The value of `name=value`.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        let find = |word: &&'a str| word.strip_prefix(name)?.strip_prefix('=');
        self.0.iter().find_map(find)
    }

    fn amount(&self, name: &str) -> Option<u64> {
        self.value(name).map(|value| value.parse().unwrap())
    }

    fn cost(&self, name: &str) -> Option<Cost> {
        let tokens = self.amount(name)?;
        let microdollars = self.amount("money").unwrap_or(0);
        Some(Cost {
            calls: 1,
            tokens,
            microdollars,
        })
    }
}

/// `ask`, `read`, `act`, `write`, `append`, `post`, `sleep for=5`, `wait`, `question`, `tick`, `notes`, `skill`; with `bound=`, `for=`, `with=`, `cleanup`, `malformed`, `fresh`, `pure`.
pub(crate) fn call(words: &Words<'_>, number: Number, guest_time: Timestamp) -> Call {
    let function = match words.first() {
        "ask" => Function::MODEL_COMPLETE,
        "read" => Function::FILES_READ,
        "act" => Function::TEST_ACT,
        "write" => Function::FILES_WRITE,
        "append" => Function::FILES_APPEND,
        "post" => Function::INBOX_POST,
        "sleep" => Function::CLOCK_SLEEP,
        "wait" => Function::SIGNALS_WAIT,
        "question" => Function::SIGNALS_ASK,
        "tick" => Function::CLOCK_TICK,
        "notes" => Function::RUN_NOTES,
        "skill" => Function::SKILLS_CALL,
        other => panic!("`{other}` is no call"),
    };
    let with = words.value("with").unwrap_or("this");
    let request = match words.first() {
        "post" => format!(r#"{{"title":"{with}"}}"#),
        "question" => format!(r#"{{"name":"go","prompt":"{with}?","audience":"user"}}"#),
        _ => format!("{with:?}"),
    };
    let signal = matches!(words.first(), "wait" | "question").then(|| SignalName::parse("go").unwrap());
    Call {
        number,
        function,
        request: Payload::parse(&request).unwrap(),
        options: CallOptions {
            cleanup: words.has("cleanup"),
            reuse: match (words.has("fresh"), words.has("pure")) {
                (true, _) => Reuse::Fresh,
                (_, true) => Reuse::Pure,
                _ => Reuse::Auto,
            },
            ..CallOptions::default()
        },
        class: match words.has("acts") {
            true => Class::AtMostOnce,
            false => function.spec().class,
        },
        bound: words.cost("bound"),
        asks: words.cost("bound").map(|bound| {
            Box::new(Asks {
                model: words.value("of").unwrap_or("sonnet").to_owned(),
                input: bound.tokens / 2,
                output: bound.tokens - bound.tokens / 2,
            })
        }),
        lasts: words.amount("for").map(Duration::from_micros),
        signal,
        guest_time: words.amount("at").map_or(guest_time, Timestamp),
        refused: words
            .has("malformed")
            .then(|| Box::new(Fault::new(Fault::INVALID, "malformed"))),
    }
}

/// An entry as a journal holds it: `called ask after=1`, `returned 0`, `returned 0 fails`, `cancelled`.
pub(crate) fn entry(words: &Words<'_>, rest: &str, called: u64) -> Entry {
    match words.first() {
        "called" => {
            let call = call(&Words::of(rest), Number(called), Timestamp(1_000));
            Entry::Called(Arc::new(Called {
                number: words.amount("number").map_or(call.number, Number),
                function: call.function,
                request: call.request,
                options: call.options,
                class: call.class,
                after: words.amount("after").unwrap_or(0),
                reserved: call.bound,
                reserved_day: None,
                over: None,
                tier: None,
                due: call.lasts.map(|lasts| Due {
                    deadline: Timestamp(1_000).after(lasts),
                    guest: Timestamp(1_000).after(lasts),
                }),
            }))
        }
        "prepared" => Entry::Prepared {
            number: words.number(),
            measured: Payload::of(&7),
        },
        "retried" => Entry::Retried(Retried {
            number: words.number(),
            why: Why::Recovery,
            fault: None,
            spent: None,
            reserved: words.cost("bound"),
            reserved_day: None,
        }),
        "returned" => Entry::Returned(Returned {
            number: words.number(),
            outcome: match words.has("fails") {
                true => Outcome::fault(Fault::FAILED, "it went wrong"),
                false => Outcome::done(),
            },
            spent: words.cost("spent"),
            by: Default::default(),
        }),
        "cancelled" => Entry::Cancelled { reason: None },
        "expired" => Entry::Expired,
        "finished" => Entry::Finished(Finished {
            how: How::Done(Payload::null()),
            spent: Cost::ZERO,
        }),
        other => panic!("`{other}` is no entry"),
    }
}

/// How a performance ended: `ok`, `fails`, `again`, `in-doubt`, `aborted`; with `spent=`.
pub(crate) fn ended(words: &Words<'_>) -> Ended {
    if words.has("in-doubt") {
        return Ended::InDoubt("nobody knows".to_owned());
    }
    if words.has("aborted") {
        return Ended::Aborted;
    }
    let failed = words.has("fails") || words.has("again");
    Ended::Returned {
        outcome: match failed {
            true => Outcome::fault(Fault::FAILED, "it went wrong"),
            false => Outcome::done(),
        },
        spent: words.cost("spent"),
        again: words.has("again").then_some(Again {
            kind: FaultKind::Network,
            after: None,
        }),
    }
}

/// `cancel`, `pause`, `resume`, `note text`, `event go`, `answer 0`, `redo 0`, `skip 0`, `settle 0`, `child 0 spent=9`.
pub(crate) fn command(words: &Words<'_>) -> Command {
    let by = None;
    let value = Payload::of("yes");
    let decide = |decision| Command::Decide {
        number: words.number(),
        decision,
        by: None,
    };
    match words.first() {
        "cancel" => Command::Cancel { reason: None },
        "pause" => Command::Pause { by },
        "resume" => Command::Resume { by },
        "child" => Command::Child {
            number: words.number(),
            outcome: Outcome::done(),
            spent: words.cost("spent").unwrap_or(Cost::ZERO),
        },
        "note" => Command::Note {
            message: words.0[1].to_owned(),
            by,
        },
        "event" => Command::Event {
            name: SignalName::parse(words.0[1]).unwrap(),
            value,
            by,
        },
        "answer" => Command::Answer {
            number: words.number(),
            value,
            by,
        },
        "redo" => decide(Decision::Redo),
        "skip" => decide(Decision::Skip),
        "settle" => decide(Decision::Answer(value)),
        other => panic!("`{other}` is no mail"),
    }
}

/// What is recorded of a run that was launched for a call.
pub(crate) fn launched() -> Payload {
    let run = RunId::parse("01jd0000000000000000000009").unwrap();
    Payload::of(&Launched { run })
}

pub(crate) fn line(text: &str) -> Line {
    Line::Message {
        level: Level::Info,
        message: text.to_owned(),
        place: None,
    }
}

pub(crate) fn failure(code: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: "it failed".to_owned(),
        details: None,
        backtrace: None,
    }
}

/// What an action says, and whether it is bookkeeping that most stories leave out.
pub(crate) fn show(action: &Action) -> Vec<(String, bool)> {
    let said = match action {
        Action::Write(writes) => return writes.iter().map(show_write).collect(),
        Action::Read(from) => return vec![(format!("read {from}"), true)],
        Action::Barrier(seq) => return vec![(format!("barrier {seq}"), true)],
        Action::Grace(time) => return vec![(format!("grace {}", time.as_micros()), true)],
        Action::Alarm(at) => return vec![(format!("alarm {}", at.0), true)],
        Action::Deliver(given) => {
            let outcome = given.outcome.code().unwrap_or("ok");
            format!("deliver {} {outcome} at {}", given.number, given.time.0)
        }
        Action::Measure(ticket) => {
            let reserved = ticket.reserved().map(|reserved| format!(" with {}", reserved.tokens));
            format!("measure {}{}", ticket.number(), reserved.unwrap_or_default())
        }
        Action::Perform(ticket) => {
            let doubt = if ticket.in_doubt() { " again" } else { "" };
            let measured = ticket.measured().map(|m| format!(" from {m}")).unwrap_or_default();
            let key = ticket.key();
            let (run, number) = key.split_once('/').expect("g1: a key is `<run>/<number>`");
            let copy = if run == RUN { "" } else { " under the new run" };
            let tier = ticket.tier().map(|tier| format!(" by {tier}")).unwrap_or_default();
            format!("perform {number}{doubt}{measured}{tier}{copy}")
        }
        Action::Abort(number) => format!("abort {number}"),
        Action::Idle(idle) => {
            let waits: Vec<String> = idle
                .waits
                .iter()
                .map(|(n, wait)| format!("{n} {}", kind(wait)))
                .collect();
            let paused = if idle.paused { "paused " } else { "" };
            format!("idle {paused}[{}]", waits.join(" "))
        }
        Action::Stop(Stop::Finished(finished)) => format!("stop {}", how(&finished.how)),
        Action::Stop(Stop::Mismatch(mismatch)) => {
            format!("mismatch: {}", mismatch.to_string().lines().next().unwrap())
        }
        Action::Stop(Stop::Broken(reason)) => format!("stop broken: {reason}"),
    };
    vec![(said, false)]
}

fn show_write(write: &Write) -> (String, bool) {
    let said = match write {
        Write::Entry(record) => show_entry(&record.entry, record.at),
        Write::Line {
            after, ordinal, line, ..
        } => match line {
            Line::Message {
                level: Level::Warn,
                message,
                ..
            } => format!("warn {}", message.split(':').next().unwrap()),
            Line::Message { message, .. } => format!("line {after}.{ordinal} {message}"),
            Line::Printed { text, .. } => format!("line {after}.{} {text}", ordinal - (1 << 62)),
            other => panic!("stories say only messages, not {other:?}"),
        },
        Write::Local(Local::Post { source, .. }) => match source {
            Source::Message(number) => format!("post message {number}"),
            Source::Question(number) => format!("post question {number}"),
            Source::Decision(number) => format!("post decision {number}"),
            Source::Finished => "post the end".to_owned(),
            Source::Budget => "post budget".to_owned(),
            Source::Trouble => unreachable!("only the shell knows of trouble"),
        },
        Write::Local(Local::OpenWait { number, wait, .. }) => format!("open {number} {}", kind(wait)),
        Write::Local(Local::CloseWait { number }) => format!("close {number}"),
        Write::Local(Local::CancelChild { number, .. }) => format!("cancel child {number}"),
        Write::Local(Local::AnswerCaller {
            number, outcome, spent, ..
        }) => {
            let outcome = outcome.code().unwrap_or("ok");
            format!("answer caller {number} {outcome} spent {}", spent.tokens)
        }
        Write::Local(Local::Continue(next)) => {
            let paused = if next.paused { " paused" } else { "" };
            format!("begin {}{paused}", next.started.input)
        }
        Write::Local(Local::Reserve {
            account, number, bound, ..
        }) => {
            format!("reserve {} for {number} of day {}", bound.tokens, account.day)
        }
        Write::Local(Local::Settle {
            account,
            reserved,
            spent,
            limit,
        }) => {
            let over = if *limit == Cost::UNBOUNDED { " that is over" } else { "" };
            format!(
                "settle {} by {} of day {}{over}",
                reserved.tokens, spent.tokens, account.day
            )
        }
        Write::Local(Local::TakeMail(id)) => format!("take mail {id}"),
        Write::Local(Local::SetStatus(status)) => return (format!("status {}", status.as_str()), true),
    };
    (said, false)
}

pub(crate) fn show_entry(entry: &Entry, at: Timestamp) -> String {
    match entry {
        Entry::Called(called) => match called.after {
            0 => format!("called {}", called.number),
            after => format!("called {} after {after}", called.number),
        },
        Entry::Prepared { number, measured } if *measured == launched() => format!("prepared {number} launched"),
        Entry::Prepared { number, measured } => format!("prepared {number} {measured}"),
        Entry::Retried(retried) => format!("retried {} {:?}", retried.number, retried.why).to_lowercase(),
        Entry::Returned(returned) => {
            let outcome = returned.outcome.code().unwrap_or("ok");
            let notes = notes(&returned.outcome);
            let from = match &returned.by {
                By::Record { number, .. } => format!(" from {number}"),
                By::Effect | By::Person(_) => String::new(),
            };
            format!("returned {} {outcome}{notes} at {}{from}", returned.number, at.0)
        }
        Entry::Finished(finished) => format!("finished {} spent {}", how(&finished.how), finished.spent.tokens),
        other => other.kind().to_owned(),
    }
}

/// The notes of an answer, if it is one of notes.
fn notes(outcome: &Outcome) -> String {
    let Outcome::Ok(payload) = outcome else {
        return String::new();
    };
    let Ok(notes) = payload.read::<Vec<Note>>() else {
        return String::new();
    };
    let notes: Vec<String> = notes
        .iter()
        .map(|note| format!("{}@{}", note.message, note.at.0))
        .collect();
    format!(" [{}]", notes.join(" "))
}

fn how(how: &How) -> String {
    match how {
        How::Done(_) => "done".to_owned(),
        How::Failed(failure) => format!("failed {}", failure.code),
        How::Cancelled(None) => "cancelled".to_owned(),
        How::Cancelled(Some(_)) => "cancelled with a result".to_owned(),
        How::Continued(_) => "continued".to_owned(),
    }
}

fn kind(wait: &Wait) -> &'static str {
    match wait {
        Wait::Timer => "timer",
        Wait::Event(_) => "event",
        Wait::Question(_) => "question",
        Wait::Decision => "decision",
        Wait::Skill(_) => "skill",
    }
}
