//! The end of content: one message that another server takes for two.

use crate::server::{SOON, Server, Session, shown};
use tests::sink::Sink;
use tests::wait_until;

/// What is put behind what may be taken for the end.
const SMUGGLED: &str =
    "MAIL FROM:<eve@b.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";

/// CVE-2023-51764, CVE-2023-51765, CVE-2023-51766, smuggling in OpenSMTPD, and the bare LF of qmail: each end of content that one
/// server or another takes, with a second message behind it.
#[test]
fn what_is_no_end_of_content_is_refused_with_all_that_stands_behind_it() {
    let server = Server::start("");
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\n.\r",
        "\r.\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\r\n.\r\r\n",
        "\n\r.\r\n",
        "\r\n.\n\r",
        "\n\n.\n\n",
        "\r\n\r.\r\n",
        "\n",
        "\r",
        "\0",
    ] {
        let mut session = to_content(&server);
        session.put(format!("Subject: line\r\n\r\nline1{end}{SMUGGLED}"));
        session.hears(
            &shown(end.as_bytes()),
            "550 5.6.0 content has a bare CR, a bare LF or a NUL",
        );
        // In step, and nothing was begun.
        session.is_told("DATA", "503 5.5.1 ");
    }
    // The one end that is one; the CR too many before it was content.
    for (end, reply) in [("\r\n.\r\n", "250 2.0.0 "), ("\r\r\n.\r\n", "550 5.6.0 ")] {
        let mut session = to_content(&server);
        session.put(format!("line1{end}{SMUGGLED}"));
        for reply in [reply, "250 2.1.0 ", "250 2.1.5 ", "354 ", "250 2.0.0 "] {
            session.hears(&shown(end.as_bytes()), reply);
        }
    }
    // Dots that are content.
    for dots in [
        "\r\n..\r\n",
        "\r\n.x\r\n",
        "\r\n. \r\n",
        "\r\n.\t\r\n",
        ".\r\n",
    ] {
        let mut session = to_content(&server);
        session.put(format!("line1{dots}{SMUGGLED}"));
        session.hears(&shown(dots.as_bytes()), "250 2.0.0 ");
        session.is_told("DATA", "503 5.5.1 ");
    }
    let arrived = server.lives_with(3 + 5, 0);
    let smuggled = |content: &&Vec<u8>| content.starts_with(b"Return-Path: <eve@b.test>\r\n");
    assert_eq!(arrived.iter().filter(smuggled).count(), 2);
}

/// A session that was told to send content.
fn to_content(server: &Server) -> Session {
    let mut session = server.session();
    session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
    session.is_told("RCPT TO:<bob@a.test>", "250 2.1.5 ");
    session.is_told("DATA", "354 ");
    session
}

/// Longest sequence.
const LENGTH_MAX: u32 = 5;
/// What sequences are made of.
const ALPHABET: [u8; 4] = [b'\r', b'\n', b'.', 0];
/// Sequences of one session: each that is refused is a command that brings no mail.
const IN_A_SESSION: usize = 50;

/// CVE-2023-51764, CVE-2023-51765, CVE-2023-51766, smuggling in OpenSMTPD: every sequence of CR, LF, dot and NUL between two lines, each with the
/// commands of another message behind it. What is taken is handed on as that one message, octet for octet.
#[test]
fn every_sequence_of_ends_and_dots_is_one_message_or_none() {
    let sink = Sink::start().expect("a sink");
    let server = Server::start(&format!(
        "[limits]\nerrors = 10000\n[relay]\nto = \"smtp://127.0.0.1:{}\"\nfrom = \"127.0.0.1\"\n",
        sink.port()
    ));
    let mut taken = Vec::new();
    let sequences: Vec<Vec<u8>> = (1..=LENGTH_MAX).flat_map(sequences).collect();
    for some in sequences.chunks(IN_A_SESSION) {
        let mut session = server.session();
        for sequence in some {
            let wire = [b"x: y\r\n\r\nline1", &sequence[..], SMUGGLED.as_bytes()].concat();
            session.put("MAIL FROM:<joe@b.test>\r\nRCPT TO:<ann@far.test>\r\nDATA\r\n");
            for reply in ["250 2.1.0 ", "250 2.1.5 ", "354 "] {
                session.hears("a transaction", reply);
            }
            session.put(&wire);
            let (content, rest) = read(&wire);
            let about = shown(sequence);
            match content {
                Some(content) => {
                    session.hears(&about, "250 2.0.0 ");
                    taken.push(content);
                }
                None => session.hears(&about, "550 5.6.0 "),
            }
            if rest == SMUGGLED.as_bytes() {
                // The sequence was an end: what is behind it is a transaction of the client's own.
                for reply in ["250 2.1.0 ", "250 2.1.5 ", "354 ", "250 2.0.0 "] {
                    session.hears(&about, reply);
                }
            } else {
                assert_eq!(rest, b"", "{about}");
            }
            session.is_told("DATA", "503 5.5.1 ");
        }
    }
    assert_eq!(sequences.len(), 4 + 16 + 64 + 256 + 1024);
    wait_until("all are handed on", SOON, || {
        sink.taken().len() >= taken.len()
    });
    server.lives_with(1, 0);
    let mut arrived: Vec<Vec<u8>> = sink
        .taken()
        .into_iter()
        .map(|taken| without_trace(&taken.content))
        .collect();
    arrived.sort();
    taken.sort();
    assert_eq!(arrived.len(), taken.len());
    assert!(arrived == taken, "a content was changed");
}

/// All sequences of this length.
fn sequences(length: u32) -> impl Iterator<Item = Vec<u8>> {
    let count = ALPHABET.len().pow(length);
    (0..count).map(move |number| {
        let digits = (0..length).map(|place| number / ALPHABET.len().pow(place));
        digits
            .map(|digit| ALPHABET[digit % ALPHABET.len()])
            .collect()
    })
}

/// What RFC 5321 §4.5.2 makes of it: the content, unless it has what no content may have, and what stands behind its end.
fn read(wire: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let end = wire.windows(5).position(|octets| octets == b"\r\n.\r\n");
    let end = end.expect("the end of the second message is one");
    let (content, rest) = (&wire[..end + 2], &wire[end + 5..]);
    let text: Vec<&[u8]> = split_crlf(content);
    let odd = |line: &&[u8]| line.iter().any(|octet| b"\r\n\0".contains(octet));
    if text.iter().any(odd) {
        return (None, rest);
    }
    let unstuffed = text
        .iter()
        .map(|line| line.strip_prefix(b".").unwrap_or(line));
    (
        Some(
            unstuffed
                .flat_map(|line| [line, b"\r\n"].concat())
                .collect(),
        ),
        rest,
    )
}

/// Lines without their CRLF.
fn split_crlf(content: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), content);
    while let Some(end) = rest.windows(2).position(|octets| octets == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    assert!(rest.is_empty());
    lines
}

/// Without the field that we put in front, which has three lines.
fn without_trace(content: &[u8]) -> Vec<u8> {
    assert!(content.starts_with(b"Received: "));
    split_crlf(content)[3..]
        .iter()
        .flat_map(|line| [line, &b"\r\n"[..]].concat())
        .collect()
}
