//! The files of a folder as they are at one moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The files of a folder, by their names.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

/// Reads what lies in a folder, but for the memory that connections share: nothing of it outlives them.
pub(crate) fn read(folder: &Path) -> Image {
    let files = fs::read_dir(folder)
        .expect("the folder of a test can be read")
        .map(|entry| {
            let path = entry.expect("the folder of a test can be read").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("names here are plain");
            (name.to_owned(), path.clone())
        });
    files
        .filter(|(name, _)| !name.ends_with("-shm"))
        .map(|(name, path)| (name, fs::read(path).expect("the folder of a test can be read")))
        .collect()
}

/// Makes a folder hold this and nothing else.
pub(crate) fn write(folder: &Path, image: &Image) {
    for entry in fs::read_dir(folder).expect("the folder of a test can be read") {
        let path = entry.expect("the folder of a test can be read").path();
        fs::remove_file(path).expect("the folder of a test can be written");
    }
    for (name, content) in image {
        fs::write(folder.join(name), content).expect("the folder of a test can be written");
    }
}
