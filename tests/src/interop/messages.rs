//! More than two hundred varied messages: half that we made, each with one difficulty, and half that others collected.

use super::corpus;
use super::manners::Way;
use crate::debian::Root;

/// How many go each way between us and each server: two hundred, and some that a strict server may refuse.
pub const COUNT: usize = 240;
/// The longest line that RFC 5322 §2.1.1 and RFC 5321 §4.5.3.1.6 let through everywhere, without CRLF.
const LINE_OCTETS: usize = 998;
/// The largest content.
const LARGEST_OCTETS: usize = 10 << 20;
/// Recipients of the widest messages, which RFC 5321 §4.5.3.1.8 asks every server to take.
const WIDEST: usize = 100;
/// How the names of those begin.
const MANY: &str = "a hundred recipients";
/// How many contents are made here; the others are the collection's.
const OURS: usize = COUNT / 2;

/// A message to send.
#[derive(Clone, Debug)]
pub struct Message {
    /// What is difficult about it, or the file that it comes from.
    pub name: String,
    /// Without angle brackets; empty for the null reverse-path.
    pub reverse_path: String,
    /// The local-parts of its recipients, which no other message has.
    pub recipients: Vec<String>,
    /// With CRLF lines.
    pub content: Vec<u8>,
}

/// The messages for one way. Reverse-paths are in `domain`, so that a report would come back and be seen.
pub fn messages(collection: &Root, way: Way, domain: &str) -> Vec<Message> {
    let skip = usize::from(way == Way::There);
    let others = corpus::mails(collection).into_iter().skip(skip).step_by(2);
    let contents: Vec<(String, Vec<u8>)> = ours().into_iter().chain(others).take(COUNT).collect();
    assert_eq!(
        contents.len(),
        COUNT,
        "the collection is smaller than it was"
    );
    let numbered = contents.into_iter().enumerate();
    numbered
        .map(|(number, (name, content))| Message {
            reverse_path: reverse_path(number, domain),
            recipients: recipients(number, &name),
            name,
            content,
        })
        .collect()
}

fn recipients(number: usize, name: &str) -> Vec<String> {
    let count = if name.starts_with(MANY) { WIDEST } else { 1 };
    (0..count)
        .map(|recipient| format!("m{number}.{recipient}"))
        .collect()
}

fn reverse_path(number: usize, domain: &str) -> String {
    match number % 8 {
        0 => String::new(),
        1 => format!("{:a>64}@{domain}", format!("s{number}-")),
        2 => format!("s{number}+detail=x@{domain}"),
        3 => format!("s{number}!#$%&'*/?^_`{{|}}~@{domain}"),
        4 if number % 40 == 4 => format!("\"s {number}\"@{domain}"),
        _ => format!("s{number}@{domain}"),
    }
}

/// The contents of our own.
fn ours() -> Vec<(String, Vec<u8>)> {
    let mut all = lines();
    all.extend(fields());
    all.extend(parts());
    all.extend(many_recipients());
    all.extend(sizes());
    all.extend(octets());
    for number in (0..).take(OURS - all.len()) {
        // Ordinary mail fills up: text of many paragraphs, none like the other.
        let letters = (b'a'..=b'z').cycle().take(number * 7);
        let body = letters
            .enumerate()
            .map(|(n, letter)| vec![letter; (n * 37) % 79]);
        all.push((format!("ordinary mail {number}"), letter("ordinary", body)));
    }
    all
}

fn lines() -> Vec<(String, Vec<u8>)> {
    let wide = vec![b'x'; LINE_OCTETS];
    let dotted = [b".", &wide[1..]].concat();
    let from = ["From here", ">From there", "From: x", "", "From a@b.c Mon"];
    vec![
        ("nothing at all".into(), Vec::new()),
        ("an empty line".into(), text(&[""])),
        ("many empty lines".into(), text(&[""; 50])),
        ("a dot".into(), text(&["."])),
        (
            "dots from the first line on".into(),
            text(&["..", ".", "...", ".a", "."]),
        ),
        (
            "dots in the body".into(),
            letter("dots", [".", "..", "...", ".x", ". ", " ."]),
        ),
        ("ten thousand dots".into(), letter("dots", ["."; 10_000])),
        (
            "a body without a header".into(),
            text(&["no field here", "and none here"]),
        ),
        (
            "spaces and tabs".into(),
            letter("blank", [" ", "\t", " \t ", "x ", "x\t", "  x"]),
        ),
        ("From at the start of lines".into(), letter("from", from)),
        (
            "lines of 997".into(),
            letter("nearly wide", vec![&wide[1..]; 30]),
        ),
        ("lines of 998".into(), letter("wide", vec![&wide; 30])),
        (
            "lines of 998 that begin with a dot".into(),
            letter("wide dots", vec![&dotted; 30]),
        ),
    ]
}

fn fields() -> Vec<(String, Vec<u8>)> {
    let wide = format!("Subject: {:x<1$}", "", LINE_OCTETS - "Subject: ".len());
    let folded = (0..200).map(|n| format!(" {n:x>60}"));
    let folded = ["Subject: folded".to_owned()].into_iter().chain(folded);
    let many = (0..400).map(|n| format!("X-Field-{n}: {n}"));
    let hops = (0..12).map(|n| {
        format!("Received: from a{n}.test by b{n}.test; Mon, 1 Jan 2024 00:00:{n:02} +0000")
    });
    let odd_names = [
        "x!#$%&'*+-.^_`|~: a",
        "X_Y: b",
        "1: c",
        "A:no space",
        "B:",
        "C:   three spaces",
        "D:\ttab",
    ];
    let addresses = [
        "From: \"A, B\" <a@from.test>, c@d.test",
        "Sender: x@from.test",
        "To: undisclosed-recipients:;",
        "Cc: Group: a@b.test, (comment) c@d.test;",
        "Reply-To: <r@from.test>",
        "Date: Mon, 1 Jan 2024 00:00:00 +0000",
        "Message-ID: <1@from.test>",
    ];
    let bare = ["From: root", "To: Joe <joe>", "Cc: a, b", "Subject: bare"];
    let oddly = ["Subject: a", "\tb", "  c", "To: x@y.test,", " z@y.test"];
    let blanks = ["Subject: blanks   ", "X-Tab: tab\t"];
    let header = |fields: &[&str]| text(&[fields, &["", "x"]].concat());
    vec![
        (
            "a header without a body".into(),
            text(&["Subject: only", "X-A: b"]),
        ),
        (
            "a header and the empty line".into(),
            text(&["Subject: only", ""]),
        ),
        ("an empty header, then text".into(), text(&["", "text"])),
        ("a field of 998".into(), header(&[&wide])),
        ("a field of two hundred lines".into(), joined(folded)),
        ("four hundred fields".into(), joined(many)),
        ("twelve hops".into(), joined(hops)),
        (
            "the same field thrice".into(),
            header(&["Subject: a", "Subject: b", "Subject: a"]),
        ),
        ("odd field names".into(), header(&odd_names)),
        ("every address field".into(), header(&addresses)),
        ("names without a domain".into(), header(&bare)),
        ("a field that is folded oddly".into(), header(&oddly)),
        ("fields with an end of blanks".into(), header(&blanks)),
    ]
}

fn parts() -> Vec<(String, Vec<u8>)> {
    let head = [
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=b",
        "",
        "--b",
    ];
    let whole = [
        "Content-Type: text/plain",
        "",
        "x",
        "--b",
        "Content-Transfer-Encoding: base64",
        "",
        "AAEC",
        "--b--",
    ];
    let open = [
        "",
        "x",
        "--b",
        "Content-Type: message/rfc822",
        "",
        "Subject: inner",
        "",
        "y",
    ];
    vec![
        ("two parts".into(), text(&[&head[..], &whole].concat())),
        (
            "two parts and no end".into(),
            text(&[&head[..], &open].concat()),
        ),
    ]
}

fn many_recipients() -> Vec<(String, Vec<u8>)> {
    vec![
        (format!("{MANY}, small"), letter("to all", ["to all"])),
        (format!("{MANY}, 8 KiB"), sized(8 << 10)),
        (format!("{MANY}, 8-bit"), letter("to all", [[0xE4; 70]])),
    ]
}

fn sizes() -> Vec<(String, Vec<u8>)> {
    let near = [4 << 10, 8 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10];
    let near = near.iter().flat_map(|size| [size - 1, *size, size + 1]);
    let all = [100, 500, 1000].into_iter().chain(near);
    let all = all.chain([512 << 10, 1 << 20, 3 << 20, LARGEST_OCTETS]);
    all.map(|size| (format!("{size} octets"), sized(size)))
        .collect()
}

fn octets() -> Vec<(String, Vec<u8>)> {
    let high: Vec<u8> = (0x80..=0xFF).collect();
    // What ends lines is refused by us, and NUL too: here stands the rest.
    let low: Vec<u8> = (1..0x20)
        .chain([0x7F])
        .filter(|o| ![b'\r', b'\n'].contains(o))
        .collect();
    let latin: [&[u8]; 3] = [b"Subject: Gr\xFC\xDFe", b"", b"\xE4"];
    let utf = ["Subject: Grüße, 你好", "From: Jörg <j@from.test>", "", "x"];
    vec![
        ("UTF-8 in fields".into(), text(&utf)),
        (
            "UTF-8 in the body".into(),
            letter("utf-8", ["Grüße", "你好", "🙂"]),
        ),
        ("Latin-1 in fields".into(), joined(latin)),
        (
            "every octet above 127".into(),
            letter("high", high.chunks(32)),
        ),
        (
            "wide lines of 255".into(),
            letter("high", [[0xFF; LINE_OCTETS]; 20]),
        ),
        ("control characters".into(), letter("low", [low])),
    ]
}

/// A letter with a usual header.
fn letter<Line: AsRef<[u8]>>(subject: &str, body: impl IntoIterator<Item = Line>) -> Vec<u8> {
    let head = format!(
        "From: Ann <ann@from.test>\r\nTo: all@to.test\r\nSubject: {subject}\r\n\
         Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@from.test>\r\n\r\n"
    );
    [head.into_bytes(), joined(body)].concat()
}

/// A letter of exactly so many octets, in lines of all lengths, some beginning with a dot.
fn sized(octets: usize) -> Vec<u8> {
    let mut content = b"Subject: sized\r\n\r\n".to_vec();
    for number in 0_usize.. {
        let left = octets - content.len();
        if left < 200 {
            // One last line takes up what is left; CRLF is part of it.
            let line = vec![b'e'; left.saturating_sub(2)];
            content.extend([&line[..], b"\r\n"].concat());
            break;
        }
        let dot = if number % 5 == 0 { "." } else { "" };
        let width = number % 150;
        content.extend(format!("{dot}{number:x>width$}\r\n").as_bytes());
    }
    assert_eq!(content.len(), octets);
    content
}

fn text(lines: &[&str]) -> Vec<u8> {
    joined(lines)
}

fn joined<Line: AsRef<[u8]>>(lines: impl IntoIterator<Item = Line>) -> Vec<u8> {
    let lines = lines.into_iter();
    lines
        .flat_map(|line| [line.as_ref(), b"\r\n"].concat())
        .collect()
}
