//! What an SMTP server may say. A [`Reply`] is made of text that stands in the program and of a short
//! closed list of public values: there is no way to format a path, an inner name or an error into one.

use crate::{Class, Status};
use std::fmt;

/// A value that may stand in a reply: known to the world already, or meaningless to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Public<'a> {
    /// Nothing is added.
    Nothing,
    /// The host name that we publish; written before the text.
    Hostname(&'a str),
    /// An opaque token that only the administrator can open: the session's or the message's name;
    /// written behind the text.
    Token(u64),
}

/// One reply: code, enhanced status code where there is one (RFC 2034), fixed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    status: Option<Status>,
    text: &'static str,
}

impl Reply {
    /// A reply with an enhanced status code. Its class and the code's first digit must agree
    /// (RFC 2034 §4), which is checked where the constant is made.
    pub const fn new(code: u16, status: Status, text: &'static str) -> Self {
        assert!(code / 100 == status.class().digit() as u16);
        Self {
            code,
            status: Some(status),
            text,
        }
    }

    /// A reply that carries no enhanced status code: greeting, EHLO and HELO, 354 (RFC 2034 §4).
    pub const fn bare(code: u16, text: &'static str) -> Self {
        assert!(code >= 200 && code < 600);
        Self {
            code,
            status: None,
            text,
        }
    }

    /// The three-digit reply code.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, if it has one.
    pub const fn status(&self) -> Option<Status> {
        self.status
    }

    /// The fixed text.
    pub const fn text(&self) -> &'static str {
        self.text
    }

    /// Whether it says yes: 2xx, or 354.
    pub const fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// The class a failure belongs to.
    pub const fn class(&self) -> Class {
        match self.code / 100 {
            4 => Class::Transient,
            5 => Class::Permanent,
            _ => Class::Success,
        }
    }

    /// Writes the reply as one line with CRLF to the end of `out`.
    pub fn write(&self, public: Public<'_>, out: &mut Vec<u8>) {
        use fmt::Write as _;
        let mut line = Line(out);
        // Writing into a Vec does not fail.
        let _ = write!(line, "{} ", self.code);
        if let Some(status) = self.status {
            let _ = write!(line, "{status} ");
        }
        if let Public::Hostname(name) = public {
            let _ = write!(line, "{name} ");
        }
        let _ = line.write_str(self.text);
        if let Public::Token(token) = public {
            let _ = write!(line, " [{}]", crate::QueueId::from_u64(token));
        }
        let _ = line.write_str("\r\n");
    }
}

/// Lets `write!` put text at the end of a byte buffer.
struct Line<'a>(&'a mut Vec<u8>);

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_line_of_fixed_words() {
        let mut out = Vec::new();
        let no = Reply::new(550, Status::new(Class::Permanent, 7, 1), "relaying denied");
        no.write(Public::Token(7), &mut out);
        Reply::bare(220, "ESMTP").write(Public::Hostname("mx.example.org"), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "550 5.7.1 relaying denied [0000000000007]\r\n220 mx.example.org ESMTP\r\n"
        );
    }
}
