//! Sites: where mail goes, how much of it at once, and when a place is better left alone.
//!
//! A site is a destination as routing gives it. (The set of a domain's MX hosts is what windows should be
//! about; it is known only after DNS, and its place is [`Sites::learn`].)

use mail::{Cause, Class, Destination, Ending, Outcome, QueueId, Time};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Attempts at once to a site that nothing is known of.
pub const WINDOW_START: u32 = 5;
/// Attempts at once to any site.
pub const WINDOW_MAX: u32 = 20;
/// How long a site that failed as a whole is left alone at first, or as long as the first retry's pause where
/// that is shorter; doubled with each failure.
const PAUSE_MIN: Duration = Duration::from_secs(30);
/// The longest time.
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// Sites without mail that are remembered.
const IDLE_MAX: usize = 10_000;

/// Recipients of one message for one site.
#[derive(Clone, Debug)]
pub struct Group {
    /// The message.
    pub queue_id: QueueId,
    /// The site.
    pub destination: Destination,
    /// The recipients' numbers.
    pub numbers: Vec<u32>,
}

#[derive(Debug)]
struct Site {
    window: u32,
    under_way: u32,
    waiting: VecDeque<Group>,
    failures: u32,
    pause_until: Time,
    cause: Option<Cause>,
}

/// All sites, in a ring: each gets its turn, so that none waits behind another.
#[derive(Debug)]
pub struct Sites {
    known: BTreeMap<Destination, Site>,
    /// Sites with waiting groups and room in their window.
    ready: VecDeque<Destination>,
    attempts: HashMap<u64, Group>,
    attempts_max: usize,
    pause_min: Duration,
    number: u64,
}

impl Sites {
    /// No sites yet; at most `attempts_max` attempts under way in all. `retry_delay_min` is the pause before
    /// a message's second attempt.
    pub fn new(attempts_max: usize, retry_delay_min: Duration) -> Self {
        Self {
            known: BTreeMap::new(),
            ready: VecDeque::new(),
            attempts: HashMap::new(),
            attempts_max,
            pause_min: PAUSE_MIN.min(retry_delay_min),
            number: 0,
        }
    }

    /// Other bounds from now on: as for [`Sites::new`].
    pub fn set_bounds(&mut self, attempts_max: usize, retry_delay_min: Duration) {
        (self.attempts_max, self.pause_min) = (attempts_max, PAUSE_MIN.min(retry_delay_min));
    }

    /// A group waits for its site.
    pub fn wait(&mut self, group: Group) {
        if self.known.len() > IDLE_MAX {
            self.known.retain(|_, site| {
                site.under_way > 0 || !site.waiting.is_empty() || site.failures > 0
            });
        }
        let destination = group.destination.clone();
        let site = self
            .known
            .entry(destination.clone())
            .or_insert_with(|| Site {
                window: WINDOW_START,
                under_way: 0,
                waiting: VecDeque::new(),
                failures: 0,
                pause_until: Time::default(),
                cause: None,
            });
        if site.waiting.is_empty() {
            self.ready.push_back(destination);
        }
        site.waiting.push_back(group);
    }

    /// A group that waits for a site which is left alone, and why: it is deferred without an attempt.
    pub fn give_back(&mut self, now: Time) -> Option<(Group, Cause)> {
        for _ in 0..self.ready.len() {
            let destination = self.ready.pop_front()?;
            let Some(site) = self.known.get_mut(&destination) else {
                continue;
            };
            if now < site.pause_until
                && let Some(cause) = site.cause.clone()
                && let Some(group) = site.waiting.pop_front()
            {
                if !site.waiting.is_empty() {
                    self.ready.push_front(destination);
                }
                return Some((group, cause));
            }
            if !site.waiting.is_empty() {
                self.ready.push_back(destination);
            }
        }
        None
    }

    /// The next group whose site has room, as an attempt under way.
    pub fn start(&mut self, _now: Time) -> Option<(u64, Group)> {
        for _ in 0..self.ready.len() {
            if self.attempts.len() >= self.attempts_max {
                return None;
            }
            let destination = self.ready.pop_front()?;
            let Some(site) = self.known.get_mut(&destination) else {
                continue;
            };
            if site.under_way >= site.window {
                self.ready.push_back(destination);
                continue;
            }
            let Some(group) = site.waiting.pop_front() else {
                continue;
            };
            site.under_way += 1;
            if !site.waiting.is_empty() {
                self.ready.push_back(destination);
            }
            self.number += 1;
            self.attempts.insert(self.number, group.clone());
            return Some((self.number, group));
        }
        None
    }

    /// An attempt is over, however it went; `None` if it was none.
    pub fn end(&mut self, attempt: u64) -> Option<Group> {
        let group = self.attempts.remove(&attempt)?;
        if let Some(site) = self.known.get_mut(&group.destination) {
            site.under_way -= 1;
        }
        Some(group)
    }

    /// Learns from outcomes: the window grows by one with success; when the site as a whole was of no use
    /// it shrinks and the site is left alone for a while.
    pub fn learn(&mut self, destination: &Destination, outcomes: &[(u32, Ending)], now: Time) {
        let pause_min = self.pause_min;
        let Some(site) = self.known.get_mut(destination) else {
            return;
        };
        let trouble = outcomes
            .iter()
            .map(|(_, ending)| session_trouble(&ending.outcome))
            .collect::<Option<Vec<&Cause>>>();
        match trouble.as_deref() {
            Some([cause, ..]) => {
                site.window = (site.window - site.window.div_ceil(WINDOW_START)).max(1);
                // Attempts that were under way together fail together: that is one failure.
                if now >= site.pause_until {
                    site.failures = site.failures.saturating_add(1);
                    let pause =
                        pause_min.saturating_mul(1 << site.failures.saturating_sub(1).min(10));
                    site.pause_until = now + pause.min(PAUSE_MAX);
                }
                site.cause = Some((*cause).clone());
            }
            _ if !outcomes.is_empty() => {
                site.window = (site.window + 1).min(WINDOW_MAX);
                site.failures = 0;
                site.pause_until = Time::default();
                site.cause = None;
            }
            _ => {}
        }
    }

    /// No site is left alone any more.
    pub fn forget_pauses(&mut self) {
        for site in self.known.values_mut() {
            site.pause_until = Time::default();
        }
    }

    /// The message of an attempt under way.
    pub fn message_of(&self, attempt: u64) -> Option<QueueId> {
        self.attempts.get(&attempt).map(|group| group.queue_id)
    }

    /// Attempts under way to a site, and its window.
    pub fn window(&self, destination: &Destination) -> Option<(u32, u32)> {
        self.known
            .get(destination)
            .map(|site| (site.under_way, site.window))
    }
}

/// The cause of an outcome that speaks of the session and not of the message: a network status (4.4.x)
/// of our own finding, or 421.
fn session_trouble(outcome: &Outcome) -> Option<&Cause> {
    match outcome {
        Outcome::Deferred(cause @ Cause::Ours(status, _))
            if status.class() == Class::Transient && status.subject() == 4 =>
        {
            Some(cause)
        }
        Outcome::Deferred(cause @ Cause::Reply(reply)) if reply.code == 421 => Some(cause),
        _ => None,
    }
}
