//! What the kernel takes away from a process for good: privileges, descriptors' number, files, the network, calls.
//! Each function here is one wall; who raises which, and in what order, is said elsewhere. A wall stands for the
//! thread that raises it and for those it starts later: raise them before the first thread, but for the filter of
//! system calls, which reaches all threads.

pub mod calls;
#[cfg(feature = "acts")]
mod container;
pub mod files;
mod memory;
mod names;
pub mod number;
pub mod spaces;

#[cfg(feature = "acts")]
pub use container::contain;
pub use memory::lock_memory;
pub use names::name_of;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::io;

/// The highest capability that is asked for in the bounding set; the kernel's own last one ends it sooner.
const CAPABILITIES_MAX: u32 = 64;

/// No program that is executed from here on gains privileges by its file's mode or capabilities.
pub fn no_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Nobody of the same uid can look into this process or stop it with ptrace, and its memory goes into no core
/// file.
pub fn hide() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    limit(Resource::Core, 0)
}

/// Files are made for their owner alone, whatever was inherited.
pub fn private_files() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Sets a limit, its maximum too; one that is lower already stays.
pub fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let old = rustix::process::getrlimit(resource);
    let most = old.maximum.map_or(most, |old| old.min(most));
    let current = old.current.map_or(most, |old| old.min(most));
    let new = Rlimit {
        current: Some(current),
        maximum: Some(most),
    };
    Ok(rustix::process::setrlimit(resource, new)?)
}

/// Gives every capability up: the bounding set as far as we are let, then ambient, inheritable, permitted and
/// effective ones.
pub fn drop_capabilities() -> io::Result<()> {
    drop_bounding_set_but(CapabilitySet::empty())?;
    // Kernels before 4.3 have no ambient set, and then nothing in it.
    let _ = rustix::thread::clear_ambient_capability_set();
    Ok(rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        },
    )?)
}

/// Empties the bounding set but for these, for which `CAP_SETPCAP` is needed; without it there is nothing in the other
/// sets that the bounding set would let through.
pub(crate) fn drop_bounding_set_but(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..CAPABILITIES_MAX {
        if kept.bits() & 1 << number != 0 {
            continue;
        }
        // SAFETY: prctl with this option takes a number and touches no memory.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        if dropped == 0 {
            continue;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // No such capability: that before it was the last. Or we are not let.
            Some(libc::EINVAL | libc::EPERM) => return Ok(()),
            _ => return Err(error),
        }
    }
    Ok(())
}

/// What can be limited, by name.
pub use rustix::process::Resource as Limited;

/// Whether standard output or error is a plain file, which a limit of file sizes would be a limit of too.
pub fn logs_to_a_file() -> bool {
    use rustix::fs::{FileType, fstat};
    let is_file = |stat: rustix::io::Result<rustix::fs::Stat>| {
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    };
    is_file(fstat(rustix::stdio::stdout())) || is_file(fstat(rustix::stdio::stderr()))
}
