//! What is asked of a new run, and the `started` entry that is made of it: input, bundle, provider and limits are settled before anything is spent.

use serde_json::Value;
use skillhost_core::entry::{self, Giving, Mount, Started};
use skillhost_core::id::{Digest, LaunchId, SkillName};
use skillhost_effects::files;
use skillhost_effects::model::{Name, Settings};
use skillhost_runtime::{Description, EngineConfig};

use super::budget::BudgetArgs;
use super::context::Session;
use super::launch::{self, bounded};
use crate::config::Config;
use crate::describe::input_schema;
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants::{self, Grantee, MountRequest};
use crate::input::{About, Raw, Spelling};
use crate::installed::Edition;
use crate::limits;
use crate::mounts::{self, Ground, Word};
use crate::schema::Schema;
use crate::terminal;
use crate::zone;

/// What is asked of a new run.
pub(super) struct Order<'a> {
    /// The input, as it was typed.
    pub(super) raw: &'a Raw,
    /// How its fields were spelt.
    pub(super) spelling: Spelling,
    /// Whether the skill's own script is to answer.
    pub(super) offline: bool,
    /// The model provider, if one is named.
    pub(super) provider: Option<&'a str>,
    /// What the run is given of the user's folders.
    pub(super) mounts: &'a [Word],
    /// What it may spend.
    pub(super) budget: BudgetArgs,
}

impl Order<'_> {
    /// Makes the first entry of a run. The launch is known by the run's own id.
    pub(super) fn started(&self, session: &Session<'_>, edition: &Edition) -> Result<Started> {
        let context = session.context;
        let config = context.config()?;
        let skill = &edition.skill;
        let schema = input_schema(skill, &edition.description)?;
        let what = format!("the input of skill `{skill}`");
        let about = About {
            what: &what,
            flags: match self.spelling {
                Spelling::Flag => launch::flags,
                Spelling::Word => Vec::new,
            },
            spelling: self.spelling,
        };
        let mut input = self.raw.assemble(&schema, about)?;
        let mounts = self.mounts(session, edition, &mut input, &schema)?;
        let input = bounded(&what, &input)?;
        let provider = provider(self, &config, edition, session)?;
        check_needs(skill, &edition.description, &provider)?;
        let limits = self.budget.limits(context, skill, &provider)?;
        let run = driver::new_run_id();
        Ok(Started {
            launch: LaunchId::parse(run.as_str()).expect("a run id is a launch id"),
            run,
            skill: skill.clone(),
            input,
            bundle: edition.bundle,
            component: edition.component,
            seed: seed()?,
            zone: context.zone.iana_name().unwrap_or("UTC").to_owned(),
            zone_offsets: zone::offsets(&context.zone, driver::now()),
            mounts,
            limits,
            provider,
            engine: limits::engine(&config.limits, EngineConfig::one_run()).profile(),
            semantics: entry::SEMANTICS,
            parent: None,
            continues: None,
            caller: None,
            skills_folder: context.installed.root().to_str().map(str::to_owned),
            grants: grants::of(&context.home, skill)?,
        })
    }
}

impl Order<'_> {
    /// Settles which folders the run may use: those that every run has, and those of the user that its launch gives it. What the guest calls the paths in the input
    /// takes their place there.
    fn mounts(
        &self,
        session: &Session<'_>,
        edition: &Edition,
        input: &mut Value,
        schema: &Schema,
    ) -> Result<Vec<Mount>> {
        let ground = session.context.ground();
        let own = [(files::DATA, true), (files::RUN, true), (files::SKILL, false)];
        let mut all: Vec<Mount> = own.map(|(name, writable)| Mount::own(name, writable)).into();
        for word in self.mounts {
            let mount = ground.named(word, Giving::Launch)?;
            agree(ground, &mount, session)?;
            all.push(mount);
        }
        all.extend(ground.of_input(input, schema)?);
        let granted = grants::of(&session.context.home, &edition.skill)?;
        for request in grants::mounts_asked(&edition.description).0 {
            let name = &request.mount.name;
            match all.iter().find(|mount| mount.name == *name) {
                Some(mount) if request.mount.writable && !mount.writable => {
                    return Err(unmounted(&request, edition, session));
                }
                Some(_) => continue,
                None => {}
            }
            let word = match granted.folder(name) {
                Some(folder) if folder.writable || !request.mount.writable => Word {
                    name: name.clone(),
                    path: folder.path.clone(),
                    // A version that asks for less is given less.
                    writable: request.mount.writable,
                },
                _ => {
                    let mount = ground.named(&asked_for(&request, edition, session)?, Giving::Answer)?;
                    agree(ground, &mount, session)?;
                    all.push(mount);
                    continue;
                }
            };
            all.push(ground.named(&word, Giving::Grant)?);
        }
        mounts::check_all(&all)?;
        Ok(all)
    }
}

/// Says that a skill asks for a folder that it was not given.
fn unmounted(request: &MountRequest, edition: &Edition, session: &Session<'_>) -> CliError {
    let skill = &edition.skill;
    let grantee = Grantee::of(&session.context.home, skill);
    let message = format!("skill `{skill}` asks to {}: {}", request.words(), request.reason);
    CliError::invalid("not_mounted", message).hint(format!(
        "add `{}` to the command; `skillhost grant {grantee} {0}` gives it to every run",
        request.flag()
    ))
}

/// Asks the person who is there for a folder that a skill asks for.
fn asked_for(request: &MountRequest, edition: &Edition, session: &Session<'_>) -> Result<Word> {
    if !session.context.is_attended() {
        return Err(unmounted(request, edition, session));
    }
    terminal::note(&format!(
        "skill {} asks to {}\n    {}",
        edition.skill,
        request.words(),
        request.reason
    ));
    let typed = terminal::ask("which folder, for this run? ").blocking_recv();
    match typed.ok().as_deref().map(str::trim) {
        None | Some("") => Err(unmounted(request, edition, session)),
        Some(path) => Ok(Word {
            name: request.mount.name.clone(),
            path: path.to_owned(),
            writable: request.mount.writable,
        }),
    }
}

/// Chooses the model provider of a new run and checks that it can be used, before anything is spent.
fn provider(order: &Order<'_>, config: &Config, edition: &Edition, session: &Session<'_>) -> Result<entry::Provider> {
    let settings: Settings = session.context.settings(config);
    let named = order.provider.map(str::parse::<Name>).transpose()?;
    let explicit = if order.offline { Some(Name::Offline) } else { named };
    let choice = settings.choose(explicit)?;
    // Nothing was configured: a script answers, and somebody may take that for an answer.
    if choice.name == Name::Offline
        && let Some(hint) = &choice.hint
    {
        if session.context.json {
            let message = format!(
                "no model provider is configured, so nothing but its script could answer skill `{}`",
                edition.skill
            );
            return Err(CliError::new(Exit::Host, "no_provider", message)
                .hint(format!("{hint}; `--offline` lets the script answer")));
        }
        terminal::note(&format!(
            "note: no model provider is configured, so the skill's own script answers\nhint: {hint}"
        ));
    }
    let provider = session.hub.open(choice.name, &settings, edition.script.as_deref())?;
    Ok(provider.describe())
}

fn check_needs(skill: &SkillName, description: &Description, provider: &entry::Provider) -> Result<()> {
    let missing = description
        .needs
        .iter()
        .filter(|need| !provider.features.contains(need));
    let missing: Vec<String> = missing
        .map(|need| format!("`{}`", terminal::plain_line(need)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "skill `{skill}` needs {} of a model provider, which `{}` does not have",
        missing.join(" and "),
        provider.name
    );
    Err(
        CliError::new(Exit::Unsupported, "missing_feature", message).hint(format!(
            "`skillhost launch {skill} --provider NAME` asks another; `skillhost doctor` shows which can be used"
        )),
    )
}

/// Has a person agree to mounts that may be changed, where that does not go without saying.
pub(super) fn agree(ground: Ground<'_>, mount: &Mount, session: &Session<'_>) -> Result<()> {
    let context = session.context;
    // What is granted to the skill was agreed to for all its runs.
    if mounts::is_given(mount, Giving::Grant) {
        return Ok(());
    }
    let everything = ground.opens_everything(mount);
    if !everything && !ground.opens_elsewhere(mount) {
        return Ok(());
    }
    let source = mounts::shown_source(mount).unwrap_or_default();
    let message = match everything {
        true => format!("`{source}` holds everything that is yours, and the skill could change all of it"),
        false => format!("`{source}` does not lie in the current folder, and the skill could change what is there"),
    };
    let refused = || {
        CliError::new(Exit::Host, "mount_needs_terminal", message.clone()).hint(
            "launch it in a terminal yourself, or from the folder itself, or give it to be read only; `agents_may_grant = true` in the configuration does without",
        )
    };
    match (context.is_attended(), everything) {
        (false, _) if context.config()?.agents_may_grant => Ok(()),
        (false, _) => Err(refused()),
        // Who typed the folder meant it.
        (true, false) => Ok(()),
        (true, true) => {
            terminal::note(&message);
            let typed = terminal::ask("go on? [y/N] ").blocking_recv();
            match typed.is_ok_and(|line| matches!(line.trim(), "y" | "Y" | "yes")) {
                true => Ok(()),
                false => Err(refused()),
            }
        }
    }
}

fn seed() -> Result<Digest> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| {
        CliError::new(
            Exit::Host,
            "no_randomness",
            format!("the system gives no randomness: {e}"),
        )
    })?;
    Ok(Digest::from(bytes))
}
