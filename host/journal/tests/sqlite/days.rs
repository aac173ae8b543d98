//! A day's account that several processes spend from.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use skillhost_core::budget::{Account, Cost, DayAccount, DayNews};
use skillhost_core::entry::{Called, Entry};
use skillhost_core::id::{Number, Seq, SkillName};
use skillhost_core::machine::{Local, Write};
use skillhost_journal::{Journal, RunWriter};

use crate::open_again;
use crate::support::{Stage, append, called, entry, json, returned};

const LIMIT: Cost = Cost {
    calls: 12,
    tokens: 300,
    microdollars: u64::MAX,
};

fn account() -> DayAccount {
    DayAccount {
        skill: SkillName::parse("greeter").unwrap(),
        day: 20_000,
    }
}

fn cost(tokens: u64) -> Cost {
    Cost {
        calls: 1,
        tokens,
        microdollars: 0,
    }
}

/// A run as a process drives it: what it began and has not settled, and what was ever really begun.
struct Spender {
    writer: RunWriter,
    open: Vec<(Number, Cost)>,
    called: u64,
}

impl Spender {
    /// Asks for a performance, and returns whether it may begin.
    fn begin(&mut self, bound: Cost) -> bool {
        let number = Number(self.called);
        self.called += 1;
        let reserve = Local::Reserve {
            account: account(),
            number,
            bound,
            limit: LIMIT,
        };
        let Entry::Called(call) = called(number.0, json("\"ask\"")) else {
            unreachable!("it is a call")
        };
        let call = Entry::Called(Arc::new(Called {
            reserved: Some(bound),
            ..Called::clone(&call)
        }));
        let seq = self.writer.next().0;
        append(&mut self.writer, [Write::Local(reserve), entry(seq, call)]).unwrap();
        let news = self.writer.take_day_news();
        let may = !news.iter().any(|news| matches!(news, DayNews::Refused { .. }));
        if may {
            self.open.push((number, bound));
        }
        may
    }

    /// Settles the first performance that is open.
    fn end(&mut self, spent: Cost) -> Option<(Cost, Cost)> {
        if self.open.is_empty() {
            return None;
        }
        let (number, reserved) = self.open.remove(0);
        let spent = Cost {
            tokens: spent.tokens.min(reserved.tokens),
            ..spent
        };
        let settle = Local::Settle {
            account: account(),
            reserved,
            spent,
            limit: LIMIT,
        };
        let seq = self.writer.next().0;
        append(
            &mut self.writer,
            [Write::Local(settle), entry(seq, returned(number.0, json("1")))],
        )
        .unwrap();
        Some((reserved, spent))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Begin(usize, u64),
    End(usize, u64),
    /// The process dies: what it had begun is in doubt for ever.
    Crash(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_usize, 0..120_u64).prop_map(|(who, bound)| Step::Begin(who, bound)),
        3 => (0..3_usize, 0..120_u64).prop_map(|(who, spent)| Step::End(who, spent)),
        1 => (0..3_usize).prop_map(Step::Crash),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What is spent and reserved never exceeds the budget when a performance begins, however three processes take turns; and a run's own account says the same of it.
#[test]
fn b1_no_performance_begins_beyond_the_budget_whoever_spends_from_it() {
    let config = Config {
        cases: 40,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            let stage = Stage::sqlite();
            let others = [open_again(&stage), open_again(&stage)];
            let mut spenders: Vec<Spender> = (1..=3)
                .map(|n| {
                    let run = stage.create(n);
                    let epoch = stage.claim(&run, "worker");
                    let journal: &dyn Journal = match n {
                        1 => stage.journal.as_ref(),
                        n => &others[n as usize - 2],
                    };
                    Spender {
                        writer: journal.writer(&run, epoch, Seq(1)),
                        open: Vec::new(),
                        called: 0,
                    }
                })
                .collect();
            let mut model = Account::new(LIMIT);
            for step in steps {
                match step {
                    Step::Begin(who, bound) => {
                        let fits = model.reserve(cost(bound)).is_ok();
                        prop_assert_eq!(spenders[who].begin(cost(bound)), fits);
                        let spent = model.spent();
                        prop_assert!(!fits || (spent.calls <= LIMIT.calls && spent.tokens <= LIMIT.tokens));
                    }
                    Step::End(who, spent) => {
                        if let Some((reserved, spent)) = spenders[who].end(cost(spent)) {
                            model.settle(reserved, spent);
                        }
                    }
                    Step::Crash(who) => spenders[who].open.clear(),
                }
                let day = stage.journal.day_spent(&account()).unwrap();
                prop_assert_eq!(
                    (day.spent, day.spent.minus(day.reserved)),
                    (model.spent(), model.settled())
                );
            }
            Ok(())
        })
        .unwrap();
}
