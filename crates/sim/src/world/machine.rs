//! The machine: its roles as sets of tasks that can be killed each, its arrows, its disk. It does what a
//! supervisor and a kernel do.

use super::net::{Entrance, Outside};
use super::plant::Plant;
use super::store::{VirtualMailboxes, VirtualStore};
use super::{Ledger, World};
use crate::disk::{SharedDisk, SpoolDisk};
use crate::rng::Rng;
use ringmail::drive::birth::Birth;
use ringmail::drive::clock::Clock;
use ringmail::drive::edge::Network;
use ringmail::drive::maildir::Maildirs;
use ringmail::drive::tls::roots::Roots;
use ringmail::ipc::spawn::{Arrow, Listener, Role, Share, Situation, ToRole};
use ringmail::role;
use ringmail::seal::{KEY_OCTETS, Key};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use sys::socket::Kind;
use tokio::task::LocalSet;

/// The roles that run in a virtual machine; the world itself is admin.
pub const ROLES: [Role; 5] = [
    Role::Queue,
    Role::Policy,
    Role::Local,
    Role::Relay,
    Role::Smtpd,
];

/// A role that runs.
struct Process {
    set: LocalSet,
    birth: Birth,
    ended: Rc<RefCell<Option<io::Result<()>>>>,
}

/// The machine, switched on or off.
pub struct Machine {
    configuration: String,
    disk: SharedDisk,
    spool_disk: SpoolDisk,
    entrance: Entrance,
    outside: Rc<Outside>,
    ledger: Ledger,
    plant: Option<Plant>,
    clock: Clock,
    rng: Rng,
    processes: BTreeMap<Role, Process>,
    control: Rc<RefCell<Option<OwnedFd>>>,
    stopping: bool,
}

impl Machine {
    /// One that is switched off, with an empty disk.
    pub fn new(world: &World, configuration: String, mut rng: Rng) -> Self {
        let spool_disk = SpoolDisk::new(world.disk.clone());
        Self {
            configuration,
            disk: world.disk.clone(),
            spool_disk,
            entrance: world.entrance.clone(),
            outside: Rc::clone(&world.outside),
            ledger: world.ledger.clone(),
            plant: world.plant,
            clock: Clock::start_at(super::WALL_MICROS),
            rng: rng.fork(),
            processes: BTreeMap::new(),
            control: Rc::clone(&world.control),
            stopping: false,
        }
    }

    /// Starts every role that does not run, and gives each arrow that lost an end two new ones.
    pub fn start(&mut self) {
        self.stopping = false;
        let missing: BTreeSet<Role> = ROLES
            .into_iter()
            .filter(|role| !self.processes.contains_key(role))
            .collect();
        if missing.contains(&Role::Queue) {
            self.disk.borrow().mend();
        }
        for role in &missing {
            // A machine without descriptors is not what is simulated here.
            let process = self.spawn(*role).expect("a process");
            self.processes.insert(*role, process);
        }
        if missing.contains(&Role::Policy) || missing.contains(&Role::Queue) {
            let mut octets = [0; KEY_OCTETS];
            octets.fill_with(|| u8::try_from(self.rng.below(256)).unwrap_or(0));
            for role in Share::Transactions.ends() {
                self.tell(
                    role,
                    &ToRole::Key(Share::Transactions, Key::new(octets)),
                    None,
                );
            }
        }
        for arrow in Arrow::ALL {
            let (asks, answers) = arrow.ends();
            // There is no TLS in this world: what clients and servers say is to be seen.
            let is_new = missing.contains(&asks) || missing.contains(&answers);
            if !is_new || answers == Role::Keys || asks == Role::Submission {
                continue;
            }
            let (one, other) = sys::socket::pair(Kind::Stream).expect("a pair");
            self.tell(answers, &ToRole::Arrow(arrow), Some(&other));
            if asks == Role::Admin {
                *self.control.borrow_mut() = Some(one);
            } else {
                self.tell(asks, &ToRole::Arrow(arrow), Some(&one));
            }
        }
        for role in missing {
            if role == Role::Smtpd {
                let (listener, _) = sys::socket::pair(Kind::Stream).expect("a pair");
                self.tell(role, &ToRole::Listener(Listener::Mx), Some(&listener));
            }
            self.tell(role, &ToRole::Begin, None);
        }
    }

    fn spawn(&mut self, role: Role) -> io::Result<Process> {
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
        let (set, ended) = (LocalSet::new(), Rc::new(RefCell::new(None)));
        let (end, clock, birth) = (Rc::clone(&ended), self.clock, Birth::new(theirs)?);
        match role {
            Role::Queue => {
                let store = VirtualStore {
                    disk: self.spool_disk.clone(),
                    plant: self.plant,
                    ledger: self.ledger.clone(),
                    clock,
                    rng: RefCell::new(self.rng.fork()),
                };
                set.spawn_local(async move {
                    *end.borrow_mut() = Some(role::queue::run(birth, clock, &store).await);
                });
            }
            Role::Local => {
                let mailboxes = Rc::new(VirtualMailboxes {
                    maildirs: Rc::new(Maildirs::new(self.disk.clone())),
                    outside: Rc::clone(&self.outside),
                });
                set.spawn_local(async move {
                    *end.borrow_mut() = Some(role::local::run(birth, clock, mailboxes).await);
                });
            }
            Role::Policy => {
                set.spawn_local(async move {
                    *end.borrow_mut() = Some(role::policy::run(birth).await);
                });
            }
            Role::Relay => {
                let outside = Rc::clone(&self.outside);
                let network = move |_: &_| Ok(Rc::clone(&outside) as Rc<dyn Network>);
                set.spawn_local(async move {
                    *end.borrow_mut() =
                        Some(role::relay::run(birth, clock, network, &Roots::default()).await);
                });
            }
            Role::Smtpd => {
                let doors = self.entrance.clone();
                set.spawn_local(async move {
                    *end.borrow_mut() = Some(role::smtpd::run(role, birth, clock, &doors).await);
                });
            }
            Role::Admin | Role::Auth | Role::Keys | Role::Submission => {}
        }
        let process = Process {
            set,
            birth: Birth::new(ours)?,
            ended,
        };
        let orders = ToRole::Orders {
            configuration: self.configuration.clone(),
            path: "/ringmail.toml".into(),
            situation: Situation::Run,
            walls: Vec::new(),
        };
        process.birth.order(&orders, None)?;
        Ok(process)
    }

    fn tell(&self, role: Role, record: &ToRole, fd: Option<&OwnedFd>) {
        if let Some(process) = self.processes.get(&role) {
            // One that ended meanwhile is started again.
            let _ = process.birth.order(record, fd);
        }
    }

    /// Ends a role at once. It is started again by the next [`Machine::start`].
    pub fn kill(&mut self, role: Role) {
        if self.processes.remove(&role).is_some() {
            self.ledger.killed();
        }
    }

    /// Asks all roles to end, smtpd first: the others when it has.
    pub fn stop(&mut self) {
        self.ledger.killed();
        self.stopping = true;
        self.tell(Role::Smtpd, &ToRole::Stop, None);
    }

    /// Asks the others, when smtpd is gone.
    fn go_on_stopping(&mut self) {
        if self.stopping && !self.processes.contains_key(&Role::Smtpd) {
            self.stopping = false;
            for role in [Role::Policy, Role::Relay, Role::Local, Role::Queue] {
                self.tell(role, &ToRole::Stop, None);
            }
        }
    }

    /// Cuts the power. The wall's clock may be wrong when it comes back.
    pub fn cut_power(&mut self) {
        self.ledger.killed();
        self.processes.clear();
        self.stopping = false;
        self.spool_disk.flush();
        self.disk.borrow().crash(&mut self.rng);
        self.spool_disk = SpoolDisk::new(self.disk.clone());
        let drift = self.rng.below(120_000_000);
        let now = self.clock.now_micros();
        self.clock = Clock::start_at(if self.rng.coin() {
            now + drift
        } else {
            now - drift
        });
    }

    /// Lets every role go on; takes note of those that ended. True when one did that nobody asked.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        for process in self.processes.values_mut() {
            let _: Poll<()> = Pin::new(&mut process.set).poll(cx);
        }
        let ended: Vec<Role> = self
            .processes
            .iter()
            .filter(|(_, process)| process.ended.borrow().is_some())
            .map(|(role, _)| *role)
            .collect();
        for role in &ended {
            let process = self.processes.remove(role);
            let why = process.and_then(|process| process.ended.borrow_mut().take());
            if let Some(Err(error)) = why {
                ringmail::event::say(&ringmail::event::Event::Trouble {
                    place: "role",
                    cause: format!("{role} ended by itself: {error}"),
                });
                if *role != Role::Queue {
                    self.ledger
                        .wrong(format!("{role} ended by itself: {error}"));
                }
            }
            self.ledger.killed();
        }
        self.go_on_stopping();
        !ended.is_empty()
    }
}
