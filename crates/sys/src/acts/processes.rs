//! Acts with processes, memory and who somebody is.

use super::{Target, Went, call, done, none, open, path};
use std::ffi::CString;

pub(super) fn fork() -> Went {
    let pid = call(
        libc::SYS_clone,
        [libc::SIGCHLD.unsigned_abs() as usize, 0, 0, 0, 0, 0],
    )?;
    if pid == 0 {
        let _ = call(libc::SYS_exit_group, none());
    }
    Ok(())
}

pub(super) fn map(protection: libc::c_int, octets: usize) -> Result<usize, i32> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let flags = flags.unsigned_abs() as usize;
    let protection = protection.unsigned_abs() as usize;
    call(
        libc::SYS_mmap,
        [0, octets, protection, flags, usize::MAX, 0],
    )
}

pub(super) fn raise_limit() -> Went {
    let old = rustix::process::getrlimit(rustix::process::Resource::Nproc);
    let new = libc::rlimit64 {
        rlim_cur: 1 << 20,
        rlim_max: 1 << 20,
    };
    // Where it is not bounded yet there is nothing to raise: that it is not is what was to be shown.
    if old.maximum.is_none_or(|most| most >= 1 << 20) {
        return Ok(());
    }
    let resource = libc::RLIMIT_NPROC as usize;
    done(
        libc::SYS_prlimit64,
        [0, resource, &raw const new as usize, 0, 0, 0],
    )
}

/// More than a role has whose work has nothing to do with sessions.
const DESCRIPTORS: usize = 9000;

pub(super) fn many_descriptors() -> Went {
    for _ in 0..DESCRIPTORS {
        let duplicate = libc::F_DUPFD_CLOEXEC.unsigned_abs() as usize;
        call(libc::SYS_fcntl, [0, duplicate, 0, 0, 0, 0])?;
    }
    Ok(())
}

pub(super) fn unshare(flags: libc::c_int) -> Went {
    done(
        libc::SYS_unshare,
        [flags.unsigned_abs() as usize, 0, 0, 0, 0, 0],
    )
}

pub(super) fn become_id(number: libc::c_long, id: u32, arguments: usize) -> Went {
    let mut all = none();
    all[..arguments].fill(id as usize);
    done(number, all)
}

pub(super) fn foreign_memory(target: &Target) -> Went {
    let mut octet = [0_u8];
    let local = [libc::iovec {
        iov_base: octet.as_mut_ptr().cast(),
        iov_len: 1,
    }];
    let remote = [libc::iovec {
        iov_base: std::ptr::dangling_mut::<libc::c_void>(),
        iov_len: 1,
    }];
    let pid = target.pid.unsigned_abs() as usize;
    let (local, remote) = (local.as_ptr() as usize, remote.as_ptr() as usize);
    match done(libc::SYS_process_vm_readv, [pid, local, 1, remote, 1, 0]) {
        // We may look, there is just nothing at that address.
        Err(libc::EFAULT) => Ok(()),
        other => other,
    }
}

pub(super) fn proc_of(target: &Target) -> Went {
    let path = CString::new(format!("/proc/{}/mem", target.pid)).unwrap_or_default();
    open(path.as_ptr(), libc::O_RDONLY)
}

pub(super) fn pid(target: &Target) -> usize {
    target.pid.unsigned_abs() as usize
}

pub(super) fn mount() -> Went {
    done(
        libc::SYS_mount,
        [path(c"none"), path(c"/"), path(c"tmpfs"), 0, 0, 0],
    )
}

/// Without a signal: whether one would be let.
pub(super) fn kill(pid: i32) -> Went {
    done(libc::SYS_kill, [pid.unsigned_abs() as usize, 0, 0, 0, 0, 0])
}

/// These calls give the old id and no error: whether it is another now says the next.
pub(super) fn become_file_id(number: libc::c_long, id: u32) -> Went {
    let id = id as usize;
    call(number, [id, 0, 0, 0, 0, 0])?;
    let nobody = u32::MAX as usize;
    if call(number, [nobody, 0, 0, 0, 0, 0])? == id {
        return Ok(());
    }
    Err(libc::EPERM)
}
