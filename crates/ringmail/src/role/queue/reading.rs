//! Content that is not in memory any more, read for whoever waits for it.

use super::Desk;
use crate::drive::committer::Job;
use crate::ipc::control::{self, Answer};
use crate::ipc::deliver::{Attempt, Ended};
use ::queue::{Content, Input};
use mail::QueueId;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Octets of a message that `queue show` gets.
const SHOW_OCTETS: usize = 64 * 1024;

/// Why a message is read.
pub(super) enum Reading {
    Attempt(Attempt),
    Header,
    Show {
        arrow: u64,
        token: u64,
        message: control::Message,
    },
}

impl Desk {
    pub(super) fn want(&mut self, queue_id: QueueId, why: Reading) {
        let waiting = self.reading.entry(queue_id).or_default();
        waiting.push(why);
        if waiting.len() == 1 {
            self.committer.ask(Job::Read { queue_id });
        }
    }

    pub(super) fn read(
        &mut self,
        queue_id: QueueId,
        message: Option<&(Arc<str>, Content, Option<OwnedFd>)>,
    ) {
        let waiting = self.reading.remove(&queue_id).unwrap_or_default();
        for why in waiting {
            let file = message.and_then(|(_, _, file)| file.as_ref()?.try_clone().ok());
            match (why, message) {
                (Reading::Attempt(record), Some((trace, content, _))) => {
                    let (trace, content) = (Arc::clone(trace), content.clone());
                    self.send(record, &trace, &content, file);
                }
                // It cannot be read: undecided, tried again later, and said in the log.
                (Reading::Attempt(record), None) => {
                    self.ended(Ended {
                        attempt: record.attempt,
                        host: mail::Host::default(),
                        outcomes: Vec::new(),
                    });
                }
                (Reading::Header, Some((_, content, _))) => {
                    let octets = first_octets(content, file, self.brain.header_octets());
                    self.handle(Input::Header { queue_id, octets });
                }
                (Reading::Header, None) => self.handle(Input::Header {
                    queue_id,
                    octets: Vec::new(),
                }),
                (
                    Reading::Show {
                        arrow,
                        token,
                        message: shown,
                    },
                    Some((trace, content, _)),
                ) => {
                    let mut octets = trace.as_bytes().to_vec();
                    octets.extend(first_octets(content, file, SHOW_OCTETS));
                    self.answer(arrow, token, &Answer::Show(shown), &octets);
                }
                (Reading::Show { arrow, token, .. }, None) => {
                    self.answer(arrow, token, &Answer::Nothing, &[]);
                }
            }
        }
    }
}

/// The first octets of a content, from memory or from its file.
fn first_octets(content: &Content, file: Option<OwnedFd>, limit: usize) -> Vec<u8> {
    use std::io::Read as _;
    match (content, file) {
        (Content::Inline(octets), _) => octets[..octets.len().min(limit)].to_vec(),
        (Content::Body(_), Some(file)) => {
            let mut octets = Vec::new();
            // What cannot be read is left out: a report goes without the header then.
            let _ = std::fs::File::from(file)
                .take(limit as u64)
                .read_to_end(&mut octets);
            octets
        }
        (Content::Body(_), None) => Vec::new(),
    }
}
