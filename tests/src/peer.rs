//! Other mail servers, each started from its Debian package in a cell of its own on a free loopback port.
//!
//! Each takes mail from 127.0.0.1 for everybody. What is for [`THEIRS`] it delivers to a Maildir or hands to a sink;
//! what is for [`OURS`] it relays to the port it was given, as a smart host.

mod dovecot;
mod exim;
mod opensmtpd;
mod postfix;
mod sendmail;

pub use dovecot::{Quota, dovecot, dovecot_with_quotas};
pub use exim::{exim, exim_for_account};
pub use opensmtpd::opensmtpd;
pub use postfix::postfix;
pub use sendmail::sendmail;

use crate::Authority;
use crate::cell::{Cell, Running, User};
use crate::interop::Arrived;
use crate::maildir;
use crate::sink::Sink;

/// The domain whose mail a peer delivers.
pub const THEIRS: &str = "theirs.test";
/// The domain whose mail a peer relays to us.
pub const OURS: &str = "ours.test";

/// Its certificate, where its cell has it.
const CERT: &str = "/etc/tls/fullchain.pem";
/// And its key.
const KEY: &str = "/etc/tls/privkey.pem";

/// Puts a certificate of these names into a cell; its key is this user's.
fn certify(cell: &Cell, names: &[&str], owner: User, by: &Authority) {
    cell.owned_by("etc/tls", owner);
    by.certify(names, &cell.inside("etc/tls"));
    let key = cell.inside(KEY);
    std::os::unix::fs::chown(key, Some(owner.id), Some(owner.id))
        .expect("root may give files away");
}

/// Root, as a cell knows it.
const ROOT: User = User {
    name: "root",
    id: 0,
};

/// A server that runs.
pub struct Peer {
    /// Its name.
    pub name: &'static str,
    /// Where it listens, for SMTP or LMTP.
    pub port: u16,
    /// Whether it offers STARTTLS.
    pub offers_tls: bool,
    mailboxes: Mailboxes,
    running: Running,
}

/// Where a peer puts what is for its own domain.
enum Mailboxes {
    /// A Maildir for each local-part, below a folder of its cell.
    Maildirs,
    /// It hands it on.
    Sink(Sink),
}

impl Peer {
    /// What it delivered so far.
    pub fn arrived(&self) -> Arrived {
        match &self.mailboxes {
            Mailboxes::Maildirs => maildir::contents(&self.running.cell().mail()),
            Mailboxes::Sink(sink) => {
                let mut arrived = Arrived::new();
                for message in sink.taken() {
                    for path in &message.forward_paths {
                        let name = path.split('@').next().unwrap_or_default();
                        let contents = arrived.entry(name.to_owned()).or_default();
                        // As a mailbox would have it (RFC 5321 §4.4).
                        let path = format!("Return-Path: <{}>\r\n", message.reverse_path);
                        contents.push([path.as_bytes(), &message.content].concat());
                    }
                }
                arrived
            }
        }
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.running.log()
    }
}
