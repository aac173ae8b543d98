//! Reads and writes files in *mounts*, folders with a name.
//!
//! `run/` is the run's own folder, which may be written and stays when the run ends; `data/` is one that all runs of the skill share, for what
//! the next run should know; `skill/` holds what the skill was installed with. Others are the user's: asked for in
//! `#[skill(files("name", read, reason = ".."))]`, or named by a path in the input ([`InputPath`]). Paths are relative to their mount.
//!
//! ```
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<()> {
//! # skillhost_sdk::example::file("notes/today.md", "Rest.");
//! let notes = files::mount("notes")?.read_text("today.md").await?;
//! files::run().write("report.md", &notes).await?;
//! assert_eq!(files::run().glob("**/*.md").await?, ["report.md"]);
//! # Ok(())
//! # }
//! # skillhost_sdk::example::run(example());
//! ```
//!
//! What is not there fails with `not-found`, what was not granted with `denied`, more than 8 MiB at once with `too-large` ([`code`]):
//!
//! ```no_run
//! # use skillhost_sdk::prelude::*;
//! # async fn example() -> Result<Vec<u8>> {
//! match files::run().read("big.log").await {
//!     Err(failure) if failure.code() == code::TOO_LARGE => files::run().read_range("big.log", 0, 1 << 20).await,
//!     read => read,
//! }
//! # }
//! ```

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bindings::skillhost::skill::types::Reuse;
use crate::call::{Call, Options};
use crate::failure::{Failure, IntoFailure as _, Result, code};
use crate::host;
use crate::run;

pub use crate::bindings::skillhost::skill::files::Kind;

/// A path relative to its mount, with `/` between its parts.
pub type Path = String;

/// Returns the run's own folder.
pub fn run() -> Mount {
    Mount { name: "run".to_owned() }
}

/// Returns the folder that the skill was installed with, as it was when the run was launched.
pub fn skill() -> Mount {
    Mount {
        name: "skill".to_owned(),
    }
}

/// Returns the folder that all runs of the skill share. It stays when they end, also when the skill is installed anew.
///
/// Runs may go on at the same time: of two that write one file the last one counts, and what is read may have changed when it is written. What
/// two of them append goes in whole, one after the other.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// # async fn example() -> Result<()> {
/// files::data().append("seen.txt", "42\n").await?;
/// assert_eq!(files::data().read_text("seen.txt").await?, "42\n");
/// # Ok(())
/// # }
/// # skillhost_sdk::example::run(example());
/// ```
pub fn data() -> Mount {
    Mount {
        name: "data".to_owned(),
    }
}

/// A file or a folder of the user's, named in the input: whoever launches the skill gives a path, and what lies there may be read.
///
/// ```
/// # use skillhost_sdk::prelude::*;
/// #[data]
/// struct Input {
///     /// The notes to sum up: a file.
///     notes: InputPath,
///     /// Where to look things up: a folder.
///     manual: Option<InputPath>,
/// }
/// # async fn example(input: Input) -> Result<()> {
/// let notes = input.notes.read_text().await?;
/// if let Some(manual) = &input.manual {
///     for page in manual.glob("**/*.md").await? {
///         let text = manual.mount().read_text(&page).await?;
/// #       let _ = text;
///     }
/// }
/// # let _ = notes;
/// # Ok(())
/// # }
/// # skillhost_sdk::example::file("notes/today.md", "Rest.");
/// # let input = Input { notes: InputPath::new("notes/today.md"), manual: None };
/// # skillhost_sdk::example::run(example(input));
/// ```
///
/// A file comes alone: what lies beside it is not seen. The skill does not learn where on the machine it was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct InputPath(String);

impl InputPath {
    /// Makes one of a path that begins with its mount, as the host does of what it was given.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// Returns it with its mount: `notes/today.md`, or `manual` for a folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the mount that it is in: of a folder, that folder.
    pub fn mount(&self) -> Mount {
        let name = self.0.split('/').next().unwrap_or_default();
        Mount { name: name.to_owned() }
    }

    /// Returns the path in the mount: of a file, its name; of a folder, nothing.
    pub fn path(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, path)| path)
    }

    /// Reads the file, of at most 8 MiB.
    pub fn read(&self) -> Call<Vec<u8>> {
        self.mount().read(self.path())
    }

    /// Reads the file, of at most 8 MiB, as text.
    pub fn read_text(&self) -> Call<String> {
        self.mount().read_text(self.path())
    }

    /// Says whether it is a file or a folder, and how large.
    pub fn stat(&self) -> Call<Entry> {
        self.mount().stat(self.path())
    }

    /// Lists the files in the folder whose paths match, such as `**/*.md`, in byte order.
    pub fn glob(&self, pattern: impl AsRef<str>) -> List<Path> {
        self.mount().glob(pattern)
    }
}

impl crate::schemars::JsonSchema for InputPath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InputPath".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut crate::schemars::SchemaGenerator) -> crate::schemars::Schema {
        // The host looks for this format, and gives the run what lies at the path.
        crate::schemars::json_schema!({ "type": "string", "format": "path" })
    }
}

/// Returns a folder that the user granted under this name.
pub fn mount(name: &str) -> Result<Mount> {
    let mounts = run::info().mounts;
    if mounts.iter().any(|mount| mount.name == name) {
        return Ok(Mount { name: name.to_owned() });
    }
    let known: Vec<String> = mounts.iter().map(|mount| format!("`{}`", mount.name)).collect();
    let known = known.join(", ");
    Err(Failure::new(
        code::DENIED,
        format!("this run has no mount `{name}`; it has {known}"),
    ))
}

/// A folder that the run may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    name: String,
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Relative to its mount.
    pub path: Path,
    /// What it is.
    pub kind: Kind,
    /// In bytes; 0 for a folder.
    pub size: u64,
    /// When it was last modified, if known.
    pub modified: Option<SystemTime>,
}

impl Mount {
    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a whole file of at most 8 MiB.
    pub fn read(&self, path: impl AsRef<str>) -> Call<Vec<u8>> {
        let path = self.path(path);
        if self.name == "skill" {
            // The blocking form is answered at once there and leaves no entry in the journal.
            let options = crate::call::Options::default().render();
            return Call::known(host::files::read(&path, &options).map_err(|error| error.into_failure()));
        }
        Call::new(
            move |options| host::files::start_read(&path, options),
            |pending| host::files::finish_read(pending).map_err(|error| error.into_failure()),
        )
    }

    /// Reads a whole file of at most 8 MiB as text.
    pub fn read_text(&self, path: impl AsRef<str>) -> Call<String> {
        let shown = self.path(&path);
        self.read(path).and_then(move |bytes| {
            String::from_utf8(bytes).map_err(|_| Failure::new(code::INVALID, format!("`{shown}` is not UTF-8 text")))
        })
    }

    /// Reads at most `length` bytes from `offset`, at most 8 MiB; fewer at the end of the file.
    pub fn read_range(&self, path: impl AsRef<str>, offset: u64, length: u64) -> Call<Vec<u8>> {
        let path = self.path(path);
        Call::new(
            move |options| host::files::start_read_range(&path, offset, length, options),
            |pending| host::files::finish_read_range(pending).map_err(|error| error.into_failure()),
        )
    }

    /// Replaces a whole file, at most 8 MiB, making the folders it lies in.
    pub fn write(&self, path: impl AsRef<str>, contents: impl AsRef<[u8]>) -> Call<()> {
        let path = self.path(path);
        let contents = contents.as_ref().to_vec();
        Call::new(
            move |options| host::files::start_write(&path, &contents, options),
            |pending| host::files::finish_write(pending).map_err(|error| error.into_failure()),
        )
    }

    /// Adds to the end of a file, which is made if absent; at most 8 MiB.
    pub fn append(&self, path: impl AsRef<str>, contents: impl AsRef<[u8]>) -> Call<()> {
        let path = self.path(path);
        let contents = contents.as_ref().to_vec();
        Call::new(
            move |options| host::files::start_append(&path, &contents, options),
            |pending| host::files::finish_append(pending).map_err(|error| error.into_failure()),
        )
    }

    /// Says what is at a path.
    pub fn stat(&self, path: impl AsRef<str>) -> Call<Entry> {
        let path = self.path(path);
        let mount = self.clone();
        Call::new(
            move |options| host::files::start_stat(&path, options),
            move |pending| match host::files::finish_stat(pending) {
                Ok(entry) => Ok(mount.entry(entry)),
                Err(error) => Err(error.into_failure()),
            },
        )
    }

    /// Removes a file, or an empty folder.
    pub fn remove(&self, path: impl AsRef<str>) -> Call<()> {
        let path = self.path(path);
        Call::new(
            move |options| host::files::start_remove(&path, options),
            |pending| host::files::finish_remove(pending).map_err(|error| error.into_failure()),
        )
    }

    /// Lists what is in a folder (`""` for the mount itself), but not in folders within it, in byte order.
    pub fn list(&self, folder: impl AsRef<str>) -> List<Entry> {
        self.everything(folder.as_ref(), None, Some)
    }

    /// Lists the files whose paths match, such as `**/*.md`, in byte order.
    pub fn glob(&self, pattern: impl AsRef<str>) -> List<Path> {
        let file = |entry: Entry| (entry.kind == Kind::File).then_some(entry.path);
        self.everything("", Some(pattern.as_ref()), file)
    }

    fn everything<T>(&self, folder: &str, glob: Option<&str>, keep: fn(Entry) -> Option<T>) -> List<T> {
        List {
            mount: self.clone(),
            folder: folder.to_owned(),
            glob: glob.map(str::to_owned),
            keep,
            options: Options::default(),
        }
    }

    /// Puts the mount in front of a path.
    fn path(&self, path: impl AsRef<str>) -> String {
        match path.as_ref() {
            "" => self.name.clone(),
            path => format!("{}/{path}", self.name),
        }
    }

    fn entry(&self, entry: host::files::Entry) -> Entry {
        let relative = entry
            .path
            .strip_prefix(&self.name)
            .and_then(|path| path.strip_prefix('/'))
            .map(str::to_owned);
        Entry {
            path: relative.unwrap_or(entry.path),
            kind: entry.kind,
            size: entry.size,
            modified: entry.modified_ns.map(|ns| UNIX_EPOCH + Duration::from_nanos(ns)),
        }
    }
}

/// A listing that is made when it is awaited, of as many calls as there are pages.
#[must_use = "a listing is made when it is awaited"]
#[derive(Clone, Debug)]
pub struct List<T> {
    mount: Mount,
    folder: String,
    glob: Option<String>,
    keep: fn(Entry) -> Option<T>,
    options: Options,
}

impl<T> List<T> {
    /// Says what the timeline shows.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.set_label(label.as_ref());
        self
    }

    /// Limits how long each page may take; then it fails with the code `timeout`.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// States that what is there does not change, so that the answer may be reused while developing.
    pub fn pure(mut self) -> Self {
        self.options.reuse = Some(Reuse::Pure);
        self
    }

    /// Lists page by page until there is no more.
    async fn pages(self) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let what = host::files::ListOptions {
                glob: self.glob.clone(),
                recursive: self.glob.is_some(),
                limit: None,
                after: after.take(),
            };
            let path = self.mount.path(&self.folder);
            let page = Call::new(
                move |options| host::files::start_list(&path, &what, options),
                |pending| host::files::finish_list(pending).map_err(|error| error.into_failure()),
            )
            .with_options(self.options.clone())
            .await?;
            let entries = page.entries.into_iter().map(|entry| self.mount.entry(entry));
            found.extend(entries.filter_map(self.keep));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }
}

impl<T: 'static> IntoFuture for List<T> {
    type Output = Result<Vec<T>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Vec<T>>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.pages())
    }
}

/// Returns a path as the world takes it: one that begins with no mount is in `run/`.
pub(crate) fn with_mount(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    let mounted = first != path
        && (["run", "skill", "data"].contains(&first) || run::info().mounts.iter().any(|mount| mount.name == first));
    if mounted {
        path.to_owned()
    } else {
        format!("run/{path}")
    }
}
