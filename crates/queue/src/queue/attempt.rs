//! Attempts: from a due message to its outcomes.

use super::{
    CRASHES_MAX, Event, Failure, LOST_AGAIN, Message, Output, Queue, Router, report, request,
};
use crate::schedule::Group;
use crate::{Standing, Stored};
use mail::{Cause, Destination, Ending, Host, Outcome, QueueId, Route, Time};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

impl<R: Router> Queue<R> {
    /// A message is due: sends its recipients to their sites, or gives them up.
    pub(super) fn begin(&mut self, queue_id: QueueId, now: Time) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        let state = &message.stored.state;
        if state.held || state.dead || message.under_way > 0 || message.header_asked {
            return;
        }
        let age = now.since(message.stored.envelope.arrival);
        let expired = age >= self.parameters.expiry && state.attempts > 0;
        let mut groups: BTreeMap<Destination, Vec<u32>> = BTreeMap::new();
        let mut ended = Vec::new();
        for (number, standing) in (0u32..).zip(&state.recipients) {
            let Standing::Waiting(last) = standing else {
                continue;
            };
            let recipient = &message.stored.envelope.recipients[number as usize];
            if expired {
                let cause = expired_cause(last.as_deref(), age);
                ended.push((number, Outcome::Failed(cause).into()));
                continue;
            }
            match self.router.route(&recipient.mailbox) {
                Route::To(destination) => groups.entry(destination).or_default().push(number),
                Route::Nowhere(status, words) => {
                    let cause = Cause::Ours(status, Cow::Borrowed(words));
                    ended.push((number, Outcome::Failed(cause).into()));
                }
            }
        }
        for (destination, numbers) in groups {
            for numbers in numbers.chunks(self.parameters.recipients_max) {
                message.under_way += 1;
                self.sites.wait(Group {
                    queue_id,
                    destination: destination.clone(),
                    numbers: numbers.to_vec(),
                });
            }
        }
        if !ended.is_empty()
            || self
                .messages
                .get(&queue_id)
                .is_some_and(|m| m.under_way == 0)
        {
            let place = Place {
                expired: expired.then_some(age),
                ..Place::default()
            };
            self.apply(queue_id, &place, ended, now);
        }
    }

    /// Starts what the sites' windows let through; what a site that is left alone holds is deferred.
    pub(super) fn pump(&mut self, now: Time) {
        while let Some((group, cause)) = self.sites.give_back(now) {
            let deferred = Ending::from(Outcome::Deferred(cause));
            let outcomes = group.numbers.iter().map(|n| (*n, deferred.clone()));
            let outcomes = outcomes.collect();
            let place = Place::of(group.destination, Host::default());
            self.finish(group.queue_id, &place, outcomes, now);
        }
        while let Some((attempt, group)) = self.sites.start(now) {
            let Some(message) = self.messages.get(&group.queue_id) else {
                self.sites.end(attempt);
                continue;
            };
            let envelope = &message.stored.envelope;
            let mailbox = |n: &u32| (*n, envelope.recipients[*n as usize].mailbox.clone());
            self.outputs.push_back(Output::Attempt {
                attempt,
                destination: group.destination,
                queue_id: group.queue_id,
                reverse_path: envelope.reverse_path.clone(),
                recipients: group.numbers.iter().map(mailbox).collect(),
                eight_bit: envelope.eight_bit,
                smtputf8: envelope.smtputf8,
                dsn: request::onward(envelope, &group.numbers),
            });
        }
    }

    /// An attempt ended.
    pub(super) fn ended(
        &mut self,
        attempt: u64,
        host: Host,
        outcomes: Vec<(u32, Ending)>,
        now: Time,
    ) {
        let Some(group) = self.sites.end(attempt) else {
            return;
        };
        self.sites.learn(&group.destination, &outcomes, now);
        if let Some(message) = self.messages.get_mut(&group.queue_id) {
            message.crashes = 0;
        }
        // Only what was asked, each once.
        let mut asked = group.numbers;
        let mut known = Vec::new();
        for (number, outcome) in outcomes {
            if let Some(place) = asked.iter().position(|n| *n == number) {
                asked.swap_remove(place);
                known.push((number, outcome));
            }
        }
        let place = Place::of(group.destination, host);
        self.finish(group.queue_id, &place, known, now);
    }

    /// A transport died with an attempt: it is tried again soon, and does not count.
    pub(super) fn lost(&mut self, attempt: u64, again: Duration, now: Time) {
        let Some(group) = self.sites.end(attempt) else {
            return;
        };
        let Some(message) = self.messages.get_mut(&group.queue_id) else {
            return;
        };
        message.under_way -= 1;
        if message.under_way == 0 && !message.stored.state.held && !message.header_asked {
            let state = &mut message.stored.state;
            self.due.remove(&(state.next_attempt, group.queue_id));
            state.next_attempt = now + again;
            self.due.insert((state.next_attempt, group.queue_id));
        }
    }

    /// A transport ended by a fault with these attempts. They are tried again one after the other, so that the next
    /// time it is seen which it was; a message that was among them once before is held.
    pub(super) fn crashed(&mut self, attempts: &[u64], now: Time) {
        let mut again = LOST_AGAIN;
        let mut blamed = BTreeSet::new();
        for attempt in attempts {
            let queue_id = self.message_of(*attempt);
            self.lost(*attempt, again, now);
            again += LOST_AGAIN;
            blamed.extend(queue_id);
        }
        for queue_id in blamed {
            let Some(message) = self.messages.get_mut(&queue_id) else {
                continue;
            };
            message.crashes += 1;
            if message.crashes >= CRASHES_MAX {
                message.crashes = 0;
                self.set_held(queue_id, true, now);
                self.outputs
                    .push_back(Output::Event(Event::Held { queue_id }));
            }
        }
    }

    fn finish(
        &mut self,
        queue_id: QueueId,
        place: &Place,
        outcomes: Vec<(u32, Ending)>,
        now: Time,
    ) {
        if let Some(message) = self.messages.get_mut(&queue_id) {
            message.under_way -= 1;
            self.apply(queue_id, place, outcomes, now);
        }
    }

    /// Takes outcomes into the message's standing, and writes it.
    fn apply(&mut self, queue_id: QueueId, place: &Place, outcomes: Vec<(u32, Ending)>, now: Time) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        let attempt = message.stored.state.attempts + 1;
        let destination = &place.destination;
        let inner = destination.as_ref().is_some_and(Destination::is_inner);
        for (number, ending) in outcomes {
            let Stored {
                envelope, state, ..
            } = &mut message.stored;
            let index = number as usize;
            match &ending.outcome {
                Outcome::Delivered => {
                    let (to, handed_on) = (destination.as_ref(), ending.handed_on);
                    let owed = request::owed(envelope, state, number, to, handed_on);
                    state.recipients[index] = owed.map_or(Standing::Delivered, Standing::Owed);
                }
                Outcome::Deferred(_) => {
                    state.recipients[index] =
                        Standing::Waiting(Some(Box::new(ending.outcome.clone())));
                }
                // It stays waiting until its report can be written with it.
                Outcome::Failed(cause) => {
                    let last = place.expired.and(last_cause(&state.recipients[index]));
                    let mailbox = &envelope.recipients[number as usize].mailbox;
                    message.failures.push(Failure {
                        number,
                        cause: last.unwrap_or(cause).clone(),
                        // Where no attempt was made now, the last was made where mail goes to.
                        inner: inner || destination.is_none() && self.router.is_inner(mailbox),
                        tried: place.expired,
                    });
                }
            }
            let mailbox = envelope.recipients[number as usize].mailbox.clone();
            self.outputs.push_back(Output::Event(Event::Outcome {
                queue_id,
                mailbox,
                destination: destination.clone(),
                attempt,
                host: place.host.clone(),
                ending,
            }));
        }
        if message.under_way > 0 {
            // Others are still under way; what is known is kept.
            self.note(queue_id, Vec::new(), now);
            return;
        }
        message.stored.state.attempts = attempt;
        let notice = report::delay_is_due(message, self.parameters.delay_notice, now);
        let owes = |standing: &Standing| matches!(standing, Standing::Owed(_));
        let success = message.stored.state.recipients.iter().any(owes);
        if notice || success || !message.failures.is_empty() {
            message.header_asked = true;
            self.outputs.push_back(Output::NeedHeader { queue_id });
            self.note(queue_id, Vec::new(), now);
            return;
        }
        self.conclude(queue_id, Vec::new(), now);
    }

    /// A round of attempts is over: waits for the next, or is done with.
    pub(super) fn conclude(&mut self, queue_id: QueueId, reports: Vec<crate::Accepted>, now: Time) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        let waiting = |message: &Message| {
            message
                .stored
                .state
                .recipients
                .iter()
                .any(|s| matches!(s, Standing::Waiting(_)))
        };
        if message.stored.state.dead {
            self.outputs
                .push_back(Output::Event(Event::Dead { queue_id }));
        } else if waiting(message) {
            let state = &mut message.stored.state;
            let last = message.stored.envelope.arrival + self.parameters.expiry;
            let next = self.retry.next(state.attempts, now);
            // The last attempt is made when the message expires, not up to four hours later.
            state.next_attempt = if now < last { next.min(last) } else { next };
            // And one when its sender is to be told of a delay, who would otherwise learn it hours later.
            let notice = self.parameters.delay_notice;
            let notice = notice.map(|notice| message.stored.envelope.arrival + notice);
            if let Some(notice) = notice.filter(|notice| now < *notice && !state.delay_told) {
                state.next_attempt = state.next_attempt.min(notice);
            }
            if !state.held {
                self.due.insert((state.next_attempt, queue_id));
            }
        } else {
            self.messages.remove(&queue_id);
            self.outputs
                .push_back(Output::Event(Event::Ended { queue_id }));
        }
        self.note(queue_id, reports, now);
    }
}

/// Where an attempt ended: the same for all its recipients. Nothing of it where none was made.
#[derive(Default)]
struct Place {
    destination: Option<Destination>,
    host: Host,
    /// The message is given up after so long.
    expired: Option<Duration>,
}

impl Place {
    fn of(destination: Destination, host: Host) -> Self {
        Self {
            destination: Some(destination),
            host,
            expired: None,
        }
    }
}

/// What was heard last of a recipient that waits.
pub(super) fn last_cause(standing: &Standing) -> Option<&Cause> {
    match standing {
        Standing::Waiting(Some(outcome)) => mail::dsn::cause_of(outcome),
        _ => None,
    }
}

/// That a message is given up for its age, for the log: with the last thing that was heard.
fn expired_cause(last: Option<&Outcome>, age: Duration) -> Cause {
    use mail::{Class, dsn};
    let last = match last.and_then(dsn::cause_of) {
        Some(Cause::Ours(_, words)) => words.to_string(),
        Some(Cause::Reply(reply)) => reply.to_string(),
        None => dsn::NOTHING_HEARD.into(),
    };
    let words = dsn::in_vain(age, &last);
    Cause::Ours(dsn::expiry(Class::Permanent), Cow::Owned(words))
}
