//! A name server that answers as a test has it, and what name servers say that are not to be believed.

use crate::server::{SOON, Server};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Arc;
use tests::sink::Sink;
use tests::{Client, wait_until};

/// Types of records (RFC 1035 §3.2.2).
pub const A: u16 = 1;
const CNAME: u16 = 5;
const MX: u16 = 15;

/// What is asked: a name in lower case with its dots, and a type of records.
type Asked<'a> = (&'a str, u16);
/// What is answered.
pub enum Said {
    /// These records of the type that was asked for.
    Records(Vec<Vec<u8>>),
    /// One of this type instead.
    Other(u16, Vec<u8>),
    /// There is no such name.
    NoName,
    /// These octets behind the question's number.
    Octets(Vec<u8>),
}

/// A name server that listens until the test ends.
pub struct NameServer {
    pub port: u16,
}

impl NameServer {
    /// One that says what this says.
    pub fn start(says: impl Fn(Asked<'_>) -> Said + Send + Sync + 'static) -> Self {
        let says = Arc::new(says);
        let (udp, tcp) = both();
        let port = udp.local_addr().expect("bound").port();
        let by_udp = Arc::clone(&says);
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((octets, from)) = udp.recv_from(&mut question) {
                let _ = udp.send_to(&answer(&question[..octets], &*by_udp), from);
            }
        });
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().map_while(Result::ok) {
                let says = Arc::clone(&says);
                std::thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                        stream.read_exact(&mut question)?;
                        let mut answer = answer(&question, &*says);
                        answer.truncate(usize::from(u16::MAX));
                        let length = u16::try_from(answer.len()).expect("cut");
                        stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        Self { port }
    }
}

/// One port of both kinds.
fn both() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = tcp.local_addr().expect("bound").port();
        if let Ok(udp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return (udp, tcp);
        }
    }
}

/// A name as RFC 1035 §3.1 writes it; any octets.
fn name(labels: &[&[u8]]) -> Vec<u8> {
    let labels = labels.iter().flat_map(|label| {
        let length = u8::try_from(label.len()).expect("a short label");
        [&[length], *label].concat()
    });
    labels.chain([0]).collect()
}

fn answer(question: &[u8], says: &dyn Fn(Asked<'_>) -> Said) -> Vec<u8> {
    let (mut asked, mut at) = (Vec::new(), 12);
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        asked.push(String::from_utf8_lossy(&question[at + 1..end]).to_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let (code, records) = match says((&asked.join("."), kind)) {
        Said::Records(records) => (0, records.into_iter().map(|data| (kind, data)).collect()),
        Said::Other(kind, data) => (0, vec![(kind, data)]),
        Said::NoName => (3, Vec::new()),
        Said::Octets(octets) => return [&question[..2], &octets].concat(),
    };
    let mut text = question[..2].to_vec();
    let count = u8::try_from(records.len()).expect("few records");
    text.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    text.extend(&question[12..at + 5]);
    for (kind, data) in records {
        text.extend([0xC0, 12]);
        text.extend(kind.to_be_bytes());
        text.extend([0, 1, 0, 0, 0, 60]);
        let length = u16::try_from(data.len()).expect("a short record");
        text.extend(length.to_be_bytes());
        text.extend(data);
    }
    text
}

const FAILED: &str = "event=recipient.failed ";
const DEFERRED: &str = "event=attempt.deferred ";

/// What becomes of mail for each domain, and why.
const DOMAINS: [(&str, &str, &str); 12] = [
    ("good.test", "event=recipient.delivered ", ""),
    ("high.test", FAILED, "status=5.4.4 "),
    ("lines.test", FAILED, "status=5.4.4 "),
    ("quotes.test", FAILED, "status=5.4.4 "),
    ("long.test", DEFERRED, "status=4.4.3 "),
    ("short.test", DEFERRED, "status=4.4.3 "),
    ("pointer.test", DEFERRED, "status=4.4.3 "),
    ("counts.test", DEFERRED, "status=4.4.3 "),
    ("circle.test", FAILED, "status=5.1.2 "),
    ("self.test", FAILED, "status=5.1.2 "),
    ("none.test", FAILED, "status=5.1.2 "),
    ("null.test", FAILED, "status=5.1.10 "),
];

fn said_of(name: &str, kind: u16) -> Said {
    let mx = |labels: &[&[u8]]| Said::Records(vec![[&[0, 10], &self::name(labels)[..]].concat()]);
    match (name, kind) {
        ("good.test", MX) => mx(&[b"host", b"good", b"test"]),
        ("host.good.test", A) => Said::Records(vec![vec![127, 0, 0, 1]]),
        ("high.test", MX) => mx(&[&[0xFF; 63], &[0xFF; 63], b"test"]),
        ("lines.test", MX) => mx(&[b"a\r\nevent=role.ended", b"\n\nmda-exec: id", b"test"]),
        ("quotes.test", MX) => mx(&[b"\"; touch canary; \"", b"$(id)\0", b"test"]),
        // More than was asked for, and a record that says that it is longer than it is.
        ("long.test", MX) => Said::Other(16, b"\xff".repeat(60_000)),
        ("short.test", MX) => Said::Records(vec![vec![0, 10, 63, b'a']]),
        ("circle.test", _) => Said::Other(CNAME, self::name(&[b"ring", b"test"])),
        ("ring.test", _) => Said::Other(CNAME, self::name(&[b"circle", b"test"])),
        ("self.test", _) => Said::Other(CNAME, vec![0xC0, 12]),
        // A pointer at itself (RFC 1035 §4.1.4).
        ("pointer.test", MX) => Said::Octets(
            [
                &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..],
                &[0xC0, 12, 0, 15, 0, 1],
            ]
            .concat(),
        ),
        ("counts.test", MX) => Said::Octets(vec![
            0x81, 0x80, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        ]),
        ("null.test", MX) => mx(&[]),
        ("none.test", _) => Said::NoName,
        _ => Said::Records(Vec::new()),
    }
}

/// CVE-2003-0161 and CVE-2002-0906: octets in an answer of DNS that a parser kept for itself, answers longer than was
/// thought. Exim 2026-04.1: an answer that ends the server.
#[test]
fn what_name_servers_say_ends_nothing() {
    let sink = Sink::start().expect("a sink");
    let server = NameServer::start(|(name, kind)| said_of(name, kind));
    let server = Server::start(&format!(
        "[relay]\nfrom = \"127.0.0.1\"\n[dns]\nservers = [\"127.0.0.1:{}\"]\nsmtp_port = {}\n",
        server.port,
        sink.port()
    ));
    let mut client = Client::connect(server.port).expect("it listens");
    for (domain, ..) in DOMAINS {
        let to = [format!("bob@{domain}")];
        let answer = client.send("bob@a.test", &to, b"Subject: x\r\n\r\nx\r\n");
        assert!(answer.is_ok_and(|answer| answer.starts_with("250 2.0.0 ")));
    }
    for (domain, event, why) in DOMAINS {
        let line = format!(" forward_path=bob@{domain}");
        let is_it = |said: &str| said.starts_with(event) && said.ends_with(&line);
        let find = || {
            let log = server.program.log();
            log.lines().find(|said| is_it(said)).map(str::to_owned)
        };
        wait_until(&format!("{domain}: {event}"), SOON, || find().is_some());
        let said = find().unwrap_or_default();
        assert!(said.contains(why), "{said}");
    }
    let count = |event| DOMAINS.iter().filter(|(_, ends, _)| *ends == event).count();
    // What failed is reported to who sent it.
    server.lives_with(count(FAILED), count(DEFERRED));
    let taken = sink.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].forward_paths, ["bob@good.test"]);
}
