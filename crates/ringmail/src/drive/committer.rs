//! The one thread that writes the spool. What came while it synced goes into the next batch: group
//! commit, without a timer that would delay a lone message. The event loop never waits for the disk.

use mail::QueueId;
use queue::spool::{COMMIT_OCTETS, Disk, Spool};
use queue::{Body, Content, Entry};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Batches joined into one commit; a bound on how long the first of them waits for the last.
const JOIN_MAX: usize = 512;
/// Octets of content joined into one commit; with the largest entry behind it, it is still one that the
/// spool takes.
const JOIN_OCTETS: u64 = COMMIT_OCTETS / 4;
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
    Room(bool),
    /// Something for the log.
    Failed(String),
}

/// The event loop's hold on the thread. When it is dropped the thread stops in order.
pub struct Committer {
    jobs: Sender<Job>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread; it answers to `done`.
    pub fn start<D>(spool: Spool<D>, done: UnboundedSender<Done>) -> std::io::Result<Self>
    where
        D: Disk<File = File> + 'static,
    {
        let (jobs, received) = channel();
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                Work {
                    spool,
                    done,
                    room: None,
                }
                .run(&received);
            })?;
        Ok(Self {
            jobs,
            thread: Some(thread),
        })
    }

    /// Asks; the answer comes over the channel given at the start.
    pub fn ask(&self, job: Job) {
        // The thread ends only after this value, or by a panic that ends the process.
        let _ = self.jobs.send(job);
    }

    /// Lets the thread finish what was asked and close the spool.
    pub fn stop(mut self) {
        let (none, _) = channel();
        self.jobs = none;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work<D: Disk> {
    spool: Spool<D>,
    done: UnboundedSender<Done>,
    room: Option<bool>,
}

impl<D: Disk<File = File>> Work<D> {
    fn run(mut self, jobs: &Receiver<Job>) {
        let mut busy = true;
        loop {
            self.tell_room();
            // With nothing asked, tidy a piece at a time and look again.
            let first = match jobs.recv_timeout(if busy { Duration::ZERO } else { IDLE }) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    busy = self.spool.maintain();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut batches = Vec::new();
            let mut entries = Vec::new();
            let mut octets = 0;
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
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
                let full = batches.len() >= JOIN_MAX || octets >= JOIN_OCTETS;
                next = if full { None } else { jobs.try_recv().ok() };
            }
            self.commit(&batches, &entries);
            busy = true;
        }
        if let Err(error) = self.spool.close() {
            let _ = self.done.send(Done::Failed(format!(
                "the spool was not closed in order: {error}"
            )));
        }
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
                    self.spool.new_body().ok()
                } else {
                    None
                };
                Done::Body {
                    token,
                    file: file.map(|(number, file)| (number, file.into())),
                }
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

    /// The descriptor that smtpd wrote to must be closed: it could change what it was answered 250 for.
    fn judge(&self, body: &Body) -> std::io::Result<bool> {
        use std::os::fd::AsFd;
        let file = File::from(self.open_body(body)?);
        Ok(file.metadata()?.len() == body.octets && sys::file::has_no_writer(file.as_fd())?)
    }

    fn open_body(&self, body: &Body) -> std::io::Result<OwnedFd> {
        let file = self.spool.open_body(body)?;
        sys::file::reopen_for_reading(&file).map(OwnedFd::from)
    }

    fn tell_room(&mut self) {
        let room = self.spool.has_room();
        if self.room != Some(room) {
            self.room = Some(room);
            let _ = self.done.send(Done::Room(room));
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
