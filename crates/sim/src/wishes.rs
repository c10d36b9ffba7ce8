//! What administrators write and what clients ask, from a seed: configurations as text, and transactions that know
//! the tricks. What a wish says of itself is kept beside its text, so that a test can judge without asking the code
//! that is judged.

use crate::rng::Rng;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A configuration, and what it says, in terms that need no policy brain.
#[derive(Debug, Default)]
pub struct Wish {
    /// The file.
    pub text: String,
    /// The hostname and the domains, in lower case.
    pub ours: BTreeSet<String>,
    /// Every whole address that an alias or a catch-all leads to, in lower case.
    pub targets: BTreeSet<String>,
    /// `relay.from`: addresses and leading bits, as they are written.
    pub relay_from: Vec<(IpAddr, u32)>,
    /// `auth.senders`: logins and what they are granted, in lower case.
    pub senders: Vec<(String, Vec<String>)>,
    /// Whole addresses of listed users that no alias has, in lower case.
    pub users: BTreeSet<String>,
}

/// How a client comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comes {
    /// At `listen.mx`.
    AsServer,
    /// At `listen.submission`, without a login.
    AsNobody,
    /// There, with this login.
    As(String),
}

/// One client and one recipient.
#[derive(Clone, Debug)]
pub struct Try {
    /// The client's address.
    pub ip: IpAddr,
    /// Its door.
    pub comes: Comes,
    /// What it calls itself.
    pub helo: String,
    /// Between the brackets of MAIL.
    pub reverse_path: String,
    /// Between the brackets of RCPT.
    pub forward_path: String,
}

const HOSTNAMES: [&str; 3] = ["mail.us.example", "us.example", "MX.elsewhere.example"];
const DOMAINS: [&str; 4] = [
    "us.example",
    "All.example",
    "mail.us.example",
    "far-mx.example",
];
const FOREIGN: [&str; 6] = [
    "other.example",
    "x.us.example",
    "xus.example",
    "example",
    "us.example.other",
    "far.example",
];
const NAMES: [&str; 12] = [
    "ann",
    "bob",
    "eve",
    "info",
    "sales",
    "root",
    "postmaster",
    "abuse",
    "c+d",
    "a-b",
    "first.last",
    "odd%name",
];
/// Names that a domain of ours may have as aliases.
const ALIASES: [&str; 5] = ["postmaster", "info", "Sales", "odd!name", "ann"];
/// Besides names of ours, what logins are granted.
const GRANTS: [&str; 4] = [
    "*",
    "@other.example",
    "Boss@far.example",
    "\\\"odd name\\\"@client.example",
];
const SEPARATORS: [&str; 5] = ["", "+", "-", "+-", "."];
const OUTSIDE: [&str; 4] = [
    "x@far.example",
    "\\\"odd name\\\"@far.example",
    "Copy@Other.example",
    "list@[192.0.2.9]",
];

impl Rng {
    /// True so many times in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Wish {
    /// A configuration that somebody might write. Most load; some have a mistake.
    pub fn new(rng: &mut Rng) -> Self {
        let mut wish = Self::default();
        let hostname = *rng.pick(&HOSTNAMES);
        wish.ours.insert(hostname.to_ascii_lowercase());
        // Writing into a String does not fail, here and below.
        let _ = writeln!(
            wish.text,
            "hostname = \"{hostname}\"\n[listen]\nmx = \"[::]:25\""
        );
        wish.relay(rng);
        wish.limits(rng);
        wish.auth(rng);
        let mut names = Vec::new();
        for _ in 0..rng.below(4) {
            let domain = *rng.pick(&DOMAINS);
            if !names.contains(&domain) || rng.chance(2) {
                names.push(domain);
            }
        }
        for domain in &names {
            wish.domain(domain, rng);
        }
        if names.is_empty() || rng.chance(85) {
            wish.text.push_str("[aliases]\n");
            let first = *rng.pick(&["postmaster", "root"]);
            let target = wish.target(&[], rng);
            let _ = writeln!(wish.text, "{first} = {target}");
            for name in ["ops", "Info"] {
                if rng.chance(40) {
                    let target = wish.target(&[first], rng);
                    let _ = writeln!(wish.text, "{name} = {target}");
                }
            }
        }
        wish
    }

    fn relay(&mut self, rng: &mut Rng) {
        let mut lines = String::new();
        if rng.chance(60) {
            let mut networks = Vec::new();
            for _ in 0..=rng.below(4) {
                let (ip, bits) = network(rng);
                self.relay_from.push((ip, bits));
                networks.push(format!("\"{ip}/{bits}\""));
            }
            let _ = writeln!(lines, "from = [{}]", networks.join(", "));
        }
        if rng.chance(30) {
            lines.push_str("to = \"smtp://smart.example.net\"\n");
        }
        if !lines.is_empty() {
            let _ = write!(self.text, "[relay]\n{lines}");
        }
    }

    fn limits(&mut self, rng: &mut Rng) {
        if rng.chance(30) {
            let errors = 1 + rng.below(20);
            let recipients = 100 + rng.below(3);
            let _ = writeln!(
                self.text,
                "[limits]\nerrors = {errors}\nrecipients = {recipients}"
            );
        }
    }

    fn auth(&mut self, rng: &mut Rng) {
        if rng.chance(50) {
            return;
        }
        self.text.push_str("[auth.senders]\n");
        for _ in 0..=rng.below(3) {
            let login = login(rng);
            let lower = login.to_ascii_lowercase();
            // The same one twice is a mistake.
            if self.senders.iter().any(|(known, _)| *known == lower) {
                continue;
            }
            let count = 1 + rng.below(2);
            let grants: Vec<String> = (0..count)
                .map(|_| match rng.below(4) {
                    0 => format!("{}@{}", rng.pick(&NAMES), rng.pick(&DOMAINS)),
                    1 => format!("@{}", rng.pick(&DOMAINS)),
                    _ => (*rng.pick(&GRANTS)).to_owned(),
                })
                .collect();
            let _ = writeln!(self.text, "\"{login}\" = [\"{}\"]", grants.join("\", \""));
            let plain = |grant: String| grant.replace('\\', "").to_ascii_lowercase();
            let grants = grants.into_iter().map(plain).collect();
            self.senders.push((lower, grants));
        }
    }

    /// Whether what is written may let a login send under an address: it has to be his or granted, but for names of ours
    /// that are no user's, which may be details or aliases.
    pub fn may_let(&self, login: &str, from: &str) -> bool {
        let (login, from) = (login.to_ascii_lowercase(), from.to_ascii_lowercase());
        let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
        let fits =
            |grant: &String| *grant == "*" || *grant == from || *grant == format!("@{domain}");
        let mut granted = self.senders.iter().filter(|(known, _)| *known == login);
        from.is_empty()
            || from == login
            || granted.any(|(_, grants)| grants.iter().any(fits))
            || (self.ours.contains(domain) && !self.users.contains(&from))
    }

    fn domain(&mut self, domain: &str, rng: &mut Rng) {
        self.ours.insert(domain.to_ascii_lowercase());
        let _ = writeln!(self.text, "[domain.\"{domain}\"]");
        let deliver = *rng.pick(&[
            "maildir:/var/mail/{domain}/{user}",
            "maildir:/var/mail/{user}",
            "lmtp:/run/dovecot/lmtp",
            "lmtp:127.0.0.1:24",
            "mx",
        ]);
        let mut users = Vec::new();
        if deliver.starts_with("maildir") || rng.chance(40) {
            for _ in 0..=rng.below(4) {
                let user = *rng.pick(&NAMES);
                if !users.contains(&user) {
                    users.push(user);
                }
            }
            let _ = writeln!(self.text, "users = {users:?}");
            let plain =
                |user: &&&str| !ALIASES.iter().any(|alias| alias.eq_ignore_ascii_case(user));
            let names = users.iter().filter(plain);
            self.users
                .extend(names.map(|user| format!("{user}@{domain}").to_ascii_lowercase()));
        }
        // A user that is an alias too would lead in circles more often than not.
        users.retain(|user| !["postmaster", "info"].contains(user));
        let _ = writeln!(self.text, "deliver = \"{deliver}\"");
        if rng.chance(30) {
            let _ = writeln!(self.text, "separators = {:?}", rng.pick(&SEPARATORS));
        }
        if rng.chance(25) {
            let target = self.address(&users, rng);
            let _ = writeln!(self.text, "catch_all = \"{target}\"");
        }
        let _ = writeln!(self.text, "[domain.\"{domain}\".aliases]");
        for name in ALIASES {
            if rng.chance(if name == "postmaster" { 95 } else { 30 }) {
                let target = self.target(&users, rng);
                let _ = writeln!(self.text, "{name:?} = {target}");
            }
        }
    }

    /// What stands on the right of an alias.
    fn target(&mut self, users: &[&str], rng: &mut Rng) -> String {
        let count = 1 + rng.below(2);
        let targets: Vec<String> = (0..count)
            .map(|_| format!("\"{}\"", self.address(users, rng)))
            .collect();
        format!("[{}]", targets.join(", "))
    }

    fn address(&mut self, users: &[&str], rng: &mut Rng) -> String {
        let address = match rng.below(100) {
            0..2 => return (*rng.pick(&NAMES)).to_owned(),
            2..4 => format!("{}@{}", rng.pick(&NAMES), rng.pick(&DOMAINS)),
            4..75 if !users.is_empty() => return (*rng.pick(users)).to_owned(),
            _ => (*rng.pick(&OUTSIDE)).to_owned(),
        };
        self.targets
            .insert(address.replace('\\', "").to_ascii_lowercase());
        address
    }

    /// Whether the client is in one of the networks that are written.
    pub fn lists(&self, client: IpAddr) -> bool {
        let (client, client_width) = bits_of(client.to_canonical());
        self.relay_from.iter().any(|(ip, bits)| {
            let ((network, width), mut bits) = (bits_of(ip.to_canonical()), *bits);
            if ip.is_ipv6() && width == 32 {
                bits = bits.saturating_sub(96);
            }
            width == client_width
                && (bits == 0 || network >> (width - bits) == client >> (width - bits))
        })
    }

    /// Whether a mailbox is in one of the domains that are written, or is written itself.
    pub fn names(&self, mailbox: &str) -> bool {
        let mailbox = mailbox.to_ascii_lowercase();
        // A domain has no `@`, a quoted local-part may have.
        let domain = mailbox.rsplit_once('@').map_or("", |(_, domain)| domain);
        self.ours.contains(domain) || self.targets.contains(&mailbox)
    }
}

fn bits_of(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// A network, mostly of the kind that is meant, sometimes of the kind that must never load.
fn network(rng: &mut Rng) -> (IpAddr, u32) {
    let (ip, width) = match rng.below(10) {
        0..3 => (IpAddr::V4(Ipv4Addr::from_bits(low(rng))), 32),
        3..5 => (
            IpAddr::V4(Ipv4Addr::new(10, rng.octet(), rng.octet(), rng.octet())),
            32,
        ),
        5 => (
            IpAddr::V4(Ipv4Addr::new(
                172,
                16 + rng.octet() % 16,
                rng.octet() % 2,
                rng.octet() % 3,
            )),
            32,
        ),
        6 => (IpAddr::V4(Ipv4Addr::LOCALHOST), 32),
        7 => (
            IpAddr::V6(Ipv4Addr::from_bits(low(rng)).to_ipv6_mapped()),
            128,
        ),
        _ => (
            IpAddr::V6(Ipv6Addr::from_bits(
                u128::from(rng.draw()) << 64 | u128::from(rng.draw()),
            )),
            128,
        ),
    };
    let bits = match rng.below(12) {
        0 => u32::try_from(rng.below(u64::from(width) + 1)).unwrap_or(0),
        1..5 => width,
        5..7 => width - 8,
        7..9 => width / 4 * 3,
        9 | 10 => width / 2,
        _ => width / 4,
    };
    if rng.chance(3) {
        return (ip, bits);
    }
    // Bits beyond the prefix are a mistake of its own.
    let cut = |bits_of: u128| {
        let rest = width - bits;
        if rest == 128 {
            0
        } else {
            bits_of >> rest << rest
        }
    };
    match ip {
        IpAddr::V4(v4) => {
            let cut = u32::try_from(cut(u128::from(v4.to_bits()))).unwrap_or(0);
            (IpAddr::V4(Ipv4Addr::from_bits(cut)), bits)
        }
        IpAddr::V6(v6) => (IpAddr::V6(Ipv6Addr::from_bits(cut(v6.to_bits()))), bits),
    }
}

fn low(rng: &mut Rng) -> u32 {
    // The upper half is as good as the lower: truncation is meant.
    u32::try_from(rng.draw() >> 32).unwrap_or(0)
}

impl Rng {
    fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }
}

impl Try {
    /// Somebody who asks for somebody, plainly or with a trick.
    pub fn new(wish: &Wish, rng: &mut Rng) -> Self {
        let comes = match rng.below(6) {
            0 => Comes::AsNobody,
            1 | 2 if !wish.senders.is_empty() && rng.coin() => {
                Comes::As(rng.pick(&wish.senders).0.clone())
            }
            1 | 2 => Comes::As(login(rng)),
            _ => Comes::AsServer,
        };
        let reverse_path = match &comes {
            Comes::As(login) if rng.chance(80) => reverse_path(login, wish, rng),
            _ => match rng.below(12) {
                0 => String::new(),
                1 => "no-domain".into(),
                2 => "@a.example,@b.example:c@d.example".into(),
                3 => format!("ann@{}", rng.pick(&DOMAINS)),
                4 => "\"a b\"@client.example".into(),
                _ => "ann@client.example".into(),
            },
        };
        Self {
            ip: client(wish, rng),
            comes,
            helo: match rng.below(20) {
                0 => "not a name".into(),
                1 => "[192.0.2.1]".into(),
                _ => "client.example".into(),
            },
            reverse_path,
            forward_path: forward_path(rng),
        }
    }
}

/// Somebody's login: mostly of a user who may be listed.
fn login(rng: &mut Rng) -> String {
    let name = *rng.pick(&NAMES);
    match rng.below(10) {
        0 => format!("{name}@{}", rng.pick(&FOREIGN)),
        1 => format!("{}@{}", name.to_uppercase(), rng.pick(&DOMAINS)),
        _ => format!("{name}@{}", rng.pick(&DOMAINS)),
    }
}

/// What somebody who is logged in says that he is.
fn reverse_path(login: &str, wish: &Wish, rng: &mut Rng) -> String {
    let (name, domain) = login.rsplit_once('@').unwrap_or((login, ""));
    let granted = wish.senders.iter().find(|(known, _)| known == login);
    match rng.below(12) {
        0 => String::new(),
        1..4 => login.to_owned(),
        4 => login.to_uppercase(),
        5 => format!("{name}{}detail@{domain}", rng.pick(&["+", "-", "."])),
        6 => format!(
            "{}@{domain}",
            rng.pick(&["info", "sales", "postmaster", "ann", "c+d"])
        ),
        7 => format!("{name}@{}", rng.pick(&HOSTNAMES)),
        8 => format!("{name}@{}", rng.pick(&FOREIGN)),
        9 => format!("{}@{}", rng.pick(&NAMES), rng.pick(&DOMAINS)),
        _ => match granted.map(|(_, grants)| rng.pick(grants).clone()) {
            Some(grant) if grant.starts_with('@') => format!("who{grant}"),
            Some(grant) if grant != "*" => grant,
            _ => "boss@far.example".into(),
        },
    }
}

fn client(wish: &Wish, rng: &mut Rng) -> IpAddr {
    if !wish.relay_from.is_empty() && rng.coin() {
        // Somebody in a listed network, or just beside it.
        let (ip, bits) = *rng.pick(&wish.relay_from);
        let (network, width) = bits_of(ip);
        let noise = u128::from(rng.draw()) << 64 | u128::from(rng.draw());
        let rest = (width - bits)
            .saturating_add(u32::from(rng.chance(20)))
            .min(width);
        let noise = if rest == 0 { 0 } else { noise >> (128 - rest) };
        return match ip {
            IpAddr::V4(_) => {
                Ipv4Addr::from_bits(u32::try_from((network ^ noise) & 0xFFFF_FFFF).unwrap_or(0))
                    .into()
            }
            IpAddr::V6(_) => Ipv6Addr::from_bits(network ^ noise).into(),
        };
    }
    match rng.below(8) {
        0 => Ipv4Addr::LOCALHOST.into(),
        1 => Ipv6Addr::LOCALHOST.into(),
        2 => Ipv4Addr::new(172, 17, 0, 1).into(),
        3 => Ipv4Addr::from_bits(low(rng)).to_ipv6_mapped().into(),
        4 => Ipv6Addr::from_bits(u128::from(rng.draw()) << 64 | u128::from(rng.draw())).into(),
        _ => Ipv4Addr::from_bits(low(rng)).into(),
    }
}

fn forward_path(rng: &mut Rng) -> String {
    let (name, ours) = (*rng.pick(&NAMES), *rng.pick(&DOMAINS));
    let foreign = *rng.pick(&FOREIGN);
    let hostname = *rng.pick(&HOSTNAMES);
    match rng.below(26) {
        0..5 => format!("{name}@{ours}"),
        5 => format!("{}@{}", name.to_uppercase(), ours.to_uppercase()),
        6 => format!("{name}{}detail@{ours}", rng.pick(&["+", "-", "."])),
        7 => format!("{name}@{hostname}"),
        8..11 => format!("who@{foreign}"),
        11 => format!("who%{foreign}@{ours}"),
        12 => format!("{foreign}!who@{ours}"),
        13 => format!("\"who@{foreign}\"@{ours}"),
        14 => format!("@{ours}:who@{foreign}"),
        15 => format!("@{foreign},@{ours}:{name}@{ours}"),
        16 => format!("\"{name}\"@{ours}"),
        17 => (*rng.pick(&["postmaster", "Postmaster", "PostMaster@us.example"])).into(),
        18 => format!(
            "who@[{}]",
            rng.pick(&[
                "192.0.2.9",
                "127.0.0.1",
                "IPv6:::1",
                "IPv6:2001:db8::1",
                "0.0.0.0",
                "x:y",
                "999.1.1.1"
            ])
        ),
        19 => format!("who@{foreign}@{ours}"),
        20 => format!("{name}@{ours}."),
        21 => format!("odd{}name@{ours}", rng.pick(&["%", "!"])),
        22 => format!("\"../{name}\"@{ours}"),
        23 => format!("{name}@{ours}> SIZE=<1"),
        24 => format!("{}@{ours}", "a".repeat(240 + usize::from(rng.octet()) % 30)),
        _ => (*rng.pick(&[
            "",
            "@",
            "who",
            "who@",
            "a b@us.example",
            "<who@us.example>",
            "\"who",
        ]))
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_wish() {
        let text = |seed| Wish::new(&mut Rng::new(seed)).text;
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn a_wish_knows_what_it_lists_and_names() {
        let mut wish = Wish::default();
        let mapped = Ipv4Addr::new(20, 0, 0, 0).to_ipv6_mapped();
        wish.relay_from = vec![(Ipv4Addr::new(10, 0, 0, 0).into(), 8), (mapped.into(), 104)];
        for (ip, listed) in [
            ("10.1.2.3", true),
            ("11.0.0.1", false),
            ("::ffff:10.1.2.3", true),
            ("20.9.9.9", true),
            ("::1", false),
        ] {
            assert_eq!(wish.lists(ip.parse().unwrap()), listed, "{ip}");
        }
        wish.ours.insert("us.example".into());
        wish.targets.insert("x@far.example".into());
        assert!(wish.names("\"a@far.example\"@US.example") && wish.names("X@far.example"));
        wish.users.insert("bob@us.example".into());
        let grants = vec!["@them.example".into(), "x@else.example".into()];
        wish.senders.push(("ann@us.example".into(), grants));
        for (from, may) in [
            ("", true),
            ("Ann@us.example", true),
            ("bob@us.example", false),
            ("info@us.example", true),
            ("a@far.example", false),
            ("a@them.example", true),
            ("X@else.example", true),
            ("y@else.example", false),
        ] {
            assert_eq!(wish.may_let("Ann@us.example", from), may, "{from}");
        }
        assert!(!wish.may_let("eve@us.example", "a@them.example"));
        assert!(!wish.names("y@far.example") && !wish.names("a@xus.example"));
    }
}
