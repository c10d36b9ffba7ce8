//! Bounds: numbers that ran over elsewhere are counted here, and more is refused with a code of its own.

use crate::server::Server;
use std::time::Duration;

/// CVE-2020-28017 and CVE-2005-1515: recipients beyond all counting.
#[test]
fn recipients_are_counted_and_the_rest_come_in_another_transaction() {
    let server = Server::start("[limits]\nrecipients = 100\n");
    let mut session = server.session();
    for _ in 0..2 {
        session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
        for number in 0..100 {
            session.is_told(format!("RCPT TO:<bob+{number}@a.test>"), "250 2.1.5 ");
        }
        for _ in 0..50 {
            session.is_told("RCPT TO:<bob@a.test>", "452 4.5.3 too many recipients");
        }
        session.is_told("RSET", "250 2.0.0 ");
    }
    // Said at once: 50,000 of them.
    session.put("MAIL FROM:<joe@b.test>\r\n");
    session.hears("MAIL", "250 2.1.0 ");
    let mut stream = session.stream().try_clone().expect("a socket");
    let all = "RCPT TO:<bob@a.test>\r\n".repeat(50_000);
    let writes = std::thread::spawn(move || std::io::Write::write_all(&mut stream, all.as_bytes()));
    for number in 0..50_000 {
        let reply = if number < 100 {
            "250 2.1.5 "
        } else {
            "452 4.5.3 "
        };
        session.hears("RCPT", reply);
    }
    assert!(writes.join().is_ok_and(|written| written.is_ok()));
    session.is_told("RSET", "250 2.0.0 ");
    server.lives();
}

/// CVE-2020-28020 and CVE-2010-4344: a header section longer than its bound, of folds and of fields. A content that says
/// that it is small and is not.
#[test]
fn content_beyond_its_bound_is_read_to_its_end_and_refused() {
    let server = Server::start("[limits]\nmessage = \"64 KiB\"\n");
    let mut session = server.session();
    session.is_told(
        "MAIL FROM:<joe@b.test> SIZE=65537",
        "552 5.3.4 content too large",
    );
    session.is_told(
        "MAIL FROM:<joe@b.test> SIZE=18446744073709551616",
        "552 5.3.4 content too large",
    );
    for content in [
        b"X:\r\n"
            .iter()
            .chain(b" x\r\n".repeat(16 << 10).iter())
            .copied()
            .collect::<Vec<u8>>(),
        b"X-A: b\r\n".repeat(9 << 10),
        b"X: "
            .iter()
            .chain(b"x".repeat(8 << 20).iter())
            .chain(b"\r\n")
            .copied()
            .collect(),
        b"\r\n".repeat(33 << 10),
    ] {
        session.is_told("MAIL FROM:<joe@b.test> SIZE=1", "250 2.1.0 ");
        session.is_told("RCPT TO:<bob@a.test>", "250 2.1.5 ");
        session.is_told("DATA", "354 ");
        let half = content.len() / 2;
        session.put(&content[..half]);
        std::thread::sleep(Duration::from_millis(50));
        session.put(&content[half..]);
        session.is_told(".", "552 5.3.4 content too large");
        session.is_told("DATA", "503 5.5.1 ");
    }
    server.lives();
}

/// RCPT and VRFY with names guessed one after the other, and words of which none is a command.
#[test]
fn a_session_in_which_everything_fails_is_ended() {
    let server = Server::start("");
    let mut session = server.session();
    session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
    for number in 1..20 {
        session.is_told(
            format!("RCPT TO:<guess{number}@a.test>"),
            "550 5.1.1 no such recipient here",
        );
    }
    session.is_told("RCPT TO:<ann@a.test>", "250 2.1.5 ");
    session.is_told("RCPT TO:<guess@a.test>", "421 4.7.0 too many errors");
    assert_eq!(session.rest(), "");
    let mut session = server.session();
    for _ in 1..20 {
        session.is_told("GUESS", "500 5.5.2 ");
    }
    session.is_told("GUESS", "421 4.7.0 too many errors");
    let mut session = server.session();
    let mut asked = 0;
    while session.say("VRFY ann").starts_with("252 2.0.0 ") {
        asked += 1;
    }
    assert_eq!(asked, 200 - 1, "and EHLO");
    server.lives();
}
