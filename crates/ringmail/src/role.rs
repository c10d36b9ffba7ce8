//! The processes, one file each. A role opens nothing itself but what its duty is: its orders and the
//! ends of its arrows are handed to it.

pub mod admin;
pub mod auth;
pub mod keys;
pub mod launch;
pub mod local;
pub mod policy;
pub mod queue;
pub mod relay;
pub mod smtpd;
pub mod supervisor;

use crate::config::Config;
use crate::confine::{Layers, Reach, Walls};
use crate::drive::birth::Birth;
use crate::drive::clock::Clock;
use crate::drive::dns::{Dns, Names};
use crate::drive::edge::{Internet, SpoolFolder, SyncThreads, TcpDoors};
use crate::drive::tls::roots::Roots;
use crate::event::{self, Event};
use crate::ipc::spawn::{Role, ToRole};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

/// What is done in the place of a role's story once its walls are closed: for tests from inside only.
pub type Inside = fn(Role, &Birth, &Config) -> ExitCode;

/// Runs this process as `role`, on the descriptor it was born with: hears its first orders, raises the walls that
/// follow from them, and only then begins its story. The program raises all layers and has nobody `inside`.
pub fn main(role: Role, layers: Layers, inside: Option<Inside>) -> ExitCode {
    event::speak_as(role.name());
    be(role, None, layers, inside)
}

/// Runs this process, which is a user of the machine, as a courier: local, with Maildirs of this home in reach.
pub fn courier(home: PathBuf, layers: Layers) -> ExitCode {
    event::speak_as("courier");
    be(Role::Local, Some(home), layers, None)
}

fn be(role: Role, home: Option<PathBuf>, layers: Layers, inside: Option<Inside>) -> ExitCode {
    sys::process::set_name("ringmail");
    let birth = match sys::process::take_birth_socket() {
        Ok(Some(birth)) => birth,
        Ok(None) => {
            eprintln!("ringmail: the roles are started by `ringmail run`, not by hand");
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("ringmail: {role}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = in_event_loop(async move {
        let (birth, clock) = (Birth::new(birth)?, Clock::start());
        let Some(ToRole::Orders {
            configuration,
            path,
            situation,
            walls: demanded,
        }) = birth.foresee().await?
        else {
            return Err(io::Error::other("a role got no orders"));
        };
        let config = crate::config::of_role(&configuration, &path, situation)?;
        let reach = match &home {
            Some(home) => Reach::of_courier(home, &config),
            None => Reach::of(role, &config),
        };
        let (names, roots) = (reach.names.clone(), reach.roots.clone());
        let walls = Walls::raise(role, &reach, layers)?;
        let edge = match home {
            Some(home) => Edge::Courier(Rc::new(SyncThreads::start(None)?), home),
            None => Edge::of(role, &config, names, roots)?,
        };
        let stand = walls.close(&birth);
        if let Some(layer) = demanded.iter().find(|layer| !stand.contains(layer)) {
            let cause = format!("{layer} stood before and cannot be had now: not without it");
            return Err(io::Error::other(cause));
        }
        match inside {
            Some(inside) => Ok(inside(role, &birth, &config)),
            None => edge.story(birth, clock).await.map(|()| ExitCode::SUCCESS),
        }
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            event::say(&Event::Trouble {
                place: "role",
                cause: error.to_string(),
            });
            ExitCode::FAILURE
        }
    }
}

/// What a role reaches beyond its arrows, with the threads that it needs for it: they are started before the last
/// wall closes.
enum Edge {
    Admin,
    Auth(auth::Checkers),
    Courier(Rc<SyncThreads>, PathBuf),
    Keys,
    Local(Rc<SyncThreads>),
    Policy,
    Queue(SpoolFolder),
    Relay(Names, Roots),
    Server(Role),
}

impl Edge {
    fn of(role: Role, config: &Config, names: Option<Names>, roots: Roots) -> io::Result<Self> {
        Ok(match role {
            Role::Admin => Edge::Admin,
            Role::Auth => Edge::Auth(auth::Checkers::start()?),
            Role::Keys => {
                crate::drive::tls::warm_up();
                Edge::Keys
            }
            Role::Local => {
                let dns = names.map(|names| Dns::new(&config.dns.servers, &names));
                Edge::Local(Rc::new(SyncThreads::start(dns.transpose()?)?))
            }
            Role::Policy => Edge::Policy,
            Role::Queue => Edge::Queue(SpoolFolder::start()?),
            Role::Relay => {
                crate::drive::tls::warm_up();
                Edge::Relay(names.unwrap_or_default(), roots)
            }
            Role::Smtpd | Role::Submission => {
                crate::drive::tls::warm_up();
                Edge::Server(role)
            }
        })
    }

    async fn story(self, birth: Birth, clock: Clock) -> io::Result<()> {
        match self {
            Edge::Admin => admin::run(birth, clock).await,
            Edge::Auth(checkers) => auth::run(birth, checkers).await,
            Edge::Courier(mailboxes, home) => {
                local::courier::run(birth, clock, mailboxes, home).await
            }
            Edge::Keys => keys::run(birth).await,
            Edge::Local(mailboxes) => local::run(birth, clock, mailboxes).await,
            Edge::Policy => policy::run(birth).await,
            Edge::Queue(spool) => queue::run(birth, clock, &spool).await,
            Edge::Relay(names, roots) => {
                let network = |config: &_| Ok(Rc::new(Internet::new(config, &names)?) as Rc<_>);
                relay::run(birth, clock, network, &roots).await
            }
            Edge::Server(role) => smtpd::run(role, birth, clock, &TcpDoors).await,
        }
    }
}

/// Runs one future with this process's event loop, in this thread alone.
pub fn in_event_loop<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let _turns = event::Turns::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(event::turn_ended)
        .build()?;
    let set = tokio::task::LocalSet::new();
    let ended = set.block_on(&runtime, work);
    runtime.shutdown_background();
    ended
}
