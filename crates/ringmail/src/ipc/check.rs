//! submission ─check─▶ auth: are this name and this password a user's? The yes is a ticket, which submission shows policy
//! with each transaction.

use crate::ticket::Ticket;
use mail::Mailbox;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What submission asks; the password stands in the tail, of at most [`mail::limits::LOGIN_PASSWORD_OCTETS`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// Names the question.
    pub token: u64,
    /// The session.
    pub session: u64,
    /// The client's address.
    pub peer: IpAddr,
    /// The name that it gave, of at most [`mail::limits::LOGIN_NAME_OCTETS`].
    pub user: String,
}

/// What auth answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Checked {
    /// The question.
    pub token: u64,
    /// What was found.
    pub found: Found,
}

/// Whether it is a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// This one.
    Right(Box<(Mailbox, Ticket)>),
    /// Nobody: the name is unknown or the password another, and which of the two is not said.
    Wrong,
    /// It is not said: too much is asked, too often it was wrong from there, or there is nothing to look at.
    Later,
}
