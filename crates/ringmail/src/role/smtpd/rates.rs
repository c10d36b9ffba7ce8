//! What each client has taken lately, beyond one session: connections, messages, recipients, refused recipients, errors.
//!
//! A client is an address of IPv4, or a network of IPv6 of 64 bits. Of each thing it has a bucket that holds what it may take in
//! a minute, is full when the client is new, and fills again evenly: at once it may take a minute's worth, and over time as
//! much in each minute. A bucket is kept as one number, the time at which it is full again; so a client that has taken nothing for
//! a minute is as good as one that nobody knows, and is forgotten without loss.
//!
//! The table has a bound. Where it is full those go that owe the least: whoever comes from many addresses and takes little from each
//! pushes out his own, and never one that is at its bound, unless he brings as many others there. It reads no clock and knows
//! no session: time is handed in.

use mail::Time;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Places of the table. With [`Client`] they take 5.2 MiB.
const PLACES: usize = 65_536;
/// Clients that are known at once. A table is filled to seven eighths, and cleans up what was removed without growing as long as it
/// is filled to half of that.
const CLIENTS_MAX: usize = PLACES / 8 * 7 / 2;
/// Of a full table such a part is set free at once, so that what it costs to look at all is shared by many that come.
const SET_FREE: usize = 8;
/// What a bucket holds is what may be taken in this time.
const MINUTE: Duration = Duration::from_mins(1);
/// Of each client one line of the log in this time.
const LINE_EVERY: Duration = MINUTE;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Connections that have brought nothing.
    Connections,
    /// Mail transactions that were begun.
    Messages,
    /// Recipients that were accepted.
    Recipients,
    /// Recipients that were refused.
    Refused,
    /// Commands that are none, or not where they stand.
    Errors,
}

/// How many kinds there are.
const KINDS: usize = Taken::Errors as usize + 1;

impl Taken {
    /// The key that bounds it, as the log names it.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Taken::Connections => "limits.client_connections",
            Taken::Messages => "limits.client_messages",
            Taken::Recipients => "limits.client_recipients",
            Taken::Refused => "limits.client_refused",
            Taken::Errors => "limits.client_errors",
        }
    }
}

/// How much of something may be taken in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// Of what.
    pub(super) taken: Taken,
    /// How many in a minute; 0 is without bound.
    pub(super) a_minute: u32,
}

impl Bound {
    /// How long one takes to come back, in microseconds; none where there is no bound. Numbers above a million a minute, which
    /// no key allows, would round to nothing.
    fn each(self) -> Option<u64> {
        let a_minute = u64::from(self.a_minute);
        minute().checked_div(a_minute).map(|each| each.max(1))
    }
}

fn minute() -> u64 {
    u64::try_from(MINUTE.as_micros()).unwrap_or(u64::MAX)
}

/// What is known of one client. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    /// When each bucket is full again.
    full_at: [u64; KINDS],
    /// When a line of the log was last made of it; 0 for never.
    said_at: u64,
    /// How often it was put off since.
    unsaid: u64,
}

impl Client {
    /// What a bucket lacks, in the time that it takes to come back.
    fn owes(&self, taken: Taken, now: u64) -> u64 {
        // A bucket lacks no more than it holds, whatever was said of the time before.
        self.full_at[taken as usize]
            .saturating_sub(now)
            .min(minute())
    }

    /// When nothing is owed any more.
    fn clear_at(&self) -> u64 {
        self.full_at.into_iter().max().unwrap_or_default()
    }
}

/// All clients that have taken something lately.
pub(super) struct Rates {
    clients: HashMap<IpAddr, Client>,
    clients_max: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self::with_room_for(CLIENTS_MAX)
    }
}

impl Rates {
    fn with_room_for(clients_max: usize) -> Self {
        Self {
            clients: HashMap::new(),
            clients_max,
        }
    }

    /// Whether the client may take one more.
    pub(super) fn has(&self, client: IpAddr, bound: Bound, now: Time) -> bool {
        let (Some(known), Some(each)) = (self.clients.get(&client), bound.each()) else {
            return true;
        };
        let all_but_one = (u64::from(bound.a_minute) - 1) * each;
        known.owes(bound.taken, now.as_micros()) <= all_but_one
    }

    /// It takes one, whether it may or not; below nothing a bucket does not go.
    pub(super) fn count(&mut self, client: IpAddr, bound: Bound, now: Time) {
        let Some(each) = bound.each() else {
            return;
        };
        let now = now.as_micros();
        let known = self.client(client, now);
        let holds = u64::from(bound.a_minute) * each;
        let owes = (known.owes(bound.taken, now) + each).min(holds);
        known.full_at[bound.taken as usize] = now.saturating_add(owes);
    }

    /// It takes one if it may; whether it may.
    pub(super) fn take(&mut self, client: IpAddr, bound: Bound, now: Time) -> bool {
        let has = self.has(client, bound, now);
        if has {
            self.count(client, bound, now);
        }
        has
    }

    /// It gives one back.
    pub(super) fn give_back(&mut self, client: IpAddr, bound: Bound, now: Time) {
        if let (Some(known), Some(each)) = (self.clients.get_mut(&client), bound.each()) {
            let now = now.as_micros();
            let owes = known.owes(bound.taken, now).saturating_sub(each);
            known.full_at[bound.taken as usize] = now + owes;
        }
    }

    /// It was put off; whether a line of the log is due, and then how often it was since the line before. It stays due until
    /// [`Rates::said`].
    pub(super) fn put_off(&mut self, client: IpAddr, now: Time) -> Option<u64> {
        let now = now.as_micros();
        let every = u64::try_from(LINE_EVERY.as_micros()).unwrap_or(u64::MAX);
        let known = self.client(client, now);
        known.unsaid += 1;
        if known.said_at != 0 && now.saturating_sub(known.said_at) < every {
            return None;
        }
        Some(known.unsaid)
    }

    /// The line was made.
    pub(super) fn said(&mut self, client: IpAddr, now: Time) {
        if let Some(known) = self.clients.get_mut(&client) {
            (known.said_at, known.unsaid) = (now.as_micros(), 0);
        }
    }

    fn client(&mut self, client: IpAddr, now: u64) -> &mut Client {
        if self.clients.len() >= self.clients_max && !self.clients.contains_key(&client) {
            self.set_free(now);
        }
        self.clients.entry(client).or_default()
    }

    /// Forgets those that owe nothing, and of the others as many of those that owe least as make an eighth of the table free.
    fn set_free(&mut self, now: u64) {
        self.clients.retain(|_, client| client.clear_at() > now);
        let stay_max = self.clients_max - (self.clients_max / SET_FREE).max(1);
        let Some(go) = self.clients.len().checked_sub(stay_max + 1) else {
            return;
        };
        let mut clear_at: Vec<u64> = self.clients.values().map(Client::clear_at).collect();
        let (_, last_to_go, _) = clear_at.select_nth_unstable(go);
        let last_to_go = *last_to_go;
        // Of those that owe as much as the last, which may be all, no more go than must.
        let mut equals = go + 1 - clear_at[..go].iter().filter(|at| **at < last_to_go).count();
        self.clients.retain(|_, client| {
            let at = client.clear_at();
            let goes = at < last_to_go || at == last_to_go && equals > 0;
            equals -= usize::from(goes && at == last_to_go);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const NOW: Time = Time::from_secs(1_800_000_000);

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    fn of(taken: Taken, a_minute: u32) -> Bound {
        Bound { taken, a_minute }
    }

    fn takes(rates: &mut Rates, client: IpAddr, bound: Bound, now: Time) -> usize {
        (0..100_000)
            .take_while(|_| rates.take(client, bound, now))
            .count()
    }

    #[test]
    fn a_minutes_worth_is_had_at_once_and_comes_back_evenly() {
        let mut rates = Rates::default();
        let (one, other) = (address(1), address(2));
        let bound = of(Taken::Messages, 60);
        assert_eq!(takes(&mut rates, one, bound, NOW), 60);
        assert_eq!(takes(&mut rates, other, bound, NOW), 60);
        let almost = NOW + Duration::from_millis(999);
        assert_eq!(takes(&mut rates, one, bound, almost), 0);
        let second = NOW + Duration::from_secs(1);
        assert_eq!(takes(&mut rates, one, bound, second), 1);
        let later = NOW + Duration::from_secs(11);
        assert_eq!(takes(&mut rates, one, bound, later), 10);
        let hour = NOW + Duration::from_hours(1);
        assert_eq!(takes(&mut rates, one, bound, hour), 60);
    }

    #[test]
    fn each_kind_has_a_bucket_of_its_own_and_nothing_bounds_what_has_no_bound() {
        let mut rates = Rates::default();
        let client = address(1);
        assert_eq!(takes(&mut rates, client, of(Taken::Refused, 3), NOW), 3);
        assert!(rates.has(client, of(Taken::Errors, 1), NOW));
        let unbounded = of(Taken::Refused, 0);
        assert!(rates.has(client, unbounded, NOW));
        assert_eq!(takes(&mut rates, client, unbounded, NOW), 100_000);
        // What was counted without a bound is not held against him when there is one again.
        let minute = NOW + MINUTE;
        assert_eq!(takes(&mut rates, client, of(Taken::Refused, 3), minute), 3);
    }

    #[test]
    fn what_is_counted_beyond_the_bound_is_forgiven_within_a_minute_and_what_is_given_back_is_there()
     {
        let mut rates = Rates::default();
        let (client, bound) = (address(1), of(Taken::Errors, 6));
        for _ in 0..1000 {
            rates.count(client, bound, NOW);
        }
        assert!(!rates.has(client, bound, NOW));
        assert_eq!(takes(&mut rates, client, bound, NOW + MINUTE / 6), 1);
        assert_eq!(takes(&mut rates, client, bound, NOW + MINUTE * 2), 6);
        let now = NOW + MINUTE * 2;
        rates.give_back(client, bound, now);
        rates.give_back(client, bound, now);
        assert_eq!(takes(&mut rates, client, bound, now), 2);
        for _ in 0..100 {
            rates.give_back(client, bound, now);
        }
        assert_eq!(
            takes(&mut rates, client, bound, now),
            6,
            "never more than full"
        );
    }

    #[test]
    fn a_clock_that_went_back_puts_nobody_off_for_more_than_a_minute() {
        let mut rates = Rates::default();
        let (client, bound) = (address(1), of(Taken::Connections, 10));
        assert_eq!(takes(&mut rates, client, bound, NOW), 10);
        let before = NOW - Duration::from_hours(1);
        assert!(!rates.has(client, bound, before));
        rates.count(client, bound, before);
        assert!(rates.has(client, bound, before + MINUTE / 10));
    }

    #[test]
    fn one_line_a_client_a_minute_says_how_often_it_was_put_off() {
        let mut rates = Rates::default();
        let (one, other) = (address(1), address(2));
        assert_eq!(rates.put_off(one, NOW), Some(1));
        assert_eq!(rates.put_off(one, NOW), Some(2), "it was not made");
        rates.said(one, NOW);
        for _ in 0..99 {
            assert_eq!(rates.put_off(one, NOW + MINUTE / 2), None);
        }
        assert_eq!(rates.put_off(other, NOW), Some(1));
        assert_eq!(rates.put_off(one, NOW + MINUTE), Some(100));
    }

    #[test]
    fn a_flood_of_addresses_washes_out_none_that_is_at_its_bound() {
        let mut rates = Rates::default();
        let bound = of(Taken::Refused, 300);
        let connections = of(Taken::Connections, 300);
        let bad: Vec<IpAddr> = (1..=1000).map(address).collect();
        for client in &bad {
            assert_eq!(takes(&mut rates, *client, bound, NOW), 300);
        }
        // Half a million others, within ten seconds, each of which takes a few.
        let mut now = NOW;
        for number in 0..500_000_u128 {
            now = now + Duration::from_micros(20);
            let network = Ipv6Addr::from(0x2001_0db8_u128 << 96 | number << 64);
            for _ in 0..=number % 5 {
                rates.count(network.into(), connections, now);
            }
            assert!(rates.clients.len() <= CLIENTS_MAX);
        }
        let owed = 300 - usize::try_from(now.since(NOW).as_secs() * 5).unwrap();
        for client in bad {
            let had = takes(&mut rates, client, bound, now);
            assert_eq!(had, 300 - owed, "{client} is known still");
        }
    }

    #[test]
    fn those_that_owe_as_much_as_each_other_do_not_all_go() {
        let mut rates = Rates::with_room_for(80);
        for number in 0..80 {
            rates.count(address(number), of(Taken::Errors, 1), NOW);
        }
        rates.count(address(80), of(Taken::Errors, 1), NOW);
        assert_eq!(rates.clients.len(), 71);
    }

    /// Whoever comes, and however often some are forgotten: the places, and an octet for each that says what lies there.
    #[test]
    fn the_table_takes_less_than_six_mebioctets() {
        let mut rates = Rates::default();
        for number in 0..300_000 {
            let now = NOW + Duration::from_micros(number);
            let client = address(u32::try_from(number).unwrap());
            rates.count(client, of(Taken::Errors, 1), now);
        }
        let places = rates.clients.capacity() / 7 * 8;
        assert!(places <= PLACES, "{places} places");
        let octets = PLACES * (size_of::<(IpAddr, Client)>() + 1);
        println!("{octets} octets for {CLIENTS_MAX} clients");
        assert!(octets < 6 << 20, "{octets}");
    }

    /// A bucket as it is drawn: a level that rises, and what has run over. Levels are in microseconds of filling.
    #[derive(Clone, Copy, Default)]
    struct Plain {
        level: Option<u64>,
        at: u64,
    }

    impl Plain {
        fn fill(&mut self, a_minute: u32, now: u64) -> (&mut u64, u64, u64) {
            let each = 60_000_000 / u64::from(a_minute);
            let full = each * u64::from(a_minute);
            let level = self.level.unwrap_or(full);
            let level = (level + (now - self.at)).min(full);
            self.at = now;
            (self.level.insert(level), each, full)
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Take,
        Count,
        GiveBack,
    }

    proptest! {
        #[test]
        fn it_decides_as_buckets_do_that_are_kept_for_ever(
            a_minute in [1_u32..2000, 1..2000, 1..2000, 1..2000, 1..2000],
            acts in prop::collection::vec((
                prop_oneof![Just(0_u64), 0..1_000_000_u64, 0..90_000_000_u64],
                0..4_u32,
                0..KINDS,
                prop_oneof![8 => Just(Act::Take), 2 => Just(Act::Count), 1 => Just(Act::GiveBack)],
                1..400_u32,
            ), 0..200),
        ) {
            const ALL: [Taken; KINDS] = [
                Taken::Connections, Taken::Messages, Taken::Recipients, Taken::Refused, Taken::Errors,
            ];
            let mut rates = Rates::default();
            let mut plain = [[Plain::default(); KINDS]; 4];
            let mut now = NOW;
            for (pause, client, kind, act, times) in acts {
                now = now + Duration::from_micros(pause);
                let bound = of(ALL[kind], a_minute[kind]);
                let bucket = &mut plain[client as usize][kind];
                let client = address(client);
                for _ in 0..times {
                    let (level, each, full) = bucket.fill(bound.a_minute, now.as_micros());
                    prop_assert_eq!(rates.has(client, bound, now), *level >= each);
                    match act {
                        Act::Take => {
                            let may = *level >= each;
                            prop_assert_eq!(rates.take(client, bound, now), may);
                            *level -= if may { each } else { 0 };
                        }
                        Act::Count => {
                            rates.count(client, bound, now);
                            *level = level.saturating_sub(each);
                        }
                        Act::GiveBack => {
                            rates.give_back(client, bound, now);
                            *level = (*level + each).min(full);
                        }
                    }
                }
            }
        }

        #[test]
        fn whoever_comes_there_are_never_more_clients_than_the_table_may_have(
            room in 1..40_usize,
            acts in prop::collection::vec((0..20_000_000_u64, 0..200_u32, 0..KINDS, 1..30_u32), 0..300),
        ) {
            let mut rates = Rates::with_room_for(room);
            let mut now = NOW;
            for (pause, client, kind, times) in acts {
                now = now + Duration::from_micros(pause);
                let kind = [Taken::Connections, Taken::Messages, Taken::Recipients, Taken::Refused, Taken::Errors][kind];
                for _ in 0..times {
                    rates.take(address(client), of(kind, 20), now);
                }
                prop_assert!(rates.clients.len() <= room);
                prop_assert!(rates.clients.contains_key(&address(client)));
            }
        }
    }
}
