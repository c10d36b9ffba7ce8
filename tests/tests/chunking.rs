//! CHUNKING (RFC 3030), with the program started for real: what comes by BDAT arrives as what comes by DATA, and no octet
//! of a chunk is taken for anything else.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use tests::{Authority, Client, Program, find_files, free_port, wait_until};

const SOON: Duration = Duration::from_secs(30);
const NAME: &str = "mx.a.test";
const FROM: &str = "joe@b.test";

fn configuration(mx: u16, more: &str) -> String {
    format!(
        "hostname = \"{NAME}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n{more}\
         [listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\", \"bob\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    )
}

fn started(port: u16) -> Program {
    Program::start(&configuration(port, ""))
}

fn started_with_tls(port: u16, by: &Authority) -> Program {
    let configuration = configuration(port, "cert = \"{dir}/tls\"\n");
    Program::start_with(&configuration, |folder| {
        by.certify(&[NAME], &folder.join("tls"));
    })
}

fn to(user: &str) -> [String; 1] {
    [format!("{user}@a.test")]
}

/// A delivered file without the fields that we put in front: Return-Path, Delivered-To, and a Received field of three
/// lines.
fn delivered(path: &Path) -> Vec<u8> {
    let file = fs::read(path).expect("it is delivered");
    let lines = file.split_inclusive(|b| *b == b'\n').skip(5);
    let crlf = lines.flat_map(|line| [&line[..line.len() - 1], b"\r\n"].concat());
    crlf.collect()
}

/// What a user has, once it is so many messages.
fn mail_of(program: &Program, user: &str, count: usize) -> Vec<Vec<u8>> {
    let folder = program.folder().join("mail").join(user).join("new");
    wait_until("all are delivered", SOON, || {
        find_files(&folder).len() >= count
    });
    let files = find_files(&folder);
    let mut contents: Vec<Vec<u8>> = files.iter().map(|path| delivered(path)).collect();
    contents.sort();
    contents
}

/// How many messages were taken so far.
fn taken(program: &Program) -> usize {
    program.log().matches("event=message.accepted").count()
}

/// Contents with every difficulty that one may have.
fn contents() -> Vec<Vec<u8>> {
    let large: Vec<u8> = (0..50_000u32)
        .flat_map(|n| format!(".{n:0>70}\r\n").into_bytes())
        .collect();
    let mut contents = vec![
        b"".to_vec(),
        b"\r\n".to_vec(),
        b".\r\n".to_vec(),
        b"Subject: dots\r\n.\r\n..\r\n\r\n.\r\n.x\r\n..y\r\n.\r\nMAIL FROM:<z@b.test>\r\n".to_vec(),
        b"Subject: \xc3\xa9\r\n\r\n\xff\xfe\r\n".to_vec(),
        [b"Subject: large\r\n\r\n".to_vec(), large].concat(),
    ];
    contents.push(
        [
            b"Subject: ".to_vec(),
            vec![b'l'; 20_000],
            b"\r\n\r\nx\r\n".to_vec(),
        ]
        .concat(),
    );
    contents
}

#[test]
fn what_comes_in_chunks_arrives_as_by_data() {
    let port = free_port();
    let program = started(port);
    let mut client = Client::connect(port).expect("it listens");
    let mut in_step = Client::connect(port)
        .expect("it listens")
        .without_pipelining();
    let mut count = 0;
    for content in contents() {
        let answer = client.send(FROM, &to("ann"), &content).expect("an answer");
        assert!(answer.starts_with("250 2.0.0 accepted"), "{answer}");
        let small = if content.len() > 100_000 { 4000 } else { 1 };
        for sizes in [&[usize::MAX][..], &[1 << 20], &[small], &[7, 1, 3000]] {
            for client in [&mut client, &mut in_step] {
                if sizes[0] == small && count % 2 == 1 && content.len() > 1000 {
                    // Once is enough: each of them is waited for.
                    continue;
                }
                let answers = client.send_chunks(FROM, &to("bob"), &content, sizes);
                let mut answers = answers.expect("answers");
                let last = answers.pop().expect("one to each");
                assert!(last.starts_with("250 2.0.0 accepted ["), "{last}");
                let others = &answers[2..];
                assert!(others.iter().all(|said| said == "250 2.0.0 go on"));
                count += 1;
            }
        }
    }
    let by_data = mail_of(&program, "ann", contents().len());
    let mut sent = contents();
    sent.sort();
    assert!(by_data == sent, "a content was changed after DATA");
    let mut in_chunks = mail_of(&program, "bob", count);
    assert_eq!(in_chunks.len(), count);
    in_chunks.dedup();
    assert!(in_chunks == sent, "a content was changed in chunks");
}

#[test]
fn lines_are_ended_by_crlf_and_a_last_line_has_an_end() {
    let port = free_port();
    let program = started(port);
    let mut client = Client::connect(port).expect("it listens");
    let bare = b"Subject: bare\n\n.\nQUIT\n\r\nno end";
    for sizes in [&[usize::MAX][..], &[1]] {
        let answers = client.send_chunks(FROM, &to("ann"), bare, sizes);
        let last = answers.expect("answers").pop().expect("one to each");
        assert!(last.starts_with("250 2.0.0 accepted"), "{last}");
    }
    for (bad, code) in [(&b"a\rb\r\n"[..], "550 5.6.0"), (b"a\0b\r\n", "550 5.6.0")] {
        let answers = client.send_chunks(FROM, &to("ann"), bad, &[usize::MAX]);
        let last = answers.expect("answers").pop().expect("one to each");
        assert!(last.starts_with(code), "{last}");
    }
    let arrived = mail_of(&program, "ann", 2);
    let whole = b"Subject: bare\r\n\r\n.\r\nQUIT\r\n\r\nno end\r\n".to_vec();
    assert_eq!(arrived, [whole.clone(), whole]);
}

#[test]
fn chunks_come_under_tls() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started_with_tls(port, &authority);
    let (mut client, _) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    let mut count = 0;
    for content in contents() {
        for sizes in [&[usize::MAX][..], &[1 << 20], &[16_384, 1, 16_383]] {
            let answers = client.send_chunks(FROM, &to("ann"), &content, sizes);
            let last = answers.expect("answers").pop().expect("one to each");
            assert!(last.starts_with("250 2.0.0 accepted"), "{last}");
            count += 1;
        }
    }
    let mut arrived = mail_of(&program, "ann", count);
    arrived.dedup();
    let mut sent = contents();
    sent.sort();
    assert!(arrived == sent, "a content was changed");
}

/// Says all of it at once; the codes of all that is answered until the server closes.
fn told(port: u16, said: &[u8]) -> String {
    let mut client = Client::connect(port).expect("it listens");
    client.put(said).expect("it listens");
    client.end(b"").expect("it listens");
    let rest = client.rest();
    let codes: Vec<&str> = rest.lines().map(|line| &line[..3]).collect();
    codes.join(" ")
}

const OPEN: &str = "MAIL FROM:<joe@b.test>\r\nRCPT TO:<ann@a.test>\r\n";

/// CVE-2017-16943, CVE-2017-16944, CVE-2021-28019: chunks that are refused, broken, in a wrong state or in a wrong order
/// left others with pointers to what was no more, or in an endless loop.
#[test]
fn what_was_wrong_with_chunks_elsewhere_is_no_matter_here() {
    let port = free_port();
    let program = started(port);
    let long = "x".repeat(70_000);
    for (said, codes) in [
        // 16943: parts of a header section, and then a BDAT that is none.
        (
            format!("{OPEN}BDAT 1\r\nSBDAT 10\r\nubject: \nxBDAT \u{7f}\r\nNOOP\r\n"),
            "250 250 250 250 501",
        ),
        (
            format!(
                "{OPEN}BDAT 9\r\nSubject: BDAT {}\r\n{long}BDAT 0\r\nRSET\r\nQUIT\r\n",
                long.len()
            ),
            "250 250 250 250 250 250 221",
        ),
        // 28019: in a wrong state, and then DATA.
        (
            format!("BDAT 5\r\nQUIT\r{OPEN}DATA\r\nx\r\n.\r\nQUIT\r\n"),
            "503 250 250 354 250 221",
        ),
        (
            format!("{OPEN}BDAT 5\r\nQUIT\nDATA\r\nBDAT 0\r\nRSET\r\nDATA\r\nQUIT\r\n"),
            "250 250 250 503 250 250 503 221",
        ),
        (
            format!("{OPEN}BDAT 5\r\nQUIT\0DATA\r\nBDAT 6\r\nQUIT\r\nRSET\r\nQUIT\r\n"),
            "250 250 550 503 503 250 221",
        ),
        // And the next transaction behind it at once.
        (
            format!("{OPEN}BDAT 5 LAST\r\nQUIT\n{OPEN}BDAT 6 LAST\r\nQUIT\r\nQUIT\r\n"),
            "250 250 250 250 250 250 221",
        ),
        (
            format!("{OPEN}BDAT 5 LAST\r\nQ\rIT\nMAIL FROM:<>\r\nBDAT 6 LAST\r\nQUIT\r\nQUIT\r\n"),
            "250 250 550 250 554 221",
        ),
        // Sizes without end.
        (
            format!("{OPEN}BDAT 99999999999999999999 LAST\r\nNOOP\r\n"),
            "250 250 552",
        ),
        (format!("{OPEN}BDAT -1\r\nNOOP\r\n"), "250 250 501"),
    ] {
        assert_eq!(told(port, said.as_bytes()), codes, "{said:.200}");
    }
    // 16944: a lone dot where fields should be.
    let said = format!("{OPEN}BDAT 15 LAST\r\n.\r\nSubject: x\n\nQUIT\r\n");
    assert_eq!(told(port, said.as_bytes()), "250 250 250 221");
    let arrived = mail_of(&program, "ann", 4);
    let kept: [&[u8]; 4] = [
        b".\r\nSubject: x\r\n\r\n",
        b"QUIT\r\n",
        b"QUIT\r\n",
        b"x\r\n",
    ];
    let mut kept: Vec<Vec<u8>> = kept.iter().map(|content| content.to_vec()).collect();
    kept.sort();
    assert_eq!(arrived, kept);
}

#[test]
fn too_many_recipients_and_too_much_content_leave_the_session_in_step() {
    let port = free_port();
    let limits = "[limits]\nmessage = \"1 MiB\"\nrecipients = 100\n";
    let program = Program::start(&(configuration(port, "") + limits));
    let many = "RCPT TO:<ann@a.test>\r\n".repeat(101);
    let said = format!("MAIL FROM:<>\r\n{many}BDAT 6\r\nQUIT\r\nBDAT 0 LAST\r\nQUIT\r\n");
    let codes = told(port, said.as_bytes());
    assert!(codes.ends_with("250 452 250 250 221"), "{codes}");
    let line = "x".repeat(1022) + "\r\n";
    let half = line.repeat(512);
    let said = format!(
        "{OPEN}BDAT {size}\r\n{half}BDAT {size}\r\n{half}BDAT 1\r\nxBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n\
         {OPEN}BDAT 2097152 LAST\r\n{half}{half}{half}{half}NOOP\r\nQUIT\r\n",
        size = half.len()
    );
    assert_eq!(
        told(port, said.as_bytes()),
        "250 250 250 250 552 503 250 250 250 552 250 221"
    );
    wait_until("it is taken", SOON, || taken(&program) == 1);
}

/// Of a message that was not whole nothing is kept, however its sender went.
#[test]
fn who_goes_in_the_middle_of_a_chunk_has_sent_nothing() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started_with_tls(port, &authority);
    let large = "x".repeat(300_000);
    let begun = [
        format!("{OPEN}BDAT 5 LAST\r\nabc"),
        format!("{OPEN}BDAT 300000\r\n{large}"),
        format!("{OPEN}BDAT 300002 LAST\r\n{large}\r"),
    ];
    for said in &begun {
        let mut client = Client::connect(port).expect("it listens");
        client.put(said.as_bytes()).expect("it listens");
        drop(client);
        // Exim's hole of 2026-05: TLS ends within a chunk, and its rest comes in clear.
        let (mut client, _) = Client::connect_tls(port, NAME, &authority).expect("TLS");
        client.put(said.as_bytes()).expect("it listens");
        // It may have closed before all is written.
        let _ = client.end(b"de\r\nBDAT 0 LAST\r\nNOOP\r\n");
        let rest = client.rest();
        assert!(!rest.contains("accepted"), "{rest}");
    }
    // Who is still there is told that the rest will not be waited for.
    let mut last = Client::connect(port).expect("it listens");
    let answers = last.send_chunks(FROM, &to("ann"), b"x\r\n", &[1]);
    assert!(answers.expect("answers")[4].starts_with("250 2.0.0 accepted"));
    wait_until("one is taken", SOON, || taken(&program) == 1);
    wait_until("all sessions but one are over", SOON, || {
        program.log().matches("event=session.closed").count() == begun.len() * 2
    });
    assert_eq!(mail_of(&program, "ann", 1), [b"x\r\n".to_vec()]);
    assert_eq!(taken(&program), 1);
}

#[test]
fn a_stop_takes_chunks_that_are_on_their_way_and_waits_for_no_others() {
    let port = free_port();
    let mut program = started(port);
    let dropped = format!("{OPEN}BDAT 3\r\nabc");
    let mut silent = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    silent
        .write_all(format!("EHLO x\r\n{dropped}").as_bytes())
        .expect("it listens");
    let mut going = Client::connect(port).expect("it listens");
    going.put(dropped.as_bytes()).expect("it listens");
    for _ in 0..3 {
        let said = going.answer().expect("an answer");
        assert!(said.starts_with("250"), "{said}");
    }
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| program.stop());
        std::thread::sleep(Duration::from_secs(2));
        going.put(b"BDAT 2 LAST\r\nde").expect("it goes on");
        let said = going.answer().expect("an answer");
        assert!(said.starts_with("250 2.0.0 accepted"), "{said}");
        assert!(going.rest().starts_with("421 4.3.2"));
        assert!(stop.join().expect("it ends"));
    });
    program.run();
    assert_eq!(mail_of(&program, "ann", 1), [b"abcde\r\n".to_vec()]);
    assert_eq!(taken(&program), 1);
}
