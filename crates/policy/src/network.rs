//! Networks as an administrator writes them, and clients as they are compared with them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address and how many of its leading bits count; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// The part before the slash is no IP address.
    Address,
    /// The part after the slash is no number of bits for that address.
    Bits,
    /// Bits are set beyond the prefix: the writer meant another network.
    HostBits,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NetworkError::Address => "not an IP address",
            NetworkError::Bits => "not a prefix length for this address",
            NetworkError::HostBits => "bits are set beyond the prefix",
        })
    }
}

impl std::error::Error for NetworkError {}

/// An IPv4 peer of a dual-stack socket is an IPv4 peer: `::ffff:192.0.2.1` becomes `192.0.2.1`.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether an address is one of the world: not loopback, not of a private network (RFC 1918, RFC 6598, RFC 4193), not
/// link-local.
pub fn is_public(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64;
            let ours = v4.is_private() || v4.is_loopback() || v4.is_link_local();
            !(ours || shared || v4.is_unspecified())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_unspecified())
        }
    }
}

impl Network {
    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a single address. A v4-mapped network becomes IPv4.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let width = if written.is_ipv4() { 32 } else { 128 };
        let bits: u8 = match bits {
            None => width,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError::Bits)?
            }
            Some(_) => return Err(NetworkError::Bits),
        };
        if bits > width {
            return Err(NetworkError::Bits);
        }
        let address = canonical(written);
        let bits = match (written, address) {
            (IpAddr::V6(_), IpAddr::V4(_)) => bits.checked_sub(96).ok_or(NetworkError::Bits)?,
            _ => bits,
        };
        let network = Self {
            address: cut(address, bits),
            bits,
        };
        if network.address == address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits)
        }
    }

    /// The network of so many leading bits that an address lies in; none where the address has fewer bits.
    pub fn around(address: IpAddr, bits: u8) -> Option<Self> {
        let width = if address.is_ipv4() { 32 } else { 128 };
        (bits <= width).then(|| Self {
            address: cut(address, bits),
            bits,
        })
    }

    /// Whether the client is in it. A v4-mapped client is compared as IPv4.
    pub fn contains(&self, client: IpAddr) -> bool {
        let client = canonical(client);
        client.is_ipv4() == self.address.is_ipv4() && cut(client, self.bits) == self.address
    }

    /// Whether every address of the other is in it.
    pub fn covers(&self, other: &Network) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    /// How many leading bits count.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether it is a network of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// The lowest address in it.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn cut(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_those_of_the_world() {
        let public = |text: &str| is_public(text.parse().unwrap());
        for address in ["192.0.2.1", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(public(address), "{address}");
        }
        for address in [
            "10.0.0.1",
            "172.31.255.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn networks_read_and_contain_what_they_say() {
        let net = |text| Network::parse(text).map(|n| n.to_string());
        assert_eq!(net("192.0.2.0/24"), Ok("192.0.2.0/24".into()));
        assert_eq!(net("192.0.2.7"), Ok("192.0.2.7/32".into()));
        assert_eq!(net("::/0"), Ok("::/0".into()));
        assert_eq!(net("::ffff:10.0.0.0/104"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("192.0.2.1/24"), Err(NetworkError::HostBits));
        assert_eq!(net("192.0.2.0/33"), Err(NetworkError::Bits));
        assert_eq!(net("192.0.2.0/"), Err(NetworkError::Bits));
        assert_eq!(net("::ffff:0.0.0.0/90"), Err(NetworkError::Bits));
        assert_eq!(net("localhost"), Err(NetworkError::Address));
        let ten = Network::parse("10.0.0.0/8").unwrap();
        assert!(ten.contains("10.9.8.7".parse().unwrap()));
        assert!(ten.contains("::ffff:10.9.8.7".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()));
        assert!(!ten.contains("::10.0.0.1".parse().unwrap()));
        let net = |text| Network::parse(text).unwrap();
        let around = |text: &str, bits| Network::around(text.parse().unwrap(), bits);
        assert_eq!(around("10.9.8.7", 8), Some(ten));
        assert_eq!(around("2001:db8::7", 128), Some(net("2001:db8::7")));
        assert_eq!(around("10.9.8.7", 33), None);
        assert!(ten.covers(&net("10.0.0.0/8")) && ten.covers(&net("10.9.0.0/16")));
        assert!(!net("10.0.0.0/9").covers(&ten) && !net("::/0").covers(&ten));
    }
}
