//! Whether what arrived is what was sent. In front may stand trace fields (RFC 5321 §4.4) and what mailboxes add;
//! the rest is the same, octet for octet, apart from the differences that a server's table names.

use super::Message;
use super::manners::{ANYTHING, Manners, Way};
use std::collections::BTreeMap;

/// Fields that mailboxes put in front of a content, beside Received and Return-Path.
const TRACE_FIELDS: &[&str] = &[
    "delivered-to",
    "delivery-date",
    "envelope-to",
    "x-original-to",
];
/// How many messages that differ are shown.
const SHOWN: usize = 12;
/// How many octets are shown around the first that differs.
const AROUND: usize = 120;

/// Which contents arrived for each local-part, with the line ends of the wire.
pub type Arrived = BTreeMap<String, Vec<Vec<u8>>>;

/// Compares; the error names every message that is missing, double or different.
pub fn compare(
    way: Way,
    sent: &[Message],
    arrived: &Arrived,
    manners: &Manners,
) -> Result<(), String> {
    let differences = manners.differences(way);
    let mut wrong = Vec::new();
    let mut used = vec![false; differences.len()];
    for message in sent {
        let mut expected = message.content.clone();
        for (difference, used) in differences.iter().zip(&mut used) {
            let changed = (difference.change)(&expected);
            *used |= changed != expected;
            expected = changed;
        }
        let expected = manners.without_asides(message, way, &expected);
        for recipient in &message.recipients {
            let verdict = match arrived.get(recipient).map(Vec::as_slice) {
                None | Some([]) => Err("did not arrive".to_owned()),
                Some([one]) => {
                    let one = manners.without_asides(message, way, one);
                    same(&one, &expected, &message.reverse_path)
                }
                Some(more) => Err(format!("arrived {} times", more.len())),
            };
            if let Err(why) = verdict {
                wrong.push(format!("{recipient} ({}): {why}", message.name));
            }
        }
    }
    let idle = differences.iter().zip(&used).filter(|(_, used)| !**used);
    wrong.extend(
        idle.map(|(difference, _)| {
            format!("no message shows this difference: {}", difference.what)
        }),
    );
    let asides = manners.left_aside.iter();
    let unmet = asides.filter(|aside| aside.ways.contains(&way) && !sent.iter().any(aside.of));
    wrong.extend(unmet.map(|aside| format!("no message has what is left aside: {}", aside.what)));
    if wrong.is_empty() {
        return Ok(());
    }
    let shown = wrong.len().min(SHOWN);
    Err(format!(
        "{} differ:\n{}",
        wrong.len(),
        wrong[..shown].join("\n")
    ))
}

/// One content: trace fields, then what was sent.
fn same(arrived: &[u8], expected: &[u8], reverse_path: &str) -> Result<(), String> {
    let Some(trace) = strip(arrived, expected) else {
        return Err(first_difference(arrived, expected));
    };
    let text = String::from_utf8_lossy(trace);
    let (mut received, mut return_path) = (0, None);
    for line in text.split_inclusive("\r\n") {
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "received" => received += 1,
            "return-path" => return_path = Some(value.trim()),
            name if !TRACE_FIELDS.contains(&name) => {
                return Err(format!("{line:?} stands between the trace fields"));
            }
            _ => {}
        }
    }
    // OpenSMTPD tells of the null reverse-path by leaving the field out.
    let path = return_path.unwrap_or("<>").to_ascii_lowercase();
    // Domains, and the mailboxes of these tests, may be written in either case (RFC 5321 §2.4).
    let wanted = format!("<{reverse_path}>").to_ascii_lowercase();
    if path != wanted {
        return Err(format!("the reverse-path is {path}, not {wanted}"));
    }
    if received == 2 {
        Ok(())
    } else {
        Err(format!("{received} servers left a Received field, not two"))
    }
}

/// What stands in front of the expected content, in which [`ANYTHING`] stands for a part of a line.
fn strip<'a>(arrived: &'a [u8], expected: &[u8]) -> Option<&'a [u8]> {
    let mut pieces = expected.rsplit(|octet| *octet == ANYTHING);
    let mut rest = arrived.strip_suffix(pieces.next()?)?;
    for piece in pieces {
        let line = rest
            .iter()
            .rposition(|octet| *octet == b'\n')
            .map_or(0, |at| at + 1);
        rest = (line..=rest.len())
            .rev()
            .find_map(|end| rest[..end].strip_suffix(piece))?;
    }
    Some(rest)
}

/// Where they part: compared from their ends, since trace fields stand in front.
fn first_difference(arrived: &[u8], expected: &[u8]) -> String {
    let pairs = arrived.iter().rev().zip(expected.iter().rev());
    let same = pairs.take_while(|(a, b)| a == b).count();
    let around = |octets: &[u8]| {
        let end = octets.len() - same;
        let from = end.saturating_sub(AROUND);
        let to = (end + AROUND).min(octets.len());
        octets[from..to].escape_ascii().to_string()
    };
    format!(
        "the last {same} octets of {} agree; before them\n  arrived:  {}\n  expected: {}",
        expected.len(),
        around(arrived),
        around(expected)
    )
}

#[cfg(test)]
mod tests {
    use super::super::manners::{Aside, BOTH_WAYS, Difference};
    use super::*;

    fn message(content: &[u8]) -> Vec<Message> {
        vec![Message {
            name: "one".into(),
            reverse_path: "a@b.test".into(),
            recipients: vec!["x".into()],
            content: content.to_vec(),
        }]
    }

    fn arrived(contents: &[&[u8]]) -> Arrived {
        let contents = contents.iter().map(|content| content.to_vec()).collect();
        [("x".to_owned(), contents)].into()
    }

    fn is_ok(sent: &[Message], contents: &[&[u8]]) -> bool {
        compare(Way::Here, sent, &arrived(contents), &Manners::NONE).is_ok()
    }

    const TRACE: &str =
        "Return-Path: <a@b.test>\r\nReceived: by us;\r\n\tx\r\nReceived: by them; x\r\n";

    #[test]
    fn the_same_behind_trace_fields_is_the_same_and_nothing_else_is() {
        let is_same = |content: &str| {
            let sent = message(b"A: b\r\n\r\nx\r\n");
            is_ok(&sent, &[content.as_bytes()])
        };
        assert!(is_same(&format!("{TRACE}A: b\r\n\r\nx\r\n")));
        for wrong in [
            format!("{TRACE}A: b\r\n\r\nX\r\n"),
            format!("{TRACE}A: b\r\n\r\nx\r\n\r\n"),
            format!("{TRACE}\r\nA: b\r\n\r\nx\r\n"),
            format!("{TRACE}X-Added: y\r\nA: b\r\n\r\nx\r\n"),
            format!("Received: by us; x\r\n{TRACE}A: b\r\n\r\nx\r\n"),
            format!("{}A: b\r\n\r\nx\r\n", TRACE.replace("a@b", "b@b")),
            "A: b\r\n\r\nx\r\n".to_owned(),
            "Received: x\r\nReceived: y\r\nA: b\r\n\r\nx\r\n".to_owned(),
        ] {
            assert!(!is_same(&wrong), "{wrong}");
        }
    }

    #[test]
    fn a_part_of_a_line_may_be_anything_and_a_line_end_may_not() {
        let strip = |arrived: &str| {
            let stripped = strip(arrived.as_bytes(), b"A: b\r\nDate: \0\r\nID: <\0@c>\r\n");
            stripped.map(|rest| String::from_utf8_lossy(rest).into_owned())
        };
        assert_eq!(
            strip("T: u\r\nA: b\r\nDate: now\r\nID: <1@c>\r\n").as_deref(),
            Some("T: u\r\n")
        );
        assert_eq!(strip("A: b\r\nDate: \r\nID: <@c>\r\n").as_deref(), Some(""));
        assert_eq!(strip("A: b\r\nDate: now\r\nX: y\r\nID: <1@c>\r\n"), None);
        assert_eq!(strip("A: b\r\nDate: now\r\nID: <1\r\n@c>\r\n"), None);
    }

    #[test]
    fn what_is_missing_or_double_is_wrong() {
        let whole = format!("{TRACE}x\r\n");
        let sent = message(b"x\r\n");
        assert!(is_ok(&sent, &[whole.as_bytes()]));
        assert!(!is_ok(&sent, &[whole.as_bytes(); 2]));
        assert!(!is_ok(&sent, &[]));
    }

    #[test]
    fn a_difference_is_expected_exactly_and_must_be_met() {
        let manners = Manners {
            differences: &[Difference {
                ways: BOTH_WAYS,
                what: "turns x into y",
                change: |content| {
                    content
                        .iter()
                        .map(|o| if *o == b'x' { b'y' } else { *o })
                        .collect()
                },
            }],
            ..Manners::NONE
        };
        let is_ok = |sent: &[u8], content: &str| {
            let arrived = arrived(&[format!("{TRACE}{content}").as_bytes()]);
            compare(Way::Here, &message(sent), &arrived, &manners).is_ok()
        };
        assert!(is_ok(b"x\r\n", "y\r\n"));
        assert!(!is_ok(b"x\r\n", "x\r\n"));
        assert!(!is_ok(b"y\r\n", "y\r\n"));
    }

    #[test]
    fn what_is_left_aside_is_left_aside_on_both_sides() {
        let manners = Manners {
            left_aside: &[Aside {
                ways: BOTH_WAYS,
                what: "every x",
                of: |message| message.name == "one",
                take_out: |content| content.iter().copied().filter(|o| *o != b'x').collect(),
            }],
            ..Manners::NONE
        };
        let is_ok = |content: &str| {
            let arrived = arrived(&[format!("{TRACE}{content}").as_bytes()]);
            compare(Way::Here, &message(b"axb\r\n"), &arrived, &manners).is_ok()
        };
        assert!(is_ok("abxx\r\n"));
        assert!(!is_ok("axc\r\n"));
    }
}
