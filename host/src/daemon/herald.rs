//! Tells of runs that ended or need somebody: writes the inbox file, and passes notices on.
//!
//! What is to be told is noted when it is seen, and looked up in the journal a little later: so it is durable (rule J2), and a burst of runs is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use skillhost_core::calls::signals::Question;
use skillhost_core::entry::Entry;
use skillhost_core::id::{Number, RunId, Seq};
use skillhost_core::machine::{Status, Wait};
use skillhost_journal::{Journal, JournalError, RunRow};
use tokio::sync::Notify;

use super::lock;
use crate::home::Home;
use crate::inbox_file;
use crate::notify::{Notice, Notifier};
use crate::zone;

/// How long telling may be behind.
const BEHIND_MAX: Duration = Duration::from_millis(500);

/// Tells of runs.
pub(super) struct Herald {
    home: Home,
    /// Gone when the daemon ends.
    notifier: Mutex<Option<Notifier>>,
    seen: Mutex<BTreeMap<RunId, Sight>>,
    noted: Notify,
    /// Of runs that are driven.
    told: Mutex<BTreeMap<RunId, Told>>,
}

/// What was told of a run already.
#[derive(Default)]
struct Told {
    /// The calls that wait for somebody.
    calls: BTreeSet<Number>,
    /// It is no longer driven, and goes from here when what was noted of it is told.
    gone: bool,
}

/// What was seen of a run that may have to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sight {
    /// It only waits.
    Waits,
    /// It is parked.
    Parked,
    /// It is over.
    Ended,
}

impl Herald {
    pub(super) fn new(home: &Home, notifier: Notifier) -> Self {
        Self {
            notifier: Mutex::new(Some(notifier)),
            ..Self::silent(home)
        }
    }

    /// Makes one that passes no notice on.
    pub(super) fn silent(home: &Home) -> Self {
        Self {
            home: home.clone(),
            notifier: Mutex::default(),
            seen: Mutex::default(),
            noted: Notify::new(),
            told: Mutex::default(),
        }
    }

    /// Notes that a run is driven from now on, and which of its calls wait for somebody who was told, as far as the journal shows:
    /// it does not show what is noted and still to be told.
    pub(super) fn attend(&self, run: &RunId, calls: BTreeSet<Number>) {
        let mut told = lock(&self.told);
        let told = told.entry(run.clone()).or_insert_with(|| Told { calls, gone: false });
        told.gone = false;
    }

    /// Notes that a run is no longer driven. Nothing is kept of it, as there may be any number.
    pub(super) fn let_go(&self, run: &RunId) {
        let is_noted = lock(&self.seen).contains_key(run);
        let mut told = lock(&self.told);
        match told.get_mut(run) {
            Some(told) if is_noted => told.gone = true,
            _ => drop(told.remove(run)),
        }
    }

    /// Notes what was seen of a run.
    pub(super) fn note(&self, run: &RunId, sight: Sight) {
        let mut seen = lock(&self.seen);
        let noted = seen.entry(run.clone()).or_insert(sight);
        *noted = sight.max(*noted);
        drop(seen);
        self.noted.notify_one();
    }

    /// Tells what is noted, for ever. `is_watched` says whether somebody looks at a run anyway.
    pub(super) async fn tell_on(&self, journal: &dyn Journal, is_watched: impl Fn(&RunId) -> bool) {
        loop {
            self.noted.notified().await;
            tokio::time::sleep(BEHIND_MAX).await;
            self.tell(journal, &is_watched);
        }
    }

    /// Tells what is noted.
    pub(super) fn tell(&self, journal: &dyn Journal, is_watched: impl Fn(&RunId) -> bool) {
        let seen = self.take();
        if let Err(error) = inbox_file::refresh(&self.home, journal, &zone::of_user()) {
            tracing::error!("{error}");
        }
        for (run, sight, told) in seen {
            match self.notices(journal, &run, sight, &told) {
                Ok(notices) => notices.into_iter().for_each(|mut notice| {
                    notice.desktop = !is_watched(&run);
                    if let Some(notifier) = &*lock(&self.notifier) {
                        notifier.tell(notice);
                    }
                }),
                Err(error) => tracing::error!(%run, "could not be told of: {error}"),
            }
        }
    }

    /// Takes what is noted, with the calls of each run that were told of.
    fn take(&self) -> Vec<(RunId, Sight, BTreeSet<Number>)> {
        let mut seen = lock(&self.seen);
        let mut told = lock(&self.told);
        let take = |(run, sight): (RunId, Sight)| {
            let calls = match told.get(&run) {
                Some(of_run) if of_run.gone => told.remove(&run).unwrap_or_default().calls,
                Some(of_run) => of_run.calls.clone(),
                None => BTreeSet::new(),
            };
            (run, sight, calls)
        };
        std::mem::take(&mut *seen).into_iter().map(take).collect()
    }

    /// Says that nothing more will be told.
    pub(super) fn close(&self) {
        lock(&self.notifier).take();
    }

    fn notices(
        &self,
        journal: &dyn Journal,
        run: &RunId,
        sight: Sight,
        told: &BTreeSet<Number>,
    ) -> Result<Vec<Notice>, JournalError> {
        let row = journal.run(run)?;
        if sight == Sight::Ended {
            // What goes on in a new run has no end.
            let is_news = !row.silent && row.status != Status::Continued && !is_called(journal, &row)?;
            return Ok(Vec::from_iter(is_news.then(|| Notice::ended(&row))));
        }
        if row.silent {
            return Ok(Vec::new());
        }
        let mut notices: Vec<Notice> = Notice::parked(&row)
            .into_iter()
            .filter(|_| sight == Sight::Parked)
            .collect();
        let waits = journal.waits(run)?;
        if let Some(of_run) = lock(&self.told).get_mut(run) {
            of_run.calls = waits.iter().map(|wait| wait.number).collect();
        }
        let new = waits.into_iter().filter(|wait| !told.contains(&wait.number));
        for wait in new {
            match wait.wait {
                Wait::Decision => notices.push(Notice::decision(&row, wait.number)),
                Wait::Question(_) => {
                    let question = question(journal, run, wait.number)?;
                    notices.extend(question.map(|question| Notice::asks(&row, wait.number, &question)));
                }
                Wait::Timer | Wait::Event(_) | Wait::Skill(_) => {}
            }
        }
        Ok(notices)
    }
}

/// Returns whether a run was launched for a call of another: its end is news for that one alone.
fn is_called(journal: &dyn Journal, row: &RunRow) -> Result<bool, JournalError> {
    // Whoever launches may give such an id, but it has to have such a one.
    if !row.launch.may_be_of_call() {
        return Ok(false);
    }
    let records = journal.records(&row.run, Seq(0), 1)?;
    let first = records.first().map(|record| &record.entry);
    Ok(matches!(first, Some(Entry::Started(started)) if started.caller.is_some()))
}

fn question(journal: &dyn Journal, run: &RunId, number: Number) -> Result<Option<Question>, JournalError> {
    let mut calls = journal.calls(run, &[number].into())?;
    Ok(calls.remove(&number).and_then(|called| called.request.read().ok()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::env::Environment;

    const RUN: &str = "01jd3k6v8m4t9qwertzuiopas1";

    /// Returns the calls that were told of already when what is noted is told.
    fn told(herald: &Herald) -> Vec<BTreeSet<Number>> {
        herald.take().into_iter().map(|(_, _, told)| told).collect()
    }

    #[test]
    fn what_is_still_to_be_told_is_not_taken_for_told_when_its_run_comes_back() {
        let home = Home::find(&Environment::current()).unwrap();
        let (herald, run) = (Herald::silent(&home), RunId::parse(RUN).unwrap());
        let question = BTreeSet::from([Number(3)]);
        herald.attend(&run, BTreeSet::new());
        herald.note(&run, Sight::Waits);
        // Somebody rang, before it has left and after.
        herald.attend(&run, question.clone());
        herald.let_go(&run);
        herald.attend(&run, question.clone());
        assert_eq!(told(&herald), [BTreeSet::new()]);
        herald.let_go(&run);
        // What nothing is noted of is as the journal shows it.
        herald.attend(&run, question.clone());
        herald.note(&run, Sight::Waits);
        assert_eq!(told(&herald), [question]);
    }
}
