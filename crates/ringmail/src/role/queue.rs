//! queue: keeps the spool and decides when to send.
//!
//! Trusts nobody's numbers: an answer to a question that it did not ask changes nothing. May touch the
//! spool's folder and nothing else; it is the spool's only writer and has no network. If it is taken
//! over, all queued mail can be read, forged and lost.

mod commands;
mod intake;
mod log;
mod reading;
mod routing;
mod transports;

use crate::config::Config;
use crate::drive::arrow::{self, Receiver, Sender};
use crate::drive::birth::Birth;
use crate::drive::clock::Clock;
use crate::drive::committer::{Committer, Done, Job};
use crate::drive::edge::Store;
use crate::event::{self, Event};
use crate::ipc::accept::{FromQueue, ToQueue};
use crate::ipc::control::{Answer, Request};
use crate::ipc::deliver::{Attempt, Ended};
use crate::ipc::spawn::{Arrow, FromRole, Share, ToRole};
use crate::seal::Opener;
use ::queue::{Content, Input, NewMessage, Output, Parameters, Queue};
use intake::Intake;
use mail::{QueueId, Time};
use policy::Policy;
use reading::Reading;
use routing::Routing;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::mpsc::{self, UnboundedSender};
use transports::Transport;

/// Things that happened and are handled before the brain's output is done.
const TURN_MAX: usize = 256;

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
    /// Opens policy's seals; without it nothing is kept.
    opener: Option<Opener>,
    controls: HashMap<u64, Sender<(u64, Answer)>>,
    local: Option<Transport>,
    relay: Option<Transport>,
    /// Attempts of transports that are gone, local's and relay's, until it is known how they ended.
    gone: BTreeMap<bool, BTreeSet<u64>>,
    /// How transports ended whose arrows have not come to their end here: by a fault of their own, or not.
    endings: BTreeMap<bool, bool>,
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

/// The role's story: opens the spool, then takes what comes from all sides.
pub async fn run(birth: Birth, clock: Clock, store: &dyn Store) -> io::Result<()> {
    let Some((
        ToRole::Orders {
            configuration,
            path,
            situation,
            ..
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
            finding: format!("{finding}; {}", finding.deed()),
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
        opener: None,
        controls: HashMap::new(),
        local: None,
        relay: None,
        gone: BTreeMap::new(),
        endings: BTreeMap::new(),
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
        delay_notice: config.queue.delay_notice,
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
            Happened::Order(Some((ToRole::Key(Share::Transactions, key), None))) => {
                self.opener = Some(Opener::new(&key));
            }
            Happened::Order(Some((ToRole::Log(_), Some(fd)))) => event::keep_through(fd),
            Happened::Order(Some((ToRole::Ended { local, fault }, None))) => {
                self.process_ended(local, fault);
            }
            Happened::Order(Some((
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                    ..
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
            Arrow::Accept | Arrow::AcceptSubmitted => {
                let (sender, mut receiver): (_, Receiver<ToQueue>) = arrow::open(fd)?;
                let _ = sender.say(&FromQueue::Room(self.room), &[], None);
                self.clients.insert(
                    arrow,
                    Intake {
                        sender,
                        bodies: BTreeSet::new(),
                        seals_logged: 0,
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
                let old = slot.replace(transport);
                self.lose(old.map(|old| old.attempts).unwrap_or_default());
                self.endings.remove(&local);
                self.transport_ended(local, false);
                tokio::task::spawn_local(async move {
                    while let Some(heard) = receiver.hear().await {
                        let _ = happened.send(Happened::Ended(heard.head));
                    }
                    let _ = happened.send(Happened::TransportGone { arrow, local });
                });
            }
            Arrow::Judge
            | Arrow::JudgeSubmitted
            | Arrow::Sign
            | Arrow::SignSubmission
            | Arrow::Login
            | Arrow::Check => {
                return Err(io::Error::other("an arrow that queue cannot have"));
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
            Done::Room {
                room,
                free_octets,
                wanted_octets,
            } => {
                if self.room != room {
                    event::say(&Event::RoomChanged {
                        room,
                        free_bytes: free_octets,
                        wanted_bytes: wanted_octets,
                    });
                }
                self.room = room;
                for client in self.clients.values() {
                    let _ = client.sender.say(&FromQueue::Room(room), &[], None);
                }
            }
            Done::Failed(cause) => event::say(&Event::SpoolFailed { cause }),
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
                    smtputf8,
                    dsn,
                } => {
                    let record = Attempt {
                        attempt,
                        destination,
                        queue_id,
                        reverse_path,
                        recipients,
                        trace: "".into(),
                        eight_bit,
                        smtputf8,
                        dsn,
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
                    log::tell(event);
                }
                Output::Done { token, count } => {
                    if let Some(Pending::Control { arrow, token }) = self.pending.remove(&token) {
                        self.answer(arrow, token, &Answer::Done(count), &[]);
                    }
                }
            }
        }
    }
}
