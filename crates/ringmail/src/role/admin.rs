//! admin: answers the administrator's commands on the control socket.
//!
//! Trusts only a peer whose uid, as the kernel tells it, is root's or our own. May touch the control
//! socket and its arrow to queue. If it is taken over, the queue can be listed, held and dropped.

use crate::drive::arrow::{self, Receiver, Sender};
use crate::drive::birth::Birth;
use crate::event::{self, Event};
use crate::ipc::control::{Answer, Request};
use crate::ipc::spawn::{Arrow, FromRole, Listener, ToRole};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

/// How long queue may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Commands served at once.
const COMMANDS_MAX: usize = 32;

type Waiting = oneshot::Sender<(Answer, Vec<u8>)>;

#[derive(Default)]
struct Shared {
    queue: RefCell<Option<Sender<(u64, Request)>>>,
    asked: RefCell<HashMap<u64, Waiting>>,
    tokens: Cell<u64>,
    commands: Cell<usize>,
}

/// The role's story.
pub async fn run(birth: Birth) -> io::Result<()> {
    let shared = Rc::new(Shared::default());
    while let Some((order, fd)) = birth.orders().await? {
        match (order, fd) {
            (ToRole::Orders { .. }, None) => {}
            (ToRole::Arrow(Arrow::Control), Some(fd)) => {
                let (sender, receiver) = arrow::open(fd)?;
                shared.asked.borrow_mut().clear();
                shared.queue.replace(Some(sender));
                tokio::task::spawn_local(hear_queue(Rc::clone(&shared), receiver));
            }
            (ToRole::Listener(Listener::Control), Some(fd)) => {
                let listener = std::os::unix::net::UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                tokio::task::spawn_local(listen(
                    Rc::clone(&shared),
                    UnixListener::from_std(listener)?,
                ));
            }
            (ToRole::Begin, None) => birth.tell(&FromRole::Ready),
            (ToRole::Stop, _) => break,
            _ => return Err(io::Error::other("an order that admin cannot have")),
        }
    }
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
    shared.asked.borrow_mut().clear();
}

async fn listen(shared: Rc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let ours = rustix::process::geteuid().as_raw();
                let trusted =
                    sys::socket::peer_uid(&stream).is_ok_and(|uid| uid == 0 || uid == ours);
                if trusted && shared.commands.get() < COMMANDS_MAX {
                    let Ok(stream) = stream.into_std() else {
                        continue;
                    };
                    tokio::task::spawn_local(serve(Rc::clone(&shared), stream.into()));
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

/// One command: each question is passed on, each answer handed back.
async fn serve(shared: Rc<Shared>, stream: OwnedFd) {
    let Ok((sender, mut receiver)) = arrow::open::<Answer, Request>(stream) else {
        return;
    };
    shared.commands.set(shared.commands.get() + 1);
    while let Some(heard) = receiver.hear().await {
        let (answer, tail) = ask(&shared, heard.head)
            .await
            .unwrap_or((Answer::Unavailable, Vec::new()));
        if sender.say(&answer, &tail, None).is_err() {
            break;
        }
    }
    shared.commands.set(shared.commands.get() - 1);
}

async fn ask(shared: &Shared, request: Request) -> Option<(Answer, Vec<u8>)> {
    let queue = shared.queue.borrow().clone()?;
    let token = shared.tokens.get() + 1;
    shared.tokens.set(token);
    let (answer, answered) = oneshot::channel();
    shared.asked.borrow_mut().insert(token, answer);
    queue.say(&(token, request), &[], None).ok()?;
    let answered = tokio::time::timeout(ANSWER_WAIT, answered).await;
    shared.asked.borrow_mut().remove(&token);
    answered.ok()?.ok()
}
