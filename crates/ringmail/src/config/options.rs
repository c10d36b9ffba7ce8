//! The table of options: each key once, with its kind, its default and what it is for. The parser, `config
//! show`, `config schema` and the documentation come out of it; a key that is not here does not exist.

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table of names and one or more addresses each.
    Aliases,
    /// A whole number.
    Count,
    /// A number and its unit: `30s`, `5m`, `4h`, `5d`.
    Duration,
    /// A string, or a list of them.
    List,
    /// A number of octets and its unit: `50 MiB`.
    Size,
    /// A string.
    Text,
}

impl Kind {
    /// In words, for mistakes and the schema.
    pub const fn words(self) -> &'static str {
        match self {
            Kind::Aliases => "a table of names and addresses",
            Kind::Count => "a whole number",
            Kind::Duration => "a time such as \"30s\", \"5m\", \"4h\" or \"5d\"",
            Kind::List => "a string or a list of strings",
            Kind::Size => "a size such as \"50 MiB\"",
            Kind::Text => "a string",
        }
    }
}

/// Whether an option works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Built,
    /// It does in `ringmail try` only; elsewhere it is refused with this reason.
    TryOnly(&'static str),
    /// Not supported yet.
    Later,
}

/// One option.
#[derive(Debug)]
pub struct OptionRow {
    /// `""` for the top of the file, `domain` for each `[domain."…"]`.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// As it would be written; empty where there is none.
    pub default: &'static str,
    /// What it is for, in a line.
    pub doc: &'static str,
    /// Whether it works.
    pub state: State,
}

const fn row(
    section: &'static str,
    key: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> OptionRow {
    OptionRow {
        section,
        key,
        kind,
        default,
        doc,
        state: State::Built,
    }
}

const fn later(section: &'static str, key: &'static str, doc: &'static str) -> OptionRow {
    OptionRow {
        section,
        key,
        kind: Kind::Text,
        default: "",
        doc,
        state: State::Later,
    }
}

/// All options, in the order they are shown.
pub const OPTIONS: &[OptionRow] = &[
    row(
        "",
        "hostname",
        Kind::Text,
        "",
        "the name that we publish; its own addresses are those of [aliases]",
    ),
    row(
        "",
        "spool",
        Kind::Text,
        "/var/spool/ringmail",
        "the folder that holds all queued mail",
    ),
    row(
        "",
        "runtime",
        Kind::Text,
        "/run/ringmail",
        "the folder of the control socket",
    ),
    later("", "acme", "certificates from a CA"),
    later("", "cert", "the folder of a certificate and its key"),
    later("", "sandbox", "which layers of confinement must stand"),
    row(
        "listen",
        "mx",
        Kind::List,
        "",
        "where mail from other hosts comes in: \"[::]:25\"",
    ),
    OptionRow {
        section: "listen",
        key: "submission",
        kind: Kind::List,
        default: "",
        doc: "where mail from our own users comes in",
        state: State::TryOnly("submission needs login, which is not supported yet"),
    },
    later("listen", "https", "certificates, policies, autoconfig"),
    row(
        "domain",
        "users",
        Kind::List,
        "",
        "who has a mailbox; without it every name is taken",
    ),
    row(
        "domain",
        "aliases",
        Kind::Aliases,
        "",
        "names that lead to others",
    ),
    row(
        "domain",
        "deliver",
        Kind::Text,
        "",
        "maildir:/path/{domain}/{user}, lmtp:/socket, lmtp:host:port, or mx",
    ),
    row(
        "domain",
        "catch_all",
        Kind::Text,
        "",
        "who gets mail for names that nobody has",
    ),
    later("domain", "dkim", "signing of what leaves"),
    later("domain", "received", "what our trace field tells"),
    row(
        "relay",
        "to",
        Kind::Text,
        "",
        "the smart host for everything that is not ours: smtp://host:port",
    ),
    row(
        "relay",
        "from",
        Kind::List,
        "",
        "networks whose clients may send to anybody",
    ),
    later("relay", "user", "the login at the smart host"),
    later("relay", "password", "its password, by reference"),
    row(
        "limits",
        "message",
        Kind::Size,
        "50 MiB",
        "largest message; larger ones are refused with 552",
    ),
    row(
        "limits",
        "recipients",
        Kind::Count,
        "1000",
        "most recipients of one transaction (RFC 5321 asks for 100)",
    ),
    row(
        "limits",
        "errors",
        Kind::Count,
        "20",
        "failed commands before a session is ended",
    ),
    row(
        "limits",
        "sessions",
        Kind::Count,
        "1000",
        "sessions at once; more are told to come later",
    ),
    row(
        "queue",
        "retry_delay_min",
        Kind::Duration,
        "5m",
        "the pause before the second attempt; doubled each time",
    ),
    row(
        "queue",
        "retry_delay_max",
        Kind::Duration,
        "4h",
        "the longest pause",
    ),
    row(
        "queue",
        "expiry",
        Kind::Duration,
        "5d",
        "how long a message is tried (RFC 5321 asks for 4 to 5 days)",
    ),
    row(
        "dns",
        "servers",
        Kind::List,
        "",
        "name servers; the system's where there are none",
    ),
    row(
        "dns",
        "smtp_port",
        Kind::Count,
        "25",
        "where the hosts that DNS names listen; for closed test networks",
    ),
    row(
        "log",
        "folder",
        Kind::Text,
        "",
        "where events lie: /var/log/ringmail, or the folder `events` beside a `spool` that is set",
    ),
    row(
        "log",
        "keep",
        Kind::Duration,
        "14d",
        "how long events are kept for `log find` and `explain`",
    ),
    row(
        "log",
        "size",
        Kind::Size,
        "1 GiB",
        "how much of them at most; the oldest go first",
    ),
    OptionRow {
        section: "try",
        key: "deliver",
        kind: Kind::Text,
        default: "",
        doc: "the Maildirs of every domain",
        state: State::TryOnly("only `ringmail try` takes mail for any domain"),
    },
];

/// Sections that later work brings.
pub const SECTIONS_LATER: &[&str] = &["auth", "filter", "local", "rule", "route", "table", "tls"];

/// Sections there are; `aliases` has free keys, `domain` a level of names.
pub const SECTIONS: &[&str] = &[
    "listen", "domain", "relay", "aliases", "limits", "queue", "dns", "log", "try",
];

/// The row of a key.
pub fn find(section: &str, key: &str) -> Option<&'static OptionRow> {
    OPTIONS
        .iter()
        .find(|row| row.section == section && row.key == key)
}

/// Names that are close to what was written, the nearest first.
pub fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = written.len() / 3 + 1;
    let close = names
        .map(|name| (distance(written, name), name))
        .filter(|(d, _)| *d <= far);
    close.min().map(|(_, name)| name)
}

/// Levenshtein's distance, in octets.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
