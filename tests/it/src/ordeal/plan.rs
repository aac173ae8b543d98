//! What happens in an ordeal, and which bugs of the product are planted to see that it would be noticed.

use skillhost_core::planted::Bug;

use super::{Aim, Kind, Trouble};

/// One in so many things that happen is trouble and no kill, where there is any.
const TROUBLE_EVERY: u64 = 8;

/// What happens in an ordeal.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What happens beside kills.
    pub(super) troubles: &'static [Trouble],
    /// One in so many things that happen is one of these.
    pub(super) trouble_every: u64,
    /// What kills are aimed at; if it is empty, at everything.
    pub(super) aims: &'static [Aim],
    /// The bug that all processes have. The ordeal ends as soon as somebody notices.
    pub(super) planted: Option<Bug>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            troubles: &[],
            trouble_every: TROUBLE_EVERY,
            aims: &[],
            planted: None,
        }
    }
}

/// A bug, and the ordeal that is aimed at it.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// What is wrong.
    pub bug: Bug,
    /// What is launched.
    pub kinds: &'static [Kind],
    /// What happens beside kills.
    pub troubles: &'static [Trouble],
    /// What kills are aimed at; if it is empty, nothing is killed while there is trouble.
    pub aims: &'static [Aim],
}

/// What asks a model again and again.
const LONG: &[Kind] = &[Kind::Steps; 8];

/// What appends to files.
const FILES: &[Kind] = &[Kind::Data; 5];

/// Every bug that is planted in real processes, with what shows it.
pub const PLANTED: &[Planted] = &[
    Planted::shown(
        Bug::DoneTwice,
        &[Kind::Acts, Kind::Requests, Kind::Acts],
        &[Aim::Request, Aim::Commit],
    ),
    Planted::shown(
        Bug::PerformedBeforeDurable,
        &[Kind::Steps, Kind::Steps, Kind::Acts],
        &[Aim::Unwritten],
    ),
    Planted::shown(
        Bug::BarrierSkipped,
        &[Kind::Steps, Kind::Steps, Kind::Acts],
        &[Aim::Unwritten],
    ),
    Planted::shown(Bug::GivenUnrecorded, &[Kind::Steps], &[Aim::Request]),
    Planted::shown(Bug::OtherKey, &[Kind::Steps, Kind::Steps], &[Aim::Request]),
    Planted::shown(
        Bug::MailStays,
        &[Kind::Events, Kind::Events, Kind::Events],
        &[Aim::Request, Aim::Commit],
    ),
    Planted::shown(Bug::AnswerUnsent, &[Kind::Calls], &[Aim::Request]),
    Planted::shown(Bug::MeasuredAnew, FILES, &[Aim::Unwritten]),
    Planted {
        troubles: &[Trouble::CommitsFail],
        ..Planted::shown(Bug::FailureSwallowed, LONG, &[Aim::Request])
    },
    Planted {
        troubles: &[Trouble::Stopped],
        ..Planted::shown(Bug::HolderDisplaced, LONG, &[])
    },
    Planted {
        troubles: &[Trouble::Stopped],
        ..Planted::shown(Bug::TakenByTime, LONG, &[])
    },
    Planted::shown(Bug::SurvivorsLeft, &[Kind::Programs, Kind::Programs], &[Aim::Commit]),
    Planted::shown(Bug::DaemonUnlocked, &[Kind::Steps, Kind::Steps], &[Aim::Request]),
    Planted::shown(Bug::TakeoverSpares, &[Kind::Steps, Kind::Steps], &[Aim::Takeover]),
    Planted::shown(Bug::AppendedBlindly, FILES, &[Aim::Unwritten]),
];

impl Planted {
    const fn shown(bug: Bug, kinds: &'static [Kind], aims: &'static [Aim]) -> Self {
        Self {
            bug,
            kinds,
            troubles: &[],
            aims,
        }
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            troubles: self.troubles,
            // Where nothing has to be killed, nothing is.
            trouble_every: if self.aims.is_empty() { 1 } else { 2 },
            aims: self.aims,
            planted: Some(self.bug),
        }
    }
}
