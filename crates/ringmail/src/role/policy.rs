//! policy: says whether a transaction may be, and seals it.
//!
//! Trusts nobody: what smtpd says of a transaction is judged here once more, by the same brain and by orders of its
//! own. May touch its arrows and nothing else; it sees no content. If it is taken over, mail is relayed for anybody.
//!
//! What smtpd can say in its own turn (who is known, who may relay) it says at once. Here is the word that counts:
//! queue keeps nothing that does not bear the seal. Tables and other things that must be waited for come here too.

use crate::config::Config;
use crate::drive::arrow::{self, Receiver, Sender};
use crate::drive::birth::Birth;
use crate::event::{self, Event};
use crate::ipc::judge::{Judged, Question, Verdict};
use crate::ipc::spawn::{Arrow, FromRole, Share, ToRole};
use crate::seal::{Sealed, Sealer};
use crate::ticket::{LoggedIn, Ticket, Tickets};
use mail::Mailbox;
use policy::{Client, Listener, Policy};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// What the arrows share.
struct Shared {
    policy: RefCell<Policy>,
    recipients_max: RefCell<usize>,
    sealer: RefCell<Option<Sealer>>,
    tickets: RefCell<Option<Tickets>>,
}

/// At which door those are who an arrow asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Mx,
    Submission,
}

/// The role's story: orders, a key and arrows in; then answers until it is told to stop.
pub async fn run(birth: Birth) -> io::Result<()> {
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
                    Some(shared) => shared.reconfigure(config),
                    None => shared = Some(Rc::new(Shared::new(config))),
                }
            }
            (ToRole::Key(Share::Transactions, key), None, Some(shared)) => {
                shared.sealer.replace(Some(Sealer::new(&key)));
            }
            (ToRole::Key(Share::Tickets, key), None, Some(shared)) => {
                shared.tickets.replace(Some(Tickets::new(&key)));
            }
            (ToRole::Arrow(Arrow::Judge), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                tokio::task::spawn_local(answer(Rc::clone(shared), Door::Mx, sender, receiver));
            }
            (ToRole::Arrow(Arrow::JudgeSubmitted), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                let answers = answer(Rc::clone(shared), Door::Submission, sender, receiver);
                tokio::task::spawn_local(answers);
            }
            (ToRole::Log(_), Some(fd), _) => event::keep_through(fd),
            (ToRole::Begin, None, Some(_)) => birth.tell(&FromRole::Ready),
            (ToRole::Stop, ..) => break,
            _ => return Err(io::Error::other("an order that policy cannot have")),
        }
    }
    Ok(())
}

async fn answer(
    shared: Rc<Shared>,
    door: Door,
    sender: Sender<Judged>,
    mut receiver: Receiver<Question>,
) {
    while let Some(heard) = receiver.hear().await {
        let judged = Judged {
            token: heard.head.token,
            verdict: shared.judge(door, &heard.head),
        };
        if sender.say(&judged, &[], None).is_err() {
            // The aliases led to more than a record holds: the transaction cannot be.
            let judged = Judged {
                verdict: Verdict::Refused,
                ..judged
            };
            let _ = sender.say(&judged, &[], None);
        }
        sender.room().await;
    }
}

impl Shared {
    fn new(config: Config) -> Self {
        Self {
            recipients_max: RefCell::new(config.limits.recipients),
            policy: RefCell::new(Policy::new(config.policy)),
            sealer: RefCell::new(None),
            tickets: RefCell::new(None),
        }
    }

    fn reconfigure(&self, config: Config) {
        self.recipients_max.replace(config.limits.recipients);
        self.policy.replace(Policy::new(config.policy));
    }

    /// Whether auth vouched for this login.
    fn knows(&self, question: &Question, login: &Mailbox, ticket: &Ticket) -> bool {
        let logged_in = LoggedIn {
            session: question.session,
            peer: question.peer,
            login,
        };
        let tickets = self.tickets.borrow();
        tickets
            .as_ref()
            .is_some_and(|tickets| tickets.knows(ticket, &logged_in))
    }

    /// Whom the transaction is for, sealed, where it may be.
    fn judge(&self, door: Door, question: &Question) -> Verdict {
        let Question {
            peer,
            login,
            reverse_path,
            forward_paths,
            ..
        } = question;
        let login = login.as_deref();
        let listener = match (door, login) {
            // Nobody is logged in there: who says so is not the program that was started.
            (Door::Mx, Some(_)) => return Verdict::Refused,
            (Door::Mx, None) => Listener::Mx,
            (Door::Submission, Some((login, ticket))) if !self.knows(question, login, ticket) => {
                return Verdict::UnknownTicket;
            }
            (Door::Submission, login) => Listener::Submission(login.map(|(login, _)| login)),
        };
        let client = Client {
            ip: *peer,
            listener,
        };
        if forward_paths.is_empty() || forward_paths.len() > *self.recipients_max.borrow() {
            return Verdict::Refused;
        }
        let policy = self.policy.borrow();
        match policy.transaction(client, reverse_path, forward_paths) {
            Ok(recipients) => {
                let mut sealer = self.sealer.borrow_mut();
                let Some(sealer) = sealer.as_mut() else {
                    return Verdict::Refused;
                };
                let seal = sealer.seal(&Sealed {
                    peer: *peer,
                    login: login.map(|(login, _)| login),
                    reverse_path,
                    recipients: &recipients,
                });
                Verdict::Sealed(recipients, seal)
            }
            Err(refused) => {
                event::say(&Event::TransactionRefused {
                    peer_ip: peer.to_string(),
                    rule: refused.rule.name,
                    reverse_path: reverse_path.to_string(),
                    forward_path: refused.forward_path.to_string(),
                });
                Verdict::Refused
            }
        }
    }
}
