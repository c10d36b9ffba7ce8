//! How long a start takes, with a checkpoint and without (docs/adr/0019). It makes a spool and opens it:
//!
//! ```text
//! cargo run --release -p ringmail --example spool_start -- FOLDER fill 100000 stop
//! cargo run --release -p ringmail --example spool_start -- FOLDER open
//! cargo run --release -p ringmail --example spool_start -- FOLDER open-whole
//! ```
//!
//! `fill N stop` commits N messages of 4 KiB and stops in order, `fill N cut` ends without, `fill N without` writes no
//! checkpoint ever. All say how long the longest commit and the longest piece of tidying took. `open-whole` reads the
//! log as if there were no checkpoint.
//! The pages are dropped from memory before by `echo 3 > /proc/sys/vm/drop_caches`, where the disk is to be measured.

use mail::{Envelope, Mailbox, QueueId, Recipient, ReversePath, Time};
use queue::spool::{Options, Spool};
use queue::{Accepted, Content, Entry};
use ringmail::drive::disk::RealDisk;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages in one commit.
const TOGETHER: u64 = 50;
const CONTENT_OCTETS: usize = 4096;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [folder, "fill", count, end] if ["stop", "cut", "without"].contains(&end) => {
            let count = count.parse().map_err(io::Error::other)?;
            fill(Path::new(folder), count, end)
        }
        [folder, "open"] => start(Path::new(folder)),
        [folder, "open-whole"] => {
            let there = Path::new(folder).join("segment/checkpoint");
            let away = Path::new(folder).join("checkpoint-away");
            std::fs::rename(&there, &away)?;
            let opened = start(Path::new(folder));
            std::fs::rename(&away, &there)?;
            opened
        }
        _ => Err(io::Error::other(
            "FOLDER fill N stop|cut|without, FOLDER open, FOLDER open-whole",
        )),
    }
}

fn disk(folder: &Path) -> io::Result<RealDisk> {
    RealDisk::open(folder)?.ok_or_else(|| io::Error::other("the spool is in use"))
}

fn fill(folder: &Path, count: u64, end: &str) -> io::Result<()> {
    let mut options = Options::default();
    if end == "without" {
        options.checkpoint_octets = u64::MAX;
    }
    let (mut spool, _) = Spool::open(disk(folder)?, options)?;
    let began = Instant::now();
    let (mut commit, mut tidy, mut tidying) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for first in (0..count).step_by(usize::try_from(TOGETHER).unwrap_or(1)) {
        let entries: Vec<Entry> = (first..count.min(first + TOGETHER)).map(message).collect();
        let start = Instant::now();
        spool.commit(&entries).map_err(io::Error::other)?;
        commit = commit.max(start.elapsed());
        // As the committer does between commits that come one after the other, with a moment for tidying.
        for _ in 0..2 {
            let start = Instant::now();
            spool.maintain();
            tidy = tidy.max(start.elapsed());
            tidying += start.elapsed();
        }
    }
    println!(
        "{count} messages in {:?}, of it tidying {tidying:?}; longest commit {commit:?}, longest piece {tidy:?}",
        began.elapsed()
    );
    if end == "stop" {
        let start = Instant::now();
        spool.close()?;
        println!("stop: {:?}", start.elapsed());
    }
    Ok(())
}

fn start(folder: &Path) -> io::Result<()> {
    let began = Instant::now();
    let (_, recovered) = Spool::open(disk(folder)?, Options::default())?;
    let took = began.elapsed();
    println!(
        "{took:?} {} messages, {:?} of them from a checkpoint, {:?}",
        recovered.messages.len(),
        recovered.checkpoint,
        recovered.findings
    );
    Ok(())
}

fn message(number: u64) -> Entry {
    let mailbox = |text: String| Mailbox::parse(&text).expect("an address");
    let number = number + 1;
    Entry::Accept(Accepted {
        queue_id: QueueId::from_u64(number),
        envelope: Envelope {
            reverse_path: ReversePath::Mailbox(mailbox(format!("list-{number}@sender.example"))),
            recipients: vec![Recipient {
                mailbox: mailbox(format!("someone-{number}@recipient.example")),
                originals: Vec::new(),
            }],
            arrival: Time::from_secs(number),
            eight_bit: false,
            smtputf8: false,
            dsn: None,
        },
        trace: Arc::from(format!(
            "Received: from client.example ([192.0.2.1])\r\n\tby mx.example with ESMTP id {number};\r\n\t\
             Wed, 25 Nov 2026 01:31:55 +0000\r\n"
        )),
        content: Content::Inline(vec![b'x'; CONTENT_OCTETS].into()),
    })
}
