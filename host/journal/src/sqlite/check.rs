//! Looks whether the database is sound, for whoever doubts it.

use super::SqliteJournal;
use crate::error::JournalError;

/// How many faults are told.
const FAULTS_MAX: u32 = 20;

impl SqliteJournal {
    /// Returns the format of the database, which opening brought it to: the same for all that this skillhost opens.
    pub fn format() -> usize {
        super::schema::MIGRATIONS.len()
    }

    /// Looks through the whole database and says in words what is damaged; nothing if it is sound. Takes longer the larger it is.
    pub fn check(&self) -> Result<Vec<String>, JournalError> {
        self.shared.read(|db| {
            let mut faults = Vec::new();
            db.pragma(None, "integrity_check", FAULTS_MAX, |row| {
                faults.push(row.get::<_, String>(0)?);
                Ok(())
            })?;
            db.pragma_query(None, "foreign_key_check", |row| {
                let table: String = row.get(0)?;
                faults.push(format!("a row of `{table}` refers to one that is not there"));
                Ok(())
            })?;
            faults.retain(|fault| fault != "ok");
            Ok(faults)
        })
    }
}
