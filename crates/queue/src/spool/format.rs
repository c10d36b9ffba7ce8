//! Octets on disk: segment headers, batch headers, records. All numbers are little-endian; every header
//! carries a checksum that covers the segment's salt and generation and the header's own place.

use crate::{Accepted, Body, Content, Entry, State};
use mail::{Envelope, QueueId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Batches start at multiples of this, so that no acknowledged octet is ever written again.
pub const BLOCK: u64 = 4096;
/// The version of all that is here. A later program reads it and the one before.
const VERSION: u32 = 1;
const SEGMENT_MAGIC: [u8; 8] = *b"RINGSEG\n";
const BATCH_MAGIC: [u8; 4] = *b"RBAT";
/// Octets of a segment header with its checksum.
const SEGMENT_HEADER: usize = 32;
/// Where in its block the header stands a second time, far from the first: without its salt no batch of the
/// segment can be told from octets of an earlier use, so one rotten sector must not take it away.
const SECOND_HEADER: usize = 2048;
/// Octets of a batch header.
pub const BATCH_HEADER: usize = 56;
/// Octets of a record header.
pub const RECORD_HEADER: usize = 24;
/// Longest head of a record: an envelope and its standing.
pub const HEAD_OCTETS: usize = 4 * 1024 * 1024;

/// One use of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Counts up with each use of any segment.
    pub generation: u64,
    /// Random, new with each use.
    pub salt: u64,
}

/// Where a record is: segment, offset of its header, octets with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment's generation.
    pub generation: u64,
    /// From the start of the segment.
    pub offset: u64,
    /// Header, head and tail.
    pub octets: u64,
}

/// A batch of the log: generation and offset, and the checksum of its records, by which it is known again.
pub type Position = (u64, u64, u32);

impl Use {
    /// A checksum that only this place of this use has.
    fn checksum(&self, offset: u64, octets: &[u8]) -> u32 {
        let sum = crc32c::crc32c(&self.generation.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &self.salt.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &offset.to_le_bytes());
        crc32c::crc32c_append(sum, octets)
    }

    /// The first block of a segment: the header, twice.
    pub fn encode(&self) -> Vec<u8> {
        let mut header = SEGMENT_MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(self.generation.to_le_bytes());
        header.extend(self.salt.to_le_bytes());
        let sum = crc32c::crc32c(&header);
        header.extend(sum.to_le_bytes());
        let mut block = vec![0; usize::try_from(BLOCK).expect("4096 fits")];
        for place in [0, SECOND_HEADER] {
            block[place..place + SEGMENT_HEADER].copy_from_slice(&header);
        }
        block
    }

    /// Reads the first block: each of its headers that is whole.
    pub fn decode(block: &[u8]) -> impl Iterator<Item = Self> {
        [0, SECOND_HEADER].into_iter().filter_map(|place| {
            let header = block.get(place..place + SEGMENT_HEADER)?;
            let (header, sum) = header.split_at(SEGMENT_HEADER - 4);
            let whole = header[..8] == SEGMENT_MAGIC
                && number4(header, 8) == VERSION
                && crc32c::crc32c(header) == number4(sum, 0);
            whole.then(|| Self {
                generation: number8(header, 12),
                salt: number8(header, 20),
            })
        })
    }
}

/// The number in four octets.
pub fn number4(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

/// The number in eight octets.
pub fn number8(octets: &[u8], at: usize) -> u64 {
    u64::from(number4(octets, at)) | u64::from(number4(octets, at + 4)) << 32
}

/// What stands before the records of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Octets of all records.
    pub octets: u32,
    /// Checksum of all record headers, which cover the rest.
    pub records: u32,
    /// The batch before, wherever it is. It was durable when this one was written.
    pub before: Option<Position>,
    /// The spool was closed in order after this.
    pub end: bool,
}

impl Batch {
    /// Writes the header for this place.
    pub fn encode(&self, segment: Use, offset: u64) -> [u8; BATCH_HEADER] {
        let mut out = [0; BATCH_HEADER];
        let (generation, place, sum) = self.before.unwrap_or((0, 0, 0));
        out[..4].copy_from_slice(&BATCH_MAGIC);
        out[4..8].copy_from_slice(&self.octets.to_le_bytes());
        out[8..12].copy_from_slice(&self.records.to_le_bytes());
        out[12..20].copy_from_slice(&generation.to_le_bytes());
        out[20..28].copy_from_slice(&place.to_le_bytes());
        out[28..32].copy_from_slice(&sum.to_le_bytes());
        out[32] = u8::from(self.end);
        let sum = segment.checksum(offset, &out[..BATCH_HEADER - 4]);
        out[BATCH_HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the header at this place.
    pub fn decode(octets: &[u8], segment: Use, offset: u64) -> Option<Self> {
        let header = octets.get(..BATCH_HEADER)?;
        let sum = number4(header, BATCH_HEADER - 4);
        if header[..4] != BATCH_MAGIC
            || segment.checksum(offset, &header[..BATCH_HEADER - 4]) != sum
        {
            return None;
        }
        let before = (
            number8(header, 12),
            number8(header, 20),
            number4(header, 28),
        );
        Some(Self {
            octets: number4(header, 4),
            records: number4(header, 8),
            before: (before.0 != 0).then_some(before),
            end: header[32] != 0,
        })
    }
}

/// Octets from one batch's start to the next one's.
pub fn batch_span(records: u64) -> u64 {
    (BATCH_HEADER as u64 + records).next_multiple_of(BLOCK)
}

/// A record's header: what follows it and its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Octets of the head: the postcard of a [`Head`].
    pub head: u32,
    /// Octets of the tail: contents.
    pub tail: u32,
    head_sum: u32,
    tail_sum: u32,
}

impl RecordHeader {
    /// Reads the header at this place.
    pub fn decode(octets: &[u8], segment: Use, offset: u64) -> Option<Self> {
        let header = octets.get(..RECORD_HEADER)?;
        if segment.checksum(offset, &header[..20]) != number4(header, 20) {
            return None;
        }
        let read = Self {
            head: number4(header, 0),
            tail: number4(header, 4),
            head_sum: number4(header, 8),
            tail_sum: number4(header, 12),
        };
        (read.head as usize <= HEAD_OCTETS).then_some(read)
    }

    /// Octets with head and tail.
    pub fn octets(&self) -> u64 {
        RECORD_HEADER as u64 + u64::from(self.head) + u64::from(self.tail)
    }

    /// Reads the head, if its checksum agrees.
    pub fn head(&self, octets: &[u8]) -> Option<Head> {
        let head = octets.get(..self.head as usize)?;
        if crc32c::crc32c(head) != self.head_sum {
            return None;
        }
        let (head, rest) = postcard::take_from_bytes(head).ok()?;
        rest.is_empty().then_some(head)
    }

    /// Whether the tail is what was written.
    pub fn tail_is_whole(&self, tail: &[u8]) -> bool {
        tail.len() == self.tail as usize && crc32c::crc32c(tail) == self.tail_sum
    }
}

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Head {
    /// A message.
    Put(Put),
    /// Where a message stands, and the reports that this owes.
    Progress {
        /// The message.
        queue_id: QueueId,
        /// `None`: it is done with.
        state: Option<State>,
        /// New messages.
        reports: Vec<Put>,
    },
    /// This batch was refused, whatever the disk holds of it.
    Void {
        /// Its segment.
        generation: u64,
        /// Its place.
        offset: u64,
    },
}

/// A message, without an inline content.
#[derive(Debug, Serialize, Deserialize)]
pub struct Put {
    /// Its name.
    pub queue_id: QueueId,
    /// Its envelope.
    pub envelope: Envelope,
    /// The trace field.
    pub trace: String,
    /// Its large body; otherwise so many octets of the record's tail are its content.
    pub body: Option<Body>,
    /// Octets of inline content.
    pub inline: u32,
}

impl Put {
    fn new(accepted: &Accepted, tail: &mut Vec<u8>) -> Self {
        let (body, inline) = match &accepted.content {
            Content::Inline(octets) => {
                tail.extend_from_slice(octets);
                (None, u32::try_from(octets.len()).unwrap_or(u32::MAX))
            }
            Content::Body(body) => (Some(*body), 0),
        };
        Self {
            queue_id: accepted.queue_id,
            envelope: accepted.envelope.clone(),
            trace: accepted.trace.as_ref().into(),
            body,
            inline,
        }
    }

    /// Octets of its content.
    pub fn octets(&self) -> u64 {
        self.body.map_or(u64::from(self.inline), |body| body.octets)
    }
}

/// A record as it was read, whole.
#[derive(Debug)]
pub struct Record {
    /// What it says.
    pub head: Head,
    /// Contents.
    pub tail: Vec<u8>,
}

impl Record {
    /// The entry it was made from; nothing for a void.
    pub fn into_entry(self) -> Option<Entry> {
        let progress = match &self.head {
            Head::Progress {
                queue_id, state, ..
            } => Some((*queue_id, state.clone())),
            Head::Put(_) => None,
            Head::Void { .. } => return None,
        };
        let mut messages = self.messages()?;
        match progress {
            Some((queue_id, state)) => Some(Entry::Progress {
                queue_id,
                state,
                reports: messages,
            }),
            None => messages.pop().map(Entry::Accept),
        }
    }

    /// The messages it holds; `None` where the tail is shorter than they say.
    pub fn messages(self) -> Option<Vec<Accepted>> {
        let puts = match self.head {
            Head::Put(put) => vec![put],
            Head::Progress { reports, .. } => reports,
            Head::Void { .. } => Vec::new(),
        };
        let (mut rest, mut messages) = (&self.tail[..], Vec::new());
        for put in puts {
            let (inline, behind) = rest.split_at_checked(put.inline as usize)?;
            rest = behind;
            messages.push(Accepted {
                queue_id: put.queue_id,
                envelope: put.envelope,
                trace: Arc::from(put.trace),
                content: put
                    .body
                    .map_or_else(|| Content::Inline(inline.into()), Content::Body),
            });
        }
        Some(messages)
    }
}

/// The head and tail of an entry.
pub fn of_entry(entry: &Entry) -> (Head, Vec<u8>) {
    let mut tail = Vec::new();
    let head = match entry {
        Entry::Accept(accepted) => Head::Put(Put::new(accepted, &mut tail)),
        Entry::Progress {
            queue_id,
            state,
            reports,
        } => Head::Progress {
            queue_id: *queue_id,
            state: state.clone(),
            reports: reports
                .iter()
                .map(|report| Put::new(report, &mut tail))
                .collect(),
        },
    };
    (head, tail)
}

/// Puts a record behind `out`, which will lie at `start` of its segment; gives its place.
pub fn write_record(
    head: &Head,
    tail: &[u8],
    segment: Use,
    start: u64,
    out: &mut Vec<u8>,
) -> Option<Place> {
    let offset = start + out.len() as u64;
    let head = postcard::to_stdvec(head).ok()?;
    if head.len() > HEAD_OCTETS {
        return None;
    }
    let mut header = [0; RECORD_HEADER];
    header[..4].copy_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
    header[4..8].copy_from_slice(&u32::try_from(tail.len()).ok()?.to_le_bytes());
    header[8..12].copy_from_slice(&crc32c::crc32c(&head).to_le_bytes());
    header[12..16].copy_from_slice(&crc32c::crc32c(tail).to_le_bytes());
    let sum = segment.checksum(offset, &header[..20]);
    header[20..].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(&head);
    out.extend_from_slice(tail);
    let octets = (RECORD_HEADER + head.len() + tail.len()) as u64;
    Some(Place {
        generation: segment.generation,
        offset,
        octets,
    })
}
