//! What reports and replies must not tell: where mail lies, who we are inside, what an inner server said, what we are made
//! of.

use crate::server::{SOON, Server, Session};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use tests::{Client, wait_until};

/// What an LMTP server says of one of several recipients, once it has the content.
const SAID: &str = "inner.lan (10.1.2.3, fd00::7, uid 1000) -----BEGIN PRIVATE KEY----- /srv/mail/eve: |/bin/false";

/// CVE-2016-9963: a private key in a report. Leaks in reports: what those of other servers tell of whom they failed for: a command, a path,
/// an address that an alias led to, a user's number, a host inside.
#[test]
fn a_report_tells_nothing_of_what_is_inside() {
    let port = lmtp();
    let server = Server::start(&format!(
        "[domain.\"in.test\"]\nusers = [\"eve\", \"sam\", \"hidden\"]\n\
         aliases = {{ postmaster = \"sam\", public = \"hidden\" }}\ndeliver = \"lmtp:127.0.0.1:{port}\"\n"
    ));
    let mut client = Client::connect(server.port).expect("it listens");
    let to = ["sam@in.test", "eve@in.test", "public@in.test"].map(str::to_owned);
    let answer = client.send(
        "bob@a.test",
        &to,
        b"Subject: x\r\nX-Kept: y\r\n\r\nthe body\r\n",
    );
    assert!(answer.is_ok_and(|answer| answer.starts_with("250 2.0.0 ")));
    let reports = server.lives_with(1, 0);
    let report = String::from_utf8(reports[0].clone()).expect("ASCII");
    for wanted in [
        "Return-Path: <>\r\n",
        "Content-Type: multipart/report; report-type=delivery-status;\r\n",
        "Reporting-MTA: dns; mx.a.test\r\n",
        "Final-Recipient: rfc822; eve@in.test\r\nAction: failed\r\nStatus: 5.2.2\r\n",
        "Final-Recipient: rfc822; public@in.test\r\nAction: failed\r\nStatus: 5.2.2\r\n",
        "Content-Type: text/rfc822-headers\r\n",
        "X-Kept: y\r\n",
    ] {
        assert!(report.contains(wanted), "{wanted:?} is missing: {report}");
    }
    let found = leaks(&report, &server);
    assert!(found.is_empty(), "{found:?}: {report}");
    // Each that is planted is found.
    let inner = machine();
    for planted in [
        "10.1.2.3",
        "at inner.lan",
        "hidden@in.test",
        "the body",
        &server.program.folder().join("mail").display().to_string(),
        &inner,
        "Received: from client.test",
        "uid 1000",
        "-----BEGIN PRIVATE KEY-----",
        "Ringmail 1",
    ] {
        let planted = report.replace("X-Kept: y", &format!("X-Kept: y {planted}"));
        assert_eq!(leaks(&planted, &server).len(), 1, "{planted}");
    }
}

/// What must not be told and stands there.
fn leaks(text: &str, server: &Server) -> Vec<String> {
    let text = text.to_lowercase();
    let folder = server.program.folder().display().to_string().to_lowercase();
    let own = [folder, machine()];
    let fixed = [
        "10.1.2.3",
        "fd00::7",
        "127.0.0.1",
        "inner.lan",
        "hidden",
        "the body",
        "received: from client",
        "uid",
        "private key",
        "/srv",
        "/bin",
        "lmtp",
        "ringmail",
        "remote-mta",
        "x-unix",
    ];
    let all = own.into_iter().chain(fixed.map(str::to_owned));
    all.filter(|leak| text.contains(leak.as_str())).collect()
}

/// What this machine is called; something that no report says, where its name could be a word or a piece of a number.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_lowercase();
    let is_its_own = name.contains('-') && name.contains(|c: char| c.is_ascii_digit());
    if is_its_own {
        name
    } else {
        "(a machine)".into()
    }
}

/// An LMTP server that takes content for one recipient and refuses it for the others.
fn lmtp() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that goes away ends its session and nothing else.
            std::thread::spawn(move || takes_one(stream));
        }
    });
    port
}

fn takes_one(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 inner.lan\r\n")?;
    let (mut recipients, mut content) = (Vec::new(), false);
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if content && line != "." {
            continue;
        }
        let answer = match line.get(..4).unwrap_or(&line) {
            "LHLO" => "250-inner.lan\r\n250 PIPELINING\r\n".to_owned(),
            "RCPT" => {
                recipients.push(line.contains("sam@"));
                "250 2.1.5 good\r\n".to_owned()
            }
            "DATA" => {
                content = true;
                "354 go\r\n".to_owned()
            }
            "." => {
                content = false;
                let each = recipients.drain(..).map(|takes| {
                    if takes {
                        "250 2.0.0 taken\r\n".to_owned()
                    } else {
                        format!("552 5.2.2 {SAID}\r\n")
                    }
                });
                each.collect()
            }
            _ => "250 2.0.0 good\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Leaks in replies: versions, which say what to try; names guessed at, where the words differ.
#[test]
fn replies_tell_nothing_of_what_is_inside() {
    let server = Server::start("");
    let mut session = Session::ungreeted(server.port);
    session.put(
        "HELP\r\nEHLO x\r\nHELO x\r\nNOOP\r\nWIZ\r\nVRFY ann\r\nVRFY nobody\r\nEXPN ann\r\nMAIL FROM:<a>\r\n\
         MAIL FROM:<joe@b.test>\r\nRCPT TO:<nobody@a.test>\r\nRCPT TO:<ann@far.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\nx\r\n.\r\nRSET\r\nQUIT\r\n",
    );
    let said = session.rest();
    assert!(said.starts_with("220 mx.a.test ESMTP\r\n"), "{said}");
    assert!(said.ends_with("221 2.0.0 bye\r\n"), "{said}");
    for line in said.lines() {
        let found = leaks(line, &server);
        assert!(found.is_empty(), "{line}: {found:?}");
        let version = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
        let is_version = |word: &str| word.starts_with(env!("CARGO_PKG_VERSION"));
        assert!(!version.into_iter().any(is_version), "{line}");
    }
    // In each refusal the session's name is the same.
    let refusals: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("550 "))
        .collect();
    assert_eq!(refusals.len(), 2, "{said}");
    let mut session = server.session();
    session.is_told("MAIL FROM:<joe@b.test>", "250 2.1.0 ");
    let words = |path: &str, session: &mut Session| session.say(format!("RCPT TO:<{path}>"));
    let first = words("nobody@a.test", &mut session);
    for path in [
        "root@a.test",
        "x+y@a.test",
        "nobody@mx.a.test",
        "\"a b\"@a.test",
    ] {
        assert_eq!(words(path, &mut session), first, "{path}");
    }
    server.lives_with(1, 0);
    wait_until("it is said in the log", SOON, || {
        server.program.log().contains("event=recipient.refused")
    });
}
