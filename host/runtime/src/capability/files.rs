//! `files`: reading and writing in mounts. What the blocking functions read in `skill/` comes from the run's bundle, with no call.

use skillhost_core::calls::files::{self, BYTES_MAX, Bytes, List};
use skillhost_core::effect::Function;
use skillhost_core::id::Digest;
use skillhost_core::outcome::Fault;
use wasmtime::component::Resource;

use super::tasks::Pending;
use super::{Draft, other};
use crate::bindings::skillhost::skill::files::{self as wit, CallOptions, Error, Host};
use crate::guest::bundle;
use crate::guest::state::{Facts, State};

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 1_024;

impl Host for State {
    async fn read(&mut self, path: String, options: CallOptions) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        if let Some(found) = self.bundled(&path, |bundle, inner| bundle::read(bundle, inner, 0, None)) {
            return Ok(found.map_err(error));
        }
        let read = self
            .call(self.path_draft(Function::FILES_READ, path).with(options))
            .await?;
        Ok(read.map(|Bytes(bytes)| bytes).map_err(error))
    }

    fn start_read(&mut self, path: String, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.path_draft(Function::FILES_READ, path).with(options))
    }

    async fn finish_read(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let read = self.finish(pending, Function::FILES_READ).await?;
        Ok(read.map(|Bytes(bytes)| bytes).map_err(error))
    }

    async fn read_range(
        &mut self,
        path: String,
        offset: u64,
        length: u64,
        options: CallOptions,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let range = |bundle: &_, inner: &str| bundle::read(bundle, inner, offset, Some(length));
        if let Some(found) = self.bundled(&path, range) {
            return Ok(found.map_err(error));
        }
        let read = self.call(self.range_draft(path, offset, length).with(options)).await?;
        Ok(read.map(|Bytes(bytes)| bytes).map_err(error))
    }

    fn start_read_range(
        &mut self,
        path: String,
        offset: u64,
        length: u64,
        options: CallOptions,
    ) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.range_draft(path, offset, length).with(options))
    }

    async fn finish_read_range(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let read = self.finish(pending, Function::FILES_READ_RANGE).await?;
        Ok(read.map(|Bytes(bytes)| bytes).map_err(error))
    }

    async fn write(
        &mut self,
        path: String,
        contents: Vec<u8>,
        options: CallOptions,
    ) -> wasmtime::Result<Result<(), Error>> {
        let draft = self.write_draft(Function::FILES_WRITE, path, contents);
        let written = self.call(draft.with(options)).await?;
        Ok(written.map_err(error))
    }

    fn start_write(
        &mut self,
        path: String,
        contents: Vec<u8>,
        options: CallOptions,
    ) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.write_draft(Function::FILES_WRITE, path, contents).with(options))
    }

    async fn finish_write(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<(), Error>> {
        let written = self.finish(pending, Function::FILES_WRITE).await?;
        Ok(written.map_err(error))
    }

    async fn append(
        &mut self,
        path: String,
        contents: Vec<u8>,
        options: CallOptions,
    ) -> wasmtime::Result<Result<(), Error>> {
        let draft = self.write_draft(Function::FILES_APPEND, path, contents);
        let written = self.call(draft.with(options)).await?;
        Ok(written.map_err(error))
    }

    fn start_append(
        &mut self,
        path: String,
        contents: Vec<u8>,
        options: CallOptions,
    ) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.write_draft(Function::FILES_APPEND, path, contents).with(options))
    }

    async fn finish_append(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<(), Error>> {
        let written = self.finish(pending, Function::FILES_APPEND).await?;
        Ok(written.map_err(error))
    }

    async fn list(
        &mut self,
        path: String,
        what: wit::ListOptions,
        options: CallOptions,
    ) -> wasmtime::Result<Result<wit::Listing, Error>> {
        let what = list(path, what);
        if let Some(found) = self.bundled(&what.path, |bundle, inner| bundle::list(bundle, inner, &what)) {
            return Ok(found.map(listing).map_err(error));
        }
        let listed = self.call(self.list_draft(what).with(options)).await?;
        Ok(listed.map(listing).map_err(error))
    }

    fn start_list(
        &mut self,
        path: String,
        what: wit::ListOptions,
        options: CallOptions,
    ) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.list_draft(list(path, what)).with(options))
    }

    async fn finish_list(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<wit::Listing, Error>> {
        let listed = self.finish(pending, Function::FILES_LIST).await?;
        Ok(listed.map(listing).map_err(error))
    }

    async fn stat(&mut self, path: String, options: CallOptions) -> wasmtime::Result<Result<wit::Entry, Error>> {
        if let Some(found) = self.bundled(&path, bundle::stat) {
            return Ok(found.map(entry).map_err(error));
        }
        let found = self
            .call(self.path_draft(Function::FILES_STAT, path).with(options))
            .await?;
        Ok(found.map(entry).map_err(error))
    }

    fn start_stat(&mut self, path: String, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.path_draft(Function::FILES_STAT, path).with(options))
    }

    async fn finish_stat(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<wit::Entry, Error>> {
        let found = self.finish(pending, Function::FILES_STAT).await?;
        Ok(found.map(entry).map_err(error))
    }

    async fn remove(&mut self, path: String, options: CallOptions) -> wasmtime::Result<Result<(), Error>> {
        let draft = self.path_draft(Function::FILES_REMOVE, path);
        let removed = self.call(draft.with(options)).await?;
        Ok(removed.map_err(error))
    }

    fn start_remove(&mut self, path: String, options: CallOptions) -> wasmtime::Result<Resource<Pending>> {
        self.start(self.path_draft(Function::FILES_REMOVE, path).with(options))
    }

    async fn finish_remove(&mut self, pending: Resource<Pending>) -> wasmtime::Result<Result<(), Error>> {
        let removed = self.finish(pending, Function::FILES_REMOVE).await?;
        Ok(removed.map_err(error))
    }
}

/// What the skill may do with the paths of a mount, as far as that is known without looking. Links and the like are the effect's to check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl State {
    /// Answers from the bundle if the path lies in `skill/`; a path that is not well formed is left to the call, which says so.
    fn bundled<T>(
        &self,
        path: &str,
        look: impl FnOnce(&crate::guest::BundleFiles, &str) -> Result<T, Fault>,
    ) -> Option<Result<T, Fault>> {
        let Facts::Run { bundle, .. } = &self.facts else {
            return None;
        };
        let (mount, inner) = split(path).ok()?;
        (mount == bundle::MOUNT).then(|| look(bundle, inner))
    }

    fn path_draft(&self, function: Function, path: String) -> Draft {
        let access = if function == Function::FILES_REMOVE {
            Access::Write
        } else {
            Access::Read
        };
        let refused = self.check(&path, access);
        Draft::new(function, &files::Path { path }).refuse(refused)
    }

    fn range_draft(&self, path: String, offset: u64, length: u64) -> Draft {
        let refused = self
            .check(&path, Access::Read)
            .or_else(|| (length > BYTES_MAX).then(|| too_large(length)));
        Draft::new(Function::FILES_READ_RANGE, &files::ReadRange { path, offset, length }).refuse(refused)
    }

    fn write_draft(&self, function: Function, path: String, contents: Vec<u8>) -> Draft {
        let refused = self.check(&path, Access::Write);
        if contents.len() as u64 > BYTES_MAX {
            // Recorded by its digest: the bytes themselves are more than a journal takes.
            let bytes = contents.len() as u64;
            let sha256 = Digest::of(&contents);
            let request = serde_json::json!({ "path": path, "bytes": bytes, "sha256": sha256 });
            return Draft::new(function, &request)
                .refuse(refused)
                .refuse(Some(too_large(bytes)));
        }
        let contents = Bytes(contents);
        Draft::new(function, &files::Write { path, contents }).refuse(refused)
    }

    fn list_draft(&self, what: List) -> Draft {
        let refused = self.check(&what.path, Access::Read).or_else(|| {
            let limit = what.limit.unwrap_or(bundle::LIST_DEFAULT);
            (!(1..=bundle::LIST_MAX).contains(&limit)).then(|| {
                let message = format!(
                    "a listing of {limit} entries; 1 to {} can be listed at once",
                    bundle::LIST_MAX
                );
                Fault::new(Fault::INVALID, message)
            })
        });
        Draft::new(Function::FILES_LIST, &what).refuse(refused)
    }

    fn check(&self, path: &str, access: Access) -> Option<Fault> {
        let Facts::Run { info, .. } = &self.facts else {
            return None;
        };
        let (mount, inner) = match split(path) {
            Ok(parts) => parts,
            Err(fault) => return Some(fault),
        };
        let Some(found) = info.mounts.iter().find(|known| known.name == mount) else {
            let names: Vec<String> = info.mounts.iter().map(|known| format!("`{}/`", known.name)).collect();
            let message = format!("there is no mount `{mount}`; this run has {}", names.join(", "));
            return Some(Fault::new(Fault::DENIED, message));
        };
        if access == Access::Write && !found.writable {
            return Some(Fault::new(Fault::DENIED, format!("`{mount}/` may not be written")));
        }
        if access == Access::Write && inner.is_empty() {
            return Some(Fault::new(Fault::INVALID, format!("`{path}` is a mount itself")));
        }
        None
    }
}

/// Splits a path into its mount and what lies in it.
fn split(path: &str) -> Result<(&str, &str), Fault> {
    let invalid = |why: &str| Err(Fault::new(Fault::INVALID, why));
    if path.is_empty() {
        return invalid("the path is empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return invalid(&format!(
            "the path has {} bytes; the longest has {PATH_BYTES_MAX}",
            path.len()
        ));
    }
    if path.contains('\0') {
        return invalid("the path holds a zero byte");
    }
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        let message =
            format!("`{path}` is absolute or leads upwards; a path begins with its mount, as in `run/report.md`");
        return Err(Fault::new(Fault::DENIED, message));
    }
    Ok(path.split_once('/').unwrap_or((path, "")))
}

fn too_large(bytes: u64) -> Fault {
    Fault {
        data: Some(BYTES_MAX.into()),
        ..Fault::new(
            Fault::TOO_LARGE,
            format!("{bytes} bytes; at most {BYTES_MAX} are moved at once"),
        )
    }
}

fn list(path: String, what: wit::ListOptions) -> List {
    List {
        path,
        glob: what.glob,
        recursive: what.recursive,
        limit: what.limit,
        after: what.after,
    }
}

fn entry(entry: files::Entry) -> wit::Entry {
    wit::Entry {
        path: entry.path,
        kind: match entry.kind {
            files::Kind::File => wit::Kind::File,
            files::Kind::Folder => wit::Kind::Folder,
            files::Kind::Other => wit::Kind::Other,
        },
        size: entry.size,
        modified_ns: entry.modified_ns,
    }
}

fn listing(listing: files::Listing) -> wit::Listing {
    wit::Listing {
        entries: listing.entries.into_iter().map(entry).collect(),
        next: listing.next,
    }
}

fn error(fault: Fault) -> Error {
    match fault.code.as_str() {
        Fault::CANCELLED => Error::Cancelled,
        Fault::DENIED => Error::Denied(fault.message),
        Fault::NOT_FOUND => Error::NotFound(fault.message),
        Fault::TOO_LARGE => Error::TooLarge(fault.data.as_ref().and_then(|data| data.as_u64()).unwrap_or(BYTES_MAX)),
        Fault::INVALID => Error::Invalid(fault.message),
        Fault::BUDGET => Error::Budget(fault.message),
        Fault::TIMEOUT => Error::Timeout(fault.message),
        Fault::FAILED => Error::Failed(fault.message),
        _ => Error::Other(other(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_with_its_mount_and_leads_nowhere_else() {
        assert_eq!(split("run/a/b.md"), Ok(("run", "a/b.md")));
        assert_eq!(split("run"), Ok(("run", "")));
        let code = |path: &str| split(path).expect_err("refused").code;
        for (path, expected) in [
            ("", Fault::INVALID),
            ("/etc/passwd", Fault::DENIED),
            ("run/../x", Fault::DENIED),
            ("run/a\0b", Fault::INVALID),
            (&"x".repeat(1_025), Fault::INVALID),
        ] {
            assert_eq!(code(path), expected, "{path}");
        }
    }
}
