//! Attempts on their way to local and relay, and back.

use super::Desk;
use super::reading::Reading;
use crate::drive::arrow::Sender;
use crate::event::{self, Event};
use crate::ipc::deliver::{Attempt, Ended};
use ::queue::{Content, Input};
use mail::{Host, QueueId};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Content kept in memory for the first attempt, in octets; what exceeds it is read from the spool.
const HOT_OCTETS: usize = 64 * 1024 * 1024;
/// Octets that may wait on a transport's arrow before attempts are held back.
const BACKLOG_OCTETS: usize = 16 * 1024 * 1024;

/// An arrow to a transport, and the attempts that it has.
pub(super) struct Transport {
    pub(super) arrow: u64,
    pub(super) sender: Sender<Attempt>,
    pub(super) attempts: BTreeSet<u64>,
}

impl Desk {
    /// Keeps a new message's content in memory for its first attempt.
    pub(super) fn keep_hot(&mut self, entry: &::queue::Entry) {
        let ::queue::Entry::Accept(accepted) = entry else {
            return;
        };
        self.certain.insert(accepted.queue_id);
        if let Content::Inline(octets) = &accepted.content
            && self.hot_octets + octets.len() <= HOT_OCTETS
        {
            self.hot_octets += octets.len();
            self.hot.insert(
                accepted.queue_id,
                (Arc::clone(&accepted.trace), accepted.content.clone()),
            );
        }
    }

    /// Nothing of this message is needed any more.
    pub(super) fn cool(&mut self, queue_id: QueueId) {
        self.certain.remove(&queue_id);
        if let Some((_, Content::Inline(octets))) = self.hot.remove(&queue_id) {
            self.hot_octets -= octets.len();
        }
    }

    pub(super) fn attempt(&mut self, record: Attempt) {
        let slot = if record.destination.is_local() {
            &mut self.local
        } else {
            &mut self.relay
        };
        let Some(transport) = slot else {
            return self.handle(Input::Lost {
                attempt: record.attempt,
            });
        };
        if transport.sender.backlog() > BACKLOG_OCTETS {
            return self.handle(Input::Lost {
                attempt: record.attempt,
            });
        }
        transport.attempts.insert(record.attempt);
        match self.hot.remove(&record.queue_id) {
            Some((trace, Content::Inline(octets))) => {
                self.hot_octets -= octets.len();
                self.send(record, &trace, &Content::Inline(octets), None);
            }
            _ => self.want(record.queue_id, Reading::Attempt(record)),
        }
    }

    /// Hands an attempt with its content to its transport.
    pub(super) fn send(
        &mut self,
        mut record: Attempt,
        trace: &str,
        content: &Content,
        file: Option<OwnedFd>,
    ) {
        record.trace = trace.into();
        let slot = if record.destination.is_local() {
            &self.local
        } else {
            &self.relay
        };
        let Some(transport) = slot
            .as_ref()
            .filter(|t| t.attempts.contains(&record.attempt))
        else {
            return;
        };
        let said = match content {
            Content::Inline(octets) => transport.sender.say(&record, octets, None),
            Content::Body(body) => {
                record.body_octets = Some(body.octets);
                transport.sender.say(&record, &[], file)
            }
        };
        if let Err(misbehaved) = said {
            event::say(&Event::Trouble {
                place: "deliver",
                cause: misbehaved.to_string(),
            });
            let attempt = record.attempt;
            self.ended(Ended {
                attempt,
                host: Host::default(),
                outcomes: Vec::new(),
            });
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        let known = |t: &mut Option<Transport>| {
            t.as_mut()
                .is_some_and(|t| t.attempts.remove(&ended.attempt))
        };
        if known(&mut self.local) || known(&mut self.relay) {
            self.handle(Input::Ended {
                attempt: ended.attempt,
                host: ended.host,
                outcomes: ended.outcomes,
            });
        }
    }

    pub(super) fn transport_gone(&mut self, arrow: u64, local: bool) {
        let slot = if local {
            &mut self.local
        } else {
            &mut self.relay
        };
        if slot.as_ref().is_some_and(|t| t.arrow == arrow)
            && let Some(gone) = slot.take()
        {
            // Whether it was a fault of its own is the supervisor's to say.
            self.gone.entry(local).or_default().extend(gone.attempts);
            if let Some(fault) = self.endings.remove(&local) {
                self.transport_ended(local, fault);
            }
        }
    }

    /// The process of a transport has ended. What it said before may still be on its way here.
    pub(super) fn process_ended(&mut self, local: bool, fault: bool) {
        let slot = if local { &self.local } else { &self.relay };
        if slot.is_some() {
            self.endings.insert(local, fault);
        } else {
            self.transport_ended(local, fault);
        }
    }

    /// A transport has ended, or another takes its place.
    pub(super) fn transport_ended(&mut self, local: bool, fault: bool) {
        let attempts = self.gone.remove(&local).unwrap_or_default();
        if fault {
            self.doubt(&attempts);
            let attempts = attempts.into_iter().collect();
            self.handle(Input::Crashed { attempts });
        } else {
            self.lose(attempts);
        }
    }

    /// Whether these were delivered is not known: whoever tries again is to look first.
    fn doubt(&mut self, attempts: &BTreeSet<u64>) {
        for attempt in attempts {
            if let Some(queue_id) = self.brain.message_of(*attempt) {
                self.certain.remove(&queue_id);
            }
        }
    }

    pub(super) fn lose(&mut self, attempts: BTreeSet<u64>) {
        self.doubt(&attempts);
        for attempt in attempts {
            self.handle(Input::Lost { attempt });
        }
    }
}
