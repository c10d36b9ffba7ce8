//! Contents that other servers stumbled over as they read, converted or logged them: ours are passed on as they are, and
//! nothing in them is obeyed.

use crate::server::{SOON, Server};
use std::time::Instant;
use tests::Client;

/// Octets of a long field.
const LONG_OCTETS: usize = 64 << 10;
/// Multiparts within multiparts.
const NESTED: usize = 10_000;

fn contents(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    let field = |text: String| format!("{text}\r\n\r\nx\r\n").into_bytes();
    let brackets =
        |name: &str| format!("{name}: {} ({})", "<>".repeat(8 << 10), "a".repeat(8 << 10));
    let fields = ["From", "To", "Cc", "Sender", "Reply-To"].map(brackets);
    let odd = b"\\\xff".repeat(LONG_OCTETS / 2);
    vec![
        ("addresses of brackets", field(fields.join("\r\n"))),
        ("an octet that was no character", [b"From: ", &odd[..], b"@x\r\n\r\n"].concat()),
        ("a long field", field(format!("X-header: {}", "x".repeat(LONG_OCTETS)))),
        ("a field of folds", [&b"X:"[..], &b"\r\n x".repeat(LONG_OCTETS / 4), b"\r\n\r\n"].concat()),
        ("fields without an end", b"X-A: b\r\n".repeat(LONG_OCTETS / 8)),
        (
            "formats in a signature",
            field("DKIM-Signature: v=1; a=rsa-sha256; d=%n%n%s; s=%s; i=%s@; h=from; bh=QQ==; b=QQ==".into()),
        ),
        (
            "commands in fields",
            field(format!(
                "Return-Receipt-To: |touch {canary}\r\nErrors-To: \"|touch {canary}\"@a.test\r\n\
                 Disposition-Notification-To: bob@a.test\r\nApparently-To: bob@a.test\r\nBcc: bob@a.test\r\n\
                 Resent-To: bob@a.test\r\nX-Mailer: () {{ :;}}; touch {canary}\r\nFrom: ${{run{{touch {canary}}}}}@x"
            )),
        ),
        ("a dot alone among fields", b"Subject: x\r\n.\r\nX-A: b\r\n\r\nx\r\n".to_vec()),
        ("nothing but dots", b".\r\n..\r\n...\r\n.\r\n".to_vec()),
        (
            "a name in pieces",
            field("Content-Disposition: attachment; filename*0=\"a.ex\"; filename*1=\"e\"".into()),
        ),
        ("a type without a boundary", field("Content-Type: multipart/mixed".into())),
        (
            "words that are not encoded",
            field("Subject: =?utf-8?B?=?=\r\nSubject: =?x?Q?=ZZ=\u{ff}?=\r\nContent-Transfer-Encoding: base64".into()),
        ),
        ("multiparts within multiparts", nested()),
    ]
}

fn nested() -> Vec<u8> {
    let open = (0..NESTED).map(|depth| {
        format!("Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n")
    });
    open.collect::<String>().into_bytes()
}

/// CVE-2002-1337: addresses of brackets. CVE-2003-0161: octet 255 in fields. CVE-1999-0047, CVE-1999-0206, CVE-2006-1173: multiparts.
/// CVE-2009-1490: a long field. CVE-2011-1764, CVE-2020-28025: what a signature says. CVE-2017-16944: a dot alone among
/// fields. CVE-2024-39929: a name in pieces. And programs as addresses, in Return-Receipt-To and Errors-To.
#[test]
fn content_is_passed_as_it_is_and_nothing_in_it_is_obeyed() {
    let server = Server::start("");
    let canary = server.program.folder().join("canary");
    let contents = contents(&canary.display().to_string());
    let mut client = Client::connect(server.port).expect("it listens");
    for (about, content) in &contents {
        let began = Instant::now();
        let answer = client.send("joe@b.test", &["ann@a.test".to_owned()], content);
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("250 2.0.0 "), "{about}: {answer}");
        assert!(began.elapsed() < SOON / 6, "{about}: {:?}", began.elapsed());
    }
    let arrived = server.lives_with(contents.len(), 0);
    for (about, content) in &contents {
        // Behind the fields that we put in front, which have five lines.
        let is_it = |arrived: &&Vec<u8>| {
            let lines = arrived.split_inclusive(|octet| *octet == b'\n');
            let ours: usize = lines.take(5).map(<[u8]>::len).sum();
            arrived[ours..] == content[..]
        };
        assert_eq!(arrived.iter().filter(is_it).count(), 1, "{about}");
    }
    assert!(!canary.exists(), "something was run");
    assert!(!server.arrived().contains_key("bob"), "a field was obeyed");
}
