//! Which provider, and with what.

use super::*;
use crate::model::{OpenError, ServerConfig};

fn chosen(variables: &[(&str, &str)]) -> Name {
    settings(variables).choose(None).unwrap().name
}

#[test]
fn the_command_goes_before_the_environment_before_the_configuration_before_a_key() {
    let key = ("ANTHROPIC_API_KEY", "k");
    let config = Config {
        provider: Some(Name::OpenAi),
        ..Config::default()
    };
    let with = |variables: &[(&str, &str)]| Settings::new(config.clone(), environment(variables));
    assert_eq!(
        with(&[key, ("SKILLHOST_PROVIDER", "offline")])
            .choose(Some(Name::ClaudeCli))
            .unwrap()
            .name,
        Name::ClaudeCli
    );
    assert_eq!(
        with(&[key, ("SKILLHOST_PROVIDER", "offline")])
            .choose(None)
            .unwrap()
            .name,
        Name::Offline
    );
    assert_eq!(with(&[key]).choose(None).unwrap().name, Name::OpenAi);
    assert_eq!(chosen(&[key, ("OPENAI_API_KEY", "k")]), Name::Anthropic);
    assert_eq!(chosen(&[("ANTHROPIC_AUTH_TOKEN", "t")]), Name::Anthropic);
    assert_eq!(chosen(&[("OPENAI_API_KEY", "k")]), Name::OpenAi);
    assert_eq!(chosen(&[("OPENAI_BASE_URL", "http://localhost:1")]), Name::OpenAi);
    assert_eq!(chosen(&[("ANTHROPIC_API_KEY", " ")]), Name::Offline);
    let unknown = settings(&[("SKILLHOST_PROVIDER", "gpt")]).choose(None).unwrap_err();
    assert_eq!(unknown.code(), "unknown_provider");
}

#[test]
fn an_installed_claude_is_offered_but_not_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("claude");
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    std::process::Command::new("chmod")
        .arg("755")
        .arg(&program)
        .status()
        .unwrap();
    let choice = settings(&[("PATH", folder.path().to_str().unwrap())])
        .choose(None)
        .unwrap();
    assert_eq!(choice.name, Name::Offline);
    assert!(choice.hint.unwrap().contains("SKILLHOST_PROVIDER=claude-cli"));
}

#[test]
fn a_run_keeps_the_tiers_it_was_started_with_and_parks_without_its_key() {
    let hub = Hub::new();
    let with_key = [
        ("ANTHROPIC_API_KEY", "k"),
        ("ANTHROPIC_DEFAULT_OPUS_MODEL", "claude-next"),
    ];
    let started = hub
        .open(Name::Anthropic, &settings(&with_key), None)
        .unwrap()
        .describe();
    let expected = [
        ("haiku", "claude-haiku-4-5-20251001"),
        ("opus", "claude-next"),
        ("sonnet", "claude-sonnet-4-6"),
    ];
    let models = expected.map(|(tier, model)| (tier.to_owned(), model.to_owned()));
    assert_eq!(
        (started.name.as_str(), started.models.clone(), started.simulated),
        ("anthropic", models.into(), false)
    );
    assert_eq!(started.features, ["tools", "web-search", "schema"]);
    let resumed = hub
        .reopen(&started, &settings(&[("ANTHROPIC_API_KEY", "k")]), None)
        .unwrap();
    assert_eq!(resumed.describe(), started);
    let gone = hub
        .reopen(&started, &settings(&[("OPENAI_API_KEY", "k")]), None)
        .unwrap_err();
    assert_eq!(gone.code(), "no_key");
    assert!(gone.to_string().contains("ANTHROPIC_API_KEY") && gone.hint().contains("export"));
}

#[test]
fn tiers_of_a_compatible_server_are_configured() {
    let openai = ServerConfig {
        tiers: [("opus".to_owned(), "big".to_owned())].into(),
        ..ServerConfig::default()
    };
    let config = Config {
        openai,
        ..Config::default()
    };
    let variables = [("OPENAI_BASE_URL", "http://localhost:1/v1"), ("OPENAI_MODEL", "small")];
    let provider = Hub::new()
        .open(Name::OpenAi, &Settings::new(config, environment(&variables)), None)
        .unwrap();
    let models: Vec<_> = provider.describe().models.into_iter().collect();
    let expected =
        [("haiku", "small"), ("opus", "big"), ("sonnet", "small")].map(|(t, m)| (t.to_owned(), m.to_owned()));
    assert_eq!(models, expected);
}

#[test]
fn a_setting_that_cannot_be_used_is_named() {
    let cases = [
        ("ANTHROPIC_BASE_URL", "not a url"),
        ("ANTHROPIC_BASE_URL", "ftp://a.example"),
        ("ANTHROPIC_CUSTOM_HEADERS", "no colon here"),
        ("SKILLHOST_STALL_SECONDS", "soon"),
        ("SKILLHOST_STALL_SECONDS", "0"),
        ("SKILLHOST_PARALLEL", "0"),
        ("SKILLHOST_PARALLEL", "many"),
    ];
    for (variable, value) in cases {
        let settings = settings(&[("ANTHROPIC_API_KEY", "k"), (variable, value)]);
        match Hub::new().open(Name::Anthropic, &settings, None) {
            Err(OpenError::Setting { setting, .. }) => assert_eq!(setting, variable),
            other => panic!("{variable}={value}: {other:?}"),
        }
    }
    let missing = settings(&[("SKILLHOST_CLAUDE", "/no/such/claude")]);
    assert_eq!(
        Hub::new().open(Name::ClaudeCli, &missing, None).unwrap_err().code(),
        "no_program"
    );
}

#[test]
fn the_configuration_is_read_from_toml() {
    let config: Config = toml::from_str(
        r#"
        provider = "anthropic"
        stall_seconds = 30
        parallel = 2
        [anthropic]
        base_url = "https://gateway.example"
        headers = { x-team = "planted" }
        tiers = { opus = "claude-next" }
        [claude-cli]
        tools = ["WebSearch"]
        "#,
    )
    .unwrap();
    assert_eq!((config.provider, config.parallel), (Some(Name::Anthropic), Some(2)));
    assert_eq!(config.claude_cli.tools, ["WebSearch"]);
    assert!(
        toml::from_str::<Config>("provder = 1")
            .unwrap_err()
            .to_string()
            .contains("provder")
    );
}

#[test]
fn no_debug_output_shows_a_secret() {
    let variables = [
        ("ANTHROPIC_API_KEY", "planted-key"),
        ("ANTHROPIC_CUSTOM_HEADERS", "x-token: planted-header"),
        ("OPENAI_API_KEY", "planted-other"),
    ];
    let mut config = Config::default();
    config
        .anthropic
        .headers
        .insert("x-config".to_owned(), "planted-config".to_owned());
    let settings = Settings::new(config, environment(&variables));
    let hub = Hub::new();
    let opened = [Name::Anthropic, Name::OpenAi].map(|name| hub.open(name, &settings, None).unwrap());
    let shown = format!("{settings:?} {hub:?} {opened:?}");
    assert!(!shown.contains("planted"), "{shown}");
}

#[test]
fn a_stored_key_is_used_where_the_environment_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let store = |text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let with = |variables: &[(&str, &str)]| settings(variables).with_keys(path.clone());
    let opens = |name| Hub::new().open(name, &with(&[]), None).map(drop);
    assert_eq!(with(&[]).choose(None).unwrap().name, Name::Offline);
    store("[openai]\ncommand = [\"printf\", \"k-printed\\\\nmore\"]\n", 0o600);
    assert_eq!(with(&[]).choose(None).unwrap().name, Name::OpenAi);
    assert_eq!(
        with(&[("ANTHROPIC_API_KEY", "k")]).choose(None).unwrap().name,
        Name::Anthropic
    );
    opens(Name::OpenAi).unwrap();
    assert_eq!(opens(Name::Anthropic).unwrap_err().code(), "no_key");
    store("[anthropic]\nkey = \"k-not-to-be-shown\"\n", 0o600);
    opens(Name::Anthropic).unwrap();
    let bad = [
        (
            "[anthropic]\nkey = \"k-not-to-be-shown\"\n",
            0o640,
            "may be read by others",
        ),
        ("[anthropic]\nkey = k-not-to-be-shown\n", 0o600, "is malformed"),
        ("[anthropic]\nkey = \"\"\n", 0o600, "is malformed"),
        ("[anthropic]\ncommand = [\"false\"]\n", 0o600, "failed (exit status: 1)"),
        ("[anthropic]\ncommand = [\"true\"]\n", 0o600, "printed nothing"),
        (
            "[anthropic]\ncommand = [\"/no/such/program\"]\n",
            0o600,
            "could not be started",
        ),
    ];
    for (text, mode, reason) in bad {
        store(text, mode);
        let error = opens(Name::Anthropic).unwrap_err();
        assert_eq!(error.code(), "bad_setting");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.to_string().contains("not-to-be-shown"), "{error}");
    }
}
