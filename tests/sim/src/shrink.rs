//! Makes a case that fails smaller: fewer kinds of fault, fewer faults, fewer runs, as long as it still fails.

use crate::plan::{Case, Fault};
use crate::run;

/// Returns a case that fails, too, from which nothing more can be taken away. What it fails with may be something else.
pub fn shrink(case: &Case) -> Case {
    let mut least = case.clone();
    loop {
        let smaller = smaller(&least)
            .into_iter()
            .find(|case| run(case, false).violation.is_some());
        match smaller {
            Some(smaller) => least = smaller,
            None => return least,
        }
    }
}

/// Returns what a case may be replaced by, the smallest first.
fn smaller(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let injected: usize = run(case, false).injected.values().sum();
    let most = case.faults_max.unwrap_or(injected).min(injected);
    let fewer = [0, most / 2, most.saturating_sub(1)];
    let fewer = fewer
        .into_iter()
        .filter(|faults| case.faults_max.is_none_or(|most| *faults < most));
    all.extend(fewer.map(|faults| Case {
        faults_max: Some(faults),
        ..case.clone()
    }));
    for runs in 1..case.runs_max.unwrap_or(3) {
        all.push(Case {
            runs_max: Some(runs),
            ..case.clone()
        });
    }
    for fault in Fault::ALL.iter().filter(|fault| !case.without.contains(fault)) {
        let mut without = case.without.clone();
        without.insert(*fault);
        all.push(Case {
            without,
            ..case.clone()
        });
    }
    all
}
