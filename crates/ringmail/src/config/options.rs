//! What an option is, and the table of all of them: each key once, with its kind, range, default and what it is
//! for. The parser, `config show`, `config schema`, the manual page and docs/configuration.md come out of it; a
//! key that is not here does not exist. The rows of a section stand in the section's own file.

use super::{aliases, auth, dns, domain, limits, listen, log, queue, relay, tls, top, try_it};

/// What a value looks like. Ranges include both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table of names and one or more addresses each.
    Aliases,
    /// A whole number.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A number and its unit: `30s`, `5m`, `4h`, `5d`.
    Duration {
        /// The shortest, in seconds.
        min_secs: u64,
        /// The longest, in seconds.
        max_secs: u64,
    },
    /// A string, or a list of them.
    List,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A number of octets and its unit: `50 MiB`.
    Size {
        /// The smallest, in octets.
        min_octets: u64,
        /// The largest, in octets.
        max_octets: u64,
    },
    /// A string.
    Text,
}

impl Kind {
    /// In words, for mistakes and for the documentation.
    pub fn words(self) -> String {
        match self {
            Kind::Aliases => "a table of names and addresses".into(),
            Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Duration { min_secs, max_secs } => {
                let (min, max) = (shown_duration(min_secs), shown_duration(max_secs));
                format!("a time from \"{min}\" to \"{max}\"")
            }
            Kind::List => "a string or a list of strings".into(),
            Kind::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                words.join(" or ")
            }
            Kind::Size {
                min_octets,
                max_octets,
            } => {
                let (min, max) = (shown_size(min_octets), shown_size(max_octets));
                format!("a size from \"{min}\" to \"{max}\"")
            }
            Kind::Text => "a string".into(),
        }
    }

    /// Whether a value of this kind stands in quotes in the file.
    pub fn is_quoted(self) -> bool {
        !matches!(self, Kind::Count { .. })
    }
}

/// The units of a time and their seconds.
pub const DURATION_UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
/// The units of a size and their octets.
pub const SIZE_UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A time in its largest whole unit.
pub fn shown_duration(secs: u64) -> String {
    let (number, unit) = in_units(secs, &DURATION_UNITS);
    format!("{number}{unit}")
}

/// A size in its largest whole unit.
pub fn shown_size(octets: u64) -> String {
    let (number, unit) = in_units(octets, &SIZE_UNITS);
    format!("{number} {unit}")
}

fn in_units<'a>(amount: u64, units: &[(&'a str, u64)]) -> (u64, &'a str) {
    let whole = units
        .iter()
        .rev()
        .find(|(_, unit)| amount.is_multiple_of(*unit));
    let (name, unit) = whole.unwrap_or(&units[0]);
    (amount / unit, name)
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
    /// The key.
    pub key: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// As it would be written, without quotes; empty where there is none.
    pub default: &'static str,
    /// What it is for, in a line.
    pub doc: &'static str,
    /// What else is to be known: why this default, what happens without it, which RFC. May be empty.
    pub more: &'static str,
    /// A value, as it stands in a file.
    pub example: &'static str,
    /// Whether it works.
    pub state: State,
}

impl OptionRow {
    /// One that later work brings.
    pub const fn later(key: &'static str, doc: &'static str) -> Self {
        Self {
            key,
            kind: Kind::Text,
            default: "",
            doc,
            more: "",
            example: "",
            state: State::Later,
        }
    }

    /// The default as it would stand in a file.
    pub fn written_default(&self) -> Option<String> {
        let quote = if self.kind.is_quoted() { "\"" } else { "" };
        (!self.default.is_empty()).then(|| format!("{quote}{}{quote}", self.default))
    }
}

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// At the top of the file, before any section.
    Top,
    /// `[name]`, once.
    Plain,
    /// `[name."…"]`, one for each name.
    Named,
    /// `[name]`, whose keys the administrator chooses.
    Free,
}

/// A section and its options.
#[derive(Debug)]
pub struct Section {
    /// Its name; empty for the top of the file.
    pub name: &'static str,
    /// How it is written.
    pub shape: Shape,
    /// What it is for.
    pub doc: &'static str,
    /// Its options, in the order they are shown. A section of free keys has one row: what its values are.
    pub rows: &'static [OptionRow],
}

impl Section {
    /// How its head is written.
    pub fn head(&self) -> String {
        match self.shape {
            Shape::Top => String::new(),
            Shape::Named => format!("[{}.\"…\"]", self.name),
            Shape::Plain | Shape::Free => format!("[{}]", self.name),
        }
    }

    /// The row of a key.
    pub fn row(&self, key: &str) -> Option<&'static OptionRow> {
        self.rows.iter().find(|row| row.key == key)
    }
}

/// The table.
pub static SECTIONS: [&Section; 12] = [
    &top::SECTION,
    &listen::SECTION,
    &domain::SECTION,
    &aliases::SECTION,
    &auth::SECTION,
    &relay::SECTION,
    &limits::SECTION,
    &queue::SECTION,
    &dns::SECTION,
    &tls::SECTION,
    &log::SECTION,
    &try_it::SECTION,
];

/// Sections that later work brings, and what they will be for.
pub const SECTIONS_LATER: [(&str, &str); 5] = [
    ("filter", "milters that judge content"),
    ("local", "mail of programs and users of this machine"),
    ("route", "ways for single domains, addresses and senders"),
    ("rule", "whom to refuse by address, name or sender"),
    (
        "table",
        "users, aliases and domains from files and databases",
    ),
];

/// The section of a name.
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.into_iter().find(|section| section.name == name)
}
