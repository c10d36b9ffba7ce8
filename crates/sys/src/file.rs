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

/// What a descriptor that came from elsewhere must be open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Reading, and nothing else.
    Reading,
    /// Writing.
    Writing,
}

/// The length of a descriptor that came from elsewhere, where it is a plain file and open for that. Anything else, such
/// as a pipe that never answers, is an error.
pub fn plain_file(file: &File, open_for: For) -> io::Result<u64> {
    use rustix::fs::{FileType, OFlags};
    let stat = rustix::fs::fstat(file)?;
    let mode = rustix::fs::fcntl_getfl(file)? & OFlags::ACCMODE;
    let right = match open_for {
        For::Reading => mode == OFlags::RDONLY,
        For::Writing => mode == OFlags::WRONLY || mode == OFlags::RDWR,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !right {
        return Err(io::Error::other(
            "a descriptor of another kind than was said",
        ));
    }
    u64::try_from(stat.st_size).map_err(io::Error::other)
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
    fn only_a_plain_file_that_is_open_for_it_is_taken() {
        let path = std::env::temp_dir().join(format!("ringmail-plain-{}", std::process::id()));
        std::fs::write(&path, b"abc").unwrap();
        let reader = File::open(&path).unwrap();
        let writer = File::options().write(true).open(&path).unwrap();
        assert_eq!(plain_file(&reader, For::Reading).unwrap(), 3);
        assert_eq!(plain_file(&writer, For::Writing).unwrap(), 3);
        assert!(plain_file(&reader, For::Writing).is_err());
        assert!(plain_file(&writer, For::Reading).is_err());
        let (pipe, _other) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        assert!(plain_file(&pipe, For::Reading).is_err());
        let folder = File::open(std::env::temp_dir()).unwrap();
        assert!(plain_file(&folder, For::Reading).is_err());
        std::fs::remove_file(&path).unwrap();
    }

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
