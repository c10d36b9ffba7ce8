//! The queue brain: what is kept, when it is sent, and what is said of it. Accepts come in, entries for the
//! spool, attempts for the transports and answers go out. Shape: [`Queue::handle`], [`Queue::poll`],
//! [`Queue::wake_at`].
//!
//! 250 is [`Output::Accepted`], and it comes out only after the batch that holds the message was
//! committed. What an attempt decided rides the next commit, or has one of its own a little later; a permanent
//! failure and the report that it owes are one entry, which does not wait.

mod attempt;
mod event;
mod progress;
mod reconfigure;
mod report;
mod request;

pub use event::{Came, Event};

use crate::schedule::{Filter, Retry, Sites, View};
use crate::{Accepted, Content, Entry, State, Stored};
use mail::{
    Cause, Destination, DsnRequest, Ending, Envelope, Host, Mailbox, QueueId, Received, Recipient,
    ReversePath, Route, Time,
};
use progress::{Noted, Unwritten};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What a transport that died had is tried again after this.
const LOST_AGAIN: Duration = Duration::from_secs(1);
/// A message that was in hand in so many faults of its transports, one after the other, is held.
const CRASHES_MAX: u32 = 2;

/// Routing and aliases, as the configuration says them: static, no I/O.
pub trait Router {
    /// Where mail for this mailbox goes; asked anew at each attempt.
    fn route(&self, mailbox: &Mailbox) -> Route;
    /// Whom a report to this mailbox goes to, after aliases; empty where nobody has the name.
    fn recipients(&self, mailbox: &Mailbox) -> Vec<Recipient>;
    /// Whether a next hop that the configuration names has its mail, or nobody.
    fn is_inner(&self, mailbox: &Mailbox) -> bool {
        match self.route(mailbox) {
            Route::To(destination) => destination.is_inner(),
            Route::Nowhere(..) => true,
        }
    }
}

/// What the brain is told.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// The host name that we publish.
    pub hostname: Box<str>,
    /// Who gets what nobody else can be told.
    pub postmaster: Mailbox,
    /// The pause before the second attempt.
    pub retry_delay_min: Duration,
    /// The longest pause between attempts.
    pub retry_delay_max: Duration,
    /// How long a message is tried.
    pub expiry: Duration,
    /// A sender is told once when his message is older than this; never, where there is nothing.
    pub delay_notice: Option<Duration>,
    /// Attempts under way at once, in all.
    pub attempts_max: usize,
    /// Recipients of one attempt.
    pub recipients_max: usize,
    /// Octets of the original that a report may carry: of its header section, or of all of it where that was asked for
    /// (RFC 3461 §4.3) and is not more.
    pub header_octets: usize,
}

impl Parameters {
    /// The defaults; `None` where the host name is no domain.
    pub fn new(hostname: &str) -> Option<Self> {
        Some(Self {
            hostname: hostname.into(),
            postmaster: Mailbox::parse(&format!("postmaster@{hostname}")).ok()?,
            retry_delay_min: Duration::from_mins(5),
            retry_delay_max: Duration::from_hours(4),
            expiry: Duration::from_hours(5 * 24),
            delay_notice: None,
            attempts_max: 500,
            recipients_max: 100,
            header_octets: 64 * 1024,
        })
    }
}

/// A message that is to be kept.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its envelope.
    pub envelope: Envelope,
    /// Where it comes from; nothing for our own reports.
    pub received: Option<Received>,
    /// Its content.
    pub content: Content,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Keep this.
    Accept {
        /// Comes back with the answer.
        token: u64,
        /// What to keep.
        message: NewMessage,
    },
    /// A batch is durable, or nothing of it is.
    Committed {
        /// Which.
        batch: u64,
        /// Whether it is.
        ok: bool,
    },
    /// An attempt ended; recipients that are not named stay undecided.
    Ended {
        /// Which.
        attempt: u64,
        /// The host that it ended at, for the log.
        host: Host,
        /// Recipient numbers and outcomes.
        outcomes: Vec<(u32, Ending)>,
    },
    /// The transport that had this attempt is gone; nothing is known of it.
    Lost {
        /// Which.
        attempt: u64,
    },
    /// The transport that had these attempts ended by a fault of its own: one of them may be why.
    Crashed {
        /// Which.
        attempts: Vec<u64>,
    },
    /// The first octets of a message's content, as asked for.
    Header {
        /// Which.
        queue_id: QueueId,
        /// At most [`Parameters::header_octets`]; empty where it cannot be read.
        octets: Vec<u8>,
    },
    /// The administrator: attempt these now.
    Retry {
        /// Comes back with the count.
        token: u64,
        /// Which.
        filter: Filter,
    },
    /// Hold these back.
    Hold {
        /// Comes back with the count.
        token: u64,
        /// Which.
        filter: Filter,
    },
    /// Take a hold back.
    Release {
        /// Comes back with the count.
        token: u64,
        /// Which.
        filter: Filter,
    },
    /// Forget these, without a report.
    Drop {
        /// Comes back with the count.
        token: u64,
        /// Which.
        filter: Filter,
    },
    /// Time passed.
    Wake,
    /// The end is near: nothing waits for another commit any more.
    Stop,
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Output {
    /// Make these durable, together.
    Commit {
        /// Names the batch.
        batch: u64,
        /// What.
        entries: Vec<Entry>,
    },
    /// The message is ours: say 250.
    Accepted {
        /// Of the question.
        token: u64,
        /// Its name.
        queue_id: QueueId,
    },
    /// It is not: nothing of it is kept.
    Refused {
        /// Of the question.
        token: u64,
    },
    /// Take this message there.
    Attempt {
        /// Names the attempt.
        attempt: u64,
        /// Where to.
        destination: Destination,
        /// The message.
        queue_id: QueueId,
        /// Whom failures go to.
        reverse_path: ReversePath,
        /// For whom.
        recipients: Vec<(u32, Mailbox)>,
        /// Whether content has octets above 127.
        eight_bit: bool,
        /// Whether its sender said SMTPUTF8.
        smtputf8: bool,
        /// What the next hop is asked of reports, by the mailboxes of `recipients`.
        dsn: Option<Box<DsnRequest>>,
    },
    /// Read the first octets of this message's content.
    NeedHeader {
        /// Which.
        queue_id: QueueId,
    },
    /// For the log.
    Event(Event),
    /// So many messages were meant.
    Done {
        /// Of the question.
        token: u64,
        /// How many.
        count: u64,
    },
}

/// A message as the brain holds it.
#[derive(Debug)]
struct Message {
    stored: Stored,
    /// Groups of recipients that wait for a site or are under way.
    under_way: usize,
    /// Failures that are not written yet, because their report is not made yet.
    failures: Vec<Failure>,
    /// The header section was asked for.
    header_asked: bool,
    /// How often a transport that had it ended by a fault, one after the other.
    crashes: u32,
}

/// A recipient that failed.
#[derive(Debug)]
struct Failure {
    number: u32,
    /// Why; of one that expired, the last that was heard.
    cause: Cause,
    /// The next hop is one that the configuration names.
    inner: bool,
    /// It expired: tried for so long.
    tried: Option<Duration>,
}

/// What of a batch is to be done when it is durable, or is not.
#[derive(Debug, Default)]
struct Batch {
    accepts: Vec<(u64, Stored, Option<Came>)>,
    /// Messages whose standing is in it, and how many reports with it.
    progress: Vec<(QueueId, usize)>,
}

/// The brain.
pub struct Queue<R: Router> {
    parameters: Parameters,
    router: R,
    retry: Retry,
    highest: u64,
    messages: BTreeMap<QueueId, Message>,
    due: BTreeSet<(Time, QueueId)>,
    sites: Sites,
    /// What the next commit will hold.
    entries: Vec<Entry>,
    batch: Batch,
    batches: HashMap<u64, Batch>,
    batch_number: u64,
    /// Messages whose standing is not durable as it is now.
    unwritten: BTreeMap<QueueId, Unwritten>,
    noted: Noted,
    /// When to write what a commit that failed did not make durable.
    again_at: Time,
    outputs: VecDeque<Output>,
}

impl<R: Router> Queue<R> {
    /// A brain with what the spool held; `highest` is the greatest queue id ever given, `seed` scatters
    /// retry times.
    pub fn new(
        parameters: Parameters,
        router: R,
        recovered: Vec<Stored>,
        highest: u64,
        seed: u64,
        now: Time,
    ) -> Self {
        let retry = Retry::new(parameters.retry_delay_min, parameters.retry_delay_max, seed);
        let mut queue = Self {
            sites: Sites::new(parameters.attempts_max, parameters.retry_delay_min),
            parameters,
            router,
            retry,
            highest: highest.max(now.as_micros()),
            messages: BTreeMap::new(),
            due: BTreeSet::new(),
            entries: Vec::new(),
            batch: Batch::default(),
            batches: HashMap::new(),
            batch_number: 0,
            unwritten: BTreeMap::new(),
            noted: Noted::default(),
            again_at: Time::NEVER,
            outputs: VecDeque::new(),
        };
        for stored in recovered {
            queue.insert(stored);
        }
        queue
    }

    /// Takes what happened; never blocks, never fails.
    pub fn handle(&mut self, input: Input, now: Time) {
        match input {
            Input::Accept { token, message } => self.accept(token, message, now),
            Input::Committed { batch, ok } => self.committed(batch, ok, now),
            Input::Ended {
                attempt,
                host,
                outcomes,
            } => self.ended(attempt, host, outcomes, now),
            Input::Lost { attempt } => self.lost(attempt, LOST_AGAIN, now),
            Input::Crashed { attempts } => self.crashed(&attempts, now),
            Input::Header { queue_id, octets } => self.header_came(queue_id, &octets, now),
            Input::Retry { token, filter } => {
                self.each(token, &filter, now, |queue, id| queue.set_due(id, now));
            }
            Input::Hold { token, filter } => self.each(token, &filter, now, |queue, id| {
                queue.set_held(id, true, now);
                true
            }),
            Input::Release { token, filter } => {
                self.each(token, &filter, now, |queue, id| {
                    queue.set_held(id, false, now);
                    true
                });
            }
            Input::Drop { token, filter } => self.each(token, &filter, now, |queue, id| {
                queue.forget(id);
                true
            }),
            Input::Wake => {}
            Input::Stop => self.write_noted(),
        }
        self.work(now);
    }

    /// What to do next. All that one turn wrote goes into one batch.
    pub fn poll(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && !self.entries.is_empty() {
            self.write_noted();
            self.batch_number += 1;
            self.batches
                .insert(self.batch_number, std::mem::take(&mut self.batch));
            let entries = std::mem::take(&mut self.entries);
            return Some(Output::Commit {
                batch: self.batch_number,
                entries,
            });
        }
        self.outputs.pop_front()
    }

    /// When to call [`Queue::handle`] with [`Input::Wake`].
    pub fn wake_at(&self) -> Time {
        let due = self.due.first().map_or(Time::NEVER, |(time, _)| *time);
        due.min(self.again_at).min(self.noted.write_at)
    }

    /// The message that an attempt under way is about.
    pub fn message_of(&self, attempt: u64) -> Option<QueueId> {
        self.sites.message_of(attempt)
    }

    /// Routing and aliases as they are now.
    pub fn router(&self) -> &R {
        &self.router
    }

    /// Octets of content to read for [`Output::NeedHeader`].
    pub fn header_octets(&self) -> usize {
        self.parameters.header_octets
    }

    /// All messages, oldest first.
    pub fn messages(&self) -> impl Iterator<Item = View<'_>> {
        self.messages.values().map(|message| View {
            stored: &message.stored,
            sending: message.under_way > 0,
        })
    }

    fn insert(&mut self, stored: Stored) {
        let queue_id = stored.queue_id;
        self.highest = self.highest.max(queue_id.as_u64());
        if !stored.state.held && !stored.state.dead {
            self.due.insert((stored.state.next_attempt, queue_id));
        }
        let message = Message {
            stored,
            under_way: 0,
            failures: Vec::new(),
            header_asked: false,
            crashes: 0,
        };
        self.messages.insert(queue_id, message);
    }

    fn next_id(&mut self, now: Time) -> QueueId {
        self.highest = (self.highest + 1).max(now.as_micros());
        QueueId::from_u64(self.highest)
    }

    fn accept(&mut self, token: u64, message: NewMessage, now: Time) {
        let queue_id = self.next_id(now);
        let NewMessage {
            envelope,
            received,
            content,
        } = message;
        let trace = received
            .as_ref()
            .map(|r| r.field(queue_id, envelope.arrival));
        let trace = trace.unwrap_or_default();
        let came = received.map(|r| (r.peer, r.login));
        let stored = Stored {
            queue_id,
            octets: content.octets(),
            state: State::new(envelope.recipients.len(), now),
            envelope: envelope.clone(),
        };
        self.entries.push(Entry::Accept(Accepted {
            queue_id,
            envelope,
            trace: Arc::from(trace),
            content,
        }));
        self.batch.accepts.push((token, stored, came));
    }

    fn committed(&mut self, batch: u64, ok: bool, now: Time) {
        let Some(batch) = self.batches.remove(&batch) else {
            return;
        };
        for (token, stored, came) in batch.accepts {
            if !ok {
                self.outputs.push_back(Output::Refused { token });
                continue;
            }
            let queue_id = stored.queue_id;
            self.outputs.push_back(Output::Accepted { token, queue_id });
            self.outputs.push_back(Output::Event(Event::Accepted {
                queue_id,
                came,
                reverse_path: stored.envelope.reverse_path.clone(),
                recipients: stored.envelope.recipients.len(),
                octets: stored.octets,
            }));
            self.insert(stored);
        }
        self.progress_committed(batch.progress, ok, now);
    }

    /// Does what is due.
    fn work(&mut self, now: Time) {
        if now >= self.again_at {
            self.again_at = Time::NEVER;
            self.write_all_unwritten();
        }
        while let Some((time, queue_id)) = self.due.first().copied() {
            if time > now {
                break;
            }
            self.due.pop_first();
            self.begin(queue_id, now);
        }
        self.pump(now);
        self.write_due(now);
    }

    /// Does something to each message that a filter means, and says how many there were.
    /// Does it to all that are meant; those to which it was done are counted.
    fn each(
        &mut self,
        token: u64,
        filter: &Filter,
        now: Time,
        deed: impl Fn(&mut Self, QueueId) -> bool,
    ) {
        let meant: Vec<QueueId> = self
            .messages()
            .filter(|view| filter.matches(view, now))
            .map(|view| view.stored.queue_id)
            .collect();
        let done = meant.into_iter().filter(|queue_id| deed(self, *queue_id));
        let count = done.count() as u64;
        self.outputs.push_back(Output::Done { token, count });
    }

    /// False: it is held, and stays where it is.
    fn set_due(&mut self, queue_id: QueueId, now: Time) -> bool {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return false;
        };
        let state = &mut message.stored.state;
        if state.held {
            return false;
        }
        self.due.remove(&(state.next_attempt, queue_id));
        // A dead message may be tried again: its reader was told to.
        let revived = std::mem::replace(&mut state.dead, false);
        state.next_attempt = now;
        if message.under_way == 0 {
            self.due.insert((now, queue_id));
        }
        // A site that was left alone is tried again too: the administrator knows something.
        self.sites.forget_pauses();
        if revived {
            self.write(queue_id, Vec::new());
        }
        true
    }

    fn set_held(&mut self, queue_id: QueueId, held: bool, now: Time) {
        let Some(message) = self.messages.get_mut(&queue_id) else {
            return;
        };
        let state = &mut message.stored.state;
        if state.held == held {
            return;
        }
        state.held = held;
        self.due.remove(&(state.next_attempt, queue_id));
        if !held && !state.dead && message.under_way == 0 {
            state.next_attempt = now;
            self.due.insert((now, queue_id));
        }
        self.write(queue_id, Vec::new());
    }

    /// The administrator's drop: no report.
    fn forget(&mut self, queue_id: QueueId) {
        if let Some(message) = self.messages.remove(&queue_id) {
            self.due
                .remove(&(message.stored.state.next_attempt, queue_id));
            self.write(queue_id, Vec::new());
            self.outputs
                .push_back(Output::Event(Event::Dropped { queue_id }));
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;
