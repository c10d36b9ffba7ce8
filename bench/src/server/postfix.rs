//! Postfix, as Debian ships it, in front of virtual Maildirs and a smart host.

use super::{LOCAL_DOMAIN, Running, Server, caged, users};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use tests::cell::{MAIL, MAIL_USER, User};
use tests::debian::POSTFIX;

const USER: User = User {
    name: "postfix",
    id: 61_001,
};
const DROP: User = User {
    name: "postdrop",
    id: 61_002,
};

/// Postfix, with one setting that matters here, or without.
pub struct Postfix {
    /// Whether a client waits while more comes in than goes out: `in_flow_delay`, one second as shipped.
    pub in_flow_delay: bool,
}

impl Server for Postfix {
    fn name(&self) -> &'static str {
        if self.in_flow_delay {
            "Postfix"
        } else {
            "Postfix, in_flow_delay=0"
        }
    }

    fn durability(&self) -> &'static str {
        "durable: its queue file is synced"
    }

    fn prepare(&self) -> Result<(), String> {
        caged::prepare(POSTFIX)
    }

    fn start(&self, folder: &Path, sink: SocketAddr) -> io::Result<Box<dyn Running>> {
        caged::start(POSTFIX, folder, &[USER, DROP], |cell, package, port| {
            let shipped = package.path().join("usr/share/postfix");
            let main = fs::read_to_string(shipped.join("main.cf.debian"))?;
            cell.write("etc/postfix/main.cf", &self.main(main, sink));
            let master = fs::read_to_string(shipped.join("master.cf.dist"))?;
            cell.write("etc/postfix/master.cf", &services(&master, port));
            let mut mailboxes = String::new();
            for user in users() {
                // Writing into a String does not fail.
                let _ = writeln!(mailboxes, "{user}@{LOCAL_DOMAIN} {user}/");
            }
            cell.write("etc/postfix/mailboxes", &mailboxes);
            cell.owned_by("var/lib/postfix", USER);
            Ok("postfix start-fg")
        })
    }
}

impl Postfix {
    /// What Debian ships, and after it what the work asks for.
    fn main(&self, mut shipped: String, sink: SocketAddr) -> String {
        // Writing into a String does not fail.
        let _ = write!(
            shipped,
            "\nmaillog_file = /dev/stdout\nmyhostname = mx.{LOCAL_DOMAIN}\nmydestination =\nalias_maps =\n\
             mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             relayhost = [{}]:{}\nvirtual_mailbox_domains = {LOCAL_DOMAIN}\nvirtual_mailbox_base = {MAIL}\n\
             virtual_mailbox_maps = texthash:/etc/postfix/mailboxes\nvirtual_uid_maps = static:{id}\n\
             virtual_gid_maps = static:{id}\n",
            sink.ip(),
            sink.port(),
            id = MAIL_USER.id,
        );
        if !self.in_flow_delay {
            shipped.push_str("in_flow_delay = 0\n");
        }
        shipped
    }
}

/// Debian's services; smtpd on our port, and none in its own chroot, for the cell is one.
fn services(master: &str, port: u16) -> String {
    let lines = master.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            // service type private unpriv chroot wakeup maxproc command
            ["smtp", "inet", private, unpriv, _, wakeup, maxproc, ..] => {
                format!("127.0.0.1:{port} inet {private} {unpriv} n {wakeup} {maxproc} smtpd\n")
            }
            [service, kind, private, unpriv, _, ref rest @ ..]
                if rest.len() > 2 && line.starts_with(|c: char| c.is_ascii_lowercase()) =>
            {
                let rest = rest.join(" ");
                format!("{service} {kind} {private} {unpriv} n {rest}\n")
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect::<Vec<_>>().concat()
}
