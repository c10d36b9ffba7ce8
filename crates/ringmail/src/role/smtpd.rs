//! smtpd: talks to SMTP clients.
//!
//! Trusts nobody. May touch the listeners it was given, the connections they accept, and its arrow to
//! queue. If it is taken over, the mail of its own sessions can be read and forged, and mail can be
//! put into the queue for our own domains; the spool, other roles' files and keys are out of its reach.

use crate::config::Config;
use crate::drive::arrow::{self, Receiver, Sender};
use crate::drive::birth::Birth;
use crate::drive::clock::Clock;
use crate::drive::connection::{self, Desk, Setting, refusal_reply};
use crate::drive::edge::{Door, Doors, Stream};
use crate::event::{self, Event};
use crate::ipc::accept::{FromQueue, ToQueue};
use crate::ipc::spawn::{Arrow, FromRole, Listener, ToRole};
use mail::{Envelope, Received, Recipient, Time};
use policy::{Client, Decision, Policy};
use queue::{BODY_OCTETS, Body};
use smtp::server::{Answer, Parameters, Session, replies};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long queue may take to answer. The reply to the end of content must come before a client gives
/// up and sends again (RFC 1047); RFC 5321 §4.5.3.2.6 lets it wait ten minutes, many wait five or fewer.
const ANSWER_WAIT: Duration = Duration::from_mins(1);
/// Lines of the log that the refusals of one session may cost.
const REFUSALS_LOGGED: u32 = 10;
/// Recipients of one message after aliases.
const EXPANDED_MAX: usize = 10_000;

/// An answer of queue, and the file that may come with it.
type Answered = (FromQueue, Option<std::os::fd::OwnedFd>);

/// What the configuration says to a session; one that goes on keeps what it began with.
struct Settings {
    policy: Policy,
    hostname: Rc<str>,
    parameters: Parameters,
    sessions_max: usize,
}

/// What all sessions share.
struct Shared {
    settings: RefCell<Rc<Settings>>,
    clock: Clock,
    /// The tasks that accept connections.
    doors: RefCell<Vec<tokio::task::AbortHandle>>,
    queue: RefCell<Option<Sender<ToQueue>>>,
    /// Questions to queue, by token; dropped when the arrow ends, which their askers hear.
    asked: RefCell<HashMap<u64, oneshot::Sender<Answered>>>,
    tokens: Cell<u64>,
    room: Cell<bool>,
    sessions: Cell<usize>,
}

/// The role's story: orders, arrows and listeners in; then sessions until it is told to stop.
pub async fn run(birth: Birth, clock: Clock, doors: &dyn Doors) -> io::Result<()> {
    let mut shared: Option<Rc<Shared>> = None;
    while let Some((order, fd)) = birth.orders().await? {
        match (order, fd, &shared) {
            (
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                },
                None,
                known,
            ) => {
                let config = crate::config::of_role(&configuration, &path, situation)?;
                match known {
                    Some(shared) => shared.reconfigure(&config),
                    None => shared = Some(Rc::new(Shared::new(&config, clock))),
                }
            }
            (ToRole::Arrow(Arrow::Accept), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                // Who still waits for the old queue's answer is told that there is none.
                shared.asked.borrow_mut().clear();
                shared.queue.replace(Some(sender));
                tokio::task::spawn_local(hear_queue(Rc::clone(shared), receiver));
            }
            (ToRole::Listener(listener), Some(fd), Some(shared)) => {
                let door = doors.open(fd)?;
                let task = tokio::task::spawn_local(listen(Rc::clone(shared), door, listener));
                shared.doors.borrow_mut().push(task.abort_handle());
            }
            (ToRole::Log(_), Some(fd), _) => event::keep_through(fd),
            (ToRole::Begin, None, Some(_)) => birth.tell(&FromRole::Ready),
            (ToRole::Stop, ..) => break,
            _ => return Err(io::Error::other("an order that smtpd cannot have")),
        }
    }
    Ok(())
}

impl Settings {
    fn new(config: &Config) -> Self {
        Self {
            policy: Policy::new(config.policy.clone()),
            hostname: config.hostname.clone().into(),
            parameters: connection::parameters(&config.limits),
            sessions_max: config.limits.sessions,
        }
    }
}

impl Shared {
    fn new(config: &Config, clock: Clock) -> Self {
        Self {
            settings: RefCell::new(Rc::new(Settings::new(config))),
            clock,
            doors: RefCell::default(),
            queue: RefCell::new(None),
            asked: RefCell::default(),
            tokens: Cell::new(clock.now_micros()),
            room: Cell::new(true),
            sessions: Cell::new(0),
        }
    }

    /// New sessions go by this; the listeners that stay are given anew.
    fn reconfigure(&self, config: &Config) {
        self.settings.replace(Rc::new(Settings::new(config)));
        for door in self.doors.take() {
            door.abort();
        }
    }

    fn token(&self) -> u64 {
        self.tokens.set(self.tokens.get() + 1);
        self.tokens.get()
    }

    /// Asks queue and waits. `None`: no answer, and none will be taken.
    async fn ask(&self, token: u64, question: &ToQueue, tail: &[u8]) -> Option<Answered> {
        let queue = self.queue.borrow().clone()?;
        let (answer, answered) = oneshot::channel();
        self.asked.borrow_mut().insert(token, answer);
        let answer = match queue.say(question, tail, None) {
            Ok(()) => tokio::time::timeout(ANSWER_WAIT, answered)
                .await
                .ok()
                .and_then(Result::ok),
            Err(_) => None,
        };
        self.asked.borrow_mut().remove(&token);
        answer
    }
}

async fn hear_queue(shared: Rc<Shared>, mut receiver: Receiver<FromQueue>) {
    while let Some(heard) = receiver.hear().await {
        let token = match &heard.head {
            FromQueue::Room(room) => {
                shared.room.set(*room);
                continue;
            }
            FromQueue::Body { token, .. }
            | FromQueue::Accepted { token, .. }
            | FromQueue::Refused { token } => *token,
        };
        let asker = shared.asked.borrow_mut().remove(&token);
        match asker {
            // The session may have ended meanwhile.
            Some(asker) => drop(asker.send((heard.head, heard.fd))),
            None => {
                if let (FromQueue::Body { number, .. }, Some(queue)) =
                    (heard.head, &*shared.queue.borrow())
                {
                    let _ = queue.say(&ToQueue::DropBody { number }, &[], None);
                }
            }
        }
    }
    shared.asked.borrow_mut().clear();
}

async fn listen(shared: Rc<Shared>, door: Box<dyn Door>, kind: Listener) {
    loop {
        let (stream, peer) = match door.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a peer that went before it was accepted: never the end.
                event::say(&Event::Trouble {
                    place: "accept",
                    cause: error.to_string(),
                });
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tokio::task::spawn_local(serve(Rc::clone(&shared), stream, peer, kind));
    }
}

/// One session: from connection to log line.
async fn serve(shared: Rc<Shared>, stream: Box<dyn Stream>, peer: IpAddr, kind: Listener) {
    let listener = if kind == Listener::Submission {
        "submission"
    } else {
        "mx"
    };
    shared.sessions.set(shared.sessions.get() + 1);
    let token = shared.token();
    let settings = Rc::clone(&shared.settings.borrow());
    let setting = Setting {
        parameters: settings.parameters.clone(),
        hostname: Rc::clone(&settings.hostname),
        clock: shared.clock,
        token,
    };
    let mut desk = SessionDesk {
        shared: Rc::clone(&shared),
        settings,
        client: Client {
            ip: peer,
            listener: if kind == Listener::Submission {
                policy::Listener::Submission
            } else {
                policy::Listener::Mx
            },
        },
        listener,
        token,
        accepted: Vec::new(),
        body: None,
        messages: 0,
        refusals: 0,
    };
    let ended = connection::serve(stream, &setting, &mut desk).await;
    desk.discard();
    shared.sessions.set(shared.sessions.get() - 1);
    let helo = ended
        .ok()
        .and_then(|session| session.hello().map(|h| h.name.to_string()));
    event::say(&Event::SessionClosed {
        session: mail::QueueId::from_u64(token),
        peer_ip: peer.to_string(),
        listener,
        accepted: desk.messages,
        helo: helo.unwrap_or_default(),
    });
}

/// A large body on its way into its file.
struct Writing {
    number: u64,
    file: File,
    octets: u64,
    checksum: u32,
    /// Writing failed: the rest is thrown away and the message refused.
    failed: bool,
}

/// Answers one session's questions.
struct SessionDesk {
    shared: Rc<Shared>,
    settings: Rc<Settings>,
    client: Client,
    listener: &'static str,
    token: u64,
    /// What each accepted forward-path of this transaction led to.
    accepted: Vec<Vec<Recipient>>,
    body: Option<Writing>,
    messages: u32,
    refusals: u32,
}

impl Desk for SessionDesk {
    fn connect(&mut self) -> Answer {
        if self.shared.sessions.get() > self.settings.sessions_max {
            let peer_ip = self.client.ip.to_string();
            event::say(&Event::SessionRefused {
                peer_ip,
                listener: self.listener,
            });
            return Answer::Refuse(replies::SHUTTING_DOWN);
        }
        Answer::Accept
    }

    fn mail(&mut self, _session: &Session) -> Answer {
        self.accepted.clear();
        self.discard();
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
        let verdict =
            self.settings
                .policy
                .recipient(self.client, &transaction.reverse_path, forward_path);
        let refusal = match verdict.decision {
            Decision::Accept(recipients) => {
                let expanded: usize = self.accepted.iter().map(Vec::len).sum();
                if expanded + recipients.len() > EXPANDED_MAX {
                    return Answer::Refuse(replies::TOO_MANY_RECIPIENTS);
                }
                self.accepted.push(recipients);
                return Answer::Accept;
            }
            Decision::Refuse(refusal) => refusal,
        };
        self.refusals += 1;
        if self.refusals <= REFUSALS_LOGGED {
            event::say(&Event::RecipientRefused {
                session: mail::QueueId::from_u64(self.token),
                peer_ip: self.client.ip.to_string(),
                rule: verdict.rule.name,
                reverse_path: transaction.reverse_path.to_string(),
                forward_path: forward_path.to_string(),
            });
        }
        Answer::Refuse(refusal_reply(refusal))
    }

    async fn spill(&mut self, buffer: &mut Vec<u8>) {
        if self.body.is_none() {
            if (buffer.len() as u64) < BODY_OCTETS {
                return;
            }
            let token = self.shared.token();
            let Some((FromQueue::Body { number, .. }, Some(fd))) = self
                .shared
                .ask(token, &ToQueue::NewBody { token }, &[])
                .await
            else {
                // No file, no body: what comes is dropped, and the commit refused.
                buffer.clear();
                self.body = None;
                self.lost();
                return;
            };
            self.body = Some(Writing {
                number,
                file: fd.into(),
                octets: 0,
                checksum: 0,
                failed: false,
            });
        }
        if let Some(writing) = &mut self.body {
            writing.write(buffer);
        }
        buffer.clear();
    }

    fn discard(&mut self) {
        if let Some(writing) = self.body.take() {
            let number = writing.number;
            drop(writing);
            if let Some(queue) = &*self.shared.queue.borrow() {
                // Fails only for a record that is too large.
                let _ = queue.say(&ToQueue::DropBody { number }, &[], None);
            }
        }
    }

    async fn commit(&mut self, session: &Session, buffer: &mut Vec<u8>) -> (Answer, u64) {
        let answer = self.store(session, buffer).await;
        self.accepted.clear();
        if let Some(number) = answer {
            self.messages += 1;
            self.body = None;
            return (Answer::Accept, number);
        }
        self.discard();
        (Answer::Refuse(replies::NOT_STORED), 0)
    }
}

impl SessionDesk {
    /// Marks the message as one that cannot be stored, because no file could be had.
    fn lost(&mut self) {
        if let Ok(file) = File::open("/dev/null") {
            self.body = Some(Writing {
                number: u64::MAX,
                file,
                octets: 0,
                checksum: 0,
                failed: true,
            });
        }
    }

    /// Hands the message to queue; the token of what is durable, or nothing.
    async fn store(&mut self, session: &Session, buffer: &mut Vec<u8>) -> Option<u64> {
        let body = match &mut self.body {
            Some(writing) => {
                writing.write(buffer);
                buffer.clear();
                if writing.failed {
                    return None;
                }
                let body = Body {
                    number: writing.number,
                    octets: writing.octets,
                    checksum: writing.checksum,
                };
                // Nobody may be able to write to it when queue looks.
                writing.file = File::open("/dev/null").ok()?;
                Some(body)
            }
            None => None,
        };
        let transaction = session.transaction()?;
        let recipients = each_once(std::mem::take(&mut self.accepted).into_iter().flatten());
        let token = self.shared.token();
        let question = ToQueue::Accept {
            token,
            envelope: Envelope {
                reverse_path: transaction.reverse_path.clone(),
                recipients,
                arrival: Time::from_micros(self.shared.clock.now_micros()),
                eight_bit: session.content_is_eight_bit(),
            },
            received: Received {
                hello: session.hello().map(|h| h.name.clone()).unwrap_or_default(),
                peer: self.client.ip,
                by: (*self.settings.hostname).into(),
                extended: session.hello().is_some_and(|h| h.extended),
            },
            body,
        };
        match self.shared.ask(token, &question, buffer).await?.0 {
            FromQueue::Accepted { queue_id, .. } => Some(queue_id.as_u64()),
            _ => None,
        }
    }
}

/// Each mailbox once, in the order in which they were named.
fn each_once(accepted: impl Iterator<Item = Recipient>) -> Vec<Recipient> {
    let mut recipients: Vec<Recipient> = Vec::new();
    let mut places: HashMap<mail::Mailbox, usize> = HashMap::new();
    for recipient in accepted {
        match places.entry(recipient.mailbox.clone()) {
            Entry::Occupied(place) => recipients[*place.get()].join(&recipient),
            Entry::Vacant(place) => {
                place.insert(recipients.len());
                recipients.push(recipient);
            }
        }
    }
    recipients
}

impl Writing {
    fn write(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, octets);
        // The page cache takes it; the spool syncs it before it is accepted.
        self.failed |= self.file.write_all(octets).is_err();
    }
}
