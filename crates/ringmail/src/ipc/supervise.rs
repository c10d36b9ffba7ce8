//! admin asks the supervisor, over the socket that admin was born with: what stands, and to read the configuration
//! anew. The questions are two words, so that the supervisor decides nothing by what admin says: it reads its own
//! file, which only who may write it can change. Its answers are bounded here.

use super::spawn::Role;
use crate::confine::{Layer, Missing};
use mail::Time;
use serde::{Deserialize, Serialize};

/// Octets of text that an answer carries at most: mistakes of a file, words of an error.
pub const TEXT_OCTETS: usize = 32 * 1024;
/// Changes that an answer names; of the rest only the number is told.
pub const CHANGES_MAX: usize = 200;
/// Octets of a value that an answer shows.
pub const VALUE_OCTETS: usize = 200;

/// What admin asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Read the configuration anew.
    Reload,
    /// What stands?
    Status,
}

/// What the supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answered {
    /// How the reload went.
    Reload(Reload),
    /// What stands.
    Status(Supervision),
}

/// A key whose value is another now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key with its section.
    pub key: String,
    /// As it was written; nothing where it was not.
    pub before: Option<String>,
    /// As it is written now; nothing where it is not any more.
    pub after: Option<String>,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reload {
    /// The new configuration is in force.
    Done {
        /// What changed, at most [`CHANGES_MAX`] of it.
        changes: Vec<Change>,
        /// Changes that are not named.
        more: u64,
        /// Roles that have not said in time that they took it; they are still about to.
        late: Vec<Role>,
    },
    /// The file is wrong; these are its mistakes, as `check` says them. Nothing changed.
    Mistakes(String),
    /// These keys change with a restart only. Nothing changed.
    Restart(Vec<String>),
    /// The file is right, and what is around it is not: a listener that cannot be opened. Nothing changed.
    Surroundings(String),
    /// Another reload is under way.
    Busy,
}

/// What stands, as the supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// When it began.
    pub began: Time,
    /// Where its configuration is.
    pub path: String,
    /// The supervisor's user.
    pub uid: u32,
    /// Every role.
    pub roles: Vec<RoleStatus>,
    /// What listens: for what, and where.
    pub listeners: Vec<(String, String)>,
    /// The last reload and what came of it, in words.
    pub last_reload: Option<(Time, String)>,
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleStatus {
    /// Which.
    pub role: Role,
    /// Its user.
    pub uid: u32,
    /// Its process; none while it waits to be started again.
    pub pid: Option<u32>,
    /// When this process was started.
    pub since: Time,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it ended the last time.
    pub last_end: Option<String>,
    /// Whether it serves.
    pub ready: bool,
    /// What confines it; nothing before it has said so.
    pub stand: Vec<Layer>,
    /// What should confine it and does not, or not whole.
    pub missing: Vec<Missing>,
}

/// Cuts a text to so many octets, at a character's border.
pub fn cut(mut text: String, octets: usize) -> String {
    if text.len() > octets {
        let end = (0..=octets).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
    }
    text
}
