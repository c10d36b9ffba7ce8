//! Loops to ourselves by address: an MX host may have another name and lead back here all the same.
//!
//= https://www.rfc-editor.org/rfc/rfc5321#section-5.1
//# The relay host MUST then inspect the list for any of the names or
//# addresses by which it might be known in mail transactions.  If a
//# matching record is found, all records at that preference level and
//# higher-numbered ones MUST be discarded from consideration.

use super::permanent;
use mail::Status;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is ours on the network.
pub struct Ourselves<'a> {
    /// Our listeners, as the configuration has them.
    pub listeners: &'a [SocketAddr],
    /// Whether an address is one of this machine. What is asked of it is IPv4 where it can be said as IPv4.
    pub is_here: &'a dyn Fn(IpAddr) -> bool,
}

/// What becomes of the hosts of one preference, and of those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// They are tried, and then the next.
    Try,
    /// One of them is we: neither they nor those behind them are tried.
    Stop,
    /// The same, and there is nobody before them.
    Nowhere(Status, &'static str),
}

impl Ourselves<'_> {
    /// Judges the hosts of one preference by all their addresses, before any of them is tried. `best`: there is no
    /// better preference. For routes by MX only: a host that the configuration names is meant.
    pub fn onward(&self, best: bool, targets: &[SocketAddr]) -> Onward {
        match targets.iter().any(|target| self.listen_at(*target)) {
            false => Onward::Try,
            true if best => Onward::Nowhere(
                permanent(4, 6),
                "the mail would come back: the domain's best MX is this host by its address",
            ),
            true => Onward::Stop,
        }
    }

    /// Whether who connects to this meets one of our listeners.
    fn listen_at(&self, target: SocketAddr) -> bool {
        let ip = reached(target.ip());
        self.listeners.iter().any(|listener| {
            let bound = listener.ip().to_canonical();
            // The IPv6 one takes IPv4 too.
            let all = bound.is_unspecified() && (bound.is_ipv6() || ip.is_ipv4());
            listener.port() == target.port() && (bound == ip || all && (self.is_here)(ip))
        })
    }
}

/// Where a connection to an address ends: the unspecified one is this machine (as Linux has it).
fn reached(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges one host of the best preference on a machine that has 192.0.2.1, `2001:db8::1` and loopback.
    fn comes_back(listeners: &[&str], target: &str) -> bool {
        let listeners: Vec<SocketAddr> = listeners.iter().map(|l| l.parse().unwrap()).collect();
        let here = ["192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"].map(|ip| ip.parse().unwrap());
        let ourselves = Ourselves {
            listeners: &listeners,
            is_here: &|ip: IpAddr| here.contains(&ip),
        };
        let targets = ["198.51.100.1:25".parse().unwrap(), target.parse().unwrap()];
        match ourselves.onward(true, &targets) {
            Onward::Try => false,
            Onward::Nowhere(status, _) => {
                assert_eq!(status.to_string(), "5.4.6");
                assert_eq!(ourselves.onward(false, &targets), Onward::Stop);
                true
            }
            Onward::Stop => panic!("nobody is before the best"),
        }
    }

    #[test]
    fn mail_comes_back_where_one_of_our_listeners_is_reached_and_nowhere_else() {
        for (listeners, target) in [
            (&["192.0.2.1:25"][..], "192.0.2.1:25"),
            (&["198.51.100.9:25", "0.0.0.0:25"], "192.0.2.1:25"),
            (&["[::]:25"], "192.0.2.1:25"),
            (&["[::]:25"], "[2001:db8::1]:25"),
            (&["[::]:25"], "[::ffff:192.0.2.1]:25"),
            (&["127.0.0.1:25"], "0.0.0.0:25"),
            (&["[::1]:25"], "[::]:25"),
            (&["0.0.0.0:25"], "0.0.0.0:25"),
        ] {
            assert!(comes_back(listeners, target), "{listeners:?} {target}");
        }
        for (listeners, target) in [
            (&["192.0.2.1:26"][..], "192.0.2.1:25"),
            (&["192.0.2.1:25"], "192.0.2.2:25"),
            (&["127.0.0.1:25"], "192.0.2.1:25"),
            (&["0.0.0.0:25"], "203.0.113.7:25"),
            (&["0.0.0.0:25"], "[2001:db8::1]:25"),
            (&["[::]:25"], "203.0.113.7:25"),
            (&[], "192.0.2.1:25"),
        ] {
            assert!(!comes_back(listeners, target), "{listeners:?} {target}");
        }
    }
}
