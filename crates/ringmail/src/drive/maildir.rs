//! Maildir delivery: `tmp/`, fsync, rename into `new/`, fsync of the folder; then it is delivered.
//!
//! The file's name comes from the message's queue id and the recipient's number, so that a delivery whose
//! outcome was lost in a crash is recognised and not made twice. Lines end in LF on disk, as mail readers
//! expect; content has no bare CR or LF, so nothing is lost by it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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

/// Delivers several messages; folders that they share are synced once for all of them. Gives for each
/// the file it lies in, or why not.
pub fn deliver(deliveries: &[Delivery]) -> Vec<io::Result<PathBuf>> {
    let mut results: Vec<io::Result<PathBuf>> = deliveries.iter().map(place).collect();
    let placed = |results: &[io::Result<PathBuf>]| -> BTreeSet<PathBuf> {
        results
            .iter()
            .flatten()
            .filter_map(|path| path.parent().map(Path::to_owned))
            .collect()
    };
    for folder in placed(&results) {
        if let Err(error) = File::open(&folder).and_then(|f| f.sync_all()) {
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

/// Writes and syncs the file and gives it its name in `new/`.
fn place(delivery: &Delivery) -> io::Result<PathBuf> {
    let maildir = &delivery.maildir;
    let new = maildir.join("new");
    if !new.is_dir() || !maildir.join("cur").is_dir() {
        create(maildir)?;
    }
    let target = new.join(&delivery.name);
    if target.exists() || (delivery.again && was_read(maildir, &delivery.name)?) {
        return Ok(target);
    }
    let temporary = maildir.join("tmp").join(&delivery.name);
    // One of this name is what an attempt left that did not come to its end.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = write(delivery, &file).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, &target)) {
        // Leave nothing behind, least of all on a full disk.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(target)
}

fn write(delivery: &Delivery, file: &File) -> io::Result<()> {
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
    out.flush()
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
fn was_read(maildir: &Path, name: &str) -> io::Result<bool> {
    for entry in fs::read_dir(maildir.join("cur"))? {
        let found = entry?.file_name();
        let found = found.to_string_lossy();
        if found
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the Maildir and what is missing above it; each new folder's parent is synced.
fn create(maildir: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = maildir.ancestors().take_while(|p| !p.is_dir()).collect();
    missing.reverse();
    let below: Vec<PathBuf> = ["tmp", "new", "cur"]
        .iter()
        .map(|sub| maildir.join(sub))
        .collect();
    for folder in missing
        .into_iter()
        .chain(below.iter().map(PathBuf::as_path))
    {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            result => result?,
        }
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}
