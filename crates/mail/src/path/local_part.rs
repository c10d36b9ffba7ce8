//! The part of a mailbox before the `@`, RFC 5321 §4.1.2 and RFC 6531 §3.3: read, written, and compared.

use super::PathError;
use crate::limits::{DOMAIN_OCTETS, LOCAL_PART_OCTETS, TEXT_LINE_OCTETS};
use crate::utf8_address;
use std::borrow::Cow;
use std::fmt;

/// Longest local-part beyond ASCII in the form that it has in a report: with the domain and the field's name it fits a line.
const ESCAPED_OCTETS: usize = TEXT_LINE_OCTETS - DOMAIN_OCTETS - "Final-Recipient: utf-8; @".len();

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
        Self(text.into()).within_a_line()
    }

    /// Itself, if it can be reported on: in ASCII, with its domain, it is one line of a report (RFC 5322 §2.1.1).
    fn within_a_line(self) -> Result<Self, PathError> {
        if !self.0.is_ascii() && utf8_address::escaped(&self.to_string()).len() > ESCAPED_OCTETS {
            return Err(PathError::TooLong);
        }
        Ok(self)
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
    let lower: String = nfc.normalize(name).chars().flat_map(lower).collect();
    // What is in lower case may compose anew.
    Cow::Owned(nfc.normalize(&lower).into_owned())
}

/// A character in lower case, whatever stands beside it: that of its upper case, so that those of which there are several are
/// one, such as `σ` and `ς`. Not where the upper case is ASCII, for a Turkish `ı` is no `i`, nor where it is more than one
/// character, for `ß` is no `ss`.
fn lower(c: char) -> impl Iterator<Item = char> {
    let mut upper = c.to_uppercase();
    let upper = match (upper.next(), upper.next()) {
        (Some(upper), None) if c.is_ascii() || !upper.is_ascii() => upper,
        _ => c,
    };
    upper.to_lowercase()
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
        return Ok((LocalPart(local_part.into()).within_a_line()?, rest));
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
            ("Ὀδυσσεύς", "ὀδυσσεύσ"),
            ("用户", "用户"),
            ("ΑΣ", "ασ"),
            ("νίκος", "νίκοσ"),
            ("\u{b5}", "\u{3bc}"),
            ("Straẞe", "straße"),
            ("kır", "kır"),
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
        // What cannot be a line of a report.
        for long in ["é".repeat(127), format!("é{}", "+".repeat(200))] {
            assert_eq!(LocalPart::from_meant(&long), Err(PathError::TooLong));
            let written = format!("{long}@c.d");
            assert_eq!(read_local_part(&written), Err(PathError::TooLong));
        }
        assert!(LocalPart::from_meant(&"é".repeat(100)).is_ok());
        // A joiner is part of how some languages are written.
        assert!(LocalPart::from_meant("می\u{200c}خواهم").is_ok());
    }
}
