//! local: puts mail into Maildirs and hands it over by LMTP.
//!
//! Trusts queue for what it is asked. May touch the mailbox folders and LMTP sockets that the
//! configuration names. If it is taken over, those mailboxes are; spool, network and keys are not.

use crate::config::Config;
use crate::drive::arrow::{self, Receiver, Sender};
use crate::drive::birth::Birth;
use crate::drive::client::{Connection, Source, SourceContent, Stream, Went};
use crate::drive::maildir::{self, Delivery};
use crate::event::{self, Event};
use crate::ipc::deliver::{Attempt, Ended};
use crate::ipc::spawn::{Arrow, FromRole, Situation, ToRole};
use mail::{Cause, Class, Destination, LmtpSocket, Mailbox, Outcome, Status};
use smtp::client::{Dialect, Message, Parameters};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use sys::clock::Clock;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

/// Threads that write and sync mailbox files.
const SYNC_THREADS: usize = 4;
/// Deliveries that one thread takes together; those into one folder share its sync.
const TOGETHER_MAX: usize = 32;
/// How long an LMTP server may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// A delivery for the threads, and where its answer goes.
type Work = (Delivery, oneshot::Sender<io::Result<PathBuf>>);

/// What all attempts share.
struct Shared {
    config: Config,
    clock: Clock,
    work: mpsc::Sender<Work>,
    /// `try` says where each message lies.
    say_where: bool,
}

/// The role's story.
pub async fn run(birth: Birth) -> io::Result<()> {
    let mut shared = None;
    while let Some((order, fd)) = birth.orders().await? {
        match (order, fd, &shared) {
            (
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                },
                None,
                None,
            ) => {
                shared = Some(Rc::new(Shared {
                    config: crate::config::of_role(&configuration, &path, situation)?,
                    clock: Clock::start(),
                    work: start_threads()?,
                    say_where: situation == Situation::Try,
                }));
            }
            (ToRole::Arrow(Arrow::DeliverLocal), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                tokio::task::spawn_local(serve(Rc::clone(shared), sender, receiver));
            }
            (ToRole::Begin, None, Some(_)) => birth.tell(&FromRole::Ready),
            (ToRole::Stop, ..) => break,
            _ => return Err(io::Error::other("an order that local cannot have")),
        }
    }
    Ok(())
}

/// Starts the threads that wait for the disk, so that the event loop does not.
fn start_threads() -> io::Result<mpsc::Sender<Work>> {
    let (sender, receiver) = mpsc::channel::<Work>();
    let receiver = Arc::new(std::sync::Mutex::new(receiver));
    for number in 0..SYNC_THREADS {
        let receiver = Arc::clone(&receiver);
        std::thread::Builder::new()
            .name(format!("sync {number}"))
            .spawn(move || {
                loop {
                    let (deliveries, answers): (Vec<Delivery>, Vec<_>) = {
                        // A poisoned lock means that another thread panicked: this process ends anyway.
                        let Ok(receiver) = receiver.lock() else {
                            return;
                        };
                        let Ok(first) = receiver.recv() else { return };
                        std::iter::once(first)
                            .chain(receiver.try_iter().take(TOGETHER_MAX - 1))
                            .unzip()
                    };
                    for (answer, result) in answers.into_iter().zip(maildir::deliver(&deliveries)) {
                        // Nobody waits any more when the role stops.
                        let _ = answer.send(result);
                    }
                }
            })?;
    }
    Ok(sender)
}

async fn serve(shared: Rc<Shared>, sender: Sender<Ended>, mut receiver: Receiver<Attempt>) {
    while let Some(heard) = receiver.hear().await {
        let (shared, sender) = (Rc::clone(&shared), sender.clone());
        tokio::task::spawn_local(async move {
            let number = heard.head.attempt;
            let outcomes = attempt(&shared, heard.head, heard.tail, heard.fd.map(File::from)).await;
            if sender
                .say(
                    &Ended {
                        attempt: number,
                        outcomes,
                    },
                    &[],
                    None,
                )
                .is_err()
            {
                // Outcomes too large to say: queue takes those not named as undecided.
                let _ = sender.say(
                    &Ended {
                        attempt: number,
                        outcomes: Vec::new(),
                    },
                    &[],
                    None,
                );
            }
        });
    }
}

async fn attempt(
    shared: &Shared,
    attempt: Attempt,
    tail: Vec<u8>,
    file: Option<File>,
) -> Vec<(u32, Outcome)> {
    let content = match (attempt.body_octets, file) {
        (Some(octets), Some(file)) => SourceContent::File(file, octets),
        (None, _) => SourceContent::Memory(tail),
        // A body was announced and did not come: undecided.
        (Some(_), None) => return Vec::new(),
    };
    let source = Source {
        trace: attempt.trace.clone(),
        content,
    };
    match attempt.destination.clone() {
        Destination::Maildir(path) => into_maildir(shared, attempt, &path, Arc::new(source)).await,
        Destination::Lmtp(socket) => by_lmtp(shared, attempt, &socket, source).await,
        // Not ours to deliver.
        Destination::Mx(_) | Destination::SmartHost(..) => Vec::new(),
    }
}

async fn into_maildir(
    shared: &Shared,
    attempt: Attempt,
    path: &str,
    source: Arc<Source>,
) -> Vec<(u32, Outcome)> {
    let mut waiting = Vec::new();
    for (number, mailbox) in &attempt.recipients {
        let delivery = Delivery {
            maildir: path.into(),
            name: file_name(&attempt, *number, &shared.config.hostname),
            reverse_path: attempt.reverse_path.to_string(),
            forward_path: mailbox.to_string(),
            source: Arc::clone(&source),
            again: attempt.again,
        };
        let (answer, answered) = oneshot::channel();
        if shared.work.send((delivery, answer)).is_ok() {
            waiting.push((*number, answered));
        }
    }
    let mut outcomes = Vec::new();
    for (number, answered) in waiting {
        let Ok(result) = answered.await else { continue };
        outcomes.push((
            number,
            result.map_or_else(|e| refused_by_disk(&e), |file| delivered(shared, &file)),
        ));
    }
    outcomes
}

/// Same message, same recipient, same name, for ever.
fn file_name(attempt: &Attempt, recipient: u32, hostname: &str) -> String {
    let secs = attempt.queue_id.as_u64() / 1_000_000;
    format!("{secs}.Q{}R{recipient}.{hostname}", attempt.queue_id)
}

fn delivered(shared: &Shared, file: &std::path::Path) -> Outcome {
    if shared.say_where {
        crate::cli::try_it::say_arrival(file);
    }
    Outcome::Delivered
}

/// Trouble with the disk is never the message's fault: it is tried again.
fn refused_by_disk(error: &io::Error) -> Outcome {
    event::say(&Event::Trouble {
        place: "maildir",
        cause: error.to_string(),
    });
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let (status, text) = if full {
        (Status::new(Class::Transient, 2, 2), "the mailbox is full")
    } else {
        (
            Status::new(Class::Transient, 3, 0),
            "the mailbox cannot be written now",
        )
    };
    Outcome::Deferred(Cause::Ours(status, Cow::Borrowed(text)))
}

async fn by_lmtp(
    shared: &Shared,
    attempt: Attempt,
    socket: &LmtpSocket,
    source: Source,
) -> Vec<(u32, Outcome)> {
    let (numbers, forward_paths): (Vec<u32>, Vec<Mailbox>) = attempt.recipients.into_iter().unzip();
    let connecting = tokio::time::timeout(CONNECT_WAIT, connect(socket)).await;
    let outcomes = match connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => {
            let parameters = Parameters {
                hostname: (*shared.config.hostname).into(),
                dialect: Dialect::Lmtp,
            };
            let mut connection = Connection::new(stream, parameters, shared.clock);
            let message = Message {
                reverse_path: attempt.reverse_path,
                forward_paths,
                octets: source.octets(),
                eight_bit: attempt.eight_bit,
            };
            let went = connection.deliver(message, &source).await;
            tokio::task::spawn_local(connection.quit());
            match went {
                Went::Outcomes(outcomes) => outcomes,
                Went::Unusable(cause) => vec![Outcome::Deferred(cause); numbers.len()],
            }
        }
        Err(error) => {
            event::say(&Event::Trouble {
                place: "lmtp",
                cause: error.to_string(),
            });
            let status = Status::new(Class::Transient, 4, 1);
            let cause = Cause::Ours(
                status,
                Cow::Borrowed("the mailbox server cannot be reached"),
            );
            vec![Outcome::Deferred(cause); numbers.len()]
        }
    };
    numbers.into_iter().zip(outcomes).collect()
}

async fn connect(socket: &LmtpSocket) -> io::Result<Box<dyn Stream>> {
    Ok(match socket {
        LmtpSocket::Unix(path) => Box::new(UnixStream::connect(&**path).await?),
        LmtpSocket::Tcp(host, port) => Box::new(TcpStream::connect((&**host, *port)).await?),
    })
}
