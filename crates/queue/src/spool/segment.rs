//! Segment files: which are in use, which are free, and the one that is written.

use super::Options;
use super::disk::{Disk, Folder};
use super::format::{BLOCK, Head, Place, RECORD_HEADER, Record, RecordHeader, Use};
use std::collections::BTreeMap;
use std::io;

/// Zeros written at once when a segment is made.
const ZEROS: usize = 1024 * 1024;
/// Octets that nearly every record's head is shorter than, with its header: read at once.
const HEAD_READ: u64 = 1024;

/// A segment of the log.
pub struct Segment<F> {
    pub file: F,
    pub usage: Use,
}

/// A file that is being filled with zeros.
struct Filling<F> {
    name: String,
    file: F,
    octets: u64,
}

/// All segments.
pub struct Segments<D: Disk> {
    /// By generation.
    pub used: BTreeMap<u64, Segment<D::File>>,
    /// Names of files ready for use.
    pub free: Vec<String>,
    filling: Option<Filling<D::File>>,
    /// Where the next batch goes; `None`: a new segment must be begun first.
    pub head: Option<u64>,
    pub generation: u64,
    pub next_free: u64,
    /// A segment was retired and the folder is not synced yet.
    names_unsynced: bool,
}

/// The greatest number in a name. What is written beyond it would not be read again, so nothing is.
pub const NUMBER_MAX: u64 = u64::MAX / 2;

/// The number that a file's name is, if we could have given it that name.
pub fn number_of(name: &str) -> Option<u64> {
    let ours = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if name.len() != 16 || !name.bytes().all(ours) {
        return None;
    }
    let number = u64::from_str_radix(name, 16).ok();
    number.filter(|number| *number <= NUMBER_MAX)
}

/// The number after this one.
pub fn number_after(number: u64) -> io::Result<u64> {
    match number.checked_add(1) {
        Some(next) if next <= NUMBER_MAX => Ok(next),
        _ => Err(io::Error::other("a file has the greatest number there is")),
    }
}

pub fn used_name(generation: u64) -> String {
    format!("{generation:016x}")
}

pub fn free_name(number: u64) -> String {
    format!("free-{number:016x}")
}

impl<D: Disk> Segments<D> {
    pub fn new() -> Self {
        Self {
            used: BTreeMap::new(),
            free: Vec::new(),
            filling: None,
            head: None,
            generation: 0,
            next_free: 0,
            names_unsynced: false,
        }
    }

    /// The segment that is written, and where.
    pub fn head(&self) -> Option<(&Segment<D::File>, u64)> {
        Some((self.used.get(&self.generation)?, self.head?))
    }

    /// Begins a new segment. `may_use_reserve`: the last free one may be taken.
    pub fn roll(
        &mut self,
        disk: &mut D,
        options: &Options,
        may_use_reserve: bool,
    ) -> io::Result<()> {
        self.head = None;
        let reserve = usize::from(!may_use_reserve);
        while self.free.len() <= reserve {
            self.fill(disk, options)?;
        }
        let name = self.free.pop().ok_or(io::ErrorKind::StorageFull)?;
        let usage = Use {
            generation: number_after(self.generation)?,
            salt: disk.random(),
        };
        let file = disk.open(Folder::Segment, &name)?;
        disk.rename(Folder::Segment, &name, &used_name(usage.generation))?;
        self.generation = usage.generation;
        // From here on it counts, whatever fails below: it has its turn when the oldest are retired.
        self.used.insert(usage.generation, Segment { file, usage });
        let Some(segment) = self.used.get(&usage.generation) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        disk.write_at(&segment.file, 0, &usage.encode())?;
        disk.sync(&segment.file)?;
        if !options.faults.no_folder_sync {
            disk.sync_folder(Folder::Segment)?;
        }
        self.head = Some(BLOCK);
        Ok(())
    }

    /// Goes on with the next free segment, a piece; true when there was something to do.
    pub fn prepare(&mut self, disk: &mut D, options: &Options) -> bool {
        if self.free.len() >= options.free_segments {
            return false;
        }
        // A disk that is full, or fails, says so again when a commit needs it.
        self.fill(disk, options).is_ok()
    }

    fn fill(&mut self, disk: &mut D, options: &Options) -> io::Result<()> {
        let mut filling = if let Some(filling) = self.filling.take() {
            filling
        } else {
            let name = free_name(self.next_free);
            self.next_free += 1;
            let file = disk.create(Folder::Segment, &name)?;
            Filling {
                name,
                file,
                octets: 0,
            }
        };
        let left = options.segment_octets - filling.octets;
        let zeros = vec![0; usize::try_from(left).unwrap_or(ZEROS).min(ZEROS)];
        let written = disk
            .write_at(&filling.file, filling.octets, &zeros)
            .and_then(|()| {
                filling.octets += zeros.len() as u64;
                if filling.octets < options.segment_octets {
                    return Ok(false);
                }
                disk.sync(&filling.file).map(|()| true)
            });
        match written {
            Ok(true) => self.free.push(filling.name),
            Ok(false) => self.filling = Some(filling),
            Err(error) => {
                // Gives back what it took.
                let _ = disk.remove(Folder::Segment, &filling.name);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Frees the oldest segment: everything in it is durable elsewhere or gone for good. Durable before
    /// the next is retired: a segment that came back after the one that ends its messages is gone would
    /// make them rise again.
    pub fn retire(&mut self, disk: &mut D, options: &Options, generation: u64) -> io::Result<()> {
        self.sync_names(disk)?;
        let name = used_name(generation);
        if self.free.len() < options.free_segments {
            let free = free_name(self.next_free);
            self.next_free += 1;
            disk.rename(Folder::Segment, &name, &free)?;
            self.free.push(free);
        } else {
            disk.remove(Folder::Segment, &name)?;
        }
        self.used.remove(&generation);
        self.names_unsynced = true;
        self.sync_names(disk)
    }

    /// Names in the folder changed: it is synced before the next segment is retired.
    pub fn names_changed(&mut self) {
        self.names_unsynced = true;
    }

    /// Makes names durable, where they are not.
    pub fn sync_names(&mut self, disk: &mut D) -> io::Result<()> {
        if self.names_unsynced {
            disk.sync_folder(Folder::Segment)?;
            self.names_unsynced = false;
        }
        Ok(())
    }

    /// Reads one record whole; `Ok(None)`: it is not what was written.
    pub fn read_record(&self, disk: &D, place: Place) -> io::Result<Option<Record>> {
        let Some(segment) = self.used.get(&place.generation) else {
            return Ok(None);
        };
        let mut octets = vec![0; usize::try_from(place.octets).unwrap_or(0)];
        let read = disk.read_at(&segment.file, place.offset, &mut octets)?;
        octets.truncate(read);
        Ok(whole_record(&octets, segment.usage, place.offset))
    }

    /// Reads one record's head alone; `Ok(None)`: it is not what was written.
    pub fn read_head(&self, disk: &D, place: Place) -> io::Result<Option<Head>> {
        let Some(segment) = self.used.get(&place.generation) else {
            return Ok(None);
        };
        let mut octets = vec![0; usize::try_from(place.octets.min(HEAD_READ)).unwrap_or(0)];
        let read = disk.read_at(&segment.file, place.offset, &mut octets)?;
        octets.truncate(read);
        let Some(header) = RecordHeader::decode(&octets, segment.usage, place.offset) else {
            return Ok(None);
        };
        let end = RECORD_HEADER + header.head as usize;
        if end > octets.len() {
            octets.resize(end, 0);
            let read = disk.read_at(&segment.file, place.offset, &mut octets)?;
            octets.truncate(read);
        }
        Ok(octets
            .get(RECORD_HEADER..)
            .and_then(|head| header.head(head)))
    }
}

/// The record at the front of `octets`, if it is what was written, to its last octet.
pub fn whole_record(octets: &[u8], usage: Use, offset: u64) -> Option<Record> {
    let header = RecordHeader::decode(octets, usage, offset)?;
    let behind = octets.get(RECORD_HEADER..)?;
    let head = header.head(behind)?;
    let tail_start = header.head as usize;
    let tail = behind.get(tail_start..tail_start + header.tail as usize)?;
    header.tail_is_whole(tail).then(|| Record {
        head,
        tail: tail.to_vec(),
    })
}
