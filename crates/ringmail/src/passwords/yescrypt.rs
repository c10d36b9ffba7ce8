//! `$y$parameters$salt$digest`: yescrypt, what crypt(3) of today's Linux makes of passwords. Read is what libxcrypt writes:
//! the native mode in one lane, with no more time than its memory asks for.

use super::base64::CRYPT;
use super::kind::{Kind, within};
use super::mistake::Wrong;
use std::ops::RangeInclusive;
use yescrypt::{Mode, Params, yescrypt};
use zeroize::Zeroizing;

/// Memory in KiB: libxcrypt's least has 1 MiB; most as of argon2id.
const MEMORY_KIB: RangeInclusive<u32> = 256..=256 * 1024;
/// Blocks of 128 octets that are worked on at a time; libxcrypt's are 8 and 32.
const R: RangeInclusive<u32> = 8..=64;
/// Octets that one of them has.
const R_OCTETS: u64 = 128;
/// Symbols of the parameters: what libxcrypt writes has three or four.
const PARAMETER_SYMBOLS: usize = 16;
/// Octets of a salt.
const SALT_OCTETS: RangeInclusive<usize> = 1..=64;
const DIGEST_OCTETS: usize = 32;
const KIB: u64 = 1024;

/// A hash.
pub struct Yescrypt {
    parameters: Params,
    salt: Box<[u8]>,
    digest: [u8; DIGEST_OCTETS],
}

impl Yescrypt {
    /// Reads what stands behind `$y$`.
    pub fn parse(rest: &str) -> Result<Self, Wrong> {
        const KIND: Kind = Kind::Yescrypt;
        const FORM: Wrong = Wrong::Form(KIND);
        let parts: Vec<&str> = rest.split('$').collect();
        let [parameters, salt, digest] = parts[..] else {
            return Err(FORM);
        };
        if parameters.len() > PARAMETER_SYMBOLS {
            return Err(FORM);
        }
        let parameters: Params = parameters.parse().map_err(|_| FORM)?;
        // The same without all that is not said here: mode, lanes and time are the usual ones, or it is another.
        let usual = Params::new(Mode::default(), parameters.n(), parameters.r(), 1);
        if usual != Ok(parameters) {
            return Err(FORM);
        }
        within(KIND, "r", parameters.r(), R)?;
        let memory_kib = memory_octets(&parameters) / KIB;
        let memory_kib = u32::try_from(memory_kib).unwrap_or(u32::MAX);
        within(KIND, "memory (KiB)", memory_kib, MEMORY_KIB)?;
        let octets = |text: &str| CRYPT.decode(text.as_bytes()).map_err(|_| FORM);
        let salt = octets(salt)?;
        if !SALT_OCTETS.contains(&salt.len()) {
            return Err(FORM);
        }
        Ok(Self {
            parameters,
            salt: salt.into(),
            digest: octets(digest)?.try_into().map_err(|_| FORM)?,
        })
    }

    /// What this password's digest would be; none where the library would not say, which no parameters that were let in
    /// make it do.
    pub fn digest_of(&self, password: &[u8]) -> Option<Zeroizing<[u8; DIGEST_OCTETS]>> {
        let mut digest = Zeroizing::new([0; DIGEST_OCTETS]);
        let worked = yescrypt(password, &self.salt, &self.parameters, &mut *digest);
        worked.ok().map(|()| digest)
    }

    /// What its own password's digest is.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// How much memory it works in, in octets.
    #[cfg(test)]
    pub fn memory_octets(&self) -> u64 {
        memory_octets(&self.parameters)
    }
}

fn memory_octets(parameters: &Params) -> u64 {
    let r_octets = R_OCTETS * u64::from(parameters.r());
    parameters.n().saturating_mul(r_octets)
}
