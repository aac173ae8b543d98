//! What is asked of a new run, and the `started` entry that is made of it: input, bundle, provider and limits are settled before anything is spent.

use skillhost_core::entry::{self, Mount, Started};
use skillhost_core::id::{Digest, LaunchId, SkillName};
use skillhost_effects::files;
use skillhost_effects::model::{Name, Settings};
use skillhost_runtime::{Description, EngineConfig};

use super::context::Session;
use super::launch::{self, bounded, new_run_id};
use crate::config::Config;
use crate::describe::input_schema;
use crate::driver;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::grants::Granted;
use crate::input::{About, Raw, Spelling};
use crate::installed::Edition;
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
    /// The most model calls.
    pub(super) max_calls: Option<u64>,
    /// The most tokens.
    pub(super) max_tokens: Option<u64>,
}

impl Order<'_> {
    /// Makes the first entry of a run. The launch is known by the run's own id.
    pub(super) fn started(&self, session: &Session<'_>, edition: &Edition) -> Result<Started> {
        let context = session.context;
        let config = context.config()?;
        let skill = &edition.skill;
        let schema = input_schema(skill, &edition.description)?;
        let what = format!("the input of skill `{skill}`");
        let flags = match self.spelling {
            Spelling::Flag => launch::flags(),
            Spelling::Word => Vec::new(),
        };
        let about = About {
            what: &what,
            flags: &flags,
            spelling: self.spelling,
        };
        let input = bounded(&what, &self.raw.assemble(&schema, about)?)?;
        let provider = provider(self, &config, edition, session)?;
        check_needs(skill, &edition.description, &provider)?;
        let run = new_run_id();
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
            mounts: mounts(),
            limits: config.limits(self.max_calls, self.max_tokens),
            provider,
            engine: EngineConfig::one_run().profile(),
            semantics: entry::SEMANTICS,
            parent: None,
            continues: None,
            grants: Granted::load(&context.home)?.of(skill),
        })
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

fn mounts() -> Vec<Mount> {
    [(files::RUN, true), (files::SKILL, false)]
        .map(|(name, writable)| Mount {
            name: name.to_owned(),
            writable,
        })
        .to_vec()
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
