//! smtpd ─judge─▶ policy: may this transaction be, and whom is it for? Asked once a transaction, when its content
//! begins; the yes is a seal, which smtpd hands to queue with the message. submission asks over an arrow of its own: by
//! that, and by nothing that is said, policy knows at which door the client is.

use crate::seal::Seal;
use crate::ticket::Ticket;
use mail::{ForwardPath, Mailbox, Recipient, ReversePath};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What smtpd and submission ask.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// Names the question.
    pub token: u64,
    /// The session.
    pub session: u64,
    /// The client's address.
    pub peer: IpAddr,
    /// Who is logged in, and auth's word for it.
    pub login: Option<Box<(Mailbox, Ticket)>>,
    /// Whom failures go to.
    pub reverse_path: ReversePath,
    /// Those that the session accepted, as the client gave them.
    pub forward_paths: Vec<ForwardPath>,
}

/// What policy answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Judged {
    /// The question.
    pub token: u64,
    /// What was found.
    pub verdict: Verdict,
}

/// Whether the transaction may be.
#[derive(Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Yes, and for these after aliases.
    Sealed(Vec<Recipient>, Seal),
    /// No.
    Refused,
    /// The ticket is none, or of before auth or policy was started anew.
    UnknownTicket,
}
