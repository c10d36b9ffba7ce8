//! The part of a mailbox before the `@`, RFC 5321 §4.1.2 and RFC 6531 §3.3: read, written, and compared.

use super::PathError;
use crate::limits::LOCAL_PART_OCTETS;
use std::borrow::Cow;
use std::fmt;

/// The part before the `@`, as it is meant: quotes and backslashes of its written form are gone.
/// 1 to 255 octets of printable ASCII, blanks, and characters beyond ASCII that are fit to be shown; case is kept (RFC 5321
/// §2.4), and so is the way in which a character was composed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Takes a local-part as it is meant, not as it is written.
    pub fn from_meant(text: &str) -> Result<Self, PathError> {
        if text.len() > LOCAL_PART_OCTETS {
            return Err(PathError::TooLong);
        }
        if text.is_empty() || !text.chars().all(|c| c == ' ' || is_graphic(c)) {
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

    /// As names of ours are compared: see [`folded`].
    pub fn folded(&self) -> String {
        folded(&self.0).into_owned()
    }
}

/// A name as names of ours are compared: in lower case, and however its characters were composed in one way (Unicode's form
/// NFC). Nobody sees on a screen how they were.
pub fn folded(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return if name.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
    }
    let nfc = icu_normalizer::ComposingNormalizerBorrowed::new_nfc();
    // What is in lower case may compose anew.
    let lower = nfc.normalize(name).to_lowercase();
    Cow::Owned(nfc.normalize(&lower).into_owned())
}

/// Whether a character may stand in a local-part, blanks of ASCII apart. RFC 6531 §3.3 has all beyond ASCII; we leave out what
/// is not to be seen and turns what stands beside it: a log or a terminal that shows the address would lie.
fn is_graphic(c: char) -> bool {
    let separates_lines = matches!(c, '\u{2028}' | '\u{2029}');
    // Marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm.
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let is_byte_order_mark = c == '\u{feff}';
    c.is_ascii_graphic()
        || (!c.is_ascii() && !c.is_control() && !separates_lines && !turns && !is_byte_order_mark)
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
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// RFC 5322 §3.2.3, RFC 6531 §3.3.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && is_graphic(c))
}

/// Reads a Dot-string or a Quoted-string from the start of `text`; gives it and what follows.
pub(super) fn read_local_part(text: &str) -> Result<(LocalPart, &str), PathError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('@').ok_or(PathError::Domain)?;
        let (local_part, rest) = text.split_at(end);
        if local_part.len() > LOCAL_PART_OCTETS {
            return Err(PathError::TooLong);
        }
        // Dots anywhere: some providers give out such names. They are written quoted, as the grammar wants.
        let odd = |c: char| !is_atext(c) && c != '.';
        if local_part.is_empty() || local_part.contains(odd) {
            return Err(PathError::LocalPart);
        }
        return Ok((LocalPart(local_part.into()), rest));
    };
    let mut meant = String::new();
    let mut characters = quoted.char_indices();
    while let Some((place, character)) = characters.next() {
        let character = match character {
            '"' => return Ok((LocalPart::from_meant(&meant)?, &quoted[place + 1..])),
            // Only ASCII is quoted so (quoted-pairSMTP).
            '\\' => characters
                .next()
                .map(|(_, c)| c)
                .filter(char::is_ascii)
                .ok_or(PathError::LocalPart)?,
            _ => character,
        };
        if character != ' ' && !is_graphic(character) {
            return Err(PathError::LocalPart);
        }
        meant.push(character);
    }
    Err(PathError::LocalPart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_the_same_in_any_case_and_however_they_are_composed() {
        for (written, folded) in [
            ("ann", "ann"),
            ("Ann.B", "ann.b"),
            ("JÖRG", "j\u{f6}rg"),
            ("jo\u{308}rg", "j\u{f6}rg"),
            ("JO\u{308}RG", "j\u{f6}rg"),
            ("Ὀδυσσεύς", "ὀδυσσεύς"),
            ("用户", "用户"),
        ] {
            assert_eq!(super::folded(written), folded, "{written}");
            assert_eq!(super::folded(folded), folded, "{written}");
        }
    }

    #[test]
    fn what_would_make_a_screen_lie_is_no_name() {
        for bad in [
            "a\u{85}b",
            "a\u{9b}31mb",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200f}b",
            "a\u{61c}b",
            "\u{feff}a",
            "a\u{7f}b",
            "a\tb",
        ] {
            assert_eq!(LocalPart::from_meant(bad), Err(PathError::LocalPart));
            let written = format!("{bad}@c.d");
            assert!(read_local_part(&written).is_err(), "{bad:?}");
            let quoted = format!("\"{bad}\"@c.d");
            assert!(read_local_part(&quoted).is_err(), "{bad:?}");
        }
        // A joiner is part of how some languages are written.
        assert!(LocalPart::from_meant("می\u{200c}خواهم").is_ok());
    }
}
