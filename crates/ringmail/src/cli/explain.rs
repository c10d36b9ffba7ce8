//! `ringmail explain`: what would happen, by which rule and line, and what would change it. It asks the same
//! brains that a session asks.

mod rcpt;
pub mod rehearsal;
mod route;

use crate::config::Config;
use clap::Subcommand;
use policy::Origin;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// A client that nobody lists: of TEST-NET-3 (RFC 5737).
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// What is to be explained.
#[derive(Subcommand)]
pub enum Explain {
    /// What a session would answer to RCPT.
    Rcpt(rcpt::Rcpt),
    /// Aliases, then where each mailbox's mail goes: as DNS says it now, where it is asked.
    Route(route::Route),
    /// The story of a session, by the token of one of its replies.
    Reply {
        /// The token.
        token: String,
    },
    /// Why a message is still here.
    Message {
        /// The message.
        id: String,
    },
}

/// Explains it. `path` is the configuration's file.
pub fn explain(config: &Config, path: &Path, what: &Explain, json: bool) -> u8 {
    let place = Place::new(path);
    match what {
        Explain::Rcpt(what) => rcpt::explain(config, what, &place, json),
        Explain::Route(what) => route::explain(config, what, &place, json),
        Explain::Reply { token } => super::story::reply(config, token, json),
        Explain::Message { id } => super::story::message(config, id, json),
    }
}

/// How a place of the configuration is written: `ringmail.toml:12 domain."example.org"`.
struct Place<'a>(std::borrow::Cow<'a, str>);

impl<'a> Place<'a> {
    fn new(path: &'a Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self(name.to_string_lossy())
    }

    fn of(&self, origin: Option<&Origin>) -> String {
        match origin {
            Some(Origin { key, line: 0 }) => format!("{}: {key} is not set", self.0),
            Some(Origin { key, line }) => format!("{}:{line} {key}", self.0),
            None => String::new(),
        }
    }

    /// Key and line, as JSON has them.
    fn json(origin: Option<&Origin>) -> (Option<&str>, Option<u32>) {
        let key = origin.map(|origin| &*origin.key);
        (
            key,
            origin.map(|origin| origin.line).filter(|line| *line > 0),
        )
    }
}

/// One line of a story: what was looked at, what was found, and where the configuration says it.
fn print_step(subject: &str, text: &str, place: &str) {
    let line = format!("  {subject:<8} {text:<52} {place}");
    println!("{}", line.trim_end());
}
