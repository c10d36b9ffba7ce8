//! What the machine itself can do: the limits that no server passes, measured in the same round as the servers.

use crate::arrivals::Arrivals;
use crate::cell::{Manner, new_tag};
use crate::load::{self, Plan};
use crate::message::Template;
use crate::server::RELAY_DOMAIN;
use crate::sink::Sink;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Octets of the file that is written and synced, all of them written beforehand: a commit changes no metadata.
const LOG_OCTETS: usize = 32 * 1024 * 1024;

/// How long a disk is left alone after much was removed.
const SETTLE: Duration = Duration::from_millis(300);

/// A limit and how far it goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// What is done.
    pub name: String,
    /// Messages per second that could at most be done so.
    pub per_second: f64,
}

/// Measures each for `time`.
pub fn limits(
    folder: &Path,
    sink: &Sink,
    manner: &Manner,
    sessions: &[usize],
    time: Duration,
) -> io::Result<Vec<Limit>> {
    settle();
    let mut limits = Vec::new();
    let mut push = |name: String, per_second: f64| limits.push(Limit { name, per_second });
    let content = vec![b'x'; manner.octets];
    for batch in [1, 20, 100] {
        let rate = log(folder, &content, batch, time)?;
        push(format!("log, {batch} a fdatasync"), rate);
    }
    for (threads, batch) in [(1, 1), (20, 1), (4, 20)] {
        let rate = maildir(folder, &content, threads, batch, time)?;
        push(
            format!("Maildir, {threads} threads, {batch} a folder sync"),
            rate,
        );
    }
    for batch in [20, 100] {
        let rate = maildir_by_syncfs(folder, &content, batch, time)?;
        push(format!("Maildir, {batch} a syncfs"), rate);
    }
    for sessions in sessions {
        let rate = loopback(sink, manner, *sessions, time)?;
        push(format!("SMTP into the sink, {sessions} sessions"), rate);
    }
    Ok(limits)
}

/// What was removed before is written, and the journal done with it, before the next thing is measured.
pub fn settle() {
    rustix::fs::sync();
    std::thread::sleep(SETTLE);
}

/// Does `work`, which is worth `each` messages, until `time` is over; messages per second.
fn repeat(
    time: Duration,
    each: usize,
    mut work: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<f64> {
    let (began, mut done) = (Instant::now(), 0);
    while began.elapsed() < time {
        work(done)?;
        done += each;
    }
    Ok(per_second(done, began))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "message counts are far below 2^52"
)]
fn per_second(done: usize, began: Instant) -> f64 {
    done as f64 / began.elapsed().as_secs_f64()
}

/// An append-only log: `batch` contents in one write, then fdatasync.
fn log(folder: &Path, content: &[u8], batch: usize, time: Duration) -> io::Result<f64> {
    let path = folder.join("log");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; LOG_OCTETS], 0)?;
    file.sync_all()?;
    let piece = content.repeat(batch);
    let places = LOG_OCTETS / piece.len();
    let rate = repeat(time, batch, |done| {
        let place = done / batch % places;
        file.write_all_at(&piece, (place * piece.len()) as u64)?;
        file.sync_data()
    })?;
    fs::remove_file(path)?;
    Ok(rate)
}

/// Each message a file: written in `tmp/`, fsync, rename into `new/`; then fsync of that folder for `batch` of them.
fn maildir(
    folder: &Path,
    content: &[u8],
    threads: usize,
    batch: usize,
    time: Duration,
) -> io::Result<f64> {
    let maildir = folder.join("maildir");
    crate::maildir::create(&maildir)?;
    let (tmp, new) = (maildir.join("tmp"), maildir.join("new"));
    let (number, began) = (AtomicUsize::new(0), Instant::now());
    let work = || {
        while began.elapsed() < time {
            let first = number.fetch_add(batch, Ordering::Relaxed);
            for number in first..first + batch {
                let name = number.to_string();
                let mut file = File::create_new(tmp.join(&name))?;
                file.write_all(content)?;
                file.sync_all()?;
                fs::rename(tmp.join(&name), new.join(&name))?;
            }
            File::open(&new)?.sync_all()?;
        }
        Ok(())
    };
    let results: Vec<io::Result<()>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|r| r.unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))))
            .collect()
    });
    let rate = per_second(number.into_inner(), began);
    results.into_iter().collect::<io::Result<()>>()?;
    fs::remove_dir_all(maildir)?;
    settle();
    Ok(rate)
}

/// Files written and renamed, `batch` of them made durable by one syncfs.
fn maildir_by_syncfs(
    folder: &Path,
    content: &[u8],
    batch: usize,
    time: Duration,
) -> io::Result<f64> {
    let maildir = folder.join("maildir");
    crate::maildir::create(&maildir)?;
    let root = File::open(&maildir)?;
    let rate = repeat(time, batch, |done| {
        for number in done..done + batch {
            let tmp = maildir.join("tmp").join(number.to_string());
            fs::write(&tmp, content)?;
            fs::rename(&tmp, maildir.join("new").join(number.to_string()))?;
        }
        Ok(rustix::fs::syncfs(&root)?)
    })?;
    fs::remove_dir_all(maildir)?;
    settle();
    Ok(rate)
}

/// The load tool straight into the sink.
fn loopback(sink: &Sink, manner: &Manner, sessions: usize, time: Duration) -> io::Result<f64> {
    let tag = new_tag();
    let arrivals = Arrivals::new(tag);
    sink.expect(arrivals.clone());
    let plan = Plan {
        to: sink.address(),
        domain: RELAY_DOMAIN.into(),
        sessions,
        messages: usize::MAX,
        time: Some(time),
        per_connection: manner.per_connection,
        pipelining: manner.pipelining,
    };
    let sent = load::run(&plan, &mut Template::new(tag, manner.octets))?;
    let rate = per_second(sent.accepted, sent.began);
    let faults = arrivals.faults(sent.accepted);
    if !faults.none() {
        return Err(io::Error::other(format!(
            "the sink is at fault: {faults:?}"
        )));
    }
    Ok(rate)
}
