//! Time as brains see it: a number that is handed in. Nothing in this crate reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant, in microseconds since 1970-01-01T00:00:00 UTC, leap seconds not counted.
///
/// Whoever drives a brain makes it from a clock that does not run backwards while the process lives.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(u64);

impl Time {
    /// Later than anything: a timer that is not set.
    pub const NEVER: Time = Time(u64::MAX);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The date-time of RFC 5322 §3.3, always in UTC: `Tue, 24 Nov 2026 12:47:00 +0000`.
    pub fn date(self) -> Date {
        Date(self)
    }

    /// The date-time of RFC 3339, always in UTC and with microseconds: `2026-11-24T12:47:00.000000Z`. Stamps of a
    /// later time sort behind those of an earlier one, up to the year 9999.
    pub fn stamp(self) -> Stamp {
        Stamp(self)
    }

    /// Reads what [`Time::stamp`] writes, or the front of it: a date alone is its midnight, a time without seconds
    /// its full minute. Only UTC.
    pub fn parse_stamp(text: &str) -> Option<Time> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
        let number = |text: &str| -> Option<u64> {
            let digits = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok())?
        };
        let mut date = date.split('-').map(number);
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let (time, micros) = match time.split_once('.') {
            Some((time, fraction)) if fraction.len() == 6 => (time, fraction.parse().ok()?),
            Some(_) => return None,
            None => (time, 0),
        };
        let mut time = time.split(':').map(number);
        let (hour, minute) = (time.next()??, time.next()??);
        let second = time.next().unwrap_or(Some(0))?;
        let more = date.next().is_some() || time.next().is_some();
        if more || year < 1970 || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_until(year, usize::try_from(month).ok()?, day)?;
        let secs = days * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Time::from_secs(secs) + Duration::from_micros(micros))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    /// Saturates at [`Time::NEVER`].
    fn add(self, wait: Duration) -> Time {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(micros))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    /// Saturates at the epoch.
    fn sub(self, wait: Duration) -> Time {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(micros))
    }
}

/// Shows a [`Time`] as RFC 5322 §3.3 writes it.
#[derive(Clone, Copy, Debug)]
pub struct Date(Time);

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let (days, rest) = (secs / 86_400, secs % 86_400);
        let (year, month, day) = civil(days);
        write!(
            f,
            "{}, {day} {} {year:04} {:02}:{:02}:{:02} +0000",
            DAYS[usize::try_from(days % 7).expect("below seven")],
            MONTHS[month],
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )
    }
}

/// Shows a [`Time`] as RFC 3339 writes it.
#[derive(Clone, Copy, Debug)]
pub struct Stamp(Time);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let (year, month, day) = civil(secs / 86_400);
        write!(
            f,
            "{year:04}-{:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
            month + 1,
            secs / 3600 % 24,
            secs / 60 % 60,
            secs % 60,
            self.0.as_micros() % 1_000_000
        )
    }
}

/// Days from the epoch to a day of the Gregorian calendar (month 1 to 12), if there is such a day.
fn days_until(year: u64, month: usize, day: u64) -> Option<u64> {
    let months = months(year);
    let length = *months.get(month.checked_sub(1)?)?;
    if year > 9999 || day < 1 || day > length {
        return None;
    }
    let years: u64 = (1970..year).map(year_days).sum();
    Some(years + months[..month - 1].iter().sum::<u64>() + day - 1)
}

/// The lengths of a year's months.
fn months(year: u64) -> [u64; 12] {
    let february = if year_days(year) == 366 { 29 } else { 28 };
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Days since the epoch as year, month (0 to 11) and day (1 to 31) of the Gregorian calendar.
fn civil(days: u64) -> (u64, usize, u64) {
    let mut left = days;
    let mut year = 1970;
    // Whole periods of 400 years first, so that the loop below takes at most 400 turns.
    year += left / 146_097 * 400;
    left %= 146_097;
    while left >= year_days(year) {
        left -= year_days(year);
        year += 1;
    }
    let months = months(year);
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    (year, month, left + 1)
}

fn year_days(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if leap { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_rfc_5322_asks() {
        let shown = |secs| Time::from_secs(secs).date().to_string();
        assert_eq!(shown(0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(shown(951_782_400), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(shown(1_795_524_420), "Tue, 24 Nov 2026 12:47:00 +0000");
        assert_eq!(shown(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 +0000");
        assert_eq!(shown(4_107_542_400), "Mon, 1 Mar 2100 00:00:00 +0000");
    }

    #[test]
    fn stamps_are_read_as_they_are_written() {
        for micros in [
            0,
            951_782_400_000_001,
            1_795_524_420_999_999,
            4_107_542_399_000_000,
        ] {
            let time = Time::from_micros(micros);
            assert_eq!(Time::parse_stamp(&time.stamp().to_string()), Some(time));
        }
        let noon = Time::from_secs(1_795_521_600);
        assert_eq!(noon.stamp().to_string(), "2026-11-24T12:00:00.000000Z");
        for short in [
            "2026-11-24T12:00:00Z",
            "2026-11-24 12:00",
            "2026-11-24T12:00Z",
        ] {
            assert_eq!(Time::parse_stamp(short), Some(noon), "{short}");
        }
        let midnight = noon - Duration::from_hours(12);
        assert_eq!(Time::parse_stamp("2026-11-24"), Some(midnight));
        for bad in [
            "",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-02-29",
            "2026-11-24T24:00",
            "1969-12-31",
            "2026-11-24T1",
            "2026-11-24T12:00:00.1",
            "2026-11-24T12:00:00+01:00",
            "x-y-z",
            "2026-11-24-1",
            "99999-01-01",
        ] {
            assert_eq!(Time::parse_stamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
        assert_eq!(Time::from_secs(1) - Duration::from_secs(2), Time::default());
        assert_eq!(Time::from_secs(1).since(Time::from_secs(5)), Duration::ZERO);
    }
}
