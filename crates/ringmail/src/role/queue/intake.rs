//! What smtpd asks: files for large bodies, and messages to be kept.

use super::{Desk, Pending};
use crate::drive::arrow::Sender;
use crate::drive::committer::Job;
use crate::event::{self, Event};
use crate::ipc::accept::{FromQueue, Incoming, ToQueue};
use crate::seal::Sealed;
use ::queue::{Body, Content, Input, NewMessage};
use mail::Received;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// An arrow to smtpd, and the bodies that it writes or wrote and that no message owns yet.
pub(super) struct Intake {
    pub(super) sender: Sender<FromQueue>,
    pub(super) bodies: BTreeSet<u64>,
    /// Lines of the log that seals of this arrow have cost.
    pub(super) seals_logged: u32,
}

/// Lines of the log that the seals of one smtpd may cost: a restart of policy costs one for each session that was
/// about to be answered, and one that was taken over cannot fill the log.
const SEALS_LOGGED: u32 = 100;

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
            ToQueue::Accept { token, message } => self.take_in(arrow, token, *message, tail),
        }
    }

    fn take_in(&mut self, arrow: u64, token: u64, incoming: Incoming, tail: Vec<u8>) {
        let body = incoming.body;
        let is_its_own = |body: Body| {
            let client = self.clients.get(&arrow);
            client.is_some_and(|client| client.bodies.contains(&body.number))
        };
        if incoming.envelope.recipients.is_empty() || body.is_some_and(|body| !is_its_own(body)) {
            return self.refuse(arrow, token);
        }
        if !self.is_sealed(arrow, &incoming) {
            return self.tell_client(arrow, &FromQueue::Unsealed { token }, None);
        }
        if incoming.envelope.dsn.is_some() && !self.may_ask_for_reports(&incoming.received) {
            return self.refuse(arrow, token);
        }
        let message = NewMessage {
            envelope: incoming.envelope,
            received: Some(incoming.received),
            content: body.map_or_else(|| Content::Inline(tail.into()), Content::Body),
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

    /// Whether this client may say what is to be reported to whom it names as the sender. smtpd offers it to no other; one that
    /// was taken over could ask all the same, and have us tell anybody of mail that it made up. Peer and login are sealed. A
    /// session that was offered it before a reload has to send again: what is asked is never dropped in silence.
    fn may_ask_for_reports(&self, received: &Received) -> bool {
        received.login.is_some() || self.brain.router().0.relays_for(received.peer)
    }

    /// Whether policy has sealed this transaction, and the seal was not used yet.
    fn is_sealed(&mut self, arrow: u64, incoming: &Incoming) -> bool {
        let Incoming {
            envelope,
            received,
            seal,
            ..
        } = incoming;
        let sealed = Sealed {
            peer: received.peer,
            login: received.login.as_deref(),
            reverse_path: &envelope.reverse_path,
            recipients: &envelope.recipients,
        };
        let cause = match self
            .opener
            .as_mut()
            .map(|opener| opener.open(seal, &sealed))
        {
            Some(Ok(())) => return true,
            Some(Err(broken)) => broken.to_string(),
            None => "there is no key yet".into(),
        };
        if let Some(client) = self.clients.get_mut(&arrow)
            && client.seals_logged < SEALS_LOGGED
        {
            client.seals_logged += 1;
            event::say(&Event::SealRefused {
                peer_ip: received.peer.to_string(),
                reverse_path: envelope.reverse_path.to_string(),
                cause,
            });
        }
        false
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
