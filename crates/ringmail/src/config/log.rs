//! `[log]`: the event store, which `log find` and `explain` read.

use super::Config;
use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use super::top::absolute;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const SECTION: Section = Section {
    name: "log",
    shape: Shape::Plain,
    doc: "The event store, which `log find` and `explain` read.",
    rows: &[
        OptionRow {
            key: "folder",
            kind: Kind::Text,
            default: "",
            doc: "where events lie",
            more: "/var/log/ringmail, or the folder `events` beside a `spool` that is set.",
            example: "\"/srv/log/ringmail\"",
            state: State::Built,
        },
        OptionRow {
            key: "keep",
            kind: Kind::Duration {
                min_secs: 3600,
                max_secs: 3660 * 86_400,
            },
            default: "14d",
            doc: "how long events are kept",
            more: "",
            example: "\"30d\"",
            state: State::Built,
        },
        OptionRow {
            key: "size",
            kind: Kind::Size {
                // Below this, files would be smaller than what is written at once.
                min_octets: 8 << 20,
                max_octets: 1 << 40,
            },
            default: "1 GiB",
            doc: "how much of them at most; the oldest go first",
            more: "",
            example: "\"256 MiB\"",
            state: State::Built,
        },
    ],
};

/// Where events lie when the spool lies where it does by default.
const FOLDER: &str = "/var/log/ringmail";
/// And the name of their folder beside a spool that lies elsewhere: who moves one moves both.
const BESIDE_SPOOL: &str = "events";

/// The event store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Its folder.
    pub folder: PathBuf,
    /// How long events are kept.
    pub keep: Duration,
    /// How many octets of them at most.
    pub octets: u64,
}

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    match row.key {
        "folder" => folder(reader, row, value),
        "keep" => {
            if let Some(secs) = read::duration(row, value, &mut reader.errors) {
                reader.log.keep = Duration::from_secs(secs);
            }
        }
        _ => {
            if let Some(octets) = read::size(row, value, &mut reader.errors) {
                reader.log.octets = octets;
            }
        }
    }
}

fn folder(reader: &mut Reader, row: &OptionRow, value: &Value<'_>) {
    let Some(written) = read::text(row, value, &mut reader.errors) else {
        return;
    };
    match absolute(&written.text) {
        Ok(()) => reader.log.folder = written.text.into(),
        Err(label) => {
            let title = "`folder` must be the absolute path of a folder";
            reader.errors.add(written.span, title, label);
        }
    }
}

/// The folder where none is written: `spool` is what is written of the spool's.
pub(super) fn default_folder(spool: Option<&Path>) -> PathBuf {
    match spool.and_then(Path::parent) {
        Some(beside) => beside.join(BESIDE_SPOOL),
        None => FOLDER.into(),
    }
}

/// The same, as it would be written.
pub(super) fn folder_by_default(config: &Config) -> String {
    let spool = config
        .written
        .contains_key("spool")
        .then_some(&*config.spool);
    let folder = default_folder(spool).display().to_string();
    toml::Value::String(folder).to_string()
}
