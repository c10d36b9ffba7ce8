//! `$5$` and `$6$`: what crypt(3) of Linux made of passwords for many years, `[rounds=N$]salt$digest`.

use super::base64::CRYPT;
use super::kind::{Kind, number, within};
use super::mistake::Wrong;
use sha_crypt::{Params, sha256_crypt, sha512_crypt};
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// Rounds: fewer than 1,000 are never written, and more than a million take longer than who logs in waits.
const ROUNDS: RangeInclusive<u32> = 1000..=1_000_000;
/// Where none are written.
const ROUNDS_DEFAULT: u32 = 5000;
/// Octets of a salt.
const SALT_OCTETS: RangeInclusive<usize> = 1..=16;

/// What is worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sha {
    /// `$5$`
    Sha256,
    /// `$6$`
    Sha512,
}

impl Sha {
    const fn kind(self) -> Kind {
        match self {
            Sha::Sha256 => Kind::Sha256Crypt,
            Sha::Sha512 => Kind::Sha512Crypt,
        }
    }

    const fn digest_octets(self) -> usize {
        match self {
            Sha::Sha256 => 32,
            Sha::Sha512 => 64,
        }
    }

    /// Which octet of the digest is written at this place: one of each third, last third first, and from one group of
    /// three to the next they turn by one, to the left for SHA-256, to the right for SHA-512. What is left over of three
    /// thirds stands last.
    const fn octet_at(self, place: usize) -> usize {
        let third = self.digest_octets() / 3;
        if place >= 3 * third {
            return place;
        }
        let (group, within) = (place / 3, place % 3);
        let turn = match self {
            Sha::Sha256 => group,
            Sha::Sha512 => 2 * group,
        };
        group + third * (2 - (within + turn) % 3)
    }
}

/// A hash.
pub struct ShaCrypt {
    /// What is worked with.
    pub(super) sha: Sha,
    parameters: Params,
    salt: Box<[u8]>,
    digest: Box<[u8]>,
}

impl ShaCrypt {
    /// Reads what stands behind `$5$` or `$6$`.
    pub fn parse(sha: Sha, rest: &str) -> Result<Self, Wrong> {
        let form = Wrong::Form(sha.kind());
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            Some(rest) => {
                let (rounds, rest) = rest.split_once('$').ok_or(form)?;
                (number(rounds).ok_or(form)?, rest)
            }
            None => (ROUNDS_DEFAULT, rest),
        };
        let rounds = within(sha.kind(), "rounds", rounds, ROUNDS)?;
        let (salt, digest) = rest.split_once('$').ok_or(form)?;
        let octets = CRYPT.decode(digest.as_bytes()).map_err(|_| form)?;
        if !SALT_OCTETS.contains(&salt.len()) || octets.len() != sha.digest_octets() {
            return Err(form);
        }
        let mut digest = vec![0; octets.len()];
        for (place, octet) in octets.into_iter().enumerate() {
            digest[sha.octet_at(place)] = octet;
        }
        Ok(Self {
            sha,
            parameters: Params::new(rounds).map_err(|_| form)?,
            salt: salt.as_bytes().into(),
            digest: digest.into(),
        })
    }

    /// What this password's digest would be.
    pub fn digest_of(&self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        let digest = match self.sha {
            Sha::Sha256 => sha256_crypt(password, &self.salt, self.parameters).to_vec(),
            Sha::Sha512 => sha512_crypt(password, &self.salt, self.parameters).to_vec(),
        };
        Zeroizing::new(digest)
    }

    /// What its own password's digest is.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    #[cfg(test)]
    pub(super) fn rounds(&self) -> u64 {
        let written = self.parameters.to_string();
        written.trim_start_matches("rounds=").parse().unwrap()
    }
}
