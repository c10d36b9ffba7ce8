//! The network as it is: DNS by hickory, connections by TCP.

use super::{MxRecords, Network, NoAnswer, Pending, Stream};
use crate::config::Config;
use crate::drive::dns::Dns;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;

/// DNS of the configured servers, or the system's, and whatever can be connected to.
pub struct Internet {
    dns: Dns,
}

impl Internet {
    /// As the configuration says.
    pub fn new(config: &Config) -> io::Result<Self> {
        Ok(Self {
            dns: Dns::new(&config.dns.servers)?,
        })
    }
}

impl Network for Internet {
    fn mx<'a>(&'a self, domain: &'a str) -> Pending<'a, Result<MxRecords, NoAnswer>> {
        Box::pin(self.dns.mx(domain))
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Vec<IpAddr>, NoAnswer>> {
        Box::pin(self.dns.addresses(host))
    }

    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn random(&self) -> u64 {
        sys::file::random()
    }
}
