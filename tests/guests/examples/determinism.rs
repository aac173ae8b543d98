//! Uses everything that differs from one process to the next (hash seeds, clocks, randomness, sleeping threads) and puts it into what it asks.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use skillhost_sdk::prelude::*;
use skillhost_test_guests::{NOTHING_SEEN, mix};

#[data]
struct Input {
    #[serde(default = "three")]
    rounds: u32,
    /// How long `std::thread::sleep` sleeps in each round.
    #[serde(default = "three")]
    sleep_ms: u32,
}

fn three() -> u32 {
    3
}

#[data]
struct Output {
    requests: Vec<String>,
    digest: String,
}

#[skill(name = "determinism")]
async fn run(input: Input) -> Result<Output> {
    let mut requests = Vec::new();
    let mut digest = NOTHING_SEEN;
    let begun = Instant::now();
    for round in 0..input.rounds {
        std::thread::sleep(Duration::from_millis(input.sleep_ms.into()));
        let words: HashMap<u32, u32> = (0..20).map(|word| (word, word * word)).collect();
        let order: Vec<String> = words.keys().map(u32::to_string).collect();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let told = now().duration_since(UNIX_EPOCH)?.as_nanos();
        let request = format!(
            "round {round}: order {}; wall {wall}; told {told}; since {}; random {} {:?} below {}",
            order.join(" "),
            begun.elapsed().as_nanos(),
            random::next(),
            random::bytes(4),
            random::below(1_000),
        );
        let (left, right) = join!(
            model::haiku(request.clone()).label(format!("round {round}")).text(),
            model::haiku(format!("again {request}"))
                .label(format!("round {round} again"))
                .text(),
        );
        digest = mix(mix(digest, &left?), &right?);
        requests.push(request);
        sleep(Duration::from_millis(u64::from(input.sleep_ms))).await?;
    }
    Ok(Output {
        requests,
        digest: format!("{digest:016x}"),
    })
}
