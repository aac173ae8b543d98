//! `process`: programs of the user's machine. What was not granted is refused here, so that it is never begun; everything else is the effect's to check.

use std::collections::BTreeMap;

use skillhost_core::calls::files::Bytes;
use skillhost_core::calls::process::{
    ARGUMENTS_MAX, COMMAND_BYTES_MAX, Command, End, Ended, INPUT_BYTES_MAX, KEEP_BYTES_MAX, Output,
};
use skillhost_core::effect::Function;
use skillhost_core::grants::{is_program, is_variable};
use skillhost_core::outcome::Fault;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, json_object, not_granted, other, secrets, text};
use crate::bindings::skillhost::skill::process::{self as wit, CallOptions, Error, Host};
use crate::guest::state::{Facts, State};

impl Host for State {
    async fn run(
        &mut self,
        command: wit::Command,
        options: CallOptions,
    ) -> wasmtime::Result<Result<wit::Ended, Error>> {
        let ended = self.call(self.command_draft(command).with(options)).await?;
        Ok(ended.map(shown).map_err(error))
    }

    fn start_run(&mut self, command: wit::Command, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.command_draft(command).with(options))
    }

    async fn finish_run(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<wit::Ended, Error>> {
        let ended = self.finish(pending, Function::PROCESS_RUN).await?;
        Ok(ended.map(shown).map_err(error))
    }
}

impl State {
    fn command_draft(&self, command: wit::Command) -> Draft {
        let malformed = check(&command);
        let (extra, refused_extra) = json_object("the command's `extra`", command.extra);
        let command = Command {
            program: command.program,
            arguments: command.arguments,
            folder: command.folder,
            input: Bytes(command.input),
            environment: command
                .environment
                .into_iter()
                .map(|variable| (variable.name, variable.value))
                .collect::<BTreeMap<_, _>>(),
            keep_bytes: command.keep_bytes,
            merged: command.merged,
            extra,
        };
        let denied = self.denied_command(&command);
        Draft::new(Function::PROCESS_RUN, &command)
            .refuse(malformed)
            .refuse(refused_extra)
            .refuse(denied)
            .bounded(Fault::TOO_LARGE)
    }

    fn denied_command(&self, command: &Command) -> Option<Fault> {
        let Facts::Run { info, grants, .. } = &self.facts else {
            return None;
        };
        let variables = command.environment.keys().map(String::as_str);
        match secrets(command.environment.values().map(String::as_str)) {
            Err(malformed) => Some(malformed),
            Ok(secrets) => {
                let denied = grants.program(&command.program, variables, &secrets).err()?;
                Some(not_granted(&denied, &info.skill))
            }
        }
    }
}

fn check(command: &wit::Command) -> Option<Fault> {
    let invalid = |message: String| Some(Fault::new(Fault::INVALID, message));
    if !is_program(&command.program) {
        return invalid(format!(
            "`{}` names no program: a name without `/`, or an absolute path",
            command.program.escape_debug()
        ));
    }
    if command.arguments.len() > ARGUMENTS_MAX {
        return invalid(format!("more than {ARGUMENTS_MAX} arguments"));
    }
    let arguments = command.arguments.iter();
    let environment = &command.environment;
    let values = environment.iter().map(|variable| &variable.value);
    if arguments.chain(values).any(|text| text.contains('\0')) {
        return invalid("an argument or a variable holds a zero byte".to_owned());
    }
    if let Some(bad) = environment.iter().find(|variable| !is_variable(&variable.name)) {
        let name = bad.name.escape_debug();
        return invalid(format!(
            "`{name}` names no variable that may be given; `PATH` is the host's to give"
        ));
    }
    if command.keep_bytes.is_some_and(|bytes| bytes > KEEP_BYTES_MAX) {
        return invalid(format!("at most {KEEP_BYTES_MAX} bytes of an output are kept"));
    }
    let arguments: usize = command.arguments.iter().map(|text| text.len() + 1).sum();
    let variables: usize = environment.iter().map(|v| v.name.len() + v.value.len() + 2).sum();
    match (arguments + variables + command.program.len(), command.input.len()) {
        (bytes, _) if bytes > COMMAND_BYTES_MAX => Some(too_large("the command", bytes, COMMAND_BYTES_MAX)),
        (_, bytes) if bytes > INPUT_BYTES_MAX => Some(too_large("the input", bytes, INPUT_BYTES_MAX)),
        _ => None,
    }
}

fn too_large(what: &str, bytes: usize, bytes_max: usize) -> Fault {
    Fault {
        data: Some(bytes_max.into()),
        ..Fault::new(
            Fault::TOO_LARGE,
            format!("{what} has {bytes} bytes; at most {bytes_max} are given to a program"),
        )
    }
}

fn shown(ended: Ended) -> wit::Ended {
    wit::Ended {
        end: match ended.end {
            End::Exited(code) => wit::End::Exited(code),
            End::Signalled(signal) => wit::End::Signalled(signal),
        },
        stdout: output(ended.stdout),
        stderr: output(ended.stderr),
        extra: ended.extra.map(text),
    }
}

fn output(output: Output) -> wit::Output {
    let Bytes(kept) = output.kept;
    wit::Output {
        kept,
        cut_bytes: output.cut_bytes,
    }
}

fn error(fault: Fault) -> Error {
    let bound = fault.data.as_ref().and_then(|data| data.as_u64());
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        Fault::DENIED => Error::Denied(fault.message),
        Fault::NOT_FOUND => Error::NotFound(fault.message),
        Fault::TOO_LARGE => Error::TooLarge(bound.unwrap_or(INPUT_BYTES_MAX as u64)),
        Fault::INVALID => Error::Invalid(fault.message),
        Fault::BUDGET => Error::Budget(fault.message),
        Fault::TIMEOUT => Error::Timeout(fault.message),
        Fault::FAILED => Error::Failed(fault.message),
        _ => Error::Other(other(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str) -> wit::Command {
        wit::Command {
            program: program.to_owned(),
            arguments: vec![],
            folder: None,
            input: vec![],
            environment: vec![],
            keep_bytes: None,
            merged: false,
            extra: None,
        }
    }

    #[test]
    fn a_command_that_no_system_could_run_is_refused_with_the_reason() {
        let variable = |name: &str| wit::Variable {
            name: name.to_owned(),
            value: "x".to_owned(),
        };
        let bad = [
            command(""),
            command("./run/evil"),
            command("a\nb"),
            wit::Command {
                arguments: vec!["a\0b".to_owned()],
                ..command("sh")
            },
            wit::Command {
                environment: vec![variable("PATH")],
                ..command("sh")
            },
            wit::Command {
                environment: vec![variable("A=B")],
                ..command("sh")
            },
            wit::Command {
                environment: vec![variable("SKILLHOST_HOME")],
                ..command("sh")
            },
            wit::Command {
                keep_bytes: Some(KEEP_BYTES_MAX + 1),
                ..command("sh")
            },
        ];
        for command in bad {
            assert_eq!(check(&command).expect("a fault").code, Fault::INVALID, "{command:?}");
        }
        let large = wit::Command {
            arguments: vec!["x".repeat(COMMAND_BYTES_MAX)],
            ..command("sh")
        };
        assert_eq!(check(&large).expect("a fault").code, Fault::TOO_LARGE);
        assert_eq!(check(&command("/usr/bin/env")), None);
    }
}
