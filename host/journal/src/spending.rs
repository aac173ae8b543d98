//! What was spent on models, told of entries: each performance once, with the model that was asked.

use std::collections::HashMap;
use std::hash::Hash;

use skillhost_core::budget::Cost;
use skillhost_core::calls::model::Request;
use skillhost_core::effect::Function;
use skillhost_core::entry::{Called, Entry, Started};
use skillhost_core::id::{Number, RunId, SkillName};
use skillhost_core::time::Timestamp;

/// What one performance spent, or what was reserved for it and is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// The run.
    pub run: RunId,
    /// Its skill.
    pub skill: SkillName,
    /// The model, by its full id where that is known.
    pub model: String,
    /// When it was answered, or reserved.
    pub at: Timestamp,
    /// What was spent.
    pub spent: Cost,
    /// What is reserved: it goes on, or nobody knows what it spent.
    pub open: Cost,
    /// Whether the run knew what the model costs.
    pub priced: bool,
}

/// Reads entries in the order of their runs, whose entries may be mixed, and tells what was spent.
pub(crate) struct Ledger<'a, K> {
    runs: HashMap<K, Started>,
    calls: HashMap<(K, Number), Open>,
    each: &'a mut dyn FnMut(Spending),
}

/// A call that has no outcome yet.
struct Open {
    model: String,
    at: Timestamp,
    /// What is reserved for its last performance.
    reserved: Cost,
    /// What was reserved for those before, of which nobody knows what they spent.
    lost: Cost,
}

impl<'a, K: Copy + Eq + Hash> Ledger<'a, K> {
    pub(crate) fn new(each: &'a mut dyn FnMut(Spending)) -> Self {
        Self {
            runs: HashMap::new(),
            calls: HashMap::new(),
            each,
        }
    }

    /// Takes an entry of the run with this key. `model` is what the request of a call names.
    pub(crate) fn take(&mut self, run: K, at: Timestamp, entry: Entry, model: Option<String>) {
        match entry {
            Entry::Started(started) => drop(self.runs.insert(run, *started)),
            Entry::Called(called) => self.called(run, at, &called, model),
            Entry::Retried(retried) => {
                let Some(call) = self.calls.get_mut(&(run, retried.number)) else {
                    return;
                };
                let before = std::mem::replace(&mut call.reserved, retried.reserved.unwrap_or_default());
                match retried.spent {
                    Some(spent) => {
                        let model = call.model.clone();
                        self.tell(run, model, at, spent, Cost::ZERO);
                    }
                    None => call.lost = call.lost.plus(before),
                }
            }
            Entry::Returned(returned) => {
                let Some(call) = self.calls.remove(&(run, returned.number)) else {
                    return;
                };
                let (spent, open) = match returned.spent {
                    Some(spent) => (spent, call.lost),
                    None => (Cost::ZERO, call.lost.plus(call.reserved)),
                };
                self.tell(run, call.model, at, spent, open);
            }
            _ => {}
        }
    }

    /// Tells of what was never answered.
    pub(crate) fn end(mut self) {
        for ((run, _), call) in std::mem::take(&mut self.calls) {
            self.tell(run, call.model, call.at, Cost::ZERO, call.lost.plus(call.reserved));
        }
    }

    fn called(&mut self, run: K, at: Timestamp, called: &Called, model: Option<String>) {
        // What has no reservation was never begun; what a copy holds was another run's (rule F5), until it is performed again.
        let (true, Some(reserved)) = (called.function == Function::MODEL_COMPLETE, called.reserved) else {
            return;
        };
        let named = called.tier.clone().or(model).unwrap_or_default();
        let models = self.runs.get(&run).map(|started| &started.provider.models);
        let model = models.and_then(|models| models.get(&named).cloned()).unwrap_or(named);
        let open = Open {
            model,
            at,
            reserved,
            lost: Cost::ZERO,
        };
        self.calls.insert((run, called.number), open);
    }

    fn tell(&mut self, run: K, model: String, at: Timestamp, spent: Cost, open: Cost) {
        let Some(started) = self
            .runs
            .get(&run)
            .filter(|_| spent != Cost::ZERO || open != Cost::ZERO)
        else {
            return;
        };
        (self.each)(Spending {
            run: started.run.clone(),
            skill: started.skill.clone(),
            priced: started.provider.simulated || started.limits.prices.of(&model).is_some(),
            model,
            at,
            spent,
            open,
        });
    }
}

/// Returns the model that a recorded call names.
pub(crate) fn named(entry: &Entry) -> Option<String> {
    let Entry::Called(called) = entry else { return None };
    let request: Request = called.request.read().ok()?;
    Some(request.model)
}
