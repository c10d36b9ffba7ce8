//! OpenSMTPD, as Debian ships it, with the pauses off that it makes between connections to the same next hop, after
//! every 100 messages: they are manners towards strangers, not speed.

use super::{LOCAL_DOMAIN, Running, Server, cage, users};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use tests::debian::OPENSMTPD;

const USER: cage::User = ("opensmtpd", 201);
const QUEUE_USER: cage::User = ("opensmtpq", 202);

/// OpenSMTPD.
pub struct OpenSmtpd;

impl Server for OpenSmtpd {
    fn name(&self) -> &'static str {
        "OpenSMTPD"
    }

    fn durability(&self) -> &'static str {
        "not durable: nothing is synced before it, and a power cut loses the message"
    }

    fn prepare(&self) -> Result<(), String> {
        cage::prepare(OPENSMTPD)
    }

    fn start(&self, folder: &Path, sink: SocketAddr) -> io::Result<Box<dyn Running>> {
        let port = tests::free_port();
        let home = cage::Home::make(OPENSMTPD, folder, &[USER, QUEUE_USER], &[])?;
        let id = cage::MAIL_ID;
        let users: Vec<String> = users()
            .map(|user| format!("\"{user}\" = \"{id}:{id}:/mail/{LOCAL_DOMAIN}/{user}\""))
            .collect();
        let configuration = format!(
            "table users {{ {} }}\n\
             mta limit conn-delay-route 0 conn-delay-relay 0 conn-delay-host 0 reconn-delay-route 0 \
             session-mail-max 1000000\n\
             listen on 127.0.0.1 port {port} hostname mx.{LOCAL_DOMAIN}\n\
             action \"maildir\" maildir \"/mail/{LOCAL_DOMAIN}/%{{user.username}}\" userbase <users>\n\
             action \"relay\" relay host smtp://{sink}\n\
             match for domain \"{LOCAL_DOMAIN}\" action \"maildir\"\n\
             match from local for any action \"relay\"\n",
            users.join(", "),
        );
        home.write("etc/smtpd.conf", &configuration)?;
        home.create("var/spool/smtpd", 0, 0o711)?;
        home.create("var/run", 0, 0o755)?;
        home.start(&["/usr/sbin/smtpd", "-d"], port, None)
    }
}
