//! `try`: one line for each message as it arrives: From, Subject, and where it lies.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// So much of a message is searched for its From and Subject.
const HEADER_OCTETS: u64 = 64 * 1024;
/// So many characters of each are shown.
const SHOWN: usize = 100;

/// Says that a message lies in this file. A terminal that is gone stops nothing.
pub(super) fn say(file: &Path) {
    let mut header = Vec::new();
    if let Ok(open) = File::open(file) {
        // What cannot be read is not shown: the message lies there all the same.
        let _ = open.take(HEADER_OCTETS).read_to_end(&mut header);
    }
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", line(&header, file)).and_then(|()| out.flush());
}

fn line(header: &[u8], file: &Path) -> String {
    let from = field(header, "From").unwrap_or_else(|| "no From".into());
    let subject = field(header, "Subject").unwrap_or_else(|| "no Subject".into());
    format!("{from} | {subject} | {}", file.display())
}

/// The value of the first field of this name, unfolded, as a terminal may show it.
fn field(header: &[u8], name: &str) -> Option<String> {
    let mut value: Option<Vec<u8>> = None;
    for line in header.split(|octet| *octet == b'\n') {
        let line = line.trim_ascii_end();
        let folded = line.first().is_some_and(|first| b" \t".contains(first));
        match &mut value {
            Some(value) if folded => value.extend_from_slice(line),
            Some(_) => break,
            None if line.is_empty() => break,
            None => {
                if let Some((found, rest)) = line.split_at_checked(name.len())
                    && found.eq_ignore_ascii_case(name.as_bytes())
                {
                    value = rest.strip_prefix(b":").map(<[u8]>::to_vec);
                }
            }
        }
    }
    let value = String::from_utf8_lossy(&value?).trim().to_owned();
    // What a stranger wrote must not move the cursor, turn the text round or break the line.
    let plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown = value.chars().map(|c| if plain(c) { c } else { '\u{fffd}' });
    Some(shown.take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_and_subject_are_shown_and_no_more() {
        let shown = |header: &[u8]| line(header, Path::new("/m/1"));
        assert_eq!(
            shown(
                b"Return-Path: <>\nX: y\nfrom: Ann <ann@a.test>\nSUBJECT: hi\n there\n\nFrom: x\n"
            ),
            "Ann <ann@a.test> | hi there | /m/1"
        );
        assert_eq!(shown(b"\nFrom: body\n"), "no From | no Subject | /m/1");
        assert_eq!(
            shown(b"Subject: \x1b[31mred\x07 \xff\n"),
            "no From | \u{fffd}[31mred\u{fffd} \u{fffd} | /m/1"
        );
        assert_eq!(
            shown("Subject: a\u{202e}b\n".as_bytes()),
            "no From | a\u{fffd}b | /m/1"
        );
        assert_eq!(
            shown(b"Subjects: x\nSubject : y\n"),
            "no From | no Subject | /m/1"
        );
        let long = shown(format!("Subject: {}\n", "x".repeat(1000)).as_bytes());
        assert!(long.len() < 150, "{long}");
    }
}
