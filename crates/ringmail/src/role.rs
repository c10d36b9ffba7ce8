//! The processes, one file each. A role opens nothing itself but what its duty is: its orders and the
//! ends of its arrows are handed to it.

pub mod admin;
pub mod local;
pub mod queue;
pub mod relay;
pub mod smtpd;
pub mod supervisor;

use crate::drive::birth::Birth;
use crate::event::{self, Event};
use crate::ipc::spawn::Role;
use std::process::ExitCode;

/// Runs this process as `role`, on the descriptor it was born with.
pub fn main(role: Role) -> ExitCode {
    event::speak_as(role.name());
    let Some(birth) = sys::process::take_birth_socket() else {
        eprintln!("ringmail: the roles are started by `ringmail run`, not by hand");
        return ExitCode::from(2);
    };
    let ended = in_event_loop(async move {
        let birth = Birth::new(birth)?;
        match role {
            Role::Admin => admin::run(birth).await,
            Role::Local => local::run(birth).await,
            Role::Queue => queue::run(birth).await,
            Role::Relay => relay::run(birth).await,
            Role::Smtpd => smtpd::run(birth).await,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let set = tokio::task::LocalSet::new();
    let ended = set.block_on(&runtime, work);
    runtime.shutdown_background();
    ended
}
