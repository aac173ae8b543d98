//! Holds what is recorded to the promises: after every step what was added, and at the end everything.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use serde_json::{Value, json};
use skillhost::driver::{Player, Replayed, next_input, replay_with};
use skillhost_core::budget::{Cost, DayAccount};
use skillhost_core::effect::Kind;
use skillhost_core::entry::{By, Caller, Entry, How, Record};
use skillhost_core::id::{Epoch, Number, RunId, WorkerId};
use skillhost_core::machine::{Act, Command, Delivery, Slice, Source, Status};
use skillhost_core::outcome::{Fault, Outcome};
use skillhost_journal::{InboxFilter, Journal as _, RunRow};

use crate::outside::{UNREADY, guest};
use crate::people::{People, skill};
use crate::program::{Guest, Program};
use crate::sim::Sim;

/// What was seen of every journal so far.
#[derive(Default)]
pub(crate) struct Checker {
    version: Option<u64>,
    seen: BTreeMap<RunId, Vec<Record>>,
    /// Who held each run at each epoch.
    holders: BTreeMap<(RunId, Epoch), WorkerId>,
    /// The runs that are over.
    over: BTreeSet<RunId>,
    /// The runs that somebody wanted to be cancelled.
    told: BTreeSet<RunId>,
}

impl Checker {
    /// Looks at what was added since the last look; `false` if nothing was.
    pub(crate) fn look(&mut self, sim: &Sim, people: &People) -> bool {
        let version = sim.store().data_version().ok();
        if self.version == version {
            return false;
        }
        self.version = version;
        let rows = people.rows();
        for row in &rows {
            if let Err(broken) = self.look_at(sim, row) {
                sim.violate(format!("run {}: {broken}", row.run));
            }
        }
        let is_told = |row: &&RunRow| {
            let mail = sim.store().mail(&row.run).unwrap_or_default();
            mail.iter().any(|mail| matches!(mail.command, Command::Cancel { .. }))
        };
        let told = rows.iter().filter(is_told).map(|row| row.run.clone());
        self.told.extend(told);
        for row in &rows {
            let is_over = row.status.is_final() && self.over.insert(row.run.clone());
            let broken = match is_over || rests(row) {
                true => self.leaves_no_child(sim, &rows, row).err(),
                false => None,
            };
            if let Some(broken) = broken {
                sim.violate(format!("run {}: {broken}", row.run));
            }
        }
        true
    }

    /// G5, K1: what a run called and does not want any more is over, or was told so: when it is over itself, and when it has done all that there is to do until somebody else does
    /// something.
    fn leaves_no_child(&self, sim: &Sim, rows: &[RunRow], caller: &RunRow) -> Result<(), String> {
        let mut going_on = called_by(rows, &self.seen, &caller.run).filter(|child| !self.is_let_go(child));
        let Some(first) = going_on.next() else { return Ok(()) };
        let told = |child: &RunRow| {
            format!(
                "k1: it is {:?}, and run {}, which it called and does not want, is {:?} and goes on",
                caller.status, child.run, child.status
            )
        };
        if caller.status.is_final() {
            return Err(told(first));
        }
        let records = self.seen.get(&caller.run).map_or(&[][..], Vec::as_slice);
        let dropped = dropped(sim, caller, records)?;
        let number = |child: &RunRow| caller_of(&self.seen, &child.run).map(|caller| caller.number);
        let mut children = std::iter::once(first).chain(going_on);
        match children.find(|child| number(child).is_some_and(|number| dropped.contains(&number))) {
            Some(child) => Err(told(child)),
            None => Ok(()),
        }
    }

    /// Returns whether a run that was called is over, or was told that nobody waits for it. One that was about to end takes no more notice of that.
    fn is_let_go(&self, child: &RunRow) -> bool {
        let records = self.seen.get(&child.run).map_or(&[][..], Vec::as_slice);
        let is_cancelled = records
            .iter()
            .any(|record| matches!(record.entry, Entry::Cancelled { .. }));
        child.status.is_final() || is_cancelled || self.told.contains(&child.run)
    }

    fn look_at(&mut self, sim: &Sim, row: &RunRow) -> Result<(), String> {
        if let Some(holder) = &row.holder {
            let first = self
                .holders
                .entry((row.run.clone(), row.epoch))
                .or_insert_with(|| holder.clone());
            if first != holder {
                return Err(format!("l1: `{first}` and `{holder}` held it at epoch {}", row.epoch));
            }
        }
        if let Some(trouble) = &row.trouble {
            let is_expected = match trouble.code.as_str() {
                "attempt_failed" => trouble.message.contains(UNREADY),
                code => EXPECTED.contains(&code),
            };
            if !is_expected {
                return Err(format!("it is parked: {} {}", trouble.code, trouble.message));
            }
        }
        is_somebodys(sim, row)?;
        let seen = self.seen.entry(row.run.clone()).or_default();
        if row.entries < seen.len() as u64 {
            return Err(format!("it had {} entries and has {}", seen.len(), row.entries));
        }
        if row.entries == seen.len() as u64 {
            return Ok(());
        }
        let records = sim.store().all_records(&row.run).map_err(|error| error.to_string())?;
        if records[..seen.len()] != seen[..] {
            return Err("an entry was changed".to_owned());
        }
        for record in &records[seen.len()..] {
            sim.note(|| format!("run {} {} {:?}", row.run, record.seq, record.entry));
        }
        for (place, record) in records.iter().enumerate().skip(seen.len()) {
            if record.seq.0 != place as u64 {
                return Err(format!("entry {} is at place {place}", record.seq));
            }
            may_follow(&records[..place], &record.entry)?;
        }
        for appended in sim.store().epochs(&row.run) {
            if appended.seq.0 >= seen.len() as u64 && appended.by != appended.at {
                return Err(format!(
                    "l1: entry {} is of epoch {}, and the run was held at {}",
                    appended.seq, appended.by, appended.at
                ));
            }
        }
        *seen = records;
        Ok(())
    }
}

/// Returns the runs that a run called, and what goes on in their place.
fn called_by<'a>(
    rows: &'a [RunRow],
    seen: &'a BTreeMap<RunId, Vec<Record>>,
    caller: &'a RunId,
) -> impl Iterator<Item = &'a RunRow> {
    rows.iter()
        .filter(move |row| caller_of(seen, &row.run).is_some_and(|of| of.run == *caller))
}

fn caller_of<'a>(seen: &'a BTreeMap<RunId, Vec<Record>>, run: &RunId) -> Option<&'a Caller> {
    match seen.get(run)?.first().map(|record| &record.entry) {
        Some(Entry::Started(started)) => started.caller.as_ref(),
        _ => None,
    }
}

/// A run that nobody holds, and that stands as one that waits, waits for something; else nobody would ever go on with it.
fn is_somebodys(sim: &Sim, row: &RunRow) -> Result<(), String> {
    let is_held = row.holder.as_ref().is_some_and(|holder| sim.is_there(holder));
    let nothing_waits = sim.store().waits(&row.run).is_ok_and(|waits| waits.is_empty());
    let no_mail = sim.store().mail(&row.run).is_ok_and(|mail| mail.is_empty());
    match rests(row) && !is_held && nothing_waits && no_mail {
        true => Err(format!("it is {:?} and waits for nothing", row.status)),
        false => Ok(()),
    }
}

/// Returns whether a run stands as one that has done all that there is to do until somebody else does something.
fn rests(row: &RunRow) -> bool {
    row.status == Status::Waiting || row.status == Status::Parked && row.trouble.is_none()
}

/// What attempts may fail with when what they touch does: storage, and the locks of others.
const EXPECTED: &[&str] = &["no_lock", "storage"];

/// Checks that an entry may follow those before it.
fn may_follow(before: &[Record], entry: &Entry) -> Result<(), String> {
    let entries = || before.iter().map(|record| &record.entry);
    if let Some(Entry::Finished(_)) = before.last().map(|record| &record.entry) {
        return Err("something follows its end".to_owned());
    }
    match entry {
        Entry::Called(called) => {
            let calls = entries().filter(|entry| matches!(entry, Entry::Called(_))).count();
            if called.number.0 != calls as u64 {
                return Err(format!("g1: call {} after {calls} calls", called.number));
            }
        }
        Entry::Returned(returned) => {
            let number = returned.number;
            if !entries().any(|entry| matches!(entry, Entry::Called(called) if called.number == number)) {
                return Err(format!("call {number} is answered and was not made"));
            }
            if entries().any(|entry| matches!(entry, Entry::Returned(other) if other.number == number)) {
                return Err(format!("call {number} is answered twice"));
            }
        }
        Entry::Cancelled { .. } if entries().any(|entry| matches!(entry, Entry::Cancelled { .. })) => {
            return Err("it is cancelled twice".to_owned());
        }
        _ => {}
    }
    Ok(())
}

/// Checks everything when all runs are over.
pub(crate) fn check_end(sim: &Sim, people: &People) {
    let mut events = BTreeSet::new();
    let rows = people.rows();
    for row in &rows {
        if let Err(broken) = check_run(sim, people, row, &mut events) {
            sim.violate(format!("at the end, run {}: {broken}", row.run));
        }
    }
    if let Err(broken) = check_calls(sim, &rows).and_then(|()| check_days(sim, &rows)) {
        sim.violate(format!("at the end: {broken}"));
    }
}

/// K1: each call of a skill launched one run at most, and was answered with what came of that.
fn check_calls(sim: &Sim, rows: &[RunRow]) -> Result<(), String> {
    let mut journals = BTreeMap::new();
    for row in rows {
        let records = sim.store().all_records(&row.run).map_err(|error| error.to_string())?;
        journals.insert(row.run.clone(), records);
    }
    let mut ends = BTreeMap::new();
    for row in rows {
        let Some(caller) = caller_of(&journals, &row.run) else {
            continue;
        };
        let call = (caller.run.clone(), caller.number);
        match journals[&row.run].last().map(|record| &record.entry) {
            Some(Entry::Finished(finished)) if matches!(finished.how, How::Continued(_)) => {}
            Some(Entry::Finished(finished)) => {
                if ends.insert(call, (&row.run, &finished.how)).is_some() {
                    return Err(format!("k1: call {} of run {} has two runs", caller.number, caller.run));
                }
            }
            _ => return Err(format!("run {} has no end", row.run)),
        }
    }
    for (caller, records) in &journals {
        let skill = |record: &Record| match &record.entry {
            Entry::Called(called) if called.function.kind() == Kind::Skill => Some(called.number),
            _ => None,
        };
        let called: BTreeSet<Number> = records.iter().filter_map(skill).collect();
        for record in records {
            let Entry::Returned(returned) = &record.entry else {
                continue;
            };
            if called.contains(&returned.number) {
                let end = ends.get(&(caller.clone(), returned.number));
                if !is_answer(&returned.outcome, end.copied()) {
                    return Err(format!(
                        "k1: call {} of run {caller} is answered {:?}, and what it called ended {end:?}",
                        returned.number, returned.outcome
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Returns whether a call of a skill was answered with what came of the run that was launched for it, or, if none was, that there is no such skill.
fn is_answer(answer: &Outcome, end: Option<(&RunId, &How)>) -> bool {
    let fault = match (answer, end) {
        (Outcome::Ok(answer), Some((_, How::Done(result)))) => return answer == result,
        (Outcome::Err(fault), _) => fault,
        (Outcome::Ok(_), _) => return false,
    };
    let (run, code, details, words) = match end {
        None => return fault.code == Fault::NOT_FOUND,
        Some((run, How::Failed(failure))) => (run, &*failure.code, &failure.details, &*failure.message),
        Some((run, How::Cancelled(_))) => (run, "cancelled", &None, "was cancelled"),
        Some((_, How::Done(_) | How::Continued(_))) => return false,
    };
    let details = details.as_ref().and_then(|details| details.read::<Value>().ok());
    let data = json!({"run": run, "code": code, "details": details});
    fault.code == Fault::FAILED && fault.data == Some(data) && fault.message.contains(words)
}

/// B1: what the runs of the skill spent is what the accounts of its days say, each performance counted once.
fn check_days(sim: &Sim, rows: &[RunRow]) -> Result<(), String> {
    let (mut of_runs, mut days) = (Cost::ZERO, BTreeSet::new());
    for row in rows {
        for record in sim.store().all_records(&row.run).map_err(|error| error.to_string())? {
            match record.entry {
                Entry::Called(called) => days.extend(called.reserved_day),
                Entry::Retried(retried) => days.extend(retried.reserved_day),
                Entry::Finished(finished) => of_runs = of_runs.plus(finished.spent),
                _ => {}
            }
        }
    }
    let mut of_days = Cost::ZERO;
    for day in days {
        let skill = skill();
        let spent = sim.store().day_spent(&DayAccount { skill, day });
        of_days = of_days.plus(spent.map_err(|error| error.to_string())?.spent);
    }
    match of_runs == of_days {
        true => Ok(()),
        false => Err(format!(
            "b1: the runs spent {of_runs:?}, and their days say {of_days:?}"
        )),
    }
}

fn check_run(sim: &Sim, people: &People, row: &RunRow, events: &mut BTreeSet<String>) -> Result<(), String> {
    let records = sim.store().all_records(&row.run).map_err(|error| error.to_string())?;
    replays(sim, row, &records)?;
    let mut answers = BTreeMap::new();
    for record in &records {
        if let Entry::Returned(returned) = &record.entry {
            answers.insert(returned.number, returned);
        }
    }
    let inbox = InboxFilter {
        run: Some(row.run.clone()),
        dismissed: true,
        ..InboxFilter::default()
    };
    let inbox = sim.store().inbox(&inbox).map_err(|error| error.to_string())?;
    let mut world = sim.world();
    let done = world.of(&row.run);
    for record in &records {
        let Entry::Called(called) = &record.entry else { continue };
        let number = called.number;
        let answer = answers.get(&number);
        let by_effect = answer
            .filter(|returned| returned.by == By::Effect)
            .map(|returned| &returned.outcome);
        let has_answered = |outcome: &Outcome| done.answers.get(&number).is_some_and(|all| all.contains(outcome));
        match called.function.kind() {
            Kind::Effect | Kind::FileChange { .. } => {
                if let Some(outcome) = by_effect
                    && !has_answered(outcome)
                {
                    return Err(format!("call {number} is answered by nobody: {outcome:?}"));
                }
                let appended = done.file.iter().filter(|other| **other == number.0).count();
                let is_append = matches!(called.function.kind(), Kind::FileChange { measured: true });
                if is_append && matches!(by_effect, Some(Outcome::Ok(_))) && appended != 1 {
                    // A person who has an append in doubt done again may have it twice.
                    let decided = done.decided.get(&number).copied().unwrap_or(0);
                    if appended == 0 || appended > 1 + decided as usize {
                        return Err(format!("r3: append {number} is there {appended} times"));
                    }
                }
            }
            Kind::Post => {
                let posts = inbox
                    .iter()
                    .filter(|post| post.source == Source::Message(number))
                    .count();
                if posts != usize::from(matches!(by_effect, Some(Outcome::Ok(_)))) {
                    return Err(format!(
                        "post {number} is in the inbox {posts} times, and was answered {answer:?}"
                    ));
                }
            }
            Kind::Event => {
                if let Some(Outcome::Ok(value)) = by_effect
                    && !events.insert(value.as_str().to_owned())
                {
                    return Err(format!("an event is taken twice: {value:?}"));
                }
            }
            _ => {}
        }
    }
    drop(world);
    check_settled(people, row, &records, &answers.keys().copied().collect())
}

/// P3: what was accepted of somebody was taken, unless the run was cancelled or had dropped the call.
fn check_settled(people: &People, row: &RunRow, records: &[Record], answered: &BTreeSet<Number>) -> Result<(), String> {
    let is_cancelled = records
        .iter()
        .any(|record| matches!(record.entry, Entry::Cancelled { .. }));
    let is_waited_for = |_: &Number| !is_cancelled && row.status == Status::Done;
    let said = people.said();
    let of_run = said.settled.iter().filter(|(run, _)| *run == row.run);
    for (_, number) in of_run {
        if is_waited_for(number) && !answered.contains(number) && !was_dropped(records, *number) {
            return Err(format!("p3: what was said to call {number} is lost"));
        }
    }
    Ok(())
}

/// A call without an outcome in a run that is done was dropped, or never looked at.
fn was_dropped(records: &[Record], number: Number) -> bool {
    // What was accepted last may not have been taken before the guest ended by itself.
    records
        .iter()
        .all(|record| !matches!(&record.entry, Entry::Returned(returned) if returned.number == number))
}

/// Has a run replayed from its journal by the product's own replay: it has to be identical.
fn replays(sim: &Sim, row: &RunRow, records: &[Record]) -> Result<(), String> {
    match replay(sim, row, records)?.0 {
        Replayed::Identical => Ok(()),
        // The host ended it: nothing recorded says when.
        _ if matches!(records.last().map(|record| &record.entry), Some(Entry::Finished(finished)) if finished.how == How::Cancelled(None)) => {
            Ok(())
        }
        differs => Err(format!("its replay differs: {differs:?}")),
    }
}

/// Returns the calls that the guest of a run has dropped when it was given all that is recorded.
fn dropped(sim: &Sim, row: &RunRow, records: &[Record]) -> Result<BTreeSet<Number>, String> {
    replay(sim, row, records).map(|(_, dropped)| dropped)
}

/// Replays a run, and returns which calls its guest dropped, too.
fn replay(sim: &Sim, row: &RunRow, records: &[Record]) -> Result<(Replayed, BTreeSet<Number>), String> {
    let Some(Entry::Started(started)) = records.first().map(|record| &record.entry) else {
        return Err("its first entry is not its start".to_owned());
    };
    let guest = guest(sim, &row.component, &started.input).ok_or("it is pinned to no component")?;
    let mut player = Replaying {
        guest,
        dropped: BTreeSet::new(),
    };
    let next = next_input(sim.store(), records);
    let sleep = |_| futures::FutureExt::boxed(std::future::ready(()));
    let replayed = replay_with(records, &mut player, next.as_ref(), &|_| Ok(()), &sleep);
    let replayed = replayed.now_or_never().ok_or("its replay waits for something")?;
    Ok((replayed.map_err(|error| error.to_string())?, player.dropped))
}

struct Replaying {
    guest: Guest<std::sync::Arc<Program>>,
    dropped: BTreeSet<Number>,
}

impl Replaying {
    fn note(&mut self, slice: Slice) -> Slice {
        let dropped = slice.acts.iter().filter_map(|act| match act {
            Act::Drop(number) => Some(*number),
            _ => None,
        });
        self.dropped.extend(dropped);
        slice
    }
}

impl Player for Replaying {
    fn start(&mut self) -> futures::future::BoxFuture<'_, Slice> {
        Box::pin(async {
            let slice = self.guest.run();
            self.note(slice)
        })
    }

    fn deliver(&mut self, delivery: Delivery) -> futures::future::BoxFuture<'_, Slice> {
        Box::pin(async {
            let slice = self.guest.deliver(delivery);
            self.note(slice)
        })
    }

    fn memory_bytes(&self) -> u64 {
        1
    }

    fn computed_ms(&self) -> u64 {
        0
    }
}
