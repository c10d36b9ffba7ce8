//! Reads a checkpoint, as one that anybody may have written: nothing of it is used before all of it was read
//! and agrees with itself and with the segments that lie there.

use super::super::disk::Disk;
use super::super::format::{BLOCK, HEAD_OCTETS, Position, RECORD_HEADER};
use super::super::index::{Index, Known};
use super::super::segment::{NUMBER_MAX, Segments};
use super::layout::{Chunk, End, Listed, Pages};
use super::{NotUsed, Standing};
use crate::{State, Stored};
use mail::{Envelope, QueueId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest record that the format can say: so no sum of their lengths overflows.
const RECORD_OCTETS: u64 = (RECORD_HEADER + HEAD_OCTETS) as u64 + u32::MAX as u64;

/// A checkpoint that agrees with itself. Whether the log holds what it builds upon is still to be seen.
pub struct Loaded {
    /// Where it lies.
    pub standing: Standing,
    /// The newest batch that it builds upon.
    pub upto: Position,
    pub index: Index,
    pub messages: BTreeMap<QueueId, Stored>,
    /// Salt of each segment that it knows.
    salts: BTreeMap<u64, u64>,
}

/// Reads the checkpoint that stands, in one pass. `None`: there is none.
pub fn load<D: Disk>(disk: &D, segments: &Segments<D>) -> Result<Option<Loaded>, NotUsed> {
    let Some(mut pages) = Pages::open(disk)? else {
        return Ok(None);
    };
    let (mut index, mut messages) = (Index::default(), BTreeMap::new());
    let mut last = None;
    let end = loop {
        let octets = match pages.next(disk)? {
            Chunk::Messages(octets) => octets,
            Chunk::End(end) => break end,
        };
        let mut rest = &octets[..];
        while !rest.is_empty() {
            let (listed, behind) = Listed::take(rest).ok_or(NotUsed::Damaged)?;
            rest = behind;
            if last.is_some_and(|last| last >= listed.queue_id) {
                return Err(NotUsed::Damaged);
            }
            last = Some(listed.queue_id);
            let (known, stored) = read(&listed).ok_or(NotUsed::Damaged)?;
            index.insert(listed.queue_id, known);
            messages.insert(listed.queue_id, stored);
        }
    };
    let from = pages.from;
    let End {
        upto,
        count,
        highest,
        segments: known,
    } = end;
    if count != messages.len() as u64 || place_of(upto) < place_of(from) {
        return Err(NotUsed::Damaged);
    }
    index.saw(highest);
    let loaded = Loaded {
        standing: Standing {
            from,
            octets: pages.octets,
        },
        upto,
        index,
        messages,
        salts: known.into_iter().collect(),
    };
    loaded.lies_within(disk, segments)?;
    Ok(Some(loaded))
}

fn place_of(position: Position) -> (u64, u64) {
    (position.0, position.1)
}

fn read(listed: &Listed<'_>) -> Option<(Known, Stored)> {
    let (envelope, rest) = postcard::take_from_bytes::<Envelope>(listed.envelope).ok()?;
    if !rest.is_empty()
        || listed.place().octets > RECORD_OCTETS
        || listed.body.is_some_and(|body| body.number > NUMBER_MAX)
    {
        return None;
    }
    let state = match listed.state {
        Some(octets) => postcard::from_bytes::<State>(octets).ok()?,
        None => State::new(envelope.recipients.len(), envelope.arrival),
    };
    if state.recipients.len() != envelope.recipients.len() {
        return None;
    }
    let known = Known {
        put: listed.place(),
        part: listed.part,
        state: listed.state.map(Arc::from),
        body: listed.body,
    };
    let stored = Stored {
        queue_id: listed.queue_id,
        envelope,
        octets: listed.octets,
        state,
    };
    Some((known, stored))
}

impl Loaded {
    /// No record lies outside its segment, so that no more is ever read of one than there is.
    fn lies_within<D: Disk>(&self, disk: &D, segments: &Segments<D>) -> Result<(), NotUsed> {
        let mut ends = BTreeMap::new();
        for (generation, segment) in &segments.used {
            ends.insert(*generation, disk.len(&segment.file)?);
        }
        let lies = |known: &Known| {
            let put = known.put;
            let end = put.offset.checked_add(put.octets);
            // Of a segment that is gone nothing is read.
            let bound = ends.get(&put.generation).copied().unwrap_or(u64::MAX);
            put.offset >= BLOCK && end.is_some_and(|end| end <= bound)
        };
        let all = self.index.after(None).all(|(_, known)| lies(known));
        all.then_some(()).ok_or(NotUsed::Damaged)
    }

    /// Whether every message of this index lies in a segment that is there, and is the one that the checkpoint knew.
    pub fn knows_the_segments_of<D: Disk>(&self, index: &Index, segments: &Segments<D>) -> bool {
        index.segments().all(|generation| {
            let there = segments.used.get(&generation).map(|s| s.usage.salt);
            let known = self.salts.get(&generation).copied();
            there.is_some() && (known.is_none() || known == there)
        })
    }
}
