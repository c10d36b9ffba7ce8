//! Secrets of SCRAM-SHA-256 (RFC 5802, RFC 7677), which stand behind a hash where the administrator wants them: why not always
//! is in docs/adr/0039. They are written as Dovecot does, `{SCRAM-SHA-256}ITERATIONS,SALT,STOREDKEY,SERVERKEY`.
//!
//! The salt of a name is a function of the name and of a key that stands in the file too, whether the name does or not: who
//! asks for salts learns nothing of who is there, comes, goes or has a new password.

use super::kind::{Kind, number, within};
use super::mistake::Wrong;
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use data_encoding::BASE64;
use mail::Mailbox;
use smtp::scram::{self, Bare, CODE_OCTETS};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// Iterations of a new secret: each login costs its client so many. Cyrus SASL takes no more than 65,536.
const NEW_ITERATIONS: NonZeroU32 = NonZeroU32::new(60_000).expect("more than none");
/// Iterations: 4,096 at least (RFC 7677 §4); a client of ten million would take seconds.
const ITERATIONS: RangeInclusive<u32> = 4096..=10_000_000;
/// Octets of a new salt.
const NEW_SALT_OCTETS: usize = 16;
/// Octets of a salt: no more than a code has, of which other names have theirs.
const SALT_OCTETS: RangeInclusive<usize> = 8..=CODE_OCTETS;
/// Octets of the key of salts: as many as the hash gives (RFC 2104 §3).
const KEY_OCTETS: usize = 32;

/// The word before a secret.
pub const SCHEME: &str = "{SCRAM-SHA-256}";
/// Stands for all names, with the key of their salts.
pub const EVERYBODY: &str = "*";
/// The word before that key.
const SALT_SCHEME: &str = "{SCRAM-SALT}";
/// What a salt is made of begins with this, so that the key can never stand for anything else.
const PURPOSE: &[u8] = b"ringmail scram salt 1\0";

/// What a password can be proved against. It is never shown.
pub struct Secret {
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: [u8; CODE_OCTETS],
    server_key: [u8; CODE_OCTETS],
}

impl Secret {
    /// Reads what stands behind [`SCHEME`].
    pub fn parse(rest: &str) -> Result<Self, Wrong> {
        const KIND: Kind = Kind::ScramSha256;
        let form = Wrong::Form(KIND);
        let parts: Vec<&str> = rest.split(',').collect();
        let [iterations, salt, stored_key, server_key] = parts[..] else {
            return Err(form);
        };
        let iterations = number(iterations).ok_or(form)?;
        let salt = BASE64.decode(salt.as_bytes()).map_err(|_| form)?;
        if !SALT_OCTETS.contains(&salt.len()) {
            return Err(form);
        }
        let key = |text: &str| {
            let octets = BASE64.decode(text.as_bytes()).ok();
            octets.and_then(|octets| octets.try_into().ok()).ok_or(form)
        };
        Ok(Self {
            iterations: within(KIND, "iterations", iterations, ITERATIONS)?,
            salt: salt.into(),
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// As dear as a new one, and no password's: nobody knows one for keys that were drawn.
    pub fn of_nothing() -> Self {
        Self {
            iterations: NEW_ITERATIONS.get(),
            salt: sys::file::random_octets::<NEW_SALT_OCTETS>().into(),
            stored_key: sys::file::random_octets(),
            server_key: sys::file::random_octets(),
        }
    }

    /// The iterations, and how many octets the salt has.
    pub fn measure(&self) -> (u32, usize) {
        (self.iterations, self.salt.len())
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether this message, and not another, is proved by whoever has the password; and the signature of who has this
    /// secret. Which octet differs does not show in how long that takes.
    fn is_proved(&self, message: &[u8], code: &[u8; CODE_OCTETS]) -> (bool, [u8; CODE_OCTETS]) {
        let mut client_key = code_of(&self.stored_key, message);
        for (octet, with) in client_key.iter_mut().zip(code) {
            *octet ^= with;
        }
        let stored_key = digest::digest(&digest::SHA256, &*client_key);
        let equal = constant_time::verify_slices_are_equal(stored_key.as_ref(), &self.stored_key);
        (equal.is_ok(), *code_of(&self.server_key, message))
    }
}

/// What a client has said to prove its password.
#[derive(Clone, Copy)]
pub struct Proved<'m> {
    /// The client-first-message-bare.
    pub bare: &'m str,
    /// Our part of the nonce.
    pub nonce: &'m str,
    /// The client-final-message-without-proof.
    pub without_proof: &'m str,
    /// The proof.
    pub code: &'m [u8; CODE_OCTETS],
}

impl Proved<'_> {
    /// Whether it is a proof against this secret, if this salt and these iterations were said; with the signature.
    pub(super) fn by(
        &self,
        secret: &Secret,
        salt: &[u8],
        iterations: u32,
    ) -> (bool, [u8; CODE_OCTETS]) {
        // Who began without a nonce was not challenged.
        let own = Bare::parse(self.bare).map_or("", |bare| bare.nonce);
        let first = scram::server_first(own, self.nonce, salt, iterations);
        let message = scram::auth_message(self.bare, &first, self.without_proof);
        secret.is_proved(message.as_bytes(), self.code)
    }
}

/// What the salts of all names are made of. It is never shown.
pub struct Salts(Box<hmac::Key>);

impl Salts {
    /// Reads what stands behind [`EVERYBODY`].
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let key = text.strip_prefix(SALT_SCHEME).ok_or(Wrong::Everybody)?;
        let key = BASE64.decode(key.as_bytes()).ok();
        let key = key.filter(|key| key.len() == KEY_OCTETS);
        Ok(Self::of(&key.ok_or(Wrong::Everybody)?))
    }

    fn of(key: &[u8]) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// By a new key, which nobody keeps.
    pub fn drawn() -> Self {
        Self::of(&sys::file::random_octets::<KEY_OCTETS>())
    }

    /// The line of a new key.
    pub fn new_line() -> Zeroizing<String> {
        let key = Zeroizing::new(sys::file::random_octets::<KEY_OCTETS>());
        let key = Zeroizing::new(BASE64.encode(&*key));
        Zeroizing::new(format!("{EVERYBODY}:{SALT_SCHEME}{}", *key))
    }

    /// The salt of a name, so many octets long.
    pub fn of_name(&self, name: &[u8], octets: usize) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(PURPOSE);
        context.update(name);
        let code = context.sign();
        code.as_ref()[..octets.min(CODE_OCTETS)].to_vec()
    }
}

/// Whether a secret can be made of this password: of printable ASCII, which is the same before and after clients prepared it
/// (RFC 4013). Of others not all clients send the same.
pub fn takes(password: &[u8]) -> bool {
    password.iter().all(|octet| (b' '..=b'~').contains(octet))
}

/// A new secret of this password and this name, as it stands in the file. It takes as long as a client takes to log in.
pub fn secret(password: &[u8], name: &Mailbox, salts: &Salts) -> Zeroizing<String> {
    let salt = salts.of_name(name.to_string().as_bytes(), NEW_SALT_OCTETS);
    let (stored_key, server_key) = keys(password, &salt, NEW_ITERATIONS);
    Zeroizing::new(format!(
        "{SCHEME}{NEW_ITERATIONS},{},{},{}",
        BASE64.encode(&salt),
        BASE64.encode(&*stored_key),
        BASE64.encode(&*server_key)
    ))
}

type Code = Zeroizing<[u8; CODE_OCTETS]>;

/// `StoredKey` and `ServerKey`, RFC 5802 §3.
fn keys(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> (Code, Code) {
    let mut salted = Zeroizing::new([0; CODE_OCTETS]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        password,
        &mut *salted,
    );
    let client_key = code_of(&salted, b"Client Key");
    let mut stored_key = Zeroizing::new([0; CODE_OCTETS]);
    stored_key.copy_from_slice(digest::digest(&digest::SHA256, &*client_key).as_ref());
    (stored_key, code_of(&salted, b"Server Key"))
}

fn code_of(key: &[u8; CODE_OCTETS], of: &[u8]) -> Code {
    let mut code = Zeroizing::new([0; CODE_OCTETS]);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), of);
    code.copy_from_slice(tag.as_ref());
    code
}

/// What a client that has the password says to prove this message.
#[cfg(test)]
pub fn proof_of(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    message: &[u8],
) -> [u8; CODE_OCTETS] {
    let iterations = NonZeroU32::new(iterations).unwrap();
    let (algorithm, mut salted) = (pbkdf2::PBKDF2_HMAC_SHA256, [0; CODE_OCTETS]);
    pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
    let client_key = code_of(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &*client_key);
    let mut code = *code_of(stored_key.as_ref().try_into().unwrap(), message);
    for (octet, with) in code.iter_mut().zip(&*client_key) {
        *octet ^= with;
    }
    code
}

#[cfg(test)]
mod tests;
