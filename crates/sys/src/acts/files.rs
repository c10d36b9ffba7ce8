//! Acts with files of the role's own folder.

use super::{AT_FDCWD, Target, Went, below, call, done};
use std::ffi::CStr;

/// A character device that is on every Linux: `/dev/null`.
const NULL: usize = 0x103;

/// Makes a file of this mode and gives its descriptor.
pub(super) fn make(path: &CStr, mode: libc::mode_t) -> Result<usize, i32> {
    let flags = (libc::O_CREAT | libc::O_WRONLY).unsigned_abs() as usize;
    let arguments = [AT_FDCWD, path.as_ptr() as usize, flags, mode as usize, 0, 0];
    call(libc::SYS_openat, arguments)
}

/// Makes what is no plain file.
pub(super) fn node(target: &Target, name: &str, kind: libc::mode_t) -> Went {
    let path = below(&target.own, name);
    let mode = (kind | 0o666) as usize;
    let arguments = [AT_FDCWD, path.as_ptr() as usize, mode, NULL, 0, 0];
    done(libc::SYS_mknodat, arguments)
}

/// Opens the device that somebody has put there.
pub(super) fn open_device(target: &Target) -> Went {
    let path = below(&target.own, "/device");
    let flags = libc::O_RDWR.unsigned_abs() as usize;
    let arguments = [AT_FDCWD, path.as_ptr() as usize, flags, 0, 0, 0];
    done(libc::SYS_openat, arguments)
}

/// A program that makes whoever runs it the role's user, or one of its group.
pub(super) fn make_set_uid(target: &Target, bit: libc::mode_t) -> Went {
    let fd = make(&below(&target.own, "/x"), bit | 0o711)?;
    // SAFETY: all zeroes is a stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let at = (&raw mut stat) as usize;
    call(libc::SYS_fstat, [fd, at, 0, 0, 0, 0])?;
    if stat.st_mode & bit == 0 {
        return Err(libc::EPERM);
    }
    Ok(())
}

/// The same in two steps.
pub(super) fn chmod_own(target: &Target) -> Went {
    let path = below(&target.own, "/x");
    make(&path, 0o600)?;
    let arguments = [AT_FDCWD, path.as_ptr() as usize, 0o4711, 0, 0, 0];
    done(libc::SYS_fchmodat, arguments)
}
