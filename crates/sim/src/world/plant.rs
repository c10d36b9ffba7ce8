//! Faults that are planted on purpose, around the product or by switches that only a simulation can reach, to see
//! that the comparison at the end catches each. (A refused batch that rises is seen by the spool's own model test:
//! to a client, what was answered 451 may exist or not.)

use super::chart::{RECIPIENTS_MAX, SESSIONS_MAX, Variant};
use crate::disk::Lies;
use mail::{Mailbox, ReversePath, Time};
use queue::spool::{Faults, Recovered};
use queue::{Accepted, Entry};

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// 250 is said before the commit.
    AckBeforeCommit,
    /// A large body is not synced before its record.
    BodyNotSynced,
    /// A report is written in another record than the failure that owes it.
    DsnApart,
    /// A message that wanted no report gets one.
    DsnToNull,
    /// A message that expires is given up without a report.
    ExpiredWithoutDsn,
    /// A sync of a file does nothing.
    FileNotSynced,
    /// A sync of a folder does nothing.
    FolderNotSynced,
    /// What was delivered is not written down.
    OutcomeLost,
    /// Ten recipients more than configured are taken.
    RecipientBound,
    /// After a restart a message is not tried again.
    RetryForgotten,
    /// More sessions than configured are taken.
    SessionBound,
    /// A stranger's network may relay.
    StrangerRelays,
    /// A segment is freed although messages live in it.
    TombstoneEarly,
    /// A torn batch at the end is applied.
    TornTail,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 14] = [
        Plant::AckBeforeCommit,
        Plant::BodyNotSynced,
        Plant::DsnApart,
        Plant::DsnToNull,
        Plant::ExpiredWithoutDsn,
        Plant::FileNotSynced,
        Plant::FolderNotSynced,
        Plant::OutcomeLost,
        Plant::RecipientBound,
        Plant::RetryForgotten,
        Plant::SessionBound,
        Plant::StrangerRelays,
        Plant::TombstoneEarly,
        Plant::TornTail,
    ];

    /// The spool's switches.
    pub fn faults(self) -> Faults {
        let off = Faults::default();
        match self {
            Plant::BodyNotSynced => Faults {
                no_body_sync: true,
                ..off
            },
            Plant::TombstoneEarly => Faults {
                free_living: true,
                ..off
            },
            Plant::TornTail => Faults {
                take_torn: true,
                ..off
            },
            _ => off,
        }
    }

    /// The disk's lies.
    pub fn lies(self) -> Lies {
        Lies {
            ignore_sync: self == Plant::FileNotSynced,
            ignore_sync_folder: self == Plant::FolderNotSynced,
        }
    }

    /// A configuration that is not what the world believes it to be.
    pub fn spoil_variant(self, variant: &mut Variant) {
        match self {
            Plant::StrangerRelays => variant.relay_from = "\"10.0.0.0/8\", \"192.0.2.0/24\"",
            Plant::RecipientBound => variant.recipients = RECIPIENTS_MAX + 10,
            Plant::SessionBound => variant.sessions = SESSIONS_MAX + 100,
            _ => {}
        }
    }

    /// What was recovered, spoilt.
    pub fn spoil_recovered(self, recovered: &mut Recovered) {
        for stored in &mut recovered.messages {
            match self {
                Plant::RetryForgotten if stored.state.attempts > 0 => {
                    stored.state.next_attempt = Time::NEVER;
                }
                Plant::DsnToNull if stored.envelope.reverse_path.is_null() => {
                    let wrong = Mailbox::parse("s0@far0.test").map(ReversePath::Mailbox);
                    stored.envelope.reverse_path = wrong.unwrap_or(ReversePath::Null);
                }
                _ => {}
            }
        }
    }

    /// A commit, spoilt: what is written, and what is written by a later commit.
    pub fn spoil_commit(self, entries: Vec<Entry>, now: Time) -> (Vec<Entry>, Vec<Entry>) {
        let (mut kept, mut later) = (Vec::new(), Vec::new());
        for entry in entries {
            match (self, entry) {
                (
                    Plant::DsnApart,
                    Entry::Progress {
                        queue_id,
                        state,
                        reports,
                    },
                ) => {
                    later.extend(reports.into_iter().map(Entry::Accept));
                    kept.push(without_reports(queue_id, state));
                }
                (
                    Plant::ExpiredWithoutDsn,
                    Entry::Progress {
                        queue_id,
                        state,
                        reports,
                    },
                ) => {
                    // A queue id is the time it was given, a little after the message came.
                    let came = Time::from_micros(queue_id.as_u64());
                    let age = now.since(came).as_secs() + 60;
                    let expired = age >= super::chart::EXPIRY_HOURS * 3600;
                    let reports: Vec<Accepted> = if expired { Vec::new() } else { reports };
                    kept.push(Entry::Progress {
                        queue_id,
                        state,
                        reports,
                    });
                }
                (Plant::OutcomeLost, Entry::Progress { reports, .. }) if reports.is_empty() => {}
                (_, entry) => kept.push(entry),
            }
        }
        (kept, later)
    }
}

fn without_reports(queue_id: mail::QueueId, state: Option<queue::State>) -> Entry {
    Entry::Progress {
        queue_id,
        state,
        reports: Vec::new(),
    }
}
