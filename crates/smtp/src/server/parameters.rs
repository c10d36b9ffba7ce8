//! What a session is told: the bounds that the administrator set, and what can be had.

use mail::limits;

/// Whether passwords can be proved by SCRAM-SHA-256, and be it bound to the connection (RFC 5802, RFC 7677), where there are
/// logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scram {
    /// Nobody is offered it.
    Off,
    /// Whoever can log in is offered it.
    Offered,
}

/// What a session is told at its start; the same for all sessions of a listener.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Largest content, in octets; announced by SIZE.
    pub content_octets_max: u64,
    /// Most recipients of one transaction.
    pub recipients_max: usize,
    /// Failed commands without mail taken between them before the session is ended.
    pub errors_max: u32,
    /// Whether TLS can be had.
    pub start_tls: bool,
    /// Whether a client must log in before MAIL. AUTH is offered then, under TLS only.
    pub needs_login: bool,
    /// Whether it may log in by SCRAM too (RFC 5802).
    pub scram: Scram,
    /// Whether the client may say what is to be reported to whoever it names as the sender (RFC 3461). To a stranger this is
    /// not offered: for each message that he hands over, whoever he names would be told of its delivery.
    pub dsn: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            content_octets_max: limits::CONTENT_OCTETS,
            recipients_max: limits::RECIPIENTS,
            errors_max: limits::SESSION_ERRORS,
            start_tls: false,
            needs_login: false,
            scram: Scram::Off,
            dsn: false,
        }
    }
}
