//! relay: hands mail to next hops over SMTP, under TLS where they offer it (`security`).
//!
//! Trusts queue for what it is asked, next hops and DNS for nothing. May touch the network and the messages
//! that it was handed. If it is taken over, those messages can be read and their outcomes forged; the
//! spool and mailboxes are out of its reach.

mod kept;
mod security;

use crate::config::Config;
use crate::drive::birth::Birth;
use crate::drive::client::{Connection, Source, Went};
use crate::drive::clock::Clock;
use crate::drive::edge::{Network, NoAnswer};
use crate::drive::login::Logins;
use crate::drive::tls::client::{Clients, Exchange, is_of_the_certificate};
use crate::drive::tls::roots::Roots;
use crate::drive::under_way::UnderWay;
use crate::drive::ungreeted::{Turn, Ungreeted};
use crate::drive::{arrow, attempts};
use crate::event::{self, Event};
use crate::ipc::deliver::Attempt;
use crate::ipc::spawn::{Arrow, FromRole, ToRole};
use kept::Kept;
use mail::{
    Cause, Class, Destination, Detail, Domain, Ending, Host, Mailbox, Outcome, QueueId, Status,
};
use policy::{MxOrder, Onward, Ourselves, Tls, mx_order};
use security::{Level, SmallHellos};
use smtp::client::{Dialect, Message, Parameters};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How long one address may take to accept a connection; the next is tried then.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
/// Addresses tried in one attempt, and hosts of one preference whose addresses are asked for.
const ADDRESSES_MAX: usize = 10;

struct Shared {
    config: Config,
    clock: Clock,
    way: RefCell<Way>,
    tls: Clients,
    small_hellos: RefCell<SmallHellos>,
    ungreeted: Ungreeted,
    logins: Rc<Logins>,
    kept: Kept,
}

/// The way out, as the configuration has it now.
struct Way {
    network: Rc<dyn Network>,
    /// Where hosts that DNS names listen: 25, but in tests.
    port: u16,
    /// Where we listen ourselves.
    listeners: Vec<SocketAddr>,
    /// Domains whose hosts are verified.
    verify: BTreeSet<Domain>,
    /// The smart host that we log in at: no other hears the password, whatever queue asks for.
    login_at: Option<Destination>,
}

impl Shared {
    fn network(&self) -> Rc<dyn Network> {
        Rc::clone(&self.way.borrow().network)
    }

    fn port(&self) -> u16 {
        self.way.borrow().port
    }
}

/// The role's story. `network` makes the edge once the configuration is known; `roots` vouch for hosts that are verified.
pub async fn run(
    birth: Birth,
    clock: Clock,
    network: impl Fn(&Config) -> io::Result<Rc<dyn Network>>,
    roots: &Roots,
) -> io::Result<()> {
    let way = |config: &Config| -> io::Result<_> {
        Ok(Way {
            network: network(config)?,
            port: config.dns.smtp_port(),
            listeners: config.listen.all(),
            verify: config.tls.verify.clone(),
            login_at: config.login_at().map(|(host, _)| host),
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
                    // Name servers, their port, our listeners and who is verified are all of it that can change while relay
                    // lives. Connections that are kept were made by what was demanded before.
                    shared.way.replace(way(&config)?);
                    shared.kept.end_all();
                    shared.logins.set_refused(false);
                    continue;
                }
                let new = Rc::new(Shared {
                    way: RefCell::new(way(&config)?),
                    tls: Clients::new(roots)?,
                    small_hellos: RefCell::default(),
                    ungreeted: Ungreeted::default(),
                    logins: Rc::default(),
                    config,
                    clock,
                    kept: Kept::default(),
                });
                let kept = Rc::clone(&new);
                tokio::task::spawn_local(async move { kept.kept.end_old().await });
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
            (ToRole::Arrow(Arrow::Login), Some(fd), Some(shared)) => shared.logins.open(fd)?,
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
            smtputf8: attempt.smtputf8,
            dsn: attempt.dsn,
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
        if let Some(connection) = shared.kept.take(&self.destination)
            && let Some(decided) = self.deliver_again(connection).await
        {
            return Ok(decided);
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
                match self.try_host(&host, address).await {
                    Ok(decided) => return Ok(decided),
                    Err(outcome) => last = Some((host, outcome)),
                }
            }
        }
        Err(last.unwrap_or_else(nobody))
    }

    /// Sends over a connection that was kept. Those are lost as often as not; nothing is decided then.
    async fn deliver_again(&self, connection: Connection) -> Option<Decided> {
        let (host, went) = self.deliver(connection).await;
        match went {
            Went::Outcomes(outcomes) if !outcomes.iter().all(lost) => {
                return Some((host, outcomes));
            }
            Went::Outcomes(_) => self.failed(&host, "the kept connection was lost"),
            Went::Unusable(cause) => self.failed(&host, &words(&cause)),
            Went::Unshaken(error) => self.failed(&host, &error.to_string()),
        }
        None
    }

    /// Waits until a connection may be made. Where one is free by then it is used instead.
    async fn turn(&self, host: &Host, address: SocketAddr) -> Result<Next, Outcome> {
        let shared = &self.shared;
        loop {
            let queue = match shared.ungreeted.turn(address) {
                Ok(turn) => return Ok(Next::Connect(turn)),
                Err(queue) => queue,
            };
            let Some(turn) = queue.wait().await else {
                self.failed(host, "it does not greet those who connected");
                return Err(unreachable_now());
            };
            let Some(connection) = shared.kept.take(&self.destination) else {
                return Ok(Next::Connect(turn));
            };
            drop(turn);
            if let Some(decided) = self.deliver_again(connection).await {
                return Ok(Next::Decided(decided));
            }
        }
    }

    /// Tries one address of a host, under TLS first; why it is of no use is said.
    async fn try_host(&self, host: &Host, address: SocketAddr) -> Result<Decided, Outcome> {
        let shared = &self.shared;
        let wanted = {
            let way = shared.way.borrow();
            Tls::of(&self.destination, host.name.as_str(), &way.verify)
        };
        let known = shared.small_hellos.borrow().has(address);
        if self.logs_in() && shared.logins.is_refused() {
            return Err(deferred(7, 0, "the login at the next hop was refused"));
        }
        let mut outcome = unreachable_now();
        for level in security::levels(&wanted, known) {
            let turn = match self.turn(host, address).await? {
                Next::Connect(turn) => turn,
                Next::Decided(decided) => return Ok(decided),
            };
            let went = match self.connect(host, address, &wanted, level).await {
                Ok(connection) => self.deliver(connection.ungreeted(turn)).await,
                Err(Unconnected::Unreachable(error)) => {
                    self.failed(host, &error.to_string());
                    return Err(unreachable_now());
                }
                Err(Unconnected::Unshaken(error)) => (host.clone(), Went::Unshaken(error)),
            };
            match went {
                (host, Went::Outcomes(outcomes)) => {
                    if level == Level::Tls(Exchange::Classic) && !known && host.has_tls() {
                        shared.small_hellos.borrow_mut().add(address);
                    }
                    return Ok((host, outcomes));
                }
                (host, Went::Unusable(cause)) => {
                    self.failed(&host, &words(&cause));
                    return Err(Outcome::Deferred(cause));
                }
                (host, Went::Unshaken(error)) => {
                    self.failed(&host, &format!("no TLS: {error}"));
                    if wanted.verified.is_some() && is_of_the_certificate(&error) {
                        return Err(deferred(
                            7,
                            5,
                            "the certificate of the next hop is not its own",
                        ));
                    }
                    outcome = deferred(7, 5, "no TLS came to be with the next hop");
                }
            }
        }
        Err(outcome)
    }

    /// Whether the host is the one that has to know us.
    fn logs_in(&self) -> bool {
        self.shared.way.borrow().login_at.as_ref() == Some(&self.destination)
    }

    /// Connects, and begins TLS where that comes first.
    async fn connect(
        &self,
        host: &Host,
        address: SocketAddr,
        wanted: &Tls,
        level: Level,
    ) -> Result<Connection, Unconnected> {
        let shared = &self.shared;
        let login = self.logs_in();
        if login && (wanted.verified.is_none() || level == Level::Clear) {
            let why = io::Error::other("no login goes to a host that is not verified");
            return Err(Unconnected::Unshaken(why));
        }
        let network = shared.network();
        let connecting = tokio::time::timeout(CONNECT_WAIT, network.connect(address)).await;
        let connecting = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = connecting.map_err(Unconnected::Unreachable)?;
        let parameters = Parameters {
            hostname: (*shared.config.hostname).into(),
            dialect: Dialect::Smtp,
            security: security::security(wanted, level),
            login,
        };
        let made = |stream| {
            let made = Connection::new(stream, host.clone(), parameters, shared.clock);
            made.with_login(Rc::clone(&shared.logins))
        };
        let connection = match level {
            Level::Clear => made(stream),
            Level::Tls(exchange) => {
                let to = security::to(wanted, host.name.as_str(), address.ip());
                let dialer = shared.tls.dialer(exchange, &to);
                let dialer = dialer.map_err(Unconnected::Unshaken)?;
                if wanted.at_once {
                    let shaken = dialer.shake(stream).await;
                    let (stream, agreed) = shaken.map_err(Unconnected::Unshaken)?;
                    made(stream).under_tls(&agreed)
                } else {
                    made(stream).with_tls(dialer)
                }
            }
        };
        Ok(if policy::network::is_public(address.ip()) {
            connection
        } else {
            connection.to_inner_host()
        })
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
                tls: Detail::default(),
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

    /// Sends over one connection, and keeps it if it is still good; the host as it is known then.
    async fn deliver(&self, mut connection: Connection) -> (Host, Went) {
        let shared = &self.shared;
        let went = connection.deliver(self.message.clone(), &self.source).await;
        let host = connection.host().clone();
        if connection.is_login_refused() {
            shared.logins.set_refused(true);
        }
        if let Some(converted) = connection.converted() {
            event::say(&Event::ContentConverted {
                queue_id: self.queue_id,
                peer_ip: host.ip.map(|ip| ip.to_string()).unwrap_or_default(),
                parts: converted.parts,
                signed: converted.signed,
                host: host.name.to_string(),
            });
        }
        if connection.is_usable() {
            shared.kept.keep(&self.destination, connection);
        }
        (host, went)
    }
}

/// What comes after a wait for one's turn.
enum Next {
    /// A connection may be made.
    Connect(Turn),
    /// Another connection took the message.
    Decided(Decided),
}

/// Why there is no connection.
enum Unconnected {
    /// Nobody was there.
    Unreachable(io::Error),
    /// Somebody was, and no TLS came to be.
    Unshaken(io::Error),
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

/// The hosts to try by preference, the best first, and their port.
async fn hosts(
    shared: &Shared,
    destination: &Destination,
) -> Result<(Vec<Vec<String>>, u16), Outcome> {
    let domain = match destination {
        Destination::SmartHost(_, host, port) => return Ok((vec![vec![host.to_string()]], *port)),
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
