//! `$2b$cost$` and 53 symbols: bcrypt, as OpenBSD, libxcrypt, PHP and Dovecot (`BLF-CRYPT`) write it. `$2a$`, `$2b$` and
//! `$2y$` are the same work for all that was not hashed by a program with a hole of 2011.

use super::base64::BCRYPT;
use super::kind::{Kind, within};
use super::mistake::Wrong;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// Two to this power is how often it works: 14 takes about a second.
const COST: RangeInclusive<u32> = 4..=14;
/// Symbols of a salt of [`SALT_OCTETS`].
const SALT_SYMBOLS: usize = 22;
const SALT_OCTETS: usize = 16;
/// The digest has 24 octets, of which bcrypt has always written 23.
const DIGEST_OCTETS: usize = 23;
/// What is read of a password, the NUL at its end among them where it still fits; the rest is passed over, as every
/// bcrypt does it.
const KEY_OCTETS: usize = 72;

/// A hash.
pub struct Bcrypt {
    /// The power of two.
    pub(super) cost: u32,
    salt: [u8; SALT_OCTETS],
    digest: [u8; DIGEST_OCTETS],
}

impl Bcrypt {
    /// Reads what stands behind `$2b$`.
    pub fn parse(rest: &str) -> Result<Self, Wrong> {
        const FORM: Wrong = Wrong::Form(Kind::Bcrypt);
        let (cost, rest) = rest.split_once('$').ok_or(FORM)?;
        let two_digits = cost.len() == 2 && cost.bytes().all(|octet| octet.is_ascii_digit());
        let cost = cost.parse().ok().filter(|_| two_digits).ok_or(FORM)?;
        let (salt, digest) = rest.split_at_checked(SALT_SYMBOLS).ok_or(FORM)?;
        let octets = |text: &str| BCRYPT.decode(text.as_bytes()).map_err(|_| FORM);
        Ok(Self {
            cost: within(Kind::Bcrypt, "cost", cost, COST)?,
            salt: octets(salt)?.try_into().map_err(|_| FORM)?,
            digest: octets(digest)?.try_into().map_err(|_| FORM)?,
        })
    }

    /// What this password's digest would be.
    pub fn digest_of(&self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut key = Zeroizing::new([0; KEY_OCTETS]);
        let read = password.len().min(KEY_OCTETS);
        key[..read].copy_from_slice(&password[..read]);
        let with_nul = &key[..(read + 1).min(KEY_OCTETS)];
        let mut digest = Zeroizing::new(bcrypt::bcrypt(self.cost, self.salt, with_nul).to_vec());
        digest.truncate(DIGEST_OCTETS);
        digest
    }

    /// What its own password's digest is.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}
