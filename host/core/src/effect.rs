//! What each function does to the world, and so how a call of it that a crash left in doubt is recovered.
//!
//! The table is the one place that says so; the documentation in `wit/` repeats it.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a call that a crash left in doubt is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Looks at the world: look again, nothing was promised.
    Observe,
    /// Changes what the journal's own database holds, in the transaction of its entry: cannot be in doubt.
    Local,
    /// Performed again under the same key, so that twice is as once.
    Retryable,
    /// Never performed again unless a person says so.
    AtMostOnce,
}

impl Class {
    /// Returns the class of this word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Observe, Self::Local, Self::Retryable, Self::AtMostOnce]
            .into_iter()
            .find(|class| class.as_str() == word)
    }

    /// Returns the word that the journal and the documentation use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Local => "local",
            Self::Retryable => "retryable",
            Self::AtMostOnce => "at-most-once",
        }
    }
}

/// Who answers a call, and what it has to wait for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An effect that the shell performs as soon as the call is durable.
    Effect,
    /// A change to the run's files: performed one at a time, in the order started (rule R3).
    FileChange {
        /// Whether something has to be measured and recorded first, so that performing it twice is as once.
        measured: bool,
    },
    /// A message for the inbox, posted in the transaction of its outcome.
    Post,
    /// A reading of the host's clock (rule G6); cancelling leaves it alone.
    Tick,
    /// A timer (rule G7).
    Timer,
    /// A wait for an event.
    Event,
    /// A wait for the answer to a question.
    Question,
    /// Taking the notes that lie in the mailbox, which is answered at once.
    Notes,
    /// Another skill: a run is launched for the call, recorded, and waited for (rule K1).
    Skill,
}

/// What the host knows of a function.
#[derive(Debug)]
pub struct Spec {
    /// Its name in journals: `<interface>.<function>`.
    pub name: &'static str,
    /// How a call in doubt is recovered, unless the call's options or the provider say otherwise. Journals leave it out where it is this one, so it changes only with
    /// the version of the rules ([`crate::entry::SEMANTICS`]), and journals of the former one keep the former class.
    pub class: Class,
    /// Who answers.
    pub kind: Kind,
    /// Whether its performances count against the run's budget of calls and tokens.
    pub metered: bool,
}

/// A function of the world that makes calls.
#[derive(Clone, Copy)]
pub struct Function(&'static Spec);

macro_rules! functions {
    ($($(#[$meta:meta])* $constant:ident = $name:literal, $class:ident, $kind:expr, metered: $metered:literal;)*) => {
        impl Function {
            $(
                $(#[$meta])*
                pub const $constant: Self = Self(&Spec { name: $name, class: Class::$class, kind: $kind, metered: $metered });
            )*

            /// Every function, in the order of the table.
            #[allow(unused_doc_comments, reason = "the table documents constants; here only `cfg` matters")]
            pub const ALL: &[Self] = &[$($(#[$meta])* Self::$constant),*];
        }
    };
}

functions! {
    /// Asks a language model.
    MODEL_COMPLETE = "model.complete", Retryable, Kind::Effect, metered: true;
    /// Reads a file.
    FILES_READ = "files.read", Observe, Kind::Effect, metered: false;
    /// Reads a part of a file.
    FILES_READ_RANGE = "files.read-range", Observe, Kind::Effect, metered: false;
    /// Lists a folder.
    FILES_LIST = "files.list", Observe, Kind::Effect, metered: false;
    /// Says what is at a path.
    FILES_STAT = "files.stat", Observe, Kind::Effect, metered: false;
    /// Replaces a file.
    FILES_WRITE = "files.write", Retryable, Kind::FileChange { measured: false }, metered: false;
    /// Adds to a file.
    FILES_APPEND = "files.append", Retryable, Kind::FileChange { measured: true }, metered: false;
    /// Removes a file.
    FILES_REMOVE = "files.remove", Retryable, Kind::FileChange { measured: false }, metered: false;
    /// Runs a program.
    PROCESS_RUN = "process.run", AtMostOnce, Kind::Effect, metered: false;
    /// Sends a request over HTTP; one that only reads is retryable.
    HTTP_SEND = "http.send", AtMostOnce, Kind::Effect, metered: false;
    /// Posts to the inbox.
    INBOX_POST = "inbox.post", Local, Kind::Post, metered: false;
    /// Reads the host's clock.
    CLOCK_TICK = "clock.tick", Local, Kind::Tick, metered: false;
    /// Waits for a time.
    CLOCK_SLEEP = "clock.sleep", Local, Kind::Timer, metered: false;
    /// Waits for an event.
    SIGNALS_WAIT = "signals.wait", Local, Kind::Event, metered: false;
    /// Waits for an answer.
    SIGNALS_ASK = "signals.ask", Local, Kind::Question, metered: false;
    /// Has another skill do something, in a run of its own. What was launched for a call is found again, so twice is as once.
    SKILLS_CALL = "skills.call", Local, Kind::Skill, metered: true;
    /// Takes the notes that people left.
    RUN_NOTES = "run.notes", Local, Kind::Notes, metered: false;
    /// Does something that must not be done twice, and is counted by a server. For tests.
    #[cfg(feature = "test-capability")]
    TEST_ACT = "test.act", AtMostOnce, Kind::Effect, metered: false;
}

impl Function {
    /// Returns the function of this name, if this host has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|function| function.0.name == name)
    }

    /// Returns its name in journals.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Returns what the host knows of it.
    pub fn spec(self) -> &'static Spec {
        self.0
    }

    /// Returns who answers it.
    pub fn kind(self) -> Kind {
        self.0.kind
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Function {}

impl PartialOrd for Function {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Function {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(other.0.name)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl Serialize for Function {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for Function {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| serde::de::Error::custom(format!("this host has no function `{name}`")))
    }
}
