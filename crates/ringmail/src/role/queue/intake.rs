//! What smtpd asks: files for large bodies, and messages to be kept.

use super::{Desk, Pending};
use crate::drive::arrow::Sender;
use crate::drive::committer::Job;
use crate::ipc::accept::{FromQueue, ToQueue};
use ::queue::{Content, Input, NewMessage};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// An arrow to smtpd, and the bodies that it writes or wrote and that no message owns yet.
pub(super) struct Intake {
    pub(super) sender: Sender<FromQueue>,
    pub(super) bodies: BTreeSet<u64>,
}

impl Desk {
    pub(super) fn asked(&mut self, arrow: u64, question: ToQueue, tail: Vec<u8>) {
        match question {
            ToQueue::NewBody { token } => {
                let token = self.token(Pending::Body { arrow, token });
                self.committer.ask(Job::NewBody { token });
            }
            ToQueue::DropBody { number } => {
                // Only its own: another's body, or one that a message owns, is not smtpd's to drop.
                if self
                    .clients
                    .get_mut(&arrow)
                    .is_some_and(|c| c.bodies.remove(&number))
                {
                    self.committer.ask(Job::DropBody { number });
                }
            }
            ToQueue::Accept {
                token,
                envelope,
                received,
                body,
            } => {
                if envelope.recipients.is_empty() {
                    return self.refuse(arrow, token);
                }
                let content = match body {
                    None => Content::Inline(tail.into()),
                    Some(body) => {
                        if !self
                            .clients
                            .get(&arrow)
                            .is_some_and(|c| c.bodies.contains(&body.number))
                        {
                            return self.refuse(arrow, token);
                        }
                        Content::Body(body)
                    }
                };
                let message = NewMessage {
                    envelope,
                    received: Some(received),
                    content,
                };
                if let Some(body) = body {
                    let token = self.token(Pending::Judge {
                        arrow,
                        token,
                        message,
                    });
                    self.committer.ask(Job::JudgeBody { token, body });
                } else {
                    let token = self.token(Pending::Accept {
                        arrow,
                        token,
                        body: None,
                    });
                    self.handle(Input::Accept { token, message });
                }
            }
        }
    }

    pub(super) fn refuse(&self, arrow: u64, token: u64) {
        self.tell_client(arrow, &FromQueue::Refused { token }, None);
    }

    pub(super) fn tell_client(&self, arrow: u64, answer: &FromQueue, fd: Option<OwnedFd>) {
        if let Some(client) = self.clients.get(&arrow) {
            // Such a record is never too large.
            let _ = client.sender.say(answer, &[], fd);
        }
    }

    pub(super) fn body_made(&mut self, token: u64, file: Option<(u64, OwnedFd)>) {
        let Some(Pending::Body { arrow, token }) = self.pending.remove(&token) else {
            return;
        };
        match (file, self.clients.get_mut(&arrow)) {
            (Some((number, fd)), Some(client)) => {
                client.bodies.insert(number);
                let _ = client
                    .sender
                    .say(&FromQueue::Body { token, number }, &[], Some(fd));
            }
            (Some((number, _)), None) => self.committer.ask(Job::DropBody { number }),
            (None, _) => self.refuse(arrow, token),
        }
    }
}
