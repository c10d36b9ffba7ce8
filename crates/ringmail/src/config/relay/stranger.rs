//! What would let strangers relay, and is therefore refused: too much of the internet, or an address behind which
//! strangers are hidden.

use policy::Network;
use policy::network::NetworkError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How much of the IPv4 internet may send to anybody, in leading bits: a whole company, not a whole internet.
const IPV4_BITS_MIN: u8 = 8;
/// The same of the IPv6 internet: what a provider gets.
const IPV6_BITS_MIN: u8 = 32;

/// Private networks (RFC 1918, 4193, 6598), link-local ones (RFC 3927, 4291) and loopback: no stranger has an
/// address there.
const PRIVATE: [(IpAddr, u8); 8] = [
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
];

const fn v4(octets: [u8; 4], bits: u8) -> (IpAddr, u8) {
    let [a, b, c, d] = octets;
    (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits)
}

/// The bridges that container engines make unless told otherwise: the network, and its first address, which
/// stands for every client of a published port.
pub const HIDING: [(&str, (IpAddr, u8), IpAddr); 3] = [
    (
        "Docker",
        v4([172, 17, 0, 0], 16),
        IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1)),
    ),
    (
        "Podman",
        v4([10, 88, 0, 0], 16),
        IpAddr::V4(Ipv4Addr::new(10, 88, 0, 1)),
    ),
    (
        "slirp4netns",
        v4([10, 0, 2, 0], 24),
        IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)),
    ),
];

fn is_in(network: &Network, (address, bits): (IpAddr, u8)) -> bool {
    Network::around(address, bits).is_some_and(|wide| wide.covers(network))
}

/// The engine whose bridge this network is or lies in, and the address in it that hides strangers.
pub fn hides(network: &Network) -> Option<(&'static str, IpAddr)> {
    let known = HIDING.into_iter();
    let mut hiding =
        known.filter(|(_, bridge, hidden)| is_in(network, *bridge) && network.contains(*hidden));
    hiding.next().map(|(engine, _, hidden)| (engine, hidden))
}

/// What of the internet is listed so far.
#[derive(Default)]
pub struct Space(Vec<Network>);

impl Space {
    /// Takes one more network; or why it is refused.
    pub fn add(&mut self, network: Network) -> Result<(), String> {
        if let Some((engine, hidden)) = hides(&network) {
            return Err(format!(
                "{engine}'s bridge shows every client as {hidden}: an open relay; refused"
            ));
        }
        if PRIVATE.into_iter().any(|private| is_in(&network, private)) {
            return Ok(());
        }
        let widest = if network.is_ipv4() {
            IPV4_BITS_MIN
        } else {
            IPV6_BITS_MIN
        };
        if network.bits() < widest {
            return Err("this would be an open relay; refused".into());
        }
        if self.0.iter().any(|listed| listed.covers(&network)) {
            return Ok(());
        }
        self.0.retain(|listed| !network.covers(listed));
        self.0.push(network);
        let width = if network.is_ipv4() { 32 } else { 128 };
        let same = self
            .0
            .iter()
            .filter(|listed| listed.is_ipv4() == network.is_ipv4());
        // At most a file of networks, each below a /8 or a /32: the sum cannot overflow.
        let addresses: u128 = same.map(|listed| 1u128 << (width - listed.bits())).sum();
        if addresses > 1u128 << (width - widest) {
            return Err(format!(
                "with this one it is more of the internet than a /{widest}: an open relay; refused"
            ));
        }
        Ok(())
    }
}

/// What to do about a text that is no network.
pub fn advice(text: &str, why: NetworkError) -> String {
    match why {
        NetworkError::Address => "write 192.0.2.0/24, 2001:db8::/48 or one address".into(),
        NetworkError::Bits => "a prefix has at most 32 bits for IPv4, 128 for IPv6".into(),
        NetworkError::HostBits => {
            let (address, bits) = text.split_once('/').unwrap_or((text, ""));
            let (Ok(address), Ok(bits)) = (address.parse(), bits.parse()) else {
                return why.to_string();
            };
            match Network::around(address, bits) {
                Some(network) => {
                    format!("bits are set beyond the prefix: write {network}, or {address} alone")
                }
                None => why.to_string(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(all: &[&str]) -> Result<(), String> {
        let mut space = Space::default();
        all.iter()
            .try_for_each(|text| space.add(Network::parse(text).unwrap()))
    }

    #[test]
    fn no_list_of_networks_adds_up_to_the_internet() {
        for one in [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "8.0.0.0/7",
            "::/0",
            "2000::/3",
            "::ffff:0:0/96",
        ] {
            assert!(add(&[one]).is_err(), "{one}");
        }
        let eights: Vec<String> = (1..=223).map(|n| format!("{n}.0.0.0/8")).collect();
        let eights: Vec<&str> = eights.iter().map(String::as_str).collect();
        assert!(add(&eights).is_err());
        let sixteens: Vec<String> = (0..=255).map(|n| format!("20.{n}.0.0/16")).collect();
        let mut sixteens: Vec<&str> = sixteens.iter().map(String::as_str).collect();
        assert_eq!(add(&sixteens), Ok(()));
        sixteens.push("20.0.0.0/8");
        sixteens.push("20.7.7.7");
        assert_eq!(add(&sixteens), Ok(()));
        sixteens.push("21.0.0.0");
        assert!(add(&sixteens).is_err());
    }

    #[test]
    fn private_networks_are_never_the_internet() {
        let private = [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "127.0.0.0/8",
            "fc00::/7",
            "fe80::/10",
        ];
        assert_eq!(add(&private), Ok(()));
        assert!(add(&["fc00::/6"]).is_err());
        assert_eq!(add(&["20.0.0.0/8", "10.0.0.0/8"]), Ok(()));
    }

    #[test]
    fn the_bridge_of_a_container_engine_is_refused_where_it_hides_strangers() {
        for hiding in [
            "172.17.0.0/16",
            "172.17.0.1",
            "172.17.0.0/30",
            "10.88.0.0/16",
            "10.0.2.0/24",
            "::ffff:172.17.0.1",
        ] {
            assert!(add(&[hiding]).is_err(), "{hiding}");
        }
        for plain in [
            "172.17.0.128/25",
            "172.17.0.2",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "10.88.1.0/24",
        ] {
            assert_eq!(add(&[plain]), Ok(()), "{plain}");
        }
    }
}
