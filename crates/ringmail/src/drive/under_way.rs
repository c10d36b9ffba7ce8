//! What is under way when a role is told to end: sessions, attempts, commands. It is waited for, for a time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// Counts what is under way.
#[derive(Default)]
pub struct UnderWay {
    count: Cell<usize>,
    ending: Cell<bool>,
    ended: Notify,
}

/// One that is under way, until it is dropped.
pub struct Counted(Rc<UnderWay>);

impl UnderWay {
    /// One more.
    pub fn one(self: &Rc<Self>) -> Counted {
        self.count.set(self.count.get() + 1);
        Counted(Rc::clone(self))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// Whether the end is waited for: nothing more should begin.
    pub fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Waits until nothing is under way, at most so long.
    pub async fn finish(&self, longest: Duration) {
        self.ending.set(true);
        let all_ended = async {
            while self.count.get() > 0 {
                self.ended.notified().await;
            }
        };
        // What goes on for longer is cut off.
        let _ = tokio::time::timeout(longest, all_ended).await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_waited_for_and_what_does_not_is_not_for_ever() {
        crate::role::in_event_loop(async {
            let under_way: Rc<UnderWay> = Rc::default();
            let (one, stays) = (under_way.one(), under_way.one());
            tokio::task::spawn_local(async move {
                tokio::task::yield_now().await;
                drop(one);
            });
            under_way.finish(Duration::from_millis(50)).await;
            assert!(under_way.is_ending());
            assert_eq!(under_way.count(), 1);
            drop(stays);
            under_way.finish(Duration::from_hours(1)).await;
            assert_eq!(under_way.count(), 0);
            Ok(())
        })
        .unwrap();
    }
}
