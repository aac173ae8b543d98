//! Tasks that depend on each other: two at once, one that stands in for a third that fails, one of all of them, and one that nothing waits for.

use skillhost_sdk::prelude::*;

#[data]
struct Input {
    /// Whether to do what can be done although a task fails.
    #[serde(default)]
    settled: bool,
}

#[data]
struct Output {
    report: String,
    failed: Vec<String>,
    left_out: Vec<String>,
}

async fn ask(what: &str) -> Result<String> {
    model::haiku(format!("task {what}")).label(what).text().await
}

#[skill(name = "tasks")]
async fn run(input: Input) -> Result<Output> {
    let tasks = Tasks::new()
        .add(task("left", async |_| ask("left").await))
        .add(task("right", async |_| ask("right").await))
        .add(task("shaky", async |_| ask("shaky").await).retries(1))
        .add(
            task("instead", async |_| ask("instead").await)
                .depends_on(["shaky"])
                .when(|past| past.failed("shaky")),
        )
        .add(task("of shaky", async |_| ask("of shaky").await).depends_on(["shaky"]))
        .add(
            task("report", async |past: Past| {
                let parts = [past.get::<String>("left")?, past.get::<String>("right")?];
                files::run()
                    .write("report.md", parts.map(|part| part.to_string()).join("\n"))
                    .await?;
                Ok("run/report.md".to_owned())
            })
            .depends_on(["left", "right"]),
        )
        .add(
            task("notice", async |_| inbox::post("The report is ready").await)
                .depends_on(["report"])
                .detached(),
        )
        .at_once(2);
    let done = match input.settled {
        true => tasks.settled().await?,
        false => tasks.all().await?,
    };
    Ok(Output {
        report: done.get::<String>("report")?.to_string(),
        failed: done
            .failed()
            .map(|(name, failure)| format!("{name}: {}", failure.code()))
            .collect(),
        left_out: done.left_out().map(|(name, why)| format!("{name}: {why}")).collect(),
    })
}
