//! The kinds of hashes that are read, each in a file of its own.

use super::argon2id::Argon2id;
use super::bcrypt::Bcrypt;
use super::memory::Memory;
use super::mistake::Wrong;
use super::sha_crypt::{Sha, ShaCrypt};
use super::yescrypt::Yescrypt;
use aws_lc_rs::constant_time;
use std::fmt;

/// A kind of hash, by the name that its authors gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `$argon2id$`, RFC 9106.
    Argon2id,
    /// `$2b$`, and `$2a$` and `$2y$`, which differ by what old programs did wrong.
    Bcrypt,
    /// `$5$`
    Sha256Crypt,
    /// `$6$`
    Sha512Crypt,
    /// `{SCRAM-SHA-256}`, beside a hash.
    ScramSha256,
    /// `$y$`
    Yescrypt,
}

impl Kind {
    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Argon2id => "argon2id",
            Kind::Bcrypt => "bcrypt",
            Kind::Sha256Crypt => "sha256-crypt",
            Kind::Sha512Crypt => "sha512-crypt",
            Kind::ScramSha256 => "scram-sha-256",
            Kind::Yescrypt => "yescrypt",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How each kind begins.
const BEGINNINGS: [(&str, Kind); 7] = [
    ("$argon2id$", Kind::Argon2id),
    ("$2a$", Kind::Bcrypt),
    ("$2b$", Kind::Bcrypt),
    ("$2y$", Kind::Bcrypt),
    ("$5$", Kind::Sha256Crypt),
    ("$6$", Kind::Sha512Crypt),
    ("$y$", Kind::Yescrypt),
];

/// The word that Dovecot has for each; `CRYPT` is for all that crypt(3) knows.
const SCHEMES: [(&str, Kind); 4] = [
    ("ARGON2ID", Kind::Argon2id),
    ("BLF-CRYPT", Kind::Bcrypt),
    ("SHA256-CRYPT", Kind::Sha256Crypt),
    ("SHA512-CRYPT", Kind::Sha512Crypt),
];

/// Dovecot's word for whatever crypt(3) knows.
const ANY_CRYPT: &str = "CRYPT";

/// A hash, read. It is never shown.
pub enum Hash {
    /// `$argon2id$`
    Argon2id(Argon2id),
    /// `$2b$`
    Bcrypt(Bcrypt),
    /// `$5$` and `$6$`
    ShaCrypt(ShaCrypt),
    /// `$y$`
    Yescrypt(Yescrypt),
}

/// What working with a hash costs: its parameters, without salt and digest. For tests.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Work(pub &'static str, pub [u64; 3]);

impl Hash {
    /// Reads one as it stands in the file, a word in braces before it or not.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let (scheme, text) = match text.strip_prefix('{').map(|rest| rest.split_once('}')) {
            Some(Some((scheme, text))) => (Some(scheme), text),
            Some(None) => return Err(Wrong::Kind),
            None => (None, text),
        };
        let found = BEGINNINGS
            .iter()
            .find_map(|(beginning, kind)| Some((*kind, text.strip_prefix(beginning)?)));
        let (kind, rest) = found.ok_or(Wrong::Kind)?;
        if scheme.is_some_and(|scheme| !is_for(scheme, kind)) {
            return Err(Wrong::Scheme);
        }
        match kind {
            Kind::Argon2id => Argon2id::parse(rest).map(Hash::Argon2id),
            Kind::Bcrypt => Bcrypt::parse(rest).map(Hash::Bcrypt),
            Kind::Sha256Crypt => ShaCrypt::parse(Sha::Sha256, rest).map(Hash::ShaCrypt),
            Kind::Sha512Crypt => ShaCrypt::parse(Sha::Sha512, rest).map(Hash::ShaCrypt),
            Kind::Yescrypt => Yescrypt::parse(rest).map(Hash::Yescrypt),
            // It is none of the beginnings.
            Kind::ScramSha256 => Err(Wrong::Kind),
        }
    }

    /// As dear as a new one, and no password's.
    pub fn of_nothing() -> Self {
        Hash::Argon2id(Argon2id::of_nothing())
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Hash::Argon2id(_) => Kind::Argon2id,
            Hash::Bcrypt(_) => Kind::Bcrypt,
            Hash::ShaCrypt(hash) => match hash.sha {
                Sha::Sha256 => Kind::Sha256Crypt,
                Sha::Sha512 => Kind::Sha512Crypt,
            },
            Hash::Yescrypt(_) => Kind::Yescrypt,
        }
    }

    /// Whether it is this password's; which octet differs does not show in how long that takes. The password is at most
    /// [`PASSWORD_OCTETS`](super::PASSWORD_OCTETS) long.
    pub fn is_of(&self, password: &[u8], memory: &mut Memory) -> bool {
        #[cfg(test)]
        memory.work.push(self.work());
        match self {
            Hash::Argon2id(hash) => equal(&hash.digest_of(password, memory), hash.digest()),
            Hash::Bcrypt(hash) => equal(&hash.digest_of(password), hash.digest()),
            Hash::ShaCrypt(hash) => equal(&hash.digest_of(password), hash.digest()),
            Hash::Yescrypt(hash) => {
                let digest = hash.digest_of(password);
                digest.is_some_and(|digest| equal(&*digest, hash.digest()))
            }
        }
    }

    /// How many blocks of 1 KiB of a [`Memory`] it works in.
    pub fn blocks(&self) -> usize {
        match self {
            Hash::Argon2id(hash) => hash.blocks(),
            // They bring what they need.
            Hash::Bcrypt(_) | Hash::ShaCrypt(_) | Hash::Yescrypt(_) => 0,
        }
    }

    #[cfg(test)]
    pub(super) fn work(&self) -> Work {
        let costs = match self {
            Hash::Argon2id(hash) => hash.costs(),
            Hash::Bcrypt(hash) => [hash.cost.into(), 0, 0],
            Hash::ShaCrypt(hash) => [hash.rounds(), 0, 0],
            Hash::Yescrypt(hash) => [hash.memory_octets(), 0, 0],
        };
        Work(self.kind().name(), costs)
    }
}

/// Whether Dovecot's word is one for this kind.
fn is_for(scheme: &str, kind: Kind) -> bool {
    let known = |(word, is): &(&str, Kind)| scheme.eq_ignore_ascii_case(word) && *is == kind;
    let by_crypt = kind != Kind::Argon2id && scheme.eq_ignore_ascii_case(ANY_CRYPT);
    by_crypt || SCHEMES.iter().any(known)
}

fn equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// A decimal number as hashes are written with: digits, and no zero before others.
pub fn number(text: &str) -> Option<u32> {
    let plain = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    (plain && digits).then(|| text.parse().ok()).flatten()
}

/// The number, where it is within bounds.
pub fn within(
    kind: Kind,
    parameter: &'static str,
    value: u32,
    bounds: std::ops::RangeInclusive<u32>,
) -> Result<u32, Wrong> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    Err(Wrong::Bounds {
        kind,
        parameter,
        least: *bounds.start(),
        most: *bounds.end(),
    })
}
