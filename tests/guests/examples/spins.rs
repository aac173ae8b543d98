//! Computes without end, after so many model calls.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    #[serde(default)]
    after_calls: u32,
}

#[skill(name = "spins")]
async fn run(input: Input) -> Result<()> {
    for call in 0..input.after_calls {
        model::haiku(format!("call {call}")).text().await?;
    }
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
