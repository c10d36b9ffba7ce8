//! The administrator's questions: a command ─▶ admin over the control socket, admin ─control─▶ queue. What is the
//! supervisor's to answer admin asks of it (`supervise`), and never passes on to queue.

use super::supervise::{Reload, Supervision};
use mail::{QueueId, Time};
use serde::{Deserialize, Serialize};

/// Most messages of one answer; the next are asked for with [`Request::List`]'s `after`.
pub const LIST_MAX: usize = 500;

/// Which messages a command means. An empty filter means all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// These only.
    pub queue_ids: Vec<QueueId>,
    /// A recipient is this, or at this domain.
    pub to: Option<String>,
    /// A recipient is at this domain.
    pub domain: Option<String>,
    /// The reverse-path is this, or at this domain.
    pub from: Option<String>,
    /// At least so old, in seconds.
    pub age_min_secs: Option<u64>,
    /// The reason for waiting has this in it.
    pub reason: Option<String>,
    /// Kept as dead.
    pub dead: bool,
}

/// What to do with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// Forget them, without a report.
    Drop,
    /// Attempt them no more until released.
    Hold,
    /// Take back a hold.
    Release,
    /// Attempt them now.
    Retry,
}

/// A question of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Is anybody there, and well?
    Health,
    /// How many messages stand how.
    Count,
    /// What stands: roles, listeners, queue.
    Status,
    /// Read the configuration anew.
    Reload,
    /// Messages, oldest first, at most [`LIST_MAX`], behind this one.
    List {
        /// Which.
        filter: Filter,
        /// The last that was seen.
        after: Option<QueueId>,
    },
    /// The content of one message, its first octets: trace field and content.
    Show(QueueId),
    /// Do this to these messages.
    Do(Deed, Filter),
    /// How many messages are meant, and how they stand.
    Meant(Filter),
}

/// One message as commands show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its name.
    pub queue_id: QueueId,
    /// Whom failures go to; empty for the null reverse-path.
    pub reverse_path: String,
    /// Each recipient that still waits, or all where none does.
    pub recipients: Vec<String>,
    /// When it came.
    pub arrival: Time,
    /// Octets of content.
    pub octets: u64,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next is due.
    pub next_attempt: Time,
    /// `due`, `waiting`, `sending`, `held` or `dead`.
    pub state: String,
    /// Why it is still here.
    pub reason: String,
    /// The enhanced status code of the last attempt that did not work.
    pub status: Option<String>,
    /// Why it did not, in words; of a next hop its reply.
    pub cause: Option<String>,
}

/// Messages by where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub messages: u64,
    /// With a transport, or waiting for one.
    pub sending: u64,
    /// To be attempted now.
    pub due: u64,
    /// To be attempted later.
    pub waiting: u64,
    /// Held by the administrator.
    pub held: u64,
    /// Kept although nobody can be told.
    pub dead: u64,
    /// Age of the oldest that is not dead, in seconds.
    pub oldest_secs: Option<u64>,
    /// Whether new mail is taken.
    pub room: bool,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Well; how many messages are here.
    Healthy {
        /// Messages in the queue.
        messages: u64,
        /// Whether new mail is taken.
        room: bool,
        /// Roles that do not serve now.
        absent: Vec<String>,
    },
    /// How many messages stand how.
    Counts(Counts),
    /// What stands; the counts are missing while queue does not answer.
    Status(Supervision, Option<Counts>),
    /// How the reload went.
    Reload(Reload),
    /// Messages.
    List(Vec<Message>),
    /// The message and the first octets of it; the frame's tail.
    Show(Message),
    /// It was done to so many: those that are held are not attempted.
    Done(u64),
    /// There is no such message.
    Nothing,
    /// The queue is not there, or did not answer in time.
    Unavailable,
}
