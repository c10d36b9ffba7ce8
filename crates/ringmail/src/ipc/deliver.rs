//! queue ─deliver─▶ local, relay: take this message there. The outcome is the answer, the only way back.

use mail::{Destination, DsnRequest, Ending, Host, Mailbox, QueueId, ReversePath};
use serde::{Deserialize, Serialize};

/// What queue asks a transport.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Names the attempt.
    pub attempt: u64,
    /// Where to.
    pub destination: Destination,
    /// The message.
    pub queue_id: QueueId,
    /// Whom failures go to.
    pub reverse_path: ReversePath,
    /// For whom: the recipient's number in the envelope, and its mailbox.
    pub recipients: Vec<(u32, Mailbox)>,
    /// The trace field that stands before the content.
    pub trace: Box<str>,
    /// Whether content has octets above 127.
    pub eight_bit: bool,
    /// Whether its sender said SMTPUTF8.
    pub smtputf8: bool,
    /// What the next hop is asked of reports, by the mailboxes of `recipients`.
    pub dsn: Option<Box<DsnRequest>>,
    /// An earlier attempt may have delivered it without our knowing: look before delivering.
    pub again: bool,
    /// A large body's length: it comes as a descriptor, open for reading only. Otherwise the frame's
    /// tail is the content.
    pub body_octets: Option<u64>,
}

/// What a transport answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ended {
    /// The attempt.
    pub attempt: u64,
    /// The host that it ended at.
    pub host: Host,
    /// How it ended for each recipient; those not named stay undecided.
    pub outcomes: Vec<(u32, Ending)>,
}
