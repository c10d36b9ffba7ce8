//! Who a process is: its user, its group, and the few rights that one of ours keeps when it gives root up. All of it
//! is for good.

use crate::sandbox;
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::io;

/// A user and its group, neither of them root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user.
    pub uid: u32,
    /// Its only group.
    pub gid: u32,
}

/// Whether we are root and can become others. Who is root in a user namespace where nobody else is, as in a container
/// that a plain user started, is that plain user.
pub fn is_root() -> bool {
    let others = std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| {
        let length = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
        map.lines().filter_map(length).sum::<u64>() > 1
    });
    rustix::process::geteuid().is_root() && others
}

/// Becomes this user for good: no supplementary group, real, effective and saved ids, and no capability. The process
/// has one thread. Root's ids are refused. Only system calls: it may be called between fork and exec.
pub fn become_user(ids: Ids) -> io::Result<()> {
    // First: the right to do it goes with root.
    sandbox::drop_bounding_set_but(CapabilitySet::empty())?;
    set_ids(ids)?;
    sandbox::drop_capabilities()
}

/// Becomes this user for good and keeps the rights to start others as other users, to end them, and nothing else:
/// `CAP_SETUID`, `CAP_SETGID`, `CAP_SETPCAP`, `CAP_KILL`. Root's ids cannot be taken again: a filter refuses them.
pub fn become_launcher(ids: Ids) -> io::Result<()> {
    let kept = CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SETPCAP
        | CapabilitySet::KILL;
    rustix::thread::set_keep_capabilities(true)?;
    sandbox::drop_bounding_set_but(kept)?;
    set_ids(ids)?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    rustix::thread::set_keep_capabilities(false)?;
    sandbox::no_new_privileges()?;
    sandbox::calls::refuse_root()
}

fn set_ids(Ids { uid, gid }: Ids) -> io::Result<()> {
    if uid == 0 || gid == 0 || uid == u32::MAX || gid == u32::MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: these calls take numbers, and a null pointer with the length 0; the C library's own, for they reach
    // every thread.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(gid, gid, gid))?;
        check(libc::setresuid(uid, uid, uid))
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
