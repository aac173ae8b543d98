//! What a component says of itself: kept in the journal, or asked of the component.

use std::io;
use std::sync::Arc;

use skillhost_core::id::{Digest, SkillName};
use skillhost_journal::{Journal, JournalError, RunRow};
use skillhost_runtime::{Description, LoadError, Loader};

use crate::driver::{self, DriveError};
use crate::error::CliError;
use crate::exit::Exit;
use crate::schema::Schema;

/// The word for programs that a component does not load.
pub const DOES_NOT_LOAD: &str = "does_not_load";

/// Why a component's description cannot be had.
#[derive(Debug)]
pub enum DescribeError {
    /// The journal cannot be read or written.
    Journal(JournalError),
    /// The component does not load.
    Load(LoadError),
    /// It does not describe itself.
    Describe(skillhost_runtime::DescribeError),
}

impl DescribeError {
    /// Says it to whoever named the skill.
    pub fn for_user(self, skill: &str) -> CliError {
        match self {
            Self::Journal(error) => error.into(),
            Self::Load(e) => {
                let exit = if e.may_pass() { Exit::Host } else { Exit::Unsupported };
                CliError::new(exit, DOES_NOT_LOAD, format!("skill `{skill}` does not load"))
                    .caused_by(&e)
                    .hint("`skillhost skills` shows what is installed and what is wrong with it")
            }
            Self::Describe(e) => {
                CliError::of(Exit::Unsupported, "bad_description", &e).hint("rebuild the skill, or tell its author")
            }
        }
    }
}

/// Returns what the input of a skill has to fit.
pub fn input_schema(skill: &SkillName, description: &Description) -> Result<Schema, CliError> {
    schema(skill, "input", &description.input_schema)
}

/// Returns what the result of a skill has to fit.
pub fn output_schema(skill: &SkillName, description: &Description) -> Result<Schema, CliError> {
    schema(skill, "output", &description.output_schema)
}

fn schema(skill: &SkillName, which: &str, value: &serde_json::Value) -> Result<Schema, CliError> {
    Schema::of(value.clone()).map_err(|reason| {
        let message = format!("the {which} schema of skill `{skill}` cannot be used: {reason}");
        CliError::new(Exit::Unsupported, "bad_description", message).hint("rebuild the skill, or tell its author")
    })
}

/// Returns what was kept of a component's description. One in a form that is no longer understood counts as absent.
pub fn kept(journal: &dyn Journal, component: &Digest) -> Result<Option<Description>, JournalError> {
    let text = journal.description(component)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Asks a component, and keeps what it says.
pub async fn ask(
    journal: &dyn Journal,
    loader: &Loader,
    component: Digest,
    bytes: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
) -> Result<Description, DescribeError> {
    let loaded = loader.load(component, bytes).await.map_err(DescribeError::Load)?;
    let description = loaded.describe().await.map_err(DescribeError::Describe)?;
    let text = serde_json::to_string(description).expect("a description serialises");
    journal
        .put_description(&component, driver::now(), &text)
        .map_err(DescribeError::Journal)?;
    Ok(description.clone())
}

/// Returns what reads the component of a run from the journal.
pub fn pinned_bytes(
    journal: &Arc<dyn Journal>,
    component: Digest,
) -> impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static {
    let journal = Arc::clone(journal);
    move || match journal.blob(&component) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(io::Error::new(io::ErrorKind::NotFound, "the journal no longer has it")),
        Err(e) => Err(io::Error::other(e)),
    }
}

/// Returns what the result of a run has to fit, as the component says that it is pinned to.
pub async fn result_schema(journal: &Arc<dyn Journal>, loader: &Loader, row: &RunRow) -> Result<Schema, DriveError> {
    let broken = |reason: String| DriveError::Broken {
        run: row.run.clone(),
        reason,
    };
    let description = match kept(journal.as_ref(), &row.component)? {
        Some(description) => description,
        None => {
            let bytes = pinned_bytes(journal, row.component);
            let asked = ask(journal.as_ref(), loader, row.component, bytes).await;
            asked.map_err(|error| match error {
                DescribeError::Journal(error) => DriveError::Journal(error),
                DescribeError::Load(source) => DriveError::Load {
                    run: row.run.clone(),
                    source,
                },
                DescribeError::Describe(error) => broken(format!("its component does not describe itself: {error}")),
            })?
        }
    };
    Schema::of(description.output_schema)
        .map_err(|reason| broken(format!("its output schema cannot be used: {reason}")))
}
