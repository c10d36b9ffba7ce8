//! Lines of the log that strangers can cause as many of as they like: of a flood a few a second, and how many more.

use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// Lines of one second.
const LINES: u32 = 10;
/// That second.
const SECOND: Duration = Duration::from_secs(1);

/// What was said lately, of one kind.
#[derive(Default)]
pub struct Paced {
    began: Cell<Option<Instant>>,
    said: Cell<u32>,
    unsaid: Cell<u64>,
}

impl Paced {
    /// Whether one more may be said now; then with how many were not since the last.
    pub fn take(&self) -> Option<u64> {
        let now = Instant::now();
        if self.began.get().is_none_or(|began| now - began >= SECOND) {
            self.began.set(Some(now));
            self.said.set(0);
        }
        if self.said.get() >= LINES {
            self.unsaid.set(self.unsaid.get() + 1);
            return None;
        }
        self.said.set(self.said.get() + 1);
        Some(self.unsaid.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_a_few_are_said_and_the_others_counted() {
        let paced = Paced::default();
        let said = (0..1000).filter(|_| paced.take().is_some()).count();
        assert_eq!(said, 10);
        tokio::time::advance(SECOND).await;
        assert_eq!(paced.take(), Some(990));
        assert_eq!(paced.take(), Some(0));
    }
}
