//! Paths and mailboxes, RFC 5321 §4.1.2 and §4.1.3. Parse, don't validate: a [`Mailbox`] that exists is
//! well-formed, and writing one gives a text that reads back as the same mailbox.
//!
//! What the grammar allows and we add or leave out, on purpose: a source route is read and dropped
//! (§4.1.1.3, appendix C); an underscore in a domain is taken, for such names send mail every day.
//! Characters beyond ASCII are read as RFC 6531 §3.3 has them; whether they may be said is the session's to know. Only a
//! local-part keeps them: docs/adr/0041.

mod domain;
mod local_part;

pub use domain::Domain;
pub use local_part::{LocalPart, folded};

use local_part::read_local_part;
use serde::{Deserialize, Serialize};
use std::fmt;

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

    /// The same with its local-part folded ([`LocalPart::folded`]); as it is where that would be too long.
    #[must_use]
    pub fn folded(&self) -> Self {
        let folded = LocalPart::from_meant(&self.local_part.folded());
        Self {
            local_part: folded.unwrap_or_else(|_| self.local_part.clone()),
            domain: self.domain.clone(),
        }
    }

    /// Whether it can be said to a server that takes no more than ASCII. Its domain always can.
    pub fn is_ascii(&self) -> bool {
        self.local_part.as_str().is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
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

    /// Whether it can be said to a server that takes no more than ASCII.
    pub fn is_ascii(&self) -> bool {
        match self {
            ReversePath::Null => true,
            ReversePath::Mailbox(mailbox) => mailbox.is_ascii(),
        }
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
mod tests;
