//! Finds the segments, as the first thing of all.

use super::super::checkpoint::UNFINISHED;
use super::super::disk::{Disk, Folder};
use super::super::format::{BLOCK, Use};
use super::super::segment::{Segment, Segments, free_name, number_of};
use super::scan::{piece_octets, read_all};
use super::{ASIDE_OCTETS, Finding, Recovered};
use std::io;

/// Finds the segments; what is not in use becomes free. Files with names that we do not give stay as they are.
pub fn open_segments<D: Disk>(disk: &mut D, recovered: &mut Recovered) -> io::Result<Segments<D>> {
    let mut segments = Segments::new();
    let mut unused = Vec::new();
    for name in disk.list(Folder::Segment)? {
        if let Some(number) = name.strip_prefix("free-").and_then(number_of) {
            segments.next_free = segments.next_free.max(number + 1);
            // It may be half filled: whether it is whole is not worth knowing, it is made anew.
            disk.remove(Folder::Segment, &name)?;
            continue;
        }
        if name == UNFINISHED {
            // One that stays takes room, and is removed when the next is begun.
            let _ = disk.remove(Folder::Segment, &name);
            continue;
        }
        let Some(generation) = number_of(&name) else {
            continue;
        };
        let file = disk.open(Folder::Segment, &name)?;
        let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(4096)];
        read_all(disk, &file, 0, &mut block)?;
        let mut headers = Use::decode(&block).peekable();
        let whole = headers.peek().is_some();
        match headers.find(|usage| usage.generation == generation) {
            Some(usage) => {
                segments.generation = segments.generation.max(generation);
                segments.used.insert(generation, Segment { file, usage });
            }
            // Begun and not yet used: the header is an earlier one's, or was to be the file's first.
            None if whole || is_empty(disk, &file)? => unused.push(name),
            None => {
                segments.generation = segments.generation.max(generation);
                recovered.findings.push(Finding::Rotten(name.clone()));
                // Where no copy can be made the file stays, and is spoken of at each start.
                if keep_aside(disk, &name, &file).is_ok() {
                    disk.remove(Folder::Segment, &name)?;
                }
            }
        }
    }
    for name in unused {
        let free = free_name(segments.next_free);
        segments.next_free += 1;
        disk.rename(Folder::Segment, &name, &free)?;
        disk.remove(Folder::Segment, &free)?;
    }
    Ok(segments)
}

/// Whether nothing was ever written behind the first block.
fn is_empty<D: Disk>(disk: &D, file: &D::File) -> io::Result<bool> {
    let mut piece = vec![0; piece_octets(disk.len(file)?).max(1)];
    let mut offset = BLOCK;
    loop {
        let read = disk.read_at(file, offset, &mut piece)?;
        if read == 0 {
            return Ok(true);
        }
        if piece[..read].iter().any(|octet| *octet != 0) {
            return Ok(false);
        }
        offset += read as u64;
    }
}

/// Keeps a copy of a file that nothing can be read from.
fn keep_aside<D: Disk>(disk: &mut D, name: &str, file: &D::File) -> io::Result<()> {
    let octets = disk.len(file)?.min(ASIDE_OCTETS);
    let mut copy = vec![0; usize::try_from(octets).unwrap_or(0)];
    read_all(disk, file, 0, &mut copy)?;
    let aside = disk.create(Folder::Aside, name)?;
    disk.write_at(&aside, 0, &copy)?;
    disk.sync(&aside)?;
    disk.sync_folder(Folder::Aside)
}
