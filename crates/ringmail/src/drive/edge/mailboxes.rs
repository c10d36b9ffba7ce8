//! Mailboxes on this machine's file systems: threads wait for the disk, so that the event loop does not.

use super::{Delivered, Mailboxes, Pending, Stream};
use crate::drive::dns::Dns;
use crate::drive::maildir::{Delivery, Maildirs, RealFiles};
use crate::drive::thread;
use mail::LmtpSocket;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, mpsc};
use tokio::net::{TcpStream, UnixStream};

/// Threads that write and sync mailbox files.
const SYNC_THREADS: usize = 4;
/// Deliveries that one thread takes together; those into one folder share its sync.
const TOGETHER_MAX: usize = 32;

/// A fixed number of threads that take deliveries as they come.
pub struct SyncThreads {
    work: mpsc::Sender<(Delivery, Delivered)>,
    /// Where LMTP servers that are named by a host are found; nothing where there are none.
    dns: Option<Dns>,
}

impl SyncThreads {
    /// Starts the threads; they end with this value. `dns` finds LMTP servers that are named by a host.
    pub fn start(dns: Option<Dns>) -> io::Result<Self> {
        let (work, received) = mpsc::channel();
        let received = Arc::new(Mutex::new(received));
        let maildirs = Arc::new(Maildirs::new(RealFiles));
        for number in 0..SYNC_THREADS {
            let (received, maildirs) = (Arc::clone(&received), Arc::clone(&maildirs));
            thread::start(&format!("sync {number}"), move || {
                while deliver_some(&maildirs, &received).is_some() {}
            })?;
        }
        Ok(Self { work, dns })
    }
}

/// Waits for a delivery, takes more that are there already, and delivers them; `None` when there will be
/// no more.
fn deliver_some(
    maildirs: &Maildirs<RealFiles>,
    received: &Mutex<mpsc::Receiver<(Delivery, Delivered)>>,
) -> Option<()> {
    let (deliveries, answers): (Vec<Delivery>, Vec<Delivered>) = {
        // A poisoned lock means that another thread panicked: this process ends anyway.
        let received = received.lock().ok()?;
        let first = received.recv().ok()?;
        std::iter::once(first)
            .chain(received.try_iter().take(TOGETHER_MAX - 1))
            .unzip()
    };
    for (answer, result) in answers.into_iter().zip(maildirs.deliver(&deliveries)) {
        // Nobody waits any more when the role stops.
        let _ = answer.send(result);
    }
    Some(())
}

impl SyncThreads {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let dns = self.dns.as_ref();
        let dns = dns.ok_or_else(|| io::Error::other("no name server may be asked"))?;
        let found = dns.addresses(host).await;
        found.map_err(|why| io::Error::other(why.words()))
    }
}

impl Mailboxes for SyncThreads {
    fn deliver(&self, delivery: Delivery, delivered: Delivered) {
        // Without threads the answer is dropped, which its asker hears.
        let _ = self.work.send((delivery, delivered));
    }

    fn connect<'a>(&'a self, socket: &'a LmtpSocket) -> Pending<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            Ok(match socket {
                LmtpSocket::Unix(path) => {
                    Box::new(UnixStream::connect(&**path).await?) as Box<dyn Stream>
                }
                LmtpSocket::Tcp(host, port) => {
                    let addresses = self.addresses(host).await?;
                    let ends: Vec<SocketAddr> =
                        addresses.into_iter().map(|ip| (ip, *port).into()).collect();
                    Box::new(TcpStream::connect(&ends[..]).await?)
                }
            })
        })
    }
}
