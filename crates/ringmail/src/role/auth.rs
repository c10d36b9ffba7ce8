//! auth: says whether a name and a password are a user's.
//!
//! Trusts nobody: submission talks to whoever connects. May touch its arrows and nothing else; the file of the hashes is
//! handed to it open. If it is taken over, anybody is logged in as anybody, and the passwords of those who log in can be
//! heard; no mail is in its reach.
//!
//! What it says does not tell an unknown name from a wrong password, and both cost it the same work.

mod checkers;
mod failures;
mod scram;

use crate::drive::arrow::{self, Receiver, Sender};
use crate::drive::birth::Birth;
use crate::drive::password;
use crate::event::paced::Paced;
use crate::event::{self, Event};
use crate::ipc::check::{Checked, Evidence, Found, Question};
use crate::ipc::spawn::{Arrow, FromRole, SecretFile, Share, ToRole};
use crate::passwords::{self, Passwords};
use crate::ticket::{LoggedIn, Ticket, Tickets};
use checkers::Check;
pub use checkers::Checkers;
use failures::{Failures, network};
use mail::Mailbox;
use mail::limits::{LOGIN_LINE_OCTETS, LOGIN_NAME_OCTETS, LOGIN_PASSWORD_OCTETS};
use scram::Nonces;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use zeroize::Zeroizing;

/// Passwords that wait to be looked at: at some 20 ms each and two at once the last of them waits half a second and more,
/// which a client does not take for silence.
const WAITING: usize = 64;
/// Of these from one network: others come in between.
const WAITING_OF_ONE: usize = 8;
/// Of these for networks that somebody was right from before: a flood of guesses from elsewhere leaves them in.
const KEPT: usize = 16;

/// What is known.
struct Auth {
    checkers: Checkers,
    /// Nothing where nobody can log in.
    passwords: RefCell<Option<Arc<Passwords>>>,
    tickets: RefCell<Option<Rc<Tickets>>>,
    failures: RefCell<Failures>,
    nonces: Nonces,
    /// How many wait or are looked at, by network.
    waiting: RefCell<BTreeMap<IpAddr, usize>>,
    refused: Paced,
}

/// Why somebody is not logged in, as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Unknown,
    Disabled,
    NoSecret,
    Wrong,
    Unchallenged,
    TooManyWrong,
    Busy,
    NobodyCan,
}

impl Why {
    const fn words(self) -> &'static str {
        match self {
            Why::Unknown => "no such name",
            Why::Disabled => "the name may not log in",
            Why::NoSecret => "the name has no secret of SCRAM",
            Why::Wrong => "another password",
            Why::Unchallenged => "an answer of SCRAM to no challenge of this session",
            Why::TooManyWrong => {
                "too many were wrong from this network: not told whether this one is"
            }
            Why::Busy => "not looked at: too many wait",
            Why::NobodyCan => "not looked at: there are no passwords, or no policy to tell",
        }
    }
}

/// The role's story: orders, a file, a key and arrows in; then answers until it is told to stop.
pub async fn run(birth: Birth, checkers: Checkers) -> io::Result<()> {
    let auth = Rc::new(Auth::new(checkers));
    let (mut named, mut file, mut has_begun) = (String::new(), None, false);
    while let Some((order, fd)) = birth.orders().await? {
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
                named = format!(
                    "auth.passwords = \"file:{}\"",
                    config.auth.passwords.display()
                );
                file = None;
            }
            (ToRole::File(SecretFile::Passwords), Some(fd)) => file = Some(File::from(fd)),
            (ToRole::Key(Share::Tickets, key), None) => {
                let tickets = Rc::new(Tickets::new(&key));
                auth.tickets.replace(Some(tickets));
            }
            (ToRole::Arrow(Arrow::Check), Some(fd)) => auth.open(fd)?,
            (ToRole::Begin, None) => match auth.load(file.take()) {
                Ok(()) => {
                    has_begun = true;
                    birth.tell(&FromRole::Ready);
                }
                Err(why) => {
                    let cause = format!("{named}: {why}");
                    event::say(&Event::PasswordRefused {
                        cause: cause.clone(),
                    });
                    if !has_begun {
                        birth.tell(&FromRole::Hopeless(cause.clone()));
                        return Err(io::Error::other(cause));
                    }
                    birth.tell(&FromRole::Refuses(cause));
                }
            },
            (ToRole::Log(_), Some(fd)) => event::keep_through(fd),
            (ToRole::Stop, _) => break,
            _ => return Err(io::Error::other("an order that auth cannot have")),
        }
    }
    Ok(())
}

impl Auth {
    fn new(checkers: Checkers) -> Self {
        Self {
            checkers,
            passwords: RefCell::default(),
            tickets: RefCell::default(),
            failures: RefCell::default(),
            nonces: Nonces::new(),
            waiting: RefCell::default(),
            refused: Paced::default(),
        }
    }

    /// Takes the file that came; without one nobody can log in. Where it is of no use what was loaded before stays.
    fn load(&self, file: Option<File>) -> Result<(), String> {
        let passwords = match file {
            Some(file) => Some(Arc::new(password::load_hashes(&file)?)),
            None => None,
        };
        self.passwords.replace(passwords);
        Ok(())
    }

    fn open(self: &Rc<Self>, socket: OwnedFd) -> io::Result<()> {
        let (sender, receiver) = arrow::open(socket)?;
        tokio::task::spawn_local(serve(Rc::clone(self), sender, receiver));
        Ok(())
    }

    /// Whether the password is this user's.
    async fn check(
        &self,
        question: &Question,
        password: Zeroizing<Vec<u8>>,
    ) -> Result<(Mailbox, Ticket), Why> {
        let Question { peer, user, .. } = question;
        let passwords = self.passwords.borrow().clone().ok_or(Why::NobodyCan)?;
        let tickets = self.tickets.borrow().clone().ok_or(Why::NobodyCan)?;
        let places = if self.failures.borrow().knows(*peer) {
            WAITING
        } else {
            WAITING - KEPT
        };
        let _waits = Waits::begin(&self.waiting, network(*peer), places).ok_or(Why::Busy)?;
        let found = self.checkers.check(Check {
            passwords,
            user: user.clone(),
            password,
        });
        let checked = found.await.map_err(|_| Why::Busy)?;
        self.judged(question, checked, &tickets)
    }

    /// What comes of what was looked at, with the guesses from this network counted.
    fn judged(
        &self,
        question: &Question,
        checked: passwords::Checked,
        tickets: &Tickets,
    ) -> Result<(Mailbox, Ticket), Why> {
        let Question {
            session,
            peer,
            user,
            ..
        } = question;
        let (now, mut failures) = (Instant::now(), self.failures.borrow_mut());
        // One name however it is written, here too.
        let user = Mailbox::parse(user).map_or_else(
            |_| mail::folded(user).into_owned(),
            |mailbox| mailbox.folded().to_string(),
        );
        let why = match checked {
            passwords::Checked::Right(login) => Ok(login),
            passwords::Checked::Wrong => Err(Why::Wrong),
            passwords::Checked::Unknown => Err(Why::Unknown),
            passwords::Checked::Disabled => Err(Why::Disabled),
            passwords::Checked::NoSecret => Err(Why::NoSecret),
        };
        let are_too_many = failures.are_too_many(*peer, now);
        let login = match why {
            Ok(_) if !failures.lets_in(*peer, &user, now) => Err(Why::TooManyWrong),
            Ok(login) => Ok(login),
            Err(why) => {
                failures.wrong(*peer, &user, now);
                Err(if are_too_many { Why::TooManyWrong } else { why })
            }
        }?;
        failures.right(*peer, &user, now);
        let ticket = tickets.issue(&LoggedIn {
            session: *session,
            peer: *peer,
            login: &login,
        });
        Ok((login, ticket))
    }

    async fn answer(&self, question: &Question, password: Zeroizing<Vec<u8>>) -> Found {
        let found = match &question.evidence {
            Evidence::Password => {
                let login = self.check(question, password).await;
                login.map(|login| Found::Right(Box::new(login)))
            }
            Evidence::First(bare) => self.challenge(question, bare),
            Evidence::Proof(proof) => self.prove(question, proof),
        };
        self.tell(question, &found);
        found.unwrap_or_else(|why| match why {
            Why::Unknown | Why::Disabled | Why::NoSecret | Why::Wrong => Found::Wrong,
            // Whom an auth of before has challenged may begin again.
            Why::Unchallenged | Why::TooManyWrong | Why::Busy | Why::NobodyCan => Found::Later,
        })
    }

    /// Says to the log what was found.
    fn tell(&self, question: &Question, found: &Result<Found, Why>) {
        let session = mail::QueueId::from_u64(question.session);
        let peer_ip = question.peer.to_string();
        match found {
            Ok(Found::Right(login) | Found::Proved(login, _)) => {
                event::say(&Event::LoginAccepted {
                    session,
                    peer_ip,
                    login: login.0.to_string(),
                });
            }
            Ok(_) => {}
            Err(why) => {
                if let Some(unsaid) = self.refused.take() {
                    event::say(&Event::LoginRefused {
                        session,
                        peer_ip,
                        user: question.user.clone(),
                        cause: why.words(),
                        unsaid,
                    });
                }
            }
        }
    }
}

/// One that waits, until it is dropped.
struct Waits<'a> {
    waiting: &'a RefCell<BTreeMap<IpAddr, usize>>,
    network: IpAddr,
}

impl<'a> Waits<'a> {
    /// One more, if there are fewer than so many.
    fn begin(
        waiting: &'a RefCell<BTreeMap<IpAddr, usize>>,
        network: IpAddr,
        places: usize,
    ) -> Option<Self> {
        let mut counts = waiting.borrow_mut();
        let all: usize = counts.values().sum();
        let count = counts.get(&network).copied().unwrap_or(0);
        if all >= places || count >= WAITING_OF_ONE {
            return None;
        }
        counts.insert(network, count + 1);
        Some(Self { waiting, network })
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiting.borrow_mut();
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// One arrow, to its end. Questions are looked at beside each other.
async fn serve(auth: Rc<Auth>, sender: Sender<Checked>, mut receiver: Receiver<Question>) {
    while let Some(heard) = receiver.hear().await {
        let (question, password) = (heard.head, Zeroizing::new(heard.tail));
        if heard.fd.is_some()
            || password.len() > LOGIN_PASSWORD_OCTETS
            || question.user.len() > LOGIN_NAME_OCTETS
            || question.evidence.octets() > LOGIN_LINE_OCTETS
        {
            return;
        }
        let (auth, answers) = (Rc::clone(&auth), sender.clone());
        tokio::task::spawn_local(async move {
            let token = question.token;
            let found = auth.answer(&question, password).await;
            // Such a record is never too large.
            let _ = answers.say(&Checked { token, found }, &[], None);
        });
        sender.room().await;
    }
}

#[cfg(test)]
mod tests;
