//! Other mail servers, each started from its Debian package in a cell of its own on a free loopback port.
//!
//! Each takes mail from 127.0.0.1 for everybody. What is for [`THEIRS`] it delivers to a Maildir or hands to a sink;
//! what is for [`OURS`] it relays to the port it was given, as a smart host.

mod exim;
mod opensmtpd;
mod postfix;

pub use exim::exim;
pub use opensmtpd::opensmtpd;
pub use postfix::postfix;

use crate::cell::Running;
use std::path::PathBuf;

/// The domain whose mail a peer delivers.
pub const THEIRS: &str = "theirs.test";
/// The domain whose mail a peer relays to us.
pub const OURS: &str = "ours.test";

/// A server that runs.
pub struct Peer {
    /// Its name.
    pub name: &'static str,
    /// Where it listens for SMTP.
    pub port: u16,
    running: Running,
}

impl Peer {
    /// The folder with a Maildir for each local-part.
    pub fn mail(&self) -> PathBuf {
        self.running.cell().mail()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.running.log()
    }
}
