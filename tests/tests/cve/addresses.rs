//! Addresses that were taken for commands, for files, for routes, for pieces of a file format, or that were too odd to
//! read.

use crate::server::{SOON, Server, contains};
use tests::sink::Sink;
use tests::{Client, wait_until};

/// Commands that leave a file where `{}` is, written as addresses.
const COMMANDS: [(&str, &str); 9] = [
    ("MAIL FROM:<;touch {};>", "501 5.1.7 "),
    (
        "MAIL FROM:<;for i in 0 1 2 3;do read r;done;sh;exit 0;>",
        "501 5.1.7 ",
    ),
    ("MAIL FROM:<|touch {}>", "501 5.1.7 "),
    ("MAIL FROM:<\"|touch {}\">", "501 5.1.7 "),
    ("MAIL FROM:<() { :; }; touch {}>@x.test", "501 5.1.7 "),
    ("MAIL FROM:<() { :; }; touch {}@x.test>", "501 5.1.7 "),
    ("MAIL FROM:<`touch {}`>", "501 5.1.7 "),
    ("MAIL FROM:<a@`touch {}`>", "501 5.1.7 "),
    ("MAIL FROM:<a@x.test;touch {}>", "501 5.1.7 "),
];

/// The same as recipients: no address, nobody's, or somebody's elsewhere.
const RECIPIENTS: [(&str, &str); 15] = [
    ("<;sleep 66;>", "501 5.1.3 "),
    ("<|id>", "501 5.1.3 "),
    ("</etc/passwd>", "501 5.1.3 "),
    ("<\":include:/etc/shadow\">", "501 5.1.3 "),
    ("<alice-() { :;}; touch {}@a.test>", "501 5.1.3 "),
    (
        "<${run{\\x2Fbin\\x2Fsh\\t-c\\t\\x22touch {}\\x22}}@localhost>",
        "501 5.1.3 ",
    ),
    ("<${run{touch}}@localhost>", "550 5.7.1 "),
    ("<${run{touch}}@a.test>", "550 5.1.1 "),
    ("<\"${run{/bin/touch {}}}\"@a.test>", "550 5.1.1 "),
    ("<|id@a.test>", "550 5.1.1 "),
    ("</etc/passwd@a.test>", "550 5.1.1 "),
    ("<\"../../canary\"@a.test>", "550 5.1.1 "),
    ("<..@a.test>", "550 5.1.1 "),
    ("<\":include:/etc/shadow\"@a.test>", "550 5.1.1 "),
    ("<\"|touch {}\"@a.test>", "550 5.1.1 "),
];

/// CVE-2020-7247 and the programs as addresses of sendmail 8.6: what stands in an address was run by a shell.
/// CVE-2019-10149, CVE-2019-13917: it was expanded. CVE-2014-6271: it came to a shell by the environment.
#[test]
fn a_command_in_an_address_is_run_by_nobody() {
    let sink = Sink::start().expect("a sink");
    let server = Server::start(&format!(
        "[domain.\"any.test\"]\naliases = {{ postmaster = \"ann@a.test\" }}\ndeliver = \"lmtp:127.0.0.1:{}\"\n",
        sink.port()
    ));
    let canary = server.program.folder().join("canary");
    let with_canary = |line: &str| line.replace("{}", &canary.display().to_string());
    for (line, reply) in COMMANDS {
        server.session().is_told(with_canary(line), reply);
    }
    for (path, reply) in RECIPIENTS {
        let mut session = server.session();
        session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
        session.is_told(format!("RCPT TO:{}", with_canary(path)), reply);
        session.is_told("DATA", "554 5.5.1 ");
    }
    // Where such a name is an address, it goes to the next hop as it is; and so does who sent it.
    let odd = [
        "\"|touch {}\"",
        "\"${run{/bin/touch {}}}\"",
        "\"() { :; }; touch {}\"",
        "\"$(touch {})`touch {}`;touch {}\"",
        "\"../../../../canary\"",
        "%{%{user}%n",
    ];
    for name in odd.map(with_canary) {
        // A name that says a route is taken where it is listed alone.
        let to = if name.contains('%') { "joe" } else { &name };
        let mut client = Client::connect(server.port).expect("it listens");
        let content = format!(
            "Received: from x\r\n{}\r\n\r\n",
            "Received: by y\r\n".repeat(30).trim_end()
        );
        let to = [format!("{to}@any.test")];
        let answer = client.send(&format!("{name}@b.test"), &to, content.as_bytes());
        assert!(answer.is_ok_and(|answer| answer.starts_with("250 2.0.0 ")));
        wait_until("it is handed on", SOON, || {
            let taken = sink.taken();
            taken.iter().any(|taken| {
                taken.reverse_path == format!("{name}@b.test") && taken.forward_paths == to
            })
        });
    }
    server.lives();
    assert_eq!(sink.taken().len(), odd.len());
    assert!(!canary.exists(), "something was run");
}

/// The relay tricks that were tried on sendmail: an address of ours that says a way to somebody else's.
#[test]
fn an_address_that_says_a_way_is_not_relayed() {
    let sink = Sink::start().expect("a sink");
    let relay = format!(
        "[domain.\"any.test\"]\naliases = {{ postmaster = \"ann@a.test\" }}\ndeliver = \"lmtp:127.0.0.1:{}\"\n\
         [domain.\"all.test\"]\nusers = [\"eve\"]\ncatch_all = \"eve\"\ndeliver = \"lmtp:127.0.0.1:{}\"\n\
         [relay]\nto = \"smtp://127.0.0.1:{}\"\nfrom = \"198.51.100.0/24\"\n",
        sink.port(),
        sink.port(),
        sink.port()
    );
    let server = Server::start(&relay);
    for (path, reply) in [
        ("<ann@other.test>", "550 5.7.1 "),
        ("<user%other.test@a.test>", "550 5.1.1 "),
        ("<ann%other.test@a.test>", "550 5.1.1 "),
        ("<user%other.test@mx.a.test>", "550 5.1.1 "),
        ("<user%other.test@any.test>", "550 5.1.1 "),
        ("<other.test!user@any.test>", "550 5.1.1 "),
        ("<\"user@other.test\"@any.test>", "550 5.1.1 "),
        ("<@a.test:user@other.test>", "550 5.7.1 "),
        ("<@a.test,@mx.a.test:user@other.test>", "550 5.7.1 "),
        ("<other.test!user@a.test>", "550 5.1.1 "),
        ("<other.test!user@[127.0.0.1]>", "550 5.7.1 "),
        ("<user%other.test@[127.0.0.1]>", "550 5.7.1 "),
        ("<user@[127.0.0.1]>", "550 5.7.1 "),
        ("<user@[IPv6:::1]>", "550 5.7.1 "),
        ("<user@[IPv6:::ffff:127.0.0.1]>", "550 5.7.1 "),
        ("<\"user@other.test\"@a.test>", "550 5.1.1 "),
        ("<\"user%other.test\"@a.test>", "550 5.1.1 "),
        ("<user@other.test@a.test>", "501 5.1.3 "),
        ("<\"user\"@other.test@a.test>", "501 5.1.3 "),
        ("<@a.test:user@other.test@a.test>", "501 5.1.3 "),
        ("<user@a.test.>", "501 5.1.3 "),
        ("<user@other.test.>", "501 5.1.3 "),
        ("<\"a@b\">", "501 5.1.3 "),
        ("<user@>", "501 5.1.3 "),
        ("<@>", "501 5.1.3 "),
        ("<@a.test>", "501 5.1.3 "),
        ("<user@other.test> ORCPT=rfc822;ann@a.test", "555 5.5.4 "),
        ("<user@other.test><ann@a.test>", "501 5.5.4 "),
        ("ann@a.test,user@other.test", "501 5.1.3 "),
    ] {
        let mut session = server.session();
        session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
        session.is_told(format!("RCPT TO:{path}"), reply);
        session.is_told("DATA", "554 5.5.1 ");
    }
    server.lives();
    assert_eq!(sink.taken().len(), 0);
}

/// CVE-2003-0161, CVE-2003-0694, OpenSMTPD 7.8.0p1 and the NUL in an address of qmail: octets that a parser kept for
/// itself, or that ended a record. CVE-2015-7687: marks of an expansion, by the thousand. CVE-2023-42114 to 42119: literals
/// that are none.
#[test]
fn octets_that_no_address_has_are_refused() {
    let server = Server::start("");
    let repeated = |octets: &[u8], count| octets.repeat(count);
    for (inner, mail, rcpt) in [
        (&b"a\xff@a.test"[..], "500 5.5.2 ", "500 5.5.2 "),
        (b"\"\\\xff\"@a.test", "500 5.5.2 ", "500 5.5.2 "),
        (&repeated(b"\\\xff", 900), "500 5.5.2 ", "500 5.5.2 "),
        (b"a\0Tb@a.test", "500 5.5.2 ", "500 5.5.2 "),
        (b"ann@a.test\0@b.test", "500 5.5.2 ", "500 5.5.2 "),
        (b"\"a\\\nb\"@a.test", "500 5.5.2 ", "500 5.5.2 "),
        (b"\"a\\\rb\"@a.test", "500 5.5.2 ", "500 5.5.2 "),
        (b"\"a\nTann@a.test\"@a.test", "500 5.5.2 ", "500 5.5.2 "),
        (b"\xc3\xa9@a.test", "550 5.6.7 ", "553 5.6.7 "),
        (b"a\xc2\x85b@a.test", "501 5.1.7 ", "501 5.1.3 "),
        (b"a\xe2\x80\xaeb@a.test", "501 5.1.7 ", "501 5.1.3 "),
        (b"ann@a.test\x7f", "500 5.5.2 ", "500 5.5.2 "),
        (b"\"a\\\tb\"@a.test", "501 5.1.7 ", "501 5.1.3 "),
        (&repeated(b"%{", 5000), "500 5.5.2 ", "500 5.5.2 "),
        (
            &[&repeated(b"%{", 1000)[..], b"@a.test"].concat(),
            "501 5.1.7 ",
            "501 5.1.3 ",
        ),
        (b"\"a", "501 5.1.7 ", "501 5.1.3 "),
        (b"\"a\\\"@a.test", "501 5.1.7 ", "501 5.1.3 "),
        (b"\"\"@a.test", "501 5.1.7 ", "501 5.1.3 "),
        (
            &[&b"\""[..], &repeated(b"\\a", 256), b"\"@a.test"].concat(),
            "501 5.1.7 ",
            "501 5.1.3 ",
        ),
        (
            &[&repeated(b"\\", 3000)[..], b"@a.test"].concat(),
            "501 5.1.7 ",
            "501 5.1.3 ",
        ),
        (
            &[b"ann@", &repeated(b"a.", 128)[..], b"a"].concat(),
            "501 5.1.7 ",
            "501 5.1.3 ",
        ),
        (b"ann@[IPv6:::::]", "501 5.1.7 ", "501 5.1.3 "),
        (b"ann@[1.2.3.4.5]", "501 5.1.7 ", "501 5.1.3 "),
        (b"ann@[1.2.3.256]", "501 5.1.7 ", "501 5.1.3 "),
        (b"ann@[]", "501 5.1.7 ", "501 5.1.3 "),
        (b"ann@[IPv6:]", "501 5.1.7 ", "501 5.1.3 "),
        (b"ann@[1.2.3.4", "501 5.1.7 ", "501 5.1.3 "),
        (
            &[&b"ann@[IPv6:"[..], &repeated(b"0:", 150), b"]"].concat(),
            "501 5.1.7 ",
            "501 5.1.3 ",
        ),
        (
            &[&b"ann@[x:"[..], &repeated(b"y", 300), b"]"].concat(),
            "501 5.1.7 ",
            "501 5.1.3 ",
        ),
    ] {
        let mut session = server.session();
        session.is_told([b"MAIL FROM:<", inner, b">"].concat(), mail);
        session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
        session.is_told([b"RCPT TO:<", inner, b">"].concat(), rcpt);
        session.is_told("DATA", "554 5.5.1 ");
    }
    server.lives();
}

/// CVE-2020-28021, CVE-2020-28015 and CVE-2020-28022: a parameter put a line into a file of the queue, or was cut where
/// there was nothing to cut. CVE-2020-28023, CVE-2020-28026: one as long as a buffer was read past its end.
#[test]
fn parameters_of_any_form_are_refused_and_the_session_goes_on() {
    let server = Server::start("");
    for (rest, mail, rcpt) in [
        (" AUTH=raw+0Aextra", "555 5.5.4 ", "555 5.5.4 "),
        (" ENVID=a+0D+0Ab", "555 5.5.4 ", "555 5.5.4 "),
        (" ORCPT=rfc822;a+0Ab RET=HDRS", "555 5.5.4 ", "555 5.5.4 "),
        (" NOTIFY=NEVER", "555 5.5.4 ", "555 5.5.4 "),
        (" \"", "501 5.5.4 ", "501 5.5.4 "),
        (" =", "501 5.5.4 ", "501 5.5.4 "),
        (" \"=\"", "501 5.5.4 ", "501 5.5.4 "),
        (" =x", "501 5.5.4 ", "501 5.5.4 "),
        (" x=", "501 5.5.4 ", "501 5.5.4 "),
        (" SIZE", "501 5.5.4 ", "555 5.5.4 "),
        (" SIZE=", "501 5.5.4 ", "501 5.5.4 "),
        (" SIZE=-1", "501 5.5.4 ", "555 5.5.4 "),
        (" SIZE=1 SIZE=1", "501 5.5.4 ", "555 5.5.4 "),
        (" SIZE=1\tBODY=7BIT", "501 5.5.4 ", "501 5.5.4 "),
        (" SIZE=99999999999999999999", "552 5.3.4 ", "555 5.5.4 "),
        (" BODY=\"7BIT\"", "501 5.5.4 ", "555 5.5.4 "),
        ("\tSIZE=1", "501 5.5.4 ", "501 5.5.4 "),
        ("SIZE=1", "501 5.5.4 ", "501 5.5.4 "),
        (">", "501 5.5.4 ", "501 5.5.4 "),
    ] {
        let mut session = server.session();
        session.is_told(format!("MAIL FROM:<joe@b.test>{rest}"), mail);
        session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
        session.is_told(format!("RCPT TO:<ann@a.test>{rest}"), rcpt);
        session.is_told("DATA", "554 5.5.1 ");
    }
    // With its CRLF a line has 4,096 octets at most.
    for (length, reply) in [
        (512, "555 5.5.4 "),
        (1023, "555 5.5.4 "),
        (4093, "555 5.5.4 "),
        (4094, "555 5.5.4 "),
        (4095, "500 5.5.2 "),
        (4096, "500 5.5.2 "),
        (8191, "500 5.5.2 "),
        (16_383, "500 5.5.2 "),
        (16_384, "500 5.5.2 "),
        (65_535, "500 5.5.2 "),
        (65_536, "500 5.5.2 "),
    ] {
        let mut session = server.session();
        for before in ["MAIL FROM:<joe@b.test> ENVID=", "MAIL FROM:<> AUTH="] {
            session.is_told(
                before.to_owned() + &"x".repeat(length - before.len()),
                reply,
            );
        }
        session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
        let before = "RCPT TO:<ann@a.test> ORCPT=rfc822;";
        session.is_told(
            before.to_owned() + &"x".repeat(length - before.len()),
            reply,
        );
        session.is_told("DATA", "554 5.5.1 ");
    }
    server.lives();
}

/// CVE-2025-26794 and CVE-2025-67896: words of a database's language in an address, and ETRN with others, changed what was
/// kept of hosts.
#[test]
fn an_address_is_a_name_and_no_language() {
    let server = Server::start("");
    let from = "\"x'/**/UNION/**/SELECT/**/X'00'--\"@b.test";
    let mut session = server.session();
    session.is_told("ETRN #',1); DROP TABLE tbl; --", "500 5.5.2 ");
    session.is_told(format!("MAIL FROM:<{from}>"), "250 2.1.0 ");
    session.is_told("RCPT TO:<\"'; DROP TABLE queue; --\"@a.test>", "550 5.1.1 ");
    session.is_told("RCPT TO:<bob@a.test>", "250 2.1.5 ");
    session.is_told("DATA", "354 ");
    session.is_told("Subject: x\r\n\r\nx\r\n.", "250 2.0.0 ");
    let arrived = server.lives_with(1, 0);
    // None of its octets needs quotes.
    let path = format!("Return-Path: <{}>\r\n", from.replace('"', ""));
    assert!(contains(&arrived[0], path.as_bytes()));
}
