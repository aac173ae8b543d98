//! Says in words why a guest stopped abnormally, and whose fault it was.

use skillhost_core::entry::Failure;
use skillhost_core::machine::{Continued, End};
use wasmtime::{FrameInfo, Module, Store, Trap, WasmBacktrace};

use super::source::{Place, Reread};
use super::state::State;
use super::stop::{Broken, Exhausted, GoesOn, Misuse};
use crate::engine::Engine;

/// The code of a failure by a trap.
const CODE: &str = "trap";
/// The code of a failure of a guest that computed for too long.
const RUNAWAY: &str = "runaway";
/// How many of the guest's last words are repeated.
const LAST_LINES_MAX: usize = 12;

/// Returns how a guest ended that did not return. Given the component, it is told where in its source.
pub(crate) fn end(engine: &Engine, store: &Store<State>, error: &wasmtime::Error, component: Option<&Reread>) -> End {
    if let Some(GoesOn(input)) = error.downcast_ref() {
        return End::Continued(Box::new(Continued {
            input: input.clone(),
            // Of zones this crate knows nothing.
            zone_offsets: Vec::new(),
        }));
    }
    if let Some(end) = exhausted(engine, store, error, component) {
        return end;
    }
    match error.downcast_ref::<Broken>() {
        Some(broken) => End::Broken(broken.to_string()),
        None => trapped(error, failure(engine, store, error, component)),
    }
}

fn trapped(error: &wasmtime::Error, failure: Failure) -> End {
    match error.downcast_ref() {
        // How deep a stack of so many bytes lets a guest nest is the engine's: another one may have let it go further.
        Some(Trap::StackOverflow) => End::Exhausted(failure),
        _ => End::Trapped(failure),
    }
}

/// Returns how a guest ended that computed for too long.
fn exhausted(
    engine: &Engine,
    store: &Store<State>,
    error: &wasmtime::Error,
    component: Option<&Reread>,
) -> Option<End> {
    let exhausted = error.downcast_ref::<Exhausted>()?;
    Some(End::Exhausted(Failure {
        code: RUNAWAY.to_owned(),
        message: exhausted.to_string(),
        ..failure(engine, store, error, component)
    }))
}

/// Returns how a guest ended that could not be set up: by code of its own that ran then, for want of memory that it may not have, or because the host has no room.
pub(crate) fn end_of_instantiation(engine: &Engine, store: &Store<State>, error: &wasmtime::Error) -> End {
    if let Some(end) = exhausted(engine, store, error, None) {
        return end;
    }
    let limiter = &store.data().limiter;
    let refused = limiter.refused().is_some() || limiter.in_words(&format!("{error:#}")).is_some();
    let own = error.is::<Trap>() || error.is::<Misuse>() || error.is::<WasmBacktrace>() || refused;
    if own && !error.is::<Broken>() {
        return trapped(error, failure(engine, store, error, None));
    }
    End::Broken(format!("the skill could not be set up in memory: {error:#}"))
}

/// Says in words why the guest stopped.
fn failure(engine: &Engine, store: &Store<State>, error: &wasmtime::Error, component: Option<&Reread>) -> Failure {
    let state = store.data();
    let mut desk = state.desk.lock();
    desk.end_lines();
    let said: Vec<&str> = desk.lines.tail().collect();
    let mut message = match (panic_message(&said), error.downcast_ref::<Trap>()) {
        (Some(panic), Some(Trap::UnreachableCodeReached)) => panic,
        (_, Some(Trap::StackOverflow)) => format!(
            "the skill nested too deeply and its stack overflowed (engine `{}`); `limits.stack_kib` in the configuration allows more",
            engine.profile()
        ),
        (_, trap) => {
            let mut message = match trap {
                Some(trap) => format!("the skill stopped: {}", in_words(*trap)),
                None => {
                    let known = state.limiter.in_words(&format!("{error:#}"));
                    format!("the skill stopped: {}", known.unwrap_or_else(|| cause(error)))
                }
            };
            let last = &said[said.len().saturating_sub(LAST_LINES_MAX)..];
            if !last.is_empty() {
                message.push_str("\nits last words on standard error:\n  ");
                message.push_str(&last.join("\n  "));
            }
            message
        }
    };
    if let Some(refused) = state.limiter.refused() {
        message.push('\n');
        message.push_str(&refused);
    }
    Failure {
        code: CODE.to_owned(),
        message,
        details: None,
        backtrace: error
            .downcast_ref::<WasmBacktrace>()
            .and_then(|trace| backtrace(trace, component)),
    }
}

/// Finds what a Rust guest says when it panics: `thread '..' panicked at <place>:` and then the message.
fn panic_message(said: &[&str]) -> Option<String> {
    let at = said
        .iter()
        .rposition(|line| line.starts_with("thread '") && line.contains("panicked at "))?;
    let place = said[at].split_once("panicked at ")?.1.trim_end_matches(':');
    let words: Vec<&str> = said[at + 1..]
        .iter()
        .copied()
        .take_while(|line| !line.starts_with("note: run with `RUST_BACKTRACE") && !line.starts_with("stack backtrace:"))
        .collect();
    let words = words.join("\n");
    Some(match words.trim() {
        "" => format!("the skill panicked at {place}"),
        words => format!("the skill panicked at {place}: {words}"),
    })
}

fn in_words(trap: Trap) -> String {
    match trap {
        Trap::StackOverflow => "its stack overflowed",
        Trap::MemoryOutOfBounds => {
            "it accessed memory that it does not have (often the end of a stack that recursed too deeply)"
        }
        Trap::TableOutOfBounds | Trap::IndirectCallToNull => "it called a function that is not there",
        Trap::BadSignature => "it called a function with the wrong signature",
        Trap::IntegerOverflow => "an integer overflowed",
        Trap::IntegerDivisionByZero => "it divided an integer by zero",
        Trap::BadConversionToInteger => "it converted a number to an integer that cannot hold it",
        Trap::UnreachableCodeReached => "it gave up (`unreachable` instruction)",
        other => return other.to_string(),
    }
    .to_owned()
}

/// Returns the innermost reasons, without wasmtime's own frame around them.
fn cause(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Misuse>() {
        Some(misuse) => misuse.to_string(),
        None => error.root_cause().to_string(),
    }
}

/// Writes one frame a line: the function, and where in it the guest was, as far as the component has line tables. What was inlined has lines of its own.
fn backtrace(trace: &WasmBacktrace, component: Option<&Reread>) -> Option<String> {
    let frames = trace.frames();
    let places = match component {
        Some(component) => component.places(&addresses(frames)),
        None => vec![Vec::new(); frames.len()],
    };
    let mut lines = Vec::new();
    for (frame, places) in frames.iter().zip(places) {
        let name = match frame.func_name() {
            Some(name) => demangled(name),
            None => format!("function {}", frame.func_index()),
        };
        if places.is_empty() {
            lines.push(name.clone());
        }
        let count = places.len();
        for (index, Place { function, line }) in places.into_iter().enumerate() {
            let function = match function {
                // The function itself is named by the component, as without tables.
                Some(function) if index + 1 < count => demangled(&function),
                _ => name.clone(),
            };
            lines.push(line.map_or(function.clone(), |line| format!("{function} ({line})")));
        }
    }
    let own = without_panic_machinery(&lines);
    (!own.is_empty()).then(|| own.join("\n"))
}

/// Returns where in the skill its frames are; `None` for those that are not of it: the outermost is, and what passes its calls on is of other modules.
pub(crate) fn addresses(frames: &[FrameInfo]) -> Vec<Option<usize>> {
    let skill = frames.last().map(FrameInfo::module);
    let is_of_skill = |frame: &FrameInfo| skill.is_some_and(|skill| Module::same(frame.module(), skill));
    let address = |frame: &FrameInfo| frame.module_offset().filter(|_| is_of_skill(frame));
    frames.iter().map(address).collect()
}

/// Leaves out how Rust panics, which precedes the place that matters.
fn without_panic_machinery(lines: &[String]) -> &[String] {
    const MACHINERY: [&str; 3] = ["core::panicking::", "core::result::unwrap_failed", "core::option::"];
    let Some(unwind) = lines.iter().position(|line| line.contains("rust_begin_unwind")) else {
        return lines;
    };
    let own = &lines[unwind + 1..];
    let skipped = own
        .iter()
        .take_while(|line| MACHINERY.iter().any(|part| line.contains(part)))
        .count();
    &own[skipped..]
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_by_its_place_and_message() {
        let said = [
            "starting",
            "thread 'main' (1) panicked at src/lib.rs:7:5:",
            "no such city",
            "on two lines",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        ];
        assert_eq!(
            panic_message(&said).as_deref(),
            Some("the skill panicked at src/lib.rs:7:5: no such city\non two lines")
        );
        assert_eq!(panic_message(&["all is well"]), None);
    }
}
