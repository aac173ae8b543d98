//! Waits: for an event, for an answer, or for a time.

use std::time::Duration;

use skillhost_sdk::prelude::*;
use skillhost_sdk::serde_json::Value;

#[data]
#[serde(rename_all = "kebab-case")]
enum What {
    Event,
    Answer,
    Time,
}

#[data]
struct Input {
    #[serde(default = "event")]
    what: What,
    /// What the event or question is called.
    #[serde(default = "go")]
    name: String,
    /// How long to wait: for ever if absent, for a time 10 ms.
    ms: Option<u64>,
    /// How often.
    #[serde(default = "once")]
    times: u32,
    /// Whether to ask a model after each wait.
    #[serde(default)]
    ask: bool,
}

fn event() -> What {
    What::Event
}

fn go() -> String {
    "go".to_owned()
}

fn once() -> u32 {
    1
}

#[data]
struct Output {
    /// What came, in its order.
    came: Vec<Value>,
}

#[skill(name = "waits")]
async fn run(input: Input) -> Result<Output> {
    let mut came = Vec::new();
    for time in 0..input.times {
        let limit = input.ms.map(Duration::from_millis);
        came.push(match input.what {
            What::Event => {
                let wait = signals::wait(input.name.as_str());
                match limit {
                    Some(limit) => wait.timeout(limit, Value::from("nothing")).await?,
                    None => wait.await?,
                }
            }
            What::Answer => {
                let question = ask(input.name.as_str(), "Go on?")
                    .user()
                    .details("It is *safe*.")
                    .attach("plan.md");
                let approval: Approval = match limit {
                    Some(limit) => question.timeout(limit, Approval::no()).await?,
                    None => question.await?,
                };
                skillhost_sdk::serde_json::to_value(approval)?
            }
            What::Time => {
                sleep(limit.unwrap_or(Duration::from_millis(10))).await?;
                Value::from("slept")
            }
        });
        if input.ask {
            let answer = model::haiku(format!("{time}: {came:?}"))
                .label(format!("after wait {time}"))
                .text()
                .await?;
            came.push(answer.into());
        }
    }
    Ok(Output { came })
}
