//! Reports: who is told of a failure, and that nobody is told of a failed report.
//!
//= https://www.rfc-editor.org/rfc/rfc5321#section-4.5.5
//# All other types of messages (i.e., any message which is not required by
//# a Standards-Track RFC to have a null reverse-path) SHOULD be sent with
//# a valid, non-null reverse-path.

use super::{Queue, Router};
use crate::{Accepted, Content, Standing};
use mail::dsn::{Action, Report, Reported};
use mail::{Envelope, Mailbox, QueueId, ReversePath, Time};
use std::sync::Arc;

impl<R: Router> Queue<R> {
    /// The header section came: the report is made, and written with the failure that owes it.
    pub(super) fn header_came(&mut self, queue_id: QueueId, header: &[u8], now: Time) {
        let Some(message) = self.messages.get_mut(&queue_id).filter(|m| m.header_asked) else {
            return;
        };
        message.header_asked = false;
        let failures = std::mem::take(&mut message.failures);
        let envelope = &message.stored.envelope;
        let reported: Vec<Reported> = failures
            .iter()
            .flat_map(|(number, cause, inner)| {
                let known = envelope.recipients[*number as usize].known();
                known.iter().map(|mailbox| Reported {
                    mailbox: mailbox.clone(),
                    cause: cause.clone(),
                    inner: *inner,
                })
            })
            .collect();
        let arrival = envelope.arrival;
        let to = match &envelope.reverse_path {
            ReversePath::Mailbox(mailbox) => Some(mailbox.clone()),
            // A report, or mail that wants none: postmaster is told, once, and never of his own mail.
            ReversePath::Null
                if reported
                    .iter()
                    .all(|r| r.mailbox != self.parameters.postmaster) =>
            {
                Some(self.parameters.postmaster.clone())
            }
            ReversePath::Null => None,
        };
        for (number, ..) in &failures {
            message.stored.state.recipients[*number as usize] = Standing::Failed;
        }
        let report = to.and_then(|to| self.report(&to, &reported, arrival, header, now));
        let reports: Vec<Accepted> = report.into_iter().collect();
        if reports.is_empty()
            && let Some(message) = self.messages.get_mut(&queue_id)
        {
            // Nobody can be told. It is not thrown away.
            message.stored.state.dead = true;
            for (number, cause, _) in failures {
                let outcome = mail::Outcome::Failed(cause);
                message.stored.state.recipients[number as usize] =
                    Standing::Waiting(Some(Box::new(outcome)));
            }
        }
        self.conclude(queue_id, reports, now);
    }

    /// A report as a message of its own; `None` where nobody can get it.
    fn report(
        &mut self,
        to: &Mailbox,
        reported: &[Reported],
        arrival: Time,
        header: &[u8],
        now: Time,
    ) -> Option<Accepted> {
        let mut recipients = self.router.recipients(to);
        if recipients.is_empty() {
            // The sender has no mailbox of ours after all: postmaster gets it.
            recipients = self.router.recipients(&self.parameters.postmaster);
        }
        if recipients.is_empty() {
            return None;
        }
        let queue_id = self.next_id(now);
        let content = Report {
            queue_id,
            hostname: &self.parameters.hostname,
            to,
            now,
            arrival,
            action: Action::Failed,
            recipients: reported,
            header,
        }
        .content();
        let eight_bit = !content.is_ascii();
        Some(Accepted {
            queue_id,
            envelope: Envelope {
                reverse_path: ReversePath::Null,
                recipients,
                arrival: now,
                eight_bit,
            },
            trace: Arc::from(""),
            content: Content::Inline(content.into()),
        })
    }
}
