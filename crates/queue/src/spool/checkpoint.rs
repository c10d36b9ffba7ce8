//! Checkpoints: the index of all living messages in one file, as of a batch of the log. A start reads it in one
//! pass, and then only the log behind that batch. It is a hint: the log alone says what is true, and one that
//! does not prove itself is not used.
//!
//! # What it says
//!
//! A checkpoint says where it *begins* (`from`: the last batch that was durable when it was begun) and where it
//! *ends* (`upto`: the same when its last message was written). Between the two commits went on: nothing waits for
//! it and no second index is held. So a message that it lists may stand as it did at any time between the two, and
//! one that came or ended meanwhile may be listed or not. That is enough, for whoever reads it applies all that
//! was committed behind `from`, in order: a record that the listed message has seen already changes nothing, as
//! the last one counts; an end ends it; what is not listed is put. And since nothing that is listed is newer than
//! `upto`, a log that holds `upto` holds all that the checkpoint builds upon.
//!
//! # How it is written
//!
//! In pieces, by [`Spool::maintain`]: some messages in the order of their queue ids are read from the index; what
//! the index does not hold, the envelope, is taken from the checkpoint before this one where that lists the same
//! record, else from the record's head in the log. So the work is a merge of the checkpoint before with what came
//! since, both read from front to back, and memory holds a piece of each. It is synced as it grows, so that no sync
//! has much to do. At the end the file takes the name of the one before.

mod layout;
mod load;

pub use load::{Loaded, load};

use super::disk::{Disk, Folder};
use super::format::{Head, Place, Position};
use super::index::Known;
use super::{Segments, Spool};
use layout::{Before, Chunks, End, Listed};
use mail::QueueId;
use std::fmt;
use std::io;

/// Its name, in the folder of segments.
pub const CHECKPOINT: &str = "checkpoint";
/// Its name while it is written.
pub const UNFINISHED: &str = "checkpoint-new";
/// Checkpoints are written so seldom that they add at most a quarter to what the log writes, however many
/// messages are queued; what a start has to read of the log is then at most four times the checkpoint.
pub const CHECKPOINT_MULTIPLE: u64 = 4;
/// Octets of messages in one piece, about.
const PIECE_OCTETS: usize = 256 * 1024;
/// Octets that wait for a sync, about: few enough that none of them has much to do, and no sync for each small piece.
const SYNC_OCTETS: u64 = 256 * 1024;
/// Heads of records that one piece reads from the log: on a disk that turns, cold, about a third of a second.
const PIECE_HEADS: usize = 64;
/// Pieces of the checkpoint before that one piece reads.
const PIECE_BEFORE: usize = 2;

/// The checkpoint that lies on the disk, and the one that is written.
pub struct Checkpoints<F> {
    standing: Option<Standing>,
    writing: Option<Writing<F>>,
    /// Octets of the log behind the one that stands.
    log_octets: u64,
    /// What they were when the last one was given up.
    given_up_at: u64,
    /// Why the last one was given up, until it is said.
    complaint: Option<String>,
    /// It was said, and none has been written since.
    complained: bool,
}

/// The one that lies on the disk.
#[derive(Clone, Copy)]
pub struct Standing {
    pub from: Position,
    /// Its length.
    pub octets: u64,
}

/// One that is written.
struct Writing<F> {
    from: Position,
    /// Octets of the log when it was begun.
    log_octets: u64,
    chunks: Chunks<F>,
    /// The one before it, as far as it can be read.
    before: Option<Before<F>>,
    step: Step,
}

/// What comes next.
enum Step {
    /// Messages behind this one.
    List(Option<QueueId>),
    /// The end is written; all of it becomes durable.
    Sync,
    /// It takes its name.
    Name,
}

impl<F> Checkpoints<F> {
    /// None stands.
    pub fn new() -> Self {
        Self {
            standing: None,
            writing: None,
            log_octets: 0,
            given_up_at: 0,
            complaint: None,
            complained: false,
        }
    }

    /// What recovery found.
    pub fn stands(&mut self, standing: Option<Standing>, log_octets: u64) {
        self.standing = standing;
        self.log_octets = log_octets;
    }

    /// A batch became durable.
    pub fn log_grew(&mut self, octets: u64) {
        self.log_octets = self.log_octets.saturating_add(octets);
    }
}

impl<D: Disk> Spool<D> {
    /// Why no checkpoint was written, where one should have been: said once until one is written again.
    pub fn checkpoint_complaint(&mut self) -> Option<String> {
        self.checkpoints.complaint.take()
    }

    /// For one who is never idle: a piece of a checkpoint, where the log grew twice as far as it should.
    pub fn maintain_when_late(&mut self) {
        if self.checkpoint_log_octets() / 2 >= self.checkpoint_interval() {
            self.write_checkpoint_piece();
        }
    }

    /// What the log has grown by since one was written or given up.
    fn checkpoint_log_octets(&self) -> u64 {
        self.checkpoints.log_octets - self.checkpoints.given_up_at
    }

    /// What the log grows by before the next one.
    fn checkpoint_interval(&self) -> u64 {
        let last = self.checkpoints.standing.map_or(0, |last| last.octets);
        let small = self.options.checkpoint_octets;
        small.max(last.saturating_mul(CHECKPOINT_MULTIPLE)).max(1)
    }

    fn checkpoint_is_due(&self) -> bool {
        self.checkpoint_log_octets() >= self.checkpoint_interval()
    }

    /// Whether the log says nothing that the standing one does not.
    pub(super) fn checkpoint_covers_all(&self) -> bool {
        self.options.checkpoint_octets == u64::MAX || self.checkpoints.log_octets == 0
    }

    /// All of one at once: where nobody waits.
    pub(super) fn write_checkpoint(&mut self) {
        self.checkpoints.writing = None;
        self.take_checkpoint_step();
        while self.checkpoints.writing.is_some() {
            self.take_checkpoint_step();
        }
    }

    /// A bounded piece of one, if one is begun or due; true when there was something to do.
    pub(super) fn write_checkpoint_piece(&mut self) -> bool {
        if self.checkpoints.writing.is_none() && !self.checkpoint_is_due() {
            return false;
        }
        self.take_checkpoint_step();
        true
    }

    /// One that fails is given up: what it took is given back, and the next comes when the log has grown again.
    fn take_checkpoint_step(&mut self) {
        if let Err(why) = self.checkpoint_step() {
            let _ = self.disk.remove(Folder::Segment, UNFINISHED);
            self.checkpoints.given_up_at = self.checkpoints.log_octets;
            if !self.checkpoints.complained {
                self.checkpoints.complained = true;
                self.checkpoints.complaint = Some(format!("no checkpoint was written: {why}"));
            }
        }
    }

    fn checkpoint_step(&mut self) -> Result<(), GivenUp> {
        let Some(mut writing) = self.checkpoints.writing.take() else {
            self.checkpoints.writing = self.begin_checkpoint()?;
            return Ok(());
        };
        // It never takes what new mail or the queue's own shrinking needs.
        if !self.has_room() {
            return Err(GivenUp::NoRoom);
        }
        writing.step = match writing.step {
            Step::List(last) => self.list_some(&mut writing, last)?,
            Step::Sync => {
                writing.chunks.sync(&mut self.disk)?;
                Step::Name
            }
            Step::Name => return self.name_checkpoint(&writing),
        };
        self.checkpoints.writing = Some(writing);
        Ok(())
    }

    fn begin_checkpoint(&mut self) -> Result<Option<Writing<D::File>>, GivenUp> {
        let Some(from) = self.last else {
            // Nothing was ever written.
            self.checkpoints.given_up_at = self.checkpoints.log_octets;
            return Ok(None);
        };
        let likely = self.checkpoints.standing.map_or(0, |last| last.octets);
        let needed = likely.saturating_add(self.options.floor_octets);
        if self.disk.free_octets()? <= needed {
            return Err(GivenUp::NoRoom);
        }
        let standing = self.checkpoints.standing.is_some();
        let before = standing.then(|| Before::open(&self.disk)).flatten();
        Ok(Some(Writing {
            from,
            log_octets: self.checkpoints.log_octets,
            chunks: Chunks::create(&mut self.disk, from)?,
            before,
            step: Step::List(None),
        }))
    }

    /// Lists some messages behind `last`, and behind the last of all the end.
    fn list_some(
        &mut self,
        writing: &mut Writing<D::File>,
        mut last: Option<QueueId>,
    ) -> Result<Step, GivenUp> {
        let (mut octets, mut count, mut heads, mut all) = (Vec::new(), 0, 0, true);
        let mut patience = PIECE_BEFORE;
        for (queue_id, known) in self.index.after(last) {
            if octets.len() >= PIECE_OCTETS || heads >= PIECE_HEADS {
                all = false;
                break;
            }
            let mut listed = None;
            if let Some(before) = &mut writing.before {
                let Some(found) = before.find(&self.disk, queue_id, &mut patience) else {
                    all = false;
                    break;
                };
                listed = found.filter(|listed| is_same(listed, known));
            }
            octets = if let Some(listed) = listed {
                Listed::new(queue_id, known, listed.octets, listed.envelope).append(octets)?
            } else {
                heads += 1;
                let (envelope, content) = read_head(&self.segments, &self.disk, queue_id, known)?;
                Listed::new(queue_id, known, content, &envelope).append(octets)?
            };
            count += 1;
            last = Some(queue_id);
        }
        if count > 0 {
            writing.chunks.messages(&mut self.disk, &octets, count)?;
        }
        if !all {
            if writing.chunks.unsynced >= SYNC_OCTETS {
                writing.chunks.sync(&mut self.disk)?;
            }
            return Ok(Step::List(last));
        }
        let salts = self.segments.used.values();
        let end = End {
            upto: self.last.unwrap_or(writing.from),
            count: writing.chunks.count,
            highest: self.index.highest(),
            segments: salts.map(|s| (s.usage.generation, s.usage.salt)).collect(),
        };
        writing.chunks.end(&mut self.disk, &end)?;
        Ok(Step::Sync)
    }

    fn name_checkpoint(&mut self, writing: &Writing<D::File>) -> Result<(), GivenUp> {
        self.disk.rename(Folder::Segment, UNFINISHED, CHECKPOINT)?;
        self.checkpoints.standing = Some(Standing {
            from: writing.from,
            octets: writing.chunks.octets,
        });
        self.checkpoints.log_octets -= writing.log_octets;
        self.checkpoints.given_up_at = 0;
        self.checkpoints.complained = false;
        // Where the folder cannot be synced, either may be there after a crash, and each proves itself; it is synced
        // again before any segment that either needs is retired.
        self.segments.names_changed();
        self.segments.sync_names(&mut self.disk)?;
        Ok(())
    }

    /// A segment is about to be retired: a checkpoint that begins in it is worth nothing from then on, and is gone
    /// before the segment is.
    pub(super) fn drop_checkpoint_of(&mut self, generation: u64) -> io::Result<()> {
        let checkpoints = &mut self.checkpoints;
        if checkpoints
            .writing
            .as_ref()
            .is_some_and(|w| w.from.0 <= generation)
        {
            checkpoints.writing = None;
            let _ = self.disk.remove(Folder::Segment, UNFINISHED);
        }
        let stale = checkpoints.standing.is_some_and(|s| s.from.0 <= generation);
        if stale && !self.options.faults.checkpoint_recycled {
            match self.disk.remove(Folder::Segment, CHECKPOINT) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            checkpoints.standing = None;
            self.segments.names_changed();
        }
        Ok(())
    }

    /// The planted fault: a checkpoint that is due builds on a batch that was written and is not durable yet.
    pub(super) fn write_checkpoint_ahead<T>(
        &mut self,
        records: &[(Head, T)],
        places: &[Place],
        batch: Position,
    ) {
        if !self.checkpoint_is_due() {
            return;
        }
        let (index, last) = (self.index.clone(), self.last.replace(batch));
        for ((head, _), place) in records.iter().zip(places) {
            self.index.learn(head, *place);
        }
        self.write_checkpoint();
        (self.index, self.last) = (index, last);
    }
}

/// Whether a listed message is this one, at the same place.
fn is_same(listed: &Listed<'_>, known: &Known) -> bool {
    listed.place() == known.put && listed.part == known.part && listed.body == known.body
}

/// A message's envelope, encoded, and its content's octets, from its record.
fn read_head<D: Disk>(
    segments: &Segments<D>,
    disk: &D,
    queue_id: QueueId,
    known: &Known,
) -> Result<(Vec<u8>, u64), GivenUp> {
    let head = segments.read_head(disk, known.put)?;
    let put = match head {
        Some(Head::Put(put)) => (known.part == 0).then_some(put),
        Some(Head::Progress { reports, .. }) => reports.into_iter().nth(known.part as usize),
        Some(Head::Void { .. }) | None => None,
    };
    let put = put.filter(|put| put.queue_id == queue_id);
    let put = put.ok_or(GivenUp::Rotten(queue_id))?;
    let octets = put.octets();
    let envelope = postcard::to_stdvec(&put.envelope).map_err(|_| GivenUp::TooLarge)?;
    Ok((envelope, octets))
}

/// Why one was given up.
#[derive(Debug)]
enum GivenUp {
    /// The disk said no.
    Disk(io::Error),
    /// It would take what mail needs.
    NoRoom,
    /// A message's record cannot be read, so it cannot be listed; and none may be left out.
    Rotten(QueueId),
    /// Something is larger than a checkpoint takes.
    TooLarge,
}

impl From<io::Error> for GivenUp {
    fn from(error: io::Error) -> Self {
        GivenUp::Disk(error)
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GivenUp::Disk(error) => write!(f, "the disk: {error}"),
            GivenUp::NoRoom => f.write_str("too little free space"),
            GivenUp::Rotten(queue_id) => write!(f, "the record of {queue_id} is damaged"),
            GivenUp::TooLarge => f.write_str("an entry is too large"),
        }
    }
}

/// Why a checkpoint that is there was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUsed {
    /// The log does not hold what it builds upon.
    Ahead,
    /// It is torn, or rotten.
    Damaged,
    /// Read beside the whole log it says something else.
    Differs,
    /// A segment that it needs is gone, or is another one.
    Recycled,
    /// The disk said no.
    Unreadable(io::ErrorKind),
    /// A version that we do not know.
    Version(u32),
}

impl fmt::Display for NotUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotUsed::Ahead => f.write_str("the log does not hold what it builds upon"),
            NotUsed::Damaged => f.write_str("it is torn or damaged"),
            NotUsed::Differs => f.write_str("the log says otherwise"),
            NotUsed::Recycled => f.write_str("a segment that it needs is gone"),
            NotUsed::Unreadable(kind) => write!(f, "it cannot be read: {kind}"),
            NotUsed::Version(version) => write!(f, "its version {version} is not known"),
        }
    }
}
