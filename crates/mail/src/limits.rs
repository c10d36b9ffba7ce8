//! Every bound of the mail protocol in one place, with the section it comes from.
//!
//! RFC 5321 §4.5.3.1 gives *floors*: what a server must at least take. Ours lie at or above them.

use std::time::Duration;

/// Longest local-part we take, in octets. RFC 5321 §4.5.3.1.1 asks for 64 at least.
pub const LOCAL_PART_OCTETS: usize = 255;
/// Longest domain, in octets. RFC 5321 §4.5.3.1.2; RFC 1035 §2.3.4.
pub const DOMAIN_OCTETS: usize = 255;
/// Longest label of a domain name, in octets. RFC 1035 §2.3.4.
pub const LABEL_OCTETS: usize = 63;
/// Longest command line with its CRLF, in octets. RFC 5321 §4.5.3.1.4 asks for 512; parameters add to it.
pub const COMMAND_LINE_OCTETS: usize = 4096;
/// Longest reply line we read from a next hop, with CRLF. RFC 5321 §4.5.3.1.5 asks for 512.
pub const REPLY_LINE_OCTETS: usize = 4096;
/// Most lines of one reply that we read from a next hop before we call it rubbish.
pub const REPLY_LINES: usize = 256;
/// Recipients in one mail transaction. RFC 5321 §4.5.3.1.8 asks for 100.
pub const RECIPIENTS: usize = 1000;
/// Largest content by default, in octets: 50 MiB. Announced by SIZE, RFC 1870.
pub const CONTENT_OCTETS: u64 = 50 * 1024 * 1024;
/// Octets of a refused chunk that are read, to stay in step, before the session is ended instead: 1 GiB, or as many as
/// content may have where that is more. RFC 3030 §2 has all of them read; who announces more sends no mail.
pub const CHUNK_OCTETS_SKIPPED: u64 = 1024 * 1024 * 1024;
/// Received fields after which a message is taken to loop. RFC 5321 §6.3 asks for 100 or more.
pub const RECEIVED_FIELDS: usize = 100;
/// Header section octets that are searched for Received fields before we stop counting.
pub const HEADER_SECTION_OCTETS: usize = 1024 * 1024;
/// Commands of one session since mail was last taken, RCPT apart, before it is ended with 421: a session is not
/// kept open with NOOP, RSET, VRFY and the like. A client whose every message is put off needs three a message.
pub const SESSION_IDLE_COMMANDS: u32 = 200;
/// Commands that fail in one session, refused recipients among them, since mail was last taken, before it is ended
/// with 421: a list of names cannot be tried out in one go.
pub const SESSION_ERRORS: u32 = 20;
/// Longest line of AUTH, and of what a client says in its exchange, with its CRLF, in octets: what RFC 4954 §4 holds to be
/// enough for every mechanism.
pub const LOGIN_LINE_OCTETS: usize = 12_288;
/// Longest name that somebody logs in with, in octets. RFC 4616 §2 asks for 255.
pub const LOGIN_NAME_OCTETS: usize = 255;
/// Longest password that somebody logs in with, in octets. RFC 4616 §2 asks for 255; a phrase may be longer, and each has to be
/// hashed.
pub const LOGIN_PASSWORD_OCTETS: usize = 1024;
/// Longest nonce of a client that logs in by SCRAM, in octets; RFC 5802 has no bound. Clients say some thirty, and what is said
/// back to them, with our part of it, is to be a line that they read.
pub const SCRAM_NONCE_OCTETS: usize = 512;
/// Refused logins of one session before it is ended with 421: passwords cannot be tried out in one go. RFC 4954 §9 asks for
/// three at least, for a user may err.
pub const SESSION_LOGINS_REFUSED: u32 = 3;
/// Mail transactions in one session before it is ended with 421; a client simply connects again.
pub const SESSION_TRANSACTIONS: u32 = 100_000;
/// Longest line we write into content ourselves, without CRLF. RFC 5322 §2.1.1.
pub const TEXT_LINE_OCTETS: usize = 998;

/// Server: longest wait for more content when the service stops. Nothing is lost by it: the client was told that it has to
/// send again (RFC 5321 §3.8).
pub const SERVER_STOP_WAIT: Duration = Duration::from_secs(5);
/// Server: longest wait for a command. RFC 5321 §4.5.3.2.7.
pub const SERVER_COMMAND_WAIT: Duration = Duration::from_mins(5);
/// Client: wait for the greeting. RFC 5321 §4.5.3.2.1.
pub const CLIENT_GREETING_WAIT: Duration = Duration::from_mins(5);
/// Client: wait for a handshake of TLS. Who swallows our hello is tried again without half of it, and then in clear: in the
/// same attempt, so that it is shorter than what a command may take.
pub const CLIENT_HANDSHAKE_WAIT: Duration = Duration::from_secs(30);
/// Client: wait for the reply to MAIL. RFC 5321 §4.5.3.2.2.
pub const CLIENT_MAIL_WAIT: Duration = Duration::from_mins(5);
/// Client: wait for the reply to RCPT. RFC 5321 §4.5.3.2.3.
pub const CLIENT_RCPT_WAIT: Duration = Duration::from_mins(5);
/// Client: wait for 354 after DATA. RFC 5321 §4.5.3.2.4.
pub const CLIENT_DATA_WAIT: Duration = Duration::from_mins(2);
/// Client: longest stall while content is sent. RFC 5321 §4.5.3.2.5.
pub const CLIENT_BLOCK_WAIT: Duration = Duration::from_mins(3);
/// Client: wait for the reply to the end of content. RFC 5321 §4.5.3.2.6.
pub const CLIENT_END_WAIT: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.5.3.1, and §6.3.
    #[test]
    fn no_bound_lies_below_the_floors_of_rfc_5321() {
        for (bound, floor) in [
            (LOCAL_PART_OCTETS, 64),
            (DOMAIN_OCTETS, 255),
            (COMMAND_LINE_OCTETS, 512),
            (REPLY_LINE_OCTETS, 512),
            (RECIPIENTS, 100),
            (RECEIVED_FIELDS, 100),
        ] {
            assert!(bound >= floor, "{bound} is below {floor}");
        }
        let content = CONTENT_OCTETS;
        assert!(content >= 64 << 10, "{content}");
    }
}
