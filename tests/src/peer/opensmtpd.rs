//! OpenSMTPD.

use super::{Mailboxes, OURS, Peer, THEIRS};
use crate::cell::{Cell, MAIL, MAIL_USER, User};
use crate::debian::{self, OPENSMTPD};
use crate::free_port;
use crate::interop::COUNT;

const USER: User = User {
    name: "opensmtpd",
    id: 61_004,
};
const QUEUE_USER: User = User {
    name: "opensmtpq",
    id: 61_005,
};

/// Starts it.
pub fn opensmtpd(next_hop: u16, _mailboxes: &[String]) -> Result<Peer, String> {
    let cell = Cell::new(
        &debian::root(OPENSMTPD)?,
        "opensmtpd.test",
        &[USER, QUEUE_USER],
    );
    let port = free_port();
    cell.write("etc/smtpd.conf", &configuration(port, next_hop));
    let running = cell.start("smtpd -d", port);
    Ok(Peer {
        name: "OpenSMTPD",
        port,
        // Debian 12's, given a certificate, ends each handshake with an error of its own ("EVP lib"): mail goes to it in clear.
        offers_tls: false,
        mailboxes: Mailboxes::Maildirs,
        running,
    })
}

fn configuration(port: u16, next_hop: u16) -> String {
    format!(
        "smtp max-message-size 50M\n\
         smtp limit max-mails {COUNT}\n\
         listen on 127.0.0.1 port {port} hostname opensmtpd.test\n\
         table names {{ \"@{THEIRS}\" = \"{user}\" }}\n\
         action theirs maildir \"{MAIL}/%{{rcpt.user}}\" virtual <names>\n\
         action ours relay host smtp://127.0.0.1:{next_hop}\n\
         match from any for domain \"{THEIRS}\" action theirs\n\
         match from any for domain \"{OURS}\" action ours\n",
        user = MAIL_USER.name
    )
}
