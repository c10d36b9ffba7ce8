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
use crate::ipc::judge::{Judged, Question};
use crate::ipc::spawn::{Arrow, FromRole, Listener, ToRole};
use crate::seal::{Seal, Sealed, Sealer};
use mail::Recipient;
use policy::{Client, Policy};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// What the arrows share.
struct Shared {
    policy: RefCell<Policy>,
    recipients_max: RefCell<usize>,
    sealer: RefCell<Option<Sealer>>,
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
            (ToRole::Key(key), None, Some(shared)) => {
                shared.sealer.replace(Some(Sealer::new(&key)));
            }
            (ToRole::Arrow(Arrow::Judge), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                tokio::task::spawn_local(answer(Rc::clone(shared), sender, receiver));
            }
            (ToRole::Log(_), Some(fd), _) => event::keep_through(fd),
            (ToRole::Begin, None, Some(_)) => birth.tell(&FromRole::Ready),
            (ToRole::Stop, ..) => break,
            _ => return Err(io::Error::other("an order that policy cannot have")),
        }
    }
    Ok(())
}

async fn answer(shared: Rc<Shared>, sender: Sender<Judged>, mut receiver: Receiver<Question>) {
    while let Some(heard) = receiver.hear().await {
        let judged = Judged {
            token: heard.head.token,
            sealed: shared.judge(&heard.head),
        };
        if sender.say(&judged, &[], None).is_err() {
            // The aliases led to more than a record holds: the transaction cannot be.
            let judged = Judged {
                sealed: None,
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
        }
    }

    fn reconfigure(&self, config: Config) {
        self.recipients_max.replace(config.limits.recipients);
        self.policy.replace(Policy::new(config.policy));
    }

    /// Whom the transaction is for, sealed; nothing where it may not be.
    fn judge(&self, question: &Question) -> Option<(Vec<Recipient>, Seal)> {
        let listener = match question.listener {
            Listener::Mx => policy::Listener::Mx,
            Listener::Submission => policy::Listener::Submission,
            Listener::Control => return None,
        };
        let client = Client {
            ip: question.peer,
            listener,
        };
        let Question {
            reverse_path,
            forward_paths,
            ..
        } = question;
        if forward_paths.is_empty() || forward_paths.len() > *self.recipients_max.borrow() {
            return None;
        }
        let policy = self.policy.borrow();
        match policy.transaction(client, reverse_path, forward_paths) {
            Ok(recipients) => {
                let seal = self.sealer.borrow_mut().as_mut()?.seal(&Sealed {
                    peer: question.peer,
                    reverse_path,
                    recipients: &recipients,
                });
                Some((recipients, seal))
            }
            Err(refused) => {
                event::say(&Event::TransactionRefused {
                    peer_ip: question.peer.to_string(),
                    rule: refused.rule.name,
                    reverse_path: reverse_path.to_string(),
                    forward_path: refused.forward_path.to_string(),
                });
                None
            }
        }
    }
}
