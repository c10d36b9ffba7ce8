//! Damaged segment headers, files that are none of ours, a batch as large as its segment: nothing is lost that
//! need not be, nothing in silence, and the queue goes on.

use mail::{Envelope, Mailbox, QueueId, Recipient, ReversePath, Time};
use queue::spool::{Disk, Faults, Finding, Folder, Options, Recovered, Spool};
use queue::{Accepted, Body, Content, Entry};
use sim::disk::LyingDisk;
use sim::rng::Rng;

const OPTIONS: Options = Options {
    segment_octets: 128 * 1024,
    floor_octets: 0,
    free_segments: 1,
    checkpoint_octets: u64::MAX,
    faults: Faults {
        no_sync: false,
        no_folder_sync: false,
        no_body_sync: false,
        free_living: false,
        take_torn: false,
        no_void: false,
        checkpoint_ahead: false,
        checkpoint_recycled: false,
    },
};
const FIRST: &str = "0000000000000001";
/// The two places of a segment's header.
const HEADERS: [usize; 2] = [0, 2048];

fn message(number: u64) -> Entry {
    sized(number, 3)
}

fn sized(number: u64, octets: usize) -> Entry {
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
        content: Content::Inline(vec![b'x'; octets].into()),
    })
}

/// A disk with three messages in its first segment.
fn three_messages() -> LyingDisk {
    let disk = LyingDisk::new(1, u64::MAX);
    let (mut spool, _) = Spool::open(disk, OPTIONS).unwrap();
    for number in 1..=3 {
        spool.commit(&[message(number)]).unwrap();
    }
    spool.into_disk()
}

fn open(disk: LyingDisk) -> (Spool<LyingDisk>, Recovered) {
    Spool::open(disk, OPTIONS).expect("damage does not stop the queue")
}

fn rot(disk: &mut LyingDisk, octet: usize) {
    let file = Disk::open(disk, Folder::Segment, FIRST).unwrap();
    disk.rot(file, octet * 8 + 3);
}

#[test]
fn a_rotten_segment_header_takes_nothing_away() {
    for octet in HEADERS.into_iter().flat_map(|at| at..at + 32) {
        let mut disk = three_messages();
        rot(&mut disk, octet);
        let (_, recovered) = open(disk);
        assert_eq!(recovered.messages.len(), 3, "octet {octet}");
    }
}

#[test]
fn a_segment_without_any_header_is_kept_aside_and_said() {
    let mut disk = three_messages();
    for at in HEADERS {
        rot(&mut disk, at + 20);
    }
    let (mut spool, recovered) = open(disk);
    assert_eq!(recovered.findings, [Finding::Rotten(FIRST.into())]);
    let disk = spool.disk_mut();
    assert_eq!(Disk::list(disk, Folder::Aside).unwrap(), [FIRST]);
    let copy = Disk::open(disk, Folder::Aside, FIRST).unwrap();
    assert_eq!(Disk::len(disk, &copy).unwrap(), OPTIONS.segment_octets);
    spool.commit(&[message(4)]).unwrap();
    let (_, recovered) = open(spool.into_disk());
    assert_eq!(recovered.messages.len(), 1);
    assert_eq!(recovered.findings, [], "it is said once");
}

#[test]
fn a_damaged_segment_stays_where_no_copy_can_be_made() {
    let mut disk = three_messages();
    for at in HEADERS {
        rot(&mut disk, at + 20);
    }
    let call = disk.calls();
    disk.fail(call, std::io::ErrorKind::StorageFull);
    let (mut spool, recovered) = open(disk);
    assert_eq!(recovered.findings, [Finding::Rotten(FIRST.into())]);
    assert_eq!(
        Disk::list(spool.disk_mut(), Folder::Segment).unwrap(),
        [FIRST]
    );
    spool.commit(&[message(4)]).unwrap();
    assert!(
        open(spool.into_disk())
            .1
            .findings
            .contains(&Finding::Rotten(FIRST.into()))
    );
}

#[test]
fn files_with_names_that_we_do_not_give_stay_as_they_are() {
    let names = [
        "free-ffffffffffffffff",
        "ffffffffffffffff",
        "+000000000000001",
        "1",
        "000000000000000A",
        "lost+found",
    ];
    let mut disk = three_messages();
    for folder in [Folder::Segment, Folder::Body] {
        for name in names {
            Disk::create(&mut disk, folder, name).unwrap();
        }
    }
    let (mut spool, recovered) = open(disk);
    assert_eq!((recovered.messages.len(), recovered.findings), (3, vec![]));
    spool.commit(&[message(4)]).unwrap();
    spool.new_body().unwrap();
    let disk = spool.disk_mut();
    for name in names {
        assert!(Disk::open(disk, Folder::Segment, name).is_ok(), "{name}");
        assert!(Disk::open(disk, Folder::Body, name).is_ok(), "{name}");
    }
}

#[test]
fn a_segment_that_is_gone_does_not_stop_the_queue_and_what_it_proved_keeps_its_place() {
    let (mut spool, _) = open(LyingDisk::new(1, u64::MAX));
    // One batch fills a segment; the third ends the first's message.
    let octets = usize::try_from(OPTIONS.segment_octets).unwrap() * 3 / 4;
    spool.commit(&[sized(1, octets)]).unwrap();
    spool.commit(&[sized(2, octets)]).unwrap();
    let end = Entry::Progress {
        queue_id: QueueId::from_u64(1),
        state: None,
        reports: Vec::new(),
    };
    spool.commit(&[end, sized(3, octets)]).unwrap();
    spool.commit(&[sized(4, octets)]).unwrap();
    let mut disk = spool.into_disk();
    Disk::remove(&mut disk, Folder::Segment, "0000000000000002").unwrap();
    for _ in 0..2 {
        let (spool, recovered) = open(disk);
        let ids = recovered.messages.iter().map(|m| m.queue_id.as_u64());
        assert_eq!(ids.collect::<Vec<_>>(), [3, 4]);
        assert!(matches!(recovered.findings[..], [Finding::Rotten(_)]));
        disk = spool.into_disk();
    }
}

#[test]
fn a_body_that_is_gone_is_said_and_does_not_stop_the_queue() {
    let (mut spool, _) = open(LyingDisk::new(1, u64::MAX));
    spool.commit(&[message(1)]).unwrap();
    let (number, _) = spool.new_body().unwrap();
    let Entry::Accept(mut large) = message(2) else {
        unreachable!("a message is accepted")
    };
    large.content = Content::Body(Body {
        number,
        octets: 0,
        checksum: 0,
    });
    spool.commit(&[Entry::Accept(large)]).unwrap();
    let mut disk = spool.into_disk();
    let name = format!("{number:016x}");
    Disk::remove(&mut disk, Folder::Body, &name).unwrap();
    let (spool, recovered) = open(disk);
    assert_eq!(recovered.messages.len(), 2);
    assert_eq!(recovered.findings, [Finding::BodyGone(name)]);
    assert!(spool.read(QueueId::from_u64(1)).is_ok());
}

/// A message may rise that was refused, when nothing voided it before the power went; then it has its content.
#[test]
fn the_body_of_a_refused_batch_stays_until_the_batch_is_voided() {
    let names = |disk: &LyingDisk| Disk::list(disk, Folder::Body).unwrap().len();
    let mut risen = 0;
    for failing in 0..8 {
        let (mut spool, _) = open(LyingDisk::new(1, u64::MAX));
        spool.commit(&[message(3)]).unwrap();
        let (number, _) = spool.new_body().unwrap();
        let Entry::Accept(mut large) = message(1) else {
            unreachable!("a message is accepted")
        };
        large.content = Content::Body(Body {
            number,
            octets: 0,
            checksum: 0,
        });
        let disk = spool.disk_mut();
        let calls = disk.calls();
        disk.fail(calls + failing, std::io::ErrorKind::Other);
        if spool.commit(&[Entry::Accept(large)]).is_ok() {
            break;
        }
        spool.drop_body(number);
        let (again, recovered) = open(spool.disk().clone());
        assert_eq!(recovered.findings, [], "call {failing}");
        assert_eq!(names(again.disk()), recovered.messages.len() - 1);
        risen += recovered.messages.len() - 1;
        spool.commit(&[message(2)]).unwrap();
        assert_eq!(names(spool.disk()), 0, "call {failing}");
        assert_eq!(open(spool.into_disk()).1.messages.len(), 2);
    }
    assert!(risen > 0, "a sync failed and the batch was there");
}

/// Whether a message of so many octets is taken when the call of this number, from the commit on, fails.
fn take(octets: usize, failing: Option<u64>) -> (bool, LyingDisk) {
    let (mut spool, _) = open(LyingDisk::new(1, u64::MAX));
    let disk = spool.disk_mut();
    let calls = disk.calls();
    if let Some(call) = failing {
        disk.fail(calls + call, std::io::ErrorKind::Other);
    }
    let taken = spool.commit(&[sized(1, octets)]).is_ok();
    let mut disk = spool.into_disk();
    disk.mend();
    (taken, disk)
}

#[test]
fn the_largest_batch_that_is_taken_can_be_written_a_second_time() {
    let segment = usize::try_from(OPTIONS.segment_octets).unwrap();
    let sizes = segment - 16 * 1024..segment;
    let largest = sizes.rev().step_by(16).find(|octets| take(*octets, None).0);
    let largest = largest.expect("a segment takes something");
    // Refused, and whole all the same: the next start writes it again, with a word that the first is void.
    let mut there = 0;
    for call in 0..16 {
        let (taken, disk) = take(largest, Some(call));
        let (_, recovered) = open(disk);
        there += usize::from(!taken && recovered.messages.len() == 1);
    }
    assert!(there > 0, "a sync failed and the batch was there");
}

/// A disk after a commit that was refused and a close that failed too, both at their sync: what was written can be read,
/// and which of it the power would leave is chance. `closing`: the call that is the close's sync.
fn refused_twice(seed: u64, closing: Option<u64>) -> LyingDisk {
    let (mut spool, _) = open(LyingDisk::new(seed, u64::MAX));
    spool.commit(&[message(1)]).unwrap();
    let disk = spool.disk_mut();
    let calls = disk.calls();
    disk.fail(calls + 1, std::io::ErrorKind::Other);
    assert!(spool.commit(&[message(2)]).is_err());
    if let Some(call) = closing {
        spool.disk_mut().fail(call, std::io::ErrorKind::Other);
    }
    spool.close_giving_disk()
}

/// The word that voids a batch must outlive the batch that says it.
#[test]
fn a_refused_batch_stays_away_although_the_batch_that_voids_it_is_lost() {
    for seed in 0..100 {
        let calls = refused_twice(seed, None).calls();
        let mut disk = refused_twice(seed, Some(calls - 1));
        disk.mend();
        let (spool, recovered) = open(disk);
        assert_eq!(recovered.messages.len(), 1, "seed {seed}: it is voided");
        let mut disk = spool.into_disk();
        disk.crash(&mut Rng::new(seed));
        assert_eq!(open(disk).1.messages.len(), 1, "seed {seed}: it rose");
    }
}

#[test]
fn a_rotten_header_of_the_last_batch_is_said() {
    // What follows the batch's header shows that there was one.
    for octet in 0..24 {
        let mut disk = three_messages();
        rot(&mut disk, 3 * 4096 + octet);
        let (spool, recovered) = open(disk);
        let told = &recovered.findings[..];
        if recovered.messages.len() == 2 {
            assert!(
                matches!(told, [Finding::Rotten(_) | Finding::Cut(_)]),
                "octet {octet}: {told:?}"
            );
        } else {
            assert_eq!(recovered.messages.len(), 3, "octet {octet}");
        }
        let disk = spool.into_disk();
        let kept = Disk::list(&disk, Folder::Aside).unwrap();
        assert_eq!(kept.len(), 3 - recovered.messages.len(), "octet {octet}");
    }
}

/// Every file of the spool with its content.
fn picture(disk: &LyingDisk) -> Vec<(Folder, String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in [Folder::Segment, Folder::Body, Folder::Aside] {
        for name in Disk::list(disk, folder).unwrap() {
            let file = Disk::open(disk, folder, &name).unwrap();
            let mut octets = vec![0; usize::try_from(Disk::len(disk, &file).unwrap()).unwrap()];
            Disk::read_at(disk, &file, 0, &mut octets).unwrap();
            files.push((folder, name, octets));
        }
    }
    files
}

/// A disk with a message whose content is a file, another message, and a body that was never accepted; its log's
/// first record is damaged if wanted.
fn large_message(damaged: bool) -> (LyingDisk, String) {
    let (mut spool, _) = open(LyingDisk::new(1, u64::MAX));
    let (number, file) = spool.new_body().unwrap();
    spool.disk_mut().write_at(&file, 0, b"large").unwrap();
    let Entry::Accept(mut large) = message(1) else {
        unreachable!("a message is accepted")
    };
    large.content = Content::Body(Body {
        number,
        octets: 5,
        checksum: 0,
    });
    spool.commit(&[Entry::Accept(large)]).unwrap();
    spool.commit(&[message(2)]).unwrap();
    let mut disk = spool.into_disk();
    if damaged {
        // Behind the segment's header and the batch's.
        rot(&mut disk, 4096 + 100);
    }
    (disk, format!("{number:016x}"))
}

#[test]
fn the_body_of_a_damaged_record_is_kept_aside() {
    let (disk, name) = large_message(true);
    let (spool, recovered) = open(disk);
    assert!(matches!(
        recovered.findings[..],
        [Finding::Rotten(_), Finding::BodiesLeft(1)]
    ));
    let disk = spool.into_disk();
    assert_eq!(Disk::list(&disk, Folder::Body).unwrap(), [""; 0]);
    let aside = Disk::open(&disk, Folder::Aside, &format!("body-{name}")).unwrap();
    let mut octets = [0; 8];
    assert_eq!(Disk::read_at(&disk, &aside, 0, &mut octets).unwrap(), 5);
    assert_eq!(&octets[..5], b"large");
}

#[test]
fn who_only_looks_finds_the_same_and_changes_nothing() {
    for damaged in [false, true] {
        let (mut disk, _) = large_message(damaged);
        Disk::create(&mut disk, Folder::Body, "00000000000000ff").unwrap();
        let before = picture(&disk);
        let (looking, seen) = Spool::look(disk.clone(), OPTIONS).unwrap();
        assert!(picture(&looking.into_disk().into_inner()) == before);
        let (_, found) = open(disk.clone());
        assert_eq!(seen.findings, found.findings);
        assert_eq!(seen.messages, found.messages);
        assert!(!found.findings.is_empty());
    }
}
