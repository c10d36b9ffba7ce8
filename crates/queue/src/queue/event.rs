//! What the log is told of the queue.

use mail::{Destination, Ending, Host, Mailbox, QueueId, ReversePath};

/// A client's address, and who was logged in. Boxed, for most have no login.
pub type Came = (std::net::IpAddr, Option<Box<Mailbox>>);

/// What the log is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message is durable.
    Accepted {
        /// Its name.
        queue_id: QueueId,
        /// Where it comes from; nothing for one that was made here.
        came: Option<Came>,
        /// Whom failures go to.
        reverse_path: ReversePath,
        /// How many recipients.
        recipients: usize,
        /// Octets of content.
        octets: u64,
    },
    /// How an attempt ended for a recipient.
    Outcome {
        /// The message.
        queue_id: QueueId,
        /// The recipient.
        mailbox: Mailbox,
        /// Where it was tried.
        destination: Option<Destination>,
        /// Which attempt, from 1.
        attempt: u32,
        /// The host that it ended at.
        host: Host,
        /// How.
        ending: Ending,
    },
    /// A report is kept.
    DsnQueued {
        /// The report.
        queue_id: QueueId,
        /// The message it is about.
        about: QueueId,
    },
    /// A message is done with.
    Ended {
        /// Which.
        queue_id: QueueId,
    },
    /// A message is kept as dead.
    Dead {
        /// Which.
        queue_id: QueueId,
    },
    /// A message is held, for its attempts ended their transport.
    Held {
        /// Which.
        queue_id: QueueId,
    },
    /// A message was dropped by the administrator.
    Dropped {
        /// Which.
        queue_id: QueueId,
    },
}
