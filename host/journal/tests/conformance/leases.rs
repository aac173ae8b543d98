//! Leases.

use std::sync::Arc;

use skillhost_core::id::{Epoch, Seq};
use skillhost_core::lease::Lease;
use skillhost_journal::Taken;

use crate::support::{Stage, append, called, done, entry, json, worker};

stories! {
    l1_a_lease_is_taken_as_it_was_seen_or_not_at_all,
    l1_of_many_who_saw_the_same_lease_one_takes_it,
    l1_a_lease_that_was_given_back_is_free_and_keeps_its_epoch,
    l1_giving_back_a_lease_that_passed_on_changes_nothing,
    l1_a_lease_tells_where_the_journal_ended_when_it_was_taken,
    l1_the_end_of_a_run_gives_its_lease_back,
    l1_leases_are_taken_and_given_back_without_keeping_a_thread_waiting,
}

fn l1_the_end_of_a_run_gives_its_lease_back(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    assert!(stage.journal.lease(&run).unwrap().holder.is_some());
    append(&mut writer, [entry(1, done())]).unwrap();
    let free = Lease {
        holder: None,
        epoch: Epoch(1),
    };
    assert_eq!(stage.journal.lease(&run).unwrap(), free);
}

fn l1_leases_are_taken_and_given_back_without_keeping_a_thread_waiting(stage: &Stage) {
    let runs: Vec<_> = (1..=20).map(|n| stage.create(n)).collect();
    let free = stage.journal.lease(&runs[0]).unwrap();
    let claims = runs.iter().map(|run| stage.journal.claiming(run, &worker("a"), &free));
    let taken = futures::executor::block_on(futures::future::join_all(claims));
    assert!(taken.into_iter().all(|taken| taken.unwrap() == Taken::At(Epoch(1))));
    let late = stage.journal.claiming(&runs[0], &worker("b"), &free);
    assert!(matches!(futures::executor::block_on(late).unwrap(), Taken::Changed(_)));
    // Asked for by the call, so that nothing is left held where nobody polls.
    drop(stage.journal.releasing(&runs[0], Epoch(1)));
    futures::executor::block_on(stage.journal.releasing(&runs[1], Epoch(1))).unwrap();
    for run in &runs[..2] {
        assert_eq!(stage.journal.lease(run).unwrap().holder, None);
    }
}

fn l1_a_lease_tells_where_the_journal_ended_when_it_was_taken(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    assert_eq!(stage.journal.run(&run).unwrap().held_from, Seq(1));
    append(&mut writer, [entry(1, called(0, json("1")))]).unwrap();
    assert_eq!(stage.journal.run(&run).unwrap().held_from, Seq(1));
    stage.claim(&run, "other");
    assert_eq!(stage.journal.run(&run).unwrap().held_from, Seq(2));
}

fn l1_a_lease_is_taken_as_it_was_seen_or_not_at_all(stage: &Stage) {
    let run = stage.create(1);
    let seen = stage.journal.lease(&run).unwrap();
    assert_eq!(
        seen,
        Lease {
            holder: None,
            epoch: Epoch(0)
        }
    );
    assert_eq!(
        stage.journal.claim(&run, &worker("a"), &seen).unwrap(),
        Taken::At(Epoch(1))
    );
    let held = Lease {
        holder: Some(worker("a")),
        epoch: Epoch(1),
    };
    assert_eq!(
        stage.journal.claim(&run, &worker("b"), &seen).unwrap(),
        Taken::Changed(held.clone())
    );
    assert_eq!(stage.journal.lease(&run).unwrap(), held);
    assert_eq!(stage.journal.run(&run).unwrap().lease(), held);
    assert_eq!(
        stage.journal.claim(&run, &worker("b"), &held).unwrap(),
        Taken::At(Epoch(2))
    );
}

fn l1_of_many_who_saw_the_same_lease_one_takes_it(stage: &Stage) {
    let run = stage.create(1);
    let seen = stage.journal.lease(&run).unwrap();
    let taken = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..16)
            .map(|n| {
                let (journal, run, seen) = (Arc::clone(&stage.journal), &run, &seen);
                scope.spawn(move || journal.claim(run, &worker(&format!("w{n}")), seen).unwrap())
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .filter(|taken| matches!(taken, Taken::At(_)))
            .count()
    });
    assert_eq!(taken, 1);
}

fn l1_a_lease_that_was_given_back_is_free_and_keeps_its_epoch(stage: &Stage) {
    let (run, mut writer) = stage.run(1);
    writer.append(vec![entry(1, called(0, json("1")))]).unwrap();
    stage.journal.release(&run, Epoch(1)).unwrap();
    assert_eq!(
        stage.journal.run(&run).unwrap().entries,
        2,
        "what was appended before is durable"
    );
    let free = Lease {
        holder: None,
        epoch: Epoch(1),
    };
    assert_eq!(stage.journal.lease(&run).unwrap(), free);
}

fn l1_giving_back_a_lease_that_passed_on_changes_nothing(stage: &Stage) {
    let (run, _former) = stage.run(1);
    let mut present = stage.take(&run, "other");
    stage.journal.release(&run, Epoch(1)).unwrap();
    assert_eq!(stage.journal.lease(&run).unwrap().holder, Some(worker("other")));
    append(&mut present, [entry(1, called(0, json("1")))]).unwrap();
}
