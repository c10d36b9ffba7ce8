//! sendmail.

use super::{Mailboxes, OURS, Peer, THEIRS};
use crate::cell::{Cell, MAIL_USER, User};
use crate::debian::{self, SENDMAIL};
use crate::free_port;
use crate::sink::Sink;

const USER: User = User {
    name: "smmta",
    id: 61_006,
};
const SUBMISSION_USER: User = User {
    name: "smmsp",
    id: 61_007,
};

/// Starts it. It has no Maildirs: what is for its own domain it hands to a sink.
pub fn sendmail(next_hop: u16, _mailboxes: &[String]) -> Result<Peer, String> {
    let cell = Cell::new(
        &debian::root(SENDMAIL)?,
        "sendmail.test",
        &[USER, SUBMISSION_USER],
    );
    let sink = Sink::start().map_err(|error| error.to_string())?;
    let port = free_port();
    cell.write("etc/mail/sendmail.mc", &macros(port, next_hop, sink.port()));
    let hops = format!("{OURS} ours:[127.0.0.1]\n{THEIRS} theirs:[127.0.0.1]\n");
    cell.write("etc/mail/mailertable", &hops);
    cell.owned_by(
        "var/spool/mqueue",
        User {
            name: "root",
            id: 0,
        },
    );
    cell.mode("var/spool/mqueue", 0o700);
    cell.run("m4 /etc/mail/sendmail.mc > /etc/mail/sendmail.cf");
    let running = cell.start("/usr/libexec/sendmail/sendmail -bD -q5s", port);
    Ok(Peer {
        name: "sendmail",
        port,
        offers_tls: false,
        mailboxes: Mailboxes::Sink(sink),
        running,
    })
}

fn macros(port: u16, next_hop: u16, sink: u16) -> String {
    let mailer = |name: &str, port: u16| {
        format!(
            "M{name}, P=[IPC], F=mXa8k, S=EnvFromSMTP, R=EnvToSMTP, E=\\r\\n, L=0, T=DNS/RFC822/SMTP, A=TCP $h {port}\n"
        )
    };
    format!(
        "include(`/usr/share/sendmail/cf/m4/cf.m4')dnl\n\
         OSTYPE(`linux')dnl\n\
         define(`confDOMAIN_NAME', `sendmail.test')dnl\n\
         define(`confDONT_PROBE_INTERFACES', `True')dnl\n\
         define(`confTO_IDENT', `0')dnl\n\
         define(`confPID_FILE', `/run/sendmail.pid')dnl\n\
         define(`STATUS_FILE', `/run/statistics')dnl\n\
         define(`ALIAS_FILE', `')dnl\n\
         define(`confDONT_BLAME_SENDMAIL', `groupwritabledirpathsafe')dnl\n\
         define(`confDEF_USER_ID', `{user}:{user}')dnl\n\
         define(`confDELIVERY_MODE', `background')dnl\n\
         define(`confMAX_MIME_HEADER_LENGTH', `0/0')dnl\n\
         define(`confQUEUE_LA', `1000')dnl\n\
         define(`confREFUSE_LA', `1000')dnl\n\
         define(`confDELAY_LA', `1000')dnl\n\
         FEATURE(`promiscuous_relay')dnl\n\
         FEATURE(`accept_unresolvable_domains')dnl\n\
         FEATURE(`nocanonify')dnl\n\
         FEATURE(`nouucp', `nospecial')dnl\n\
         FEATURE(`no_default_msa')dnl\n\
         FEATURE(`mailertable', `text -k0 -v1 /etc/mail/mailertable')dnl\n\
         DAEMON_OPTIONS(`Addr=127.0.0.1, Port={port}, Name=MTA')dnl\n\
         MAILER(`smtp')dnl\n\
         MAILER_DEFINITIONS\n{}{}",
        mailer("ours", next_hop),
        mailer("theirs", sink),
        user = MAIL_USER.name
    )
}
