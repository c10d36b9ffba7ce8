//! smtpd: talks to SMTP clients. Two processes are it: smtpd itself, which other hosts reach, and submission, which our
//! users' programs reach. Only submission hears passwords, and only what it asks is judged as a user's.
//!
//! Trusts nobody. May touch the listeners it was given, the connections they accept, and its arrows to policy and
//! queue; submission has one to auth besides. If it is taken over, the mail of its own sessions can be read and forged,
//! and mail can be put into the queue for our own domains, or for anybody whom a client address that it claims may send
//! to; of submission, the passwords that are said to it can be read, and mail sent as those who logged in. The spool,
//! other roles' files and keys are out of its reach.

mod allowance;
mod asking;
mod body;
mod crowd;
mod desk;
mod rates;

use crate::config::{Config, Limits};
use crate::drive::arrow::{self, Receiver};
use crate::drive::birth::Birth;
use crate::drive::clock::Clock;
use crate::drive::connection::{self, Setting, Stop};
use crate::drive::edge::{Door, Doors, Stream};
use crate::drive::tls::Tls;
use crate::drive::under_way::UnderWay;
use crate::event::paced::Paced;
use crate::event::{self, Event};
use crate::ipc::accept::{FromQueue, ToQueue};
use crate::ipc::check::{self, Checked};
use crate::ipc::judge::{self, Judged};
use crate::ipc::spawn::{Arrow, FromRole, Listener, Role, ToRole};
use asking::{Asking, Awaited};
use connection::Desk as _;
use crowd::Crowd;
use desk::Desk;
use policy::Policy;
use rates::Rates;
use smtp::server::{Parameters, Scram};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// How long queue or policy may take to answer. The reply to the end of content must come before a client gives
/// up and sends again (RFC 1047); RFC 5321 §4.5.3.2.6 lets it wait ten minutes, many wait five or fewer.
const ANSWER_WAIT: Duration = Duration::from_mins(1);

/// How long sessions whose content still comes may go on when the service stops; one whose content does not, and all others,
/// are told before.
const STOP_WAIT: Duration = Duration::from_mins(1);
/// How long the last words of those that went on for so long may take: what was handed to queue is still answered, for who
/// hears nothing of it sends it again.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(8);

/// An answer of queue, and the file that may come with it.
type Answered = (FromQueue, Option<OwnedFd>);

/// What the configuration says to a session; one that goes on keeps what it began with.
struct Settings {
    policy: Policy,
    /// Whether users log in where they submit mail.
    has_logins: bool,
    /// Whether by SCRAM too.
    scram: Scram,
    hostname: Rc<str>,
    limits: Limits,
}

/// What all sessions share.
struct Shared {
    settings: RefCell<Rc<Settings>>,
    clock: Clock,
    /// The tasks that accept connections.
    doors: RefCell<Vec<tokio::task::AbortHandle>>,
    queue: Asking<ToQueue, Answered>,
    policy: Asking<judge::Question, Judged>,
    /// Of submission alone.
    auth: Asking<check::Question, Checked>,
    /// What TLS is spoken with; nothing where there is no certificate.
    tls: RefCell<Option<Rc<Tls>>>,
    tokens: Cell<u64>,
    room: Cell<bool>,
    sessions: Rc<UnderWay>,
    crowd: Rc<Crowd>,
    /// Sessions that were refused at their start.
    refused: Paced,
    /// What clients have taken lately.
    rates: RefCell<Rates>,
    /// Clients that were put off for it.
    put_off: Paced,
    /// Whether the service stops.
    stop: watch::Sender<Stop>,
}

/// The role's story: orders, arrows and listeners in; then sessions until it is told to stop.
pub async fn run(role: Role, birth: Birth, clock: Clock, doors: &dyn Doors) -> io::Result<()> {
    let mut shared: Option<Rc<Shared>> = None;
    while let Some((order, fd)) = birth.orders().await? {
        match (order, fd, &shared) {
            (
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                    ..
                },
                None,
                known,
            ) => {
                let config = crate::config::of_role(&configuration, &path, situation)?;
                match known {
                    Some(shared) => shared.reconfigure(&config),
                    None => shared = Some(Rc::new(Shared::new(role, &config, clock))),
                }
            }
            (ToRole::Arrow(arrow), ..) if arrow.ends().0 != role => {
                return Err(io::Error::other("an arrow of another role"));
            }
            (ToRole::Arrow(Arrow::Accept | Arrow::AcceptSubmitted), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                let number = shared.queue.begin(sender);
                tokio::task::spawn_local(hear_queue(Rc::clone(shared), number, receiver));
            }
            (ToRole::Arrow(Arrow::Judge | Arrow::JudgeSubmitted), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                let number = shared.policy.begin(sender);
                tokio::task::spawn_local(hear_policy(Rc::clone(shared), number, receiver));
            }
            (ToRole::Arrow(Arrow::Check), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                let number = shared.auth.begin(sender);
                tokio::task::spawn_local(hear_auth(Rc::clone(shared), number, receiver));
            }
            (ToRole::Arrow(Arrow::Sign | Arrow::SignSubmission), Some(fd), Some(shared)) => {
                shared.hear_keys(fd).await;
            }
            (ToRole::Listener(listener), Some(fd), Some(shared)) if listener.role() == role => {
                let door = doors.open(fd)?;
                let task = tokio::task::spawn_local(listen(Rc::clone(shared), door, listener));
                shared.doors.borrow_mut().push(task.abort_handle());
            }
            (ToRole::Log(_), Some(fd), _) => event::keep_through(fd),
            (ToRole::Begin, None, Some(_)) => birth.tell(&FromRole::Ready),
            (ToRole::Stop, _, Some(shared)) => {
                shared.stop(&birth).await;
                break;
            }
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
            has_logins: config.has_logins(),
            scram: if config.auth.scram {
                Scram::Offered
            } else {
                Scram::Off
            },
            hostname: config.hostname.clone().into(),
            limits: config.limits.clone(),
        }
    }
}

impl Shared {
    fn new(role: Role, config: &Config, clock: Clock) -> Self {
        // Two processes name sessions: the ones are even, the others odd.
        let first = clock.now_micros() & !1 | u64::from(role == Role::Submission);
        Self {
            settings: RefCell::new(Rc::new(Settings::new(config))),
            clock,
            doors: RefCell::default(),
            queue: Asking::new(),
            policy: Asking::new(),
            auth: Asking::new(),
            tls: RefCell::default(),
            tokens: Cell::new(first),
            room: Cell::new(true),
            sessions: Rc::default(),
            crowd: Rc::default(),
            refused: Paced::default(),
            rates: RefCell::default(),
            put_off: Paced::default(),
            stop: watch::Sender::new(Stop::No),
        }
    }

    /// New sessions go by this; the listeners that stay are given anew.
    fn reconfigure(&self, config: &Config) {
        self.settings.replace(Rc::new(Settings::new(config)));
        self.close_doors();
    }

    fn close_doors(&self) {
        for door in self.doors.take() {
            door.abort();
        }
    }

    /// Takes no new sessions, tells those that are open, and waits for them: content that is on its way is still
    /// taken and answered, for who hears nothing of it sends it again. Told once more to stop, it waits no longer.
    async fn stop(&self, birth: &Birth) {
        self.close_doors();
        self.stop.send_replace(Stop::InOrder);
        let told_again = async {
            while let Ok(Some((order, _))) = birth.orders().await {
                if matches!(order, ToRole::Stop) {
                    return;
                }
            }
        };
        tokio::select! {
            () = self.sessions.finish(STOP_WAIT) => {}
            () = told_again => {}
        }
        self.stop.send_replace(Stop::AtOnce);
        self.sessions.finish(LAST_WORDS_WAIT).await;
    }

    /// Hears which certificates there are, before more orders: who is told that we serve may rely on them. New sessions
    /// have them; those that go on keep what they began with.
    async fn hear_keys(&self, socket: OwnedFd) {
        let tls = Tls::hear(socket).await.unwrap_or_else(|error| {
            event::say(&Event::Trouble {
                place: "keys",
                cause: error.to_string(),
            });
            None
        });
        self.tls.replace(tls.map(Rc::new));
    }

    fn token(&self) -> u64 {
        self.tokens.set(self.tokens.get() + 2);
        self.tokens.get()
    }

    /// Asks queue and waits. `None`: no answer, and none will be taken.
    async fn ask_queue(&self, token: u64, question: &ToQueue, tail: &[u8]) -> Option<Answered> {
        let awaited = self.queue.ask(token, question, tail)?;
        let answer = tokio::time::timeout(ANSWER_WAIT, awaited).await;
        self.queue.forget(token);
        answer.ok()?.ok()
    }
}

async fn hear_queue(shared: Rc<Shared>, number: u64, mut receiver: Receiver<FromQueue>) {
    while let Some(heard) = receiver.hear().await {
        let token = match &heard.head {
            FromQueue::Room(room) => {
                shared.room.set(*room);
                continue;
            }
            FromQueue::Body { token, .. }
            | FromQueue::Accepted { token, .. }
            | FromQueue::Refused { token }
            | FromQueue::Unsealed { token } => *token,
        };
        // The session may have ended meanwhile: a file that came for it is not wanted.
        if let Err((FromQueue::Body { number, .. }, _)) =
            shared.queue.answer(token, (heard.head, heard.fd))
        {
            shared.queue.tell(&ToQueue::DropBody { number });
        }
    }
    shared.queue.end(number);
}

async fn hear_policy(shared: Rc<Shared>, number: u64, mut receiver: Receiver<Judged>) {
    while let Some(heard) = receiver.hear().await {
        // The session may have ended meanwhile.
        let _ = shared.policy.answer(heard.head.token, heard.head);
    }
    shared.policy.end(number);
}

async fn hear_auth(shared: Rc<Shared>, number: u64, mut receiver: Receiver<Checked>) {
    while let Some(heard) = receiver.hear().await {
        // The session may have ended meanwhile.
        let _ = shared.auth.answer(heard.head.token, heard.head);
    }
    shared.auth.end(number);
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
async fn serve(shared: Rc<Shared>, stream: Box<dyn Stream>, peer: IpAddr, door: Listener) {
    // Ends last, so that a stop that waits for it finds its line written.
    let _session = shared.sessions.one();
    let token = shared.token();
    let settings = Rc::clone(&shared.settings.borrow());
    let is_ours = settings.policy.relays_for(peer);
    let entered = shared.crowd.enter(token, peer, is_ours);
    let place = Rc::clone(&entered.place);
    let tls = shared.tls.borrow().clone();
    let needs_login = door != Listener::Mx && settings.has_logins;
    let setting = Setting {
        parameters: Parameters {
            scram: settings.scram,
            ..connection::parameters(&settings.limits, tls.is_some(), needs_login, is_ours)
        },
        tls_at_once: door == Listener::Submissions,
        hostname: Rc::clone(&settings.hostname),
        tls,
        clock: shared.clock,
        token,
        stop: shared.stop.subscribe(),
        place: Rc::clone(&place),
    };
    let mut desk = Desk::new(Rc::clone(&shared), peer, door, token, entered);
    let ended = connection::serve(stream, &setting, &mut desk).await;
    desk.discard();
    if place.is_told() {
        event::say(&Event::SessionCut {
            session: mail::QueueId::from_u64(token),
            peer_ip: peer.to_string(),
            listener: desk.listener(),
            rule: "limits.sessions",
        });
    }
    if desk.is_refused() {
        // It was said, or counted, as it came.
        return;
    }
    let login = match &ended {
        // Whoever proved himself and went back on it is nobody.
        Ok(session) if !session.is_logged_in() => String::new(),
        _ => desk.login(),
    };
    let helo = ended
        .ok()
        .and_then(|session| session.hello().map(|h| h.name.to_string()));
    event::say(&Event::SessionClosed {
        session: mail::QueueId::from_u64(token),
        peer_ip: peer.to_string(),
        listener: desk.listener(),
        accepted: desk.messages(),
        rule: desk.rule(),
        login,
        tls: desk.agreed(),
        helo: helo.unwrap_or_default(),
    });
}
