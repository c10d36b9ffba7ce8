//! Reads batches as they lie there: headers and heads of records, contents not.

use super::super::disk::Disk;
use super::super::format::{
    BATCH_HEADER, BLOCK, Batch, Head, Place, Position, RECORD_HEADER, RecordHeader, batch_span,
};
use super::super::segment::Segment;
use std::io;

/// Octets read at once while a segment is searched.
const SEARCH_OCTETS: usize = 1024 * 1024;

/// A batch as it lies there.
pub struct Found {
    pub generation: u64,
    pub offset: u64,
    pub header: Batch,
    /// The records whose headers and heads are whole.
    pub records: Vec<(Place, Head)>,
    /// Whether that is all of them.
    pub heads_whole: bool,
    /// Something that was written later shows that it was durable.
    pub proven: bool,
}

impl Found {
    /// Where it is.
    pub fn place(&self) -> (u64, u64) {
        (self.generation, self.offset)
    }

    /// As the batch behind it names it.
    pub fn as_before(&self) -> Position {
        (self.generation, self.offset, self.header.records)
    }

    /// Octets up to the next one.
    pub fn span(&self) -> u64 {
        batch_span(self.header.octets.into())
    }
}

/// Reads a segment's batches from a place on, and the gaps that lie between valid ones; the last may be one whose
/// header is damaged.
pub fn scan<D: Disk>(
    disk: &D,
    segment: &Segment<D::File>,
    from: u64,
    batches: &mut Vec<Found>,
    gaps: &mut Vec<(u64, u64, u64)>,
) -> io::Result<()> {
    let (octets, usage) = (disk.len(&segment.file)?, segment.usage);
    let mut offset = from;
    while offset + BATCH_HEADER as u64 <= octets {
        let mut header = [0; BATCH_HEADER];
        read_all(disk, &segment.file, offset, &mut header)?;
        let Some(batch) = Batch::decode(&header, usage, offset) else {
            let Some(found) = search(disk, segment, offset + BLOCK, octets)? else {
                let damaged = records_at(disk, segment, offset, octets)?;
                gaps.extend(damaged.map(|octets| (usage.generation, offset, octets)));
                return Ok(());
            };
            gaps.push((usage.generation, offset, found - offset));
            offset = found;
            continue;
        };
        batches.push(read_batch(disk, segment, offset, batch)?);
        offset += batch_span(batch.octets.into());
    }
    Ok(())
}

/// The first valid batch header at or behind `from`.
fn search<D: Disk>(
    disk: &D,
    segment: &Segment<D::File>,
    from: u64,
    octets: u64,
) -> io::Result<Option<u64>> {
    let mut piece = vec![0; piece_octets(octets.saturating_sub(from))];
    let mut offset = from;
    while offset < octets {
        let read = disk.read_at(&segment.file, offset, &mut piece)?;
        if read == 0 {
            return Ok(None);
        }
        let block = usize::try_from(BLOCK).unwrap_or(4096);
        for (number, start) in (0u64..).zip(piece[..read].chunks(block)) {
            let place = offset + number * BLOCK;
            if Batch::decode(start, segment.usage, place).is_some() {
                return Ok(Some(place));
            }
        }
        offset += (read as u64).next_multiple_of(BLOCK);
    }
    Ok(None)
}

/// Octets of a batch whose header cannot be read, where whole headers of records of this use lie behind it. They share
/// a sector with the header, and so were written with it or not at all: it rotted. `None`: the log ends here.
fn records_at<D: Disk>(
    disk: &D,
    segment: &Segment<D::File>,
    offset: u64,
    end: u64,
) -> io::Result<Option<u64>> {
    let first = offset + BATCH_HEADER as u64;
    let mut place = first;
    while place + RECORD_HEADER as u64 <= end {
        let mut octets = [0; RECORD_HEADER];
        read_all(disk, &segment.file, place, &mut octets)?;
        let Some(record) = RecordHeader::decode(&octets, segment.usage, place) else {
            break;
        };
        place += record.octets();
    }
    Ok((place > first).then(|| (place - offset).min(end - offset)))
}

/// The batch at a place, if it is the one that lies there.
pub fn read_batch_at<D: Disk>(
    disk: &D,
    segment: &Segment<D::File>,
    position: Position,
) -> io::Result<Option<Found>> {
    if position.1 >= disk.len(&segment.file)? {
        return Ok(None);
    }
    let mut header = [0; BATCH_HEADER];
    read_all(disk, &segment.file, position.1, &mut header)?;
    let header = Batch::decode(&header, segment.usage, position.1);
    match header.filter(|header| header.records == position.2) {
        Some(header) => read_batch(disk, segment, position.1, header).map(Some),
        None => Ok(None),
    }
}

fn read_batch<D: Disk>(
    disk: &D,
    segment: &Segment<D::File>,
    offset: u64,
    header: Batch,
) -> io::Result<Found> {
    let generation = segment.usage.generation;
    let mut found = Found {
        generation,
        offset,
        header,
        records: Vec::new(),
        heads_whole: false,
        proven: false,
    };
    let end = offset + BATCH_HEADER as u64 + u64::from(header.octets);
    let mut place = offset + BATCH_HEADER as u64;
    while place < end {
        let mut octets = [0; RECORD_HEADER];
        read_all(disk, &segment.file, place, &mut octets)?;
        let Some(record) = RecordHeader::decode(&octets, segment.usage, place) else {
            return Ok(found);
        };
        let mut head = vec![0; record.head as usize];
        read_all(disk, &segment.file, place + RECORD_HEADER as u64, &mut head)?;
        if place + record.octets() > end {
            return Ok(found);
        }
        match record.head(&head) {
            Some(head) => found.records.push((
                Place {
                    generation,
                    offset: place,
                    octets: record.octets(),
                },
                head,
            )),
            // Its length is known: what follows can still be read.
            None => found.heads_whole = false,
        }
        place += record.octets();
    }
    let octets: u64 = found.records.iter().map(|(place, _)| place.octets).sum();
    found.heads_whole = octets == u64::from(header.octets);
    Ok(found)
}

/// Reads as much as there is; the rest stays zero.
pub fn read_all<D: Disk>(disk: &D, file: &D::File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < into.len() {
        let read = disk.read_at(file, offset + filled as u64, &mut into[filled..])?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(())
}

/// Octets to read at once of so many.
pub fn piece_octets(octets: u64) -> usize {
    usize::try_from(octets).map_or(SEARCH_OCTETS, |octets| octets.min(SEARCH_OCTETS))
}
