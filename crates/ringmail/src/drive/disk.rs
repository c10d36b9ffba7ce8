//! The real disk: the spool's folders, by plain file calls.

use super::committer::Bodies;
use super::folders;
use queue::spool::{Disk, Folder};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The spool's folder, locked for this process.
pub struct RealDisk {
    folder: PathBuf,
    /// Holds the lock; closed, and so released, with the disk.
    lock: File,
}

const FOLDERS: [Folder; 3] = [Folder::Segment, Folder::Body, Folder::Aside];

const fn name(folder: Folder) -> &'static str {
    match folder {
        Folder::Segment => "segment",
        Folder::Body => "body",
        Folder::Aside => "aside",
    }
}

impl RealDisk {
    /// Opens the spool, making what is missing, and locks it. `None`: another process has it.
    pub fn open(folder: &Path) -> io::Result<Option<Self>> {
        folders::make(folder)?;
        let Some(disk) = Self::open_existing(folder)? else {
            return Ok(None);
        };
        for sub in FOLDERS {
            folders::make(&folder.join(name(sub)))?;
        }
        Ok(Some(disk))
    }

    /// Opens and locks a spool that is there, and makes nothing. `None`: another process has it.
    pub fn open_existing(folder: &Path) -> io::Result<Option<Self>> {
        let lock = File::open(folder)?;
        if !sys::file::try_lock(&lock)? {
            return Ok(None);
        }
        Ok(Some(Self {
            folder: folder.to_owned(),
            lock,
        }))
    }

    fn path(&self, folder: Folder, file: &str) -> PathBuf {
        self.folder.join(name(folder)).join(file)
    }
}

impl Disk for RealDisk {
    type File = File;

    fn list(&self, folder: Folder) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder.join(name(folder)))? {
            // A name that is no UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&mut self, folder: Folder, file: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(self.path(folder, file))
    }

    fn open(&self, folder: Folder, file: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(libc_o_nofollow());
        options.open(self.path(folder, file))
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read_at(&self, file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        file.read_at(into, offset)
    }

    fn write_at(&mut self, file: &File, offset: u64, octets: &[u8]) -> io::Result<()> {
        file.write_all_at(octets, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        // fdatasync(2): also writes the length, where it changed.
        file.sync_data()
    }

    fn sync_folder(&mut self, folder: Folder) -> io::Result<()> {
        File::open(self.folder.join(name(folder)))?.sync_all()
    }

    fn rename(&mut self, folder: Folder, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(folder, from), self.path(folder, to))
    }

    fn set_aside(&mut self, folder: Folder, file: &str, aside: &str) -> io::Result<()> {
        fs::rename(self.path(folder, file), self.path(Folder::Aside, aside))
    }

    fn remove(&mut self, folder: Folder, file: &str) -> io::Result<()> {
        fs::remove_file(self.path(folder, file))
    }

    fn free_octets(&self) -> io::Result<u64> {
        sys::file::free_octets(&self.lock)
    }

    fn random(&mut self) -> u64 {
        sys::file::random()
    }
}

impl Bodies for RealDisk {
    fn writer(&self, file: File) -> io::Result<OwnedFd> {
        Ok(file.into())
    }

    fn reader(&self, name: &str) -> io::Result<OwnedFd> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc_o_nofollow());
        Ok(options.open(self.path(Folder::Body, name))?.into())
    }

    fn is_settled(&self, name: &str) -> io::Result<bool> {
        sys::file::has_no_writer(self.reader(name)?.as_fd())
    }
}

/// Symbolic links are not followed: nobody but us may make one here, and we make none.
fn libc_o_nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}
