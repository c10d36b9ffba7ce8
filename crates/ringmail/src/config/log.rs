//! `[log]`: the event store, which `log find` and `explain` read.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where events lie when the spool lies where it does by default.
const FOLDER: &str = "/var/log/ringmail";
/// And the name of their folder beside a spool that lies elsewhere: who moves one moves both.
const BESIDE_SPOOL: &str = "events";

/// The event store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its folder.
    pub folder: PathBuf,
    /// How long events are kept.
    pub keep: Duration,
    /// How many octets of them at most.
    pub octets: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            folder: FOLDER.into(),
            keep: Duration::from_hours(14 * 24),
            octets: 1 << 30,
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
