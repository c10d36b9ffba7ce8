//! submission ─check─▶ auth: are this name and this password a user's? The yes is a ticket, which submission shows policy
//! with each transaction. Who proves his password by SCRAM (RFC 5802) is asked about twice: what he is to prove, and
//! whether he did.

use crate::ticket::Ticket;
use mail::Mailbox;
use serde::{Deserialize, Serialize};
use smtp::scram::CODE_OCTETS;
use std::fmt;
use std::net::IpAddr;

/// What submission asks.
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
    /// What it shows for it.
    pub evidence: Evidence,
}

/// What a client shows for its name. Texts are of at most [`mail::limits::LOGIN_LINE_OCTETS`].
#[derive(Debug, Serialize, Deserialize)]
pub enum Evidence {
    /// The password, which stands in the tail, of at most [`mail::limits::LOGIN_PASSWORD_OCTETS`].
    Password,
    /// Nothing yet: it began SCRAM with this client-first-message-bare.
    First(String),
    /// A proof by SCRAM.
    Proof(Box<Proof>),
}

impl Evidence {
    /// How much text it is: that of the longest of its parts.
    pub fn octets(&self) -> usize {
        match self {
            Evidence::Password => 0,
            Evidence::First(bare) => bare.len(),
            Evidence::Proof(proof) => {
                let texts = [&proof.bare, &proof.nonce, &proof.without_proof];
                texts.map(String::len).into_iter().max().unwrap_or(0)
            }
        }
    }
}

/// What a client said that proves its password.
#[derive(Serialize, Deserialize)]
pub struct Proof {
    /// The client-first-message-bare.
    pub bare: String,
    /// Our part of the nonce, as [`Found::Challenge`] had it.
    pub nonce: String,
    /// The client-final-message-without-proof.
    pub without_proof: String,
    /// The proof.
    pub code: [u8; CODE_OCTETS],
}

/// Passwords can be tried out on it.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
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
    /// What is to be proved; it tells nothing of whether there is such a user.
    Challenge(Box<Challenge>),
    /// This one, who has proved it, and the server's signature for him.
    Proved(Box<(Mailbox, Ticket)>, [u8; CODE_OCTETS]),
    /// It is not said: too much is asked, too often it was wrong from there, or there is nothing to look at.
    Later,
}

/// What somebody is to prove his password with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// auth's part of the nonce.
    pub nonce: String,
    /// The salt.
    pub salt: Vec<u8>,
    /// The iterations.
    pub iterations: u32,
}
