//! Reports: delivery status notifications, RFC 3464 in the wrapping of RFC 3462. They say what the
//! sender may know: which of the addresses he wrote, which status, and what a host of the world
//! answered. Where an alias led, which inner host said what, and what we are made of is not told.

use crate::{Cause, Class, Mailbox, Outcome, QueueId, RemoteReply, Status, Time};
use std::fmt::Write as _;
use std::time::Duration;

/// Longest line of a report, without CRLF (RFC 5322 §2.1.1 allows 998).
const LINE_OCTETS: usize = 900;

/// What happened to a recipient, RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is being tried still.
    Delayed,
    /// It is given up.
    Failed,
}

/// One recipient of a report.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The address that the sender wrote: [`crate::Recipient::known`].
    pub mailbox: Mailbox,
    /// Why.
    pub cause: Cause,
    /// The next hop is one that the configuration names: what it said stays here.
    pub inner: bool,
    /// It is about time: tried for so long, the cause being the last that was heard.
    pub tried: Option<Duration>,
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
    /// What is reported.
    pub action: Action,
    /// Of a delay: until when it is tried.
    pub retry_until: Option<Time>,
    /// It goes to postmaster, about mail of somebody else.
    pub foreign: bool,
    /// For whom; not empty.
    pub recipients: &'a [Reported],
    /// The message's header section as it came, without our own trace field; may be cut off.
    pub header: &'a [u8],
}

impl Report<'_> {
    /// The report's content, with CRLF lines.
    pub fn content(&self) -> Vec<u8> {
        let boundary = format!("=_report_{}", self.queue_id);
        let mut out = String::new();
        self.write_head(&boundary, &mut out);
        self.write_words(&boundary, &mut out);
        self.write_status(&boundary, &mut out);
        let mut out = out.into_bytes();
        self.write_header(&boundary, &mut out);
        out
    }

    // Writing into a String does not fail, here and below.
    fn write_head(&self, boundary: &str, out: &mut String) {
        let host = self.hostname;
        let subject = match (self.action, self.foreign) {
            (Action::Delayed, _) => "Your message is delayed",
            (Action::Failed, false) => "Your message could not be delivered",
            (Action::Failed, true) => "A message could not be delivered",
        };
        let _ = write!(
            out,
            "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\nTo: <{}>\r\nSubject: {subject}\r\nDate: {}\r\n\
             Message-ID: <{}@{host}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n",
            self.to,
            self.now.date(),
            self.queue_id
        );
    }

    fn write_words(&self, boundary: &str, out: &mut String) {
        let _ = write!(
            out,
            "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        );
        out.push_str(match (self.action, self.foreign) {
            (Action::Delayed, _) => {
                "Your message could not be delivered yet. It is being tried still, and you need do nothing:\r\n\r\n"
            }
            (Action::Failed, false) => "Your message could not be delivered to:\r\n\r\n",
            (Action::Failed, true) => {
                "A message whose sender cannot be told could not be delivered to:\r\n\r\n"
            }
        });
        for recipient in self.recipients {
            let _ = write!(out, "  <{}>\r\n", recipient.mailbox);
            let _ = write!(
                out,
                "    {} {}\r\n",
                self.status(recipient),
                cut(&reason(recipient))
            );
        }
        out.push_str(if self.foreign {
            "\r\nThe header of the message is attached.\r\n"
        } else {
            "\r\nThe header of your message is attached.\r\n"
        });
    }

    fn write_status(&self, boundary: &str, out: &mut String) {
        let _ = write!(
            out,
            "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; {}\r\nArrival-Date: {}\r\n",
            self.hostname,
            self.arrival.date()
        );
        for recipient in self.recipients {
            let action = match self.action {
                Action::Delayed => "delayed",
                Action::Failed => "failed",
            };
            let _ = write!(
                out,
                "\r\nFinal-Recipient: rfc822; {}\r\nAction: {action}\r\nStatus: {}\r\n",
                recipient.mailbox,
                self.status(recipient)
            );
            if let Some(reply) = recipient.quotable() {
                let status = reply.status.map(|s| format!("{s} ")).unwrap_or_default();
                let said = format!("smtp; {} {status}{}", reply.code, reply.text);
                let _ = write!(out, "Diagnostic-Code: {}\r\n", cut(&said));
            }
            if let Some(until) = self.retry_until {
                let _ = write!(out, "Will-Retry-Until: {}\r\n", until.date());
            }
        }
    }

    fn write_header(&self, boundary: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!("\r\n--{boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n").as_bytes(),
        );
        for line in self.header.split(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            // Nothing of the message may look like our boundary.
            if !line.starts_with(b"--=_report_") {
                out.extend_from_slice(&line[..line.len().min(LINE_OCTETS)]);
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    }

    /// The status to report: of the action's class, whatever the reply's was.
    fn status(&self, recipient: &Reported) -> Status {
        let class = match self.action {
            Action::Delayed => Class::Transient,
            Action::Failed => Class::Permanent,
        };
        match recipient.tried {
            Some(_) => expiry(class),
            None => recipient.cause.status().with_class(class),
        }
    }
}

impl Reported {
    /// What the receiving host said, where it is a host of the world.
    fn quotable(&self) -> Option<&RemoteReply> {
        match &self.cause {
            Cause::Reply(reply) if !self.inner && !reply.inner => Some(reply),
            _ => None,
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

/// Why, in words for a person.
fn reason(recipient: &Reported) -> String {
    match recipient.tried {
        Some(tried) => in_vain(tried, &last_reason(recipient)),
        None => last_reason(recipient),
    }
}

fn last_reason(recipient: &Reported) -> String {
    match (&recipient.cause, recipient.quotable()) {
        (Cause::Ours(_, words), _) => words.to_string(),
        (_, Some(reply)) => format!("the receiving host said: {}", reply.text),
        (Cause::Reply(_), None) => "the message was not accepted".into(),
    }
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
        let recipients = [Reported {
            mailbox: Mailbox::parse("x@y.z").unwrap(),
            cause: Cause::Reply(reply),
            inner,
            tried: None,
        }];
        text(Action::Failed, false, &recipients)
    }

    fn text(action: Action, foreign: bool, recipients: &[Reported]) -> String {
        let to = Mailbox::parse("a@b.c").unwrap();
        let report = Report {
            queue_id: QueueId::from_u64(1),
            hostname: "mx.test",
            to: &to,
            now: Time::from_secs(0),
            arrival: Time::from_secs(0),
            action,
            retry_until: (action == Action::Delayed).then_some(Time::from_secs(86_400)),
            foreign,
            recipients,
            header: b"Subject: hi\r\n--=_report_0000000000001\r\nX: y\r\n\r\nsecret body\r\n",
        };
        String::from_utf8(report.content()).unwrap()
    }

    #[test]
    fn a_report_names_recipient_status_and_header_and_not_the_body() {
        let text = report(false, false);
        assert!(text.contains("Final-Recipient: rfc822; x@y.z\r\nAction: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 550 inner.lan"));
        assert!(text.contains("Subject: hi\r\nX: y\r\n"));
        assert!(!text.contains("secret body"));
        assert_eq!(text.matches("--=_report_").count(), 4);
    }

    fn in_time(tried: Duration) -> Reported {
        let status = Status::new(Class::Transient, 4, 3);
        Reported {
            mailbox: Mailbox::parse("x@y.z").unwrap(),
            cause: Cause::Ours(status, "DNS did not answer".into()),
            inner: false,
            tried: Some(tried),
        }
    }

    #[test]
    fn a_report_on_an_expired_message_says_that_time_ran_out_and_why() {
        let expired = in_time(Duration::from_hours(5 * 24 + 1));
        let text = text(Action::Failed, false, &[expired]);
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
        let text = text(Action::Delayed, false, &[in_time(Duration::from_hours(1))]);
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
        let text = text(Action::Failed, true, &[expired]);
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
