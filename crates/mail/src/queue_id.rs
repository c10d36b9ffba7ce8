//! The name of a message while it is ours.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Names one accepted message, unique on this host for ever. Written as 13 characters of Crockford's
/// base 32 (digits and capitals without I, L, O, U), so that it can be read out over a telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueId(u64);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a written queue id: 65 bits, of which the first is always 0.
const CHARACTERS: usize = 13;

impl QueueId {
    /// From its number.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; CHARACTERS];
        for (place, character) in text.iter_mut().enumerate() {
            let bits = u128::from(self.0) >> ((CHARACTERS - 1 - place) * 5) & 31;
            *character = ALPHABET[usize::try_from(bits).expect("five bits")];
        }
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

/// The text is not a queue id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAQueueId;

impl fmt::Display for NotAQueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a queue id (13 characters, digits and capitals)")
    }
}

impl std::error::Error for NotAQueueId {}

impl FromStr for QueueId {
    type Err = NotAQueueId;

    fn from_str(text: &str) -> Result<Self, NotAQueueId> {
        if text.len() != CHARACTERS {
            return Err(NotAQueueId);
        }
        let mut number = 0u128;
        for byte in text.bytes() {
            let upper = byte.to_ascii_uppercase();
            let digit = ALPHABET
                .iter()
                .position(|&c| c == upper)
                .ok_or(NotAQueueId)?;
            number = number << 5 | digit as u128;
        }
        u64::try_from(number).map(Self).map_err(|_| NotAQueueId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for number in [0, 1, 31, 32, 0x0123_4567_89AB_CDEF, u64::MAX] {
            let id = QueueId::from_u64(number);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
        }
        for bad in ["", "0", "ZZZZZZZZZZZZZ", "000000000000I", "00000000000000"] {
            assert_eq!(bad.parse::<QueueId>(), Err(NotAQueueId), "{bad}");
        }
    }
}
