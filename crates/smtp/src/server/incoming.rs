//! Content that is on its way, and what is looked for in it: the same whether it comes after DATA or in chunks.

use super::hops::Hops;
use super::{Output, Question, Session, State, replies};
use crate::content::{Content, Fault, Progress};
use mail::{Reply, limits};

/// The content of a transaction, as far as it came.
#[derive(Debug)]
pub(super) struct Incoming {
    content: Content,
    hops: Hops,
}

impl Incoming {
    /// Of at most so many octets; of one of our own users with bare LFs mended.
    pub(super) fn new(octets_max: u64, is_ours: bool) -> Self {
        Self {
            content: if is_ours {
                Content::mending_lines(octets_max)
            } else {
                Content::new(octets_max)
            },
            hops: Hops::default(),
        }
    }

    /// Takes octets that came after 354.
    fn read(&mut self, wire: &[u8], out: &mut Vec<u8>) -> Progress {
        let before = out.len();
        let progress = self.content.read(wire, out);
        self.hops.read(&out[before..]);
        progress
    }

    /// Takes octets of a chunk.
    pub(super) fn read_chunk(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        self.content.read_chunk(octets, out);
        self.hops.read(&out[before..]);
    }

    /// The last chunk came.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        self.content.end(out);
    }

    /// Octets so far.
    pub(super) fn octets(&self) -> u64 {
        self.content.octets()
    }

    /// Whether an octet above 127 was seen.
    pub(super) fn eight_bit(&self) -> bool {
        self.content.eight_bit()
    }

    /// Why it is not taken, if that is known already.
    pub(super) fn refusal(&self) -> Option<Reply> {
        match self.content.fault() {
            Some(Fault::TooLarge) => Some(replies::TOO_LARGE),
            Some(Fault::BareCr | Fault::BareLf | Fault::Nul) => Some(replies::BAD_CONTENT),
            None if self.hops.count() > limits::RECEIVED_FIELDS => Some(replies::LOOP),
            None => None,
        }
    }
}

impl Session {
    /// Reads what comes after 354; how many octets were used.
    pub(super) fn read_content(&mut self, wire: &[u8], out: &mut Vec<u8>) -> usize {
        let State::Content(_, incoming) = &mut self.state else {
            return 0;
        };
        let progress = incoming.read(wire, out);
        self.eight_bit = incoming.eight_bit();
        let Progress::Ended(used) = progress else {
            return wire.len();
        };
        let refusal = incoming.refusal();
        match (refusal, std::mem::replace(&mut self.state, State::Ready)) {
            (None, State::Content(transaction, _)) => {
                self.state = State::Committing(transaction);
                self.outputs.push_back(Output::Ask(Question::Commit));
            }
            (refusal, _) => {
                self.outputs.push_back(Output::DiscardContent);
                self.fault(refusal.unwrap_or(replies::NOT_STORED));
                self.stop_if_told();
            }
        }
        used
    }
}
