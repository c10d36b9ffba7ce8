//! The address type `utf-8`, RFC 6533 §3: how an address beyond ASCII is written where only ASCII may stand.

use std::fmt::Write as _;

/// The address type's name.
pub(crate) const KIND: &str = "utf-8";

/// Whether this names the type, in any case.
pub(crate) fn is_kind(kind: &str) -> bool {
    kind.eq_ignore_ascii_case(KIND)
}

/// An address in the form `utf-8-addr-xtext`: all beyond ASCII, and what an ORCPT cannot have, as `\x{HEXPOINT}`.
pub(crate) fn escaped(address: &str) -> String {
    write(address, |c| {
        c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=')
    })
}

/// What has the form `utf-8-addr-unitext`, in the form `utf-8-addr-xtext`: what is written as `\x{HEXPOINT}` stays so. Nothing
/// where it has not that form.
pub(crate) fn unitext_escaped(written: &str) -> Option<String> {
    let mut rest = written;
    while let Some(place) = rest.find(['\\', '+', '=', ' ']) {
        let escape = rest[place..].strip_prefix("\\x{")?;
        let (digits, behind) = escape.split_once('}')?;
        point(digits)?;
        rest = behind;
    }
    let stays = |c: char| c.is_ascii_graphic();
    let odd = |c: char| c.is_control();
    (!written.is_empty() && !written.contains(odd)).then(|| write(written, stays))
}

/// The character of a HEXPOINT: two to six hexadecimal digits in upper case.
fn point(digits: &str) -> Option<char> {
    let upper = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    if !(2..=6).contains(&digits.len()) || !digits.bytes().all(upper) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

fn write(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if stays(c) {
            out.push(c);
        } else {
            // Writing into a String does not fail.
            let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_beyond_ascii_and_what_a_parameter_cannot_have_is_escaped() {
        for (address, written) in [
            (
                "jörg@xn--bcher-kva.example",
                "j\\x{F6}rg@xn--bcher-kva.example",
            ),
            ("用户@c.d", "\\x{7528}\\x{6237}@c.d"),
            ("\u{1f600}@c.d", "\\x{1F600}@c.d"),
            (
                "\"ö +=\\\\\"@c.d",
                "\"\\x{F6}\\x{20}\\x{2B}\\x{3D}\\x{5C}\\x{5C}\"@c.d",
            ),
        ] {
            assert_eq!(escaped(address), written);
            assert_eq!(unitext_escaped(written).as_deref(), Some(written));
        }
    }

    #[test]
    fn what_is_escaped_already_stays_and_what_is_malformed_is_none() {
        let read = |written| unitext_escaped(written);
        assert_eq!(
            read("j\\x{F6}rgö@c.d").as_deref(),
            Some("j\\x{F6}rg\\x{F6}@c.d")
        );
        for bad in [
            "",
            "a+b@c.d",
            "a=b@c.d",
            "a b@c.d",
            "a\\b",
            "a\\x{}b",
            "a\\x{F}b",
            "a\\x{f6}b",
            "a\\x{F6",
            "a\\x{D800}b",
            "a\\x{110000}b",
            "a\\x{0000F6}0b\\",
            "a\u{85}b",
            "a\tb",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
