//! Couriers: processes that deliver as a user of the machine. local calls for one by the user's name; launch looks him up,
//! and a process that is he for good is started, sealed as local is, with his Maildirs in reach and nothing else. It is
//! joined with local by an arrow, and ends when local lets go of it.

use super::{Happened, Nursery, Supervisor, nursery::Born};
use crate::confine::accounts::Unfit;
use crate::drive::birth::Birth;
use crate::event::{self, Event};
use crate::ipc::launch::{COURIERS_MAX, Name};
use crate::ipc::spawn::{Arrow, FromRole, Role, ToRole};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use sys::socket::Kind;
use tokio::time::Instant;

/// What couriers are called in the log.
const PROCESS: &str = "courier";

/// How long a courier that local has let go of may take to end.
const END_WAIT: Duration = Duration::from_secs(5);
/// How long a courier may live: local hands it nothing after half of that. One that lives on was stopped by its user.
const LIFE_MAX: Duration = Duration::from_mins(10);
/// Calls that launch has at the same time. Looking a user up may take seconds, and roles are started between.
const CALLS_MAX: usize = 2;
/// Calls that wait for that. local has fewer.
const WAITING_MAX: usize = 64;

/// A call of local.
struct Call {
    /// The local that called.
    caller: u32,
    token: u64,
    name: Name,
}

/// One that was called for.
struct Courier {
    call: Call,
    birth: Rc<Birth>,
    /// When it is ended.
    ends_by: Instant,
    /// Its process, as soon as it is known.
    born: Option<Born>,
}

/// All of them.
#[derive(Default)]
pub struct Couriers {
    /// By their places.
    all: BTreeMap<u8, Courier>,
    waiting: VecDeque<Call>,
}

impl Supervisor {
    /// local calls for a courier.
    pub(super) fn call(&mut self, caller: u32, token: u64, user: &str) {
        let refused = match Name::new(user) {
            None => Unfit::Unknown,
            Some(_) if self.couriers.waiting.len() >= WAITING_MAX => Unfit::Busy,
            Some(name) => {
                let call = Call {
                    caller,
                    token,
                    name,
                };
                self.couriers.waiting.push_back(call);
                return;
            }
        };
        self.refuse_courier(caller, token, refused);
    }

    /// local needs the process that came of its call no more. One that does not end by itself was stopped by its user; it must
    /// not take a place that others need.
    pub(super) fn let_go(&mut self, caller: u32, token: u64) {
        let mut all = self.couriers.all.values_mut();
        let of_call = |one: &&mut Courier| one.call.caller == caller && one.call.token == token;
        if let Some(courier) = all.find(of_call) {
            courier.ends_by = courier.ends_by.min(Instant::now() + END_WAIT);
        }
    }

    /// When the next is to be ended.
    pub(super) fn next_end_of_couriers(&self) -> Option<Instant> {
        // One that is not there yet is told of by launch.
        let born = self.couriers.all.values().filter(|one| one.born.is_some());
        born.map(|courier| courier.ends_by).min()
    }

    /// Takes up calls as long as there are places, and launch is not busy with too many.
    fn take_calls(&mut self) {
        loop {
            let couriers = &mut self.couriers;
            let asked = couriers.all.values().filter(|one| one.born.is_none());
            let place = (0..COURIERS_MAX).find(|place| !couriers.all.contains_key(place));
            let Some(place) = place.filter(|_| asked.count() < CALLS_MAX) else {
                return;
            };
            let Some(call) = couriers.waiting.pop_front() else {
                return;
            };
            let (caller, token) = (call.caller, call.token);
            if let Err(why) = self.start_courier(place, call) {
                self.refuse_courier(caller, token, why);
            }
        }
    }

    fn start_courier(&mut self, place: u8, call: Call) -> Result<(), Unfit> {
        let pair = sys::socket::pair(Kind::SeqPacket);
        let birth = pair.and_then(|(ours, theirs)| Ok((Rc::new(Birth::new(ours)?), theirs)));
        let (birth, theirs) = birth.map_err(|_| Unfit::NotStarted)?;
        let born = self.nursery.call(place, call.name, &theirs)?;
        let courier = Courier {
            call,
            birth,
            ends_by: Instant::now() + LIFE_MAX,
            born: None,
        };
        self.couriers.all.insert(place, courier);
        if let Some(born) = born {
            self.join_courier(place, born);
        }
        Ok(())
    }

    /// Takes note of what became of calls, and of couriers that have ended.
    pub(super) fn look_after_couriers(&mut self) -> io::Result<()> {
        for (place, called) in self.nursery.called()? {
            match called {
                Ok(born) => self.join_courier(place, born),
                Err(why) => {
                    if let Some(courier) = self.couriers.all.remove(&place) {
                        self.refuse_courier(courier.call.caller, courier.call.token, why);
                    }
                }
            }
        }
        let mut ended = Vec::new();
        for (place, courier) in &mut self.couriers.all {
            let Some(born) = &mut courier.born else {
                continue;
            };
            if let Some(status) = self.nursery.try_wait(born)? {
                if !status.success() {
                    event::say(&Event::RoleEnded {
                        process: PROCESS,
                        pid: born.id(),
                        cause: status.to_string(),
                        pause_ms: 0,
                    });
                }
                ended.push(*place);
            } else if Instant::now() >= courier.ends_by {
                self.nursery.kill(born);
                // And again where it was in vain.
                courier.ends_by = Instant::now() + LIFE_MAX;
            }
        }
        for place in ended {
            self.couriers.all.remove(&place);
        }
        self.take_calls();
        Ok(())
    }

    /// Tells a courier who it is, and gives it and local the ends of their arrow.
    fn join_courier(&mut self, place: u8, mut born: Born) {
        let caller = self.pid_of(Role::Local);
        let Some(courier) = self.couriers.all.get(&place) else {
            // Nobody called: launch alone could say so.
            return self.nursery.kill(&mut born);
        };
        let (called_by, token) = (courier.call.caller, courier.call.token);
        let (birth, pid) = (Rc::clone(&courier.birth), born.id());
        let walls = self.processes.get(&Role::Local);
        // Sealed as local is, or not at all.
        let walls = walls.map_or_else(Vec::new, |local| local.stood.clone());
        let orders = self.orders_by(self.start.configuration.clone(), walls);
        let arrow = ToRole::Arrow(Arrow::DeliverLocal);
        let joined = sys::socket::pair(Kind::Stream).and_then(|(one, other)| {
            birth.order(&orders, None)?;
            birth.order(&arrow, Some(&one))?;
            birth.order(&ToRole::Begin, None)?;
            Ok(other)
        });
        event::say(&Event::CourierStarted { pid });
        match joined {
            // The local that called may have died since.
            Ok(end) if caller == Some(called_by) => {
                self.grant_courier(token, &end);
                tokio::task::spawn_local(hear(pid, birth, self.happened.clone()));
            }
            _ => self.nursery.kill(&mut born),
        }
        if let Some(courier) = self.couriers.all.get_mut(&place) {
            courier.born = Some(born);
        }
    }

    fn grant_courier(&self, token: u64, end: &OwnedFd) {
        let granted = ToRole::Courier {
            token,
            refused: None,
        };
        self.tell(Role::Local, &granted, Some(end));
    }

    fn refuse_courier(&self, caller: u32, token: u64, why: Unfit) {
        if self.pid_of(Role::Local) == Some(caller) {
            let refused = Some(why.words().to_owned());
            self.tell(Role::Local, &ToRole::Courier { token, refused }, None);
        }
    }

    /// Takes note of what a courier said; one whose walls are not those that were demanded ends itself.
    pub(super) fn courier_said(pid: u32, said: &FromRole) {
        match said {
            FromRole::Trapped(number) => {
                let syscall = u32::from_le_bytes(*number);
                event::say(&Event::RoleTrapped {
                    process: PROCESS,
                    pid,
                    syscall,
                    name: sys::sandbox::name_of(syscall).unwrap_or("unknown"),
                });
            }
            FromRole::Confined { missing, .. } => {
                for missing in missing {
                    event::say(&Event::RoleUnconfined {
                        process: PROCESS,
                        pid,
                        layer: missing.layer.name(),
                        cause: missing.cause.clone(),
                    });
                }
            }
            _ => {}
        }
    }

    /// Ends those that are still there.
    pub(super) fn end_couriers(&mut self) {
        for courier in self.couriers.all.values_mut() {
            if let Some(born) = &mut courier.born {
                Nursery::kill(&mut self.nursery, born);
            }
        }
    }
}

/// Hears a courier: whatever it says is for the log, and once.
async fn hear(pid: u32, birth: Rc<Birth>, happened: tokio::sync::mpsc::Sender<Happened>) {
    let (mut confined, mut trapped) = (false, false);
    while let Ok(Some(said)) = birth.report().await {
        let new = match said {
            FromRole::Confined { .. } => !std::mem::replace(&mut confined, true),
            FromRole::Trapped(_) => !std::mem::replace(&mut trapped, true),
            _ => false,
        };
        if new
            && happened
                .send(Happened::CourierSaid(pid, said))
                .await
                .is_err()
        {
            return;
        }
    }
}
