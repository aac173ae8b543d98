//! Makes so many model calls at once. What it asks next and what it returns depend on the order in which their answers arrive.

use std::cell::RefCell;

use skillhost_sdk::prelude::*;
use skillhost_test_guests::{NOTHING_SEEN, mix};

#[data]
struct Input {
    /// How many calls.
    #[serde(default = "two_hundred")]
    calls: u32,
    /// How many at a time; all at once if absent.
    limit: Option<usize>,
    /// Whether each answer leads to a further call, which says when the answer came.
    #[serde(default)]
    follow_up: bool,
}

fn two_hundred() -> u32 {
    200
}

#[data]
struct Output {
    /// Which calls were answered, in order of arrival.
    order: Vec<u32>,
    digest: String,
}

#[skill(name = "fanout")]
async fn run(input: Input) -> Result<Output> {
    let order = RefCell::new(Vec::new());
    let digest = RefCell::new(NOTHING_SEEN);
    let limit = input.limit.unwrap_or(input.calls as usize);
    let outcomes = map(0..input.calls, limit, async |call: u32| {
        let answer = model::haiku(format!("branch {call}"))
            .label(format!("branch {call}"))
            .text()
            .await?;
        let place = order.borrow().len();
        order.borrow_mut().push(call);
        digest.replace_with(|digest| mix(*digest, &answer));
        if input.follow_up {
            let prompt = format!("branch {call} came as number {place}");
            let answer = model::haiku(prompt)
                .label(format!("after branch {call}"))
                .text()
                .await?;
            digest.replace_with(|digest| mix(*digest, &answer));
        }
        Ok(())
    });
    outcomes.progress("branches").await.all()?;
    Ok(Output {
        order: order.take(),
        digest: format!("{:016x}", digest.take()),
    })
}
