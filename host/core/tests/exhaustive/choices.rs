//! All lists of choices, one after the other: each execution asks `pick`, and the next execution takes the next branch of the last choice that has one.

/// The choices of one execution, and where the next one goes.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    taken: Vec<(usize, usize)>,
    at: usize,
    begun: bool,
}

impl Choices {
    /// Goes to the next execution; `false` when all were tried.
    pub(crate) fn next(&mut self) -> bool {
        self.at = 0;
        if !std::mem::replace(&mut self.begun, true) {
            return true;
        }
        while let Some((taken, of)) = self.taken.pop() {
            if taken + 1 < of {
                self.taken.push((taken + 1, of));
                return true;
            }
        }
        false
    }

    /// Picks one of `of` branches.
    pub(crate) fn pick(&mut self, of: usize) -> usize {
        assert!(of > 0, "there is something to choose from");
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        let (taken, was) = self.taken[self.at];
        assert_eq!(was, of, "an execution is a function of its choices");
        self.at += 1;
        taken
    }

    /// Shows the choices, to repeat an execution by hand.
    pub(crate) fn show(&self) -> String {
        format!("{:?}", self.taken.iter().map(|(taken, _)| taken).collect::<Vec<_>>())
    }
}
