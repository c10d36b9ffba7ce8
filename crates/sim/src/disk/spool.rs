//! The disk as a spool's: alone, or shared with the mailboxes and with large bodies as real descriptors.

use super::{File, LyingDisk};
use queue::spool::{Disk, Folder};
use ringmail::drive::committer::Bodies;
use rustix::fs::{MemfdFlags, memfd_create};
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

fn folder_path(folder: Folder) -> &'static Path {
    Path::new(match folder {
        Folder::Segment => "/segment",
        Folder::Body => "/body",
        Folder::Aside => "/aside",
    })
}

fn path(folder: Folder, name: &str) -> PathBuf {
    folder_path(folder).join(name)
}

/// The disk alone: content of bodies is written by calls of [`Disk`].
impl Disk for LyingDisk {
    type File = File;

    fn list(&self, folder: Folder) -> Result<Vec<String>> {
        self.names_in(folder_path(folder))
    }

    fn create(&mut self, folder: Folder, name: &str) -> Result<File> {
        LyingDisk::create_file(self, &path(folder, name))
    }

    fn open(&self, folder: Folder, name: &str) -> Result<File> {
        LyingDisk::open_file(self, &path(folder, name))
    }

    fn len(&self, file: &File) -> Result<u64> {
        LyingDisk::file_octets(self, *file)
    }

    fn read_at(&self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize> {
        LyingDisk::read_file_at(self, *file, offset, into)
    }

    fn write_at(&mut self, file: &File, offset: u64, octets: &[u8]) -> Result<()> {
        LyingDisk::write_file_at(self, *file, offset, octets)
    }

    fn sync(&mut self, file: &File) -> Result<()> {
        LyingDisk::sync_file(self, *file)
    }

    fn sync_folder(&mut self, folder: Folder) -> Result<()> {
        LyingDisk::sync_names_in(self, folder_path(folder))
    }

    fn rename(&mut self, folder: Folder, from: &str, to: &str) -> Result<()> {
        LyingDisk::rename_file(self, &path(folder, from), &path(folder, to))
    }

    fn set_aside(&mut self, folder: Folder, name: &str, aside: &str) -> Result<()> {
        LyingDisk::rename_file(self, &path(folder, name), &path(Folder::Aside, aside))
    }

    fn remove(&mut self, folder: Folder, name: &str) -> Result<()> {
        LyingDisk::remove_file(self, &path(folder, name))
    }

    fn free_octets(&self) -> Result<u64> {
        Ok(self.room())
    }

    fn random(&mut self) -> u64 {
        self.rng.draw()
    }
}

/// One disk for all of a virtual machine.
#[derive(Clone)]
pub struct SharedDisk(Rc<RefCell<LyingDisk>>);

impl SharedDisk {
    /// Shares a disk.
    pub fn new(disk: LyingDisk) -> Self {
        Self(Rc::new(RefCell::new(disk)))
    }

    /// The disk itself, for as long as one call.
    pub fn borrow(&self) -> RefMut<'_, LyingDisk> {
        self.0.borrow_mut()
    }
}

/// The spool's view of a shared disk. A body that is being written or read is a descriptor too, as a process
/// would have it; what was written to it reaches the disk when it is synced, or at a power cut.
#[derive(Clone)]
pub struct SpoolDisk {
    disk: SharedDisk,
    written: Rc<RefCell<BTreeMap<File, OwnedFd>>>,
}

impl SpoolDisk {
    /// No descriptor is out yet.
    pub fn new(disk: SharedDisk) -> Self {
        Self {
            disk,
            written: Rc::default(),
        }
    }

    /// What was written to descriptors is on its way to the disk: before a power cut.
    pub fn flush(&self) {
        let files: Vec<File> = self.written.borrow().keys().copied().collect();
        for file in files {
            // A disk that is full keeps less of it.
            let _ = self.pull(file);
        }
    }

    /// Writes what a descriptor's owner wrote.
    fn pull(&self, file: File) -> Result<()> {
        let written = self.written.borrow();
        let Some(fd) = written.get(&file) else {
            return Ok(());
        };
        let octets = read_all(fd)?;
        let mut disk = self.disk.borrow();
        if disk.read_file(file)? == octets {
            return Ok(());
        }
        disk.write_file_at(file, 0, &octets)
    }
}

fn read_all(fd: &OwnedFd) -> Result<Vec<u8>> {
    let file = std::fs::File::from(fd.try_clone()?);
    let mut octets = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut octets, 0)?;
    Ok(octets)
}

impl Disk for SpoolDisk {
    type File = File;

    fn list(&self, folder: Folder) -> Result<Vec<String>> {
        self.disk.borrow().list(folder)
    }

    fn create(&mut self, folder: Folder, name: &str) -> Result<File> {
        self.disk.borrow().create(folder, name)
    }

    fn open(&self, folder: Folder, name: &str) -> Result<File> {
        self.disk.borrow().open(folder, name)
    }

    fn len(&self, file: &File) -> Result<u64> {
        match self.written.borrow().get(file) {
            Some(fd) => Ok(read_all(fd)?.len() as u64),
            None => self.disk.borrow().file_octets(*file),
        }
    }

    fn read_at(&self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.disk.borrow().read_file_at(*file, offset, into)
    }

    fn write_at(&mut self, file: &File, offset: u64, octets: &[u8]) -> Result<()> {
        self.disk.borrow().write_file_at(*file, offset, octets)
    }

    fn sync(&mut self, file: &File) -> Result<()> {
        self.pull(*file)?;
        self.disk.borrow().sync_file(*file)
    }

    fn sync_folder(&mut self, folder: Folder) -> Result<()> {
        self.disk.borrow().sync_folder(folder)
    }

    fn rename(&mut self, folder: Folder, from: &str, to: &str) -> Result<()> {
        self.disk.borrow().rename(folder, from, to)
    }

    fn set_aside(&mut self, folder: Folder, name: &str, aside: &str) -> Result<()> {
        self.disk.borrow().set_aside(folder, name, aside)
    }

    fn remove(&mut self, folder: Folder, name: &str) -> Result<()> {
        let mut disk = self.disk.borrow();
        if let Ok(file) = disk.open(folder, name) {
            self.written.borrow_mut().remove(&file);
        }
        disk.remove(folder, name)
    }

    fn free_octets(&self) -> Result<u64> {
        Ok(self.disk.borrow().room())
    }

    fn random(&mut self) -> u64 {
        self.disk.borrow().random()
    }
}

impl Bodies for SpoolDisk {
    fn writer(&self, file: File) -> Result<OwnedFd> {
        let fd = memfd_create("body", MemfdFlags::CLOEXEC)?;
        let theirs = fd.try_clone()?;
        self.written.borrow_mut().insert(file, fd);
        Ok(theirs)
    }

    fn reader(&self, name: &str) -> Result<OwnedFd> {
        let file = self.open(Folder::Body, name)?;
        let octets = match self.written.borrow().get(&file) {
            Some(fd) => read_all(fd)?,
            None => self.disk.borrow().read_file(file)?,
        };
        let fd = memfd_create("body", MemfdFlags::CLOEXEC)?;
        std::fs::File::from(fd.try_clone()?).write_all_at(&octets, 0)?;
        // Its own place in the file, and no right to write.
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        std::fs::File::open(path).map(OwnedFd::from)
    }

    fn is_settled(&self, name: &str) -> Result<bool> {
        let file = self.open(Folder::Body, name)?;
        // Who wrote it keeps no descriptor in a virtual machine; what the kernel says of one is tested in `sys`.
        match self.written.borrow().get(&file) {
            Some(_) => Ok(true),
            None => Err(ErrorKind::NotFound.into()),
        }
    }
}
