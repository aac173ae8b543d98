//! Skills, whole, to begin with. Each prompt stands in `prompts/` beside the skill's `Cargo.toml`.
//!
//! # The smallest
//!
//! ```no_run
//! use skillhost_sdk::prelude::*;
//! # #[data] struct Input { name: String }
//! # #[data] struct Greeting { text: String }
//! #[skill]
//! async fn run(i: Input) -> Result<Greeting> {
//!     model::haiku(prompt!("greeter.user", name = i.name)).json().await
//! }
//! ```
//!
//! # Research: many parts at once, some of which may fail, and an approval
//!
//! ```no_run
//! use skillhost_sdk::prelude::*;
//! # #[data] struct Question { text: String }
//! # #[data] struct Plan { parts: Vec<Part> }
//! # #[data] struct Part { title: String, text: String }
//! # #[data] struct Finding { text: String }
//! # #[data] struct Report { path: String }
//! # impl Report { fn at(path: &str) -> Self { Self { path: path.to_owned() } } }
//! #[skill(needs(web_search))]
//! async fn run(q: Question) -> Result<Report> {
//!     let plan: Plan = model::opus(prompt!("plan", q = q.text)).label("plan").json().await?;
//!     let (ok, bad) = map(plan.parts, 8, async |p: Part| {
//!         model::sonnet(prompt!("part", p = p.text)).web_search(5).label(&p.title).json::<Finding>().await
//!     })
//!     .await
//!     .split();
//!     let text = model::opus(prompt!("write", ok = json(&ok), bad = json(&bad))).text().await?;
//!     files::run().write("report.md", &text).await?;
//!     let a: Approval =
//!         ask("publish", "Publish?").user().attach("report.md").timeout(days(2), Approval::no()).await?;
//!     if !a.approve {
//!         return Err(Failure::new("declined", a.comment));
//!     }
//!     Ok(Report::at("report.md"))
//! }
//! ```
//!
//! # An agent with tools
//!
//! ```no_run
//! use skillhost_sdk::prelude::*;
//! # #[data] struct Task { text: String }
//! # #[data] struct Answer { text: String }
//! #[tool("Reads a project file")]
//! async fn read(path: String) -> Result<String> {
//!     files::mount("project")?.read_text(path).await
//! }
//!
//! #[tool("Replaces a project file")]
//! async fn write(path: String, text: String) -> Result<()> {
//!     files::mount("project")?.write(path, text).await
//! }
//!
//! #[tool("Runs the tests")]
//! async fn test(filter: String) -> Result<String> {
//!     process::run("cargo", ["test", &filter]).cwd("project").idempotent().timeout(mins(10)).tail(8_000).await
//! }
//!
//! #[skill(
//!     needs(tools),
//!     files("project", read_write, reason = "to fix it"),
//!     process("cargo", env("HOME"), reason = "to run its tests")
//! )]
//! async fn run(t: Task) -> Result<Answer> {
//!     Agent::sonnet(prompt!("agent")).tools((read, write, test)).turns(40).on_limit(Summarise).ask(t.text).json().await
//! }
//! ```
//!
//! # Every night, for ever, with a bounded journal
//!
//! ```no_run
//! use skillhost_sdk::prelude::*;
//! # #[data] struct State { #[serde(default)] seen: Vec<String> }
//! # async fn audit(s: &State) -> Result<Vec<String>> { Ok(s.seen.clone()) }
//! #[skill]
//! async fn run(s: State) -> Result<Never> {
//!     let seen = audit(&s).await?;
//!     sleep_until(tomorrow_at("02:00")).await?;
//!     continue_as(State { seen }).await
//! }
//! ```
//!
//! # 500 files, 16 at a time, with retries and progress
//!
//! ```no_run
//! use skillhost_sdk::prelude::*;
//! # #[data] struct Batch {}
//! # #[data] struct Fix { text: String }
//! # #[data] struct Summary { done: usize }
//! # impl Summary { fn of(r: &Outcomes<()>) -> Self { Self { done: r.iter().flatten().count() } } }
//! #[skill(files("project", read_write, reason = "to fix prose"))]
//! async fn run(_: Batch) -> Result<Summary> {
//!     let p = &files::mount("project")?;
//!     let r = map(p.glob("**/*.md").await?, 16, async |f: Path| {
//!         let t = p.read_text(&f).await?;
//!         let x: Fix = model::haiku(prompt!("fix", t = t)).attempts(6).timeout(mins(3)).label(&f).json().await?;
//!         p.write(&f, x.text).await
//!     })
//!     .progress("files")
//!     .await;
//!     Ok(Summary::of(&r))
//! }
//! ```
