//! `[auth]`: our own users, who log in at `listen.submission`: where their passwords lie, and under which addresses each
//! may send besides his own.

use super::aliases::shown_key;
use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Text, Value};
use super::reader::Reader;
use super::secret::FILE;
use super::top::{absolute, domain_name};
use mail::Mailbox;
use policy::{Grant, Grants, Origin};
use std::path::PathBuf;

pub(super) const SECTION: Section = Section {
    name: "auth",
    shape: Shape::Plain,
    doc: "Logins of our own users, who send at listen.submission to anybody, each under his own addresses: the null one, \
          that of his login, its sub-addresses, and every alias that leads to him (RFC 6409 §6.1).",
    rows: &[
        OptionRow {
            key: "passwords",
            kind: Kind::Text,
            default: "file:/etc/ringmail/passwords",
            doc: "where the hashes of passwords lie",
            more: "`file:/PATH` is a file, which `ringmail user add` writes. Nobody but its owner and its group may read it. \
                   It is only used where listen.submission is set.",
            example: "\"file:/etc/ringmail/passwords\"",
            state: State::Built,
        },
        OptionRow {
            key: "scram",
            kind: Kind::OneOf(&["off", "offer"]),
            default: "off",
            doc: "whether passwords can be proved by SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, besides being said",
            more: "With `offer` each user needs a secret for it, which `ringmail user add --scram` and `ringmail user passwd \
                   --scram` write beside the hash; a client that takes SCRAM where it is offered does not log in without. \
                   Who steals the file guesses faster at these secrets than at hashes.",
            example: "\"offer\"",
            state: State::Built,
        },
        OptionRow {
            key: "senders",
            kind: Kind::Aliases,
            default: "",
            doc: "under which addresses a login may send besides his own",
            more: "For each login one or more of: an address, `@domain` for all that are in it (and not below it), `*` for \
                   any. What a catch_all takes is nobody's own: it is granted here.",
            example: "{ \"ann@example.org\" = [\"@example.org\", \"boss@example.com\"], \"lists@example.org\" = \"*\" }",
            state: State::Built,
        },
    ],
};

/// Where logins are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// The file of password hashes: absolute.
    pub passwords: PathBuf,
    /// Whether SCRAM is offered.
    pub scram: bool,
}

/// How the socket of Dovecot's logins would be named.
const DOVECOT: &str = "dovecot:";

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    match row.key {
        "passwords" => passwords(reader, row, value),
        "scram" => {
            if let Some(word) = read::word(row, value, &mut reader.errors) {
                reader.auth.scram = word == "offer";
            }
        }
        _ => senders(reader, row, value),
    }
}

fn passwords(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let Some(written) = read::text(row, value, &mut reader.errors) else {
        return;
    };
    let title = "auth.passwords names no file";
    let text = &written.text;
    let label = match text.strip_prefix(FILE).map(|path| (path, absolute(path))) {
        Some((path, Ok(()))) => return reader.auth.passwords = path.into(),
        Some((_, Err(label))) => label,
        None if text.starts_with(DOVECOT) => {
            let title = "logins of Dovecot are not supported yet";
            let label = "leave it out, and say `ringmail user add`";
            return reader.errors.add(written.span, title, label);
        }
        None if text.starts_with('/') => "write file: before it",
        None => {
            // It may be a password.
            reader.errors.hide(written.span.clone());
            "write \"file:/PATH\""
        }
    };
    reader.errors.add(written.span, title, label);
}

fn senders(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let Some(table) = read::table(row, value, &mut reader.errors) else {
        return;
    };
    for (key, value) in read::in_order(table) {
        let name: &str = key.get_ref();
        let Ok(login) = Mailbox::parse(name) else {
            let title = format!("`{name}` in auth.senders is not a login");
            let label = "a login is an address, such as ann@example.org, in quotes";
            reader.errors.add(key.span(), title, label);
            continue;
        };
        let path = format!("auth.senders.{}", shown_key(name));
        reader.note(path.clone(), value, &key.span());
        let written = read::list_of(name, value, &mut reader.errors);
        if written.is_empty() && value.get_ref().is_array() {
            let title = format!("auth.senders grants nothing to {login}");
            let label = "name at least one address, or leave it out";
            reader.errors.add(value.span(), title, label);
        }
        let mut grants = Vec::new();
        for written in written {
            match grant(&written) {
                Ok(grant) => grants.push(grant),
                Err(label) => {
                    let title = format!("`{}` in auth.senders is not a sender", written.text);
                    reader.errors.add(written.span, title, label);
                }
            }
        }
        let origin = Origin {
            key: path.into(),
            line: reader.errors.line(key.span().start),
        };
        if !reader.policy.senders.add(&login, Grants { grants, origin }) {
            let title = format!("{login} stands in auth.senders twice");
            let label = "logins are the same in any case: name all of it once";
            reader.errors.add(key.span(), title, label);
        }
    }
}

/// What a login is granted; else what to write.
fn grant(written: &Text) -> Result<Grant, String> {
    let text = written.text.as_str();
    if text == "*" {
        return Ok(Grant::Anything);
    }
    if let Some(domain) = text.strip_prefix("*@") {
        return Err(format!("write \"@{domain}\""));
    }
    if let Some(domain) = text.strip_prefix('@') {
        return domain_name(domain).map(Grant::Domain);
    }
    let how = "write ann@example.org, @example.org, or *";
    match Mailbox::parse(text) {
        Ok(mailbox) => Ok(Grant::Mailbox(mailbox)),
        Err(_) if domain_name(text).is_ok() && text.contains('.') => {
            Err(format!("write \"@{text}\" for all addresses in it"))
        }
        Err(_) => Err(how.into()),
    }
}
