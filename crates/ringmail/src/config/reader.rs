//! The file's way through the sections: who is asked for which key, and what is said of keys that nobody knows.

use super::mistakes::Errors;
use super::nearest::nearest;
use super::options::{self, Kind, OptionRow, SECTIONS, SECTIONS_LATER, Section, Shape, State};
use super::read::{self, Value};
use super::{Auth, Cert, ClientLimits, Config, Dns, Limits, Listen, Log, Schedule, Tls, Written};
use super::{aliases, auth, dns, domain, limits, listen, log, queue, relay, tls, top, try_it};
use crate::ipc::spawn::Situation;
use mail::Domain;
use policy::Parameters;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeTable};

/// What was read so far, and where it stands.
pub struct Reader {
    pub errors: Errors,
    pub situation: Situation,
    pub policy: Parameters,
    pub hostname: Option<Box<str>>,
    /// A hostname stands in the file, well or badly.
    pub hostname_written: bool,
    pub auth: Auth,
    pub listen: Listen,
    pub listeners: Vec<listen::Written>,
    pub limits: Limits,
    pub queue: Schedule,
    pub queue_places: BTreeMap<&'static str, Range<usize>>,
    pub dns: Dns,
    pub log: Log,
    pub spool: PathBuf,
    pub runtime: PathBuf,
    pub sandbox_required: bool,
    pub certs: Vec<Cert>,
    pub tls: Tls,
    pub domains: BTreeMap<Domain, domain::Places>,
    /// There are sections of domains whose name could not be read.
    pub unnamed_domains: bool,
    pub aliases: aliases::Places,
    pub relay_to: Range<usize>,
    pub login: relay::LoginWritten,
    pub sections: BTreeMap<&'static str, Range<usize>>,
    pub written: BTreeMap<String, Written>,
    /// Keys that were offered as what was meant, and where their section starts: that they are missing is not
    /// said again.
    pub suggested: BTreeSet<(usize, &'static str)>,
    /// Keys and sections with a mistake, `section.key` or `section`; what is judged by them is not judged.
    pub malformed: BTreeSet<String>,
}

/// Reads a text; all mistakes at once.
pub fn read(text: &str, path: &str, situation: Situation) -> Result<Config, Errors> {
    let mut reader = Reader::with_defaults(situation);
    reader.errors = Errors::new(text, path);
    let (table, wrong) = DeTable::parse_recoverable(text);
    for error in wrong {
        reader.errors.add_grammar(error.span(), error.message());
    }
    if !reader.errors.is_empty() {
        // What lies behind a mistake of the grammar is anybody's guess.
        return Err(reader.errors);
    }
    reader.file(table.get_ref());
    reader.together()
}

/// The defaults of the table, as a file of their own: read like any other.
fn defaults() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let rows = section.rows.iter();
        let rows: Vec<_> = rows
            .filter_map(|row| Some((row.key, row.written_default()?)))
            .collect();
        match section.shape {
            Shape::Plain if !rows.is_empty() => {
                text.push_str(&section.head());
                text.push('\n');
            }
            Shape::Top | Shape::Plain => {}
            Shape::Named | Shape::Free => continue,
        }
        for (key, value) in rows {
            // Writing into a String does not fail.
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

impl Reader {
    /// Nothing but the defaults of the table.
    fn with_defaults(situation: Situation) -> Self {
        let text = defaults();
        let mut reader = Self {
            errors: Errors::new(&text, "the defaults"),
            situation,
            policy: Parameters::empty(Domain::Ipv4(Ipv4Addr::UNSPECIFIED)),
            hostname: None,
            hostname_written: false,
            auth: Auth::default(),
            listen: Listen::default(),
            listeners: Vec::new(),
            limits: Limits {
                message_octets: 0,
                recipients: 0,
                errors: 0,
                sessions: 0,
                client_sessions: 0,
                client: ClientLimits::default(),
            },
            queue: Schedule {
                retry_delay_min: Duration::ZERO,
                retry_delay_max: Duration::ZERO,
                expiry: Duration::ZERO,
                delay_notice: None,
            },
            queue_places: BTreeMap::new(),
            dns: Dns::default(),
            log: Log::default(),
            tls: Tls::default(),
            spool: PathBuf::new(),
            runtime: PathBuf::new(),
            sandbox_required: false,
            certs: Vec::new(),
            domains: BTreeMap::new(),
            unnamed_domains: false,
            aliases: aliases::Places::new(),
            relay_to: 0..0,
            login: relay::LoginWritten::default(),
            sections: BTreeMap::new(),
            written: BTreeMap::new(),
            suggested: BTreeSet::new(),
            malformed: BTreeSet::new(),
        };
        let (table, wrong) = DeTable::parse_recoverable(&text);
        reader.file(table.get_ref());
        // The table of options is ours, and a test reads it: its defaults lie in its ranges.
        assert!(
            wrong.is_empty() && reader.errors.is_empty(),
            "{}",
            reader.errors
        );
        reader.queue_places.clear();
        reader.sections.clear();
        reader.written.clear();
        reader
    }

    fn file(&mut self, table: &DeTable<'_>) {
        for (key, value) in read::in_order(table) {
            let name: &str = key.get_ref();
            let before = self.errors.count();
            if let Some(section) = options::section(name).filter(|s| s.shape != Shape::Top) {
                self.section(section, key, value);
            } else if let Some((_, doc)) = SECTIONS_LATER.iter().find(|(later, _)| *later == name) {
                let head = match value.get_ref().as_array() {
                    Some(_) => format!("[[{name}]]"),
                    None => format!("[{name}]"),
                };
                let label = format!("{doc}: leave it out for now");
                self.errors
                    .add(key.span(), format!("{head} is not supported yet"), label);
            } else if let Some(row) = self.row(&top::SECTION, 0, key, value) {
                self.note(row.key.into(), value, &key.span());
                self.hostname_written |= row.key == "hostname";
                top::take(self, row, value);
            }
            self.malformed_since(before, "", name);
        }
    }

    /// Notes a key whose mistakes came since there were `before`, and the key that was probably meant.
    fn malformed_since(&mut self, before: usize, section: &str, key: &str) {
        if self.errors.count() == before {
            return;
        }
        let rows = options::section(section).map_or(&[][..], |section| section.rows);
        let keys = rows.iter().map(|row| row.key);
        let sections = SECTIONS.iter().map(|section| section.name);
        let meant: Vec<&str> = if section.is_empty() {
            nearest(key, keys.chain(sections)).into_iter().collect()
        } else {
            nearest(key, keys).into_iter().collect()
        };
        for key in meant.into_iter().chain([key]) {
            if section.is_empty()
                && key != "aliases"
                && nearest(key, ["aliases"].into_iter()).is_some()
            {
                self.malformed.insert("aliases:names".into());
            }
            let dot = if section.is_empty() { "" } else { "." };
            self.malformed.insert(format!("{section}{dot}{key}"));
        }
    }

    /// Whether any of these keys or sections was written and has a mistake.
    pub fn is_malformed(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.malformed.contains(*key))
    }

    fn section(
        &mut self,
        section: &'static Section,
        key: &Spanned<DeString<'_>>,
        value: &Value<'_>,
    ) {
        self.sections.insert(section.name, key.span());
        if section.name == try_it::SECTION.name && self.situation != Situation::Try {
            let label = "only `ringmail try` takes mail for any domain";
            return self
                .errors
                .add(key.span(), "[try] is not for this file", label);
        }
        let Some(table) = value.get_ref().as_table() else {
            self.malformed.insert(format!("{}:names", section.name));
            let label = match section.shape {
                Shape::Named => format!(
                    "write [{}.\"example.org\"], and its options below it",
                    section.name
                ),
                _ => format!("write [{}] once, and its options below it", section.name),
            };
            let title = format!(
                "`{}` is a section, not {}",
                section.name,
                read::kind_of(value.get_ref())
            );
            return self.errors.add(key.span(), title, label);
        };
        match section.shape {
            Shape::Named => domain::take_all(self, table),
            Shape::Free => {
                let mut places = aliases::Places::new();
                self.policy.aliases = aliases::take(self, section.name, table, &mut places);
                self.aliases = places;
            }
            Shape::Top | Shape::Plain => self.rows(section, table),
        }
    }

    fn rows(&mut self, section: &'static Section, table: &DeTable<'_>) {
        for (key, value) in read::in_order(table) {
            let before = self.errors.count();
            let Some(row) = self.row(section, self.head_of(section.name).start, key, value) else {
                self.malformed_since(before, section.name, key.get_ref());
                continue;
            };
            if row.kind != Kind::Aliases {
                self.note(format!("{}.{}", section.name, row.key), value, &key.span());
            }
            match section.name {
                "auth" => auth::take(self, row, value),
                "listen" => listen::take(self, row, value),
                "relay" => relay::take(self, row, value),
                "limits" => limits::take(self, row, value),
                "queue" => queue::take(self, row, value),
                "dns" => dns::take(self, row, value),
                "log" => log::take(self, row, value),
                "tls" => tls::take(self, row, value),
                _ => try_it::take(self, row, value),
            }
            self.malformed_since(before, section.name, row.key);
        }
    }

    /// The row of a key, where it is known and works; else a mistake that says what was probably meant. `head`
    /// is where the section starts.
    pub fn row(
        &mut self,
        section: &'static Section,
        head: usize,
        key: &Spanned<DeString<'_>>,
        value: &Value<'_>,
    ) -> Option<&'static OptionRow> {
        let Some(row) = section.row(key.get_ref()) else {
            self.unknown(section, head, key, value);
            return None;
        };
        let reason = match row.state {
            State::Built => return Some(row),
            State::TryOnly(_) if self.situation == Situation::Try => return Some(row),
            State::TryOnly(reason) => reason.to_owned(),
            State::Later => format!("{}: leave it out for now", row.doc),
        };
        self.errors.add(
            key.span(),
            format!("`{}` is not supported yet", row.key),
            reason,
        );
        None
    }

    fn unknown(
        &mut self,
        section: &'static Section,
        head: usize,
        key: &Spanned<DeString<'_>>,
        value: &Value<'_>,
    ) {
        let name: &str = key.get_ref();
        let is_section = section.shape == Shape::Top && value.get_ref().is_table();
        let keys = section.rows.iter().map(|row| row.key);
        let sections = SECTIONS
            .iter()
            .map(|s| s.name)
            .chain(SECTIONS_LATER.iter().map(|(s, _)| *s));
        let near = if is_section {
            nearest(name, sections.filter(|s| !s.is_empty()))
        } else {
            nearest(name, keys)
        };
        self.suggested.extend(near.map(|near| (head, near)));
        let elsewhere = SECTIONS.iter().find(|other| {
            other.shape != Shape::Free && other.name != "try" && other.row(name).is_some()
        });
        let label = match (near, elsewhere) {
            (_, Some(other)) if !is_section && other.shape == Shape::Top => {
                "it stands at the top of the file, before any section".into()
            }
            (_, Some(other)) if !is_section => format!("it belongs below {}", other.head()),
            (Some(near), _) if is_section => {
                let head = options::section(near).map_or(format!("[{near}]"), Section::head);
                format!("did you mean {head}?")
            }
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, _) if is_section => {
                let heads = SECTIONS
                    .iter()
                    .filter(|s| !s.name.is_empty() && s.name != "try");
                format!(
                    "there are {}",
                    heads.map(|s| s.head()).collect::<Vec<_>>().join(" ")
                )
            }
            (None, _) => {
                let built = section.rows.iter().filter(|row| row.state == State::Built);
                let place = if section.shape == Shape::Top {
                    "the top of the file".into()
                } else {
                    section.head()
                };
                let keys: Vec<&str> = built.map(|row| row.key).collect();
                format!("{place} has {}", keys.join(", "))
            }
        };
        let title = if is_section {
            format!("unknown section [{name}]")
        } else {
            format!("unknown key `{name}`")
        };
        self.errors.add(key.span(), title, label);
    }

    /// Notes that a key was written: for `config show`.
    pub fn note(&mut self, key: String, value: &Value<'_>, span: &Range<usize>) {
        let line = self.errors.line(span.start);
        let value = shown(value);
        self.written.insert(key, Written { value, line });
    }

    /// Where the file says a key; for mistakes of several keys together.
    pub fn head_of(&self, section: &str) -> Range<usize> {
        self.sections.get(section).cloned().unwrap_or(0..0)
    }
}

/// A value as it could be written, on one line.
fn shown(value: &Value<'_>) -> String {
    let value = value.get_ref();
    if let Some(text) = value.as_str() {
        return toml::Value::String(text.into()).to_string();
    }
    if let Some(array) = value.as_array() {
        let items: Vec<String> = array.iter().map(shown).collect();
        return format!("[{}]", items.join(", "));
    }
    if let Some(table) = value.as_table() {
        let items: Vec<String> = table
            .iter()
            .map(|(k, v)| format!("{} = {}", aliases::shown_key(k.get_ref()), shown(v)))
            .collect();
        return format!("{{ {} }}", items.join(", "));
    }
    value
        .as_integer()
        .map_or_else(|| value.type_str().to_owned(), ToString::to_string)
}
