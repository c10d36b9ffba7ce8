//! The part of a mailbox behind the `@`, RFC 5321 §4.1.2 and §4.1.3: a name, or an address literal. A name is kept in the
//! form that DNS has: what is written beyond ASCII (U-labels, RFC 5890) becomes A-labels as it is read. So whatever compares,
//! looks up or says a domain has one form of it, and who writes to a domain needs no SMTPUTF8 for it.

use super::PathError;
use crate::limits::{DOMAIN_OCTETS, LABEL_OCTETS};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Where a mailbox is: a domain name, or an address literal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Domain {
    /// A domain name in lower case, without a final dot; 1 to 255 octets of ASCII, labels of 1 to 63.
    Name(Box<str>),
    /// `[192.0.2.1]`
    Ipv4(Ipv4Addr),
    /// `[IPv6:2001:db8::1]`
    Ipv6(Ipv6Addr),
    /// `[tag:content]`, a General-address-literal; both parts as they were written.
    General(Box<str>, Box<str>),
}

impl Domain {
    /// Reads a domain name or an address literal.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        match text.strip_prefix('[') {
            Some(rest) => Self::parse_literal(rest.strip_suffix(']').ok_or(PathError::Literal)?),
            None => Self::parse_name(text),
        }
    }

    /// Reads a domain name; a literal is no name.
    pub fn parse_name(text: &str) -> Result<Self, PathError> {
        if text.len() > DOMAIN_OCTETS {
            return Err(PathError::TooLong);
        }
        if !text.is_ascii() {
            return Self::parse_ascii_name(&in_ascii(text)?);
        }
        Self::parse_ascii_name(text)
    }

    fn parse_ascii_name(text: &str) -> Result<Self, PathError> {
        if text.len() > DOMAIN_OCTETS {
            return Err(PathError::TooLong);
        }
        for label in text.split('.') {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let edges = label.starts_with('-') || label.ends_with('-');
            if label.is_empty() || edges || !label.bytes().all(inner) {
                return Err(PathError::Domain);
            }
            if label.len() > LABEL_OCTETS {
                return Err(PathError::TooLong);
            }
        }
        // No name of the world is one (RFC 1123 §2.1), and whoever connects would take it for the address itself.
        if text.parse::<Ipv4Addr>().is_ok() {
            return Err(PathError::Domain);
        }
        Ok(Self::Name(text.to_ascii_lowercase().into()))
    }

    fn parse_literal(inner: &str) -> Result<Self, PathError> {
        if inner.len() > DOMAIN_OCTETS {
            return Err(PathError::TooLong);
        }
        let Some((tag, content)) = inner.split_once(':') else {
            return inner
                .parse()
                .map(Self::Ipv4)
                .map_err(|_| PathError::Literal);
        };
        if tag.eq_ignore_ascii_case("IPv6") {
            return content
                .parse()
                .map(Self::Ipv6)
                .map_err(|_| PathError::Literal);
        }
        // Standardized-tag is an Ldh-str; dcontent is printable without [ \ ].
        let tag_ok = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && tag
                .bytes()
                .last()
                .is_some_and(|b| b.is_ascii_alphanumeric());
        let content_ok = !content.is_empty()
            && content
                .bytes()
                .all(|b| (b'!'..=b'~').contains(&b) && !b"[\\]".contains(&b));
        if tag_ok && content_ok {
            Ok(Self::General(tag.into(), content.into()))
        } else {
            Err(PathError::Literal)
        }
    }

    /// The domain name, where it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Domain::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// A name with characters beyond ASCII in A-labels, as UTS 46 has it: characters are mapped first, so that case and composition
/// make no other domain. What it gives is looked at like any other name.
fn in_ascii(text: &str) -> Result<String, PathError> {
    let ascii = Uts46::new().to_ascii(
        text.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
        DnsLength::Ignore,
    );
    ascii.map(String::from).map_err(|_| PathError::Domain)
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Name(name) => f.write_str(name),
            Domain::Ipv4(address) => write!(f, "[{address}]"),
            Domain::Ipv6(address) => write!(f, "[IPv6:{address}]"),
            Domain::General(tag, content) => write!(f, "[{tag}:{content}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        Domain::parse_name(text).map_or_else(|e| format!("{e:?}"), |domain| domain.to_string())
    }

    #[test]
    fn a_name_beyond_ascii_is_kept_as_dns_has_it() {
        for (written, kept) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.Example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("straße.example", "xn--strae-oqa.example"),
            ("a。例え.テスト", "a.xn--r8jz45g.xn--zckzah"),
        ] {
            assert_eq!(name(written), kept);
            assert_eq!(name(kept), kept);
        }
    }

    #[test]
    fn what_no_label_can_be_is_no_domain() {
        for bad in [
            "é..example",
            "-é.example",
            "é-.example",
            "é_.example",
            "é .example",
            "é\u{ff20}b.example",
            "é\u{ff1e}.example",
            "é\u{ff0f}.example",
            "é\u{202e}.example",
            "\u{300}a.example",
            "é.",
            "a\u{200d}é.example",
            "127.0.0.9",
            "\u{ff11}27.0.0.9",
            "xn--zzzz\u{e9}.example",
        ] {
            assert_eq!(name(bad), "Domain", "{bad:?}");
        }
        let long = format!("{}.example", "é".repeat(60));
        assert_eq!(name(&long), "TooLong");
    }
}
