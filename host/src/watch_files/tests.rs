#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;

/// Long enough for any machine; nothing is asserted of it but that it ends.
const PATIENCE: Duration = Duration::from_secs(60);

struct Folders(tempfile::TempDir);

impl Folders {
    fn new(folders: &[&str]) -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        for folder in folders {
            fs::create_dir_all(root.path(folder)).unwrap();
        }
        root
    }

    fn path(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap().join(path)
    }

    fn put(&self, path: &str, content: &str) {
        fs::write(self.path(path), content).unwrap();
    }

    fn tree(&self, path: &str) -> Tree {
        Tree::all_but(self.path(path), &["target"])
    }

    /// Waits until this path is told of, and returns all that were until then.
    async fn told(&self, watch: &mut Watch, path: &str) -> BTreeSet<String> {
        let mut told = BTreeSet::new();
        while !told.contains(path) {
            let changes = tokio::time::timeout(PATIENCE, watch.changed()).await;
            let changes = changes.unwrap_or_else(|_| panic!("only {told:?} were told of"));
            assert!(!changes.anything);
            let relative = |path: &PathBuf| path.strip_prefix(self.path("")).unwrap().display().to_string();
            told.extend(changes.paths.iter().map(relative));
        }
        told
    }
}

#[tokio::test]
async fn what_is_written_renamed_or_removed_is_told() {
    let root = Folders::new(&["a/b"]);
    root.put("a/b/old", "1");
    let mut watch = Watch::begin(vec![root.tree("a")]);
    assert_eq!(watch.polls(), None);
    root.put("a/b/old", "2");
    root.told(&mut watch, "a/b/old").await;
    fs::rename(root.path("a/b/old"), root.path("a/new")).unwrap();
    let mut told = root.told(&mut watch, "a/new").await;
    if !told.contains("a/b/old") {
        told.extend(root.told(&mut watch, "a/b/old").await);
    }
    fs::remove_file(root.path("a/new")).unwrap();
    root.told(&mut watch, "a/new").await;
}

#[tokio::test]
async fn what_is_read_hidden_or_passed_over_is_not_told() {
    let root = Folders::new(&["a/target/debug", "a/.git"]);
    root.put("a/read", "1");
    let mut watch = Watch::begin(vec![root.tree("a")]);
    fs::read(root.path("a/read")).unwrap();
    root.put("a/target/debug/big", "");
    root.put("a/.git/index", "");
    root.put("a/.read.swp", "");
    root.put("a/last", "");
    assert_eq!(root.told(&mut watch, "a/last").await, ["a/last".to_owned()].into());
}

#[tokio::test]
async fn a_folder_that_comes_later_is_followed_and_so_is_one_that_takes_its_place() {
    let root = Folders::new(&["there"]);
    let mut watch = Watch::begin(vec![root.tree("there/not/yet")]);
    for round in ["first", "second"] {
        fs::create_dir_all(root.path("there/not/yet/deep")).unwrap();
        root.told(&mut watch, "there/not/yet").await;
        root.put("there/not/yet/deep/file", round);
        root.told(&mut watch, "there/not/yet/deep/file").await;
        fs::remove_dir_all(root.path("there/not")).unwrap();
        root.told(&mut watch, "there/not/yet").await;
    }
}

#[tokio::test]
async fn a_folder_that_is_swapped_for_another_by_renaming_is_followed() {
    let root = Folders::new(&["a/one", "two"]);
    let mut watch = Watch::begin(vec![root.tree("a")]);
    fs::rename(root.path("a/one"), root.path("away")).unwrap();
    fs::rename(root.path("two"), root.path("a/one")).unwrap();
    root.told(&mut watch, "a/one").await;
    root.put("away/file", "");
    root.put("a/one/file", "");
    let told = root.told(&mut watch, "a/one/file").await;
    assert!(!told.iter().any(|path| path.starts_with("away")), "{told:?}");
}

#[tokio::test]
async fn what_is_reached_by_two_links_is_told_under_both_names() {
    let root = Folders::new(&["real", "a"]);
    for link in ["a/one", "a/two"] {
        std::os::unix::fs::symlink(root.path("real"), root.path(link)).unwrap();
    }
    let mut watch = Watch::begin(vec![root.tree("a")]);
    root.put("real/file", "");
    let told = root.told(&mut watch, "a/one/file").await;
    assert!(told.contains("a/two/file"), "{told:?}");
}

#[tokio::test]
async fn with_more_folders_than_watches_they_are_looked_at_instead() {
    let root = Folders::new(&["a/b", "a/c"]);
    root.put("a/c/old", "1");
    let mut watch = Watch::begin_with(vec![root.tree("a")], 2);
    assert_eq!(watch.polls(), Some("there are more than 2 folders to watch"));
    root.put("a/b/file", "");
    root.told(&mut watch, "a/b/file").await;
    fs::remove_file(root.path("a/c/old")).unwrap();
    root.told(&mut watch, "a/c/old").await;
}

#[tokio::test]
async fn more_changes_than_are_remembered_are_told_as_anything() {
    let mut changes = Changes::default();
    (0..=PATHS_MAX).for_each(|number| changes.note(PathBuf::from(number.to_string())));
    assert!(changes.anything);
    assert_eq!(changes.paths.len(), PATHS_MAX);
}
