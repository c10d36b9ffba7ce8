//! Service extensions, RFC 5321 §2.2: one entry each, for both sides. What is not here is not spoken.

/// One extension that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// RFC 6152.
    EightBitMime,
    /// RFC 2034.
    EnhancedStatusCodes,
    /// RFC 2920.
    Pipelining,
    /// RFC 1870.
    Size,
}

impl Extension {
    /// All that a server offers, in the order offered.
    pub const OFFERED: [Extension; 4] = [
        Extension::Pipelining,
        Extension::Size,
        Extension::EightBitMime,
        Extension::EnhancedStatusCodes,
    ];

    /// The EHLO keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Extension::EightBitMime => "8BITMIME",
            Extension::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Extension::Pipelining => "PIPELINING",
            Extension::Size => "SIZE",
        }
    }

    /// The extension of a keyword that a server offered, in any case.
    pub fn from_keyword(keyword: &str) -> Option<Self> {
        Self::OFFERED
            .into_iter()
            .find(|e| e.keyword().eq_ignore_ascii_case(keyword))
    }
}

/// Writes the reply to EHLO: the name we publish, then what we offer.
pub fn write_offer(hostname: &str, content_octets_max: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"250-");
    out.extend_from_slice(hostname.as_bytes());
    for (place, extension) in Extension::OFFERED.into_iter().enumerate() {
        let last = place + 1 == Extension::OFFERED.len();
        out.extend_from_slice(if last { b"\r\n250 " } else { b"\r\n250-" });
        out.extend_from_slice(extension.keyword().as_bytes());
        if extension == Extension::Size {
            out.extend_from_slice(format!(" {content_octets_max}").as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}
