//! The index: which messages live and where their records are. Recovery builds it, commits change it, a
//! checkpoint keeps it.

use super::format::{Head, Place};
use crate::{Body, State};
use mail::QueueId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// A message as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The record that holds it, and which message of that record it is.
    pub put: Place,
    pub part: u32,
    /// Its standing as it was written last, encoded; `None` as long as it is new.
    pub state: Option<Arc<[u8]>>,
    pub body: Option<Body>,
}

/// All living messages.
#[derive(Clone, Debug, Default)]
pub struct Index {
    known: BTreeMap<QueueId, Known>,
    /// Which messages each segment holds the put of.
    living: BTreeMap<u64, BTreeSet<QueueId>>,
    /// Octets of all their records.
    octets: u64,
    /// The greatest queue id that was ever put.
    highest: u64,
}

impl Index {
    /// A message, if it lives.
    pub fn get(&self, queue_id: QueueId) -> Option<&Known> {
        self.known.get(&queue_id)
    }

    /// All messages in order, from the one behind `last` on.
    pub fn after(&self, last: Option<QueueId>) -> impl Iterator<Item = (QueueId, &Known)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let messages = self.known.range((from, Bound::Unbounded));
        messages.map(|(queue_id, known)| (*queue_id, known))
    }

    /// Octets that all records of living messages take up.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The greatest queue id that was ever put.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// There was a queue id as great as this.
    pub fn saw(&mut self, highest: u64) {
        self.highest = self.highest.max(highest);
    }

    /// Whether no message lives in a segment.
    pub fn is_dead(&self, generation: u64) -> bool {
        self.living.get(&generation).is_none_or(BTreeSet::is_empty)
    }

    /// The messages that live in a segment.
    pub fn living(&self, generation: u64) -> impl Iterator<Item = QueueId> {
        self.living.get(&generation).into_iter().flatten().copied()
    }

    /// The segments that messages live in.
    pub fn segments(&self) -> impl Iterator<Item = u64> {
        let living = self.living.iter().filter(|(_, living)| !living.is_empty());
        living.map(|(generation, _)| *generation)
    }

    /// A segment is gone.
    pub fn drop_segment(&mut self, generation: u64) {
        self.living.remove(&generation);
    }

    /// A message's put is here from now on; its standing stays what it was.
    pub fn put(&mut self, queue_id: QueueId, put: Place, part: u32, body: Option<Body>) {
        let state = self.end(queue_id).and_then(|old| old.state);
        self.insert(
            queue_id,
            Known {
                put,
                part,
                state,
                body,
            },
        );
    }

    /// A message that was not known.
    pub fn insert(&mut self, queue_id: QueueId, known: Known) {
        self.saw(queue_id.as_u64());
        self.octets += known.put.octets;
        self.living
            .entry(known.put.generation)
            .or_default()
            .insert(queue_id);
        self.known.insert(queue_id, known);
    }

    /// Where a message stands from now on.
    pub fn stand(&mut self, queue_id: QueueId, state: &State) {
        if let (Some(known), Ok(state)) =
            (self.known.get_mut(&queue_id), postcard::to_stdvec(state))
        {
            known.state = Some(Arc::from(state));
        }
    }

    /// A message is done with.
    pub fn end(&mut self, queue_id: QueueId) -> Option<Known> {
        let known = self.known.remove(&queue_id)?;
        self.octets -= known.put.octets;
        if let Some(living) = self.living.get_mut(&known.put.generation) {
            living.remove(&queue_id);
        }
        Some(known)
    }

    /// What a record says.
    pub fn learn(&mut self, head: &Head, place: Place) {
        let puts = match head {
            Head::Put(put) => std::slice::from_ref(put),
            Head::Progress {
                queue_id,
                state,
                reports,
            } => {
                match state {
                    Some(state) => self.stand(*queue_id, state),
                    None => drop(self.end(*queue_id)),
                }
                reports
            }
            Head::Void { .. } => return,
        };
        for (part, put) in (0..).zip(puts) {
            self.put(put.queue_id, place, part, put.body);
        }
    }
}
