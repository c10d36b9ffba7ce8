//! The processes, one file each. A role opens nothing itself but what its duty is: its orders and the
//! ends of its arrows are handed to it.

pub mod admin;
pub mod local;
pub mod policy;
pub mod queue;
pub mod relay;
pub mod smtpd;
pub mod supervisor;

use crate::drive::birth::Birth;
use crate::drive::clock::Clock;
use crate::drive::edge::{Internet, SpoolFolder, SyncThreads, TcpDoors};
use crate::event::{self, Event};
use crate::ipc::spawn::Role;
use std::process::ExitCode;
use std::rc::Rc;

/// Runs this process as `role`, on the descriptor it was born with.
pub fn main(role: Role) -> ExitCode {
    event::speak_as(role.name());
    sys::process::set_name("ringmail");
    let Some(birth) = sys::process::take_birth_socket() else {
        eprintln!("ringmail: the roles are started by `ringmail run`, not by hand");
        return ExitCode::from(2);
    };
    let ended = in_event_loop(async move {
        let (birth, clock) = (Birth::new(birth)?, Clock::start());
        match role {
            Role::Admin => admin::run(birth, clock).await,
            Role::Local => local::run(birth, clock, Rc::new(SyncThreads::start()?)).await,
            Role::Policy => policy::run(birth).await,
            Role::Queue => queue::run(birth, clock, &SpoolFolder).await,
            Role::Relay => {
                let network = |config: &_| Ok(Rc::new(Internet::new(config)?) as Rc<_>);
                relay::run(birth, clock, network).await
            }
            Role::Smtpd => smtpd::run(birth, clock, &TcpDoors).await,
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            event::say(&Event::Trouble {
                place: "role",
                cause: error.to_string(),
            });
            ExitCode::FAILURE
        }
    }
}

/// Runs one future with this process's event loop, in this thread alone.
pub fn in_event_loop<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
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
