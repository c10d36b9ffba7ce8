//! Who has how many of the sessions, and what is done when there are more clients than sessions.
//!
//! Where all are taken, who has fewer than others takes one from whoever has the most: the one that has brought nothing for the
//! longest. A flood of clients that only hold their sessions open, from however many addresses, leaves a share to each client
//! that comes. RFC 5321 §4.5.3.2 gives a client five minutes for each command, and has them as long as there is room.

use crate::drive::place::Place;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a session has brought nothing that goes for a client with fewer: time for a few commands, and for the next
/// 4,096 octets of what comes at a modest pace.
const IDLE_OF_MANY: Duration = Duration::from_secs(3);
/// How long one has that goes for a client with as many.
const IDLE_OF_EQUALS: Duration = Duration::from_secs(10);
/// Those that were told to go and do so slowly, beside a quarter of all: so many more sessions there may be.
const GOING_SLOWLY: usize = 16;
/// Clients with the most sessions that are looked at for one that comes.
const LOOKED_AT: usize = 16;

/// The open sessions.
#[derive(Default)]
pub(super) struct Crowd {
    /// By client: who could choose the order of a table of hashes would make it slow.
    open: RefCell<BTreeMap<(IpAddr, u64), Rc<Place>>>,
    counts: RefCell<BTreeMap<IpAddr, usize>>,
    /// The same by count, without those that the administrator lists: they are never told to go.
    by_count: RefCell<BTreeSet<(usize, IpAddr)>>,
    /// Those that were told to go and have not gone yet.
    going: Rc<Cell<usize>>,
}

/// One session's, until it is dropped.
pub(super) struct Held {
    crowd: Rc<Crowd>,
    /// Who it is.
    pub(super) client: IpAddr,
    number: u64,
    /// Its client is listed by the administrator.
    pub(super) is_ours: bool,
    /// Its place.
    pub(super) place: Rc<Place>,
}

impl Crowd {
    /// One more session, of this number, of whoever has this address.
    pub(super) fn enter(self: &Rc<Self>, number: u64, peer: IpAddr, is_ours: bool) -> Held {
        let client = client(peer);
        let place = Rc::new(Place::new(&self.going));
        let key = (client, number);
        self.open.borrow_mut().insert(key, Rc::clone(&place));
        self.count(client, is_ours, 1);
        Held {
            crowd: Rc::clone(self),
            client,
            number,
            is_ours,
            place,
        }
    }

    fn count(&self, client: IpAddr, is_ours: bool, change: isize) {
        let mut counts = self.counts.borrow_mut();
        let before = counts.get(&client).copied().unwrap_or_default();
        let now = before.saturating_add_signed(change);
        if now == 0 {
            counts.remove(&client);
        } else {
            counts.insert(client, now);
        }
        if !is_ours {
            let mut by_count = self.by_count.borrow_mut();
            by_count.remove(&(before, client));
            if now > 0 {
                by_count.insert((now, client));
            }
        }
    }

    /// The session that has brought nothing for the longest, of the clients with the most.
    fn to_go(&self, for_count: usize) -> Option<Rc<Place>> {
        let (open, now) = (self.open.borrow(), Instant::now());
        let by_count = self.by_count.borrow();
        let most = by_count.iter().rev().take(LOOKED_AT);
        let candidates =
            most.take_while(|(count, _)| *count >= for_count)
                .flat_map(|(count, client)| {
                    let idle_min = if *count > for_count {
                        IDLE_OF_MANY
                    } else {
                        IDLE_OF_EQUALS
                    };
                    let of_client = open.range((*client, 0)..=(*client, u64::MAX));
                    of_client
                        .map(|(_, place)| place)
                        .filter(move |place| !place.is_told() && now - place.since() >= idle_min)
                });
        candidates.min_by_key(|place| place.since()).map(Rc::clone)
    }
}

impl Held {
    /// How many sessions its client has, this among them.
    pub(super) fn count(&self) -> usize {
        let counts = self.crowd.counts.borrow();
        counts.get(&self.client).copied().unwrap_or_default()
    }

    /// Whether there is room for this one, which has just entered: so many may be open, beside those that are about to go. Where
    /// there is none another is told to go, if one is to go for this one.
    pub(super) fn has_room(&self, sessions_max: usize) -> bool {
        let open = self.crowd.open.borrow().len();
        let going_max = sessions_max / 4 + GOING_SLOWLY;
        if open <= sessions_max + self.crowd.going.get().min(going_max) {
            return true;
        }
        if open > sessions_max + going_max {
            return false;
        }
        // Who is listed by the administrator comes before everybody who is not.
        let for_count = if self.is_ours { 0 } else { self.count() };
        let to_go = self.crowd.to_go(for_count);
        to_go.inspect(|place| place.tell()).is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let key = (self.client, self.number);
        self.crowd.open.borrow_mut().remove(&key);
        self.crowd.count(self.client, self.is_ours, -1);
        self.place.left_now();
    }
}

/// Who an address is: of IPv6 its network of 64 bits, which is the least that anybody is given (RFC 6177 §2).
fn client(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Street {
        crowd: Rc<Crowd>,
        number: Cell<u64>,
    }

    impl Street {
        fn comes(&self, address: &str, is_ours: bool) -> Held {
            self.number.set(self.number.get() + 1);
            let peer = address.parse().unwrap();
            self.crowd.enter(self.number.get(), peer, is_ours)
        }
    }

    #[test]
    fn each_client_has_its_own_and_nothing_is_kept_of_who_has_none() {
        let street = Street::default();
        let one = |text: &str| street.comes(text, false);
        let first = one("192.0.2.1");
        let (second, other) = (one("192.0.2.1"), one("192.0.2.2"));
        assert_eq!((first.count(), second.count(), other.count()), (2, 2, 1));
        drop(first);
        assert_eq!(second.count(), 1);
        let (host, beside) = (one("2001:db8:0:1::1"), one("2001:db8:0:1:ffff::2"));
        let behind = one("2001:db8:0:2::1");
        assert_eq!((host.count(), beside.count(), behind.count()), (2, 2, 1));
        drop((second, other, host, beside, behind));
        assert!(street.crowd.counts.borrow().is_empty());
        assert!(street.crowd.by_count.borrow().is_empty());
        assert!(street.crowd.open.borrow().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_fewer_takes_from_who_has_most() {
        let street = Street::default();
        let many: Vec<Held> = (0..4).map(|_| street.comes("192.0.2.1", false)).collect();
        let few = street.comes("192.0.2.2", false);
        let first = street.comes("192.0.2.3", false);
        assert!(!first.has_room(5), "all have just come");
        drop(first);
        tokio::time::advance(IDLE_OF_MANY).await;
        many[0].place.came(5000);
        let second = street.comes("192.0.2.3", false);
        assert!(second.has_room(5));
        assert!(
            many[1].place.is_told(),
            "the first of those that brought nothing"
        );
        assert!(!many[0].place.is_told() && !few.place.is_told());
        assert_eq!(street.crowd.going.get(), 1);
        // Who has the most takes from nobody.
        let more = street.comes("192.0.2.1", false);
        assert!(!more.has_room(5));
        drop(more);
        // One that was told and brings something stays.
        many[1].place.came(5000);
        assert_eq!(street.crowd.going.get(), 0);
        assert!(second.has_room(5), "another is told instead");
        assert!(many[2].place.is_told());
    }

    #[tokio::test(start_paused = true)]
    async fn among_equals_a_long_silence_goes_and_who_is_listed_never() {
        let street = Street::default();
        let listed = street.comes("192.0.2.9", true);
        let one = street.comes("192.0.2.1", false);
        tokio::time::advance(IDLE_OF_MANY).await;
        let other = street.comes("192.0.2.2", false);
        assert!(!other.has_room(2));
        drop(other);
        tokio::time::advance(IDLE_OF_EQUALS).await;
        let other = street.comes("192.0.2.2", false);
        assert!(other.has_room(2));
        assert!(one.place.is_told() && !listed.place.is_told());
        drop(one);
        assert_eq!(street.crowd.going.get(), 0);
        // One who is listed takes from anybody, however many he has.
        tokio::time::advance(IDLE_OF_MANY).await;
        let another = street.comes("192.0.2.9", true);
        assert!(another.has_room(2) && other.place.is_told());
        other.place.brought();
        drop(another);
        tokio::time::advance(IDLE_OF_EQUALS).await;
        other.place.came(5000);
        assert!(!street.comes("192.0.2.3", false).has_room(2));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_go_slowly_do_not_make_room_without_end() {
        let street = Street::default();
        let _slow: Vec<Held> = (0..60).map(|_| street.comes("192.0.2.1", false)).collect();
        tokio::time::advance(IDLE_OF_EQUALS).await;
        let mut held = Vec::new();
        while held.len() < 100 {
            let one = street.comes(&format!("192.0.2.{}", held.len() + 2), false);
            if !one.has_room(60) {
                break;
            }
            held.push(one);
        }
        assert_eq!(held.len(), 60 / 4 + GOING_SLOWLY);
    }
}
