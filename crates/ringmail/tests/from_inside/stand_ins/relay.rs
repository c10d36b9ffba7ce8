//! Who has taken queue over asks relay for mail to this machine's own services, to destinations that are not relay's and
//! with bodies that are none. No connection comes to a port that is not relay's to reach, no file is read or written, and
//! relay has none of the spool.

use super::random::Random;
use super::{Besieged, SOON, mailbox, run, words};
use crate::role::Place;
use mail::{Destination, Domain, Ending, LmtpSocket, Outcome, QueueId, ReversePath, Scheme};
use ringmail::drive::arrow::{self, Receiver, Sender};
use ringmail::ipc::deliver::{Attempt, Ended};
use ringmail::ipc::spawn::{Arrow, Role};
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Attempts of the attacker.
const ATTEMPTS: u64 = 600;
/// Attempts whose ends nobody waits for.
const UNREAD: u64 = 300;
/// How this machine is called.
const HERE: [&str; 7] = [
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "127.3.2.1",
];

type Delivers = (Sender<Attempt>, Receiver<Ended>);

/// What listens on this machine.
struct Services {
    /// Of others: nobody may come.
    others: Vec<TcpListener>,
    /// Where relay may go: the port of next hops, and that of the smart host; who comes is counted and sent away.
    own: [u16; 2],
    came: Arc<AtomicU64>,
}

impl Services {
    fn start() -> io::Result<Self> {
        let mut others = Vec::new();
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            // A machine without IPv6 has no services there.
            others.extend(TcpListener::bind(address));
        }
        let came = Arc::new(AtomicU64::new(0));
        let mut own = [0; 2];
        for port in &mut own {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            *port = listener.local_addr()?.port();
            let came = Arc::clone(&came);
            std::thread::spawn(move || {
                for _ in listener.incoming() {
                    came.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for listener in &others {
            listener.set_nonblocking(true)?;
        }
        Ok(Self { others, own, came })
    }

    fn configuration(&self) -> String {
        let [next_hops, smart_host] = self.own;
        format!(
            "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
             [listen]\nmx = \"127.0.0.1:2525\"\n[relay]\nto = \"smtp://127.0.0.1:{smart_host}\"\n\
             [dns]\nservers = [\"127.0.0.1:5353\"]\nsmtp_port = {next_hops}\n\
             [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
             deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
        )
    }

    fn others_ports(&self) -> Vec<u16> {
        let ports = self.others.iter().filter_map(|one| one.local_addr().ok());
        ports.map(|address| address.port()).collect()
    }

    /// Whether nobody came to where nobody may come.
    fn are_left_alone(&self) -> Result<(), String> {
        for listener in &self.others {
            if let Ok((_, from)) = listener.accept() {
                return Err(format!("a connection from {from} came to {listener:?}"));
            }
        }
        Ok(())
    }
}

pub fn look() -> Vec<String> {
    run(async |place: &Place| {
        let services = Services::start().map_err(words)?;
        let secret = place.folder().join("spool/segment/1");
        fs::write(&secret, b"Subject: secret\r\n").map_err(words)?;
        fs::write(place.folder().join("elsewhere/file"), b"here").map_err(words)?;
        let orders = place.orders_by(&services.configuration());
        let mut relay = Besieged::start_by(place, Role::Relay, &orders).map_err(words)?;
        let mut queue: Delivers = arrow::open(relay.arrow(Arrow::DeliverRelay)).map_err(words)?;
        relay.serves().await?;
        let before = place.all_but("");
        let mut random = Random::new(0x5e1a);
        let ports = services.others_ports();
        let mut sent_out = 0;
        for number in 0..ATTEMPTS {
            if random.below(30) == 0 {
                let raw = relay.arrow(Arrow::DeliverRelay);
                let _ = sys::socket::send(&raw, &random.rubbish(), &[]);
                queue = arrow::open(relay.arrow(Arrow::DeliverRelay)).map_err(words)?;
            }
            if random.below(4) == 0 {
                bodies(place, &services, &mut random, &mut queue, number).await?;
                continue;
            }
            let mut asked = attempt(number, destination(&mut random, &services, &ports));
            asked.recipients = (0..random.below(4)).map(|_| to(&mut random)).collect();
            asked.again = random.below(2) == 0;
            let recipients = asked.recipients.len();
            let content = random.octets(200);
            let ended = deliver(&mut queue, &asked, &content, None).await?;
            sent_out += u64::from(ended.host.ip.is_some());
            let delivered = |ending: &Ending| ending.outcome == Outcome::Delivered;
            if ended.outcomes.len() != recipients
                || ended.outcomes.iter().any(|(_, e)| delivered(e))
            {
                return Err(format!("{asked:?}: {ended:?}"));
            }
        }
        flood(&relay, &mut random, &services, &ports).await?;
        services.are_left_alone()?;
        if services.came.load(Ordering::SeqCst) < 20 || sent_out < 50 {
            return Err("hardly anything was tried: the attack is none".into());
        }
        if place.all_but("") != before {
            return Err("files are others".into());
        }
        holds_nothing(place, relay.child.id())?;
        if relay.lives() {
            Ok(())
        } else {
            Err("relay has ended".into())
        }
    })
}

fn attempt(number: u64, destination: Destination) -> Attempt {
    Attempt {
        attempt: number,
        destination,
        queue_id: QueueId::from_u64(1_000_000 + number),
        reverse_path: ReversePath::Null,
        recipients: vec![(0, mailbox("ann@far.test"))],
        trace: "".into(),
        eight_bit: false,
        smtputf8: false,
        dsn: None,
        again: false,
        body_octets: None,
    }
}

/// A recipient of any number: the same more than once, too.
fn to(random: &mut Random) -> (u32, mail::Mailbox) {
    let number = u32::try_from(random.below(3)).unwrap_or(0);
    (number, mailbox("ann@far.test"))
}

fn destination(random: &mut Random, services: &Services, ports: &[u16]) -> Destination {
    let host = *random.of(&HERE);
    let other = *random.of(ports);
    let any = u16::try_from(random.below(65_536)).unwrap_or(0);
    match random.below(9) {
        0..=2 => Destination::SmartHost(*random.of(&Scheme::ALL), host.into(), other),
        // Any port but those that it may reach.
        3 => {
            let taken = services.own.contains(&any) || any == 5353;
            Destination::SmartHost(Scheme::Smtp, host.into(), if taken { 0 } else { any })
        }
        4 => Destination::SmartHost(Scheme::Smtp, "127.0.0.1".into(), *random.of(&services.own)),
        5 => Destination::Mx(Domain::Ipv4([127, 0, 0, 1].into())),
        6 => Destination::Lmtp(LmtpSocket::Tcp(host.into(), other)),
        7 => Destination::Lmtp(LmtpSocket::Unix("/run/systemd/private".into())),
        _ => Destination::Maildir("/tmp/box".into()),
    }
}

async fn deliver(
    queue: &mut Delivers,
    asked: &Attempt,
    content: &[u8],
    fd: Option<OwnedFd>,
) -> Result<Ended, String> {
    queue.0.say(asked, content, fd).map_err(words)?;
    let heard = tokio::time::timeout(SOON, queue.1.hear()).await;
    let heard = heard.map_err(|_| format!("{asked:?} does not end"))?;
    let ended = heard.ok_or("the arrow ended")?.head;
    if ended.attempt == asked.attempt {
        Ok(ended)
    } else {
        Err(format!("the end of another attempt: {ended:?}"))
    }
}

/// A body that is none: nothing is begun. One that is a plain file of that length, open for reading: something is.
async fn bodies(
    place: &Place,
    services: &Services,
    random: &mut Random,
    queue: &mut Delivers,
    number: u64,
) -> Result<(), String> {
    let file = place.folder().join("elsewhere/file");
    let smart_host = Destination::SmartHost(Scheme::Smtp, "127.0.0.1".into(), services.own[1]);
    let mut asked = attempt(number, smart_host);
    let kind = random.below(10);
    let octets = match kind {
        0 => 5,
        1 => 3,
        2 => u64::MAX,
        3 => 0,
        _ => 4,
    };
    asked.body_octets = Some(octets);
    let fd = match kind {
        4 => File::open(place.folder()).map(OwnedFd::from),
        5 => File::options().write(true).open(&file).map(OwnedFd::from),
        6 => File::options()
            .read(true)
            .write(true)
            .open(&file)
            .map(OwnedFd::from),
        7 => File::open("/dev/zero").map(OwnedFd::from),
        8 => sys::socket::pair(sys::socket::Kind::Stream).map(|(one, _)| one),
        _ => File::open(&file).map(OwnedFd::from),
    };
    // Announced, and did not come.
    let fd = (random.below(8) > 0).then_some(fd.map_err(words)?);
    let right = kind == 9 && fd.is_some();
    let ended = deliver(queue, &asked, &[], fd).await?;
    if ended.outcomes.is_empty() == right {
        return Err(format!("a body of kind {kind}: {ended:?}"));
    }
    Ok(())
}

/// Very many at once, whose ends nobody waits for; then an honest one, which ends.
async fn flood(
    relay: &Besieged,
    random: &mut Random,
    services: &Services,
    ports: &[u16],
) -> Result<(), String> {
    let queue: Delivers = arrow::open(relay.arrow(Arrow::DeliverRelay)).map_err(words)?;
    for number in 0..UNREAD {
        let asked = attempt(number, destination(random, services, ports));
        let content = vec![b'x'; 100_000];
        queue.0.say(&asked, &content, None).map_err(words)?;
    }
    let mut honest: Delivers = arrow::open(relay.arrow(Arrow::DeliverRelay)).map_err(words)?;
    let smart_host = Destination::SmartHost(Scheme::Smtp, "127.0.0.1".into(), services.own[1]);
    let ended = deliver(&mut honest, &attempt(1, smart_host), b"x\r\n", None).await?;
    if ended.outcomes.len() == 1 {
        Ok(())
    } else {
        Err(format!("the honest attempt: {ended:?}"))
    }
}

/// relay has no descriptor of the place, and sees none of it: looked at from outside, where we may.
fn holds_nothing(place: &Place, pid: u32) -> Result<(), String> {
    if !place.has_users() {
        println!("what relay holds is not looked at: it takes root");
        return Ok(());
    }
    let mut seen = 0;
    for fd in fs::read_dir(format!("/proc/{pid}/fd"))
        .map_err(words)?
        .flatten()
    {
        seen += 1;
        let target = fs::read_link(fd.path()).unwrap_or_default();
        if target.starts_with(place.folder()) {
            return Err(format!("relay holds {}", target.display()));
        }
    }
    let inside = place.folder().strip_prefix("/").map_err(words)?;
    let spool = format!("/proc/{pid}/root/{}/spool", inside.display());
    if seen < 3 || fs::metadata(spool).is_ok() {
        return Err(format!(
            "relay sees the spool, or was not looked at: {seen}"
        ));
    }
    Ok(())
}
