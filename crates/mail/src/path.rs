//! Paths and mailboxes, RFC 5321 §4.1.2 and §4.1.3. Parse, don't validate: a [`Mailbox`] that exists is
//! well-formed, and writing one gives a text that reads back as the same mailbox.
//!
//! What the grammar allows and we add or leave out, on purpose: a source route is read and dropped
//! (§4.1.1.3, appendix C); an underscore in a domain is taken, for such names send mail every day;
//! octets above 127 are refused until SMTPUTF8 is spoken.

use crate::limits::{DOMAIN_OCTETS, LABEL_OCTETS, LOCAL_PART_OCTETS};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Why a text is not a path. Carries no piece of the text: it came from a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// No `<` at the start or no `>` at the end of the path.
    Brackets,
    /// The local-part is empty, has an octet that must be quoted, or an unfinished quotation.
    LocalPart,
    /// The domain is empty or has an octet or a label that no domain has.
    Domain,
    /// The address literal is not one of RFC 5321 §4.1.3.
    Literal,
    /// A part is longer than its limit.
    TooLong,
    /// A null path or a bare postmaster where none may stand.
    Missing,
    /// The source route before the mailbox is malformed.
    Route,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathError::Brackets => "the path is not enclosed in < and >",
            PathError::LocalPart => "malformed local-part",
            PathError::Domain => "malformed domain",
            PathError::Literal => "malformed address literal",
            PathError::TooLong => "local-part or domain too long",
            PathError::Missing => "no mailbox",
            PathError::Route => "malformed source route",
        })
    }
}

impl std::error::Error for PathError {}

/// The part before the `@`, as it is meant: quotes and backslashes of its written form are gone.
/// 1 to 255 octets of printable ASCII and blanks; case is kept (RFC 5321 §2.4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Takes a local-part as it is meant, not as it is written.
    pub fn from_meant(text: &str) -> Result<Self, PathError> {
        if text.len() > LOCAL_PART_OCTETS {
            return Err(PathError::TooLong);
        }
        let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        if text.is_empty() || !printable {
            return Err(PathError::LocalPart);
        }
        Ok(Self(text.into()))
    }

    /// As it is meant.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `postmaster` in any case (RFC 5321 §4.5.1).
    pub fn is_postmaster(&self) -> bool {
        self.0.eq_ignore_ascii_case("postmaster")
    }
}

impl fmt::Display for LocalPart {
    /// A Dot-string as it is; everything else as a Quoted-string.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}

fn is_dot_string(text: &str) -> bool {
    text.split('.')
        .all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// RFC 5322 §3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Where a mailbox is: a domain name, or an address literal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Domain {
    /// A domain name in lower case, without a final dot; 1 to 255 octets, labels of 1 to 63.
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

/// `local-part@domain`, RFC 5321 §2.3.11.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    /// Before the `@`.
    pub local_part: LocalPart,
    /// After it.
    pub domain: Domain,
}

impl Mailbox {
    /// Reads a whole text as one mailbox, without angle brackets.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let (local_part, rest) = read_local_part(text)?;
        let domain = rest.strip_prefix('@').ok_or(PathError::Domain)?;
        Ok(Self {
            local_part,
            domain: Domain::parse(domain)?,
        })
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

/// Reads a Dot-string or a Quoted-string from the start of `text`; gives it and what follows.
fn read_local_part(text: &str) -> Result<(LocalPart, &str), PathError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('@').ok_or(PathError::Domain)?;
        let (local_part, rest) = text.split_at(end);
        if local_part.len() > LOCAL_PART_OCTETS {
            return Err(PathError::TooLong);
        }
        // Dots anywhere: some providers give out such names. They are written quoted, as the grammar wants.
        let odd = |b: u8| !is_atext(b) && b != b'.';
        if local_part.is_empty() || local_part.bytes().any(odd) {
            return Err(PathError::LocalPart);
        }
        return Ok((LocalPart(local_part.into()), rest));
    };
    let mut meant = String::new();
    let mut bytes = quoted.bytes().enumerate();
    while let Some((place, byte)) = bytes.next() {
        let byte = match byte {
            b'"' => return Ok((LocalPart::from_meant(&meant)?, &quoted[place + 1..])),
            b'\\' => bytes.next().ok_or(PathError::LocalPart)?.1,
            _ => byte,
        };
        if !(b' '..=b'~').contains(&byte) {
            return Err(PathError::LocalPart);
        }
        meant.push(char::from(byte));
    }
    Err(PathError::LocalPart)
}

/// Takes a source route `@a,@b:` off the front (RFC 5321 §4.1.2, A-d-l) after checking its form.
fn drop_route(inner: &str) -> Result<&str, PathError> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, mailbox) = split_route(inner).ok_or(PathError::Route)?;
    for hop in route.split(',') {
        let domain = hop.strip_prefix('@').ok_or(PathError::Route)?;
        Domain::parse(domain).map_err(|_| PathError::Route)?;
    }
    Ok(mailbox)
}

/// Finds the colon that ends the route; a colon inside `[…]` belongs to an address literal.
fn split_route(inner: &str) -> Option<(&str, &str)> {
    let mut in_literal = false;
    for (place, byte) in inner.bytes().enumerate() {
        match byte {
            b'[' => in_literal = true,
            b']' => in_literal = false,
            b':' if !in_literal => return Some((&inner[..place], &inner[place + 1..])),
            _ => {}
        }
    }
    None
}

/// Splits `<path>` off the front of a command's argument: what is inside, and what follows the `>`.
/// A `>` inside a quoted local-part or an address literal does not end the path; inside a literal a quote is an
/// octet like any other. Without brackets, as some clients write it, the path goes to the first blank; the null
/// path needs its brackets.
pub fn split_brackets(argument: &str) -> Result<(&str, &str), PathError> {
    let (inner, end) = match argument.strip_prefix('<') {
        Some(inner) => (inner, b'>'),
        None => (argument, b' '),
    };
    let (mut in_quotes, mut escaped, mut in_literal) = (false, false, false);
    for (place, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' if !in_literal => in_quotes = !in_quotes,
            _ if in_quotes => {}
            b' ' if end == b' ' && place == 0 => return Err(PathError::Brackets),
            b' ' if end == b' ' => return Ok(inner.split_at(place)),
            b'[' => in_literal = true,
            b']' => in_literal = false,
            b'>' if !in_literal && end == b'>' => {
                return Ok((&inner[..place], &inner[place + 1..]));
            }
            _ => {}
        }
    }
    if end == b' ' && !inner.is_empty() && !in_quotes {
        return Ok((inner, ""));
    }
    Err(PathError::Brackets)
}

/// Whom failures go to: the argument of MAIL FROM. Null for messages that must not be answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReversePath {
    /// `<>`: a report, or mail that wants none (RFC 5321 §4.5.5).
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Reads what stands between the angle brackets.
    pub fn parse(inner: &str) -> Result<Self, PathError> {
        if inner.is_empty() {
            return Ok(Self::Null);
        }
        Mailbox::parse(drop_route(inner)?).map(Self::Mailbox)
    }

    /// Whether it is `<>`.
    pub fn is_null(&self) -> bool {
        matches!(self, ReversePath::Null)
    }
}

impl fmt::Display for ReversePath {
    /// Without angle brackets; nothing for the null reverse-path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

/// Whom the mail goes to: the argument of RCPT TO.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain (RFC 5321 §4.1.1.3).
    Postmaster,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// Reads what stands between the angle brackets.
    pub fn parse(inner: &str) -> Result<Self, PathError> {
        if inner.eq_ignore_ascii_case("postmaster") {
            return Ok(Self::Postmaster);
        }
        if inner.is_empty() {
            return Err(PathError::Missing);
        }
        Mailbox::parse(drop_route(inner)?).map(Self::Mailbox)
    }
}

impl fmt::Display for ForwardPath {
    /// Without angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardPath::Postmaster => f.write_str("postmaster"),
            ForwardPath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

/// Records carry paths as text and read them back through the grammar, so that no record can make a
/// path that the grammar does not have.
macro_rules! as_text {
    ($($path:ty),*) => {$(
        impl From<$path> for String {
            fn from(path: $path) -> String {
                path.to_string()
            }
        }

        impl TryFrom<String> for $path {
            type Error = PathError;

            fn try_from(text: String) -> Result<Self, PathError> {
                Self::parse(&text)
            }
        }
    )*};
}

as_text!(Domain, Mailbox, ReversePath, ForwardPath);

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> String {
        Mailbox::parse(text).map_or_else(|e| format!("{e:?}"), |m| m.to_string())
    }

    #[test]
    fn mailboxes_are_read_as_meant_and_written_so_that_they_read_back() {
        for (text, shown) in [
            ("joe@example.org", "joe@example.org"),
            ("Joe.Doe+tag@EXAMPLE.org", "Joe.Doe+tag@example.org"),
            ("\"joe\"@example.org", "joe@example.org"),
            ("\"a b\"@c.d", "\"a b\"@c.d"),
            ("\"a\\\"b\\\\\"@c.d", "\"a\\\"b\\\\\"@c.d"),
            ("\"a@b\"@c.d", "\"a@b\"@c.d"),
            ("a@[127.0.0.1]", "a@[127.0.0.1]"),
            ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
            ("a@[x-tag:some.thing]", "a@[x-tag:some.thing]"),
            ("a@under_score.example", "a@under_score.example"),
        ] {
            assert_eq!(again(text), shown);
            assert_eq!(again(shown), shown);
        }
    }

    #[test]
    fn what_is_no_mailbox_is_refused_for_its_reason() {
        use PathError::*;
        for (text, why) in [
            ("", Domain),
            ("joe", Domain),
            ("@example.org", LocalPart),
            ("a b@c.d", LocalPart),
            ("\"\"@c.d", LocalPart),
            ("\"a@c.d", LocalPart),
            ("\"a\\", LocalPart),
            ("a@", Domain),
            ("a@b@c", Domain),
            ("a@-b.c", Domain),
            ("a@b.", Domain),
            ("a@b..c", Domain),
            ("a@b c", Domain),
            ("a@\u{e9}.example", Domain),
            ("\u{e9}@c.d", LocalPart),
            ("a@[1.2.3.4.5]", Literal),
            ("a@[1.2.3.4", Literal),
            ("a@[IPv6:::::]", Literal),
            ("a@[-:x]", Literal),
            ("a@[t:]", Literal),
            ("a@#2130706433", Domain),
            ("\"a\"b@c.d", Domain),
        ] {
            assert_eq!(Mailbox::parse(text), Err(why), "{text}");
        }
        let long = format!("{}@c.d", "a".repeat(LOCAL_PART_OCTETS + 1));
        assert_eq!(Mailbox::parse(&long), Err(TooLong));
        let long = format!("a@{}", "a.".repeat(128) + "a");
        assert_eq!(Mailbox::parse(&long), Err(TooLong));
        assert!(Mailbox::parse(&format!("{}@c.d", "a".repeat(LOCAL_PART_OCTETS))).is_ok());
    }

    #[test]
    fn a_source_route_is_read_and_dropped() {
        let read = |inner| ForwardPath::parse(inner).map(|p| p.to_string());
        assert_eq!(read("@a.b,@c.d:joe@e.f"), Ok("joe@e.f".into()));
        assert_eq!(read("@[IPv6:::1]:joe@e.f"), Ok("joe@e.f".into()));
        assert_eq!(read("@a.b,c.d:joe@e.f"), Err(PathError::Route));
        assert_eq!(read("@a.b"), Err(PathError::Route));
        assert_eq!(read("@us:user@other"), Ok("user@other".into()));
    }

    #[test]
    fn postmaster_needs_no_domain_and_nobody_else_goes_without() {
        assert_eq!(
            ForwardPath::parse("PostMaster"),
            Ok(ForwardPath::Postmaster)
        );
        assert_eq!(ForwardPath::parse(""), Err(PathError::Missing));
        assert_eq!(ReversePath::parse(""), Ok(ReversePath::Null));
        assert!(ReversePath::parse("postmaster").is_err());
    }

    #[test]
    fn a_bracket_inside_quotes_or_a_literal_does_not_end_the_path() {
        for inner in ["a@[x:y>z]", "a@[x:\"]", "\"[\"@b.c", "@[x:>]:a@b.c"] {
            let argument = format!("<{inner}> SIZE=1");
            assert_eq!(split_brackets(&argument), Ok((inner, " SIZE=1")));
            assert!(ReversePath::parse(inner).is_ok(), "{inner}");
        }
        assert_eq!(split_brackets("<a@[1.2.3.4>"), Err(PathError::Brackets));
        assert_eq!(
            split_brackets("<\"a>b\"@c.d> SIZE=1"),
            Ok(("\"a>b\"@c.d", " SIZE=1"))
        );
        assert_eq!(
            split_brackets("<\"a\\\">b\"@c.d>"),
            Ok(("\"a\\\">b\"@c.d", ""))
        );
        assert_eq!(split_brackets("a@b"), Ok(("a@b", "")));
        assert_eq!(split_brackets("a@b SIZE=1"), Ok(("a@b", " SIZE=1")));
        assert_eq!(split_brackets("\"a b\"@c X"), Ok(("\"a b\"@c", " X")));
        for bad in ["", "\"a b@c"] {
            assert_eq!(split_brackets(bad), Err(PathError::Brackets), "{bad}");
        }
        assert_eq!(split_brackets("<a@b"), Err(PathError::Brackets));
        assert_eq!(split_brackets(" SIZE=1"), Err(PathError::Brackets));
    }

    #[test]
    fn a_record_cannot_make_a_path_that_the_grammar_does_not_have() {
        let mailbox = Mailbox::parse("\"a b\"@c.d").unwrap();
        let bytes = postcard::to_stdvec(&mailbox).unwrap();
        assert_eq!(postcard::from_bytes::<Mailbox>(&bytes), Ok(mailbox));
        let forged = postcard::to_stdvec("a\r\nb@c.d").unwrap();
        assert!(postcard::from_bytes::<Mailbox>(&forged).is_err());
        let null = postcard::to_stdvec(&ReversePath::Null).unwrap();
        assert_eq!(
            postcard::from_bytes::<ReversePath>(&null),
            Ok(ReversePath::Null)
        );
    }
}
