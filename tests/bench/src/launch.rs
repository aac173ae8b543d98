//! What a person waits for at the terminal: whole processes, from the command to its end.

use skillhost_core::id::{Number, Seq, WorkerId};
use skillhost_core::machine::{Local, Source, Write};
use skillhost_journal::{Journal as _, Taken};

use crate::Setting;
use crate::machine::{Machine, middle};
use crate::place::{Place, now};
use crate::report::{Bar, Durability, Line, Report, Unit};

/// What is launched.
const HELLO: &[&str] = &[
    "launch",
    "hello-world",
    "--name",
    "Ada",
    "--offline",
    "--await",
    "--json",
];

/// How many processes one figure is the median of.
const PROCESSES: usize = 15;

/// How many entries the inbox has.
const INBOX: u64 = 1_000;

/// Measures launches, and the hook.
pub(crate) fn measure(setting: &Setting, machine: &Machine, report: &mut Report) {
    let place = setting.place(&["hello-world", "steps"]);
    let line = |what: &str, unit, durability| Line::new("at the terminal", what, unit, durability);
    let several = |measure: &dyn Fn() -> f64| -> Vec<f64> {
        let each = || middle((0..PROCESSES).map(|_| measure()).collect());
        (0..setting.repeats).map(|_| each()).collect()
    };

    place.run(HELLO);
    let warm = several(&|| place.timed(HELLO).as_secs_f64() * 1e3);
    let beside = machine.version_ms + machine.commit_ms();
    let ratios = warm.iter().map(|ms| ms / beside).collect();
    report.add(
        line(
            "launch hello-world --await, a daemon is there",
            Unit::Ms,
            Durability::EachCall,
        )
        .bar(Bar::AtMost(15.0)),
        warm,
    );
    report.add(
        line("  of `--version` and one commit", Unit::Ratio, Durability::EachCall).bar(Bar::AtMost(3.0)),
        ratios,
    );
    let cold = several(&|| {
        place.stop_daemon();
        place.timed(HELLO).as_secs_f64() * 1e3
    });
    report.add(
        line("the same, no daemon is there", Unit::Ms, Durability::EachCall).bar(Bar::AtMost(60.0)),
        cold,
    );
    let here: Vec<&str> = HELLO
        .iter()
        .map(|word| if *word == "--await" { "--here" } else { word })
        .collect();
    place.stop_daemon();
    let here = several(&|| place.timed(&here).as_secs_f64() * 1e3);
    report.add(
        line("the same with --here, no daemon", Unit::Ms, Durability::EachCall),
        here,
    );

    fill_inbox(&place);
    let hook = several(&|| place.timed(&["hook", "session-start"]).as_secs_f64() * 1e3);
    report.add(
        line("hook session-start, 1,000 inbox entries", Unit::Ms, Durability::None).bar(Bar::AtMost(20.0)),
        hook,
    );
    let stripped = stripped(setting);
    report.add(
        line("the program, stripped", Unit::Mb, Durability::None),
        vec![stripped],
    );
}

/// Makes a run that has left so many entries in the inbox.
fn fill_inbox(place: &Place) {
    let model = place.launched("steps", r#"{"n": 0}"#);
    let run = place.make_like(&model, r#"{"n": 0}"#, 1).remove(0);
    let journal = place.journal();
    let worker = WorkerId::parse("bench").unwrap();
    let lease = journal.lease(&run).unwrap();
    let Taken::At(epoch) = journal.claim(&run, &worker, &lease).unwrap() else {
        unreachable!("nobody else wants it")
    };
    let mut writer = journal.writer(&run, epoch, Seq(1));
    let posts = (0..INBOX).map(|number| {
        Write::Local(Local::Post {
            source: Source::Message(Number(number)),
            at: now(),
            title: format!("Report {number} is ready"),
            body: "as it was asked for ".repeat(100),
            attachments: Vec::new(),
        })
    });
    writer.append(posts.collect()).unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio.block_on(writer.flush()).unwrap();
}

/// Returns how large the program is without what only debuggers read, in MB.
fn stripped(setting: &Setting) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("skillhost");
    let mut strip = std::process::Command::new("strip");
    let status = strip.arg("-o").arg(&copy).arg(&setting.program).status();
    let program = if status.is_ok_and(|status| status.success()) {
        &copy
    } else {
        &setting.program
    };
    crate::place::bytes(program) as f64 / 1e6
}
