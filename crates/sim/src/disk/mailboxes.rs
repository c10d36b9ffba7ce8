//! The disk as a mailbox folder's.

use super::{File, SharedDisk};
use ringmail::drive::maildir::Files;
use std::io::{Result, Write};
use std::path::Path;

/// A mailbox file that is being written.
pub struct Writing {
    disk: SharedDisk,
    file: File,
    octets: u64,
}

impl Write for Writing {
    fn write(&mut self, octets: &[u8]) -> Result<usize> {
        self.disk
            .borrow()
            .write_file_at(self.file, self.octets, octets)?;
        self.octets += octets.len() as u64;
        Ok(octets.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Files for SharedDisk {
    type File = Writing;

    fn is_folder(&self, path: &Path) -> bool {
        self.borrow().is_folder(path)
    }

    fn make_folder(&self, path: &Path) -> Result<()> {
        self.borrow().make_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> Result<()> {
        self.borrow().sync_names_in(path)
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>> {
        self.borrow().names_in(folder)
    }

    fn exists(&self, path: &Path) -> bool {
        self.is_folder(path) || self.borrow().open_file(path).is_ok()
    }

    fn create(&self, path: &Path) -> Result<Writing> {
        let file = self.borrow().create_file(path)?;
        Ok(Writing {
            disk: self.clone(),
            file,
            octets: 0,
        })
    }

    fn sync(&self, file: &Writing) -> Result<()> {
        self.borrow().sync_file(file.file)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.borrow().rename_file(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.borrow().remove_file(path)
    }
}
