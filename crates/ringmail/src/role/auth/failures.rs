//! From where wrong passwords came lately. Who guesses hears no more than that he may try later, whatever he says; who was
//! right before from the same network, with the same name, is not held up by others there.
//!
//! What is answered tells nothing of names: a wrong password has the answer of its network, whoever's it is, and every
//! password is looked at, so that the time tells nothing either. Names that were right count only for who is right.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong passwords at once: programs of a whole household that were not told of a new one.
const AT_ONCE: u32 = 20;
/// How long one counts: over a day some 1,400 guesses are left to one network, where a word of eight random letters takes
/// hundreds of thousands of years.
const EACH: Duration = Duration::from_mins(1);
/// Sources that are known at once; each is some hundred octets.
const SOURCES: usize = 10_000;
/// Names that were right, by network, that are known at once.
const KNOWN: usize = 10_000;

/// An address, or all that one customer of a provider has (RFC 6177 §2: at least a /64).
type Network = IpAddr;

/// Whose guesses are counted: a network's, and those at each name that was right from there.
type Source = (Network, Option<Box<str>>);

/// What is known.
#[derive(Default)]
pub struct Failures {
    /// When the last of them has been forgotten.
    until: BTreeMap<Source, Instant>,
    /// Which names were right, and when last.
    right: BTreeMap<(Network, Box<str>), Instant>,
}

impl Failures {
    /// Whether so many were wrong from there that a wrong one is not told so any more.
    pub fn are_too_many(&self, peer: IpAddr, now: Instant) -> bool {
        self.is_full(&(network(peer), None), now)
    }

    /// Whether who is right may be told so: else guesses would go on.
    pub fn lets_in(&self, peer: IpAddr, user: &str, now: Instant) -> bool {
        let known = (network(peer), user.into());
        let is_known = self.right.contains_key(&known);
        !self.is_full(&(known.0, is_known.then_some(known.1)), now)
    }

    /// Whether somebody was right from there lately.
    pub fn knows(&self, peer: IpAddr) -> bool {
        let network = network(peer);
        let first = self.right.range((network, "".into())..).next();
        first.is_some_and(|((other, _), _)| *other == network)
    }

    /// One more was wrong.
    pub fn wrong(&mut self, peer: IpAddr, user: &str, now: Instant) {
        let known = (network(peer), user.into());
        self.count((known.0, None), now);
        if self.right.contains_key(&known) {
            self.count((known.0, Some(known.1)), now);
        }
    }

    /// One was right.
    pub fn right(&mut self, peer: IpAddr, user: &str, now: Instant) {
        let known = (network(peer), user.into());
        if self.right.len() >= KNOWN && !self.right.contains_key(&known) {
            let oldest = self.right.iter().min_by_key(|(_, when)| **when);
            let oldest = oldest.map(|(known, _)| known.clone());
            oldest.and_then(|known| self.right.remove(&known));
        }
        self.right.insert(known, now);
    }

    fn is_full(&self, source: &Source, now: Instant) -> bool {
        let until = self.until.get(source);
        until.is_some_and(|until| until.saturating_duration_since(now) > EACH * (AT_ONCE - 1))
    }

    fn count(&mut self, source: Source, now: Instant) {
        if self.until.len() >= SOURCES && !self.until.contains_key(&source) {
            self.until.retain(|_, until| *until > now);
            // A flood of networks: whoever is forgotten first anyway.
            if self.until.len() >= SOURCES {
                let first = self.until.iter().min_by_key(|(_, until)| **until);
                let first = first.map(|(source, _)| source.clone());
                first.and_then(|source| self.until.remove(&source));
            }
        }
        let until = self.until.entry(source).or_insert(now);
        // No more than a full measure: who goes on guessing keeps it full, and it runs out when he stops.
        *until = ((*until).max(now) + EACH).min(now + EACH * AT_ONCE);
    }
}

/// The network of an address.
pub fn network(peer: IpAddr) -> Network {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 8));

    /// Whether a guess is told that it was one.
    fn guess(failures: &mut Failures, peer: IpAddr, user: &str, now: Instant) -> bool {
        let told = !failures.are_too_many(peer, now);
        failures.wrong(peer, user, now);
        told
    }

    #[test]
    fn who_guesses_is_soon_told_nothing_and_others_are() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let told = (0..1000).filter(|n| guess(&mut failures, HOME, &format!("u{n}"), start));
        assert_eq!(told.count(), AT_ONCE as usize);
        assert!(!failures.are_too_many(ELSEWHERE, start));
        assert!(failures.lets_in(ELSEWHERE, "u1", start));
        assert!(!failures.lets_in(HOME, "u1", start));
        // A full measure has run out, and no more than what runs out since is told of.
        let hour = start + Duration::from_hours(1);
        let told =
            (0..60).filter(|minute| guess(&mut failures, HOME, "ann", hour + EACH * *minute));
        assert_eq!(told.count(), 60);
        let told = (0..1000).filter(|_| guess(&mut failures, HOME, "ann", hour + EACH * 60));
        assert_eq!(told.count(), AT_ONCE as usize);
    }

    #[test]
    fn who_was_right_from_there_is_let_in_though_others_guess() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        failures.right(HOME, "ann", now);
        assert!(failures.knows(HOME) && !failures.knows(ELSEWHERE));
        while guess(&mut failures, HOME, "bob", now) {}
        assert!(!failures.lets_in(HOME, "eve", now));
        assert!(failures.lets_in(HOME, "ann", now));
        // Guesses at his own name are counted for themselves.
        for _ in 0..AT_ONCE {
            failures.wrong(HOME, "ann", now);
        }
        assert!(!failures.lets_in(HOME, "ann", now));
    }

    /// The answers to wrong passwords are the same for a name that was right from there and for one that is none.
    #[test]
    fn no_answer_tells_who_was_right() {
        for order in [["ann", "nobody"], ["nobody", "ann"]] {
            let answers = |first: &str, then: &str| {
                let (mut failures, now) = (Failures::default(), Instant::now());
                failures.right(HOME, "ann", now);
                let names = [first; 25].into_iter().chain([then; 25]);
                let told = names.map(|name| guess(&mut failures, HOME, name, now));
                told.collect::<Vec<bool>>()
            };
            assert_eq!(answers(order[0], order[1]), answers(order[1], order[0]));
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let told = (0..1000_u128).filter(|host| {
            let peer = Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | host);
            guess(&mut failures, peer.into(), "ann", now)
        });
        assert_eq!(told.count(), AT_ONCE as usize);
    }

    #[test]
    fn a_flood_of_networks_takes_no_more_memory() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for n in 0..u32::try_from(SOURCES).unwrap() + 50 {
            let peer = IpAddr::V4(n.into());
            failures.wrong(peer, "ann", now);
            failures.right(peer, "ann", now);
        }
        assert_eq!(failures.until.len(), SOURCES);
        assert_eq!(failures.right.len(), KNOWN);
    }
}
