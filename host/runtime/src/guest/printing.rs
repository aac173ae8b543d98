//! Finds the line of the source that a guest prints at, by the frames that its stack has then.

use std::collections::HashMap;

use wasmtime::WasmBacktrace;

use super::source::{Line, Place, Reread};
use super::trap::addresses;

/// How many stacks are remembered. A guest prints at fewer places, one in a deep recursion on more stacks.
const STACKS_MAX: usize = 1_024;

/// Where a guest prints.
#[derive(Default)]
pub(crate) struct Printing {
    component: Option<Reread>,
    /// What was found for a stack, as the same one comes again and again.
    known: HashMap<Vec<Option<usize>>, Option<String>>,
}

impl Printing {
    /// Finds lines by the tables of this component; without one none are found.
    pub(crate) fn of(component: Option<Reread>) -> Self {
        Self {
            component,
            known: HashMap::new(),
        }
    }

    /// Returns whether it is worth looking at the stack.
    pub(crate) fn knows_lines(&self) -> bool {
        self.component.is_some()
    }

    /// Returns the line that printed, given the stack of a call that printed.
    pub(crate) fn place(&mut self, stack: &WasmBacktrace) -> Option<String> {
        let addresses = addresses(stack.frames());
        if let Some(known) = self.known.get(&addresses) {
            return known.clone();
        }
        let places = self.component.as_ref()?.places(&addresses);
        let place = said_at(places.iter().flatten()).map(Line::file_and_line);
        if self.known.len() >= STACKS_MAX {
            self.known.clear();
        }
        self.known.insert(addresses, place.clone());
        place
    }
}

/// Finds whose words they are: innermost is what binds the library to its host, then comes how the library prints, and then who had it print. Whatever prints without the library tells no place.
fn said_at<'a>(places: impl Iterator<Item = &'a Place>) -> Option<&'a Line> {
    let lines = places.filter_map(|place| place.line.as_ref());
    let mut library_and_on = lines.skip_while(|line| !line.is_of_library);
    library_and_on.find(|line| !line.is_of_library)
}
