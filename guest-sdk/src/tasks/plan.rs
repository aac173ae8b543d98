//! Checks that tasks fit together, before any begins.

use super::{Form, Tasks};
use crate::failure::{Failure, Result, code};

/// Tasks that fit together: names occur once, dependencies exist, and none leads back to where it came from.
pub(super) struct Plan<'a> {
    pub(super) forms: Vec<Form<'a>>,
    /// For each task the tasks that it depends on.
    pub(super) needs: Vec<Vec<usize>>,
}

impl<'a> Tasks<'a> {
    /// Checks that the tasks fit together.
    pub(super) fn checked(&mut self) -> Result<Plan<'a>> {
        let forms = std::mem::take(&mut self.forms);
        let wrong = |message: String| Err(Failure::new(code::INVALID, message));
        let place = |name: &str| forms.iter().position(|form| form.name == name);
        let mut needs = Vec::new();
        for (index, form) in forms.iter().enumerate() {
            let name = &form.name;
            if place(name) != Some(index) {
                return wrong(format!("there are two tasks of the name `{name}`"));
            }
            let mut of_task = Vec::new();
            for needed in &form.depends_on {
                let Some(other) = place(needed) else {
                    let known: Vec<String> = forms.iter().map(|form| format!("`{}`", form.name)).collect();
                    return wrong(format!(
                        "task `{name}` depends on `{needed}`, which is no task; there are {}",
                        known.join(", ")
                    ));
                };
                if forms[other].detached && !form.detached {
                    return wrong(format!(
                        "task `{name}` depends on `{needed}`, which is detached and so done after all others"
                    ));
                }
                of_task.push(other);
            }
            needs.push(of_task);
        }
        if let Some(cycle) = cycle(&needs) {
            let names: Vec<String> = cycle.iter().map(|task| format!("`{}`", forms[*task].name)).collect();
            return wrong(format!(
                "tasks depend on each other in a circle: {}",
                names.join(" on ")
            ));
        }
        Ok(Plan { forms, needs })
    }
}

/// Returns a way that leads from a task back to it, if there is one.
fn cycle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    // Takes away tasks that depend on nothing that is left; whatever then remains depends on something that remains.
    let mut left: Vec<usize> = (0..needs.len()).collect();
    loop {
        let before = left.len();
        let remaining = left.clone();
        left.retain(|task| needs[*task].iter().any(|needed| remaining.contains(needed)));
        if left.len() == before {
            break;
        }
    }
    let mut way = vec![*left.first()?];
    loop {
        let last = *way.last().expect("it begins with one");
        let next = *needs[last].iter().find(|needed| left.contains(needed))?;
        if let Some(start) = way.iter().position(|task| *task == next) {
            way.drain(..start);
            way.push(next);
            return Some(way);
        }
        way.push(next);
    }
}
