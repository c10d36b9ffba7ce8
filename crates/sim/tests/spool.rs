//! The spool against a map: random commits on a disk that loses, tears and reorders what was not synced,
//! fails calls, and has its power cut at any of them. What was acknowledged is there, to the last octet;
//! what was refused or forgotten stays away. Then each planted fault must be caught.

use mail::{Envelope, Mailbox, QueueId, Recipient, ReversePath, Time};
use queue::spool::{CHECKPOINT, Disk, Faults, Finding, Folder, Options, Recovered, Spool};
use queue::{Accepted, Body, Content, Entry, Standing, State, Stored};
use sim::disk::LyingDisk;
use sim::rng::Rng;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

const SEGMENT: u64 = 128 * 1024;

/// A message as the world believes it to be.
#[derive(Clone)]
struct Believed {
    octets: Vec<u8>,
    state: State,
}

type Map = BTreeMap<QueueId, Believed>;

struct World {
    spool: Option<Spool<LyingDisk>>,
    rng: Rng,
    options: Options,
    /// What was acknowledged.
    map: Map,
    /// Commits that were refused since the last one that was not: each may have become durable all the same.
    refused: Vec<Vec<Entry>>,
    /// Every message's content.
    contents: BTreeMap<QueueId, Vec<u8>>,
    next: u64,
    used: Used,
}

/// What became of checkpoints.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// Starts that one spared from reading the whole log.
    starts: usize,
    /// Messages that they had from it.
    messages: usize,
    /// Checkpoints that were not used, or are not what the log says.
    refused: usize,
}

/// Why a run failed.
type Caught = String;

impl World {
    fn new(seed: u64, faults: Faults, checkpoint_octets: u64) -> Self {
        let options = Options {
            segment_octets: SEGMENT,
            floor_octets: 0,
            free_segments: 1,
            checkpoint_octets,
            faults,
        };
        let disk = LyingDisk::new(seed, u64::MAX);
        let (spool, _) = Spool::open(disk, options).expect("an empty disk");
        World {
            spool: Some(spool),
            rng: Rng::new(seed ^ 0xABCD),
            options,
            map: Map::new(),
            refused: Vec::new(),
            contents: BTreeMap::new(),
            next: 0,
            used: Used::default(),
        }
    }

    fn spool(&mut self) -> &mut Spool<LyingDisk> {
        self.spool.as_mut().expect("open between steps")
    }

    /// Content of any kind; among it octets that lie in segments: what looks like a record must be none.
    fn octets(&mut self) -> Vec<u8> {
        let count = match self.rng.below(10) {
            0 => 0,
            1 => 20_000,
            _ => self.rng.below(3000),
        };
        let mut octets: Vec<u8> = (0..count)
            .map(|_| self.rng.draw().to_le_bytes()[0])
            .collect();
        if self.rng.below(4) == 0 && octets.len() >= 4096 {
            let stolen = self.steal_block();
            octets[..stolen.len()].copy_from_slice(&stolen);
        }
        octets
    }

    /// A block of a segment in use, valid batch header and all.
    fn steal_block(&mut self) -> Vec<u8> {
        let disk = self.spool().disk_mut();
        let names = disk.list(Folder::Segment).unwrap();
        let Some(name) = names.iter().find(|name| !name.starts_with("free")) else {
            return Vec::new();
        };
        let file = disk.open(Folder::Segment, name).unwrap();
        let mut block = vec![0; 4096];
        disk.read_at(&file, 4096, &mut block).unwrap();
        block
    }

    fn message(&mut self, map: &mut Map) -> Accepted {
        self.next += 1;
        let queue_id = QueueId::from_u64(self.next);
        let recipient = |n| Recipient {
            mailbox: Mailbox::parse(&format!("r{n}@b.c")).unwrap(),
            originals: Vec::new(),
        };
        let recipients: Vec<Recipient> = (0..=self.rng.below(3)).map(recipient).collect();
        let octets = self.octets();
        let state = State::new(recipients.len(), Time::from_secs(1));
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients,
            arrival: Time::from_secs(1),
            eight_bit: false,
            smtputf8: false,
            dsn: None,
        };
        self.contents.insert(queue_id, octets.clone());
        map.insert(
            queue_id,
            Believed {
                octets: octets.clone(),
                state,
            },
        );
        Accepted {
            queue_id,
            envelope,
            trace: Arc::from("Received: x\r\n"),
            content: Content::Inline(octets.into()),
        }
    }

    /// The same message with its content in a file; `None` where the disk refuses one.
    fn move_to_body(&mut self, accepted: &mut Accepted) -> bool {
        let Content::Inline(octets) = accepted.content.clone() else {
            return true;
        };
        let Ok((number, file)) = self.spool().new_body() else {
            return false;
        };
        if self.spool().disk_mut().write_at(&file, 0, &octets).is_err() {
            return false;
        }
        let body = Body {
            number,
            octets: octets.len() as u64,
            checksum: crc32c::crc32c(&octets),
        };
        accepted.content = Content::Body(body);
        true
    }

    /// Some entries, and the map with them.
    fn entries(&mut self) -> (Vec<Entry>, Map) {
        let mut map = self.map.clone();
        let mut entries = Vec::new();
        for _ in 0..=self.rng.below(3) {
            let old: Vec<QueueId> = map.keys().copied().collect();
            let chosen = old
                .get(usize::try_from(self.rng.below(old.len() as u64)).unwrap())
                .copied();
            match (self.rng.below(5), chosen) {
                (0 | 1, Some(queue_id)) => {
                    map.remove(&queue_id);
                    let reports = if self.rng.below(3) == 0 {
                        vec![self.message(&mut map)]
                    } else {
                        vec![]
                    };
                    entries.push(Entry::Progress {
                        queue_id,
                        state: None,
                        reports,
                    });
                }
                (2, Some(queue_id)) => {
                    let believed = map.get_mut(&queue_id).unwrap();
                    believed.state.attempts += 1;
                    believed.state.recipients[0] = Standing::Delivered;
                    let state = Some(believed.state.clone());
                    entries.push(Entry::Progress {
                        queue_id,
                        state,
                        reports: vec![],
                    });
                }
                _ => {
                    let mut accepted = self.message(&mut map);
                    if self.rng.below(6) == 0 && !self.move_to_body(&mut accepted) {
                        map.remove(&accepted.queue_id);
                        continue;
                    }
                    entries.push(Entry::Accept(accepted));
                }
            }
        }
        (entries, map)
    }

    fn step(&mut self) -> Result<(), Caught> {
        let trouble = self.rng.below(12) == 0;
        if trouble {
            let kind = if self.rng.coin() {
                ErrorKind::Other
            } else {
                ErrorKind::StorageFull
            };
            let soon = self.rng.below(12);
            let disk = self.spool().disk_mut();
            let call = disk.calls() + soon;
            disk.fail(call, kind);
        }
        let (entries, map) = self.entries();
        if self.spool().commit(&entries).is_ok() {
            self.map = map;
            self.refused.clear();
        } else {
            self.refused.push(entries);
        }
        for _ in 0..self.rng.below(4) {
            self.spool().maintain();
        }
        // The power goes, more often right after trouble.
        if self.rng.below(if trouble { 2 } else { 15 }) == 0 {
            self.crash()?;
        } else if self.rng.below(40) == 0 {
            self.close()?;
        }
        Ok(())
    }

    fn crash(&mut self) -> Result<(), Caught> {
        let mut disk = self.spool.take().expect("open").into_disk();
        disk.crash(&mut self.rng);
        disk.forget_nameless();
        // A second crash may come while the first is mended.
        if self.rng.below(3) == 0 {
            let mut half = disk.clone();
            let call = half.calls() + self.rng.below(4);
            half.fail(call, ErrorKind::Other);
            if let Ok((spool, _)) = Spool::open(half.clone(), self.options) {
                half = spool.into_disk();
            }
            half.crash(&mut self.rng);
            disk = half;
        }
        self.reopen(disk)
    }

    fn close(&mut self) -> Result<(), Caught> {
        let mut disk = self.spool.take().expect("open").close_giving_disk();
        disk.mend();
        self.reopen(disk)
    }

    fn reopen(&mut self, disk: LyingDisk) -> Result<(), Caught> {
        let hidden = without_checkpoint(&disk);
        let judged = disk.clone();
        let (spool, recovered) =
            Spool::open(disk, self.options).map_err(|e| format!("does not open: {e}"))?;
        let whole = Spool::open(hidden, self.options).map_err(|e| format!("hidden: {e}"))?;
        same(&recovered, &spool, &whole.1, &whole.0)?;
        // Compares place by place what the two know.
        let (_, whole) =
            Spool::look(judged, self.options).map_err(|e| format!("read as a whole: {e}"))?;
        let refused = |r: &Recovered| r.findings.iter().filter(|f| is_checkpoint(f)).count();
        self.used.refused += refused(&recovered) + refused(&whole);
        if let Some(listed) = recovered.checkpoint {
            self.used.starts += 1;
            self.used.messages += listed;
        }
        self.spool = Some(spool);
        if let Some(finding) = recovered
            .findings
            .iter()
            .find(|f| matches!(f, Finding::Rotten(_)))
        {
            return Err(format!("says damage where none was done: {finding}"));
        }
        let found: BTreeMap<QueueId, State> = recovered
            .messages
            .into_iter()
            .map(|stored| (stored.queue_id, stored.state))
            .collect();
        let agrees = |map: &Map| {
            map.len() == found.len()
                && map
                    .iter()
                    .all(|(id, believed)| found.get(id) == Some(&believed.state))
        };
        let refused = std::mem::take(&mut self.refused);
        let subsets = 1u32 << refused.len().min(8);
        let maps = (0..subsets).map(|subset| {
            let mut map = self.map.clone();
            let chosen = refused
                .iter()
                .enumerate()
                .filter(|(n, _)| subset & 1 << n != 0);
            for entry in chosen.flat_map(|(_, entries)| entries) {
                self.apply(entry, &mut map);
            }
            map
        });
        if let Some(map) = maps.into_iter().find(|map| agrees(map)) {
            self.map = map;
        }
        if !agrees(&self.map) {
            return Err(differences(&self.map, &found));
        }
        self.read_all()
    }

    fn apply(&self, entry: &Entry, map: &mut Map) {
        let mut put = |accepted: &Accepted| {
            let octets = self.contents[&accepted.queue_id].clone();
            let state = State::new(accepted.envelope.recipients.len(), Time::from_secs(1));
            map.insert(accepted.queue_id, Believed { octets, state });
        };
        match entry {
            Entry::Accept(accepted) => put(accepted),
            Entry::Progress {
                queue_id,
                state,
                reports,
            } => {
                reports.iter().for_each(&mut put);
                match (state, map.get_mut(queue_id)) {
                    (Some(state), Some(believed)) => believed.state = state.clone(),
                    (None, _) => drop(map.remove(queue_id)),
                    (Some(_), None) => {}
                }
            }
        }
    }

    fn read_all(&mut self) -> Result<(), Caught> {
        let spool = self.spool.as_mut().expect("open");
        for (queue_id, believed) in &self.map {
            let (_, content) = spool
                .read(*queue_id)
                .map_err(|e| format!("{queue_id}: {e}"))?;
            let octets = match content {
                Content::Inline(octets) => octets.to_vec(),
                Content::Body(body) => {
                    let file = spool
                        .open_body(&body)
                        .map_err(|e| format!("{queue_id}: body: {e}"))?;
                    let mut octets = vec![0; usize::try_from(body.octets).unwrap()];
                    let read = spool.disk_mut().read_at(&file, 0, &mut octets).unwrap();
                    octets.truncate(read);
                    octets
                }
            };
            if octets != believed.octets {
                return Err(format!("{queue_id}: other content"));
            }
        }
        Ok(())
    }
}

/// The same disk, and no checkpoint on it.
fn without_checkpoint(disk: &LyingDisk) -> LyingDisk {
    let mut disk = disk.clone();
    // There may be none.
    let _ = Disk::remove(&mut disk, Folder::Segment, CHECKPOINT);
    disk
}

/// What was recovered with a checkpoint is what is recovered without.
fn same(
    with: &Recovered,
    spool: &Spool<LyingDisk>,
    without: &Recovered,
    whole: &Spool<LyingDisk>,
) -> Result<(), Caught> {
    if with.messages != without.messages {
        let map = |r: &Recovered| -> BTreeMap<QueueId, Stored> {
            r.messages.iter().map(|m| (m.queue_id, m.clone())).collect()
        };
        let (with, without) = (map(with), map(without));
        let lost = without.keys().filter(|id| !with.contains_key(id)).count();
        let risen = with.keys().filter(|id| !without.contains_key(id)).count();
        return Err(format!("with a checkpoint {lost} lost, {risen} risen"));
    }
    let said = |r: &Recovered| {
        let said = r.findings.iter().filter(|finding| !is_checkpoint(finding));
        said.cloned().collect::<Vec<_>>()
    };
    if with.highest < without.highest || said(with) != said(without) {
        return Err(format!(
            "with checkpoint {:?}, without {:?}",
            with.findings, without.findings
        ));
    }
    let names = |spool: &Spool<LyingDisk>| spool.disk().list(Folder::Body).unwrap();
    if names(spool) != names(whole) {
        return Err("other bodies are left".into());
    }
    for message in &with.messages {
        let read =
            |spool: &Spool<LyingDisk>| spool.read(message.queue_id).map_err(|e| e.to_string());
        if read(spool) != read(whole) {
            return Err(format!("{} reads otherwise", message.queue_id));
        }
    }
    Ok(())
}

fn is_checkpoint(finding: &Finding) -> bool {
    matches!(finding, Finding::Checkpoint(_))
}

fn differences(map: &Map, found: &BTreeMap<QueueId, State>) -> Caught {
    let lost = map.keys().filter(|id| !found.contains_key(id)).count();
    let risen = found.keys().filter(|id| !map.contains_key(id)).count();
    let other = map
        .iter()
        .filter(|(id, b)| found.get(id).is_some_and(|state| *state != b.state))
        .count();
    format!("{lost} lost, {risen} risen, {other} in another state")
}

/// The log grows by so many octets before the next checkpoint: by one commit, by some, or by so many that segments
/// are recycled meanwhile.
const CHECKPOINT_OCTETS: [u64; 3] = [1, 32 * 1024, 3 * SEGMENT];
const NO_CHECKPOINTS: u64 = u64::MAX;

fn run(seed: u64, faults: Faults, checkpoint_octets: u64) -> Result<Used, Caught> {
    let mut world = World::new(seed, faults, checkpoint_octets);
    for step in 0..120 {
        world
            .step()
            .map_err(|caught| format!("seed {seed} step {step}: {caught}"))?;
    }
    world
        .crash()
        .map_err(|caught| format!("seed {seed} at the end: {caught}"))?;
    Ok(world.used)
}

/// Seeds run in the fast tests; more with the environment's `SIM_SEEDS`.
fn seeds() -> u64 {
    std::env::var("SIM_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000)
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_forgotten_rises() {
    let (mut starts, mut messages) = (0, 0);
    for (seed, octets) in (0..seeds()).zip(CHECKPOINT_OCTETS.into_iter().cycle()) {
        let used = run(seed, Faults::default(), octets).unwrap_or_else(|caught| panic!("{caught}"));
        assert_eq!(used.refused, 0, "seed {seed}: a checkpoint was not used");
        starts += used.starts;
        messages += used.messages;
    }
    println!("{starts} starts had {messages} messages from a checkpoint");
    assert!(starts > 0 && messages > starts, "{starts} {messages}");
}

#[test]
fn each_planted_fault_is_caught() {
    let off = Faults::default();
    for (name, faults) in [
        (
            "no_sync",
            Faults {
                no_sync: true,
                ..off
            },
        ),
        (
            "no_folder_sync",
            Faults {
                no_folder_sync: true,
                ..off
            },
        ),
        (
            "no_body_sync",
            Faults {
                no_body_sync: true,
                ..off
            },
        ),
        (
            "free_living",
            Faults {
                free_living: true,
                ..off
            },
        ),
        (
            "take_torn",
            Faults {
                take_torn: true,
                ..off
            },
        ),
        (
            "no_void",
            Faults {
                no_void: true,
                ..off
            },
        ),
        (
            "checkpoint_ahead",
            Faults {
                checkpoint_ahead: true,
                ..off
            },
        ),
        (
            "checkpoint_recycled",
            Faults {
                checkpoint_recycled: true,
                ..off
            },
        ),
    ] {
        let checkpoints = faults.checkpoint_ahead || faults.checkpoint_recycled;
        let octets = if checkpoints {
            &CHECKPOINT_OCTETS[..]
        } else {
            &[NO_CHECKPOINTS]
        };
        let mut seeds = (0..600).zip(octets.iter().cycle());
        // By what is lost, risen or otherwise: a checkpoint that the next start refuses harms nobody.
        let caught = seeds.find_map(|(seed, octets)| run(seed, faults, *octets).err());
        println!("{name}: {caught:?}");
        assert!(caught.is_some(), "{name} was not caught in 600 seeds");
    }
}

#[test]
fn damage_is_said_and_does_not_stop_the_queue() {
    let mut world = World::new(7, Faults::default(), NO_CHECKPOINTS);
    let mut map = Map::new();
    for _ in 0..8 {
        let accepted = world.message(&mut map);
        world.spool().commit(&[Entry::Accept(accepted)]).unwrap();
    }
    let mut spool = world.spool.take().unwrap();
    let disk = spool.disk_mut();
    let name = disk
        .list(Folder::Segment)
        .unwrap()
        .into_iter()
        .find(|n| !n.starts_with("free"))
        .unwrap();
    let file = disk.open(Folder::Segment, &name).unwrap();
    // The second batch's header, and the head of the third's record.
    disk.rot(file, (2 * 4096 + 5) * 8);
    let disk = spool.into_disk();
    let (_, recovered) = Spool::open(disk, world.options).unwrap();
    assert!(
        recovered
            .findings
            .iter()
            .any(|f| matches!(f, Finding::Rotten(_))),
        "{:?}",
        recovered.findings
    );
    assert_eq!(recovered.messages.len(), 7);
}
