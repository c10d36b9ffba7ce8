//! Next hops that say anything but what they should: what they say decides nothing that it should not, is kept as harmless
//! text, and ends nobody.

use crate::names::{A, NameServer, Said};
use crate::server::{SOON, Server, Session};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use tests::{Client, wait_until};

/// When a next hop says something odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Greeting,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    End,
    /// Never: what is said to anything else is as it should be.
    Other,
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    /// It waits, for this reason.
    Deferred(&'static str),
    /// It failed, for this reason.
    Failed(&'static str),
    Delivered,
}

use Becomes::{Deferred, Delivered, Failed};

const NOT_SMTP: Becomes = Deferred("the next hop did not speak SMTP");
const LOST: Becomes = Deferred("the connection to the next hop was lost");

/// Once, and what is repeated until nobody listens.
type Words = (&'static [u8], &'static [u8]);

/// Octets of what is said without an end.
const ENDLESS_OCTETS: usize = 4 << 20;

const fn once(words: &'static [u8]) -> Words {
    (words, b"")
}

/// Each hop says this instead of what it should, and goes on; one that says nothing goes.
const HOPS: [(At, Words, Becomes); 44] = [
    (At::Greeting, once(b"553-\r\n553\r\n"), Deferred("553 ")),
    (At::Greeting, once(b""), LOST),
    (At::Greeting, once(b"\r\n"), NOT_SMTP),
    (At::Greeting, once(b"2\r\n"), NOT_SMTP),
    (At::Greeting, once(b"22\r\n"), NOT_SMTP),
    (At::Greeting, once(b"220-\r\n221 \r\n"), NOT_SMTP),
    (At::Greeting, once(b"099 x\r\n"), NOT_SMTP),
    (At::Greeting, once(b"600 x\r\n"), NOT_SMTP),
    (At::Greeting, once(b"2200 x\r\n"), NOT_SMTP),
    (At::Greeting, once(b"-220 x\r\n"), NOT_SMTP),
    (At::Greeting, once(b"22\xb2 x\r\n"), NOT_SMTP),
    (At::Greeting, once(b"\xff\xfe\0\r\n"), NOT_SMTP),
    (At::Greeting, (b"", b"220-x"), NOT_SMTP),
    (At::Greeting, (b"", b"220-x\r\n"), NOT_SMTP),
    (At::Greeting, (b"220 ", b"\0"), NOT_SMTP),
    (At::Greeting, once(b"220 x\r\n250 x\r\n"), NOT_SMTP),
    (At::Greeting, once(b"220 x\r\n250 x\r\n250 x\r\n"), LOST),
    (
        At::Greeting,
        once(b"220 x\r\n250 x\r\n250 x\r\n250 x\r\n354 x\r\n250 x\r\n"),
        LOST,
    ),
    (At::Ehlo, once(b"250 x\r\n250 injected\r\n"), LOST),
    (At::Ehlo, once(b"250 x\r\n421 go away\r\n"), LOST),
    (At::Ehlo, once(b"553-\r\n553\r\n"), Delivered),
    (At::Ehlo, (b"", b"250-PIPELINING\r\n"), NOT_SMTP),
    (
        At::Ehlo,
        once(b"250-x\r\n250-SIZE 99999999999999999999999\r\n250-SIZE -1\r\n250 SIZE x\r\n"),
        Delivered,
    ),
    (
        At::Ehlo,
        once(b"250-\r\n250-\0\r\n250-=\r\n250 \r\n"),
        Delivered,
    ),
    (At::Mail, once(b"553-\r\n553\r\n"), Failed("553 ")),
    (At::Mail, once(b"553"), LOST),
    (At::Mail, once(b"553-"), LOST),
    (At::Mail, once(b"5\n"), NOT_SMTP),
    (At::Mail, once(b"354 go on\r\n"), NOT_SMTP),
    (
        At::Mail,
        once(b"553-x\n\ndispatcher: local_mail\ntype: mda\nmda-exec: id\n553 x\r\n"),
        NOT_SMTP,
    ),
    (At::Mail, (b"", b"250-ok\r\n"), NOT_SMTP),
    (At::Mail, (b"451 ", b"x"), NOT_SMTP),
    (
        At::Rcpt,
        once(b"550-\x1b[2J\0\xff\r\n550 a\revent=role.ended\r\n"),
        Failed("550 ?[2J?? a?event=role.ended"),
    ),
    (At::Rcpt, once(b"550 5.1.1\n"), Failed("status=5.1.1 ")),
    (
        At::Rcpt,
        once(b"550 a\nevent=role.ended\r\n"),
        Failed("550 a"),
    ),
    (At::Rcpt, once(b"552 full\r\n"), Deferred("552 full")),
    (At::Rcpt, once(b"421 later\r\n"), Deferred("421 later")),
    (At::Data, once(b"250 ok\r\n"), NOT_SMTP),
    (At::Data, once(b"354 go\r\n250 taken\r\n"), NOT_SMTP),
    (At::Data, once(b"354-\r\n354\r\n"), Delivered),
    (At::End, once(b"354 go on\r\n"), NOT_SMTP),
    (At::End, once(b"250-ok\r\n251 ok\r\n"), NOT_SMTP),
    (At::End, once(b"250 ok\r\n250 ok\r\n"), Delivered),
    (At::End, (b"250 ", b"\xff"), NOT_SMTP),
];

/// The first address that a hop is at; the last of its octets is the hop's number and one more.
fn address(number: usize) -> String {
    format!("127.0.77.{}", number + 1)
}

/// CVE-2020-8794: a reply that was too short was read past its end, and its lines went into the files of the queue.
/// CVE-2021-38371: replies that nobody asked for yet. What is said without an end; what is no SMTP at all.
#[test]
fn what_a_next_hop_says_decides_no_more_than_it_may() {
    let (port, taken) = hops();
    let names = NameServer::start(|(name, kind)| {
        let number = name
            .strip_prefix('h')
            .and_then(|rest| rest.split('.').next()?.parse().ok());
        match number {
            Some(number) if kind == A => {
                let address: std::net::Ipv4Addr = address(number).parse().expect("an address");
                Said::Records(vec![address.octets().to_vec()])
            }
            _ => Said::Records(Vec::new()),
        }
    });
    let mut server = Server::start(&format!(
        "[relay]\nfrom = \"127.0.0.1\"\n[dns]\nservers = [\"127.0.0.1:{}\"]\nsmtp_port = {port}\n",
        names.port
    ));
    for number in 0..HOPS.len() {
        let mut client = Client::connect(server.port).expect("it listens");
        let to = [format!("bob@h{number}.far.test")];
        let content = format!("Subject: {number}\r\n\r\nx\r\n");
        let answer = client.send("bob@a.test", &to, content.as_bytes());
        assert!(answer.is_ok_and(|answer| answer.starts_with("250 2.0.0 ")));
    }
    let (mut waiting, mut failed) = (Vec::new(), 0);
    for (number, hop) in HOPS.iter().enumerate() {
        let line = line_of(&server, number);
        let (event, why) = match hop.2 {
            Deferred(why) => ("event=attempt.deferred ", why),
            Failed(why) => ("event=recipient.failed ", why),
            Delivered => ("event=recipient.delivered ", ""),
        };
        let about = format!("hop {number}, {:?} {}", hop.0, hop.1.0.escape_ascii());
        assert!(
            line.starts_with(event) && line.contains(why),
            "{about}: {line}"
        );
        assert!(
            line.bytes().all(|octet| (b' '..=b'~').contains(&octet)),
            "{about}"
        );
        match hop.2 {
            Deferred(_) => waiting.push(format!("bob@h{number}.far.test")),
            Failed(_) => failed += 1,
            Delivered => {}
        }
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = std::mem::take(&mut taken[number]);
        // What was answered before all of it was there is another matter than what was taken.
        let wanted = usize::from(hop.2 == Delivered || hop.0 == At::End);
        assert_eq!(count, wanted, "{about}");
    }
    server.lives_with(failed, waiting.len());
    assert_eq!(listed(&server), waiting);
    // What was kept is what it was: it is read anew.
    assert!(server.program.stop());
    server.program.run();
    assert_eq!(listed(&server), waiting);
    Session::open(server.port).is_told("NOOP", "250 2.0.0 ");
}

/// Recipients that wait, in the order that they came in.
fn listed(server: &Server) -> Vec<String> {
    let said = server.program.command(&["queue", "list", "--json"]);
    let text = String::from_utf8(said.stdout).expect("UTF-8");
    assert!(
        text.bytes()
            .all(|octet| octet == b'\n' || (b' '..=b'~').contains(&octet))
    );
    let messages = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let recipients = messages.map(|message| {
        let message = message.expect("an object");
        message["recipients"][0]
            .as_str()
            .expect("a recipient")
            .to_owned()
    });
    recipients.collect()
}

/// The first line of the log that says what became of a message.
fn line_of(server: &Server, number: usize) -> String {
    let to = format!(" forward_path=bob@h{number}.far.test");
    let ends = [
        "attempt.deferred",
        "recipient.failed",
        "recipient.delivered",
    ];
    let find = || {
        let log = server.program.log();
        let is_end = |line: &&str| {
            line.ends_with(&to)
                && ends
                    .iter()
                    .any(|end| line.starts_with(&format!("event={end} ")))
        };
        log.lines().find(is_end).map(str::to_owned)
    };
    wait_until(
        &format!("hop {number} is done with: {:?}", HOPS[number].0),
        SOON,
        || find().is_some(),
    );
    find().unwrap_or_default()
}

/// All hops on one port, each at an address of its own; and how many contents each took.
fn hops() -> (u16, Arc<Mutex<Vec<usize>>>) {
    let first = TcpListener::bind((address(0), 0)).expect("a free port");
    let port = first.local_addr().expect("bound").port();
    let rest = (1..HOPS.len())
        .map(|number| TcpListener::bind((address(number), port)).expect("a free port"));
    let taken = Arc::new(Mutex::new(vec![0; HOPS.len()]));
    for (number, listener) in [first].into_iter().chain(rest).enumerate() {
        let taken = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = Arc::clone(&taken);
                // A client that goes away ends its session and nothing else.
                std::thread::spawn(move || serve(stream, number, &taken));
            }
        });
    }
    (port, taken)
}

/// One session of a hop.
fn serve(mut stream: TcpStream, number: usize, taken: &Mutex<Vec<usize>>) -> io::Result<()> {
    let (at, words, _) = HOPS[number];
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut say = |stage: At, good: &str| -> io::Result<()> {
        if stage != at {
            return stream.write_all(good.as_bytes());
        }
        stream.write_all(words.0)?;
        for _ in 0..(ENDLESS_OCTETS / words.1.len().max(1)) * usize::from(!words.1.is_empty()) {
            stream.write_all(words.1)?;
        }
        // What has no end of a line stands alone: nothing comes behind it.
        let is_whole = words.0.ends_with(b"\n") || !words.1.is_empty();
        if is_whole {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    };
    say(At::Greeting, "220 hop.test\r\n")?;
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        match &line[..line.len().min(4)] {
            b"EHLO" => say(At::Ehlo, "250-hop.test\r\n250 8BITMIME\r\n")?,
            b"MAIL" => say(At::Mail, "250 2.1.0 good\r\n")?,
            b"RCPT" => say(At::Rcpt, "250 2.1.5 good\r\n")?,
            b"DATA" => {
                say(At::Data, "354 go\r\n")?;
                let mut content = Vec::new();
                while !content.ends_with(b"\r\n.\r\n") {
                    if reader.read_until(b'\n', &mut content)? == 0 {
                        return Ok(());
                    }
                }
                taken.lock().unwrap_or_else(PoisonError::into_inner)[number] += 1;
                say(At::End, "250 2.0.0 taken\r\n")?;
            }
            _ => say(At::Other, "250 2.0.0 good\r\n")?,
        }
        line.clear();
    }
    Ok(())
}
