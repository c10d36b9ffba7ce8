//! The brain in a small world: commits that fail, transports that lose attempts, crashes at any step. What
//! was accepted must be delivered, reported or still there.

mod reports;
mod requests;
mod sites;

use super::*;
use crate::Standing;
use mail::{Class, Outcome, Scheme, Status};
use std::borrow::Cow;

struct Everywhere;

impl Router for Everywhere {
    fn route(&self, mailbox: &Mailbox) -> Route {
        match mailbox.domain.name() {
            Some("nowhere.test") => Route::Nowhere(Status::new(Class::Permanent, 1, 2), "no way"),
            Some("inner.test") => {
                Route::To(Destination::SmartHost(Scheme::Smtp, "inner.lan".into(), 25))
            }
            _ => Route::To(Destination::Mx(mailbox.domain.clone())),
        }
    }

    fn recipients(&self, mailbox: &Mailbox) -> Vec<Recipient> {
        vec![Recipient {
            mailbox: mailbox.clone(),
            originals: Vec::new(),
        }]
    }
}

/// splitmix64
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// What is durable, and what the world knows.
#[derive(Default)]
struct World {
    disk: BTreeMap<QueueId, Stored>,
    accepted: BTreeMap<QueueId, Envelope>,
    /// Message and recipient, and how often it was delivered.
    delivered: BTreeMap<(QueueId, Mailbox), u32>,
    /// Reports by the message they are about, and whether that had a null reverse-path.
    reports: Vec<QueueId>,
    /// What they say.
    words: Vec<String>,
    /// Whom each attempt was for.
    attempts: Vec<Vec<Mailbox>>,
    /// Messages whose senders were told of a delay.
    delays: BTreeSet<QueueId>,
    /// Message and address of every report's every recipient, and the action.
    told: Vec<(QueueId, String, String)>,
    lost_attempts: u32,
}

fn parameters() -> Parameters {
    Parameters::new("mx.test").unwrap()
}

fn text(report: &Accepted) -> String {
    match &report.content {
        Content::Inline(octets) => String::from_utf8_lossy(octets).into_owned(),
        Content::Body(_) => panic!("a report is small"),
    }
}

/// Each recipient of a report, with the action.
fn told(report: &Accepted) -> Vec<(String, String)> {
    let text = text(report);
    let value = |name| {
        let lines = text.lines().filter_map(move |line| line.strip_prefix(name));
        lines.map(String::from)
    };
    value("Final-Recipient: rfc822; ")
        .zip(value("Action: "))
        .collect()
}

fn is_of_delay(report: &Accepted) -> bool {
    text(report).contains("\r\nAction: delayed\r\n")
}

fn start(world: &World, now: Time, seed: u64) -> Queue<Everywhere> {
    let highest = world
        .accepted
        .keys()
        .chain(world.disk.keys())
        .map(|id| id.as_u64())
        .max()
        .unwrap_or(0);
    // Every other life tells of delays.
    let parameters = Parameters {
        delay_notice: seed.is_multiple_of(2).then_some(Duration::from_hours(1)),
        ..parameters()
    };
    Queue::new(
        parameters,
        Everywhere,
        world.disk.values().cloned().collect(),
        highest,
        seed,
        now,
    )
}

fn keep(world: &mut World, entry: &Entry) {
    match entry {
        Entry::Accept(accepted) => {
            world.disk.insert(accepted.queue_id, stored(accepted));
        }
        Entry::Progress {
            queue_id,
            state,
            reports,
        } => {
            let delayed = reports.iter().filter(|report| is_of_delay(report)).count();
            for report in reports {
                assert!(
                    report.envelope.reverse_path.is_null(),
                    "a report has a null reverse-path"
                );
                world.disk.insert(report.queue_id, stored(report));
                world
                    .accepted
                    .insert(report.queue_id, report.envelope.clone());
                let told = told(report).into_iter();
                world
                    .told
                    .extend(told.map(|(whom, what)| (*queue_id, whom, what)));
                if is_of_delay(report) {
                    assert!(world.delays.insert(*queue_id), "a delay is told once");
                } else {
                    world.reports.push(*queue_id);
                    world.words.push(text(report));
                }
            }
            match state {
                Some(state) => {
                    let message = world
                        .disk
                        .get_mut(queue_id)
                        .expect("progress of what is there");
                    let failed = |s: &State| {
                        s.recipients
                            .iter()
                            .filter(|r| **r == Standing::Failed)
                            .count()
                    };
                    assert!(
                        failed(state) == failed(&message.state)
                            || reports.len() > delayed
                            || message.envelope.dsn.is_some(),
                        "a failure and its report are one entry"
                    );
                    assert_eq!(
                        state.delay_told && !message.state.delay_told,
                        delayed > 0,
                        "a delay that is told and its mark are one entry"
                    );
                    message.state = state.clone();
                }
                None => {
                    world.disk.remove(queue_id);
                }
            }
        }
    }
}

fn stored(accepted: &Accepted) -> Stored {
    Stored {
        queue_id: accepted.queue_id,
        envelope: accepted.envelope.clone(),
        octets: accepted.content.octets(),
        state: State::new(
            accepted.envelope.recipients.len(),
            accepted.envelope.arrival,
        ),
    }
}

fn message(random: &mut Random, now: Time) -> NewMessage {
    let domains = [
        "good.test",
        "bad.test",
        "full.test",
        "dead.test",
        "nowhere.test",
    ];
    let recipients = (0..=random.below(4)).map(|n| {
        let domain = domains[usize::try_from(random.below(5)).unwrap()];
        Recipient {
            mailbox: Mailbox::parse(&format!("r{n}@{domain}")).unwrap(),
            originals: Vec::new(),
        }
    });
    let recipients: Vec<Recipient> = recipients.collect();
    let reverse_path = match random.below(4) {
        0 => "",
        1 => "sender@bad.test",
        _ => "sender@good.test",
    };
    let reverse_path = ReversePath::parse(reverse_path).unwrap();
    let envelope = Envelope {
        reverse_path,
        recipients,
        arrival: now,
        eight_bit: false,
        smtputf8: false,
        dsn: None,
    };
    NewMessage {
        envelope,
        received: None,
        content: Content::Inline(Arc::from(&b"Subject: x\r\n\r\n"[..])),
    }
}

fn outcome(random: &mut Random, mailbox: &Mailbox) -> Outcome {
    let cause = |class, subject| {
        Cause::Ours(
            Status::new(class, subject, 1),
            Cow::Borrowed("said the test"),
        )
    };
    match mailbox.domain.name() {
        Some("bad.test") => Outcome::Failed(cause(Class::Permanent, 1)),
        Some("full.test") if random.below(4) > 0 => Outcome::Deferred(cause(Class::Transient, 2)),
        Some("dead.test") => Outcome::Deferred(cause(Class::Transient, 4)),
        _ => Outcome::Delivered,
    }
}

fn ended(queue: &mut Queue<Everywhere>, attempt: u64, outcomes: Vec<(u32, Ending)>, now: Time) {
    let host = Host::default();
    let ended = Input::Ended {
        attempt,
        host,
        outcomes,
    };
    queue.handle(ended, now);
}

/// Does what the brain puts out; with trouble, commits fail and attempts are lost.
fn drive(
    queue: &mut Queue<Everywhere>,
    world: &mut World,
    random: &mut Random,
    now: Time,
    trouble: bool,
) {
    while let Some(output) = queue.poll() {
        match output {
            Output::Commit { batch, entries } => {
                let ok = !(trouble && random.below(8) == 0);
                if ok {
                    for entry in &entries {
                        keep(world, entry);
                    }
                }
                queue.handle(Input::Committed { batch, ok }, now);
            }
            Output::Accepted { queue_id, .. } => {
                let message = world
                    .disk
                    .get(&queue_id)
                    .expect("250 only for what is durable");
                world.accepted.insert(queue_id, message.envelope.clone());
            }
            Output::Attempt {
                attempt,
                queue_id,
                recipients,
                destination,
                dsn,
                ..
            } => {
                let (under_way, window) = queue.sites.window(&destination).unwrap();
                assert!(
                    under_way <= window && window <= crate::schedule::WINDOW_MAX,
                    "the window holds"
                );
                let whom = recipients.iter().map(|(_, mailbox)| mailbox.clone());
                world.attempts.push(whom.collect());
                let mut outcomes = Vec::new();
                for (number, mailbox) in recipients {
                    let outcome = outcome(random, &mailbox);
                    if outcome == Outcome::Delivered {
                        *world.delivered.entry((queue_id, mailbox)).or_default() += 1;
                    }
                    let mut ending = Ending::from(outcome);
                    ending.handed_on = requests::takes_requests(&destination) && dsn.is_some();
                    outcomes.push((number, ending));
                }
                if trouble && random.below(10) == 0 {
                    world.lost_attempts += 1;
                    queue.handle(Input::Lost { attempt }, now);
                } else {
                    ended(queue, attempt, outcomes, now);
                }
            }
            Output::NeedHeader { queue_id } => {
                queue.handle(
                    Input::Header {
                        queue_id,
                        octets: b"Subject: x\r\n".to_vec(),
                    },
                    now,
                );
            }
            Output::Refused { .. } | Output::Event(_) | Output::Done { .. } => {}
        }
    }
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let mut world = World::default();
    let mut now = Time::from_secs(1_000_000);
    let mut queue = start(&world, now, seed);
    let mut crashes = 0;
    for step in 0..400u64 {
        now = now + Duration::from_secs(random.below(600));
        if step < 100 {
            let mut message = message(&mut random, now);
            if step % 2 == 0 {
                requests::ask(&mut message.envelope, &mut random);
            }
            queue.handle(
                Input::Accept {
                    token: step,
                    message,
                },
                now,
            );
        }
        if random.below(20) == 0 {
            crashes += 1;
            queue = start(&world, now, random.below(u64::MAX));
        }
        queue.handle(Input::Wake, now);
        drive(&mut queue, &mut world, &mut random, now, true);
    }
    // Eight quiet days: everything comes to its end.
    for _ in 0..10_000 {
        now = queue
            .wake_at()
            .min(now + Duration::from_hours(8 * 24))
            .max(now);
        queue.handle(Input::Wake, now);
        drive(&mut queue, &mut world, &mut random, now, false);
        if queue.wake_at() == Time::NEVER {
            break;
        }
    }
    check(&world, crashes, seed);
}

fn check(world: &World, crashes: u32, seed: u64) {
    for (queue_id, envelope) in &world.accepted {
        let reported = world.reports.contains(queue_id);
        for recipient in &envelope.recipients {
            let delivered = world
                .delivered
                .contains_key(&(*queue_id, recipient.mailbox.clone()));
            let dead = world.disk.get(queue_id).is_some_and(|m| m.state.dead);
            let unwanted = !requests::any_failure_is_wanted(envelope, recipient);
            assert!(
                delivered || reported || dead || unwanted,
                "seed {seed}: {queue_id} to {} came to nothing",
                recipient.mailbox
            );
        }
    }
    requests::check(world, crashes, seed);
    assert!(
        world.disk.values().all(|m| m.state.dead),
        "seed {seed}: something is left"
    );
    let twice: u32 = world.delivered.values().map(|count| count - 1).sum();
    // A delivery is made twice only where a crash, a lost attempt or a failed commit hid its outcome.
    assert!(
        twice <= world.lost_attempts * 5 + crashes * 50 + 50,
        "seed {seed}: {twice} duplicates"
    );
}

#[test]
fn whatever_happens_what_was_accepted_is_delivered_reported_or_there() {
    for seed in 0..200 {
        run(seed);
    }
}

/// One message to these; gives the brain with its commit done.
fn with_message(reverse_path: &str, recipients: &[&str]) -> (Queue<Everywhere>, World, Time) {
    let now = Time::from_secs(1_000_000);
    let mut world = World::default();
    let mut queue = start(&world, now, 1);
    accept(&mut queue, reverse_path, recipients, now);
    if let Some(Output::Commit { batch, entries }) = queue.poll() {
        for entry in &entries {
            keep(&mut world, entry);
        }
        queue.handle(Input::Committed { batch, ok: true }, now);
    }
    (queue, world, now)
}

/// Hands a message in.
fn accept(queue: &mut Queue<Everywhere>, reverse_path: &str, recipients: &[&str], now: Time) {
    let recipients = recipients.iter().map(|r| Recipient {
        mailbox: Mailbox::parse(r).unwrap(),
        originals: Vec::new(),
    });
    let envelope = Envelope {
        reverse_path: ReversePath::parse(reverse_path).unwrap(),
        recipients: recipients.collect(),
        arrival: now,
        eight_bit: false,
        smtputf8: false,
        dsn: None,
    };
    let content = Content::Inline(Arc::from(&b"x\r\n"[..]));
    queue.handle(
        Input::Accept {
            token: 1,
            message: NewMessage {
                envelope,
                received: None,
                content,
            },
        },
        now,
    );
}

#[test]
fn a_held_message_is_not_attempted_until_it_is_released() {
    let (mut queue, mut world, now) = with_message("a@good.test", &["b@dead.test"]);
    let mut random = Random(1);
    drive(&mut queue, &mut world, &mut random, now, false);
    queue.handle(
        Input::Hold {
            token: 2,
            filter: Filter::default(),
        },
        now,
    );
    drive(&mut queue, &mut world, &mut random, now, false);
    assert_eq!(queue.wake_at(), Time::NEVER);
    assert!(world.disk.values().all(|m| m.state.held));
    queue.handle(
        Input::Release {
            token: 3,
            filter: Filter::default(),
        },
        now,
    );
    assert!(world.disk.len() == 1 && queue.messages().all(|m| !m.stored.state.held));
}

#[test]
fn failed_mail_with_a_null_reverse_path_goes_to_postmaster_once_and_is_then_kept() {
    let (mut queue, mut world, now) = with_message("", &["b@bad.test"]);
    let mut random = Random(1);
    drive(&mut queue, &mut world, &mut random, now, false);
    assert_eq!(world.reports.len(), 1);
    let to: Vec<String> = world
        .delivered
        .keys()
        .map(|(_, mailbox)| mailbox.to_string())
        .collect();
    assert_eq!(to, ["postmaster@mx.test"]);
}

#[test]
fn a_dead_site_does_not_delay_others() {
    let (mut queue, mut world, now) = with_message("a@good.test", &["b@dead.test", "c@good.test"]);
    drive(&mut queue, &mut world, &mut Random(1), now, false);
    assert!(
        world
            .delivered
            .keys()
            .any(|(_, mailbox)| mailbox.to_string() == "c@good.test")
    );
    queue.handle(Input::Stop, now);
    drive(&mut queue, &mut world, &mut Random(1), now, false);
    let again = queue.wake_at();
    assert!(again > now && again.since(now) <= Duration::from_secs(375));
}

#[test]
fn what_cannot_be_delivered_in_five_days_is_reported_when_they_are_over() {
    let (mut queue, mut world, now) = with_message("a@good.test", &["b@dead.test"]);
    let mut random = Random(1);
    let mut last = now;
    loop {
        drive(&mut queue, &mut world, &mut random, last, false);
        if world.reports.len() == 1 {
            break;
        }
        last = queue.wake_at();
        assert!(last != Time::NEVER, "there is no report");
        queue.handle(Input::Wake, last);
    }
    assert_eq!(last.since(now), Duration::from_hours(120));
}

/// The entries of the commit that is due now, if there is one.
fn commit(queue: &mut Queue<Everywhere>, world: &mut World, now: Time) -> Option<Vec<Entry>> {
    while let Some(output) = queue.poll() {
        if let Output::Commit { batch, entries } = output {
            for entry in &entries {
                keep(world, entry);
            }
            queue.handle(Input::Committed { batch, ok: true }, now);
            return Some(entries);
        }
    }
    None
}

#[test]
fn an_outcome_rides_the_next_commit_or_has_its_own_soon() {
    let (mut queue, mut world, now) = with_message("a@good.test", &["b@good.test"]);
    let delivered = |queue: &mut Queue<Everywhere>, attempt| {
        let outcomes = vec![(0, Outcome::Delivered.into())];
        ended(queue, attempt, outcomes, now);
    };
    let soon = now + progress::OUTCOME_WAIT;
    delivered(&mut queue, 1);
    assert_eq!(commit(&mut queue, &mut world, now), None);
    assert_eq!(queue.wake_at(), soon);
    let mut random = Random(1);
    let message = message(&mut random, now);
    queue.handle(Input::Accept { token: 2, message }, now);
    let entries = commit(&mut queue, &mut world, now).expect("an accept waits for nothing");
    assert_eq!(entries.len(), 2, "the outcome rides with it");
    assert!(world.disk.len() == 1 && queue.messages().count() == 1);

    let (mut queue, mut world, _) = with_message("a@good.test", &["b@good.test"]);
    delivered(&mut queue, 1);
    queue.handle(Input::Wake, soon);
    assert!(commit(&mut queue, &mut world, soon).is_some_and(|entries| entries.len() == 1));
    assert!(world.disk.is_empty() && queue.wake_at() == Time::NEVER);

    let (mut queue, mut world, _) = with_message("a@good.test", &["b@good.test"]);
    delivered(&mut queue, 1);
    queue.handle(Input::Stop, now);
    assert!(
        commit(&mut queue, &mut world, now).is_some(),
        "nothing waits at the end"
    );
}
