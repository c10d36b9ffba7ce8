//! `[dns]`: whom we ask where hosts are.

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use std::net::{IpAddr, SocketAddr};

pub(super) const SECTION: Section = Section {
    name: "dns",
    shape: Shape::Plain,
    doc: "Whom we ask where hosts are.",
    rows: &[
        OptionRow {
            key: "servers",
            kind: Kind::List,
            default: "",
            doc: "name servers; the system's where there are none",
            more: "Addresses, with a port where it is not 53. The system's are those of /etc/resolv.conf.",
            example: "[\"127.0.0.53\", \"[::1]:5353\"]",
            state: State::Built,
        },
        OptionRow {
            key: "smtp_port",
            kind: Kind::Count {
                min: 1,
                max: 65_535,
            },
            default: "25",
            doc: "where the hosts that DNS names listen; for closed test networks",
            more: "On the internet it is 25, and nothing else (RFC 5321 §4.5.4.2).",
            example: "2525",
            state: State::Built,
        },
    ],
};

/// The port of DNS (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    if row.key == "servers" {
        return servers(reader, row, value);
    }
    let port = read::count(row, value, &mut reader.errors);
    reader.dns.smtp_port = port.and_then(|port| u16::try_from(port).ok());
}

fn servers(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    for written in read::list(row, value, &mut reader.errors) {
        let text = &*written.text;
        let address = text.parse::<SocketAddr>().ok();
        let alone = || Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, DNS_PORT));
        match address.or_else(alone) {
            Some(server) if server.port() != 0 && !server.ip().is_unspecified() => {
                reader.dns.servers.push(server);
            }
            _ => {
                let title = format!("`{text}` is not a name server's address");
                reader.errors.add(
                    written.span,
                    title,
                    "write \"192.0.2.53\" or \"[2001:db8::53]:53\"",
                );
            }
        }
    }
}
