//! What a skill may spend in a day, as one of its runs meets it (rule B1): the account, and what whoever commits says of it.

use super::Machine;
use crate::budget::{Cost, DayAccount, DayNews, Over};
use crate::entry::By;
use crate::id::{Number, SkillName};
use crate::outcome::Outcome;

const DAY_US: i64 = 86_400_000_000;

impl Machine {
    /// Says what the skill may spend in a day, all its runs together. Whoever commits decides whether a performance fits, because other processes spend from it, too.
    #[must_use]
    pub fn with_day(mut self, limit: Option<Cost>) -> Self {
        self.meters.day_limit = limit;
        self
    }

    /// Takes in what whoever committed says of the day's account. What had no room is answered; its entry holds no reservation.
    pub(super) fn take_day_news(&mut self, news: Vec<DayNews>) {
        let skill = self.started.skill.clone();
        let is_futile = news.iter().any(|news| matches!(news, DayNews::Refused { .. }));
        let futile = self.meters.futile_in_day + u32::from(is_futile);
        for news in news {
            match news {
                DayNews::Refused { number, over } => self.refuse_for_day(number, &over, &skill),
                DayNews::Full(over) => {
                    let Over {
                        budget,
                        limit,
                        used,
                        wanted,
                    } = over;
                    let message = format!(
                        "the budget of skill `{skill}` for today has no room for a call that may need {}: {} spent or reserved",
                        budget.amount(wanted),
                        budget.share(used, limit)
                    );
                    self.tell_of_budget(100, message);
                }
                DayNews::Mark { percent, spent } => {
                    let share = spent.budget.share(spent.used, spent.limit);
                    let message = match percent {
                        100.. => format!("the budget of skill `{skill}` for today is used up: {share}"),
                        percent => {
                            format!("{percent} % of the budget of skill `{skill}` for today is spent: {share}")
                        }
                    };
                    self.tell_of_budget(percent, message);
                }
            }
        }
        // Answering the refused ones is no answer in between.
        self.meters.futile_in_day = futile;
    }

    /// Notes that something was answered: a run that waits for tomorrow, say, does not go on and on.
    pub(super) fn note_answer(&mut self) {
        self.meters.futile_in_day = 0;
    }

    fn refuse_for_day(&mut self, number: Number, over: &Over, skill: &SkillName) {
        let reserved = self.flights.change(number, |flight| flight.reserved.take());
        if let Some(Some(reserved)) = reserved {
            self.account.settle(reserved.cost, Cost::ZERO);
        }
        if self
            .flights
            .get(number)
            .is_some_and(|flight| !flight.in_flight() && flight.open)
        {
            let fault = over.fault_of_day(skill);
            self.answer(number, Outcome::from(fault), Some(Cost::ZERO), By::Effect);
        }
    }

    /// Returns which day it is where the user is.
    pub(super) fn day(&self) -> u32 {
        let zone = self.started.zone_offsets.iter().rfind(|offset| offset.from <= self.now);
        let ahead_us = zone.map_or(0, |offset| i64::from(offset.ahead_s) * 1_000_000);
        let now = i64::try_from(self.now.0).unwrap_or(i64::MAX);
        u32::try_from(now.saturating_add(ahead_us).div_euclid(DAY_US)).unwrap_or(0)
    }

    pub(super) fn day_account(&self, day: u32) -> DayAccount {
        DayAccount {
            skill: self.started.skill.clone(),
            day,
        }
    }
}
