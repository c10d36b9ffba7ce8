//! How the TLS that the policy brain says is had with a next hop, and what is tried where none comes to be.
//!
//! Where nothing is demanded a handshake that fails, or is not answered, is made once more without the share that makes its
//! hello large, and then mail goes in clear, all in the same attempt: TLS to a host that nobody verifies is there against
//! those who listen, and must not hold mail up.

use crate::drive::tls::client::{Exchange, To};
use policy::Tls;
use smtp::client::Security;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

/// How one connection to a host is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Under TLS, with this exchange of keys.
    Tls(Exchange),
    /// In clear.
    Clear,
}

/// Whom a handshake is with.
pub fn to<'a>(tls: &'a Tls, host: &'a str, ip: IpAddr) -> To<'a> {
    match &tls.verified {
        Some(name) => To::Verified { name },
        None => To::Anybody { name: host, ip },
    }
}

/// What the session is told, on a connection of this level.
pub fn security(tls: &Tls, level: Level) -> Security {
    match level {
        Level::Clear => Security::AsItIs,
        Level::Tls(_) if tls.at_once => Security::AsItIs,
        Level::Tls(_) if tls.verified.is_some() => Security::Demanded,
        Level::Tls(_) => Security::Offered,
    }
}

/// What is tried, in order.
pub fn levels(tls: &Tls, small_hello: bool) -> impl Iterator<Item = Level> {
    let hybrid = (!small_hello).then_some(Level::Tls(Exchange::Hybrid));
    let clear = tls.verified.is_none().then_some(Level::Clear);
    let classic = Level::Tls(Exchange::Classic);
    hybrid.into_iter().chain([classic]).chain(clear)
}

/// Addresses that answer a small hello and swallow a large one.
#[derive(Default)]
pub struct SmallHellos(BTreeMap<SocketAddr, Instant>);

/// How long that is believed.
const BELIEVED: Duration = Duration::from_hours(24);
/// Addresses that are known at once.
const KNOWN_MAX: usize = 1000;

impl SmallHellos {
    /// Whether this is one.
    pub fn has(&self, address: SocketAddr) -> bool {
        let since = self.0.get(&address);
        since.is_some_and(|since| since.elapsed() < BELIEVED)
    }

    /// It is one.
    pub fn add(&mut self, address: SocketAddr) {
        if self.0.len() >= KNOWN_MAX {
            let oldest = self.0.iter().min_by_key(|(_, since)| **since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(address, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: Level = Level::Tls(Exchange::Hybrid);
    const CLASSIC: Level = Level::Tls(Exchange::Classic);

    fn tried(tls: &Tls, small_hello: bool) -> Vec<(Level, Security)> {
        let levels = levels(tls, small_hello);
        levels.map(|level| (level, security(tls, level))).collect()
    }

    #[test]
    fn where_nothing_is_demanded_all_is_tried_and_clear_is_the_last() {
        let tls = Tls {
            verified: None,
            at_once: false,
        };
        let all = [
            (HYBRID, Security::Offered),
            (CLASSIC, Security::Offered),
            (Level::Clear, Security::AsItIs),
        ];
        assert_eq!(tried(&tls, false), all);
        assert_eq!(tried(&tls, true), all[1..]);
        let to = to(&tls, "mx.b.test", [192, 0, 2, 1].into());
        assert!(matches!(to, To::Anybody { name, .. } if name == "mx.b.test"));
    }

    #[test]
    fn what_is_demanded_never_goes_in_clear() {
        for (at_once, told) in [(false, Security::Demanded), (true, Security::AsItIs)] {
            let verified = Some("b.test".to_owned());
            let tls = Tls { verified, at_once };
            assert_eq!(tried(&tls, false), [(HYBRID, told), (CLASSIC, told)]);
            let to = to(&tls, "elsewhere.test", [192, 0, 2, 1].into());
            assert!(matches!(to, To::Verified { name } if name == "b.test"));
        }
    }

    #[test]
    fn those_who_swallow_are_known_within_bounds() {
        let mut known = SmallHellos::default();
        let address = |n: usize| SocketAddr::from(([192, 0, 2, 1], u16::try_from(n).unwrap()));
        for n in 0..=KNOWN_MAX {
            known.add(address(n));
        }
        assert_eq!(known.0.len(), KNOWN_MAX);
        assert!(!known.has(address(0)) && known.has(address(1)));
    }
}
