//! `[listen]`: nothing listens unless it stands here.

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use super::{SMTP_PORT, Submission};
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
            more: "An address and a port each, as for mx. At port 465 TLS is spoken from the first octet (RFC 8314 §3.3), at \
                   any other after STARTTLS; `tls://` or `starttls://` before an address says it otherwise. Users log in under \
                   TLS, and nobody else may send anything: it needs a cert, and a file of passwords (see [auth]).",
            example: "[\"[::]:465\", \"[::]:587\"]",
            state: State::Built,
        },
        OptionRow::later("https", "certificates, policies, autoconfig"),
    ],
};

/// A listener as written: for finding two that cannot stand together.
pub(super) struct Written {
    pub key: &'static str,
    pub address: SocketAddr,
    pub span: Range<usize>,
}

/// RFC 8314 §3.3: the port of submission where TLS is spoken from the first octet.
const SUBMISSIONS_PORT: u16 = 465;
/// What may stand before an address of submission, and whether TLS is spoken from the first octet then.
const PREFIXES: [(&str, bool); 2] = [("tls://", true), ("starttls://", false)];

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    let is_submission = row.key == "submission";
    let mut doors = Vec::new();
    for written in read::list(row, value, &mut reader.errors) {
        let door = match door(&written.text, is_submission) {
            Ok(door) => door,
            Err(label) => {
                let title = format!("listen.{} is not an address and port", row.key);
                reader.errors.add(written.span, title, label);
                continue;
            }
        };
        let address = door.address;
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
        doors.push(door);
        reader.listeners.push(Written {
            key: row.key,
            address,
            span: written.span,
        });
    }
    if is_submission {
        reader.listen.submission = doors;
    } else {
        reader.listen.mx = doors.into_iter().map(|door| door.address).collect();
    }
}

/// An address with its port, and before it how TLS begins; else what to write.
fn door(text: &str, is_submission: bool) -> Result<Submission, String> {
    let prefix = |(prefix, at_once)| Some((text.strip_prefix(prefix)?, at_once));
    let prefixed = PREFIXES.into_iter().find_map(prefix);
    let plain = prefixed.map_or(text, |(rest, _)| rest);
    if prefixed.is_some() && !is_submission {
        return Err(format!(
            "write \"{plain}\": with a cert, STARTTLS is offered to other servers"
        ));
    }
    let address = plain.parse::<SocketAddr>().ok();
    let Some(address) = address.filter(|address| address.port() != 0) else {
        return Err(advice(plain, is_submission));
    };
    let at_once = prefixed.map_or(address.port() == SUBMISSIONS_PORT, |(_, at_once)| at_once);
    Ok(Submission { address, at_once })
}

/// Whether one socket takes what the other wants: the same port, and an address that means all of them.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let all =
        |a: SocketAddr, b: SocketAddr| a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    one.port() == other.port() && (one.ip() == other.ip() || all(one, other) || all(other, one))
}

/// How it should be written.
fn advice(text: &str, is_submission: bool) -> String {
    let port = if is_submission {
        SUBMISSIONS_PORT
    } else {
        SMTP_PORT
    };
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return format!("add the port: \"{}\"", SocketAddr::new(ip, port));
    }
    if let Ok(port) = text.trim_start_matches(['*', ':']).parse::<u16>()
        && port != 0
    {
        return format!("write \"[::]:{port}\" for all addresses");
    }
    if text.ends_with(":0") {
        return "port 0 is none".into();
    }
    if is_submission && text.contains("://") {
        return "write tls:// or starttls:// before it, or nothing".into();
    }
    format!("write \"[::]:{port}\" or \"192.0.2.1:{port}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submission_begins_with_tls_where_its_port_or_its_prefix_says_so() {
        let at_once = |text| {
            let door = door(text, true).map_err(|_| text)?;
            Ok::<_, &str>((door.address.to_string(), door.at_once))
        };
        let port = |port: &str, at_once| Ok((format!("192.0.2.1:{port}"), at_once));
        assert_eq!(at_once("192.0.2.1:465"), port("465", true));
        assert_eq!(at_once("192.0.2.1:587"), port("587", false));
        assert_eq!(at_once("192.0.2.1:2465"), port("2465", false));
        assert_eq!(at_once("starttls://192.0.2.1:465"), port("465", false));
        assert_eq!(at_once("tls://192.0.2.1:587"), port("587", true));
        for bad in [
            "tls://192.0.2.1",
            "tls://192.0.2.1:0",
            "TLS://192.0.2.1:465",
            "tls://starttls://192.0.2.1:465",
            "smtps://192.0.2.1:465",
            "tls:192.0.2.1:465",
            "tls://mail.example.org:465",
        ] {
            assert_eq!(at_once(bad), Err(bad));
        }
        assert!(door("192.0.2.1:465", false).is_ok());
        assert!(door("tls://192.0.2.1:25", false).is_err());
    }

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
