//! What a run was granted, asked again whenever something is performed.
//!
//! A run may do what its `started` entry says, as long as the user has not taken it back since: what is granted today is read anew for each performance.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use skillhost_core::grants::{Denied, Grants, Place, Program, SecretName, Site};
use skillhost_core::id::SkillName;
use skillhost_core::outcome::Fault;

use crate::redact::Redactor;
use crate::secrets::{Values, Vault};

/// What a run was granted. Cheap to clone.
#[derive(Clone)]
pub struct Granted {
    skill: SkillName,
    /// What `skillhost grant` knows the skill by.
    word: String,
    at_launch: Arc<Grants>,
    today: Arc<Today>,
    vault: Vault,
}

type Today = dyn Fn() -> Result<Grants, String> + Send + Sync;

impl Granted {
    /// Makes it out of what the run was launched with, and of what tells what its skill is granted today, or why nobody can tell.
    pub fn new(
        skill: SkillName,
        at_launch: Grants,
        today: impl Fn() -> Result<Grants, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            word: skill.to_string(),
            skill,
            at_launch: Arc::new(at_launch),
            today: Arc::new(today),
            vault: Vault::default(),
        }
    }

    /// Returns the same, with secrets from the file that the user's are in; without one, there are none.
    #[must_use]
    pub fn with_secrets(self, file: PathBuf) -> Self {
        let vault = Vault::at(file);
        Self { vault, ..self }
    }

    /// Returns the same, of a skill that `skillhost grant` knows by another word.
    #[must_use]
    pub fn known_as(self, word: &str) -> Self {
        Self {
            word: word.to_owned(),
            ..self
        }
    }

    /// Finds the grant by which a program may be run now, and be told these secrets.
    pub(crate) fn program(&self, program: &str, variables: &[&str], secrets: &[SecretName]) -> Result<Program, Fault> {
        let find = |grants: &Grants| grants.program(program, variables.iter().copied(), secrets).cloned();
        let (at_launch, today) = self.check(find)?;
        Ok(at_launch.within(&today))
    }

    /// Finds the grant by which a place may be spoken with now, and be told these secrets.
    pub(crate) fn site(&self, method: &str, place: &Place, secrets: &[SecretName]) -> Result<Site, Fault> {
        let (at_launch, today) = self.check(|grants| grants.site(method, place, secrets).cloned())?;
        Ok(at_launch.within(&today))
    }

    /// Looks up secrets, of which it was checked that they may be told.
    pub(crate) async fn secrets(&self, names: &[SecretName]) -> Result<Values, Fault> {
        self.vault.find(names.to_vec()).await
    }

    /// Returns what finds the run's secrets in what a server or a program says.
    pub(crate) async fn redactor(&self) -> Redactor {
        self.vault.redactor(self.at_launch.secrets().cloned().collect()).await
    }

    /// Checks that a folder may be used now.
    pub(crate) fn folder(&self, mount: &str, path: &str, writable: bool) -> Result<(), Fault> {
        self.check(|grants| grants.uses(mount, path, writable)).map(drop)
    }

    /// Checks that a skill may be called now.
    ///
    /// # Errors
    /// With the fault that answers the call.
    pub fn skill(&self, name: &SkillName) -> Result<(), Fault> {
        self.check(|grants| grants.skill(name)).map(drop)
    }

    /// Asks what was granted at the launch, and then what is today, and returns both: only what both allow is allowed.
    fn check<T>(&self, find: impl Fn(&Grants) -> Result<T, Denied>) -> Result<(T, T), Fault> {
        let denied = |why: String| Fault::new(Fault::DENIED, why);
        let (skill, word) = (&self.skill, &self.word);
        let at_launch = find(&self.at_launch).map_err(|why| {
            denied(format!(
                "{why} to skill `{skill}`: `skillhost grant {word}` shows what it asks for, and grants it to runs that are launched from then on"
            ))
        })?;
        let today = (self.today)().map_err(|why| denied(format!("nobody can say what is granted today: {why}")))?;
        let today = find(&today).map_err(|why| {
            denied(format!(
                "{why} to skill `{skill}` any more: it was when the run was launched, and was revoked since; `skillhost grant {word}` grants it again"
            ))
        })?;
        Ok((at_launch, today))
    }
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted")
            .field("skill", &self.skill)
            .field("at_launch", &self.at_launch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn grants(programs: &[&str]) -> Grants {
        let mut grants = Grants::default();
        for program in programs {
            grants.add(
                &skillhost_core::grants::asked("process", Some(program), None)
                    .unwrap()
                    .unwrap(),
            );
        }
        grants
    }

    #[test]
    fn what_was_revoked_since_the_launch_is_denied_and_what_was_granted_since_is_too() {
        let skill = SkillName::parse("fixer").unwrap();
        let granted = Granted::new(skill, grants(&["cargo", "git"]), || Ok(grants(&["cargo", "sh"])));
        assert!(granted.program("cargo", &[], &[]).is_ok());
        let said = |program: &str| granted.program(program, &[], &[]).unwrap_err().message;
        assert!(said("git").contains("was revoked since"), "{}", said("git"));
        assert!(said("sh").contains("`skillhost grant fixer` shows"), "{}", said("sh"));
    }

    #[test]
    fn what_is_granted_in_a_wider_way_later_is_for_later_runs() {
        let asked = |capability: &str, target: &str, access: &str| {
            skillhost_core::grants::asked(capability, Some(target), Some(access))
                .unwrap()
                .unwrap()
        };
        let (mut at_launch, mut today) = (Grants::default(), Grants::default());
        at_launch.add(&asked("process", "sh", "GREETING"));
        at_launch.add(&asked("http", "example.org", "read"));
        today.add(&asked("process", "sh", "GREETING TOKEN"));
        today.add(&asked("http", "example.org", "read private"));
        let skill = SkillName::parse("fixer").unwrap();
        let names = |granted: &Granted| {
            let program = granted.program("sh", &[], &[]).unwrap();
            program
                .environment
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        let place = Place {
            secure: true,
            host: "example.org".to_owned(),
            port: 443,
        };
        let (wide, narrow) = (today.clone(), at_launch.clone());
        let later = Granted::new(skill.clone(), at_launch, move || Ok(wide.clone()));
        assert_eq!(names(&later), ["GREETING"]);
        assert!(!later.site("GET", &place, &[]).unwrap().private);
        let revoked = Granted::new(skill, today, move || Ok(narrow.clone()));
        assert_eq!(names(&revoked), ["GREETING"]);
        assert!(!revoked.site("GET", &place, &[]).unwrap().private);
    }

    #[test]
    fn if_nobody_can_say_what_is_granted_nothing_is() {
        let skill = SkillName::parse("fixer").unwrap();
        let granted = Granted::new(skill, grants(&["cargo"]), || Err("the file is damaged".to_owned()));
        let fault = granted.program("cargo", &[], &[]).unwrap_err();
        assert_eq!(fault.code, Fault::DENIED);
        assert!(fault.message.contains("the file is damaged"), "{}", fault.message);
    }
}
