//! The one place where the spool is written, a thread of its own. What came while it synced goes into the next batch: group
//! commit, without a timer that would delay a lone message. The event loop never waits for the disk.

use mail::QueueId;
use queue::spool::{Disk, Spool, body_name};
use queue::{Body, Content, Entry};
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Batches joined into one commit; a bound on how long the first of them waits for the last.
const JOIN_MAX: usize = 512;
/// How long the thread sleeps when there is nothing to do and nothing to tidy.
const IDLE: Duration = Duration::from_secs(1);

/// What the event loop asks.
pub enum Job {
    /// Make these durable.
    Commit {
        /// Names the batch.
        batch: u64,
        /// What is to be kept.
        entries: Vec<Entry>,
    },
    /// A file for a large body.
    NewBody {
        /// Comes back with the answer.
        token: u64,
    },
    /// A body is not wanted.
    DropBody {
        /// Which.
        number: u64,
    },
    /// Whether a body is whole and nobody can write to it any more.
    JudgeBody {
        /// Comes back with the answer.
        token: u64,
        /// The body as smtpd says it is.
        body: Body,
    },
    /// Trace field and content of a message.
    Read {
        /// Which.
        queue_id: QueueId,
    },
}

/// What the thread answers.
pub enum Done {
    /// The batch is durable, or nothing of it is.
    Committed {
        /// Which.
        batch: u64,
        /// Whether it is.
        ok: bool,
    },
    /// A file to write to.
    Body {
        /// Of the question.
        token: u64,
        /// The file's number, and the file; `None` where there is no room.
        file: Option<(u64, OwnedFd)>,
    },
    /// Whether the body may be accepted.
    BodyJudged {
        /// Of the question.
        token: u64,
        /// Whether it is as long as was said, and has no writer.
        ok: bool,
    },
    /// Trace field, content, and a large body's file, open for reading only.
    Read {
        /// Of the question.
        queue_id: QueueId,
        /// `None`: it cannot be read.
        message: Option<(Arc<str>, Content, Option<OwnedFd>)>,
    },
    /// Whether there is room for new mail: at the start and when it changes.
    Room {
        /// Whether there is.
        room: bool,
        /// Octets that are free; none where the disk does not say.
        free_octets: u64,
        /// Octets that must be.
        wanted_octets: u64,
    },
    /// Something for the log.
    Failed(String),
}

/// The thread that will commit. It is started before the role loses the right to start one, and before there is a
/// spool.
pub struct Thread {
    work: Sender<Box<dyn FnOnce() + Send>>,
    thread: JoinHandle<()>,
}

impl Thread {
    /// Starts it; it runs when this returns.
    pub fn start() -> io::Result<Self> {
        let (work, received) = channel::<Box<dyn FnOnce() + Send>>();
        let thread = super::thread::start("committer", move || {
            if let Ok(work) = received.recv() {
                work();
            }
        })?;
        Ok(Self { work, thread })
    }
}

/// The event loop's hold on whoever commits.
pub struct Committer {
    ask: Box<dyn Fn(Job)>,
    stop: Box<dyn FnOnce()>,
}

impl Committer {
    /// Asks by `ask`; `stop` finishes what was asked and closes the spool.
    pub fn new(ask: impl Fn(Job) + 'static, stop: impl FnOnce() + 'static) -> Self {
        Self {
            ask: Box::new(ask),
            stop: Box::new(stop),
        }
    }

    /// Lets a thread work on this spool and answer to `done`.
    pub fn on<D>(thread: Thread, spool: Spool<D>, done: UnboundedSender<Done>) -> Self
    where
        D: Bodies + Send + 'static,
        D::File: Send,
    {
        let (jobs, received) = channel();
        let Thread { work, thread } = thread;
        // The thread waits for just this.
        let _ = work.send(Box::new(move || run(Work::new(spool, done), &received)));
        let jobs = Rc::new(RefCell::new(Some(jobs)));
        let asked = Rc::clone(&jobs);
        // The thread ends only after `stop`, or by a panic that ends the process.
        let ask = move |job| drop(asked.borrow().as_ref().map(|jobs| jobs.send(job)));
        let stop = move || {
            jobs.borrow_mut().take();
            let _ = thread.join();
        };
        Self::new(ask, stop)
    }

    /// Asks; the answer comes over the channel given at the start.
    pub fn ask(&self, job: Job) {
        (self.ask)(job);
    }

    /// Lets what was asked be finished and the spool be closed.
    pub fn stop(self) {
        (self.stop)();
    }
}

/// The thread: takes jobs as they come, and tidies when none do.
fn run<D: Bodies>(mut work: Work<D>, jobs: &Receiver<Job>) {
    let mut busy = true;
    loop {
        // With nothing asked, tidy a piece at a time and look again.
        match jobs.recv_timeout(if busy { Duration::ZERO } else { IDLE }) {
            Ok(first) => {
                work.turn(first, || jobs.try_recv().ok());
                busy = true;
            }
            Err(RecvTimeoutError::Timeout) => busy = work.tidy(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    work.close();
}

/// A disk whose large bodies other processes read and write: as descriptors.
pub trait Bodies: Disk {
    /// The file of a body that was just made, for whoever writes it.
    fn writer(&self, file: Self::File) -> io::Result<OwnedFd>;
    /// The file of the body of this name, open for reading only.
    fn reader(&self, name: &str) -> io::Result<OwnedFd>;
    /// Whether nobody can write to the body of this name any more, us included: who wrote it could change what he
    /// was answered 250 for.
    fn is_settled(&self, name: &str) -> io::Result<bool>;
}

/// The spool, and the work on it.
pub struct Work<D: Disk> {
    spool: Spool<D>,
    done: UnboundedSender<Done>,
    room: Option<bool>,
}

impl<D: Bodies> Work<D> {
    /// Works on this spool and answers to `done`.
    pub fn new(spool: Spool<D>, done: UnboundedSender<Done>) -> Self {
        let mut work = Self {
            spool,
            done,
            room: None,
        };
        work.tell_room();
        work
    }

    /// Does `first` and what `next` gives; all batches become durable together.
    pub fn turn(&mut self, first: Job, mut next: impl FnMut() -> Option<Job>) {
        let mut batches = Vec::new();
        let mut entries = Vec::new();
        let mut octets = 0;
        let mut job = Some(first);
        while let Some(now) = job {
            match now {
                Job::Commit {
                    batch,
                    entries: more,
                } => {
                    octets += more.iter().map(octets_of).sum::<u64>();
                    batches.push(batch);
                    entries.extend(more);
                }
                other => self.obey(&other),
            }
            let full = batches.len() >= JOIN_MAX || octets >= self.spool.join_octets();
            job = if full { None } else { next() };
        }
        self.commit(&batches, &entries);
        self.tell_room();
        // Who is asked without a pause never tidies, and the log would grow without a checkpoint.
        self.spool.maintain_when_late();
        self.tell_complaint();
    }

    /// A bounded piece of tidying; true when there is more of it.
    pub fn tidy(&mut self) -> bool {
        self.tell_room();
        let more = self.spool.maintain();
        self.tell_complaint();
        more
    }

    /// Closes the spool in order.
    pub fn close(self) {
        if let Err(error) = self.spool.close() {
            let _ = self.done.send(Done::Failed(format!(
                "the spool was not closed in order: {error}"
            )));
        }
    }

    /// The spool, for those who simulate its disk.
    pub fn spool_mut(&mut self) -> &mut Spool<D> {
        &mut self.spool
    }

    fn commit(&mut self, batches: &[u64], entries: &[Entry]) {
        if batches.is_empty() {
            return;
        }
        let result = self.spool.commit(entries);
        let ok = result.is_ok();
        for batch in batches {
            let _ = self.done.send(Done::Committed { batch: *batch, ok });
        }
        if let Err(error) = result {
            let _ = self.done.send(Done::Failed(error.to_string()));
        }
    }

    fn obey(&mut self, job: &Job) {
        let answer = match *job {
            Job::NewBody { token } => {
                let file = if self.spool.has_room() {
                    self.new_body().ok()
                } else {
                    None
                };
                Done::Body { token, file }
            }
            Job::DropBody { number } => return self.spool.drop_body(number),
            Job::JudgeBody { token, ref body } => Done::BodyJudged {
                token,
                ok: self.judge(body).unwrap_or(false),
            },
            Job::Read { queue_id } => Done::Read {
                queue_id,
                message: self.read(queue_id),
            },
            Job::Commit { .. } => return,
        };
        let _ = self.done.send(answer);
    }

    fn new_body(&mut self) -> io::Result<(u64, OwnedFd)> {
        let (number, file) = self.spool.new_body()?;
        Ok((number, self.spool.disk_mut().writer(file)?))
    }

    fn read(&self, queue_id: QueueId) -> Option<(Arc<str>, Content, Option<OwnedFd>)> {
        let told = |error: &dyn std::fmt::Display| {
            let _ = self
                .done
                .send(Done::Failed(format!("{queue_id} cannot be read: {error}")));
        };
        let (trace, content) = self.spool.read(queue_id).map_err(|e| told(&e)).ok()?;
        let file = match &content {
            Content::Body(body) => Some(self.open_body(body).map_err(|e| told(&e)).ok()?),
            Content::Inline(_) => None,
        };
        Some((trace, content, file))
    }

    fn judge(&self, body: &Body) -> io::Result<bool> {
        let disk = self.spool.disk();
        let octets = disk.len(&self.spool.open_body(body)?)?;
        Ok(octets == body.octets && disk.is_settled(&body_name(body.number))?)
    }

    fn open_body(&self, body: &Body) -> io::Result<OwnedFd> {
        self.spool.disk().reader(&body_name(body.number))
    }

    fn tell_complaint(&mut self) {
        if let Some(complaint) = self.spool.checkpoint_complaint() {
            let _ = self.done.send(Done::Failed(complaint));
        }
    }

    fn tell_room(&mut self) {
        let room = self.spool.has_room();
        if self.room != Some(room) {
            self.room = Some(room);
            let _ = self.done.send(Done::Room {
                room,
                free_octets: self.spool.free_octets(),
                wanted_octets: self.spool.floor_octets(),
            });
        }
    }
}

/// Octets that an entry brings into the log, its head aside.
fn octets_of(entry: &Entry) -> u64 {
    let inline = |content: &Content| match content {
        Content::Inline(octets) => octets.len() as u64,
        Content::Body(_) => 0,
    };
    match entry {
        Entry::Accept(accepted) => inline(&accepted.content),
        Entry::Progress { reports, .. } => {
            reports.iter().map(|report| inline(&report.content)).sum()
        }
    }
}
