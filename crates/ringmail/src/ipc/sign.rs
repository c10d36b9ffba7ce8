//! smtpd ─sign─▶ keys: the signatures of TLS handshakes. keys first says which certificates there are, each in a
//! record, and then that these were all; after that each question has one answer, in the order asked. A private key
//! never travels: what smtpd has is the chain that it shows to everybody anyway.

use serde::{Deserialize, Serialize};

/// Most certificates of one service.
pub const CERTIFICATES_MAX: usize = 64;
/// Longest thing that is signed, in the tail of [`ToKeys::Sign`]: two random values and the largest share of TLS 1.2
/// (RFC 8422 §5.4, of secp521r1), or what TLS 1.3 has (RFC 8446 §4.4.3), which is shorter.
pub const TRANSCRIPT_OCTETS: usize = 64 + 4 + 133;

/// A certificate as everybody may see it, and what can be asked of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What its key is asked for by.
    pub number: u16,
    /// The DNS names that it is for; the leftmost label may be `*`.
    pub names: Vec<String>,
    /// Itself first, then those above it, in DER.
    pub chain: Vec<Vec<u8>>,
    /// The key's algorithm, as TLS 1.2 numbers it (RFC 5246 §7.4.1.4.1).
    pub algorithm: u8,
    /// What it can sign with, the best first, as TLS numbers it (RFC 8446 §4.2.3).
    pub schemes: Vec<u16>,
}

/// What smtpd says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeys {
    /// Sign what stands in the tail, as the server of a TLS handshake.
    Sign {
        /// Comes back with the answer: one that comes late is told from that of the next question.
        token: u64,
        /// Of the certificate.
        number: u16,
        /// One of its schemes.
        scheme: u16,
    },
}

/// What keys says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromKeys {
    /// One that there is.
    Certificate(Certificate),
    /// There are no others.
    All,
    /// The signature stands in the tail.
    Signed {
        /// Of the question.
        token: u64,
    },
    /// This is not signed.
    Refused {
        /// Of the question.
        token: u64,
    },
}
