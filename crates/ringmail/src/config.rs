//! The configuration. What was written becomes [`Config`], what is meant, or every mistake at once, each with
//! its line and a way out. There is no half-valid configuration, and none can make an open relay.

mod aliases;
mod cert;
mod changes;
mod dns;
mod domain;
mod examples;
mod file;
mod grammar;
mod limits;
mod listen;
mod log;
mod mistakes;
mod nearest;
pub mod options;
mod queue;
mod read;
mod reader;
mod relay;
mod schema;
mod show;
mod together;
mod top;
mod try_it;

pub use cert::Cert;
pub use changes::{Changed, changes};
pub use examples::{EXAMPLES, Example};
pub use file::{FILE_OCTETS, load_text};
pub use log::Log;
pub use mistakes::{Errors, Said};
pub use nearest::nearest;
pub use policy::Origin;
pub use schema::schema;
pub use show::{Difference, Entry, Source, show};

use crate::ipc::spawn::Situation;
use policy::Parameters;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is meant.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host name that we publish.
    pub hostname: Box<str>,
    /// What listens.
    pub listen: Listen,
    /// Domains, aliases, relaying.
    pub policy: Parameters,
    /// Bounds.
    pub limits: Limits,
    /// Retries.
    pub queue: Schedule,
    /// Name servers.
    pub dns: Dns,
    /// The event store.
    pub log: Log,
    /// Certificates and where their keys lie: for TLS.
    pub certs: Vec<Cert>,
    /// The spool's folder.
    pub spool: PathBuf,
    /// The folder of the control socket.
    pub runtime: PathBuf,
    /// Whether every layer of confinement must stand.
    pub sandbox_required: bool,
    /// Every key that was written: for `config show`.
    written: BTreeMap<String, Written>,
}

/// A value as it was written, and its line.
#[derive(Clone, Debug)]
struct Written {
    value: String,
    line: u32,
}

/// What listens.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    /// For mail from other hosts.
    pub mx: Vec<SocketAddr>,
    /// For mail from our own users.
    pub submission: Vec<SocketAddr>,
}

impl Listen {
    /// All of them.
    pub fn all(&self) -> Vec<SocketAddr> {
        self.mx.iter().chain(&self.submission).copied().collect()
    }
}

/// Bounds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest content, in octets.
    pub message_octets: u64,
    /// Most recipients of one transaction.
    pub recipients: usize,
    /// Failed commands before a session is ended.
    pub errors: u32,
    /// Sessions at once.
    pub sessions: usize,
}

/// When to try again, and when to give up.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The pause before the second attempt.
    pub retry_delay_min: Duration,
    /// The longest pause.
    pub retry_delay_max: Duration,
    /// How long a message is tried.
    pub expiry: Duration,
    /// When a sender is told that his message waits still; nothing where he is not.
    pub delay_notice: Option<Duration>,
}

/// Name servers.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// These; the system's where there are none.
    pub servers: Vec<SocketAddr>,
    /// Where hosts that DNS names listen; 25 where it is not set.
    pub smtp_port: Option<u16>,
}

/// RFC 5321 §4.5.4.2: SMTP's port.
pub const SMTP_PORT: u16 = 25;

impl Dns {
    /// Where hosts that DNS names listen.
    pub fn smtp_port(&self) -> u16 {
        self.smtp_port.unwrap_or(SMTP_PORT)
    }
}

/// The control socket's name in the runtime folder.
pub const CONTROL_SOCKET: &str = "control";

impl Config {
    /// Reads a file.
    pub fn load(path: &Path, situation: Situation) -> Result<Self, Errors> {
        let text = load_text(path)?;
        Self::parse(&text, &path.display().to_string(), situation)
    }

    /// Where the control socket is.
    pub fn control_socket(&self) -> PathBuf {
        self.runtime.join(CONTROL_SOCKET)
    }

    /// Where the supervisor hears root, where root started it.
    pub fn reload_socket(&self) -> PathBuf {
        self.runtime.join("reload")
    }

    /// The line where a key is written.
    pub fn line_of(&self, key: &str) -> Option<u32> {
        self.written.get(key).map(|written| written.line)
    }

    /// Reads a text; `path` is what mistakes name.
    pub fn parse(text: &str, path: &str, situation: Situation) -> Result<Self, Errors> {
        reader::read(text, path, situation)
    }
}

/// In a role: the configuration that the supervisor has checked already.
pub fn of_role(text: &str, path: &str, situation: Situation) -> io::Result<Config> {
    Config::parse(text, path, situation).map_err(|errors| io::Error::other(errors.to_string()))
}

#[cfg(test)]
mod tests;
