//! Rustup's compiler, with its prebuilt standard library for the target.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Choice, TARGET, Toolchain, sysroot_of};

/// Finds the compiler that cargo uses, and adds the target to it if it is missing and rustup is there.
pub(super) fn find(cargo: &Path) -> Result<Toolchain, String> {
    let rustc = std::env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from);
    let sysroot = sysroot_of(&rustc)?;
    if !has_target(&sysroot) {
        add_target(&sysroot)?;
    }
    if !has_target(&sysroot) {
        return Err(format!("`{}` has no target `{TARGET}`", rustc.display()));
    }
    Ok(Toolchain {
        choice: Choice::Rustup,
        cargo: cargo.to_owned(),
        environment: Vec::new(),
        arguments: Vec::new(),
    })
}

fn has_target(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

fn add_target(sysroot: &Path) -> Result<(), String> {
    let mut command = Command::new("rustup");
    command
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // The folder of a toolchain that rustup manages has the toolchain's name.
    if std::env::var_os("RUSTUP_TOOLCHAIN").is_none()
        && let Some(name) = sysroot
            .file_name()
            .filter(|_| sysroot.parent().is_some_and(|p| p.ends_with("toolchains")))
    {
        command.arg("--toolchain").arg(name);
    }
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("`rustup target add {TARGET}` failed, as it says above")),
        Err(error) => Err(format!("`rustup` cannot be started: {error}")),
    }
}
