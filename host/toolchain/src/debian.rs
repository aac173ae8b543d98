//! Debian's compiler, with which cargo builds the standard library for the target from its sources.
//!
//! Debian has no prebuilt library for the target and no linker for components: the library comes from `rust-web-src` over `wasi-libc`, the linker from the toolchain
//! that cargo itself belongs to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Choice, Packages, Toolchain, ask, sysroot_of};

const PACKAGES: [&str; 4] = ["rustc-web", "rust-web-src", "wasi-libc", "lld"];

/// Where Debian's packages put the compiler, whatever stands on PATH before it.
const RUSTC: &str = "/usr/bin/rustc";

/// Where `wasi-libc` puts its libraries, newest first.
const LIBC_FOLDERS: [&str; 3] = [
    "/usr/lib/wasm32-wasip2",
    "/usr/lib/wasm32-wasip1",
    "/usr/lib/wasm32-wasi",
];

/// Returns whether packages are Debian's here.
pub(super) fn is_debian() -> bool {
    Path::new("/etc/debian_version").is_file()
}

/// Finds Debian's compiler, and installs it if it is missing and may be.
pub(super) fn find(cargo: &Path, packages: Packages) -> Result<Toolchain, String> {
    if !is_debian() {
        return Err("this is not Debian, whose packages could stand in".to_owned());
    }
    let found = match (look(), packages) {
        (Err(_), Packages::Install) => install().and_then(|()| look())?,
        (found, _) => found?,
    };
    let linker = linker_folder()?;
    let flags = format!(
        "-L\u{1f}native={}\u{1f}-C\u{1f}link-self-contained=no",
        found.libc.display()
    );
    let environment = vec![
        ("RUSTC", OsString::from(RUSTC)),
        ("RUSTC_BOOTSTRAP", "1".into()),
        ("CARGO_ENCODED_RUSTFLAGS", flags.into()),
        (
            "CARGO_TARGET_WASM32_WASIP2_LINKER",
            linker.join("wasm-component-ld").into_os_string(),
        ),
        ("PATH", path_with(&linker)),
    ];
    Ok(Toolchain {
        choice: Choice::Debian,
        cargo: cargo.to_owned(),
        environment,
        arguments: vec!["-Zbuild-std=std,panic_abort".to_owned()],
    })
}

struct Found {
    libc: PathBuf,
}

/// Looks for what the packages hold.
fn look() -> Result<Found, String> {
    let needs = |what: &str| format!("{what} is missing, from the packages {}", PACKAGES.join(", "));
    let rustc = Path::new(RUSTC);
    if !rustc.is_file() {
        return Err(needs("Debian's `rustc`"));
    }
    if !sysroot_of(rustc)?.join("lib/rustlib/src/rust/library/std").is_dir() {
        return Err(needs("the source of Rust's standard library"));
    }
    if !Path::new("/usr/bin/wasm-ld").exists() {
        return Err(needs("`wasm-ld`"));
    }
    let libc = LIBC_FOLDERS
        .iter()
        .map(Path::new)
        .find(|folder| folder.join("libc.a").is_file());
    let libc = libc.ok_or_else(|| needs("the C library for WASI"))?;
    Ok(Found { libc: libc.to_owned() })
}

/// Installs the packages, which takes root.
fn install() -> Result<(), String> {
    if ask(Command::new("id").arg("-u"))? != "0" {
        return Err(format!(
            "the packages {} are missing, and only root may install them",
            PACKAGES.join(", ")
        ));
    }
    let run = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
    };
    let command = [["install", "-y", "--no-install-recommends"].as_slice(), &PACKAGES].concat();
    // A fresh image has no list of packages yet, so ask for one if the names mean nothing.
    let installed = run(&command).is_ok_and(|status| status.success())
        || (run(&["update"]).is_ok_and(|status| status.success())
            && run(&command).is_ok_and(|status| status.success()));
    match installed {
        true => Ok(()),
        false => Err(format!(
            "`apt-get install {}` failed, as it says above",
            PACKAGES.join(" ")
        )),
    }
}

/// Returns the folder that holds `wasm-component-ld` and `rust-lld`: it belongs to the toolchain that rustup manages.
fn linker_folder() -> Result<PathBuf, String> {
    let rustc = match std::env::var_os("CARGO") {
        // Beside cargo stands the compiler that it came with, unless cargo is rustup's proxy, which knows it.
        Some(cargo) => Path::new(&cargo).with_file_name("rustc"),
        None => "rustc".into(),
    };
    let sysroot = sysroot_of(&rustc)?;
    let host = ask(Command::new(&rustc).arg("-vV"))?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap_or_default()
        .to_owned();
    let folder = sysroot.join("lib/rustlib").join(host).join("bin");
    match folder.join("wasm-component-ld").is_file() {
        true => Ok(folder),
        false => Err(format!(
            "`{}` came without `wasm-component-ld`, the linker for components",
            rustc.display()
        )),
    }
}

fn path_with(folder: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    // A folder with a colon in its name cannot stand on PATH; then the linker finds its helper beside itself or says so.
    std::env::join_paths(folders).unwrap_or(path)
}
