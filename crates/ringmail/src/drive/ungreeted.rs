//! Connections to one address that wait for its greeting are few at a time.
//!
//! Some hosts keep few connections for the program to accept (a `listen` of five is common). What comes above that is
//! acknowledged to us and forgotten there, where the kernel answers with cookies, and since the server speaks first we
//! would wait for a greeting that never comes: five minutes (RFC 5321 §4.5.3.2.1), with the mail held meanwhile. So a
//! next hop is not stormed: the next connection is made when an earlier one is greeted, has ended, or was not greeted for
//! a while.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// Connections to one address that are not greeted yet: fewer than the shortest queue that servers ask for, so that
/// others find room in it too.
const UNGREETED_MAX: usize = 3;
/// How long a message waits for its turn to connect; another host, or another hour, may be better then.
const TURN_WAIT: Duration = Duration::from_mins(1);

/// Whose turn it is, for each address.
#[derive(Default)]
pub struct Ungreeted(RefCell<BTreeMap<SocketAddr, Weak<Semaphore>>>);

/// How long a connection that is not greeted keeps others from being made: one that the host has forgotten would do so for
/// five minutes, and the host be there for others.
const TURN_HOLD: Duration = Duration::from_secs(10);

/// The right to connect to one address. It ends with the greeting, and keeps nobody else waiting for longer than
/// [`TURN_HOLD`].
pub struct Turn(AbortHandle);

impl Turn {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        let held = tokio::task::spawn_local(async move {
            tokio::time::sleep(TURN_HOLD).await;
            drop(permit);
        });
        Self(held.abort_handle())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ungreeted {
    /// A turn, if one is free; else who is waited for.
    pub fn turn(&self, address: SocketAddr) -> Result<Turn, Queue> {
        let mut known = self.0.borrow_mut();
        let semaphore = known.get(&address).and_then(Weak::upgrade);
        let semaphore = semaphore.unwrap_or_else(|| {
            // Those that nobody waits for any more go where one is added.
            known.retain(|_, semaphore| semaphore.strong_count() > 0);
            let new = Arc::new(Semaphore::new(UNGREETED_MAX));
            known.insert(address, Arc::downgrade(&new));
            new
        });
        Arc::clone(&semaphore)
            .try_acquire_owned()
            .map(Turn::new)
            .map_err(|_| Queue(semaphore))
    }
}

/// Those who wait for the greetings of one address.
pub struct Queue(Arc<Semaphore>);

impl Queue {
    /// A turn, in the order asked; none where that takes too long.
    pub async fn wait(self) -> Option<Turn> {
        let turn = tokio::time::timeout(TURN_WAIT, self.0.acquire_owned()).await;
        turn.ok().and_then(Result::ok).map(Turn::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 25))
    }

    async fn locally(test: impl Future<Output = ()>) {
        tokio::task::LocalSet::new().run_until(test).await;
    }

    fn take(ungreeted: &Ungreeted) -> Vec<Turn> {
        let turns = (0..UNGREETED_MAX).map(|_| ungreeted.turn(address(1)).ok());
        turns.collect::<Option<_>>().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_for_one_address_and_others_have_theirs() {
        locally(async {
            let ungreeted = Ungreeted::default();
            let held = take(&ungreeted);
            assert!(ungreeted.turn(address(1)).is_err());
            assert!(ungreeted.turn(address(2)).is_ok());
            drop(held);
            tokio::task::yield_now().await;
            assert!(ungreeted.turn(address(1)).is_ok());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_is_forgotten() {
        locally(async {
            let ungreeted = Ungreeted::default();
            for last in 0..=255 {
                drop(ungreeted.turn(address(last)));
                tokio::task::yield_now().await;
            }
            assert_eq!(ungreeted.0.borrow().len(), 1);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_has_his_turn_when_one_is_greeted_or_is_not_for_long() {
        locally(async {
            let ungreeted = Ungreeted::default();
            let began = tokio::time::Instant::now();
            let mut held = take(&ungreeted);
            let queue = || ungreeted.turn(address(1)).err().unwrap();
            let (first, second) = (queue(), queue());
            // One is greeted.
            held.pop();
            held.extend(first.wait().await);
            assert_eq!(began.elapsed(), Duration::ZERO);
            // None is greeted, and none lets go.
            assert!(second.wait().await.is_some());
            assert_eq!(began.elapsed(), TURN_HOLD);
            assert_eq!(held.len(), UNGREETED_MAX);
        })
        .await;
    }
}
