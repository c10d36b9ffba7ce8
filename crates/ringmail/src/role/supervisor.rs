//! supervisor: reads the configuration, opens the listeners, starts the roles, hands each its ends of the
//! arrows, and starts again what dies. It reads nothing that comes from outside and talks to no network.
//!
//! It takes its orders from its own file and from signals. admin may ask it two things (`ipc::supervise`), and neither
//! question carries anything that it goes by; local may call for a courier by a user's name (`couriers`), whom launch looks
//! up itself.

mod births;
mod confinement;
mod couriers;
mod from_root;
pub mod listeners;
mod notices;
mod nursery;
mod reload;
pub mod root;
pub mod secrets;
mod status;
mod trial;
mod watch;
mod words;

pub use listeners::Open;
pub use nursery::{Launch, Nursery};
pub use watch::WATCH_ROUND;

use crate::config::Config;
use crate::confine::{Layer, Missing, Reach};
use crate::drive::birth::{Birth, CONFIGURATION_OCTETS};
use crate::drive::clock::Clock;
use crate::event::{self, Event};
use crate::ipc::spawn::{FromRole, Role, Situation, ToRole};
use crate::ipc::supervise::{Answered, Question};
use couriers::Couriers;
use from_root::Brings;
use mail::Time;
use notices::Notices;
use nursery::Born;
use reload::{Asker, Reloading};
use secrets::Secret;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;
use sys::sandbox::calls::TRAPPED;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;
use trial::Trial;
use watch::Rounds;

/// Words of roles that wait here. More wait with who says them, and each of them has its turn.
const WORDS_WAITING: usize = 16;
/// The pause before a role that died is started again: this, doubled each time it dies soon.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A role that lived this long had a good life: the next pause is the shortest.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// How long smtpd may take to end in order: content that comes is taken, for a minute at most.
const SESSIONS_STOP_WAIT: Duration = Duration::from_secs(70);
/// How long the others may then, and smtpd when the service was told to stop once more.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// How long admin may take to write down the last events after that.
const ADMIN_STOP_WAIT: Duration = Duration::from_secs(2);

/// How often folders are looked for that a role should see and that were not there.
const ABSENT_LOOK: Duration = Duration::from_secs(2);
/// The longest pause where they are there and the role cannot have them all the same.
const ABSENT_MAX: Duration = Duration::from_mins(5);

/// What the supervisor is started with.
pub struct Start {
    /// As meant.
    pub config: Config,
    /// As written.
    pub configuration: String,
    /// Where it was written.
    pub path: String,
    /// What for.
    pub situation: Situation,
    /// What is said on standard output when all roles serve.
    pub ready: String,
    /// How often roles are asked whether they are awake: [`WATCH_ROUND`], but in tests.
    pub watch_round: Duration,
}

/// A role that runs, or is to be started at a time.
struct Process {
    child: Option<(Born, Rc<Birth>)>,
    began: Instant,
    start_at: Instant,
    pause: Duration,
    /// How often this process was told to begin and has not answered yet.
    begun: u32,
    /// It has answered once.
    served: bool,
    /// Rounds of the watch that it has not answered.
    unanswered: u8,
    /// Since when it is this process, by the wall's time.
    since: Time,
    restarts: u32,
    last_end: Option<String>,
    /// What its walls were raised by.
    reach: Reach,
    /// Layers that stand around it, by its own word.
    stand: Vec<Layer>,
    /// Layers that stood around one before, and have to stand around the next.
    stood: Vec<Layer>,
    /// Layers that do not.
    missing: Vec<Missing>,
    /// Folders that it should see and that were not there.
    absent: Vec<PathBuf>,
    /// It is not started anew for them before; each time that was in vain it takes longer.
    absent_until: Instant,
    absent_pause: Duration,
    /// It was told to end so that it can be started anew; one that has not by then is ended.
    renewed: Option<Instant>,
    /// It says no more; when it has not ended by then it is ended.
    ends_by: Option<Instant>,
}

impl Process {
    /// Whether it has taken all that it was told; of one that is not there, nothing is waited for.
    fn serves(&self) -> bool {
        self.begun == 0
    }

    /// It is started after a pause, the longer the shorter it lived; gives that in milliseconds.
    fn rest(&mut self) -> u64 {
        self.pause = if self.began.elapsed() > GOOD_LIFE {
            PAUSE_MIN
        } else {
            (self.pause * 2).min(PAUSE_MAX)
        };
        self.start_at = Instant::now() + self.pause;
        u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX)
    }
}

enum Happened {
    Said(Role, u32, FromRole),
    /// It says no more: it has ended, or said what it may not say.
    Silent(Role, u32, Instant),
    /// Root brought a configuration.
    Brought(Box<Brings>),
    /// launch has something to say.
    Launch,
    /// A courier of this pid said something.
    CourierSaid(u32, FromRole),
}

struct Supervisor {
    start: Start,
    listeners: Vec<Open>,
    secrets: Vec<Secret>,
    notices: Notices,
    nursery: Nursery,
    couriers: Couriers,
    processes: BTreeMap<Role, Process>,
    happened: Sender<Happened>,
    announced: bool,
    clock: Clock,
    began: Time,
    trial: Option<Trial>,
    /// Files that a reload replaced while somebody was missing to try the others: until those are taken.
    before: Option<Vec<Secret>>,
    /// The servers are joined with keys anew as soon as that serves.
    rejoin: bool,
    reloading: Option<Reloading>,
    rounds: Rounds,
    last_reload: Option<(Time, String)>,
}

/// What the service is told to stop by.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Runs until it is told to stop by SIGTERM or SIGINT, or cannot go on.
pub async fn run(
    start: Start,
    root::Ready {
        hold,
        listeners,
        secrets,
        nursery,
        from_root,
    }: root::Ready,
) -> io::Result<()> {
    let _hold = hold;
    if start.configuration.len() > CONFIGURATION_OCTETS {
        return Err(io::Error::other(
            "the configuration file is larger than 128 KiB",
        ));
    }
    let mut signals = Signals {
        term: signal(SignalKind::terminate())?,
        int: signal(SignalKind::interrupt())?,
    };
    let mut child_ended = signal(SignalKind::child())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (happened, mut happens) = channel(WORDS_WAITING);
    let (now, clock) = (Instant::now(), Clock::start());
    let began = Time::from_micros(clock.now_micros());
    let rounds = Rounds::begin(start.watch_round);
    let idle = || Process {
        child: None,
        began: now,
        start_at: now,
        pause: PAUSE_MIN,
        begun: 0,
        served: false,
        unanswered: 0,
        since: began,
        restarts: 0,
        last_end: None,
        reach: Reach::default(),
        stand: Vec::new(),
        stood: Vec::new(),
        missing: Vec::new(),
        absent: Vec::new(),
        absent_until: now,
        absent_pause: ABSENT_LOOK,
        renewed: None,
        ends_by: None,
    };
    let mut supervisor = Supervisor {
        start,
        listeners,
        secrets,
        notices: Notices::of_environment(),
        nursery,
        couriers: Couriers::default(),
        processes: Role::ALL.into_iter().map(|role| (role, idle())).collect(),
        happened,
        announced: false,
        clock,
        began,
        trial: None,
        before: None,
        rejoin: false,
        reloading: None,
        rounds,
        last_reload: None,
    };
    if let Some(socket) = from_root {
        tokio::task::spawn_local(from_root::listen(socket, supervisor.happened.clone()));
    }
    if let Some(socket) = supervisor.nursery.socket()? {
        tokio::task::spawn_local(hear_launch(socket, supervisor.happened.clone()));
    }
    loop {
        supervisor.notices.go_on();
        if let Err(error) = supervisor.look_after_all() {
            supervisor.stop(&mut happens, &mut signals).await;
            return Err(error);
        }
        supervisor.go_on_trying();
        supervisor.go_on_reloading();
        supervisor.watch();
        supervisor.look_for_absent();
        let late = supervisor.end_late();
        let others = [late, supervisor.notices.next()].into_iter().flatten();
        let next = others.fold(supervisor.next(), Instant::min);
        tokio::select! {
            () = signals.told_to_stop() => break,
            _ = child_ended.recv() => {}
            _ = hangup.recv() => supervisor.reload(&Asker::Nobody),
            Some(happened) = happens.recv() => {
                if let Some(FromRole::Hopeless(why)) = supervisor.heard(happened) {
                    supervisor.stop(&mut happens, &mut signals).await;
                    return Err(io::Error::other(why));
                }
            }
            () = tokio::time::sleep_until(next) => {}
        }
    }
    supervisor.stop(&mut happens, &mut signals).await;
    Ok(())
}

impl Supervisor {
    fn now(&self) -> Time {
        Time::from_micros(self.clock.now_micros())
    }

    /// A role's process, if there is one.
    fn pid_of(&self, role: Role) -> Option<u32> {
        let (child, _) = self.processes.get(&role)?.child.as_ref()?;
        Some(child.id())
    }

    /// When something is due next, whatever happens.
    fn next(&self) -> Instant {
        let dead = self.processes.values().filter(|p| p.child.is_none());
        let births = dead.map(|p| p.start_at).min();
        let answer = self.reloading.as_ref().map(|r| r.deadline);
        let trial = self.trial.as_ref().map(|t| t.deadline);
        let look = self.processes.values().any(|p| !p.absent.is_empty());
        let look = look.then(|| Instant::now() + ABSENT_LOOK);
        let couriers = self.next_end_of_couriers();
        let others = [births, answer, trial, look, couriers]
            .into_iter()
            .flatten();
        let round = self.rounds.next();
        others.fold(round, Instant::min)
    }

    /// Takes note of who ended, and starts who is due. An error ends the service.
    fn look_after_all(&mut self) -> io::Result<()> {
        self.bury()?;
        self.look_after_couriers()?;
        self.start_due()
    }

    /// Takes note of roles that ended.
    fn bury(&mut self) -> io::Result<()> {
        let mut transports = Vec::new();
        for (role, process) in &mut self.processes {
            let Some((child, _)) = &mut process.child else {
                continue;
            };
            let Some(status) = self.nursery.try_wait(child)? else {
                continue;
            };
            let pid = child.id();
            if matches!(role, Role::Local | Role::Relay) {
                transports.push((*role == Role::Local, is_fault(status)));
            }
            process.child = None;
            process.begun = 0;
            (process.served, process.unanswered) = (false, 0);
            process.stand.clear();
            process.missing.clear();
            process.absent.clear();
            process.ends_by = None;
            if process.renewed.take().is_some() {
                process.start_at = Instant::now();
                continue;
            }
            process.last_end = Some(status.to_string());
            let pause_ms = process.rest();
            event::say(&Event::RoleEnded {
                process: role.name(),
                pid,
                cause: status.to_string(),
                pause_ms,
            });
        }
        for (local, fault) in transports {
            self.tell(Role::Queue, &ToRole::Ended { local, fault }, None);
        }
        Ok(())
    }

    /// Says something to a role, if it lives. One that cannot be told is dying: it is buried, and told
    /// when it is born again.
    fn tell(&self, role: Role, record: &ToRole, fd: Option<&OwnedFd>) {
        if let Some((_, birth)) = self.processes.get(&role).and_then(|p| p.child.as_ref())
            && let Err(error) = birth.order(record, fd)
        {
            event::say(&Event::Trouble {
                place: "orders",
                cause: format!("{role}: {error}"),
            });
        }
    }

    /// Takes what happened; gives the word that ends the service.
    fn heard(&mut self, happened: Happened) -> Option<FromRole> {
        match happened {
            Happened::Said(role, pid, said) => return self.said(role, pid, said),
            Happened::Silent(role, pid, ends_by) => self.silent(role, pid, ends_by),
            Happened::Brought(brings) => self.take(*brings),
            // It is read where it matters.
            Happened::Launch => {}
            Happened::CourierSaid(pid, said) => Self::courier_said(pid, &said),
        }
        None
    }

    /// Takes note that a role says no more: it is about to end, or is ended, for nobody could tell it anything.
    fn silent(&mut self, role: Role, pid: u32, ends_by: Instant) {
        if let Some(process) = self.processes.get_mut(&role)
            && let Some((child, _)) = &process.child
            && child.id() == pid
        {
            process.ends_by = Some(ends_by);
        }
    }

    /// Takes note of what a role said, which it may say; gives the word that ends the service.
    fn said(&mut self, role: Role, pid: u32, said: FromRole) -> Option<FromRole> {
        // A role that says so, or is trapped, ends at once, and may be buried before it is heard.
        if matches!(said, FromRole::Hopeless(_)) {
            // Files that are of no use stop a start. A service that goes on, goes on without TLS, or logins.
            let ends = role == Role::Queue || !self.announced;
            if !ends {
                self.fall_back();
            }
            return ends.then_some(said);
        }
        if let FromRole::Trapped(number) = said {
            let syscall = u32::from_le_bytes(number);
            event::say(&Event::RoleTrapped {
                process: role.name(),
                pid,
                syscall,
                name: sys::sandbox::name_of(syscall).unwrap_or("unknown"),
            });
            return None;
        }
        let process = self.processes.get_mut(&role)?;
        if process
            .child
            .as_ref()
            .is_none_or(|(child, _)| child.id() != pid)
        {
            return None;
        }
        match said {
            FromRole::Ready => {
                process.begun = process.begun.saturating_sub(1);
                (process.served, process.unanswered) = (true, 0);
                if Role::FILED.contains(&role) {
                    self.files_are_taken();
                }
                let ready = |p: &Process| p.child.is_some() && p.serves();
                if !self.announced && self.processes.values().all(ready) {
                    self.announced = true;
                    self.notices.ready();
                    // Who reads this may have gone, or be full; the service serves all the same.
                    let mut out = io::stdout().lock();
                    let _ = writeln!(out, "{}", self.start.ready).and_then(|()| out.flush());
                }
                None
            }
            FromRole::Confined {
                stand,
                missing,
                absent,
            } => self.confined(role, (stand, missing, absent)),
            FromRole::Asks { token, question } => {
                match question {
                    Question::Reload => self.reload(&Asker::Admin(token)),
                    Question::Status => {
                        let answer = Answered::Status(self.supervision());
                        self.tell(role, &ToRole::Answer { token, answer }, None);
                    }
                }
                None
            }
            FromRole::Refuses(why) => {
                process.begun = process.begun.saturating_sub(1);
                self.refused(role, why);
                None
            }
            FromRole::Calls { token, user } => {
                self.call(pid, token, &user);
                None
            }
            FromRole::LetsGo { token } => {
                self.let_go(pid, token);
                None
            }
            FromRole::Awake => {
                process.unanswered = 0;
                None
            }
            FromRole::Hopeless(_) | FromRole::Trapped(_) => None,
        }
    }

    /// Asks all roles to end; those that do not are ended. Who is told to stop once more waits for no content.
    async fn stop(&mut self, happens: &mut Receiver<Happened>, signals: &mut Signals) {
        self.notices.stopping();
        // Who takes mail in goes first, and its sessions still find policy and queue; who keeps it goes last, so that
        // every answer finds its way; and admin when all of them are gone, so that their last events are kept.
        let in_order = Instant::now() + SESSIONS_STOP_WAIT;
        for role in Role::SERVERS {
            self.tell(role, &ToRole::Stop, None);
        }
        tokio::select! {
            () = self.see_end(&Role::SERVERS, happens, in_order) => {}
            () = signals.told_to_stop() => {}
        }
        for role in Role::SERVERS {
            self.tell(role, &ToRole::Stop, None);
        }
        self.see_end(&Role::SERVERS, happens, Instant::now() + STOP_WAIT)
            .await;
        let order = [
            Role::Auth,
            Role::Keys,
            Role::Policy,
            Role::Relay,
            Role::Local,
            Role::Queue,
        ];
        for role in order {
            self.tell(role, &ToRole::Stop, None);
        }
        self.see_end(&order, happens, Instant::now() + STOP_WAIT)
            .await;
        event::say(&Event::ServiceStopped {});
        // Before the word that ends admin, which keeps it.
        event::turn_ended();
        self.tell(Role::Admin, &ToRole::Stop, None);
        let deadline = Instant::now() + ADMIN_STOP_WAIT;
        self.see_end(&[Role::Admin], happens, deadline).await;
        self.end_couriers();
        for (child, _) in self.processes.values_mut().filter_map(|p| p.child.as_mut()) {
            self.nursery.kill(child);
        }
    }

    /// Waits until these are gone, at most until the deadline.
    async fn see_end(
        &mut self,
        roles: &[Role],
        happens: &mut Receiver<Happened>,
        deadline: Instant,
    ) {
        loop {
            let mut living = 0;
            for (_, process) in self.processes.iter_mut().filter(|(r, _)| roles.contains(r)) {
                if let Some((child, _)) = &mut process.child {
                    match self.nursery.try_wait(child) {
                        Ok(None) => living += 1,
                        _ => process.child = None,
                    }
                }
            }
            if living == 0 || Instant::now() > deadline {
                return;
            }
            let _ = tokio::time::timeout(Duration::from_millis(20), happens.recv()).await;
        }
    }
}

/// Whether a process ended by a fault of its own: it panicked, made a call that it may not make, or did what the kernel
/// ends a process for. One that somebody else ended, or that memory was taken from, did not.
fn is_fault(status: ExitStatus) -> bool {
    /// How a Rust program ends that panicked.
    const PANICKED: i32 = 101;
    use rustix::process::Signal;
    const FAULTS: [Signal; 6] = [
        Signal::ILL,
        Signal::ABORT,
        Signal::BUS,
        Signal::FPE,
        Signal::SEGV,
        Signal::SYS,
    ];
    let signalled = |signal| FAULTS.iter().any(|fault| fault.as_raw() == signal);
    matches!(status.code(), Some(PANICKED | TRAPPED)) || status.signal().is_some_and(signalled)
}

/// Wakes the supervisor when launch has spoken, which reads it itself.
async fn hear_launch(socket: OwnedFd, happened: Sender<Happened>) -> io::Result<()> {
    let socket = UnixStream::from_std(socket.into())?;
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        // The end of launch stays readable for ever: it is said once.
        if happened.send(Happened::Launch).await.is_err() || ready.is_read_closed() {
            return Ok(());
        }
        // Nothing is read here: what is there now was told, and the next readiness is of what comes then.
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = socket.try_io(Interest::READABLE, nothing);
    }
}
