//! What is known of an installed skill beside what lies in its folder: the last bundle of it that could be used.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skillhost_core::id::{Digest, SkillName};
use skillhost_core::time::Timestamp;

/// Where a skill is installed: by its name, in a folder of skills.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkillPlace {
    /// The folder of skills.
    pub folder: PathBuf,
    /// The name of its folder in there.
    pub skill: SkillName,
}

/// A skill that is installed.
#[derive(Clone, Debug, PartialEq)]
pub struct InstalledRow {
    /// Where.
    pub place: SkillPlace,
    /// The last bundle of it that could be used. It is kept as long as this is known.
    pub bundle: Digest,
    /// The component in it.
    pub component: Digest,
    /// Since when.
    pub at: Timestamp,
    /// Why what lies there now cannot be used, if it cannot: then the bundle is an older one.
    pub problem: Option<Problem>,
}

/// Why what lies in a skill's folder cannot be used. The author of the skill or its user has to act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A short word in snake case.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}
