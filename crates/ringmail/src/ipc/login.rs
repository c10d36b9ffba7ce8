//! relay ─login─▶ keys: what a login at the smart host needs said. A way to log in that does not say the password has an
//! answer of its own; for the others the password itself is what is answered, for relay has the session under TLS that it
//! goes into.

use serde::{Deserialize, Serialize};

/// Longest answer, in its record's tail: the name of a login and its password, each with a NUL before it.
pub const ANSWER_OCTETS: usize = 2 * 1024;

/// What relay says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeys {
    /// The whole message of PLAIN (RFC 4616).
    Plain {
        /// Comes back with the answer.
        token: u64,
    },
    /// The name of the login.
    User {
        /// Comes back with the answer.
        token: u64,
    },
    /// Its password.
    Password {
        /// Comes back with the answer.
        token: u64,
    },
}

/// What keys says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromKeys {
    /// It stands in the tail.
    Answer {
        /// Of the question.
        token: u64,
    },
    /// There is no login.
    Refused {
        /// Of the question.
        token: u64,
    },
}
