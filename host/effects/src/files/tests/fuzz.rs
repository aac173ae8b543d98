//! What guests call files, changed at random: nothing outside a mount is read or changed.

use std::fs;
use std::os::unix::fs::symlink;

use skillhost_loopback::fuzz::Fuzz;

use super::World;
use crate::files::path::MountPath;

#[test]
fn fuzz_paths() {
    let world = World::new();
    symlink(world.host("outside"), world.host("project/out")).unwrap();
    symlink("../outside/secret", world.host("project/secret")).unwrap();
    symlink("/proc/self/root", world.host("project/root")).unwrap();
    let words = [
        "..",
        "/",
        "run/",
        "project/",
        "skill/",
        "manual/",
        "out",
        "secret",
        "root",
        "\0",
        "\u{2215}",
        "%2e%2e",
        "\\",
        "proc/self/root/",
        ".skillhost-",
    ];
    Fuzz::of("paths").words(&words).run(200, |input| {
        for (line, path) in String::from_utf8_lossy(input).lines().take(40).enumerate() {
            if let Ok(parsed) = MountPath::parse(path) {
                assert!(
                    parsed.text().split('/').all(|part| !matches!(part, "" | "." | "..")),
                    "{path:?}"
                );
            }
            if let Ok(bytes) = world.read(path) {
                assert_ne!(bytes, b"secret", "{path:?}");
            }
            drop(world.stat(path));
            // Each is on the disk before it is answered, which takes its time.
            if line < 2 {
                drop(world.write(path, b"written"));
                drop(world.remove(path));
            }
        }
        assert_eq!(fs::read(world.host("outside/secret")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(world.host("outside")).unwrap().count(), 1);
    });
}
