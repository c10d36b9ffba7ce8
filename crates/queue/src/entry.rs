//! What the schedule asks the spool to keep: the words that the two halves of this room share.

use mail::{Envelope, Outcome, QueueId, Time};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Content of this many octets or more lies in a file of its own; less goes into the log.
pub const BODY_OCTETS: u64 = 256 * 1024;

/// The content of a message, without the trace field that we put before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In memory, shared with whoever sends it; lies in the log.
    Inline(Arc<[u8]>),
    /// In a file of its own, which the spool made and named.
    Body(Body),
}

/// Names a file in the spool's `body/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Body {
    /// The file's number; its name is this in 16 hexadecimal digits.
    pub number: u64,
    /// Its length when it was accepted.
    pub octets: u64,
    /// CRC32C of all of it, when it was accepted.
    pub checksum: u32,
}

impl Content {
    /// Octets of content.
    pub fn octets(&self) -> u64 {
        match self {
            Content::Inline(octets) => octets.len() as u64,
            Content::Body(body) => body.octets,
        }
    }
}

/// A message to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name for ever.
    pub queue_id: QueueId,
    /// Its envelope.
    pub envelope: Envelope,
    /// The trace field that stands before the content; empty for a report.
    pub trace: Arc<str>,
    /// The content.
    pub content: Content,
}

/// Where a recipient stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Still to be delivered; how the last attempt ended, if there was one.
    Waiting(Option<Box<Outcome>>),
    /// Delivered.
    Delivered,
    /// Failed or expired, and reported where a report is owed.
    Failed,
}

/// Where a message stands; the last one written counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// One for each recipient, in the envelope's order.
    pub recipients: Vec<Standing>,
    /// Attempts made so far.
    pub attempts: u32,
    /// When the next is due.
    pub next_attempt: Time,
    /// Held by the administrator: not attempted until released.
    pub held: bool,
    /// A report, or mail that wants none, that could not be delivered even to postmaster: kept, counted,
    /// not attempted any more.
    pub dead: bool,
}

impl State {
    /// The state of a message just accepted.
    pub fn new(recipients: usize, now: Time) -> Self {
        Self {
            recipients: vec![Standing::Waiting(None); recipients],
            attempts: 0,
            next_attempt: now,
            held: false,
            dead: false,
        }
    }
}

/// One change that the spool makes durable. All entries of a commit become durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message is ours from now on.
    Accept(Accepted),
    /// Where a message stands now; and in the same record the reports that this owes.
    Progress {
        /// The message.
        queue_id: QueueId,
        /// Where it stands; `None` when it is done with and to be forgotten.
        state: Option<State>,
        /// Reports: new messages that exist from now on.
        reports: Vec<Accepted>,
    },
}

/// A message as the spool holds it, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub queue_id: QueueId,
    /// Its envelope.
    pub envelope: Envelope,
    /// Octets of content, trace field not counted.
    pub octets: u64,
    /// Where it stands.
    pub state: State,
}
