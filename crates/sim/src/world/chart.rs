//! The chart of a virtual world: who lives where, and where mail for an address must end. It is written down
//! here once more, apart from the policy brain, so that the two can be compared.

use std::net::{IpAddr, Ipv4Addr};

/// The host name of the machine under test.
pub const HOSTNAME: &str = "mx.home.test";
/// Recipients of one transaction, as configured.
pub const RECIPIENTS_MAX: usize = 100;
/// Sessions at once, as configured.
pub const SESSIONS_MAX: usize = 8;
/// How long a message is tried, in hours, as configured.
pub const EXPIRY_HOURS: u64 = 24;
/// When a sender is told of a delay where that is on, in minutes.
pub const NOTICE_MINUTES: u64 = 45;
/// The longest pause between attempts, in minutes, as configured.
pub const RETRY_MINUTES_MAX: u64 = 120;

/// Domains of the world beyond, each with its own hosts.
pub const FAR: [&str; 4] = ["far0.test", "far1.test", "far2.test", "far3.test"];
/// A domain whose hosts never answer.
pub const DEAD: &str = "dead.test";
/// A domain that DNS does not have.
pub const GONE: &str = "gone.test";
/// A domain that takes no mail, and says so in DNS.
pub const NULL_MX: &str = "nomail.test";

/// A domain whose only MX is this machine, under another name: nothing may come of it but reports.
pub const BACK: &str = "back.test";

/// Where a copy of a message must end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In this user's Maildir.
    Maildir(String),
    /// At an LMTP server, under this address.
    Lmtp(String),
    /// At a next hop, under this address.
    Hop(String),
}

impl Place {
    /// Whether mail for this mailbox, after aliases, ends here.
    pub fn is_of(&self, mailbox: &str) -> bool {
        match self {
            Place::Lmtp(address) | Place::Hop(address) => address == mailbox,
            Place::Maildir(_) => places(mailbox, false).contains(self),
        }
    }
}

/// What differs from world to world in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// All mail for others goes to one host.
    pub smart_host: bool,
    /// What `relay.from` lists.
    pub relay_from: &'static str,
    /// Recipients of one transaction.
    pub recipients: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Senders are told of delays.
    pub delay_notice: bool,
}

/// The configuration of the machine.
pub fn configuration(variant: Variant) -> String {
    let Variant {
        smart_host,
        relay_from,
        recipients,
        sessions,
        delay_notice,
    } = variant;
    let notice = if delay_notice {
        format!("delay_notice = \"{NOTICE_MINUTES}m\"\n")
    } else {
        String::new()
    };
    let to = if smart_host {
        "to = \"smtp://203.0.113.250:2525\"\n"
    } else {
        ""
    };
    format!(
        "hostname = \"{HOSTNAME}\"\nspool = \"/spool\"\nruntime = \"/run\"\n\
         [listen]\nmx = \"127.0.0.1:25\"\n\
         [aliases]\npostmaster = \"u0@home.test\"\nroot = \"postmaster\"\n\
         [domain.\"home.test\"]\nusers = [\"u0\", \"u1\", \"u2\", \"u3\"]\ndeliver = \"maildir:/mail/{{domain}}/{{user}}\"\n\
         aliases = {{ postmaster = \"u0\", team = [\"u1\", \"u2\", \"x@far0.test\"], away = \"good@far1.test\", bounce = \"bad@far2.test\" }}\n\
         [domain.\"lists.test\"]\nusers = [\"l0\", \"l1\", \"bad\", \"full\"]\naliases = {{ postmaster = \"l0\" }}\ndeliver = \"lmtp:/lmtp\"\n\
         [relay]\n{to}from = [{relay_from}]\n\
         [queue]\nexpiry = \"{EXPIRY_HOURS}h\"\nretry_delay_max = \"{RETRY_MINUTES_MAX}m\"\n{notice}\
         [limits]\nrecipients = {recipients}\nsessions = {sessions}\n"
    )
}

/// A client that nobody listed.
pub fn stranger() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 7).into()
}

/// A client that may send to anybody.
pub fn friend() -> IpAddr {
    Ipv4Addr::new(10, 1, 2, 3).into()
}

/// Where mail for an address must end; nothing for an address that must be refused to a stranger.
pub fn places(address: &str, friend: bool) -> Vec<Place> {
    let hop = |address: &str| Place::Hop(address.to_owned());
    let maildir = |user: &str| Place::Maildir(format!("/mail/home.test/{user}"));
    let Some((user, domain)) = address.split_once('@') else {
        return Vec::new();
    };
    match (user, domain) {
        ("team", "home.test") => vec![maildir("u1"), maildir("u2"), hop("x@far0.test")],
        ("away", "home.test") => vec![hop("good@far1.test")],
        ("bounce", "home.test") => vec![hop("bad@far2.test")],
        ("postmaster", "home.test") => vec![maildir("u0")],
        (user, "home.test") => match user.split('+').next() {
            Some(user @ ("u0" | "u1" | "u2" | "u3")) => vec![maildir(user)],
            _ => Vec::new(),
        },
        ("l0" | "l1" | "bad" | "full", "lists.test") => vec![Place::Lmtp(address.to_owned())],
        (_, "lists.test") => Vec::new(),
        _ if friend => vec![hop(address)],
        _ => Vec::new(),
    }
}

/// What DNS says of a domain's mail: preference and exchange; `None`: it has no such record.
pub fn mx(domain: &str) -> Option<Vec<(u16, Box<str>)>> {
    match domain {
        // Of the last its own address counts; the first does not exist at all.
        GONE | "far3.test" => None,
        NULL_MX => Some(vec![(0, ".".into())]),
        BACK => Some(vec![(10, "other.back.test.".into())]),
        DEAD => Some(vec![(10, "a.dead.test.".into())]),
        _ => Some(vec![
            (20, format!("b.{domain}.").into()),
            (10, format!("a.{domain}.").into()),
        ]),
    }
}

/// The address of a host; `None`: no such name.
pub fn address(host: &str) -> Option<IpAddr> {
    let host = host.trim_end_matches('.');
    let last = match host {
        "other.back.test" => return Some(Ipv4Addr::LOCALHOST.into()),
        "far3.test" => 30,
        "a.dead.test" => 200,
        _ => {
            let (which, domain) = host.split_once('.')?;
            let number = u8::try_from(FAR.iter().position(|far| *far == domain)?).ok()?;
            match which {
                "a" => number * 10,
                "b" => number * 10 + 1,
                _ => return None,
            }
        }
    };
    Some(Ipv4Addr::new(203, 0, 113, last).into())
}
