//! Births: what is due is started, then all are given what joins them: arrows, keys, ways into the log, files, listeners.
//!
//! A service that serves outlives a machine that is short of processes or descriptors: who cannot be started, or not be
//! given all that it needs, is tried again after a pause. One that never served says so and ends.

use super::{Happened, Process, Supervisor, words};
use crate::confine::{Layer, Reach};
use crate::drive::birth::Birth;
use crate::event::{self, Event};
use crate::ipc::spawn::{Arrow, Role, Share, Source, ToRole};
use crate::seal::Key;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use sys::socket::Kind;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

impl Supervisor {
    /// Starts what is due, then gives each arrow of a role that was started its two ends. An error ends the service.
    pub(super) fn start_due(&mut self) -> io::Result<()> {
        let mut born = BTreeSet::new();
        for role in Role::ALL {
            let is_due = |p: &Process| p.child.is_none() && p.start_at <= Instant::now();
            if !self.processes.get(&role).is_some_and(is_due) {
                continue;
            }
            match self.start(role) {
                Ok(()) => {
                    born.insert(role);
                }
                Err(error) => self.put_off(role, &error)?,
            }
        }
        if let Err(error) = self.join_all(&born) {
            // What was joined by halves is ended. Its peers see that, and are joined with the next.
            for role in born {
                self.end(role);
            }
            if !self.announced {
                return Err(error);
            }
            event::say(&Event::Trouble {
                place: "birth",
                cause: error.to_string(),
            });
            return Ok(());
        }
        for role in born {
            self.give_secrets(role);
            self.give_listeners(role);
            self.tell(role, &ToRole::Begin, None);
        }
        Ok(())
    }

    /// Starts a role and tells it who it is.
    fn start(&mut self, role: Role) -> io::Result<()> {
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
        let birth = Rc::new(Birth::new(ours)?);
        let child = self.nursery.start(role, &theirs)?;
        let (pid, now) = (child.id(), self.now());
        event::say(&Event::RoleStarted {
            process: role.name(),
            pid,
        });
        let happened: Sender<Happened> = self.happened.clone();
        tokio::task::spawn_local(words::hear(role, pid, Rc::clone(&birth), happened));
        let reach = Reach::of(role, &self.start.config);
        if let Some(process) = self.processes.get_mut(&role) {
            process.began = Instant::now();
            process.restarts += u32::from(process.last_end.is_some());
            process.since = now;
            process.begun = 1;
            process.child = Some((child, birth));
            process.reach = reach;
        }
        self.tell(role, &self.orders(role), None);
        Ok(())
    }

    /// Ends a role at once; it is buried with the next look.
    fn end(&mut self, role: Role) {
        let process = self.processes.get_mut(&role);
        if let Some((child, _)) = process.and_then(|process| process.child.as_mut()) {
            self.nursery.kill(child);
        }
    }

    /// Tries a role again later. Before the service serves, the error ends it.
    fn put_off(&mut self, role: Role, error: &io::Error) -> io::Result<()> {
        if !self.announced {
            return Err(io::Error::new(error.kind(), format!("{role}: {error}")));
        }
        if let Some(process) = self.processes.get_mut(&role) {
            // It did not even live.
            process.began = Instant::now();
            event::say(&Event::RoleDelayed {
                process: role.name(),
                pause_ms: process.rest(),
                cause: error.to_string(),
            });
        }
        Ok(())
    }

    /// Gives roles that were started, and their peers, what joins them.
    fn join_all(&self, born: &BTreeSet<Role>) -> io::Result<()> {
        self.give_keys(born);
        self.give_log_ends(born)?;
        for arrow in Arrow::ALL {
            let (asks, answers) = arrow.ends();
            if born.contains(&asks) || born.contains(&answers) {
                self.join(arrow)?;
            }
        }
        Ok(())
    }

    /// Gives both ends of an arrow; older ends are void.
    pub(super) fn join(&self, arrow: Arrow) -> io::Result<()> {
        let (one, other) = sys::socket::pair(Kind::Stream)?;
        let (asks, answers) = arrow.ends();
        self.tell(asks, &ToRole::Arrow(arrow), Some(&one));
        self.tell(answers, &ToRole::Arrow(arrow), Some(&other));
        Ok(())
    }

    /// Gives two roles that share a key one that nobody else has, when one of them was started: what was vouched for by
    /// an older one is void.
    fn give_keys(&self, born: &BTreeSet<Role>) {
        for share in Share::ALL {
            if share.ends().iter().any(|role| born.contains(role)) {
                let key = Key::new(sys::file::random_octets());
                for role in share.ends() {
                    self.tell(role, &ToRole::Key(share, key.clone()), None);
                }
            }
        }
    }

    /// A role's orders: the configuration, and the walls that it does not go on without: those that stood around it before;
    /// all, where the configuration demands them and the service serves.
    pub(super) fn orders(&self, role: Role) -> ToRole {
        let stood = || {
            self.processes
                .get(&role)
                .map(|process| process.stood.clone())
        };
        let walls = if self.announced && self.start.config.sandbox_required {
            Layer::ALL
                .into_iter()
                .filter(|layer| layer.is_of(role))
                .collect()
        } else {
            stood().unwrap_or_default()
        };
        self.orders_by(self.start.configuration.clone(), walls)
    }

    /// Orders by this text, with walls that whoever has them does not go on without.
    pub(super) fn orders_by(&self, configuration: String, walls: Vec<Layer>) -> ToRole {
        ToRole::Orders {
            configuration,
            path: self.start.path.clone(),
            situation: self.start.situation,
            walls,
        }
    }

    pub(super) fn give_listeners(&self, role: Role) {
        for open in self.listeners.iter().filter(|open| open.role == role) {
            self.tell(role, &ToRole::Listener(open.listener), Some(&open.socket));
        }
    }

    /// Gives each role that was started a way for its events to admin, and all of them when admin was.
    fn give_log_ends(&self, born: &BTreeSet<Role>) -> io::Result<()> {
        let admin = born.contains(&Role::Admin);
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Admin) {
            if admin || born.contains(&role) {
                let (one, other) = sys::socket::pair(Kind::Stream)?;
                self.tell(role, &ToRole::Log(Source::Role(role)), Some(&one));
                self.tell(Role::Admin, &ToRole::Log(Source::Role(role)), Some(&other));
            }
        }
        if admin {
            let (one, other) = sys::socket::pair(Kind::Stream)?;
            self.tell(Role::Admin, &ToRole::Log(Source::Supervisor), Some(&other));
            event::keep_through(one);
        }
        Ok(())
    }
}
