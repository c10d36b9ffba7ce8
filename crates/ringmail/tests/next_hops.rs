//! relay against next hops of a small virtual world: what it answers to queue and what it says in the log tell which
//! host did what; and mail is not sent to ourselves under another name.

use mail::{Destination, Domain, Ending, Host, Mailbox, Outcome, QueueId, ReversePath, Scheme};
use ringmail::drive::arrow;
use ringmail::drive::birth::Birth;
use ringmail::drive::clock::Clock;
use ringmail::drive::edge::{MxRecords, Network, NoAnswer, Pending, Stream};
use ringmail::drive::tls::roots::Roots;
use ringmail::event;
use ringmail::ipc::deliver::{Attempt, Ended};
use ringmail::ipc::spawn::{Arrow, FromRole, Situation, ToRole};
use ringmail::role;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use sys::socket::{Kind, pair};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

const ORDERS: &str = "hostname = \"mx.home.test\"\n[listen]\nmx = \"[::]:25\"\n[relay]\nfrom = [\"10.0.0.0/8\"]\n\
    [domain.\"home.test\"]\nusers = [\"u\"]\naliases = { postmaster = \"u\" }\ndeliver = \"maildir:/m/{domain}/{user}\"\n[tls]\nverify = [\"safe.test\"]\n";

/// Hosts by their addresses: what each says to EHLO and to the end of content; nothing where nobody listens.
struct World {
    mx: &'static [(u16, &'static str)],
    hosts: &'static [(&'static str, &'static str, &'static [&'static str])],
    here: &'static str,
    connected: RefCell<Vec<SocketAddr>>,
    /// What came behind the last DATA.
    content: Rc<RefCell<Vec<u8>>>,
}

impl Network for World {
    fn mx<'a>(&'a self, _: &'a str) -> Pending<'a, Result<MxRecords, NoAnswer>> {
        let records = self.mx.iter().map(|(n, host)| (*n, (*host).into()));
        Box::pin(std::future::ready(Ok(records.collect())))
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Vec<IpAddr>, NoAnswer>> {
        let of_it = self.hosts.iter().filter(|(name, ..)| *name == host);
        let addresses: Vec<IpAddr> = of_it.map(|(_, ip, _)| ip.parse().unwrap()).collect();
        let answer = if addresses.is_empty() {
            Err(NoAnswer::Later)
        } else {
            Ok(addresses)
        };
        Box::pin(std::future::ready(answer))
    }

    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<Box<dyn Stream>>> {
        self.connected.borrow_mut().push(address);
        let ip = address.ip().to_string();
        let said = self
            .hosts
            .iter()
            .find(|(_, host, _)| *host == ip)
            .unwrap()
            .2;
        let content = Rc::clone(&self.content);
        Box::pin(async move {
            if said.is_empty() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = duplex(64 * 1024);
            tokio::task::spawn_local(serve(theirs, said, content));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }

    fn is_here(&self, ip: IpAddr) -> bool {
        ip.to_string() == self.here
    }

    fn random(&self) -> u64 {
        0
    }
}

/// A next hop: greets with the first, answers EHLO with the second and content with the third.
async fn serve(
    stream: DuplexStream,
    said: &'static [&'static str],
    taken: Rc<RefCell<Vec<u8>>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let say = async |stream: &mut BufReader<DuplexStream>, text: &str| {
        stream
            .write_all(format!("{text}\r\n").as_bytes())
            .await
            .ok()
    };
    say(&mut stream, said[0]).await?;
    let mut content = false;
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let octets = line;
        let line = String::from_utf8_lossy(&octets);
        match line.get(..4).unwrap_or_default() {
            _ if content => {
                taken.borrow_mut().extend_from_slice(&octets);
                if line == ".\r\n" {
                    content = false;
                    say(&mut stream, said[2]).await?;
                }
            }
            "EHLO" => say(&mut stream, said[1]).await?,
            "DATA" => {
                content = true;
                say(&mut stream, "354 go on").await?;
            }
            "QUIT" => return say(&mut stream, "221 bye").await,
            _ => say(&mut stream, "250 good").await?,
        }
    }
}

/// What came of one message to `x@them.test`: the answer to queue, what was said of it, and whom it was tried at.
struct Came {
    host: Host,
    ending: Ending,
    log: Vec<String>,
    connected: Vec<String>,
    content: Vec<u8>,
}

fn sent(world: World, destination: Destination) -> Came {
    let world = Rc::new(world);
    let log = Rc::new(RefCell::new(Vec::new()));
    let ear = Rc::clone(&log);
    event::hear(Some(Box::new(move |event| {
        ear.borrow_mut().push(event::line(event));
    })));
    let network = Rc::clone(&world);
    let ended = role::in_event_loop(async move {
        let (birth, theirs) = pair(Kind::SeqPacket)?;
        let (birth, theirs) = (Birth::new(birth)?, Birth::new(theirs)?);
        let edge = move |_: &_| Ok(Rc::clone(&network) as Rc<dyn Network>);
        tokio::task::spawn_local(async move {
            role::relay::run(theirs, Clock::start(), edge, &Roots::default()).await
        });
        let orders = ToRole::Orders {
            configuration: ORDERS.into(),
            path: "/ringmail.toml".into(),
            situation: Situation::Run,
            walls: Vec::new(),
        };
        birth.order(&orders, None)?;
        let (ours, theirs) = pair(Kind::Stream)?;
        birth.order(&ToRole::Arrow(Arrow::DeliverRelay), Some(&theirs))?;
        birth.order(&ToRole::Begin, None)?;
        assert!(matches!(birth.report().await, Ok(Some(FromRole::Ready))));
        let (sender, mut receiver) = arrow::open::<Attempt, Ended>(ours)?;
        let attempt = Attempt {
            attempt: 1,
            destination,
            queue_id: QueueId::from_u64(7),
            reverse_path: ReversePath::Null,
            recipients: vec![(0, Mailbox::parse("x@them.test").unwrap())],
            trace: "".into(),
            eight_bit: true,
            smtputf8: false,
            dsn: None,
            again: false,
            body_octets: None,
        };
        let said = sender.say(&attempt, EIGHT_BITS, None);
        assert!(said.is_ok());
        Ok::<_, io::Error>(receiver.hear().await.expect("an answer").head)
    });
    event::hear(None);
    let mut ended = ended.unwrap();
    let connected = world
        .connected
        .borrow()
        .iter()
        .map(ToString::to_string)
        .collect();
    Came {
        host: ended.host,
        ending: ended.outcomes.remove(0).1,
        log: log.take(),
        connected,
        content: world.content.take(),
    }
}

fn them() -> Destination {
    Destination::Mx(Domain::parse_name("them.test").unwrap())
}

fn world(
    mx: &'static [(u16, &'static str)],
    hosts: &'static [(&'static str, &'static str, &'static [&'static str])],
) -> World {
    World {
        mx,
        hosts,
        here: "198.51.100.1",
        connected: RefCell::default(),
        content: Rc::default(),
    }
}

/// What is sent.
const EIGHT_BITS: &[u8] = b"Subject: \xC3\xA9\r\nDKIM-Signature: x\r\n\r\n.\xC3\xA9\r\n";
/// A host that takes everything.
const TOOK: &[&str] = &["220 x", MODERN, "250 taken"];
const PLAIN: &str = "250 hop";
const MODERN: &str = "250-hop\r\n250 8BITMIME";

#[test]
fn each_host_that_was_tried_is_told_and_the_one_that_took_it_with_its_words() {
    let came = sent(
        world(
            &[
                (10, "a.test"),
                (20, "b.test"),
                (30, "c.test"),
                (40, "d.test"),
            ],
            &[
                ("a.test", "198.51.100.10", &[]),
                ("c.test", "198.51.100.12", &["554 5.3.2 not today"]),
                (
                    "d.test",
                    "198.51.100.13",
                    &["220 d", MODERN, "250 2.0.0 queued as 4F2"],
                ),
            ],
        ),
        them(),
    );
    assert_eq!(came.ending.outcome, Outcome::Delivered);
    assert_eq!(came.ending.detail.as_str(), "250 2.0.0 queued as 4F2");
    assert_eq!(came.host.name.as_str(), "d.test");
    assert_eq!(came.host.ip, Some("198.51.100.13".parse().unwrap()));
    let failed = |host: &str, ip: &str, cause: &str| {
        format!(
            "event=host.failed level=info role=ringmail queue_id=0000000000007 peer_ip={ip} next_hop=mx:them.test host={host} cause=\"{cause}\""
        )
    };
    assert_eq!(
        came.log,
        [
            failed("a.test", "198.51.100.10", "connection refused"),
            failed("b.test", "\"\"", "DNS did not answer"),
            failed("c.test", "198.51.100.12", "554 5.3.2 not today"),
        ]
    );
}

/// RFC 5321 §5.1: each address of a host until one is of use, in the order in which DNS gave them.
#[test]
fn the_addresses_of_a_host_are_tried_in_the_order_that_dns_gives() {
    let came = sent(
        world(
            &[(10, "a.test")],
            &[
                ("a.test", "198.51.100.12", &[]),
                ("a.test", "198.51.100.11", TOOK),
                ("a.test", "198.51.100.10", TOOK),
            ],
        ),
        them(),
    );
    assert_eq!(came.ending.outcome, Outcome::Delivered);
    assert_eq!(came.connected, ["198.51.100.12:25", "198.51.100.11:25"]);
}

#[test]
fn a_deferral_says_which_host_deferred_it() {
    let came = sent(
        world(
            &[(10, "a.test")],
            &[(
                "a.test",
                "198.51.100.10",
                &["220 a", MODERN, "451 4.7.1 later"],
            )],
        ),
        them(),
    );
    assert!(matches!(came.ending.outcome, Outcome::Deferred(_)));
    assert_eq!(came.host.name.as_str(), "a.test");
    assert_eq!(came.host.ip, Some("198.51.100.10".parse().unwrap()));
}

#[test]
fn an_mx_that_is_this_host_under_another_name_is_never_tried_nor_those_behind_it() {
    let came = sent(
        world(
            &[(10, "other.test"), (20, "them.test")],
            &[
                ("other.test", "198.51.100.1", TOOK),
                ("them.test", "198.51.100.20", TOOK),
            ],
        ),
        them(),
    );
    let Outcome::Failed(cause) = &came.ending.outcome else {
        panic!("{:?}", came.ending);
    };
    assert_eq!(cause.status().to_string(), "5.4.6");
    assert!(came.connected.is_empty(), "{:?}", came.connected);
    // Of two that are equal either may be first; a better one is tried all the same.
    let came = sent(
        world(
            &[
                (10, "best.test"),
                (20, "other.test"),
                (20, "equal.test"),
                (30, "last.test"),
            ],
            &[
                ("best.test", "198.51.100.20", &[]),
                ("other.test", "198.51.100.1", TOOK),
                ("equal.test", "198.51.100.21", TOOK),
                ("last.test", "198.51.100.22", TOOK),
            ],
        ),
        them(),
    );
    assert!(matches!(came.ending.outcome, Outcome::Deferred(_)));
    assert_eq!(came.connected, ["198.51.100.20:25"]);
    // An address literal is looked at too; a host that the configuration names is meant.
    let itself = || world(&[], &[("198.51.100.1", "198.51.100.1", TOOK)]);
    let came = sent(
        itself(),
        Destination::Mx(Domain::Ipv4([198, 51, 100, 1].into())),
    );
    assert!(matches!(came.ending.outcome, Outcome::Failed(_)));
    let came = sent(
        itself(),
        Destination::SmartHost(Scheme::Smtp, "198.51.100.1".into(), 25),
    );
    assert_eq!(came.ending.outcome, Outcome::Delivered);
}

#[test]
fn to_a_hop_that_did_not_offer_to_take_eight_bits_content_goes_in_seven_and_that_is_told() {
    let seven_bits = "Subject: =?utf-8?Q?=C3=A9?=\r\nDKIM-Signature: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\
        Content-Type: text/plain; charset=unknown-8bit\r\nMIME-Version: 1.0\r\n\r\n=2E=C3=A9\r\n.\r\n";
    let as_it_is = [EIGHT_BITS, b".\r\n"].concat();
    let as_it_is = String::from_utf8(as_it_is)
        .unwrap()
        .replace("\n.\u{e9}", "\n..\u{e9}");
    for (offer, told, content) in [(PLAIN, 1, seven_bits), (MODERN, 0, &*as_it_is)] {
        let said: &'static [&'static str] = if offer == PLAIN {
            &["220 x", PLAIN, "250 taken"]
        } else {
            TOOK
        };
        let hosts = Vec::leak(vec![("a.test", "198.51.100.10", said)]);
        let came = sent(world(&[(10, "a.test")], hosts), them());
        assert_eq!(came.ending.outcome, Outcome::Delivered);
        assert_eq!(String::from_utf8(came.content).unwrap(), content);
        let line = "event=content.converted level=info role=ringmail queue_id=0000000000007 peer_ip=198.51.100.10 \
            parts=1 signed=true host=a.test";
        assert_eq!(came.log.iter().filter(|said| *said == line).count(), told);
    }
}

#[test]
fn a_domain_that_is_verified_gets_nothing_in_clear() {
    let safe = || Destination::Mx(Domain::parse_name("safe.test").unwrap());
    let hosts: &'static [_] = &[("mx.safe.test", "198.51.100.10", TOOK)];
    let came = sent(world(&[(10, "mx.safe.test")], hosts), safe());
    let Outcome::Deferred(cause) = &came.ending.outcome else {
        panic!("{:?}", came.ending);
    };
    assert_eq!(cause.status().to_string(), "4.7.4");
    // Nor where TLS is offered and none comes of it, however often it is tried.
    let offers: &[&str] = &["220 x", "250-hop\r\n250 STARTTLS", "250 taken"];
    let hosts = Vec::leak(vec![("mx.safe.test", "198.51.100.10", offers)]);
    let came = sent(world(&[(10, "mx.safe.test")], hosts), safe());
    let Outcome::Deferred(cause) = &came.ending.outcome else {
        panic!("{:?}", came.ending);
    };
    assert_eq!(cause.status().to_string(), "4.5.0");
}
