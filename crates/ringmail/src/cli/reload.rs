//! `ringmail reload`: the daemon reads its configuration anew, and this says what changed.

use super::check::certificates;
use super::queue::{unavailable, with_daemon};
use super::{CONFIGURATION, DONE, NO, TEMPORARY};
use crate::config::{Cert, Config};
use crate::drive::arrow;
use crate::ipc::control::{Answer, Request};
use crate::ipc::reload::{Brought, PIECE_OCTETS, SOCKETS_MAX};
use crate::ipc::supervise::{Change, Reload};
use crate::role::supervisor::{listeners, root, secrets};
use serde_json::json;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the supervisor may take: it waits for its roles.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Asks for it. The daemon reads the file that it was started with, checks it whole, and changes nothing if anything
/// is wrong with it.
pub fn reload(config: &Config, text: &str, json: bool) -> u8 {
    if let Some(useless) = useless(config) {
        return tell(&Reload::Surroundings(useless), json);
    }
    let by_root = config.reload_socket();
    if sys::identity::is_root()
        && let Ok(supervisor) = UnixStream::connect(&by_root)
    {
        return match bring(config, text, supervisor) {
            Ok(reload) => tell(&reload, json),
            Err(error) => {
                eprintln!("ringmail reload: {}: {error}", by_root.display());
                TEMPORARY
            }
        };
    }
    with_daemon(config, |control| {
        let Answer::Reload(reload) = control.ask(&Request::Reload)?.0 else {
            return Ok(unavailable());
        };
        Ok(tell(&reload, json))
    })
}

/// A certificate that keys could not use. The daemon would go on with those that it has, and say so in its log alone; who
/// renews one wants to hear of it. What the service manager hands over may be the daemon's alone.
fn useless(config: &Config) -> Option<String> {
    let certs = config.certs.iter();
    let mut paths = certs.filter(|cert| matches!(cert, Cert::Path(_)));
    paths.find_map(|cert| {
        let why = certificates::load(cert).err()?;
        Some(format!("cert = \"{cert}\": {why}"))
    })
}

/// Where root started the service: prepares what the supervisor cannot, and brings it what only root has. A socket
/// that cannot be opened is one that the supervisor has already, or it says why itself.
fn bring(config: &Config, text: &str, supervisor: UnixStream) -> io::Result<Reload> {
    root::prepare_reload(config)?;
    supervisor.set_nonblocking(true)?;
    let sockets: Vec<(Brought, OwnedFd)> = listeners::wanted(config)
        .into_iter()
        .filter_map(|(listener, address)| {
            let socket = sys::socket::listen(address).ok()?;
            Some((Brought::Socket(listener, address), socket.into()))
        })
        .take(SOCKETS_MAX)
        .collect();
    let secrets = secrets::open_for_service(config)?;
    crate::role::in_event_loop(async move {
        let (sender, mut receiver) = arrow::open::<Brought, Reload>(supervisor.into())?;
        for (brought, socket) in sockets {
            sender
                .say(&brought, &[], Some(socket))
                .map_err(io::Error::other)?;
        }
        for secret in secrets {
            let brought = Brought::File(secret.what);
            sender
                .say(&brought, &[], Some(secret.file))
                .map_err(io::Error::other)?;
        }
        for piece in text.as_bytes().chunks(PIECE_OCTETS) {
            sender
                .say(&Brought::Text, piece, None)
                .map_err(io::Error::other)?;
        }
        sender
            .say(&Brought::All, &[], None)
            .map_err(io::Error::other)?;
        let answer = tokio::time::timeout(ANSWER_WAIT, receiver.hear()).await;
        let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        answer
            .map(|heard| heard.head)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    })
}

fn tell(reload: &Reload, json: bool) -> u8 {
    let (code, word) = match reload {
        Reload::Done { .. } => (DONE, "done"),
        Reload::Mistakes(_) => (CONFIGURATION, "mistakes"),
        Reload::Restart(_) => (NO, "restart"),
        Reload::Surroundings(_) => (NO, "surroundings"),
        Reload::Busy => (TEMPORARY, "busy"),
    };
    if json {
        let mut said = json!({ "reload": word });
        match reload {
            Reload::Done {
                changes,
                more,
                late,
            } => {
                let late: Vec<&str> = late.iter().map(|role| role.name()).collect();
                said["changes"] = changes.iter().map(change_json).collect();
                said["more"] = (*more).into();
                said["late"] = late.into();
            }
            Reload::Mistakes(text) | Reload::Surroundings(text) => {
                said["text"] = text.as_str().into();
            }
            Reload::Restart(keys) => said["keys"] = keys.clone().into(),
            Reload::Busy => {}
        }
        println!("{said}");
        return code;
    }
    match reload {
        Reload::Done {
            changes,
            more,
            late,
        } => {
            if changes.is_empty() {
                // Certificates and passwords may be others all the same.
                println!("no key changed; the files that it names were read anew");
            }
            for change in changes {
                println!("{}", change_text(change));
            }
            if *more > 0 {
                println!("and {more} more");
            }
            for role in late {
                println!("{role} has not taken it yet");
            }
        }
        Reload::Mistakes(text) => eprint!("{text}"),
        Reload::Restart(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            eprintln!(
                "ringmail reload: nothing changed: {} needs a restart",
                keys.join(", ")
            );
        }
        Reload::Surroundings(why) => eprintln!("ringmail reload: nothing changed: {why}"),
        Reload::Busy => eprintln!("ringmail reload: another reload is under way"),
    }
    code
}

/// `limits.errors: 20 → 30`; a value that is not written is the default.
fn change_text(change: &Change) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(default)".into());
    format!(
        "{}: {} -> {}",
        change.key,
        value(&change.before),
        value(&change.after)
    )
}

fn change_json(change: &Change) -> serde_json::Value {
    json!({ "key": change.key, "before": change.before, "after": change.after })
}
