//! Says in a guest's words why something was not done. Messages name paths as the guest does, never where they lie on the host.

use std::io;

use rustix::io::Errno;
use skillhost_core::calls::files::BYTES_MAX;
use skillhost_core::outcome::Fault;

/// Returns the fault for what the operating system answered when `path` was to be opened, read or changed.
pub(super) fn of_io(path: &str, error: &io::Error) -> Fault {
    // The kernel's refusal to leave a folder has no error number of its own any more; a missing permission has.
    if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
        return denied(format!("`{path}` leads out of its mount"));
    }
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => Fault::new(Fault::NOT_FOUND, format!("`{path}` is not there")),
        Some(Errno::NOTDIR) => invalid(format!("`{path}` leads through something that is no folder")),
        Some(Errno::ISDIR) => invalid(format!("`{path}` is a folder, not a file")),
        Some(Errno::LOOP) => invalid(format!(
            "`{path}` is a link that leads back to itself, or was replaced by a link"
        )),
        Some(Errno::NAMETOOLONG) => invalid(format!("`{path}` has a part that is too long for the file system")),
        Some(Errno::NOTEMPTY | Errno::EXIST) => invalid(format!("`{path}` is a folder that is not empty")),
        _ => Fault::new(Fault::FAILED, format!("`{path}`: {error}")),
    }
}

/// Returns the fault for something other than a file or a folder, which is never opened.
pub(super) fn not_regular(path: &str) -> Fault {
    invalid(format!("`{path}` is neither a file nor a folder"))
}

/// Returns the fault for more than a call may move; its data is the bound.
pub(super) fn too_large(message: String) -> Fault {
    Fault {
        data: Some(BYTES_MAX.into()),
        ..Fault::new(Fault::TOO_LARGE, message)
    }
}

pub(super) fn denied(message: String) -> Fault {
    Fault::new(Fault::DENIED, message)
}

pub(super) fn invalid(message: String) -> Fault {
    Fault::new(Fault::INVALID, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_missing_permission_keep_the_systems_reason() {
        for (errno, says) in [
            (Errno::NOSPC, "No space left on device"),
            (Errno::DQUOT, "quota"),
            (Errno::ACCESS, "Permission denied"),
            (Errno::IO, "error"),
        ] {
            let fault = of_io("run/a", &errno.into());
            assert_eq!(fault.code, Fault::FAILED);
            assert!(fault.message.starts_with("`run/a`: "), "{}", fault.message);
            assert!(fault.message.contains(says), "{}", fault.message);
        }
    }
}
