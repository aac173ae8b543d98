//! `run`: what a run knows of itself, fixed when it was launched.

use crate::bindings::skillhost::skill::run::{Host, Mount, RunInfo};
use crate::guest::state::{Facts, State};
use crate::guest::stop::Misuse;

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
            provider: info.provider.clone(),
            features: info.features.clone(),
        })
    }
}
