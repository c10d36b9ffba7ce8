//! Postfix, as Debian ships it, in front of virtual Maildirs and a smart host.

use super::{LOCAL_DOMAIN, Running, Server, cage, users};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use tests::debian::POSTFIX;

const USER: cage::User = ("postfix", 201);
const DROP_GROUP: cage::User = ("postdrop", 202);

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
        cage::prepare(POSTFIX)
    }

    fn start(&self, folder: &Path, sink: SocketAddr) -> io::Result<Box<dyn Running>> {
        let port = tests::free_port();
        let home = cage::Home::make(POSTFIX, folder, &[USER], &[DROP_GROUP])?;
        let mut main = home.packaged("usr/share/postfix/main.cf.debian")?;
        // Writing into a String does not fail.
        let _ = write!(
            main,
            "\nmyhostname = mx.{LOCAL_DOMAIN}\nmydestination =\nalias_maps =\nmynetworks = 127.0.0.0/8\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nrelayhost = [{}]:{}\n\
             virtual_mailbox_domains = {LOCAL_DOMAIN}\nvirtual_mailbox_base = /mail\n\
             virtual_mailbox_maps = texthash:/etc/postfix/mailboxes\nvirtual_uid_maps = static:{id}\n\
             virtual_gid_maps = static:{id}\nmaillog_file = /var/log/postfix.log\n",
            sink.ip(),
            sink.port(),
            id = cage::MAIL_ID,
        );
        if !self.in_flow_delay {
            main.push_str("in_flow_delay = 0\n");
        }
        home.write("etc/postfix/main.cf", &main)?;
        let master = home.packaged("usr/share/postfix/master.cf.dist")?;
        home.write("etc/postfix/master.cf", &services(&master, port))?;
        let mut mailboxes = String::new();
        for user in users() {
            let _ = writeln!(mailboxes, "{user}@{LOCAL_DOMAIN} {LOCAL_DOMAIN}/{user}/");
        }
        home.write("etc/postfix/mailboxes", &mailboxes)?;
        home.create("var/lib/postfix", USER.1, 0o755)?;
        home.start(
            &["/usr/sbin/postfix", "start-fg"],
            port,
            Some("var/log/postfix.log"),
        )
    }
}

/// Debian's services; smtpd on our port, and none in its own chroot, which would have to be filled first.
fn services(master: &str, port: u16) -> String {
    let mut services = String::new();
    for line in master.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            // service type private unpriv chroot wakeup maxproc command
            [
                service,
                kind,
                private,
                unpriv,
                _,
                wakeup,
                maxproc,
                ref command @ ..,
            ] if !command.is_empty() && line.starts_with(|c: char| c.is_ascii_lowercase()) => {
                let service = if (service, kind) == ("smtp", "inet") {
                    format!("127.0.0.1:{port}")
                } else {
                    service.to_owned()
                };
                let command = command.join(" ");
                // Writing into a String does not fail.
                let _ = writeln!(
                    services,
                    "{service} {kind} {private} {unpriv} n {wakeup} {maxproc} {command}"
                );
            }
            _ => {
                services.push_str(line);
                services.push('\n');
            }
        }
    }
    services
}
