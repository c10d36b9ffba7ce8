//! The only way out: what the spool asks of a disk. A real one does it, a lying one forgets.

use std::io;

/// The spool's folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// Segments of the log.
    Segment,
    /// Large bodies.
    Body,
    /// Copies of what was cut off or is damaged.
    Aside,
}

/// What the spool asks of a disk.
pub trait Disk {
    /// An open file.
    type File;
    /// The names in a folder.
    fn list(&self, folder: Folder) -> io::Result<Vec<String>>;
    /// Makes a file that is not there yet, for reading and writing.
    fn create(&mut self, folder: Folder, name: &str) -> io::Result<Self::File>;
    /// Opens a file for reading and writing.
    fn open(&self, folder: Folder, name: &str) -> io::Result<Self::File>;
    /// A file's length in octets.
    fn len(&self, file: &Self::File) -> io::Result<u64>;
    /// Reads from a place; fewer octets than asked for only at the end.
    fn read_at(&self, file: &Self::File, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes all octets at a place, or fails.
    fn write_at(&mut self, file: &Self::File, offset: u64, octets: &[u8]) -> io::Result<()>;
    /// Makes all that was written to a file durable, and its length.
    fn sync(&mut self, file: &Self::File) -> io::Result<()>;
    /// Makes a folder's entries durable.
    fn sync_folder(&mut self, folder: Folder) -> io::Result<()>;
    /// Gives a file another name.
    fn rename(&mut self, folder: Folder, from: &str, to: &str) -> io::Result<()>;
    /// Moves a file into [`Folder::Aside`], under another name.
    fn set_aside(&mut self, folder: Folder, name: &str, aside: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&mut self, folder: Folder, name: &str) -> io::Result<()>;
    /// Octets that can still be written.
    fn free_octets(&self) -> io::Result<u64>;
    /// A number that nobody can guess.
    fn random(&mut self) -> u64;
}
