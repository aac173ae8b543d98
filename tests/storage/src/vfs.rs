//! Puts a [`Disk`] between SQLite and the operating system, for databases in the folders of disks; all others are left alone.
//!
//! SQLite reaches files through a table of functions, its *VFS*, and each open file has a table of its own. Here the system's VFS is copied, with `xOpen` and `xDelete` replaced;
//! in the table of a file that is opened, those functions are replaced that change it, read it or make it durable. Locks and shared memory remain the system's. The VFS is
//! made the default one of the process, so the journal that is tested opens its database as it always does.
//!
//! This is the only module that may be unsafe: SQLite's interface is C. No crate with a safe one has shared memory for the log (WAL) and works on the SQLite that is linked.

#![allow(unsafe_code, reason = "SQLite's interface to files is a table of C functions")]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::ffi;

use crate::disk::{Asked, Disk, Verdict};

/// Has SQLite reach the files in a folder through a disk, until that is dropped.
pub(crate) fn mount(folder: &Path, disk: &Arc<Disk>) -> Mounted {
    let folder = folder.canonicalize().expect("the folder is there");
    let vfs = vfs();
    lock(&vfs.mounts).insert(folder.clone(), Arc::clone(disk));
    Mounted { folder }
}

/// A disk that is reached.
pub(crate) struct Mounted {
    folder: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        lock(&vfs().mounts).remove(&self.folder);
    }
}

struct Vfs {
    /// The system's. It lives as long as the process.
    base: *mut ffi::sqlite3_vfs,
    mounts: Mutex<HashMap<PathBuf, Arc<Disk>>>,
    /// The files that are open on disks, by their address: SQLite keeps each in one place until it closes it.
    files: Mutex<HashMap<usize, Arc<File>>>,
}

// SAFETY: SQLite's VFS may be used from any thread; everything else is behind locks.
unsafe impl Send for Vfs {}
// SAFETY: as above.
unsafe impl Sync for Vfs {}

/// A file that is open.
struct File {
    name: String,
    disk: Arc<Disk>,
    /// Whether the first sync makes the folder durable, too, as the system's VFS does for logs and journals that it may have made.
    syncs_folder: Mutex<bool>,
    /// The system's functions.
    base: *const ffi::sqlite3_io_methods,
    /// Those, with ours in the place of some. SQLite has its address.
    ours: Box<ffi::sqlite3_io_methods>,
}

// SAFETY: the tables are constant once they are made.
unsafe impl Send for File {}
// SAFETY: as above.
unsafe impl Sync for File {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn vfs() -> &'static Vfs {
    static VFS: OnceLock<Vfs> = OnceLock::new();
    static REGISTERED: OnceLock<()> = OnceLock::new();
    let vfs = VFS.get_or_init(|| {
        // SAFETY: a null name asks for the default, and SQLite initialises itself when it is asked.
        let base = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        assert!(!base.is_null(), "every system that this runs on has files");
        Vfs {
            base,
            mounts: Mutex::default(),
            files: Mutex::default(),
        }
    });
    REGISTERED.get_or_init(|| {
        // SAFETY: the system's VFS is a constant of SQLite. The copy is leaked, so it lives as long as SQLite may use it, and keeps `pAppData`, which the copied functions need.
        unsafe {
            let mut copy = Box::new(*vfs.base);
            copy.zName = c"skillhost-disk".as_ptr();
            copy.pNext = std::ptr::null_mut();
            copy.xOpen = Some(open);
            copy.xDelete = Some(delete);
            let registered = ffi::sqlite3_vfs_register(Box::into_raw(copy), 1);
            assert_eq!(registered, ffi::SQLITE_OK, "a VFS can be registered");
        }
    });
    vfs
}

/// Returns the disk on which a path lies, and its name there.
fn disk_of(path: *const c_char) -> Option<(Arc<Disk>, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: SQLite passes the full path, which ends with a zero.
    let path = unsafe { CStr::from_ptr(path) };
    let path = Path::new(path.to_str().ok()?);
    let disk = lock(&vfs().mounts).get(path.parent()?).cloned()?;
    Some((disk, path.file_name()?.to_str()?.to_owned()))
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let vfs = vfs();
    let on_disk = disk_of(path);
    // SAFETY: all arguments are SQLite's own, passed on to the VFS that it would have called; `file` is valid, as large as that VFS wants it.
    unsafe {
        if let Some((disk, name)) = &on_disk
            && let Verdict::Fail(code) = disk.ask(name, Asked::Open)
        {
            (*file).pMethods = std::ptr::null();
            return code;
        }
        let Some(base_open) = (*vfs.base).xOpen else {
            return ffi::SQLITE_CANTOPEN;
        };
        let code = base_open(vfs.base, path, file, flags, flags_out);
        let Some((disk, name)) = on_disk else { return code };
        if code != ffi::SQLITE_OK || (*file).pMethods.is_null() {
            return code;
        }
        disk.opened(&name);
        let base = (*file).pMethods;
        let mut ours = Box::new(*base);
        ours.xClose = Some(close);
        ours.xRead = Some(read);
        ours.xWrite = Some(write);
        ours.xTruncate = Some(truncate);
        ours.xSync = Some(sync);
        ours.xShmMap = ours.xShmMap.and(Some(share));
        let made_here = flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL) != 0;
        let opened = Arc::new(File {
            name,
            disk,
            syncs_folder: Mutex::new(made_here && flags & ffi::SQLITE_OPEN_CREATE != 0),
            base,
            ours,
        });
        (*file).pMethods = &raw const *opened.ours;
        lock(&vfs.files).insert(file as usize, opened);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, path: *const c_char, sync_folder: c_int) -> c_int {
    let vfs = vfs();
    let on_disk = disk_of(path);
    if let Some((disk, name)) = &on_disk
        && let Verdict::Fail(code) = disk.ask(name, Asked::Delete)
    {
        return code;
    }
    // SAFETY: as for `open`. The folder is not synced for real: what is durable on a disk, the disk says.
    let code = unsafe {
        match ((*vfs.base).xDelete, &on_disk) {
            (Some(base_delete), None) => base_delete(vfs.base, path, sync_folder),
            (Some(base_delete), Some(_)) => base_delete(vfs.base, path, 0),
            (None, _) => ffi::SQLITE_IOERR_DELETE,
        }
    };
    if let Some((disk, name)) = on_disk
        && code == ffi::SQLITE_OK
    {
        disk.deleted(&name, sync_folder != 0);
    }
    code
}

fn opened(file: *mut ffi::sqlite3_file) -> Arc<File> {
    let files = lock(&vfs().files);
    Arc::clone(
        files
            .get(&(file as usize))
            .expect("only a file that was opened here has these functions"),
    )
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let opened = lock(&vfs().files)
        .remove(&(file as usize))
        .expect("a file is closed once");
    // SAFETY: the system's own table for this file, which gets its own functions back before it goes.
    unsafe {
        (*file).pMethods = opened.base;
        (*opened.base)
            .xClose
            .map_or(ffi::SQLITE_OK, |base_close| base_close(file))
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, bytes: c_int, offset: i64) -> c_int {
    let opened = opened(file);
    match opened.disk.ask(&opened.name, Asked::Read) {
        // SAFETY: SQLite's own arguments, passed on.
        Verdict::Go => unsafe {
            let base_read = (*opened.base).xRead;
            base_read.map_or(ffi::SQLITE_IOERR_READ, |base_read| base_read(file, to, bytes, offset))
        },
        Verdict::Fail(code) | Verdict::Short(_, code) => code,
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, bytes: c_int, offset: i64) -> c_int {
    let opened = opened(file);
    let length = usize::try_from(bytes).unwrap_or(0);
    let (length, code) = match opened.disk.ask(&opened.name, Asked::Write(length)) {
        Verdict::Go => (length, ffi::SQLITE_OK),
        Verdict::Short(length, code) => (length, code),
        Verdict::Fail(code) => return code,
    };
    // SAFETY: SQLite passes that many bytes, of which a part is written.
    unsafe {
        let content = std::slice::from_raw_parts(from.cast::<u8>(), length);
        let Some(base_write) = (*opened.base).xWrite else {
            return ffi::SQLITE_IOERR_WRITE;
        };
        let part = c_int::try_from(length).unwrap_or(0);
        let done = if part == 0 {
            ffi::SQLITE_OK
        } else {
            base_write(file, from, part, offset)
        };
        if done != ffi::SQLITE_OK {
            return done;
        }
        opened
            .disk
            .wrote(&opened.name, u64::try_from(offset).unwrap_or(0), content);
    }
    code
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    let opened = opened(file);
    if let Verdict::Fail(code) = opened.disk.ask(&opened.name, Asked::Truncate) {
        return code;
    }
    // SAFETY: SQLite's own arguments, passed on.
    let code = unsafe {
        let base_truncate = (*opened.base).xTruncate;
        base_truncate.map_or(ffi::SQLITE_IOERR_TRUNCATE, |base_truncate| base_truncate(file, size))
    };
    if code == ffi::SQLITE_OK {
        opened.disk.truncated(&opened.name, u64::try_from(size).unwrap_or(0));
    }
    code
}

/// Makes nothing durable for real: what is, the disk says.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    let opened = opened(file);
    match opened.disk.ask(&opened.name, Asked::Sync) {
        Verdict::Go => {
            let folder = std::mem::take(&mut *lock(&opened.syncs_folder));
            opened.disk.synced(&opened.name, folder);
            ffi::SQLITE_OK
        }
        Verdict::Fail(code) | Verdict::Short(_, code) => {
            opened.disk.sync_failed(&opened.name);
            code
        }
    }
}

unsafe extern "C" fn share(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    let opened = opened(file);
    if extend != 0
        && let Verdict::Fail(code) = opened.disk.ask(&opened.name, Asked::Share)
    {
        return code;
    }
    // SAFETY: SQLite's own arguments, passed on.
    unsafe {
        let base_share = (*opened.base).xShmMap;
        base_share.map_or(ffi::SQLITE_IOERR_SHMMAP, |base_share| {
            base_share(file, page, size, extend, to)
        })
    }
}
