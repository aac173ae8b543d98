//! Finds the run that a person means.

use std::collections::BTreeSet;

use skillhost_core::id::RunId;

use crate::error::FindError;

/// The most matches that an error lists.
const MATCHES_SHOWN_MAX: usize = 5;

/// How alike a text has to be to an id for it to be suggested (0 to 1).
const LIKENESS_MIN: f64 = 0.6;

/// Returns the run that `text` names among `known`: pairs of a run id and the launch id it is known by, newest first. A launch id that several runs had
/// stands for the newest of them. A whole id wins over parts of others.
pub(crate) fn find(text: &str, known: &[(RunId, String)]) -> Result<RunId, FindError> {
    let lower = text.to_ascii_lowercase();
    let whole = known
        .iter()
        .find(|(run, launch)| run.as_str() == lower || launch == text);
    if let Some((run, _)) = whole {
        return Ok(run.clone());
    }
    if text.chars().count() < FindError::LENGTH_MIN {
        return Err(FindError::TooShort { text: text.to_owned() });
    }
    let mut matches = Vec::new();
    let mut launches = BTreeSet::new();
    for (run, launch) in known {
        let by_launch = launch.starts_with(text) || launch.ends_with(text);
        let by_run = run.as_str().starts_with(&lower) || run.as_str().ends_with(&lower);
        // A launch stands for its newest run, so the others that it had do not make it ambiguous.
        if (by_launch && launches.insert(launch)) || (!by_launch && by_run) {
            matches.push((run, launch));
        }
    }
    match matches.as_slice() {
        [] => Err(FindError::Unknown {
            text: text.to_owned(),
            nearest: nearest(text, known),
        }),
        [(run, _)] => Ok((*run).clone()),
        several => Err(FindError::Ambiguous {
            text: text.to_owned(),
            matches: several
                .iter()
                .take(MATCHES_SHOWN_MAX)
                .map(|(run, launch)| name(run, launch))
                .collect(),
            more: several.len().saturating_sub(MATCHES_SHOWN_MAX),
        }),
    }
}

fn name(run: &RunId, launch: &str) -> String {
    match run.as_str() == launch {
        true => run.to_string(),
        false => format!("{launch} ({run})"),
    }
}

fn nearest(text: &str, known: &[(RunId, String)]) -> Option<String> {
    let ids = known.iter().flat_map(|(run, launch)| [run.as_str(), launch.as_str()]);
    ids.map(|id| (strsim::jaro_winkler(text, id), id))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, id)| id.to_owned())
}
