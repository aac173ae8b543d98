//! Traps, in the way that is asked for.

use std::hint::black_box;

use skillhost_sdk::prelude::*;

#[data]
#[serde(rename_all = "kebab-case")]
enum How {
    /// The instruction that must not be reached.
    Unreachable,
    /// Recursion without end.
    StackOverflow,
    /// More memory than there is.
    OutOfMemory,
    /// Leaves the process.
    Exit,
}

#[data]
struct Input {
    #[serde(default = "unreachable")]
    how: How,
    #[serde(default)]
    after_calls: u32,
}

fn unreachable() -> How {
    How::Unreachable
}

#[skill(name = "traps")]
async fn run(input: Input) -> Result<()> {
    for call in 0..input.after_calls {
        model::haiku(format!("call {call}")).text().await?;
    }
    match input.how {
        How::Unreachable => std::process::abort(),
        How::Exit => std::process::exit(3),
        How::StackOverflow => {
            log::info!("{}", deeper(1));
            Ok(())
        }
        How::OutOfMemory => {
            let mut blocks = Vec::new();
            loop {
                blocks.push(black_box(vec![1_u8; 16 << 20]));
            }
        }
    }
}

#[allow(unconditional_recursion, reason = "the stack overflows")]
fn deeper(level: u64) -> u64 {
    let frame = black_box([level; 64]);
    deeper(level + 1) + frame[(level % 64) as usize]
}
