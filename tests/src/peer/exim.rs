//! Exim.

use super::{CERT, KEY, Mailboxes, OURS, Peer, THEIRS, certify};
use crate::cell::{Cell, MAIL, MAIL_USER, User};
use crate::debian::{self, EXIM};
use crate::{Account, Authority, free_port};

const USER: User = User {
    name: "Debian-exim",
    id: 61_003,
};
/// A copy that may regain root, which Exim's own way of delivering needs; it lies in the cell alone.
const PROGRAM: &str = "/opt/exim4";

/// Starts it.
pub fn exim(next_hop: u16, mailboxes: &[String]) -> Result<Peer, String> {
    start(mailboxes, &Authority::new(), |port| {
        configuration(port, next_hop)
    })
}

/// Starts one that takes mail from an account alone, after a login under TLS; its certificate is of its address, by this
/// authority.
pub fn exim_for_account(
    mailboxes: &[String],
    by: &Authority,
    account: Account,
) -> Result<Peer, String> {
    start(mailboxes, by, |port| {
        let anybody = configuration(port, free_port());
        let known = anybody
            .replace("acl_smtp_rcpt = accept\n", "acl_smtp_rcpt = known\n")
            .replace(
                "begin acl\n",
                "begin acl\nknown:\naccept authenticated = *\ndeny\n",
            );
        known + &authenticator(account)
    })
}

/// How Exim has this account log in (its specification, "The plaintext authenticator").
fn authenticator(account: Account) -> String {
    let Account {
        mechanisms,
        user,
        password,
    } = account;
    let (prompts, user_at, password_at) = match mechanisms {
        "LOGIN" => ("Username:: : Password::", "$auth1", "$auth2"),
        _ => (":", "$auth2", "$auth3"),
    };
    format!(
        "begin authenticators\n\
         account:\n\
         driver = plaintext\n\
         public_name = {mechanisms}\n\
         server_prompts = {prompts}\n\
         server_advertise_condition = ${{if def:tls_in_cipher}}\n\
         server_condition = ${{if and{{{{eq{{{user_at}}}{{{user}}}}}{{eq{{{password_at}}}{{{password}}}}}}}}}\n\
         server_set_id = {user_at}\n"
    )
}

fn start(
    mailboxes: &[String],
    by: &Authority,
    configuration: impl Fn(u16) -> String,
) -> Result<Peer, String> {
    let cell = Cell::new(&debian::root(EXIM)?, "exim.test", &[USER]);
    let port = free_port();
    cell.write("etc/exim4/exim4.conf", &configuration(port));
    let lines = mailboxes.iter().map(|name| format!("{name}: {name}\n"));
    cell.write("etc/exim4/mailboxes", &lines.collect::<Vec<_>>().concat());
    certify(&cell, &["exim.test", "127.0.0.1"], USER, by);
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
        offers_tls: true,
        mailboxes: Mailboxes::Maildirs,
        running,
    })
}

fn configuration(port: u16, next_hop: u16) -> String {
    format!(
        "exim_path = {PROGRAM}\n\
         primary_hostname = exim.test\n\
         dsn_advertise_hosts = *\n\
         local_interfaces = 127.0.0.1.{port}\n\
         log_file_path = syslog\n\
         syslog_timestamp = false\n\
         keep_environment =\n\
         host_lookup =\n\
         tls_advertise_hosts = *\n\
         tls_certificate = {CERT}\n\
         tls_privatekey = {KEY}\n\
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
