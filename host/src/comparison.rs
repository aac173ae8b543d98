//! Two runs side by side: which calls both made, which were asked or answered otherwise, and which only one made.
//!
//! Calls are paired by what a person calls them, in order, so that a call which changed stands beside the one that it was.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::timeline::{CallLine, Timeline};

/// A call of either run, or of both.
#[derive(Debug)]
pub struct Pair<'a> {
    /// The first run's.
    pub first: Option<&'a CallLine>,
    /// The second run's.
    pub second: Option<&'a CallLine>,
}

/// How the calls of a pair differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Not at all.
    None,
    /// The same was asked, and answered otherwise.
    Answer,
    /// Something else was asked.
    Request,
    /// Only the first run made it.
    OnlyFirst,
    /// Only the second run made it.
    OnlySecond,
}

impl Difference {
    /// Returns the word that programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Answer => "answer",
            Self::Request => "request",
            Self::OnlyFirst => "only_first",
            Self::OnlySecond => "only_second",
        }
    }

    /// Returns it in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Answer => "answered otherwise",
            Self::Request => "asked otherwise",
            Self::OnlyFirst => "not made any more",
            Self::OnlySecond => "new",
        }
    }
}

impl<'a> Pair<'a> {
    /// Says how the two differ.
    pub fn difference(&self) -> Difference {
        match (self.first, self.second) {
            (Some(first), Some(second)) if first.request != second.request => Difference::Request,
            (Some(first), Some(second)) if first.outcome != second.outcome && first.shown() != second.shown() => {
                Difference::Answer
            }
            (Some(_), Some(_)) | (None, None) => Difference::None,
            (Some(_), None) => Difference::OnlyFirst,
            (None, Some(_)) => Difference::OnlySecond,
        }
    }

    /// Returns the call, the second run's if both made it.
    pub fn call(&self) -> Option<&'a CallLine> {
        self.second.or(self.first)
    }
}

/// Pairs the calls of two runs.
pub fn pairs<'a>(first: &'a Timeline, second: &'a Timeline) -> Vec<Pair<'a>> {
    let name = |call: &'a CallLine| (call.function.name(), call.label.as_str());
    let names = |timeline: &'a Timeline| timeline.calls.iter().map(name).collect::<Vec<_>>();
    let ops = capture_diff_slices(Algorithm::Patience, &names(first), &names(second));
    let mut pairs = Vec::new();
    for op in ops {
        let (old, new) = (&first.calls[op.old_range()], &second.calls[op.new_range()]);
        if let DiffOp::Equal { .. } = op {
            let both = old.iter().zip(new);
            pairs.extend(both.map(|(first, second)| pair(Some(first), Some(second))));
            continue;
        }
        // What took the place of something: the same function in the same place was renamed.
        let mut new = new.iter().peekable();
        for call in old {
            let renamed = new.next_if(|other| other.function == call.function);
            pairs.push(pair(Some(call), renamed));
        }
        pairs.extend(new.map(|call| pair(None, Some(call))));
    }
    pairs
}

fn pair<'a>(first: Option<&'a CallLine>, second: Option<&'a CallLine>) -> Pair<'a> {
    Pair { first, second }
}
