//! One cell of the table: one server, one workload, so many sessions; timed, or counted.

use crate::arrivals::{self, Arrivals};
use crate::load::{self, Plan, Sent};
use crate::maildir::{self, Watch};
use crate::measure::{Counter, Group, Memory, load_average};
use crate::message::{Tag, Template};
use crate::server::{LOCAL_DOMAIN, RELAY_DOMAIN, Running};
use crate::sink::Sink;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long nothing may arrive before the rest is taken for lost. Longer than a pause that a server may make between
/// two attempts to deliver.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the mail goes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Into the Maildirs of ten users.
    Maildir,
    /// To one next hop, the sink.
    Relay,
}

impl Workload {
    /// As it stands in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Maildir => "to Maildir",
            Workload::Relay => "relayed",
        }
    }
}

/// How messages are sent, the same for all cells.
#[derive(Clone, Debug, Serialize)]
pub struct Manner {
    /// Octets of content.
    pub octets: usize,
    /// Messages on one connection.
    pub per_connection: usize,
    /// MAIL, RCPT and DATA together where the server offers it.
    pub pipelining: bool,
}

/// What was found with the clock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Timed {
    /// Which round it was, from 1.
    pub round: usize,
    /// Messages sent, and arrived.
    pub messages: usize,
    /// From the first connection to the last arrival.
    pub seconds: f64,
    /// CPU time of the server's processes, until it was idle again.
    pub cpu_seconds: f64,
    /// From the end of content to its 250: the median.
    pub answer_p50_ms: f64,
    /// The same: 99 of 100 are faster.
    pub answer_p99_ms: f64,
    /// The machine's load average just before.
    pub load_average: f64,
}

impl Timed {
    /// Messages per second, end to end.
    #[expect(
        clippy::cast_precision_loss,
        reason = "message counts are far below 2^52"
    )]
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.seconds
    }

    /// CPU seconds per 1,000 messages.
    #[expect(
        clippy::cast_precision_loss,
        reason = "message counts are far below 2^52"
    )]
    pub fn cpu_per_thousand(&self) -> f64 {
        self.cpu_seconds * 1000.0 / self.messages as f64
    }
}

/// What was counted, in a run whose time does not matter.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// Messages sent, and arrived.
    pub messages: usize,
    /// Syncs, system calls and context switches of the server's processes; nothing where it cannot be counted.
    pub kernel: Option<Kernel>,
    /// Highest sum of PSS, in octets.
    pub memory_octets: u64,
}

/// Counts per message.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Kernel {
    /// fsync and its like.
    pub syncs: f64,
    /// All system calls.
    pub system_calls: f64,
    /// Context switches, voluntary and not.
    pub switches: f64,
}

/// A server under measurement and what stands around it.
pub struct Bench<'a> {
    /// The next hop.
    pub sink: &'a Sink,
    /// The server.
    pub server: &'a dyn Running,
    /// Its processes.
    pub group: &'a Arc<Group>,
    /// How messages are sent.
    pub manner: &'a Manner,
}

/// Names loads apart, for the life of this process.
pub fn new_tag() -> Tag {
    use std::sync::atomic::{AtomicU32, Ordering};
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Bench<'_> {
    /// A short load that has the server start what it starts on demand; then the load that is timed: messages are begun
    /// for `time`, and the last arrival ends it.
    pub fn time(
        &self,
        workload: Workload,
        sessions: usize,
        time: Duration,
        round: usize,
    ) -> io::Result<Timed> {
        self.send(workload, sessions, time / 5)?;
        // What the warm-up left to be written is written before.
        rustix::fs::sync();
        let load_average = load_average();
        let before = self.group.cpu();
        let (mut sent, last) = self.send(workload, sessions, time)?;
        self.group.wait_idle();
        let cpu = self.group.cpu().saturating_sub(before);
        sent.answer_micros.sort_unstable();
        let quantile = |of_hundred: usize| {
            let place = (sent.answer_micros.len() * of_hundred / 100).min(sent.accepted - 1);
            f64::from(sent.answer_micros[place]) / 1000.0
        };
        Ok(Timed {
            round,
            messages: sent.accepted,
            seconds: seconds_between(&sent, last),
            cpu_seconds: cpu.as_secs_f64(),
            answer_p50_ms: quantile(50),
            answer_p99_ms: quantile(99),
            load_average,
        })
    }

    /// The same load while everything is counted that slows a server down when it is counted.
    pub fn count(
        &self,
        workload: Workload,
        sessions: usize,
        time: Duration,
    ) -> io::Result<Counted> {
        self.send(workload, sessions, time / 5)?;
        self.group.wait_idle();
        let counter = Counter::start(self.group);
        let memory = Memory::start(self.group)?;
        let sent = self.send(workload, sessions, time);
        self.group.wait_idle();
        let memory_octets = memory.stop();
        let counts = counter.and_then(Counter::stop);
        let messages = sent?.0.accepted;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let per_message = |count: u64| count as f64 / as_f64(messages);
        Ok(Counted {
            messages,
            kernel: counts.ok().map(|counts| Kernel {
                syncs: per_message(counts.syncs),
                system_calls: per_message(counts.system_calls),
                switches: per_message(counts.switches),
            }),
            memory_octets,
        })
    }

    /// Sends, waits for the last arrival, and checks that each came once and whole; gives when the last came.
    fn send(
        &self,
        workload: Workload,
        sessions: usize,
        time: Duration,
    ) -> io::Result<(Sent, Instant)> {
        let tag = new_tag();
        let arrivals = Arrivals::new(tag);
        let domain = match workload {
            Workload::Maildir => LOCAL_DOMAIN,
            Workload::Relay => RELAY_DOMAIN,
        };
        let plan = Plan {
            to: self.server.address(),
            domain: domain.into(),
            sessions,
            messages: usize::MAX,
            time: Some(time),
            per_connection: self.manner.per_connection,
            pipelining: self.manner.pipelining,
        };
        let mut template = Template::new(tag, self.manner.octets);
        let (sent, last) = match workload {
            Workload::Maildir => {
                let maildirs = self.server.maildirs();
                let watch = Watch::start(&maildirs)?;
                let sent = load::run(&plan, &mut template)?;
                arrivals::wait(|| watch.came(), sent.accepted, PATIENCE);
                let last = watch.last();
                drop(watch);
                self.group.wait_idle();
                maildir::read_and_empty(&maildirs, &arrivals, Instant::now())?;
                (sent, last)
            }
            Workload::Relay => {
                self.sink.expect(arrivals.clone());
                let sent = load::run(&plan, &mut template)?;
                arrivals::wait(|| arrivals.came(), sent.accepted, PATIENCE);
                // What comes twice may come late.
                self.group.wait_idle();
                (sent, arrivals.last())
            }
        };
        let faults = arrivals.faults(sent.accepted);
        match last {
            Some(last) if faults.none() => Ok((sent, last)),
            _ => Err(io::Error::other(format!(
                "of {} messages {} never arrived, {} came twice, {} were not whole",
                sent.accepted, faults.missing, faults.twice, faults.spoilt
            ))),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "message counts are far below 2^52"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}

fn seconds_between(sent: &Sent, last: Instant) -> f64 {
    last.saturating_duration_since(sent.began)
        .as_secs_f64()
        .max(1e-6)
}
