//! A message on its way through a session, and what its replies mean for each recipient.

use super::Message;
use mail::{Cause, Ending, Outcome, RemoteReply};

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
