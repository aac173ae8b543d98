//! Splits a diff into the changes of single files.

use skillhost_sdk::data;

/// How much of one file a reviewer reads, in bytes; what is longer is split between hunks.
const PIECE_BYTES_MAX: usize = 48_000;

/// Files that programs write and nobody reviews.
const GENERATED: [&str; 8] = [
    "Cargo.lock",
    "package-lock.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "poetry.lock",
    "uv.lock",
    "go.sum",
    "Gemfile.lock",
];

/// What changed in a file, or in a part of it if it is long.
#[data]
pub(crate) struct Change {
    /// The file's path after the change; before it, if the file was deleted.
    pub(crate) path: String,
    /// Which part of how many.
    pub(crate) part: Option<(usize, usize)>,
    /// The diff of this file alone.
    pub(crate) text: String,
}

impl Change {
    /// Returns the path, with the part if there are several.
    pub(crate) fn name(&self) -> String {
        match self.part {
            Some((part, parts)) => format!("{} ({part}/{parts})", self.path),
            None => self.path.clone(),
        }
    }
}

/// A diff, file by file.
pub(crate) struct Diff {
    /// What is to be reviewed.
    pub(crate) changes: Vec<Change>,
    /// Files that are not reviewed, and why.
    pub(crate) skipped: Vec<String>,
}

/// Splits a unified diff, with or without git's headers.
pub(crate) fn split(diff: &str) -> Diff {
    let mut changes = Vec::new();
    let mut skipped = Vec::new();
    for text in sections(diff) {
        let path = path(text);
        if let Some(reason) = not_reviewed(&path, text) {
            skipped.push(format!("{path}: {reason}"));
            continue;
        }
        let pieces = pieces(text);
        let parts = pieces.len();
        for (index, text) in pieces.into_iter().enumerate() {
            changes.push(Change {
                path: path.clone(),
                part: (parts > 1).then_some((index + 1, parts)),
                text,
            });
        }
    }
    Diff { changes, skipped }
}

/// Returns the parts of a diff that belong to one file each.
fn sections(diff: &str) -> Vec<&str> {
    let git = diff.lines().any(|line| line.starts_with("diff --git "));
    let mut starts = Vec::new();
    let mut offset = 0;
    // How many lines of the current hunk are still to come, on either side. Within a hunk a line may look like a header: `--- a comment`.
    let (mut old, mut new) = (0_usize, 0_usize);
    let mut lines = diff.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if old > 0 || new > 0 {
            let (in_old, in_new) = sides(line);
            old = old.saturating_sub(in_old);
            new = new.saturating_sub(in_new);
        } else if let Some(lengths) = hunk_lengths(line) {
            (old, new) = lengths;
        } else if git {
            if line.starts_with("diff --git ") {
                starts.push(offset);
            }
        } else if line.starts_with("--- ") && lines.peek().is_some_and(|next| next.starts_with("+++ ")) {
            starts.push(offset);
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([diff.len()]);
    starts.iter().zip(ends).map(|(start, end)| &diff[*start..end]).collect()
}

/// Returns how many lines a line of a hunk is of the old file and of the new.
fn sides(line: &str) -> (usize, usize) {
    match line.as_bytes().first() {
        Some(b'-') => (1, 0),
        Some(b'+') => (0, 1),
        // "\ No newline at end of file"
        Some(b'\\') => (0, 0),
        _ => (1, 1),
    }
}

/// Returns how many lines of the old file and of the new follow a hunk's header.
fn hunk_lengths(line: &str) -> Option<(usize, usize)> {
    let ranges = line.strip_prefix("@@ -")?.split(" @@").next()?;
    let (old, new) = ranges.split_once(" +")?;
    let length = |range: &str| range.split_once(',').map_or(Some(1), |(_, length)| length.parse().ok());
    Some((length(old)?, length(new)?))
}

/// Returns the path that a file's headers name.
fn path(section: &str) -> String {
    let headers = || section.lines().take_while(|line| !line.starts_with("@@ "));
    let named = |prefix: &str| {
        let name = headers().find_map(|line| line.strip_prefix(prefix))?;
        // Some programs write a date behind a tab.
        let name = name.split('\t').next().unwrap_or(name).trim_matches('"');
        (name != "/dev/null").then(|| name.to_owned())
    };
    let stripped = |name: String, side: &str| name.strip_prefix(side).map_or(name.clone(), str::to_owned);
    let after = named("+++ ").map(|name| stripped(name, "b/"));
    let before = || named("--- ").map(|name| stripped(name, "a/"));
    // Renamed without a change, or binary: only the first header has the name.
    let headline = || {
        let names = headers().next()?.strip_prefix("diff --git ")?;
        let (_, name) = names.rsplit_once(" b/")?;
        Some(name.trim_matches('"').to_owned())
    };
    after
        .or_else(before)
        .or_else(|| named("rename to "))
        .or_else(headline)
        .unwrap_or_else(|| "(a file without a name)".to_owned())
}

fn not_reviewed(path: &str, section: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if GENERATED.contains(&name) {
        return Some("a program writes it");
    }
    if section.lines().any(|line| line.starts_with("@@ ")) {
        return None;
    }
    let binary = section
        .lines()
        .any(|line| line.starts_with("Binary files ") || line == "GIT binary patch");
    Some(if binary { "binary" } else { "no line changed" })
}

/// Splits the diff of a long file between hunks; each piece begins with the file's headers.
fn pieces(section: &str) -> Vec<String> {
    let headers: String = section
        .split_inclusive('\n')
        .take_while(|line| !line.starts_with("@@ "))
        .collect();
    let mut hunks: Vec<String> = Vec::new();
    for line in section[headers.len()..].split_inclusive('\n') {
        match hunks.last_mut() {
            Some(hunk) if !line.starts_with("@@ ") => hunk.push_str(line),
            _ => hunks.push(line.to_owned()),
        }
    }
    let mut pieces: Vec<String> = Vec::new();
    let mut piece = headers.clone();
    for hunk in hunks {
        if piece.len() > headers.len() && piece.len() + hunk.len() > PIECE_BYTES_MAX {
            pieces.push(std::mem::replace(&mut piece, headers.clone()));
        }
        piece.push_str(&hunk);
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::{PIECE_BYTES_MAX, split};

    const TWO: &str = "\
diff --git a/src/a.rs b/src/a.rs
index 1..2 100644
--- a/src/a.rs
+++ b/src/a.rs
@@ -1,2 +1,2 @@
--- a comment in Lua, removed
+++ b/looks/like/a/header
 same
diff --git a/old.md b/old.md
deleted file mode 100644
--- a/old.md
+++ /dev/null
@@ -1 +0,0 @@
-gone
";

    fn paths(diff: &str) -> Vec<String> {
        split(diff).changes.iter().map(|change| change.name()).collect()
    }

    #[test]
    fn a_diff_is_split_by_file_and_lines_that_look_like_headers_are_not_taken_for_them() {
        assert_eq!(paths(TWO), ["src/a.rs", "old.md"]);
        let together: String = split(TWO).changes.into_iter().map(|change| change.text).collect();
        assert_eq!(together, TWO);
    }

    #[test]
    fn a_diff_without_gits_headers_is_split_at_its_files() {
        let plain =
            "--- a.c\t2026-01-01\n+++ a.c\t2026-01-02\n@@ -1 +1 @@\n-a\n+b\n--- b.c\n+++ b.c\n@@ -1 +1 @@\n-a\n+b\n";
        assert_eq!(paths(plain), ["a.c", "b.c"]);
    }

    #[test]
    fn lock_files_binaries_and_renames_are_skipped_and_named() {
        let diff = "\
diff --git a/Cargo.lock b/Cargo.lock
--- a/Cargo.lock
+++ b/Cargo.lock
@@ -1 +1 @@
-a
+b
diff --git a/logo.png b/logo.png
Binary files a/logo.png and b/logo.png differ
diff --git a/x.rs b/y.rs
similarity index 100%
rename from x.rs
rename to y.rs
";
        let split = split(diff);
        assert!(split.changes.is_empty());
        assert_eq!(
            split.skipped,
            [
                "Cargo.lock: a program writes it",
                "logo.png: binary",
                "y.rs: no line changed"
            ]
        );
    }

    #[test]
    fn a_long_file_is_split_between_hunks() {
        let hunk = format!("@@ -1 +1 @@\n-a\n+{}\n", "b".repeat(PIECE_BYTES_MAX / 2));
        let diff = format!("--- a.c\n+++ a.c\n{hunk}{hunk}{hunk}");
        assert_eq!(paths(&diff), ["a.c (1/3)", "a.c (2/3)", "a.c (3/3)"]);
        assert!(
            split(&diff)
                .changes
                .iter()
                .all(|change| change.text.starts_with("--- a.c\n+++ a.c\n@@ "))
        );
    }

    #[test]
    fn what_is_no_diff_has_no_changes() {
        assert!(paths("").is_empty());
        assert!(paths("hello\nworld\n").is_empty());
    }
}
