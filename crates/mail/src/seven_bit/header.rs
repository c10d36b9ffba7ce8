//! What a header section says of its part: Content-Type, Content-Transfer-Encoding and MIME-Version (RFC 2045 §4 to §6).

use super::BOUNDARY_OCTETS;
use super::parameters::{self, Parameters};
use crate::completion::{is_named, name};

/// What a part is, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// text/* of any kind, what says nothing of itself, and a multipart of which nobody knows where its parts end.
    #[default]
    Text,
    /// multipart/*, with a boundary that can be looked for.
    Multipart(Multipart),
    /// message/rfc822.
    Message,
    /// All else.
    Other,
}

/// A multipart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Multipart {
    /// What stands in its delimiters.
    pub boundary: Vec<u8>,
    /// multipart/digest: parts that say nothing of themselves are messages (RFC 2046 §5.1.5).
    pub is_digest: bool,
    /// multipart/signed: what is in it is signed octet for octet (RFC 1847 §2.1).
    pub is_signed: bool,
}

/// A Content-Transfer-Encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not said, or 7bit.
    #[default]
    SevenBit,
    EightBit,
    Binary,
    QuotedPrintable,
    Base64,
    /// One of which nothing is known; RFC 2045 §6.4.
    Unknown,
}

impl Encoding {
    /// Whether the octets stand for themselves.
    pub fn is_identity(self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }
}

/// What was read of a header section.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own: what stands there, and where"
)]
pub(super) struct Header {
    pub kind: Kind,
    pub encoding: Encoding,
    /// It is a message's, and not that of a part of a multipart.
    pub is_of_message: bool,
    /// It stands first in content.
    pub is_first: bool,
    /// There is a Content-Type.
    pub has_type: bool,
    /// There is a Content-Transfer-Encoding.
    pub has_encoding: bool,
    /// There is a MIME-Version.
    pub has_version: bool,
    /// There is a DKIM-Signature (RFC 6376 §3.5).
    pub is_signed: bool,
    /// There is a field at all.
    pub has_field: bool,
}

impl Header {
    /// Reads the next field. Of two of a name the first counts.
    pub fn read(&mut self, field: &[u8]) {
        self.has_field = true;
        if is_named(field, "Content-Type") {
            if !self.has_type {
                self.kind = kind(value(field));
            }
            self.has_type = true;
        } else if is_encoding(field) {
            if !self.has_encoding {
                self.encoding = encoding(value(field));
            }
            self.has_encoding = true;
        } else if is_named(field, "MIME-Version") {
            self.has_version = true;
        } else if is_named(field, "DKIM-Signature") {
            self.is_signed = true;
        }
    }
}

/// Whether a field says how its part is encoded.
pub(super) fn is_encoding(field: &[u8]) -> bool {
    is_named(field, "Content-Transfer-Encoding")
}

/// What is behind the colon of a field.
pub(super) fn value(field: &[u8]) -> &[u8] {
    let behind_name = &field[name(field).len()..];
    let colon = behind_name.iter().position(|octet| *octet == b':');
    colon.map_or(&[], |colon| &behind_name[colon + 1..])
}

pub(super) fn encoding(value: &[u8]) -> Encoding {
    let word = parameters::first_word(value);
    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
    match () {
        () if is("7bit") => Encoding::SevenBit,
        () if is("8bit") => Encoding::EightBit,
        () if is("binary") => Encoding::Binary,
        () if is("quoted-printable") => Encoding::QuotedPrintable,
        () if is("base64") => Encoding::Base64,
        () => Encoding::Unknown,
    }
}

fn kind(value: &[u8]) -> Kind {
    let word = parameters::first_word(value).to_ascii_lowercase();
    match &word[..] {
        b"message/rfc822" => Kind::Message,
        [b't', b'e', b'x', b't', b'/', ..] => Kind::Text,
        [
            b'm',
            b'u',
            b'l',
            b't',
            b'i',
            b'p',
            b'a',
            b'r',
            b't',
            b'/',
            sub @ ..,
        ] => {
            // One that is extended (RFC 2231) is not read, but it is the one.
            let boundary = Parameters::new(value)
                .map(|parameter| (parameter.name(value).to_ascii_lowercase(), parameter))
                .find(|(name, _)| name == b"boundary" || name.starts_with(b"boundary*"))
                .filter(|(name, _)| name == b"boundary")
                .map(|(_, parameter)| parameters::unquoted(parameter.value(value)));
            let boundary = boundary.as_deref().unwrap_or_default().trim_ascii_end();
            let is_known = !boundary.is_empty() && boundary.len() <= BOUNDARY_OCTETS;
            if is_known && boundary.is_ascii() {
                Kind::Multipart(Multipart {
                    boundary: boundary.to_vec(),
                    is_digest: sub == b"digest",
                    is_signed: sub == b"signed",
                })
            } else {
                Kind::Text
            }
        }
        _ => Kind::Other,
    }
}
