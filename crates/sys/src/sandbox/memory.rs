//! Memory that never goes to a disk: what a process has written to, and what it will.

use rustix::mm::{MlockAllFlags, MlockFlags, mlock_with, mlockall, munlockall};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::io;

/// Keeps all private memory of this process out of swap, from now on: what it can write to now, and all that it will have.
/// Files that are mapped for reading are on a disk anyway. Memory counts towards the limit as it is mapped; a process
/// that wants more than the limit has left is refused it.
pub fn lock_memory() -> io::Result<()> {
    let locked = mlockall(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(io::Error::from)
        .and_then(|()| lock_present());
    locked.map_err(|error| {
        // Half of it would make later memory scarce, and keep nothing secret. This cannot fail.
        let _ = munlockall();
        let most = getrlimit(Resource::Memlock).current;
        let most = most.map_or_else(
            || "unlimited".into(),
            |octets| format!("{} KiB", octets / 1024),
        );
        io::Error::new(
            error.kind(),
            format!("{error}; the limit of locked memory is {most}"),
        )
    })
}

fn lock_present() -> io::Result<()> {
    for line in fs::read_to_string("/proc/self/maps")?.lines() {
        let Some((start, end)) = private_and_writable(line) else {
            continue;
        };
        // SAFETY: the range is a mapping of ours, as the kernel has just said, and this thread is the only one; locking
        // changes nothing that a program can see.
        unsafe { mlock_with(start as *mut _, end - start, MlockFlags::ONFAULT)? };
    }
    Ok(())
}

/// The range of one line of `proc_pid_maps(5)`, where it is private and can be written to.
fn private_and_writable(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let rights = words.next()?.as_bytes();
    let is_it = rights.get(1) == Some(&b'w') && rights.get(3) == Some(&b'p');
    let address = |text| usize::from_str_radix(text, 16).ok();
    is_it.then_some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_are_read() {
        let line = "7f5e0a000000-7f5e0a021000 rw-p 00000000 00:00 0 [heap]";
        assert_eq!(
            private_and_writable(line),
            Some((0x7f5e_0a00_0000, 0x7f5e_0a02_1000))
        );
        for other in [
            "7f5e0a000000-7f5e0a021000 r--p 00000000 00:00 0",
            "7f5e0a000000-7f5e0a021000 rw-s 00000000 00:01 7 /memfd:x (deleted)",
            "nonsense",
            "",
        ] {
            assert_eq!(private_and_writable(other), None, "{other}");
        }
    }
}
