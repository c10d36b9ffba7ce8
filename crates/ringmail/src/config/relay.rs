//! `[relay]`: who may send to anybody, and through whom. No wish here makes an open relay.

mod stranger;

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use super::secret::Secret;
use mail::Scheme;
use policy::{Network, Origin, RelayFrom, SmartHost};
use std::ops::Range;
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
            more: "`smtp://host` or `smtp://host:port`: under TLS where the host offers it. `smtps://host`: under TLS from the first \
                   octet, on port 465; `starttls://host`: after STARTTLS, on port 587; with a certificate of the host's name, or \
                   not at all. Without it such mail goes to the MX hosts of each domain.",
            example: "\"smtps://mail.example.net\"",
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
        OptionRow {
            key: "user",
            kind: Kind::Text,
            default: "",
            doc: "the login at the smart host",
            more: "Said under TLS alone, to a host that is itself: relay.to begins with `smtps://` or `starttls://`.",
            example: "\"web1\"",
            state: State::Built,
        },
        OptionRow {
            key: "password",
            kind: Kind::Text,
            default: "",
            doc: "its password, by reference",
            more: "`credential:NAME` is with the service manager (`LoadCredential=`), or the file NAME in \
                   /etc/ringmail/credentials; `file:/PATH` is a file. All of it is the password, but for a line end behind it. Nobody \
                   but its owner and its group may read it. It is read at the start and at a reload, by keys alone, and relay is told it when a \
                   host asks for it.",
            example: "\"credential:smarthost\"",
            state: State::Built,
        },
    ],
};

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    match row.key {
        "to" => to(reader, row, value),
        "user" => user(reader, row, value),
        "password" => password(reader, row, value),
        _ => from(reader, row, value),
    }
}

fn to(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let Some(written) = read::text(row, value, &mut reader.errors) else {
        return;
    };
    let bad = "relay.to is not a mail server";
    let how = "write smtps://host, starttls://host or smtp://host, with a port where it is another";
    let scheme = |word: &str| Scheme::ALL.into_iter().find(|scheme| scheme.word() == word);
    let label = match written.text.split_once("://") {
        Some((word, rest)) => match scheme(word) {
            Some(scheme) => {
                if let Some((host, port)) =
                    read::host_and_port(rest.strip_suffix('/').unwrap_or(rest))
                {
                    reader.policy.relay_to = Some(SmartHost {
                        scheme,
                        host: host.into(),
                        port: port.unwrap_or(scheme.port()),
                    });
                    reader.relay_to = written.span;
                    return;
                }
                if rest.contains('@') {
                    reader.errors.hide(written.span.clone());
                    "a login never stands here: it is relay.user with relay.password".into()
                } else {
                    how.into()
                }
            }
            None => how.into(),
        },
        None => match read::host_and_port(&written.text) {
            Some(_) => format!("write \"smtp://{}\"", written.text),
            None => how.into(),
        },
    };
    reader.errors.add(written.span, bad, label);
}

/// Longest name of a login: more than a mailbox may have (RFC 5321 §4.5.3.1.3).
pub const USER_OCTETS: usize = 320;

/// Who we are at the smart host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: Box<str>,
    /// Where the password lies.
    pub password: Secret,
}

fn user(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let Some(written) = read::text(row, value, &mut reader.errors) else {
        return;
    };
    let text = written.text;
    if text.is_empty() || text.len() > USER_OCTETS || text.chars().any(char::is_control) {
        let label = format!("a name, of at most {USER_OCTETS} octets, without control characters");
        return reader
            .errors
            .add(written.span, "relay.user is no login", label);
    }
    reader.login.user = Some((text.into(), written.span));
}

fn password(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let Some(written) = read::text(row, value, &mut reader.errors) else {
        return;
    };
    match Secret::parse(&written.text) {
        Ok(secret) => reader.login.password = Some((secret, written.span)),
        Err(label) => {
            // What nearly every mistake here is: the password itself. Mistakes are printed into journals.
            reader.errors.hide(written.span.clone());
            let title = "relay.password names no secret";
            reader.errors.add(written.span, title, label);
        }
    }
}

/// Both keys of a login, as far as they were read.
#[derive(Default)]
pub struct LoginWritten {
    user: Option<(Box<str>, Range<usize>)>,
    password: Option<(Secret, Range<usize>)>,
}

/// The login, if it can be one: with a name and a password, for a host that is itself.
pub fn login(reader: &mut Reader) -> Option<Login> {
    let LoginWritten { user, password } = std::mem::take(&mut reader.login);
    let unread = ["relay.to", "relay.user", "relay.password"];
    if reader.is_malformed(&unread) {
        return None;
    }
    let (title, span, label) = match (user, password) {
        (None, None) => return None,
        (Some((_, span)), None) => (
            "relay.user has no password",
            span,
            "add relay.password = \"credential:NAME\"",
        ),
        (None, Some((_, span))) => (
            "relay.password is nobody's",
            span,
            "add relay.user, the login that it belongs to",
        ),
        (Some((user, span)), Some((password, _))) => match &reader.policy.relay_to {
            Some(to) if to.scheme.is_verified() => return Some(Login { user, password }),
            Some(_) => (
                "a password would go to whoever answers",
                reader.relay_to.clone(),
                "write smtps://host or starttls://host: under TLS, and to the host itself",
            ),
            None => ("relay.user has no smart host", span, "add relay.to"),
        },
    };
    reader.errors.add(span, title, label);
    None
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
