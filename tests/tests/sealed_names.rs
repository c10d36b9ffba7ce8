//! Name servers, asked by sealed processes: relay finds a next hop by MX, over UDP and, where an answer does not fit, over
//! TCP; local finds an LMTP server that is named by its host.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tests::sink::Sink;
use tests::{Client, Program, free_port, wait_until};

const SOON: Duration = Duration::from_secs(30);
const MX: u16 = 15;
const A: u16 = 1;

/// A name server that knows one domain, and says of its MX over UDP that the answer does not fit.
struct Names {
    port: u16,
    by_udp: Arc<AtomicU32>,
    by_tcp: Arc<AtomicU32>,
}

impl Names {
    fn start() -> Self {
        // One that connections of others do not get by chance.
        let port = free_port();
        let udp = UdpSocket::bind(("127.0.0.1", port)).expect("a free port");
        let tcp = TcpListener::bind(("127.0.0.1", port)).expect("the same port");
        let names = Self {
            port,
            by_udp: Arc::default(),
            by_tcp: Arc::default(),
        };
        let count = Arc::clone(&names.by_udp);
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((octets, from)) = udp.recv_from(&mut question) {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = udp.send_to(&answer(&question[..octets], true), from);
            }
        });
        let count = Arc::clone(&names.by_tcp);
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                        stream.read_exact(&mut question)?;
                        let answer = answer(&question, false);
                        let length = u16::try_from(answer.len()).expect("a short answer");
                        stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        names
    }
}

/// A name as RFC 1035 §3.1 writes it.
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).expect("a short label");
        [&[length], label.as_bytes()].concat()
    });
    labels.chain([0]).collect()
}

/// The answer to one question.
fn answer(question: &[u8], udp: bool) -> Vec<u8> {
    let end = question[12..]
        .iter()
        .position(|octet| *octet == 0)
        .expect("a name")
        + 12;
    let asked = &question[12..=end];
    let kind = u16::from_be_bytes([question[end + 1], question[end + 2]]);
    let host = name("mx.far.test");
    let data = match kind {
        MX if asked == name("far.test") => Some([&[0, 10], &host[..]].concat()),
        A if asked == host || asked == name("lmtp.far.test") => Some(vec![127, 0, 0, 1]),
        _ => None,
    };
    let fits = !(udp && kind == MX);
    let mut text = question[..2].to_vec();
    // A reply that is recursive; truncated where it does not fit (RFC 1035 §4.1.1).
    text.extend(if fits { [0x81, 0x80] } else { [0x83, 0x80] });
    let answers = u8::from(fits && data.is_some());
    text.extend([0, 1, 0, answers, 0, 0, 0, 0]);
    text.extend(&question[12..end + 5]);
    if let Some(data) = data.filter(|_| fits) {
        text.extend([0xC0, 12]);
        text.extend(kind.to_be_bytes());
        text.extend([0, 1, 0, 0, 0, 60]);
        text.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        text.extend(data);
    }
    text
}

#[test]
fn sealed_processes_find_hosts_by_their_names() {
    let (names, sink) = (Names::start(), Sink::start().expect("a sink"));
    let port = free_port();
    let program = Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\nsandbox = \"best\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n[relay]\nfrom = \"127.0.0.1\"\n\
         [dns]\nservers = [\"127.0.0.1:{}\"]\nsmtp_port = {}\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\ndeliver = \"lmtp:lmtp.far.test:{}\"\n",
        names.port,
        sink.port(),
        sink.port(),
    ));
    let content = format!("Subject: x\r\n\r\n{}", "0123456789\r\n".repeat(60_000));
    let mut client = Client::connect(port).expect("it listens");
    for to in ["bob@far.test", "ann@a.test"] {
        let answer = client.send("joe@b.test", &[to.to_owned()], content.as_bytes());
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("250 2.0.0"), "{answer}");
    }
    // The sink takes what local brings by LMTP, too.
    wait_until("both are handed over", SOON, || sink.taken().len() == 2);
    let mut taken = sink.taken();
    taken.sort_by_key(|taken| taken.forward_paths.clone());
    for (taken, to) in taken.iter().zip(["ann@a.test", "bob@far.test"]) {
        assert_eq!(taken.forward_paths, [to]);
        assert!(taken.content.ends_with(content.as_bytes()), "{to}");
    }
    assert!(names.by_udp.load(Ordering::Relaxed) > 0);
    assert!(names.by_tcp.load(Ordering::Relaxed) > 0);
    let log = fs::read_to_string(program.folder().join("log")).unwrap_or_default();
    assert!(
        !log.contains("role.trapped") && !log.contains("role.ended"),
        "{log}"
    );
}
