//! `[relay]`: who may send to anybody, and through whom. No wish here makes an open relay.

mod stranger;

use super::SMTP_PORT;
use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use policy::{Network, Origin, RelayFrom, SmartHost};
use stranger::Space;

pub(super) const SECTION: Section = Section {
    name: "relay",
    shape: Shape::Plain,
    doc: "Mail for domains that are not ours: who may send it, and through whom it goes.",
    rows: &[
        OptionRow {
            key: "to",
            kind: Kind::Text,
            default: "",
            doc: "the smart host for everything that is not ours",
            more: "`smtp://host` or `smtp://host:port`. Without it such mail goes to the MX hosts of each domain.",
            example: "\"smtp://mail.example.net\"",
            state: State::Built,
        },
        OptionRow {
            key: "from",
            kind: Kind::List,
            default: "",
            doc: "networks whose clients may send to anybody",
            more: "Addresses and networks of your own machines. At most a /8 of the IPv4 internet and a /32 of the \
                   IPv6 internet in all, private networks of any size; never the default bridge of a container \
                   engine, or a part of it, with its gateway in it.",
            example: "[\"192.0.2.0/24\", \"2001:db8:1::/48\"]",
            state: State::Built,
        },
        OptionRow::later("user", "the login at the smart host"),
        OptionRow::later("password", "its password, by reference"),
    ],
};

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    match row.key {
        "to" => to(reader, row, value),
        _ => from(reader, row, value),
    }
}

fn to(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let Some(written) = read::text(row, value, &mut reader.errors) else {
        return;
    };
    let bad = "relay.to is not a mail server";
    let label = match written.text.split_once("://") {
        Some(("smtp", rest)) => match read::host_and_port(rest.strip_suffix('/').unwrap_or(rest)) {
            Some((host, port)) => {
                let host = host.into();
                let port = port.unwrap_or(SMTP_PORT);
                reader.policy.relay_to = Some(SmartHost { host, port });
                reader.relay_to = written.span;
                return;
            }
            None if rest.contains('@') => {
                "logins are not supported yet, and never stand here".into()
            }
            None => "write smtp://host or smtp://host:port".into(),
        },
        Some(("smtps", _)) => {
            let title = "smtps:// is not supported yet";
            let label = "TLS comes later; smtp:// works, in clear";
            return reader.errors.add(written.span, title, label);
        }
        Some(_) => "write smtp://host or smtp://host:port".into(),
        None => match read::host_and_port(&written.text) {
            Some(_) => format!("write \"smtp://{}\"", written.text),
            None => "write smtp://host or smtp://host:port".into(),
        },
    };
    reader.errors.add(written.span, bad, label);
}

fn from(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let mut space = Space::default();
    for written in read::list(row, value, &mut reader.errors) {
        let network = match Network::parse(&written.text) {
            Ok(network) => network,
            Err(why) => {
                let title = format!("`{}` in relay.from is not a network", written.text);
                let label = stranger::advice(&written.text, why);
                reader.errors.add(written.span, title, label);
                continue;
            }
        };
        if let Err(refusal) = space.add(network) {
            let title = format!("relay.from contains {}", written.text);
            reader.errors.add(written.span, title, refusal);
            continue;
        }
        let origin = Origin {
            key: "relay.from".into(),
            line: reader.errors.line(written.span.start),
        };
        reader.policy.relay_from.push(RelayFrom { network, origin });
    }
}
