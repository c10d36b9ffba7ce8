//! The file of password hashes: who may log in, and whether a password is his. Nothing here does I/O but [`hash`], which
//! asks the kernel for salt. Which hashes are read, and why: docs/adr/0033.
//!
//! A check costs the same whoever is asked for: a name that is not there is checked against the hash of one that is, and
//! which one that is depends on the name and on a key that nobody knows, so that the same name costs the same every time.

mod argon2id;
mod base64;
mod bcrypt;
mod kind;
mod line;
mod memory;
mod mistake;
pub mod scram;
mod sha_crypt;
#[cfg(test)]
mod tests;
mod yescrypt;

pub use argon2id::hash;
pub use kind::Kind;
pub use line::{Entry, Line, lines, written};
pub use memory::Memory;
pub use mistake::{Mistake, Wrong};

use aws_lc_rs::hmac;
use kind::Hash;
use mail::Mailbox;
use scram::{Proved, Salts, Secret};
use smtp::scram::CODE_OCTETS;
use std::collections::HashMap;
use std::fmt;

/// Largest file, in octets: it is read whole, and each of its lines becomes about as much memory.
pub const FILE_OCTETS: u64 = 16 * 1024 * 1024;
/// Most lines of a file, comments among them.
pub const LINES: usize = 100_000;
/// Most mistakes that are told of one file: whoever has more of them has made the same one again and again.
pub const MISTAKES: usize = 100;
/// Longest password, in octets: what a session takes.
pub const PASSWORD_OCTETS: usize = mail::limits::LOGIN_PASSWORD_OCTETS;
/// Shortest password that is taken for a new one, in octets (NIST SP 800-63B §5.1.1.2).
pub const PASSWORD_OCTETS_MIN: usize = 8;

/// What became of a check. A client is told of all but the first alike; they are apart for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The password is his, who is this mailbox as the file has it.
    Right(Mailbox),
    /// The name is there, and the password another.
    Wrong,
    /// No such name is there.
    Unknown,
    /// The name is there, and may not log in, whatever the password.
    Disabled,
    /// The name is there, and has nothing that its password could be proved against.
    NoSecret,
}

/// One who may log in, or may not any more.
struct Login {
    /// Which of the hashes is his.
    hash: Option<usize>,
    /// Which of the secrets.
    secret: Option<usize>,
    disabled: bool,
}

/// A file of password hashes, read. No hash is ever shown.
pub struct Passwords {
    logins: HashMap<Mailbox, Login>,
    hashes: Vec<Hash>,
    /// What is worked with where the file has no hash at all.
    none: Hash,
    secrets: Vec<Secret>,
    /// What is worked with where a name has no secret.
    no_secret: Secret,
    /// Of the file, or made with its reading where it has none.
    salts: Salts,
    /// Chooses whose hash a name is checked against that is not there.
    key: hmac::Key,
}

/// How many there are, and nothing of them.
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passwords({} logins)", self.logins.len())
    }
}

impl Passwords {
    /// Reads a whole file. All that is wrong with it is said at once, up to [`MISTAKES`]: then nobody logs in by it.
    pub fn parse(octets: &[u8]) -> Result<Self, Vec<Mistake>> {
        if octets.len() as u64 > FILE_OCTETS {
            return Err(vec![Wrong::TooLarge.of_file()]);
        }
        let mut found = Self {
            logins: HashMap::new(),
            hashes: Vec::new(),
            none: Hash::of_nothing(),
            secrets: Vec::new(),
            no_secret: Secret::of_nothing(),
            salts: Salts::drawn(),
            key: new_key(),
        };
        let (mut mistakes, mut places, mut salts) = (Vec::new(), HashMap::new(), None);
        for (number, line) in lines(octets) {
            if number > LINES {
                mistakes.push(Wrong::TooManyLines.at(number));
            } else {
                let wrong = line.and_then(|line| match line {
                    Line::Nothing => Ok(()),
                    Line::Login(entry) => found.take(entry, number, &mut places),
                    Line::Salts(read) => {
                        if let Some(first) = salts {
                            return Err(Wrong::Twice(first));
                        }
                        (found.salts, salts) = (read, Some(number));
                        Ok(())
                    }
                });
                mistakes.extend(wrong.err().map(|wrong| wrong.at(number)));
            }
            if number > LINES || mistakes.len() >= MISTAKES {
                break;
            }
        }
        if mistakes.is_empty() {
            Ok(found)
        } else {
            Err(mistakes)
        }
    }

    fn take(
        &mut self,
        entry: Entry,
        number: usize,
        places: &mut HashMap<Mailbox, usize>,
    ) -> Result<(), Wrong> {
        if let Some(first) = places.insert(entry.name.clone(), number) {
            places.insert(entry.name, first);
            return Err(Wrong::Twice(first));
        }
        let hash = entry.hash.map(|hash| {
            self.hashes.push(hash);
            self.hashes.len() - 1
        });
        let secret = entry.secret.map(|secret| {
            self.secrets.push(*secret);
            self.secrets.len() - 1
        });
        let login = Login {
            hash,
            secret,
            disabled: entry.disabled,
        };
        self.logins.insert(entry.name, login);
        Ok(())
    }

    /// Whether name and password are right. Takes as long as the hash that it works with wants: tens of milliseconds
    /// for those that [`hash`] makes, a second and more for the dearest that a file may hold.
    ///
    /// A password that is empty, has a NUL (RFC 4616 §2) or is longer than [`PASSWORD_OCTETS`] is nobody's.
    pub fn check(&self, user: &str, password: &[u8], memory: &mut Memory) -> Checked {
        let name = Mailbox::parse(user).ok().as_ref().map(Mailbox::folded);
        let login = name.as_ref().and_then(|name| self.logins.get(name));
        // Done for everybody, so that it tells nothing.
        let chosen = match &name {
            Some(name) => self.chosen(name.to_string().as_bytes()),
            None => self.chosen(user.as_bytes()),
        };
        let own = login.and_then(|login| login.hash);
        let hash = own.map_or(chosen, |place| &self.hashes[place]);
        let read = &password[..password.len().min(PASSWORD_OCTETS)];
        let fits = !password.is_empty() && read.len() == password.len() && !read.contains(&0);
        let is_its = hash.is_of(read, memory);
        match (name, login) {
            (Some(name), Some(login)) => match login {
                Login { disabled: true, .. } | Login { hash: None, .. } => Checked::Disabled,
                Login { .. } if is_its && fits => Checked::Right(name),
                Login { .. } => Checked::Wrong,
            },
            _ => Checked::Unknown,
        }
    }

    /// What a name is to prove its password with by SCRAM: salt and iterations. They are its own where it has a secret; a
    /// name without one has what a new secret of it would have, where those of the file were made here.
    pub fn challenge(&self, user: &str) -> (Vec<u8>, u32) {
        self.asked(user).said
    }

    /// Whether a name has proved its password by SCRAM, and the server's signature, which is for him alone. It is some
    /// codes of short texts, the same for everybody: the client has done the work.
    pub fn prove(&self, user: &str, proved: &Proved<'_>) -> (Checked, [u8; CODE_OCTETS]) {
        let Asked {
            name,
            own,
            said: (salt, iterations),
        } = self.asked(user);
        let secret = own.unwrap_or(&self.no_secret);
        let (is_proved, signature) = proved.by(secret, &salt, iterations);
        let login = name.as_ref().and_then(|name| self.logins.get(name));
        let checked = match (name, login) {
            (Some(name), Some(login)) => match login {
                Login { disabled: true, .. } => Checked::Disabled,
                Login { secret: None, .. } => Checked::NoSecret,
                Login { .. } if is_proved => Checked::Right(name),
                Login { .. } => Checked::Wrong,
            },
            _ => Checked::Unknown,
        };
        (checked, signature)
    }

    /// What there is of a name for SCRAM. All of it is done for everybody.
    fn asked(&self, user: &str) -> Asked<'_> {
        let name = Mailbox::parse(user).ok().as_ref().map(Mailbox::folded);
        let written = name.as_ref().map(ToString::to_string);
        let written = written.as_deref().unwrap_or(user).as_bytes();
        let login = name.as_ref().and_then(|name| self.logins.get(name));
        let own = login.and_then(|login| login.secret);
        let own = own.map(|place| &self.secrets[place]);
        let chosen = self.place(written, self.secrets.len());
        let chosen = chosen.map_or(&self.no_secret, |place| &self.secrets[place]);
        let (iterations, octets) = own.unwrap_or(chosen).measure();
        let salt = self.salts.of_name(written, octets);
        let salt = own.map_or(salt, |own| own.salt().to_vec());
        Asked {
            name,
            own,
            said: (salt, iterations),
        }
    }

    /// Each hash that may be worked with.
    fn all(&self) -> impl Iterator<Item = &Hash> {
        let none = self.hashes.is_empty().then_some(&self.none);
        self.hashes.iter().chain(none)
    }

    /// The hash that a name is checked against that has none.
    fn chosen(&self, name: &[u8]) -> &Hash {
        let place = self.place(name, self.hashes.len());
        place.map_or(&self.none, |place| &self.hashes[place])
    }

    /// One of so many places, by the name; nothing where there is none.
    fn place(&self, name: &[u8], places: usize) -> Option<usize> {
        let code = hmac::sign(&self.key, name);
        // A code has more octets than this takes of it.
        let number = code.as_ref().iter().take(size_of::<u64>());
        let number = number.fold(0, |number, octet| number << 8 | u64::from(*octet));
        usize::try_from(number.checked_rem(places as u64)?).ok()
    }
}

/// What there is of a name for SCRAM.
struct Asked<'p> {
    name: Option<Mailbox>,
    own: Option<&'p Secret>,
    said: (Vec<u8>, u32),
}

fn new_key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &sys::file::random_octets::<32>())
}
