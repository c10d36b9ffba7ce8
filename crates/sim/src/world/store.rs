//! The machine's edges that end at its disk: the spool with a committer that takes virtual time, and mailboxes.

use super::ledger::Ledger;
use super::net::Outside;
use super::plant::Plant;
use crate::disk::{SharedDisk, SpoolDisk};
use crate::rng::Rng;
use mail::LmtpSocket;
use queue::Entry;
use queue::spool::{Options, Recovered, Spool};
use ringmail::config::Config;
use ringmail::drive::clock::Clock;
use ringmail::drive::committer::{Committer, Done, Job, Work};
use ringmail::drive::edge::{Delivered, Mailboxes, Pending, Store, Stream};
use ringmail::drive::maildir::{Delivery, Maildirs};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// Octets of a segment: small, so that the log goes round.
const SEGMENT_OCTETS: u64 = 1024 * 1024;
/// How long the committer sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(1);

/// queue's edge.
pub struct VirtualStore {
    /// The spool's disk.
    pub disk: SpoolDisk,
    /// The planted fault, if there is one.
    pub plant: Option<Plant>,
    /// Where the reports that queue makes are written down.
    pub ledger: Ledger,
    /// The machine's time.
    pub clock: Clock,
    /// Chance.
    pub rng: RefCell<Rng>,
}

/// Jobs that wait for the committer, and what it works on.
struct Desk {
    work: RefCell<Option<Work<SpoolDisk>>>,
    jobs: RefCell<VecDeque<Job>>,
    came: Notify,
    disk: SpoolDisk,
    plant: Option<Plant>,
    ledger: Ledger,
    clock: Clock,
    done: UnboundedSender<Done>,
    rng: RefCell<Rng>,
}

impl Store for VirtualStore {
    fn open<'a>(
        &'a self,
        _config: &'a Config,
        done: UnboundedSender<Done>,
    ) -> Pending<'a, io::Result<(Committer, Recovered)>> {
        Box::pin(async move {
            let options = Options {
                segment_octets: SEGMENT_OCTETS,
                floor_octets: 2 * SEGMENT_OCTETS,
                free_segments: 2,
                checkpoint_octets: SEGMENT_OCTETS / 4,
                faults: self.plant.map(Plant::faults).unwrap_or_default(),
            };
            let (spool, mut recovered) = Spool::open(self.disk.clone(), options)?;
            if let Some(plant) = self.plant {
                plant.spoil_recovered(&mut recovered);
            }
            for finding in &recovered.findings {
                if matches!(finding, queue::spool::Finding::Rotten(_)) {
                    self.ledger
                        .wrong(format!("damage where none was done: {finding}"));
                }
            }
            let desk = Rc::new(Desk {
                work: RefCell::new(Some(Work::new(spool, done.clone()))),
                jobs: RefCell::default(),
                came: Notify::new(),
                disk: self.disk.clone(),
                plant: self.plant,
                ledger: self.ledger.clone(),
                clock: self.clock,
                done,
                rng: RefCell::new(self.rng.borrow_mut().fork()),
            });
            let (asking, stopping) = (Rc::clone(&desk), Rc::clone(&desk));
            tokio::task::spawn_local(commit(desk));
            let ask = move |job| asking.ask(job);
            let stop = move || stopping.stop();
            Ok((Committer::new(ask, stop), recovered))
        })
    }

    fn random(&self) -> u64 {
        self.rng.borrow_mut().draw()
    }
}

/// The committer: takes what came after as long as a disk takes.
async fn commit(desk: Rc<Desk>) {
    let mut busy = true;
    loop {
        if desk.jobs.borrow().is_empty() {
            let pause = if busy { Duration::from_millis(2) } else { IDLE };
            // A disk that tidies nothing rests until it is asked.
            if busy {
                let _ = tokio::time::timeout(pause, desk.came.notified()).await;
            } else {
                desk.came.notified().await;
            }
        }
        let pause = 1 + desk.rng.borrow_mut().below(15);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        busy = desk.turn();
    }
}

impl Desk {
    fn ask(&self, job: Job) {
        let job = match job {
            Job::Commit { batch, entries } => self.note(batch, entries),
            job => job,
        };
        self.jobs.borrow_mut().push_back(job);
        self.came.notify_one();
    }

    /// Writes down which reports are made, and spoils the commit if that is the plan.
    fn note(&self, batch: u64, entries: Vec<Entry>) -> Job {
        for entry in &entries {
            if let Entry::Progress {
                queue_id, reports, ..
            } = entry
            {
                for report in reports {
                    // That it is delayed accounts for nothing.
                    if !is_of_delay(report) {
                        self.ledger.report_made(*queue_id, report.queue_id);
                    }
                }
            }
        }
        if self.plant == Some(Plant::AckBeforeCommit) {
            let _ = self.done.send(Done::Committed { batch, ok: true });
        }
        let now = mail::Time::from_micros(self.clock.now_micros());
        let (entries, later) = match self.plant {
            Some(plant) => plant.spoil_commit(entries, now),
            None => (entries, Vec::new()),
        };
        if !later.is_empty() {
            // A batch of no number is answered to nobody.
            let job = Job::Commit {
                batch: u64::MAX,
                entries: later,
            };
            self.jobs.borrow_mut().push_back(job);
        }
        Job::Commit { batch, entries }
    }

    /// Does what came, or tidies; true while there is more to do.
    fn turn(&self) -> bool {
        let mut work = self.work.borrow_mut();
        let Some(work) = work.as_mut() else {
            return false;
        };
        let first = self.jobs.borrow_mut().pop_front();
        match first {
            // Late commits come alone, so that they are commits of their own.
            Some(job) if self.plant == Some(Plant::DsnApart) => work.turn(job, || None),
            Some(job) => work.turn(job, || self.jobs.borrow_mut().pop_front()),
            None => return work.tidy(),
        }
        true
    }

    fn stop(&self) {
        if let Some(mut work) = self.work.borrow_mut().take() {
            let first = self.jobs.borrow_mut().pop_front();
            if let Some(job) = first {
                work.turn(job, || self.jobs.borrow_mut().pop_front());
            }
            work.close();
        }
        self.disk.flush();
    }
}

/// local's edge: mailboxes on the machine's disk, LMTP servers beyond.
pub struct VirtualMailboxes {
    /// Delivers, and remembers.
    pub maildirs: Rc<Maildirs<SharedDisk>>,
    /// Where LMTP servers are met.
    pub outside: Rc<Outside>,
}

impl Mailboxes for VirtualMailboxes {
    fn deliver(&self, delivery: Delivery, delivered: Delivered) {
        let maildirs = Rc::clone(&self.maildirs);
        let pause = self.outside.rng.borrow_mut().below(20);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if let Some(result) = maildirs.deliver(&[delivery]).pop() {
                // Nobody waits any more when the role was killed.
                let _ = delivered.send(result);
            }
        });
    }

    fn connect<'a>(&'a self, _socket: &'a LmtpSocket) -> Pending<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(self.outside.meet(super::hop::Manner::Lmtp))
    }
}

/// Whether a report says only that a message is delayed.
fn is_of_delay(report: &queue::Accepted) -> bool {
    match &report.content {
        queue::Content::Inline(octets) => {
            super::ledger::is_of_delay(&String::from_utf8_lossy(octets))
        }
        queue::Content::Body(_) => false,
    }
}
