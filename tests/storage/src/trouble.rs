//! The disk is full, or fails: everything that is asked of it, one after the other.

use std::ops::Range;

use crate::chance::Chance;
use crate::crew::Broken;
use crate::disk::{Disk, How, Trouble};
use crate::exam::{Breadth, Failure, Findings, states_from};
use crate::image;
use crate::judge::{Bench, Owed, judge_at};
use crate::ledger::Appended;
use crate::platter::{Kept, Platter};
use crate::workload::{Plan, play};

/// Has everything that is asked of the disk fail in turn, in every way; then it is well again, and all that was said has to be there: for who goes on, and for who comes after a
/// loss of power.
pub(crate) fn at_everything(seed: u64, breadth: Breadth) -> Result<Findings, Failure> {
    let plan = Plan {
        runs: 2,
        steps: 40,
        has_others: true,
        forgets: true,
        ..Plan::of(seed)
    };
    let mut findings = Findings::default();
    let bench = Bench::new();
    let mut chance = Chance::new(seed, "trouble");
    for how in How::ALL {
        let (asked, openings) = count(plan, how)?;
        let step = match breadth {
            Breadth::Short => asked / 40 + 1,
            Breadth::Long => 1,
        };
        let first = chance.below(step);
        // What fails while it is opened is met by other code than what fails later: all of that is tried.
        let others = (first..asked)
            .step_by(step)
            .filter(|after| openings.iter().all(|opening| !opening.contains(after)));
        for after in openings.iter().rev().cloned().flatten().chain(others) {
            let times = *chance.of(&[1, 1, 2, 5]);
            let trouble = Trouble { after, times, how };
            meet(plan, trouble, &bench, &mut chance, &mut findings)?;
        }
    }
    Ok(findings)
}

/// Returns how much is asked that can fail so, if nothing does, and what of it while the journal is opened: the first time, and once later.
fn count(plan: Plan, how: How) -> Result<(usize, Vec<Range<usize>>), Broken> {
    let folder = tempfile::tempdir().expect("the folder of a test can be made");
    let (disk, _mounted) = Disk::of(folder.path());
    disk.plan(Trouble {
        after: usize::MAX,
        times: 0,
        how,
    });
    let mut openings = play(folder.path(), &disk, plan, Appended::new())?.ledger.openings;
    openings.truncate(2);
    Ok((disk.asked(), openings))
}

fn meet(
    plan: Plan,
    trouble: Trouble,
    bench: &Bench,
    chance: &mut Chance,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir().expect("the folder of a test can be made");
    let (disk, mounted) = Disk::of(folder.path());
    disk.plan(trouble);
    let played = play(folder.path(), &disk, plan, Appended::new());
    let (failed, at) = disk.heal();
    let at = at.unwrap_or_else(|| "nothing".to_owned());
    let what = format!("{trouble:?}, first the {at}");
    let broken = |image: &image::Image, broken: Broken| Failure::of(image, format!("{what}: {broken}"));
    let played = played.map_err(|why| broken(&image::read(folder.path()), why))?;
    findings.count("workloads");
    findings.add("failures of the disk", failed);
    let (moment, ops) = (disk.now(), disk.ops());
    // All tables hold what they did when the last thing was said, or something later.
    let told = played.ledger.last_before(moment).unwrap_or(0);
    let states = states_from(told, &image::Image::new(), &ops, bench).map_err(|why| {
        broken(
            &image::read(folder.path()),
            format!("the tables cannot be followed: {why}"),
        )
    })?;
    findings.add("states", states.len());
    let owed = Owed {
        played: &played,
        states: &states,
        moment,
        exactly: None,
        goes_on: true,
        is_checked: true,
    };
    let mut platter = Platter::default();
    ops.iter().for_each(|op| platter.take(op));
    drop(mounted);
    let now = image::read(folder.path());
    judge_at(folder.path(), &owed).map_err(|why| broken(&now, why))?;
    for kept in [Kept::Nothing, Kept::Drawn(chance.below(usize::MAX) as u64)] {
        let image = platter.after_power_loss(kept);
        findings.count("images");
        bench
            .judge(&image, &owed)
            .map_err(|why| broken(&image, format!("after a loss of power, {kept:?}: {why}")))?;
    }
    Ok(())
}
