//! The envelope: what goes beside the content, RFC 5321 §2.3.1, and what we noted when it came.

use crate::{Mailbox, ReversePath, Time};
use serde::{Deserialize, Serialize};

/// Whom the mail goes to, and whom it was sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Where it goes, after aliases.
    pub mailbox: Mailbox,
    /// The forward-paths as the client gave them, where an alias led here; none when the client named the
    /// mailbox itself and nothing else that leads to it. Reports name these, so that nobody learns where an
    /// alias leads (RFC 3464 §2.3.2). At most one for each RCPT of the transaction.
    pub originals: Vec<Mailbox>,
}

impl Recipient {
    /// A mailbox that was named itself.
    pub fn direct(mailbox: Mailbox) -> Self {
        Self {
            mailbox,
            originals: Vec::new(),
        }
    }

    /// The mailboxes that the world knows: those the mail was sent to. Never none.
    pub fn known(&self) -> &[Mailbox] {
        if self.originals.is_empty() {
            std::slice::from_ref(&self.mailbox)
        } else {
            &self.originals
        }
    }

    /// Another forward-path led to the same mailbox: it gets one copy, and all who were named are known.
    pub fn join(&mut self, other: &Recipient) {
        let mut known = self.known().to_vec();
        for name in other.known() {
            if !known.contains(name) {
                known.push(name.clone());
            }
        }
        if known != self.known() {
            self.originals = known;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_named_is_known_and_nobody_twice() {
        let mailbox = |text| Mailbox::parse(text).unwrap();
        let by_alias = Recipient {
            mailbox: mailbox("joe@far.test"),
            originals: vec![mailbox("info@home.test")],
        };
        let mut joe = Recipient::direct(mailbox("joe@far.test"));
        joe.join(&Recipient::direct(mailbox("joe@far.test")));
        assert_eq!(joe, Recipient::direct(mailbox("joe@far.test")));
        joe.join(&by_alias);
        joe.join(&by_alias);
        assert_eq!(
            joe.known(),
            [mailbox("joe@far.test"), mailbox("info@home.test")]
        );
        assert_eq!(by_alias.known(), [mailbox("info@home.test")]);
    }
}
