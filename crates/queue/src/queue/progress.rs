//! What the spool is told of a message's standing: always the newest, one record at a time, and with it every
//! report that is owed and not durable yet.
//!
//! A commit may fail while a later one succeeds. If each change were a record of its own, written again when
//! it failed, an older standing could overwrite a newer one; and a standing that says "failed" could be durable
//! without the report that this owes. So a message has one record under way at most, and the next one says all.

use super::{Event, Output, Queue, Router};
use crate::{Accepted, Entry, State, Stored};
use mail::{QueueId, Time};
use std::time::Duration;

/// What a commit that failed did not make durable is written again after this.
pub(super) const COMMIT_AGAIN: Duration = Duration::from_secs(1);

/// How long an outcome waits for a commit that it can ride. If the power fails before that, what was relayed is
/// relayed again.
pub(super) const OUTCOME_WAIT: Duration = Duration::from_millis(250);
/// So many outcomes do not wait.
const NOTED_MAX: usize = 1000;

/// A message whose standing is not durable as it is now. The message itself may be done with.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// A record is on its way to the disk.
    under_way: bool,
    /// Something changed since that record was made.
    changed: bool,
    /// Reports that are not durable yet, the oldest first.
    reports: Vec<Accepted>,
}

/// Messages whose standing waits for a commit that it can ride.
#[derive(Debug)]
pub(super) struct Noted {
    messages: Vec<QueueId>,
    /// When they have a commit of their own.
    pub(super) write_at: Time,
}

impl Default for Noted {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            write_at: Time::NEVER,
        }
    }
}

impl<R: Router> Queue<R> {
    /// A message's standing changed, and it owes these reports: both go into one record.
    pub(super) fn write(&mut self, queue_id: QueueId, reports: Vec<Accepted>) {
        let unwritten = self.unwritten.entry(queue_id).or_default();
        unwritten.changed = true;
        unwritten.reports.extend(reports);
        self.write_unwritten(queue_id);
    }

    /// The same for what an attempt decided: where no report is owed it waits for a commit that it can ride.
    pub(super) fn note(&mut self, queue_id: QueueId, reports: Vec<Accepted>, now: Time) {
        let unwritten = self.unwritten.entry(queue_id).or_default();
        unwritten.changed = true;
        unwritten.reports.extend(reports);
        if !unwritten.reports.is_empty() {
            return self.write_unwritten(queue_id);
        }
        self.noted.messages.push(queue_id);
        self.noted.write_at = self.noted.write_at.min(now + OUTCOME_WAIT);
    }

    /// What waited long enough has a commit of its own.
    pub(super) fn write_due(&mut self, now: Time) {
        if now >= self.noted.write_at || self.noted.messages.len() >= NOTED_MAX {
            self.write_noted();
        }
    }

    /// Nothing waits any more.
    pub(super) fn write_noted(&mut self) {
        for queue_id in std::mem::take(&mut self.noted).messages {
            self.write_unwritten(queue_id);
        }
    }

    /// Puts the message's standing into the next commit, unless an older one is under way still.
    fn write_unwritten(&mut self, queue_id: QueueId) {
        let Some(unwritten) = self.unwritten.get_mut(&queue_id) else {
            return;
        };
        if unwritten.under_way || !unwritten.changed {
            return;
        }
        unwritten.under_way = true;
        unwritten.changed = false;
        let reports = unwritten.reports.clone();
        self.batch.progress.push((queue_id, reports.len()));
        let message = self.messages.get(&queue_id);
        self.entries.push(Entry::Progress {
            queue_id,
            state: message.map(|message| message.stored.state.clone()),
            reports,
        });
    }

    /// After a commit that failed: everything that waits.
    pub(super) fn write_all_unwritten(&mut self) {
        let waiting: Vec<QueueId> = self.unwritten.keys().copied().collect();
        for queue_id in waiting {
            self.write_unwritten(queue_id);
        }
    }

    /// A batch is durable, or is not: its reports exist from now on, or it is written again.
    pub(super) fn progress_committed(
        &mut self,
        progress: Vec<(QueueId, usize)>,
        ok: bool,
        now: Time,
    ) {
        for (queue_id, count) in progress {
            let Some(unwritten) = self.unwritten.get_mut(&queue_id) else {
                continue;
            };
            unwritten.under_way = false;
            if !ok {
                unwritten.changed = true;
                self.again_at = self.again_at.min(now + COMMIT_AGAIN);
                continue;
            }
            let durable: Vec<Accepted> = unwritten.reports.drain(..count).collect();
            if unwritten.changed {
                self.write_unwritten(queue_id);
            } else {
                self.unwritten.remove(&queue_id);
            }
            for report in durable {
                self.outputs.push_back(Output::Event(Event::DsnQueued {
                    queue_id: report.queue_id,
                    about: queue_id,
                }));
                let recipients = report.envelope.recipients.len();
                self.insert(Stored {
                    queue_id: report.queue_id,
                    octets: report.content.octets(),
                    state: State::new(recipients, report.envelope.arrival),
                    envelope: report.envelope,
                });
            }
        }
    }
}
