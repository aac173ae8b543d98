//! Secrets that the user stored, and that the host fills in where a skill names them ([`skillhost_core::secret`]).
//!
//! A value goes to the host or program that it was granted for, and nowhere else. What comes back from one is searched for it (`redact`), before anybody is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use skillhost_core::grants::SecretName;
use skillhost_core::outcome::Fault;
use skillhost_core::secret;

use crate::model::Secret;
use crate::redact::Redactor;
use crate::stored::{Store, Stored, StoredBy, VALUE_BYTES_MAX};

/// The shortest secret, in bytes: a shorter one could not be told from other text where it comes back.
pub const SECRET_BYTES_MIN: usize = 8;

/// All secrets that are stored.
pub type Secrets = Store<SecretName>;

impl StoredBy for SecretName {
    const WHAT: &'static str = "secret";
    const COMMAND: &'static str = "skillhost secret set NAME";

    fn value(text: &str) -> Option<Stored> {
        let text = text.trim();
        let is_plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let is_secret = is_plain && (SECRET_BYTES_MIN..=VALUE_BYTES_MAX).contains(&text.len());
        is_secret.then(|| Stored::Value(Secret::new(text)))
    }
}

/// Where one run's secrets come from, and what it was told so far. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Vault {
    file: Option<PathBuf>,
    /// What was filled in since the run was loaded. A command may print another value each time, and what was told may come back at any time.
    told: Arc<Mutex<BTreeSet<(SecretName, String)>>>,
}

/// The values of all secrets that one performance needs.
#[derive(Default)]
pub(crate) struct Values(BTreeMap<SecretName, Secret>);

impl Vault {
    /// Makes one of the file that the user's secrets are in.
    pub(crate) fn at(file: PathBuf) -> Self {
        let told = Arc::default();
        Self { file: Some(file), told }
    }

    /// Looks up secrets. Whether they may be told is the caller's to know.
    pub(crate) async fn find(&self, names: Vec<SecretName>) -> Result<Values, Fault> {
        if names.is_empty() {
            return Ok(Values::default());
        }
        let vault = self.clone();
        blocking(move || vault.look_up(names)).await
    }

    fn look_up(&self, names: Vec<SecretName>) -> Result<Values, Fault> {
        let failed = |why: String| Fault::new(Fault::FAILED, format!("a secret could not be looked up: {why}"));
        let stored = self.load().map_err(failed)?;
        let mut values = BTreeMap::new();
        for name in names {
            let found = stored.get(&name).ok_or_else(|| {
                let message = format!("no secret `{name}` is stored: `skillhost secret set {name}` in a terminal does");
                Fault::new(Fault::DENIED, message)
            })?;
            let value = found.reveal(&name).map_err(|error| failed(error.to_string()))?;
            self.told().insert((name.clone(), value.reveal().to_owned()));
            values.insert(name, value);
        }
        Ok(Values(values))
    }

    /// Makes what finds secrets in what comes back: those that were told, and those that may be and are stored as they are.
    pub(crate) async fn redactor(&self, granted: Vec<SecretName>) -> Redactor {
        if granted.is_empty() {
            return Redactor::default();
        }
        let vault = self.clone();
        blocking(move || {
            let mut known = vault.told().clone();
            // What cannot be read now was not told from there either.
            let stored = vault.load().unwrap_or_default();
            for name in granted {
                if let Some(Stored::Value(value)) = stored.get(&name) {
                    known.insert((name, value.reveal().to_owned()));
                }
            }
            Redactor::of(&known)
        })
        .await
    }

    fn load(&self) -> Result<Secrets, String> {
        let loaded = self
            .file
            .as_deref()
            .map_or_else(|| Ok(Secrets::default()), Secrets::load);
        loaded.map_err(|error| error.to_string())
    }

    fn told(&self) -> MutexGuard<'_, BTreeSet<(SecretName, String)>> {
        self.told.lock().expect("nothing panics while it holds the lock")
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Values {
    /// Puts the values in the place of their names in a text.
    pub(crate) fn fill(&self, text: &str) -> Result<String, Fault> {
        let value = |name: &SecretName| {
            let found = self.0.get(name);
            found.expect("all that a request names is looked up").reveal()
        };
        secret::filled(text, value).map_err(|why| Fault::new(Fault::INVALID, why))
    }
}

/// Reads a file, or asks a command, where that holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("looking up a secret does not panic, and is not cancelled")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(names: &[&str]) -> Vec<SecretName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn vault(text: &str, mode: u32) -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, Vault::at(path))
    }

    #[tokio::test]
    async fn what_is_stored_is_found_and_what_is_not_is_denied_with_the_command_that_stores_it() {
        let text = "[one]\nkey = \"value-of-one\"\n[two]\ncommand = [\"echo\", \"value-of-two\"]\n";
        let (_folder, vault) = vault(text, 0o600);
        let values = vault.find(names(&["one", "two"])).await.unwrap();
        let filled = values.fill("{{secret:one}} {{secret:two}}").unwrap();
        assert_eq!(filled, "value-of-one value-of-two");
        let fault = vault.find(names(&["one", "three"])).await.err().unwrap();
        assert_eq!(fault.code, Fault::DENIED);
        assert!(
            fault.message.contains("`skillhost secret set three`"),
            "{}",
            fault.message
        );
        assert!(!format!("{vault:?}").contains("value"));
    }

    #[tokio::test]
    async fn what_was_told_is_found_where_it_comes_back_also_once_it_changed() {
        let (folder, vault) = vault("[one]\nkey = \"the-first-value\"\n", 0o600);
        vault.find(names(&["one"])).await.unwrap();
        std::fs::write(folder.path().join("secrets.toml"), "[one]\nkey = \"the-next-value\"\n").unwrap();
        let redactor = vault.redactor(names(&["one"])).await;
        let said = redactor.text("the-first-value, the-next-value".to_owned());
        assert_eq!(said, "{{secret:one}}, {{secret:one}}");
        assert!(vault.redactor(Vec::new()).await.is_idle());
    }

    #[tokio::test]
    async fn a_file_that_others_may_read_is_not_used_and_nothing_of_it_is_said() {
        for (text, mode) in [
            ("[one]\nkey = \"the-first-value\"\n", 0o640),
            ("[one]\nkey = the-first-value\n", 0o600),
            ("[one]\nkey = \"short\"\n", 0o600),
        ] {
            let (_folder, vault) = vault(text, mode);
            let fault = vault.find(names(&["one"])).await.err().unwrap();
            assert_eq!(fault.code, Fault::FAILED);
            assert!(
                !fault.message.contains("first") && !fault.message.contains("short"),
                "{}",
                fault.message
            );
        }
    }

    #[test]
    fn a_secret_is_one_line_that_can_be_told_from_other_text() {
        for text in [
            "",
            "short",
            "two\nlines-of-it",
            "tab\tbed-value",
            "ümlauts-of-it",
            &"x".repeat(VALUE_BYTES_MAX + 1),
        ] {
            assert_eq!(SecretName::value(text), None, "{text:?}");
        }
        let stored = SecretName::value(" pass word 12 \n");
        assert!(matches!(stored, Some(Stored::Value(value)) if value.reveal() == "pass word 12"));
    }
}
