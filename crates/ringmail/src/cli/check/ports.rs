//! Ports: each listener can be opened, or is open already by the daemon that this file started. One that somebody
//! else holds is named with its process, where the kernel lets us see it.

use super::Finding;
use crate::cli::control::Control;
use crate::config::Config;
use crate::ipc::control::{Answer, Request};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;

/// A socket that listens, as /proc/net/tcp writes it.
const LISTENS: &str = "0A";

pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    let mx = config
        .listen
        .mx
        .iter()
        .map(|address| ("listen.mx", *address));
    let submission = config.listen.submission.iter();
    let submission = submission.map(|door| ("listen.submission", door.address));
    for (key, address) in mx.chain(submission) {
        let Err(error) = sys::socket::can_listen(address) else {
            continue;
        };
        let (why, label) = match error.kind() {
            io::ErrorKind::AddrInUse => {
                let holders = holders(address);
                let is_daemon = |holder: &Holder| Some(holder.pid) == daemon(config);
                let is_ours = holders.iter().any(is_daemon)
                    || (holders.is_empty() && daemon_listens(config, address));
                if is_ours {
                    continue;
                }
                (taken(&holders), "stop it, or listen elsewhere")
            }
            io::ErrorKind::PermissionDenied => (
                "may not be opened by this user".into(),
                "ports below 1024 need root, or a socket that systemd opens",
            ),
            io::ErrorKind::AddrNotAvailable => (
                "is no address of this machine".into(),
                "name one of `ip address`, or \"[::]\" for all",
            ),
            _ => (error.to_string(), "it must be possible to listen there"),
        };
        findings.push(Finding::error(key, format!("{address} {why}"), label));
    }
}

/// A process that has a socket.
struct Holder {
    pid: u32,
    name: String,
}

fn taken(holders: &[Holder]) -> String {
    let names: Vec<String> = holders
        .iter()
        .map(|h| format!("{} (pid {})", h.name, h.pid))
        .collect();
    if names.is_empty() {
        "is taken by another process".into()
    } else {
        format!("is taken by {}", names.join(", "))
    }
}

/// The supervisor that this file started, if it runs: who made the control socket.
pub(super) fn daemon(config: &Config) -> Option<u32> {
    let control = UnixStream::connect(config.control_socket()).ok()?;
    sys::socket::peer_pid(&control).ok()
}

/// Whether the daemon that this file started says that it listens there. Its own user may not look at what it has open.
fn daemon_listens(config: &Config, address: SocketAddr) -> bool {
    let asked = Control::connect(config).and_then(|mut daemon| daemon.ask(&Request::Status));
    let Ok((Answer::Status(stands, _), _)) = asked else {
        return false;
    };
    let address = address.to_string();
    stands.listeners.iter().any(|(_, at)| *at == address)
}

/// The processes that listen where we would.
fn holders(wanted: SocketAddr) -> Vec<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, wanted))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let files = fs::read_dir(entry.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
        if links.any(|link| {
            inodes
                .iter()
                .any(|inode| link.as_os_str() == inode.as_str())
        }) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let name = name.trim_end().escape_debug().to_string();
            holders.push(Holder { pid, name });
        }
    }
    holders.sort_by_key(|holder| holder.pid);
    holders
}

/// The inodes of a kernel's table that listen on the port of an address, there or on all addresses.
fn listening(table: &str, wanted: SocketAddr) -> Vec<u64> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        let inode = fields.nth(5)?.parse().ok()?;
        let (ip, port) = local.split_once(':')?;
        let (ip, port) = (address(ip)?, u16::from_str_radix(port, 16).ok()?);
        let there = ip.is_unspecified()
            || wanted.ip().is_unspecified()
            || ip.to_canonical() == wanted.ip().to_canonical();
        (state == LISTENS && port == wanted.port() && there).then_some(inode)
    });
    lines.collect()
}

/// An address as the kernel writes it: words of four octets in the machine's order.
fn address(text: &str) -> Option<IpAddr> {
    let mut octets = Vec::new();
    for word in text.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        octets.extend(word.to_ne_bytes());
    }
    if let Ok(v4) = <[u8; 4]>::try_from(&*octets) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(&*octets)
        .ok()
        .map(|v6| Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read_in_the_machines_order() {
        let word = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let line = |ip: &str, port: u16, state: &str, inode: u64| {
            format!(
                "  0: {ip}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1"
            )
        };
        let local = word([127, 0, 0, 1]);
        let table = [
            "  sl  local_address rem_address".to_owned(),
            line(&local, 25, "0A", 11),
            line(&local, 25, "01", 12),
            line(&word([0, 0, 0, 0]), 25, "0A", 13),
            line(&word([192, 0, 2, 1]), 25, "0A", 14),
            line(&local, 26, "0A", 15),
        ];
        let found = |wanted: &str| listening(&table.join("\n"), wanted.parse().unwrap());
        assert_eq!(found("127.0.0.1:25"), [11, 13]);
        assert_eq!(found("[::ffff:127.0.0.1]:25"), [11, 13]);
        assert_eq!(found("[::]:25"), [11, 13, 14]);
        assert_eq!(found("127.0.0.1:27"), Vec::<u64>::new());
        let loopback = [word([0; 4]), word([0; 4]), word([0; 4]), word([0, 0, 0, 1])].concat();
        assert_eq!(address(&loopback), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(address("xyz"), None);
    }
}
