//! What arrived of a load: each message once, whole, and when the last one came. The sink and the Maildir tell it;
//! the bench asks.

use crate::message::{self, Tag};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is known of a load that is under way; clones speak of the same load.
#[derive(Clone)]
pub struct Arrivals(Arc<Shared>);

struct Shared {
    /// Messages of the load that came, duplicates not counted: read often, without the lock.
    came: AtomicUsize,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    /// `None`: all that is whole counts.
    tag: Option<Tag>,
    /// By number; grows.
    seen: Vec<bool>,
    twice: usize,
    spoilt: usize,
    last: Option<Instant>,
}

/// What is wrong with what came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Never came.
    pub missing: usize,
    /// Came more than once.
    pub twice: usize,
    /// Came and was not whole.
    pub spoilt: usize,
}

impl Faults {
    /// Whether each came once and whole.
    pub fn none(self) -> bool {
        self == Self::default()
    }
}

impl Arrivals {
    /// Nothing came yet.
    pub fn new(tag: Tag) -> Self {
        Self::of(Some(tag))
    }

    /// The same for all loads together; what comes twice is not noticed.
    pub fn of_all() -> Self {
        Self::of(None)
    }

    fn of(tag: Option<Tag>) -> Self {
        let ledger = Mutex::new(Ledger {
            tag,
            seen: Vec::new(),
            twice: 0,
            spoilt: 0,
            last: None,
        });
        Self(Arc::new(Shared {
            came: AtomicUsize::new(0),
            ledger,
        }))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a content as the sink got it.
    pub fn take_wire(&self, wire: &[u8]) {
        self.take(message::read(wire), Instant::now());
    }

    /// Takes a message that was read, or `None` for one that was not whole; `when` it came.
    pub fn take(&self, read: Option<(Tag, usize)>, when: Instant) {
        let mut ledger = self.ledger();
        let Some((tag, number)) = read else {
            ledger.spoilt += 1;
            return;
        };
        if ledger.tag.is_none() {
            self.0.came.fetch_add(1, Ordering::Release);
            return;
        }
        // Mail of an earlier load is late, and nothing to this one.
        if ledger.tag != Some(tag) {
            return;
        }
        if ledger.seen.len() <= number {
            ledger.seen.resize(number + 1, false);
        }
        if std::mem::replace(&mut ledger.seen[number], true) {
            ledger.twice += 1;
            return;
        }
        ledger.last = Some(when);
        self.0.came.fetch_add(1, Ordering::Release);
    }

    /// How many came.
    pub fn came(&self) -> usize {
        self.0.came.load(Ordering::Acquire)
    }

    /// When the last one came.
    pub fn last(&self) -> Option<Instant> {
        self.ledger().last
    }

    /// What is wrong, when messages 0 to `sent` - 1 were sent.
    pub fn faults(&self, sent: usize) -> Faults {
        let ledger = self.ledger();
        let came = ledger.seen.iter().take(sent).filter(|seen| **seen).count();
        let never_sent = ledger.seen.iter().skip(sent).filter(|seen| **seen).count();
        Faults {
            missing: sent - came,
            twice: ledger.twice,
            spoilt: ledger.spoilt + never_sent,
        }
    }
}

/// Waits until `enough` came by what `came` says; false when nothing new came for `patience`.
pub fn wait(came: impl Fn() -> usize, enough: usize, patience: Duration) -> bool {
    let (mut known, mut since) = (came(), Instant::now());
    loop {
        let now = came();
        if now >= enough {
            return true;
        }
        if now != known {
            (known, since) = (now, Instant::now());
        }
        if since.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_twice_or_spoilt_is_told() {
        let arrivals = Arrivals::new(1);
        let now = Instant::now();
        for read in [Some((1, 0)), Some((1, 2)), Some((1, 2)), None, Some((5, 1))] {
            arrivals.take(read, now);
        }
        assert_eq!(arrivals.came(), 2);
        let expected = Faults {
            missing: 1,
            twice: 1,
            spoilt: 1,
        };
        assert_eq!(arrivals.faults(3), expected);
        assert_eq!(arrivals.last(), Some(now));
        arrivals.take(Some((1, 1)), now);
        assert_eq!(arrivals.faults(3).missing, 0);
    }
}
