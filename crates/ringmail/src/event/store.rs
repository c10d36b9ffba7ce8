//! The event store: the log's lines in files of a folder, bounded in time and in size. One process writes, admin;
//! whoever may read the folder reads, also when nothing runs. Nothing is synced: mail does not depend on it, and
//! what a power cut takes is the last half minute.
//!
//! A file's name is the time of its first line, so that names sort as time goes. Each begins anew when it is full or
//! the day is over; the oldest go when they are too old or all together too large.

use mail::Time;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How file names end.
pub const SUFFIX: &str = ".events";
/// Files that the bound on size is cut into, about: what goes at once is a part of it.
const FILES: u64 = 64;
/// Largest file, in octets.
const FILE_OCTETS_MAX: u64 = 16 * 1024 * 1024;
/// How often old files are looked for.
const LOOK_EVERY: Duration = Duration::from_hours(1);
const DAY_SECS: u64 = 86_400;

/// The writer.
pub struct Store {
    folder: PathBuf,
    keep: Duration,
    octets: u64,
    file: Option<Open>,
    look_at: Time,
}

struct Open {
    file: File,
    octets: u64,
    day: u64,
}

impl Store {
    /// Opens the folder, making it if need be; what is too much in it goes.
    pub fn open(folder: &Path, keep: Duration, octets: u64, now: Time) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).recursive(true).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut store = Self {
            folder: folder.into(),
            keep,
            octets,
            file: None,
            look_at: now,
        };
        store.tidy(now)?;
        store.go_on(now)?;
        Ok(store)
    }

    /// Puts whole lines behind the others.
    pub fn append(&mut self, lines: &[u8], now: Time) -> io::Result<()> {
        self.tidy(now)?;
        let day = now.as_secs() / DAY_SECS;
        let full =
            |open: &Open| open.octets > 0 && open.octets + lines.len() as u64 > self.file_octets();
        if self
            .file
            .as_ref()
            .is_none_or(|open| open.day != day || full(open))
        {
            self.file = None;
            self.make_room(now)?;
            self.begin(now)?;
        }
        let open = self.file.as_mut().expect("it was begun above");
        let written = open.file.write_all(lines);
        open.octets += lines.len() as u64;
        if written.is_err() {
            // Half a line may stand there: what comes next begins another file.
            self.file = None;
        }
        written
    }

    /// Removes files that are too old, now and then.
    pub fn tidy(&mut self, now: Time) -> io::Result<()> {
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now + LOOK_EVERY;
        self.make_room(now)
    }

    fn file_octets(&self) -> u64 {
        (self.octets / FILES).clamp(1, FILE_OCTETS_MAX)
    }

    /// Removes files whose last line is too old, then the oldest until another full one has room.
    fn make_room(&mut self, now: Time) -> io::Result<()> {
        let files = files(&self.folder)?;
        let mut sizes = Vec::with_capacity(files.len());
        for (_, path) in &files {
            sizes.push(std::fs::metadata(path)?.len());
        }
        let mut total: u64 = sizes.iter().sum();
        let oldest = now - self.keep;
        for (place, ((_, path), size)) in files.iter().zip(&sizes).enumerate() {
            // The newest is being written to, or was when this began.
            let Some((next, _)) = files.get(place + 1) else {
                break;
            };
            let too_old = *next < oldest;
            let too_much = total + self.file_octets() > self.octets;
            if !too_old && !too_much {
                break;
            }
            std::fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }

    /// Goes on with the newest file, if it is of today and has room.
    fn go_on(&mut self, now: Time) -> io::Result<()> {
        let Some((began, path)) = files(&self.folder)?.pop() else {
            return Ok(());
        };
        let day = began.as_secs() / DAY_SECS;
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let octets = file.metadata()?.len();
        if day != now.as_secs() / DAY_SECS || octets >= self.file_octets() {
            return Ok(());
        }
        // The last line may have been cut by a crash.
        let mut last = [b'\n'];
        if octets > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        self.file = Some(Open { file, octets, day });
        Ok(())
    }

    /// Begins a file, named so that it sorts behind all others, whatever the clock does.
    fn begin(&mut self, now: Time) -> io::Result<()> {
        let after = files(&self.folder)?.pop().map(|(began, _)| began);
        let after = after.map_or(Time::default(), |began| began + Duration::from_micros(1));
        let began = now.max(after);
        let name = format!("{}{SUFFIX}", began.stamp()).replace(':', "-");
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(self.folder.join(name))?;
        let day = now.as_secs() / DAY_SECS;
        self.file = Some(Open {
            file,
            octets: 0,
            day,
        });
        Ok(())
    }
}

/// The store's files, oldest first, each with the time of its first line. What else lies in the folder is none.
pub fn files(folder: &Path) -> io::Result<Vec<(Time, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(SUFFIX));
        if let Some(began) = stem.and_then(began) {
            files.push((began, path));
        }
    }
    files.sort();
    Ok(files)
}

/// `2026-11-24T12-47-00.000000Z`: a stamp with dashes for colons.
fn began(stem: &str) -> Option<Time> {
    let (date, time) = stem.split_once('T')?;
    Time::parse_stamp(&format!("{date}T{}", time.replace('-', ":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time::from_secs(1_795_521_600);
    const WEEK: Duration = Duration::from_hours(7 * 24);

    fn size(folder: &Path) -> u64 {
        let files = files(folder).unwrap();
        files
            .iter()
            .map(|(_, path)| std::fs::metadata(path).unwrap().len())
            .sum()
    }

    #[test]
    fn the_oldest_go_when_all_are_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("deep/er");
        let mut store = Store::open(&folder, WEEK, 64_000, NOON).unwrap();
        let line = [b'x'; 99].iter().chain(b"\n").copied().collect::<Vec<u8>>();
        for n in 0..2_000u64 {
            let now = NOON + Duration::from_millis(n);
            store.append(&line, now).unwrap();
            assert!(size(&folder) <= 64_000);
        }
        assert!(size(&folder) > 60_000);
        let names = files(&folder).unwrap();
        assert!(
            names[0].0 > NOON + Duration::from_millis(1_300),
            "{names:?}"
        );
    }

    #[test]
    fn files_whose_lines_are_all_too_old_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), WEEK, 1 << 30, NOON).unwrap();
        let day = Duration::from_hours(24);
        for n in 0..20u32 {
            store.append(b"a line\n", NOON + day * n).unwrap();
            let days = n.min(8) + 1;
            assert_eq!(files(folder.path()).unwrap().len(), days as usize, "{n}");
        }
    }

    #[test]
    fn a_line_that_was_cut_by_a_crash_stays_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), WEEK, 1 << 30, NOON).unwrap();
        store.append(b"one\ntw", NOON).unwrap();
        drop(store);
        let mut store = Store::open(folder.path(), WEEK, 1 << 30, NOON).unwrap();
        store.append(b"three\n", NOON).unwrap();
        let files = files(folder.path()).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(std::fs::read(&files[0].1).unwrap(), b"one\ntw\nthree\n");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_mix_the_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), WEEK, 64, NOON).unwrap();
        store.append(b"one\n", NOON).unwrap();
        store.append(b"two\n", NOON - WEEK).unwrap();
        let files = files(folder.path()).unwrap();
        let last = &files.last().unwrap().1;
        assert_eq!(std::fs::read(last).unwrap(), b"two\n");
    }
}
