//! smtpd ─accept─▶ queue: keep this message. The answer is the 250.

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
    /// Keep this message; answered by [`FromQueue::Accepted`] or [`FromQueue::Refused`].
    Accept {
        /// Names the question.
        token: u64,
        /// The envelope.
        envelope: Envelope,
        /// Where it comes from.
        received: Received,
        /// A large body's file; otherwise the frame's tail is the content.
        body: Option<Body>,
    },
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
}
