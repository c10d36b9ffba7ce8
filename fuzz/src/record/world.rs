//! What the world believes of the spool, and what is done to the disk under it.

use super::forge::{self, BLOCK};
use crate::octets::Octets;
use mail::{Cause, Class, Envelope, Mailbox, Outcome, QueueId, Recipient, ReversePath};
use mail::{Status, Time};
use queue::spool::{CHECKPOINT, Disk, Faults, Finding, Folder, Options, ReadError};
use queue::spool::{Recovered, Spool};
use queue::{Accepted, Body, Content, Entry, Standing, State};
use sim::disk::LyingDisk;
use sim::rng::Rng;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

/// Eight blocks: a few commits fill it.
const SEGMENT_OCTETS: u64 = 8 * BLOCK as u64;
/// Everything that a program writes fits, unless a call is made to fail.
const ROOM_OCTETS: u64 = 64 * 1024 * 1024;
/// Refused commits that are told apart; with more of them the power is cut first.
const REFUSED_MAX: usize = 5;

/// A message as it was handed over, and how it stood.
#[derive(Clone, Debug)]
struct Believed {
    accepted: Arc<Accepted>,
    octets: Arc<[u8]>,
    state: State,
}

type Map = BTreeMap<QueueId, Believed>;

/// How the disk was hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hurt {
    /// Not beyond what a disk may do.
    No,
    /// One bit flipped since it was last opened.
    Rotten,
    /// Blocks and files are not where they were.
    Moved,
    /// Records were made up.
    Forged,
}

/// The spool, and what the world knows of it.
pub struct World {
    spool: Option<Spool<LyingDisk>>,
    options: Options,
    rng: Rng,
    /// What was acknowledged.
    map: Map,
    /// Commits that were refused since the last one that was not.
    refused: Vec<Map>,
    /// Every message that was ever handed over, with all states it was ever given.
    written: BTreeMap<QueueId, (Believed, Vec<State>)>,
    next: u64,
    hurt: Hurt,
}

impl World {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let options = Options {
            segment_octets: SEGMENT_OCTETS,
            floor_octets: 0,
            free_segments: 1,
            // Half of the programs run with a checkpoint after each commit, as soon as there is a moment for it.
            checkpoint_octets: if seed < 128 { u64::MAX } else { 1 },
            faults,
        };
        let disk = LyingDisk::new(seed, ROOM_OCTETS);
        let (spool, _) = Spool::open(disk, options).expect("an empty disk");
        assert!(spool.has_room());
        Self {
            spool: Some(spool),
            options,
            rng: Rng::new(seed),
            map: Map::new(),
            refused: Vec::new(),
            written: BTreeMap::new(),
            next: 0,
            hurt: Hurt::No,
        }
    }

    fn spool(&mut self) -> &mut Spool<LyingDisk> {
        self.spool.as_mut().expect("open between steps")
    }

    pub fn step(&mut self, octets: &mut Octets<'_>) {
        match octets.octet() % 16 {
            0..=5 => self.commit(octets),
            6 | 7 => {
                for _ in 0..=octets.octet() % 16 {
                    self.spool().maintain();
                }
            }
            8 => self.fail_soon(octets),
            9 => self.power_cut(u64::from(octets.octet())),
            10 => self.close(),
            11 => self.read_all(),
            12 => self.rot(octets),
            13 => self.move_block(octets),
            14 => self.foreign_file(octets),
            _ => self.forge(octets),
        }
    }

    /// One to four entries, durable together.
    fn commit(&mut self, octets: &mut Octets<'_>) {
        let mut map = self.map.clone();
        let mut entries = Vec::new();
        let kinds = octets.octet();
        for turn in 0..=kinds >> 6 {
            let kind = kinds >> (2 * turn) & 3;
            let chosen = octets.below(map.len());
            let chosen = map.keys().copied().nth(chosen);
            entries.extend(match (kind, chosen) {
                (1, Some(queue_id)) => Some(self.progress(queue_id, &mut map, octets)),
                (2, Some(queue_id)) => Some(self.done(queue_id, &mut map, octets)),
                (3, _) => self.large(&mut map, octets).map(Entry::Accept),
                _ => Some(Entry::Accept(self.message(&mut map, octets))),
            });
        }
        if self.spool().commit(&entries).is_ok() {
            self.map = map;
            self.refused.clear();
        } else {
            self.refused.push(map);
            if self.refused.len() > REFUSED_MAX {
                self.power_cut(0);
            }
        }
    }

    fn message(&mut self, map: &mut Map, octets: &mut Octets<'_>) -> Accepted {
        self.next += 1;
        let queue_id = QueueId::from_u64(self.next);
        let (shape, fill) = (octets.octet(), octets.octet());
        let recipient = |n| Recipient {
            mailbox: Mailbox::parse(&format!("r{n}@b.c")).expect("a constant"),
            originals: (n == 1)
                .then(|| Mailbox::parse("info@b.c").expect("a constant"))
                .into_iter()
                .collect(),
        };
        let recipients: Vec<Recipient> = (0..=shape & 3).map(recipient).collect();
        let octets = match shape >> 2 {
            0 => Vec::new(),
            // Octets of the log itself: what looks like a record is none.
            1 => self.stolen(usize::from(fill)),
            longer => vec![fill; usize::from(longer) * 401],
        };
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients,
            arrival: Time::from_secs(self.next),
            eight_bit: fill > 127,
            smtputf8: false,
            dsn: None,
        };
        let accepted = Accepted {
            queue_id,
            trace: Arc::from(format!("Received: {queue_id}\r\n")),
            content: Content::Inline(octets.as_slice().into()),
            envelope,
        };
        self.believe(accepted.clone(), octets, map);
        accepted
    }

    fn believe(&mut self, accepted: Accepted, octets: Vec<u8>, map: &mut Map) {
        let state = State::new(
            accepted.envelope.recipients.len(),
            accepted.envelope.arrival,
        );
        let queue_id = accepted.queue_id;
        let believed = Believed {
            accepted: Arc::new(accepted),
            octets: octets.into(),
            state: state.clone(),
        };
        self.written
            .insert(queue_id, (believed.clone(), vec![state]));
        map.insert(queue_id, believed);
    }

    /// The blocks of a batch that lies in the log.
    fn stolen(&mut self, block: usize) -> Vec<u8> {
        let disk = self.spool().disk_mut();
        let names = Disk::list(disk, Folder::Segment).expect("listing works");
        let Some(name) = names.iter().find(|name| !name.starts_with("free")) else {
            return Vec::new();
        };
        let all = forge::read(disk, Folder::Segment, name);
        let start = (1 + block % 4) * BLOCK;
        all.get(start..start + 2 * BLOCK).unwrap_or_default().into()
    }

    /// A message whose content lies in a file; none where the disk refuses one.
    fn large(&mut self, map: &mut Map, octets: &mut Octets<'_>) -> Option<Accepted> {
        let mut kept = Map::new();
        let mut accepted = self.message(&mut kept, octets);
        let (queue_id, believed) = kept.pop_first()?;
        let content = believed.octets.to_vec();
        let made = self.spool().new_body();
        let written = made.and_then(|(number, file)| {
            let disk = self.spool().disk_mut();
            Disk::write_at(disk, &file, 0, &content).map(|()| number)
        });
        let Ok(number) = written else {
            self.written.remove(&queue_id);
            return None;
        };
        if octets.octet() & 15 == 15 {
            // The client went away.
            self.spool().drop_body(number);
            self.written.remove(&queue_id);
            return None;
        }
        accepted.content = Content::Body(Body {
            number,
            octets: content.len() as u64,
            checksum: crc32c::crc32c(&content),
        });
        self.believe(accepted.clone(), content, map);
        Some(accepted)
    }

    fn progress(&mut self, queue_id: QueueId, map: &mut Map, octets: &mut Octets<'_>) -> Entry {
        let believed = map.get_mut(&queue_id).expect("it was chosen");
        let state = &mut believed.state;
        state.attempts += 1;
        let place = octets.below(state.recipients.len());
        let status = Status::new(Class::Transient, 4, 1);
        state.recipients[place] = match octets.octet() % 3 {
            0 => Standing::Delivered,
            1 => Standing::Failed,
            _ => Standing::Waiting(Some(Box::new(Outcome::Deferred(Cause::Ours(
                status,
                "busy".into(),
            ))))),
        };
        let state = believed.state.clone();
        if let Some((_, states)) = self.written.get_mut(&queue_id) {
            states.push(state.clone());
        }
        Entry::Progress {
            queue_id,
            state: Some(state),
            reports: Vec::new(),
        }
    }

    fn done(&mut self, queue_id: QueueId, map: &mut Map, octets: &mut Octets<'_>) -> Entry {
        map.remove(&queue_id);
        let reports = (0..octets.octet() % 3)
            .map(|_| self.message(map, octets))
            .collect();
        Entry::Progress {
            queue_id,
            state: None,
            reports,
        }
    }

    /// One of the next calls of the disk fails.
    fn fail_soon(&mut self, octets: &mut Octets<'_>) {
        let choice = octets.octet();
        let kind = if choice & 1 == 0 {
            ErrorKind::Other
        } else {
            ErrorKind::StorageFull
        };
        let disk = self.spool().disk_mut();
        let call = disk.calls() + u64::from(choice >> 1) % 12;
        disk.fail(call, kind);
    }

    pub fn power_cut(&mut self, seed: u64) {
        let mut disk = self.spool.take().expect("open between steps").into_disk();
        disk.crash(&mut self.rng);
        if seed & 7 == 7 {
            // A second one while the first is mended.
            let call = disk.calls() + (seed >> 3) % 6;
            disk.fail(call, ErrorKind::Other);
            if let Ok((spool, _)) = Spool::open(disk.clone(), self.options) {
                disk = spool.into_disk();
            }
            disk.crash(&mut self.rng);
        }
        self.open(disk);
    }

    fn close(&mut self) {
        let spool = self.spool.take().expect("open between steps");
        let mut disk = spool.close_giving_disk();
        disk.mend();
        self.open(disk);
    }

    fn open(&mut self, disk: LyingDisk) {
        let hidden = (self.hurt == Hurt::No).then(|| disk.clone());
        let (spool, recovered) = match Spool::open(disk, self.options) {
            Ok(opened) => opened,
            // What was made up may be larger than a segment takes.
            Err(why) => {
                assert!(self.hurt == Hurt::Forged, "does not open: {why}");
                *self = World::new(0, self.options.faults);
                return;
            }
        };
        self.spool = Some(spool);
        let hurt = self.hurt;
        for finding in &recovered.findings {
            assert!(!finding.to_string().is_empty());
        }
        match hurt {
            Hurt::No => {
                self.agrees(&recovered);
                self.agrees_without_checkpoint(hidden, &recovered);
            }
            Hurt::Rotten => self.says_what_is_lost(&recovered),
            Hurt::Moved | Hurt::Forged => {}
        }
        if hurt != Hurt::Forged {
            self.was_written(&recovered);
        }
        self.adopt(recovered);
        if hurt == Hurt::Forged {
            // Nothing that comes of it can be believed from here on.
            *self = World::new(0, self.options.faults);
        }
    }

    /// What was acknowledged is there, and nothing else but what one of the refused commits may have left.
    fn agrees(&mut self, recovered: &Recovered) {
        let damage = |f: &&Finding| matches!(f, Finding::Rotten(_));
        let damage = recovered.findings.iter().find(damage);
        assert!(damage.is_none(), "damage where none was done: {damage:?}");
        let found: BTreeMap<QueueId, &State> = recovered
            .messages
            .iter()
            .map(|stored| (stored.queue_id, &stored.state))
            .collect();
        let agrees = |map: &Map| {
            map.len() == found.len()
                && map
                    .iter()
                    .all(|(id, believed)| found.get(id) == Some(&&believed.state))
        };
        assert!(
            agrees(&self.map) || self.refused_maps().iter().any(agrees),
            "acknowledged {:?}, found {:?}",
            self.map.keys(),
            found.keys()
        );
    }

    /// A checkpoint that nobody hurt is used, and gives what the whole log gives.
    fn agrees_without_checkpoint(&self, hidden: Option<LyingDisk>, recovered: &Recovered) {
        let refused = |f: &&Finding| matches!(f, Finding::Checkpoint(_));
        let refused = recovered.findings.iter().find(refused);
        assert!(refused.is_none(), "{refused:?}");
        let Some(mut disk) = hidden.filter(|_| recovered.checkpoint.is_some()) else {
            return;
        };
        Disk::remove(&mut disk, Folder::Segment, CHECKPOINT).expect("it was read");
        let (_, whole) = Spool::open(disk, self.options).expect("the log opens");
        assert_eq!(whole.messages, recovered.messages, "without the checkpoint");
    }

    /// What there may be when any of the refused commits became durable all the same.
    fn refused_maps(&self) -> Vec<Map> {
        (1u32..1 << self.refused.len())
            .map(|subset| {
                let mut map = self.map.clone();
                for (n, refused) in self.refused.iter().enumerate() {
                    if subset >> n & 1 == 1 {
                        map.retain(|id, _| !self.map.contains_key(id) || refused.contains_key(id));
                        for (id, believed) in refused {
                            let old = self.map.get(id).map(|b| &b.state);
                            if old != Some(&believed.state) {
                                map.insert(*id, believed.clone());
                            }
                        }
                    }
                }
                map
            })
            .collect()
    }

    /// One bit may take messages away, but not in silence.
    fn says_what_is_lost(&self, recovered: &Recovered) {
        let said = recovered
            .findings
            .iter()
            .any(|f| matches!(f, Finding::Rotten(_) | Finding::Cut(_)));
        let lost = self
            .map
            .keys()
            .any(|id| !recovered.messages.iter().any(|m| m.queue_id == *id));
        assert!(said || !lost || !self.refused.is_empty(), "lost in silence");
    }

    /// Nothing comes out that did not go in.
    fn was_written(&mut self, recovered: &Recovered) {
        for stored in &recovered.messages {
            let (believed, states) = self
                .written
                .get(&stored.queue_id)
                .expect("a message that nobody wrote");
            assert_eq!(stored.envelope, believed.accepted.envelope);
            assert_eq!(stored.octets, believed.octets.len() as u64);
            assert!(states.contains(&stored.state), "a state that nobody wrote");
        }
        assert!(recovered.highest <= self.next);
    }

    /// From now on what was found is what is believed.
    fn adopt(&mut self, recovered: Recovered) {
        self.refused.clear();
        let mut map = Map::new();
        for stored in recovered.messages {
            if let Some((believed, _)) = self.written.get(&stored.queue_id) {
                let mut believed = believed.clone();
                believed.state = stored.state;
                map.insert(stored.queue_id, believed);
            }
        }
        self.map = map;
        self.read_all();
        if self.hurt == Hurt::Rotten {
            // What the bit took is taken; from here on it is a disk like any other, but for what lies aside.
            self.hurt = Hurt::Moved;
        }
    }

    /// Every message reads as it was written, or says that it cannot.
    fn read_all(&mut self) {
        let whole = self.hurt == Hurt::No;
        let spool = self.spool.as_mut().expect("open between steps");
        for (queue_id, believed) in &self.map {
            let (trace, content) = match spool.read(*queue_id) {
                Ok(read) => read,
                Err(why) => {
                    assert!(!whole, "{queue_id}: {why}");
                    continue;
                }
            };
            if self.hurt == Hurt::Forged {
                continue;
            }
            assert_eq!(trace, believed.accepted.trace);
            match content {
                Content::Inline(octets) => assert_eq!(*octets, *believed.octets),
                Content::Body(body) => {
                    let octets = spool.open_body(&body).and_then(|file| {
                        let mut octets = vec![0; believed.octets.len() + 1];
                        let read = Disk::read_at(spool.disk_mut(), &file, 0, &mut octets)?;
                        octets.truncate(read);
                        Ok(octets)
                    });
                    let same = octets.is_ok_and(|octets| *octets == *believed.octets);
                    assert!(same || !whole, "{queue_id}: another body");
                }
            }
        }
        let nobody = spool.read(QueueId::from_u64(u64::MAX));
        assert!(matches!(nobody, Err(ReadError::Unknown)));
    }

    /// A file of the disk, and its name.
    fn file(&mut self, octets: &mut Octets<'_>) -> Option<(Folder, String)> {
        let folder = if octets.octet() & 7 == 7 {
            Folder::Body
        } else {
            Folder::Segment
        };
        let names = Disk::list(self.spool().disk_mut(), folder).expect("listing works");
        let chosen = octets.below(names.len());
        names.into_iter().nth(chosen).map(|name| (folder, name))
    }

    fn hurt(&mut self, hurt: Hurt) {
        self.hurt = self.hurt.max(hurt);
    }

    fn rot(&mut self, octets: &mut Octets<'_>) {
        let Some((folder, name)) = self.file(octets) else {
            return;
        };
        let bit = usize::from(octets.number()) * 8 + usize::from(octets.octet() & 7);
        let disk = self.spool().disk_mut();
        if let Ok(file) = Disk::open(disk, folder, &name) {
            disk.rot(file, bit);
        }
        let hurt = if self.hurt == Hurt::No {
            Hurt::Rotten
        } else {
            Hurt::Moved
        };
        self.hurt(hurt);
    }

    /// Copies a block over another, of the same file or not, or cuts a file's copy short.
    fn move_block(&mut self, octets: &mut Octets<'_>) {
        let (Some(from), Some(to)) = (self.file(octets), self.file(octets)) else {
            return;
        };
        let (first, second) = (octets.below(10), octets.below(10));
        let disk = self.spool().disk_mut();
        let source = forge::read(disk, from.0, &from.1);
        let mut target = forge::read(disk, to.0, &to.1);
        let rest = source.get(first * BLOCK..).unwrap_or_default();
        let block = &rest[..rest.len().min(BLOCK)];
        let end = (second * BLOCK + block.len()).max(target.len());
        target.resize(end, 0);
        target[second * BLOCK..second * BLOCK + block.len()].copy_from_slice(block);
        forge::write(disk, to.0, &to.1, &target);
        self.hurt(Hurt::Moved);
    }

    /// Puts a file there that is none of ours, or takes another name for one of ours.
    fn foreign_file(&mut self, octets: &mut Octets<'_>) {
        let file = self.file(octets);
        let number = match octets.octet() {
            255 => u64::MAX,
            254 => i64::MAX.unsigned_abs(),
            number => u64::from(number),
        };
        let name = match octets.octet() % 5 {
            0 => format!("free-{number:016x}"),
            1 => format!("{number:x}"),
            2 => format!("+{number:015x}"),
            3 => "lost+found".to_owned(),
            _ => format!("{number:016x}"),
        };
        let folder = file.as_ref().map_or(Folder::Segment, |(folder, _)| *folder);
        let length = octets.octet().into();
        let content = octets.take(length);
        let rename = octets.octet() & 1 == 1;
        let disk = self.spool().disk_mut();
        match file {
            Some((folder, old)) if rename => {
                let _ = Disk::rename(disk, folder, &old, &name);
                let _ = Disk::sync_folder(disk, folder);
            }
            _ => forge::write(disk, folder, &name, content),
        }
        self.hurt(Hurt::Moved);
    }

    /// Changes a record, or a checkpoint, and makes the checksums right again.
    fn forge(&mut self, octets: &mut Octets<'_>) {
        let Some((Folder::Segment, name)) = self.file(octets) else {
            return;
        };
        let (block, at) = (octets.below(8), octets.below(4096));
        let with = octets.octet();
        let disk = self.spool().disk_mut();
        let mut segment = forge::read(disk, Folder::Segment, &name);
        let forged = match segment.get(..8) {
            Some(b"RINGSEG\n") => forge::forge(&mut segment, block, at, with),
            Some(b"RINGCHK\n") => forge::forge_checkpoint(&mut segment, at, with),
            _ => false,
        };
        if forged {
            forge::write(disk, Folder::Segment, &name, &segment);
            self.hurt(Hurt::Forged);
        }
    }
}
