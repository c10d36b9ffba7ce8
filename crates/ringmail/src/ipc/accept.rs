//! smtpd ─accept─▶ queue: keep this message. The answer is the 250.

use crate::seal::Seal;
use mail::{Envelope, QueueId, Received};
use queue::Body;
use serde::{Deserialize, Serialize};

/// What smtpd asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToQueue {
    /// A file for a large body; answered by [`FromQueue::Body`] or [`FromQueue::Refused`].
    NewBody {
        /// Names the question.
        token: u64,
    },
    /// The body is not wanted any more.
    DropBody {
        /// The file.
        number: u64,
    },
    /// Keep this message; answered by [`FromQueue::Accepted`], [`FromQueue::Refused`] or [`FromQueue::Unsealed`].
    Accept {
        /// Names the question.
        token: u64,
        /// The message.
        message: Box<Incoming>,
    },
}

/// A message as smtpd hands it over; its content is the frame's tail, or a large body's file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Incoming {
    /// The envelope.
    pub envelope: Envelope,
    /// Where it comes from.
    pub received: Received,
    /// Policy's word for the envelope and the peer.
    pub seal: Seal,
    /// A large body's file; otherwise the tail is the content.
    pub body: Option<Body>,
}

/// What queue answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromQueue {
    /// Whether there is room for new mail; said at the start and whenever it changes.
    Room(bool),
    /// A file to write a body into; its descriptor comes with the frame.
    Body {
        /// The question.
        token: u64,
        /// The file's number.
        number: u64,
    },
    /// The message is on stable storage.
    Accepted {
        /// The question.
        token: u64,
        /// The message's name.
        queue_id: QueueId,
    },
    /// It is not: nothing of it is kept.
    Refused {
        /// The question.
        token: u64,
    },
    /// It is not, for it bears no seal that can be taken: nothing of it is kept, and a large body is still the
    /// asker's. Policy or queue may just have been started anew: another seal may be taken.
    Unsealed {
        /// The question.
        token: u64,
    },
}
