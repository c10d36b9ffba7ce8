//! The top of the file: who we are, and where our own files lie.

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use mail::{Domain, PathError};
use std::path::{Component, Path};

pub(super) const SECTION: Section = Section {
    name: "",
    shape: Shape::Top,
    doc: "Who we are, and where our own files lie.",
    rows: &[
        OptionRow {
            key: "hostname",
            kind: Kind::Text,
            default: "",
            doc: "the name that we publish: in the greeting, in EHLO, in Received and in reports",
            more: "A full domain name; it should resolve to this host, and the host's address back to it. \
                   Its own addresses are those of [aliases]. It has to be set.",
            example: "\"mail.example.org\"",
            state: State::Built,
        },
        OptionRow {
            key: "spool",
            kind: Kind::Text,
            default: "/var/spool/ringmail",
            doc: "the folder that holds all queued mail",
            more: "On a file system of its own a full disk elsewhere does not stop mail. Not on tmpfs: mail that \
                   was accepted must be there after a power cut.",
            example: "\"/var/spool/ringmail\"",
            state: State::Built,
        },
        OptionRow {
            key: "runtime",
            kind: Kind::Text,
            default: "/run/ringmail",
            doc: "the folder of the control socket",
            more: "Commands such as `ringmail queue list` find the daemon there. Who may open the socket may \
                   read and drop all queued mail.",
            example: "\"/run/ringmail\"",
            state: State::Built,
        },
        OptionRow {
            key: "sandbox",
            kind: Kind::OneOf(&["best", "required"]),
            default: "best",
            doc: "what happens where the kernel cannot confine a process as it should",
            more: "`best` goes on with the layers that can be had; `ringmail status` and the log say which are missing \
                   and why. `required` does not start then, or ends.",
            example: "\"required\"",
            state: State::Built,
        },
        OptionRow {
            key: "cert",
            kind: Kind::List,
            default: "",
            doc: "certificates for TLS: folders with `fullchain.pem` and `privkey.pem`, as certbot makes them",
            more: "Or one file with both; or `credential:NAME`, which systemd hands over. With one, clients may say \
                   STARTTLS (RFC 3207). Several are chosen from by the name that a client asks for. A key that others than \
                   its owner and group may read is refused. `ringmail reload` takes renewed ones.",
            example: "\"/etc/letsencrypt/live/mail.example.org\"",
            state: State::Built,
        },
        OptionRow::later("acme", "certificates from a CA"),
    ],
};

/// Longest path that a Unix socket may have (`sun_path`, with its final NUL), in octets.
const SOCKET_PATH_OCTETS: usize = 108;

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    match row.key {
        "cert" => super::cert::take(reader, row, value),
        "hostname" => hostname(reader, row, value),
        "sandbox" => {
            if let Some(word) = read::word(row, value, &mut reader.errors) {
                reader.sandbox_required = word == "required";
            }
        }
        _ => folder(reader, row, value),
    }
}

fn hostname(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let Some(written) = read::text(row, value, &mut reader.errors) else {
        return;
    };
    let bad = "hostname is not a full domain name";
    match domain_name(&written.text) {
        Ok(domain) if written.text.contains('.') => {
            reader.hostname = domain.name().map(Into::into);
            reader.policy.hostname = domain;
        }
        Ok(domain) => {
            let label = format!("write all of it, such as \"{domain}.example.org\"");
            reader.errors.add(written.span, bad, label);
        }
        Err(why) => reader.errors.add(written.span, bad, why),
    }
}

/// A domain name as an administrator may write it, or what is wrong with it and what to do.
pub(super) fn domain_name(text: &str) -> Result<Domain, String> {
    if text.starts_with('[') || text.parse::<std::net::IpAddr>().is_ok() {
        return Err("this is an address: write a name".into());
    }
    if text.len() > 1 && text.ends_with('.') {
        return Err("leave out the final dot".into());
    }
    if text.contains('@') {
        return Err("leave out @ and what stands before it".into());
    }
    Domain::parse_name(text).map_err(|why| match why {
        PathError::TooLong => "longer than a domain name may be (RFC 1035 §2.3.4)".into(),
        _ if !text.is_ascii() => "no domain can be registered under this name (RFC 5890)".into(),
        _ => "letters, digits and hyphens, in parts with dots between them".into(),
    })
}

fn folder(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    let Some(written) = read::text(row, value, &mut reader.errors) else {
        return;
    };
    if let Err(label) = absolute(&written.text) {
        let title = format!("`{}` must be the absolute path of a folder", row.key);
        return reader.errors.add(written.span, title, label);
    }
    if row.key == "runtime" {
        let socket = Path::new(&written.text).join(super::CONTROL_SOCKET);
        if socket.as_os_str().len() >= SOCKET_PATH_OCTETS {
            let label = format!(
                "a socket's path has at most {} octets",
                SOCKET_PATH_OCTETS - 1
            );
            let title = "`runtime` is too long for the control socket";
            return reader.errors.add(written.span, title, label);
        }
        reader.runtime = written.text.into();
    } else {
        reader.spool = written.text.into();
    }
}

/// Whether a path begins at the root and goes straight down; else what to do about it.
pub(super) fn absolute(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("begin it with /");
    }
    if path.contains('\0') {
        return Err("no path has a NUL");
    }
    let straight = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !Path::new(path).components().all(straight) {
        return Err("leave out ..");
    }
    if Path::new(path).components().count() < 2 {
        return Err("not the root itself");
    }
    Ok(())
}
