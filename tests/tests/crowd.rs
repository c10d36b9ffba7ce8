//! More clients than sessions: those that hold theirs open and bring nothing make room for those that bring mail.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use tests::{Client, Program, free_port, wait_until};

const SOON: Duration = Duration::from_secs(20);
/// How long a session may bring nothing when there is no room, and a little.
const IDLE: Duration = Duration::from_secs(11);
const SESSIONS: usize = 20;
/// Sessions that bring mail and stay.
const STAY: usize = 5;

fn started(port: u16) -> Program {
    Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n[limits]\nsessions = {SESSIONS}\nclient_sessions = 1000\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    ))
}

/// A connection of ours, and how it is greeted.
fn greeted(port: u16) -> (BufReader<TcpStream>, String) {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a time");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a greeting");
    (reader, line)
}

/// One that is in the middle of content.
fn in_content(port: u16) -> BufReader<TcpStream> {
    let (mut reader, greeting) = greeted(port);
    assert!(greeting.starts_with("220 "), "{greeting}");
    for (said, heard) in [
        ("HELO b.test", "250"),
        ("MAIL FROM:<joe@b.test>", "250"),
        ("RCPT TO:<ann@a.test>", "250"),
        ("DATA", "354"),
    ] {
        let line = format!("{said}\r\n");
        reader
            .get_mut()
            .write_all(line.as_bytes())
            .expect("it hears");
        let mut answer = String::new();
        reader.read_line(&mut answer).expect("an answer");
        assert!(answer.starts_with(heard), "{said}: {answer}");
    }
    reader
}

/// Sends octets at this pace until told to end, and says how the session was then.
fn drips(
    mut reader: BufReader<TcpStream>,
    octets: usize,
    until: Instant,
) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        while Instant::now() < until {
            let line = [&vec![b'x'; octets - 2][..], b"\r\n"].concat();
            if reader.get_mut().write_all(&line).is_err() {
                break;
            }
            thread::sleep(Duration::from_secs(1));
        }
        let _ = reader.get_mut().write_all(b".\r\n");
        let mut said = String::new();
        let _ = reader.read_to_string(&mut said);
        said
    })
}

#[test]
fn who_brings_nothing_makes_room_for_mail() {
    let port = free_port();
    let program = started(port);
    let until = Instant::now() + IDLE + Duration::from_secs(4);
    // One whose content comes, slowly; one whose content hardly comes; and all the others say nothing at all.
    let mut steady = in_content(port);
    steady
        .get_ref()
        .set_read_timeout(Some(Duration::from_secs(3)))
        .expect("a time");
    steady
        .get_mut()
        .write_all(b"Subject: slow\r\n\r\n")
        .expect("it hears");
    let steady = drips(steady, 900, until);
    let dribbles = drips(in_content(port), 3, until);
    let mut silent: Vec<_> = (2..SESSIONS).map(|_| greeted(port)).collect();
    assert!(
        silent
            .iter()
            .all(|(_, greeting)| greeting.starts_with("220 "))
    );
    // Just come, nobody has to go.
    let (_, greeting) = greeted(port);
    assert!(greeting.starts_with("421 4.3.2 "), "{greeting}");
    thread::sleep(IDLE);
    let (mut taken, mut stay) = (0, Vec::new());
    for number in 0..SESSIONS {
        let mut client = Client::connect(port).expect("there is room");
        let to = ["ann@a.test".to_owned()];
        let answer = client.send("joe@b.test", &to, b"Subject: x\r\n\r\nx\r\n");
        taken += usize::from(answer.expect("an answer").starts_with("250 "));
        if number < STAY {
            stay.push(client);
        }
    }
    assert_eq!(taken, SESSIONS);
    wait_until("it is said who went, and why", SOON, || {
        let log = program.log();
        log.contains("event=session.cut level=info role=smtpd")
            && log.contains("rule=limits.sessions")
    });
    let mut cut = 0;
    for (reader, _) in &mut silent {
        reader
            .get_ref()
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a time");
        let mut line = String::new();
        if reader.read_line(&mut line).is_ok() {
            assert!(line.starts_with("421 4.3.2 "), "{line}");
            cut += 1;
        }
    }
    assert!(
        (1..=STAY).contains(&cut),
        "{cut} of those that were silent went"
    );
    let steady = steady.join().expect("it runs");
    assert!(steady.starts_with("250 2.0.0"), "{steady}");
    let dribbles = dribbles.join().expect("it runs");
    assert!(!dribbles.contains("250 2.0.0"), "{dribbles}");
    let cuts = program.log().matches("event=session.cut").count();
    assert!((STAY..=STAY + 1).contains(&cuts), "{cuts} had to go");
}
