//! How long to wait between attempts.

use mail::Time;
use std::time::Duration;

/// Doubling pauses, scattered by a quarter so that what failed together does not return together.
#[derive(Debug)]
pub struct Retry {
    delay_min: Duration,
    delay_max: Duration,
    random: u64,
}

impl Retry {
    /// Pauses from `delay_min` to `delay_max`.
    pub fn new(delay_min: Duration, delay_max: Duration, seed: u64) -> Self {
        Self {
            delay_min,
            delay_max,
            random: seed,
        }
    }

    /// Other pauses from now on.
    pub fn set_delays(&mut self, delay_min: Duration, delay_max: Duration) {
        (self.delay_min, self.delay_max) = (delay_min, delay_max);
    }

    /// When to try again after this many attempts.
    pub fn next(&mut self, attempts: u32, now: Time) -> Time {
        let doubled = self
            .delay_min
            .saturating_mul(1 << attempts.saturating_sub(1).min(16));
        let delay = doubled.min(self.delay_max);
        // splitmix64
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let thousandths = u32::try_from((mixed >> 32) % 500).unwrap_or(0);
        now + delay.mul_f64(0.75 + f64::from(thousandths) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_scattered() {
        let mut retry = Retry::new(Duration::from_mins(5), Duration::from_hours(4), 1);
        let now = Time::from_secs(0);
        for (attempts, secs) in [(1, 300), (2, 600), (3, 1200), (7, 14_400), (40, 14_400)] {
            let pause = retry.next(attempts, now).since(now).as_secs();
            assert!(
                (secs * 3 / 4..=secs * 5 / 4).contains(&pause),
                "{attempts}: {pause}"
            );
        }
        assert_ne!(retry.next(1, now), retry.next(1, now));
    }
}
