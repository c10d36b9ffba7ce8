//! Reports: delivery status notifications, RFC 3464 in the wrapping of RFC 3462. They say what the
//! sender may know: which of the addresses he wrote, which status, and what a host of the world
//! answered. Where an alias led, which inner host said what, and what we are made of is not told.

use crate::{
    Cause, Class, Envid, Mailbox, OriginalRecipient, Outcome, QueueId, RemoteReply, Status, Time,
    seven_bit, utf8_address,
};
use std::fmt::Write as _;
use std::time::Duration;

/// Longest line of a report, without CRLF (RFC 5322 §2.1.1 allows 998).
const LINE_OCTETS: usize = 900;
const EIGHT_BIT: &str = "Content-Transfer-Encoding: 8bit\r\n";

/// What happened to a recipient, RFC 3464 §2.3.3.
#[derive(Clone, Debug)]
pub enum Action {
    /// It is being tried still.
    Delayed(Why),
    /// It lies in its mailbox.
    Delivered,
    /// It goes to those that an alias of several stands for; they are not told of (RFC 3461 §5.2.7.3).
    Expanded,
    /// It is given up.
    Failed(Why),
    /// A next hop has it that says no more of it.
    Relayed,
}

/// Why it was not delivered.
#[derive(Clone, Debug)]
pub struct Why {
    /// What was heard last.
    pub cause: Cause,
    /// The next hop is one that the configuration names: what it said stays here.
    pub inner: bool,
    /// It is about time: tried for so long.
    pub tried: Option<Duration>,
}

/// One recipient of a report.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The address that the sender wrote: [`crate::Recipient::known`].
    pub mailbox: Mailbox,
    /// The address that he says he wrote first.
    pub original: Option<OriginalRecipient>,
    /// What happened.
    pub action: Action,
}

/// What of the message comes back.
#[derive(Clone, Copy, Debug)]
pub enum Returned<'a> {
    /// Its header section, as it came, without our own trace field; what is given may be cut off, or have content behind it.
    Header(&'a [u8]),
    /// All of it.
    Whole(&'a [u8]),
}

/// All that a report is made of.
#[derive(Debug)]
pub struct Report<'a> {
    /// The report's own name.
    pub queue_id: QueueId,
    /// The host name that we publish.
    pub hostname: &'a str,
    /// Whom it goes to.
    pub to: &'a Mailbox,
    /// When it is made.
    pub now: Time,
    /// When the message came.
    pub arrival: Time,
    /// The sender's own name for the envelope.
    pub envid: Option<&'a Envid>,
    /// Of a delay: until when it is tried.
    pub retry_until: Option<Time>,
    /// It goes to postmaster, about mail of somebody else.
    pub foreign: bool,
    /// For whom; not empty, and of one class: done, delayed or failed.
    pub recipients: &'a [Reported],
    /// What of the message comes back.
    pub returned: Returned<'a>,
    /// Whether its sender said SMTPUTF8: its header section is UTF-8 then.
    pub smtputf8: bool,
}

impl Report<'_> {
    /// The report's content, with CRLF lines.
    pub fn content(&self) -> Vec<u8> {
        let boundary = self.boundary();
        let mut out = String::new();
        self.write_head(&boundary, &mut out);
        self.write_words(&boundary, &mut out);
        self.write_status(&boundary, &mut out);
        let mut out = out.into_bytes();
        self.write_returned(&boundary, &mut out);
        out
    }

    /// A boundary that stands nowhere in what comes back.
    fn boundary(&self) -> String {
        let (Returned::Header(octets) | Returned::Whole(octets)) = self.returned;
        let mut boundary = format!("=_report_{}", self.queue_id);
        // Whoever wrote the content could know the name, and not how often this is done: it stands there so often at most.
        while octets
            .windows(boundary.len())
            .any(|octets| octets == boundary.as_bytes())
        {
            boundary.push('_');
        }
        boundary
    }

    /// What it is about: that of any recipient is that of all.
    fn class(&self) -> Class {
        self.recipients[0].action.class()
    }

    // Writing into a String does not fail, here and below.
    fn write_head(&self, boundary: &str, out: &mut String) {
        let host = self.hostname;
        let subject = match (self.class(), self.foreign) {
            (Class::Success, _) => "Your message was delivered",
            (Class::Transient, _) => "Your message is delayed",
            (Class::Permanent, false) => "Your message could not be delivered",
            (Class::Permanent, true) => "A message could not be delivered",
        };
        let _ = write!(
            out,
            "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\nTo: <{}>\r\nSubject: {subject}\r\nDate: {}\r\n\
             Message-ID: <{}@{host}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n{}\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n",
            self.to,
            self.now.date(),
            self.queue_id,
            self.encoding(),
        );
    }

    /// The field of the whole (RFC 2045 §6.4).
    fn encoding(&self) -> &'static str {
        if matches!(self.wrapping(), Wrapping::EightBit) || !self.names_are_ascii() {
            EIGHT_BIT
        } else {
            ""
        }
    }

    /// How what comes back is wrapped.
    fn wrapping(&self) -> Wrapping {
        let (Returned::Header(octets) | Returned::Whole(octets)) = self.returned;
        if octets.is_ascii() {
            Wrapping::Ascii
        } else if self.smtputf8 && begins_in_utf8(octets) {
            Wrapping::Global
        } else {
            Wrapping::EightBit
        }
    }

    /// Whether all addresses that are reported on are ASCII.
    fn names_are_ascii(&self) -> bool {
        self.recipients.iter().all(|r| r.mailbox.is_ascii())
    }

    fn write_words(&self, boundary: &str, out: &mut String) {
        let (charset, encoding) = if self.names_are_ascii() {
            ("us-ascii", "")
        } else {
            ("utf-8", EIGHT_BIT)
        };
        let _ = write!(
            out,
            "--{boundary}\r\nContent-Type: text/plain; charset={charset}\r\n{encoding}\r\n"
        );
        out.push_str(match (self.class(), self.foreign) {
            (Class::Success, _) => "You asked to be told when your message is delivered to:\r\n\r\n",
            (Class::Transient, _) => {
                "Your message could not be delivered yet. It is being tried still, and you need do nothing:\r\n\r\n"
            }
            (Class::Permanent, false) => "Your message could not be delivered to:\r\n\r\n",
            (Class::Permanent, true) => {
                "A message whose sender cannot be told could not be delivered to:\r\n\r\n"
            }
        });
        for recipient in self.recipients {
            let _ = write!(out, "  <{}>\r\n", recipient.mailbox);
            let action = &recipient.action;
            let _ = write!(out, "    {} {}\r\n", action.status(), cut(&action.words()));
        }
        let whose = if self.foreign { "the" } else { "your" };
        let _ = match self.returned {
            Returned::Header(_) => {
                write!(out, "\r\nThe header of {whose} message is attached.\r\n")
            }
            Returned::Whole(_) => write!(out, "\r\nThe message is attached.\r\n"),
        };
    }

    fn write_status(&self, boundary: &str, out: &mut String) {
        let _ = write!(
            out,
            "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n"
        );
        if let Some(envid) = self.envid {
            let _ = write!(out, "Original-Envelope-Id: {}\r\n", envid.decoded());
        }
        let _ = write!(
            out,
            "Reporting-MTA: dns; {}\r\nArrival-Date: {}\r\n",
            self.hostname,
            self.arrival.date()
        );
        for recipient in self.recipients {
            out.push_str("\r\n");
            if let Some(original) = &recipient.original {
                let (kind, address) = original.decoded();
                let _ = write!(out, "Original-Recipient: {kind}; {address}\r\n");
            }
            let action = &recipient.action;
            let _ = write!(
                out,
                "Final-Recipient: {}\r\nAction: {}\r\nStatus: {}\r\n",
                in_ascii(&recipient.mailbox),
                action.word(),
                action.status()
            );
            if let Some(reply) = action.why().and_then(Why::quotable) {
                let status = reply.status.map(|s| format!("{s} ")).unwrap_or_default();
                let said = format!("smtp; {} {status}{}", reply.code, reply.text);
                let _ = write!(out, "Diagnostic-Code: {}\r\n", cut(&said));
            }
            if let Some(until) = self.retry_until {
                let _ = write!(out, "Will-Retry-Until: {}\r\n", until.date());
            }
        }
    }

    fn write_returned(&self, boundary: &str, out: &mut Vec<u8>) {
        let wrapping = self.wrapping();
        let kind = match (self.returned, wrapping) {
            (Returned::Header(_), Wrapping::Global) => "message/global-headers",
            (Returned::Whole(_), Wrapping::Global) => "message/global",
            (Returned::Header(_), _) => "text/rfc822-headers",
            (Returned::Whole(_), _) => "message/rfc822",
        };
        let encoding = wrapping.field();
        out.extend_from_slice(
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n{encoding}\r\n").as_bytes(),
        );
        let start = out.len();
        match self.returned {
            Returned::Header(octets) => {
                for line in octets.split(|b| *b == b'\n') {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    if line.is_empty() {
                        break;
                    }
                    out.extend_from_slice(&line[..cut_at(line)]);
                    out.extend_from_slice(b"\r\n");
                }
            }
            Returned::Whole(octets) => out.extend_from_slice(octets),
        }
        if wrapping == Wrapping::Global {
            let plain = out.split_off(start);
            seven_bit::put_base64(&plain, out);
        }
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    }
}

/// How what comes back is wrapped, RFC 3462 and RFC 6533 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapping {
    /// As it is.
    Ascii,
    /// As it is, and it has octets above 127 that nobody announced.
    EightBit,
    /// Its header section is UTF-8 by right. Whether all on the way back know such mail is not known, so that it goes in seven
    /// bits, in which it can go anywhere.
    ///
    //= https://www.rfc-editor.org/rfc/rfc6533#section-4.5
    //# If the return-path SMTP server does not support SMTPUTF8, then the
    //# undeliverable body part and headers MUST be encoded using a 7-bit
    //# Content-Transfer-Encoding such as "base64" or "quoted-printable"
    //# [RFC2045], as detailed in Section 4.
    Global,
}

impl Wrapping {
    /// The field that says it.
    const fn field(self) -> &'static str {
        match self {
            Wrapping::Ascii => "",
            Wrapping::EightBit => EIGHT_BIT,
            Wrapping::Global => "Content-Transfer-Encoding: base64\r\n",
        }
    }
}

/// Whether a header section is UTF-8; it may be cut off within a character.
fn begins_in_utf8(octets: &[u8]) -> bool {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n");
    let section = &octets[..end.unwrap_or(octets.len())];
    std::str::from_utf8(section).map_or_else(
        |error| end.is_none() && error.error_len().is_none(),
        |_| true,
    )
}

/// Where a line is cut so that it is not too long, and no character of UTF-8 is cut. What is no UTF-8 is cut anywhere.
fn cut_at(line: &[u8]) -> usize {
    if line.len() <= LINE_OCTETS {
        return line.len();
    }
    // A character has four octets at most, and its first is none that goes on.
    let begins = |end: &usize| line[*end] & 0b1100_0000 != 0b1000_0000;
    (LINE_OCTETS - 3..=LINE_OCTETS)
        .rev()
        .find(begins)
        .unwrap_or(LINE_OCTETS)
}

/// An address with its type, as a field of message/delivery-status can have it.
fn in_ascii(mailbox: &Mailbox) -> String {
    if mailbox.is_ascii() {
        format!("rfc822; {mailbox}")
    } else {
        let escaped = utf8_address::escaped(&mailbox.to_string());
        format!("{}; {escaped}", utf8_address::KIND)
    }
}

impl Returned<'_> {
    /// Octets that it takes in a report, at most.
    pub fn octets(&self) -> usize {
        let (Returned::Header(octets) | Returned::Whole(octets)) = self;
        // Base64, with its line ends.
        octets.len() + octets.len() / 2
    }
}

impl Reported {
    /// Octets that it takes in a report, at most.
    pub fn octets(&self) -> usize {
        /// The names of its fields, its status twice, a date, and what separates all that.
        const AROUND: usize = 400;
        let original = self.original.as_ref().map_or(0, |o| o.as_str().len());
        let words = self.action.words().len().min(LINE_OCTETS);
        let reply = self.action.why().and_then(Why::quotable);
        let quoted = reply.map_or(0, |reply| reply.text.len());
        let mailbox = self.mailbox.to_string().len() + in_ascii(&self.mailbox).len();
        AROUND + mailbox + original + words + quoted
    }
}

impl Action {
    /// As RFC 3464 §2.3.3 writes it.
    const fn word(&self) -> &'static str {
        match self {
            Action::Delayed(_) => "delayed",
            Action::Delivered => "delivered",
            Action::Expanded => "expanded",
            Action::Failed(_) => "failed",
            Action::Relayed => "relayed",
        }
    }

    const fn class(&self) -> Class {
        match self {
            Action::Delayed(_) => Class::Transient,
            Action::Failed(_) => Class::Permanent,
            Action::Delivered | Action::Expanded | Action::Relayed => Class::Success,
        }
    }

    const fn why(&self) -> Option<&Why> {
        match self {
            Action::Delayed(why) | Action::Failed(why) => Some(why),
            Action::Delivered | Action::Expanded | Action::Relayed => None,
        }
    }

    /// The status to report: of the action's class, whatever the reply's was.
    fn status(&self) -> Status {
        match self.why() {
            None => Status::new(Class::Success, 0, 0),
            Some(Why { tried: Some(_), .. }) => expiry(self.class()),
            Some(why) => why.cause.status().with_class(self.class()),
        }
    }

    /// What happened, in words for a person.
    fn words(&self) -> String {
        match self {
            Action::Delivered => "it is in the mailbox".into(),
            Action::Expanded => "it goes to those that the address stands for".into(),
            Action::Relayed => "a mail server took it that does not say what becomes of it".into(),
            Action::Delayed(why) | Action::Failed(why) => match why.tried {
                Some(tried) => in_vain(tried, &why.last_reason()),
                None => why.last_reason(),
            },
        }
    }
}

impl Why {
    /// What the receiving host said, where it is a host of the world.
    fn quotable(&self) -> Option<&RemoteReply> {
        match &self.cause {
            Cause::Reply(reply) if !self.inner && !reply.inner => Some(reply),
            _ => None,
        }
    }

    fn last_reason(&self) -> String {
        match (&self.cause, self.quotable()) {
            (Cause::Ours(_, words), _) => words.to_string(),
            (_, Some(reply)) => format!("the receiving host said: {}", reply.text),
            (Cause::Reply(_), None) => "the message was not accepted".into(),
        }
    }
}

/// Delivery time expired (RFC 3463 §3.5): over, or being used up.
pub const fn expiry(class: Class) -> Status {
    Status::new(class, 4, 7)
}

/// The last reason where attempts were made and no outcome of any is known.
pub const NOTHING_HEARD: &str = "nothing was heard";

/// That it was tried for so long, and why in vain.
pub fn in_vain(tried: Duration, last: &str) -> String {
    format!("it was tried for {}; the last reason: {last}", long(tried))
}

/// A time in its largest unit, as a person says it.
fn long(time: Duration) -> String {
    let secs = time.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(unit, _)| secs >= *unit);
    let (unit, name) = unit.unwrap_or((1, "second"));
    let plural = if secs / unit == 1 { "" } else { "s" };
    format!("{} {name}{plural}", secs / unit)
}

fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LINE_OCTETS)
        .collect()
}

/// The cause of an outcome that is no delivery.
pub fn cause_of(outcome: &Outcome) -> Option<&Cause> {
    match outcome {
        Outcome::Delivered => None,
        Outcome::Deferred(cause) | Outcome::Failed(cause) => Some(cause),
    }
}

#[cfg(test)]
mod tests;
