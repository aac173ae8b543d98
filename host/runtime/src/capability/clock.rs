//! `clock`: the guest's time (rule G6) and timers (rule G7).

use std::time::Duration;

use skillhost_core::calls::clock::{SLEEP_MAX, Sleep};
use skillhost_core::effect::Function;
use skillhost_core::outcome::Fault;
use skillhost_core::time::Timestamp;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, other};
use crate::bindings::skillhost::skill::clock::{CallOptions, Error, Host};
use crate::guest::state::State;

impl Host for State {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(now(self).await?.as_nanos())
    }

    async fn sleep(&mut self, duration_ns: u64, options: CallOptions) -> wasmtime::Result<Result<(), Error>> {
        let slept = self.call(sleep_draft(duration_ns).with(options)).await?;
        Ok(slept.map_err(error))
    }

    fn start_sleep(&mut self, duration_ns: u64, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(sleep_draft(duration_ns).with(options))
    }

    async fn finish_sleep(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<(), Error>> {
        let slept = self.finish(pending, Function::CLOCK_SLEEP).await?;
        Ok(slept.map_err(error))
    }
}

/// Reads the guest's clock.
pub(crate) async fn now(state: &mut State) -> wasmtime::Result<Timestamp> {
    tick(state).await?;
    Ok(state.desk.lock().time.read())
}

/// Counts a reading. One too many since the last delivery asks the host's clock, so that a guest which waits by looking gets somewhere.
pub(crate) async fn tick(state: &mut State) -> wasmtime::Result<()> {
    let wants_tick = state.desk.lock().wants_tick();
    if wants_tick {
        let ticked = state.call::<()>(Draft::new(Function::CLOCK_TICK, &())).await?;
        // A tick is exempt from cancelling; should it be answered with a fault all the same, the guest's time still stands as delivered.
        drop(ticked);
    }
    Ok(())
}

/// Drafts a timer.
pub(crate) fn sleep_draft(duration_ns: u64) -> Draft {
    let lasts = Duration::from_nanos(duration_ns);
    let refused = (lasts > SLEEP_MAX).then(|| {
        Fault::new(
            Fault::INVALID,
            format!(
                "a timer of {} days; the longest is {} days",
                days(lasts),
                days(SLEEP_MAX)
            ),
        )
    });
    Draft {
        lasts: Some(lasts.min(SLEEP_MAX)),
        ..Draft::new(Function::CLOCK_SLEEP, &Sleep { duration_ns })
    }
    .refuse(refused)
}

fn days(duration: Duration) -> u64 {
    duration.as_secs() / (24 * 3600)
}

fn error(fault: Fault) -> Error {
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        _ => Error::Other(other(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g7_a_timer_of_more_than_ten_years_is_refused_and_recorded() {
        let draft = sleep_draft(u64::MAX);
        assert_eq!(draft.request.as_str(), r#"{"duration_ns":18446744073709551615}"#);
        let refused = draft.refused.expect("a fault");
        assert_eq!(
            (refused.code.as_str(), refused.message.as_str()),
            ("invalid", "a timer of 213503 days; the longest is 3660 days")
        );
        assert_eq!(sleep_draft(1).refused, None);
    }
}
