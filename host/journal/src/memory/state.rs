//! What a journal in memory holds, and how it changes: each method is one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use skillhost_core::budget::{DayAccount, DayNews, DaySpent, Over};
use skillhost_core::entry::{Entry, Record, Started};
use skillhost_core::id::{Digest, Epoch, LaunchId, MailId, Number, RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Lease;
use skillhost_core::machine::{Command, Local, Mail, Source, Status, Successor, Write};
use skillhost_core::planted::{self, Bug};
use skillhost_core::time::Timestamp;

use super::Appended;
use crate::bundle::Bundle;
use crate::error::{AppendError, JournalError};
use crate::installed::{InstalledRow, SkillPlace};
use crate::rows::{
    Collected, Created, DueRun, InboxFilter, InboxId, InboxRow, LineKey, LineRow, NewRun, Pruned, RunFilter, RunRow,
    RunningRun, Taken, Trouble, WaitRow, asked_by, check_asked, check_copy, may_be_pruned, may_be_removed,
    names_a_call, status_of,
};
use crate::spending::{Ledger, Spending, named};
use crate::sqlite::refuse;
use crate::writer::Append;

#[derive(Default)]
pub(super) struct State {
    runs: BTreeMap<RunId, Run>,
    launches: BTreeMap<LaunchId, RunId>,
    inbox: BTreeMap<InboxId, InboxRow>,
    inbox_last: u64,
    mail_last: MailId,
    pub(super) bundles: BTreeMap<Digest, (Bundle, Timestamp)>,
    pub(super) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(super) installed: BTreeMap<SkillPlace, InstalledRow>,
    pub(super) descriptions: BTreeMap<Digest, (String, Timestamp)>,
    pub(super) days: BTreeMap<DayAccount, DaySpent>,
    pub(super) version: u64,
}

pub(super) struct Run {
    started: Started,
    status: Status,
    trouble: Option<Trouble>,
    bundle: Digest,
    component: Digest,
    caller_folder: Option<PathBuf>,
    silent: bool,
    pub(super) lease: Lease,
    pub(super) held_from: Seq,
    pub(super) records: Vec<Record>,
    pub(super) appended: Vec<Appended>,
    pub(super) lines: BTreeMap<LineKey, LineRow>,
    pub(super) waits: BTreeMap<Number, WaitRow>,
    pub(super) mail: BTreeMap<MailId, Mail>,
}

impl Run {
    /// Returns a run with its first entry.
    fn begin(started: Started, at: Timestamp, caller_folder: Option<PathBuf>) -> Self {
        let first = Record {
            seq: Seq(0),
            at,
            entry: Entry::Started(Box::new(started.clone())),
        };
        Self {
            status: Status::Running,
            trouble: None,
            bundle: started.bundle,
            component: started.component,
            caller_folder,
            silent: false,
            lease: Lease {
                holder: None,
                epoch: Epoch(0),
            },
            held_from: Seq(0),
            records: vec![first],
            appended: Vec::new(),
            lines: BTreeMap::new(),
            waits: BTreeMap::new(),
            mail: BTreeMap::new(),
            started,
        }
    }
}

impl State {
    pub(super) fn run(&self, run: &RunId) -> Result<&Run, JournalError> {
        self.runs
            .get(run)
            .ok_or_else(|| JournalError::UnknownRun { run: run.clone() })
    }

    fn run_mut(&mut self, run: &RunId) -> Result<&mut Run, JournalError> {
        self.version += 1;
        self.runs
            .get_mut(run)
            .ok_or_else(|| JournalError::UnknownRun { run: run.clone() })
    }

    pub(super) fn row(&self, run: &Run) -> RunRow {
        let last = run.records.last().expect("a run has its first entry");
        RunRow {
            run: run.started.run.clone(),
            launch: run.started.launch.clone(),
            superseded: self.launches.get(&run.started.launch) != Some(&run.started.run),
            skill: run.started.skill.clone(),
            status: run.status,
            bundle: run.bundle,
            component: run.component,
            created_at: run.records[0].at,
            // A copy's entries are older than the run.
            updated_at: last.at.max(run.records[0].at),
            entries: run.records.len() as u64,
            holder: run.lease.holder.clone(),
            epoch: run.lease.epoch,
            held_from: run.held_from,
            simulated: run.started.provider.simulated,
            caller_folder: run.caller_folder.clone(),
            silent: run.silent,
            parent: run.started.parent.as_ref().map(|parent| parent.run.clone()),
            trouble: run.trouble.clone(),
        }
    }

    pub(super) fn runs(&self, filter: &RunFilter) -> Vec<RunRow> {
        let rows = self.runs.values().rev().map(|run| self.row(run));
        rows.filter(|row| filter.status.is_empty() || filter.status.contains(&row.status))
            .filter(|row| filter.skill.as_ref().is_none_or(|skill| *skill == row.skill))
            .filter(|row| filter.caller_folder.is_none() || filter.caller_folder == row.caller_folder)
            .filter(|row| filter.since.is_none_or(|since| row.created_at >= since))
            .filter(|row| !(filter.newest_of_launch && row.superseded))
            .filter(|row| !(filter.without_continued && row.status == Status::Continued))
            .take(filter.most.unwrap_or(usize::MAX))
            .collect()
    }

    pub(super) fn running(&self, after: Option<&RunId>, most: usize) -> Vec<RunningRun> {
        let runs = self
            .runs
            .iter()
            .filter(|(run, row)| row.status == Status::Running && after.is_none_or(|after| *run > after));
        let found = runs.take(most).map(|(run, row)| RunningRun {
            run: run.clone(),
            skill: row.started.skill.clone(),
            created_at: row.records[0].at,
            holder: row.lease.holder.clone(),
            epoch: row.lease.epoch,
        });
        found.collect()
    }

    pub(super) fn launched(&self, launch: &LaunchId) -> Option<RunId> {
        self.launches.get(launch).cloned()
    }

    pub(super) fn names(&self) -> Vec<(RunId, String)> {
        let runs = self.runs.iter().rev();
        runs.map(|(run, row)| (run.clone(), row.started.launch.to_string()))
            .collect()
    }

    pub(super) fn create_run(&mut self, new: NewRun) -> Result<Created, JournalError> {
        let started = new.started;
        check_copy(&started.run, &new.copy)?;
        match (self.launches.get(&started.launch), &new.follows) {
            (Some(newest), Some(follows)) if newest == follows => {}
            (Some(newest), None) => return Ok(Created::Existing(Box::new(self.row(&self.runs[newest])))),
            (None, None) => {}
            (newest, Some(follows)) => {
                return Err(JournalError::LaunchMoved {
                    launch: started.launch.clone(),
                    newest: newest.unwrap_or(follows).clone(),
                });
            }
        }
        if !self.bundles.contains_key(&started.bundle) {
            return Err(JournalError::NoBundle { bundle: started.bundle });
        }
        if let Some(existing) = self.runs.get(&started.run) {
            return Ok(Created::Existing(Box::new(self.row(existing))));
        }
        self.version += 1;
        self.launches.insert(started.launch.clone(), started.run.clone());
        let mut run = Run::begin(started, new.at, new.caller_folder);
        run.silent = new.silent;
        run.records.extend(new.copy);
        self.runs.insert(run.started.run.clone(), run);
        Ok(Created::New)
    }

    pub(super) fn remove_run(&mut self, run: &RunId) -> Result<(), JournalError> {
        let row = self.run_mut(run)?;
        if !may_be_removed(row.status, row.lease.holder.as_ref()) {
            return Err(JournalError::NotOver {
                run: run.clone(),
                status: row.status,
            });
        }
        let launch = row.started.launch.clone();
        self.runs.remove(run);
        self.inbox.retain(|_, entry| entry.run != *run);
        if self.launches.get(&launch) == Some(run) {
            // What is left of the launch is known by its newest run.
            let left = self.runs.values().rev().find(|row| row.started.launch == launch);
            match left.map(|row| row.started.run.clone()) {
                Some(newest) => self.launches.insert(launch, newest),
                None => self.launches.remove(&launch),
            };
        }
        Ok(())
    }

    pub(super) fn prune(&mut self, before: Timestamp, statuses: &[Status]) -> Result<Pruned, JournalError> {
        let mut told: BTreeMap<&RunId, Timestamp> = BTreeMap::new();
        for row in self.inbox.values() {
            let newest = told.entry(&row.run).or_default();
            *newest = row.at.max(*newest);
        }
        let old = self.runs.iter().filter(|(run, row)| {
            let last = row.records.last().expect("a run has its first entry").at;
            let is_unused = row.status.is_final() || (row.lease.holder.is_none() && row.mail.is_empty());
            statuses.contains(&row.status)
                && may_be_pruned(row.status)
                && is_unused
                && last.max(told.get(run).copied().unwrap_or_default()) < before
        });
        let runs: Vec<RunId> = old.map(|(run, _)| run.clone()).collect();
        for run in &runs {
            self.remove_run(run)?;
        }
        Ok(Pruned { runs, stopped: None })
    }

    pub(super) fn claim(&mut self, run: &RunId, worker: &WorkerId, seen: &Lease) -> Result<Taken, JournalError> {
        let row = self.run_mut(run)?;
        if row.lease != *seen && !planted::is(Bug::ClaimedBlindly) {
            return Ok(Taken::Changed(row.lease.clone()));
        }
        row.lease = Lease {
            holder: Some(worker.clone()),
            epoch: match planted::is(Bug::EpochReused) {
                true => row.lease.epoch,
                false => row.lease.epoch.next(),
            },
        };
        row.held_from = Seq(row.records.len() as u64);
        Ok(Taken::At(row.lease.epoch))
    }

    pub(super) fn release(&mut self, run: &RunId, epoch: Epoch) -> Result<(), JournalError> {
        let row = self.run_mut(run)?;
        if row.lease.epoch == epoch {
            row.lease.holder = None;
        }
        Ok(())
    }

    pub(super) fn park(&mut self, run: &RunId, epoch: Epoch, trouble: &Trouble) -> Result<(), JournalError> {
        let row = self.run_mut(run)?;
        if row.lease.epoch != epoch || row.status.is_final() {
            return Ok(());
        }
        row.status = Status::Parked;
        row.trouble = Some(trouble.clone());
        let (title, body) = trouble.announce(&row.started.skill);
        // What was said before is not true any more, or not news.
        self.forget_trouble(run);
        let post = Local::Post {
            source: Source::Trouble,
            at: trouble.at,
            title,
            body,
            attachments: Vec::new(),
        };
        self.apply_local(run, post);
        Ok(())
    }

    fn forget_trouble(&mut self, run: &RunId) {
        self.inbox
            .retain(|_, row| row.run != *run || row.source != Source::Trouble);
    }

    pub(super) fn mail_since(&self, after: MailId) -> Vec<(RunId, MailId)> {
        let newest = self.runs.iter().filter_map(|(run, row)| {
            let newest = row.mail.keys().next_back()?;
            Some((run.clone(), *newest))
        });
        let mut since: Vec<_> = newest.filter(|(_, newest)| *newest > after).collect();
        since.sort_by_key(|(_, newest)| *newest);
        since
    }

    pub(super) fn post_mail(&mut self, run: &RunId, at: Timestamp, command: &Command) -> Result<MailId, JournalError> {
        let id = self.mail_last.next();
        let row = self.run_mut(run)?;
        if row.status.is_final() {
            return Err(JournalError::Over {
                run: run.clone(),
                status: row.status,
            });
        }
        if let Some((number, asked)) = asked_by(command) {
            let open = row.waits.get(&number).filter(|wait| asked.fits(&wait.wait));
            let open = open.filter(|wait| wait.deadline.is_none_or(|deadline| deadline > at));
            let waiting = row.mail.values().filter_map(|mail| asked_by(&mail.command));
            check_asked(run, number, open.is_some(), waiting.map(|(number, _)| number))?;
        }
        let command = command.clone();
        row.mail.insert(id, Mail { id, at, command });
        self.mail_last = id;
        Ok(id)
    }

    pub(super) fn deadlines(&self) -> Vec<DueRun> {
        let runs = self.runs.iter().filter_map(|(run, row)| {
            let deadline = row.waits.values().filter_map(|wait| wait.deadline).min()?;
            Some(DueRun {
                run: run.clone(),
                deadline,
                status: row.status,
            })
        });
        runs.collect()
    }

    pub(super) fn next_deadline(&self, after: Timestamp) -> Option<Timestamp> {
        let waits = self.runs.values().flat_map(|row| row.waits.values());
        waits
            .filter_map(|wait| wait.deadline)
            .filter(|deadline| *deadline > after)
            .min()
    }

    pub(super) fn inbox(&self, filter: &InboxFilter) -> Vec<InboxRow> {
        let rows = self.inbox.values().rev();
        rows.filter(|row| filter.dismissed || row.dismissed_at.is_none())
            .filter(|row| filter.run.as_ref().is_none_or(|run| *run == row.run))
            .take(filter.most.unwrap_or(usize::MAX))
            .cloned()
            .collect()
    }

    pub(super) fn dismiss(&mut self, entries: Option<&[InboxId]>, at: Timestamp) -> u64 {
        self.version += 1;
        let mut dismissed = 0;
        for row in self.inbox.values_mut() {
            if row.dismissed_at.is_none() && entries.is_none_or(|entries| entries.contains(&row.id)) {
                row.dismissed_at = Some(at);
                dismissed += 1;
            }
        }
        dismissed
    }

    pub(super) fn put_bundle(&mut self, bundle: &Bundle, at: Timestamp, contents: BTreeMap<Digest, Vec<u8>>) {
        self.version += 1;
        self.blobs.extend(contents);
        self.bundles
            .entry(bundle.digest())
            .and_modify(|(_, put)| *put = at.max(*put))
            .or_insert_with(|| (bundle.clone(), at));
    }

    pub(super) fn collect(&mut self, before: Timestamp) -> Collected {
        self.version += 1;
        let mut collected = Collected::default();
        let installed = self.installed.values().map(|row| row.bundle);
        let pinned: BTreeSet<Digest> = self.runs.values().map(|run| run.bundle).chain(installed).collect();
        self.bundles.retain(|digest, (_, at)| {
            let kept = pinned.contains(digest) || *at >= before;
            collected.bundles += u64::from(!kept);
            kept
        });
        let files = self.bundles.values().flat_map(|(bundle, _)| bundle.files());
        let needed: BTreeSet<Digest> = files.map(|file| file.digest).collect();
        self.blobs.retain(|digest, content| {
            let kept = needed.contains(digest);
            if !kept {
                collected.blobs += 1;
                collected.bytes += content.len() as u64;
            }
            kept
        });
        self.descriptions.retain(|component, (_, at)| {
            let kept = needed.contains(component) || *at >= before;
            collected.descriptions += u64::from(!kept);
            kept
        });
        collected
    }

    pub(super) fn append(&mut self, append: Append) -> Result<Vec<DayNews>, AppendError> {
        let lane = &append.lane;
        let Some(run) = self.runs.get(&lane.run) else {
            return Err(AppendError::UnknownRun { run: lane.run.clone() });
        };
        if run.lease.epoch != lane.epoch {
            return Err(AppendError::Fenced {
                run: lane.run.clone(),
                held: lane.epoch,
                found: run.lease.epoch,
            });
        }
        if let Some(seq) = append.first {
            let next = Seq(run.records.len() as u64);
            if seq != next {
                let run = lane.run.clone();
                return Err(AppendError::Stale { run, seq, next });
            }
            if run.status.is_final() {
                return Err(AppendError::Over { run: lane.run.clone() });
            }
        }
        self.version += 1;
        let mut news = Vec::new();
        let mut refused = None;
        for write in append.writes {
            match (write, refused.take()) {
                (Write::Local(local @ (Local::Reserve { .. } | Local::Settle { .. })), _) => {
                    refused = self.account(local, &mut news);
                }
                (Write::Entry(mut record), Some(_)) => {
                    refuse(&mut record.entry);
                    self.apply(&lane.run, lane.epoch, Write::Entry(record));
                }
                (write, _) => self.apply(&lane.run, lane.epoch, write),
            }
        }
        Ok(news)
    }

    pub(super) fn spending(&self, skill: Option<&SkillName>, each: &mut dyn FnMut(Spending)) {
        let mut ledger = Ledger::new(each);
        for run in self.runs.values() {
            if skill.is_none_or(|skill| run.started.skill == *skill) {
                for record in &run.records {
                    let model = named(&record.entry);
                    ledger.take(&run.started.run, record.at, record.entry.clone(), model);
                }
            }
        }
        ledger.end();
    }

    /// Carries out what a run wants of the skill's account for a day, and returns what has no room.
    fn account(&mut self, local: Local, news: &mut Vec<DayNews>) -> Option<Over> {
        match local {
            Local::Reserve {
                account,
                number,
                bound,
                limit,
            } => {
                let day = self.days.entry(account).or_default();
                let over = day.reserve(bound, limit).err()?;
                news.push(DayNews::Refused { number, over });
                if day.note_full() {
                    news.push(DayNews::Full(over));
                }
                Some(over)
            }
            Local::Settle {
                account,
                reserved,
                spent,
                limit,
            } => {
                let day = self.days.entry(account).or_default();
                day.settle(reserved, spent);
                let (percent, spent) = day.mark(limit)?;
                news.push(DayNews::Mark { percent, spent });
                None
            }
            _ => None,
        }
    }

    fn apply(&mut self, id: &RunId, epoch: Epoch, write: Write) {
        let run = self.runs.get_mut(id).expect("looked up by `append`");
        match write {
            Write::Entry(record) => {
                match &record.entry {
                    Entry::Repinned { bundle, component } => (run.bundle, run.component) = (*bundle, *component),
                    Entry::Finished(finished) => {
                        (run.status, run.trouble) = (status_of(&finished.how), None);
                        run.lease.holder = None;
                    }
                    _ => {}
                }
                run.appended.push(Appended {
                    seq: record.seq,
                    by: epoch,
                    at: run.lease.epoch,
                });
                run.records.push(record);
                if run.status.is_final() {
                    self.close_all(id);
                }
            }
            Write::Line {
                after,
                ordinal,
                at,
                line,
            } => {
                let key = LineKey { after, ordinal };
                run.lines.entry(key).or_insert(LineRow { key, at, line });
            }
            Write::Local(local) => self.apply_local(id, local),
        }
    }

    fn apply_local(&mut self, id: &RunId, local: Local) {
        let run = self.runs.get_mut(id).expect("looked up by `append`");
        match local {
            Local::Post {
                source,
                at,
                title,
                body,
                attachments,
            } => {
                if self.inbox.values().any(|row| row.run == *id && row.source == source) {
                    return;
                }
                self.inbox_last += 1;
                let row = InboxRow {
                    id: InboxId(self.inbox_last),
                    run: id.clone(),
                    launch: run.started.launch.clone(),
                    skill: run.started.skill.clone(),
                    simulated: run.started.provider.simulated,
                    source,
                    at,
                    title,
                    body,
                    attachments,
                    dismissed_at: None,
                };
                self.inbox.insert(row.id, row);
            }
            Local::OpenWait { number, wait, deadline } => {
                run.waits.insert(number, WaitRow { number, wait, deadline });
            }
            Local::CloseWait { number } => {
                run.waits.remove(&number);
                let closed = [Source::Question(number), Source::Decision(number)];
                self.inbox
                    .retain(|_, row| row.run != *id || !closed.contains(&row.source));
            }
            Local::Reserve { .. } | Local::Settle { .. } => unreachable!("`append` keeps accounts"),
            Local::CancelChild { number, at } => {
                let launch = LaunchId::of_call(id, number);
                if let Some(child) = self.launches.get(&launch).cloned() {
                    let reason = Some(format!("run {id}, which called it, no longer waits for it"));
                    self.leave_mail(&child, at, Command::Cancel { reason });
                }
            }
            Local::AnswerCaller {
                run: caller,
                number,
                at,
                outcome,
                spent,
            } => self.leave_mail(&caller, at, Command::Child { number, outcome, spent }),
            Local::Continue(successor) => self.begin_next(id, *successor),
            Local::TakeMail(mail) => {
                run.mail.remove(&mail);
            }
            // How a run ended is said by its last entry alone.
            Local::SetStatus(status) => {
                if !run.status.is_final() && !status.is_final() {
                    (run.status, run.trouble) = (status, None);
                    self.forget_trouble(id);
                }
            }
        }
    }

    /// Makes the run that goes on in the place of another: itself, and what is left of the other's mailbox. The launch is known by it from here on.
    fn begin_next(&mut self, id: &RunId, successor: Successor) {
        let Successor { started, at, paused } = successor;
        let other = self.runs.get_mut(id).expect("looked up by `append`");
        let mut mail = std::mem::take(&mut other.mail);
        // An answer names a call of the other run.
        mail.retain(|_, mail| !names_a_call(&mail.command));
        let (bundle, component) = (other.bundle, other.component);
        let (caller_folder, silent) = (other.caller_folder.clone(), other.silent);
        if let Some(newest) = self.launches.get_mut(&started.launch).filter(|newest| **newest == *id) {
            *newest = started.run.clone();
        }
        let next = Run::begin(started, at, caller_folder);
        let next = Run {
            status: if paused { Status::Paused } else { Status::Running },
            bundle,
            component,
            silent,
            mail,
            ..next
        };
        self.runs.insert(next.started.run.clone(), next);
    }

    /// Leaves something in the mailbox of another run, unless that is not there or over, or has just that already.
    fn leave_mail(&mut self, id: &RunId, at: Timestamp, command: Command) {
        let Some(run) = self.runs.get_mut(id).filter(|run| !run.status.is_final()) else {
            return;
        };
        if run.mail.values().any(|mail| mail.command == command) {
            return;
        }
        let mail = MailId(self.mail_last.0 + 1);
        self.mail_last = mail;
        run.mail.insert(mail, Mail { id: mail, at, command });
    }

    /// Nothing waits for an answer any more.
    fn close_all(&mut self, id: &RunId) {
        let run = self.runs.get_mut(id).expect("looked up by `append`");
        run.waits.clear();
        let asks = |source: Source| matches!(source, Source::Question(_) | Source::Decision(_) | Source::Trouble);
        self.inbox.retain(|_, row| row.run != *id || !asks(row.source));
    }
}
