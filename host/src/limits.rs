//! Every limit of a guest: what it is, where it stands, and what `[limits]` of the configuration may say of it.
//!
//! [`LIMITS`] is the one list. The configuration is checked against it, and the page `limits` is printed from it; a test compares the two with what the host really does by default.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use skillhost_core::entry;
use skillhost_core::holdings::Holdings;
use skillhost_effects::{http, process};
use skillhost_runtime::{
    COMPONENT_BYTES_MAX, CompilerProgram, DESCRIPTION_BYTES_MAX, DescribeLimits, EngineConfig, INSTANCES_MAX,
    LABEL_BYTES_MAX, LINE_BYTES_MAX, LoaderConfig, MEMORIES_MAX, REQUEST_BYTES_MAX, REQUESTS_MAX, TABLE_ELEMENTS_MAX,
    TABLES_MAX,
};

use crate::config::LimitsConfig;

/// The first word of a command line that compiles a component. It is nobody's to type, so it stands in no help.
const COMPILE: &str = "compile-component";

/// How long a component may take to be compiled.
const COMPILE_SECONDS: u64 = 120;
/// The most memory that may take, in MiB.
const COMPILE_MIB: u64 = 4_096;

/// A limit.
pub struct Limit {
    /// What it is called in `[limits]`; nothing, if it is the same everywhere.
    pub member: Option<&'static str>,
    /// What is limited, and in what.
    pub what: &'static str,
    /// What it is unless something else is said.
    pub default: fn() -> u64,
    /// The least and the most that may be said.
    pub range: (u64, u64),
    /// What the configuration says.
    said: fn(&LimitsConfig) -> Option<u64>,
}

/// Every limit of a guest, in the order in which a skill meets them. Budgets are no limits: they are about what is spent.
pub const LIMITS: &[Limit] = &[
    fixed("size of a component, in MiB", || COMPONENT_BYTES_MAX >> 20),
    limit(
        "compile_seconds",
        "time to compile it, in seconds",
        || COMPILE_SECONDS,
        (1, 3_600),
        |c| c.compile_seconds,
    ),
    limit(
        "compile_mib",
        "memory to compile it, in MiB",
        || COMPILE_MIB,
        (256, 1 << 20),
        |c| c.compile_mib,
    ),
    limit(
        "compiling",
        "components that are compiled at once",
        || LoaderConfig::default().compile_max as u64,
        (1, 64),
        |c| c.compiling,
    ),
    limit(
        "describe_seconds",
        "time to say what it is, in seconds of computing",
        || DescribeLimits::default().computing_max.as_secs(),
        (1, 600),
        |c| c.describe_seconds,
    ),
    limit(
        "describe_mib",
        "memory for that, in MiB",
        || DescribeLimits::default().memory_bytes_max >> 20,
        (1, 4_096),
        |c| c.describe_mib,
    ),
    fixed("what it says of itself, in KiB", || {
        (DESCRIPTION_BYTES_MAX >> 10) as u64
    }),
    fixed("things that it asks its user for", || REQUESTS_MAX as u64),
    fixed("size of a schema, in KiB", || (crate::schema::BYTES_MAX >> 10) as u64),
    fixed("steps of checking a value against a schema", || {
        crate::schema::CHECK_STEPS_MAX
    }),
    limit(
        "memory_mib",
        "memory, in MiB",
        || run().memory_bytes_max >> 20,
        (1, 4_096),
        |c| c.memory_mib,
    ),
    limit(
        "stack_kib",
        "stack, in KiB",
        || (EngineConfig::one_run().stack_bytes_max >> 10) as u64,
        (64, 16_384),
        |c| c.stack_kib,
    ),
    limit(
        "instances",
        "core instances",
        || held().instances.into(),
        (1, INSTANCES_MAX as u64),
        |c| c.instances,
    ),
    limit(
        "memories",
        "memories",
        || held().memories.into(),
        (1, MEMORIES_MAX as u64),
        |c| c.memories,
    ),
    limit(
        "tables",
        "tables",
        || held().tables.into(),
        (1, TABLES_MAX as u64),
        |c| c.tables,
    ),
    limit(
        "table_elements",
        "elements of a table",
        || held().table_elements.into(),
        (1, TABLE_ELEMENTS_MAX as u64),
        |c| c.table_elements,
    ),
    limit(
        "computing_seconds",
        "computing between two calls, in seconds",
        || run().computing_ms / 1_000,
        (1, 86_400),
        |c| c.computing_seconds,
    ),
    limit(
        "call_mib",
        "what one call carries between skill and host, in MiB",
        || held().call_bytes >> 20,
        (1, 1_024),
        |c| c.call_mib,
    ),
    fixed("a request of a call, and the result of a run, in MiB", || {
        (REQUEST_BYTES_MAX >> 20) as u64
    }),
    limit(
        "open_calls",
        "calls that are open at once",
        || held().open_calls.into(),
        (1, 1_000_000),
        |c| c.open_calls,
    ),
    fixed("requests of `http.send` under way at once; the others wait", || {
        http::AT_ONCE_OF_RUN_MAX as u64
    }),
    fixed("the same, of all runs", || http::AT_ONCE_MAX as u64),
    fixed("programs that run at once; the others wait", || {
        process::AT_ONCE_OF_RUN_MAX as u64
    }),
    fixed("the same, of all runs", || process::AT_ONCE_MAX as u64),
    limit(
        "handles",
        "handles: open calls, sets, streams, timers, resources of its own",
        || held().handles.into(),
        (100, 1_000_000),
        |c| c.handles,
    ),
    limit(
        "acts",
        "calls started and dropped, and lines, between two outcomes",
        || held().acts.into(),
        (1, 10_000_000),
        |c| c.acts,
    ),
    limit(
        "act_mib",
        "requests and lines between two outcomes, in MiB",
        || held().act_bytes >> 20,
        (1, 1_024),
        |c| c.act_mib,
    ),
    limit(
        "log_lines",
        "lines of its log that are kept",
        || held().log_lines,
        (0, 100_000_000),
        |c| c.log_lines,
    ),
    limit(
        "log_mib",
        "these lines, in MiB",
        || held().log_bytes >> 20,
        (0, 1 << 20),
        |c| c.log_mib,
    ),
    fixed("a line of its log, and the message of a failure, in KiB", || {
        (LINE_BYTES_MAX >> 10) as u64
    }),
    fixed("a label, and the code of a failure, in bytes", || {
        LABEL_BYTES_MAX as u64
    }),
    limit(
        "grace_seconds",
        "cleaning up when it is cancelled, in seconds",
        || run().grace_ms / 1_000,
        (0, 86_400),
        |c| c.grace_seconds,
    ),
];

const fn limit(
    member: &'static str,
    what: &'static str,
    default: fn() -> u64,
    range: (u64, u64),
    said: fn(&LimitsConfig) -> Option<u64>,
) -> Limit {
    Limit {
        member: Some(member),
        what,
        default,
        range,
        said,
    }
}

/// A limit that is the same everywhere, because others rely on it: the world's documentation, or what a journal takes.
const fn fixed(what: &'static str, default: fn() -> u64) -> Limit {
    Limit {
        member: None,
        what,
        default,
        range: (0, 0),
        said: |_| None,
    }
}

fn run() -> entry::Limits {
    entry::Limits::default()
}

fn held() -> Holdings {
    Holdings::default()
}

/// Says which limit the configuration sets to what it may not be.
pub fn check(config: &LimitsConfig) -> Result<(), String> {
    for limit in LIMITS {
        let (least, most) = limit.range;
        if let (Some(member), Some(said)) = (limit.member, (limit.said)(config))
            && !(least..=most).contains(&said)
        {
            return Err(format!("`limits.{member}` is {said}; it may be {least} to {most}"));
        }
    }
    Ok(())
}

/// Returns what a guest may hold beside its memory.
pub fn holdings(config: &LimitsConfig) -> Holdings {
    let default = held();
    // What was read was checked, so it fits.
    let count = |said: Option<u64>, default: u32| said.map_or(default, |said| u32::try_from(said).unwrap_or(u32::MAX));
    let mib = |said: Option<u64>, default: u64| said.map_or(default, |said| said.saturating_mul(1 << 20));
    Holdings {
        instances: count(config.instances, default.instances),
        memories: count(config.memories, default.memories),
        tables: count(config.tables, default.tables),
        table_elements: count(config.table_elements, default.table_elements),
        call_bytes: mib(config.call_mib, default.call_bytes),
        open_calls: count(config.open_calls, default.open_calls),
        handles: count(config.handles, default.handles),
        acts: count(config.acts, default.acts),
        act_bytes: mib(config.act_mib, default.act_bytes),
        log_lines: config.log_lines.unwrap_or(default.log_lines),
        log_bytes: mib(config.log_mib, default.log_bytes),
    }
}

/// Returns an engine's configuration with the stack that guests may have; code that is compiled soon needs as many times more as it did.
pub fn engine(config: &LimitsConfig, engine: EngineConfig) -> EngineConfig {
    let Some(kib) = config.stack_kib else { return engine };
    let times = engine.stack_bytes_max / EngineConfig::one_run().stack_bytes_max;
    EngineConfig {
        stack_bytes_max: (kib as usize * times) << 10,
        ..engine
    }
}

/// Returns how components are loaded: compiled by a process of its own, and kept in this folder.
pub fn loader(config: &LimitsConfig, cache: Option<PathBuf>) -> LoaderConfig {
    let default = DescribeLimits::default();
    let mib = config.compile_mib.unwrap_or(COMPILE_MIB);
    LoaderConfig {
        cache,
        compile_max: config
            .compiling
            .map_or(LoaderConfig::default().compile_max, |most| most as usize),
        compiler: Some(CompilerProgram {
            program: crate::env::own_program(),
            words: vec![OsString::from(COMPILE), OsString::from(mib.to_string())],
            time_max: Duration::from_secs(config.compile_seconds.unwrap_or(COMPILE_SECONDS)),
            memory_bytes_max: mib << 20,
        }),
        describe: DescribeLimits {
            computing_max: config
                .describe_seconds
                .map_or(default.computing_max, Duration::from_secs),
            memory_bytes_max: config.describe_mib.map_or(default.memory_bytes_max, |mib| mib << 20),
            holds: holdings(config),
        },
    }
}

/// Compiles a component if that is what a command line is for, and returns the exit code of that.
pub fn compiled(words: &[OsString]) -> Option<u8> {
    let [_, word, mib, rest @ ..] = words else { return None };
    if word != COMPILE {
        return None;
    }
    let mib: Option<u64> = mib.to_str().and_then(|mib| mib.parse().ok());
    if let Some(mib) = mib {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let bytes = Some(mib << 20);
        // Where the system does not know this limit, the time is one still.
        let most = Rlimit {
            current: bytes,
            maximum: bytes,
        };
        setrlimit(Resource::Data, most).ok();
    }
    Some(skillhost_runtime::compile_main(rest))
}

/// Returns the limits as a table of a page.
pub fn table() -> String {
    let mut text = String::from("| limit | `[limits]` | default | may be |\n|---|---|---|---|\n");
    for limit in LIMITS {
        let default = (limit.default)();
        let (least, most) = limit.range;
        let row = match limit.member {
            Some(member) => format!("| {} | `{member}` | {default} | {least} to {most} |\n", limit.what),
            None => format!("| {} | | {default} | |\n", limit.what),
        };
        text.push_str(&row);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn the_page_of_limits_is_what_the_host_does() {
        let page = include_str!("../pages/limits.md");
        assert!(
            page.contains(&table()),
            "put this into `host/pages/limits.md`:\n{}",
            table()
        );
    }

    #[test]
    fn every_member_of_the_list_is_one_of_the_configuration_and_is_what_it_says() {
        for limit in LIMITS {
            let Some(member) = limit.member else { continue };
            let (least, most) = limit.range;
            assert!((least..=most).contains(&(limit.default)()), "{member}");
            for (value, fits) in [(least, true), (most, true), (most + 1, false)] {
                let config: LimitsConfig = toml::from_str(&format!("{member} = {value}")).unwrap();
                assert_eq!((limit.said)(&config), Some(value), "{member}");
                assert_eq!(check(&config).is_ok(), fits, "{member} = {value}");
            }
        }
    }

    #[test]
    fn what_is_configured_is_what_a_guest_is_held_to() {
        let config: LimitsConfig =
            toml::from_str("open_calls = 3\nlog_mib = 2\nstack_kib = 512\ndescribe_mib = 9").unwrap();
        assert_eq!(
            (holdings(&config).open_calls, holdings(&config).log_bytes),
            (3, 2 << 20)
        );
        assert_eq!(holdings(&LimitsConfig::default()), Holdings::default());
        assert_eq!(engine(&config, EngineConfig::one_run()).stack_bytes_max, 512 << 10);
        assert_eq!(engine(&config, EngineConfig::development()).stack_bytes_max, 2 << 20);
        assert_eq!(loader(&config, None).describe.memory_bytes_max, 9 << 20);
    }
}
