//! A disk that does the worst it may: what was not synced is lost at a power cut, or kept in part and in any
//! order. It holds a tree of folders; [`LyingDisk`] as a spool's [`Disk`] and a [`SharedDisk`] as a mailbox
//! folder's [`Files`](ringmail::drive::maildir::Files) see the same one.

mod mailboxes;
mod spool;

pub use spool::{SharedDisk, SpoolDisk};

use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// The most that a disk writes whole or not at all.
pub const SECTOR_OCTETS: usize = 512;

/// A spool's folders.
const FOLDERS: [&str; 3] = ["segment", "body", "aside"];

/// What the disk does worse than it may, to prove that a harness notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// A sync of a file returns and makes nothing durable.
    pub ignore_sync: bool,
    /// A sync of a folder returns and makes nothing durable.
    pub ignore_sync_folder: bool,
}

/// An open file of a [`LyingDisk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File(u64);

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    seen: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(u64),
    Folder,
}

#[derive(Clone, Debug)]
enum Change {
    Made(String, Node),
    Removed(String),
}

type Names = BTreeMap<String, Node>;

#[derive(Clone, Debug, Default)]
struct FolderNames {
    durable: Names,
    seen: Names,
    unsynced: Vec<Change>,
}

/// A disk in memory. A clone is another disk of the same state.
#[derive(Clone, Debug)]
pub struct LyingDisk {
    inodes: BTreeMap<u64, Inode>,
    folders: BTreeMap<PathBuf, FolderNames>,
    next_inode: u64,
    rng: Rng,
    calls: u64,
    faults: BTreeMap<u64, ErrorKind>,
    cut_at: Option<u64>,
    room: u64,
    lies: Lies,
}

impl LyingDisk {
    /// A disk with room for this many octets; it holds a spool's empty folders, durably.
    pub fn new(seed: u64, room: u64) -> Self {
        let names: Names = FOLDERS
            .map(|name| (name.to_owned(), Node::Folder))
            .into_iter()
            .collect();
        let top = FolderNames {
            durable: names.clone(),
            seen: names,
            unsynced: Vec::new(),
        };
        let mut folders = BTreeMap::from([(PathBuf::from("/"), top)]);
        folders.extend(FOLDERS.map(|name| (Path::new("/").join(name), FolderNames::default())));
        Self {
            inodes: BTreeMap::new(),
            folders,
            next_inode: 0,
            rng: Rng::new(seed),
            calls: 0,
            faults: BTreeMap::new(),
            cut_at: None,
            room,
            lies: Lies::default(),
        }
    }

    /// Lies from now on.
    pub fn lie(&mut self, lies: Lies) {
        self.lies = lies;
    }

    /// Calls so far that change something or make it durable.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Octets that can still be written.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// From now on this many octets can be written.
    pub fn set_room(&mut self, room: u64) {
        self.room = room;
    }

    /// Lets the call of this number, as [`LyingDisk::calls`] counts from 0, fail. A write is done in part, a sync loses
    /// part of what it should have made durable, although it can still be read.
    pub fn fail(&mut self, call: u64, kind: ErrorKind) {
        self.faults.insert(call, kind);
    }

    /// The power goes with the call of this number: it is done in part, and from then on nothing is done.
    pub fn cut_power_at(&mut self, call: u64) {
        self.cut_at = Some(call);
    }

    /// Whether the power went.
    pub fn is_cut(&self) -> bool {
        self.cut_at.is_some_and(|at| self.calls > at)
    }

    /// Forgets the calls that were to fail.
    pub fn mend(&mut self) {
        self.faults.clear();
    }

    /// Flips one bit of a file where it lies, as rot does.
    pub fn rot(&mut self, file: File, bit: usize) {
        let Some(inode) = self.inodes.get_mut(&file.0) else {
            return;
        };
        for octets in [&mut inode.durable, &mut inode.seen] {
            if let Some(octet) = octets.get_mut(bit / 8) {
                *octet ^= 1 << (bit % 8);
            }
        }
    }

    /// Cuts the power: of what was not synced an arbitrary part is kept. Open files stay valid, faults are forgotten.
    pub fn crash(&mut self, rng: &mut Rng) {
        for inode in self.inodes.values_mut() {
            inode.lose(rng);
            inode.seen.clone_from(&inode.durable);
        }
        for names in self.folders.values_mut() {
            for change in std::mem::take(&mut names.unsynced) {
                if rng.coin() {
                    change.apply(&mut names.durable);
                }
            }
            names.seen.clone_from(&names.durable);
        }
        self.forget_unreachable();
        self.faults.clear();
        self.cut_at = None;
    }

    /// Forgets files that no name leads to, when nobody has one open: clones are cheaper then.
    pub fn forget_nameless(&mut self) {
        let folders = self.folders.values();
        let names = folders.flat_map(|names| names.durable.values().chain(names.seen.values()));
        let reached: BTreeSet<u64> = names
            .filter_map(|node| match node {
                Node::File(number) => Some(*number),
                Node::Folder => None,
            })
            .collect();
        self.inodes.retain(|number, _| reached.contains(number));
    }

    /// A folder whose own name was lost is gone with all that was in it; so is a file that no folder names.
    fn forget_unreachable(&mut self) {
        let folders = std::mem::take(&mut self.folders);
        for (path, names) in folders {
            let reachable = match (path.parent(), name_of(&path)) {
                (Some(parent), Ok(name)) => {
                    self.folders
                        .get(parent)
                        .and_then(|names| names.durable.get(name))
                        == Some(&Node::Folder)
                }
                _ => true,
            };
            if reachable {
                self.folders.insert(path, names);
            }
        }
    }

    /// Counts a call, and fails it if it is to fail.
    fn call(&mut self) -> Result<()> {
        let fault = self.faults.get(&self.calls).copied();
        self.calls += 1;
        if self.cut_at.is_some_and(|at| self.calls > at) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        fault.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Whether the power is gone already, so that not even a part of a call is done.
    fn is_dark(&self) -> bool {
        self.cut_at.is_some_and(|at| self.calls > at + 1)
    }

    fn inode(&mut self, file: File) -> Result<&mut Inode> {
        self.inodes.get_mut(&file.0).ok_or_else(missing)
    }

    fn folder(&mut self, path: &Path) -> Result<&mut FolderNames> {
        self.folders.get_mut(path).ok_or_else(missing)
    }

    /// Whether there is such a folder.
    pub fn is_folder(&self, path: &Path) -> bool {
        self.folders.contains_key(path)
    }

    /// The names in a folder.
    pub fn names_in(&self, path: &Path) -> Result<Vec<String>> {
        let names = self.folders.get(path).ok_or_else(missing)?;
        Ok(names.seen.keys().cloned().collect())
    }

    /// Makes one folder.
    pub fn make_folder(&mut self, path: &Path) -> Result<()> {
        self.call()?;
        self.add_name(path, Node::Folder)?;
        self.folders.insert(path.to_owned(), FolderNames::default());
        Ok(())
    }

    /// Makes a file that is not there yet.
    pub fn create_file(&mut self, path: &Path) -> Result<File> {
        self.call()?;
        let number = self.next_inode;
        self.add_name(path, Node::File(number))?;
        self.next_inode += 1;
        self.inodes.insert(number, Inode::default());
        Ok(File(number))
    }

    fn add_name(&mut self, path: &Path, node: Node) -> Result<()> {
        let name = name_of(path)?.to_owned();
        let names = self.folder(path.parent().ok_or_else(missing)?)?;
        if names.seen.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        names.change(Change::Made(name, node));
        Ok(())
    }

    /// Opens a file.
    pub fn open_file(&self, path: &Path) -> Result<File> {
        let parent = path.parent().ok_or_else(missing)?;
        let names = self.folders.get(parent).ok_or_else(missing)?;
        match names.seen.get(name_of(path)?) {
            Some(Node::File(number)) => Ok(File(*number)),
            _ => Err(missing()),
        }
    }

    /// A file's length in octets.
    pub fn file_octets(&self, file: File) -> Result<u64> {
        Ok(self.inodes.get(&file.0).ok_or_else(missing)?.seen.len() as u64)
    }

    /// Reads from a place.
    pub fn read_file_at(&self, file: File, offset: u64, into: &mut [u8]) -> Result<usize> {
        let seen = &self.inodes.get(&file.0).ok_or_else(missing)?.seen;
        let rest = seen.get(place(offset)?..).unwrap_or_default();
        let octets = rest.len().min(into.len());
        into[..octets].copy_from_slice(&rest[..octets]);
        Ok(octets)
    }

    /// A file's octets.
    pub fn read_file(&self, file: File) -> Result<Vec<u8>> {
        Ok(self.inodes.get(&file.0).ok_or_else(missing)?.seen.clone())
    }

    /// Writes at a place.
    pub fn write_file_at(&mut self, file: File, offset: u64, octets: &[u8]) -> Result<()> {
        let failed = self.call();
        if self.is_dark() {
            return failed;
        }
        let offset = place(offset)?;
        let length = self.inode(file)?.seen.len();
        let end = offset
            .checked_add(octets.len())
            .ok_or(ErrorKind::FileTooLarge)?;
        let grown = end.saturating_sub(length) as u64;
        if grown > self.room {
            return Err(ErrorKind::StorageFull.into());
        }
        let done = if failed.is_err() {
            self.rng.below(octets.len() as u64)
        } else {
            octets.len() as u64
        };
        let octets = &octets[..place(done)?];
        let inode = self.inode(file)?;
        put(&mut inode.seen, offset, octets);
        inode.unsynced.push((offset, octets.to_vec()));
        let grown = (inode.seen.len() - length) as u64;
        self.room -= grown;
        failed
    }

    /// Makes all that was written to a file durable.
    pub fn sync_file(&mut self, file: File) -> Result<()> {
        let failed = self.call();
        if self.lies.ignore_sync || self.is_dark() {
            return failed;
        }
        let mut rng = self.rng.clone();
        self.rng.draw();
        let cut = self.is_cut();
        let inode = self.inode(file)?;
        if failed.is_err() {
            inode.lose(&mut rng);
        }
        if !cut {
            for (offset, octets) in inode.unsynced.drain(..) {
                put(&mut inode.durable, offset, &octets);
            }
        }
        failed
    }

    /// Makes a folder's entries durable.
    pub fn sync_names_in(&mut self, path: &Path) -> Result<()> {
        self.call()?;
        if self.lies.ignore_sync_folder {
            return Ok(());
        }
        let names = self.folder(path)?;
        for change in names.unsynced.drain(..) {
            change.apply(&mut names.durable);
        }
        Ok(())
    }

    /// Gives a file another name. The two folders' entries become durable each with its own sync.
    pub fn rename_file(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.call()?;
        let File(number) = self.open_file(from)?;
        let (old, new) = (name_of(from)?.to_owned(), name_of(to)?.to_owned());
        let (from, to) = (from.parent(), to.parent());
        self.folder(to.ok_or_else(missing)?)?
            .change(Change::Made(new, Node::File(number)));
        self.folder(from.ok_or_else(missing)?)?
            .change(Change::Removed(old));
        Ok(())
    }

    /// Removes a file.
    pub fn remove_file(&mut self, path: &Path) -> Result<()> {
        self.call()?;
        self.open_file(path)?;
        let name = name_of(path)?.to_owned();
        self.folder(path.parent().ok_or_else(missing)?)?
            .change(Change::Removed(name));
        Ok(())
    }
}

impl Inode {
    /// Makes an arbitrary part of what is not synced durable, sector by sector, and forgets the rest.
    fn lose(&mut self, rng: &mut Rng) {
        let mut unsynced = std::mem::take(&mut self.unsynced);
        while !unsynced.is_empty() {
            let chosen = usize::try_from(rng.below(unsynced.len() as u64)).unwrap_or(0);
            let (mut offset, octets) = unsynced.swap_remove(chosen);
            let mut rest = &octets[..];
            while !rest.is_empty() {
                let (sector, after) =
                    rest.split_at(rest.len().min(SECTOR_OCTETS - offset % SECTOR_OCTETS));
                if rng.coin() {
                    put(&mut self.durable, offset, sector);
                }
                offset += sector.len();
                rest = after;
            }
        }
    }
}

impl Change {
    fn apply(self, names: &mut Names) {
        match self {
            Change::Made(name, node) => {
                names.insert(name, node);
            }
            Change::Removed(name) => {
                names.remove(&name);
            }
        }
    }
}

impl FolderNames {
    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.seen);
        self.unsynced.push(change);
    }
}

fn put(file: &mut Vec<u8>, offset: usize, octets: &[u8]) {
    let end = offset + octets.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(octets);
}

fn missing() -> Error {
    ErrorKind::NotFound.into()
}

fn name_of(path: &Path) -> Result<&str> {
    path.file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(missing)
}

fn place(offset: u64) -> Result<usize> {
    usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge.into())
}
