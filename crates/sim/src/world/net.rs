//! The virtual network: connections from clients to the machine, and from the machine to next hops; DNS.

use super::chart;
use super::hop::{Hop, Manner};
use super::ledger::Ledger;
use super::wire::PIPE_OCTETS;
use crate::rng::Rng;
use ringmail::drive::edge::{Door, Doors, MxRecords, Network, NoAnswer, Pending, Stream};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// Connections that wait to be accepted.
#[derive(Default)]
struct Backlog {
    waiting: RefCell<VecDeque<(Served, IpAddr)>>,
    came: Notify,
}

/// The machine's one listener, as clients find it: there as long as a smtpd holds it.
#[derive(Clone, Default)]
pub struct Entrance {
    backlog: Rc<RefCell<Weak<Backlog>>>,
    open: Rc<RefCell<Vec<Weak<Cell<bool>>>>>,
}

/// A client's end of a connection.
pub struct Visit {
    /// The connection.
    pub stream: DuplexStream,
    /// To be set when the client was greeted.
    pub greeted: Weak<Cell<bool>>,
}

impl Entrance {
    /// Connects from an address; `None`: nobody listens.
    pub fn connect(&self, from: IpAddr) -> Option<Visit> {
        let backlog = self.backlog.borrow().upgrade()?;
        let (ours, theirs) = duplex(PIPE_OCTETS);
        let greeted = Rc::new(Cell::new(false));
        let visit = Visit {
            stream: ours,
            greeted: Rc::downgrade(&greeted),
        };
        self.open.borrow_mut().push(Rc::downgrade(&greeted));
        let served = Served {
            stream: theirs,
            _greeted: greeted,
        };
        backlog.waiting.borrow_mut().push_back((served, from));
        backlog.came.notify_one();
        Some(visit)
    }

    /// Connections that were greeted and that the machine has not closed.
    pub fn greeted(&self) -> usize {
        let mut open = self.open.borrow_mut();
        open.retain(|greeted| greeted.strong_count() > 0);
        open.iter()
            .filter(|greeted| greeted.upgrade().is_some_and(|greeted| greeted.get()))
            .count()
    }
}

/// The machine's end of a connection: what a client knows of it lives as long.
struct Served {
    stream: DuplexStream,
    _greeted: Rc<Cell<bool>>,
}

impl AsyncRead for Served {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Served {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Doors for Entrance {
    fn open(&self, _listener: OwnedFd) -> io::Result<Box<dyn Door>> {
        let backlog = Rc::new(Backlog::default());
        *self.backlog.borrow_mut() = Rc::downgrade(&backlog);
        Ok(Box::new(VirtualDoor(backlog)))
    }
}

struct VirtualDoor(Rc<Backlog>);

impl Door for VirtualDoor {
    fn accept(&self) -> Pending<'_, io::Result<(Box<dyn Stream>, IpAddr)>> {
        Box::pin(async move {
            loop {
                let next = self.0.waiting.borrow_mut().pop_front();
                if let Some((stream, from)) = next {
                    return Ok((Box::new(stream) as Box<dyn Stream>, from));
                }
                self.0.came.notified().await;
            }
        })
    }
}

/// The way out: DNS, and next hops that are started as they are connected to.
pub struct Outside {
    /// Chance.
    pub rng: RefCell<Rng>,
    /// Starts a next hop's session, beyond the machine.
    pub hops: UnboundedSender<Hop>,
    /// Whether everything works.
    pub quiet: Rc<Cell<bool>>,
    /// Where it is said what must not be.
    pub ledger: Ledger,
}

impl Outside {
    /// Connects to a peer of this manner.
    pub async fn meet(&self, manner: Manner) -> io::Result<Box<dyn Stream>> {
        let pause = self.rng.borrow_mut().below(200);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let trouble = !self.quiet.get();
        if trouble && self.rng.borrow_mut().one_in(12) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if trouble && self.rng.borrow_mut().one_in(30) {
            std::future::pending::<()>().await;
        }
        let (ours, theirs) = duplex(PIPE_OCTETS);
        let rng = self.rng.borrow_mut().fork();
        let hop = Hop {
            stream: theirs,
            manner,
            rng,
        };
        self.hops
            .send(hop)
            .map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(ours))
    }

    /// Whether DNS fails this time.
    async fn name_servers_fail(&self) -> bool {
        let pause = self.rng.borrow_mut().below(50);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        !self.quiet.get() && self.rng.borrow_mut().one_in(15)
    }
}

impl Network for Outside {
    fn mx<'a>(&'a self, domain: &'a str) -> Pending<'a, Result<MxRecords, NoAnswer>> {
        Box::pin(async move {
            if self.name_servers_fail().await {
                return Err(NoAnswer::Later);
            }
            chart::mx(domain).ok_or(NoAnswer::NotFound)
        })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Vec<IpAddr>, NoAnswer>> {
        Box::pin(async move {
            if let Ok(address) = host.parse() {
                return Ok(vec![address]);
            }
            if self.name_servers_fail().await {
                return Err(NoAnswer::Later);
            }
            Ok(vec![chart::address(host).ok_or(NoAnswer::NotFound)?])
        })
    }

    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            if chart::address("a.dead.test") == Some(address.ip()) {
                std::future::pending::<()>().await;
            }
            if address.ip().is_loopback() {
                self.ledger.wrong("the machine sent mail to itself".into());
            }
            self.meet(Manner::Smtp).await
        })
    }

    fn is_here(&self, ip: IpAddr) -> bool {
        ip.is_loopback()
    }

    fn random(&self) -> u64 {
        self.rng.borrow_mut().draw()
    }
}
