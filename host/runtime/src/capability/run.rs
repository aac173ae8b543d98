//! `run`: what a run knows of itself, fixed when it was launched, and the notes that people leave for it.

use skillhost_core::calls::run;
use skillhost_core::effect::Function;
use skillhost_core::entry::ZoneOffset;
use skillhost_core::outcome::Fault;
use skillhost_core::payload::Payload;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, other};
use crate::bindings::skillhost::skill::run::{self as wit, CallOptions, Error, Host, Mount, Note, RunInfo};
use crate::guest::limits::REQUEST_BYTES_MAX;
use crate::guest::state::{Facts, State};
use crate::guest::stop::{GoesOn, Misuse};

impl Host for State {
    fn info(&mut self) -> wasmtime::Result<RunInfo> {
        let Facts::Run { info, started_at, .. } = &self.facts else {
            return Err(Misuse("`describe` is not part of a run, and it asked for `run.info`".to_owned()).into());
        };
        let mounts = info.mounts.iter().map(|mount| Mount {
            name: mount.name.clone(),
            writable: mount.writable,
        });
        Ok(RunInfo {
            id: info.run.to_string(),
            skill: info.skill.to_string(),
            mounts: mounts.collect(),
            started_ns: started_at.as_nanos(),
            zone: info.zone.clone(),
            zone_offsets: info.zone_offsets.iter().map(offset).collect(),
            provider: info.provider.clone(),
            features: info.features.clone(),
        })
    }

    fn continue_as(&mut self, input: String) -> wasmtime::Result<()> {
        if matches!(self.facts, Facts::Describe) {
            return Err(Misuse("`describe` is not part of a run, and it asked to be continued".to_owned()).into());
        }
        if input.len() > REQUEST_BYTES_MAX {
            return Err(Misuse(format!(
                "it asked to be continued with an input of {} bytes; at most {} MiB are kept",
                input.len(),
                REQUEST_BYTES_MAX >> 20
            ))
            .into());
        }
        let input = Payload::parse(&input).map_err(|error| {
            Misuse(format!(
                "it asked to be continued with an input that is no JSON: {error}"
            ))
        })?;
        Err(GoesOn(input).into())
    }

    async fn notes(&mut self, options: CallOptions) -> wasmtime::Result<Result<Vec<Note>, Error>> {
        let notes = self.call(notes_draft().with(options)).await?;
        Ok(notes.map(shown).map_err(error))
    }

    fn start_notes(&mut self, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(notes_draft().with(options))
    }

    async fn finish_notes(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<Vec<Note>, Error>> {
        let notes = self.finish(pending, Function::RUN_NOTES).await?;
        Ok(notes.map(shown).map_err(error))
    }
}

fn offset(offset: &ZoneOffset) -> wit::ZoneOffset {
    wit::ZoneOffset {
        from_ns: offset.from.as_nanos(),
        ahead_s: offset.ahead_s,
    }
}

fn notes_draft() -> Draft {
    Draft::new(Function::RUN_NOTES, &())
}

fn shown(notes: Vec<run::Note>) -> Vec<Note> {
    let notes = notes.into_iter().map(|note| Note {
        message: note.message,
        at_ns: note.at.as_nanos(),
        by: note.by,
    });
    notes.collect()
}

fn error(fault: Fault) -> Error {
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        _ => Error::Other(other(fault)),
    }
}
