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
    /// Delivered, or taken by a next hop that says no more of it; a report that its sender asked for is owed (RFC 3461
    /// §5.2.2, §5.2.3).
    Owed(Manner),
}

/// How mail came where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    /// It lies in its mailbox.
    Delivered,
    /// A next hop has it.
    Relayed,
}

/// Where a message stands; the last one written counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
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
    /// Its sender was told that it is delayed.
    pub delay_told: bool,
}

/// A state as a record has it. Once its last octet was a truth, whether the message is dead: as a set of marks it still
/// reads what was written then.
#[derive(Serialize, Deserialize)]
struct Written {
    recipients: Vec<Standing>,
    attempts: u32,
    next_attempt: Time,
    held: bool,
    marks: u8,
}

const DEAD: u8 = 1;
const DELAY_TOLD: u8 = 2;

impl From<State> for Written {
    fn from(state: State) -> Self {
        let mark = |is: bool, mark: u8| if is { mark } else { 0 };
        Self {
            recipients: state.recipients,
            attempts: state.attempts,
            next_attempt: state.next_attempt,
            held: state.held,
            marks: mark(state.dead, DEAD) | mark(state.delay_told, DELAY_TOLD),
        }
    }
}

impl TryFrom<Written> for State {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        if written.marks & !(DEAD | DELAY_TOLD) != 0 {
            return Err("a mark of a message's state that is none");
        }
        Ok(Self {
            recipients: written.recipients,
            attempts: written.attempts,
            next_attempt: written.next_attempt,
            held: written.held,
            dead: written.marks & DEAD != 0,
            delay_told: written.marks & DELAY_TOLD != 0,
        })
    }
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
            delay_told: false,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A state as it was written before there were marks.
    #[derive(Serialize)]
    struct Before {
        recipients: Vec<Standing>,
        attempts: u32,
        next_attempt: Time,
        held: bool,
        dead: bool,
    }

    #[test]
    fn a_state_that_was_written_before_there_were_marks_is_read() {
        for dead in [false, true] {
            let before = Before {
                recipients: vec![Standing::Waiting(None), Standing::Delivered],
                attempts: 300,
                next_attempt: Time::from_secs(7),
                held: true,
                dead,
            };
            let octets = postcard::to_allocvec(&before).unwrap();
            let state: State = postcard::from_bytes(&octets).unwrap();
            assert_eq!((state.attempts, state.held), (300, true));
            assert_eq!((state.dead, state.delay_told), (dead, false));
            assert_eq!(
                postcard::to_allocvec(&state).unwrap(),
                octets,
                "written as before"
            );
        }
    }

    #[test]
    fn each_mark_is_kept_and_one_that_is_none_is_refused() {
        let mut state = State::new(1, Time::from_secs(7));
        for (dead, delay_told) in [(false, true), (true, false), (true, true)] {
            (state.dead, state.delay_told) = (dead, delay_told);
            let mut octets = postcard::to_allocvec(&state).unwrap();
            assert_eq!(postcard::from_bytes::<State>(&octets).unwrap(), state);
            *octets.last_mut().unwrap() |= 4;
            assert!(postcard::from_bytes::<State>(&octets).is_err());
        }
    }
}
