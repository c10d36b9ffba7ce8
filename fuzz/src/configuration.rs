//! The configuration: any text. What loads refuses to relay for a stranger, says of each recipient the same
//! with and without its reasons, and reads again as the same; what does not load says why, with a place that
//! exists.

use mail::{Destination, Domain, ForwardPath, LocalPart, Mailbox, ReversePath, Route};
use policy::{Client, Decision, Listener, Parameters, Policy, Refusal};
use ringmail::config::{self, Config, Errors};
use ringmail::ipc::spawn::Situation;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

const PATH: &str = "ringmail.toml";
/// Texts so short make up for nothing but themselves.
const SHORT_OCTETS: usize = 4;
/// Networks of a configuration whose neighbours are tried.
const NETWORKS_MAX: usize = 8;

/// Any octets as a configuration.
pub fn run(data: &[u8]) {
    check(data, &|_| {});
}

/// A reader that lets everybody relay where a network of eight bits is listed.
pub fn planted(data: &[u8]) {
    check(data, &|parameters| {
        let everybody = policy::Network::parse("0.0.0.0/0").expect("a constant");
        for listed in &mut parameters.relay_from {
            if listed.network.is_ipv4() && listed.network.bits() == 8 {
                listed.network = everybody;
            }
        }
    });
}

type Mistake<'a> = &'a dyn Fn(&mut Parameters);

fn check(data: &[u8], mistake: Mistake<'_>) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for situation in [Situation::Run, Situation::Try] {
        let mut config = match Config::parse(text, PATH, situation) {
            Ok(config) => config,
            Err(errors) => {
                says_why(&errors.to_string(), errors.count());
                listed(&errors, text);
                continue;
            }
        };
        shows(&config, text, situation);
        let written = networks(&config.policy);
        mistake(&mut config.policy);
        let policy = Policy::new(config.policy);
        for ip in strangers(&written) {
            refuses(&policy, ip, situation);
        }
    }
    if text.len() < SHORT_OCTETS {
        fixed();
    }
}

/// What does not depend on the text, looked at with the shortest only.
fn fixed() {
    for (path, words) in [
        ("/dev/null/ringmail.toml", ""),
        ("/nowhere/ringmail.toml", "no such file"),
        ("/", "a folder"),
        ("/dev/zero", "larger than"),
    ] {
        let said = Config::load(Path::new(path), Situation::Run).expect_err("no configuration");
        assert_eq!(said.count(), 1);
        assert!(said.to_string().contains(words), "{said}");
    }
    assert!(config::of_role("", PATH, Situation::Run).is_err());
    for example in &config::EXAMPLES {
        assert!(!example.doc().is_empty());
        for situation in [Situation::Run, Situation::Try] {
            if let Err(errors) = Config::parse(example.text, PATH, situation) {
                says_why(&errors.to_string(), errors.count());
                listed(&errors, example.text);
            }
        }
    }
    assert!(config::schema()["properties"].is_object());
}

/// Mistakes that are shown; of more than these only the number is.
const SHOWN: usize = 100;

/// Every mistake stands there, with a place: a line and a column, or the file where it is what the file lacks.
fn says_why(said: &str, count: usize) {
    assert!(count > 0, "refused without a mistake");
    let shown = count.min(SHOWN);
    let titles = said.lines().filter(|line| line.starts_with("error: "));
    assert!(titles.count() >= shown, "{count} mistakes: {said}");
    let places = said.lines().filter(|line| {
        let Some(rest) = line.trim_start().strip_prefix("--> ringmail.toml") else {
            return false;
        };
        let mut numbers = rest.split(':').skip(1).map(str::parse::<usize>);
        numbers.all(|number| number.is_ok_and(|number| number > 0))
    });
    assert!(places.count() >= shown, "{count} places: {said}");
    assert_eq!(
        count > SHOWN,
        said.contains(&format!("and {} more", count.saturating_sub(SHOWN)))
    );
}

/// Each mistake by itself, at a place that the text has; a terminal is told the same as a file.
fn listed(errors: &Errors, text: &str) {
    assert_eq!(errors.list().count(), errors.count());
    for said in errors.list() {
        assert!(!said.title.is_empty());
        if said.line > 0 {
            let line = text.split('\n').nth(said.line as usize - 1);
            let characters = line.expect("a line that there is").chars().count();
            assert!(
                (1..=characters + 1).contains(&said.column),
                "{}",
                said.title
            );
        }
    }
    assert!(errors.render(true).len() >= errors.render(false).len());
}

/// It can be shown, and reads again as the same.
fn shows(config: &Config, text: &str, situation: Situation) {
    let shown = |config: &Config| config::show(&config.entries(true), true);
    let again = Config::parse(text, PATH, situation).expect("it loaded before");
    assert_eq!(shown(&again), shown(config));
    assert_eq!(again.policy, config.policy);
    assert_eq!(config::changes(config, &again), []);
    for difference in config.differences() {
        assert_ne!(difference.default.as_ref(), Some(&difference.entry.value));
    }
    assert!(config.entries(true).len() >= config.entries(false).len());
    let printed = shown(config);
    let meant = Config::parse(&printed, PATH, situation);
    let meant = meant.unwrap_or_else(|errors| panic!("{errors}\nwas shown as\n{printed}"));
    assert_eq!(
        config::show(&meant.entries(true), false),
        config::show(&config.entries(true), false)
    );
}

/// What `relay.from` lists: the lowest address, and how many bits count.
fn networks(parameters: &Parameters) -> Vec<(IpAddr, u8)> {
    let listed = parameters.relay_from.iter();
    listed
        .map(|listed| (listed.network.address(), listed.network.bits()))
        .collect()
}

/// Whether the address has the network's leading bits.
fn is_in(ip: IpAddr, (address, bits): (IpAddr, u8)) -> bool {
    let agree = match (ip, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    agree >= u32::from(bits)
}

/// Addresses in no network: a few of the world, and the neighbours of each network.
fn strangers(networks: &[(IpAddr, u8)]) -> Vec<IpAddr> {
    let mut ips = vec![
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77)),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1)),
    ];
    for (address, bits) in networks.iter().take(NETWORKS_MAX) {
        match address {
            IpAddr::V4(v4) => {
                let size = 1u32.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                for bits in [
                    v4.to_bits().wrapping_sub(1),
                    v4.to_bits().wrapping_add(size),
                ] {
                    let v4 = Ipv4Addr::from_bits(bits);
                    ips.extend([IpAddr::V4(v4), IpAddr::V6(v4.to_ipv6_mapped())]);
                }
            }
            IpAddr::V6(v6) => {
                let size = 1u128.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                for bits in [
                    v6.to_bits().wrapping_sub(1),
                    v6.to_bits().wrapping_add(size),
                ] {
                    ips.push(IpAddr::V6(Ipv6Addr::from_bits(bits)));
                }
            }
        }
    }
    ips.retain(|ip| !networks.iter().any(|n| is_in(ip.to_canonical(), *n)));
    ips
}

/// A stranger's mail to somebody elsewhere is refused; in `try` it ends in a folder here.
fn refuses(policy: &Policy, ip: IpAddr, situation: Situation) {
    let parameters = policy.parameters();
    let elsewhere = [
        "relay.test.invalid",
        "[198.51.100.9]",
        "[IPv6:2001:db8::9]",
        "[x:y]",
    ];
    for domain in elsewhere {
        let domain = Domain::parse(domain).expect("a constant");
        if parameters.domains.contains_key(&domain) || parameters.hostname == domain {
            continue;
        }
        for name in ["victim", "postmaster", "a%b", "root"] {
            let mailbox = Mailbox {
                local_part: LocalPart::from_meant(name).expect("a constant"),
                domain: domain.clone(),
            };
            let path = ForwardPath::Mailbox(mailbox.clone());
            for listener in [Listener::Mx, Listener::Submission(None)] {
                let client = Client { ip, listener };
                let verdict = policy.recipient(client, &ReversePath::Null, &path);
                let story = policy.explain_recipient(client, &ReversePath::Null, &path);
                assert_eq!(story.verdict, verdict);
                match verdict.decision {
                    Decision::Refuse(refusal) => assert!(
                        matches!(refusal, Refusal::RelayingDenied | Refusal::LoginNeeded)
                            || situation == Situation::Try,
                        "{ip} to {path}: {refusal:?}"
                    ),
                    Decision::Accept(_) => {
                        assert_eq!(situation, Situation::Try, "{ip} relays to {path}");
                        stays_here(policy, &mailbox);
                    }
                }
            }
        }
    }
}

fn stays_here(policy: &Policy, mailbox: &Mailbox) {
    match policy.route(mailbox) {
        Route::Nowhere(..) | Route::To(Destination::Maildir(_) | Destination::Home { .. }) => {}
        Route::To(other) => panic!("{mailbox} leaves for {other:?}"),
    }
}
