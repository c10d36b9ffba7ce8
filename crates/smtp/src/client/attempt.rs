//! A message on its way through a session, and what its replies mean for each recipient.

use super::{BEYOND_ASCII, Message};
use mail::{Cause, Ending, Mailbox, Outcome, RemoteReply};

/// A message on its way through the session.
#[derive(Debug)]
pub struct Attempt {
    pub message: Message,
    /// What is decided so far.
    pub outcomes: Vec<Option<Ending>>,
    /// Recipients whose RCPT was accepted.
    pub accepted: Vec<usize>,
    /// A refusal of MAIL, which decides all recipients.
    pub refused: bool,
}

impl Attempt {
    /// A message that is about to go to a server that takes addresses beyond ASCII, or does not: who cannot be named to it, or
    /// whose sender cannot be, is decided on.
    ///
    //= https://www.rfc-editor.org/rfc/rfc6531#section-3.2
    //# If the SMTPUTF8 SMTP extension is not offered by the SMTP server, the
    //# SMTPUTF8-aware SMTP client MUST NOT transmit an internationalized
    //# email address
    pub fn new(message: Message, takes_smtputf8: bool) -> Self {
        let can_go = takes_smtputf8 || message.reverse_path.is_ascii();
        let decided = |mailbox: &Mailbox| {
            let goes = can_go && (takes_smtputf8 || mailbox.is_ascii());
            (!goes).then(|| Outcome::Failed(BEYOND_ASCII).into())
        };
        Self {
            outcomes: message.forward_paths.iter().map(decided).collect(),
            message,
            accepted: Vec::new(),
            refused: false,
        }
    }

    /// Decides what is not decided yet.
    pub fn decide_rest(&mut self, outcome: &Ending) {
        for slot in &mut self.outcomes {
            slot.get_or_insert_with(|| outcome.clone());
        }
    }
}

/// A reply that is no yes: 5xx fails, 4xx defers.
pub fn refused(reply: RemoteReply) -> Ending {
    let outcome = if reply.code / 100 == 5 {
        Outcome::Failed(Cause::Reply(reply))
    } else {
        Outcome::Deferred(Cause::Reply(reply))
    };
    outcome.into()
}
