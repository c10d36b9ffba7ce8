//! A disk that nothing is changed on: the spool as a start would find it, for whoever only wants to know.

use super::disk::{Disk, Folder};
use std::io;

/// Reads come from the disk below; what would change it is not done. Making a file is refused, for there would be one
/// to write to.
#[derive(Debug)]
pub struct Untouched<D>(pub(super) D);

impl<D> Untouched<D> {
    /// The disk below.
    pub fn into_inner(self) -> D {
        self.0
    }
}

impl<D: Disk> Disk for Untouched<D> {
    type File = D::File;

    fn list(&self, folder: Folder) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }

    fn create(&mut self, _: Folder, _: &str) -> io::Result<D::File> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, folder: Folder, name: &str) -> io::Result<D::File> {
        self.0.open(folder, name)
    }

    fn len(&self, file: &D::File) -> io::Result<u64> {
        self.0.len(file)
    }

    fn read_at(&self, file: &D::File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(file, offset, into)
    }

    fn write_at(&mut self, _: &D::File, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self, _: &D::File) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&mut self, _: Folder) -> io::Result<()> {
        Ok(())
    }

    fn rename(&mut self, _: Folder, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn set_aside(&mut self, _: Folder, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: Folder, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn free_octets(&self) -> io::Result<u64> {
        self.0.free_octets()
    }

    fn random(&mut self) -> u64 {
        self.0.random()
    }
}
