//! A run that lets a new one go on in its place: both are one commit.

use skillhost_core::entry::{Entry, How};
use skillhost_core::id::{LaunchId, Number, RunId, Seq, SignalName};
use skillhost_core::machine::{Command, Local, Status, Successor, Wait, Write};
use skillhost_journal::{AppendError, NewRun, RunFilter};

use crate::support::{Stage, append, at, entry, finished, json, run_id};

stories! {
    the_end_of_a_run_and_the_one_that_goes_on_are_there_together,
    what_lies_in_the_mailbox_goes_along_but_for_what_names_a_call,
    one_that_goes_on_from_a_paused_run_is_paused,
    a_continuation_that_is_refused_makes_no_run,
}

/// Launches a run under a name, and takes it.
fn launch(stage: &Stage, name: &str) -> RunId {
    let mut started = stage.started(1);
    started.launch = LaunchId::parse(name).unwrap();
    let new = NewRun::first(started, at(1), Some("/where/it/was/launched".into()));
    stage.journal.create_run(new).unwrap();
    run_id(1)
}

fn go_on(stage: &Stage, from: &RunId, n: u64, paused: bool) -> [Write; 2] {
    let launch = stage.journal.run(from).unwrap().launch;
    let mut started = stage.started(n);
    started.launch = launch;
    started.input = json("{\"seen\":7}");
    started.continues = Some(from.clone());
    let next = Successor {
        started,
        at: at(50),
        paused,
    };
    let end = entry(1, finished(How::Continued(run_id(n))));
    [end, Write::Local(Local::Continue(Box::new(next)))]
}

fn the_end_of_a_run_and_the_one_that_goes_on_are_there_together(stage: &Stage) {
    let first = launch(stage, "nightly");
    let before = stage.journal.run(&first).unwrap();
    append(&mut stage.take(&first, "worker"), go_on(stage, &first, 2, false)).unwrap();
    let (over, next) = (
        stage.journal.run(&first).unwrap(),
        stage.journal.run(&run_id(2)).unwrap(),
    );
    assert_eq!((over.status, over.superseded), (Status::Continued, true));
    assert_eq!((next.status, next.superseded), (Status::Running, false));
    assert_eq!(next.created_at, at(50));
    assert_eq!(
        (&next.launch, &next.skill, next.bundle, next.component, next.simulated),
        (
            &before.launch,
            &before.skill,
            before.bundle,
            before.component,
            before.simulated
        )
    );
    assert_eq!(next.caller_folder, before.caller_folder);
    assert_eq!((next.holder, next.parent, next.entries), (None, None, 1));
    assert_eq!(stage.journal.find_run("nightly").unwrap(), run_id(2));
    let listed = stage.journal.runs(&RunFilter {
        without_continued: true,
        ..RunFilter::default()
    });
    assert_eq!(listed.unwrap().len(), 1);
    let records = stage.journal.all_records(&run_id(2)).unwrap();
    let Entry::Started(started) = &records[0].entry else {
        panic!("{records:?}")
    };
    assert_eq!((records[0].seq, records[0].at), (Seq(0), at(50)));
    assert_eq!(
        (&started.input, &started.continues),
        (&json("{\"seen\":7}"), &Some(first))
    );
}

fn what_lies_in_the_mailbox_goes_along_but_for_what_names_a_call(stage: &Stage) {
    let first = launch(stage, "nightly");
    let mut writer = stage.take(&first, "worker");
    let question = Local::OpenWait {
        number: Number(3),
        wait: Wait::Question(SignalName::parse("publish").unwrap()),
        deadline: None,
    };
    append(&mut writer, [Write::Local(question)]).unwrap();
    let event = Command::Event {
        name: SignalName::parse("go").unwrap(),
        value: json("1"),
        by: None,
    };
    let answer = Command::Answer {
        number: Number(3),
        value: json("true"),
        by: None,
    };
    let cancel = Command::Cancel { reason: None };
    for command in [&event, &answer, &cancel] {
        stage.journal.post_mail(&first, at(2), command).unwrap();
    }
    append(&mut writer, go_on(stage, &first, 2, false)).unwrap();
    let commands = |run: &RunId| -> Vec<Command> {
        let mail = stage.journal.mail(run).unwrap();
        mail.into_iter().map(|mail| mail.command).collect()
    };
    assert_eq!(commands(&run_id(2)), [event, cancel]);
    assert_eq!(commands(&first), []);
}

fn one_that_goes_on_from_a_paused_run_is_paused(stage: &Stage) {
    let first = launch(stage, "nightly");
    append(&mut stage.take(&first, "worker"), go_on(stage, &first, 2, true)).unwrap();
    assert_eq!(stage.journal.run(&run_id(2)).unwrap().status, Status::Paused);
}

fn a_continuation_that_is_refused_makes_no_run(stage: &Stage) {
    let first = launch(stage, "nightly");
    let mut fenced = stage.take(&first, "worker");
    stage.claim(&first, "another");
    let refused = append(&mut fenced, go_on(stage, &first, 2, false));
    assert!(matches!(refused, Err(AppendError::Fenced { .. })), "{refused:?}");
    assert!(stage.journal.run(&run_id(2)).is_err());
    assert_eq!(stage.journal.find_run("nightly").unwrap(), first);
}
