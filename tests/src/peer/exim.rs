//! Exim.

use super::{Mailboxes, OURS, Peer, THEIRS};
use crate::cell::{Cell, MAIL, MAIL_USER, User};
use crate::debian::{self, EXIM};
use crate::free_port;

const USER: User = User {
    name: "Debian-exim",
    id: 61_003,
};
/// A copy that may regain root, which Exim's own way of delivering needs; it lies in the cell alone.
const PROGRAM: &str = "/opt/exim4";

/// Starts it.
pub fn exim(next_hop: u16, mailboxes: &[String]) -> Result<Peer, String> {
    let cell = Cell::new(&debian::root(EXIM)?, "exim.test", &[USER]);
    let port = free_port();
    cell.write("etc/exim4/exim4.conf", &configuration(port, next_hop));
    let lines = mailboxes.iter().map(|name| format!("{name}: {name}\n"));
    cell.write("etc/exim4/mailboxes", &lines.collect::<Vec<_>>().concat());
    cell.owned_by("var/spool/exim4", USER);
    cell.owned_by("var/log/exim4", USER);
    cell.owned_by("run/exim4", USER);
    cell.run(&format!(
        "mkdir -p /opt && cp /usr/sbin/exim4 {PROGRAM} && chmod 4755 {PROGRAM} && {PROGRAM} -bV"
    ));
    let running = cell.start(&format!("{PROGRAM} -bdf -q5s"), port);
    Ok(Peer {
        name: "Exim",
        port,
        mailboxes: Mailboxes::Maildirs,
        running,
    })
}

fn configuration(port: u16, next_hop: u16) -> String {
    format!(
        "exim_path = {PROGRAM}\n\
         primary_hostname = exim.test\n\
         local_interfaces = 127.0.0.1.{port}\n\
         log_file_path = syslog\n\
         syslog_timestamp = false\n\
         keep_environment =\n\
         host_lookup =\n\
         rfc1413_query_timeout = 0s\n\
         acl_smtp_rcpt = accept\n\
         acl_smtp_data = accept\n\
         # It would only queue what comes after the tenth message of a session.\n\
         smtp_accept_queue_per_connection = 0\n\
         # Fields are not dropped: what came in is compared.\n\
         delivery_date_remove = false\n\
         envelope_to_remove = false\n\
         return_path_remove = false\n\
         begin acl\n\
         accept:\n\
         accept\n\
         begin routers\n\
         theirs:\n\
         driver = accept\n\
         domains = {THEIRS}\n\
         local_parts = lsearch;/etc/exim4/mailboxes\n\
         transport = maildir\n\
         ours:\n\
         driver = manualroute\n\
         domains = {OURS}\n\
         route_list = * 127.0.0.1\n\
         self = send\n\
         transport = smart_host\n\
         begin transports\n\
         smart_host:\n\
         driver = smtp\n\
         port = {next_hop}\n\
         maildir:\n\
         driver = appendfile\n\
         directory = {MAIL}/$local_part_data\n\
         maildir_format\n\
         create_directory\n\
         delivery_date_add\n\
         envelope_to_add\n\
         return_path_add\n\
         user = {user}\n\
         group = {user}\n\
         begin retry\n\
         * * F,1h,1s\n",
        user = MAIL_USER.name
    )
}
