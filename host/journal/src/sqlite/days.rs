//! The accounts of skills for a day, as one transaction sees them (rule B1).
//!
//! Whoever writes decides whether a performance fits: other processes spend from the same account, and are kept out for as long as the transaction lasts. Each account is
//! read once and written once in it, however many calls are in the batch; without any, nothing is read or written.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use skillhost_core::budget::{Cost, DayAccount, DayNews, DaySpent, Over};
use skillhost_core::entry::Entry;
use skillhost_core::machine::Local;

use super::form;
use super::pack::EntryRow;
use super::seal::Draft;

/// The accounts that a transaction has met.
#[derive(Clone, Default)]
pub(super) struct Days {
    met: HashMap<DayAccount, DaySpent>,
}

impl Days {
    /// Forgets what an earlier transaction saw.
    pub(super) fn clear(&mut self) {
        self.met.clear();
    }

    /// Carries out what a run wants of an account, and returns what has no room. What is to be told is added to `news`.
    pub(super) fn apply(
        &mut self,
        db: &Connection,
        local: &Local,
        news: &mut Vec<DayNews>,
    ) -> rusqlite::Result<Option<Over>> {
        match local {
            Local::Reserve {
                account,
                number,
                bound,
                limit,
            } => {
                let day = self.met(db, account)?;
                let refused = day.reserve(*bound, *limit).err();
                if let Some(over) = refused {
                    let number = *number;
                    news.push(DayNews::Refused { number, over });
                    if day.note_full() {
                        news.push(DayNews::Full(over));
                    }
                }
                Ok(refused)
            }
            Local::Settle {
                account,
                reserved,
                spent,
                limit,
            } => {
                let day = self.met(db, account)?;
                day.settle(*reserved, *spent);
                if let Some((percent, spent)) = day.mark(*limit) {
                    news.push(DayNews::Mark { percent, spent });
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn met(&mut self, db: &Connection, account: &DayAccount) -> rusqlite::Result<&mut DaySpent> {
        if !self.met.contains_key(account) {
            self.met.insert(account.clone(), read(db, account)?);
        }
        Ok(self.met.get_mut(account).expect("inserted above"))
    }

    /// Writes the accounts back, before the commit.
    pub(super) fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        for (account, day) in &self.met {
            let sql = "insert or replace into days (skill, day, calls, tokens, microdollars, reserved_calls, reserved_tokens, reserved_microdollars, told)
                values (?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let (spent, reserved) = (day.spent, day.reserved);
            db.prepare_cached(sql)?.execute(params![
                account.skill.as_str(),
                account.day,
                amount(spent.calls),
                amount(spent.tokens),
                amount(spent.microdollars),
                amount(reserved.calls),
                amount(reserved.tokens),
                amount(reserved.microdollars),
                amount(day.told),
            ])?;
        }
        Ok(())
    }
}

/// Reads an account; one that nobody spent from is empty.
pub(super) fn read(db: &Connection, account: &DayAccount) -> rusqlite::Result<DaySpent> {
    let sql = "select calls, tokens, microdollars, reserved_calls, reserved_tokens, reserved_microdollars, told from days where skill = ? and day = ?";
    let mut find = db.prepare_cached(sql)?;
    let found = find.query_row(params![account.skill.as_str(), account.day], |row| {
        let at = |index| row.get::<_, i64>(index).map(|amount| amount.max(0).unsigned_abs());
        Ok(DaySpent {
            spent: Cost {
                calls: at(0)?,
                tokens: at(1)?,
                microdollars: at(2)?,
            },
            reserved: Cost {
                calls: at(3)?,
                tokens: at(4)?,
                microdollars: at(5)?,
            },
            told: at(6)?,
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

fn amount(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// Returns the body of an entry whose performance has no room, and what its seal is made of: it holds no reservation, so that whoever replays it knows that it was never begun.
pub(super) fn without_reservation(row: &EntryRow) -> (String, Draft) {
    let mut entry = form::entry(&row.columns(), &row.body).expect("it was made of an entry");
    refuse(&mut entry);
    let body = form::body(&entry);
    let draft = row.draft_with(&body);
    (body, draft)
}

/// Takes the reservation out of an entry whose performance has no room. It does not say of which budget: the run's own has room, and goes on being told of.
pub(crate) fn refuse(entry: &mut Entry) {
    match entry {
        Entry::Called(called) => {
            let called = Arc::make_mut(called);
            (called.reserved, called.reserved_day) = (None, None);
        }
        Entry::Retried(retried) => (retried.reserved, retried.reserved_day) = (None, None),
        other => unreachable!(
            "a {} entry has no reservation: the machine puts one beside its entry",
            other.kind()
        ),
    }
}
