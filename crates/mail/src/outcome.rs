//! How an attempt ended for one recipient.

use crate::{Class, Status};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a next hop said, made harmless: printable ASCII only, bounded. Kept for the log and the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteReply {
    /// The reply code, 200 to 599.
    pub code: u16,
    /// The enhanced status code, where the text begins with one of the same class.
    pub status: Option<Status>,
    /// The text of all lines, joined by blanks, without the status code; at most
    /// [`RemoteReply::TEXT_OCTETS`].
    pub text: Box<str>,
    /// Said by a host of a private network: it is for the log, and a report tells nothing of it.
    pub inner: bool,
}

impl RemoteReply {
    /// Longest text that is kept.
    pub const TEXT_OCTETS: usize = 512;
}

/// Why an attempt did not deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The next hop said so.
    Reply(RemoteReply),
    /// We found out ourselves: a status code and words of ours. They are fixed where they are made; a
    /// record gives them back owned.
    Ours(Status, Cow<'static, str>),
}

impl Cause {
    /// The enhanced status code to report (RFC 3464 §2.3.4): the one given, or the one that the reply
    /// code implies.
    pub fn status(&self) -> Status {
        match self {
            Cause::Ours(status, _) => *status,
            Cause::Reply(reply) => reply.status.unwrap_or_else(|| {
                let class = match reply.code / 100 {
                    2 => Class::Success,
                    5 => Class::Permanent,
                    _ => Class::Transient,
                };
                Status::new(class, 0, 0)
            }),
        }
    }
}

/// How an attempt ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The next hop has it, or it lies in its mailbox, on stable storage.
    Delivered,
    /// Not now; to be tried again.
    Deferred(Cause),
    /// Never; to be reported.
    Failed(Cause),
}

impl Outcome {
    /// The same, heard from a host of a private network.
    #[must_use]
    pub fn from_inner(mut self) -> Self {
        if let Outcome::Deferred(Cause::Reply(reply)) | Outcome::Failed(Cause::Reply(reply)) =
            &mut self
        {
            reply.inner = true;
        }
        self
    }
}
