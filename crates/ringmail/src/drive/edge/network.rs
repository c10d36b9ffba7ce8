//! The network as it is: DNS by hickory, connections by TCP.

use super::{MxRecords, Network, NoAnswer, Pending, Stream};
use crate::config::Config;
use crate::drive::dns::{Dns, Names};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use tokio::net::TcpStream;

/// DNS of the configured servers, or the system's, and whatever can be connected to.
pub struct Internet {
    dns: Dns,
}

impl Internet {
    /// As the configuration says.
    pub fn new(config: &Config, names: &Names) -> io::Result<Self> {
        Ok(Self {
            dns: Dns::new(&config.dns.servers, names)?,
        })
    }
}

/// No machine has it (RFC 5737): who can bind it can bind anything (`net.ipv4.ip_nonlocal_bind`).
const NOBODYS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0));

/// Whether a socket of ours can have this address. Nothing is sent.
fn binds(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// The address that we would have on the way there. Nothing is sent.
fn source_towards(ip: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if ip.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((ip, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
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

    fn is_here(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || (binds(ip) && (!binds(NOBODYS) || source_towards(ip) == Some(ip)))
    }

    fn random(&self) -> u64 {
        sys::file::random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_here_and_an_address_of_somebody_else_is_not() {
        let internet = Internet {
            dns: Dns::new(&["127.0.0.1:53".parse().unwrap()], &Names::default()).unwrap(),
        };
        let is_here = |ip: &str| internet.is_here(ip.parse().unwrap());
        assert!(is_here("127.0.0.1") && is_here("127.8.9.10") && is_here("::1"));
        assert!(!is_here("198.51.100.7") && !is_here("2001:db8::7") && !is_here("192.0.2.0"));
        // The way to one of our own addresses begins there.
        if let Some(own) = source_towards("198.51.100.7".parse().unwrap()) {
            assert!(internet.is_here(own), "{own}");
        }
    }
}
