//! Command lines: words of old servers, lines without an end, ends that are none, everything at once.

use crate::server::{SOON, Server, Session, contains};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;
use tests::{left_out, wait_until};

/// DEBUG and WIZ, and their like: words that opened sendmail, or told of it. VRFY and EXPN: who has a mailbox.
#[test]
fn words_that_told_or_opened_too_much_say_nothing() {
    let server = Server::start("");
    for word in [
        "WIZ",
        "DEBUG",
        "KILL",
        "SHELL",
        "SHOWQ",
        "VERB",
        "ONEX",
        "TURN",
        "ATRN",
        "ETRN a.test",
        "SEND FROM:<joe@b.test>",
        "SAML FROM:<joe@b.test>",
        "SOML FROM:<joe@b.test>",
    ] {
        server.session().is_told(word, "500 5.5.2 ");
    }
    let mut session = server.session();
    for name in ["ann", "nobody", "root", "ann@a.test", "<nobody@a.test>", ""] {
        assert_eq!(
            session.say(format!("VRFY {name}")),
            session.say("VRFY ann"),
            "{name}"
        );
        session.is_told(format!("VRFY {name}"), "252 2.0.0 ");
        let mut other = server.session();
        let (known, asked) = (
            other.say("EXPN postmaster"),
            other.say(format!("EXPN {name}")),
        );
        assert_eq!(known, asked, "{name}");
        assert!(known.starts_with("502 5.5.1 "), "{known}");
    }
    server.lives();
}

/// CVE-2019-16928, CVE-2005-1513 and CVE-2005-1514: a command line longer than was thought.
#[test]
fn a_line_that_is_too_long_is_told_so_once_and_takes_no_memory() {
    let server = Server::start("");
    let smtpd = server.pid_of("smtpd");
    let before = resident_kib(smtpd);
    let mut session = server.session();
    for length in [4095, 12 << 10, 64 << 10, (64 << 10) + 1, 1 << 20] {
        for word in ["EHLO ", "MAIL FROM:<", ""] {
            let line = word.to_owned() + &"x".repeat(length - word.len());
            session.is_told(line, "500 5.5.2 line too long");
            session.is_told("NOOP", "250 2.0.0 ");
        }
    }
    // Without an end, and without a blank.
    let mut endless = server.session();
    for _ in 0..64 {
        endless.put(vec![b'x'; 1 << 20]);
    }
    let grown = resident_kib(smtpd).saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more for one line");
    endless.put("\r\n");
    endless.hears("64 MiB", "500 5.5.2 line too long");
    endless.is_told("NOOP", "250 2.0.0 ");
    // What the client calls itself.
    for (length, reply) in [(255, "250 "), (256, "501 5.5.4 "), (4000, "501 5.5.4 ")] {
        let mut session = server.session();
        session.is_told(format!("HELO {}", "x".repeat(length)), reply);
        session.is_told(format!("EHLO {}", "x".repeat(length)), reply);
    }
    server.lives();
}

/// What a process has in memory.
fn resident_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    words.expect("a number")
}

/// CVE-2020-28024: octets that were put back in front of a buffer. A CR at the end of what came, with something else
/// behind it; the end of the connection behind a CR; a line cut between any two octets.
#[test]
fn a_line_ends_with_crlf_wherever_it_is_cut() {
    let server = Server::start("");
    let mut session = server.session();
    for (pieces, reply) in [
        (&["NOOP\r", "\n"][..], "250 2.0.0 "),
        (&["NOOP\r", "x\r\n"], "500 5.5.2 "),
        (&["NOOP\r", "\r\n"], "500 5.5.2 "),
        (&["NOOP\n", "NOOP\r\n"], "500 5.5.2 "),
        (&["\r", "\r", "\r\n"], "500 5.5.2 "),
        (&["\r\n"], "500 5.5.2 "),
        (&["N", "O", "O", "P", " ", "\r", "\n"], "250 2.0.0 "),
        (&["\0\r\n"], "500 5.5.2 "),
        (&["NOOP \u{c}\r\n"], "500 5.5.2 "),
    ] {
        for piece in pieces {
            session.put(piece);
            std::thread::sleep(Duration::from_millis(15));
        }
        session.hears(&format!("{pieces:?}"), reply);
    }
    session.is_told("NOOP", "250 2.0.0 ");
    for last in ["NOOP\r", "\r", "MAIL FROM:<joe@b.test>\r", "DATA", ""] {
        let mut session = server.session();
        session.put(last);
        session.says_no_more();
        assert_eq!(session.rest(), "", "{last:?}");
    }
    for last in ["x\r", "x\r\n.", "x\r\n.\r", "\r\n.", "."] {
        let mut session = server.session();
        session.put("MAIL FROM:<joe@b.test>\r\nRCPT TO:<ann@a.test>\r\nDATA\r\n");
        for reply in ["250 2.1.0 ", "250 2.1.5 ", "354 "] {
            session.hears(last, reply);
        }
        session.put(last);
        session.says_no_more();
        assert_eq!(session.rest(), "", "{last:?}");
    }
    server.lives();
}

/// CVE-2015-7687: sessions that go away in the middle of anything, and one that
/// begins transactions without an end. CVE-2020-35680: who says everything at once, and goes.
#[test]
fn who_says_everything_at_once_or_goes_away_hurts_himself_alone() {
    let server = Server::start("");
    let whole = "EHLO x\r\nMAIL FROM:<joe@b.test>\r\nRCPT TO:<bob@a.test>\r\nRCPT TO:<nobody@a.test>\r\n\
                 DATA\r\nSubject: whole\r\n\r\nx\r\n.\r\nQUIT\r\n";
    // With the last octet of content it is a message, before it is none; the greeting need not be awaited.
    let ends = whole.find(".\r\n").expect("the end of content") + 3;
    for cut in (0..ends).chain([ends - 1]) {
        let mut session = Session::ungreeted(server.port);
        session.put(&whole[..cut]);
        if cut % 2 == 0 {
            session.says_no_more();
            let said = session.rest();
            assert!(!said.contains("250 2.0.0 "), "{cut}: {said}");
        }
    }
    let mut session = Session::ungreeted(server.port);
    session.put(whole);
    let said = session.rest();
    let codes: Vec<&str> = said
        .lines()
        .map(|line| &line[..line.len().min(4)])
        .collect();
    assert_eq!(codes.iter().filter(|code| **code == "354 ").count(), 1);
    assert!(
        said.contains("\r\n550 5.1.1 ") && said.contains("\r\n250 2.0.0 accepted"),
        "{said}"
    );
    assert!(said.ends_with("221 2.0.0 bye\r\n"), "{said}");
    // One that never comes to an end.
    let mut session = server.session();
    let (mut last, mut begun) = (String::new(), 0);
    while !last.starts_with('4') {
        let command = ["MAIL FROM:<joe@b.test>", "RSET"][begun % 2];
        last = session.say(command);
        begun += 1;
        assert!(begun < 1000 && !last.is_empty(), "{begun}: {last}");
    }
    assert!(
        last.starts_with("421 4.7.0 too many commands without mail"),
        "{last}"
    );
    // One who reads nothing, and asks all the time.
    let mut deaf = Session::ungreeted(server.port);
    deaf.put("HELP\r\n".repeat(200_000));
    wait_until("it is ended", SOON, || {
        server.program.log().matches("event=session.closed").count() > ends
    });
    server.lives_with(1, 0);
}

/// CVE-2023-29323: a client with an address of its link, which has a zone.
#[test]
fn a_client_with_an_address_of_its_link_is_a_client() {
    let name = "a_client_with_an_address_of_its_link_is_a_client";
    let Some((address, zone)) = link_local() else {
        return left_out(name, "no interface has an address of its link");
    };
    let server = Server::start_at("[::]", "", |_, _| {});
    let mut session = Session::at(SocketAddrV6::new(address, server.port, 0, zone));
    session.hears("a greeting", "220 ");
    session.is_told("EHLO client.test", "250 ");
    session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
    session.is_told("RCPT TO:<bob@a.test>", "250 2.1.5 ");
    session.is_told("DATA", "354 ");
    session.is_told("Subject: x\r\n\r\nx\r\n.", "250 2.0.0 ");
    let arrived = server.lives_with(1, 0);
    let literal = format!("([IPv6:{address}])");
    assert!(contains(&arrived[0], literal.as_bytes()), "{literal}");
}

/// An address of a link that this machine has, and the number of the interface.
fn link_local() -> Option<(Ipv6Addr, u32)> {
    let list = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    list.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let zone = u32::from_str_radix(words.next()?, 16).ok()?;
        let address = Ipv6Addr::from(address);
        address.is_unicast_link_local().then_some((address, zone))
    })
}
