//! The spool: an append-only log in segment files, and large bodies in files of their own. One thread owns
//! it; every call may wait for the disk.
//!
//! # What lies on disk
//!
//! | state | what it is | what recovery does with it |
//! |---|---|---|
//! | `segment/free-N` | a file full of zeros, or one whose messages are all gone | keeps it for later use |
//! | `segment/G` whose header does not say generation G, or that is empty | made or recycled, not yet used | makes it free |
//! | `segment/G` without a header, not empty | both copies of its header are damaged | keeps it in `aside/`, says so |
//! | `segment/G` with its header | part of the log | reads its batches |
//! | a batch that is whole | acknowledged, or about to be | applies its records |
//! | a batch that is not whole, nothing valid behind it | the power went while it was written: nobody was answered | cuts it off, keeps a copy in `aside/`, says so |
//! | the same, but a later batch names it as the one before | it was whole once: the disk lost it | applies what records of it are whole, keeps a copy in `aside/`, says so |
//! | a batch that a later record voids | its sync failed, it was refused | skips it |
//! | `segment/checkpoint` that proves itself | the index of all living messages as of a batch of the log | begins with it, reads the log behind that batch |
//! | `segment/checkpoint` that does not | torn, rotten, of another version, ahead of the log, or older than all of it | removes it, says so, reads the whole log |
//! | `segment/checkpoint-new` | a checkpoint that was not finished | removes it |
//! | `body/N` named by a living message | its content | keeps it |
//! | no `body/N`, and a living message names it | the disk lost it | says so; the message cannot be read |
//! | `body/N` named by none | written, never accepted; or its message is gone | removes it |
//! | the same, and something of the log is damaged | it may be what is left of a message | moves it to `aside/`, says so |
//!
//! # Steps, and what a crash after each leaves
//!
//! *Commit*: bodies and their folder are synced; then one batch is written on fresh blocks of 4 KiB, and
//! one `fdatasync` makes it durable. A crash before that leaves a batch that is not whole or a body that
//! nobody names.
//! *Refuse*: a batch whose sync failed may be whole all the same; the next that becomes durable voids it. Its bodies
//! stay until then: a crash before leaves a message that nobody was answered 250 for, with its content.
//! *Roll*: a free segment gets its header, file and folder are synced, then it is used. A crash leaves a
//! segment whose header is whole and has no batches, or one that is made free again.
//! *Retire*: segments end oldest first. What lives in the oldest is committed anew at the log's head, put
//! and standing together, and only after that commit is the old one freed. So the record that ends a
//! message outlives every record of it, and no message rises again.
//! *Checkpoint*: beside all this the index is written to a new file, in pieces, while commits go on; when all of it
//! is durable it takes the old one's name and the folder is synced. A crash leaves the old one, or the new one, or both.
//! Before the segment it begins in is retired, it is removed. See `checkpoint.rs`.
//!
//! A segment's use has a salt of its own; each checksum covers salt, generation and place. Octets of an
//! earlier use, or of a message that holds what looks like a record, pass for nothing.

mod checkpoint;
mod commit;
mod disk;
mod format;
mod index;
mod look;
mod recover;
mod segment;

pub use checkpoint::{CHECKPOINT, CHECKPOINT_MULTIPLE, NotUsed};
pub use commit::COMMIT_OCTETS;
pub use disk::{Disk, Folder};
pub use look::Untouched;
pub use recover::{Finding, Recovered};

use crate::{Body, Content};
use checkpoint::Checkpoints;
use format::Position;
use index::Index;
use mail::QueueId;
use segment::Segments;
use std::fmt;
use std::io;
use std::sync::Arc;

/// How the spool is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Octets of a segment; a multiple of the block, at least [`Options::SEGMENT_OCTETS_MIN`].
    pub segment_octets: u64,
    /// Below this many free octets no new mail is taken.
    pub floor_octets: u64,
    /// Free segments that are kept ready. One of them is the reserve: it is used only by commits that
    /// accept nothing, so that the queue can shrink on a full disk.
    pub free_segments: usize,
    /// The log grows by so many octets, or by [`CHECKPOINT_MULTIPLE`] times the last checkpoint where that is more,
    /// before the next checkpoint is written. `u64::MAX`: none is written ever.
    pub checkpoint_octets: u64,
    /// For the simulation: what goes wrong on purpose.
    pub faults: Faults,
}

impl Options {
    /// A commit of the largest entry must fit.
    pub const SEGMENT_OCTETS_MIN: u64 = 8 * 1024 * 1024;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_octets: 32 * 1024 * 1024,
            floor_octets: 128 * 1024 * 1024,
            free_segments: 2,
            // A start reads the heads of so much log within some tenths of a second.
            checkpoint_octets: 64 * 1024 * 1024,
            faults: Faults::default(),
        }
    }
}

/// Mistakes that the simulation plants to see them caught. Never set by the program.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Faults {
    /// A commit is acknowledged without its sync.
    pub no_sync: bool,
    /// A new segment's folder entry is not synced.
    pub no_folder_sync: bool,
    /// A body is not synced before its record.
    pub no_body_sync: bool,
    /// The oldest segment is freed although messages live in it.
    pub free_living: bool,
    /// A torn batch at the end is applied as far as it goes.
    pub take_torn: bool,
    /// A batch whose sync failed is not voided.
    pub no_void: bool,
    /// A checkpoint is written whose last batch is not durable yet.
    pub checkpoint_ahead: bool,
    /// A checkpoint is believed although the segment it begins at was recycled.
    pub checkpoint_recycled: bool,
}

/// Unwanted bodies that wait for a void; more of them are left for the next start to remove.
const UNWANTED_MAX: usize = 4096;

/// The spool.
pub struct Spool<D: Disk> {
    disk: D,
    options: Options,
    segments: Segments<D>,
    index: Index,
    checkpoints: Checkpoints<D::File>,
    /// The batch before the next one.
    last: Option<Position>,
    /// Batches that were refused and may lie on the disk all the same.
    void: Vec<(u64, u64)>,
    /// Bodies that are not wanted, of which one of those batches may speak.
    unwanted: Vec<u64>,
    next_body: u64,
}

/// A commit did not become durable; nothing of it is acknowledged.
#[derive(Debug)]
pub enum CommitError {
    /// The disk said no.
    Disk(io::Error),
    /// An entry is larger than a segment takes.
    TooLarge,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::Disk(error) => write!(f, "the disk: {error}"),
            CommitError::TooLarge => f.write_str("an entry larger than a segment"),
        }
    }
}

impl std::error::Error for CommitError {}

impl From<io::Error> for CommitError {
    fn from(error: io::Error) -> Self {
        CommitError::Disk(error)
    }
}

/// A message cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// There is no such message.
    Unknown,
    /// The disk said no.
    Disk(io::Error),
    /// What the disk gave is not what was written.
    Rotten,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Unknown => f.write_str("no such message"),
            ReadError::Disk(error) => write!(f, "the disk: {error}"),
            ReadError::Rotten => f.write_str("the record is damaged"),
        }
    }
}

impl std::error::Error for ReadError {}

impl<D: Disk> Spool<D> {
    /// Trace field and content of a message; a large body is only named.
    pub fn read(&self, queue_id: QueueId) -> Result<(Arc<str>, Content), ReadError> {
        let known = self.index.get(queue_id).ok_or(ReadError::Unknown)?;
        let record = self
            .segments
            .read_record(&self.disk, known.put)
            .map_err(ReadError::Disk)?;
        let messages = record
            .and_then(format::Record::messages)
            .ok_or(ReadError::Rotten)?;
        let message = messages
            .into_iter()
            .nth(known.part as usize)
            .ok_or(ReadError::Rotten)?;
        if message.queue_id != queue_id {
            return Err(ReadError::Rotten);
        }
        Ok((message.trace, message.content))
    }

    /// A fresh named file for a large body.
    pub fn new_body(&mut self) -> io::Result<(u64, D::File)> {
        let number = self.next_body;
        self.next_body = segment::number_after(number)?;
        let file = self.disk.create(Folder::Body, &body_name(number))?;
        Ok((number, file))
    }

    /// A body that is not wanted after all. One that cannot be removed goes at the next start. While a batch that was
    /// refused is not voided it may name this one, and a start before that would find a message without its content:
    /// it goes when the void is durable.
    pub fn drop_body(&mut self, number: u64) {
        if self.void.is_empty() {
            let _ = self.disk.remove(Folder::Body, &body_name(number));
        } else if self.unwanted.len() < UNWANTED_MAX {
            self.unwanted.push(number);
        }
    }

    /// What was refused is voided for good.
    fn voided(&mut self) {
        self.void.clear();
        for number in std::mem::take(&mut self.unwanted) {
            let _ = self.disk.remove(Folder::Body, &body_name(number));
        }
    }

    /// Opens a body.
    pub fn open_body(&self, body: &Body) -> io::Result<D::File> {
        self.disk.open(Folder::Body, &body_name(body.number))
    }

    /// Whether new mail should be taken: there is more free space than the floor. When the disk does not
    /// say, there is none.
    pub fn has_room(&self) -> bool {
        self.free_octets() > self.floor_octets()
    }

    /// Free space; none when the disk does not say.
    pub fn free_octets(&self) -> u64 {
        self.disk.free_octets().unwrap_or(0)
    }

    /// Free space at which new mail is refused.
    pub fn floor_octets(&self) -> u64 {
        self.options.floor_octets
    }

    /// The disk as it is, without closing: what a crash leaves. For those who simulate it.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// The disk, for those who simulate it.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }
}

/// The name of a body's file.
pub fn body_name(number: u64) -> String {
    format!("{number:016x}")
}
