//! `ringmail user …`: who may log in. The file of password hashes is written here and nowhere else; a running Ringmail reads
//! it with its next reload.

mod ask;
mod file;

use super::{DONE, NO, NOT_PERMITTED, TEMPORARY};
use crate::config::Config;
use crate::passwords::{Kind, Line, Passwords, hash, scram, written};
use ask::Unasked;
use clap::{Args, Subcommand};
use file::{Edit, Held, TooLong};
use mail::Mailbox;
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What is done with those who may log in.
#[derive(Subcommand)]
pub enum UserCommand {
    /// Lets somebody log in. The password is asked for at the terminal, or is the first line of standard input where that is
    /// no terminal.
    Add(New),
    /// Gives somebody who may log in another password, asked for in the same way.
    Passwd(New),
    /// Lets somebody log in no more.
    Remove(Named),
    /// Lists who may log in, and by which kind of hash.
    List(Place),
}

/// Who is meant.
#[derive(Args)]
pub struct Named {
    /// A whole mailbox: ann@example.org.
    #[arg(value_parser = mailbox)]
    name: Mailbox,
    #[command(flatten)]
    place: Place,
}

/// Who is to have which password.
#[derive(Args)]
pub struct New {
    #[command(flatten)]
    named: Named,
    /// Makes a secret for SCRAM too, beside the hash, where auth.scram is "offer". The password is then of printable ASCII.
    /// Who steals the file guesses faster at it than at the hash.
    #[arg(long)]
    scram: bool,
}

/// Where the hashes are.
#[derive(Args)]
pub struct Place {
    /// This file of password hashes; the configuration is not read.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl UserCommand {
    /// The file that was named on the command line.
    pub fn file(&self) -> Option<&Path> {
        let place = match self {
            UserCommand::Add(new) | UserCommand::Passwd(new) => &new.named.place,
            UserCommand::Remove(named) => &named.place,
            UserCommand::List(place) => place,
        };
        place.file.as_deref()
    }
}

/// What was done, in a word.
#[derive(Clone, Copy)]
enum Deed {
    Added,
    Changed,
    Removed,
}

impl Deed {
    const fn name(self) -> &'static str {
        match self {
            Deed::Added => "added",
            Deed::Changed => "changed",
            Deed::Removed => "removed",
        }
    }
}

/// Why nothing was done.
enum Undone {
    /// The file cannot be read or written.
    File(PathBuf, io::Error),
    /// The name is there already.
    There,
    /// The name is not there.
    NotThere,
    /// No password was got.
    Unasked(Unasked),
    /// Clients would not all send the same of this password.
    NotForScram,
    /// The file would be more than is read.
    TooLong(TooLong),
}

impl From<Unasked> for Undone {
    fn from(why: Unasked) -> Self {
        Undone::Unasked(why)
    }
}

/// The file that the configuration means.
pub fn file_of(config: &Config) -> PathBuf {
    config.auth.passwords.clone()
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let name = Mailbox::parse(text);
    let name = name.map(|name| name.folded());
    name.map_err(|why| format!("a whole mailbox such as ann@example.org: {why}"))
}

/// Does it, with this file.
pub fn obey(file: &Path, command: &UserCommand, json: bool) -> u8 {
    let (name, done) = match command {
        UserCommand::List(_) => return list(file, json),
        UserCommand::Add(new) => (&new.named.name, add(file, new)),
        UserCommand::Passwd(new) => (&new.named.name, passwd(file, new)),
        UserCommand::Remove(named) => (&named.name, remove(file, &named.name)),
    };
    match done {
        Ok(deed) => say(file, name, deed, json),
        Err(why) => refuse(file, name, &why),
    }
}

fn add(file: &Path, new: &New) -> Result<Deed, Undone> {
    let name = &new.named.name;
    let there = |octets: &[u8]| file::has(octets, name);
    // Before anybody is asked for a password in vain.
    match file::read(file) {
        Ok(octets) if there(&octets) => return Err(Undone::There),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Undone::File(file.into(), error));
        }
        _ => {}
    }
    let password = new.password()?;
    let held = hold(file, true)?;
    if there(held.octets()) {
        return Err(Undone::There);
    }
    let (octets, line) = new.line(held.octets(), &password);
    change(file, &held, &octets, name, &Edit::Append(&line))?;
    Ok(Deed::Added)
}

fn passwd(file: &Path, new: &New) -> Result<Deed, Undone> {
    let name = &new.named.name;
    let octets = file::read(file).map_err(|error| Undone::File(file.into(), error))?;
    if !file::has(&octets, name) {
        return Err(Undone::NotThere);
    }
    let password = new.password()?;
    let held = hold(file, false)?;
    if !file::has(held.octets(), name) {
        return Err(Undone::NotThere);
    }
    let (octets, line) = new.line(held.octets(), &password);
    change(file, &held, &octets, name, &Edit::Replace(&line))?;
    if file::is_disabled(held.octets(), name) {
        eprintln!("warning: {name} was disabled, and may log in again with this password");
    }
    if !new.scram && file::has_secret(held.octets(), name) {
        eprintln!(
            "warning: {name} logs in by SCRAM no more: --scram makes a secret of this password for it"
        );
    }
    Ok(Deed::Changed)
}

fn remove(file: &Path, name: &Mailbox) -> Result<Deed, Undone> {
    let held = hold(file, false)?;
    if !file::has(held.octets(), name) {
        return Err(Undone::NotThere);
    }
    change(file, &held, held.octets(), name, &Edit::Remove)?;
    Ok(Deed::Removed)
}

impl New {
    /// Asks for a password of which a line can be made.
    fn password(&self) -> Result<Zeroizing<Vec<u8>>, Undone> {
        let password = ask::password(&self.named.name)?;
        if self.scram && !scram::takes(&password) {
            return Err(Undone::NotForScram);
        }
        Ok(password)
    }

    /// The line of this password; with the file that it goes to, which has the key of salts then where that is needed.
    fn line(&self, octets: &[u8], password: &[u8]) -> (Zeroizing<Vec<u8>>, Zeroizing<String>) {
        let name = &self.named.name;
        let mut line = Zeroizing::new(format!("{}:{}", written(name), *hash(password)));
        if !self.scram {
            return (Zeroizing::new(octets.to_vec()), line);
        }
        let (octets, salts) = file::with_salts(octets);
        let secret = scram::secret(password, name, &salts);
        line = Zeroizing::new(format!("{}:{}", *line, *secret));
        (octets, line)
    }
}

fn hold(file: &Path, make: bool) -> Result<Held, Undone> {
    Held::open(file, make).map_err(|error| Undone::File(file.into(), error))
}

/// Writes the file anew, and says what is wrong with other lines of it: with those no reload would take it.
fn change(
    file: &Path,
    held: &Held,
    octets: &[u8],
    name: &Mailbox,
    edit: &Edit,
) -> Result<(), Undone> {
    let octets = file::edited(octets, name, edit).map_err(Undone::TooLong)?;
    let written = held.replace(&octets);
    written.map_err(|error| Undone::File(file.into(), error))?;
    for mistake in Passwords::parse(&octets).err().unwrap_or_default() {
        eprintln!("warning: {}: {mistake}", file.display());
    }
    Ok(())
}

fn say(file: &Path, name: &Mailbox, deed: Deed, json: bool) -> u8 {
    let (word, file) = (deed.name(), file.display().to_string());
    if json {
        println!(
            "{}",
            json!({ "user": name.to_string(), "did": word, "file": file })
        );
    } else {
        println!("{word} {name} in {file}: `ringmail reload` makes a running Ringmail read it");
    }
    DONE
}

fn refuse(file: &Path, name: &Mailbox, why: &Undone) -> u8 {
    match why {
        Undone::File(path, error) => return unreadable(path, error),
        Undone::There => {
            eprintln!(
                "ringmail: {name} is in {} already: `ringmail user passwd {name}` changes the password",
                file.display()
            );
        }
        Undone::NotThere => eprintln!("ringmail: {name} is not in {}", file.display()),
        Undone::Unasked(Unasked::Signal(number)) => return ask::ended_by(*number),
        Undone::Unasked(why) => eprintln!("ringmail: {why}; nothing was changed"),
        Undone::NotForScram => eprintln!(
            "ringmail: the password is not of printable ASCII alone, and not all clients would prove the same by SCRAM; \
             nothing was changed"
        ),
        Undone::TooLong(why) => eprintln!("ringmail: {}: {why}", file.display()),
    }
    NO
}

/// Says why a file cannot be used, and gives the exit code for it.
fn unreadable(path: &Path, error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => {
            eprintln!(
                "ringmail: {} is not there: `ringmail user add` makes it",
                path.display()
            );
            NO
        }
        kind => {
            // The error names the file where another than this one is meant.
            eprintln!("ringmail: {error}");
            match kind {
                io::ErrorKind::PermissionDenied => NOT_PERMITTED,
                io::ErrorKind::WouldBlock => TEMPORARY,
                _ => NO,
            }
        }
    }
}

fn list(file: &Path, json: bool) -> u8 {
    let octets = match file::read(file) {
        Ok(octets) => octets,
        Err(error) => return unreadable(file, &error),
    };
    let mut count = 0;
    for (number, line) in crate::passwords::lines(&octets) {
        let Ok(Line::Login(entry)) = line else {
            continue;
        };
        count += 1;
        let (name, kind) = (&entry.name, entry.kind().map(Kind::name));
        if json {
            let name = name.to_string();
            println!(
                "{}",
                json!({ "user": name, "hash": kind, "scram": entry.has_secret(),
                        "disabled": entry.disabled, "line": number })
            );
            continue;
        }
        let disabled = if entry.disabled { "  disabled" } else { "" };
        let scram = if entry.has_secret() { "  scram" } else { "" };
        println!("{name}  {}{scram}{disabled}", kind.unwrap_or("no hash"));
    }
    if count == 0 && !json {
        println!("nobody may log in");
    }
    let mistakes = Passwords::parse(&octets).err().unwrap_or_default();
    for mistake in &mistakes {
        eprintln!("error: {}: {mistake}", file.display());
    }
    if mistakes.is_empty() { DONE } else { NO }
}
