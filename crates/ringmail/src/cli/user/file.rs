//! The file of password hashes as it is changed: held against others who change it, written anew beside itself and put in its
//! own place, so that whoever reads it reads the old or the new one, whole.
//!
//! A symbolic link is followed: what it leads to is read, held and replaced, and the link stays. What is held is the file
//! itself and not its folder or another beside it: nobody but those whose file it is can open it, so nobody else can keep
//! them from it.

use crate::passwords::scram::Salts;
use crate::passwords::{Entry, FILE_OCTETS, LINES, Line};
use crate::role::supervisor::secrets;
use mail::Mailbox;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long somebody else may take who changes it too: he asked for his password before he held it.
const HELD_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked whether he still does.
const HELD_PAUSE: Duration = Duration::from_millis(50);
/// What the new file is called until it is whole. Who holds the file is alone, so one name does.
const BESIDE: &str = ".new";
/// Bits of the old file's mode that the new one keeps: a group may read it.
const MODE_KEPT: u32 = 0o640;

/// The file, held: nobody else changes it by this program until this is dropped.
pub struct Held {
    path: PathBuf,
    file: File,
    octets: Zeroizing<Vec<u8>>,
}

/// What is done to the lines of one name.
pub enum Edit<'l> {
    /// This line comes behind all others.
    Append(&'l str),
    /// This line takes the place of each.
    Replace(&'l str),
    /// They go.
    Remove,
}

/// The file would be more than is read.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "with one more it would have more than {LINES} lines or {FILE_OCTETS} octets"
        )
    }
}

/// Reads all of it. A file that others than its owner and its group can read or write is refused.
pub fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    all_of(&open(path)?)
}

/// Whether a line is this name's.
pub fn has(octets: &[u8], name: &Mailbox) -> bool {
    let mut lines = octets.split(|octet| *octet == b'\n');
    lines.any(|line| Line::name(line).as_ref() == Some(name))
}

/// Whether this name is kept from logging in.
pub fn is_disabled(octets: &[u8], name: &Mailbox) -> bool {
    has_entry(octets, name, |entry| entry.disabled)
}

/// Whether this name has a secret of SCRAM.
pub fn has_secret(octets: &[u8], name: &Mailbox) -> bool {
    has_entry(octets, name, Entry::has_secret)
}

fn has_entry(octets: &[u8], name: &Mailbox, is: impl Fn(&Entry) -> bool) -> bool {
    let mut lines = octets.split(|octet| *octet == b'\n');
    lines.any(|line| {
        matches!(Line::parse(line), Ok(Line::Login(entry)) if entry.name == *name && is(&entry))
    })
}

/// The file with a key of salts: its own, or a new one behind all lines.
pub fn with_salts(octets: &[u8]) -> (Zeroizing<Vec<u8>>, Salts) {
    let salts = |octets: &[u8]| {
        crate::passwords::lines(octets).find_map(|(_, line)| match line {
            Ok(Line::Salts(salts)) => Some(salts),
            _ => None,
        })
    };
    if let Some(salts) = salts(octets) {
        return (Zeroizing::new(octets.to_vec()), salts);
    }
    let line = Salts::new_line();
    // Room for all of it at once.
    let mut with = Zeroizing::new(Vec::with_capacity(octets.len() + line.len() + 2));
    with.extend_from_slice(octets);
    if !octets.is_empty() && !octets.ends_with(b"\n") {
        with.push(b'\n');
    }
    with.extend_from_slice(line.as_bytes());
    with.push(b'\n');
    let salts = salts(&with).unwrap_or_else(Salts::drawn);
    (with, salts)
}

/// The file with the lines of one name changed; all others are as they were, in their order.
pub fn edited(octets: &[u8], name: &Mailbox, edit: &Edit) -> Result<Zeroizing<Vec<u8>>, TooLong> {
    let mut new = Zeroizing::new(Vec::new());
    let mut push = |octets: &[u8], line_end: bool| {
        new.extend_from_slice(octets);
        if line_end && !octets.ends_with(b"\n") {
            new.push(b'\n');
        }
    };
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let is_its = Line::name(line).as_ref() == Some(name);
        match edit {
            Edit::Replace(with) if is_its => push(with.as_bytes(), true),
            Edit::Remove if is_its => {}
            // The last line may have no end yet.
            Edit::Append(_) => push(line, true),
            Edit::Replace(_) | Edit::Remove => push(line, false),
        }
    }
    if let Edit::Append(line) = edit {
        push(line.as_bytes(), true);
    }
    let lines = crate::passwords::lines(&new).count();
    let too_long = new.len() as u64 > FILE_OCTETS || lines > LINES;
    if too_long { Err(TooLong) } else { Ok(new) }
}

impl Held {
    /// Opens and holds it; made where it is not there and `make` says so. Somebody else who holds it is waited for, and is
    /// [`io::ErrorKind::WouldBlock`] where he takes too long.
    pub fn open(path: &Path, make: bool) -> io::Result<Self> {
        let path = resolved(path)?;
        let began = Instant::now();
        loop {
            let file = match open(&path) {
                Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                    make_empty(&path)?;
                    continue;
                }
                opened => opened?,
            };
            // Who held it before may have put another file in its place: then this is the one that nobody reads any more.
            if sys::file::try_lock(&file)? && is_at(&file, &path) {
                let octets = all_of(&file)?;
                return Ok(Self { path, file, octets });
            }
            if began.elapsed() > HELD_WAIT {
                let cause = format!("{}: somebody else is changing it", path.display());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, cause));
            }
            sleep(HELD_PAUSE);
        }
    }

    /// What is in it.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Puts a file with these octets in its place, on stable storage, with its owner, its group and its mode.
    pub fn replace(&self, octets: &[u8]) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(BESIDE);
        let beside = PathBuf::from(beside);
        // What a crash left there is nobody's: we hold the file.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(told(&error, &beside));
            }
            _ => {}
        }
        let written = self.write(&beside, octets);
        if written.is_err() {
            // What is wrong is said already.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(|error| told(&error, &beside))?;
        fs::rename(&beside, &self.path).map_err(|error| told(&error, &self.path))?;
        let folder = folder_of(&self.path);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| told(&error, folder))
    }

    fn write(&self, beside: &Path, octets: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let (flags, mode) = (flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(rustix::fs::open(beside, flags, mode)?);
        let (old, new) = (self.file.metadata()?, file.metadata()?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            let (owner, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            rustix::fs::fchown(&file, Some(owner), Some(group))?;
        }
        file.set_permissions(fs::Permissions::from_mode(old.mode() & MODE_KEPT))?;
        file.write_all(octets)?;
        file.sync_all()
    }
}

/// Opens a file that nobody but its owner and its group can read, and its owner alone can write.
fn open(path: &Path) -> io::Result<File> {
    secrets::open_path(path, true, FILE_OCTETS)
}

fn all_of(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: a vector that grows leaves copies behind.
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut octets = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(FILE_OCTETS).read_to_end(&mut octets)?;
    Ok(octets)
}

fn make_empty(path: &Path) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        // Somebody else made it just now.
        Ok(_) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => {
            let cause = format!("{}: {}", path.display(), io::Error::from(error));
            // A folder that is not there is not what a caller takes for a file that is not there.
            Err(match error {
                rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => {
                    io::Error::new(io::ErrorKind::PermissionDenied, cause)
                }
                _ => io::Error::other(cause),
            })
        }
    }
}

/// Where the file is itself, behind symbolic links; one that is not there yet is in a folder that is.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found.map_err(|error| told(&error, path)),
    }
    if path.symlink_metadata().is_ok() {
        let cause = format!("{}: a symbolic link to nothing", path.display());
        return Err(io::Error::other(cause));
    }
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other(format!("{}: not a file's name", path.display())))?;
    let folder = folder_of(path);
    let folder = fs::canonicalize(folder);
    Ok(folder
        .map_err(|error| {
            let cause = format!("{}: {error}", folder_of(path).display());
            io::Error::other(cause)
        })?
        .join(name))
}

/// The folder that it is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether this open file is the one that lies there.
fn is_at(file: &File, path: &Path) -> bool {
    let open = rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    let there = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
    let there = there.map(|stat| (stat.st_dev, stat.st_ino));
    open.is_ok() && open == there
}

fn told(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(octets: &str, edit: &Edit) -> String {
        let ann = Mailbox::parse("ann@example.org").unwrap();
        let new = edited(octets.as_bytes(), &ann, edit).unwrap();
        String::from_utf8(new.to_vec()).unwrap()
    }

    #[test]
    fn other_lines_are_kept_as_they_were() {
        let old = "# who\r\nann@EXAMPLE.org:!\n\n  joe@b.test : what?\nann@example.org:x";
        let replaced = "# who\r\nann@example.org:y\n\n  joe@b.test : what?\nann@example.org:y\n";
        assert_eq!(after(old, &Edit::Replace("ann@example.org:y")), replaced);
        assert_eq!(
            after(old, &Edit::Remove),
            "# who\r\n\n  joe@b.test : what?\n"
        );
        assert_eq!(after("# who", &Edit::Append("a:b")), "# who\na:b\n");
        assert_eq!(after("", &Edit::Append("a:b")), "a:b\n");
    }

    #[test]
    fn a_file_is_not_made_longer_than_is_read() {
        let ann = Mailbox::parse("ann@example.org").unwrap();
        let full = "\n".repeat(LINES - 1);
        let append = Edit::Append("ann@example.org:!");
        assert!(edited(full.as_bytes(), &ann, &append).is_ok());
        let full = "\n".repeat(LINES);
        assert_eq!(edited(full.as_bytes(), &ann, &append), Err(TooLong));
        // Nor kept from being made shorter.
        let long = format!("ann@example.org:!\n{}", "\n".repeat(LINES));
        assert!(edited(long.as_bytes(), &ann, &Edit::Remove).is_ok());
    }

    #[test]
    fn whoever_comes_second_waits_and_sees_what_the_first_one_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let first = Held::open(&path, true).unwrap();
        assert_eq!(first.octets(), b"");
        let second = {
            let path = path.clone();
            std::thread::spawn(move || Held::open(&path, false).unwrap().octets().to_vec())
        };
        sleep(4 * HELD_PAUSE);
        assert!(!second.is_finished());
        first.replace(b"# new\n").unwrap();
        drop(first);
        assert_eq!(second.join().unwrap(), b"# new\n");
    }
}
