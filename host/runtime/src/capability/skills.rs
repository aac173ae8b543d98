//! `skills`: calls of other skills. What was not granted to this run is refused here; whether the other skill may be launched is for whoever launches it.

use serde_json::Value;
use skillhost_core::calls::skills::{Allowance, Call, DEPTH_MAX, VALUE_BYTES_MAX};
use skillhost_core::effect::Function;
use skillhost_core::id::SkillName;
use skillhost_core::outcome::Fault;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, json, json_object, not_granted, other, text};
use crate::bindings::skillhost::skill::skills::{self as wit, CallOptions, Error, Host};
use crate::bindings::skillhost::skill::types::Failure;
use crate::guest::state::{Facts, State};

impl Host for State {
    async fn call(&mut self, request: wit::Request, options: CallOptions) -> wasmtime::Result<Result<String, Error>> {
        let result: Result<Value, Fault> = State::call(self, self.skill_draft(request, options)).await?;
        Ok(result.map(text).map_err(error))
    }

    fn start_call(&mut self, request: wit::Request, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.skill_draft(request, options))
    }

    async fn finish_call(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<String, Error>> {
        let result: Result<Value, Fault> = self.finish(pending, Function::SKILLS_CALL).await?;
        Ok(result.map(text).map_err(error))
    }
}

impl State {
    fn skill_draft(&self, request: wit::Request, options: CallOptions) -> Draft {
        let too_large = (request.input.len() > VALUE_BYTES_MAX).then(|| Fault {
            data: Some(VALUE_BYTES_MAX.into()),
            ..Fault::new(
                Fault::TOO_LARGE,
                format!(
                    "the input has {} bytes; at most {VALUE_BYTES_MAX} are passed on",
                    request.input.len()
                ),
            )
        });
        let (input, malformed) = json("the input", request.input);
        let (extra, refused_extra) = json_object("the request's `extra`", request.extra);
        let call = Call {
            skill: request.skill,
            input,
            allowance: request
                .allowance
                .map_or_else(Allowance::default, |allowance| Allowance {
                    calls: allowance.calls,
                    tokens: allowance.tokens,
                    microdollars: allowance.microdollars,
                }),
            extra,
        };
        let denied = self.denied_skill(&call.skill);
        let mut draft = Draft::new(Function::SKILLS_CALL, &call)
            .refuse(too_large)
            .refuse(malformed)
            .refuse(refused_extra)
            .refuse(denied)
            .bounded(Fault::TOO_LARGE)
            .with(options);
        // It waits for the other run, and so has a deadline rather than a performance that takes too long.
        draft.lasts = draft.options.timeout();
        draft
    }

    fn denied_skill(&self, name: &str) -> Option<Fault> {
        let Facts::Run {
            info, grants, depth, ..
        } = &self.facts
        else {
            return None;
        };
        let Ok(skill) = SkillName::parse(name) else {
            return Some(Fault::new(
                Fault::INVALID,
                format!("`{}` names no skill", name.escape_debug()),
            ));
        };
        if let Err(denied) = grants.skill(&skill) {
            return Some(not_granted(&denied, &info.skill));
        }
        (*depth >= DEPTH_MAX).then(|| {
            let message = format!("calls of skills nest {DEPTH_MAX} deep already, and may nest no deeper");
            Fault::new(Fault::DENIED, message)
        })
    }
}

fn error(fault: Fault) -> Error {
    let member = |name: &str| fault.data.as_ref().and_then(|data| data.get(name)).cloned();
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        Fault::DENIED => Error::Denied(fault.message),
        Fault::NOT_FOUND => Error::NotFound(fault.message),
        Fault::TOO_LARGE => {
            let bound = fault.data.as_ref().and_then(Value::as_u64);
            Error::TooLarge(bound.unwrap_or(VALUE_BYTES_MAX as u64))
        }
        Fault::INVALID => Error::Invalid(fault.message),
        Fault::BUDGET => Error::Budget(fault.message),
        Fault::TIMEOUT => Error::Timeout(fault.message),
        Fault::FAILED => Error::Failed(Failure {
            code: match member("code") {
                Some(Value::String(code)) => code,
                _ => Fault::FAILED.to_owned(),
            },
            details: member("details").filter(|details| !details.is_null()).map(text),
            message: fault.message,
        }),
        _ => Error::Other(other(fault)),
    }
}
