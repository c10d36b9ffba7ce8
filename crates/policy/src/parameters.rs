//! What the configuration says of addresses, as meant: the input of every decision.

use crate::network::canonical;
use crate::{Network, Senders};
use mail::{Domain, LmtpSocket, LocalPart, Mailbox, Scheme};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// Where in the configuration something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The key, such as `domain."example.org".users`.
    pub key: Box<str>,
    /// The line, from 1; 0 where the file does not say it.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{} is not set", self.key),
            line => write!(f, "line {line}: {}", self.key),
        }
    }
}

/// A network whose clients may send to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayFrom {
    /// The network.
    pub network: Network,
    /// Where it is listed.
    pub origin: Origin,
}

/// The host that takes all mail for domains that are not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmartHost {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Host name, or IP address without brackets.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
}

/// What stands on the right of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A name without a domain: of the alias's own domain, or of the home domain for `[aliases]`.
    Name(LocalPart),
    /// A whole mailbox, of ours or elsewhere.
    Mailbox(Mailbox),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Name(name) => name.fmt(f),
            Target::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

/// One alias: a name that stands for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Whom it stands for; at least one.
    pub targets: Vec<Target>,
    /// Where it is written.
    pub origin: Origin,
}

/// Aliases by name, in lower case.
pub type Aliases = BTreeMap<Box<str>, Alias>;

/// Who has a mailbox in a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// These, in lower case, and nobody else.
    Listed(BTreeSet<Box<str>>),
    /// Not known here: the next hop decides.
    Any,
}

/// Where mail for a domain of ours is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// Into a Maildir: an absolute path with `{domain}` and `{user}`.
    Maildir(Box<str>),
    /// Into a Maildir in the home of the machine's user of that name: its path below the home.
    Home(Box<str>),
    /// To an LMTP server.
    Lmtp(LmtpSocket),
    /// To the hosts DNS names for the domain.
    Mx,
}

/// One domain of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRule {
    /// Who has a mailbox.
    pub users: Users,
    /// Names that stand for others.
    pub aliases: Aliases,
    /// Where mail is taken.
    pub deliver: Deliver,
    /// Who gets mail for names that nobody has.
    pub catch_all: Option<Target>,
    /// What divides a user name from its detail (RFC 5233); nothing does where it is empty.
    pub separators: Box<str>,
    /// Where the section starts.
    pub origin: Origin,
}

/// What divides a user name from its detail where no domain says otherwise: at the hostname, and under `try`.
pub const SEPARATORS: &str = "+";

/// Everything that decisions are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Our published name. Its own addresses are those of `aliases`.
    pub hostname: Domain,
    /// Our domains.
    pub domains: BTreeMap<Domain, DomainRule>,
    /// `[aliases]`: for the hostname, for names without a domain, and for the postmaster of all domains.
    pub aliases: Aliases,
    /// Who may send to anybody.
    pub relay_from: Vec<RelayFrom>,
    /// Under which addresses besides his own each login may send.
    pub senders: Senders,
    /// Who takes mail for other domains; their MX where none is set.
    pub relay_to: Option<SmartHost>,
    /// Only for `try`: every domain is ours, every user exists, and this is the Maildir template.
    pub any_domain: Option<Box<str>>,
}

impl Parameters {
    /// Where a client is listed as one that may send to anybody, if it is.
    pub(crate) fn listed(&self, client: IpAddr) -> Option<&RelayFrom> {
        let ip = canonical(client);
        let mut all = self.relay_from.iter();
        all.find(|listed| listed.network.contains(ip))
    }

    /// No domain, no alias, nobody may relay: refuses everything.
    pub fn empty(hostname: Domain) -> Self {
        Self {
            hostname,
            domains: BTreeMap::new(),
            aliases: Aliases::new(),
            relay_from: Vec::new(),
            senders: Senders::default(),
            relay_to: None,
            any_domain: None,
        }
    }

    /// What divides a user name from its detail in this domain.
    pub fn separators(&self, domain: &Domain) -> &str {
        self.domains
            .get(domain)
            .map_or(SEPARATORS, |rule| &rule.separators)
    }

    /// The domain that names without a domain belong to: the hostname, or the nearest domain of ours that
    /// it lies in; the hostname again where there is none.
    pub fn home(&self) -> &Domain {
        let mut rest = self.hostname.name().unwrap_or_default();
        loop {
            let found = self.domains.keys().find(|d| d.name() == Some(rest));
            match (found, rest.split_once('.')) {
                (Some(domain), _) => return domain,
                (None, Some((_, parent))) => rest = parent,
                (None, None) => return &self.hostname,
            }
        }
    }
}
