//! Reports: who is told of a failure, and that nobody is told of a failed report.
//!
//= https://www.rfc-editor.org/rfc/rfc5321#section-4.5.5
//# All other types of messages (i.e., any message which is not required by
//# a Standards-Track RFC to have a null reverse-path) SHOULD be sent with
//# a valid, non-null reverse-path.

use super::{Failure, Message, Queue, Router, attempt, request};
use crate::{Accepted, Content, Standing, Stored};
use mail::dsn::{Action, NOTHING_HEARD, Report, Reported, Returned, Why, expiry};
use mail::{Cause, Class, Envelope, Envid, Mailbox, QueueId, Recipient, Ret, ReversePath, Time};
use std::sync::Arc;
use std::time::Duration;

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
}

impl<'a> Told<'a> {
    fn new(envelope: &Envelope, recipients: Vec<Reported>, returned: Returned<'a>) -> Self {
        Self {
            recipients,
            arrival: envelope.arrival,
            envid: envelope.dsn.as_ref().and_then(|dsn| dsn.envid.clone()),
            returned,
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
    fn failure_report(&mut self, queue_id: QueueId, octets: &[u8], now: Time) -> Option<Accepted> {
        let message = self.messages.get_mut(&queue_id)?;
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
            return None;
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
        let report = to.and_then(|to| {
            let recipients = self.router.recipients(&to);
            if !recipients.is_empty() {
                return Some(self.report(&to, foreign, recipients, &told, now));
            }
            // The sender has no mailbox of ours after all: postmaster gets it.
            let postmaster = self.parameters.postmaster.clone();
            let recipients = self.router.recipients(&postmaster);
            (!recipients.is_empty()).then(|| self.report(&postmaster, true, recipients, &told, now))
        });
        if report.is_none()
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
        report
    }

    /// The report on a delay, if one is due: to the sender, and to nobody else.
    fn delay_report(&mut self, queue_id: QueueId, octets: &[u8], now: Time) -> Option<Accepted> {
        let message = self.messages.get_mut(&queue_id)?;
        if !delay_is_due(message, self.parameters.delay_notice, now) {
            return None;
        }
        let envelope = &message.stored.envelope;
        let ReversePath::Mailbox(to) = envelope.reverse_path.clone() else {
            return None;
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
        let recipients = self.router.recipients(&to);
        (!recipients.is_empty()).then(|| self.report(&to, false, recipients, &told, now))
    }

    /// The report on what was delivered, where the sender asked for it: to him, and to nobody else.
    fn success_report(&mut self, queue_id: QueueId, octets: &[u8], now: Time) -> Option<Accepted> {
        let message = self.messages.get_mut(&queue_id)?;
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
            return None;
        };
        if recipients.is_empty() {
            return None;
        }
        let told = Told::new(envelope, recipients, Returned::Header(octets));
        let recipients = self.router.recipients(&to);
        (!recipients.is_empty()).then(|| self.report(&to, false, recipients, &told, now))
    }

    /// A report as a message of its own.
    fn report(
        &mut self,
        to: &Mailbox,
        foreign: bool,
        recipients: Vec<Recipient>,
        told: &Told<'_>,
        now: Time,
    ) -> Accepted {
        let queue_id = self.next_id(now);
        let until = told.arrival + self.parameters.expiry;
        let is_delay = matches!(told.recipients[0].action, Action::Delayed(_));
        let content = Report {
            queue_id,
            hostname: &self.parameters.hostname,
            to,
            now,
            arrival: told.arrival,
            envid: told.envid.as_ref(),
            retry_until: is_delay.then_some(until),
            foreign,
            recipients: &told.recipients,
            returned: told.returned,
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
