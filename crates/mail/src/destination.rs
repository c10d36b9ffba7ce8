//! Where a recipient's mail is taken: the answer of routing, and what attempts are grouped by.

use crate::{Domain, Status};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an LMTP server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LmtpSocket {
    /// A Unix socket's absolute path.
    Unix(Box<str>),
    /// Host name or address, and port.
    Tcp(Box<str>, u16),
}

impl fmt::Display for LmtpSocket {
    /// For the log and for commands of the administrator, never for a peer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LmtpSocket::Unix(path) => f.write_str(path),
            LmtpSocket::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// How a host that the configuration names is spoken to: as its address begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scheme {
    /// `smtp://`: under TLS where the host offers it, whoever's certificate it shows (RFC 3207).
    Smtp,
    /// `smtps://`: under TLS from the first octet (RFC 8314 §3.3), with a certificate of the host's name.
    Smtps,
    /// `starttls://`: under TLS after STARTTLS, with a certificate of the host's name, or not at all.
    StartTls,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 3] = [Scheme::Smtp, Scheme::Smtps, Scheme::StartTls];

    /// What stands before `://`.
    pub const fn word(self) -> &'static str {
        match self {
            Scheme::Smtp => "smtp",
            Scheme::Smtps => "smtps",
            Scheme::StartTls => "starttls",
        }
    }

    /// The port where none is written: SMTP's, and those of submission (RFC 8314 §7.3, RFC 6409 §3.1).
    pub const fn port(self) -> u16 {
        match self {
            Scheme::Smtp => 25,
            Scheme::Smtps => 465,
            Scheme::StartTls => 587,
        }
    }

    /// Whether the host has to show a certificate of its name.
    pub const fn is_verified(self) -> bool {
        !matches!(self, Scheme::Smtp)
    }
}

/// Where a recipient's mail is taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Destination {
    /// Into the Maildir at this absolute path.
    Maildir(Box<str>),
    /// Into the Maildir of this name in the home of this user of the machine, by a process that is he.
    Home {
        /// Whose: a name of the machine's list of users.
        user: Box<str>,
        /// The Maildir's path below his home.
        folder: Box<str>,
    },
    /// To an LMTP server (RFC 2033).
    Lmtp(LmtpSocket),
    /// To the hosts that DNS names for this domain (RFC 5321 §5), or to an address literal.
    Mx(Domain),
    /// To a host that the configuration names, and its port.
    SmartHost(Scheme, Box<str>, u16),
}

impl Destination {
    /// Whether the `local` role takes it, and not `relay`.
    pub fn is_local(&self) -> bool {
        matches!(
            self,
            Destination::Maildir(_) | Destination::Home { .. } | Destination::Lmtp(_)
        )
    }

    /// Whether the next hop is named by the configuration. What such a hop says of itself stays out
    /// of reports: it would leak inner names.
    pub fn is_inner(&self) -> bool {
        !matches!(self, Destination::Mx(_))
    }
}

impl fmt::Display for Destination {
    /// For the log and for commands of the administrator, never for a peer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Maildir(path) => write!(f, "maildir:{path}"),
            Destination::Home { user, folder } => write!(f, "maildir:~{user}/{folder}"),
            Destination::Lmtp(socket) => write!(f, "lmtp:{socket}"),
            Destination::Mx(domain) => write!(f, "mx:{domain}"),
            Destination::SmartHost(scheme, host, port) => {
                write!(f, "{}://{host}:{port}", scheme.word())
            }
        }
    }
}

/// The answer of routing for one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Mail goes there.
    To(Destination),
    /// There is no way, for good: a status code and fixed words.
    Nowhere(Status, &'static str),
}
