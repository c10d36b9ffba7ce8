//! Opening: reads the log as it lies there and says what was found. Heads are read, contents only where the
//! last batch must be told from a torn one.

use super::disk::{Disk, Folder};
use super::format::{
    BATCH_HEADER, BLOCK, Batch, Head, Place, Put, RECORD_HEADER, Record, RecordHeader, Use,
};
use super::segment::{Segment, Segments, free_name, number_of};
use super::{Options, Spool};
use crate::{Entry, State, Stored};
use mail::QueueId;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::io;

/// Octets read at once while a segment is searched.
const SEARCH_OCTETS: usize = 1024 * 1024;
/// Octets of a damaged place that are kept aside.
const ASIDE_OCTETS: u64 = 64 * 1024 * 1024;

/// What the spool held.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Messages that are not done with, oldest first.
    pub messages: Vec<Stored>,
    /// The greatest queue id that was ever seen.
    pub highest: u64,
    /// What was not as it should be.
    pub findings: Vec<Finding>,
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A batch that was never acknowledged was cut off; a copy is in `aside/`.
    Cut(String),
    /// What was acknowledged is damaged; a copy is in `aside/`.
    Rotten(String),
    /// Bodies that no message names were removed.
    Bodies(usize),
    /// A body that a message names is not there.
    BodyGone(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Cut(place) => write!(
                f,
                "an unfinished batch at {place} was cut off, copy in aside/"
            ),
            Finding::Rotten(place) => write!(
                f,
                "DAMAGED: a record at {place} cannot be read, copy in aside/"
            ),
            Finding::Bodies(count) => {
                write!(f, "{count} bodies that belong to no message were removed")
            }
            Finding::BodyGone(name) => {
                write!(
                    f,
                    "DAMAGED: the file {name} in body/, a message's content, is gone"
                )
            }
        }
    }
}

/// Batches that count, in the order they were written.
type Judged = Vec<Found>;

/// A batch as it lies there.
struct Found {
    generation: u64,
    offset: u64,
    header: Batch,
    /// The records whose headers and heads are whole.
    records: Vec<(Place, Head)>,
    /// Whether that is all of them.
    heads_whole: bool,
    /// Something that was written later shows that it was durable.
    proven: bool,
}

impl Found {
    fn place(&self) -> (u64, u64) {
        (self.generation, self.offset)
    }

    fn as_before(&self) -> (u64, u64, u32) {
        (self.generation, self.offset, self.header.records)
    }
}

impl<D: Disk> Spool<D> {
    /// Opens the log.
    pub fn open(mut disk: D, options: Options) -> io::Result<(Self, Recovered)> {
        let mut recovered = Recovered::default();
        let segments = open_segments(&mut disk, &mut recovered)?;
        let mut spool = Self {
            disk,
            options,
            segments,
            known: BTreeMap::new(),
            living: BTreeMap::new(),
            last: None,
            void: Vec::new(),
            next_body: 1,
        };
        let mut batches = Vec::new();
        let mut gaps = Vec::new();
        for segment in spool.segments.used.values() {
            scan(&spool.disk, segment, &mut batches, &mut gaps)?;
        }
        for (generation, offset, octets) in gaps {
            let place = spool.set_aside(generation, offset, octets);
            recovered.findings.push(Finding::Rotten(place));
        }
        let judged = spool.judge(batches, &mut recovered)?;
        spool.apply(&judged, &mut recovered);
        // First, for a body may go only when the end of its message is durable.
        spool.write_again(&judged)?;
        spool.remove_bodies(&mut recovered)?;
        Ok((spool, recovered))
    }

    /// Tells whole batches from torn and from damaged ones.
    fn judge(&mut self, batches: Vec<Found>, recovered: &mut Recovered) -> io::Result<Judged> {
        // Named as the one before by a later batch, or followed by one: it was durable once.
        let named = batches.iter().filter_map(|b| b.header.before);
        let mut proven: HashSet<(u64, u64)> = named
            .map(|(generation, offset, _)| (generation, offset))
            .collect();
        for pair in batches.windows(2) {
            if pair[0].generation == pair[1].generation {
                proven.insert((pair[0].generation, pair[0].offset));
            }
        }
        let there: HashSet<(u64, u64)> = batches.iter().map(Found::place).collect();
        let oldest = self.segments.used.keys().next().copied().unwrap_or(0);
        for (generation, offset) in &proven {
            // Segments older than the oldest were retired in order; what is missing above them is damage.
            if *generation >= oldest && !there.contains(&(*generation, *offset)) {
                let place = self.set_aside(*generation, *offset, BLOCK);
                recovered.findings.push(Finding::Rotten(place));
            }
        }
        let (mut kept, mut cut) = (Vec::new(), Vec::new());
        for mut batch in batches {
            batch.proven = proven.contains(&batch.place());
            if batch.proven && !batch.heads_whole {
                let place =
                    self.set_aside(batch.generation, batch.offset, batch_octets(&batch.header));
                recovered.findings.push(Finding::Rotten(place));
            }
            let whole = batch.proven || (batch.heads_whole && self.tails_are_whole(&batch)?);
            if whole || self.options.faults.take_torn {
                kept.push(batch);
            } else {
                cut.push(batch);
            }
        }
        let mut void = HashSet::new();
        for (_, head) in kept.iter().flat_map(|batch| &batch.records) {
            if let Head::Void { generation, offset } = head {
                void.insert((*generation, *offset));
            }
        }
        for batch in cut
            .into_iter()
            .filter(|batch| !void.contains(&batch.place()))
        {
            let place = self.set_aside(batch.generation, batch.offset, batch_octets(&batch.header));
            recovered.findings.push(Finding::Cut(place));
            // Said once: the next commit voids it.
            self.void.push(batch.place());
        }
        kept.retain(|batch| !void.contains(&batch.place()));
        Ok(kept)
    }

    /// What was read but is not proven durable may be in memory only, where an earlier sync failed: it is
    /// committed anew before anybody builds on it. Only what stands behind all that is proven: where a later
    /// batch is, the one that would prove it was lost, and its records must keep their place before the later.
    fn write_again(&mut self, judged: &Judged) -> io::Result<()> {
        let last = judged.iter().rposition(|batch| batch.proven);
        // The batch before the unproven ones is what the new ones follow.
        self.last = last.map(|last| judged[last].as_before());
        for batch in &judged[last.map_or(0, |last| last + 1)..] {
            let mut entries = Vec::new();
            for (place, _) in &batch.records {
                let record = self.segments.read_record(&self.disk, *place)?;
                let entry = record.and_then(Record::into_entry);
                entries.extend(entry.filter(|entry| self.still_matters(entry)));
            }
            self.void.push(batch.place());
            if entries.is_empty() {
                continue;
            }
            self.commit_again(&entries).map_err(|error| match error {
                super::CommitError::Disk(error) => error,
                super::CommitError::TooLarge => io::Error::other("a batch larger than a segment"),
            })?;
        }
        Ok(())
    }

    /// Not a message that ended meanwhile: its body may be gone.
    fn still_matters(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Accept(accepted) => self.known.contains_key(&accepted.queue_id),
            Entry::Progress { .. } => true,
        }
    }

    /// Reads each record to its last octet.
    fn tails_are_whole(&self, batch: &Found) -> io::Result<bool> {
        for (place, _) in &batch.records {
            if self.segments.read_record(&self.disk, *place)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the records into the index, in the order they were written.
    fn apply(&mut self, batches: &Judged, recovered: &mut Recovered) {
        let mut messages: BTreeMap<QueueId, Stored> = BTreeMap::new();
        for batch in batches {
            for (place, head) in &batch.records {
                let place = *place;
                let (puts, progress) = match head {
                    Head::Put(put) => (std::slice::from_ref(put), None),
                    Head::Progress {
                        queue_id,
                        state,
                        reports,
                    } => (&reports[..], Some((*queue_id, state.as_ref()))),
                    Head::Void { .. } => continue,
                };
                match progress {
                    Some((queue_id, Some(state))) => {
                        if let Some(message) = messages.get_mut(&queue_id)
                            && state.recipients.len() == message.state.recipients.len()
                        {
                            if let (Some(known), Ok(octets)) =
                                (self.known.get_mut(&queue_id), postcard::to_stdvec(state))
                            {
                                known.state = Some(octets.into());
                            }
                            message.state = state.clone();
                        }
                    }
                    Some((queue_id, None)) => {
                        messages.remove(&queue_id);
                        if let Some(known) = self.known.remove(&queue_id)
                            && let Some(living) = self.living.get_mut(&known.put.generation)
                        {
                            living.remove(&queue_id);
                        }
                    }
                    None => {}
                }
                for (part, put) in (0..).zip(puts) {
                    recovered.highest = recovered.highest.max(put.queue_id.as_u64());
                    self.learn_put(put.queue_id, place, part, put.body);
                    messages.entry(put.queue_id).or_insert_with(|| stored(put));
                }
            }
        }
        recovered.messages = messages.into_values().collect();
    }

    fn remove_bodies(&mut self, recovered: &mut Recovered) -> io::Result<()> {
        let mut named: BTreeSet<u64> = self
            .known
            .values()
            .filter_map(|known| known.body)
            .map(|b| b.number)
            .collect();
        let mut removed = 0;
        for name in self.disk.list(Folder::Body)? {
            let Some(number) = number_of(&name) else {
                continue;
            };
            self.next_body = self.next_body.max(number + 1);
            if !named.remove(&number) && self.disk.remove(Folder::Body, &name).is_ok() {
                removed += 1;
            }
        }
        let gone = named.into_iter().map(super::body_name);
        recovered.findings.extend(gone.map(Finding::BodyGone));
        if removed > 0 {
            recovered.findings.push(Finding::Bodies(removed));
        }
        Ok(())
    }

    /// Keeps a copy of a place in the log for whoever wants to look; gives the copy's name.
    fn set_aside(&mut self, generation: u64, offset: u64, octets: u64) -> String {
        let name = format!("{generation:016x}-{offset:08x}");
        // A copy that cannot be made does not stop the queue.
        let _ = self.copy_aside(&name, generation, offset, octets.min(ASIDE_OCTETS));
        name
    }

    fn copy_aside(
        &mut self,
        name: &str,
        generation: u64,
        offset: u64,
        octets: u64,
    ) -> io::Result<()> {
        let Some(segment) = self.segments.used.get(&generation) else {
            return Ok(());
        };
        let mut copy = vec![0; usize::try_from(octets).unwrap_or(0)];
        let read = self.disk.read_at(&segment.file, offset, &mut copy)?;
        let file = self.disk.create(Folder::Aside, name)?;
        self.disk.write_at(&file, 0, &copy[..read])?;
        self.disk.sync(&file)
    }
}

fn batch_octets(header: &Batch) -> u64 {
    super::format::batch_span(header.octets.into())
}

fn stored(put: &Put) -> Stored {
    Stored {
        queue_id: put.queue_id,
        octets: put.octets(),
        state: State::new(put.envelope.recipients.len(), put.envelope.arrival),
        envelope: put.envelope.clone(),
    }
}

/// Finds the segments; what is not in use becomes free. Files with names that we do not give stay as they are.
fn open_segments<D: Disk>(disk: &mut D, recovered: &mut Recovered) -> io::Result<Segments<D>> {
    let mut segments = Segments::new();
    let mut unused = Vec::new();
    for name in disk.list(Folder::Segment)? {
        if let Some(number) = name.strip_prefix("free-").and_then(number_of) {
            segments.next_free = segments.next_free.max(number + 1);
            // It may be half filled: whether it is whole is not worth knowing, it is made anew.
            disk.remove(Folder::Segment, &name)?;
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

/// Octets to read at once of so many.
fn piece_octets(octets: u64) -> usize {
    usize::try_from(octets).map_or(SEARCH_OCTETS, |octets| octets.min(SEARCH_OCTETS))
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

/// Reads a segment's batches, and the gaps that lie between valid ones.
fn scan<D: Disk>(
    disk: &D,
    segment: &Segment<D::File>,
    batches: &mut Vec<Found>,
    gaps: &mut Vec<(u64, u64, u64)>,
) -> io::Result<()> {
    let (octets, usage) = (disk.len(&segment.file)?, segment.usage);
    let mut offset = BLOCK;
    while offset + BATCH_HEADER as u64 <= octets {
        let mut header = [0; BATCH_HEADER];
        read_all(disk, &segment.file, offset, &mut header)?;
        let Some(batch) = Batch::decode(&header, usage, offset) else {
            match search(disk, segment, offset + BLOCK, octets)? {
                Some(found) => {
                    gaps.push((usage.generation, offset, found - offset));
                    offset = found;
                    continue;
                }
                None => return Ok(()),
            }
        };
        batches.push(read_batch(disk, segment, offset, batch)?);
        offset += super::format::batch_span(batch.octets.into());
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
fn read_all<D: Disk>(disk: &D, file: &D::File, offset: u64, into: &mut [u8]) -> io::Result<()> {
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
