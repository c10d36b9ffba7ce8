//! `[listen]`: nothing listens unless it stands here.

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use std::net::SocketAddr;
use std::ops::Range;

pub(super) const SECTION: Section = Section {
    name: "listen",
    shape: Shape::Plain,
    doc: "Where we listen. Nothing listens unless it is named here.",
    rows: &[
        OptionRow {
            key: "mx",
            kind: Kind::List,
            default: "",
            doc: "where mail from other hosts comes in",
            more: "An address and a port each. \"[::]:25\" takes IPv4 too; where the kernel has no IPv6 it becomes \
                   \"0.0.0.0:25\".",
            example: "\"[::]:25\"",
            state: State::Built,
        },
        OptionRow {
            key: "submission",
            kind: Kind::List,
            default: "",
            doc: "where mail from our own users comes in",
            more: "",
            example: "\"[::]:465\"",
            state: State::TryOnly("submission needs logins, which come later"),
        },
        OptionRow::later("https", "certificates, policies, autoconfig"),
    ],
};

/// A listener as written: for finding two that cannot stand together.
pub(super) struct Written {
    key: &'static str,
    pub address: SocketAddr,
    pub span: Range<usize>,
}

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    let mut addresses = Vec::new();
    for written in read::list(row, value, &mut reader.errors) {
        let Some(address) = written
            .text
            .parse::<SocketAddr>()
            .ok()
            .filter(|a| a.port() != 0)
        else {
            let title = format!("listen.{} is not an address and port", row.key);
            reader
                .errors
                .add(written.span, title, advice(&written.text));
            continue;
        };
        let both = reader
            .listeners
            .iter()
            .find(|other| collide(other.address, address));
        if let Some(other) = both {
            let title = format!("{address} cannot be listened on twice");
            let first = (
                other.span.clone(),
                format!("listen.{} takes it here", other.key),
            );
            reader
                .errors
                .add_beside(written.span, title, "remove one of them", first);
            continue;
        }
        addresses.push(address);
        reader.listeners.push(Written {
            key: row.key,
            address,
            span: written.span,
        });
    }
    match row.key {
        "mx" => reader.listen.mx = addresses,
        _ => reader.listen.submission = addresses,
    }
}

/// Whether one socket takes what the other wants: the same port, and an address that means all of them.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let all =
        |a: SocketAddr, b: SocketAddr| a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    one.port() == other.port() && (one.ip() == other.ip() || all(one, other) || all(other, one))
}

/// How it should be written.
fn advice(text: &str) -> String {
    if let Ok(ip) = text.parse::<std::net::IpAddr>() {
        return format!("add the port: \"{}\"", SocketAddr::new(ip, 25));
    }
    if let Ok(port) = text.trim_start_matches(['*', ':']).parse::<u16>()
        && port != 0
    {
        return format!("write \"[::]:{port}\" for all addresses");
    }
    if text.ends_with(":0") {
        return "port 0 is none".into();
    }
    "write \"[::]:25\" or \"192.0.2.1:25\"".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_all_collides_with_each() {
        let collide = |a: &str, b: &str| collide(a.parse().unwrap(), b.parse().unwrap());
        assert!(collide("[::]:25", "0.0.0.0:25"));
        assert!(collide("[::]:25", "192.0.2.1:25"));
        assert!(collide("192.0.2.1:25", "0.0.0.0:25"));
        assert!(collide("[::1]:25", "[::1]:25"));
        assert!(!collide("[::1]:25", "0.0.0.0:25"));
        assert!(!collide("[::1]:25", "127.0.0.1:25"));
        assert!(!collide("[::]:25", "[::]:26"));
    }
}
