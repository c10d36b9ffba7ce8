//! Answers one session's questions: what can be said at once by the policy brain, what must bear policy's seal,
//! and what queue must keep.

use super::body::Writing;
use super::{ANSWER_WAIT, Awaited, Settings, Shared};
use crate::drive::connection::{self, refusal_reply};
use crate::drive::tls::Agreed;
use crate::event::{self, Event};
use crate::ipc::accept::{FromQueue, Incoming, ToQueue};
use crate::ipc::judge::{self, Judged};
use crate::ipc::spawn::Listener;
use crate::seal::Seal;
use mail::{Envelope, Received, Recipient, Time};
use policy::{Client, Decision, EXPANDED_MAX};
use queue::{BODY_OCTETS, Body};
use smtp::server::{Answer, Session, replies};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

/// Lines of the log that the refusals of one session may cost.
const REFUSALS_LOGGED: u32 = 10;

/// One session's.
pub(super) struct Desk {
    shared: Rc<Shared>,
    settings: Rc<Settings>,
    peer: IpAddr,
    door: Listener,
    token: u64,
    /// Recipients of this transaction after aliases, as far as they can be counted one by one.
    expanded: usize,
    /// The question to policy, asked when content began.
    judging: Option<(u64, Awaited<Judged>)>,
    body: Option<Writing>,
    messages: u32,
    refusals: u32,
    /// What the handshake agreed on.
    agreed: Option<Agreed>,
}

impl Desk {
    pub(super) fn new(shared: Rc<Shared>, peer: IpAddr, door: Listener, token: u64) -> Self {
        let settings = Rc::clone(&shared.settings.borrow());
        Self {
            shared,
            settings,
            peer,
            door,
            token,
            expanded: 0,
            judging: None,
            body: None,
            messages: 0,
            refusals: 0,
            agreed: None,
        }
    }

    /// Messages that were taken in this session.
    pub(super) fn messages(&self) -> u32 {
        self.messages
    }

    /// What TLS was agreed on, for the log.
    pub(super) fn agreed(&self) -> String {
        let agreed = self.agreed.as_ref();
        agreed.map_or_else(|| "none".to_owned(), ToString::to_string)
    }

    /// The door's name in the log.
    pub(super) fn listener(&self) -> &'static str {
        if self.door == Listener::Submission {
            "submission"
        } else {
            "mx"
        }
    }
}

impl connection::Desk for Desk {
    fn connect(&mut self) -> Answer {
        if self.shared.sessions.count() > self.settings.limits.sessions {
            let peer_ip = self.peer.to_string();
            event::say(&Event::SessionRefused {
                peer_ip,
                listener: self.listener(),
            });
            return Answer::Refuse(replies::SHUTTING_DOWN);
        }
        Answer::Accept
    }

    fn mail(&mut self, _session: &Session) -> Answer {
        self.discard();
        self.expanded = 0;
        if !self.shared.room.get() {
            return Answer::Refuse(replies::NO_ROOM);
        }
        Answer::Accept
    }

    fn recipient(&mut self, session: &Session) -> Answer {
        let (Some(forward_path), Some(transaction)) =
            (session.asked_recipient(), session.transaction())
        else {
            return Answer::Refuse(replies::TRY_LATER);
        };
        let client = Client {
            ip: self.peer,
            listener: if self.door == Listener::Submission {
                policy::Listener::Submission
            } else {
                policy::Listener::Mx
            },
        };
        let policy = &self.settings.policy;
        let verdict = policy.recipient(client, &transaction.reverse_path, forward_path);
        let refusal = match verdict.decision {
            Decision::Accept(recipients) => {
                if self.expanded + recipients.len() > EXPANDED_MAX {
                    return Answer::Refuse(replies::TOO_MANY_RECIPIENTS);
                }
                self.expanded += recipients.len();
                return Answer::Accept;
            }
            Decision::Refuse(refusal) => refusal,
        };
        self.refusals += 1;
        if self.refusals <= REFUSALS_LOGGED {
            event::say(&Event::RecipientRefused {
                session: mail::QueueId::from_u64(self.token),
                peer_ip: self.peer.to_string(),
                rule: verdict.rule.name,
                reverse_path: transaction.reverse_path.to_string(),
                forward_path: forward_path.to_string(),
            });
        }
        Answer::Refuse(refusal_reply(refusal))
    }

    fn content_begins(&mut self, session: &Session) {
        self.forget_judging();
        self.judging = self.ask_policy(session);
    }

    async fn spill(&mut self, buffer: &mut Vec<u8>) {
        if self.body.is_none() {
            if (buffer.len() as u64) < BODY_OCTETS {
                return;
            }
            let token = self.shared.token();
            let question = ToQueue::NewBody { token };
            let answer = self.shared.ask_queue(token, &question, &[]).await;
            self.body = Some(match answer {
                Some((FromQueue::Body { number, .. }, Some(file))) => {
                    Writing::into_file(number, file)
                }
                // No file, no body: what comes is dropped, and the commit refused.
                _ => Writing::lost(),
            });
        }
        if let Some(writing) = &mut self.body {
            writing.write(buffer);
        }
        buffer.clear();
    }

    fn discard(&mut self) {
        self.forget_judging();
        if let Some(writing) = self.body.take() {
            let number = writing.number;
            drop(writing);
            self.shared.queue.tell(&ToQueue::DropBody { number });
        }
    }

    fn shook_hands(&mut self, shaken: Result<Agreed, &io::Error>) {
        match shaken {
            Ok(agreed) => self.agreed = Some(agreed),
            Err(error) => event::say(&Event::HandshakeFailed {
                session: mail::QueueId::from_u64(self.token),
                peer_ip: self.peer.to_string(),
                listener: self.listener(),
                cause: error.to_string(),
            }),
        }
    }

    async fn commit(&mut self, session: &Session, buffer: &mut Vec<u8>) -> (Answer, u64) {
        if let Some(number) = self.store(session, buffer).await {
            self.messages += 1;
            self.body = None;
            return (Answer::Accept, number);
        }
        self.discard();
        (Answer::Refuse(replies::NOT_STORED), 0)
    }
}

impl Desk {
    /// Asks policy for its word on the transaction; the answer comes while content does.
    fn ask_policy(&self, session: &Session) -> Option<(u64, Awaited<Judged>)> {
        let transaction = session.transaction()?;
        let token = self.shared.token();
        let question = judge::Question {
            token,
            peer: self.peer,
            listener: self.door,
            reverse_path: transaction.reverse_path.clone(),
            forward_paths: transaction.recipients.clone(),
        };
        let awaited = self.shared.policy.ask(token, &question, &[])?;
        Some((token, awaited))
    }

    fn forget_judging(&mut self) {
        if let Some((token, _)) = self.judging.take() {
            self.shared.policy.forget(token);
        }
    }

    /// Policy's answer, if there is one in time: whom the message is for, and the seal.
    async fn judged(&mut self) -> Option<(Vec<Recipient>, Seal)> {
        let (token, awaited) = self.judging.take()?;
        let judged = tokio::time::timeout(ANSWER_WAIT, awaited).await;
        self.shared.policy.forget(token);
        judged.ok()?.ok()?.sealed
    }

    /// Hands the message to queue; the token of what is durable, or nothing.
    async fn store(&mut self, session: &Session, buffer: &mut Vec<u8>) -> Option<u64> {
        let body = match &mut self.body {
            Some(writing) => {
                writing.write(buffer);
                buffer.clear();
                Some(writing.close()?)
            }
            None => None,
        };
        let sealed = self.judged().await?;
        match self.keep(session, sealed, body, buffer).await? {
            FromQueue::Accepted { queue_id, .. } => Some(queue_id.as_u64()),
            FromQueue::Unsealed { .. } => {
                // The seal was a while under way, and policy or queue lives anew: one more, once.
                self.judging = self.ask_policy(session);
                let sealed = self.judged().await?;
                match self.keep(session, sealed, body, buffer).await? {
                    FromQueue::Accepted { queue_id, .. } => Some(queue_id.as_u64()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    async fn keep(
        &self,
        session: &Session,
        (recipients, seal): (Vec<Recipient>, Seal),
        body: Option<Body>,
        content: &[u8],
    ) -> Option<FromQueue> {
        let transaction = session.transaction()?;
        let token = self.shared.token();
        let message = Incoming {
            envelope: Envelope {
                reverse_path: transaction.reverse_path.clone(),
                recipients,
                arrival: Time::from_micros(self.shared.clock.now_micros()),
                eight_bit: session.content_is_eight_bit(),
            },
            received: Received {
                hello: session.hello().map(|h| h.name.clone()).unwrap_or_default(),
                peer: self.peer,
                by: (*self.settings.hostname).into(),
                extended: session.hello().is_some_and(|h| h.extended),
                secure: session.is_secure(),
            },
            seal,
            body,
        };
        let message = Box::new(message);
        let question = ToQueue::Accept { token, message };
        let answer = self.shared.ask_queue(token, &question, content).await?;
        Some(answer.0)
    }
}
