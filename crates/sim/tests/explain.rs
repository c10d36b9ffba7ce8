//! `explain` says what a session says, and no configuration that loads relays for a stranger: shown on thousands of
//! configurations, each with the smtpd and policy roles that `run` starts, fed octets and heard at the arrow to queue.

use mail::{Envelope, QueueId};
use policy::{Client, Decision, Listener, Policy};
use ringmail::cli::explain::rehearsal::{Asked, rehearse};
use ringmail::config::Config;
use ringmail::drive::arrow;
use ringmail::drive::birth::Birth;
use ringmail::drive::clock::Clock;
use ringmail::drive::connection::parameters;
use ringmail::drive::edge::{Door, Doors, Pending, Stream};
use ringmail::event::{self, Event};
use ringmail::ipc::accept::{FromQueue, ToQueue};
use ringmail::ipc::spawn::{self, Arrow, Situation, ToRole};
use ringmail::seal::{KEY_OCTETS, Key, Opener, Sealed};
use sim::rng::Rng;
use sim::wishes::{Try, Wish};
use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use sys::socket::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Configurations that load, in each test.
const CONFIGURATIONS: usize = 10_000;
/// Clients that try each of them.
const TRIES: usize = 3;
/// Octets that a virtual connection holds between its ends.
const PIPE_OCTETS: usize = 16 * 1024;
/// What the log wrote of refusals: their rules.
type Rules = Rc<RefCell<Vec<&'static str>>>;
/// What queue was told to keep.
type Kept = Rc<RefCell<Vec<Envelope>>>;

/// Clients that come in: a connection and an address.
type Coming = (Box<dyn Stream>, IpAddr);

struct VirtualDoors(RefCell<Option<UnboundedReceiver<Coming>>>);
struct VirtualDoor(tokio::sync::Mutex<UnboundedReceiver<Coming>>);

impl Doors for VirtualDoors {
    fn open(&self, _: OwnedFd) -> io::Result<Box<dyn Door>> {
        let coming = self.0.borrow_mut().take().expect("one listener");
        Ok(Box::new(VirtualDoor(tokio::sync::Mutex::new(coming))))
    }
}

impl Door for VirtualDoor {
    fn accept(&self) -> Pending<'_, io::Result<Coming>> {
        Box::pin(async move {
            match self.0.lock().await.recv().await {
                Some((stream, ip)) => Ok((stream, ip.to_canonical())),
                None => std::future::pending().await,
            }
        })
    }
}

/// A running smtpd and a running policy, and a queue that keeps what is sealed.
struct Server {
    births: [Birth; 2],
    door: UnboundedSender<Coming>,
    kept: Kept,
}

impl Server {
    /// Started as the supervisor would.
    fn start(text: &str) -> io::Result<Self> {
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
        let (birth, role) = (Birth::new(ours)?, Birth::new(theirs)?);
        let (door, coming) = unbounded_channel();
        tokio::task::spawn_local(async move {
            let doors = VirtualDoors(RefCell::new(Some(coming)));
            ringmail::role::smtpd::run(role, Clock::start(), &doors).await
        });
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
        let (policy, role) = (Birth::new(ours)?, Birth::new(theirs)?);
        tokio::task::spawn_local(ringmail::role::policy::run(role));
        let orders = ToRole::Orders {
            configuration: text.into(),
            path: "ringmail.toml".into(),
            situation: Situation::Run,
            walls: Vec::new(),
        };
        birth.order(&orders, None)?;
        policy.order(&orders, None)?;
        let key = Key::new([7; KEY_OCTETS]);
        policy.order(&ToRole::Key(key.clone()), None)?;
        let (asks, answers) = sys::socket::pair(Kind::Stream)?;
        birth.order(&ToRole::Arrow(Arrow::Judge), Some(&asks))?;
        policy.order(&ToRole::Arrow(Arrow::Judge), Some(&answers))?;
        let (accept, queue) = sys::socket::pair(Kind::Stream)?;
        birth.order(&ToRole::Arrow(Arrow::Accept), Some(&accept))?;
        let kept = Kept::default();
        tokio::task::spawn_local(keep(queue, Opener::new(&key), Rc::clone(&kept)));
        let (listener, _) = sys::socket::pair(Kind::Stream)?;
        birth.order(&ToRole::Listener(spawn::Listener::Mx), Some(&listener))?;
        birth.order(&ToRole::Begin, None)?;
        let births = [birth, policy];
        Ok(Self { births, door, kept })
    }

    /// A client's session: EHLO, MAIL, RCPT and, where that was accepted, a message. Gives the reply to each of the
    /// three.
    async fn session(&self, ask: &Try) -> Vec<String> {
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        self.door.send((Box::new(theirs), ask.ip)).expect("a door");
        let mut wire = Wire {
            stream: ours,
            input: Vec::new(),
        };
        assert!(wire.reply().await.starts_with("220 "));
        let commands = [
            format!("EHLO {}", ask.helo),
            format!("MAIL FROM:<{}>", ask.reverse_path),
            format!("RCPT TO:<{}>", ask.forward_path),
        ];
        let mut replies = Vec::new();
        for command in &commands {
            let reply = wire.say(command).await;
            let go_on = reply.starts_with('2');
            replies.push(reply);
            if !go_on {
                return replies;
            }
        }
        assert!(wire.say("DATA").await.starts_with("354"));
        assert!(wire.say("Subject: x\r\n\r\n.").await.starts_with("250"));
        assert!(wire.say("QUIT").await.starts_with("221"));
        replies
    }

    fn stop(self) {
        for birth in &self.births {
            // It may have ended already.
            let _ = birth.order(&ToRole::Stop, None);
        }
    }
}

async fn keep(fd: OwnedFd, mut opener: Opener, kept: Kept) -> io::Result<()> {
    let (sender, mut receiver) = arrow::open::<FromQueue, ToQueue>(fd)?;
    while let Some(heard) = receiver.hear().await {
        if let ToQueue::Accept { token, message } = heard.head {
            let sealed = Sealed {
                peer: message.received.peer,
                reverse_path: &message.envelope.reverse_path,
                recipients: &message.envelope.recipients,
            };
            opener
                .open(&message.seal, &sealed)
                .map_err(|broken| io::Error::other(broken.to_string()))?;
            kept.borrow_mut().push(message.envelope);
            let queue_id = QueueId::from_u64(token);
            // The arrow takes what is so small.
            sender
                .say(&FromQueue::Accepted { token, queue_id }, &[], None)
                .map_err(io::Error::other)?;
        }
    }
    Ok(())
}

struct Wire {
    stream: DuplexStream,
    input: Vec<u8>,
}

impl Wire {
    async fn say(&mut self, line: &str) -> String {
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .expect("a peer");
        self.reply().await
    }

    /// The last line of a reply, without the session's token.
    async fn reply(&mut self) -> String {
        loop {
            while let Some(end) = self.input.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                if line.get(3) != Some(&b'-') {
                    let line = String::from_utf8(line).expect("ASCII");
                    let line = line.trim_end();
                    return line
                        .split_once(" [")
                        .map_or(line, |(said, _)| said)
                        .to_owned();
                }
            }
            let read = self.stream.read_buf(&mut self.input).await.expect("a peer");
            assert!(read > 0, "the server went without an answer");
        }
    }
}

/// Runs a test on so many configurations that load; gives how many were written for that.
fn on_configurations<T, F>(first_seed: u64, mut test: T) -> usize
where
    T: FnMut(u64, Wish, Config, Rng, Rules) -> F,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a loop");
    let (mut loaded, mut seed) = (0, first_seed);
    let rules = Rules::default();
    let heard = Rc::clone(&rules);
    event::hear(Some(Box::new(move |event| {
        if let Event::RecipientRefused { rule, .. } = event {
            heard.borrow_mut().push(rule);
        }
    })));
    while loaded < CONFIGURATIONS {
        seed += 1;
        let mut rng = Rng::new(seed);
        let wish = Wish::new(&mut rng);
        let Ok(config) = Config::parse(&wish.text, "ringmail.toml", Situation::Run) else {
            continue;
        };
        loaded += 1;
        rules.borrow_mut().clear();
        let set = tokio::task::LocalSet::new();
        set.block_on(&runtime, test(seed, wish, config, rng, Rc::clone(&rules)));
    }
    usize::try_from(seed - first_seed).expect("few")
}

/// What may be counted, so that a test cannot pass because nothing happened.
#[derive(Debug, Default)]
struct Seen {
    accepted: usize,
    relayed: usize,
    refused: usize,
    malformed: usize,
    expanded: usize,
    rules: std::collections::BTreeSet<&'static str>,
}

#[test]
fn explain_says_what_a_session_says() {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let written = on_configurations(0, |seed, wish, config, mut rng, rules| {
        let seen = Rc::clone(&seen);
        async move {
            let server = Server::start(&wish.text).expect("a server");
            let policy = Policy::new(config.policy.clone());
            for _ in 0..TRIES {
                let ask = Try::new(&wish, &mut rng);
                compare(&server, &policy, &config, &ask, &rules, &seen)
                    .await
                    .unwrap_or_else(|why| panic!("seed {seed}: {why}\n{ask:?}\n{}", wish.text));
            }
            server.stop();
        }
    });
    let seen = seen.borrow();
    println!("{CONFIGURATIONS} of {written} loaded; {seen:?}");
    assert!(written < 3 * CONFIGURATIONS, "most wishes should load");
    for (what, count) in [
        ("accepted", seen.accepted),
        ("relayed", seen.relayed),
        ("refused", seen.refused),
        ("malformed", seen.malformed),
        ("expanded", seen.expanded),
    ] {
        assert!(count > 500, "{what}: only {count}");
    }
    for rule in [
        "relay.denied",
        "relay.from",
        "relay.literal",
        "recipient.alias",
        "recipient.any",
        "recipient.catch_all",
        "recipient.global_alias",
        "recipient.postmaster",
        "recipient.unknown",
        "recipient.user",
    ] {
        assert!(seen.rules.contains(rule), "{rule} was never met");
    }
}

async fn compare(
    server: &Server,
    policy: &Policy,
    config: &Config,
    ask: &Try,
    rules: &Rules,
    seen: &RefCell<Seen>,
) -> Result<(), String> {
    let asked = Asked {
        ip: ask.ip,
        helo: &ask.helo,
        reverse_path: &ask.reverse_path,
        forward_path: &ask.forward_path,
    };
    let told = rehearse(policy, parameters(&config.limits, false), &asked);
    let status = told
        .reply
        .status()
        .map(|status| format!("{status} "))
        .unwrap_or_default();
    let explained = format!("{} {status}{}", told.reply.code(), told.reply.text());
    let replies = server.session(ask).await;
    let place = ["helo", "mail", "rcpt"]
        .iter()
        .position(|command| *command == told.command);
    let said = replies.last().cloned().unwrap_or_default();
    if place != Some(replies.len() - 1) || said != explained {
        return Err(format!(
            "explain: {} {explained}; the session: {replies:?}",
            told.command
        ));
    }
    let Some(explanation) = told.explanation else {
        seen.borrow_mut().malformed += 1;
        return Ok(());
    };
    let rule = explanation.verdict.rule.name;
    let mut seen = seen.borrow_mut();
    seen.rules.insert(rule);
    match &explanation.verdict.decision {
        Decision::Refuse(_) => {
            seen.refused += 1;
            if rules.borrow_mut().pop() != Some(rule) {
                return Err(format!("explain refuses by {rule}, the session by another"));
            }
        }
        Decision::Accept(recipients) => {
            seen.accepted += 1;
            seen.relayed += usize::from(rule == "relay.from");
            seen.expanded += usize::from(
                recipients
                    .iter()
                    .any(|recipient| !recipient.originals.is_empty()),
            );
            let kept = server.kept.borrow_mut().pop();
            if kept.map(|envelope| envelope.recipients).as_ref() != Some(recipients) {
                return Err("explain names other recipients than queue was told".into());
            }
        }
    }
    if !rules.borrow().is_empty() {
        return Err("the session refused what explain accepts".into());
    }
    would_be_accepted(policy, &explanation, ask)
}

/// What explain says would change a refusal does change it.
fn would_be_accepted(
    policy: &Policy,
    explanation: &policy::Explanation,
    ask: &Try,
) -> Result<(), String> {
    let Some(otherwise) = &explanation.otherwise else {
        return Ok(());
    };
    let forward_path = mail::ForwardPath::parse(&ask.forward_path).map_err(|e| e.to_string())?;
    let mail::ForwardPath::Mailbox(mailbox) = &forward_path else {
        return Ok(());
    };
    let origin = policy::Origin {
        key: "test".into(),
        line: 1,
    };
    let target =
        policy::Target::Mailbox(mail::Mailbox::parse("x@far-away.example").expect("an address"));
    let alias = policy::Alias {
        targets: vec![target.clone()],
        origin: origin.clone(),
    };
    let rule = policy::DomainRule {
        users: policy::Users::Listed(
            [mailbox.local_part.as_str().to_ascii_lowercase().into()].into(),
        ),
        aliases: policy::parameters::Aliases::new(),
        deliver: policy::Deliver::Mx,
        catch_all: None,
        separators: "".into(),
        origin: origin.clone(),
    };
    for way in otherwise.split(", or ") {
        let mut changed = policy.parameters().clone();
        if way.ends_with("is listed in relay.from") {
            let network = policy::Network::around(
                ask.ip.to_canonical(),
                if ask.ip.to_canonical().is_ipv4() {
                    32
                } else {
                    128
                },
            );
            let network = network.expect("an address is a network");
            changed.relay_from.push(policy::RelayFrom {
                network,
                origin: origin.clone(),
            });
        } else if way.ends_with("is a domain of ours") {
            changed.domains.insert(mailbox.domain.clone(), rule.clone());
        } else if way.starts_with("[aliases] has a name") {
            changed.aliases.insert(
                mailbox.local_part.as_str().to_ascii_lowercase().into(),
                alias.clone(),
            );
        } else if let Some(ours) = changed.domains.get_mut(&mailbox.domain) {
            if way.contains("catch_all") {
                ours.catch_all = Some(target.clone());
            } else {
                ours.aliases.insert(
                    mailbox.local_part.as_str().to_ascii_lowercase().into(),
                    alias.clone(),
                );
            }
        }
        let client = Client {
            ip: ask.ip,
            listener: Listener::Mx,
        };
        let verdict =
            Policy::new(changed).recipient(client, &mail::ReversePath::Null, &forward_path);
        if !matches!(verdict.decision, Decision::Accept(_)) {
            return Err(format!("`{way}` changes nothing: {verdict:?}"));
        }
    }
    Ok(())
}

#[test]
fn no_configuration_that_loads_relays_for_a_stranger() {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let written = on_configurations(1_000_000, |seed, wish, _, mut rng, _| {
        let seen = Rc::clone(&seen);
        async move {
            let server = Server::start(&wish.text).expect("a server");
            for _ in 0..TRIES {
                let ask = Try::new(&wish, &mut rng);
                server.session(&ask).await;
                let Some(envelope) = server.kept.borrow_mut().pop() else {
                    seen.borrow_mut().refused += 1;
                    continue;
                };
                seen.borrow_mut().accepted += 1;
                if wish.lists(ask.ip) {
                    seen.borrow_mut().relayed += 1;
                    continue;
                }
                for recipient in &envelope.recipients {
                    let mailbox = recipient.mailbox.to_string();
                    let known = recipient.known().iter();
                    assert!(
                        wish.names(&mailbox)
                            && known.map(ToString::to_string).all(|m| wish.names(&m)),
                        "seed {seed}: {mailbox} is relayed for a stranger\n{ask:?}\n{}",
                        wish.text
                    );
                }
            }
            server.stop();
        }
    });
    let seen = seen.borrow();
    println!("{CONFIGURATIONS} of {written} loaded; {seen:?}");
    assert!(
        seen.accepted > 1000 && seen.refused > 1000 && seen.relayed > 500,
        "{seen:?}"
    );
}

#[test]
fn no_configuration_that_loads_lists_the_internet() {
    let mut widest = 0u128;
    let mut loaded = 0usize;
    for seed in 2_000_000u64.. {
        let wish = Wish::new(&mut Rng::new(seed));
        if Config::parse(&wish.text, "ringmail.toml", Situation::Run).is_err() {
            continue;
        }
        // Counted anew, without the code that refuses: how much of IPv4 outside private networks is listed.
        let mut ranges: Vec<(u32, u32)> = wish
            .relay_from
            .iter()
            .filter_map(|(ip, bits)| range(*ip, *bits))
            .collect();
        ranges.sort_unstable();
        let (mut listed, mut next) = (0u128, 0u64);
        for (first, last) in ranges {
            let first = u64::from(first).max(next);
            next = next.max(u64::from(last) + 1);
            listed += u128::from(next.saturating_sub(first));
        }
        widest = widest.max(listed);
        assert!(
            listed <= 1 << 24,
            "seed {seed}: {listed} addresses\n{}",
            wish.text
        );
        loaded += 1;
        if loaded == CONFIGURATIONS {
            break;
        }
    }
    println!("at most {widest} addresses of the internet are listed");
    assert!(widest >= 1 << 16, "only small networks were tried");
}

/// The first and the last address of a public IPv4 network.
fn range(ip: IpAddr, bits: u32) -> Option<(u32, u32)> {
    let (IpAddr::V4(v4), bits) = (
        ip.to_canonical(),
        if ip.is_ipv6() {
            bits.checked_sub(96)?
        } else {
            bits
        },
    ) else {
        return None;
    };
    let private = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || (v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64);
    let rest = u32::MAX.checked_shr(bits).unwrap_or(0);
    (!private).then_some((v4.to_bits(), v4.to_bits() | rest))
}
