//! The edges of the roles: what each reaches beyond its arrows, as a trait that it is handed. The real ones
//! are in the files below; a simulation hands others, so that the same roles run on virtual disks, networks
//! and time. A role's `run` names its edges: that is the list of what it may touch.

mod doors;
mod mailboxes;
mod network;
mod store;

pub use doors::TcpDoors;
pub use mailboxes::SyncThreads;
pub use network::Internet;
pub use store::SpoolFolder;

use crate::config::Config;
use crate::drive::committer::{Committer, Done};
use crate::drive::maildir::Delivery;
use mail::LmtpSocket;
use queue::spool::Recovered;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// What an edge does takes time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// smtpd's edge: the listeners that it was given.
pub trait Doors {
    /// Takes a listening socket.
    fn open(&self, listener: OwnedFd) -> io::Result<Box<dyn Door>>;
}

/// One listener.
pub trait Door {
    /// The next connection, and who is at its other end: IPv4 where it can be said as IPv4.
    fn accept(&self) -> Pending<'_, io::Result<(Box<dyn Stream>, IpAddr)>>;
}

/// Why DNS gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The name does not exist, or has no such record.
    NotFound,
    /// Servers did not answer, or said that they cannot: later they may.
    Later,
}

impl NoAnswer {
    /// For the log.
    pub const fn words(self) -> &'static str {
        match self {
            NoAnswer::NotFound => "the name does not exist, or has no address",
            NoAnswer::Later => "DNS did not answer",
        }
    }
}

/// MX records: preference and exchange, as DNS has them.
pub type MxRecords = Vec<(u16, Box<str>)>;

/// relay's edge: DNS and next hops. What answers mean is the policy brain's to say.
pub trait Network {
    /// The MX records of a domain.
    fn mx<'a>(&'a self, domain: &'a str) -> Pending<'a, Result<MxRecords, NoAnswer>>;
    /// The addresses of a host; an address is its own.
    fn addresses<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Vec<IpAddr>, NoAnswer>>;
    /// Connects; the caller bounds how long that may take.
    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<Box<dyn Stream>>>;
    /// Whether an address is one of this machine.
    fn is_here(&self, ip: IpAddr) -> bool;
    /// A number that nobody can guess.
    fn random(&self) -> u64;
}

/// Where a delivery's end is told: the file it lies in, or why not.
pub type Delivered = oneshot::Sender<io::Result<PathBuf>>;

/// local's edge: mailboxes and LMTP servers.
pub trait Mailboxes {
    /// Puts a message into a Maildir, durably.
    fn deliver(&self, delivery: Delivery, delivered: Delivered);
    /// Connects to an LMTP server; the caller bounds how long that may take.
    fn connect<'a>(&'a self, socket: &'a LmtpSocket) -> Pending<'a, io::Result<Box<dyn Stream>>>;
}

/// queue's edge: the spool.
pub trait Store {
    /// Opens the spool for this process alone and starts its committer, which answers to `done`.
    fn open<'a>(
        &'a self,
        config: &'a Config,
        done: UnboundedSender<Done>,
    ) -> Pending<'a, io::Result<(Committer, Recovered)>>;
    /// A number that nobody can guess.
    fn random(&self) -> u64;
}
