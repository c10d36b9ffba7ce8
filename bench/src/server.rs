//! The servers that are measured: how each is started with the same work to do, and what its 250 is worth.

mod caged;
mod opensmtpd;
mod postfix;
mod ringmail;

use crate::load::USERS;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The domain whose mail goes to Maildirs; every other one's goes to the sink.
pub const LOCAL_DOMAIN: &str = "bench.test";
/// A domain of the sink.
pub const RELAY_DOMAIN: &str = "relay.test";

/// A kind of server, or one kind with a certain setting.
pub trait Server {
    /// As it stands in the table.
    fn name(&self) -> &'static str;
    /// Whether it is measured only where somebody names it.
    fn only_when_named(&self) -> bool {
        false
    }
    /// What the 250 after content is worth when the power fails.
    fn durability(&self) -> &'static str;
    /// Fetches what it needs; an error says why it cannot be measured here.
    fn prepare(&self) -> Result<(), String>;
    /// Starts it with an empty queue below `folder`, an empty folder of its own; mail that is not for the local
    /// domain goes to `sink`. It serves when this is back.
    fn start(&self, folder: &Path, sink: SocketAddr) -> io::Result<Box<dyn Running>>;
}

/// A server that runs; it ends when this is dropped.
pub trait Running {
    /// Where it takes mail.
    fn address(&self) -> SocketAddr;
    /// The Maildirs of the local domain's users.
    fn maildirs(&self) -> Vec<PathBuf>;
    /// The end of its log, for when something went wrong.
    fn last_words(&self) -> String;
}

/// All servers, in the order they take turns.
pub fn all() -> Vec<Box<dyn Server>> {
    vec![
        Box::new(ringmail::Ringmail { sealed: true }),
        Box::new(ringmail::Ringmail { sealed: false }),
        Box::new(postfix::Postfix {
            in_flow_delay: true,
        }),
        Box::new(postfix::Postfix {
            in_flow_delay: false,
        }),
        Box::new(opensmtpd::OpenSmtpd),
    ]
}

/// The names of the local domain's users.
fn users() -> impl Iterator<Item = String> {
    (0..USERS).map(|number| format!("user{number}"))
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    const LINES: usize = 10;
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
