//! Loading: what does not fit is told in words, and compiled code is kept and verified.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skillhost_core::id::Digest;
use skillhost_runtime::{
    Allocation, COMPONENT_BYTES_MAX, DescribeError, Engine, EngineConfig, LoadError, Loaded, Loader, LoaderConfig,
    Origin,
};
use support::wat::{component, skill, skill_with};
use support::{Driven, loader, script};

async fn refused(bytes: Vec<u8>) -> LoadError {
    loader().load_bytes(bytes).await.expect_err("refused")
}

#[tokio::test]
async fn a_component_that_imports_nothing_runs() {
    let loaded = loader().load_bytes(skill("", "[1]")).await.unwrap();
    let guest = Driven::start_guest(loaded.guest(script(""))).await;
    assert_eq!(format!("{:?}", guest.end), "Finished(Ok([1]))");
    assert_eq!(loaded.describe().await.unwrap().summary, "written as text");
    assert!(matches!(loaded.origin(), Origin::Compiled { .. }));
}

#[tokio::test]
async fn files_that_are_no_component_are_told_apart() {
    assert!(matches!(refused(vec![]).await, LoadError::NotWasm { .. }));
    assert!(matches!(
        refused(b"#!/usr/bin/env python".to_vec()).await,
        LoadError::NotWasm { .. }
    ));
    assert!(matches!(refused(component("(module)")).await, LoadError::CoreModule));
    let max = usize::try_from(COMPONENT_BYTES_MAX).unwrap();
    assert!(matches!(refused(vec![0; max + 1]).await, LoadError::TooLarge { .. }));
    let whole = skill("", "1");
    assert!(matches!(
        refused(whole[..whole.len() / 2].to_vec()).await,
        LoadError::Invalid { .. }
    ));
}

#[tokio::test]
async fn a_component_for_another_world_is_told_what_is_missing() {
    let error = refused(component(
        r#"(component (component $c) (instance $i (instantiate $c)) (export "wasi:cli/run@0.2.0" (instance $i)))"#,
    ))
    .await;
    assert_eq!(
        error.to_string(),
        "this component is no skill: it does not export `describe`, `run`; it exports `wasi:cli/run@0.2.0`. \
         Build it against the world `skillhost:skill/skill`, as `skillhost-sdk` does"
    );
}

#[tokio::test]
async fn an_import_that_is_not_provided_is_named() {
    for name in ["wasi:http/outgoing-handler@0.2.0", "acme:secrets/vault@1.0.0"] {
        let error = refused(skill_with(
            &format!(r#"(import "{name}" (instance (export "get" (func))))"#),
            "",
            "1",
        ))
        .await;
        assert!(
            error.to_string().starts_with(&format!(
                "the component imports `{name}`, which this host does not provide"
            )),
            "{error}"
        );
    }
}

#[tokio::test]
async fn worlds_of_other_versions_are_told_apart() {
    let import = |version: &str, function: &str| {
        skill_with(
            &format!(
                r#"(import "skillhost:skill/random@{version}" (instance (export "{function}" (func (result u64)))))"#
            ),
            "",
            "1",
        )
    };
    assert!(
        loader().load_bytes(import("0.1.9", "next")).await.is_ok(),
        "what it uses is there"
    );
    let newer = refused(import("0.1.9", "shuffle")).await;
    assert_eq!(
        newer.to_string(),
        "the component uses `shuffle` of `skillhost:skill/random@0.1.9`, which this host (version 0.1.0) does not have yet; update skillhost"
    );
    let other = refused(import("0.2.0", "next")).await;
    assert!(matches!(other, LoadError::OtherVersion { .. }), "{other}");
    let unfit = refused(skill_with(
        r#"(import "skillhost:skill/random@0.1.0" (instance (export "next" (func (result string)))))"#,
        "",
        "1",
    ))
    .await;
    assert!(matches!(unfit, LoadError::Unfit { .. }), "{unfit}");
}

#[tokio::test]
async fn any_minor_of_wasi_is_served_and_an_interface_of_types_needs_nothing() {
    for version in ["0.2.0", "0.2.6", "0.2.20"] {
        let imports = format!(
            r#"(import "wasi:random/random@{version}" (instance (export "get-random-u64" (func (result u64)))))
               (import "wasi:clocks/monotonic-clock@{version}" (instance (export "now" (func (result u64)))))
               (import "skillhost:skill/types@0.1.0" (instance (type $e (enum "a")) (export "reuse" (type (eq $e)))))"#
        );
        let loaded = loader().load_bytes(skill_with(&imports, "", "1")).await;
        assert!(loaded.is_ok(), "{version}: {loaded:?}");
    }
}

#[tokio::test]
async fn asynchronous_components_are_refused_as_such() {
    let error = refused(component(
        r#"(component (type (func async)) (import "f" (func (type 0))))"#,
    ))
    .await;
    assert!(matches!(error, LoadError::AsyncAbi { .. }), "{error}");
}

#[tokio::test]
async fn describe_may_not_make_calls() {
    let component = skill_with(
        r#"(import "skillhost:skill/run@0.1.0" (instance $run
             (type $m (record (field "name" string) (field "writable" bool)))
             (export "mount" (type $mount (eq $m)))
             (type $z (record (field "from-ns" u64) (field "ahead-s" s32)))
             (export "zone-offset" (type $offset (eq $z)))
             (type $r (record (field "id" string) (field "skill" string) (field "mounts" (list $mount)) (field "started-ns" u64)
               (field "zone" string) (field "zone-offsets" (list $offset)) (field "provider" string) (field "features" (list string))))
             (export "run-info" (type $info (eq $r)))
             (export "info" (func (result $info)))))"#,
        "",
        "1",
    );
    // It imports `run.info` without asking for it, which is no reason to refuse it.
    assert!(loader().load_bytes(component).await.unwrap().describe().await.is_ok());
    let traps = skill("(func $boom unreachable) (start $boom)", "1");
    let error = loader().load_bytes(traps).await.unwrap().describe().await.unwrap_err();
    assert!(matches!(error, DescribeError::Trapped(_)), "{error}");
}

struct Kept {
    folder: tempfile::TempDir,
}

impl Kept {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("code")
    }

    /// Loads with a loader of its own, as the next process would.
    async fn load(&self, bytes: &[u8]) -> Result<Arc<Loaded>, LoadError> {
        self.load_as(Digest::of(bytes), Ok(bytes.to_vec()), &EngineConfig::default())
            .await
    }

    async fn load_as(
        &self,
        digest: Digest,
        bytes: io::Result<Vec<u8>>,
        config: &EngineConfig,
    ) -> Result<Arc<Loaded>, LoadError> {
        let engine = Engine::new(config).unwrap();
        let config = LoaderConfig {
            cache: Some(self.path()),
            ..LoaderConfig::default()
        };
        Loader::new(&engine, &config).unwrap().load(digest, || bytes).await
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn compiled_code_is_kept_for_the_user_alone_and_found_by_digest() {
    let kept = Kept::new();
    let bytes = skill("", "2");
    assert!(matches!(
        kept.load(&bytes).await.unwrap().origin(),
        Origin::Compiled { .. }
    ));
    assert_eq!(kept.files().len(), 1);
    assert_eq!((mode(&kept.path()), mode(&kept.files()[0])), (0o700, 0o600));

    let absent = Err(io::Error::other("the bytes are not needed"));
    let found = kept
        .load_as(Digest::of(&bytes), absent, &EngineConfig::default())
        .await
        .unwrap();
    assert!(matches!(found.origin(), Origin::Cache { .. }));
    let guest = Driven::start_guest(found.guest(script(""))).await;
    assert_eq!(format!("{:?}", guest.end), "Finished(Ok(2))");
}

#[tokio::test]
async fn a_file_of_the_cache_that_does_not_verify_is_made_anew() {
    let kept = Kept::new();
    let bytes = skill("", "3");
    kept.load(&bytes).await.unwrap();
    let file = kept.files().remove(0);
    let whole = std::fs::read(&file).unwrap();

    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let mut other_format = whole.clone();
    other_format[0] ^= 1;
    for bad in [
        flipped,
        other_format,
        whole[..whole.len() - 9].to_vec(),
        vec![],
        whole[..20].to_vec(),
    ] {
        std::fs::write(&file, bad).unwrap();
        let loaded = kept.load(&bytes).await.unwrap();
        assert!(matches!(loaded.origin(), Origin::Compiled { .. }));
        assert_eq!(std::fs::read(&file).unwrap().len(), whole.len(), "it is whole again");
    }
}

#[tokio::test]
async fn compiled_code_of_another_component_or_engine_is_not_taken_for_this_one() {
    let kept = Kept::new();
    let (mine, other) = (skill("", "4"), skill("", "5"));
    kept.load(&mine).await.unwrap();
    let my_file = kept.files().remove(0);
    kept.load(&other).await.unwrap();
    let other_file = kept.files().into_iter().find(|file| *file != my_file).unwrap();
    std::fs::copy(&other_file, &my_file).unwrap();
    assert!(matches!(
        kept.load(&mine).await.unwrap().origin(),
        Origin::Compiled { .. }
    ));

    let deeper = EngineConfig {
        stack_bytes_max: 512 << 10,
        ..EngineConfig::default()
    };
    let loaded = kept
        .load_as(Digest::of(&mine), Ok(mine.clone()), &deeper)
        .await
        .unwrap();
    assert!(
        matches!(loaded.origin(), Origin::Compiled { .. }),
        "another engine compiles for itself"
    );
}

#[tokio::test]
async fn a_cache_that_cannot_be_used_is_done_without() {
    let kept = Kept::new();
    std::fs::write(kept.path(), "a file in its place").unwrap();
    assert!(kept.load(&skill("", "6")).await.is_ok());
}

#[tokio::test]
async fn bytes_that_are_not_those_asked_for_are_refused() {
    let kept = Kept::new();
    let wrong = kept
        .load_as(Digest::of(b"else"), Ok(skill("", "7")), &EngineConfig::default())
        .await
        .unwrap_err();
    assert!(matches!(wrong, LoadError::WrongDigest { .. }), "{wrong}");
    let unread = kept
        .load_as(
            Digest::of(b"else"),
            Err(io::Error::other("gone")),
            &EngineConfig::default(),
        )
        .await
        .unwrap_err();
    assert!(unread.may_pass(), "{unread}");
}

#[tokio::test]
async fn a_component_is_loaded_once_however_many_ask_for_it() {
    let loader = loader();
    let bytes = skill("", "8");
    let (one, two) = tokio::join!(loader.load_bytes(bytes.clone()), loader.load_bytes(bytes));
    assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
}

#[tokio::test]
async fn pooled_instances_run_the_same_code_and_refuse_more_guests_than_there_is_room_for() {
    let engine = Engine::new(&EngineConfig::many_runs(1)).unwrap();
    assert_eq!(
        engine.profile(),
        Engine::new(&EngineConfig::one_run()).unwrap().profile()
    );
    let loader = Loader::new(&engine, &LoaderConfig::default()).unwrap();
    let probe = loader.load_bytes(support::probe_bytes().to_vec()).await.unwrap();
    let waiting = Driven::start_guest(probe.guest(script("model x"))).await;
    let refused = Driven::start_guest(probe.guest(script("model x"))).await;
    assert!(format!("{:?}", refused.end).starts_with("Broken("), "{:?}", refused.end);
    drop(waiting);
    let mut guest = Driven::start_guest(probe.guest(script("model x"))).await;
    assert_eq!(guest.answer(0, support::reply("y")).await.seen(), ["y"]);
    assert!(matches!(
        EngineConfig::many_runs(1).allocation,
        Allocation::Pooled { runs_max: 1 }
    ));
}

#[tokio::test]
async fn a_file_of_the_cache_that_others_may_have_written_is_not_loaded() {
    let kept = Kept::new();
    let bytes = skill("", "9");
    kept.load(&bytes).await.unwrap();
    let file = kept.files().remove(0);
    let is_made_anew = async || matches!(kept.load(&bytes).await.unwrap().origin(), Origin::Compiled { .. });

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(is_made_anew().await, "others may write it");
    assert_eq!(mode(&file), 0o600);
    assert!(!is_made_anew().await, "what was made anew is loaded");

    let elsewhere = kept.folder.path().join("elsewhere");
    std::fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(is_made_anew().await, "it is a link");
    assert!(!file.is_symlink());

    // To give a file away takes rights that not every user has who runs the tests.
    if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
        assert!(is_made_anew().await, "it belongs to somebody else");
    }
    // A folder that was left open is closed.
    std::fs::set_permissions(kept.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!is_made_anew().await);
    assert_eq!(mode(&kept.path()), 0o700);
}

#[tokio::test]
async fn guests_that_take_all_that_one_may_have_leave_others_their_room() {
    let engine = Engine::new(&EngineConfig::many_runs(2)).unwrap();
    let loader = Loader::new(&engine, &LoaderConfig::default()).unwrap();
    let all: String = (0..6)
        .map(|_| "(memory 1)")
        .chain((0..40).map(|_| "(table 1 funcref)"))
        .collect();
    let greedy = loader.load_bytes(skill(&all, "1")).await.unwrap();
    let probe = loader.load_bytes(support::probe_bytes().to_vec()).await.unwrap();
    let _waits = Driven::start_guest(probe.guest(script("model x"))).await;
    let guest = Driven::start_guest(greedy.guest(script(""))).await;
    assert_eq!(format!("{:?}", guest.end), "Finished(Ok(1))");
}

#[tokio::test]
async fn what_the_single_pass_compiler_does_not_know_is_compiled_by_the_other_one_and_the_engine_is_named() {
    // A function of relaxed SIMD, in a module that nothing uses: all of a component is compiled.
    const RELAXED: &[u8] = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7b\x03\x02\x01\0\x0a\x19\x01\x17\0\xfd\x0c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xfd\x81\x02\x0b";
    let plain = support::probe_bytes();
    let length = u8::try_from(RELAXED.len()).unwrap();
    let with_relaxed = [plain, &[1, length], RELAXED].concat();
    let engine = Engine::new(&EngineConfig::development()).unwrap();
    let loader = Loader::new(&engine, &LoaderConfig::default()).unwrap();
    let known = loader.load_bytes(plain.to_vec()).await.unwrap();
    let unknown = loader.load_bytes(with_relaxed).await.unwrap();
    assert!(known.profile().contains("winch"), "{}", known.profile());
    assert!(unknown.profile().contains("cranelift-quick"), "{}", unknown.profile());
    for loaded in [known, unknown] {
        let mut guest = Driven::start_guest(loaded.guest(script("print hello"))).await;
        assert_eq!(guest.did(), ["out hello"]);
    }
}
