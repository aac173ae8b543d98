//! The runs that are to be driven and have no task yet: their ids, in the order in which they came.
//!
//! Thousands of runs may be interrupted at once, and a task for each would take memory for each. So only as many are begun as may work; the others are ids here, and those that do
//! not fit are rows in the journal, where the `lookout` finds them when there is room. A skill with slots of its own has a line of its own, so that its runs keep no other skill
//! waiting.

use std::collections::{BTreeMap, HashSet, VecDeque};

use skillhost_core::id::{RunId, SkillName};

use crate::driver::Room;

/// How many runs of one line are taken from the journal ahead of their turn.
const AHEAD_MAX: usize = 1_024;

/// Which line a run stands in: its skill's, if that has slots of its own, else the one of all others.
pub(super) type Line = Option<SkillName>;

/// The runs that wait for their turn, and how many have theirs.
pub(super) struct Backlog {
    room: Room,
    lines: BTreeMap<Line, Queue>,
    waiting: HashSet<RunId>,
    next: u64,
}

#[derive(Default)]
struct Queue {
    /// Each with its place among all that came.
    waiting: VecDeque<(u64, RunId)>,
    /// How many have their turn.
    begun: usize,
}

impl Backlog {
    /// Makes an empty one, for runs that have so much room.
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            lines: BTreeMap::new(),
            waiting: HashSet::new(),
            next: 0,
        }
    }

    /// Returns whether any skill has slots of its own.
    pub(super) fn knows_skills(&self) -> bool {
        !self.room.runs_max_of.is_empty()
    }

    /// Returns the line of a skill's runs.
    pub(super) fn line_of(&self, skill: &SkillName) -> Line {
        self.room.runs_max_of.contains_key(skill).then(|| skill.clone())
    }

    /// Puts a run at the end of its line, unless it waits already.
    pub(super) fn push(&mut self, run: &RunId, line: Line) {
        if self.waiting.insert(run.clone()) {
            let queue = self.lines.entry(line).or_default();
            queue.waiting.push_back((self.next, run.clone()));
            self.next += 1;
        }
    }

    /// Begins the run that came first of those that may begin.
    pub(super) fn begin(&mut self) -> Option<(RunId, Line)> {
        let room = &self.room;
        let may_begin = self
            .lines
            .iter_mut()
            .filter(|(line, queue)| queue.begun < turns(room, line));
        let first = may_begin
            .filter_map(|(line, queue)| Some((queue.waiting.front()?.0, line, queue)))
            .min_by_key(|(place, ..)| *place);
        let (_, line, queue) = first?;
        let (_, run) = queue.waiting.pop_front()?;
        queue.begun += 1;
        self.waiting.remove(&run);
        Some((run, line.clone()))
    }

    /// Notes that a run of this line has had its turn: it waits now, or is over.
    pub(super) fn had_turn(&mut self, line: &Line) {
        if let Some(queue) = self.lines.get_mut(line) {
            queue.begun -= 1;
            if queue.begun == 0 && queue.waiting.is_empty() {
                self.lines.remove(line);
            }
        }
    }

    /// Returns whether no more runs of a line are to be taken from the journal for now.
    pub(super) fn is_full(&self, line: &Line) -> bool {
        self.in_line(line) >= AHEAD_MAX
    }

    /// Returns whether it is worth looking into the journal for more.
    pub(super) fn has_room(&self) -> bool {
        self.in_line(&None) <= AHEAD_MAX / 2
    }

    fn in_line(&self, line: &Line) -> usize {
        self.lines.get(line).map_or(0, |queue| queue.waiting.len())
    }

    /// Returns whether a run waits for its turn.
    pub(super) fn contains(&self, run: &RunId) -> bool {
        self.waiting.contains(run)
    }

    /// Returns how many runs wait for their turn.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Leaves all that wait to the next daemon, which finds them in the journal.
    pub(super) fn clear(&mut self) {
        self.waiting = HashSet::new();
        for queue in self.lines.values_mut() {
            queue.waiting = VecDeque::new();
        }
    }
}

/// Returns how many runs of a line may have their turn at once.
fn turns(room: &Room, line: &Line) -> usize {
    match line {
        Some(skill) => room.runs_max_of.get(skill).copied().unwrap_or(room.runs_max),
        None => room.runs_max,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn backlog(runs_max: usize, of_one: Option<usize>) -> Backlog {
        Backlog::new(Room {
            runs_max,
            runs_max_of: of_one.map(|max| (one(), max)).into_iter().collect(),
            waiting_bytes_max: 0,
            waiting_max: 0,
        })
    }

    fn one() -> SkillName {
        SkillName::parse("one").unwrap()
    }

    fn run(n: usize) -> RunId {
        RunId::parse(&format!("{n:026}")).unwrap()
    }

    fn begun(backlog: &mut Backlog) -> Vec<RunId> {
        std::iter::from_fn(|| backlog.begin()).map(|(run, _)| run).collect()
    }

    #[test]
    fn as_many_runs_begin_as_may_work_and_the_next_when_one_has_had_its_turn() {
        let mut backlog = backlog(2, None);
        (0..5).for_each(|n| backlog.push(&run(n), None));
        assert_eq!(begun(&mut backlog), [run(0), run(1)]);
        backlog.had_turn(&None);
        assert_eq!(begun(&mut backlog), [run(2)]);
        assert_eq!(backlog.len(), 2);
    }

    #[test]
    fn a_skill_with_slots_of_its_own_keeps_no_other_waiting() {
        let mut backlog = backlog(2, Some(1));
        let line = backlog.line_of(&one());
        (0..5).for_each(|n| backlog.push(&run(n), line.clone()));
        (5..9).for_each(|n| backlog.push(&run(n), None));
        assert_eq!(begun(&mut backlog), [run(0), run(5), run(6)]);
        backlog.had_turn(&line);
        assert_eq!(begun(&mut backlog), [run(1)]);
    }

    #[test]
    fn a_run_waits_once_and_may_wait_again_after_its_turn() {
        let mut backlog = backlog(1, None);
        backlog.push(&run(0), None);
        backlog.push(&run(0), None);
        assert_eq!(begun(&mut backlog), [run(0)]);
        assert!(!backlog.contains(&run(0)));
        backlog.push(&run(0), None);
        backlog.had_turn(&None);
        assert_eq!(begun(&mut backlog), [run(0)]);
    }

    #[test]
    fn a_full_line_takes_no_more_from_the_journal_until_half_of_it_is_begun() {
        let mut backlog = backlog(AHEAD_MAX, None);
        (0..AHEAD_MAX).for_each(|n| backlog.push(&run(n), None));
        assert!(backlog.is_full(&None) && !backlog.has_room());
        for _ in 0..AHEAD_MAX / 2 {
            assert!(!backlog.has_room());
            backlog.begin().unwrap();
        }
        assert!(backlog.has_room());
    }
}
