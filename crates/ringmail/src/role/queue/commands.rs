//! The administrator's questions and deeds.

use super::reading::Reading;
use super::{Desk, Pending};
use crate::ipc::control::{self, Answer, Deed, Request};
use ::queue::Input;
use mail::{Cause, Time};
use std::time::Duration;

impl Desk {
    pub(super) fn control(&mut self, arrow: u64, token: u64, request: Request) {
        match request {
            Request::Health => {
                let messages = self.brain.messages().count() as u64;
                self.answer(
                    arrow,
                    token,
                    &Answer::Healthy {
                        messages,
                        room: self.room,
                        absent: Vec::new(),
                    },
                    &[],
                );
            }
            Request::Count => {
                let counts = count(self.brain.messages(), self.room, self.now());
                self.answer(arrow, token, &Answer::Counts(counts), &[]);
            }
            Request::Meant(filter) => {
                let (now, filter) = (self.now(), brain_filter(filter));
                let views = self.brain.messages();
                let meant = views.filter(|view| filter.matches(view, now));
                let counts = count(meant, self.room, now);
                self.answer(arrow, token, &Answer::Counts(counts), &[]);
            }
            // The supervisor's to answer: admin does not pass them on.
            Request::Status | Request::Reload => {
                self.answer(arrow, token, &Answer::Unavailable, &[]);
            }
            Request::List { filter, after } => {
                let now = self.now();
                let filter = brain_filter(filter);
                let views = self
                    .brain
                    .messages()
                    .filter(|v| after.is_none_or(|a| v.stored.queue_id > a));
                let meant = views
                    .filter(|view| filter.matches(view, now))
                    .take(control::LIST_MAX);
                let list = meant.map(|view| shown(&view, now)).collect();
                self.answer(arrow, token, &Answer::List(list), &[]);
            }
            Request::Show(queue_id) => {
                let message = self
                    .brain
                    .messages()
                    .find(|v| v.stored.queue_id == queue_id)
                    .map(|view| shown(&view, self.now()));
                match message {
                    Some(message) => self.want(
                        queue_id,
                        Reading::Show {
                            arrow,
                            token,
                            message,
                        },
                    ),
                    None => self.answer(arrow, token, &Answer::Nothing, &[]),
                }
            }
            Request::Do(deed, filter) => {
                let token = self.token(Pending::Control { arrow, token });
                let filter = brain_filter(filter);
                self.handle(match deed {
                    Deed::Drop => Input::Drop { token, filter },
                    Deed::Hold => Input::Hold { token, filter },
                    Deed::Release => Input::Release { token, filter },
                    Deed::Retry => Input::Retry { token, filter },
                });
            }
        }
    }

    pub(super) fn answer(&self, arrow: u64, token: u64, answer: &Answer, tail: &[u8]) {
        if let Some(sender) = self.controls.get(&arrow)
            && sender.say(&(token, answer.clone()), tail, None).is_err()
        {
            let _ = sender.say(&(token, Answer::Unavailable), &[], None);
        }
    }
}

/// How many messages stand how.
fn count<'a>(
    views: impl Iterator<Item = ::queue::View<'a>>,
    room: bool,
    now: Time,
) -> control::Counts {
    let mut counts = control::Counts {
        room,
        ..control::Counts::default()
    };
    for view in views {
        counts.messages += 1;
        match view.word(now) {
            "dead" => counts.dead += 1,
            "held" => counts.held += 1,
            "sending" => counts.sending += 1,
            "due" => counts.due += 1,
            _ => counts.waiting += 1,
        }
        if !view.stored.state.dead {
            // Oldest first: the first that lives is the oldest.
            let age = now.since(view.stored.envelope.arrival).as_secs();
            counts.oldest_secs.get_or_insert(age);
        }
    }
    counts
}

/// A command's filter as the brain takes it.
fn brain_filter(filter: control::Filter) -> ::queue::Filter {
    ::queue::Filter {
        queue_ids: filter.queue_ids,
        to: filter.to,
        domain: filter.domain,
        from: filter.from,
        age_min: filter.age_min_secs.map(Duration::from_secs),
        reason: filter.reason,
        dead: filter.dead,
    }
}

/// A cause in words: the reply of a next hop, or ours.
fn words(cause: &Cause) -> String {
    match cause {
        Cause::Ours(_, words) => words.to_string(),
        Cause::Reply(reply) => format!("{} {}", reply.code, reply.text),
    }
}

/// A message as commands show it.
fn shown(view: &::queue::View<'_>, now: Time) -> control::Message {
    let stored = view.stored;
    let mut recipients: Vec<String> = view.waiting().map(ToString::to_string).collect();
    if recipients.is_empty() {
        recipients = stored
            .envelope
            .recipients
            .iter()
            .map(|r| r.mailbox.to_string())
            .collect();
    }
    control::Message {
        queue_id: stored.queue_id,
        reverse_path: stored.envelope.reverse_path.to_string(),
        recipients,
        arrival: stored.envelope.arrival,
        octets: stored.octets,
        attempts: stored.state.attempts,
        next_attempt: stored.state.next_attempt,
        state: view.word(now).to_owned(),
        reason: view.reason(),
        status: view.cause().map(|cause| cause.status().to_string()),
        cause: view.cause().map(words),
    }
}
