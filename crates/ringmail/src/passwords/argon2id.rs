//! `$argon2id$v=19$m=…,t=…,p=…$salt$digest`: RFC 9106, written as a PHC string. New hashes are of this kind.

use super::base64::PHC;
use super::kind::{Kind, number, within};
use super::memory::Memory;
use super::mistake::Wrong;
use argon2::{Algorithm, Argon2, Params, Version};
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// What a new hash costs, by OWASP's password storage cheat sheet: 19 MiB, two passes, one lane.
const NEW_M_KIB: u32 = 19 * 1024;
const NEW_T: u32 = 2;
const NEW_P: u32 = 1;
/// Octets of a new salt (RFC 9106 §3.1).
const NEW_SALT_OCTETS: usize = 16;
/// Octets of a new digest: as many as others make it.
const NEW_DIGEST_OCTETS: usize = 32;

/// Memory in KiB: 8 a lane at least (RFC 9106 §3.1), 256 MiB at most, which each checking thread has to have.
const M_KIB: RangeInclusive<u32> = 8..=256 * 1024;
/// Passes: a check of 256 MiB and 16 passes takes some seconds, and nobody should wait longer.
const T: RangeInclusive<u32> = 1..=16;
/// Lanes; we work on one after the other.
const P: RangeInclusive<u32> = 1..=4;
/// Octets of a salt: 8 at least (RFC 9106 §3.1), 64 at most, as PHC strings have it.
const SALT_OCTETS: RangeInclusive<usize> = 8..=64;
/// Octets of a digest: of fewer than 16 strangers would find a password that fits.
const DIGEST_OCTETS: RangeInclusive<usize> = 16..=64;

/// A hash.
pub struct Argon2id {
    parameters: Params,
    salt: Box<[u8]>,
    digest: Box<[u8]>,
}

impl Argon2id {
    /// Reads what stands behind `$argon2id$`.
    pub fn parse(rest: &str) -> Result<Self, Wrong> {
        const KIND: Kind = Kind::Argon2id;
        let parts: Vec<&str> = rest.split('$').collect();
        let [version, costs, salt, digest] = parts[..] else {
            return Err(Wrong::Form(KIND));
        };
        let costs: Vec<&str> = costs.split(',').collect();
        let [m, t, p] = costs[..] else {
            return Err(Wrong::Form(KIND));
        };
        let cost = |text: &str, name: &'static str, bounds| {
            let value = text
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='));
            let value = value.and_then(number).ok_or(Wrong::Form(KIND))?;
            within(KIND, name, value, bounds)
        };
        if version != "v=19" {
            return Err(Wrong::Form(KIND));
        }
        let (t, p) = (cost(t, "t", T)?, cost(p, "p", P)?);
        let m = cost(m, "m", M_KIB.start() * p..=*M_KIB.end())?;
        let octets = |text: &str, bounds: RangeInclusive<usize>| {
            let octets = PHC.decode(text.as_bytes()).ok();
            octets
                .filter(|octets| bounds.contains(&octets.len()))
                .ok_or(Wrong::Form(KIND))
        };
        let (salt, digest) = (octets(salt, SALT_OCTETS)?, octets(digest, DIGEST_OCTETS)?);
        Ok(Self {
            parameters: Params::new(m, t, p, None).map_err(|_| Wrong::Form(KIND))?,
            salt: salt.into(),
            digest: digest.into(),
        })
    }

    /// As dear as a new hash, and no password's: nobody knows one for a digest that was drawn.
    pub fn of_nothing() -> Self {
        Self {
            parameters: new_parameters(),
            salt: sys::file::random_octets::<NEW_SALT_OCTETS>().into(),
            digest: sys::file::random_octets::<NEW_DIGEST_OCTETS>().into(),
        }
    }

    /// What this password's digest would be.
    pub fn digest_of(&self, password: &[u8], memory: &mut Memory) -> Zeroizing<Vec<u8>> {
        let mut digest = Zeroizing::new(vec![0; self.digest.len()]);
        fill(&self.parameters, password, &self.salt, &mut digest, memory);
        digest
    }

    /// What its own password's digest is.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// How many blocks of 1 KiB it works in.
    pub fn blocks(&self) -> usize {
        self.parameters.block_count()
    }

    #[cfg(test)]
    pub(super) fn costs(&self) -> [u64; 3] {
        let costs = &self.parameters;
        [costs.m_cost(), costs.t_cost(), costs.p_cost()].map(u64::from)
    }
}

fn new_parameters() -> Params {
    // The numbers are constants within all bounds; each new hash, and so each test of one, comes by here.
    Params::new(NEW_M_KIB, NEW_T, NEW_P, None).expect("what a new hash costs")
}

fn fill(parameters: &Params, password: &[u8], salt: &[u8], digest: &mut [u8], memory: &mut Memory) {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters.clone());
    let filled = memory.with(parameters.block_count(), |blocks| {
        argon2.hash_password_into_with_memory(password, salt, digest, blocks)
    });
    // What it refuses is memory, salt, digest or password of a wrong length: the memory is as large as it wants, and the
    // others were measured when they came in.
    filled.expect("lengths that were measured");
}

/// A new hash of this password, as it stands in the file, with salt from the kernel. The password is at most
/// [`PASSWORD_OCTETS`](super::PASSWORD_OCTETS) long.
pub fn hash(password: &[u8]) -> Zeroizing<String> {
    let parameters = new_parameters();
    let salt = sys::file::random_octets::<NEW_SALT_OCTETS>();
    let mut digest = Zeroizing::new([0; NEW_DIGEST_OCTETS]);
    let mut memory = Memory::of(parameters.block_count());
    fill(&parameters, password, &salt, &mut *digest, &mut memory);
    let text = format!(
        "$argon2id$v=19$m={NEW_M_KIB},t={NEW_T},p={NEW_P}${}${}",
        PHC.encode(&salt),
        PHC.encode(&*digest)
    );
    Zeroizing::new(text)
}
