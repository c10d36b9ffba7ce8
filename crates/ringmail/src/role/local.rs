//! local: puts mail into Maildirs and hands it over by LMTP, and to couriers that are users of the machine.
//!
//! Trusts queue for what it is asked. May touch the mailbox folders and LMTP sockets that the
//! configuration names. If it is taken over, those mailboxes are; spool, network and keys are not.

mod arrival;
pub mod courier;
mod couriers;

use crate::config::Config;
use crate::drive::birth::Birth;
use crate::drive::client::{Connection, Source, Went};
use crate::drive::clock::Clock;
use crate::drive::edge::Mailboxes;
use crate::drive::maildir::Delivery;
use crate::drive::under_way::UnderWay;
use crate::drive::{arrow, attempts};
use crate::event::{self, Event};
use crate::ipc::deliver::Attempt;
use crate::ipc::spawn::{Arrow, FromRole, Situation, ToRole};
use couriers::Couriers;
use mail::{Cause, Class, Destination, Detail, Ending, Host, LmtpSocket, Mailbox, Outcome, Status};
use smtp::client::{Dialect, Message, Parameters, Security};
use std::borrow::Cow;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an LMTP server may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// What all attempts share.
struct Shared {
    config: Config,
    clock: Clock,
    mailboxes: Rc<dyn Mailboxes>,
    /// `try` says where each message lies.
    say_where: bool,
}

/// The role's story.
pub async fn run(birth: Birth, clock: Clock, mailboxes: Rc<dyn Mailboxes>) -> io::Result<()> {
    let mut shared = None;
    let couriers = Rc::new(Couriers::new(birth.clone()));
    let under_way = Rc::new(UnderWay::default());
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
                None,
            ) => {
                shared = Some(Rc::new(Shared {
                    config: crate::config::of_role(&configuration, &path, situation)?,
                    clock,
                    mailboxes: Rc::clone(&mailboxes),
                    say_where: situation == Situation::Try,
                }));
            }
            // Where mail goes stands in each attempt; the one thing of the configuration that local goes by
            // changes with a restart only.
            (ToRole::Orders { .. }, None, Some(_)) => {}
            (ToRole::Log(_), Some(fd), _) => event::keep_through(fd),
            (ToRole::Arrow(Arrow::DeliverLocal), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                let (shared, couriers) = (Rc::clone(shared), Rc::clone(&couriers));
                let make = move |what, source| {
                    attempt(Rc::clone(&shared), Rc::clone(&couriers), what, source)
                };
                let under_way = Rc::clone(&under_way);
                tokio::task::spawn_local(attempts::serve(sender, receiver, under_way, make));
            }
            (ToRole::Courier { token, refused }, end, Some(_)) => {
                couriers.answered(token, refused, end);
            }
            (ToRole::Begin, None, Some(_)) => birth.tell(&FromRole::Ready),
            (ToRole::Stop, ..) => {
                under_way.finish(attempts::STOP_WAIT).await;
                break;
            }
            _ => return Err(io::Error::other("an order that local cannot have")),
        }
    }
    Ok(())
}

async fn attempt(
    shared: Rc<Shared>,
    couriers: Rc<Couriers>,
    attempt: Attempt,
    source: Source,
) -> (Host, Vec<(u32, Ending)>) {
    match attempt.destination.clone() {
        Destination::Maildir(path) => {
            let outcomes = into_maildir(&shared, attempt, &path, Arc::new(source)).await;
            (Host::default(), outcomes)
        }
        Destination::Home { user, .. } => {
            let outcomes = couriers.deliver(&user, attempt, source).await;
            (Host::default(), outcomes)
        }
        Destination::Lmtp(socket) => by_lmtp(&shared, attempt, &socket, source).await,
        // Not ours to deliver.
        Destination::Mx(_) | Destination::SmartHost(..) => (Host::default(), Vec::new()),
    }
}

async fn into_maildir(
    shared: &Shared,
    attempt: Attempt,
    path: &str,
    source: Arc<Source>,
) -> Vec<(u32, Ending)> {
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
        let (delivered, answer) = oneshot::channel();
        shared.mailboxes.deliver(delivery, delivered);
        waiting.push((*number, answer));
    }
    let mut outcomes = Vec::new();
    for (number, answered) in waiting {
        let Ok(result) = answered.await else { continue };
        outcomes.push((
            number,
            match result {
                Ok(file) => delivered(shared, &file),
                Err(error) => refused_by_disk(path, &error),
            },
        ));
    }
    outcomes
}

/// Same message, same recipient, same name, for ever.
fn file_name(attempt: &Attempt, recipient: u32, hostname: &str) -> String {
    let secs = attempt.queue_id.as_u64() / 1_000_000;
    format!("{secs}.Q{}R{recipient}.{hostname}", attempt.queue_id)
}

fn delivered(shared: &Shared, file: &std::path::Path) -> Ending {
    if shared.say_where {
        arrival::say(file);
    }
    Ending {
        outcome: Outcome::Delivered,
        detail: Detail::new(&file.to_string_lossy()),
        handed_on: false,
    }
}

/// Trouble with the disk is never the message's fault: it is tried again. What it was is for the log only.
fn refused_by_disk(path: &str, error: &io::Error) -> Ending {
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
    deferred(status, text, &format!("{path}: {error}"))
}

fn deferred(status: Status, text: &'static str, detail: &str) -> Ending {
    Ending {
        outcome: Outcome::Deferred(Cause::Ours(status, Cow::Borrowed(text))),
        detail: Detail::new(detail),
        handed_on: false,
    }
}

async fn by_lmtp(
    shared: &Shared,
    attempt: Attempt,
    socket: &LmtpSocket,
    source: Source,
) -> (Host, Vec<(u32, Ending)>) {
    let host = Host {
        name: Detail::new(&socket.to_string()),
        ip: None,
        tls: Detail::default(),
    };
    let (numbers, forward_paths): (Vec<u32>, Vec<Mailbox>) = attempt.recipients.into_iter().unzip();
    let connecting = tokio::time::timeout(CONNECT_WAIT, shared.mailboxes.connect(socket)).await;
    let outcomes = match connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => {
            let parameters = Parameters {
                hostname: (*shared.config.hostname).into(),
                dialect: Dialect::Lmtp,
                security: Security::AsItIs,
                login: false,
            };
            let mut connection = Connection::new(stream, host.clone(), parameters, shared.clock);
            let message = Message {
                reverse_path: attempt.reverse_path,
                forward_paths,
                octets: source.octets(),
                eight_bit: attempt.eight_bit,
                smtputf8: attempt.smtputf8,
                dsn: attempt.dsn,
            };
            let went = connection.deliver(message, &source).await;
            if let Some(converted) = connection.converted() {
                event::say(&Event::ContentConverted {
                    queue_id: attempt.queue_id,
                    peer_ip: String::new(),
                    parts: converted.parts,
                    signed: converted.signed,
                    host: host.name.to_string(),
                });
            }
            tokio::task::spawn_local(connection.quit());
            match went {
                Went::Outcomes(outcomes) => outcomes,
                Went::Unusable(cause) => vec![Outcome::Deferred(cause).into(); numbers.len()],
                // Nobody wants it here.
                Went::Unshaken(error) => {
                    let text = "no TLS came to be with the mailbox server";
                    let status = Status::new(Class::Transient, 7, 5);
                    vec![deferred(status, text, &error.to_string()); numbers.len()]
                }
            }
        }
        Err(error) => {
            let status = Status::new(Class::Transient, 4, 1);
            let text = "the mailbox server cannot be reached";
            let cause = deferred(status, text, &format!("{socket}: {error}"));
            vec![cause; numbers.len()]
        }
    };
    (host, numbers.into_iter().zip(outcomes).collect())
}
