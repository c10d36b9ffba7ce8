//! How many signatures there may be: more than one process can shake hands, and far fewer than would be worth asking for
//! to whoever has taken it over.

use std::time::{Duration, Instant};

/// Signatures in a second, over any length of time. A processor shakes hands some 5,000 times a second at most.
const PER_SECOND: u32 = 5_000;
/// Signatures at once.
const AT_ONCE: u32 = 5_000;

/// What may be taken now.
pub struct Rate {
    left: u32,
    counted: Instant,
}

impl Rate {
    /// All that may be taken at once.
    pub fn full(now: Instant) -> Self {
        Self {
            left: AT_ONCE,
            counted: now,
        }
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / PER_SECOND;
        let passed = now.saturating_duration_since(self.counted).as_nanos() / each.as_nanos();
        if passed > 0 {
            let more = u32::try_from(passed).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(AT_ONCE);
            self.counted = now;
        }
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or(0);
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_bounded_and_so_is_what_follows() {
        let start = Instant::now();
        let mut rate = Rate::full(start);
        let taken = (0..2 * AT_ONCE).filter(|_| rate.take(start)).count();
        assert_eq!(taken, AT_ONCE as usize);
        let later = start + Duration::from_millis(100);
        let taken = (0..AT_ONCE).filter(|_| rate.take(later)).count();
        assert_eq!(taken, PER_SECOND as usize / 10);
        let much_later = start + Duration::from_hours(1);
        let taken = (0..2 * AT_ONCE).filter(|_| rate.take(much_later)).count();
        assert_eq!(taken, AT_ONCE as usize);
    }
}
