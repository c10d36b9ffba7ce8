//! Reports: delivery status notifications, RFC 3464 in the wrapping of RFC 3462. They say what the
//! sender may know: which of the addresses he wrote, which status, and what a host of the world
//! answered. Where an alias led, which inner host said what, and what we are made of is not told.

use crate::{
    Cause, Class, Envid, Mailbox, OriginalRecipient, Outcome, QueueId, RemoteReply, Status, Time,
};
use std::fmt::Write as _;
use std::time::Duration;

/// Longest line of a report, without CRLF (RFC 5322 §2.1.1 allows 998).
const LINE_OCTETS: usize = 900;

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

    /// The field of a part that holds what comes back, and of the whole (RFC 2045 §6.4).
    fn encoding(&self) -> &'static str {
        let (Returned::Header(octets) | Returned::Whole(octets)) = self.returned;
        if octets.is_ascii() {
            ""
        } else {
            "Content-Transfer-Encoding: 8bit\r\n"
        }
    }

    fn write_words(&self, boundary: &str, out: &mut String) {
        let _ = write!(
            out,
            "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
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
                "Final-Recipient: rfc822; {}\r\nAction: {}\r\nStatus: {}\r\n",
                recipient.mailbox,
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
        let kind = match self.returned {
            Returned::Header(_) => "text/rfc822-headers",
            Returned::Whole(_) => "message/rfc822",
        };
        let encoding = self.encoding();
        out.extend_from_slice(
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n{encoding}\r\n").as_bytes(),
        );
        match self.returned {
            Returned::Header(octets) => {
                for line in octets.split(|b| *b == b'\n') {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    if line.is_empty() {
                        break;
                    }
                    out.extend_from_slice(&line[..line.len().min(LINE_OCTETS)]);
                    out.extend_from_slice(b"\r\n");
                }
            }
            Returned::Whole(octets) => out.extend_from_slice(octets),
        }
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
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
        AROUND + 2 * self.mailbox.to_string().len() + original + words + quoted
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
mod tests {
    use super::*;

    fn report(inner: bool, private: bool) -> String {
        let reply = RemoteReply {
            code: 550,
            status: None,
            text: "inner.lan (10.1.2.3) /srv/mail: no such user".into(),
            inner: private,
        };
        let why = Why {
            cause: Cause::Reply(reply),
            inner,
            tried: None,
        };
        text(false, Action::Failed(why))
    }

    fn text(foreign: bool, action: Action) -> String {
        written(foreign, None, action, Returned::Header(HEADER))
    }

    const HEADER: &[u8] = b"Subject: hi\r\n--=_report_0000000000001\r\nX: y\r\n\r\nsecret body\r\n";

    fn written(
        foreign: bool,
        asked: Option<(&Envid, &OriginalRecipient)>,
        action: Action,
        returned: Returned<'_>,
    ) -> String {
        let to = Mailbox::parse("a@b.c").unwrap();
        let delayed = action.class() == Class::Transient;
        let recipients = [Reported {
            mailbox: Mailbox::parse("x@y.z").unwrap(),
            original: asked.map(|(_, original)| original.clone()),
            action,
        }];
        let report = Report {
            queue_id: QueueId::from_u64(1),
            hostname: "mx.test",
            to: &to,
            now: Time::from_secs(0),
            arrival: Time::from_secs(0),
            envid: asked.map(|(envid, _)| envid),
            retry_until: delayed.then_some(Time::from_secs(86_400)),
            foreign,
            recipients: &recipients,
            returned,
        };
        String::from_utf8(report.content()).unwrap()
    }

    #[test]
    fn a_report_names_recipient_status_and_header_and_not_the_body() {
        let text = report(false, false);
        assert!(text.contains("Final-Recipient: rfc822; x@y.z\r\nAction: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 550 inner.lan"));
        assert!(text.contains("Subject: hi\r\n--=_report_0000000000001\r\nX: y\r\n"));
        assert!(!text.contains("secret body"));
        assert!(!text.contains("Original-"), "{text}");
        // What looks like our boundary is none.
        assert_eq!(text.matches("--=_report_0000000000001_").count(), 4);
    }

    #[test]
    fn a_report_carries_what_the_sender_calls_envelope_and_recipient() {
        let envid = Envid::parse("QQ+20314159").unwrap();
        let original = OriginalRecipient::parse("rfc822;X+2Bz@y.z").unwrap();
        let asked = Some((&envid, &original));
        for (action, word) in [
            (Action::Delivered, "delivered"),
            (Action::Relayed, "relayed"),
            (Action::Expanded, "expanded"),
        ] {
            let text = written(false, asked, action, Returned::Header(HEADER));
            assert!(text.contains("\r\n\r\nOriginal-Envelope-Id: QQ 314159\r\nReporting-MTA:"));
            let fields = format!(
                "\r\n\r\nOriginal-Recipient: rfc822; X+z@y.z\r\nFinal-Recipient: rfc822; x@y.z\r\n\
                 Action: {word}\r\nStatus: 2.0.0\r\n\r\n--"
            );
            assert!(text.contains(&fields), "{text}");
            assert!(text.contains("Subject: Your message was delivered\r\n"));
        }
    }

    #[test]
    fn a_message_that_comes_back_whole_is_whole() {
        let content =
            "Subject: \u{e4}\r\n\r\n--=_report_0000000000001--\r\n--=_report_0000000000001_\r\n";
        let failed = in_time(Duration::from_hours(1));
        let returned = Returned::Whole(content.as_bytes());
        let text = written(false, None, Action::Failed(failed), returned);
        let boundary = "--=_report_0000000000001__";
        let part = format!(
            "\r\n{boundary}\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{content}\r\n{boundary}--\r\n"
        );
        assert!(text.ends_with(&part), "{text}");
        assert_eq!(
            text.matches("Content-Transfer-Encoding: 8bit\r\n").count(),
            2
        );
    }

    fn in_time(tried: Duration) -> Why {
        let status = Status::new(Class::Transient, 4, 3);
        Why {
            cause: Cause::Ours(status, "DNS did not answer".into()),
            inner: false,
            tried: Some(tried),
        }
    }

    #[test]
    fn a_report_on_an_expired_message_says_that_time_ran_out_and_why() {
        let expired = in_time(Duration::from_hours(5 * 24 + 1));
        let text = text(false, Action::Failed(expired));
        assert!(
            text.contains("Action: failed\r\nStatus: 5.4.7\r\n"),
            "{text}"
        );
        let words = "    5.4.7 it was tried for 5 days; the last reason: DNS did not answer\r\n";
        assert!(text.contains(words), "{text}");
        assert!(!text.contains("Will-Retry-Until"), "{text}");
    }

    #[test]
    fn a_report_on_a_delay_says_until_when_it_is_tried() {
        let text = text(false, Action::Delayed(in_time(Duration::from_hours(1))));
        assert!(
            text.contains("Subject: Your message is delayed\r\n"),
            "{text}"
        );
        assert!(
            text.contains("Action: delayed\r\nStatus: 4.4.7\r\n"),
            "{text}"
        );
        let words = "    4.4.7 it was tried for 1 hour; the last reason: DNS did not answer\r\n";
        assert!(text.contains(words), "{text}");
        let until = "Will-Retry-Until: Fri, 2 Jan 1970 00:00:00 +0000\r\n";
        assert!(text.contains(until), "{text}");
    }

    #[test]
    fn a_report_on_mail_of_somebody_else_does_not_call_it_yours() {
        let expired = in_time(Duration::from_hours(1));
        let text = text(true, Action::Failed(expired));
        assert!(!text.to_ascii_lowercase().contains("your"), "{text}");
        assert!(
            text.contains("Subject: A message could not be delivered\r\n"),
            "{text}"
        );
    }

    #[test]
    fn what_an_inner_hop_says_of_itself_stays_here() {
        for text in [report(true, false), report(false, true)] {
            for leak in ["inner.lan", "10.1.2.3", "/srv/mail"] {
                assert!(!text.contains(leak), "{leak}");
            }
            assert!(text.contains("Status: 5.0.0"));
        }
    }
}
