//! BDAT, RFC 3030 §2: content in chunks of a stated size. Whether a chunk is taken or not, its octets are read before
//! it is answered, so that none of them is ever taken for a command. `docs/adr/0031` has what we made of the RFC.

use super::incoming::Incoming;
use super::{Output, Question, Session, State, replies};
use mail::{Reply, limits};

/// A chunk whose octets are on their way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Octets still to come.
    left: u64,
    /// Whether content ends with them.
    last: bool,
}

/// A chunk that is not taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// Octets still to come; they are thrown away.
    left: u64,
    /// What is said then.
    reply: Reply,
    then: Then,
}

/// Where a refused chunk leaves the session.
#[derive(Clone, Copy, Debug)]
enum Then {
    Unwanted,
    Ready,
    Failed,
}

impl Then {
    fn state(self) -> State {
        match self {
            Then::Unwanted => State::Unwanted,
            Then::Ready => State::Ready,
            Then::Failed => State::Failed,
        }
    }
}

impl Session {
    /// Begins a chunk.
    pub(super) fn bdat(&mut self, size_octets: u64, last: bool) {
        let max = self.parameters.content_octets_max;
        if size_octets > limits::CHUNK_OCTETS_SKIPPED.max(max) {
            return self.end(replies::CHUNK_TOO_LARGE);
        }
        let chunk = Chunk {
            left: size_octets,
            last,
        };
        // With a refused chunk the transaction is over, at the latest with its last.
        let failed = if last { Then::Ready } else { Then::Failed };
        let room = |incoming: &Incoming| size_octets <= max.saturating_sub(incoming.octets());
        let (reply, then) = match std::mem::replace(&mut self.state, State::Ready) {
            State::Unwanted => (replies::NO_SERVICE, Then::Unwanted),
            State::Open(transaction) if transaction.recipients.is_empty() => {
                (replies::NO_RECIPIENTS, failed)
            }
            State::Open(transaction) if size_octets <= max => {
                self.outputs.push_back(Output::ContentBegins);
                self.state = State::Chunk(transaction, Incoming::new(max, false), chunk);
                return;
            }
            State::BetweenChunks(transaction, incoming) if room(&incoming) => {
                self.state = State::Chunk(transaction, incoming, chunk);
                return;
            }
            State::BetweenChunks(..) => {
                self.outputs.push_back(Output::DiscardContent);
                (replies::TOO_LARGE, failed)
            }
            State::Open(_) => (replies::TOO_LARGE, failed),
            State::Failed => (replies::FAILED, failed),
            //= https://www.rfc-editor.org/rfc/rfc3030#section-2
            //# Any BDAT command sent after the BDAT LAST is illegal
            //# and MUST be replied to with a 503 "Bad sequence of commands" reply
            //# code.
            _ => (replies::MAIL_FIRST, Then::Ready),
        };
        //= https://www.rfc-editor.org/rfc/rfc3030#section-2
        //# If a failure occurs after a BDAT command is
        //# received, the receiver-SMTP MUST accept and discard the associated
        //# message data before sending the appropriate 5XX or 4XX code.
        self.state = State::Skipping(Refused {
            left: size_octets,
            reply,
            then,
        });
    }

    /// Octets that the chunk on its way still has to bring.
    pub(super) fn chunk_left(&self) -> Option<u64> {
        match &self.state {
            State::Chunk(_, _, Chunk { left, .. }) | State::Skipping(Refused { left, .. }) => {
                Some(*left)
            }
            _ => None,
        }
    }

    /// Reads octets of a chunk; how many were used.
    pub(super) fn read_chunk(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let (State::Chunk(_, _, Chunk { left, .. }) | State::Skipping(Refused { left, .. })) =
            &mut self.state
        else {
            return 0;
        };
        let used = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
        *left -= used as u64;
        if let State::Chunk(_, incoming, _) = &mut self.state {
            incoming.read_chunk(&input[..used], out);
        }
        used
    }

    /// Answers a chunk whose octets have all come.
    pub(super) fn end_chunk(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Chunk(transaction, mut incoming, Chunk { last, .. }) => {
                if last {
                    incoming.end(out);
                }
                self.eight_bit = incoming.eight_bit();
                match incoming.refusal() {
                    None if last => {
                        self.state = State::Committing(transaction);
                        self.outputs.push_back(Output::Ask(Question::Commit));
                    }
                    //= https://www.rfc-editor.org/rfc/rfc3030#section-2
                    //# A 250 response MUST be sent to each successful BDAT data block within
                    //# a mail transaction.
                    None => {
                        self.state = State::BetweenChunks(transaction, incoming);
                        self.say(replies::CHUNK_OK);
                    }
                    Some(refusal) => {
                        let then = if last { Then::Ready } else { Then::Failed };
                        self.state = then.state();
                        self.outputs.push_back(Output::DiscardContent);
                        self.fault(refusal);
                    }
                }
            }
            State::Skipping(Refused { reply, then, .. }) => {
                self.state = then.state();
                // No errors of their own: who pipelines sends chunks before it knows of the first refusal.
                //= https://www.rfc-editor.org/rfc/rfc3030#section-2
                //# If the receiver-SMTP has declared
                //# support for command pipelining [PIPE], the receiver SMTP MUST be
                //# prepared to accept and discard additional BDAT chunks already in the
                //# pipeline after the failed BDAT.
                if reply == replies::NO_RECIPIENTS || reply == replies::FAILED {
                    self.say(reply);
                } else {
                    self.fault(reply);
                }
            }
            state => self.state = state,
        }
        self.stop_if_told();
    }
}
