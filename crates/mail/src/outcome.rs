//! How an attempt ended for one recipient.

use crate::{Class, Status};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

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

impl fmt::Display for RemoteReply {
    /// For the log: code, status code and text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        write!(f, " {}", self.text)
    }
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
    /// It was heard from a host of a private network.
    pub fn mark_inner(&mut self) {
        if let Outcome::Deferred(Cause::Reply(reply)) | Outcome::Failed(Cause::Reply(reply)) = self
        {
            reply.inner = true;
        }
    }
}

/// Words for the log, and for nothing else: no reply, report or record takes them. Printable ASCII, bounded, whoever
/// made them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Box<str>")]
pub struct Detail(Box<str>);

impl Detail {
    /// Longest detail: a reply as long as one may be fits, with its codes.
    pub const OCTETS: usize = RemoteReply::TEXT_OCTETS + 32;

    /// These words: what is not printable becomes a question mark, what is too long is cut.
    pub fn new(words: &str) -> Self {
        let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        Self(words.chars().take(Self::OCTETS).map(printable).collect())
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Box<str>> for Detail {
    fn from(words: Box<str>) -> Self {
        Self::new(&words)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The host that an attempt ended at, for the log. Nothing of it where there was none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name or its socket, as DNS or the configuration has it.
    pub name: Detail,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// What TLS was agreed on there; nothing where it was spoken to in clear.
    pub tls: Detail,
}

impl Host {
    /// Whether it was spoken to under TLS.
    pub fn has_tls(&self) -> bool {
        !self.tls.as_str().is_empty()
    }
}

/// How an attempt ended for one recipient, as a transport tells it: the outcome, which is kept, and what only the log
/// is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// Of a delivery the reply that took it, or the file it lies in; else what stands behind a cause of ours.
    pub detail: Detail,
    /// Of a delivery: the next hop took what the sender asks of reports, and reports from now on (RFC 3461 §5.2.1).
    pub handed_on: bool,
}

impl Ending {
    /// The next hop took it with this reply.
    pub fn taken(reply: &RemoteReply) -> Self {
        Self {
            outcome: Outcome::Delivered,
            detail: Detail::new(&reply.to_string()),
            handed_on: false,
        }
    }
}

impl From<Outcome> for Ending {
    /// There is nothing to add.
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            detail: Detail::default(),
            handed_on: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_is_told_is_printable_and_bounded_whoever_said_it() {
        let forged: Box<str> = "x\r\nevent=role.ended \u{e9}".into();
        assert_eq!(Detail::from(forged).as_str(), "x??event=role.ended ?");
        let long = RemoteReply {
            code: 250,
            status: Some(Status::new(Class::Success, 999, 999)),
            text: "y".repeat(RemoteReply::TEXT_OCTETS).into(),
            inner: false,
        };
        let said = Ending::taken(&long).detail;
        assert!(said.as_str().starts_with("250 2.999.999 y") && said.as_str().ends_with('y'));
        assert_eq!(
            said.as_str().len(),
            "250 2.999.999 ".len() + long.text.len()
        );
        assert_eq!(
            Detail::new(&"z".repeat(9999)).as_str().len(),
            Detail::OCTETS
        );
    }
}
