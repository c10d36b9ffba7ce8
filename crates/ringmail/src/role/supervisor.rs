//! supervisor: reads the configuration, opens the listeners, starts the roles, hands each its ends of the
//! arrows, and starts again what dies. It reads nothing that comes from outside and talks to no network.

use crate::config::Config;
use crate::drive::birth::{Birth, CONFIGURATION_OCTETS};
use crate::event::{self, Event};
use crate::ipc::spawn::{Arrow, FromRole, Listener, Role, Situation, ToRole};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::rc::Rc;
use std::time::Duration;
use sys::socket::Kind;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// The pause before a role that died is started again: this, doubled each time it dies soon.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A role that lived this long had a good life: the next pause is the shortest.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// How long roles may take to end in order.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// How long an address may be held by a process that is about to end.
const BIND_WAIT: Duration = Duration::from_secs(2);
/// The pause between two tries.
const BIND_LOOK: Duration = Duration::from_millis(20);

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
}

/// A role that runs, or is to be started at a time.
struct Process {
    child: Option<(Child, Rc<Birth>)>,
    began: Instant,
    start_at: Instant,
    pause: Duration,
    ready: bool,
}

enum Happened {
    Said(Role, u32, Option<FromRole>),
}

struct Supervisor {
    start: Start,
    listeners: Vec<(Role, Listener, OwnedFd)>,
    processes: BTreeMap<Role, Process>,
    happened: UnboundedSender<Happened>,
    announced: bool,
}

/// Runs until it is told to stop by SIGTERM or SIGINT, or cannot go on.
pub async fn run(start: Start, listeners: Vec<(Role, Listener, OwnedFd)>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    if start.configuration.len() > CONFIGURATION_OCTETS {
        return Err(io::Error::other(
            "the configuration file is larger than 128 KiB",
        ));
    }
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let mut child_ended = signal(SignalKind::child())?;
    let (happened, mut happens) = unbounded_channel();
    let now = Instant::now();
    let idle = || Process {
        child: None,
        began: now,
        start_at: now,
        pause: PAUSE_MIN,
        ready: false,
    };
    let mut supervisor = Supervisor {
        start,
        listeners,
        processes: Role::ALL.into_iter().map(|role| (role, idle())).collect(),
        happened,
        announced: false,
    };
    loop {
        supervisor.bury()?;
        supervisor.start_due()?;
        let next = supervisor
            .processes
            .values()
            .filter(|p| p.child.is_none())
            .map(|p| p.start_at)
            .min();
        let next = next.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = child_ended.recv() => {}
            Some(Happened::Said(role, pid, said)) = happens.recv() => {
                if let Some(FromRole::Hopeless(why)) = supervisor.said(role, pid, said) {
                    supervisor.stop(&mut happens).await;
                    return Err(io::Error::other(why));
                }
            }
            () = tokio::time::sleep_until(next) => {}
        }
    }
    supervisor.stop(&mut happens).await;
    event::say(&Event::ServiceStopped {});
    Ok(())
}

impl Supervisor {
    /// Takes note of roles that ended.
    fn bury(&mut self) -> io::Result<()> {
        for (role, process) in &mut self.processes {
            let Some((child, _)) = &mut process.child else {
                continue;
            };
            let Some(status) = child.try_wait()? else {
                continue;
            };
            let pid = child.id();
            process.child = None;
            process.ready = false;
            process.pause = if process.began.elapsed() > GOOD_LIFE {
                PAUSE_MIN
            } else {
                (process.pause * 2).min(PAUSE_MAX)
            };
            process.start_at = Instant::now() + process.pause;
            event::say(&Event::RoleEnded {
                process: role.name(),
                pid,
                cause: status.to_string(),
                pause_ms: u64::try_from(process.pause.as_millis()).unwrap_or(u64::MAX),
            });
        }
        Ok(())
    }

    /// Starts what is due, then gives each arrow of a role that was started its two ends.
    fn start_due(&mut self) -> io::Result<()> {
        let mut born = BTreeSet::new();
        for role in Role::ALL {
            let Some(process) = self.processes.get_mut(&role) else {
                continue;
            };
            if process.child.is_some() || process.start_at > Instant::now() {
                continue;
            }
            let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
            let child = sys::process::start_role(&["role", role.name()], theirs.as_fd())?;
            let birth = Rc::new(Birth::new(ours)?);
            let pid = child.id();
            event::say(&Event::RoleStarted {
                process: role.name(),
                pid,
            });
            tokio::task::spawn_local(hear(role, pid, Rc::clone(&birth), self.happened.clone()));
            process.began = Instant::now();
            process.child = Some((child, birth));
            born.insert(role);
            self.tell(
                role,
                &ToRole::Orders {
                    configuration: self.start.configuration.clone(),
                    path: self.start.path.clone(),
                    situation: self.start.situation,
                },
                None,
            );
        }
        for arrow in Arrow::ALL {
            let (asks, answers) = arrow.ends();
            if born.contains(&asks) || born.contains(&answers) {
                let (one, other) = sys::socket::pair(Kind::Stream)?;
                self.tell(asks, &ToRole::Arrow(arrow), Some(&one));
                self.tell(answers, &ToRole::Arrow(arrow), Some(&other));
            }
        }
        for role in born {
            for (owner, listener, fd) in &self.listeners {
                if *owner == role {
                    self.tell(role, &ToRole::Listener(*listener), Some(fd));
                }
            }
            self.tell(role, &ToRole::Begin, None);
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

    fn said(&mut self, role: Role, pid: u32, said: Option<FromRole>) -> Option<FromRole> {
        let process = self.processes.get_mut(&role)?;
        if process
            .child
            .as_ref()
            .is_none_or(|(child, _)| child.id() != pid)
        {
            return None;
        }
        match said {
            Some(FromRole::Ready) => {
                process.ready = true;
                if !self.announced && self.processes.values().all(|p| p.ready) {
                    self.announced = true;
                    println!("{}", self.start.ready);
                    // Who reads this may have gone; the service serves all the same.
                    let _ = io::stdout().flush();
                }
                None
            }
            other => other,
        }
    }

    /// Asks all roles to end; those that do not are ended.
    async fn stop(&mut self, happens: &mut UnboundedReceiver<Happened>) {
        // Who takes mail in goes first, who keeps it last, so that every answer still finds its way.
        for role in [
            Role::Smtpd,
            Role::Admin,
            Role::Relay,
            Role::Local,
            Role::Queue,
        ] {
            self.tell(role, &ToRole::Stop, None);
        }
        let deadline = Instant::now() + STOP_WAIT;
        loop {
            let mut living = 0;
            for process in self.processes.values_mut() {
                if let Some((child, _)) = &mut process.child {
                    match child.try_wait() {
                        Ok(None) => living += 1,
                        _ => process.child = None,
                    }
                }
            }
            if living == 0 {
                return;
            }
            if Instant::now() > deadline {
                break;
            }
            let _ = tokio::time::timeout(Duration::from_millis(20), happens.recv()).await;
        }
        for (child, _) in self.processes.values_mut().filter_map(|p| p.child.as_mut()) {
            sys::process::kill(child);
        }
    }
}

async fn hear(role: Role, pid: u32, birth: Rc<Birth>, happened: UnboundedSender<Happened>) {
    loop {
        let said = birth.report().await.unwrap_or(None);
        let last = said.is_none();
        if happened.send(Happened::Said(role, pid, said)).is_err() || last {
            return;
        }
    }
}

/// Opens every listener that the configuration names, and the control socket.
pub fn listeners(config: &Config) -> io::Result<Vec<(Role, Listener, OwnedFd)>> {
    let mut open = Vec::new();
    let named = [
        ("mx", Listener::Mx, &config.listen.mx),
        (
            "submission",
            Listener::Submission,
            &config.listen.submission,
        ),
    ];
    for (name, listener, addresses) in named {
        for address in addresses {
            let socket = listen(*address).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("listen.{name} = \"{address}\": {error}"),
                )
            })?;
            let address = socket.local_addr()?.to_string();
            event::say(&Event::ListenerOpened {
                listener: name,
                address,
            });
            open.push((Role::Smtpd, listener, socket.into()));
        }
    }
    open.push((Role::Admin, Listener::Control, control_socket(config)?));
    Ok(open)
}

/// Listens; waits a little for an address that another holds, for a smtpd whose supervisor was killed may be
/// about to end.
fn listen(address: std::net::SocketAddr) -> io::Result<std::net::TcpListener> {
    let began = std::time::Instant::now();
    loop {
        match sys::socket::listen(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < BIND_WAIT =>
            {
                std::thread::sleep(BIND_LOOK);
            }
            result => return result,
        }
    }
}

/// The control socket, in the runtime folder. One that an earlier run left is replaced.
fn control_socket(config: &Config) -> io::Result<OwnedFd> {
    let told = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("runtime {}: {error}", config.runtime.display()),
        )
    };
    std::fs::create_dir_all(&config.runtime).map_err(told)?;
    let path = crate::cli::control::socket_path(config);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error)),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(&path).map_err(told)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(told)?;
    Ok(listener.into())
}
