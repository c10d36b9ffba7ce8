//! Octets of a checkpoint: a header, chunks of messages in the order of their queue ids, a chunk that ends it.
//! All numbers are little-endian. Each checksum covers the one before it, so the last covers everything.

use super::super::disk::{Disk, Folder};
use super::super::format::{HEAD_OCTETS, Place, Position, number4, number8};
use super::super::index::Known;
use super::super::recover::read_all;
use super::{CHECKPOINT, GivenUp, NotUsed, PIECE_OCTETS, UNFINISHED};
use crate::Body;
use mail::QueueId;
use serde::{Deserialize, Serialize};
use std::io;

const MAGIC: [u8; 8] = *b"RINGCHK\n";
/// The version of all that is here. Another one is not read: the log is there.
const VERSION: u32 = 1;
/// Magic, version, a random number of this file alone, where it begins, checksum.
const HEADER: usize = 44;
/// Length, kind, checksum.
const CHUNK_HEADER: usize = 12;
/// The longest chunk: a piece, and behind it a message whose envelope and standing are as large as records take.
const CHUNK_OCTETS: usize = PIECE_OCTETS + 2 * HEAD_OCTETS + 1024;
/// The kind of a chunk of messages.
const MESSAGES: u32 = 1;
/// The kind of the last chunk.
const END: u32 = 2;

/// A message of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listed<'a> {
    pub queue_id: QueueId,
    generation: u64,
    offset: u64,
    record: u64,
    pub part: u32,
    pub body: Option<Body>,
    /// Octets of its content.
    pub octets: u64,
    /// Encoded.
    pub envelope: &'a [u8],
    /// Its standing, encoded.
    pub state: Option<&'a [u8]>,
}

impl<'a> Listed<'a> {
    pub fn new(queue_id: QueueId, known: &'a Known, octets: u64, envelope: &'a [u8]) -> Self {
        Self {
            queue_id,
            generation: known.put.generation,
            offset: known.put.offset,
            record: known.put.octets,
            part: known.part,
            body: known.body,
            octets,
            envelope,
            state: known.state.as_deref(),
        }
    }

    /// Where its record is.
    pub fn place(&self) -> Place {
        Place {
            generation: self.generation,
            offset: self.offset,
            octets: self.record,
        }
    }

    /// Writes it behind `out`.
    pub fn append(&self, out: Vec<u8>) -> Result<Vec<u8>, GivenUp> {
        let start = out.len();
        let out = postcard::to_extend(self, out).map_err(|_| GivenUp::TooLarge)?;
        let fits = out.len() - start <= CHUNK_OCTETS - PIECE_OCTETS;
        fits.then_some(out).ok_or(GivenUp::TooLarge)
    }

    /// The message at the front, and what follows it.
    pub fn take(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        postcard::take_from_bytes(octets).ok()
    }
}

/// What the last chunk says.
#[derive(Debug, Serialize, Deserialize)]
pub struct End {
    /// The newest batch that anything in it comes from.
    pub upto: Position,
    /// Messages.
    pub count: u64,
    /// The greatest queue id that was ever put.
    pub highest: u64,
    /// Generation and salt of each segment in use.
    pub segments: Vec<(u64, u64)>,
}

/// A checkpoint file that is written.
pub struct Chunks<F> {
    file: F,
    /// Its length.
    pub octets: u64,
    /// Messages in it.
    pub count: u64,
    /// Octets that were written since the last sync.
    pub unsynced: u64,
    sum: u32,
}

impl<F> Chunks<F> {
    /// Begins one.
    pub fn create<D: Disk<File = F>>(disk: &mut D, from: Position) -> io::Result<Self> {
        let file = match disk.create(Folder::Segment, UNFINISHED) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(Folder::Segment, UNFINISHED)?;
                disk.create(Folder::Segment, UNFINISHED)?
            }
            file => file?,
        };
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(disk.random().to_le_bytes());
        header.extend(from.0.to_le_bytes());
        header.extend(from.1.to_le_bytes());
        header.extend(from.2.to_le_bytes());
        let sum = crc32c::crc32c(&header);
        header.extend(sum.to_le_bytes());
        disk.write_at(&file, 0, &header)?;
        Ok(Self {
            file,
            octets: header.len() as u64,
            unsynced: header.len() as u64,
            count: 0,
            sum,
        })
    }

    /// Adds messages.
    pub fn messages<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        octets: &[u8],
        count: u64,
    ) -> io::Result<()> {
        self.count += count;
        self.chunk(disk, MESSAGES, octets)
    }

    /// Ends it.
    pub fn end<D: Disk<File = F>>(&mut self, disk: &mut D, end: &End) -> Result<(), GivenUp> {
        let octets = postcard::to_stdvec(end).map_err(|_| GivenUp::TooLarge)?;
        if octets.len() > CHUNK_OCTETS {
            return Err(GivenUp::TooLarge);
        }
        Ok(self.chunk(disk, END, &octets)?)
    }

    fn chunk<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        kind: u32,
        octets: &[u8],
    ) -> io::Result<()> {
        let length = u32::try_from(octets.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.sum = checksum(self.sum, length, kind, octets);
        let mut out = Vec::with_capacity(CHUNK_HEADER + octets.len());
        out.extend(length.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(self.sum.to_le_bytes());
        out.extend_from_slice(octets);
        disk.write_at(&self.file, self.octets, &out)?;
        self.octets += out.len() as u64;
        self.unsynced += out.len() as u64;
        Ok(())
    }

    /// Makes all that was added durable.
    pub fn sync<D: Disk<File = F>>(&mut self, disk: &mut D) -> io::Result<()> {
        disk.sync(&self.file)?;
        self.unsynced = 0;
        Ok(())
    }
}

fn checksum(before: u32, length: u32, kind: u32, octets: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&before.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &length.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &kind.to_le_bytes());
    crc32c::crc32c_append(sum, octets)
}

/// A checkpoint file that is read from front to back.
pub struct Pages<F> {
    file: F,
    /// Its length.
    pub octets: u64,
    /// Where it begins.
    pub from: Position,
    offset: u64,
    sum: u32,
}

/// What stands in one chunk.
pub enum Chunk {
    /// Messages.
    Messages(Vec<u8>),
    /// Nothing follows.
    End(End),
}

impl<F> Pages<F> {
    /// Opens the one that stands. `None`: there is none.
    pub fn open<D: Disk<File = F>>(disk: &D) -> Result<Option<Self>, NotUsed> {
        let file = match disk.open(Folder::Segment, CHECKPOINT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let octets = disk.len(&file)?;
        let mut header = [0; HEADER];
        read_all(disk, &file, 0, &mut header)?;
        let sum = crc32c::crc32c(&header[..HEADER - 4]);
        if octets < HEADER as u64 || header[..8] != MAGIC {
            return Err(NotUsed::Damaged);
        }
        if number4(&header, 8) != VERSION {
            return Err(NotUsed::Version(number4(&header, 8)));
        }
        if number4(&header, HEADER - 4) != sum {
            return Err(NotUsed::Damaged);
        }
        let from = (
            number8(&header, 20),
            number8(&header, 28),
            number4(&header, 36),
        );
        Ok(Some(Self {
            file,
            octets,
            from,
            offset: HEADER as u64,
            sum,
        }))
    }

    /// The next chunk. Its length is believed only as far as the file reaches.
    pub fn next<D: Disk<File = F>>(&mut self, disk: &D) -> Result<Chunk, NotUsed> {
        let mut header = [0; CHUNK_HEADER];
        let start = self.offset + CHUNK_HEADER as u64;
        if start > self.octets {
            return Err(NotUsed::Damaged);
        }
        read_all(disk, &self.file, self.offset, &mut header)?;
        let (length, kind) = (number4(&header, 0), number4(&header, 4));
        let end = start + u64::from(length);
        if length as usize > CHUNK_OCTETS || end > self.octets {
            return Err(NotUsed::Damaged);
        }
        let mut octets = vec![0; length as usize];
        read_all(disk, &self.file, start, &mut octets)?;
        self.sum = checksum(self.sum, length, kind, &octets);
        if number4(&header, 8) != self.sum {
            return Err(NotUsed::Damaged);
        }
        self.offset = end;
        match kind {
            MESSAGES => Ok(Chunk::Messages(octets)),
            END if end == self.octets => {
                let end = postcard::from_bytes(&octets);
                end.map(Chunk::End).map_err(|_| NotUsed::Damaged)
            }
            _ => Err(NotUsed::Damaged),
        }
    }
}

impl From<io::Error> for NotUsed {
    fn from(error: io::Error) -> Self {
        NotUsed::Unreadable(error.kind())
    }
}

/// The checkpoint before the one that is written, read along with it.
pub struct Before<F> {
    pages: Pages<F>,
    octets: Vec<u8>,
    at: usize,
    is_over: bool,
}

impl<F> Before<F> {
    /// Opens it. `None` where it cannot be read: all heads then come from the log.
    pub fn open<D: Disk<File = F>>(disk: &D) -> Option<Self> {
        let pages = Pages::open(disk).ok().flatten()?;
        Some(Self {
            pages,
            octets: Vec::new(),
            at: 0,
            is_over: false,
        })
    }

    /// The message of this name, which is behind all that were looked for: `Some(None)` where it is not listed, `None`
    /// where patience for so many chunks did not bring us there.
    #[expect(clippy::option_option, reason = "said above")]
    pub fn find<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        queue_id: QueueId,
        patience: &mut usize,
    ) -> Option<Option<Listed<'_>>> {
        while !self.is_over {
            while let Some((listed, rest)) = Listed::take(&self.octets[self.at..]) {
                if listed.queue_id >= queue_id {
                    break;
                }
                self.at = self.octets.len() - rest.len();
            }
            if self.at < self.octets.len() {
                // What cannot be decoded is not listed.
                let listed = Listed::take(&self.octets[self.at..]).map(|(listed, _)| listed);
                return Some(listed.filter(|listed| listed.queue_id == queue_id));
            }
            if *patience == 0 {
                return None;
            }
            *patience -= 1;
            match self.pages.next(disk) {
                Ok(Chunk::Messages(octets)) => (self.octets, self.at) = (octets, 0),
                Ok(Chunk::End(_)) | Err(_) => self.is_over = true,
            }
        }
        Some(None)
    }
}
