//! `ringmail reload` ─reload─▶ supervisor, where root started the service: the supervisor has given root up, so root
//! brings what root alone can have: the file's text, and sockets that listen where only root may.

use super::spawn::{Listener, SecretFile};
use super::supervise;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Octets of the text in one record.
pub const PIECE_OCTETS: usize = 64 * 1024;
/// Most sockets that come with one reload.
pub const SOCKETS_MAX: usize = 256;

/// What root brings, in any order; [`Brought::All`] is the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Brought {
    /// A socket that listens comes with this.
    Socket(Listener, SocketAddr),
    /// A file comes with this, open for reading.
    File(SecretFile),
    /// The next piece of the configuration stands in the tail.
    Text,
    /// That was all of it.
    All,
}

/// What the supervisor answers.
pub type Answer = supervise::Reload;
