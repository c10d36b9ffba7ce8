//! OpenSMTPD, as Debian ships it, with the pauses off that it makes between connections to the same next hop, after
//! every 100 messages: they are manners towards strangers, not speed.

use super::{LOCAL_DOMAIN, Running, Server, caged, users};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use tests::cell::{MAIL, MAIL_USER, User};
use tests::debian::OPENSMTPD;

const USER: User = User {
    name: "opensmtpd",
    id: 61_004,
};
const QUEUE_USER: User = User {
    name: "opensmtpq",
    id: 61_005,
};

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
        caged::prepare(OPENSMTPD)
    }

    fn start(&self, folder: &Path, sink: SocketAddr) -> io::Result<Box<dyn Running>> {
        caged::start(OPENSMTPD, folder, &[USER, QUEUE_USER], |cell, _, port| {
            let id = MAIL_USER.id;
            let users: Vec<String> = users()
                .map(|user| format!("\"{user}\" = \"{id}:{id}:{MAIL}/{user}\""))
                .collect();
            let configuration = format!(
                "table users {{ {} }}\n\
                 mta limit conn-delay-route 0 conn-delay-relay 0 conn-delay-host 0 reconn-delay-route 0 \
                 session-mail-max 1000000\n\
                 listen on 127.0.0.1 port {port} hostname mx.{LOCAL_DOMAIN}\n\
                 action \"maildir\" maildir \"{MAIL}/%{{user.username}}\" userbase <users>\n\
                 action \"relay\" relay host smtp://{sink}\n\
                 match for domain \"{LOCAL_DOMAIN}\" action \"maildir\"\n\
                 match from local for any action \"relay\"\n",
                users.join(", "),
            );
            cell.write("etc/smtpd.conf", &configuration);
            Ok("smtpd -d")
        })
    }
}
