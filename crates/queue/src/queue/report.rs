//! Reports: who is told of a failure, and that nobody is told of a failed report.
//!
//= https://www.rfc-editor.org/rfc/rfc5321#section-4.5.5
//# All other types of messages (i.e., any message which is not required by
//# a Standards-Track RFC to have a null reverse-path) SHOULD be sent with
//# a valid, non-null reverse-path.

use super::{Failure, Message, Queue, Router, attempt, request};
use crate::{Accepted, BODY_OCTETS, Content, Standing, Stored};
use mail::dsn::{Action, NOTHING_HEARD, Report, Reported, Returned, Why, expiry};
use mail::{Cause, Class, Envelope, Envid, Mailbox, QueueId, Recipient, Ret, ReversePath, Time};
use std::sync::Arc;
use std::time::Duration;

/// Octets of a report beside its recipients and what comes back: its own header, the words, the names of its parts.
const FRAME_OCTETS: usize = 4096;

/// Whether a sender is to be told now that his message is delayed: once, and only for what still waits.
pub(super) fn delay_is_due(message: &Message, notice: Option<Duration>, now: Time) -> bool {
    let Stored {
        envelope, state, ..
    } = &message.stored;
    notice.is_some_and(|notice| now.since(envelope.arrival) >= notice)
        && !state.delay_told
        && !envelope.reverse_path.is_null()
        && still_waiting(message).next().is_some()
}

/// Recipients that wait, did not fail just now and may be reported: number and what was heard last.
fn still_waiting(message: &Message) -> impl Iterator<Item = (u32, Option<&Cause>)> {
    let Stored {
        envelope, state, ..
    } = &message.stored;
    let each = (0u32..).zip(&state.recipients);
    each.filter(|(number, standing)| {
        let mut known = envelope.recipients[*number as usize].known().iter();
        matches!(standing, Standing::Waiting(_))
            && message.failures.iter().all(|f| f.number != *number)
            && known.any(|known| request::wants_delay(envelope, known))
    })
    .map(|(number, standing)| (number, attempt::last_cause(standing)))
}

/// What one report says.
struct Told<'a> {
    recipients: Vec<Reported>,
    arrival: Time,
    envid: Option<Envid>,
    returned: Returned<'a>,
    smtputf8: bool,
}

impl<'a> Told<'a> {
    fn new(envelope: &Envelope, recipients: Vec<Reported>, returned: Returned<'a>) -> Self {
        Self {
            recipients,
            arrival: envelope.arrival,
            envid: envelope.dsn.as_ref().and_then(|dsn| dsn.envid.clone()),
            returned,
            smtputf8: envelope.smtputf8,
        }
    }
}

impl<R: Router> Queue<R> {
    /// The first octets of a message came: what is owed is reported, and written with what owes it.
    pub(super) fn header_came(&mut self, queue_id: QueueId, octets: &[u8], now: Time) {
        let Some(message) = self.messages.get_mut(&queue_id).filter(|m| m.header_asked) else {
            return;
        };
        message.header_asked = false;
        let delayed = self.delay_report(queue_id, octets, now);
        let failed = self.failure_report(queue_id, octets, now);
        let delivered = self.success_report(queue_id, octets, now);
        let reports = failed.into_iter().chain(delayed).chain(delivered);
        self.conclude(queue_id, reports.collect(), now);
    }

    /// The report on recipients that failed, if there are such and one is wanted. Where nobody can be told the message is
    /// dead.
    fn failure_report(&mut self, queue_id: QueueId, octets: &[u8], now: Time) -> Vec<Accepted> {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return Vec::new();
        };
        let failures = std::mem::take(&mut message.failures);
        for failure in &failures {
            message.stored.state.recipients[failure.number as usize] = Standing::Failed;
        }
        let Stored {
            envelope,
            octets: size_octets,
            ..
        } = &message.stored;
        let recipients: Vec<Reported> = failures
            .iter()
            .flat_map(|failure| failed(envelope, failure))
            .collect();
        if recipients.is_empty() {
            return Vec::new();
        }
        let ret = envelope.dsn.as_ref().and_then(|dsn| dsn.ret);
        let returned = if ret == Some(Ret::Full) && octets.len() as u64 == *size_octets {
            Returned::Whole(octets)
        } else {
            Returned::Header(octets)
        };
        let told = Told::new(envelope, recipients, returned);
        let postmaster = &self.parameters.postmaster;
        let to = match &envelope.reverse_path {
            ReversePath::Mailbox(mailbox) => Some(mailbox.clone()),
            // A report, or mail that wants none: postmaster is told, once, and never of his own mail.
            ReversePath::Null if told.recipients.iter().all(|r| r.mailbox != *postmaster) => {
                Some(postmaster.clone())
            }
            ReversePath::Null => None,
        };
        let foreign = envelope.reverse_path.is_null();
        let reports = to.map_or_else(Vec::new, |to| {
            let reports = self.reports(&to, foreign, &told, now);
            if !reports.is_empty() {
                return reports;
            }
            // The sender has no mailbox of ours after all: postmaster gets it.
            let postmaster = self.parameters.postmaster.clone();
            self.reports(&postmaster, true, &told, now)
        });
        if reports.is_empty()
            && let Some(message) = self.messages.get_mut(&queue_id)
        {
            // Nobody can be told. It is not thrown away.
            message.stored.state.dead = true;
            for failure in failures {
                let outcome = mail::Outcome::Failed(failure.cause);
                message.stored.state.recipients[failure.number as usize] =
                    Standing::Waiting(Some(Box::new(outcome)));
            }
        }
        reports
    }

    /// The report on a delay, if one is due: to the sender, and to nobody else.
    fn delay_report(&mut self, queue_id: QueueId, octets: &[u8], now: Time) -> Vec<Accepted> {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return Vec::new();
        };
        if !delay_is_due(message, self.parameters.delay_notice, now) {
            return Vec::new();
        }
        let envelope = &message.stored.envelope;
        let ReversePath::Mailbox(to) = envelope.reverse_path.clone() else {
            return Vec::new();
        };
        let tried = Some(now.since(envelope.arrival));
        let recipients = still_waiting(message).flat_map(|(number, cause)| {
            let recipient = &envelope.recipients[number as usize];
            let unheard = Cause::Ours(expiry(Class::Transient), NOTHING_HEARD.into());
            let why = Why {
                cause: cause.unwrap_or(&unheard).clone(),
                inner: self.router.is_inner(&recipient.mailbox),
                tried,
            };
            let known = recipient.known().iter();
            let known = known.filter(|known| request::wants_delay(envelope, known));
            known.map(move |known| reported(envelope, known, Action::Delayed(why.clone())))
        });
        let told = Told::new(envelope, recipients.collect(), Returned::Header(octets));
        message.stored.state.delay_told = true;
        self.reports(&to, false, &told, now)
    }

    /// The report on what was delivered, where the sender asked for it: to him, and to nobody else.
    fn success_report(&mut self, queue_id: QueueId, octets: &[u8], now: Time) -> Vec<Accepted> {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return Vec::new();
        };
        let Stored {
            envelope, state, ..
        } = &mut message.stored;
        let recipients = request::successes(envelope, state);
        for standing in &mut state.recipients {
            if matches!(standing, Standing::Owed(_)) {
                *standing = Standing::Delivered;
            }
        }
        let ReversePath::Mailbox(to) = envelope.reverse_path.clone() else {
            return Vec::new();
        };
        if recipients.is_empty() {
            return Vec::new();
        }
        let told = Told::new(envelope, recipients, Returned::Header(octets));
        self.reports(&to, false, &told, now)
    }

    /// What is to be told, in as many reports as it takes: each is small enough to lie in the log and to travel beside others.
    /// None where nobody has the name that it goes to.
    fn reports(
        &mut self,
        to: &Mailbox,
        foreign: bool,
        told: &Told<'_>,
        now: Time,
    ) -> Vec<Accepted> {
        let recipients = self.router.recipients(to);
        if recipients.is_empty() {
            return Vec::new();
        }
        let most = usize::try_from(BODY_OCTETS).unwrap_or(usize::MAX);
        let most = most.saturating_sub(FRAME_OCTETS + told.returned.octets());
        let (mut reports, mut rest) = (Vec::new(), &told.recipients[..]);
        while !rest.is_empty() {
            let mut octets = 0;
            let fits = rest.iter().take_while(|reported| {
                octets += reported.octets();
                octets < most
            });
            let (part, others) = rest.split_at(fits.count().max(1));
            reports.push(self.report(to, foreign, recipients.clone(), told, part, now));
            rest = others;
        }
        reports
    }

    /// A report on a part of the recipients, as a message of its own.
    fn report(
        &mut self,
        to: &Mailbox,
        foreign: bool,
        recipients: Vec<Recipient>,
        told: &Told<'_>,
        part: &[Reported],
        now: Time,
    ) -> Accepted {
        let queue_id = self.next_id(now);
        let until = told.arrival + self.parameters.expiry;
        let is_delay = matches!(part[0].action, Action::Delayed(_));
        let content = Report {
            queue_id,
            hostname: &self.parameters.hostname,
            to,
            now,
            arrival: told.arrival,
            envid: told.envid.as_ref(),
            retry_until: is_delay.then_some(until),
            foreign,
            recipients: part,
            returned: told.returned,
            smtputf8: told.smtputf8,
        }
        .content();
        let eight_bit = !content.is_ascii();
        Accepted {
            queue_id,
            envelope: Envelope {
                reverse_path: ReversePath::Null,
                recipients,
                arrival: now,
                eight_bit,
                smtputf8: !to.is_ascii(),
                dsn: None,
            },
            trace: Arc::from(""),
            content: Content::Inline(content.into()),
        }
    }
}

/// A recipient that failed as its sender knows it: each address that he wrote for it, but those of which he wants no word.
/// Mail that wants no report is told to postmaster, whatever it asks (RFC 3461 §5.2.6 (b)).
fn failed(envelope: &Envelope, failure: &Failure) -> impl Iterator<Item = Reported> {
    let known = envelope.recipients[failure.number as usize].known().iter();
    let why = Why {
        cause: failure.cause.clone(),
        inner: failure.inner,
        tried: failure.tried,
    };
    known
        .filter(|known| envelope.reverse_path.is_null() || request::wants_failure(envelope, known))
        .map(move |known| reported(envelope, known, Action::Failed(why.clone())))
}

fn reported(envelope: &Envelope, known: &Mailbox, action: Action) -> Reported {
    let asked = envelope.asked(known);
    Reported {
        mailbox: known.clone(),
        original: asked.and_then(|asked| asked.original.clone()),
        action,
    }
}
