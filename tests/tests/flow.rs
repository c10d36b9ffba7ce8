//! The whole road, with the program started for real: in over SMTP, out to a Maildir or to the next hop; tried
//! again when it must be, reported on when it cannot be.

use std::fs;
use std::time::Duration;
use tests::{Client, Program, find_files, free_port, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn domain(mx: u16, domain: &str, more: &str) -> String {
    format!(
        "hostname = \"mx.{domain}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [domain.\"{domain}\"]\nusers = [\"ann\", \"bob\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{domain}}/{{user}}\"\n\
         [queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"2s\"\n{more}"
    )
}

/// Contents with every difficulty that one may have.
fn contents() -> Vec<Vec<u8>> {
    let line = |octets: &[u8]| [octets, b"\r\n"].concat();
    let big: Vec<u8> = (0..30_000u32)
        .flat_map(|n| line(format!(".{n:0>70}").as_bytes()))
        .collect();
    vec![
        Vec::new(),
        line(b""),
        line(b"."),
        [
            line(b"Subject: dots"),
            line(b""),
            line(b".."),
            line(b".x"),
            line(b"."),
        ]
        .concat(),
        [line(b"Subject: \xc3\xa9"), line(b""), line(&[0xFF; 300])].concat(),
        [
            line(b"Subject: long"),
            line(b""),
            line(&[b'x'; 998]),
            line(&[b'y'; 5000]),
        ]
        .concat(),
        [line(b"Subject: big"), line(b""), big].concat(),
    ]
}

/// A delivered file without the fields that we put in front, its lines ended by CRLF again.
fn delivered(path: &std::path::Path) -> Vec<u8> {
    let file = fs::read(path).unwrap();
    let mut lines = file.split_inclusive(|b| *b == b'\n');
    // Return-Path, Delivered-To, and a Received field of three lines.
    let ours: usize = lines.by_ref().take(5).map(<[u8]>::len).sum();
    let rest = file[ours..].split_inclusive(|b| *b == b'\n');
    rest.flat_map(|line| [&line[..line.len() - 1], b"\r\n"].concat())
        .collect()
}

#[test]
fn every_content_arrives_as_it_was() {
    let port = free_port();
    let program = Program::start(&domain(port, "a.test", ""));
    let mut client = Client::connect(port).unwrap();
    for content in contents() {
        let answer = client
            .send("x@y.test", &["ann@a.test".into()], &content)
            .unwrap();
        assert!(answer.starts_with("250 2.0.0"), "{answer}");
    }
    let mail = program.folder().join("mail/a.test/ann/new");
    wait_until("all are delivered", SOON, || {
        find_files(&mail).len() == contents().len()
    });
    let mut arrived: Vec<Vec<u8>> = find_files(&mail)
        .iter()
        .map(|path| delivered(path))
        .collect();
    let mut sent = contents();
    arrived.sort();
    sent.sort();
    assert!(arrived == sent, "a content was changed");
    wait_until("nothing is left", SOON, || program.queued() == Some(0));
}

#[test]
fn strangers_do_not_relay_and_unknown_users_are_refused() {
    let port = free_port();
    let program = Program::start(&domain(port, "a.test", ""));
    let mut client = Client::connect(port).unwrap();
    client.say("MAIL FROM:<x@y.test>").unwrap();
    assert!(
        client
            .say("RCPT TO:<who@other.test>")
            .unwrap()
            .starts_with("550 5.7.1 relaying denied [")
    );
    assert!(
        client
            .say("RCPT TO:<who@a.test>")
            .unwrap()
            .starts_with("550 5.1.1 no such recipient here [")
    );
    assert!(client.say("DATA").unwrap().starts_with("554 5.5.1"));
    let explained = program.command(&["explain", "rcpt", "who@other.test", "--ip", "203.0.113.9"]);
    assert_eq!(explained.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&explained.stdout).starts_with("REFUSE  550 5.7.1 relaying denied")
    );
}

#[test]
fn mail_waits_for_a_next_hop_and_what_it_refuses_is_reported() {
    let (port, other) = (free_port(), free_port());
    let relay = format!("[relay]\nto = \"smtp://127.0.0.1:{other}\"\nfrom = \"127.0.0.1\"\n");
    let ours = Program::start(&domain(port, "a.test", &relay));
    let mut client = Client::connect(port).unwrap();
    let to = ["bob@b.test".to_owned(), "nobody@b.test".to_owned()];
    client
        .send("ann@a.test", &to, b"Subject: hi\r\n\r\n.hello\r\n")
        .unwrap();
    wait_until("it was tried", SOON, || {
        ours.log().contains("event=attempt.deferred")
    });
    assert_eq!(ours.queued(), Some(1));
    let theirs = Program::start(&domain(other, "b.test", ""));
    let mail = theirs.folder().join("mail/b.test/bob/new");
    wait_until("bob has it", SOON, || find_files(&mail).len() == 1);
    let reports = ours.folder().join("mail/a.test/ann/new");
    wait_until("ann has the report", SOON, || {
        find_files(&reports).len() == 1
    });
    let report = fs::read_to_string(&find_files(&reports)[0]).unwrap();
    assert!(report.starts_with("Return-Path: <>\n"), "{report}");
    assert!(
        report.contains("Final-Recipient: rfc822; nobody@b.test\nAction: failed\nStatus: 5.1.1\n"),
        "{report}"
    );
    // The next hop is named by the configuration: what it said of itself stays here.
    assert!(
        !report.contains("mx.b.test") && !report.contains("no such recipient"),
        "{report}"
    );
    assert!(!report.contains(".hello"), "{report}");
    // The log tells who did what, and with which words.
    let line = |event: &str, of: &str| {
        let log = ours.log();
        let mut lines = log.lines();
        let found = lines.find(|line| line.contains(event) && line.contains(of));
        found.unwrap_or_default().to_owned()
    };
    let took = line("event=recipient.delivered", "bob@b.test");
    assert!(
        took.contains(" peer_ip=127.0.0.1 ") && took.contains(" host=127.0.0.1 "),
        "{took}"
    );
    assert!(took.contains(" reply=\"250 2.0.0 "), "{took}");
    let refused = line("event=recipient.failed", "nobody@b.test");
    assert!(
        refused.contains(" peer_ip=127.0.0.1 ") && refused.contains(" host=127.0.0.1 "),
        "{refused}"
    );
    assert!(refused.contains("no such recipient here"), "{refused}");
    let deferred = line("event=host.failed", "127.0.0.1");
    assert!(deferred.contains("onnection refused"), "{deferred}");
    wait_until("nothing is left", SOON, || ours.queued() == Some(0));
}

#[test]
fn mail_whose_way_leads_back_here_fails_at_once_and_is_explained() {
    let port = free_port();
    let more = format!(
        "[domain.\"b.test\"]\nusers = [\"eve\"]\ndeliver = \"maildir:{{dir}}/{{user}}\"\n\
         aliases = {{ postmaster = \"eve\", away = \"x@[127.0.0.1]\" }}\n[dns]\nsmtp_port = {port}\n"
    );
    let program = Program::start(&domain(port, "a.test", &more));
    let mut client = Client::connect(port).unwrap();
    let to = ["away@b.test".to_owned()];
    client
        .send("ann@a.test", &to, b"Subject: x\r\n\r\n")
        .unwrap();
    let reports = program.folder().join("mail/a.test/ann/new");
    wait_until("ann has the report", SOON, || {
        find_files(&reports).len() == 1
    });
    let report = fs::read_to_string(&find_files(&reports)[0]).unwrap();
    assert!(report.contains("Status: 5.4.6\n"), "{report}");
    assert!(!report.contains("Received:"), "it went round: {report}");
    let explained = program.command(&["explain", "route", "away@b.test"]);
    let said = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert_eq!(explained.status.code(), Some(1), "{said}");
    assert!(said.contains("5.4.6 the mail would come back"), "{said}");
}

#[test]
fn what_keeps_a_mailbox_from_being_written_is_told_to_the_administrator_and_to_nobody_else() {
    let port = free_port();
    let by_lmtp = "[domain.\"l.test\"]\nusers = [\"eve\"]\naliases = { postmaster = \"eve\" }\n\
        deliver = \"lmtp:{dir}/no-socket\"\n";
    let program = Program::start(&domain(port, "a.test", by_lmtp));
    fs::create_dir_all(program.folder().join("mail/a.test")).unwrap();
    fs::write(program.folder().join("mail/a.test/ann"), "a file").unwrap();
    let mut client = Client::connect(port).unwrap();
    let folder = program.folder().display().to_string();
    for (to, words, place) in [
        (
            "ann@a.test",
            "the mailbox cannot be written now",
            "/mail/a.test/ann: Not a directory (os error 20)",
        ),
        (
            "eve@l.test",
            "the mailbox server cannot be reached",
            "/no-socket: No such file or directory (os error 2)",
        ),
    ] {
        let answer = client
            .send("bob@a.test", &[to.into()], b"Subject: x\r\n\r\n")
            .unwrap();
        let id = answer.split(['[', ']']).nth(1).unwrap().to_owned();
        let cause = format!(" cause=\"{words}: {folder}{place}\"");
        wait_until("it was tried", SOON, || program.log().contains(&cause));
        let explained = program.command(&["explain", "message", &id]);
        let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
        assert!(explained.contains(place), "{explained}");
        // What is kept, and so what a report may say, has the fixed words only.
        let listed = program.command(&["queue", "list", "--json"]);
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let of_it: Vec<&str> = listed.lines().filter(|line| line.contains(&id)).collect();
        assert!(of_it.len() == 1 && of_it[0].contains(words), "{listed}");
        assert!(!of_it[0].contains("os error"), "{listed}");
    }
}

#[test]
fn what_was_queued_is_there_after_a_kill_and_after_a_stop() {
    let (port, nobody) = (free_port(), free_port());
    let relay = format!("[relay]\nto = \"smtp://127.0.0.1:{nobody}\"\nfrom = \"127.0.0.1\"\n");
    let mut program = Program::start(&domain(port, "a.test", &relay));
    for n in 0..20 {
        let mut client = Client::connect(port).unwrap();
        let answer = client
            .send(
                "ann@a.test",
                &[format!("u{n}@b.test")],
                b"Subject: x\r\n\r\n",
            )
            .unwrap();
        assert!(answer.starts_with("250"), "{answer}");
    }
    program.kill();
    program.run();
    assert_eq!(program.queued(), Some(20));
    assert!(program.stop());
    program.run();
    assert_eq!(program.queued(), Some(20));
    let dropped = program.command(&["queue", "drop", "--to", "b.test"]);
    assert_eq!(
        String::from_utf8_lossy(&dropped.stdout),
        "20 messages meant\n20 messages dropped\n"
    );
    wait_until("all are dropped", SOON, || program.queued() == Some(0));
}

#[test]
fn a_configuration_that_is_wrong_starts_nothing() {
    let program = Program::start(&domain(free_port(), "a.test", ""));
    fs::write(
        program.config(),
        "hostname = \"a.b\"\n[relay]\nfrom = [\"::/0\"]\n",
    )
    .unwrap();
    for command in ["check", "run"] {
        let output = program.command(&[command]);
        assert_eq!(output.status.code(), Some(3));
        assert!(
            String::from_utf8_lossy(&output.stderr)
                .contains("this would be an open relay; refused")
        );
    }
}
