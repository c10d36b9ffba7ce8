//! A line of the file: `NAME:HASH`, with a secret of SCRAM behind it or not; the key of salts; a comment or nothing.

use super::kind::{Hash, Kind};
use super::mistake::Wrong;
use super::scram::{EVERYBODY, SCHEME, Salts, Secret};
use mail::Mailbox;

/// What a line says.
pub enum Line {
    /// It is empty, or a comment.
    Nothing,
    /// One who may log in, or may not.
    Login(Entry),
    /// What the salts of all names are made of.
    Salts(Salts),
}

/// One name and what stands behind it.
pub struct Entry {
    /// The name, in lower case: two that differ in the case of letters alone are one.
    pub name: Mailbox,
    /// Whether a `!` or a `*` keeps it from logging in.
    pub disabled: bool,
    /// The hash; none where nothing stands behind the `!`.
    pub(super) hash: Option<Hash>,
    /// What a password can be proved against.
    pub(super) secret: Option<Box<Secret>>,
}

impl Entry {
    /// Of which kind its hash is, where it has one.
    pub fn kind(&self) -> Option<Kind> {
        self.hash.as_ref().map(Hash::kind)
    }

    /// Whether it can log in by SCRAM, if it may log in.
    pub fn has_secret(&self) -> bool {
        self.secret.is_some()
    }
}

/// What begins a comment.
const COMMENT: char = '#';
/// What keeps a name from logging in, alone or before its hash.
const DISABLED: char = '!';
/// The same, alone, as it stands in shadow(5).
const NO_PASSWORD: &str = "*";

/// Each line, counted from 1, and what it says; what stands behind the last line end is none where it is empty.
pub fn lines(octets: &[u8]) -> impl Iterator<Item = (usize, Result<Line, Wrong>)> {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    (1..).zip(octets.split(|octet| *octet == b'\n').map(Line::parse))
}

impl Line {
    /// Reads one, without its line end.
    pub fn parse(octets: &[u8]) -> Result<Self, Wrong> {
        let Some((name, rest)) = part(octets)? else {
            return Ok(Line::Nothing);
        };
        if name == EVERYBODY {
            return Salts::parse(rest).map(Line::Salts);
        }
        let name = Mailbox::parse(name).map_err(Wrong::Name)?.folded();
        let (disabled, rest) = match rest.strip_prefix(DISABLED) {
            Some(rest) => (true, rest),
            None if rest == NO_PASSWORD => (true, ""),
            None => (false, rest),
        };
        let (rest, secret) = match rest.split_once(':') {
            Some((rest, more)) => {
                let secret = more.strip_prefix(SCHEME).ok_or(Wrong::More)?;
                (rest, Some(Box::new(Secret::parse(secret)?)))
            }
            None => (rest, None),
        };
        let hash = match rest {
            "" if disabled => None,
            "" => return Err(Wrong::NoHash),
            text => Some(Hash::parse(text)?),
        };
        Ok(Line::Login(Entry {
            name,
            disabled,
            hash,
            secret,
        }))
    }

    /// Whose line this is, whatever stands behind the name.
    pub fn name(octets: &[u8]) -> Option<Mailbox> {
        let (name, _) = part(octets).ok()??;
        Mailbox::parse(name).ok().as_ref().map(Mailbox::folded)
    }
}

/// A name as it is written into the file.
pub fn written(name: &Mailbox) -> String {
    let written = name.to_string();
    // Such a local-part has nothing that a quoted one would need a backslash for; bare it would be a comment.
    match written.strip_prefix(COMMENT) {
        Some(_) => format!("\"{}\"@{}", name.local_part.as_str(), name.domain),
        None => written,
    }
}

/// Name and rest, blanks around both cut off; none of a comment or of nothing.
fn part(octets: &[u8]) -> Result<Option<(&str, &str)>, Wrong> {
    let text = std::str::from_utf8(octets).map_err(|_| Wrong::NotText)?;
    let text = text.trim_ascii();
    if text.is_empty() || text.starts_with(COMMENT) {
        return Ok(None);
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::NotText);
    }
    let colon = colon(text).ok_or(Wrong::NoColon)?;
    Ok(Some((&text[..colon], &text[colon + 1..])))
}

/// The first colon that is not within quotes or an address literal.
fn colon(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped, mut literal) = (false, false, false);
    for (place, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !literal => quoted = !quoted,
            _ if quoted => {}
            b'[' => literal = true,
            b']' => literal = false,
            b':' if !literal => return Some(place),
            _ => {}
        }
    }
    None
}
