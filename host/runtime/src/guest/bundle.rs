//! Reading in `skill/`: from the bundle that the run is pinned to, so the same at every replay and without a call.

use std::collections::BTreeMap;

use globset::GlobBuilder;
use skillhost_core::calls::files::{BYTES_MAX, Entry, Kind, List, Listing};
use skillhost_core::outcome::Fault;

use super::BundleFiles;

/// The mount's name.
pub(crate) const MOUNT: &str = "skill";
/// How many entries are listed unless the guest says otherwise.
pub(crate) const LIST_DEFAULT: u32 = 1_000;
/// The most entries listed at once.
pub(crate) const LIST_MAX: u32 = 10_000;

/// Reads a file, or a part of it.
pub(crate) fn read(bundle: &BundleFiles, path: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>, Fault> {
    let path = path.trim_end_matches('/');
    let Some(bytes) = bundle.get(path) else {
        return Err(match is_folder(bundle, path) {
            true => Fault::new(Fault::INVALID, format!("`{MOUNT}/{path}` is a folder")),
            false => not_found(path),
        });
    };
    let rest = bytes
        .get(usize::try_from(offset).unwrap_or(usize::MAX)..)
        .unwrap_or_default();
    let wanted = length.unwrap_or(rest.len() as u64);
    if wanted > BYTES_MAX {
        return Err(Fault {
            data: Some(BYTES_MAX.into()),
            ..Fault::new(
                Fault::TOO_LARGE,
                format!("{wanted} bytes; at most {BYTES_MAX} are read at once"),
            )
        });
    }
    Ok(rest[..rest.len().min(wanted as usize)].to_vec())
}

/// Says what is at a path.
pub(crate) fn stat(bundle: &BundleFiles, path: &str) -> Result<Entry, Fault> {
    let path = path.trim_end_matches('/');
    match bundle.get(path) {
        Some(bytes) => Ok(entry(path, Some(bytes.len()))),
        None if is_folder(bundle, path) => Ok(entry(path, None)),
        None => Err(not_found(path)),
    }
}

/// Lists a folder, in byte order of the paths.
pub(crate) fn list(bundle: &BundleFiles, path: &str, what: &List) -> Result<Listing, Fault> {
    let folder = path.trim_end_matches('/');
    if !is_folder(bundle, folder) {
        return Err(match bundle.contains_key(folder) {
            true => Fault::new(Fault::INVALID, format!("`{MOUNT}/{folder}` is no folder")),
            false => not_found(folder),
        });
    }
    let limit = what.limit.unwrap_or(LIST_DEFAULT);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Fault::new(
            Fault::INVALID,
            format!("a listing of {limit} entries; 1 to {LIST_MAX} can be listed at once"),
        ));
    }
    let glob = match &what.glob {
        Some(glob) => Some(matcher(glob)?),
        None => None,
    };
    let inside = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let mut entries: Vec<Entry> = found(bundle, &inside, what.recursive)
        .into_iter()
        .filter(|(inner, _)| glob.as_ref().is_none_or(|glob| glob.is_match(inner)))
        .map(|(inner, size)| entry(&format!("{inside}{inner}"), size))
        .filter(|entry| what.after.as_ref().is_none_or(|after| entry.path > *after))
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let next = if more {
        entries.last().map(|last| last.path.clone())
    } else {
        None
    };
    Ok(Listing { entries, next })
}

/// Returns what lies in a folder, relative to it: files with their sizes, folders without.
fn found<'a>(bundle: &'a BundleFiles, inside: &str, recursive: bool) -> BTreeMap<&'a str, Option<usize>> {
    let mut found = BTreeMap::new();
    for (path, bytes) in bundle {
        let Some(inner) = path.strip_prefix(inside) else {
            continue;
        };
        for (end, _) in inner.match_indices('/') {
            found.insert(&inner[..end], None);
            if !recursive {
                break;
            }
        }
        if recursive || !inner.contains('/') {
            found.insert(inner, Some(bytes.len()));
        }
    }
    found
}

fn matcher(glob: &str) -> Result<globset::GlobMatcher, Fault> {
    GlobBuilder::new(glob)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| Fault::new(Fault::INVALID, format!("the pattern cannot be used: {error}")))
}

fn is_folder(bundle: &BundleFiles, path: &str) -> bool {
    if path.is_empty() {
        return true;
    }
    let inside = format!("{path}/");
    bundle
        .range(inside.clone()..)
        .next()
        .is_some_and(|(first, _)| first.starts_with(&inside))
}

fn entry(path: &str, size: Option<usize>) -> Entry {
    Entry {
        path: match path {
            "" => MOUNT.to_owned(),
            path => format!("{MOUNT}/{path}"),
        },
        kind: if size.is_some() { Kind::File } else { Kind::Folder },
        size: size.unwrap_or(0) as u64,
        modified_ns: None,
    }
}

fn not_found(path: &str) -> Fault {
    Fault::new(Fault::NOT_FOUND, format!("there is no `{MOUNT}/{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> BundleFiles {
        ["SKILL.md", "data/a.csv", "data/deep/b.csv", "prompts/plan.md"]
            .into_iter()
            .map(|path| (path.to_owned(), path.as_bytes().to_vec()))
            .collect()
    }

    fn listed(path: &str, glob: Option<&str>, recursive: bool) -> Vec<String> {
        let what = List {
            path: String::new(),
            glob: glob.map(str::to_owned),
            recursive,
            limit: None,
            after: None,
        };
        let listing = list(&bundle(), path, &what).expect("a listing");
        listing.entries.into_iter().map(|entry| entry.path).collect()
    }

    #[test]
    fn folders_are_listed_as_far_as_is_asked() {
        assert_eq!(
            listed("", None, false),
            ["skill/SKILL.md", "skill/data", "skill/prompts"]
        );
        assert_eq!(
            listed("data", None, true),
            ["skill/data/a.csv", "skill/data/deep", "skill/data/deep/b.csv"]
        );
        assert_eq!(
            listed("", Some("**/*.csv"), true),
            ["skill/data/a.csv", "skill/data/deep/b.csv"]
        );
        assert_eq!(listed("data/", Some("*.csv"), true), ["skill/data/a.csv"]);
    }

    #[test]
    fn a_listing_goes_on_where_it_stopped() {
        let mut what = List {
            path: String::new(),
            glob: None,
            recursive: true,
            limit: Some(4),
            after: None,
        };
        let first = list(&bundle(), "", &what).expect("a listing");
        assert_eq!(first.next.as_deref(), Some("skill/data/deep"));
        what.after = first.next;
        let rest = list(&bundle(), "", &what).expect("a listing");
        assert_eq!((rest.entries.len(), rest.next), (3, None));
    }

    #[test]
    fn files_are_read_whole_or_in_part() {
        assert_eq!(read(&bundle(), "SKILL.md", 0, None), Ok(b"SKILL.md".to_vec()));
        assert_eq!(read(&bundle(), "SKILL.md", 6, Some(100)), Ok(b"md".to_vec()));
        assert_eq!(read(&bundle(), "SKILL.md", 99, Some(1)), Ok(vec![]));
        assert_eq!(
            read(&bundle(), "data", 0, None).expect_err("a folder").code,
            Fault::INVALID
        );
        assert_eq!(
            read(&bundle(), "nope", 0, None).expect_err("absent").code,
            Fault::NOT_FOUND
        );
        assert_eq!(stat(&bundle(), "data/").expect("there").kind, Kind::Folder);
    }
}
