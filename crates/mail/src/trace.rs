//! The Received field that we write, RFC 5321 §4.4. It tells what a reader of the message may know, and
//! nothing of how we are built. Where one of our own users sends, it does not tell whence: docs/adr/0034.

use crate::{Mailbox, QueueId, Time};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Most octets of a name that HELO or EHLO gave, RFC 5321 §4.5.3.1.2.
const HELLO_OCTETS: usize = 255;
/// Most octets of a suite's name; the longest in the registry has fewer than fifty.
const SUITE_OCTETS: usize = 64;

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
    /// Under which suite, by its name in IANA's registry: letters, digits and `_`; any other is not written.
    pub suite: Box<str>,
    /// Whether the client said SMTPUTF8, RFC 6531 §3.7.3.
    pub smtputf8: bool,
    /// The mailbox of who was logged in. It is not written, and neither is the client then. Boxed, for most have none.
    pub login: Option<Box<Mailbox>>,
}

impl Received {
    /// The field as it stands before the content, folded, with its last CRLF.
    pub fn field(&self, queue_id: QueueId, arrival: Time) -> String {
        let by = Harmless(&self.by);
        let with = self.with();
        let tls = Suite(if self.secure { &self.suite } else { "" });
        let date = arrival.date();
        if self.login.is_some() {
            //= https://www.rfc-editor.org/rfc/rfc5321#section-4.4
            //= type=exception
            //= reason=where a user of ours is, and what his machine is called, is nobody's business: docs/adr/0034
            //# The FROM clause, which MUST be supplied in an SMTP environment,
            //# SHOULD contain both (1) the name of the source host as presented
            //# in the EHLO command and (2) an address literal containing the IP
            //# address of the source, determined from the TCP connection.
            return format!("Received: by {by} with {with} id {queue_id}{tls};\r\n\t{date}\r\n");
        }
        let literal = match self.peer {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        let hello = Harmless(&self.hello);
        format!(
            "Received: from {hello} ({literal})\r\n\tby {by} with {with} id {queue_id}{tls};\r\n\t{date}\r\n"
        )
    }

    /// The protocol's word, RFC 3848 and RFC 6531 §4.3. It has none for TLS or a login without EHLO, and there is no login
    /// without.
    fn with(&self) -> &'static str {
        match (self.smtputf8, self.secure, self.login.is_some()) {
            _ if !self.extended => "SMTP",
            (false, false, false) => "ESMTP",
            (false, false, true) => "ESMTPA",
            (false, true, false) => "ESMTPS",
            (false, true, true) => "ESMTPSA",
            (true, false, false) => "UTF8SMTP",
            (true, false, true) => "UTF8SMTPA",
            (true, true, false) => "UTF8SMTPS",
            (true, true, true) => "UTF8SMTPSA",
        }
    }
}

/// Writes the clause of a suite, RFC 8314 §4.3; nothing where it has no name that could stand there.
//= https://www.rfc-editor.org/rfc/rfc8314#section-4.3
//# This clause SHOULD be included whenever a Submission
//# server generates a Received header field for a message received via
//# TLS.
struct Suite<'a>(&'a str);

impl fmt::Display for Suite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let begins = self.0.starts_with(|c: char| c.is_ascii_alphabetic());
        if begins && self.0.len() <= SUITE_OCTETS && self.0.bytes().all(fits) {
            write!(f, " tls {}", self.0)?;
        }
        Ok(())
    }
}

/// Writes a name without what could end a field or a comment.
pub(crate) struct Harmless<'a>(pub &'a str);

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

    /// The field of one who says `c.test\r\nX: y`.
    fn field(extended: bool, secure: bool, login: Option<&str>) -> String {
        received(extended, secure, login).field(QueueId::from_u64(1), Time::from_secs(0))
    }

    fn received(extended: bool, secure: bool, login: Option<&str>) -> Received {
        Received {
            hello: "c.test\r\nX: y".into(),
            peer: "192.0.2.1".parse().unwrap(),
            by: "mx.test".into(),
            extended,
            secure,
            suite: "TLS_AES_256_GCM_SHA384".into(),
            smtputf8: false,
            login: login.map(|mailbox| Box::new(Mailbox::parse(mailbox).unwrap())),
        }
    }

    #[test]
    fn the_field_says_who_came_when_and_no_more() {
        assert_eq!(
            field(true, false, None),
            "Received: from c.testX:y ([192.0.2.1])\r\n\tby mx.test with ESMTP id 0000000000001;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn the_field_of_a_user_of_ours_does_not_say_who_came_and_whence() {
        assert_eq!(
            field(true, true, Some("ann@c.test")),
            "Received: by mx.test with ESMTPSA id 0000000000001 tls TLS_AES_256_GCM_SHA384;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn a_suite_without_a_name_that_could_stand_there_is_not_written() {
        for odd in ["", "TLS 1", "X;\r\nY: z", "1TLS", &"T".repeat(65)] {
            let mut received = received(true, true, None);
            received.suite = odd.into();
            let field = received.field(QueueId::from_u64(1), Time::from_secs(0));
            assert!(field.contains(" id 0000000000001;\r\n\t"), "{field}");
        }
    }

    #[test]
    fn the_word_for_the_protocol_says_what_was_spoken() {
        let ann = Some("ann@c.test");
        for (extended, secure, login, word) in [
            (false, false, None, "SMTP"),
            (false, true, None, "SMTP"),
            (false, true, ann, "SMTP"),
            (true, false, None, "ESMTP"),
            (true, true, None, "ESMTPS"),
            (true, false, ann, "ESMTPA"),
            (true, true, ann, "ESMTPSA"),
        ] {
            let field = field(extended, secure, login);
            assert!(field.contains(&format!(" with {word} id ")), "{field}");
            let mut beyond = received(extended, secure, login);
            beyond.smtputf8 = true;
            let word = word.replace("ESMTP", "UTF8SMTP");
            assert_eq!(beyond.with(), word);
        }
    }
}
