//! What was said and what came of it, as the peers saw it; and the comparison at the end.

use super::chart::{self, HOSTNAME, Place};
use mail::QueueId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// How a client's transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Before its content was whole: it must not exist.
    Void,
    /// Its content was whole and no answer came, or one that speaks of later: it may exist or not.
    Unsure,
    /// It was refused for good: it must not exist.
    Refused,
    /// 250: it is to be delivered, or reported on.
    Acknowledged,
}

/// One message as its client knows it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Whom failures go to; empty for the null reverse-path.
    pub reverse_path: String,
    /// The forward-paths that were accepted.
    pub recipients: Vec<String>,
    /// Whether the client may send to anybody.
    pub friend: bool,
    /// Its content.
    pub content: Vec<u8>,
    /// How it ended.
    pub ended: Ended,
    /// What the 250 named.
    pub queue_id: Option<QueueId>,
}

/// A report as somebody got it.
#[derive(Clone, Debug)]
struct Report {
    /// The message it is about, by the Message-ID in the header that it carries.
    about: String,
    /// Whom it names.
    recipients: Vec<String>,
    /// Who got it.
    place: Place,
    /// Its own name.
    id: String,
    /// It says that the message is delayed, and nothing more.
    delayed: bool,
}

#[derive(Default)]
struct Book {
    sent: BTreeMap<String, Sent>,
    /// Copies by message and place: when each came.
    copies: BTreeMap<(String, Place), Vec<Copy>>,
    reports: Vec<Report>,
    /// Reports that queue made, by what they are about.
    made: BTreeMap<QueueId, BTreeSet<QueueId>>,
    /// Messages that the administrator dropped.
    dropped: BTreeSet<QueueId>,
    /// When roles were killed, the power was cut or the disk failed.
    kills: Vec<Duration>,
    /// Senders are told of delays.
    delays: bool,
    wrong: Vec<String>,
}

/// A copy of a message, as it came.
struct Copy {
    /// Since the world began.
    at: Duration,
    /// Its 250 was said in full, and in time.
    confirmed: bool,
}

/// What was left in the queue at the end.
pub struct Left {
    /// Held or dead: for a reason.
    pub resting: bool,
    /// The recipients that wait.
    pub waiting: Vec<String>,
}

/// How long after a copy came a kill may still lead to another: the outcome is durable within a second, on a
/// disk of this world.
const WINDOW: Duration = Duration::from_secs(5);

/// How long after a kill a next hop may still take what was sent to it in whole before.
const UNHEARD: Duration = Duration::from_secs(3);

/// Shared by all peers of a world.
#[derive(Clone)]
pub struct Ledger {
    book: Rc<RefCell<Book>>,
    began: Instant,
}

/// Figures of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Messages that had their 250.
    pub acknowledged: u64,
    /// Copies that arrived.
    pub copies: u64,
    /// Copies that a next hop or an LMTP server got once more.
    pub duplicates: u64,
    /// Reports that arrived.
    pub reports: u64,
    /// Of them those on a delay.
    pub delays: u64,
    /// Kills and power cuts.
    pub kills: u64,
}

impl Ledger {
    /// An empty one, from now on.
    pub fn new() -> Self {
        Self {
            book: Rc::default(),
            began: Instant::now(),
        }
    }

    /// Something is wrong whatever comes later.
    pub fn wrong(&self, what: String) {
        self.book.borrow_mut().wrong.push(what);
    }

    /// Whether senders are told of delays.
    pub fn expect_delays(&self, on: bool) {
        self.book.borrow_mut().delays = on;
    }

    /// Whether something is known to be wrong already.
    pub fn is_wrong(&self) -> bool {
        !self.book.borrow().wrong.is_empty()
    }

    /// A client's transaction ended.
    pub fn sent(&self, id: &str, sent: Sent) {
        self.book.borrow_mut().sent.insert(id.to_owned(), sent);
    }

    /// A role was killed, or the power cut, while copies may have been under way.
    pub fn killed(&self) {
        self.book.borrow_mut().kills.push(self.began.elapsed());
    }

    /// Queue wrote down that a report is about a message.
    pub fn report_made(&self, about: QueueId, report: QueueId) {
        let mut book = self.book.borrow_mut();
        book.made.entry(about).or_default().insert(report);
    }

    /// The administrator dropped a message.
    pub fn dropped(&self, queue_id: QueueId) {
        self.book.borrow_mut().dropped.insert(queue_id);
    }

    /// A peer has a message. `confirmed`: its 250 was said in full.
    pub fn arrived(&self, place: Place, reverse_path: &str, content: &[u8], confirmed: bool) {
        let text = String::from_utf8_lossy(content);
        let Some(id) = message_id(&text) else {
            return self.wrong(format!("{place:?} got content without a name"));
        };
        let mut book = self.book.borrow_mut();
        let copies = book.copies.entry((id.clone(), place.clone())).or_default();
        copies.push(Copy {
            at: self.began.elapsed(),
            confirmed,
        });
        if text.contains("report-type=delivery-status") {
            if !reverse_path.is_empty() {
                book.wrong
                    .push(format!("{id}: a report with reverse-path {reverse_path}"));
            }
            book.reports.push(Report {
                about: about(&text).unwrap_or_default(),
                recipients: text
                    .lines()
                    .filter_map(|line| line.strip_prefix("Final-Recipient: rfc822; "))
                    .map(|address| address.trim_end().to_owned())
                    .collect(),
                place,
                delayed: is_of_delay(&text),
                id,
            });
            return;
        }
        // A transaction that goes on still tells its end later.
        let wrong = book.sent.get(&id).and_then(|sent| {
            if sent.reverse_path != reverse_path {
                Some(format!("{id}: arrived with reverse-path {reverse_path}"))
            } else if !ends_alike(content, &sent.content) {
                Some(format!("{id}: arrived with other content at {place:?}"))
            } else {
                None
            }
        });
        book.wrong.extend(wrong);
    }

    /// What was said of the copies of this content may have been heard in vain.
    pub fn doubt(&self, place: &Place, content: &[u8]) {
        let id = message_id(&String::from_utf8_lossy(content)).unwrap_or_default();
        let mut book = self.book.borrow_mut();
        for copy in book
            .copies
            .get_mut(&(id, place.clone()))
            .into_iter()
            .flatten()
        {
            copy.confirmed = false;
        }
    }

    /// The comparison, when all is quiet. `left`: messages still in the queue, and whether each is held or dead.
    pub fn balance(&self, left: &BTreeMap<QueueId, Left>) -> Result<Count, String> {
        let book = self.book.borrow();
        let mut wrong = book.wrong.clone();
        for (id, sent) in &book.sent {
            let accounted = |place: &Place, address: &str| {
                book.copies.contains_key(&(id.clone(), place.clone()))
                    || book.is_reported(id, address)
                    || sent.queue_id.is_some_and(|queue_id| {
                        book.rests(queue_id, place, left) || book.is_told_on(queue_id, left)
                    })
            };
            for address in &sent.recipients {
                let places = chart::places(address, sent.friend);
                if places.is_empty() {
                    wrong.push(format!("{id}: {address} was accepted from a stranger"));
                }
                for place in &places {
                    if sent.ended == Ended::Acknowledged && !accounted(place, address) {
                        wrong.push(format!(
                            "{id} ({}) for {address}: acknowledged, and neither at {place:?} nor reported",
                            sent.queue_id.map(|id| id.to_string()).unwrap_or_default()
                        ));
                    }
                }
            }
        }
        for (queue_id, left) in left {
            if !left.resting {
                wrong.push(format!("{queue_id} is in the queue still"));
            }
        }
        for ((id, place), copies) in &book.copies {
            wrong.extend(book.judge_copies(id, place, copies));
        }
        for report in &book.reports {
            wrong.extend(book.judge_report(report));
        }
        let copies = book.copies.values().map(Vec::len).sum::<usize>() as u64;
        let count = Count {
            acknowledged: book
                .sent
                .values()
                .filter(|sent| sent.ended == Ended::Acknowledged)
                .count() as u64,
            copies,
            duplicates: book
                .copies
                .iter()
                .filter(|((_, place), _)| !matches!(place, Place::Maildir(_)))
                .map(|(_, copies)| copies.len() as u64 - 1)
                .sum(),
            reports: book.reports.len() as u64,
            delays: book.reports.iter().filter(|report| report.delayed).count() as u64,
            kills: book.kills.len() as u64,
        };
        match wrong.first() {
            None => Ok(count),
            Some(_) => Err(wrong.join("\n")),
        }
    }
}

impl Book {
    fn is_reported(&self, id: &str, address: &str) -> bool {
        self.reports.iter().any(|report| {
            report.about == id && !report.delayed && report.recipients.iter().any(|r| r == address)
        })
    }

    /// Whether a message rests in the queue with a recipient of this place, or was dropped.
    fn rests(&self, queue_id: QueueId, place: &Place, left: &BTreeMap<QueueId, Left>) -> bool {
        let rests = left.get(&queue_id).is_some_and(|left| {
            left.resting && left.waiting.iter().any(|address| place.is_of(address))
        });
        rests || self.dropped.contains(&queue_id)
    }

    /// Whether a report about a message could not be told and is known to have come to a good end all the same:
    /// by a report about it, or by resting in the queue.
    fn is_told_on(&self, queue_id: QueueId, left: &BTreeMap<QueueId, Left>) -> bool {
        let mut reports = self.made.get(&queue_id).into_iter().flatten();
        reports.any(|report| {
            let id = format!("{report}@{HOSTNAME}");
            self.reports
                .iter()
                .any(|other| other.about == id && !other.delayed)
                || left.get(report).is_some_and(|left| left.resting)
                || self.dropped.contains(report)
                || self.is_told_on(*report, left)
        })
    }

    /// Whether something happened soon after a copy came that may have sent another.
    fn may_come_again(&self, copy: &Copy) -> bool {
        !copy.confirmed
            || self
                .kills
                .iter()
                .any(|kill| *kill + UNHEARD >= copy.at && *kill <= copy.at + WINDOW)
    }

    fn judge_copies(&self, id: &str, place: &Place, copies: &[Copy]) -> Option<String> {
        let is_report = id.ends_with(HOSTNAME);
        let again = match place {
            // A Maildir file has its message's name: the second falls onto the first.
            Place::Maildir(_) => 0,
            Place::Lmtp(_) | Place::Hop(_) => copies
                .iter()
                .filter(|copy| self.may_come_again(copy))
                .count(),
        };
        // Sub-addresses of one user are recipients each.
        let meant = self.sent.get(id).map_or(1, |sent| {
            let here = |address: &&String| chart::places(address, sent.friend).contains(place);
            sent.recipients.iter().filter(here).count().max(1)
        });
        if copies.len() > meant + again {
            let at: Vec<Duration> = copies.iter().map(|copy| copy.at).collect();
            return Some(format!("{id} came to {place:?} more than once: {at:?}"));
        }
        if is_report {
            return None;
        }
        let Some(sent) = self.sent.get(id) else {
            return Some(format!("{id} came to {place:?} and was never sent"));
        };
        if matches!(sent.ended, Ended::Void | Ended::Refused) {
            return Some(format!(
                "{id} came to {place:?}, and its transaction was {:?}",
                sent.ended
            ));
        }
        let meant = sent
            .recipients
            .iter()
            .any(|address| chart::places(address, sent.friend).contains(place));
        (!meant).then(|| format!("{id} came to {place:?}, which nobody asked for"))
    }

    /// A delay is told where that is on, once, to the sender, and of the recipients that he named.
    fn judge_delay(&self, report: &Report) -> Option<String> {
        let Report { id, about, .. } = report;
        let Some(sent) = self.sent.get(about) else {
            return Some(format!(
                "{id}: a delay of {about} was told, which nobody sent"
            ));
        };
        let again = |other: &Report| other.delayed && other.about == *about && other.id != *id;
        let what = if !self.delays {
            "delays are not told here"
        } else if sent.reverse_path.is_empty() {
            "its message wanted no report"
        } else if self.reports.iter().any(again) {
            "it was told before"
        } else if !chart::places(&sent.reverse_path, true).contains(&report.place) {
            "it came to somebody else"
        } else if report
            .recipients
            .iter()
            .any(|r| !sent.recipients.contains(r))
        {
            "it names somebody whom the sender did not"
        } else {
            return None;
        };
        Some(format!(
            "{id}: a delay of {about} at {:?}: {what}",
            report.place
        ))
    }

    fn judge_report(&self, report: &Report) -> Option<String> {
        if report.delayed {
            return self.judge_delay(report);
        }
        let postmaster = Place::Maildir("/mail/home.test/u0".into());
        if let Some(sent) = self.sent.get(&report.about) {
            if sent.reverse_path.is_empty() && report.place != postmaster {
                return Some(format!(
                    "{}: a report on a message that wanted none came to {:?}",
                    report.about, report.place
                ));
            }
            let unknown = report
                .recipients
                .iter()
                .find(|address| !sent.recipients.contains(address));
            return unknown.map(|address| {
                format!(
                    "{}: a report names {address}, whom its sender did not",
                    report.about
                )
            });
        }
        // A report on a report goes to postmaster and to nobody else.
        (report.about.ends_with(HOSTNAME) && report.place != postmaster).then(|| {
            format!(
                "{}: a report on a report came to {:?}",
                report.about, report.place
            )
        })
    }
}

/// Whether the text of a report says only that a message is delayed.
pub fn is_of_delay(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim_end() == "Action: delayed")
}

/// The first Message-ID, without its brackets.
fn message_id(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Message-ID: <"))?;
    Some(line.trim_end().trim_end_matches('>').to_owned())
}

/// The Message-ID in the header that a report carries.
fn about(text: &str) -> Option<String> {
    let (_, header) = text.split_once("text/rfc822-headers")?;
    message_id(header)
}

/// Whether what arrived ends in what was sent, whatever the line ends became.
fn ends_alike(arrived: &[u8], sent: &[u8]) -> bool {
    if arrived.ends_with(sent) {
        return true;
    }
    let lf: Vec<u8> = sent
        .split_inclusive(|b| *b == b'\n')
        .flat_map(|line| match line.strip_suffix(b"\r\n") {
            Some(line) => [line, b"\n"].concat(),
            None => line.to_vec(),
        })
        .collect();
    arrived.ends_with(&lf)
}
