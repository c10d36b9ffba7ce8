//! Reports: who is told of a failure, and that nobody is told of a failed report.
//!
//= https://www.rfc-editor.org/rfc/rfc5321#section-4.5.5
//# All other types of messages (i.e., any message which is not required by
//# a Standards-Track RFC to have a null reverse-path) SHOULD be sent with
//# a valid, non-null reverse-path.

use super::{Message, Queue, Router, attempt};
use crate::{Accepted, Content, Standing, Stored};
use mail::dsn::{Action, NOTHING_HEARD, Report, Reported, expiry};
use mail::{Cause, Class, Envelope, Mailbox, QueueId, Recipient, ReversePath, Time};
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

/// Recipients that wait and did not fail just now: number and what was heard last.
fn still_waiting(message: &Message) -> impl Iterator<Item = (u32, Option<&Cause>)> {
    let each = (0u32..).zip(&message.stored.state.recipients);
    each.filter(|(number, standing)| {
        matches!(standing, Standing::Waiting(_))
            && message.failures.iter().all(|f| f.number != *number)
    })
    .map(|(number, standing)| (number, attempt::last_cause(standing)))
}

/// What one report says.
struct Told<'a> {
    action: Action,
    recipients: Vec<Reported>,
    arrival: Time,
    header: &'a [u8],
}

impl<R: Router> Queue<R> {
    /// The header section came: what is owed is reported, and written with what owes it.
    pub(super) fn header_came(&mut self, queue_id: QueueId, header: &[u8], now: Time) {
        let Some(message) = self.messages.get_mut(&queue_id).filter(|m| m.header_asked) else {
            return;
        };
        message.header_asked = false;
        let delayed = self.delay_report(queue_id, header, now);
        let failed = self.failure_report(queue_id, header, now);
        self.conclude(queue_id, failed.into_iter().chain(delayed).collect(), now);
    }

    /// The report on recipients that failed, if there are such. Where nobody can be told the message is dead.
    fn failure_report(&mut self, queue_id: QueueId, header: &[u8], now: Time) -> Option<Accepted> {
        let message = self.messages.get_mut(&queue_id)?;
        let failures = std::mem::take(&mut message.failures);
        if failures.is_empty() {
            return None;
        }
        let envelope = &message.stored.envelope;
        let recipients = failures.iter().flat_map(|failure| {
            reported(
                envelope,
                failure.number,
                &failure.cause,
                failure.inner,
                failure.tried,
            )
        });
        let told = Told {
            action: Action::Failed,
            recipients: recipients.collect(),
            arrival: envelope.arrival,
            header,
        };
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
        for failure in &failures {
            message.stored.state.recipients[failure.number as usize] = Standing::Failed;
        }
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
    fn delay_report(&mut self, queue_id: QueueId, header: &[u8], now: Time) -> Option<Accepted> {
        let message = self.messages.get_mut(&queue_id)?;
        if !delay_is_due(message, self.parameters.delay_notice, now) {
            return None;
        }
        let envelope = &message.stored.envelope;
        let ReversePath::Mailbox(to) = envelope.reverse_path.clone() else {
            return None;
        };
        let arrival = envelope.arrival;
        let recipients = still_waiting(message).flat_map(|(number, cause)| {
            let mailbox = &envelope.recipients[number as usize].mailbox;
            let unheard = Cause::Ours(expiry(Class::Transient), NOTHING_HEARD.into());
            let inner = self.router.is_inner(mailbox);
            let tried = Some(now.since(arrival));
            reported(envelope, number, cause.unwrap_or(&unheard), inner, tried)
        });
        let told = Told {
            action: Action::Delayed,
            recipients: recipients.collect(),
            arrival,
            header,
        };
        message.stored.state.delay_told = true;
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
        let content = Report {
            queue_id,
            hostname: &self.parameters.hostname,
            to,
            now,
            arrival: told.arrival,
            action: told.action,
            retry_until: (told.action == Action::Delayed).then_some(until),
            foreign,
            recipients: &told.recipients,
            header: told.header,
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
            },
            trace: Arc::from(""),
            content: Content::Inline(content.into()),
        }
    }
}

/// A recipient as its sender knows it: each address that he wrote for it.
fn reported(
    envelope: &Envelope,
    number: u32,
    cause: &Cause,
    inner: bool,
    tried: Option<Duration>,
) -> Vec<Reported> {
    let known = envelope.recipients[number as usize].known();
    let reported = known.iter().map(|mailbox| Reported {
        mailbox: mailbox.clone(),
        cause: cause.clone(),
        inner,
        tried,
    });
    reported.collect()
}
