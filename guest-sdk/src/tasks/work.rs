//! Does tasks in the order that their dependencies allow.

use futures::stream::{FuturesUnordered, StreamExt as _};

use super::plan::Plan;
use super::{Came, Done, Form, Past};
use crate::failure::{Failure, Result, code};
use crate::log;

/// Does the tasks of a plan; with `fail_fast` only until one fails.
pub(super) async fn run(plan: Plan<'_>, limit: usize, fail_fast: bool) -> Result<Done> {
    let mut state = State {
        came: plan.forms.iter().map(|_| None).collect(),
        plan: &plan,
        cancelled: None,
        first: None,
    };
    state.phase(limit, false, fail_fast).await;
    if let (Some(_), true) = (&state.first, fail_fast) {
        state.leave_out("another task failed");
    }
    if state.cancelled.is_none() {
        state.phase(limit, true, false).await;
    }
    if let Some(failure) = state.cancelled {
        return Err(failure);
    }
    match state.first {
        Some(failure) if fail_fast => Err(failure),
        _ => Ok(Done(named(&plan, state.came))),
    }
}

fn named(plan: &Plan<'_>, came: Vec<Option<Came>>) -> Vec<(String, Came)> {
    let came = came.into_iter().map(|came| came.expect("each task is over"));
    let names = plan.forms.iter().map(|form| form.name.clone());
    names.zip(came).collect()
}

struct State<'p, 'a> {
    plan: &'p Plan<'a>,
    came: Vec<Option<Came>>,
    /// The failure of a call that the run's cancellation ended: nothing more is begun then.
    cancelled: Option<Failure>,
    /// The first failure of a task that is not detached, with the task's name.
    first: Option<Failure>,
}

impl State<'_, '_> {
    /// Does the tasks that are detached, or those that are not.
    async fn phase(&mut self, limit: usize, detached: bool, fail_fast: bool) {
        let plan = self.plan;
        let mut waiting: Vec<usize> = (0..plan.forms.len())
            .filter(|index| plan.forms[*index].detached == detached && self.came[*index].is_none())
            .collect();
        let mut open = FuturesUnordered::new();
        loop {
            // A task that is left out may be what another waits for, so it is looked again from the start.
            while open.len() < limit
                && let Some(at) = waiting.iter().position(|index| self.is_ready(*index))
            {
                let index = waiting.remove(at);
                let past = self.past(index);
                match left_out(&plan.forms[index], &past) {
                    Some(why) => self.came[index] = Some(Came::LeftOut(why)),
                    None => open.push(async move { (index, attempts(&plan.forms[index], past).await) }),
                }
            }
            let Some((index, came)) = open.next().await else { break };
            self.note(index, came, detached);
            let over = self.cancelled.is_some() || (fail_fast && self.first.is_some());
            if over {
                // Dropping what is under way cancels it.
                break;
            }
        }
    }

    fn is_ready(&self, index: usize) -> bool {
        self.plan.needs[index].iter().all(|needed| self.came[*needed].is_some())
    }

    fn past(&self, index: usize) -> Past {
        let came = |needed: &usize| {
            let came = self.came[*needed].clone().expect("a task begins when these are over");
            (self.plan.forms[*needed].name.clone(), came)
        };
        Past {
            of: self.plan.forms[index].name.clone(),
            came: self.plan.needs[index].iter().map(came).collect(),
        }
    }

    fn note(&mut self, index: usize, came: Came, detached: bool) {
        let name = &self.plan.forms[index].name;
        if let Came::Failed(failure) = &came {
            if failure.is_cancelled() {
                self.cancelled.get_or_insert(failure.clone());
            } else if detached {
                log::warn!("task `{name}` failed, which nothing waits for: {failure}");
            } else if self.first.is_none() {
                self.first = Some(failure.clone().context(format!("task `{name}`")));
            }
        }
        self.came[index] = Some(came);
    }

    /// Says of what was not begun, or was under way, that it is left out. Detached tasks have their turn.
    fn leave_out(&mut self, why: &str) {
        for (form, came) in self.plan.forms.iter().zip(&mut self.came) {
            if !form.detached {
                came.get_or_insert_with(|| Came::LeftOut(why.to_owned()));
            }
        }
    }
}

/// Returns why a task is not begun, if it is not.
fn left_out(form: &Form<'_>, past: &Past) -> Option<String> {
    if let Some(when) = &form.when {
        return (!when(past)).then(|| "its `when` says so".to_owned());
    }
    past.came.iter().find_map(|(name, came)| match came {
        Came::Done(_) => None,
        Came::Failed(_) => Some(format!("`{name}` failed")),
        Came::LeftOut(_) => Some(format!("`{name}` was left out")),
    })
}

/// Does a task, again if it fails and may be tried again.
async fn attempts(form: &Form<'_>, past: Past) -> Came {
    let mut left = form.retries;
    loop {
        match (form.work)(past.clone()).await {
            Ok(value) => return Came::Done(value),
            Err(failure) if left == 0 || failure.is_fatal() || failure.code() == code::CANCELLED => {
                return Came::Failed(failure);
            }
            Err(failure) => {
                log::warn!("task `{}` is tried again: {failure}", form.name);
                left -= 1;
            }
        }
    }
}
