//! Files: what std does not offer.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Takes an exclusive lock on an open file or folder, held until it is closed; false when another
/// process holds it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether nobody has this regular file open for writing: a read lease is granted only then, and is
/// given back at once (`F_SETLEASE`, fcntl(2)). `file` must itself be open for reading only.
pub fn has_no_writer(file: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: F_SETLEASE takes an integer and touches no memory of ours; the descriptor is borrowed
    // and stays open for the call.
    let granted = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    if granted == 0 {
        // SAFETY: as above.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EAGAIN) {
        Ok(false)
    } else {
        Err(error)
    }
}

/// Octets that a user without privilege may still write to the file system that holds `file`.
pub fn free_octets(file: &File) -> io::Result<u64> {
    let stat = rustix::fs::fstatvfs(file)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A number that nobody can guess, from the kernel.
pub fn random() -> u64 {
    u64::from_le_bytes(random_octets())
}

/// Octets that nobody can guess, from the kernel.
pub fn random_octets<const OCTETS: usize>() -> [u8; OCTETS] {
    let mut octets = [0u8; OCTETS];
    let mut filled = 0;
    while filled < octets.len() {
        // Blocks only while the kernel boots; an interrupted call is made again.
        match rustix::rand::getrandom(&mut octets[filled..], rustix::rand::GetRandomFlags::empty())
        {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random octets: {error}"),
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_writer_is_seen_and_its_end_too() {
        let path = std::env::temp_dir().join(format!("ringmail-lease-{}", std::process::id()));
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(!has_no_writer(reader.as_fd()).unwrap());
        drop(writer);
        assert!(has_no_writer(reader.as_fd()).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
