//! `[domain."…"]`: a domain of ours, who has a mailbox there, and where its mail is taken.

use super::aliases;
use super::mistakes::Errors;
use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Text, Value};
use super::reader::Reader;
use super::top::{absolute, domain_name};
use mail::{Domain, LmtpSocket, LocalPart};
use policy::parameters::{Aliases, SEPARATORS};
use policy::{Deliver, DomainRule, Origin, Users};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeString, DeTable};

pub(super) const SECTION: Section = Section {
    name: "domain",
    shape: Shape::Named,
    doc: "A domain of ours: mail for it is taken from everybody.",
    rows: &[
        OptionRow {
            key: "users",
            kind: Kind::List,
            default: "",
            doc: "who has a mailbox; without it every name is taken",
            more: "Names without the domain, the same in any case. Where they are listed, mail for any other name \
                   is refused in the session. Without a list the next hop decides; a domain with Maildirs needs one.",
            example: "[\"ann\", \"bob\", \"eve\"]",
            state: State::Built,
        },
        OptionRow {
            key: "aliases",
            kind: Kind::Aliases,
            default: "",
            doc: "names that lead to others",
            more: "A bare name on the right is of the same domain. An alias wins over a user of the same name; an \
                   alias that leads to its own name means that user. Circles and names that nobody has are mistakes.",
            example: "{ postmaster = \"ann\", info = [\"ann\", \"bob\"] }",
            state: State::Built,
        },
        OptionRow {
            key: "deliver",
            kind: Kind::Text,
            default: "",
            doc: "where its mail is taken: a Maildir, an LMTP server, or its MX",
            more: "`maildir:/path/{domain}/{user}`; `maildir:~/Maildir` in the home of the machine's user of that name, \
                   delivered by a process that is he; `lmtp:/path/of/socket`, `lmtp:host:port`; or `mx` for a domain \
                   whose mailboxes are elsewhere. It has to be set.",
            example: "\"maildir:/var/mail/{domain}/{user}\"",
            state: State::Built,
        },
        OptionRow {
            key: "catch_all",
            kind: Kind::Text,
            default: "",
            doc: "who gets mail for names that nobody has",
            more: "One user or address. Such a mailbox gets every guess of every spammer.",
            example: "\"ann\"",
            state: State::Built,
        },
        OptionRow {
            key: "separators",
            kind: Kind::Text,
            default: SEPARATORS,
            doc: "what divides a name from its detail: with \"+\" mail for ann+list goes to ann (RFC 5233)",
            more: "Each character of it divides. A user or alias that is listed with such a character in its name \
                   comes first. \"\" turns it off.",
            example: "\"+-\"",
            state: State::Built,
        },
        OptionRow::later("dkim", "signing of what leaves"),
        OptionRow::later("received", "what our trace field tells"),
    ],
};

/// What may divide a name from its detail.
const SEPARATORS_KNOWN: &str = "+-=_#~.";

/// Where the parts of a domain stand in the file.
#[derive(Default)]
pub(super) struct Places {
    pub head: Range<usize>,
    pub users: BTreeMap<Box<str>, Range<usize>>,
    pub aliases: aliases::Places,
    pub catch_all: Range<usize>,
    /// Not all of its names could be read.
    pub unread: bool,
}

pub(super) fn take_all(reader: &mut Reader, section: &DeTable<'_>) {
    for (name, value) in read::in_order(section) {
        let Some(table) = value.get_ref().as_table() else {
            let label = "write [domain.\"example.org\"], and its options below it";
            reader
                .errors
                .add(name.span(), "a domain is a section of its own", label);
            continue;
        };
        // `[domain.example.org]` is TOML for a section `org` in a section `example`.
        if !table.is_empty()
            && table.iter().all(|(key, value)| {
                value.get_ref().is_table() && SECTION.row(key.get_ref()).is_none()
            })
        {
            let rest = table.keys().next().map_or("", |key| key.get_ref());
            let label = format!("write [domain.\"{}.{rest}\"]", name.get_ref());
            reader
                .errors
                .add(name.span(), "the name of a domain stands in quotes", label);
            reader.unnamed_domains = true;
            unquoted(reader, name.get_ref(), table, &name.span());
            continue;
        }
        match domain_name(name.get_ref()) {
            Ok(domain) => {
                let (rule, places) = take(reader, &domain.to_string(), table, name.span());
                keep(reader, domain, rule, places);
            }
            Err(why) => {
                let title = format!("`{}` is not a domain name", name.get_ref());
                reader.errors.add(name.span(), title, why);
                reader.unnamed_domains = true;
                // Who is meant nobody knows; what is wrong below it is wrong all the same.
                take(reader, name.get_ref(), table, name.span());
            }
        }
    }
}

/// Reads what stands below a name without quotes, for its mistakes.
fn unquoted(reader: &mut Reader, name: &str, table: &DeTable<'_>, head: &Range<usize>) {
    for (part, value) in read::in_order(table) {
        let Some(table) = value.get_ref().as_table() else {
            continue;
        };
        let name = format!("{name}.{}", part.get_ref());
        let deeper = |(key, value): (&Spanned<DeString<'_>>, &Value<'_>)| {
            value.get_ref().is_table() && SECTION.row(key.get_ref()).is_none()
        };
        if !table.is_empty() && table.iter().all(deeper) {
            unquoted(reader, &name, table, head);
        } else {
            take(reader, &name, table, head.clone());
        }
    }
}

/// Keeps a domain, unless there is one of its name.
fn keep(reader: &mut Reader, domain: Domain, rule: DomainRule, places: Places) {
    if let Some(first) = reader.domains.get_mut(&domain) {
        let beside = (first.head.clone(), "it stands here first".into());
        let title = format!("domain {domain} stands here twice");
        first.unread = true;
        let label = "names are the same in any case";
        return reader.errors.add_beside(places.head, title, label, beside);
    }
    reader.domains.insert(domain.clone(), places);
    reader.policy.domains.insert(domain, rule);
}

/// Reads a domain's section.
fn take(
    reader: &mut Reader,
    domain: &str,
    table: &DeTable<'_>,
    head: Range<usize>,
) -> (DomainRule, Places) {
    let section = format!("domain.\"{domain}\"");
    let mut rule = DomainRule {
        users: Users::Any,
        aliases: Aliases::new(),
        deliver: Deliver::Mx,
        catch_all: None,
        separators: SEPARATORS.into(),
        origin: Origin {
            key: format!("[{section}]").into(),
            line: reader.errors.line(head.start),
        },
    };
    let mut places = Places {
        head: head.clone(),
        ..Places::default()
    };
    // A deliver that was written and is wrong is one mistake, not two.
    let mut says_where = false;
    for (key, value) in read::in_order(table) {
        let Some(row) = reader.row(&SECTION, head.start, key, value) else {
            // It may have been meant for one that names people.
            places.unread |= SECTION.row(key.get_ref()).is_none();
            continue;
        };
        if row.kind != Kind::Aliases {
            reader.note(format!("{section}.{}", row.key), value, &key.span());
        }
        match row.key {
            "users" => rule.users = users(reader, row, value, &mut places),
            "aliases" => {
                let table = read::table(row, value, &mut reader.errors);
                places.unread |= table.is_none();
                if let Some(table) = table {
                    rule.aliases = aliases::take(
                        reader,
                        &format!("{section}.aliases"),
                        table,
                        &mut places.aliases,
                    );
                    places.unread |= reader.is_malformed(&[&format!("{section}.aliases:names")]);
                }
            }
            "deliver" => {
                says_where = true;
                let written = read::text(row, value, &mut reader.errors);
                rule.deliver = written
                    .and_then(|written| deliver(&written, &mut reader.errors))
                    .unwrap_or(Deliver::Mx);
            }
            "catch_all" => {
                places.catch_all = value.span();
                let written = read::text(row, value, &mut reader.errors);
                rule.catch_all = written.and_then(|t| aliases::target(&t, &mut reader.errors));
                places.unread |= rule.catch_all.is_none();
            }
            _ => match separators(reader, row, value) {
                Some(separators) => rule.separators = separators,
                None => places.unread = true,
            },
        }
    }
    let misspelt = |key| reader.suggested.contains(&(head.start, key));
    if !says_where && !misspelt("deliver") {
        let title = format!("domain {domain} does not say where its mail goes");
        let label = "add deliver = \"maildir:…\", \"lmtp:…\" or \"mx\"";
        reader.errors.add(head.clone(), title, label);
    }
    let has_maildirs = matches!(rule.deliver, Deliver::Maildir(_) | Deliver::Home(_));
    if rule.users == Users::Any && !misspelt("users") && has_maildirs {
        let title = format!("domain {domain} has Maildirs and no users");
        let label = "add users = [\"…\"], or every name would be taken";
        reader.errors.add(head, title, label);
    }
    (rule, places)
}

fn users(reader: &mut Reader, row: &OptionRow, value: &Value<'_>, places: &mut Places) -> Users {
    let mut users = BTreeSet::new();
    let before = reader.errors.count();
    let listed = read::list(row, value, &mut reader.errors);
    places.unread |= reader.errors.count() > before;
    for written in listed {
        let Text { text, span } = written;
        let known = !text.contains([':', '@']);
        places.unread |= !known || LocalPart::from_meant(&text).is_err();
        if text.contains(':') {
            let label = "list the users here";
            reader
                .errors
                .add(span, "tables of users are not supported yet", label);
            continue;
        }
        let bad = format!("`{text}` is not a user's name");
        if text.contains('@') {
            reader.errors.add(span, bad, "leave out @ and what follows");
            continue;
        }
        let Ok(name) = LocalPart::from_meant(&mail::folded(&text)) else {
            reader
                .errors
                .add(span, bad, "1 to 255 octets of characters that can be shown");
            continue;
        };
        let name: Box<str> = name.as_str().into();
        if let Some(first) = places.users.get(&name) {
            let first = (first.clone(), "listed here first".into());
            let title = format!("user `{text}` is listed twice");
            reader
                .errors
                .add_beside(span, title, "names are the same in any case", first);
            continue;
        }
        places.users.insert(name.clone(), span);
        users.insert(name);
    }
    Users::Listed(users)
}

fn separators(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) -> Option<Box<str>> {
    let written = read::text(row, value, &mut reader.errors)?;
    if let Some(other) = written
        .text
        .chars()
        .find(|c| !SEPARATORS_KNOWN.contains(*c))
    {
        let title = format!("{other:?} cannot divide a name from its detail");
        let known = SEPARATORS_KNOWN
            .chars()
            .map(String::from)
            .collect::<Vec<_>>();
        let label = format!("any of {}", known.join(" "));
        reader.errors.add(written.span, title, label);
        return None;
    }
    Some(written.text.into())
}

/// Where mail is taken, as it is written.
pub(super) fn deliver(written: &Text, errors: &mut Errors) -> Option<Deliver> {
    let text = &*written.text;
    if text == "mx" {
        return Some(Deliver::Mx);
    }
    let (title, label) = if let Some(folder) = text.strip_prefix("maildir:~/") {
        match below_home(folder) {
            Ok(()) => return Some(Deliver::Home(folder.into())),
            Err(label) => ("deliver has a Maildir that cannot be", label),
        }
    } else if let Some(template) = text.strip_prefix("maildir:") {
        match maildir(template) {
            Ok(()) => return Some(Deliver::Maildir(template.into())),
            Err(label) => ("deliver has a Maildir that cannot be", label),
        }
    } else if let Some(server) = text.strip_prefix("lmtp:") {
        match lmtp(server) {
            Ok(socket) => return Some(Deliver::Lmtp(socket)),
            Err(label) => ("deliver names no LMTP server", label),
        }
    } else {
        let label = "maildir:/path/{domain}/{user}, lmtp:/socket, lmtp:host:port, or mx".into();
        ("deliver does not say where", label)
    };
    errors.add(written.span.clone(), title, label);
    None
}

/// Whether a template leads to a folder for each user; else what to do about it.
fn maildir(template: &str) -> Result<(), String> {
    absolute(template)?;
    let bare = template.replace("{domain}", "").replace("{user}", "");
    if let Some(place) = bare.find(['{', '}']) {
        let wrong = bare[place..]
            .split_inclusive('}')
            .next()
            .unwrap_or_default();
        return Err(format!(
            "`{wrong}` means nothing: there are {{domain}} and {{user}}"
        ));
    }
    if !template.contains("{user}") {
        return Err("add {user}, or all users would share one".into());
    }
    let fixed = template.split('{').next().unwrap_or_default();
    if !fixed.trim_start_matches('/').contains('/') {
        return Err("begin with a folder that is always there: /var/mail/{domain}/{user}".into());
    }
    Ok(())
}

/// Longest path of a Maildir below a home, in octets.
const BELOW_HOME_OCTETS: usize = 200;

/// Whether this leads to a folder below a home; else what to do about it.
fn below_home(folder: &str) -> Result<(), String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if folder.contains(['{', '}', '\\']) || folder.contains(char::is_control) {
        return Err(
            "write maildir:~/Maildir: a home is one user's, nothing in it is filled in".into(),
        );
    }
    if folder.len() > BELOW_HOME_OCTETS || !folder.split('/').all(plain) {
        return Err("write maildir:~/Maildir, or another plain path below the home".into());
    }
    Ok(())
}

fn lmtp(server: &str) -> Result<LmtpSocket, String> {
    if server.starts_with('/') {
        absolute(server)?;
        return Ok(LmtpSocket::Unix(server.into()));
    }
    match read::host_and_port(server) {
        Some((host, Some(port))) => Ok(LmtpSocket::Tcp(host.into(), port)),
        // RFC 2033 §5: LMTP has no port of its own.
        Some((host, None)) => Err(format!("add the port: lmtp:{host}:24")),
        None => Err("write lmtp:/path/of/socket or lmtp:host:port".into()),
    }
}
