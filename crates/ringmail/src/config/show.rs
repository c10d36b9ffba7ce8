//! The configuration as it is in force: each value, and where it comes from. What is printed is a file that means
//! the same.

use super::options::{Kind, SECTIONS, Section, Shape};
use super::{Config, log};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This line of the file.
    Line(u32),
    /// It is not written.
    Default,
}

/// One key in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// With its section: `limits.message`.
    pub key: String,
    /// As it would be written.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// A written value that is not the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is in force.
    pub entry: Entry,
    /// The default, where there is one.
    pub default: Option<String>,
}

impl Config {
    /// What was written, in the order of the table; with `effective` the defaults of what was not, too.
    pub fn entries(&self, effective: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, default) in self.keys() {
            match (self.written.get(&key), default) {
                (Some(written), _) => entries.push(Entry {
                    key,
                    value: written.value.clone(),
                    source: Source::Line(written.line),
                }),
                (None, Some(value)) if effective => entries.push(Entry {
                    key,
                    value,
                    source: Source::Default,
                }),
                (None, _) => {}
            }
        }
        entries
    }

    /// What was written and is not the default.
    pub fn differences(&self) -> Vec<Difference> {
        let defaults: BTreeMap<String, Option<String>> = self.keys().into_iter().collect();
        let entries = self.entries(false).into_iter().map(|entry| Difference {
            default: defaults.get(&entry.key).cloned().flatten(),
            entry,
        });
        entries
            .filter(|d| d.default.as_ref() != Some(&d.entry.value))
            .collect()
    }

    /// Every key that this file could have or has, with its default.
    fn keys(&self) -> Vec<(String, Option<String>)> {
        let mut keys = Vec::new();
        for section in SECTIONS {
            match section.shape {
                Shape::Top => self.rows(section, "", &mut keys),
                Shape::Plain => self.rows(section, &format!("{}.", section.name), &mut keys),
                Shape::Free => self.free(&format!("{}.", section.name), &mut keys),
                Shape::Named => {
                    for domain in self.policy.domains.keys() {
                        let prefix = format!("{}.\"{domain}\".", section.name);
                        self.rows(section, &prefix, &mut keys);
                    }
                }
            }
        }
        keys
    }

    fn rows(&self, section: &Section, prefix: &str, keys: &mut Vec<(String, Option<String>)>) {
        for row in section.rows {
            let key = format!("{prefix}{}", row.key);
            if row.kind == Kind::Aliases {
                self.free(&format!("{key}."), keys);
            } else {
                let default = match &*key {
                    "log.folder" => Some(log::folder_by_default(self)),
                    _ => row.written_default(),
                };
                keys.push((key, default));
            }
        }
    }

    /// Keys that the administrator chose, by name.
    fn free(&self, prefix: &str, keys: &mut Vec<(String, Option<String>)>) {
        let chosen = self.written.keys().filter(|key| key.starts_with(prefix));
        keys.extend(chosen.map(|key| (key.clone(), None)));
    }
}

/// One `key = value` a line; with `origin` where each comes from.
pub fn show(entries: &[Entry], origin: bool) -> String {
    let lines = entries
        .iter()
        .map(|entry| format!("{} = {}", entry.key, entry.value));
    let lines: Vec<String> = lines.collect();
    let width = lines
        .iter()
        .map(|line| line.chars().count())
        .filter(|w| *w <= COLUMN_MAX)
        .max();
    let width = width.unwrap_or(0);
    let mut out = String::new();
    for (line, entry) in lines.iter().zip(entries) {
        // Writing into a String does not fail.
        let _ = match (origin, entry.source) {
            (false, _) => writeln!(out, "{line}"),
            (true, Source::Line(number)) => writeln!(out, "{line:<width$}  # line {number}"),
            (true, Source::Default) => writeln!(out, "{line:<width$}  # default"),
        };
    }
    out
}

/// Longer lines push their own remark to the right, not those of all others.
const COLUMN_MAX: usize = 60;
