//! The listening sockets: opened here, used by the roles that they are handed to.

use crate::config::Config;
use crate::event::{self, Event};
use crate::ipc::spawn::{Listener, Role};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long addresses may be held by a process that is about to end.
const BIND_WAIT: Duration = Duration::from_secs(2);
/// The pause between two tries.
const BIND_LOOK: Duration = Duration::from_millis(20);

/// One listening socket.
pub struct Open {
    /// Who accepts on it.
    pub role: Role,
    /// What for.
    pub listener: Listener,
    /// Where; nothing for the control socket, which stays as long as the supervisor.
    pub address: Option<SocketAddr>,
    /// Its name in the log and in `status`.
    pub shown: String,
    /// The socket.
    pub socket: OwnedFd,
}

/// What a listener is called in the configuration and in the log.
pub fn name(listener: Listener) -> &'static str {
    match listener {
        Listener::Control => "control",
        Listener::Mx => "mx",
        Listener::Submission | Listener::Submissions => "submission",
    }
}

/// The addresses that a configuration names.
pub fn wanted(config: &Config) -> Vec<(Listener, SocketAddr)> {
    let mx = config.listen.mx.iter().map(|a| (Listener::Mx, *a));
    let submission = config.listen.submission.iter();
    let submission = submission.map(|door| {
        let listener = if door.at_once {
            Listener::Submissions
        } else {
            Listener::Submission
        };
        (listener, door.address)
    });
    mx.chain(submission).collect()
}

/// Opens every listener that the configuration names, and the control socket.
pub fn open_all(config: &Config) -> io::Result<Vec<Open>> {
    let mut open = Vec::new();
    let began = Instant::now();
    let mut given: Vec<TcpListener> = sys::process::sockets_of_the_manager()
        .into_iter()
        .map(TcpListener::from)
        .collect();
    for (listener, address) in wanted(config) {
        let is_it = |given: &TcpListener| given.local_addr().is_ok_and(|at| at == address);
        if let Some(at) = given.iter().position(is_it) {
            let socket = given.swap_remove(at);
            // Whoever opened it may have left it as it was made.
            socket.set_nonblocking(true)?;
            open.push(taken(listener, address, socket.into()));
            continue;
        }
        open.push(loop {
            match open_one(listener, address) {
                // A smtpd whose supervisor was killed may be about to end.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < BIND_WAIT =>
                {
                    std::thread::sleep(BIND_LOOK);
                }
                result => break result?,
            }
        });
    }
    open.push(control_socket(config)?);
    for open in open.iter().filter(|open| open.address.is_some()) {
        say_opened(open);
    }
    Ok(open)
}

/// One that somebody else opened for us.
pub fn taken(listener: Listener, address: SocketAddr, socket: OwnedFd) -> Open {
    Open {
        role: listener.role(),
        listener,
        address: Some(address),
        shown: address.to_string(),
        socket,
    }
}

/// Opens one; the error names the key.
pub fn open_one(listener: Listener, address: SocketAddr) -> io::Result<Open> {
    let socket = sys::socket::listen(address).map_err(|error| {
        let name = name(listener);
        io::Error::new(
            error.kind(),
            format!("listen.{name} = \"{address}\": {error}"),
        )
    })?;
    Ok(Open {
        role: listener.role(),
        listener,
        address: Some(address),
        shown: socket.local_addr()?.to_string(),
        socket: socket.into(),
    })
}

/// Says that one is open.
pub fn say_opened(open: &Open) {
    event::say(&Event::ListenerOpened {
        listener: name(open.listener),
        address: open.shown.clone(),
    });
}

/// The control socket, in the runtime folder.
fn control_socket(config: &Config) -> io::Result<Open> {
    let told = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("runtime {}: {error}", config.runtime.display()),
        )
    };
    std::fs::create_dir_all(&config.runtime).map_err(told)?;
    let path = config.control_socket();
    let listener = unix_socket(&path).map_err(told)?;
    Ok(Open {
        role: Role::Admin,
        listener: Listener::Control,
        address: None,
        shown: path.display().to_string(),
        socket: listener,
    })
}

/// A Unix socket that listens, for its owner alone. One that an earlier run left is replaced.
pub fn unix_socket(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener.into())
}
