//! admin: answers the administrator's commands on the control socket, and keeps the events of all roles.
//!
//! Trusts only a peer whose uid, as the kernel tells it, is root's or our own. May touch the control socket, the
//! folder of the event store, its arrow to queue, and ask two things of the supervisor. If it is taken over, the
//! queue can be listed, held and dropped, and what was kept of events can be read and forged; mail is out of its
//! reach.

mod events;

use crate::drive::arrow::{self, Receiver, Sender};
use crate::drive::birth::Birth;
use crate::drive::clock::Clock;
use crate::drive::under_way::{Counted, UnderWay};
use crate::event::{self, Event};
use crate::ipc::control::{Answer, Request};
use crate::ipc::spawn::{Arrow, FromRole, Listener, ToRole};
use crate::ipc::supervise::{Answered, Question};
use events::Events;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// How long queue or the supervisor may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// How long commands that are being answered may go on when the role is told to end.
const STOP_WAIT: Duration = Duration::from_secs(1);
/// Commands served at once.
const COMMANDS_MAX: usize = 32;

type Waiting = oneshot::Sender<(Answer, Vec<u8>)>;

struct Shared {
    birth: Birth,
    queue: RefCell<Option<Sender<(u64, Request)>>>,
    /// Questions to queue, by token.
    asked: RefCell<HashMap<u64, Waiting>>,
    /// Questions to the supervisor, by token.
    supervisor: RefCell<HashMap<u64, oneshot::Sender<Answered>>>,
    tokens: Cell<u64>,
    commands: Rc<UnderWay>,
}

/// The role's story.
pub async fn run(birth: Birth, clock: Clock) -> io::Result<()> {
    let shared = Rc::new(Shared {
        birth,
        queue: RefCell::default(),
        asked: RefCell::default(),
        supervisor: RefCell::default(),
        tokens: Cell::new(0),
        commands: Rc::default(),
    });
    let events = Events::start(clock)?;
    let (mut door, mut hears): (Option<AbortHandle>, Option<AbortHandle>) = (None, None);
    while let Some((order, fd)) = shared.birth.orders().await? {
        match (order, fd) {
            (
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                    ..
                },
                None,
            ) => {
                let config = crate::config::of_role(&configuration, &path, situation)?;
                events.configure(config.log);
                // The control socket comes again with the new orders.
                if let Some(old) = door.take() {
                    old.abort();
                }
            }
            (ToRole::Arrow(Arrow::Control), Some(fd)) => {
                let (sender, receiver) = arrow::open(fd)?;
                // The older end is void: neither its words nor its end are for what is asked of this one.
                if let Some(old) = hears.take() {
                    old.abort();
                }
                shared.asked.borrow_mut().clear();
                shared.queue.replace(Some(sender));
                let task = tokio::task::spawn_local(hear_queue(Rc::clone(&shared), receiver));
                hears = Some(task.abort_handle());
            }
            (ToRole::Log(source), Some(fd)) => events.take_from(source, fd)?,
            (ToRole::Listener(Listener::Control), Some(fd)) => {
                let listener = std::os::unix::net::UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                let listener = UnixListener::from_std(listener)?;
                let task = tokio::task::spawn_local(listen(Rc::clone(&shared), listener));
                door = Some(task.abort_handle());
            }
            (ToRole::Answer { token, answer }, None) => {
                let asker = shared.supervisor.borrow_mut().remove(&token);
                // The command may have ended meanwhile.
                asker.map(|asker| asker.send(answer));
            }
            (ToRole::Begin, None) => shared.birth.tell(&FromRole::Ready),
            (ToRole::Stop, _) => break,
            _ => return Err(io::Error::other("an order that admin cannot have")),
        }
    }
    shared.commands.finish(STOP_WAIT).await;
    events.take_what_is_left();
    Ok(())
}

async fn hear_queue(shared: Rc<Shared>, mut receiver: Receiver<(u64, Answer)>) {
    while let Some(heard) = receiver.hear().await {
        let (token, answer) = heard.head;
        if let Some(asker) = shared.asked.borrow_mut().remove(&token) {
            // The command may have ended meanwhile.
            let _ = asker.send((answer, heard.tail));
        }
    }
    // Who asks from now on is told at once that nobody answers.
    shared.queue.take();
    shared.asked.borrow_mut().clear();
}

async fn listen(shared: Rc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let ours = rustix::process::geteuid().as_raw();
                let trusted =
                    sys::socket::peer_uid(&stream).is_ok_and(|uid| uid == 0 || uid == ours);
                if trusted && shared.commands.count() < COMMANDS_MAX {
                    let Ok(stream) = stream.into_std() else {
                        continue;
                    };
                    // Counted here: many may be accepted before the first of them is served.
                    let command = shared.commands.one();
                    tokio::task::spawn_local(serve(Rc::clone(&shared), stream.into(), command));
                }
            }
            Err(error) => {
                event::say(&Event::Trouble {
                    place: "control",
                    cause: error.to_string(),
                });
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One command: each question is answered, by whoever can.
async fn serve(shared: Rc<Shared>, stream: OwnedFd, _command: Counted) {
    let Ok((sender, mut receiver)) = arrow::open::<Answer, Request>(stream) else {
        return;
    };
    while let Some(heard) = receiver.hear().await {
        let (answer, tail) = shared
            .answer(heard.head)
            .await
            .unwrap_or((Answer::Unavailable, Vec::new()));
        if sender.say(&answer, &tail, None).is_err() {
            break;
        }
        sender.room().await;
    }
}

impl Shared {
    async fn answer(&self, request: Request) -> Option<(Answer, Vec<u8>)> {
        let alone = |answer| Some((answer, Vec::new()));
        match request {
            Request::Health => {
                let Answer::Healthy { messages, room, .. } =
                    self.ask_queue(Request::Health).await?.0
                else {
                    return None;
                };
                let Answered::Status(stands) = self.ask_supervisor(Question::Status).await? else {
                    return None;
                };
                let absent = stands.roles.iter().filter(|role| !role.ready);
                let absent = absent.map(|role| role.role.name().to_owned()).collect();
                alone(Answer::Healthy {
                    messages,
                    room,
                    absent,
                })
            }
            Request::Status => {
                let Answered::Status(stands) = self.ask_supervisor(Question::Status).await? else {
                    return None;
                };
                let counts = match self.ask_queue(Request::Count).await {
                    Some((Answer::Counts(counts), _)) => Some(counts),
                    _ => None,
                };
                alone(Answer::Status(stands, counts))
            }
            Request::Reload => match self.ask_supervisor(Question::Reload).await? {
                Answered::Reload(reload) => alone(Answer::Reload(reload)),
                Answered::Status(_) => None,
            },
            request => self.ask_queue(request).await,
        }
    }

    fn token(&self) -> u64 {
        self.tokens.set(self.tokens.get() + 1);
        self.tokens.get()
    }

    async fn ask_queue(&self, request: Request) -> Option<(Answer, Vec<u8>)> {
        let queue = self.queue.borrow().clone()?;
        let token = self.token();
        let (answer, answered) = oneshot::channel();
        self.asked.borrow_mut().insert(token, answer);
        queue.say(&(token, request), &[], None).ok()?;
        let answered = tokio::time::timeout(ANSWER_WAIT, answered).await;
        self.asked.borrow_mut().remove(&token);
        answered.ok()?.ok()
    }

    async fn ask_supervisor(&self, question: Question) -> Option<Answered> {
        let token = self.token();
        let (answer, answered) = oneshot::channel();
        self.supervisor.borrow_mut().insert(token, answer);
        self.birth.tell(&FromRole::Asks { token, question });
        let answered = tokio::time::timeout(ANSWER_WAIT, answered).await;
        self.supervisor.borrow_mut().remove(&token);
        answered.ok()?.ok()
    }
}
