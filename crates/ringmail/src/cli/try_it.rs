//! `ringmail try`: the whole program on loopback, for any domain, with nothing leaving the machine.

mod greeting;

use super::control::Control;
use super::{DONE, NO, refuse, run};
use crate::config::CONTROL_SOCKET;
use crate::config::Config;
use crate::ipc::control::{Answer, Request};
use crate::role::supervisor::root;
use greeting::Sender;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The first line of a file that `try` wrote: other commands read it as `try` does.
const MARK: &str =
    "# Written by `ringmail try`: any domain's mail lands in Maildirs beside this file.";
/// Where SMTP and submission listen, or the next free ports.
const PORTS: [u16; 2] = [2525, 2587];
/// Ports that are tried, from each of these on.
const PORTS_TRIED: u16 = 50;
/// How often a port may be lost to somebody else between being found free and being opened.
const STARTS: u32 = 5;
/// Longest path of a Unix socket, in octets (`sun_path` without its final NUL).
const SOCKET_PATH_OCTETS: usize = 107;
/// How long the daemon that is started here may take to answer what is queued.
const ANSWER_WAIT: Duration = Duration::from_mins(1);
/// The pause between two questions.
const ANSWER_LOOK: Duration = Duration::from_millis(50);

/// Whether `try` wrote this configuration.
pub fn wrote(text: &str) -> bool {
    text.starts_with(MARK)
}

/// Writes the configuration and runs.
pub fn run(dir: &Path) -> u8 {
    let told = |error: &io::Error| {
        eprintln!("ringmail try {}: {error}", dir.display());
        NO
    };
    let home = match Home::new(dir) {
        Ok(home) => home,
        Err(error) => return told(&error),
    };
    for _ in 1..STARTS {
        match home.start() {
            Some(Err(error)) if error.kind() == io::ErrorKind::AddrInUse => {}
            Some(Err(error)) => return told(&error),
            Some(Ok(())) => {
                let _ = writeln!(
                    io::stdout(),
                    "Ended; what was queued waits in {}.",
                    home.path.display()
                );
                return DONE;
            }
            None => return super::CONFIGURATION,
        }
    }
    told(&io::ErrorKind::AddrInUse.into())
}

/// The folder, as an absolute path that can stand in a configuration.
struct Home {
    path: PathBuf,
    shown: String,
    /// What sends mail here: looked for by who started us, who may see more than who we are then.
    sender: Option<Sender>,
}

impl Home {
    /// Makes the folder if need be.
    fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.canonicalize()?;
        let sender = greeting::sender();
        root::give_up_for_trial(&path)?;
        let Some(shown) = path.to_str().map(String::from) else {
            return Err(io::Error::other("the folder's path must be UTF-8"));
        };
        if shown.contains(['{', '}']) || shown.contains(char::is_control) {
            return Err(io::Error::other(
                "the folder's path has { or }, or a control character: choose another",
            ));
        }
        if path.join("run").join(CONTROL_SOCKET).as_os_str().len() > SOCKET_PATH_OCTETS {
            return Err(io::Error::other(
                "the folder's path is too long for a socket: choose a shorter one",
            ));
        }
        Ok(Self {
            path,
            shown,
            sender,
        })
    }

    fn config(&self) -> PathBuf {
        self.path.join("ringmail.toml")
    }

    /// Finds ports, writes the configuration, and runs until it is told to end. `None`: the configuration is wrong,
    /// and it was said.
    fn start(&self) -> Option<io::Result<()>> {
        let path = self.config();
        // Before anything is written: who runs here goes by what is written there.
        if UnixStream::connect(self.path.join("run").join(CONTROL_SOCKET)).is_ok() {
            let here = "`ringmail try` runs here already: end it first, or name another folder";
            return Some(Err(io::Error::other(here)));
        }
        let ports = match free_ports() {
            Ok(ports) => ports,
            Err(error) => return Some(Err(error)),
        };
        if let Err(error) = fs::write(&path, self.configuration(ports)) {
            return Some(Err(error));
        }
        let loaded = match super::read(&path) {
            Ok(loaded) => loaded,
            Err(errors) => {
                refuse(&errors);
                return None;
            }
        };
        for (wanted, port) in PORTS
            .into_iter()
            .zip(ports)
            .filter(|(wanted, port)| wanted != port)
        {
            let _ = writeln!(io::stdout(), "Port {wanted} is taken: {port} it is.");
        }
        let greeting = greeting::new(&self.path, &path, ports, self.sender);
        let left = loaded.config.clone();
        std::thread::spawn(move || say_left(&left));
        Some(self.quietly(|| run::start(loaded, &path, greeting)))
    }

    /// With the log in a file, so that the terminal shows what arrives and nothing else.
    fn quietly(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path.join("log"))?;
        let terminal = rustix::io::dup(rustix::stdio::stderr())?;
        rustix::stdio::dup2_stderr(&log)?;
        let ended = work();
        rustix::stdio::dup2_stderr(&terminal)?;
        ended
    }

    fn configuration(&self, [mx, submission]: [u16; 2]) -> String {
        let text = |text: String| toml::Value::String(text).to_string();
        let below = |name: &str| text(format!("{}/{name}", self.shown.trim_end_matches('/')));
        let template = format!(
            "maildir:{}/mail/{{domain}}/{{user}}",
            self.shown.trim_end_matches('/')
        );
        format!(
            "{MARK}\nhostname = \"try.localhost\"\nspool    = {}\nruntime  = {}\n\n\
             [listen]\nmx         = \"127.0.0.1:{mx}\"\nsubmission = \"127.0.0.1:{submission}\"\n\n\
             [try]\ndeliver = {}\n",
            below("spool"),
            below("run"),
            text(template),
        )
    }
}

/// The ports that are free, from the usual ones on.
fn free_ports() -> io::Result<[u16; 2]> {
    let mut ports = [0; 2];
    for (port, wanted) in ports.iter_mut().zip(PORTS) {
        *port = free_port(wanted)?;
    }
    Ok(ports)
}

/// The first free port from `wanted` on.
fn free_port(wanted: u16) -> io::Result<u16> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for port in wanted..wanted + PORTS_TRIED {
        match sys::socket::can_listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(()) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Says what an earlier start left in the queue, once the daemon can be asked.
fn say_left(config: &Config) {
    let began = Instant::now();
    while began.elapsed() < ANSWER_WAIT {
        std::thread::sleep(ANSWER_LOOK);
        let asked = Control::connect(config).and_then(|mut control| control.ask(&Request::Health));
        if let Ok((Answer::Healthy { messages, .. }, _)) = asked {
            if messages > 0 {
                let word = if messages == 1 {
                    "message is"
                } else {
                    "messages are"
                };
                let _ = writeln!(io::stdout(), "{messages} {word} queued from before.");
            }
            return;
        }
    }
}
