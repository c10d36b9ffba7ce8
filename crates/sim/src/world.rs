//! One world from one seed: a machine, its clients and next hops, and everything that goes wrong; then the
//! comparison of what was said with what came of it.

mod chart;
mod client;
mod hop;
mod ledger;
mod machine;
mod net;
mod plant;
mod store;
mod wire;

pub use ledger::Count;
pub use plant::Plant;

use crate::disk::{LyingDisk, SharedDisk};
use crate::rng::Rng;
use chart::{EXPIRY_HOURS, Place, RECIPIENTS_MAX, SESSIONS_MAX, Variant};
use client::Clients;
use hop::Hops;
use ledger::{Ledger, Left};
use machine::Machine;
use mail::QueueId;
use net::{Entrance, Outside};
use ringmail::drive::arrow;
use ringmail::event::Event;
use ringmail::ipc::control::{Answer, Deed, Filter, Request};
use ringmail::ipc::spawn::Role;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::LocalSet;

/// The wall's time when a world begins.
const WALL_MICROS: u64 = 1_800_000_000_000_000;
/// How long things go wrong on the machine.
const CHAOS: Duration = Duration::from_mins(40);
/// How long peers misbehave.
const TROUBLE: Duration = Duration::from_hours(5);
/// When everything must be at rest: a message expires, and so does the report on it.
const END: Duration = Duration::from_hours(3 * EXPIRY_HOURS);
/// Octets that the machine's disk takes.
const ROOM: u64 = 1 << 32;
/// Lines of the log that are kept for a failure.
const LINES_MAX: usize = 20_000;

/// What the parts of a world share.
struct World {
    disk: SharedDisk,
    entrance: Entrance,
    outside: Rc<Outside>,
    ledger: Ledger,
    plant: Option<Plant>,
    quiet: Rc<Cell<bool>>,
    /// The world's end of the control arrow, when there is a new one.
    control: Rc<RefCell<Option<OwnedFd>>>,
    deeds: Rc<RefCell<Vec<Happening>>>,
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Kill(Role),
    /// After so many turns of the event loop, so that it comes between any two.
    KillSoon(Role, u64),
    PowerCut,
    /// With one of the next calls of the disk.
    PowerCutAtCall(u64),
    CallFails(u64, ErrorKind),
    DiskFull,
    DiskFreed,
    Stop,
    Start,
}

/// Runs the world of this seed to its end.
pub fn run(seed: u64, plant: Option<Plant>) -> Result<Count, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    let log: Rc<RefCell<Log>> = Rc::default();
    let ear = Rc::clone(&log);
    ringmail::event::hear(Some(Box::new(move |event| ear.borrow_mut().hear(event))));
    let result = runtime.block_on(live(seed, plant));
    ringmail::event::hear(None);
    let log = log.borrow();
    let told = |wrong: &str| Err(format!("seed {seed}: {wrong}\n{}", log.lines.join("\n")));
    match (result, &log.wrong) {
        (Err(wrong), _) => told(&wrong),
        (Ok(_), Some(wrong)) => told(wrong),
        (Ok(count), None) => Ok(count),
    }
}

/// What the roles say of themselves.
#[derive(Default)]
struct Log {
    /// With `SIM_LOG` in the environment, for a failure.
    lines: Vec<String>,
    /// Something that must not be said on a disk that keeps what it was given.
    wrong: Option<String>,
}

impl Log {
    fn hear(&mut self, event: &Event<'_>) {
        let line = || ringmail::event::line(event);
        let wrong = match event {
            Event::SpoolFailed { cause } => cause.contains("cannot be read"),
            Event::ArrowMisbehaved { .. } => true,
            _ => false,
        };
        if wrong {
            self.wrong.get_or_insert_with(line);
        }
        if std::env::var_os("SIM_LOG").is_some() && self.lines.len() < LINES_MAX {
            self.lines.push(line());
        }
    }
}

async fn live(seed: u64, plant: Option<Plant>) -> Result<Count, String> {
    let mut rng = Rng::new(seed ^ 0x5EED);
    let mut disk = LyingDisk::new(rng.draw(), ROOM);
    disk.lie(plant.map(Plant::lies).unwrap_or_default());
    let (hops, mut hop_comes) = unbounded_channel();
    let quiet = Rc::new(Cell::new(false));
    let ledger = Ledger::new();
    let outside = Rc::new(Outside {
        rng: RefCell::new(rng.fork()),
        hops,
        quiet: Rc::clone(&quiet),
        ledger: ledger.clone(),
    });
    let world = Rc::new(World {
        disk: SharedDisk::new(disk),
        entrance: Entrance::default(),
        outside,
        ledger,
        plant,
        quiet: Rc::clone(&quiet),
        control: Rc::default(),
        deeds: Rc::default(),
    });
    let mut variant = Variant {
        smart_host: rng.one_in(4),
        relay_from: "\"10.0.0.0/8\"",
        recipients: RECIPIENTS_MAX,
        sessions: SESSIONS_MAX,
        delay_notice: rng.one_in(3),
    };
    world.ledger.expect_delays(variant.delay_notice);
    if let Some(plant) = plant {
        plant.spoil_variant(&mut variant);
    }
    let mut machine = Machine::new(&world, chart::configuration(variant), rng.fork());
    machine.start();
    let mut beyond = LocalSet::new();
    let all_hops = Hops {
        ledger: world.ledger.clone(),
        quiet: Rc::clone(&quiet),
        open: Rc::default(),
    };
    beyond.spawn_local(async move {
        while let Some(hop) = hop_comes.recv().await {
            tokio::task::spawn_local(hop::serve(all_hops.clone(), hop));
        }
    });
    spawn_clients(&beyond, &world, &mut rng);
    beyond.spawn_local(chaos(Rc::clone(&world), rng.fork()));
    let mut end = beyond.spawn_local(settle(Rc::clone(&world)));
    let mut soon: Vec<(Role, u64)> = Vec::new();
    let left = poll_fn(|cx| {
        let deeds = std::mem::take(&mut *world.deeds.borrow_mut());
        for deed in deeds {
            happen(deed, &mut machine, &world, &mut soon);
        }
        if machine.poll(cx) {
            // A role that ended is started again after a while, as a supervisor would.
            let deeds = Rc::clone(&world.deeds);
            beyond.spawn_local(later(deeds, Happening::Start, Duration::from_millis(300)));
        }
        if world.disk.borrow().is_cut() {
            machine.cut_power();
            let deeds = Rc::clone(&world.deeds);
            beyond.spawn_local(later(deeds, Happening::Start, Duration::from_secs(3)));
        }
        soon.retain_mut(|(role, turns)| {
            *turns = turns.saturating_sub(1);
            if *turns == 0 {
                machine.kill(*role);
                let deeds = Rc::clone(&world.deeds);
                beyond.spawn_local(later(deeds, Happening::Start, Duration::from_millis(300)));
            }
            *turns > 0
        });
        let _: Poll<()> = Pin::new(&mut beyond).poll(cx);
        if !world.deeds.borrow().is_empty() {
            cx.waker().wake_by_ref();
        }
        if world.ledger.is_wrong() {
            return Poll::Ready(None);
        }
        Pin::new(&mut end).poll(cx).map(Result::ok)
    })
    .await
    .unwrap_or_default();
    read_mailboxes(&world);
    world.ledger.balance(&left)
}

async fn later(deeds: Rc<RefCell<Vec<Happening>>>, deed: Happening, pause: Duration) {
    tokio::time::sleep(pause).await;
    deeds.borrow_mut().push(deed);
}

fn happen(deed: Happening, machine: &mut Machine, world: &World, soon: &mut Vec<(Role, u64)>) {
    let calls = world.disk.borrow().calls();
    match deed {
        Happening::Kill(role) => machine.kill(role),
        Happening::KillSoon(role, turns) => soon.push((role, turns)),
        Happening::PowerCut => machine.cut_power(),
        Happening::PowerCutAtCall(soon) => world.disk.borrow().cut_power_at(calls + soon),
        Happening::CallFails(soon, kind) => {
            world.ledger.killed();
            world.disk.borrow().fail(calls + soon, kind);
        }
        Happening::DiskFull => {
            world.ledger.killed();
            world.disk.borrow().set_room(100_000);
        }
        Happening::DiskFreed => {
            world.ledger.killed();
            world.disk.borrow().set_room(ROOM);
        }
        Happening::Stop => machine.stop(),
        Happening::Start => machine.start(),
    }
}

/// Clients come all through the chaos, some in crowds.
fn spawn_clients(beyond: &LocalSet, world: &World, rng: &mut Rng) {
    let clients = Clients {
        ledger: world.ledger.clone(),
        entrance: world.entrance.clone(),
        quiet: Rc::clone(&world.quiet),
    };
    let crowd = rng.one_in(4);
    let count = if crowd { 40 } else { 4 + rng.below(16) };
    for number in 0..count {
        let longest = u64::try_from(CHAOS.as_millis()).unwrap_or(0);
        let when = rng.below(if crowd { 3000 } else { longest });
        let (clients, rng) = (clients.clone(), rng.fork());
        beyond.spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(when)).await;
            client::visit(clients, number, rng).await;
        });
    }
}

/// Everything that goes wrong on the machine, and the administrator.
async fn chaos(world: Rc<World>, mut rng: Rng) {
    let deed = |deed| world.deeds.borrow_mut().push(deed);
    let roles = machine::ROLES;
    let happenings = rng.below(12);
    for _ in 0..happenings {
        let longest = u64::try_from(CHAOS.as_millis()).unwrap_or(0);
        // Most soon after another, for mail is under way then.
        let pause = if rng.coin() {
            rng.below(2000)
        } else {
            rng.below(longest / 6)
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let back = Duration::from_millis(200 + rng.below(8000));
        match rng.below(12) {
            0 | 1 => deed(Happening::Kill(*rng.pick(&roles))),
            2..=4 => deed(Happening::KillSoon(*rng.pick(&roles), 1 + rng.below(300))),
            5 | 6 => deed(Happening::PowerCut),
            7 => deed(Happening::PowerCutAtCall(rng.below(30))),
            8 => {
                let kind = *rng.pick(&[ErrorKind::Other, ErrorKind::StorageFull]);
                deed(Happening::CallFails(rng.below(20), kind));
            }
            9 => {
                deed(Happening::DiskFull);
                tokio::time::sleep(back * 20).await;
                deed(Happening::DiskFreed);
            }
            10 => deed(Happening::Stop),
            _ => administer(&world, &mut rng).await,
        }
        tokio::time::sleep(back).await;
        deed(Happening::Start);
    }
    // Once more with mail that waits, hours later.
    for _ in 0..rng.below(3) {
        let pause = rng.below(8 * 3600);
        tokio::time::sleep(Duration::from_secs(pause)).await;
        deed(Happening::PowerCut);
        tokio::time::sleep(Duration::from_secs(2)).await;
        deed(Happening::Start);
    }
}

/// The administrator holds, drops, or has tried again.
async fn administer(world: &World, rng: &mut Rng) {
    let messages = list(world).await.unwrap_or_default();
    let Some(chosen) = messages.get(usize::try_from(rng.below(20)).unwrap_or(0)) else {
        return;
    };
    let one = Filter {
        queue_ids: vec![chosen.queue_id],
        ..Filter::default()
    };
    match rng.below(3) {
        0 => drop(ask(world, Request::Do(Deed::Hold, one)).await),
        1 => drop(ask(world, Request::Do(Deed::Retry, Filter::default())).await),
        _ => {
            world.ledger.dropped(chosen.queue_id);
            let _ = ask(world, Request::Do(Deed::Drop, one)).await;
        }
    }
}

/// Asks the queue, as admin does; the answer is `None` when it is not there.
async fn ask(world: &World, request: Request) -> Option<Answer> {
    let fd = world.control.borrow_mut().take()?;
    let again = fd.try_clone().ok()?;
    let (sender, mut receiver) = arrow::open::<(u64, Request), (u64, Answer)>(fd).ok()?;
    sender.say(&(1, request), &[], None).ok()?;
    let heard = tokio::time::timeout(Duration::from_mins(1), receiver.hear()).await;
    if world.control.borrow().is_none() {
        *world.control.borrow_mut() = Some(again);
    }
    Some(heard.ok()??.head.1)
}

async fn list(world: &World) -> Option<Vec<ringmail::ipc::control::Message>> {
    let request = Request::List {
        filter: Filter::default(),
        after: None,
    };
    match ask(world, request).await? {
        Answer::List(messages) => Some(messages),
        _ => None,
    }
}

/// Waits until all is at rest: the queue is empty, but for what is dead or held on purpose.
async fn settle(world: Rc<World>) -> BTreeMap<QueueId, Left> {
    tokio::time::sleep(TROUBLE).await;
    world.quiet.set(true);
    let began = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(Duration::from_mins(30)).await;
        world.deeds.borrow_mut().push(Happening::Start);
        let _ = ask(&world, Request::Do(Deed::Release, Filter::default())).await;
        tokio::time::sleep(Duration::from_mins(5)).await;
        let messages = list(&world).await;
        let at_rest = messages
            .as_ref()
            .is_some_and(|messages| messages.iter().all(|message| message.state == "dead"));
        // Chaos may come back as long as there is any.
        let late = began.elapsed() > Duration::from_hours(20);
        if (at_rest && late) || began.elapsed() > END {
            let messages = messages.unwrap_or_default();
            return messages
                .into_iter()
                .map(|message| {
                    let left = Left {
                        resting: message.state == "dead",
                        waiting: message.recipients,
                    };
                    (message.queue_id, left)
                })
                .collect();
        }
    }
}

/// What lies in the mailboxes is what arrived there.
fn read_mailboxes(world: &World) {
    let mut disk = world.disk.borrow();
    let root = Path::new("/mail/home.test");
    for user in disk.names_in(root).unwrap_or_default() {
        let maildir = root.join(&user);
        let new = maildir.join("new");
        for name in disk.names_in(&new).unwrap_or_default() {
            let content = disk
                .open_file(&new.join(&name))
                .and_then(|file| disk.read_file(file))
                .unwrap_or_default();
            let text = String::from_utf8_lossy(&content).into_owned();
            let reverse_path = text
                .lines()
                .find_map(|line| line.strip_prefix("Return-Path: <")?.strip_suffix('>'))
                .unwrap_or("not said");
            let place = Place::Maildir(maildir.display().to_string());
            world.ledger.arrived(place, reverse_path, &content, true);
        }
    }
    // The disk is not needed any more.
    disk.mend();
}
