//! One clock for a process: the wall's time when it began, and a steady clock since. It never runs
//! backwards while the process lives, whatever happens to the wall's time. The steady clock is the event
//! loop's own, so that a simulation's loop brings its own time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Begins with the wall's time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    began_micros: u64,
}

impl Clock {
    /// Reads the wall's time once.
    pub fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::start_at(u64::try_from(wall.as_micros()).unwrap_or(u64::MAX))
    }

    /// Takes this for the wall's time, in microseconds since 1970-01-01T00:00:00 UTC.
    pub fn start_at(wall_micros: u64) -> Self {
        Self {
            began: Instant::now(),
            began_micros: wall_micros,
        }
    }

    /// Microseconds since 1970-01-01T00:00:00 UTC.
    pub fn now_micros(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.began_micros.saturating_add(since)
    }

    /// The steady clock's instant at which [`Clock::now_micros`] will say `micros`; now, if it is past.
    pub fn instant_at(&self, micros: u64) -> Instant {
        let wait = Duration::from_micros(micros.saturating_sub(self.began_micros));
        // Beyond what an Instant can say (NEVER): a year, after which a waiter just looks again.
        let year = Duration::from_hours(365 * 24);
        self.began.checked_add(wait.min(year)).unwrap_or(self.began)
    }
}
