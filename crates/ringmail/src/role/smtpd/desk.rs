//! Answers one session's questions: what can be said at once by the policy brain, what must bear policy's seal,
//! and what queue must keep.

use super::allowance::Allowance;
use super::body::Writing;
use super::crowd::Held;
use super::rates::Taken;
use super::{ANSWER_WAIT, Awaited, Settings, Shared};
use crate::drive::connection::{self, refusal_reply};
use crate::drive::tls::Agreed;
use crate::event::{self, Event};
use crate::ipc::accept::{FromQueue, Incoming, ToQueue};
use crate::ipc::check::{self, Found};
use crate::ipc::judge::{self, Judged, Verdict};
use crate::ipc::spawn::Listener;
use crate::seal::Seal;
use crate::ticket::Ticket;
use mail::completion::{Completed, Completion};
use mail::{DsnRequest, Envelope, Mailbox, QueueId, Received, Recipient, Time};
use policy::{Client, Decision, EXPANDED_MAX, Policy};
use queue::{BODY_OCTETS, Body};
use smtp::server::{
    Answer, Challenge, Credentials, Evidence, LoginAnswer, Session, Transaction, replies,
};
use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use zeroize::Zeroizing;

/// Lines of the log that the refusals of one session may cost.
const REFUSALS_LOGGED: u32 = 10;

/// One session's.
pub(super) struct Desk {
    shared: Rc<Shared>,
    settings: Rc<Settings>,
    peer: IpAddr,
    /// Among the others, unless it was refused.
    held: Option<Held>,
    /// What it may of what its client may.
    allowance: Allowance,
    door: Listener,
    token: u64,
    /// Who is logged in, and auth's word for it.
    login: Option<Box<(Mailbox, Ticket)>>,
    /// Recipients of this transaction after aliases, as far as they can be counted one by one.
    expanded: usize,
    /// The question to policy, asked when content began.
    judging: Option<(u64, Awaited<Judged>)>,
    /// What mends the content of who is logged in.
    completion: Option<Completion>,
    body: Option<Writing>,
    messages: u32,
    refusals: u32,
    /// What the handshake agreed on.
    agreed: Option<Agreed>,
}

impl Desk {
    pub(super) fn new(
        shared: Rc<Shared>,
        peer: IpAddr,
        door: Listener,
        token: u64,
        held: Held,
    ) -> Self {
        let settings = Rc::clone(&shared.settings.borrow());
        let (who, limits) = ((held.client, peer), settings.limits.client);
        Self {
            shared,
            settings,
            peer,
            allowance: Allowance::new(who, name(door), token, limits, held.is_ours),
            held: Some(held),
            door,
            token,
            login: None,
            expanded: 0,
            judging: None,
            completion: None,
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

    /// Whether it was refused at its start.
    pub(super) fn is_refused(&self) -> bool {
        self.held.is_none()
    }

    /// What TLS was agreed on, for the log.
    pub(super) fn agreed(&self) -> String {
        let agreed = self.agreed.as_ref();
        agreed.map_or_else(|| "none".to_owned(), ToString::to_string)
    }

    /// The door's name in the log.
    pub(super) fn listener(&self) -> &'static str {
        name(self.door)
    }

    /// The bound of its client that it met, for the log; empty where it met none.
    pub(super) fn rule(&self) -> &'static str {
        self.allowance.rule()
    }

    /// Who is logged in, for the log; empty where nobody is.
    pub(super) fn login(&self) -> String {
        let login = self.login.as_ref();
        login.map_or_else(String::new, |login| login.0.to_string())
    }

    /// The client, as policy judges it.
    fn client(&self) -> Client<'_> {
        let login = self.login.as_ref().map(|login| &login.0);
        Client {
            ip: self.peer,
            listener: match self.door {
                Listener::Mx | Listener::Control => policy::Listener::Mx,
                Listener::Submission | Listener::Submissions => policy::Listener::Submission(login),
            },
        }
    }
}

/// A door's name in the log.
fn name(door: Listener) -> &'static str {
    match door {
        Listener::Mx | Listener::Control => "mx",
        Listener::Submission | Listener::Submissions => "submission",
    }
}

/// Why a message is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unkept {
    /// Somebody did not answer, or said no.
    NotStored,
    /// Its header section has no end: nobody could mend it.
    HeaderTooLarge,
    /// Who is logged in is not known any more, and has to say it again.
    LoggedOut,
}

impl From<Unkept> for Answer {
    fn from(why: Unkept) -> Self {
        Answer::Refuse(match why {
            Unkept::NotStored => replies::NOT_STORED,
            Unkept::HeaderTooLarge => replies::TOO_LARGE,
            Unkept::LoggedOut => replies::LOGGED_OUT,
        })
    }
}

impl connection::Desk for Desk {
    fn connect(&mut self) -> Answer {
        let limits = &self.settings.limits;
        let Some(held) = &self.held else {
            return Answer::Refuse(replies::SHUTTING_DOWN);
        };
        // Before anybody is told to go for it.
        if let Err(reply) = self.allowance.connection(&self.shared) {
            self.held = None;
            return Answer::Refuse(reply);
        }
        let has_many = held.count() > limits.client_sessions;
        let (rule, reply) = if has_many && !held.is_ours {
            ("limits.client_sessions", replies::TOO_MANY_SESSIONS)
        } else if !held.has_room(limits.sessions) {
            ("limits.sessions", replies::SHUTTING_DOWN)
        } else {
            return Answer::Accept;
        };
        // It takes nothing from the others while it is told so.
        self.held = None;
        if let Some(unsaid) = self.shared.refused.take() {
            event::say(&Event::SessionRefused {
                peer_ip: self.peer.to_string(),
                listener: self.listener(),
                rule,
                unsaid,
            });
        }
        Answer::Refuse(reply)
    }

    async fn login(&mut self, credentials: Credentials) -> LoginAnswer {
        self.login = None;
        match self.check(credentials).await {
            Some(Found::Right(login)) => {
                self.knows(login);
                LoginAnswer::Accept
            }
            Some(Found::Challenge(challenge)) => LoginAnswer::Challenge(Challenge {
                nonce: challenge.nonce.into(),
                salt: challenge.salt.into(),
                iterations: challenge.iterations,
            }),
            Some(Found::Proved(login, signature)) => {
                self.knows(login);
                LoginAnswer::Proved(signature)
            }
            Some(Found::Wrong) => LoginAnswer::Refuse(replies::BAD_LOGIN),
            Some(Found::Later) | None => LoginAnswer::Refuse(replies::LOGIN_LATER),
        }
    }

    fn mail(&mut self, _session: &Session) -> Answer {
        self.discard();
        self.expanded = 0;
        if !self.shared.room.get() {
            return Answer::Refuse(replies::NO_ROOM);
        }
        match self.allowance.message(&self.shared) {
            Ok(()) => Answer::Accept,
            Err(reply) => Answer::Refuse(reply),
        }
    }

    fn recipient(&mut self, session: &Session) -> Answer {
        let (Some(forward_path), Some(transaction)) =
            (session.asked_recipient(), session.transaction())
        else {
            return Answer::Refuse(replies::TRY_LATER);
        };
        let recipients_max = self.settings.limits.recipients;
        if let Err(reply) = self.allowance.recipient(&self.shared, recipients_max) {
            return Answer::Refuse(reply);
        }
        let policy = &self.settings.policy;
        let verdict = policy.recipient(self.client(), &transaction.reverse_path, forward_path);
        let refusal = match verdict.decision {
            Decision::Accept(recipients) => {
                if self.expanded + recipients.len() > EXPANDED_MAX {
                    return Answer::Refuse(replies::TOO_MANY_RECIPIENTS);
                }
                self.expanded += recipients.len();
                self.allowance.count(&self.shared, Taken::Recipients);
                return Answer::Accept;
            }
            Decision::Refuse(refusal) => refusal,
        };
        self.allowance.count(&self.shared, Taken::Refused);
        self.refusals += 1;
        if self.refusals <= REFUSALS_LOGGED {
            event::say(&Event::RecipientRefused {
                session: QueueId::from_u64(self.token),
                peer_ip: self.peer.to_string(),
                rule: verdict.rule.name,
                reverse_path: transaction.reverse_path.to_string(),
                forward_path: forward_path.to_string(),
            });
        }
        Answer::Refuse(refusal_reply(refusal))
    }

    fn failed(&mut self) {
        self.allowance.count(&self.shared, Taken::Errors);
    }

    fn content_begins(&mut self, session: &Session) {
        self.forget_judging();
        self.judging = self.ask_policy(session);
        self.completion = self.login.as_ref().map(|login| {
            Completion::new(Completed {
                mailbox: login.0.clone(),
                hostname: (*self.settings.hostname).into(),
                message_id: QueueId::from_u64(self.shared.token()),
                arrival: self.now(),
            })
        });
    }

    async fn spill(&mut self, buffer: &mut Vec<u8>) {
        if let Some(completion) = &mut self.completion {
            completion.pass(buffer);
        }
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
        self.completion = None;
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
                session: QueueId::from_u64(self.token),
                peer_ip: self.peer.to_string(),
                listener: self.listener(),
                cause: error.to_string(),
            }),
        }
    }

    async fn commit(&mut self, session: &Session, buffer: &mut Vec<u8>) -> (Answer, u64) {
        match self.store(session, buffer).await {
            Ok(number) => {
                self.messages += 1;
                self.allowance.brought(&self.shared);
                self.body = None;
                (Answer::Accept, number)
            }
            Err(why) => {
                self.discard();
                (why.into(), 0)
            }
        }
    }
}

impl Desk {
    /// Auth says who it is, by whatever mechanism he showed it.
    fn knows(&mut self, login: Box<(Mailbox, Ticket)>) {
        self.allowance.logged_in(&self.shared);
        self.login = Some(login);
    }

    fn now(&self) -> Time {
        Time::from_micros(self.shared.clock.now_micros())
    }

    /// Asks auth whether it is a user. Its answer comes in its own time: others may wait there too.
    async fn check(&self, credentials: Credentials) -> Option<Found> {
        let token = self.shared.token();
        let (evidence, password) = match credentials.evidence {
            Evidence::Password(password) => (check::Evidence::Password, password),
            Evidence::First(bare) => (check::Evidence::First(bare.into()), Zeroizing::default()),
            Evidence::Proof(proof) => {
                let proof = check::Proof {
                    bare: proof.bare.into(),
                    nonce: proof.server_nonce.into(),
                    without_proof: proof.without_proof.into(),
                    code: proof.code,
                };
                (
                    check::Evidence::Proof(Box::new(proof)),
                    Zeroizing::default(),
                )
            }
        };
        let question = check::Question {
            token,
            session: self.token,
            peer: self.peer,
            user: credentials.user.into(),
            evidence,
        };
        let awaited = self.shared.auth.ask(token, &question, &password)?;
        let checked = tokio::time::timeout(ANSWER_WAIT, awaited).await;
        self.shared.auth.forget(token);
        Some(checked.ok()?.ok()?.found)
    }

    /// Asks policy for its word on the transaction; the answer comes while content does.
    fn ask_policy(&self, session: &Session) -> Option<(u64, Awaited<Judged>)> {
        let transaction = session.transaction()?;
        if transaction.recipients.is_empty() {
            // A client pipelined: its content is void already, and this is the next transaction.
            return None;
        }
        let token = self.shared.token();
        let question = judge::Question {
            token,
            session: self.token,
            peer: self.peer,
            login: self.login.clone(),
            reverse_path: transaction.reverse_path.clone(),
            forward_paths: transaction
                .recipients
                .iter()
                .map(|asked| asked.forward_path.clone())
                .collect(),
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
    async fn judged(&mut self) -> Result<(Vec<Recipient>, Seal), Unkept> {
        let (token, awaited) = self.judging.take().ok_or(Unkept::NotStored)?;
        let judged = tokio::time::timeout(ANSWER_WAIT, awaited).await;
        self.shared.policy.forget(token);
        match judged {
            Ok(Ok(judged)) => match judged.verdict {
                Verdict::Sealed(recipients, seal) => Ok((recipients, seal)),
                Verdict::UnknownTicket => Err(Unkept::LoggedOut),
                Verdict::Refused => Err(Unkept::NotStored),
            },
            _ => Err(Unkept::NotStored),
        }
    }

    /// Hands the message to queue; the token of what is durable, or why it is not.
    async fn store(&mut self, session: &Session, buffer: &mut Vec<u8>) -> Result<u64, Unkept> {
        if let Some(mut completion) = self.completion.take() {
            completion.end(buffer);
            if completion.was_too_large() {
                return Err(Unkept::HeaderTooLarge);
            }
            // What was held back or put in may be more than what goes to queue inline.
            connection::Desk::spill(self, buffer).await;
        }
        let body = match &mut self.body {
            Some(writing) => {
                writing.write(buffer);
                buffer.clear();
                Some(writing.close().ok_or(Unkept::NotStored)?)
            }
            None => None,
        };
        let sealed = self.judged().await?;
        match self.keep(session, sealed, body, buffer).await {
            Some(FromQueue::Accepted { queue_id, .. }) => Ok(queue_id.as_u64()),
            Some(FromQueue::Unsealed { .. }) => {
                // The seal was a while under way, and policy or queue lives anew: one more, once.
                self.judging = self.ask_policy(session);
                let sealed = self.judged().await?;
                match self.keep(session, sealed, body, buffer).await {
                    Some(FromQueue::Accepted { queue_id, .. }) => Ok(queue_id.as_u64()),
                    _ => Err(Unkept::NotStored),
                }
            }
            _ => Err(Unkept::NotStored),
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
                arrival: self.now(),
                // From may be put in, with the login's mailbox.
                eight_bit: session.content_is_eight_bit()
                    || self.login.as_ref().is_some_and(|login| !login.0.is_ascii()),
                smtputf8: transaction.parameters.smtputf8,
                dsn: dsn_request(transaction, &self.settings.policy),
            },
            received: Received {
                hello: session.hello().map(|h| h.name.clone()).unwrap_or_default(),
                peer: self.peer,
                by: (*self.settings.hostname).into(),
                extended: session.hello().is_some_and(|h| h.extended),
                secure: session.is_secure(),
                suite: self.agreed.as_ref().map_or("", Agreed::suite).into(),
                smtputf8: transaction.parameters.smtputf8,
                login: self.login.as_ref().map(|login| Box::new(login.0.clone())),
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

/// What the client asks of reports, by the addresses that policy knows its recipients by. Of one that is named twice what is
/// asked first counts.
fn dsn_request(transaction: &Transaction, policy: &Policy) -> Option<Box<DsnRequest>> {
    let mut dsn = DsnRequest {
        ret: transaction.parameters.ret,
        envid: transaction.parameters.envid.clone(),
        recipients: Vec::new(),
    };
    let mut known = HashSet::new();
    for asked in &transaction.recipients {
        if asked.request.is_empty() {
            continue;
        }
        let mailbox = policy.meant(&asked.forward_path);
        if known.insert(mailbox.clone()) {
            dsn.recipients.push((mailbox, asked.request.clone()));
        }
    }
    (!dsn.is_empty()).then(|| Box::new(dsn))
}
