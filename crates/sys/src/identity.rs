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

/// The rights that it takes to start others as other users. To end them needs none: who may become their user may do
/// what that user may.
const LAUNCHING: CapabilitySet = CapabilitySet::SETUID
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP);

/// What this process may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may become other users: root, or a user that was given the rights for it.
    Launcher,
    /// It is root and may not become anybody else, so that it could not give root up.
    StuckRoot,
    /// It is a plain user. So is who is root in a user namespace where nobody else is, as in a container that a plain
    /// user started.
    Plain,
}

/// What this process may be.
pub fn standing() -> io::Result<Standing> {
    let map = std::fs::read_to_string("/proc/self/uid_map")?;
    let length = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    if map.lines().filter_map(length).sum::<u64>() <= 1 {
        return Ok(Standing::Plain);
    }
    let may = rustix::thread::capabilities(None)?.effective;
    Ok(if may.contains(LAUNCHING) {
        Standing::Launcher
    } else if rustix::process::geteuid().is_root() {
        Standing::StuckRoot
    } else {
        Standing::Plain
    })
}

/// Whether we are root, and not in a place where nobody else is.
pub fn is_root() -> bool {
    let plain = standing().is_ok_and(|standing| standing == Standing::Plain);
    rustix::process::geteuid().is_root() && !plain
}

/// Becomes this user for good: no supplementary group, real, effective and saved ids, and no capability. The process
/// has one thread. Root's ids are refused. Only system calls: it may be called between fork and exec.
pub fn become_user(ids: Ids) -> io::Result<()> {
    // First: the right to do it goes with root.
    sandbox::drop_bounding_set_but(CapabilitySet::empty())?;
    set_ids(ids)?;
    sandbox::drop_capabilities()
}

/// Becomes this user for good and keeps the rights to start others as other users, and nothing else: `CAP_SETUID`,
/// `CAP_SETGID`, `CAP_SETPCAP`. Root's ids cannot be taken again: a filter refuses them.
pub fn become_launcher(ids: Ids) -> io::Result<()> {
    let kept = LAUNCHING;
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

/// Between fork and exec: the program that is executed has the rights to become another user too.
pub(crate) fn bequeath_rights() -> io::Result<()> {
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: LAUNCHING,
            permitted: LAUNCHING,
            inheritable: LAUNCHING,
        },
    )?;
    for right in LAUNCHING.iter() {
        rustix::thread::configure_capability_in_ambient_set(right, true)?;
    }
    Ok(())
}

/// Ends a process of this user at once, as that user: for so long this process is he by its effective id alone, so that he
/// may not signal it meanwhile. The process has one thread and may become others.
pub fn kill_as(ids: Ids, pid: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    let ourselves = rustix::process::geteuid().as_raw();
    // SAFETY: these calls take numbers. -1 leaves an id as it is.
    unsafe {
        check(libc::setresuid(libc::uid_t::MAX, ids.uid, libc::uid_t::MAX))?;
        let killed = check(libc::kill(pid, libc::SIGKILL));
        // Who could not be himself again must not go on as another.
        if libc::setresuid(libc::uid_t::MAX, ourselves, libc::uid_t::MAX) != 0 {
            libc::abort();
        }
        killed
    }
}

/// Does something as this user, then is who it was again: for what is made in folders that are others'. The process
/// has one thread and may become others.
pub fn as_user<T>(ids: Ids, what: impl FnOnce() -> T) -> io::Result<T> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: these calls take numbers only.
    unsafe {
        check(libc::setegid(ids.gid))?;
        check(libc::seteuid(ids.uid))?;
    }
    let done = what();
    // SAFETY: as above.
    unsafe {
        check(libc::seteuid(uid.as_raw()))?;
        check(libc::setegid(gid.as_raw()))?;
    }
    Ok(done)
}

impl Ids {
    /// Whether they are anybody's but root's.
    pub(crate) fn are_usable(self) -> io::Result<()> {
        let Self { uid, gid } = self;
        if uid == 0 || gid == 0 || uid == u32::MAX || gid == u32::MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(())
    }
}

fn set_ids(ids: Ids) -> io::Result<()> {
    ids.are_usable()?;
    let Ids { uid, gid } = ids;
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
