//! What two processes say to each other: one file an arrow, one enum a direction.
//!
//! An arrow is a stream socket with frames. A frame is its length, the version of this program's arrows,
//! a head (a postcard record) and a tail (raw octets: content, where the head speaks of some). Who reads
//! takes the other end for hostile: lengths are bounded before anything is kept, a head that does not
//! decode or that leaves octets over ends the arrow, and so does a descriptor that nobody announced.

pub mod accept;
#[cfg(test)]
mod architecture;
pub mod check;
pub mod control;
pub mod deliver;
pub mod judge;
pub mod launch;
pub mod login;
pub mod reload;
pub mod sign;
pub mod spawn;
pub mod supervise;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Counts up whenever a record of any arrow changes: both ends are the same program, started together.
const VERSION: u8 = 6;
/// Longest tail: content below [`queue::BODY_OCTETS`] travels inline, with some room.
pub const TAIL_OCTETS: usize = 256 * 1024;
const _: () = assert!(
    queue::BODY_OCTETS == 256 * 1024,
    "what is no large body must fit a tail"
);
/// Longest head: 1,000 recipients fit, and for each the longest that can be asked of reports (RFC 3461 §5.4), also where each
/// names an alias of ten. What is longer, as many names of a long alias may be, is put off with 451.
pub const HEAD_OCTETS: usize = 7 * 512 * 1024;
/// Version, length of the head, length of the tail, count of descriptors.
const PREFIX: usize = 1 + 4 + 4 + 1;

/// The other end broke the rules of the arrow, or this end was about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misbehaved(pub &'static str);

impl std::fmt::Display for Misbehaved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Misbehaved {}

/// Puts a frame behind `out`.
pub fn encode<T: Serialize>(
    head: &T,
    tail: &[u8],
    fds: u8,
    out: &mut Vec<u8>,
) -> Result<(), Misbehaved> {
    let start = out.len();
    out.resize(start + PREFIX, 0);
    let written = postcard::to_io(head, &mut *out).is_ok();
    let head_octets = out.len() - start - PREFIX;
    if !written || head_octets > HEAD_OCTETS || tail.len() > TAIL_OCTETS {
        out.truncate(start);
        return Err(Misbehaved("a frame would be larger than its arrow takes"));
    }
    let prefix = &mut out[start..start + PREFIX];
    prefix[0] = VERSION;
    prefix[1..5].copy_from_slice(&u32::try_from(head_octets).unwrap_or(u32::MAX).to_le_bytes());
    prefix[5..9].copy_from_slice(&u32::try_from(tail.len()).unwrap_or(u32::MAX).to_le_bytes());
    prefix[9] = fds;
    out.extend_from_slice(tail);
    Ok(())
}

/// A frame at the front of a buffer.
#[derive(Debug)]
pub struct Frame<'a, T> {
    /// What it says.
    pub head: T,
    /// Raw octets that belong to it.
    pub tail: &'a [u8],
    /// How many descriptors it says came with it.
    pub fds: u8,
    /// Octets that it takes up.
    pub octets: usize,
}

/// Reads the frame at the front of `input`, if it is whole.
pub fn decode<T: DeserializeOwned>(input: &[u8]) -> Result<Option<Frame<'_, T>>, Misbehaved> {
    let Some(prefix) = input.get(..PREFIX) else {
        return Ok(None);
    };
    if prefix[0] != VERSION {
        return Err(Misbehaved("a frame of another version"));
    }
    let number = |at: usize| {
        let octets = [prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]];
        usize::try_from(u32::from_le_bytes(octets)).unwrap_or(usize::MAX)
    };
    let (head_octets, tail_octets) = (number(1), number(5));
    if head_octets > HEAD_OCTETS
        || tail_octets > TAIL_OCTETS
        || usize::from(prefix[9]) > sys::socket::FDS_MAX
    {
        return Err(Misbehaved("a frame larger than its arrow takes"));
    }
    let octets = PREFIX + head_octets + tail_octets;
    let Some(frame) = input.get(..octets) else {
        return Ok(None);
    };
    let (head, tail) = frame[PREFIX..].split_at(head_octets);
    let (head, rest) =
        postcard::take_from_bytes(head).map_err(|_| Misbehaved("a record that does not decode"))?;
    if !rest.is_empty() {
        return Err(Misbehaved("octets behind a record"));
    }
    Ok(Some(Frame {
        head,
        tail,
        fds: prefix[9],
        octets,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_when_it_is_whole_and_not_before() {
        let mut out = Vec::new();
        encode(&(7u32, "x"), b"tail", 1, &mut out).unwrap();
        for cut in 0..out.len() {
            assert!(decode::<(u32, String)>(&out[..cut]).unwrap().is_none());
        }
        let frame = decode::<(u32, String)>(&out).unwrap().unwrap();
        assert_eq!(
            (frame.head, frame.tail, frame.fds, frame.octets),
            ((7, "x".into()), &b"tail"[..], 1, out.len())
        );
    }

    #[test]
    fn hostile_frames_end_the_arrow() {
        let mut good = Vec::new();
        encode(&7u32, b"", 0, &mut good).unwrap();
        let spoilt = |at: usize, with: u8| {
            let mut bad = good.clone();
            bad[at] = with;
            decode::<u32>(&bad).map(|f| f.is_some())
        };
        assert!(spoilt(0, 9).is_err());
        assert!(spoilt(4, 0xFF).is_err());
        assert!(spoilt(8, 0xFF).is_err());
        assert!(spoilt(9, 0xFF).is_err());
        assert!(decode::<bool>(&good).is_err());
        let mut long = Vec::new();
        encode(&(7u32, 8u32), b"", 0, &mut long).unwrap();
        assert!(decode::<u32>(&long).is_err());
        assert!(encode(&7u32, &vec![0; TAIL_OCTETS + 1], 0, &mut Vec::new()).is_err());
    }
}
