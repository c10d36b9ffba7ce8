//! The client's side of a session with a next hop, over SMTP (RFC 5321 §3.3, §4.5.3.2) or LMTP (RFC 2033).

mod replies;

pub use replies::{Read, Replies, Rubbish};
