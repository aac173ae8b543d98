//! Keys of model providers that the user stored for when the environment has none.

use std::path::PathBuf;

use super::Secret;
use super::settings::{Name, OpenError};
use crate::stored::{Store, Stored, StoredBy, Unusable, VALUE_BYTES_MAX};

/// The providers that have a key.
pub const PROVIDERS: [Name; 2] = [Name::Anthropic, Name::OpenAi];

/// All keys that are stored.
pub type Keys = Store<Name>;

impl StoredBy for Name {
    const WHAT: &'static str = "key";
    const COMMAND: &'static str = "skillhost auth set PROVIDER";

    fn value(text: &str) -> Option<Stored> {
        let text = text.trim();
        let is_key = !text.is_empty() && text.len() <= VALUE_BYTES_MAX && text.chars().all(|c| c.is_ascii_graphic());
        is_key.then(|| Stored::Value(Secret::new(text)))
    }
}

impl From<Unusable> for OpenError {
    fn from(Unusable { what, reason }: Unusable) -> Self {
        Self::Setting { setting: what, reason }
    }
}

/// Where keys are stored, read when one is needed: most commands need none.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyFile(pub(crate) Option<PathBuf>);

impl KeyFile {
    pub(crate) fn load(&self) -> Result<Keys, Unusable> {
        self.0.as_deref().map_or_else(|| Ok(Keys::default()), Keys::load)
    }
}
