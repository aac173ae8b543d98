//! A replayed guest that asks for something else than the journal holds.

use std::fmt;

use crate::effect::Function;
use crate::id::{Number, Seq};
use crate::payload::Payload;

/// Where guest and journal part. Never a wrong answer: the attempt stops here, and the journal stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The guest started another call than the one recorded under that number (rule G2).
    Call {
        /// The entry.
        seq: Seq,
        /// The call's number.
        number: Number,
        /// What the journal holds.
        recorded: Brief,
        /// What the guest asked.
        attempted: Brief,
    },
    /// An outcome's turn came and the guest has not started its call.
    NotStarted {
        /// The entry.
        seq: Seq,
        /// The call.
        number: Number,
        /// The call as recorded, if the journal holds it.
        recorded: Option<Brief>,
    },
    /// The guest was over, or waited for what has no outcome yet, and the journal goes on.
    NotMade {
        /// The first call that it did not make.
        number: Number,
        /// The call as recorded.
        recorded: Brief,
        /// What the guest did instead.
        how: String,
    },
}

/// A call as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// What is asked.
    pub function: Function,
    /// With what.
    pub request: Payload,
    /// After how many outcome entries.
    pub after: u64,
}

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS_MAX: usize = 600;
        let request = self.request.as_str();
        let shown: String = request.chars().take(SHOWN_CHARS_MAX).collect();
        let cut = if shown.len() < request.len() { " …" } else { "" };
        write!(f, "{} {shown}{cut} (after {} outcomes)", self.function, self.after)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call {
                seq,
                number,
                recorded,
                attempted,
            } => write!(
                f,
                "call #{number} is not the one that the journal holds\n  recorded (entry {seq}): {recorded}\n  attempted:          {attempted}"
            ),
            Self::NotStarted { seq, number, recorded } => {
                write!(
                    f,
                    "the journal answers call #{number} (entry {seq}), which the skill has not started"
                )?;
                match recorded {
                    Some(recorded) => write!(f, "\n  recorded:  {recorded}\n  attempted: nothing"),
                    None => Ok(()),
                }
            }
            Self::NotMade { number, recorded, how } => write!(
                f,
                "the skill did not make a call that the journal holds\n  recorded (call #{number}): {recorded}\n  attempted: {how}"
            ),
        }
    }
}

impl std::error::Error for Mismatch {}
