//! Runs, entries and journals for tests.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;

use futures::executor::block_on;
use skillhost_core::calls::CallOptions;
use skillhost_core::effect::{Class, Function};
use skillhost_core::entry::{By, Called, Entry, Finished, How, Limits, Provider, Record, Returned, SEMANTICS, Started};
use skillhost_core::id::{Digest, Epoch, LaunchId, Number, RunId, Seq, SkillName, WorkerId};
use skillhost_core::lease::Lease;
use skillhost_core::machine::Write;
use skillhost_core::outcome::Outcome;
use skillhost_core::payload::Payload;
use skillhost_core::time::Timestamp;
use skillhost_journal::{
    AppendError, Bundle, BundleFile, Created, Journal, MemoryJournal, NewRun, RunWriter, SqliteJournal, Taken,
};
use tempfile::TempDir;

/// A journal to tell a story of, with a bundle in it.
pub(crate) struct Stage {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) bundle: Digest,
    pub(crate) folder: Option<TempDir>,
}

impl Stage {
    pub(crate) fn memory() -> Self {
        Self::new(Arc::new(MemoryJournal::new()), None)
    }

    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("journal.db")).unwrap();
        Self::new(Arc::new(journal), Some(folder))
    }

    fn new(journal: Arc<dyn Journal>, folder: Option<TempDir>) -> Self {
        let bundle = put_bundle(
            journal.as_ref(),
            &[("skill.wasm", "code"), ("SKILL.md", "words")],
            at(0),
        );
        Self {
            journal,
            bundle,
            folder,
        }
    }

    /// Makes a run and takes it.
    pub(crate) fn run(&self, n: u64) -> (RunId, RunWriter) {
        let run = self.create(n);
        let writer = self.take(&run, "worker");
        (run, writer)
    }

    /// Makes a run.
    pub(crate) fn create(&self, n: u64) -> RunId {
        let run = run_id(n);
        let new = NewRun::first(self.started(n), at(n), None);
        assert_eq!(self.journal.create_run(new).unwrap(), Created::New);
        run
    }

    pub(crate) fn started(&self, n: u64) -> Started {
        started(n, self.bundle)
    }

    /// Takes a run, whoever holds it, and goes on where its journal ends.
    pub(crate) fn take(&self, run: &RunId, name: &str) -> RunWriter {
        let next = Seq(self.journal.run(run).unwrap().entries);
        self.journal.writer(run, self.claim(run, name), next)
    }

    /// Takes the lease of a run, whoever holds it.
    pub(crate) fn claim(&self, run: &RunId, name: &str) -> Epoch {
        let seen: Lease = self.journal.lease(run).unwrap();
        match self.journal.claim(run, &worker(name), &seen).unwrap() {
            Taken::At(epoch) => epoch,
            Taken::Changed(lease) => panic!("nobody else takes runs here: {lease:?}"),
        }
    }
}

pub(crate) fn put_bundle(journal: &dyn Journal, files: &[(&str, &str)], at: Timestamp) -> Digest {
    let bundle = bundle(files);
    let contents = |file: &BundleFile| {
        let (_, content) = files.iter().find(|(path, _)| *path == file.path).unwrap();
        Ok(content.as_bytes().to_vec())
    };
    journal.put_bundle(&bundle, at, &contents).unwrap()
}

pub(crate) fn bundle(files: &[(&str, &str)]) -> Bundle {
    Bundle::new(files.iter().map(|(path, content)| BundleFile {
        path: (*path).to_owned(),
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
    }))
    .unwrap()
}

/// Appends, and waits until it is durable.
pub(crate) fn append(writer: &mut RunWriter, writes: impl IntoIterator<Item = Write>) -> Result<(), AppendError> {
    writer.append(writes.into_iter().collect())?;
    block_on(writer.flush())
}

pub(crate) fn started(n: u64, bundle: Digest) -> Started {
    Started {
        run: run_id(n),
        launch: LaunchId::parse(run_id(n).as_str()).unwrap(),
        skill: SkillName::parse("greeter").unwrap(),
        input: json("{\"name\":\"Ada\"}"),
        bundle,
        component: Digest::of(b"code"),
        seed: Digest::of(b"seed"),
        zone: "Europe/Berlin".to_owned(),
        zone_offsets: Vec::new(),
        mounts: Vec::new(),
        limits: Limits::default(),
        provider: Provider {
            name: "offline".to_owned(),
            models: Default::default(),
            features: Vec::new(),
            simulated: true,
            acts: false,
        },
        engine: "test".to_owned(),
        semantics: SEMANTICS,
        parent: None,
        continues: None,
        caller: None,
        skills_folder: None,
        grants: Default::default(),
    }
}

pub(crate) fn entry(seq: u64, entry: Entry) -> Write {
    Write::Entry(record(seq, entry))
}

pub(crate) fn record(seq: u64, entry: Entry) -> Record {
    Record {
        seq: Seq(seq),
        at: at(1_000 + seq),
        entry,
    }
}

pub(crate) fn called(number: u64, request: Payload) -> Entry {
    call(number, Function::MODEL_COMPLETE, request)
}

pub(crate) fn call(number: u64, function: Function, request: Payload) -> Entry {
    Entry::Called(Arc::new(Called {
        number: Number(number),
        function,
        request,
        options: CallOptions {
            label: Some(format!("call {number}")),
            ..CallOptions::default()
        },
        class: Class::Retryable,
        after: number,
        reserved: None,
        reserved_day: None,
        over: None,
        tier: None,
        due: None,
    }))
}

pub(crate) fn returned(number: u64, answer: Payload) -> Entry {
    Entry::Returned(Returned {
        number: Number(number),
        outcome: Outcome::Ok(answer),
        spent: None,
        by: By::Effect,
    })
}

pub(crate) fn finished(how: How) -> Entry {
    Entry::Finished(Finished {
        how,
        spent: Default::default(),
    })
}

pub(crate) fn done() -> Entry {
    finished(How::Done(json("\"hello\"")))
}

pub(crate) fn json(text: &str) -> Payload {
    Payload::parse(text).unwrap()
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp(1_700_000_000_000_000 + seconds * 1_000_000)
}

pub(crate) fn run_id(n: u64) -> RunId {
    RunId::parse(&format!("01jd{n:022}")).unwrap()
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId::parse(name).unwrap()
}
