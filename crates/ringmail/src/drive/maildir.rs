//! Maildir delivery: `tmp/`, fsync, rename into `new/`, fsync of the folder; then it is delivered.
//!
//! The file's name comes from the message's queue id and the recipient's number, so that a delivery whose
//! outcome was lost in a crash is recognised and not made twice. Lines end in LF on disk, as mail readers
//! expect; content has no bare CR or LF, so nothing is lost by it.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::client::Source;

/// One message for one mailbox.
pub struct Delivery {
    /// The Maildir's absolute path.
    pub maildir: PathBuf,
    /// The file's name: the same for the same message and recipient, for ever.
    pub name: String,
    /// Whom failures go to; empty for the null reverse-path.
    pub reverse_path: String,
    /// Whom it is for.
    pub forward_path: String,
    /// Trace field and content.
    pub source: std::sync::Arc<Source>,
    /// An earlier attempt may have delivered it.
    pub again: bool,
}

/// What a delivery asks of the file system. Paths are absolute.
pub trait Files {
    /// A file being written.
    type File: Write;
    /// Whether there is such a folder.
    fn is_folder(&self, path: &Path) -> bool;
    /// Makes one folder, for its owner alone.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder's entries durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Whether something of this name is there.
    fn exists(&self, path: &Path) -> bool;
    /// Makes a file that is not there yet, for its owner alone.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Makes what was written to a file durable.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Gives a file another name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// Maildirs that are remembered as durable; beyond it all are forgotten and synced once more.
const DURABLE_MAX: usize = 100_000;

/// Delivers, and remembers which Maildirs are known to survive a power cut.
pub struct Maildirs<F> {
    files: F,
    /// Those whose folders, up to the root, were synced in this process's life. One that is merely there may
    /// have been made by a process that died before its sync.
    durable: Mutex<HashSet<PathBuf>>,
}

impl<F: Files> Maildirs<F> {
    /// Knows of none yet.
    pub fn new(files: F) -> Self {
        Self {
            files,
            durable: Mutex::default(),
        }
    }

    /// Delivers several messages; folders that they share are synced once for all of them. Gives for each
    /// the file it lies in, or why not.
    pub fn deliver(&self, deliveries: &[Delivery]) -> Vec<io::Result<PathBuf>> {
        let mut results: Vec<io::Result<PathBuf>> = deliveries
            .iter()
            .map(|delivery| {
                self.prepare(&delivery.maildir)?;
                place(&self.files, delivery)
            })
            .collect();
        let folders: BTreeSet<PathBuf> = results
            .iter()
            .flatten()
            .filter_map(|path| path.parent().map(Path::to_owned))
            .collect();
        for folder in folders {
            if let Err(error) = self.files.sync_folder(&folder) {
                // Whether they are there after a crash is not known: they are not delivered.
                for result in results
                    .iter_mut()
                    .filter(|r| r.as_ref().is_ok_and(|p| p.parent() == Some(&folder)))
                {
                    *result = Err(io::Error::new(error.kind(), error.to_string()));
                }
            }
        }
        results
    }

    /// Sees to it that the Maildir is there and stays.
    fn prepare(&self, maildir: &Path) -> io::Result<()> {
        // A thread that panicked while it held the lock ends the process.
        let known = |set: &Mutex<HashSet<PathBuf>>| {
            set.lock().is_ok_and(|durable| durable.contains(maildir))
        };
        let whole = ["tmp", "new", "cur"]
            .iter()
            .all(|sub| self.files.is_folder(&maildir.join(sub)));
        if whole && known(&self.durable) {
            return Ok(());
        }
        make(&self.files, maildir)?;
        for folder in maildir.ancestors() {
            match self.files.sync_folder(folder) {
                // A folder that we may not open is none that we made something in.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                result => result?,
            }
        }
        if let Ok(mut durable) = self.durable.lock() {
            if durable.len() >= DURABLE_MAX {
                durable.clear();
            }
            durable.insert(maildir.to_owned());
        }
        Ok(())
    }
}

/// Writes and syncs the file and gives it its name in `new/`.
fn place<F: Files>(files: &F, delivery: &Delivery) -> io::Result<PathBuf> {
    let maildir = &delivery.maildir;
    let target = maildir.join("new").join(&delivery.name);
    if files.exists(&target) || (delivery.again && was_read(files, maildir, &delivery.name)?) {
        return Ok(target);
    }
    let temporary = maildir.join("tmp").join(&delivery.name);
    // One of this name is what an attempt left that did not come to its end.
    match files.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = files.create(&temporary)?;
    let written = write(delivery, file).and_then(|file| files.sync(&file));
    if let Err(error) = written.and_then(|()| files.rename(&temporary, &target)) {
        // Leave nothing behind, least of all on a full disk.
        let _ = files.remove(&temporary);
        return Err(error);
    }
    Ok(target)
}

/// Writes the file's content; gives the file back.
fn write<W: Write>(delivery: &Delivery, file: W) -> io::Result<W> {
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    writeln!(out, "Return-Path: <{}>", delivery.reverse_path)?;
    writeln!(out, "Delivered-To: {}", delivery.forward_path)?;
    let mut offset = 0;
    // A CR is written only when something else than an LF follows it, which content never has but at
    // the border of two pieces.
    let mut held_cr = false;
    loop {
        let piece = delivery.source.piece(offset)?;
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        let mut rest = &piece[..];
        if held_cr && rest.first() != Some(&b'\n') {
            out.write_all(b"\r")?;
        }
        held_cr = rest.last() == Some(&b'\r');
        if held_cr {
            rest = &rest[..rest.len() - 1];
        }
        write_lines(rest, &mut out)?;
    }
    if held_cr {
        out.write_all(b"\r")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

fn write_lines(mut rest: &[u8], out: &mut impl Write) -> io::Result<()> {
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        out.write_all(&rest[..end])?;
        out.write_all(b"\n")?;
        rest = &rest[end + 2..];
    }
    out.write_all(rest)
}

/// Whether a mail reader moved it to `cur/` and put flags behind its name.
fn was_read<F: Files>(files: &F, maildir: &Path, name: &str) -> io::Result<bool> {
    let names = files.list(&maildir.join("cur"))?;
    Ok(names.iter().any(|found| {
        found
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }))
}

/// Makes the Maildir and what is missing above it.
fn make<F: Files>(files: &F, maildir: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = maildir
        .ancestors()
        .take_while(|path| !files.is_folder(path))
        .collect();
    missing.reverse();
    let below = ["tmp", "new", "cur"].map(|sub| maildir.join(sub));
    for folder in missing
        .into_iter()
        .chain(below.iter().map(PathBuf::as_path))
    {
        match files.make_folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// This machine's files.
pub struct RealFiles;

impl Files for RealFiles {
    type File = File;

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(path)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

#[cfg(test)]
mod tests;
