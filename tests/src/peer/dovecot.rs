//! Dovecot, which takes mail by LMTP and knows quotas.

use super::{Mailboxes, Peer};
use crate::cell::{Cell, MAIL, MAIL_USER, User};
use crate::debian::{self, DOVECOT};
use crate::free_port;
use std::fs;

const USER: User = User {
    name: "dovecot",
    id: 61_008,
};
/// Whom its login processes run as; it wants the user to exist even where nobody logs in.
const NOBODY: User = User {
    name: "dovenull",
    id: 61_009,
};

/// How much a mailbox may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// As much as comes.
    Any,
    /// Nothing, and that is final: 552.
    Full,
    /// Nothing now: 452.
    FullNow,
}

/// Starts it with these mailboxes, all without a quota.
pub fn dovecot(_next_hop: u16, mailboxes: &[String]) -> Result<Peer, String> {
    let names = mailboxes.iter().map(|name| (name.as_str(), Quota::Any));
    dovecot_with_quotas(&names.collect::<Vec<_>>())
}

/// Starts it with these mailboxes.
pub fn dovecot_with_quotas(mailboxes: &[(&str, Quota)]) -> Result<Peer, String> {
    let cell = Cell::new(&debian::root(DOVECOT)?, "dovecot.test", &[USER, NOBODY]);
    let port = free_port();
    cell.write("etc/dovecot/dovecot.conf", &configuration(port));
    set_quotas(&cell, mailboxes);
    let running = cell.start("dovecot -F", port);
    Ok(Peer {
        name: "Dovecot",
        port,
        offers_tls: false,
        mailboxes: Mailboxes::Maildirs,
        running,
    })
}

impl Peer {
    /// Gives Dovecot other mailboxes; it looks at the table again before each message.
    pub fn set_quotas(&self, mailboxes: &[(&str, Quota)]) {
        set_quotas(self.running.cell(), mailboxes);
    }
}

fn set_quotas(cell: &Cell, mailboxes: &[(&str, Quota)]) {
    let lines = mailboxes.iter().map(|(name, quota)| {
        // A message is smaller than no quota can be, but not than one of a single octet.
        let rules = match quota {
            Quota::Any => "",
            Quota::Full => "userdb_quota_rule=*:bytes=1",
            Quota::FullNow => "userdb_quota_rule=*:bytes=1 userdb_quota_full_tempfail=yes",
        };
        let id = MAIL_USER.id;
        format!("{name}:{{PLAIN}}:{id}:{id}::{MAIL}/{name}::{rules}\n")
    });
    // Never half a table: it may be read at any moment.
    cell.write("etc/dovecot/users.new", &lines.collect::<Vec<_>>().concat());
    let moved = fs::rename(
        cell.inside("etc/dovecot/users.new"),
        cell.inside("etc/dovecot/users"),
    );
    moved.expect("both lie in one folder");
}

fn configuration(port: u16) -> String {
    format!(
        "protocols = lmtp\n\
         log_path = /dev/stderr\n\
         ssl = no\n\
         hostname = dovecot.test\n\
         auth_username_format = %Ln\n\
         mail_location = maildir:{MAIL}/%n\n\
         mail_plugins = quota\n\
         service lmtp {{\n\
         inet_listener lmtp {{\n\
         address = 127.0.0.1\n\
         port = {port}\n\
         }}\n\
         }}\n\
         protocol lmtp {{\n\
         postmaster_address = postmaster@dovecot.test\n\
         }}\n\
         passdb {{\n\
         driver = passwd-file\n\
         args = /etc/dovecot/users\n\
         }}\n\
         userdb {{\n\
         driver = passwd-file\n\
         args = /etc/dovecot/users\n\
         }}\n\
         plugin {{\n\
         quota = count:mailbox\n\
         quota_vsizes = yes\n\
         }}\n"
    )
}
