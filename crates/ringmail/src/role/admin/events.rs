//! The events of all processes, each by a socket of its own, into the event store. A line that is none, or that
//! claims to be another's, ends its source's way: the log itself still has what that process says.

use crate::config::Log;
use crate::drive::clock::Clock;
use crate::event::keep::LINE_OCTETS;
use crate::event::read;
use crate::event::store::Store;
use crate::event::{self, Event};
use crate::ipc::Misbehaved;
use crate::ipc::spawn::{Role, Source};
use mail::Time;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use sys::socket::Kind;
use tokio::net::UnixStream;

/// Octets taken from a socket at once.
const READ_OCTETS: usize = 64 * 1024;
/// Pieces taken from one source before the others have their turn: one that says more than can be written down makes
/// nobody wait but itself.
const TURN_PIECES: usize = 4;
/// Pieces taken at most from a source that can say no more: far above what its socket holds.
const LAST_PIECES: usize = 64;
/// How long after a failure the folder is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// How often old files are looked for when nothing is written.
const TIDY_EVERY: Duration = Duration::from_hours(1);

/// All of it.
#[derive(Clone)]
pub struct Events {
    clock: Clock,
    writer: Rc<RefCell<Writer>>,
    ends: Rc<RefCell<BTreeMap<Source, Rc<End>>>>,
}

/// The end of one source's way.
struct End {
    source: Source,
    socket: UnixStream,
    /// The front of a line that is not whole yet.
    rest: RefCell<Vec<u8>>,
}

/// What is known of the folder.
struct Writer {
    log: Log,
    store: Option<Store>,
    try_at: Time,
    lost: u64,
}

impl Events {
    /// Begins without a folder; this process's own events come the same way as the others'.
    pub fn start(clock: Clock) -> io::Result<Self> {
        let events = Self {
            clock,
            writer: Rc::new(RefCell::new(Writer {
                log: Log::default(),
                store: None,
                try_at: Time::NEVER,
                lost: 0,
            })),
            ends: Rc::default(),
        };
        let (ours, theirs) = sys::socket::pair(Kind::Stream)?;
        event::keep_through(ours);
        events.take_from(Source::Role(Role::Admin), theirs)?;
        let tidy = events.clone();
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                tidy.write(&[]);
            }
        });
        Ok(events)
    }

    /// Takes the folder and its bounds.
    pub fn configure(&self, log: Log) {
        let mut writer = self.writer.borrow_mut();
        if writer.try_at == Time::NEVER || writer.log != log {
            *writer = Writer {
                log,
                store: None,
                try_at: Time::default(),
                lost: writer.lost,
            };
        }
    }

    /// Takes the end of a source's way; an older one of the same source is drained first.
    pub fn take_from(&self, source: Source, fd: OwnedFd) -> io::Result<()> {
        let end = Rc::new(End {
            source,
            socket: UnixStream::from_std(fd.into())?,
            rest: RefCell::default(),
        });
        let old = self.ends.borrow_mut().insert(source, Rc::clone(&end));
        if let Some(old) = old {
            self.drain(&old, LAST_PIECES);
        }
        let events = self.clone();
        tokio::task::spawn_local(async move {
            while end.socket.readable().await.is_ok() && events.drain(&end, TURN_PIECES) {
                tokio::task::yield_now().await;
            }
            let mut ends = events.ends.borrow_mut();
            if ends.get(&source).is_some_and(|now| Rc::ptr_eq(now, &end)) {
                ends.remove(&source);
            }
        });
        Ok(())
    }

    /// At the end: what the others said before they ended is in their sockets.
    pub fn take_what_is_left(&self) {
        let ends: Vec<Rc<End>> = self.ends.borrow().values().cloned().collect();
        for end in ends {
            self.drain(&end, LAST_PIECES);
        }
    }

    /// Takes what is there now, at most so many pieces; false when nothing more will come.
    fn drain(&self, end: &End, pieces: usize) -> bool {
        let mut piece = vec![0; READ_OCTETS];
        for _ in 0..pieces {
            match end.socket.try_read(&mut piece) {
                Ok(0) => return false,
                Ok(count) => {
                    let mut rest = end.rest.borrow_mut();
                    rest.extend_from_slice(&piece[..count]);
                    let whole = rest.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
                    let lines: Vec<u8> = rest.drain(..whole).collect();
                    if rest.len() > LINE_OCTETS || !lines_of(end.source, &lines) {
                        let cause = Misbehaved("a line of the log that is none of its own").0;
                        event::say(&Event::ArrowMisbehaved { cause });
                        return false;
                    }
                    drop(rest);
                    self.write(&lines);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn write(&self, lines: &[u8]) {
        let now = Time::from_micros(self.clock.now_micros());
        self.writer.borrow_mut().write(lines, now);
    }
}

impl Writer {
    /// Writes, or counts what is lost. Trouble is said once, when it begins; how much was lost when it ends.
    fn write(&mut self, lines: &[u8], now: Time) {
        let written = self.try_write(lines, now);
        if let Err(error) = written {
            let begins = self.lost == 0;
            self.lost += count(lines);
            self.store = None;
            self.try_at = now + TRY_AGAIN;
            if begins && self.lost > 0 {
                let folder = self.log.folder.display();
                event::say(&Event::EventsLost {
                    events: self.lost,
                    cause: format!("{folder}: {error}; more may follow"),
                });
            }
        }
    }

    fn try_write(&mut self, lines: &[u8], now: Time) -> io::Result<()> {
        if self.store.is_none() && now >= self.try_at {
            let Log {
                folder,
                keep,
                octets,
            } = &self.log;
            self.store = Some(Store::open(folder, *keep, *octets, now)?);
        }
        let Some(store) = &mut self.store else {
            // Not tried again yet.
            self.lost += count(lines);
            return Ok(());
        };
        if lines.is_empty() {
            return store.tidy(now);
        }
        store.append(lines, now)?;
        if self.lost > 0 {
            let (events, cause) = (
                std::mem::take(&mut self.lost),
                "they could not be written".into(),
            );
            event::say(&Event::EventsLost { events, cause });
        }
        Ok(())
    }
}

/// How many lines these are.
fn count(lines: &[u8]) -> u64 {
    lines.split_inclusive(|b| *b == b'\n').count() as u64
}

/// Whether these are lines of the log that this source may say.
fn lines_of(source: Source, lines: &[u8]) -> bool {
    lines.split_inclusive(|b| *b == b'\n').all(|line| {
        let line = &line[..line.len() - 1];
        let printable = line.iter().all(|b| (b' '..=b'~').contains(b));
        let line = std::str::from_utf8(line).unwrap_or_default();
        printable && line.len() <= LINE_OCTETS && read::is_said_by(line, source.name())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_speaks_for_itself_alone_and_in_lines_of_the_log() {
        let smtpd = Source::Role(Role::Smtpd);
        let line = |text: &str| lines_of(smtpd, format!("{text}\n").as_bytes());
        assert!(line(
            "at=2026-11-24T12:00:00.000001Z event=x level=info role=smtpd a=\"b c\""
        ));
        assert!(lines_of(smtpd, b""));
        for bad in [
            "",
            "event=x level=info role=smtpd",
            "at=x event=x level=info role=queue",
            "at=x event=x level=info role=smtpd2",
            "at=x event=x level=info a=1 role=smtpd",
            "at=x event=x level=\"info role=smtpd \" role=queue",
            "at=x event=x level=info role=smtpd role=queue",
            "at=x event=x level=info role=smtpd a=\u{1b}[2J",
            "at=x event=x level=info role=smtpd a=\u{e9}",
        ] {
            assert!(!line(bad), "{bad}");
        }
        let long = format!(
            "at=x event=x level=info role=smtpd a={}",
            "b".repeat(LINE_OCTETS)
        );
        assert!(!line(&long));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_said_when_it_can_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file/events");
        std::fs::write(folder.path().join("file"), "in the way").unwrap();
        let log = Log {
            folder: place.clone(),
            ..Log::default()
        };
        let mut writer = Writer {
            log,
            store: None,
            try_at: Time::default(),
            lost: 0,
        };
        let now = Time::from_secs(1_795_521_600);
        writer.write(b"one\ntwo\n", now);
        writer.write(b"three\n", now);
        assert_eq!((writer.lost, writer.store.is_none()), (3, true));
        std::fs::remove_file(folder.path().join("file")).unwrap();
        writer.write(b"four\n", now + TRY_AGAIN);
        assert_eq!((writer.lost, writer.store.is_some()), (0, true));
        assert_eq!(crate::event::store::files(&place).unwrap().len(), 1);
    }
}
