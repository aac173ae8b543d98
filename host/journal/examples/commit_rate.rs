//! Prints how fast this disk commits single rows, and beside it how fast a journal appends and waits.
//!
//! `cargo run --release -p skillhost-journal --example commit_rate [folder]`: the folder decides which disk is measured.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program for a person at a terminal"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use skillhost_core::budget::{Cost, DayAccount};
use skillhost_core::calls::CallOptions;
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{By, Called, Entry, Limits, Provider, Record, Returned, SEMANTICS, Started};
use skillhost_core::id::{Digest, Epoch, LaunchId, Number, RunId, Seq, SkillName, WorkerId};
use skillhost_core::machine::{Command, Local, Write};
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_journal::{Bundle, Journal, NewRun, RunWriter, SqliteJournal, Taken};

const REPEATS: usize = 3;

/// What a call may spend at most.
const BOUND: Cost = Cost {
    calls: 1,
    tokens: 8_192,
    microdollars: 0,
};

fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = folder.join(format!("commit-rate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    // In turns, because a shared disk is not equally fast all the time.
    let rounds: Vec<Round> = (0..REPEATS)
        .map(|n| measure(&folder.join(n.to_string()), &runtime))
        .collect();
    let median = |figure: fn(&Round) -> f64| -> f64 {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let raw = median(|round| round.raw);
    let show = |what: &str, per_second: f64| println!("{what:<58} {per_second:>9.0}/s {:>7.2}", per_second / raw);
    println!("{:<58} {:>11} {:>7}", "medians of 3", "", "of raw");
    show("single rows, each committed", raw);
    show("1 run x 1,000 calls, each with its barrier", median(|round| round.lone));
    show("200 runs x 10 calls", median(|round| round.burst));
    show("1,000 runs x 10 calls", median(|round| round.crowd));
    show(
        "1,000 runs x 10 calls, all of one budget for the day",
        median(|round| round.daily),
    );
    show("1 run, 20,000 calls without a barrier", median(|round| round.unasked));
    show(
        "1 run x 1,000 calls of 4 KiB, each with its barrier",
        median(|round| round.large),
    );
    println!(
        "read 10,000 entries: {:.2} us an entry",
        1e6 / median(|round| round.read)
    );
    println!("open, make a run, close: {:.2} ms", 1e3 / median(|round| round.open));
    println!(
        "mail from another process under full load: {:.1} ms, worst of 20",
        1e3 / median(|round| round.mail)
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[derive(Debug)]
struct Round {
    raw: f64,
    lone: f64,
    burst: f64,
    crowd: f64,
    daily: f64,
    unasked: f64,
    large: f64,
    read: f64,
    open: f64,
    mail: f64,
}

fn measure(folder: &Path, runtime: &tokio::runtime::Runtime) -> Round {
    std::fs::create_dir_all(folder).unwrap();
    let raw = raw(&folder.join("raw.db"));
    let path = folder.join("journal.db");
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(&path).unwrap());
    let bundle = journal
        .put_bundle(&Bundle::new([]).unwrap(), Timestamp(0), &|_| unreachable!())
        .unwrap();
    let mut ids = 0..;
    let mut run = || make_run(journal.as_ref(), ids.next().unwrap(), bundle);
    // The first commits of a process are not what a run of a thousand calls meets.
    runtime.block_on(calls(run(), 300, "", false));

    let lone = timed(1_000, || runtime.block_on(calls(run(), 1_000, "", false)));
    let large_text: &str = "a line of a report that a model wrote, more or less\n"
        .repeat(80)
        .leak();
    let large = timed(1_000, || runtime.block_on(calls(run(), 1_000, large_text, false)));
    let mut crowd_of = |runs: u64, daily: bool| {
        let writers: Vec<RunWriter> = (0..runs).map(|_| run()).collect();
        timed(runs * 10, || {
            runtime.block_on(async {
                let tasks: Vec<_> = writers
                    .into_iter()
                    .map(|writer| tokio::spawn(calls(writer, 10, "", daily)))
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        })
    };
    let burst = crowd_of(200, false);
    let crowd = crowd_of(1_000, false);
    let daily = crowd_of(1_000, true);
    let mut writer = run();
    let read_run = writer.run().clone();
    let unasked = timed(20_000, || {
        for n in 0..20_000 {
            writer.append(call(n, "")).unwrap();
        }
        runtime.block_on(writer.flush()).unwrap();
    });
    let read = timed(10_000, || drop(journal.records(&read_run, Seq(0), 10_000).unwrap()));
    let mail = mail(&path, (0..50).map(|_| run()).collect(), &read_run, runtime);
    drop(journal);
    let open = timed(1, || {
        let journal = SqliteJournal::open(&path).unwrap();
        make_run(&journal, 99_999, bundle);
    });
    let round = Round {
        raw,
        lone,
        burst,
        crowd,
        daily,
        unasked,
        large,
        read,
        open,
        mail,
    };
    eprintln!("{round:.0?}");
    round
}

fn timed(count: u64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    count as f64 / start.elapsed().as_secs_f64()
}

/// Commits rows like a call's, under the journal's own settings, in a log of the same size.
fn raw(path: &Path) -> f64 {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 10000; pragma cache_size = 16;
        create table entries (id integer primary key, run integer, seq integer, body text, payload text);
        begin immediate; create table scratch (content blob); insert into scratch values (zeroblob(16777216)); rollback;
        pragma cache_size = -65536;",
    )
    .unwrap();
    let body = "x".repeat(150);
    let mut insert = db
        .prepare("insert into entries (run, seq, body, payload) values (1, ?, ?, ?)")
        .unwrap();
    let mut commit = |n: u64| assert_eq!(insert.execute((n as i64, &body, &body)).unwrap(), 1);
    (0..300).for_each(&mut commit);
    timed(2_000, || (300..2_300).for_each(commit))
}

/// Returns how often per second another process could leave mail, at worst, while runs write as fast as they can.
fn mail(path: &Path, writers: Vec<RunWriter>, to: &RunId, runtime: &tokio::runtime::Runtime) -> f64 {
    let other = SqliteJournal::open(path).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = writers
        .into_iter()
        .map(|writer| runtime.spawn(calls_until(writer, Arc::clone(&over))))
        .collect();
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let start = Instant::now();
        other
            .post_mail(to, Timestamp(0), &Command::Cancel { reason: None })
            .unwrap();
        worst = worst.max(start.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    1.0 / worst.as_secs_f64()
}

/// Makes calls one after the other, as a run does that waits for each: the last outcome and the next call are one commit.
async fn calls(mut writer: RunWriter, count: u64, text: &'static str, daily: bool) {
    for n in 0..count {
        let mut writes = call(n, text);
        if daily {
            writes.splice(0..0, settled(n));
            // A reservation stands before its call.
            writes.insert(writes.len() - 1, reserved(n));
        }
        writer.append(writes).unwrap();
        let called = Seq(2 * n + 1);
        writer.barrier(called).await.unwrap();
    }
    writer.flush().await.unwrap();
}

/// Returns what settles the call before, in the skill's account for the day.
fn settled(n: u64) -> Option<Write> {
    let local = Local::Settle {
        account: account(),
        reserved: BOUND,
        spent: Cost { tokens: 90, ..BOUND },
        limit: Cost::UNBOUNDED,
    };
    (n > 0).then(|| Write::Local(local))
}

fn reserved(n: u64) -> Write {
    Write::Local(Local::Reserve {
        account: account(),
        number: Number(n),
        bound: BOUND,
        limit: Cost::UNBOUNDED,
    })
}

fn account() -> DayAccount {
    DayAccount {
        skill: SkillName::parse("measured").unwrap(),
        day: 20_000,
    }
}

async fn calls_until(mut writer: RunWriter, over: Arc<AtomicBool>) {
    for n in 0.. {
        writer.append(call(n, "")).unwrap();
        writer.barrier(Seq(2 * n + 1)).await.unwrap();
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
}

/// Returns a call and the outcome of the one before.
fn call(n: u64, text: &str) -> Vec<Write> {
    let called = Entry::Called(Arc::new(Called {
        number: Number(n),
        function: Function::MODEL_COMPLETE,
        request: Payload::of(
            &serde_json::json!({"model": "haiku", "messages": [{"role": "user", "content": [{"text": format!("{n} {text}")}]}]}),
        ),
        options: CallOptions {
            label: Some("a step".to_owned()),
            ..CallOptions::default()
        },
        class: Class::Retryable,
        after: n,
        reserved: Some(BOUND),
        reserved_day: None,
        over: None,
        tier: None,
        due: None,
    }));
    let returned = n.checked_sub(1).map(|before| {
        Entry::Returned(Returned {
            number: Number(before),
            outcome: Outcome::Ok(Payload::of(
                &serde_json::json!({"content": [{"text": format!("{before} {text}")}]}),
            )),
            spent: None,
            by: By::Effect,
        })
    });
    let first = if n == 0 { 1 } else { 2 * n };
    returned
        .into_iter()
        .chain([called])
        .zip(first..)
        .map(|(entry, seq)| {
            let at = Timestamp(seq);
            Write::Entry(Record {
                seq: Seq(seq),
                at,
                entry,
            })
        })
        .collect()
}

fn make_run(journal: &dyn Journal, n: u64, bundle: Digest) -> RunWriter {
    let run = RunId::parse(&format!("01jd{n:022}")).unwrap();
    let started = Started {
        run: run.clone(),
        launch: LaunchId::parse(run.as_str()).unwrap(),
        skill: SkillName::parse("steps").unwrap(),
        input: Payload::null(),
        bundle,
        component: bundle,
        seed: bundle,
        zone: "UTC".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits::default(),
        provider: Provider {
            name: "offline".to_owned(),
            models: Default::default(),
            features: Vec::new(),
            simulated: true,
            acts: false,
        },
        engine: "none".to_owned(),
        semantics: SEMANTICS,
        parent: None,
        continues: None,
        caller: None,
        skills_folder: None,
        grants: Default::default(),
    };
    journal.create_run(NewRun::first(started, Timestamp(0), None)).unwrap();
    let seen = journal.lease(&run).unwrap();
    let taken = journal.claim(&run, &WorkerId::parse("bench").unwrap(), &seen).unwrap();
    assert_eq!(taken, Taken::At(Epoch(1)));
    journal.writer(&run, Epoch(1), Seq(1))
}
