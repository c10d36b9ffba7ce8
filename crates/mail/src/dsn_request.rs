//! What a sender asks of reports, RFC 3461 §4: RET and ENVID with MAIL, NOTIFY and ORCPT with each RCPT. It is kept with the
//! envelope, handed to next hops that take it, and obeyed by whoever makes a report.

use crate::{Mailbox, utf8_address};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest ENVID, as it is written. RFC 3461 §5.4.
const ENVID_OCTETS: usize = 100;
/// Longest ORCPT, as it is written. RFC 3461 §5.4.
const ORCPT_OCTETS: usize = 500;

/// All that is asked of the reports on one message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DsnRequest {
    /// How much of the message comes back with a failure.
    pub ret: Option<Ret>,
    /// The sender's own name for the envelope.
    pub envid: Option<Envid>,
    /// For whom something is asked, each mailbox once; of others nothing is.
    pub recipients: Vec<(Mailbox, RecipientRequest)>,
}

/// What is asked of the reports on one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientRequest {
    /// What is to be reported.
    pub notify: Option<Notify>,
    /// The address that the sender wrote first, for his eyes.
    pub original: Option<OriginalRecipient>,
}

impl DsnRequest {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.ret.is_none() && self.envid.is_none() && self.recipients.is_empty()
    }

    /// What is asked for this mailbox.
    pub fn of(&self, mailbox: &Mailbox) -> Option<&RecipientRequest> {
        let mut each = self.recipients.iter();
        each.find(|(asked, _)| asked == mailbox)
            .map(|(_, request)| request)
    }
}

impl RecipientRequest {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.notify.is_none() && self.original.is_none()
    }
}

/// RET: how much of a message comes back with the report on its failure, RFC 3461 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// All of it, where it is not too long.
    Full,
    /// Its header section.
    Hdrs,
}

impl Ret {
    /// Both.
    pub const ALL: [Ret; 2] = [Ret::Full, Ret::Hdrs];

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Ret::Full => "FULL",
            Ret::Hdrs => "HDRS",
        }
    }

    /// The value of a word, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|ret| ret.word().eq_ignore_ascii_case(word))
    }
}

/// NOTIFY: what is to be reported of a recipient, RFC 3461 §4.1. None of the three is `NEVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// That it was delivered.
    pub success: bool,
    /// That it was not, and is given up.
    pub failure: bool,
    /// That it is being tried still.
    pub delay: bool,
}

impl Notify {
    /// Nothing.
    pub const NEVER: Self = Self {
        success: false,
        failure: false,
        delay: false,
    };

    /// Reads `NEVER`, or one or more of the other words, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Some(Self::NEVER);
        }
        let mut notify = Self::NEVER;
        for word in text.split(',') {
            let slot = if word.eq_ignore_ascii_case("SUCCESS") {
                &mut notify.success
            } else if word.eq_ignore_ascii_case("FAILURE") {
                &mut notify.failure
            } else if word.eq_ignore_ascii_case("DELAY") {
                &mut notify.delay
            } else {
                return None;
            };
            *slot = true;
        }
        Some(notify)
    }

    /// The same without success: what whoever expands an alias asks of its members (RFC 3461 §5.2.7.3).
    #[must_use]
    pub const fn without_success(self) -> Self {
        Self {
            success: false,
            ..self
        }
    }

    /// What either asks.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            success: self.success || other.success,
            failure: self.failure || other.failure,
            delay: self.delay || other.delay,
        }
    }
}

impl fmt::Display for Notify {
    /// As it is written in RCPT.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("NEVER");
        }
        let words = [
            (self.success, "SUCCESS"),
            (self.failure, "FAILURE"),
            (self.delay, "DELAY"),
        ];
        let mut comma = "";
        for (_, word) in words.iter().filter(|(is, _)| *is) {
            write!(f, "{comma}{word}")?;
            comma = ",";
        }
        Ok(())
    }
}

/// ENVID: the sender's own name for the envelope, RFC 3461 §4.4. It is handed on as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct Envid(Box<str>);

impl Envid {
    /// Reads xtext of 1 to 100 octets that stands for printable ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=ENVID_OCTETS).contains(&text.len());
        let fits = fits && decoded(text)?.is_ascii();
        fits.then(|| Self(text.into()))
    }

    /// As it is written in MAIL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it stands for: printable ASCII, for a report.
    pub fn decoded(&self) -> String {
        decoded(&self.0).expect("it was read before")
    }
}

/// ORCPT: the address that the sender wrote first, RFC 3461 §4.2, whatever kind of address it is. It is handed on as it was
/// written; but one with characters beyond ASCII is kept, and handed on, in that form of its kind which has none (RFC 6533 §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct OriginalRecipient(Box<str>);

impl OriginalRecipient {
    /// Reads `addr-type ";" xtext` of at most 500 octets, the xtext standing for what can be printed: RFC 3461 has ASCII, but
    /// Postfix says `rfc822;j+C3+B6rg@…` of an address beyond that. Of the kind `utf-8` it may be written with such
    /// characters, where its form without them is no longer.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.is_ascii() {
            //= https://www.rfc-editor.org/rfc/rfc6533#section-3
            //# An SMTP [RFC5321] server that advertises both the SMTPUTF8 extension
            //# [RFC6531] and the DSN extension [RFC3461] MUST accept a UTF-8 address
            //# type in the ORCPT parameter including 8-bit UTF-8 characters.
            let (kind, address) = text.split_once(';')?;
            let is_of_it = utf8_address::is_kind(kind);
            let address = is_of_it.then(|| utf8_address::unitext_escaped(address))??;
            return Self::parse_ascii(&format!("{kind};{address}"));
        }
        Self::parse_ascii(text)
    }

    fn parse_ascii(text: &str) -> Option<Self> {
        if text.len() > ORCPT_OCTETS {
            return None;
        }
        let (kind, address) = text.split_once(';')?;
        let is_atom = !kind.is_empty() && kind.bytes().all(is_atext);
        decoded(address)
            .filter(|_| is_atom && !address.is_empty())
            .map(|_| Self(text.into()))
    }

    /// As it is written in RCPT.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of address, and the address that is stood for: printable ASCII, for a report.
    pub fn decoded(&self) -> (&str, String) {
        let (kind, address) = self.0.split_once(';').expect("it was read before");
        let address = decoded(address).expect("it was read before");
        if address.is_ascii() {
            (kind, address)
        } else {
            (utf8_address::KIND, utf8_address::escaped(&address))
        }
    }
}

/// A value that no sender could have written.
const MALFORMED: &str = "a parameter of RFC 3461 that is malformed";

impl TryFrom<Box<str>> for Envid {
    type Error = &'static str;

    fn try_from(text: Box<str>) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or(MALFORMED)
    }
}

impl From<Envid> for Box<str> {
    fn from(envid: Envid) -> Self {
        envid.0
    }
}

impl TryFrom<Box<str>> for OriginalRecipient {
    type Error = &'static str;

    fn try_from(text: Box<str>) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or(MALFORMED)
    }
}

impl From<OriginalRecipient> for Box<str> {
    fn from(original: OriginalRecipient) -> Self {
        original.0
    }
}

/// What xtext stands for (RFC 3461 §4), where that is UTF-8 without control characters.
fn decoded(xtext: &str) -> Option<String> {
    let hex = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let mut out = Vec::with_capacity(xtext.len());
    let mut octets = xtext.bytes();
    while let Some(octet) = octets.next() {
        let octet = match octet {
            b'+' => hex(octets.next()?)? << 4 | hex(octets.next()?)?,
            b'=' | b' ' => return None,
            _ => octet,
        };
        out.push(octet);
    }
    let text = String::from_utf8(out).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}

/// RFC 5322 §3.2.3.
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_is_never_or_a_list_of_the_others() {
        for (text, written) in [
            ("never", "NEVER"),
            ("Success", "SUCCESS"),
            ("delay,FAILURE", "FAILURE,DELAY"),
            ("SUCCESS,FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"),
            ("FAILURE,FAILURE", "FAILURE"),
        ] {
            assert_eq!(Notify::parse(text).unwrap().to_string(), written);
        }
        for text in [
            "",
            ",",
            "NEVER,SUCCESS",
            "SUCCESS,",
            "SUCCESS, DELAY",
            "ALWAYS",
            "NEVER,",
        ] {
            assert_eq!(Notify::parse(text), None, "{text}");
        }
    }

    #[test]
    fn xtext_is_read_where_it_stands_for_printable_ascii() {
        for (text, meant) in [
            ("QQ314159", "QQ314159"),
            ("a+2Bb+3Dc+20d", "a+b=c d"),
            ("~!", "~!"),
        ] {
            let envid = Envid::parse(text).unwrap();
            assert_eq!((envid.as_str(), &*envid.decoded()), (text, meant));
        }
        let long = "x".repeat(101);
        for text in [
            "", "+", "+2", "+2b", "+0D", "+7F", "+80", "a=b", "a b", "\u{e9}", &long,
        ] {
            assert_eq!(Envid::parse(text), None, "{text}");
        }
        assert!(Envid::parse(&long[1..]).is_some());
    }

    #[test]
    fn an_original_recipient_has_a_kind_and_an_address() {
        let original = OriginalRecipient::parse("rfc822;Bob+2Bx@Example.COM").unwrap();
        assert_eq!(original.decoded(), ("rfc822", "Bob+x@Example.COM".into()));
        let beyond_ascii = OriginalRecipient::parse("rfc822;j+C3+B6rg@b.c").unwrap();
        assert_eq!(beyond_ascii.as_str(), "rfc822;j+C3+B6rg@b.c");
        assert_eq!(beyond_ascii.decoded(), ("utf-8", "j\\x{F6}rg@b.c".into()));
        let longest = format!("rfc822;{}", "x".repeat(493));
        assert!(OriginalRecipient::parse(&longest).is_some());
        let longer = format!("{longest}x");
        for text in [
            "bob@example.com",
            ";bob",
            "rfc822;",
            "rf c822;bob",
            "rfc822;+0A",
            "rfc822;+C3",
            "rfc822;+C2+85",
            "ö;a",
            "utf-8ö;a",
            "rfc822;ö",
            "UTF-8;ö\u{85}",
            "utf-8;ö=",
            "x@y;z",
            &longer,
        ] {
            assert_eq!(OriginalRecipient::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_no_sender_could_have_written_is_no_record() {
        for text in ["a\r\nSubject: x", "+0D+0A"] {
            assert!(Envid::try_from(Box::from(text)).is_err());
            let original = format!("rfc822;{text}").into_boxed_str();
            assert!(OriginalRecipient::try_from(original).is_err());
        }
    }
}
