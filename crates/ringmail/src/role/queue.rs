//! queue: keeps the spool and decides when to send.
//!
//! Trusts nobody's numbers: an answer to a question that it did not ask changes nothing. May touch the
//! spool's folder and nothing else; it is the spool's only writer and has no network. If it is taken
//! over, all queued mail can be read, forged and lost.

use crate::config::Config;
use crate::drive::arrow::{self, Receiver, Sender};
use crate::drive::birth::Birth;
use crate::drive::clock::Clock;
use crate::drive::committer::{Committer, Done, Job};
use crate::drive::edge::Store;
use crate::event::{self, Event};
use crate::ipc::accept::{FromQueue, ToQueue};
use crate::ipc::control::{self, Answer, Deed, Request};
use crate::ipc::deliver::{Attempt, Ended};
use crate::ipc::spawn::{Arrow, FromRole, ToRole};
use ::queue::{Content, Input, NewMessage, Output, Parameters, Queue, Router};
use mail::{Cause, ForwardPath, Mailbox, Outcome, QueueId, Recipient, ReversePath, Route, Time};
use policy::{Client, Decision, Listener, Policy, Refusal};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedSender};

/// Content kept in memory for the first attempt, in octets; what exceeds it is read from the spool.
const HOT_OCTETS: usize = 64 * 1024 * 1024;
/// Octets that may wait on a transport's arrow before attempts are held back.
const BACKLOG_OCTETS: usize = 16 * 1024 * 1024;
/// Things that happened and are handled before the brain's output is done.
const TURN_MAX: usize = 256;
/// Octets of a message that `queue show` gets.
const SHOW_OCTETS: usize = 64 * 1024;

/// What comes to this role, from all sides.
enum Happened {
    Order(Option<(ToRole, Option<OwnedFd>)>),
    Asked {
        arrow: u64,
        question: ToQueue,
        tail: Vec<u8>,
    },
    SmtpdGone {
        arrow: u64,
    },
    Ended(Ended),
    TransportGone {
        arrow: u64,
        local: bool,
    },
    Control {
        arrow: u64,
        request: (u64, Request),
    },
    ControlGone {
        arrow: u64,
    },
}

/// Routing as the configuration says it.
struct Routing(Policy);

impl Router for Routing {
    fn route(&self, mailbox: &Mailbox) -> Route {
        self.0.route(mailbox)
    }

    fn recipients(&self, mailbox: &Mailbox) -> Vec<Recipient> {
        // We are a client of ourselves here, one that may send to anybody.
        let forward_path = ForwardPath::Mailbox(mailbox.clone());
        let client = Client {
            ip: Ipv4Addr::LOCALHOST.into(),
            listener: Listener::Mx,
        };
        match self
            .0
            .recipient(client, &ReversePath::Null, &forward_path)
            .decision
        {
            Decision::Accept(recipients) => recipients,
            Decision::Refuse(Refusal::RelayingDenied) => {
                vec![Recipient {
                    mailbox: mailbox.clone(),
                    originals: Vec::new(),
                }]
            }
            Decision::Refuse(Refusal::UnknownUser | Refusal::BadAlias) => Vec::new(),
        }
    }
}

/// An arrow to smtpd, and the bodies that it writes or wrote and that no message owns yet.
struct Intake {
    sender: Sender<FromQueue>,
    bodies: BTreeSet<u64>,
}

/// An arrow to a transport, and the attempts that it has.
struct Transport {
    arrow: u64,
    sender: Sender<Attempt>,
    attempts: BTreeSet<u64>,
}

/// A question of smtpd that waits for the committer or for the brain.
enum Pending {
    Body {
        arrow: u64,
        token: u64,
    },
    Judge {
        arrow: u64,
        token: u64,
        message: NewMessage,
    },
    Accept {
        arrow: u64,
        token: u64,
        body: Option<u64>,
    },
    Control {
        arrow: u64,
        token: u64,
    },
}

struct Desk {
    brain: Queue<Routing>,
    clock: Clock,
    committer: Committer,
    arrows: u64,
    clients: BTreeMap<u64, Intake>,
    controls: HashMap<u64, Sender<(u64, Answer)>>,
    local: Option<Transport>,
    relay: Option<Transport>,
    pending: HashMap<u64, Pending>,
    tokens: u64,
    /// Content of messages that came in this life and were not attempted yet.
    hot: HashMap<QueueId, (Arc<str>, Content)>,
    hot_octets: usize,
    /// Messages of which every attempt so far is known to have ended.
    certain: HashSet<QueueId>,
    /// What waits for a message's content.
    reading: HashMap<QueueId, Vec<Reading>>,
    room: bool,
    happened: UnboundedSender<Happened>,
}

/// Why a message is read.
enum Reading {
    Attempt(Attempt),
    Header,
    Show {
        arrow: u64,
        token: u64,
        message: control::Message,
    },
}

/// The role's story: opens the spool, then takes what comes from all sides.
pub async fn run(birth: Birth, clock: Clock, store: &dyn Store) -> io::Result<()> {
    let Some((
        ToRole::Orders {
            configuration,
            path,
            situation,
        },
        None,
    )) = birth.orders().await?
    else {
        return Err(io::Error::other("queue got no orders"));
    };
    let config = crate::config::of_role(&configuration, &path, situation)?;
    let (done, mut dones) = mpsc::unbounded_channel();
    let (happened, mut happens) = mpsc::unbounded_channel();
    let mut desk = match open(&config, clock, store, done, happened.clone()).await {
        Ok(desk) => desk,
        Err(error) => {
            birth.tell(&FromRole::Hopeless(error.to_string()));
            return Err(error);
        }
    };
    let birth = std::rc::Rc::new(birth);
    tokio::task::spawn_local(hear_orders(std::rc::Rc::clone(&birth), happened));
    loop {
        desk.put_out();
        let deadline = desk.clock.instant_at(desk.brain.wake_at().as_micros());
        tokio::select! {
            biased;
            Some(done) = dones.recv() => desk.done(done),
            Some(happened) = happens.recv() => {
                if !desk.happened(happened, &birth)? {
                    break;
                }
            }
            () = tokio::time::sleep_until(deadline) => {}
        }
        // All that came meanwhile belongs to this turn.
        for _ in 0..TURN_MAX {
            if let Ok(done) = dones.try_recv() {
                desk.done(done);
            } else if let Ok(happened) = happens.try_recv() {
                if !desk.happened(happened, &birth)? {
                    desk.stop();
                    return Ok(());
                }
            } else {
                break;
            }
        }
    }
    desk.stop();
    Ok(())
}

async fn hear_orders(birth: std::rc::Rc<Birth>, happened: UnboundedSender<Happened>) {
    loop {
        let order = birth.orders().await.unwrap_or(None);
        let last = order.is_none();
        if happened.send(Happened::Order(order)).is_err() || last {
            return;
        }
    }
}

/// Opens the spool and starts the committer and the brain.
async fn open(
    config: &Config,
    clock: Clock,
    store: &dyn Store,
    done: UnboundedSender<Done>,
    happened: UnboundedSender<Happened>,
) -> io::Result<Desk> {
    let (committer, recovered) = store.open(config, done).await?;
    for finding in &recovered.findings {
        event::say(&Event::SpoolFound {
            finding: finding.to_string(),
        });
    }
    event::say(&Event::SpoolOpened {
        messages: recovered.messages.len(),
    });
    let parameters = parameters(config)?;
    let now = Time::from_micros(clock.now_micros());
    let routing = Routing(Policy::new(config.policy.clone()));
    let (messages, highest) = (recovered.messages, recovered.highest);
    Ok(Desk {
        brain: Queue::new(parameters, routing, messages, highest, store.random(), now),
        clock,
        committer,
        arrows: 0,
        clients: BTreeMap::new(),
        controls: HashMap::new(),
        local: None,
        relay: None,
        pending: HashMap::new(),
        tokens: 0,
        hot: HashMap::new(),
        hot_octets: 0,
        certain: HashSet::new(),
        reading: HashMap::new(),
        room: true,
        happened,
    })
}

/// What the brain is told of the configuration.
fn parameters(config: &Config) -> io::Result<Parameters> {
    Ok(Parameters {
        retry_delay_min: config.queue.retry_delay_min,
        retry_delay_max: config.queue.retry_delay_max,
        expiry: config.queue.expiry,
        ..Parameters::new(&config.hostname)
            .ok_or_else(|| io::Error::other("the hostname is no domain"))?
    })
}

impl Desk {
    /// Makes durable what still waits, and closes the spool.
    fn stop(mut self) {
        self.handle(Input::Stop);
        self.put_out();
        self.committer.stop();
    }

    fn now(&self) -> Time {
        Time::from_micros(self.clock.now_micros())
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.brain.handle(input, now);
    }

    fn token(&mut self, pending: Pending) -> u64 {
        self.tokens += 1;
        self.pending.insert(self.tokens, pending);
        self.tokens
    }

    /// Takes what came; false when it is time to end.
    fn happened(&mut self, happened: Happened, birth: &Birth) -> io::Result<bool> {
        match happened {
            Happened::Order(None | Some((ToRole::Stop, _))) => return Ok(false),
            Happened::Order(Some((ToRole::Begin, None))) => birth.tell(&FromRole::Ready),
            Happened::Order(Some((ToRole::Arrow(arrow), Some(fd)))) => self.new_arrow(arrow, fd)?,
            Happened::Order(Some((ToRole::Log(_), Some(fd)))) => event::keep_through(fd),
            Happened::Order(Some((
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                },
                None,
            ))) => {
                let config = crate::config::of_role(&configuration, &path, situation)?;
                let routing = Routing(Policy::new(config.policy.clone()));
                self.brain.reconfigure(parameters(&config)?, routing);
            }
            Happened::Order(Some(_)) => {
                return Err(io::Error::other("an order that queue cannot have"));
            }
            Happened::Asked {
                arrow,
                question,
                tail,
            } => self.asked(arrow, question, tail),
            Happened::SmtpdGone { arrow } => {
                for number in self
                    .clients
                    .remove(&arrow)
                    .map(|c| c.bodies)
                    .unwrap_or_default()
                {
                    self.committer.ask(Job::DropBody { number });
                }
            }
            Happened::Ended(ended) => self.ended(ended),
            Happened::TransportGone { arrow, local } => self.transport_gone(arrow, local),
            Happened::Control {
                arrow,
                request: (token, request),
            } => self.control(arrow, token, request),
            Happened::ControlGone { arrow } => drop(self.controls.remove(&arrow)),
        }
        Ok(true)
    }

    fn new_arrow(&mut self, which: Arrow, fd: OwnedFd) -> io::Result<()> {
        self.arrows += 1;
        let arrow = self.arrows;
        let happened = self.happened.clone();
        match which {
            Arrow::Accept => {
                let (sender, mut receiver): (_, Receiver<ToQueue>) = arrow::open(fd)?;
                let _ = sender.say(&FromQueue::Room(self.room), &[], None);
                self.clients.insert(
                    arrow,
                    Intake {
                        sender,
                        bodies: BTreeSet::new(),
                    },
                );
                tokio::task::spawn_local(async move {
                    while let Some(heard) = receiver.hear().await {
                        let asked = Happened::Asked {
                            arrow,
                            question: heard.head,
                            tail: heard.tail,
                        };
                        let _ = happened.send(asked);
                    }
                    let _ = happened.send(Happened::SmtpdGone { arrow });
                });
            }
            Arrow::DeliverLocal | Arrow::DeliverRelay => {
                let local = which == Arrow::DeliverLocal;
                let (sender, mut receiver): (_, Receiver<Ended>) = arrow::open(fd)?;
                let transport = Transport {
                    arrow,
                    sender,
                    attempts: BTreeSet::new(),
                };
                let slot = if local {
                    &mut self.local
                } else {
                    &mut self.relay
                };
                if let Some(old) = slot.replace(transport) {
                    self.lose(old.attempts);
                }
                tokio::task::spawn_local(async move {
                    while let Some(heard) = receiver.hear().await {
                        let _ = happened.send(Happened::Ended(heard.head));
                    }
                    let _ = happened.send(Happened::TransportGone { arrow, local });
                });
            }
            Arrow::Control => {
                let (sender, mut receiver): (_, Receiver<(u64, Request)>) = arrow::open(fd)?;
                self.controls.insert(arrow, sender);
                tokio::task::spawn_local(async move {
                    while let Some(heard) = receiver.hear().await {
                        let _ = happened.send(Happened::Control {
                            arrow,
                            request: heard.head,
                        });
                    }
                    let _ = happened.send(Happened::ControlGone { arrow });
                });
            }
        }
        Ok(())
    }

    fn asked(&mut self, arrow: u64, question: ToQueue, tail: Vec<u8>) {
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

    fn refuse(&self, arrow: u64, token: u64) {
        self.tell_client(arrow, &FromQueue::Refused { token }, None);
    }

    fn tell_client(&self, arrow: u64, answer: &FromQueue, fd: Option<OwnedFd>) {
        if let Some(client) = self.clients.get(&arrow) {
            // Such a record is never too large.
            let _ = client.sender.say(answer, &[], fd);
        }
    }

    fn ended(&mut self, ended: Ended) {
        let known = |t: &mut Option<Transport>| {
            t.as_mut()
                .is_some_and(|t| t.attempts.remove(&ended.attempt))
        };
        if known(&mut self.local) || known(&mut self.relay) {
            self.handle(Input::Ended {
                attempt: ended.attempt,
                outcomes: ended.outcomes,
            });
        }
    }

    fn transport_gone(&mut self, arrow: u64, local: bool) {
        let slot = if local {
            &mut self.local
        } else {
            &mut self.relay
        };
        if slot.as_ref().is_some_and(|t| t.arrow == arrow)
            && let Some(gone) = slot.take()
        {
            self.lose(gone.attempts);
        }
    }

    fn lose(&mut self, attempts: BTreeSet<u64>) {
        for attempt in attempts {
            // Whether it was delivered is not known: whoever tries again is to look first.
            if let Some(queue_id) = self.brain.message_of(attempt) {
                self.certain.remove(&queue_id);
            }
            self.handle(Input::Lost { attempt });
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Committed { batch, ok } => self.handle(Input::Committed { batch, ok }),
            Done::Body { token, file } => self.body_made(token, file),
            Done::BodyJudged { token, ok } => match self.pending.remove(&token) {
                Some(Pending::Judge {
                    arrow,
                    token,
                    message,
                }) if ok => {
                    let body = match &message.content {
                        Content::Body(body) => Some(body.number),
                        Content::Inline(_) => None,
                    };
                    let token = self.token(Pending::Accept { arrow, token, body });
                    self.handle(Input::Accept { token, message });
                }
                Some(Pending::Judge { arrow, token, .. }) => self.refuse(arrow, token),
                _ => {}
            },
            Done::Read { queue_id, message } => self.read(queue_id, message.as_ref()),
            Done::Room(room) => {
                if self.room != room {
                    event::say(&Event::RoomChanged { room });
                }
                self.room = room;
                for client in self.clients.values() {
                    let _ = client.sender.say(&FromQueue::Room(room), &[], None);
                }
            }
            Done::Failed(cause) => event::say(&Event::SpoolFailed { cause }),
        }
    }

    fn body_made(&mut self, token: u64, file: Option<(u64, OwnedFd)>) {
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

    /// Does what the brain puts out.
    fn put_out(&mut self) {
        let now = self.now();
        self.brain.handle(Input::Wake, now);
        while let Some(output) = self.brain.poll() {
            match output {
                Output::Commit { batch, entries } => {
                    for entry in &entries {
                        self.keep_hot(entry);
                    }
                    self.committer.ask(Job::Commit { batch, entries });
                }
                Output::Accepted { token, queue_id } => {
                    if let Some(Pending::Accept { arrow, token, body }) =
                        self.pending.remove(&token)
                    {
                        if let (Some(number), Some(client)) = (body, self.clients.get_mut(&arrow)) {
                            client.bodies.remove(&number);
                        }
                        self.tell_client(arrow, &FromQueue::Accepted { token, queue_id }, None);
                    }
                }
                Output::Refused { token } => {
                    if let Some(Pending::Accept { arrow, token, .. }) = self.pending.remove(&token)
                    {
                        self.refuse(arrow, token);
                    }
                }
                Output::Attempt {
                    attempt,
                    destination,
                    queue_id,
                    reverse_path,
                    recipients,
                    eight_bit,
                    ..
                } => {
                    let record = Attempt {
                        attempt,
                        destination,
                        queue_id,
                        reverse_path,
                        recipients,
                        trace: "".into(),
                        eight_bit,
                        again: !self.certain.contains(&queue_id),
                        body_octets: None,
                    };
                    self.attempt(record);
                }
                Output::NeedHeader { queue_id } => self.want(queue_id, Reading::Header),
                Output::Event(event) => {
                    if let ::queue::Event::Ended { queue_id }
                    | ::queue::Event::Dropped { queue_id } = &event
                    {
                        self.cool(*queue_id);
                    }
                    tell(event);
                }
                Output::Done { token, count } => {
                    if let Some(Pending::Control { arrow, token }) = self.pending.remove(&token) {
                        self.answer(arrow, token, &Answer::Done(count), &[]);
                    }
                }
            }
        }
    }

    /// Keeps a new message's content in memory for its first attempt.
    fn keep_hot(&mut self, entry: &::queue::Entry) {
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
    fn cool(&mut self, queue_id: QueueId) {
        self.certain.remove(&queue_id);
        if let Some((_, Content::Inline(octets))) = self.hot.remove(&queue_id) {
            self.hot_octets -= octets.len();
        }
    }

    fn attempt(&mut self, record: Attempt) {
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
    fn send(&mut self, mut record: Attempt, trace: &str, content: &Content, file: Option<OwnedFd>) {
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
                outcomes: Vec::new(),
            });
        }
    }

    fn want(&mut self, queue_id: QueueId, why: Reading) {
        let waiting = self.reading.entry(queue_id).or_default();
        waiting.push(why);
        if waiting.len() == 1 {
            self.committer.ask(Job::Read { queue_id });
        }
    }

    fn read(&mut self, queue_id: QueueId, message: Option<&(Arc<str>, Content, Option<OwnedFd>)>) {
        let waiting = self.reading.remove(&queue_id).unwrap_or_default();
        for why in waiting {
            let file = message.and_then(|(_, _, file)| file.as_ref()?.try_clone().ok());
            match (why, message) {
                (Reading::Attempt(record), Some((trace, content, _))) => {
                    let (trace, content) = (Arc::clone(trace), content.clone());
                    self.send(record, &trace, &content, file);
                }
                // It cannot be read: undecided, tried again later, and said in the log.
                (Reading::Attempt(record), None) => {
                    self.ended(Ended {
                        attempt: record.attempt,
                        outcomes: Vec::new(),
                    });
                }
                (Reading::Header, Some((_, content, _))) => {
                    let octets = first_octets(content, file, self.brain.header_octets());
                    self.handle(Input::Header { queue_id, octets });
                }
                (Reading::Header, None) => self.handle(Input::Header {
                    queue_id,
                    octets: Vec::new(),
                }),
                (
                    Reading::Show {
                        arrow,
                        token,
                        message: shown,
                    },
                    Some((trace, content, _)),
                ) => {
                    let mut octets = trace.as_bytes().to_vec();
                    octets.extend(first_octets(content, file, SHOW_OCTETS));
                    self.answer(arrow, token, &Answer::Show(shown), &octets);
                }
                (Reading::Show { arrow, token, .. }, None) => {
                    self.answer(arrow, token, &Answer::Nothing, &[]);
                }
            }
        }
    }

    fn answer(&self, arrow: u64, token: u64, answer: &Answer, tail: &[u8]) {
        if let Some(sender) = self.controls.get(&arrow)
            && sender.say(&(token, answer.clone()), tail, None).is_err()
        {
            let _ = sender.say(&(token, Answer::Unavailable), &[], None);
        }
    }

    fn control(&mut self, arrow: u64, token: u64, request: Request) {
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

/// The first octets of a content, from memory or from its file.
fn first_octets(content: &Content, file: Option<OwnedFd>, limit: usize) -> Vec<u8> {
    use std::io::Read as _;
    match (content, file) {
        (Content::Inline(octets), _) => octets[..octets.len().min(limit)].to_vec(),
        (Content::Body(_), Some(file)) => {
            let mut octets = Vec::new();
            // What cannot be read is left out: a report goes without the header then.
            let _ = std::fs::File::from(file)
                .take(limit as u64)
                .read_to_end(&mut octets);
            octets
        }
        (Content::Body(_), None) => Vec::new(),
    }
}

/// A command's filter as the brain takes it.
fn brain_filter(filter: control::Filter) -> ::queue::Filter {
    ::queue::Filter {
        queue_ids: filter.queue_ids,
        to: filter.to,
        from: filter.from,
        age_min: filter.age_min_secs.map(Duration::from_secs),
        reason: filter.reason,
        dead: filter.dead,
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
    }
}

/// The brain's events, for the log.
fn tell(event: ::queue::Event) {
    use ::queue::Event as Said;
    event::say(&match event {
        Said::Accepted {
            queue_id,
            peer,
            reverse_path,
            recipients,
            octets,
        } => Event::MessageAccepted {
            queue_id,
            peer_ip: peer.map(|ip| ip.to_string()).unwrap_or_default(),
            reverse_path: reverse_path.to_string(),
            recipients,
            size_bytes: octets,
        },
        Said::Outcome {
            queue_id,
            mailbox,
            destination,
            attempt,
            outcome,
        } => {
            let forward_path = mailbox.to_string();
            let next_hop = destination.map(|d| d.to_string()).unwrap_or_default();
            match outcome {
                Outcome::Delivered => Event::RecipientDelivered {
                    queue_id,
                    forward_path,
                    next_hop,
                    attempt,
                },
                Outcome::Deferred(cause) => {
                    let (status, cause) = (cause.status().to_string(), words(&cause));
                    Event::AttemptDeferred {
                        queue_id,
                        forward_path,
                        next_hop,
                        attempt,
                        status,
                        cause,
                    }
                }
                Outcome::Failed(cause) => {
                    let (status, cause) = (cause.status().to_string(), words(&cause));
                    Event::RecipientFailed {
                        queue_id,
                        forward_path,
                        next_hop,
                        attempt,
                        status,
                        cause,
                    }
                }
            }
        }
        Said::DsnQueued { queue_id, about } => Event::DsnQueued { queue_id, about },
        Said::Ended { queue_id } => Event::MessageEnded { queue_id },
        Said::Dead { queue_id } => Event::MessageDead { queue_id },
        Said::Dropped { queue_id } => Event::MessageDropped { queue_id },
    });
}

fn words(cause: &Cause) -> String {
    match cause {
        Cause::Ours(_, words) => words.to_string(),
        Cause::Reply(reply) => format!("{} {}", reply.code, reply.text),
    }
}
