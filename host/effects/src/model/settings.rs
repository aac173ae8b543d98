//! Which provider answers, and how it is reached: what the user configured, and what the launching process has in its environment.
//!
//! Nothing is read here but the variables in [`variable`]; a worker is handed the [`Environment`] of the process that launched a run, so that a daemon which was started
//! without a key does not decide for runs launched later. Keys are [`Secret`]s: neither `Debug` nor an error shows them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys::{self, KeyFile};
use super::offline::ScriptError;

/// The environment variables that choose and reach a provider, all of them.
pub mod variable {
    /// Names the provider: `anthropic`, `openai`, `claude-cli` or `offline`.
    pub const PROVIDER: &str = "SKILLHOST_PROVIDER";
    /// After how many seconds without a byte a call has stalled.
    pub const STALL_SECONDS: &str = "SKILLHOST_STALL_SECONDS";
    /// How many calls one provider is sent at a time.
    pub const PARALLEL: &str = "SKILLHOST_PARALLEL";
    /// The program of the `claude-cli` provider.
    pub const CLAUDE: &str = "SKILLHOST_CLAUDE";
    /// A key of the Messages API.
    pub const ANTHROPIC_API_KEY: &str = "ANTHROPIC_API_KEY";
    /// A bearer token for it, or for a gateway.
    pub const ANTHROPIC_AUTH_TOKEN: &str = "ANTHROPIC_AUTH_TOKEN";
    /// Where the Messages API is.
    pub const ANTHROPIC_BASE_URL: &str = "ANTHROPIC_BASE_URL";
    /// Further headers, one `Name: value` a line.
    pub const ANTHROPIC_CUSTOM_HEADERS: &str = "ANTHROPIC_CUSTOM_HEADERS";
    /// The model of the tier `haiku`.
    pub const ANTHROPIC_HAIKU: &str = "ANTHROPIC_DEFAULT_HAIKU_MODEL";
    /// The model of the tier `sonnet`.
    pub const ANTHROPIC_SONNET: &str = "ANTHROPIC_DEFAULT_SONNET_MODEL";
    /// The model of the tier `opus`.
    pub const ANTHROPIC_OPUS: &str = "ANTHROPIC_DEFAULT_OPUS_MODEL";
    /// A key of a chat completions server.
    pub const OPENAI_API_KEY: &str = "OPENAI_API_KEY";
    /// Where that server is; a local one may need no key.
    pub const OPENAI_BASE_URL: &str = "OPENAI_BASE_URL";
    /// The model of every tier that the configuration does not name one for.
    pub const OPENAI_MODEL: &str = "OPENAI_MODEL";
    /// Where programs are looked for.
    pub const PATH: &str = "PATH";

    pub(crate) const ALL: &[&str] = &[
        PROVIDER,
        STALL_SECONDS,
        PARALLEL,
        CLAUDE,
        ANTHROPIC_API_KEY,
        ANTHROPIC_AUTH_TOKEN,
        ANTHROPIC_BASE_URL,
        ANTHROPIC_CUSTOM_HEADERS,
        ANTHROPIC_HAIKU,
        ANTHROPIC_SONNET,
        ANTHROPIC_OPUS,
        OPENAI_API_KEY,
        OPENAI_BASE_URL,
        OPENAI_MODEL,
        PATH,
    ];
}

pub use skillhost_core::calls::model::TIERS;

/// The models of the tiers, in their order, unless the user names others.
const ANTHROPIC_MODELS: [&str; 3] = ["claude-haiku-4-5-20251001", "claude-sonnet-4-6", "claude-opus-4-7"];

const STALL_DEFAULT: Duration = Duration::from_secs(120);
const PARALLEL_DEFAULT: usize = 8;
/// The most calls that a setting may allow one provider at a time.
const PARALLEL_MAX: usize = 1_000;

/// A model provider that this host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Name {
    /// The Messages API.
    Anthropic,
    /// The chat completions of any compatible server.
    OpenAi,
    /// `claude -p`.
    ClaudeCli,
    /// Replies scripted in the skill's own `offline.toml`.
    Offline,
}

impl Name {
    /// Every provider.
    pub const ALL: [Self; 4] = [Self::Anthropic, Self::OpenAi, Self::ClaudeCli, Self::Offline];

    /// Returns the word that journals, settings and commands use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::ClaudeCli => "claude-cli",
            Self::Offline => "offline",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = OpenError;
    fn from_str(text: &str) -> Result<Self, OpenError> {
        let known = Self::ALL.into_iter().find(|name| name.as_str() == text);
        known.ok_or_else(|| OpenError::Unknown {
            name: text.chars().take(100).collect(),
        })
    }
}

impl TryFrom<String> for Name {
    type Error = OpenError;
    fn try_from(text: String) -> Result<Self, OpenError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.as_str().to_owned()
    }
}

/// Why a provider cannot be opened. Who must act is the user.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is none of ours.
    #[error("there is no model provider `{name}`")]
    Unknown {
        /// As it was given.
        name: String,
    },
    /// Its key is not there (any more): a run that was started with it parks.
    #[error("provider `{provider}` has no key: {variables} is not set")]
    NoKey {
        /// Which.
        provider: Name,
        /// What would hold one.
        variables: &'static str,
    },
    /// Its program is not there.
    #[error("provider `claude-cli` needs the program `{program}`, which was not found")]
    NoProgram {
        /// As it was looked for.
        program: String,
    },
    /// A setting cannot be used.
    #[error("setting `{setting}` {reason}")]
    Setting {
        /// The variable, or the member of the configuration.
        setting: String,
        /// What is wrong.
        reason: String,
    },
    /// The skill's script cannot be used.
    #[error("`offline.toml` cannot be used")]
    Script(#[from] ScriptError),
}

impl OpenError {
    /// Returns a short word for it; a run that is to be resumed and whose key is gone parks as `no_key`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown_provider",
            Self::NoKey { .. } => "no_key",
            Self::NoProgram { .. } => "no_program",
            Self::Setting { .. } => "bad_setting",
            Self::Script(_) => "bad_script",
        }
    }

    /// Returns what the user can do, in words that can be pasted.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { .. } => "`anthropic`, `openai`, `claude-cli` and `offline` are known".to_owned(),
            Self::NoKey { provider: Name::OpenAi, .. } => {
                "`export OPENAI_API_KEY=...`, or `skillhost auth set openai`, or `export OPENAI_BASE_URL=http://localhost:11434/v1` for a local server, then launch again".to_owned()
            }
            Self::NoKey { .. } => "`export ANTHROPIC_API_KEY=...` or `skillhost auth set anthropic`, then launch again; `--offline` uses the skill's script instead".to_owned(),
            Self::NoProgram { .. } => {
                "install Claude Code, or name its program: `export SKILLHOST_CLAUDE=/path/to/claude`".to_owned()
            }
            Self::Setting { .. } => "`skillhost doctor` shows the provider settings in use".to_owned(),
            Self::Script(_) => "mend the skill's `offline.toml`; `skillhost skills` checks it again".to_owned(),
        }
    }
}

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The variables of [`variable`] as one process had them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Copies this process's.
    pub fn current() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// Asks `get` for each variable. An empty one counts as absent.
    pub fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let present = variable::ALL.iter().filter_map(|name| {
            let value = get(name)?;
            (!value.trim().is_empty()).then(|| ((*name).to_owned(), value))
        });
        Self(present.collect())
    }

    /// Returns the variables, keys and all, so that they can be handed to another process over a private socket.
    pub fn reveal(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Returns whether it says nothing of a provider.
    pub fn names_no_provider(&self) -> bool {
        self.0.keys().all(|name| name == variable::PATH)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The section `[model]` of the user's configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The provider, unless a command or the environment names one.
    pub provider: Option<Name>,
    /// After how many seconds without a byte a call has stalled; 120 if absent.
    pub stall_seconds: Option<f64>,
    /// How many calls one provider is sent at a time; 8 if absent.
    pub parallel: Option<usize>,
    /// The Messages API.
    pub anthropic: ServerConfig,
    /// A chat completions server.
    pub openai: ServerConfig,
    /// `claude -p`.
    #[serde(rename = "claude-cli")]
    pub claude_cli: ClaudeConfig,
}

/// How a server is reached.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Where it is.
    pub base_url: Option<String>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// The model of each tier.
    pub tiers: BTreeMap<String, String>,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("base_url", &self.base_url)
            .field("headers", &self.headers.keys())
            .field("tiers", &self.tiers)
            .finish()
    }
}

/// How `claude -p` is run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaudeConfig {
    /// The program.
    pub program: Option<String>,
    /// The tools of its own that it is granted. With any but `WebSearch` and `WebFetch` it acts by itself, and its calls are at-most-once.
    pub tools: Vec<String>,
    /// The model of each tier.
    pub tiers: BTreeMap<String, String>,
}

/// The provider that was chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub name: Name,
    /// What decided, for `doctor` and the log.
    pub because: String,
    /// What else the user could do, where nothing was configured.
    pub hint: Option<String>,
}

/// What was configured, and what the launching process had in its environment.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    config: Config,
    environment: Environment,
    keys: KeyFile,
}

impl Settings {
    /// Joins both; where they disagree the environment is followed.
    pub fn new(config: Config, environment: Environment) -> Self {
        Self {
            config,
            environment,
            keys: KeyFile::default(),
        }
    }

    /// Adds the file of keys that the user stored; they are used where the environment has none.
    #[must_use]
    pub fn with_keys(self, file: PathBuf) -> Self {
        Self {
            keys: KeyFile(Some(file)),
            ..self
        }
    }

    /// Chooses the provider of a new run: the one named by the command (`explicit`), by the environment, by the configuration; else the one whose key is there,
    /// `anthropic` before `openai`; else `offline`.
    ///
    /// A `claude` on the `PATH` is not enough to be chosen. It spends its user's subscription and may cost a hundred times a plain call, and on a machine with coding agents it
    /// is nearly always there; so it is offered in the hint, and used once somebody said so.
    pub fn choose(&self, explicit: Option<Name>) -> Result<Choice, OpenError> {
        let chosen = |name, because: &str| {
            Ok(Choice {
                name,
                because: because.to_owned(),
                hint: None,
            })
        };
        if let Some(name) = explicit {
            return chosen(name, "it was asked for");
        }
        if let Some(text) = self.environment.get(variable::PROVIDER) {
            return chosen(text.trim().parse()?, "`SKILLHOST_PROVIDER` names it");
        }
        if let Some(name) = self.config.provider {
            return chosen(name, "the configuration names it");
        }
        for variable in [variable::ANTHROPIC_API_KEY, variable::ANTHROPIC_AUTH_TOKEN] {
            if self.environment.get(variable).is_some() {
                return chosen(Name::Anthropic, &format!("`{variable}` is set"));
            }
        }
        for variable in [variable::OPENAI_API_KEY, variable::OPENAI_BASE_URL] {
            if self.environment.get(variable).is_some() {
                return chosen(Name::OpenAi, &format!("`{variable}` is set"));
            }
        }
        let stored = self.keys.load()?;
        if let Some(name) = keys::PROVIDERS.into_iter().find(|name| stored.get(name).is_some()) {
            return chosen(name, "a key of it is stored (`skillhost auth list`)");
        }
        let hint = match self.claude_program() {
            Ok(_) => {
                "`claude` is installed: `export SKILLHOST_PROVIDER=claude-cli` uses its subscription; or `export ANTHROPIC_API_KEY=...`"
            }
            Err(_) => "`export ANTHROPIC_API_KEY=...` or `export OPENAI_API_KEY=...` lets a model answer",
        };
        Ok(Choice {
            name: Name::Offline,
            because: "no provider is configured".to_owned(),
            hint: Some(hint.to_owned()),
        })
    }

    pub(crate) fn stall(&self) -> Result<Duration, OpenError> {
        let (setting, seconds) = match self.environment.get(variable::STALL_SECONDS) {
            Some(text) => (variable::STALL_SECONDS, text.trim().parse().ok()),
            None => match self.config.stall_seconds {
                Some(seconds) => ("model.stall_seconds", Some(seconds)),
                None => return Ok(STALL_DEFAULT),
            },
        };
        let valid = seconds.filter(|seconds| *seconds > 0.0);
        let duration = valid.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.ok_or_else(|| bad(setting, "is not a number of seconds above 0"))
    }

    pub(crate) fn parallel(&self) -> Result<usize, OpenError> {
        let (setting, number) = match self.environment.get(variable::PARALLEL) {
            Some(text) => (variable::PARALLEL, text.trim().parse().ok()),
            None => match self.config.parallel {
                Some(number) => ("model.parallel", Some(number)),
                None => return Ok(PARALLEL_DEFAULT),
            },
        };
        let valid = number.filter(|number| (1..=PARALLEL_MAX).contains(number));
        valid.ok_or_else(|| bad(setting, &format!("is not a number from 1 to {PARALLEL_MAX}")))
    }

    /// Returns the model of each tier. What the run was started with (`kept`) goes before what is configured today.
    pub(crate) fn tiers(&self, name: Name, kept: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        if !kept.is_empty() {
            return kept.clone();
        }
        let own = |tiers: &BTreeMap<String, String>| tiers.clone();
        let of = |models: [Option<&str>; 3]| {
            let named = TIERS
                .into_iter()
                .zip(models)
                .filter_map(|(tier, model)| Some((tier.to_owned(), model?.trim().to_owned())));
            named.collect::<BTreeMap<_, _>>()
        };
        // From the weakest to the strongest.
        let layers = match name {
            Name::Anthropic => {
                use variable::{ANTHROPIC_HAIKU, ANTHROPIC_OPUS, ANTHROPIC_SONNET};
                let set = [ANTHROPIC_HAIKU, ANTHROPIC_SONNET, ANTHROPIC_OPUS].map(|name| self.environment.get(name));
                vec![
                    of(ANTHROPIC_MODELS.map(Some)),
                    own(&self.config.anthropic.tiers),
                    of(set),
                ]
            }
            // One variable for all gives way to a tier's own setting.
            Name::OpenAi => vec![
                of([self.environment.get(variable::OPENAI_MODEL); 3]),
                own(&self.config.openai.tiers),
            ],
            // The program knows the tiers by the same names, for the newest model of each.
            Name::ClaudeCli => vec![of(TIERS.map(Some)), own(&self.config.claude_cli.tiers)],
            Name::Offline => vec![of(TIERS.map(Some))],
        };
        layers.into_iter().flatten().collect()
    }

    pub(crate) fn server(&self, name: Name) -> Result<Server, OpenError> {
        let (config, url_variable, url_default) = match name {
            Name::Anthropic => (
                &self.config.anthropic,
                variable::ANTHROPIC_BASE_URL,
                "https://api.anthropic.com",
            ),
            _ => (
                &self.config.openai,
                variable::OPENAI_BASE_URL,
                "https://api.openai.com/v1",
            ),
        };
        let named = self.environment.get(url_variable).or(config.base_url.as_deref());
        let credential = match name {
            Name::Anthropic => self.anthropic_credential()?,
            _ => self.openai_credential(named.is_some())?,
        };
        let mut headers: Vec<_> = config
            .headers
            .iter()
            .map(|(n, v)| (n.clone(), Secret::new(v.clone())))
            .collect();
        if name == Name::Anthropic {
            headers.extend(custom_headers(
                self.environment.get(variable::ANTHROPIC_CUSTOM_HEADERS).unwrap_or(""),
            )?);
        }
        Ok(Server {
            base_url: named.unwrap_or(url_default).trim().trim_end_matches('/').to_owned(),
            url_setting: url_variable,
            credential,
            headers,
            stall: self.stall()?,
        })
    }

    fn anthropic_credential(&self) -> Result<Credential, OpenError> {
        let key = self.environment.get(variable::ANTHROPIC_API_KEY);
        let token = self.environment.get(variable::ANTHROPIC_AUTH_TOKEN);
        match (key, token) {
            // A token is set by people with a gateway, beside a key that other programs use.
            (_, Some(token)) => Ok(Credential::Bearer(Secret::new(token.trim()))),
            (Some(key), None) => Ok(Credential::Key(Secret::new(key.trim()))),
            (None, None) => match self.keys.load()?.get(&Name::Anthropic) {
                Some(stored) => Ok(Credential::Key(stored.reveal(&Name::Anthropic)?)),
                None => Err(OpenError::NoKey {
                    provider: Name::Anthropic,
                    variables: "`ANTHROPIC_API_KEY` (or `ANTHROPIC_AUTH_TOKEN`)",
                }),
            },
        }
    }

    fn openai_credential(&self, elsewhere: bool) -> Result<Credential, OpenError> {
        if let Some(key) = self.environment.get(variable::OPENAI_API_KEY) {
            return Ok(Credential::Bearer(Secret::new(key.trim())));
        }
        match self.keys.load()?.get(&Name::OpenAi) {
            Some(stored) => Ok(Credential::Bearer(stored.reveal(&Name::OpenAi)?)),
            // A local server may need none.
            None if elsewhere => Ok(Credential::None),
            None => Err(OpenError::NoKey {
                provider: Name::OpenAi,
                variables: "`OPENAI_API_KEY`",
            }),
        }
    }

    pub(crate) fn claude_tools(&self) -> &[String] {
        &self.config.claude_cli.tools
    }

    pub(crate) fn claude_program(&self) -> Result<PathBuf, OpenError> {
        let named = self
            .environment
            .get(variable::CLAUDE)
            .or(self.config.claude_cli.program.as_deref());
        let program = named.unwrap_or("claude").trim();
        let found = if program.contains('/') {
            Some(PathBuf::from(program)).filter(|path| is_executable(path))
        } else {
            let folders = self.environment.get(variable::PATH).unwrap_or("");
            let candidates = std::env::split_paths(folders).map(|folder| folder.join(program));
            candidates.into_iter().find(|path| is_executable(path))
        };
        found.ok_or_else(|| OpenError::NoProgram {
            program: program.to_owned(),
        })
    }
}

/// How a server is reached, read once.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) base_url: String,
    /// The variable that a message about the address names.
    pub(crate) url_setting: &'static str,
    pub(crate) credential: Credential,
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) stall: Duration,
}

#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// In the provider's own header.
    Key(Secret),
    /// In `authorization`.
    Bearer(Secret),
    None,
}

fn bad(setting: &str, reason: &str) -> OpenError {
    OpenError::Setting {
        setting: setting.to_owned(),
        reason: reason.to_owned(),
    }
}

fn custom_headers(text: &str) -> Result<Vec<(String, Secret)>, OpenError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let parse = |line: &str| match line.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), Secret::new(value.trim()))),
        None => Err(bad(
            variable::ANTHROPIC_CUSTOM_HEADERS,
            "has a line that is not `Name: value`",
        )),
    };
    lines.map(parse).collect()
}

fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    path.is_file()
}
