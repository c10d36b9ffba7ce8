//! The Received field that we write, RFC 5321 §4.4. It tells what a reader of the message may know, and
//! nothing of how we are built.

use crate::{QueueId, Time};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Most octets of a name that HELO or EHLO gave, RFC 5321 §4.5.3.1.2.
const HELLO_OCTETS: usize = 255;

/// What a session knows of where a message comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// What the client called itself; letters, digits and `-._:[]` only, others are left out when written.
    pub hello: Box<str>,
    /// The client's address.
    pub peer: IpAddr,
    /// The host name that we publish.
    pub by: Box<str>,
    /// Whether it came by ESMTP (EHLO) or SMTP (HELO), RFC 3848.
    pub extended: bool,
    /// Whether it came under TLS, RFC 3848.
    pub secure: bool,
}

impl Received {
    /// The field as it stands before the content, folded, with its last CRLF.
    pub fn field(&self, queue_id: QueueId, arrival: Time) -> String {
        let literal = match self.peer {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        let with = match (self.extended, self.secure) {
            (true, true) => "ESMTPS",
            (true, false) => "ESMTP",
            // RFC 3848 has no word for TLS without EHLO.
            (false, _) => "SMTP",
        };
        format!(
            "Received: from {} ({literal})\r\n\tby {} with {with} id {queue_id};\r\n\t{}\r\n",
            Harmless(&self.hello),
            Harmless(&self.by),
            arrival.date()
        )
    }
}

/// Writes a name without what could end a field or a comment.
struct Harmless<'a>(&'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let harmless = |c: &char| c.is_ascii_alphanumeric() || "-._:[]".contains(*c);
        self.0
            .chars()
            .filter(harmless)
            .take(HELLO_OCTETS)
            .try_for_each(|c| write!(f, "{c}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_says_who_came_when_and_no_more() {
        let received = Received {
            hello: "c.test\r\nX: y".into(),
            peer: "192.0.2.1".parse().unwrap(),
            by: "mx.test".into(),
            extended: true,
            secure: false,
        };
        assert_eq!(
            received.field(QueueId::from_u64(1), Time::from_secs(0)),
            "Received: from c.testX:y ([192.0.2.1])\r\n\tby mx.test with ESMTP id 0000000000001;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }
}
