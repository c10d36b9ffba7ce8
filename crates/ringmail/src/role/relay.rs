//! relay: hands mail to next hops over SMTP.
//!
//! Trusts queue for what it is asked, next hops and DNS for nothing. May touch the network and the messages
//! that it was handed. If it is taken over, those messages can be read and their outcomes forged; the
//! spool and mailboxes are out of its reach.

use crate::config::Config;
use crate::drive::birth::Birth;
use crate::drive::client::{Connection, Source, Went};
use crate::drive::clock::Clock;
use crate::drive::edge::{Network, NoAnswer};
use crate::drive::under_way::UnderWay;
use crate::drive::{arrow, attempts};
use crate::event::{self, Event};
use crate::ipc::deliver::Attempt;
use crate::ipc::spawn::{Arrow, FromRole, ToRole};
use mail::{
    Cause, Class, Destination, Detail, Domain, Ending, Host, Mailbox, Outcome, QueueId, Status,
};
use policy::{MxOrder, Onward, Ourselves, mx_order};
use smtp::client::{Dialect, Message, Parameters};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long one address may take to accept a connection; the next is tried then.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
/// Addresses tried in one attempt, and hosts of one preference whose addresses are asked for.
const ADDRESSES_MAX: usize = 10;
/// How long a connection is kept for the next message to the same destination.
const IDLE_KEEP: Duration = Duration::from_secs(5);
/// Connections kept for one destination.
const IDLE_MAX: usize = 20;

struct Shared {
    config: Config,
    clock: Clock,
    way: RefCell<Way>,
    idle: RefCell<BTreeMap<Destination, Vec<(Instant, Connection)>>>,
    /// A connection was kept.
    kept: Notify,
}

/// The way out, as the configuration has it now.
struct Way {
    network: Rc<dyn Network>,
    /// Where hosts that DNS names listen: 25, but in tests.
    port: u16,
    /// Where we listen ourselves.
    listeners: Vec<SocketAddr>,
}

impl Shared {
    fn network(&self) -> Rc<dyn Network> {
        Rc::clone(&self.way.borrow().network)
    }

    fn port(&self) -> u16 {
        self.way.borrow().port
    }
}

/// The role's story. `network` makes the edge once the configuration is known.
pub async fn run(
    birth: Birth,
    clock: Clock,
    network: impl Fn(&Config) -> io::Result<Rc<dyn Network>>,
) -> io::Result<()> {
    let way = |config: &Config| -> io::Result<_> {
        Ok(Way {
            network: network(config)?,
            port: config.dns.smtp_port(),
            listeners: config.listen.all(),
        })
    };
    let mut shared: Option<Rc<Shared>> = None;
    let under_way = Rc::new(UnderWay::default());
    while let Some((order, fd)) = birth.orders().await? {
        match (order, fd, &shared) {
            (
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                    ..
                },
                None,
                known,
            ) => {
                let config = crate::config::of_role(&configuration, &path, situation)?;
                if let Some(shared) = known {
                    // Name servers, their port and our listeners are all of it that can change while relay lives.
                    shared.way.replace(way(&config)?);
                    continue;
                }
                let new = Rc::new(Shared {
                    way: RefCell::new(way(&config)?),
                    config,
                    clock,
                    idle: RefCell::default(),
                    kept: Notify::new(),
                });
                tokio::task::spawn_local(close_idle(Rc::clone(&new)));
                shared = Some(new);
            }
            (ToRole::Log(_), Some(fd), _) => event::keep_through(fd),
            (ToRole::Arrow(Arrow::DeliverRelay), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                let shared = Rc::clone(shared);
                tokio::task::spawn_local(attempts::serve(
                    sender,
                    receiver,
                    Rc::clone(&under_way),
                    move |what, source| attempt(Rc::clone(&shared), what, source),
                ));
            }
            (ToRole::Begin, None, Some(_)) => birth.tell(&FromRole::Ready),
            (ToRole::Stop, ..) => {
                under_way.finish(attempts::STOP_WAIT).await;
                break;
            }
            _ => return Err(io::Error::other("an order that relay cannot have")),
        }
    }
    Ok(())
}

async fn attempt(
    shared: Rc<Shared>,
    attempt: Attempt,
    source: Source,
) -> (Host, Vec<(u32, Ending)>) {
    let (numbers, forward_paths): (Vec<u32>, Vec<Mailbox>) = attempt.recipients.into_iter().unzip();
    let sending = Sending {
        shared,
        queue_id: attempt.queue_id,
        destination: attempt.destination,
        message: Message {
            reverse_path: attempt.reverse_path,
            forward_paths,
            octets: source.octets(),
            eight_bit: attempt.eight_bit,
        },
        source,
    };
    let (host, outcomes) = match sending.run().await {
        Ok(taken) => taken,
        Err((host, outcome)) => (host, vec![outcome.into(); numbers.len()]),
    };
    (host, numbers.into_iter().zip(outcomes).collect())
}

/// One message on its way to one destination.
struct Sending {
    shared: Rc<Shared>,
    queue_id: QueueId,
    destination: Destination,
    message: Message,
    source: Source,
}

/// The host that decided, and what.
type Decided = (Host, Vec<Ending>);
/// The last host that was tried, and one outcome for all: nobody could be asked.
type Undecided = (Host, Outcome);

impl Sending {
    /// Tries a kept connection, then each address of each host in turn.
    async fn run(&self) -> Result<Decided, Undecided> {
        let shared = &self.shared;
        if let Some(connection) = take_idle(shared, &self.destination) {
            let host = connection.host().clone();
            match self.deliver(connection).await {
                Went::Outcomes(outcomes) if !outcomes.iter().all(lost) => {
                    return Ok((host, outcomes));
                }
                // As kept connections often are; a new one is made.
                Went::Outcomes(_) => self.failed(&host, "the kept connection was lost"),
                Went::Unusable(cause) => self.failed(&host, &words(&cause)),
            }
        }
        let found = hosts(shared, &self.destination).await;
        let (groups, port) = found.map_err(|outcome| (Host::default(), outcome))?;
        // A host without an address fails for good only where no other host gave hope.
        let mut last = None;
        let mut tried = 0;
        for (number, names) in groups.iter().enumerate() {
            let hosts = self.resolve(names, port, &mut last).await;
            match self.onward(number == 0, &hosts) {
                Onward::Try => {}
                Onward::Stop => break,
                Onward::Nowhere(status, text) => {
                    let host = hosts.into_iter().next().map(|(host, _)| host);
                    let cause = Cause::Ours(status, Cow::Borrowed(text));
                    return Err((host.unwrap_or_default(), Outcome::Failed(cause)));
                }
            }
            for (host, address) in hosts {
                tried += 1;
                if tried > ADDRESSES_MAX {
                    return Err(last.unwrap_or_else(nobody));
                }
                last = Some((host.clone(), unreachable_now()));
                let connection = match connect(shared, host.clone(), address).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        self.failed(&host, &error.to_string());
                        continue;
                    }
                };
                match self.deliver(connection).await {
                    Went::Outcomes(outcomes) => return Ok((host, outcomes)),
                    Went::Unusable(cause) => {
                        self.failed(&host, &words(&cause));
                        last = Some((host.clone(), Outcome::Deferred(cause)));
                    }
                }
            }
        }
        Err(last.unwrap_or_else(nobody))
    }

    /// The addresses of hosts of one preference, each with its host.
    async fn resolve(
        &self,
        names: &[String],
        port: u16,
        last: &mut Option<Undecided>,
    ) -> Vec<(Host, SocketAddr)> {
        let mut hosts = Vec::new();
        for name in names.iter().take(ADDRESSES_MAX) {
            let host = |ip| Host {
                name: Detail::new(name),
                ip,
            };
            match self.shared.network().addresses(name).await {
                Ok(addresses) => hosts.extend(
                    addresses
                        .into_iter()
                        .map(|ip| (host(Some(ip)), SocketAddr::new(ip, port))),
                ),
                Err(why) => {
                    self.failed(&host(None), why.words());
                    last.get_or_insert((host(None), unresolved(why)));
                }
            }
        }
        hosts
    }

    /// Whether hosts of one preference are tried. One that the configuration names is.
    fn onward(&self, best: bool, hosts: &[(Host, SocketAddr)]) -> Onward {
        if self.destination.is_inner() {
            return Onward::Try;
        }
        let way = self.shared.way.borrow();
        let ourselves = Ourselves {
            listeners: &way.listeners,
            is_here: &|ip| way.network.is_here(ip),
        };
        let targets: Vec<SocketAddr> = hosts.iter().map(|(_, target)| *target).collect();
        ourselves.onward(best, &targets)
    }

    /// For the log: this host was of no use.
    fn failed(&self, host: &Host, cause: &str) {
        event::say(&Event::HostFailed {
            queue_id: self.queue_id,
            next_hop: self.destination.to_string(),
            host: host.name.to_string(),
            peer_ip: host.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            cause: cause.into(),
        });
    }

    /// Sends over one connection, and keeps it if it is still good.
    async fn deliver(&self, mut connection: Connection) -> Went {
        let shared = &self.shared;
        let went = connection.deliver(self.message.clone(), &self.source).await;
        if connection.is_unconverted() {
            let host = connection.host();
            event::say(&Event::ContentPassed {
                queue_id: self.queue_id,
                host: host.name.to_string(),
                peer_ip: host.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            });
        }
        if connection.is_usable() {
            let mut idle = shared.idle.borrow_mut();
            let kept = idle.entry(self.destination.clone()).or_default();
            if kept.len() < IDLE_MAX {
                kept.push((Instant::now(), connection));
                shared.kept.notify_one();
            } else {
                tokio::task::spawn_local(connection.quit());
            }
        }
        went
    }
}

/// A cause as the log has it.
fn words(cause: &Cause) -> String {
    match cause {
        Cause::Ours(_, words) => words.to_string(),
        Cause::Reply(reply) => reply.to_string(),
    }
}

fn nobody() -> Undecided {
    (Host::default(), unreachable_now())
}

fn unreachable_now() -> Outcome {
    deferred(4, 1, "no next hop could be reached")
}

/// Whether the session was lost under the message, as a kept connection's often is.
fn lost(ending: &Ending) -> bool {
    matches!(&ending.outcome, Outcome::Deferred(Cause::Ours(status, _)) if *status == Status::new(Class::Transient, 4, 2))
}

fn take_idle(shared: &Shared, destination: &Destination) -> Option<Connection> {
    let mut idle = shared.idle.borrow_mut();
    let kept = idle.get_mut(destination)?;
    let connection = kept
        .pop()
        .filter(|(since, _)| since.elapsed() < IDLE_KEEP)
        .map(|(_, c)| c);
    if kept.is_empty() {
        idle.remove(destination);
    }
    connection
}

/// Says QUIT on connections that nobody needed for a while. Sleeps while there are none.
async fn close_idle(shared: Rc<Shared>) {
    loop {
        let oldest = {
            let idle = shared.idle.borrow();
            idle.values().flatten().map(|(since, _)| *since).min()
        };
        let Some(oldest) = oldest else {
            shared.kept.notified().await;
            continue;
        };
        tokio::time::sleep_until(oldest + IDLE_KEEP).await;
        for connection in take_old(&shared) {
            tokio::task::spawn_local(connection.quit());
        }
    }
}

/// The connections that were kept long enough.
fn take_old(shared: &Shared) -> Vec<Connection> {
    let mut idle = shared.idle.borrow_mut();
    let mut old = Vec::new();
    for kept in idle.values_mut() {
        let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(kept)
            .into_iter()
            .partition(|(since, _)| since.elapsed() >= IDLE_KEEP);
        *kept = stay;
        old.extend(gone.into_iter().map(|(_, connection)| connection));
    }
    idle.retain(|_, kept| !kept.is_empty());
    old
}

/// The hosts to try by preference, the best first, and their port.
async fn hosts(
    shared: &Shared,
    destination: &Destination,
) -> Result<(Vec<Vec<String>>, u16), Outcome> {
    let domain = match destination {
        Destination::SmartHost(host, port) => return Ok((vec![vec![host.to_string()]], *port)),
        Destination::Mx(Domain::Ipv4(address)) => {
            return Ok((vec![vec![address.to_string()]], shared.port()));
        }
        Destination::Mx(Domain::Ipv6(address)) => {
            return Ok((vec![vec![address.to_string()]], shared.port()));
        }
        Destination::Mx(domain @ Domain::Name(_)) => domain,
        Destination::Mx(Domain::General(..))
        | Destination::Maildir(_)
        | Destination::Home { .. }
        | Destination::Lmtp(_) => {
            return Err(failed(1, 2, "the address cannot be reached by SMTP"));
        }
    };
    let network = shared.network();
    let records = match network.mx(domain.name().unwrap_or_default()).await {
        Ok(records) => records,
        // No MX: the domain's own addresses (RFC 5321 §5.1).
        Err(NoAnswer::NotFound) => Vec::new(),
        Err(NoAnswer::Later) => return Err(unresolved(NoAnswer::Later)),
    };
    let own = [shared.config.policy.hostname.clone()];
    let mut random =
        |below: usize| usize::try_from(network.random() % below.max(1) as u64).unwrap_or(0);
    match mx_order(domain, &records, &own, &mut random) {
        MxOrder::Hosts(groups) => Ok((
            groups
                .iter()
                .map(|group| group.iter().map(ToString::to_string).collect())
                .collect(),
            shared.port(),
        )),
        MxOrder::Nowhere(status, text) => {
            Err(Outcome::Failed(Cause::Ours(status, Cow::Borrowed(text))))
        }
    }
}

async fn connect(shared: &Shared, host: Host, address: SocketAddr) -> io::Result<Connection> {
    let network = shared.network();
    let connecting = tokio::time::timeout(CONNECT_WAIT, network.connect(address)).await;
    let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    let parameters = Parameters {
        hostname: (*shared.config.hostname).into(),
        dialect: Dialect::Smtp,
    };
    let connection = Connection::new(stream, host, parameters, shared.clock);
    Ok(if policy::network::is_public(address.ip()) {
        connection
    } else {
        connection.to_inner_host()
    })
}

fn unresolved(why: NoAnswer) -> Outcome {
    match why {
        NoAnswer::NotFound => failed(1, 2, "the domain does not exist"),
        NoAnswer::Later => deferred(4, 3, why.words()),
    }
}

fn failed(subject: u16, detail: u16, text: &'static str) -> Outcome {
    Outcome::Failed(Cause::Ours(
        Status::new(Class::Permanent, subject, detail),
        Cow::Borrowed(text),
    ))
}

fn deferred(subject: u16, detail: u16, text: &'static str) -> Outcome {
    Outcome::Deferred(Cause::Ours(
        Status::new(Class::Transient, subject, detail),
        Cow::Borrowed(text),
    ))
}
