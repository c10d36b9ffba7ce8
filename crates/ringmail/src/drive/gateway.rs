//! Where strangers may hide from `relay.from`: the default gateway of a container stands for every client of a
//! published port, and so may a router that rewrites addresses. The file cannot know it; the machine does.

use policy::{Parameters, RelayFrom};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// An address that may be anybody's, and the entry of `relay.from` that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// The default gateway of the container that we run in: to relay for it is to relay for the world.
    BehindContainerGateway {
        /// The gateway.
        gateway: IpAddr,
        /// The entry.
        listed: String,
    },
    /// The default gateway of this machine: it may rewrite the addresses of what it forwards.
    BehindRouter {
        /// The gateway.
        gateway: IpAddr,
        /// The entry.
        listed: String,
    },
    /// A bridge of a container engine on this machine: its address may stand for every client of a published port.
    BehindBridge {
        /// The bridge.
        bridge: String,
        /// Its own address.
        address: IpAddr,
        /// The entry.
        listed: String,
    },
    /// Loopback in a container: some engines hand published ports over from there.
    BehindLoopback {
        /// The entry.
        listed: String,
    },
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hidden::BehindContainerGateway { gateway, listed } => write!(
                f,
                "relay.from contains {listed}, and this container shows every client as {gateway}: an open relay; refused"
            ),
            Hidden::BehindRouter { gateway, listed } => write!(
                f,
                "relay.from contains {listed}, and with it {gateway}, the router of this machine"
            ),
            Hidden::BehindBridge {
                bridge,
                address,
                listed,
            } => write!(
                f,
                "relay.from contains {listed}, and with it {address}, the address of {bridge} on this machine"
            ),
            Hidden::BehindLoopback { listed } => {
                write!(f, "relay.from contains {listed}, and this is a container")
            }
        }
    }
}

impl Hidden {
    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Hidden::BehindContainerGateway { .. } => {
                "list the clients' own addresses, without the gateway, or use the network of the host"
            }
            Hidden::BehindRouter { .. } => {
                "if it rewrites the addresses of what it forwards, everybody may relay: list narrower networks"
            }
            Hidden::BehindBridge { .. } => {
                "a container engine may show every client of a published port as that: list narrower networks"
            }
            Hidden::BehindLoopback { .. } => {
                "engines that run without root may show every client as 127.0.0.1; try it from outside"
            }
        }
    }
}

/// All such addresses of this machine, as the kernel has them now.
pub fn hidden(policy: &Parameters) -> Vec<Hidden> {
    let routes = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut gateways = gateways(&routes("/proc/self/net/route"));
    gateways.extend(gateways6(&routes("/proc/self/net/ipv6_route")));
    judge(&policy.relay_from, &gateways, &bridges(), in_container())
}

/// What must not be: with this the service does not start.
pub fn open_relay(policy: &Parameters) -> Option<Hidden> {
    hidden(policy)
        .into_iter()
        .find(|hidden| matches!(hidden, Hidden::BehindContainerGateway { .. }))
}

/// The marks that container engines leave: a file of Docker's, one of Podman's, the variable that systemd asks all
/// of them to set.
fn in_container() -> bool {
    Path::new("/.dockerenv").exists()
        || Path::new("/run/.containerenv").exists()
        || std::env::var_os("container").is_some()
}

/// How the bridges of container engines begin their names: Docker's own and those of its networks, CNI's, Podman's.
const BRIDGES: [&str; 4] = ["br-", "cni", "docker", "podman"];

/// The bridges of container engines on this machine, with their own addresses. An interface that cannot be looked
/// at is none.
fn bridges() -> Vec<(String, IpAddr)> {
    let mut found = sys::network::addresses().unwrap_or_default();
    found.retain(|(name, _)| BRIDGES.iter().any(|bridge| name.starts_with(bridge)));
    found
}

fn judge(
    relay_from: &[RelayFrom],
    gateways: &[IpAddr],
    bridges: &[(String, IpAddr)],
    in_container: bool,
) -> Vec<Hidden> {
    let mut found = Vec::new();
    for listed in relay_from {
        let name = listed.network.to_string();
        for gateway in gateways
            .iter()
            .filter(|gateway| listed.network.contains(**gateway))
        {
            let (gateway, listed) = (*gateway, name.clone());
            found.push(if in_container {
                Hidden::BehindContainerGateway { gateway, listed }
            } else {
                Hidden::BehindRouter { gateway, listed }
            });
        }
        found.extend(
            bridges
                .iter()
                .filter(|(_, address)| listed.network.contains(*address))
                .map(|(bridge, address)| Hidden::BehindBridge {
                    bridge: bridge.clone(),
                    address: *address,
                    listed: name.clone(),
                }),
        );
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        if in_container && loopback.iter().any(|ip| listed.network.contains(*ip)) {
            found.push(Hidden::BehindLoopback { listed: name });
        }
    }
    found
}

/// The default gateways of `/proc/net/route`: destination and mask are zero, a gateway is set.
fn gateways(table: &str) -> Vec<IpAddr> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (destination, gateway, mask) = (fields.get(1)?, fields.get(2)?, fields.get(7)?);
        let gateway = u32::from_str_radix(gateway, 16)
            .ok()
            .filter(|gateway| *gateway != 0)?;
        let default = *destination == "00000000" && *mask == "00000000";
        // As the kernel has it in memory: in network order.
        default.then(|| Ipv4Addr::from(gateway.to_ne_bytes()).into())
    });
    lines.collect()
}

/// The same of IPv6, in `/proc/net/ipv6_route`.
fn gateways6(table: &str) -> Vec<IpAddr> {
    let lines = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (bits, next) = (fields.get(1)?, fields.get(4)?);
        let next = u128::from_str_radix(next, 16)
            .ok()
            .filter(|next| *next != 0)?;
        (*bits == "00").then(|| Ipv6Addr::from_bits(next).into())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Network, Origin};

    fn listed(network: &str) -> RelayFrom {
        RelayFrom {
            network: Network::parse(network).unwrap(),
            origin: Origin {
                key: "relay.from".into(),
                line: 1,
            },
        }
    }

    #[test]
    fn default_gateways_are_read_and_nothing_else() {
        let gateway = u32::from_ne_bytes([172, 18, 0, 1]);
        let table = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
             eth0 00000000 {gateway:08X} 0003 0 0 0 00000000 0 0 0\n\
             eth0 000012AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n\
             eth1 0000000A {gateway:08X} 0003 0 0 0 000000FF 0 0 0\n"
        );
        assert_eq!(gateways(&table), ["172.18.0.1".parse::<IpAddr>().unwrap()]);
        let zero = "0".repeat(32);
        let table = format!(
            "fd000000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth0\n\
             {zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
        );
        assert_eq!(gateways6(&table), ["fd00::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_gateway_is_an_open_relay_in_a_container_and_a_doubt_elsewhere() {
        let gateway: IpAddr = "172.18.0.1".parse().unwrap();
        let wide = [listed("172.18.0.0/16")];
        assert!(matches!(
            judge(&wide, &[gateway], &[], true)[..],
            [Hidden::BehindContainerGateway { .. }]
        ));
        assert!(matches!(
            judge(&wide, &[gateway], &[], false)[..],
            [Hidden::BehindRouter { .. }]
        ));
        assert_eq!(judge(&[listed("172.18.0.2")], &[gateway], &[], true), []);
        let local = [listed("127.0.0.1")];
        assert!(matches!(
            judge(&local, &[gateway], &[], true)[..],
            [Hidden::BehindLoopback { .. }]
        ));
        assert_eq!(judge(&local, &[gateway], &[], false), []);
    }

    #[test]
    fn a_network_with_the_address_of_a_container_bridge_is_a_doubt() {
        let bridge = ("docker0".to_owned(), "172.17.0.1".parse().unwrap());
        let found = judge(
            &[listed("172.16.0.0/12")],
            &[],
            std::slice::from_ref(&bridge),
            false,
        );
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        let named = "relay.from contains 172.16.0.0/12, and with it 172.17.0.1, the address of docker0 on this machine";
        assert_eq!(said, [named]);
        let beside = [listed("172.17.0.128/25"), listed("10.0.0.0/8")];
        assert_eq!(judge(&beside, &[], &[bridge], false), []);
    }
}
