//! Opening: reads a checkpoint and the log behind it, or the whole log, as they lie there, and says what was found.
//! Heads are read, contents only where the last batch must be told from a torn one.

mod scan;
mod segments;

pub(super) use scan::read_all;

use super::checkpoint::{CHECKPOINT, Checkpoints, Loaded, NotUsed, load};
use super::disk::{Disk, Folder};
use super::format::{BLOCK, Head, Put, Record};
use super::index::Index;
use super::look::Untouched;
use super::segment::number_of;
use super::{Options, Spool};
use crate::{Entry, State, Stored};
use mail::QueueId;
use scan::{Found, read_batch_at, scan};
use segments::open_segments;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::io;

/// Octets of a damaged place that are kept aside.
const ASIDE_OCTETS: u64 = 64 * 1024 * 1024;

/// What the spool held.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Messages that are not done with, oldest first.
    pub messages: Vec<Stored>,
    /// The greatest queue id that was ever seen.
    pub highest: u64,
    /// Messages that a checkpoint listed; `None` where the whole log was read.
    pub checkpoint: Option<usize>,
    /// What was not as it should be.
    pub findings: Vec<Finding>,
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A batch that was never acknowledged.
    Cut(String),
    /// What was acknowledged is damaged.
    Rotten(String),
    /// Bodies that no message names: left from a crash.
    Bodies(usize),
    /// Bodies that no message names, where a record that may have named them is damaged: they are kept.
    BodiesLeft(usize),
    /// A body that a message names is not there.
    BodyGone(String),
    /// A checkpoint cannot be used.
    Checkpoint(NotUsed),
}

impl Finding {
    /// What a start does about it.
    pub const fn deed(&self) -> &'static str {
        match self {
            Finding::Cut(_) => "cut off, copy in aside/",
            Finding::Rotten(_) => "copy in aside/",
            Finding::Bodies(_) => "removed",
            Finding::BodiesLeft(_) => "moved to aside/",
            Finding::Checkpoint(_) => "the whole log is read",
            Finding::BodyGone(_) => "the message stays, its deliveries wait",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Cut(place) => {
                write!(
                    f,
                    "a batch at {place} is unfinished, nobody was answered for it"
                )
            }
            Finding::Rotten(place) => write!(f, "DAMAGED: a record at {place} cannot be read"),
            Finding::Bodies(count) => write!(f, "{count} bodies belong to no message"),
            Finding::BodiesLeft(count) => write!(
                f,
                "{count} bodies belong to no message that can be read, perhaps to one that is damaged"
            ),
            Finding::Checkpoint(why) => write!(f, "the checkpoint cannot be used, {why}"),
            Finding::BodyGone(name) => write!(
                f,
                "DAMAGED: the file {name} in body/, a message's content, is gone"
            ),
        }
    }
}

/// What the log is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// To go on with it, from a checkpoint where there is one.
    Start,
    /// To look at all of it and to change nothing.
    Look,
}

/// Batches that count, in the order they were written.
type Judged = Vec<Found>;

impl<D: Disk> Spool<D> {
    /// Opens the log: from a checkpoint on, where there is one.
    pub fn open(disk: D, options: Options) -> io::Result<(Self, Recovered)> {
        Self::recover(disk, options, Opening::Start)
    }

    fn recover(mut disk: D, options: Options, how: Opening) -> io::Result<(Self, Recovered)> {
        let mut recovered = Recovered::default();
        let segments = open_segments(&mut disk, &mut recovered)?;
        let mut spool = Self {
            disk,
            options,
            segments,
            index: Index::default(),
            checkpoints: Checkpoints::new(),
            last: None,
            void: Vec::new(),
            unwanted: Vec::new(),
            next_body: 1,
        };
        let loaded = match load(&spool.disk, &spool.segments) {
            Ok(loaded) => loaded,
            Err(why) => {
                spool.refuse(why, &mut recovered);
                None
            }
        };
        let judged = match loaded {
            Some(loaded) if how == Opening::Look => {
                let judged = spool.read_whole_log(&mut recovered)?;
                spool.compare(loaded, &judged, &mut recovered)?;
                judged
            }
            Some(loaded) => match spool.read_log_behind(loaded, &mut recovered)? {
                Ok(judged) => judged,
                Err(why) => {
                    spool.refuse(why, &mut recovered);
                    spool.read_whole_log(&mut recovered)?
                }
            },
            None => spool.read_whole_log(&mut recovered)?,
        };
        if how == Opening::Start {
            // First, for a body may go only when the end of its message is durable.
            spool.write_again(&judged)?;
        }
        spool.remove_bodies(&mut recovered)?;
        Ok((spool, recovered))
    }

    /// A checkpoint that is not used is of no use. One that cannot be removed is judged again at the next start.
    fn refuse(&mut self, why: NotUsed, recovered: &mut Recovered) {
        let _ = self.disk.remove(Folder::Segment, CHECKPOINT);
        recovered.findings.push(Finding::Checkpoint(why));
    }

    fn read_whole_log(&mut self, recovered: &mut Recovered) -> io::Result<Judged> {
        let oldest = self.segments.used.keys().next().copied().unwrap_or(0);
        let batches = self.scan_from((oldest, 0), BLOCK, recovered)?;
        let log_octets = batches.iter().map(Found::span).sum();
        let judged = self.judge(batches, (oldest, 0), recovered)?;
        let (mut index, mut messages) = (Index::default(), BTreeMap::new());
        apply(&judged, &mut index, &mut messages);
        self.checkpoints.stands(None, log_octets);
        self.take_over(index, messages, recovered);
        Ok(judged)
    }

    /// Reads what a checkpoint does not know, after it was shown that the log is the one that it was made from, and
    /// holds all that it builds upon.
    fn read_log_behind(
        &mut self,
        mut loaded: Loaded,
        recovered: &mut Recovered,
    ) -> io::Result<Result<Judged, NotUsed>> {
        let (from, upto) = (loaded.standing.from, loaded.upto);
        let trusting = self.options.faults.checkpoint_recycled;
        let first = match self.segments.used.get(&from.0) {
            Some(segment) => read_batch_at(&self.disk, segment, from)?,
            None if trusting => None,
            None => return Ok(Err(NotUsed::Recycled)),
        };
        if first.is_none() && !trusting {
            return Ok(Err(NotUsed::Ahead));
        }
        let place = (from.0, from.1);
        let start = from.1 + first.as_ref().map_or(0, Found::span);
        let mut found = Recovered::default();
        let batches = self.scan_from(place, start, &mut found)?;
        let mut all = first.iter().chain(&batches);
        let newest = all.find(|batch| batch.as_before() == upto);
        let whole = match newest {
            Some(batch) => batch.heads_whole && self.tails_are_whole(batch)?,
            None => trusting,
        };
        if !whole {
            return Ok(Err(NotUsed::Ahead));
        }
        let log_octets = batches.iter().map(Found::span).sum();
        let judged = self.judge(batches, place, &mut found)?;
        let listed = loaded.messages.len();
        let mut index = std::mem::take(&mut loaded.index);
        apply(&judged, &mut index, &mut loaded.messages);
        if !loaded.knows_the_segments_of(&index, &self.segments) && !trusting {
            self.void.clear();
            return Ok(Err(NotUsed::Recycled));
        }
        self.last = Some(from);
        self.checkpoints.stands(Some(loaded.standing), log_octets);
        recovered.findings.append(&mut found.findings);
        recovered.checkpoint = Some(listed);
        self.take_over(index, loaded.messages, recovered);
        Ok(Ok(judged))
    }

    fn take_over(
        &mut self,
        index: Index,
        messages: BTreeMap<QueueId, Stored>,
        recovered: &mut Recovered,
    ) {
        recovered.highest = index.highest();
        recovered.messages = messages.into_values().collect();
        self.index = index;
    }

    /// Says so where a checkpoint and the log behind it are not what the whole log is.
    fn compare(
        &mut self,
        mut loaded: Loaded,
        judged: &[Found],
        recovered: &mut Recovered,
    ) -> io::Result<()> {
        let from = loaded.standing.from;
        let why = match self.segments.used.get(&from.0) {
            None => Some(NotUsed::Recycled),
            Some(segment) if read_batch_at(&self.disk, segment, from)?.is_none() => {
                Some(NotUsed::Ahead)
            }
            Some(_) => {
                let behind = judged.iter().filter(|b| b.place() > (from.0, from.1));
                apply(behind, &mut loaded.index, &mut loaded.messages);
                let same = loaded.messages.values().eq(&recovered.messages)
                    && loaded.index.after(None).eq(self.index.after(None));
                (!same).then_some(NotUsed::Differs)
            }
        };
        recovered.findings.extend(why.map(Finding::Checkpoint));
        let log_octets = judged.iter().map(Found::span).sum();
        self.checkpoints.stands(Some(loaded.standing), log_octets);
        Ok(())
    }

    /// All batches from a segment on, of the first only what lies at `start` or behind it. Gaps are set aside.
    fn scan_from(
        &mut self,
        place: (u64, u64),
        start: u64,
        recovered: &mut Recovered,
    ) -> io::Result<Vec<Found>> {
        let (mut batches, mut gaps) = (Vec::new(), Vec::new());
        for (generation, segment) in self.segments.used.range(place.0..) {
            let start = if *generation == place.0 { start } else { BLOCK };
            scan(&self.disk, segment, start, &mut batches, &mut gaps)?;
        }
        for (generation, offset, octets) in gaps {
            let place = self.set_aside(generation, offset, octets);
            recovered.findings.push(Finding::Rotten(place));
        }
        Ok(batches)
    }

    /// Tells whole batches from torn and from damaged ones; all lie behind `floor`, and what they need before it is
    /// known to be there.
    fn judge(
        &mut self,
        batches: Vec<Found>,
        floor: (u64, u64),
        recovered: &mut Recovered,
    ) -> io::Result<Judged> {
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
        for named in &proven {
            // Segments older than the oldest were retired in order; what is missing above them is damage.
            if *named > floor && !there.contains(named) {
                let place = self.set_aside(named.0, named.1, BLOCK);
                recovered.findings.push(Finding::Rotten(place));
            }
        }
        let (mut kept, mut cut) = (Vec::new(), Vec::new());
        for mut batch in batches {
            batch.proven = proven.contains(&batch.place());
            if batch.proven && !batch.heads_whole {
                let place = self.set_aside(batch.generation, batch.offset, batch.span());
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
            let place = self.set_aside(batch.generation, batch.offset, batch.span());
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
        self.last = last.map(|last| judged[last].as_before()).or(self.last);
        for batch in &judged[last.map_or(0, |last| last + 1)..] {
            let (mut entries, mut voids) = (Vec::new(), false);
            for (place, head) in &batch.records {
                if let Head::Void { generation, offset } = head {
                    // Whoever reads the log without this batch must be told that again, before anything else.
                    self.void.push((*generation, *offset));
                    voids = true;
                    continue;
                }
                let record = self.segments.read_record(&self.disk, *place)?;
                let entry = record.and_then(Record::into_entry);
                entries.extend(entry.filter(|entry| self.still_matters(entry)));
            }
            self.void.push(batch.place());
            if entries.is_empty() && !voids {
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
            Entry::Accept(accepted) => self.index.get(accepted.queue_id).is_some(),
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

    /// A body that no message names goes; it stays in `aside/` where the record that named it may be damaged.
    fn remove_bodies(&mut self, recovered: &mut Recovered) -> io::Result<()> {
        let known = self.index.after(None);
        let mut named: BTreeSet<u64> = known
            .filter_map(|(_, known)| known.body)
            .map(|b| b.number)
            .collect();
        let damaged = |finding: &Finding| matches!(finding, Finding::Rotten(_));
        let damaged = recovered.findings.iter().any(damaged);
        let mut unnamed = 0;
        for name in self.disk.list(Folder::Body)? {
            let Some(number) = number_of(&name) else {
                continue;
            };
            self.next_body = self.next_body.max(number + 1);
            if named.remove(&number) {
                continue;
            }
            // What cannot be moved or removed stays, and is met again at the next start.
            let gone = if damaged {
                self.disk
                    .set_aside(Folder::Body, &name, &format!("body-{name}"))
            } else {
                self.disk.remove(Folder::Body, &name)
            };
            unnamed += usize::from(gone.is_ok());
        }
        let gone = named.into_iter().map(super::body_name);
        recovered.findings.extend(gone.map(Finding::BodyGone));
        if unnamed > 0 && damaged {
            self.disk.sync_folder(Folder::Aside)?;
            recovered.findings.push(Finding::BodiesLeft(unnamed));
        } else if unnamed > 0 {
            recovered.findings.push(Finding::Bodies(unnamed));
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

impl<D: Disk> Spool<Untouched<D>> {
    /// Looks at all of a spool as a start without a checkpoint would find it, and changes nothing of it: what would be
    /// moved or removed is found and stays; a checkpoint is compared with what was read. Messages can be read.
    pub fn look(disk: D, options: Options) -> io::Result<(Self, Recovered)> {
        Self::recover(Untouched(disk), options, Opening::Look)
    }
}

/// Takes records into the index, in the order they were written.
fn apply<'a>(
    batches: impl IntoIterator<Item = &'a Found>,
    index: &mut Index,
    messages: &mut BTreeMap<QueueId, Stored>,
) {
    let records = batches.into_iter().flat_map(|batch| &batch.records);
    for (place, head) in records {
        let reports = match head {
            Head::Put(put) => std::slice::from_ref(put),
            Head::Progress {
                queue_id,
                state,
                reports,
            } => {
                if let Some(state) = state {
                    if let Some(message) = messages.get_mut(queue_id)
                        && state.recipients.len() == message.state.recipients.len()
                    {
                        index.stand(*queue_id, state);
                        message.state = state.clone();
                    }
                } else {
                    messages.remove(queue_id);
                    index.end(*queue_id);
                }
                reports
            }
            Head::Void { .. } => continue,
        };
        for (part, put) in (0..).zip(reports) {
            index.put(put.queue_id, *place, part, put.body);
            messages.entry(put.queue_id).or_insert_with(|| stored(put));
        }
    }
}

fn stored(put: &Put) -> Stored {
    Stored {
        queue_id: put.queue_id,
        octets: put.octets(),
        state: State::new(put.envelope.recipients.len(), put.envelope.arrival),
        envelope: put.envelope.clone(),
    }
}
