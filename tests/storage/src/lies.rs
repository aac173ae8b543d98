//! The disk loses what it said is durable, changes it, or puts it where it does not belong.

use crate::chance::Chance;
use crate::exam::{Breadth, Failure, Findings};
use crate::image::Image;
use crate::judge::{Bench, Told};
use crate::ledger::Appended;
use crate::platter::{Kept, Platter};
use crate::workload::{Plan, Recording, record};

/// The size of a page of the database.
const PAGE: usize = 4_096;

/// How often one image is changed in different places.
const CHANGES: usize = 3;

/// A way to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Nothing was made durable when it said so.
    SyncsNothing,
    /// A bit is another.
    FlipsABit,
    /// A page is as it was before.
    KeepsAnOldPage,
    /// A page lies in the place of another, too.
    WritesElsewhere,
    /// A page is all zeros.
    LosesAPage,
}

impl Lie {
    const ALL: [Self; 5] = [
        Self::SyncsNothing,
        Self::FlipsABit,
        Self::KeepsAnOldPage,
        Self::WritesElsewhere,
        Self::LosesAPage,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::SyncsNothing => "syncs that did nothing",
            Self::FlipsABit => "bits that are others",
            Self::KeepsAnOldPage => "pages of before",
            Self::WritesElsewhere => "pages in the place of others",
            Self::LosesAPage => "pages of zeros",
        }
    }
}

/// Tells every lie, at moments that are drawn.
pub(crate) fn all(seed: u64, breadth: Breadth) -> Result<Findings, Failure> {
    let plan = Plan {
        runs: 4,
        steps: 150,
        has_others: true,
        forgets: true,
        ..Plan::of(seed)
    };
    let recording = record(plan, &Image::new(), Appended::new())?;
    let moments = match breadth {
        Breadth::Short => 80,
        Breadth::Long => 2_000,
    };
    let bench = Bench::new();
    let mut chance = Chance::new(seed, "lies");
    let mut findings = Findings::default();
    let mut chosen: Vec<usize> = (0..moments).map(|_| chance.below(recording.ops.len() + 1)).collect();
    chosen.sort_unstable();
    let (mut honest, mut lying) = (Platter::default(), Platter::default());
    let (mut done, mut earlier) = (0, Image::new());
    for moment in chosen {
        for op in &recording.ops[done..moment] {
            honest.take(op);
            lying.take_lying(op);
        }
        done = moment;
        for lie in Lie::ALL {
            for _ in 0..CHANGES {
                let image = tell(lie, &honest, &lying, &earlier, &mut chance);
                judge(&recording, moment, lie, &image, &bench, &mut findings)?;
            }
        }
        if chance.one_in(10) {
            earlier = honest.current();
        }
    }
    Ok(findings)
}

fn judge(
    recording: &Recording,
    moment: usize,
    lie: Lie,
    image: &Image,
    bench: &Bench,
    findings: &mut Findings,
) -> Result<(), Failure> {
    findings.count("images");
    findings.count(lie.name());
    let told = bench.judge_lie(image, &recording.played).map_err(|broken| {
        let what = format!("{lie:?} before {moment} of {} changes", recording.ops.len());
        Failure::of(image, format!("{what}: {broken}"))
    })?;
    findings.count(match told {
        Told::Sound => "found sound",
        Told::Damaged => "told as damage",
        Told::Closed => "that did not open",
    });
    Ok(())
}

/// Chooses a byte: half of the time one near an answer, for most of a database is not what a run is told.
fn place_of_bit(content: &[u8], chance: &mut Chance) -> usize {
    const ANSWER: &[u8] = b" performed ";
    let answers: Vec<usize> = match chance.one_in(2) {
        true => content
            .windows(ANSWER.len())
            .enumerate()
            .filter(|(_, found)| *found == ANSWER)
            .map(|(at, _)| at)
            .collect(),
        false => Vec::new(),
    };
    match answers.is_empty() {
        true => chance.below(content.len()),
        false => (chance.of(&answers) + chance.below(40)).min(content.len() - 1),
    }
}

fn tell(lie: Lie, honest: &Platter, lying: &Platter, earlier: &Image, chance: &mut Chance) -> Image {
    let mut image = match lie {
        Lie::SyncsNothing => return lying.after_power_loss(Kept::Drawn(chance.below(usize::MAX) as u64)),
        _ => honest.current(),
    };
    let names: Vec<String> = image
        .iter()
        .filter(|(_, content)| !content.is_empty())
        .map(|(name, _)| name.clone())
        .collect();
    if names.is_empty() {
        return image;
    }
    let name = chance.of(&names).clone();
    let Some(content) = image.get_mut(&name) else {
        return image;
    };
    let pages = content.len().div_ceil(PAGE);
    let page = chance.below(pages) * PAGE;
    let end = content.len().min(page + PAGE);
    match lie {
        Lie::SyncsNothing => {}
        Lie::FlipsABit => {
            let at = place_of_bit(content, chance);
            content[at] ^= 1 << chance.below(8);
        }
        Lie::KeepsAnOldPage => {
            if let Some(old) = earlier.get(&name).and_then(|old| old.get(page..end)) {
                content[page..end].copy_from_slice(old);
            }
        }
        Lie::WritesElsewhere => {
            let to = chance.below(pages) * PAGE;
            let length = (end - page).min(content.len() - to);
            content.copy_within(page..page + length, to);
        }
        Lie::LosesAPage => content[page..end].fill(0),
    }
    image
}
