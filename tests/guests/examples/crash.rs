//! Does a little of everything: 20 model calls, some at once, files written, added to and removed, messages posted, lines logged. However often it is
//! killed, its result, its files and its messages are those of an undisturbed run.

use skillhost_sdk::prelude::*;
use skillhost_test_guests::{NOTHING_SEEN, mix};

#[data]
struct Input {
    /// What the requests begin with.
    #[serde(default)]
    prefix: String,
}

#[data]
struct Output {
    digest: String,
    /// The files in `run/` at the end.
    files: Vec<String>,
}

#[skill(name = "crash")]
async fn run(input: Input) -> Result<Output> {
    let folder = files::run();
    let ask = async |what: String| {
        model::haiku(format!("{}{what}", input.prefix))
            .label(&what)
            .text()
            .await
    };
    let mut digest = NOTHING_SEEN;
    log::info!("begins");

    // 4 calls one after the other, each noted in a file.
    for step in 0..4 {
        let answer = ask(format!("first {step}")).await?;
        digest = mix(digest, &answer);
        folder.append("notes.txt", format!("{step}: {answer}\n")).await?;
        log::info!("noted {step}");
    }
    inbox::post("Noted")
        .body("Four notes\nare taken.")
        .attach("notes.txt")
        .await?;

    // 12 calls, 5 at a time, each with a file of its own.
    let answers = map(0..12, 5, async |part: u32| {
        let answer = ask(format!("part {part}")).await?;
        folder.write(format!("parts/{part:02}.txt"), answer.clone()).await?;
        Ok(answer)
    });
    for answer in answers.progress("parts").await.all()? {
        digest = mix(digest, &answer);
    }

    // Changes to one file, started at once: they are made in this order.
    let (first, second, third) = join!(
        folder.write("order.txt", "one\n"),
        folder.append("order.txt", "two\n"),
        folder.append("order.txt", "three\n"),
    );
    first.and(second).and(third)?;
    log::warn!("half of the parts are removed");
    for part in (0..12).step_by(2) {
        folder.remove(format!("parts/{part:02}.txt")).await?;
    }

    // The last 4 calls, with a message between them.
    let (left, right) = join!(ask("left".to_owned()), ask("right".to_owned()));
    digest = mix(mix(digest, &left?), &right?);
    inbox::post("Almost done").await?;
    for step in 0..2 {
        digest = mix(digest, &ask(format!("last {step}")).await?);
    }
    let order = folder.read_text("order.txt").await?;
    digest = mix(digest, &order);
    folder.write("result.txt", format!("{digest:016x}\n")).await?;
    inbox::post("Done")
        .body(format!("digest {digest:016x}"))
        .attach("result.txt")
        .await?;
    let files = folder.glob("**/*").await?;
    Ok(Output {
        digest: format!("{digest:016x}"),
        files,
    })
}
