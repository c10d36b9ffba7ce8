//! The configuration. What was written becomes [`Config`], what is meant, or every mistake at once, each with
//! its line and a way out. There is no half-valid configuration, and none can make an open relay.

mod aliases;
mod auth;
mod cert;
mod changes;
mod dns;
mod domain;
mod examples;
mod file;
mod grammar;
mod hidden;
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
mod secret;
mod show;
mod tls;
mod together;
mod top;
mod try_it;

pub use auth::Auth;
pub use cert::Cert;
pub use changes::{Changed, changes};
pub use examples::{EXAMPLES, Example};
pub use file::{FILE_OCTETS, load_text};
pub use log::Log;
pub use mistakes::{Errors, Said};
pub use nearest::nearest;
pub use policy::Origin;
pub use relay::{Login, USER_OCTETS};
pub use schema::schema;
pub use secret::Secret;
pub use show::{Difference, Entry, Source, show};
pub use tls::Tls;

use crate::ipc::spawn::Situation;
use mail::Destination;
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
    /// Where our users' logins are looked up.
    pub auth: Auth,
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
    /// What is demanded of next hops.
    pub tls: Tls,
    /// Who we are at the smart host.
    pub relay_login: Option<Login>,
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

impl Config {
    /// Whether users log in where they submit mail. Under `try` they need not, for nothing leaves.
    pub fn has_logins(&self) -> bool {
        !self.listen.submission.is_empty() && self.policy.any_domain.is_none()
    }

    /// The file of their passwords' hashes; nothing where nobody logs in.
    pub fn passwords(&self) -> Option<&Path> {
        self.has_logins().then_some(&*self.auth.passwords)
    }

    /// The smart host that we log in at, and who we are there.
    pub fn login_at(&self) -> Option<(Destination, &Login)> {
        let to = self.policy.relay_to.as_ref()?;
        let login = self.relay_login.as_ref()?;
        let host = Destination::SmartHost(to.scheme, to.host.clone(), to.port);
        Some((host, login))
    }
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
    pub submission: Vec<Submission>,
}

/// One address where our own users come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The address.
    pub address: SocketAddr,
    /// Whether TLS is spoken from the first octet (RFC 8314 §3.3); else after STARTTLS.
    pub at_once: bool,
}

impl Listen {
    /// All of them.
    pub fn all(&self) -> Vec<SocketAddr> {
        let submission = self.submission.iter().map(|door| door.address);
        self.mx.iter().copied().chain(submission).collect()
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
    /// Sessions of one client at once.
    pub client_sessions: usize,
    /// What one client may take in a minute.
    pub client: ClientLimits,
}

/// What one client may take in a minute, beyond all its sessions; 0 is without bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientLimits {
    /// Connections that bring no mail.
    pub connections: u32,
    /// Mail transactions.
    pub messages: u32,
    /// Recipients that are accepted.
    pub recipients: u32,
    /// Recipients that are refused.
    pub refused: u32,
    /// Commands that fail.
    pub errors: u32,
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
