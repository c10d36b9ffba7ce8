//! The seal on a transaction: policy's word to queue, carried by smtpd, which cannot write it.
//!
//! smtpd talks to strangers. Were it taken over, it could name any recipients it likes; so queue keeps nothing
//! that policy has not sealed: peer, login, reverse-path and recipients, and a number that makes each seal good for
//! one message. The key is made by the supervisor, given to policy and queue and to nobody else, and made anew
//! whenever one of the two is started.

use aws_lc_rs::{constant_time, hmac};
use mail::{Mailbox, Recipient, ReversePath};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Octets of a key: as many as the hash gives (RFC 2104 §3).
pub const KEY_OCTETS: usize = 32;
/// Octets of the code, all of HMAC-SHA-256's (RFC 4868 §2.1.1).
pub(crate) const CODE_OCTETS: usize = 32;
/// What is sealed begins with this, so that the key can never vouch for anything else.
const PURPOSE: &[u8] = b"ringmail transaction 1\0";
/// How far behind the newest a seal may come: transactions whose content was under way while so many others
/// were sealed. Who is further behind asks for a new seal. One bit each.
pub const WINDOW: u64 = 64 * 1024;
const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: usize = (WINDOW / WORD_BITS) as usize;

/// What policy and queue share.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key([u8; KEY_OCTETS]);

impl Key {
    /// Of octets that nobody can guess.
    pub const fn new(octets: [u8; KEY_OCTETS]) -> Self {
        Self(octets)
    }

    /// For codes by HMAC-SHA-256.
    pub(crate) fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

/// A key is never shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Policy's word for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Counts up with each seal of a key.
    number: u64,
    code: [u8; CODE_OCTETS],
}

/// What a seal vouches for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sealed<'a> {
    /// The client's address as smtpd told it to policy.
    pub peer: IpAddr,
    /// Who is logged in, by auth's word.
    pub login: Option<&'a Mailbox>,
    /// Whom failures go to.
    pub reverse_path: &'a ReversePath,
    /// Whom it goes to, in this order.
    pub recipients: &'a [Recipient],
}

/// The code of what is vouched for, to this purpose alone. Nothing of a mail's envelope fails to encode, and memory has no
/// bounds that would be met here.
pub(crate) fn code(key: &hmac::Key, purpose: &[u8], vouched: &impl Serialize) -> hmac::Tag {
    let head = postcard::to_stdvec(vouched).unwrap_or_default();
    let mut context = hmac::Context::with_key(key);
    context.update(purpose);
    context.update(&head);
    context.sign()
}

/// policy's side.
pub struct Sealer {
    key: hmac::Key,
    number: u64,
}

impl Sealer {
    /// Seals by this key, from the first number on.
    pub fn new(key: &Key) -> Self {
        Self {
            key: key.hmac(),
            number: 0,
        }
    }

    /// Vouches for a transaction.
    pub fn seal(&mut self, sealed: &Sealed<'_>) -> Seal {
        self.number += 1;
        let tag = code(&self.key, PURPOSE, &(self.number, sealed));
        let mut code = [0; CODE_OCTETS];
        code.copy_from_slice(tag.as_ref());
        Seal {
            number: self.number,
            code,
        }
    }
}

/// Why a seal is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// By another key, or for another transaction.
    Forged,
    /// It was used, or is so old that this cannot be known.
    Used,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Broken::Forged => "it was not made for this transaction by the policy that runs",
            Broken::Used => "it was used before or is too old",
        })
    }
}

/// queue's side: takes each seal once.
pub struct Opener {
    key: hmac::Key,
    newest: u64,
    /// Which numbers of the window were used: the bit of a number is at its place modulo the window.
    used: Box<[u64; WORDS]>,
}

impl Opener {
    /// Takes seals of this key only.
    pub fn new(key: &Key) -> Self {
        Self {
            key: key.hmac(),
            newest: 0,
            used: Box::new([0; WORDS]),
        }
    }

    /// Whether this transaction is sealed; a yes uses the seal up.
    pub fn open(&mut self, seal: &Seal, sealed: &Sealed<'_>) -> Result<(), Broken> {
        let right = code(&self.key, PURPOSE, &(seal.number, sealed));
        if constant_time::verify_slices_are_equal(right.as_ref(), &seal.code).is_err() {
            return Err(Broken::Forged);
        }
        self.move_on(seal.number);
        if seal.number + WINDOW <= self.newest || self.is_used(seal.number) {
            return Err(Broken::Used);
        }
        self.used[Self::word(seal.number)] |= Self::bit(seal.number);
        Ok(())
    }

    /// Moves the window so that it ends with this number, if it is the newest: its places that held older
    /// numbers are free again. Only numbers that policy gave come here, and they count up by one.
    fn move_on(&mut self, number: u64) {
        if number <= self.newest {
            return;
        }
        if number - self.newest >= WINDOW {
            self.used.fill(0);
        } else {
            for fresh in self.newest + 1..=number {
                self.used[Self::word(fresh)] &= !Self::bit(fresh);
            }
        }
        self.newest = number;
    }

    fn is_used(&self, number: u64) -> bool {
        self.used[Self::word(number)] & Self::bit(number) != 0
    }

    fn word(number: u64) -> usize {
        usize::try_from(number % WINDOW / WORD_BITS).unwrap_or(0)
    }

    fn bit(number: u64) -> u64 {
        1 << (number % WORD_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(names: &[&str]) -> Vec<Recipient> {
        let direct = |name: &&str| Recipient::direct(Mailbox::parse(name).unwrap());
        names.iter().map(direct).collect()
    }

    fn sealed<'a>(reverse_path: &'a ReversePath, recipients: &'a [Recipient]) -> Sealed<'a> {
        Sealed {
            peer: [192, 0, 2, 7].into(),
            login: None,
            reverse_path,
            recipients,
        }
    }

    #[test]
    fn a_seal_is_good_for_what_was_sealed_and_for_nothing_else() {
        let key = Key::new([1; KEY_OCTETS]);
        let (mut sealer, mut opener) = (Sealer::new(&key), Opener::new(&key));
        let (null, some) = (ReversePath::Null, Mailbox::parse("a@far.test").unwrap());
        let some = ReversePath::Mailbox(some);
        let one = recipients(&["u@home.test"]);
        let two = recipients(&["u@home.test", "x@far.test"]);
        let right = sealed(&some, &one);
        let seal = sealer.seal(&right);
        let mut refuses = |seal: &Seal, what: &Sealed<'_>| {
            assert_eq!(opener.open(seal, what), Err(Broken::Forged));
        };
        refuses(&seal, &sealed(&some, &two));
        refuses(&seal, &sealed(&null, &one));
        let peer = [10, 0, 0, 1].into();
        refuses(&seal, &Sealed { peer, ..right });
        let ann = Mailbox::parse("ann@home.test").unwrap();
        let login = Some(&ann);
        refuses(&seal, &Sealed { login, ..right });
        for at in 0..CODE_OCTETS {
            let mut wrong = seal;
            wrong.code[at] ^= 1;
            refuses(&wrong, &right);
        }
        let number = seal.number + 1;
        refuses(&Seal { number, ..seal }, &right);
        refuses(
            &Sealer::new(&Key::new([2; KEY_OCTETS])).seal(&right),
            &right,
        );
        assert_eq!(opener.open(&seal, &right), Ok(()));
        assert_eq!(opener.open(&seal, &right), Err(Broken::Used));
    }

    #[test]
    fn seals_come_in_any_order_within_the_window_and_each_once() {
        let key = Key::new([3; KEY_OCTETS]);
        let (mut sealer, mut opener) = (Sealer::new(&key), Opener::new(&key));
        let one = recipients(&["u@home.test"]);
        let right = sealed(&ReversePath::Null, &one);
        let seals: Vec<Seal> = (0..2 * WINDOW + 10).map(|_| sealer.seal(&right)).collect();
        let window = usize::try_from(WINDOW).unwrap();
        assert_eq!(opener.open(&seals[window - 1], &right), Ok(()));
        for at in [0, 1, 63, 64, 65, window - 2] {
            assert_eq!(opener.open(&seals[at], &right), Ok(()), "{at}");
            assert_eq!(
                opener.open(&seals[at], &right),
                Err(Broken::Used),
                "{at} again"
            );
        }
        // The newest moves on by one: the oldest leaves, its place is the new one's.
        assert_eq!(opener.open(&seals[window], &right), Ok(()));
        assert_eq!(opener.open(&seals[0], &right), Err(Broken::Used));
        assert_eq!(opener.open(&seals[window], &right), Err(Broken::Used));
        assert_eq!(opener.open(&seals[2], &right), Ok(()));
        // It jumps by more than a window: all before is too old, all since is fresh.
        assert_eq!(opener.open(&seals[2 * window + 5], &right), Ok(()));
        assert_eq!(opener.open(&seals[window + 5], &right), Err(Broken::Used));
        assert_eq!(opener.open(&seals[window + 6], &right), Ok(()));
        assert_eq!(opener.open(&seals[3], &right), Err(Broken::Used));
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::new([9; KEY_OCTETS])), "Key(..)");
    }
}
