//! The envelope: what goes beside the content, RFC 5321 §2.3.1, and what we noted when it came.

use crate::{Mailbox, ReversePath, Time};
use serde::{Deserialize, Serialize};

/// Whom the mail goes to, and whom it was sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Where it goes, after aliases.
    pub mailbox: Mailbox,
    /// The forward-path as the client gave it, when an alias led elsewhere. Reports name this one, so
    /// that nobody learns where an alias leads (RFC 3464 §2.3.2).
    pub original: Option<Mailbox>,
}

impl Recipient {
    /// The mailbox that the world knows: the one the mail was sent to.
    pub fn known(&self) -> &Mailbox {
        self.original.as_ref().unwrap_or(&self.mailbox)
    }
}

/// What goes beside the content. Bounded by [`crate::limits::RECIPIENTS`] times the expansion of aliases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Whom failures go to.
    pub reverse_path: ReversePath,
    /// Whom it goes to, each once.
    pub recipients: Vec<Recipient>,
    /// When it was accepted.
    pub arrival: Time,
    /// Whether content has octets above 127.
    pub eight_bit: bool,
}
