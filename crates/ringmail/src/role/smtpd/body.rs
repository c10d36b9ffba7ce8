//! A large body on its way into the file that queue made for it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

/// One that is being written.
pub(super) struct Writing {
    pub(super) number: u64,
    /// `None` when no more is written: queue looks at it, and nobody may be able to write then; or no file
    /// could be had.
    file: Option<File>,
    octets: u64,
    checksum: u32,
    /// Writing failed: the rest is thrown away and the message refused.
    failed: bool,
}

impl Writing {
    /// Into this file of queue's.
    pub(super) fn into_file(number: u64, file: OwnedFd) -> Self {
        let file = File::from(file);
        let empty = sys::file::plain_file(&file, sys::file::For::Writing).ok() == Some(0);
        Self {
            number,
            file: empty.then_some(file),
            octets: 0,
            checksum: 0,
            failed: !empty,
        }
    }

    /// Of a message that cannot be kept, because no file could be had.
    pub(super) fn lost() -> Self {
        Self {
            number: u64::MAX,
            file: None,
            octets: 0,
            checksum: 0,
            failed: true,
        }
    }

    pub(super) fn write(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, octets);
        // The page cache takes it; the spool syncs it before it is accepted.
        let written = self.file.as_mut().map(|file| file.write_all(octets));
        self.failed |= !matches!(written, Some(Ok(())));
    }

    /// Closes the file; what was written, if all of it was.
    pub(super) fn close(&mut self) -> Option<queue::Body> {
        self.file = None;
        (!self.failed).then_some(queue::Body {
            number: self.number,
            octets: self.octets,
            checksum: self.checksum,
        })
    }
}
