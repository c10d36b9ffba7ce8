//! Content for a next hop that takes seven bits only: what RFC 6152 §3 asks of a client whose server does not offer 8BITMIME.
//!
//! Content is read twice. The first reading, a [`Survey`], learns of each part whether it has octets above 127 and how it is
//! best encoded; the second, a [`Conversion`], writes. Both take slices as they come, and where content is cut decides nothing.
//!
//! What comes out has no octet above 127, whatever came in:
//! - A part with such octets becomes quoted-printable, if it is text or mostly ASCII, else base64 (RFC 2045 §6.7, §6.8); its
//!   Content-Transfer-Encoding is put right, and put in where it is missing, with what else MIME wants. A part that is in
//!   quoted-printable or base64 already, and yet has such octets, is mended so that it decodes to what it did. All other
//!   parts pass octet for octet; one that says 8bit or binary and is neither says 7bit then.
//! - multipart and message/rfc822 are descended into; they can only say 7bit (RFC 2045 §6.4, RFC 2046 §5.2.1). What is no such
//!   structure in truth, or is too deep, is a part like another.
//! - Text in header fields becomes encoded-words (RFC 2047), a value of a parameter is extended (RFC 2231).
//! - What nobody is to see, before the first part and behind the last, and fields beyond all measure, get a `?` for each.
//!
//! Text that is written in quoted-printable has no lines that begin with a dot, `From ` or two hyphens. Content is lines that
//! end in CRLF; a CR or LF alone is an octet like any other.

mod encode;
mod header;
mod lines;
mod parameters;
mod plan;
mod walk;
mod words;
mod write;

#[cfg(test)]
mod tests;

pub use plan::{Plan, Survey};
pub use write::Conversion;

/// Multiparts and messages that are descended into, one within the other; what is deeper is a part like another. Real mail
/// has some ten, where it was forwarded again and again.
pub const NESTING: usize = 32;
/// Parts of which the first reading remembers how they are to be encoded, an octet for each. Those behind them are encoded
/// whether they need it or not.
pub const PARTS: usize = 10_000;
/// Longest boundary that is known as one. RFC 2046 §5.1.1 sets 70.
pub const BOUNDARY_OCTETS: usize = 250;
/// Longest header field that is read, with its folded lines; what is longer says nothing of its part.
pub const FIELD_OCTETS: usize = 64 * 1024;
/// Octets of a line that are looked at as one, to know whether it is a field or a delimiter: a line's 998 (RFC 5322 §2.1.1)
/// and a few.
const HEAD_OCTETS: usize = 1000;

/// Puts octets behind `out` in base64, in lines, with a CRLF at the end.
pub(crate) fn put_base64(octets: &[u8], out: &mut Vec<u8>) {
    let mut encoder = encode::Base64::default();
    encoder.put(octets, out);
    encoder.end(false, out);
}

/// Puts octets behind `out`, with a `?` for each that is above 127.
fn put_ascii(octets: &[u8], out: &mut Vec<u8>) {
    if octets.is_ascii() {
        return out.extend_from_slice(octets);
    }
    let ascii = |octet: &u8| if octet.is_ascii() { *octet } else { b'?' };
    out.extend(octets.iter().map(ascii));
}
