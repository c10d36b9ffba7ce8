//! Postfix.

use super::{CERT, KEY, Mailboxes, OURS, Peer, ROOT, THEIRS, certify};
use crate::cell::{Cell, MAIL, MAIL_USER, User};
use crate::debian::{self, POSTFIX};
use crate::{Authority, free_port};
use std::fs;

const USER: User = User {
    name: "postfix",
    id: 61_001,
};
/// Whose group may drop mail; Postfix wants it to exist even where nobody does.
const DROP: User = User {
    name: "postdrop",
    id: 61_002,
};

/// Starts it.
pub fn postfix(next_hop: u16, mailboxes: &[String]) -> Result<Peer, String> {
    let package = debian::root(POSTFIX)?;
    let cell = Cell::new(&package, "postfix.test", &[USER, DROP]);
    let port = free_port();
    cell.write("etc/postfix/main.cf", &main(next_hop));
    let services = package.path().join("usr/share/postfix/master.cf.dist");
    let services = fs::read_to_string(services).map_err(|error| error.to_string())?;
    cell.write("etc/postfix/master.cf", &master(&services, port));
    let lines = mailboxes
        .iter()
        .map(|name| format!("{name}@{THEIRS} {name}/\n"));
    cell.write("etc/postfix/mailboxes", &lines.collect::<Vec<_>>().concat());
    cell.owned_by("var/lib/postfix", USER);
    certify(&cell, &["postfix.test"], ROOT, &Authority::new());
    let running = cell.start("postfix start-fg", port);
    Ok(Peer {
        name: "Postfix",
        port,
        offers_tls: true,
        mailboxes: Mailboxes::Maildirs,
        running,
    })
}

fn main(next_hop: u16) -> String {
    format!(
        "compatibility_level = 3.6\n\
         maillog_file = /dev/stdout\n\
         myhostname = postfix.test\n\
         mydestination =\n\
         alias_maps =\n\
         alias_database =\n\
         mynetworks = 127.0.0.0/8\n\
         smtp_tls_security_level = may\n\
         smtpd_tls_security_level = may\n\
         smtpd_tls_chain_files = {KEY}, {CERT}\n\
         inet_protocols = ipv4\n\
         smtpd_peername_lookup = no\n\
         transport_maps = inline:{{{{ {OURS} = smtp:[127.0.0.1]:{next_hop} }}}}\n\
         virtual_mailbox_domains = {THEIRS}\n\
         virtual_mailbox_base = {MAIL}\n\
         virtual_mailbox_maps = texthash:/etc/postfix/mailboxes\n\
         virtual_uid_maps = static:{id}\n\
         virtual_gid_maps = static:{id}\n\
         # Room for 10 MiB; its own default is a little less.\n\
         message_size_limit = 51200000\n\
         # Fields are not added, dropped or completed: what came in is compared.\n\
         local_header_rewrite_clients =\n\
         message_drop_headers =\n",
        id = MAIL_USER.id
    )
}

/// The services as the package has them, but on our port and without a chroot of their own: the cell is one.
fn master(package: &str, port: u16) -> String {
    let lines = package.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["smtp", "inet", private, unprivileged, ..] => {
                format!("127.0.0.1:{port} inet {private} {unprivileged} n - - smtpd\n")
            }
            [
                name,
                kind @ ("unix" | "unix-dgram"),
                private,
                unprivileged,
                _,
                ref rest @ ..,
            ] if !name.starts_with('#') => {
                format!(
                    "{name} {kind} {private} {unprivileged} n {}\n",
                    rest.join(" ")
                )
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect::<Vec<_>>().concat()
}
