//! Commits, and the work that is done off their path: new segments, and the end of old ones.

use super::disk::{Disk, Folder};
use super::format::{self, BATCH_HEADER, BLOCK, Batch, Head, Place};
use super::{CommitError, Spool, body_name};
use crate::{Accepted, Content, Entry};
use mail::QueueId;
use std::io;

/// Octets of records that one commit takes: what the caller joins must stay below.
pub const COMMIT_OCTETS: u64 = 6 * 1024 * 1024;
/// Octets that are copied forward at once when an old segment is cleaned.
const COPY_OCTETS: u64 = 1024 * 1024;
/// Segments that are left as they are, however little lives in them.
const SEGMENTS_QUIET: usize = 4;
/// Room that a batch leaves in an empty segment: for the words that void others, which come with it when it is
/// written a second time.
const VOID_OCTETS: u64 = BLOCK;

impl<D: Disk> Spool<D> {
    /// Octets of content that may be joined into one commit: with the largest entry behind it, it is still one
    /// that a segment takes.
    pub fn join_octets(&self) -> u64 {
        COMMIT_OCTETS.min(self.options.segment_octets) / 4
    }

    /// Makes entries durable, all of them or none, with one sync; then they may be acknowledged.
    pub fn commit(&mut self, entries: &[Entry]) -> Result<(), CommitError> {
        self.sync_bodies(entries, false)?;
        self.commit_records(entries)
    }

    /// The same at the start, for what was durable before: a body that is gone is damage, and no reason to stop.
    pub(super) fn commit_again(&mut self, entries: &[Entry]) -> Result<(), CommitError> {
        self.sync_bodies(entries, true)?;
        self.commit_records(entries)
    }

    fn commit_records(&mut self, entries: &[Entry]) -> Result<(), CommitError> {
        let records: Vec<(Head, Vec<u8>)> = entries.iter().map(format::of_entry).collect();
        let accepts = entries
            .iter()
            .any(|entry| matches!(entry, Entry::Accept(_)));
        let places = self.write(&records, accepts, false)?;
        for (entry, place) in entries.iter().zip(places) {
            self.learn(entry, place);
        }
        Ok(())
    }

    /// Ends in order: what lies at the log's end is known to be all.
    pub fn close(mut self) -> io::Result<()> {
        self.end()
    }

    /// The same, for those who simulate the disk and want it back.
    pub fn close_giving_disk(mut self) -> D {
        // A close that fails leaves what a crash leaves.
        let _ = self.end();
        self.into_disk()
    }

    fn end(&mut self) -> io::Result<()> {
        let is_covered = self.checkpoint_covers_all();
        match self.write(&[], false, true) {
            Err(CommitError::Disk(error)) => return Err(error),
            Ok(_) | Err(CommitError::TooLarge) => {}
        }
        if !is_covered {
            // Where it cannot be written, the next start reads more of the log.
            self.write_checkpoint();
        }
        Ok(())
    }

    /// Bodies first: a record must not name what is not there.
    fn sync_bodies(&mut self, entries: &[Entry], may_be_gone: bool) -> io::Result<()> {
        let mut any = false;
        for entry in entries {
            if let Entry::Accept(Accepted {
                content: Content::Body(body),
                ..
            }) = entry
                && !self.options.faults.no_body_sync
            {
                match self.open_body(body) {
                    Err(error) if may_be_gone && error.kind() == io::ErrorKind::NotFound => {}
                    file => {
                        self.disk.sync(&file?)?;
                        any = true;
                    }
                }
            }
        }
        if any {
            self.disk.sync_folder(Folder::Body)
        } else {
            Ok(())
        }
    }

    /// Writes one batch and syncs it; gives each record's place.
    fn write(
        &mut self,
        records: &[(Head, Vec<u8>)],
        accepts: bool,
        end: bool,
    ) -> Result<Vec<Place>, CommitError> {
        let voids: Vec<(Head, Vec<u8>)> = self
            .void
            .iter()
            .map(|(generation, offset)| {
                (
                    Head::Void {
                        generation: *generation,
                        offset: *offset,
                    },
                    Vec::new(),
                )
            })
            .filter(|_| !self.options.faults.no_void)
            .collect();
        let tails: u64 = records.iter().map(|(_, tail)| tail.len() as u64).sum();
        let fits = |head: u64| head + format::batch_span(tails) <= self.options.segment_octets;
        if tails > COMMIT_OCTETS {
            return Err(CommitError::TooLarge);
        }
        if !self.segments.head.is_some_and(fits) {
            self.segments
                .roll(&mut self.disk, &self.options, !accepts)?;
        }
        loop {
            let Some((segment, offset)) = self.segments.head() else {
                return Err(io::Error::from(io::ErrorKind::StorageFull).into());
            };
            let (usage, mut out) = (segment.usage, vec![0; BATCH_HEADER]);
            let mut places = Vec::with_capacity(records.len());
            for (head, tail) in voids.iter().chain(records) {
                let place = format::write_record(head, tail, usage, offset, &mut out)
                    .ok_or(CommitError::TooLarge)?;
                places.push(place);
            }
            places.drain(..voids.len());
            let alone: u64 = places.iter().map(|place| place.octets).sum();
            if BLOCK + VOID_OCTETS + format::batch_span(alone) > self.options.segment_octets {
                return Err(CommitError::TooLarge);
            }
            let octets = (out.len() - BATCH_HEADER) as u64;
            let span = format::batch_span(octets);
            if offset + span > self.options.segment_octets {
                if offset == BLOCK {
                    return Err(CommitError::TooLarge);
                }
                self.segments
                    .roll(&mut self.disk, &self.options, !accepts)?;
                continue;
            }
            let sum = crc32c::crc32c(&out[BATCH_HEADER..]);
            let header = Batch {
                octets: u32::try_from(octets).map_err(|_| CommitError::TooLarge)?,
                records: sum,
                before: self.last,
                end,
            };
            out[..BATCH_HEADER].copy_from_slice(&header.encode(usage, offset));
            out.resize(usize::try_from(span).map_err(|_| CommitError::TooLarge)?, 0);
            let written = self.disk.write_at(&segment.file, offset, &out);
            if self.options.faults.checkpoint_ahead {
                self.write_checkpoint_ahead(records, &places, (usage.generation, offset, sum));
            }
            let Some((segment, _)) = self.segments.head() else {
                return Err(io::Error::from(io::ErrorKind::StorageFull).into());
            };
            let synced = written.and_then(|()| {
                if self.options.faults.no_sync {
                    Ok(())
                } else {
                    self.disk.sync(&segment.file)
                }
            });
            if let Err(error) = synced {
                // What the disk holds of this segment from here on is not known; it is not written again,
                // and the batch is voided by the next that becomes durable.
                self.void.push((usage.generation, offset));
                self.segments.head = None;
                return Err(error.into());
            }
            self.voided();
            self.last = Some((usage.generation, offset, sum));
            self.checkpoints.log_grew(span);
            self.segments.head = Some(offset + span);
            return Ok(places);
        }
    }

    /// Takes a durable entry into the index.
    fn learn(&mut self, entry: &Entry, place: Place) {
        match entry {
            Entry::Accept(accepted) => {
                let body = body_of(accepted);
                self.index.put(accepted.queue_id, place, 0, body);
            }
            Entry::Progress {
                queue_id,
                state,
                reports,
            } => {
                match state {
                    Some(state) => self.index.stand(*queue_id, state),
                    None => self.forget(*queue_id),
                }
                for (part, report) in (0..).zip(reports) {
                    let body = body_of(report);
                    self.index.put(report.queue_id, place, part, body);
                }
            }
        }
    }

    fn forget(&mut self, queue_id: QueueId) {
        let known = self.index.end(queue_id);
        if let Some(body) = known.and_then(|known| known.body) {
            // One that stays is removed at the next start.
            let _ = self.disk.remove(Folder::Body, &body_name(body.number));
        }
    }

    /// A bounded piece of work off the commit path; true when there is more.
    pub fn maintain(&mut self) -> bool {
        self.segments.prepare(&mut self.disk, &self.options)
            || self.write_checkpoint_piece()
            || self.clean()
    }

    fn clean(&mut self) -> bool {
        let Some((&oldest, _)) = self.segments.used.first_key_value() else {
            return false;
        };
        if Some(oldest) == self.segments.head.map(|_| self.segments.generation) {
            return false;
        }
        if self.index.is_dead(oldest) || self.options.faults.free_living {
            return self.retire(oldest).is_ok();
        }
        if !self.is_mostly_dead() {
            return false;
        }
        self.copy_forward(oldest)
    }

    fn retire(&mut self, oldest: u64) -> io::Result<()> {
        self.drop_checkpoint_of(oldest)?;
        self.index.drop_segment(oldest);
        self.segments.retire(&mut self.disk, &self.options, oldest)
    }

    /// Whether less than half of what the log takes up lives.
    fn is_mostly_dead(&self) -> bool {
        let quiet = SEGMENTS_QUIET as u64 * self.options.segment_octets;
        let used = self.segments.used.len() as u64 * self.options.segment_octets;
        used > 2 * self.index.octets() + quiet
    }

    /// Commits some of what lives in a segment anew, put and standing together.
    fn copy_forward(&mut self, generation: u64) -> bool {
        let living: Vec<QueueId> = self.index.living(generation).collect();
        let (mut entries, mut octets) = (Vec::new(), 0);
        for queue_id in living {
            let Some(known) = self.index.get(queue_id) else {
                continue;
            };
            let (part, state) = (known.part as usize, known.state.clone());
            let Ok(Some(record)) = self.segments.read_record(&self.disk, known.put) else {
                // It is damaged: its segment stays until the message is done with, which is reported.
                return false;
            };
            let Some(message) = record
                .messages()
                .and_then(|messages| messages.into_iter().nth(part))
            else {
                return false;
            };
            octets += message.content.octets().min(crate::BODY_OCTETS);
            entries.push(Entry::Accept(message));
            if let Some(state) = state.and_then(|state| postcard::from_bytes(&state).ok()) {
                entries.push(Entry::Progress {
                    queue_id,
                    state: Some(state),
                    reports: Vec::new(),
                });
            }
            if octets > COPY_OCTETS {
                break;
            }
        }
        // Copies accept nothing new: they may use the reserve.
        let records: Vec<(Head, Vec<u8>)> = entries.iter().map(format::of_entry).collect();
        match self.write(&records, false, false) {
            Ok(places) => {
                for (entry, place) in entries.iter().zip(places) {
                    self.learn(entry, place);
                }
                true
            }
            Err(_) => false,
        }
    }
}

fn body_of(accepted: &Accepted) -> Option<crate::Body> {
    match accepted.content {
        Content::Body(body) => Some(body),
        Content::Inline(_) => None,
    }
}
