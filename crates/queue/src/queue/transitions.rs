//! Every standing of a message meets everything that may happen to it: the table `transitions.txt` is under review.

use super::*;
use crate::Standing;
use crate::table::{self, Row};
use mail::{Class, Outcome, Status};
use std::borrow::Cow;

const HEAD: &str = "\
What becomes of a message in each standing with each thing that may happen.
One message for a recipient at each of two sites, r0 and r1. Attempts under way stand in brackets.
Below each standing: what is put out (`write`: an entry for the next commit), the standing then where it is another,
and what leads to it. `+ report`: the report is in the same entry as the failure that owes it.";

const NOW: Time = Time::from_secs(1_000_000);

/// Where mail goes in this test: to the recipient's domain.
struct Domains;

impl Router for Domains {
    fn route(&self, mailbox: &Mailbox) -> Route {
        Route::To(Destination::Mx(mailbox.domain.clone()))
    }

    fn recipients(&self, mailbox: &Mailbox) -> Vec<Recipient> {
        vec![Recipient::direct(mailbox.clone())]
    }
}

struct Desk {
    brain: Queue<Domains>,
    now: Time,
    /// The message, once it is durable.
    queue_id: Option<QueueId>,
    /// Attempts under way: number, recipient.
    attempts: Vec<(u64, u32)>,
    /// Batches that are not answered.
    batches: VecDeque<u64>,
    out: Vec<String>,
}

fn ours(class: Class, detail: u16) -> Cause {
    Cause::Ours(Status::new(class, 2, detail), Cow::Borrowed("words"))
}

impl Desk {
    /// A brain that was asked to keep a message of this reverse-path.
    fn new(reverse_path: &str) -> Self {
        let recipient =
            |n: u32| Recipient::direct(Mailbox::parse(&format!("r{n}@site{n}.test")).unwrap());
        let message = NewMessage {
            envelope: Envelope {
                reverse_path: ReversePath::parse(reverse_path).unwrap(),
                recipients: vec![recipient(0), recipient(1)],
                arrival: NOW,
                eight_bit: false,
                smtputf8: false,
                dsn: None,
            },
            received: None,
            content: Content::Inline(b"Subject: x\r\n\r\n".as_slice().into()),
        };
        let parameters = Parameters::new("mx.test").unwrap();
        let mut desk = Self {
            brain: Queue::new(parameters, Domains, Vec::new(), 0, 7, NOW),
            now: NOW,
            queue_id: None,
            attempts: Vec::new(),
            batches: VecDeque::new(),
            out: Vec::new(),
        };
        desk.tell(Input::Accept { token: 1, message });
        desk
    }

    fn tell(&mut self, input: Input) {
        // What waits for a commit to ride is shown as if that came at once.
        for input in [input, Input::Stop] {
            self.brain.handle(input, self.now);
            while let Some(output) = self.brain.poll() {
                self.take(output);
            }
        }
    }

    fn take(&mut self, output: Output) {
        let text = match output {
            Output::Commit { batch, entries } => {
                self.batches.push_back(batch);
                entries.iter().map(entry).collect::<Vec<_>>().join("; ")
            }
            Output::Accepted { queue_id, .. } => {
                self.queue_id = Some(queue_id);
                "say 250".into()
            }
            Output::Refused { .. } => "say 451".into(),
            Output::Attempt {
                attempt,
                recipients,
                ..
            } => {
                let numbers: Vec<u32> = recipients.iter().map(|(n, _)| *n).collect();
                self.attempts.extend(numbers.iter().map(|n| (attempt, *n)));
                format!("attempt r{}", numbers[0])
            }
            Output::NeedHeader { .. } => "read the header section".into(),
            Output::Event(event) => match event {
                Event::Outcome {
                    mailbox, ending, ..
                } => format!("log {} {}", mailbox.local_part, word(&ending.outcome)),
                Event::Accepted { .. } => "log accepted".into(),
                Event::DsnQueued { .. } => "log report".into(),
                Event::Ended { .. } => "log ended".into(),
                Event::Dead { .. } => "log dead".into(),
                Event::Held { .. } => "log held".into(),
                Event::Dropped { .. } => "log dropped".into(),
            },
            Output::Done { count, .. } => format!("done to {count}"),
        };
        self.out.push(text);
    }

    /// Answers all batches, and those that their answers bring forth.
    fn commit(&mut self, ok: bool) {
        while let Some(batch) = self.batches.pop_front() {
            self.tell(Input::Committed { batch, ok });
        }
    }

    fn attempt_of(&self, recipient: u32) -> Option<u64> {
        let found = self.attempts.iter().find(|(_, n)| *n == recipient);
        found.map(|(attempt, _)| *attempt)
    }

    fn end(&mut self, recipient: u32, outcome: Option<Outcome>) {
        let attempt = self.attempt_of(recipient).unwrap_or(999);
        self.attempts.retain(|(number, _)| *number != attempt);
        let outcomes = outcome.map(|outcome| (recipient, outcome.into()));
        self.tell(Input::Ended {
            attempt,
            host: Host::default(),
            outcomes: outcomes.into_iter().collect(),
        });
    }

    fn lose(&mut self, recipient: u32) {
        let attempt = self.attempt_of(recipient).unwrap_or(999);
        self.attempts.retain(|(number, _)| *number != attempt);
        self.tell(Input::Lost { attempt });
    }

    fn crash(&mut self, recipient: u32) {
        let attempt = self.attempt_of(recipient).unwrap_or(999);
        self.attempts.retain(|(number, _)| *number != attempt);
        self.tell(Input::Crashed {
            attempts: vec![attempt],
        });
    }

    fn filter(&self) -> Filter {
        Filter {
            queue_ids: self.queue_id.into_iter().collect(),
            ..Filter::default()
        }
    }

    fn header(&mut self) {
        if let Some(queue_id) = self.queue_id {
            let octets = b"Subject: x\r\n".to_vec();
            self.tell(Input::Header { queue_id, octets });
        }
    }

    fn standing(&self) -> String {
        let Some(queue_id) = self.queue_id else {
            return if self.batches.is_empty() {
                "never ours".into()
            } else {
                "not durable yet".into()
            };
        };
        let Some(message) = self.brain.messages.get(&queue_id) else {
            return "gone".into();
        };
        let view = View {
            stored: &message.stored,
            sending: message.under_way > 0,
        };
        let each = (0u32..).zip(&message.stored.state.recipients);
        let each = each.map(|(n, standing)| {
            let word = match standing {
                Standing::Waiting(None) => "waits",
                Standing::Waiting(Some(_)) => "waits again",
                Standing::Delivered => "delivered",
                Standing::Failed => "failed",
                Standing::Owed(_) => "delivered, report owed",
            };
            let under_way = self.attempt_of(n).is_some();
            if under_way {
                format!("[r{n} {word}]")
            } else {
                format!("r{n} {word}")
            }
        });
        let mut name = format!(
            "{}: {}",
            view.word(self.now),
            each.collect::<Vec<_>>().join(", ")
        );
        if message.header_asked {
            name.push_str(", report to be written");
        }
        if message.stored.state.held && view.word(self.now) != "held" {
            name.push_str(", held");
        }
        name
    }
}

fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Accept(_) => "write message".into(),
        Entry::Progress { state, reports, .. } => {
            let what = if state.is_some() {
                "write state"
            } else {
                "write end"
            };
            let report = if reports.is_empty() { "" } else { " + report" };
            format!("{what}{report}")
        }
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) => "failed",
    }
}

fn deferred() -> Outcome {
    Outcome::Deferred(ours(Class::Transient, 0))
}

fn failed() -> Outcome {
    Outcome::Failed(ours(Class::Permanent, 1))
}

fn sending() -> Desk {
    let mut desk = Desk::new("a@b.test");
    desk.commit(true);
    desk
}

fn waiting() -> Desk {
    let mut desk = sending();
    desk.end(0, Some(deferred()));
    desk.end(1, Some(deferred()));
    desk.commit(true);
    desk
}

fn owing(reverse_path: &str) -> Desk {
    let mut desk = Desk::new(reverse_path);
    desk.commit(true);
    desk.end(0, Some(Outcome::Delivered));
    desk.end(1, Some(failed()));
    desk.commit(true);
    desk
}

/// Held with `Input::Hold`.
fn held(mut desk: Desk) -> Desk {
    let filter = desk.filter();
    desk.tell(Input::Hold { token: 2, filter });
    desk.commit(true);
    desk
}

const STANDINGS: [fn() -> Desk; 11] = [
    || Desk::new("a@b.test"),
    sending,
    || {
        let mut desk = sending();
        desk.end(0, Some(Outcome::Delivered));
        desk.commit(true);
        desk
    },
    waiting,
    || held(waiting()),
    || held(sending()),
    || {
        // Its sender is to be told of a delay, once something is heard of both.
        let mut desk = sending();
        desk.brain.parameters.delay_notice = Some(Duration::ZERO);
        desk.end(0, Some(deferred()));
        desk.end(1, Some(deferred()));
        desk.commit(true);
        desk
    },
    || owing("a@b.test"),
    || held(owing("a@b.test")),
    || {
        // Nobody is told of a report that failed for postmaster: it is kept as dead.
        let mut desk = owing("");
        desk.brain.parameters.postmaster = Mailbox::parse("r1@site1.test").unwrap();
        desk.header();
        desk.commit(true);
        desk
    },
    || {
        let mut desk = sending();
        desk.end(0, Some(Outcome::Delivered));
        desk.end(1, Some(Outcome::Delivered));
        desk
    },
];

/// What may happen.
type Happens = (&'static str, fn(&mut Desk));

const HAPPENING: [Happens; 19] = [
    ("commit: durable", |d| d.commit(true)),
    ("commit: failed", |d| d.commit(false)),
    ("commit: failed, and a second passes", |d| {
        d.commit(false);
        d.now = d.now + progress::COMMIT_AGAIN;
        d.tell(Input::Wake);
    }),
    ("r0 delivered", |d| d.end(0, Some(Outcome::Delivered))),
    ("r1 delivered", |d| d.end(1, Some(Outcome::Delivered))),
    ("r1 deferred", |d| d.end(1, Some(deferred()))),
    ("r1 failed", |d| d.end(1, Some(failed()))),
    ("r1 ended undecided", |d| d.end(1, None)),
    ("r1 lost with its transport", |d| d.lose(1)),
    ("r1's transport crashed", |d| d.crash(1)),
    ("both's transports crashed", |d| {
        d.crash(1);
        d.crash(0);
    }),
    ("header section read", Desk::header),
    ("retry", |d| {
        let filter = d.filter();
        d.tell(Input::Retry { token: 3, filter });
    }),
    ("hold", |d| {
        let filter = d.filter();
        d.tell(Input::Hold { token: 3, filter });
    }),
    ("release", |d| {
        let filter = d.filter();
        d.tell(Input::Release { token: 3, filter });
    }),
    ("drop", |d| {
        let filter = d.filter();
        d.tell(Input::Drop { token: 3, filter });
    }),
    ("the next attempt is due", |d| {
        d.now = d.brain.wake_at().min(NOW + Duration::from_hours(1));
        d.tell(Input::Wake);
    }),
    ("its time is over", |d| {
        d.now = NOW + d.brain.parameters.expiry;
        d.tell(Input::Wake);
    }),
    ("an attempt that nobody made ends", |d| {
        d.tell(Input::Ended {
            attempt: 999,
            host: Host::default(),
            outcomes: vec![(0, Outcome::Delivered.into())],
        });
    }),
];

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for reach in STANDINGS {
        for (name, happens) in HAPPENING {
            let mut desk = reach();
            desk.out.clear();
            let state = desk.standing();
            happens(&mut desk);
            let output = if desk.out.is_empty() {
                "nothing".into()
            } else {
                desk.out.join("; ")
            };
            rows.push(Row {
                state,
                input: name.into(),
                output,
                then: desk.standing(),
            });
        }
    }
    rows
}

#[test]
fn every_standing_meets_everything_as_transitions_txt_says() {
    table::compare("src/queue/transitions.txt", HEAD, &rows());
}

/// A message goes only when all its recipients are delivered or reported, or the administrator drops it.
#[test]
fn no_message_goes_unless_it_is_done_with() {
    for row in rows() {
        if row.then == "gone" && row.state != "gone" {
            let done = row.output.contains("log ended") && row.output.contains("write end");
            assert!(done || row.output.contains("log dropped"), "{row:?}");
        }
        assert!(
            !row.output.contains("say 250") || row.input == "commit: durable",
            "{row:?}"
        );
    }
}
