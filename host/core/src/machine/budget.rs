//! What a run may spend (rule B1): what a call is admitted with, what is reserved and settled, and who is told.
//!
//! Three budgets are reserved before a performance: calls, tokens and money. Of the others (time since the launch, computing, bytes written, size of the journal) it is
//! known only afterwards what was used, so they are looked at when a call is started; one that is under way is not cut short. What a run needs to end in order is let
//! through a little longer: see [`Machine::admit`].

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Call, Level, Line};
use super::flight::Flight;
use super::{Local, Machine, Source};
use crate::budget::{Budget, Cost, Over, mark};
use crate::calls::model::TIERS;
use crate::effect::{Function, Kind};
use crate::entry::{Called, Entry, Failure, Record};
use crate::id::Number;
use crate::outcome::{Fault, Outcome};
use crate::time::Timestamp;

/// How much longer calls that clean up are let through, as a part of the budget.
const LEEWAY: u64 = 10;

/// How far beyond its budget a journal may grow, as a part of it, before the run is ended: each refusal is two entries, and a skill may go on without heeding any.
const JOURNAL_BEYOND: u64 = 4;

/// What an entry takes in the journal beside its payload, about.
const ENTRY_BYTES: u64 = 256;

/// How often a run may go on although all calls that it started since it was last given something were refused for a budget.
const FUTILE_TURNS_MAX: u32 = 1_000;

/// What is measured of a run, beside its account.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// When the run was launched.
    launched_at: Timestamp,
    journal_bytes: u64,
    /// What the journal had when a call was first refused for its size, with that call.
    refused_from: Option<u64>,
    written_bytes: u64,
    computed_ms: u64,
    /// What the guest computed until it had gone through all that was copied from another run.
    computed_of_copy_ms: u64,
    /// What the skill may spend in a day, over all its runs.
    pub(super) day_limit: Option<Cost>,
    /// The highest mark of each budget that was told of.
    told: BTreeMap<Budget, u64>,
    /// Budgets that had no room for a call.
    full: BTreeSet<Budget>,
    /// How often in a row all that was called in a turn was refused.
    futile: u32,
    /// How often in a row something had no room in the day, and nothing was answered in between.
    pub(super) futile_in_day: u32,
    turn: Turn,
    /// Whether an entry was written since somebody was last told.
    moved: bool,
}

/// What became of the calls of a turn.
#[derive(Clone, Copy, Debug, Default)]
enum Turn {
    /// There were none.
    #[default]
    Quiet,
    /// All were refused.
    Refused,
    /// One was not, at least.
    Admitted,
}

/// With what a call begins.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// What is reserved for its first performance.
    pub(super) reserved: Option<Reserved>,
    /// The tier that answers, if it is not the one that was asked.
    pub(super) tier: Option<String>,
    /// What has no room for it.
    pub(super) over: Option<Budget>,
    /// What it is answered with because of that.
    pub(super) refused: Option<Fault>,
}

/// What is reserved for a performance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) cost: Cost,
    /// The day of whose account it is, too.
    pub(super) day: Option<u32>,
}

impl Reserved {
    /// Reads what an entry says was reserved.
    pub(super) fn recorded(cost: Option<Cost>, day: Option<u32>) -> Option<Self> {
        cost.map(|cost| Self { cost, day })
    }
}

/// What a performance takes of the budgets of time and size.
struct Wanted {
    kind: Kind,
    /// Whether it cleans up.
    cleanup: bool,
    /// How many bytes go into files.
    written: u64,
    /// How many go into the journal before it.
    recorded: u64,
}

impl Wanted {
    fn by(call: &Call) -> Self {
        Self {
            kind: call.function.kind(),
            cleanup: call.options.cleanup,
            written: written(call),
            recorded: call.request.as_str().len() as u64,
        }
    }

    /// What a further performance takes: its request is recorded, and what it writes was counted.
    fn again_by(flight: &Flight) -> Self {
        Self {
            kind: flight.called.function.kind(),
            cleanup: flight.called.options.cleanup,
            written: 0,
            recorded: 0,
        }
    }
}

/// How a budget stands.
struct Gauge {
    budget: Budget,
    used: u64,
    limit: u64,
}

impl Meters {
    /// Reads what a journal says.
    pub(super) fn read(&mut self, record: &Record) {
        if let Entry::Started(_) = &record.entry {
            self.launched_at = record.at;
        }
        // What was copied from another run was on its account (rule F5).
        if record.at < self.launched_at {
            return;
        }
        self.journal_bytes = self.journal_bytes.saturating_add(weight(record));
        if let Entry::Called(called) = &record.entry {
            self.full.extend(called.over);
            if called.over == Some(Budget::Journal) {
                self.refused_from.get_or_insert(self.journal_bytes);
            }
        }
    }

    /// Notes an entry that is written.
    pub(super) fn wrote(&mut self, record: &Record) {
        self.read(record);
        self.moved = true;
    }
}

/// Returns about how many bytes an entry takes, before it is compressed and shared.
pub(super) fn weight(record: &Record) -> u64 {
    let payload = match &record.entry {
        Entry::Started(started) => started.input.as_str().len(),
        Entry::Called(called) => called.request.as_str().len(),
        Entry::Returned(returned) => match &returned.outcome {
            Outcome::Ok(payload) => payload.as_str().len(),
            Outcome::Err(fault) => fault.message.len(),
        },
        _ => 0,
    };
    ENTRY_BYTES.saturating_add(payload as u64)
}

impl Machine {
    /// Says how long the guest has computed in this attempt.
    ///
    /// A replay computes again what was computed before, so that nothing of it has to be recorded, and no recovery adds to it; on a slower machine it comes to more.
    pub fn computed(&mut self, ms: u64) {
        if self.is_amid_copy() {
            self.meters.computed_of_copy_ms = ms;
        }
        self.meters.computed_ms = ms.saturating_sub(self.meters.computed_of_copy_ms);
    }

    /// Returns whether the guest has yet to be given something that was copied from another run.
    fn is_amid_copy(&self) -> bool {
        let next = self.past.next_outcome().or_else(|| self.waiting.front());
        !self.live && next.is_some_and(|waiting| waiting.at < self.meters.launched_at)
    }

    /// Takes for told what the journal shows, as whoever wrote it told of it in the same append.
    pub(super) fn begin_meters(&mut self, last: Timestamp) {
        self.now = last;
        for Gauge { budget, used, limit } in self.gauges() {
            if let Some(percent) = self.reached(budget, used, limit) {
                self.meters.told.insert(budget, percent);
            }
        }
        self.meters.moved = false;
    }

    /// Decides with what a call is begun that the journal does not hold.
    ///
    /// Over a budget of time or size, every call is refused but readings of the clock, which have to be answered (rule G6). Calls of a cleanup and posts to the inbox
    /// have a tenth more room, so that a run can undo what it did and say what it has.
    pub(super) fn admit(&mut self, call: &mut Call) -> Admission {
        let admission = self.admission(call);
        self.meters.turn = match (&admission.refused, self.meters.turn) {
            (None, _) | (Some(_), Turn::Admitted) => Turn::Admitted,
            (Some(_), _) => Turn::Refused,
        };
        admission
    }

    fn admission(&mut self, call: &mut Call) -> Admission {
        let journal_bytes = self.meters.journal_bytes;
        let limit = self.limits.journal_bytes_max.unwrap_or(u64::MAX);
        if call.function.kind() == Kind::Tick && journal_bytes >= limit {
            // It is let through, and counts as if it were not: a guest may do nothing else.
            self.meters.refused_from.get_or_insert(journal_bytes);
        }
        if let Some(over) = self.over(Wanted::by(call)) {
            self.meters.full.insert(over.budget);
            return Admission {
                over: Some(over.budget),
                refused: Some(over.fault()),
                ..Admission::default()
            };
        }
        let tier = call.asks.as_ref().and_then(|asks| self.lowered(&asks.model));
        if let Err(refused) = self.price(call, tier.as_deref()) {
            return Admission {
                refused: Some(refused),
                ..Admission::default()
            };
        }
        match self.reserve(call.number, call.bound) {
            Ok(reserved) => {
                self.count_written(written(call));
                Admission {
                    reserved,
                    tier,
                    ..Admission::default()
                }
            }
            Err(over) => Admission {
                over: Some(over.budget),
                refused: Some(over.fault()),
                tier,
                ..Admission::default()
            },
        }
    }

    /// Prices what a performance of a call takes at most, by the model that answers.
    pub(super) fn price(&self, call: &mut Call, tier: Option<&str>) -> Result<(), Fault> {
        let (Some(bound), Some(asks)) = (&mut call.bound, &call.asks) else {
            return Ok(());
        };
        let named = tier.unwrap_or(&asks.model);
        let provider = &self.started.provider;
        let model = provider.models.get(named).map_or(named, String::as_str);
        match self.limits.prices.of(model) {
            Some(price) => bound.microdollars = price.bound(asks.input, asks.output),
            None if self.limits.priced_only && !provider.simulated => {
                let message = format!(
                    "this run has a budget of money, and no price is known for model `{model}`; add `[prices.\"{model}\"]` with `input` and `output`, in dollars per million \
                     tokens, to the configuration, and launch again"
                );
                return Err(Fault::new(Fault::BUDGET, message));
            }
            None => {}
        }
        Ok(())
    }

    /// Reserves the upper bound of a further performance of a call, as for its first; what has no room is told as the fault that answers it.
    pub(super) fn reserve_again(&mut self, number: Number) -> Result<Option<Reserved>, Fault> {
        self.check_again(number)?;
        let Some(flight) = self.flights.get(number) else {
            return Ok(None);
        };
        if let Some(unpriced) = &flight.unpriced {
            return Err(Fault::clone(unpriced));
        }
        let bound = flight
            .bound
            .or_else(|| self.share_of(flight.called.function, &flight.called.request));
        self.reserve(number, bound).map_err(|over| over.fault())
    }

    /// Looks whether the budgets of time and size have room for a further performance of a call.
    ///
    /// A change to files is not refused: it may have been half done, and is done to its end.
    pub(super) fn check_again(&mut self, number: Number) -> Result<(), Fault> {
        let flight = self.flights.get(number).filter(|flight| !flight.changes_files());
        match flight.and_then(|flight| self.over(Wanted::again_by(flight))) {
            None => Ok(()),
            Some(over) => {
                self.meters.full.insert(over.budget);
                Err(over.fault())
            }
        }
    }

    /// Reserves the upper bound of a performance, if it has one. Its entry has to be written next: whether there is room in the day's account too is decided when that
    /// is committed.
    pub(super) fn reserve(&mut self, number: Number, bound: Option<Cost>) -> Result<Option<Reserved>, Over> {
        let Some(cost) = bound else { return Ok(None) };
        if let Err(over) = self.account.reserve(cost) {
            self.meters.full.insert(over.budget);
            return Err(over);
        }
        let day = self.meters.day_limit.map(|limit| {
            let account = self.day_account(self.day());
            let day = account.day;
            self.local(Local::Reserve {
                account,
                number,
                bound: cost,
                limit,
            });
            day
        });
        Ok(Some(Reserved { cost, day }))
    }

    /// Replaces what was reserved for a performance by what it spent, if that is known; else it stays spent.
    pub(super) fn settle(&mut self, reserved: Option<Reserved>, spent: Option<Cost>) {
        let (Some(reserved), Some(spent)) = (reserved, spent) else {
            return;
        };
        self.account.settle(reserved.cost, spent);
        if let (Some(day), Some(limit)) = (reserved.day, self.meters.day_limit) {
            // Nobody is told of the marks of a day that is over.
            let limit = match day == self.day() {
                true => limit,
                false => Cost::UNBOUNDED,
            };
            self.local(Local::Settle {
                account: self.day_account(day),
                reserved: reserved.cost,
                spent,
                limit,
            });
        }
    }

    /// Ends a run that goes on and on although its calls are refused: each refusal is two entries. Returns whether it did.
    pub(super) fn end_if_heedless(&mut self) -> bool {
        let turn = std::mem::take(&mut self.meters.turn);
        match turn {
            Turn::Quiet => {}
            Turn::Admitted => self.meters.futile = 0,
            Turn::Refused => self.meters.futile += 1,
        }
        let limit = self.limits.journal_bytes_max.unwrap_or(u64::MAX);
        let used = self.meters.journal_bytes;
        let beyond = self.journal_full_from().saturating_add(limit / JOURNAL_BEYOND);
        // One entry may be larger than the budget: what the run does when it is told so is what counts.
        let what = if self.meters.refused_from.is_some() && used > beyond {
            let share = Budget::Journal.share(used, limit);
            format!(
                "it goes on although its calls are refused, and its journal has {share}; `journal_mib` under `[budget]` in the configuration allows more"
            )
        } else if self.meters.futile.max(self.meters.futile_in_day) >= FUTILE_TURNS_MAX {
            format!(
                "it went on {FUTILE_TURNS_MAX} times although all that it called was refused for its budget; `skillhost explain budget` says how that is raised"
            )
        } else {
            return false;
        };
        self.guest_failed(Failure {
            code: Fault::BUDGET.to_owned(),
            message: what,
            details: None,
            backtrace: None,
        });
        true
    }

    /// Tells whoever watches, once each, that a mark was reached: in the append of the entry by which it was, so that no recovery tells it again.
    pub(super) fn tell_of_marks(&mut self) {
        if !self.live || !std::mem::take(&mut self.meters.moved) {
            return;
        }
        for Gauge { budget, used, limit } in self.gauges() {
            let Some(percent) = self.reached(budget, used, limit) else {
                continue;
            };
            let told = self.meters.told.insert(budget, percent).unwrap_or_default();
            if told >= percent {
                self.meters.told.insert(budget, told);
                continue;
            }
            let message = match percent {
                100.. => {
                    let share = budget.share(self.reserved_of(budget).unwrap_or(used), limit);
                    format!("the run's budget is used up: {share} spent or reserved; calls return `budget`")
                }
                percent => format!(
                    "{percent} % of the run's budget is spent: {}",
                    budget.share(used, limit)
                ),
            };
            self.tell_of_budget(percent, message);
        }
    }

    pub(super) fn tell_of_budget(&mut self, percent: u64, message: String) {
        if percent >= 100 {
            self.local(Local::Post {
                source: Source::Budget,
                at: self.now,
                title: format!("{} has used up a budget", self.skill),
                body: message.clone(),
                attachments: Vec::new(),
            });
        }
        self.said(Line::Message {
            level: Level::Warn,
            message,
            place: None,
        });
    }

    /// Returns what is spent or reserved of a budget that the account has.
    fn reserved_of(&self, budget: Budget) -> Option<u64> {
        let parts = self.account.spent().parts();
        parts
            .into_iter()
            .find_map(|(part, spent)| (part == budget).then_some(spent))
    }

    /// Returns the highest mark of a budget that was reached.
    fn reached(&self, budget: Budget, used: u64, limit: u64) -> Option<u64> {
        match self.meters.full.contains(&budget) {
            true => Some(100),
            false => mark(used, limit),
        }
    }

    fn gauges(&self) -> [Gauge; 7] {
        let [calls, tokens, money] = self.account.settled().parts();
        let [calls_max, tokens_max, money_max] = self.account.limit().parts();
        let of = |(budget, used), limit| Gauge { budget, used, limit };
        let [wall, computing, written, journal] = self.sizes();
        [
            of(calls, calls_max.1),
            of(tokens, tokens_max.1),
            of(money, money_max.1),
            wall,
            computing,
            written,
            journal,
        ]
    }

    fn sizes(&self) -> [Gauge; 4] {
        let (limits, meters) = (&self.limits, &self.meters);
        let wall = self.now.since(meters.launched_at).as_millis();
        let of = |budget, used, limit: Option<u64>| Gauge {
            budget,
            used,
            limit: limit.unwrap_or(u64::MAX),
        };
        [
            of(
                Budget::WallTime,
                u64::try_from(wall).unwrap_or(u64::MAX),
                limits.wall_ms_max,
            ),
            of(Budget::Computing, meters.computed_ms, limits.computing_ms_max),
            of(Budget::Written, meters.written_bytes, limits.written_bytes_max),
            of(Budget::Journal, meters.journal_bytes, limits.journal_bytes_max),
        ]
    }

    /// Returns the size from which on the journal is full: its budget, or what it had already when a call was first refused.
    fn journal_full_from(&self) -> u64 {
        let limit = self.limits.journal_bytes_max.unwrap_or(u64::MAX);
        limit.max(self.meters.refused_from.unwrap_or_default())
    }

    /// Returns which budget of time or size has no room for something.
    fn over(&self, wants: Wanted) -> Option<Over> {
        if wants.kind == Kind::Tick {
            return None;
        }
        let ends_in_order = wants.cleanup || wants.kind == Kind::Post;
        self.sizes().into_iter().find_map(|gauge| {
            let wanted = match gauge.budget {
                Budget::Written => wants.written,
                Budget::Journal => wants.recorded,
                _ => 0,
            };
            let limit = match (ends_in_order, gauge.budget) {
                (false, _) => gauge.limit,
                (true, Budget::Journal) => self.journal_full_from().saturating_add(gauge.limit / LEEWAY),
                (true, _) => gauge.limit.saturating_add(gauge.limit / LEEWAY),
            };
            let is_full = match gauge.budget {
                Budget::Written => wanted > 0 && gauge.used.saturating_add(wanted) > limit,
                _ => gauge.used.saturating_add(wanted) >= limit,
            };
            let over = Over {
                budget: gauge.budget,
                limit: gauge.limit,
                used: gauge.used,
                wanted,
            };
            (gauge.limit != u64::MAX && is_full).then_some(over)
        })
    }

    /// Counts what is written to files.
    pub(super) fn count_written(&mut self, bytes: u64) {
        self.meters.written_bytes = self.meters.written_bytes.saturating_add(bytes);
    }

    /// Returns what a recorded call wrote: nothing if it was refused, or copied from another run, whose account it was on (rule F5).
    pub(super) fn written_before(&self, call: &Call, recorded: &Called, at: Timestamp) -> u64 {
        match recorded.over.is_none() && at >= self.meters.launched_at {
            true => written(call),
            false => 0,
        }
    }

    /// Returns the tier that answers in the place of the one that is asked, if so much of the budget is spent or reserved that it does.
    fn lowered(&self, asked: &str) -> Option<String> {
        let (spent, limit) = (self.account.spent(), self.account.limit());
        let shares = spent.parts().into_iter().zip(limit.parts());
        let percent = |((_, used), (_, limit)): ((_, u64), (_, u64))| match limit {
            0 | u64::MAX => 0,
            limit => u128::from(used) * 100 / u128::from(limit),
        };
        let share = shares.map(percent).max().unwrap_or(0);
        let rung = self
            .limits
            .ladder
            .iter()
            .rfind(|rung| share >= u128::from(rung.percent))?;
        let place = |tier: &str| TIERS.iter().position(|known| *known == tier);
        // One that is asked by the id of a tier's model is of that tier.
        let models = &self.started.provider.models;
        let by_id = || {
            TIERS
                .iter()
                .position(|tier| models.get(*tier).is_some_and(|model| model == asked))
        };
        let place_asked = place(asked).or_else(by_id)?;
        (place_asked > place(&rung.tier)?).then(|| rung.tier.clone())
    }
}

/// Returns how many bytes a call writes to a file: not more than its request has.
fn written(call: &Call) -> u64 {
    match [Function::FILES_WRITE, Function::FILES_APPEND].contains(&call.function) {
        true => call.request.as_str().len() as u64,
        false => 0,
    }
}
