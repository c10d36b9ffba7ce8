//! A checkpoint that is hurt, of another version, ahead of its log or older than all of it takes nothing away and
//! brings nothing back: what is recovered is what the log says.

use mail::{Envelope, Mailbox, QueueId, Recipient, ReversePath, Time};
use queue::spool::{CHECKPOINT, Disk, Faults, Finding, Folder, NotUsed, Options, ReadError};
use queue::spool::{Recovered, Spool};
use queue::{Accepted, Body, Content, Entry, State};
use sim::disk::LyingDisk;
use sim::rng::Rng;
use std::io::ErrorKind;

fn options() -> Options {
    Options {
        segment_octets: 128 * 1024,
        floor_octets: 0,
        free_segments: 1,
        checkpoint_octets: 1,
        faults: Faults::default(),
    }
}

fn open(disk: &LyingDisk) -> (Spool<LyingDisk>, Recovered) {
    Spool::open(disk.clone(), options()).expect("a checkpoint does not stop the queue")
}

fn accepted(number: u64, content: Content) -> Entry {
    let mailbox = Mailbox::parse("a@b.c").unwrap();
    Entry::Accept(Accepted {
        queue_id: QueueId::from_u64(number),
        envelope: Envelope {
            reverse_path: ReversePath::Null,
            recipients: vec![Recipient {
                mailbox,
                originals: Vec::new(),
            }],
            arrival: Time::from_secs(1),
            eight_bit: false,
            smtputf8: false,
            dsn: None,
        },
        trace: "Received: x\r\n".into(),
        content,
    })
}

fn message(number: u64) -> Entry {
    accepted(number, Content::Inline(vec![b'x'; 300].into()))
}

fn progress(number: u64, state: Option<State>) -> Entry {
    Entry::Progress {
        queue_id: QueueId::from_u64(number),
        state,
        reports: Vec::new(),
    }
}

/// Does what is to be done beside commits, until there is no more.
fn rest(spool: &mut Spool<LyingDisk>) {
    while spool.maintain() {}
}

/// A disk with a checkpoint of some messages, one of them large and one attempted, and some log behind it.
fn checkpointed() -> LyingDisk {
    let (mut spool, _) = open(&LyingDisk::new(1, u64::MAX));
    for number in 1..=6 {
        spool.commit(&[message(number)]).unwrap();
    }
    let (number, file) = spool.new_body().unwrap();
    Disk::write_at(spool.disk_mut(), &file, 0, b"large").unwrap();
    let body = Body {
        number,
        octets: 5,
        checksum: crc32c::crc32c(b"large"),
    };
    spool.commit(&[accepted(7, Content::Body(body))]).unwrap();
    let mut state = State::new(1, Time::from_secs(1));
    state.attempts = 3;
    spool
        .commit(&[progress(2, Some(state)), progress(3, None)])
        .unwrap();
    rest(&mut spool);
    spool.commit(&[message(8), progress(4, None)]).unwrap();
    spool.into_disk()
}

fn bodies(spool: &Spool<LyingDisk>) -> Vec<String> {
    spool.disk().list(Folder::Body).unwrap()
}

fn file(disk: &LyingDisk) -> sim::disk::File {
    Disk::open(disk, Folder::Segment, CHECKPOINT).unwrap()
}

/// The checkpoint, replaced by these octets.
fn replace(disk: &mut LyingDisk, octets: &[u8]) {
    Disk::remove(disk, Folder::Segment, CHECKPOINT).unwrap();
    let file = Disk::create(disk, Folder::Segment, CHECKPOINT).unwrap();
    Disk::write_at(disk, &file, 0, octets).unwrap();
    Disk::sync(disk, &file).unwrap();
    Disk::sync_folder(disk, Folder::Segment).unwrap();
}

/// What a start finds is what it finds without a checkpoint, and it says why it did not use one.
fn is_refused(disk: &LyingDisk, what: &str) -> NotUsed {
    let mut hidden = disk.clone();
    Disk::remove(&mut hidden, Folder::Segment, CHECKPOINT).unwrap();
    let (whole, without) = open(&hidden);
    let (spool, mut with) = open(disk);
    let Some(Finding::Checkpoint(why)) = with.findings.first().cloned() else {
        panic!("{what}: {:?}", with.findings);
    };
    with.findings.remove(0);
    assert_eq!(with.messages, without.messages, "{what}");
    assert_eq!(with.findings, without.findings, "{what}");
    assert_eq!(bodies(&spool), bodies(&whole), "{what}");
    let (_, again) = open(&spool.into_disk());
    assert_eq!(again.messages, without.messages, "{what}");
    assert_eq!(again.findings, [], "{what}: it is said once");
    why
}

#[test]
fn a_start_reads_the_checkpoint_and_the_log_behind_it() {
    let disk = checkpointed();
    let (spool, recovered) = open(&disk);
    assert_eq!(recovered.checkpoint, Some(6));
    assert_eq!(recovered.findings, []);
    let ids: Vec<u64> = recovered
        .messages
        .iter()
        .map(|m| m.queue_id.as_u64())
        .collect();
    assert_eq!(ids, [1, 2, 5, 6, 7, 8]);
    assert_eq!(recovered.messages[1].state.attempts, 3);
    assert_eq!(
        bodies(&spool).len(),
        1,
        "a body that only the checkpoint names is kept"
    );
    assert_eq!(recovered.highest, 8);
    let (_, whole) = Spool::look(disk, options()).unwrap();
    assert_eq!(
        (whole.messages, whole.findings),
        (recovered.messages, vec![])
    );
}

#[test]
fn a_rotten_bit_anywhere_in_a_checkpoint_is_seen() {
    let disk = checkpointed();
    let octets = Disk::len(&disk, &file(&disk)).unwrap();
    // Every octet, and every bit of some.
    for bit in (0..usize::try_from(octets).unwrap() * 8).step_by(3) {
        let mut disk = disk.clone();
        let file = file(&disk);
        disk.rot(file, bit);
        is_refused(&disk, &format!("bit {bit}"));
    }
}

#[test]
fn a_checkpoint_cut_at_any_octet_or_longer_than_it_was_is_seen() {
    let mut disk = checkpointed();
    let whole = disk.read_file(file(&disk)).unwrap();
    for length in 0..whole.len() {
        replace(&mut disk, &whole[..length]);
        assert_eq!(is_refused(&disk, &format!("{length}")), NotUsed::Damaged);
    }
    replace(&mut disk, &[&whole[..], b"x"].concat());
    assert_eq!(is_refused(&disk, "longer"), NotUsed::Damaged);
}

#[test]
fn rubbish_with_huge_lengths_is_refused_at_once() {
    let mut disk = checkpointed();
    let whole = disk.read_file(file(&disk)).unwrap();
    let mut rng = Rng::new(3);
    for _ in 0..500 {
        // The first chunk's length, kind and checksum stand behind the header.
        let mut octets = whole.clone();
        octets[44..48].copy_from_slice(&[0xff; 4]);
        for _ in 0..rng.below(20) {
            let place = usize::try_from(rng.below(octets.len() as u64 - 48)).unwrap() + 48;
            octets[place] = rng.draw().to_le_bytes()[0];
        }
        replace(&mut disk, &octets);
        assert_eq!(is_refused(&disk, "rubbish"), NotUsed::Damaged);
    }
}

#[test]
fn another_version_is_not_read() {
    let mut disk = checkpointed();
    let mut octets = disk.read_file(file(&disk)).unwrap();
    octets[8] = 2;
    replace(&mut disk, &octets);
    assert_eq!(is_refused(&disk, "version 2"), NotUsed::Version(2));
}

#[test]
fn a_checkpoint_ahead_of_its_log_is_not_used() {
    let (mut spool, _) = open(&LyingDisk::new(1, u64::MAX));
    spool.commit(&[message(1)]).unwrap();
    let mut behind = spool.into_disk();
    let (mut spool, _) = open(&behind);
    spool.commit(&[message(2), progress(1, None)]).unwrap();
    rest(&mut spool);
    let ahead = spool.into_disk();
    // The log lost what the checkpoint saw.
    let octets = ahead.read_file(file(&ahead)).unwrap();
    let _ = Disk::create(&mut behind, Folder::Segment, CHECKPOINT).unwrap();
    replace(&mut behind, &octets);
    let why = is_refused(&behind, "ahead");
    assert!(matches!(why, NotUsed::Ahead | NotUsed::Recycled), "{why:?}");
    assert_eq!(open(&behind).1.messages.len(), 1);
}

#[test]
fn a_checkpoint_that_outlives_its_segment_brings_nothing_back() {
    let (mut spool, _) = open(&LyingDisk::new(1, u64::MAX));
    spool.commit(&[message(1), message(2)]).unwrap();
    rest(&mut spool);
    let disk = spool.into_disk();
    let old = disk.read_file(file(&disk)).unwrap();
    let (mut spool, _) = open(&disk);
    for number in 3..200 {
        spool
            .commit(&[message(number), progress(number - 1, None)])
            .unwrap();
        spool.commit(&[progress(1, None)]).unwrap();
        rest(&mut spool);
    }
    let mut disk = spool.into_disk();
    replace(&mut disk, &old);
    assert_eq!(is_refused(&disk, "recycled"), NotUsed::Recycled);
}

#[test]
fn a_checkpoint_is_gone_before_the_segment_that_it_begins_in() {
    let never = Options {
        checkpoint_octets: 400 * 1024,
        ..options()
    };
    let (mut spool, _) = Spool::open(LyingDisk::new(1, u64::MAX), never).unwrap();
    let mut stood = 0;
    for number in 1..2000 {
        spool
            .commit(&[message(number), progress(number - 1, None)])
            .unwrap();
        rest(&mut spool);
        if number % 50 == 0 {
            let names = Disk::list(spool.disk(), Folder::Segment).unwrap();
            stood += usize::from(names.iter().any(|name| name == CHECKPOINT));
            // Whatever the power leaves of it.
            let mut disk = spool.disk().clone();
            disk.crash(&mut Rng::new(number));
            assert_eq!(open(&disk).1.findings, []);
        }
    }
    assert!(stood > 0, "there was one");
}

#[test]
fn rot_in_the_log_that_a_checkpoint_covers_is_found_when_the_message_is_read() {
    let mut disk = checkpointed();
    let segment = Disk::open(&disk, Folder::Segment, "0000000000000001").unwrap();
    // The first batch's record.
    disk.rot(segment, (4096 + 56 + 30) * 8);
    let (spool, recovered) = open(&disk);
    assert_eq!(recovered.messages.len(), 6, "it is not lost in silence");
    let read = spool.read(QueueId::from_u64(1));
    assert!(matches!(read, Err(ReadError::Rotten)), "{read:?}");
    assert!(spool.read(QueueId::from_u64(2)).is_ok());
    // Who reads everything says so, and that the checkpoint knows more.
    let (_, whole) = Spool::look(disk, options()).unwrap();
    let rotten = |f: &Finding| matches!(f, Finding::Rotten(_));
    assert!(whole.findings.iter().any(rotten), "{:?}", whole.findings);
    let differs = Finding::Checkpoint(NotUsed::Differs);
    assert!(whole.findings.contains(&differs), "{:?}", whole.findings);
}

#[test]
fn a_full_disk_gives_a_checkpoint_up_and_says_so_once() {
    let (mut spool, _) = open(&LyingDisk::new(1, u64::MAX));
    spool.commit(&[message(1)]).unwrap();
    rest(&mut spool);
    assert_eq!(spool.checkpoint_complaint(), None);
    spool.disk_mut().set_room(0);
    let mut said = Vec::new();
    for number in 2..6 {
        spool.commit(&[message(number)]).unwrap();
        rest(&mut spool);
        said.extend(spool.checkpoint_complaint());
    }
    assert_eq!(said, ["no checkpoint was written: too little free space"]);
    let names = Disk::list(spool.disk(), Folder::Segment).unwrap();
    assert!(
        !names.iter().any(|name| name == "checkpoint-new"),
        "{names:?}"
    );
    spool.disk_mut().set_room(u64::MAX);
    let (_, recovered) = open(spool.disk());
    assert_eq!((recovered.messages.len(), recovered.findings), (5, vec![]));
    spool.commit(&[message(6)]).unwrap();
    rest(&mut spool);
    assert_eq!(open(spool.disk()).1.checkpoint, Some(6));
}

#[test]
fn a_crash_or_a_failing_call_at_any_step_of_writing_one_leaves_what_was_committed() {
    let start = checkpointed();
    for call in 0..40 {
        for seed in 0..8 {
            let (mut spool, _) = open(&start);
            spool.commit(&[message(9), progress(1, None)]).unwrap();
            let disk = spool.disk_mut();
            let now = disk.calls();
            if seed % 2 == 0 {
                disk.fail(now + call, ErrorKind::Other);
            } else {
                disk.cut_power_at(now + call);
            }
            rest(&mut spool);
            let mut disk = spool.into_disk();
            disk.crash(&mut Rng::new(seed));
            let (spool, recovered) = open(&disk);
            let ids: Vec<u64> = recovered
                .messages
                .iter()
                .map(|m| m.queue_id.as_u64())
                .collect();
            assert_eq!(ids, [2, 5, 6, 7, 8, 9], "call {call} seed {seed}");
            assert_eq!(recovered.findings, [], "call {call} seed {seed}");
            assert!(recovered.checkpoint.is_some(), "call {call} seed {seed}");
            assert_eq!(bodies(&spool).len(), 1);
        }
    }
}

#[test]
fn an_orderly_stop_writes_one() {
    let off_until_stop = Options {
        checkpoint_octets: u64::MAX - 1,
        ..options()
    };
    let disk = LyingDisk::new(1, u64::MAX);
    let (mut spool, _) = Spool::open(disk, off_until_stop).unwrap();
    for number in 1..20 {
        spool.commit(&[message(number)]).unwrap();
        rest(&mut spool);
    }
    let disk = spool.close_giving_disk();
    assert_eq!(open(&disk).1.checkpoint, Some(19));
}
