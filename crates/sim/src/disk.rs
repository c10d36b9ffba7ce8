//! A disk that does the worst it may: what was not synced is lost at a power cut, or kept in part and in any order.

use crate::rng::Rng;
use queue::spool::{Disk, Folder};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};

/// The most that a disk writes whole or not at all.
pub const SECTOR_OCTETS: usize = 512;

/// What the disk does worse than it may, to prove that a harness notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// `sync` returns and makes nothing durable.
    pub ignore_sync: bool,
    /// `sync_folder` returns and makes nothing durable.
    pub ignore_sync_folder: bool,
}

/// An open file of a [`LyingDisk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File(u64);

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    seen: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Change {
    Made(String, u64),
    Renamed(String, String),
    Removed(String),
}

type Names = BTreeMap<String, u64>;

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
    folders: BTreeMap<Folder, FolderNames>,
    rng: Rng,
    calls: u64,
    faults: BTreeMap<u64, ErrorKind>,
    room: u64,
    lies: Lies,
}

impl LyingDisk {
    /// An empty disk with room for this many octets.
    pub fn new(seed: u64, room: u64) -> Self {
        Self {
            inodes: BTreeMap::new(),
            folders: BTreeMap::new(),
            rng: Rng::new(seed),
            calls: 0,
            faults: BTreeMap::new(),
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

    /// Lets the call of this number, as [`LyingDisk::calls`] counts from 0, fail. A write is done in part, a sync loses
    /// part of what it should have made durable, although it can still be read.
    pub fn fail(&mut self, call: u64, kind: ErrorKind) {
        self.faults.insert(call, kind);
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
        self.faults.clear();
    }

    fn call(&mut self) -> Result<()> {
        let fault = self.faults.get(&self.calls).copied();
        self.calls += 1;
        fault.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn inode(&mut self, file: File) -> Result<&mut Inode> {
        self.inodes.get_mut(&file.0).ok_or_else(missing)
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
            Change::Made(name, inode) => {
                names.insert(name, inode);
            }
            Change::Renamed(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
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

fn place(offset: u64) -> Result<usize> {
    usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge.into())
}

impl Disk for LyingDisk {
    type File = File;

    fn list(&self, folder: Folder) -> Result<Vec<String>> {
        let names = self.folders.get(&folder);
        Ok(names
            .map(|names| names.seen.keys().cloned().collect())
            .unwrap_or_default())
    }

    fn create(&mut self, folder: Folder, name: &str) -> Result<File> {
        self.call()?;
        let names = self.folders.entry(folder).or_default();
        if names.seen.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let number = self.inodes.len() as u64;
        self.inodes.insert(number, Inode::default());
        names.change(Change::Made(name.to_owned(), number));
        Ok(File(number))
    }

    fn open(&self, folder: Folder, name: &str) -> Result<File> {
        let names = self.folders.get(&folder).ok_or_else(missing)?;
        names
            .seen
            .get(name)
            .map(|&number| File(number))
            .ok_or_else(missing)
    }

    fn len(&self, file: &File) -> Result<u64> {
        Ok(self.inodes.get(&file.0).ok_or_else(missing)?.seen.len() as u64)
    }

    fn read_at(&self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize> {
        let seen = &self.inodes.get(&file.0).ok_or_else(missing)?.seen;
        let rest = seen.get(place(offset)?..).unwrap_or_default();
        let octets = rest.len().min(into.len());
        into[..octets].copy_from_slice(&rest[..octets]);
        Ok(octets)
    }

    fn write_at(&mut self, file: &File, offset: u64, octets: &[u8]) -> Result<()> {
        let failed = self.call();
        let offset = place(offset)?;
        let length = self.inode(*file)?.seen.len();
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
        let inode = self.inode(*file)?;
        put(&mut inode.seen, offset, octets);
        inode.unsynced.push((offset, octets.to_vec()));
        let grown = (inode.seen.len() - length) as u64;
        self.room -= grown;
        failed
    }

    fn sync(&mut self, file: &File) -> Result<()> {
        let failed = self.call();
        if self.lies.ignore_sync {
            return failed;
        }
        let mut rng = self.rng.clone();
        self.rng.draw();
        let inode = self.inode(*file)?;
        if failed.is_err() {
            inode.lose(&mut rng);
        }
        for (offset, octets) in inode.unsynced.drain(..) {
            put(&mut inode.durable, offset, &octets);
        }
        failed
    }

    fn sync_folder(&mut self, folder: Folder) -> Result<()> {
        self.call()?;
        if self.lies.ignore_sync_folder {
            return Ok(());
        }
        let names = self.folders.entry(folder).or_default();
        for change in names.unsynced.drain(..) {
            change.apply(&mut names.durable);
        }
        Ok(())
    }

    fn rename(&mut self, folder: Folder, from: &str, to: &str) -> Result<()> {
        self.call()?;
        let names = self.folders.entry(folder).or_default();
        if !names.seen.contains_key(from) {
            return Err(missing());
        }
        names.change(Change::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&mut self, folder: Folder, name: &str) -> Result<()> {
        self.call()?;
        let names = self.folders.entry(folder).or_default();
        if !names.seen.contains_key(name) {
            return Err(missing());
        }
        names.change(Change::Removed(name.to_owned()));
        Ok(())
    }

    fn free_octets(&self) -> Result<u64> {
        Ok(self.room)
    }

    fn random(&mut self) -> u64 {
        self.rng.draw()
    }
}
