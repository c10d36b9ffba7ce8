//! What a submission server mends, RFC 6409 §8: where content is cut decides nothing, what was mended once wants nothing
//! more, and what is handed on is what came but for made fields, hidden ones and the lines of a mailbox file.

use crate::octets::Octets;
use mail::completion::{ADDED_OCTETS, SECTION_OCTETS};
use mail::{Completed, Completion, Domain, LocalPart, Mailbox, QueueId, Time};

/// The fields that are made for the login of [`completion`], by their names.
const MADE: [(&str, &str); 3] = [
    ("date", "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"),
    ("from", "From: ann@example.org\r\n"),
    ("message-id", "Message-ID: <0000000000001@mx.test>\r\n"),
];

/// Lets content by, in pieces of so many octets.
type Mend = fn(&[u8], usize) -> Vec<u8>;

/// Any content, in pieces of any length.
pub fn run(data: &[u8]) {
    check(data, mend);
}

/// Nobody says that content has ended.
pub fn planted(data: &[u8]) {
    check(data, |content, cut| pass(&mut completion(), content, cut));
}

fn check(data: &[u8], mend: Mend) {
    let mut octets = Octets(data);
    let (cut, content) = (1 + octets.below(32), octets.0);
    let out = mend(content, usize::MAX);
    assert_eq!(mend(content, cut), out, "cut to {cut}");
    assert_eq!(mend(&out, usize::MAX), out, "twice is not once");
    assert!(content.len() < SECTION_OCTETS && out.len() <= content.len() + ADDED_OCTETS);
    let (fields, body) = section(&out);
    let has = |name: &str| fields.iter().any(|field| field.0 == name);
    if has("dkim-signature") || has("arc-seal") {
        return assert_eq!(out, content);
    }
    assert!(!has("bcc") && !has("resent-bcc"));
    assert!(
        out.starts_with(fields[0].1),
        "a line of a mailbox file stayed"
    );
    // Of what was made nothing else is handed on but what came, in its order: behind the section all of it.
    let mut rest = content;
    for (name, field) in &fields {
        let is_made = |made: &(&str, &str)| made.0 == name && made.1.as_bytes() == *field;
        if MADE.iter().any(is_made) {
            continue;
        }
        let found = rest.windows(field.len()).position(|at| at == *field);
        rest = &rest[found.expect("somebody sent it") + field.len()..];
    }
    assert!(MADE.iter().all(|(name, _)| has(name)));
    let text = body.strip_prefix(b"\r\n").unwrap_or(body);
    assert!(rest.ends_with(body) || rest.ends_with(text));
}

fn mend(content: &[u8], cut: usize) -> Vec<u8> {
    let mut completion = completion();
    let mut out = pass(&mut completion, content, cut);
    let mut last = Vec::new();
    completion.end(&mut last);
    assert!(!completion.was_too_large());
    out.append(&mut last);
    out
}

fn pass(completion: &mut Completion, content: &[u8], cut: usize) -> Vec<u8> {
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for piece in content.chunks(cut) {
        buffer.extend_from_slice(piece);
        completion.pass(&mut buffer);
        out.append(&mut buffer);
    }
    out
}

fn completion() -> Completion {
    Completion::new(Completed {
        mailbox: Mailbox {
            local_part: LocalPart::from_meant("ann").expect("a local-part"),
            domain: Domain::Name("example.org".into()),
        },
        hostname: "mx.test".into(),
        message_id: QueueId::from_u64(1),
        arrival: Time::from_secs(0),
    })
}

/// The fields at the front, or behind lines of a mailbox file there, with their names in lower case; and what is behind
/// them. Line by line.
fn section(content: &[u8]) -> (Vec<(String, &[u8])>, &[u8]) {
    let mut front = content;
    while name(line(front)).is_none()
        && (front.starts_with(b"From ") || front.starts_with(b">From "))
    {
        front = &front[line(front).len()..];
    }
    let (mut fields, mut rest) = (Vec::new(), content);
    if name(line(front)).is_some() {
        rest = front;
    }
    while let Some(name) = name(line(rest)) {
        let mut field = line(rest).len();
        while rest[field..].starts_with(b" ") || rest[field..].starts_with(b"\t") {
            field += line(&rest[field..]).len();
        }
        fields.push((name, &rest[..field]));
        rest = &rest[field..];
    }
    (fields, rest)
}

/// The name of the field that begins with this line.
fn name(line: &[u8]) -> Option<String> {
    // What is longer than a line may be is no name.
    let text: String = line
        .iter()
        .take(998)
        .map(|octet| char::from(*octet))
        .collect();
    let name = text.split_once(':')?.0.trim_end_matches([' ', '\t']);
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| name.to_lowercase())
}

/// The first line, with its CRLF where it has one.
fn line(text: &[u8]) -> &[u8] {
    let end = text.windows(2).position(|pair| pair == b"\r\n");
    &text[..end.map_or(text.len(), |end| end + 2)]
}
