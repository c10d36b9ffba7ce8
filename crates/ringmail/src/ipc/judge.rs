//! smtpd ─judge─▶ policy: may this transaction be, and whom is it for? Asked once a transaction, when its content
//! begins; the yes is a seal, which smtpd hands to queue with the message.

use super::spawn::Listener;
use crate::seal::Seal;
use mail::{ForwardPath, Recipient, ReversePath};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What smtpd asks.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// Names the question.
    pub token: u64,
    /// The client's address.
    pub peer: IpAddr,
    /// The door it came through.
    pub listener: Listener,
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
    /// Yes, and for these after aliases; nothing is a no.
    pub sealed: Option<(Vec<Recipient>, Seal)>,
}
