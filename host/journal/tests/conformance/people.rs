//! What people and other processes see and leave: waits, the mailbox, the inbox.

use skillhost_core::budget::Cost;
use skillhost_core::entry::Started;
use skillhost_core::id::{LaunchId, MailId, Number, RunId, SignalName};
use skillhost_core::machine::{Command, Decision, Local, Source, Status, Wait, Write};
use skillhost_core::outcome::Outcome;
use skillhost_core::time::Timestamp;
use skillhost_journal::{DueRun, InboxFilter, InboxId, JournalError, NewRun};

use crate::support::{Stage, append, at, call, done, entry, json, run_id};
use skillhost_core::effect::Function;

stories! {
    p1_mail_is_kept_until_the_holder_takes_it,
    p1_mail_for_a_run_that_is_over_or_unknown_is_refused,
    p1_new_mail_is_found_run_by_run,
    p2_of_many_answers_one_is_taken,
    p2_an_answer_to_what_is_not_open_is_refused,
    p2_an_answer_that_comes_too_late_is_refused,
    p2_a_decision_is_taken_once_and_only_where_one_is_asked_for,
    p1_the_version_changes_with_what_others_commit,
    a_message_is_posted_once_for_each_source,
    what_was_dismissed_stays_away_and_is_not_posted_again,
    a_question_leaves_the_inbox_when_its_wait_is_closed,
    a_decision_that_is_due_again_is_shown_again,
    waits_are_listed_until_they_are_closed,
    the_end_of_a_run_closes_its_waits_and_questions,
    runs_that_wait_for_a_time_are_found_when_it_has_come,
    k1_a_skill_that_is_over_answers_its_caller_beside_its_last_entry,
    k1_what_a_caller_launched_is_cancelled_wherever_it_goes_on_and_once,
}

fn p1_mail_is_kept_until_the_holder_takes_it(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    append(&mut writer, [open(3, Wait::Decision, None)]).unwrap();
    let commands = [
        Command::Event {
            name: SignalName::parse("go").unwrap(),
            value: json("{ \"spaces\" :  1.0 }"),
            by: None,
        },
        Command::Decide {
            number: Number(3),
            decision: Decision::Answer(json("null")),
            by: Some("ada".to_owned()),
        },
        Command::Cancel { reason: None },
        Command::Pause { by: None },
        Command::Resume {
            by: Some("ada".to_owned()),
        },
        remark(),
    ];
    let ids: Vec<_> = commands
        .iter()
        .map(|command| stage.journal.post_mail(&run, at(1), command).unwrap())
        .collect();
    let mail = stage.journal.mail(&run).unwrap();
    assert_eq!(mail.iter().map(|mail| mail.id).collect::<Vec<_>>(), ids);
    assert!(mail.iter().all(|mail| mail.at == at(1)));
    assert_eq!(
        mail.iter().map(|mail| &mail.command).collect::<Vec<_>>(),
        commands.iter().collect::<Vec<_>>()
    );

    append(
        &mut writer,
        [
            Write::Local(Local::TakeMail(ids[0])),
            Write::Local(Local::TakeMail(ids[2])),
        ],
    )
    .unwrap();
    assert_eq!(stage.journal.mail(&run).unwrap().len(), 4);
    let next = stage.journal.post_mail(&run, at(2), &commands[2]).unwrap();
    assert!(next > ids[5], "ids are not used again");
}

fn p1_mail_for_a_run_that_is_over_or_unknown_is_refused(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    append(&mut writer, [entry(1, done())]).unwrap();
    let cancel = Command::Cancel { reason: None };
    let over = stage.journal.post_mail(&run, at(1), &cancel).unwrap_err();
    assert_eq!(over.to_string(), format!("run `{run}` is over (done)"));
    let unknown = stage.journal.post_mail(&run_id(2), at(1), &cancel);
    assert!(matches!(unknown, Err(JournalError::UnknownRun { .. })));
}

fn p1_new_mail_is_found_run_by_run(stage: &Stage) {
    let runs = [1, 2, 3].map(|n| stage.create(n));
    let note = |run| stage.journal.post_mail(run, at(1), &remark()).unwrap();
    let (first, second, third) = (note(&runs[0]), note(&runs[1]), note(&runs[0]));
    let since = |after| stage.journal.mail_since(after).unwrap();
    let both = [(runs[1].clone(), second), (runs[0].clone(), third)];
    assert_eq!(since(MailId(0)), both);
    assert_eq!(since(first), both);
    assert_eq!(since(second), both[1..]);
    assert_eq!(since(third), []);
}

fn p2_of_many_answers_one_is_taken(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    append(
        &mut writer,
        [open(0, question(), None), open(1, question(), Some(at(9)))],
    )
    .unwrap();
    let accepted = std::thread::scope(|scope| {
        let people: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| stage.journal.post_mail(&run, at(1), &answer(0)).is_ok()))
            .collect();
        let fates = people.into_iter().map(|person| person.join().unwrap());
        fates.filter(|accepted| *accepted).count()
    });
    assert_eq!(accepted, 1);
    let late = stage.journal.post_mail(&run, at(1), &answer(0)).unwrap_err();
    assert_eq!(
        late.to_string(),
        format!("question #0 of run `{run}` was answered already")
    );
    stage.journal.post_mail(&run, at(8), &answer(1)).unwrap();
    assert_eq!(stage.journal.mail(&run).unwrap().len(), 2);
}

fn p2_an_answer_to_what_is_not_open_is_refused(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let event = Wait::Event(SignalName::parse("publish").unwrap());
    let waits = [
        open(0, question(), None),
        open(1, event, None),
        open(2, Wait::Decision, None),
    ];
    append(&mut writer, waits.into_iter().chain([close(0)])).unwrap();
    for number in 0..4 {
        let refused = stage.journal.post_mail(&run, at(1), &answer(number)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("run `{run}` has no open question #{number}")
        );
    }
    assert_eq!(stage.journal.mail(&run).unwrap(), []);
}

fn p2_an_answer_that_comes_too_late_is_refused(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    append(&mut writer, [open(0, question(), Some(at(9)))]).unwrap();
    for late in [at(9), at(10)] {
        let refused = stage.journal.post_mail(&run, late, &answer(0));
        assert!(matches!(refused, Err(JournalError::QuestionClosed { .. })));
    }
    stage
        .journal
        .post_mail(&run, Timestamp(at(9).0 - 1), &answer(0))
        .unwrap();
}

fn p2_a_decision_is_taken_once_and_only_where_one_is_asked_for(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    append(&mut writer, [open(0, question(), None), open(1, Wait::Decision, None)]).unwrap();
    let decide = |number| Command::Decide {
        number: Number(number),
        decision: Decision::Redo,
        by: None,
    };
    let refused = stage.journal.post_mail(&run, at(1), &decide(0));
    assert!(matches!(
        refused,
        Err(JournalError::QuestionClosed { number: Number(0), .. })
    ));
    stage.journal.post_mail(&run, at(1), &decide(1)).unwrap();
    let second = stage.journal.post_mail(&run, at(1), &decide(1));
    assert!(matches!(second, Err(JournalError::Answered { number: Number(1), .. })));
}

fn question() -> Wait {
    Wait::Question(SignalName::parse("publish").unwrap())
}

fn answer(number: u64) -> Command {
    Command::Answer {
        number: Number(number),
        value: json("true"),
        by: None,
    }
}

fn remark() -> Command {
    Command::Note {
        message: "the build is green again".to_owned(),
        by: Some("ada".to_owned()),
    }
}

fn p1_the_version_changes_with_what_others_commit(stage: &Stage) {
    let run = stage.create(1);
    let before = stage.journal.data_version().unwrap();
    assert_eq!(stage.journal.data_version().unwrap(), before);
    stage
        .journal
        .post_mail(&run, at(1), &Command::Cancel { reason: None })
        .unwrap();
    assert_ne!(stage.journal.data_version().unwrap(), before);
}

fn post(source: Source, title: &str) -> Write {
    Write::Local(Local::Post {
        source,
        at: at(5),
        title: title.to_owned(),
        body: "two\nlines".to_owned(),
        attachments: vec!["run/report.md".to_owned()],
    })
}

fn titles(stage: &Stage, filter: &InboxFilter) -> Vec<String> {
    stage
        .journal
        .inbox(filter)
        .unwrap()
        .into_iter()
        .map(|row| row.title)
        .collect()
}

fn a_message_is_posted_once_for_each_source(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let (other, mut other_writer) = stage.run(2);
    let first = Source::Message(Number(0));
    append(
        &mut writer,
        [
            post(first, "first"),
            post(first, "again"),
            post(Source::Finished, "second"),
        ],
    )
    .unwrap();
    append(&mut other_writer, [post(first, "third")]).unwrap();
    append(&mut writer, [post(first, "once more")]).unwrap();
    assert_eq!(titles(stage, &InboxFilter::default()), ["third", "second", "first"]);
    let of_other = InboxFilter {
        run: Some(other),
        ..InboxFilter::default()
    };
    assert_eq!(titles(stage, &of_other), ["third"]);
    let most = Some(2);
    let rows = stage
        .journal
        .inbox(&InboxFilter {
            most,
            ..InboxFilter::default()
        })
        .unwrap();
    assert_eq!(rows.len(), 2);
    let row = &rows[1];
    assert_eq!(
        (&row.run, row.source, row.at, row.simulated),
        (&run, Source::Finished, at(5), true)
    );
    assert_eq!(
        (row.body.as_str(), row.attachments.as_slice()),
        ("two\nlines", &["run/report.md".to_owned()][..])
    );
}

fn what_was_dismissed_stays_away_and_is_not_posted_again(stage: &Stage) {
    let (_, mut writer) = stage.run(1);
    let sources = [Source::Message(Number(0)), Source::Message(Number(1)), Source::Finished];
    append(&mut writer, sources.map(|source| post(source, "news"))).unwrap();
    let ids: Vec<InboxId> = stage
        .journal
        .inbox(&InboxFilter::default())
        .unwrap()
        .iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(stage.journal.dismiss(Some(&ids[..1]), at(9)).unwrap(), 1);
    assert_eq!(stage.journal.dismiss(Some(&[ids[0], InboxId(99)]), at(9)).unwrap(), 0);
    assert_eq!(titles(stage, &InboxFilter::default()).len(), 2);
    assert_eq!(stage.journal.dismiss(None, at(10)).unwrap(), 2);
    append(&mut writer, sources.map(|source| post(source, "news"))).unwrap();
    assert!(titles(stage, &InboxFilter::default()).is_empty());
    let all = InboxFilter {
        dismissed: true,
        ..InboxFilter::default()
    };
    assert_eq!(stage.journal.inbox(&all).unwrap()[0].dismissed_at, Some(at(9)));
}

fn open(number: u64, wait: Wait, deadline: Option<Timestamp>) -> Write {
    Write::Local(Local::OpenWait {
        number: Number(number),
        wait,
        deadline,
    })
}

fn close(number: u64) -> Write {
    Write::Local(Local::CloseWait { number: Number(number) })
}

fn a_question_leaves_the_inbox_when_its_wait_is_closed(stage: &Stage) {
    let (_, mut writer) = stage.run(1);
    let asked = [open(0, question(), None), post(Source::Question(Number(0)), "Publish?")];
    append(
        &mut writer,
        asked.into_iter().chain([post(Source::Message(Number(0)), "stays")]),
    )
    .unwrap();
    assert_eq!(titles(stage, &InboxFilter::default()), ["stays", "Publish?"]);
    append(&mut writer, [close(0), close(7)]).unwrap();
    assert_eq!(titles(stage, &InboxFilter::default()), ["stays"]);
}

fn a_decision_that_is_due_again_is_shown_again(stage: &Stage) {
    let (_, mut writer) = stage.run(1);
    let parked = || {
        [
            open(0, Wait::Decision, None),
            post(Source::Decision(Number(0)), "Redo?"),
        ]
    };
    append(&mut writer, parked()).unwrap();
    append(&mut writer, [close(0)]).unwrap();
    append(&mut writer, parked()).unwrap();
    assert_eq!(titles(stage, &InboxFilter::default()), ["Redo?"]);
}

fn waits_are_listed_until_they_are_closed(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let event = Wait::Event(SignalName::parse("go").unwrap());
    append(
        &mut writer,
        [
            open(10, event.clone(), None),
            open(2, Wait::Timer, Some(at(7))),
            open(2, Wait::Timer, Some(at(8))),
        ],
    )
    .unwrap();
    let waits = stage.journal.waits(&run).unwrap();
    let listed: Vec<_> = waits
        .into_iter()
        .map(|row| (row.number.0, row.wait, row.deadline))
        .collect();
    assert_eq!(listed, [(2, Wait::Timer, Some(at(8))), (10, event, None)]);
    append(&mut writer, [close(2)]).unwrap();
    assert_eq!(stage.journal.waits(&run).unwrap().len(), 1);
}

fn the_end_of_a_run_closes_its_waits_and_questions(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    let sleep = entry(1, call(0, Function::CLOCK_SLEEP, json("{\"duration_ns\":1}")));
    append(
        &mut writer,
        [sleep, open(0, Wait::Timer, Some(at(7))), open(1, question(), None)],
    )
    .unwrap();
    append(
        &mut writer,
        [
            post(Source::Question(Number(1)), "Publish?"),
            entry(2, done()),
            post(Source::Finished, "over"),
        ],
    )
    .unwrap();
    assert!(stage.journal.waits(&run).unwrap().is_empty());
    assert_eq!(titles(stage, &InboxFilter::default()), ["over"]);
    assert_eq!(stage.journal.next_deadline(at(0)).unwrap(), None);
}

fn runs_that_wait_for_a_time_are_found_when_it_has_come(stage: &Stage) {
    assert_eq!(stage.journal.next_deadline(at(0)).unwrap(), None);
    let deadlines = [(1, 30), (2, 10), (3, 20)];
    for (n, seconds) in deadlines {
        let (_, mut writer) = stage.run(n);
        let waiting = Write::Local(Local::SetStatus(Status::Waiting));
        append(
            &mut writer,
            [
                open(0, Wait::Timer, Some(at(seconds))),
                open(1, Wait::Timer, Some(at(99))),
                waiting,
            ],
        )
        .unwrap();
    }
    let (_, mut writer) = stage.run(4);
    append(&mut writer, [open(0, Wait::Timer, Some(Timestamp(u64::MAX)))]).unwrap();
    assert_eq!(stage.journal.next_deadline(at(0)).unwrap(), Some(at(10)));
    assert_eq!(stage.journal.next_deadline(at(10)).unwrap(), Some(at(20)));
    assert_eq!(stage.journal.next_deadline(at(30)).unwrap(), Some(at(99)));
    let due = |n: u64, seconds| DueRun {
        run: run_id(n),
        deadline: at(seconds),
        status: Status::Waiting,
    };
    assert_eq!(stage.journal.due(at(9)).unwrap(), []);
    assert_eq!(stage.journal.due(at(20)).unwrap(), [due(2, 10), due(3, 20)]);
}

fn answer_caller(caller: &RunId, text: &str) -> Write {
    Write::Local(Local::AnswerCaller {
        run: caller.clone(),
        number: Number(3),
        at: at(7),
        outcome: Outcome::Ok(json(text)),
        spent: Cost {
            calls: 2,
            tokens: 70,
            microdollars: 0,
        },
    })
}

fn k1_a_skill_that_is_over_answers_its_caller_beside_its_last_entry(stage: &Stage) {
    let (caller, mut waiting) = stage.run(1);
    let (_, mut child) = stage.run(2);
    append(&mut child, [entry(1, done()), answer_caller(&caller, "1")]).unwrap();
    let mail = stage.journal.mail(&caller).unwrap();
    let [mail] = mail.as_slice() else {
        panic!("one answer: {mail:?}")
    };
    let Command::Child { number, outcome, spent } = &mail.command else {
        panic!("{mail:?}")
    };
    assert_eq!((number.0, outcome, spent.tokens), (3, &Outcome::Ok(json("1")), 70));
    assert_eq!(mail.at, at(7));
    // A caller that is over is told nothing, and neither is one that is gone.
    append(&mut waiting, [entry(1, done())]).unwrap();
    let (_, mut late) = stage.run(3);
    append(
        &mut late,
        [
            entry(1, done()),
            answer_caller(&caller, "2"),
            answer_caller(&run_id(99), "3"),
        ],
    )
    .unwrap();
    assert_eq!(stage.journal.mail(&caller).unwrap().len(), 1);
}

fn k1_what_a_caller_launched_is_cancelled_wherever_it_goes_on_and_once(stage: &Stage) {
    let (caller, mut writer) = stage.run(1);
    let started = Started {
        launch: LaunchId::of_call(&caller, Number(3)),
        ..stage.started(2)
    };
    let child = started.run.clone();
    stage.journal.create_run(NewRun::first(started, at(2), None)).unwrap();
    let cancel = |number| {
        Write::Local(Local::CancelChild {
            number: Number(number),
            at: at(5),
        })
    };
    append(&mut writer, [cancel(3), cancel(3), cancel(4)]).unwrap();
    append(&mut writer, [cancel(3)]).unwrap();
    let mail = stage.journal.mail(&child).unwrap();
    assert_eq!(mail.len(), 1, "{mail:?}");
    assert!(matches!(&mail[0].command, Command::Cancel { reason: Some(reason) } if reason.contains(caller.as_str())));
    assert!(stage.journal.mail(&caller).unwrap().is_empty());
}
