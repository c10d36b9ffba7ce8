//! What goes before the first message: what the server offers, and TLS.

use super::commands::Awaited;
use super::{NO_TLS, Replies, Security, Session, login};
use crate::extension::Extension;
use mail::Time;

impl Session {
    /// Takes note that the connection is under TLS now.
    ///
    //= https://www.rfc-editor.org/rfc/rfc3207#section-4.2
    //# The client MUST discard any knowledge obtained from
    //# the server, such as the list of SMTP service extensions, which was
    //# not obtained from the TLS negotiation itself.
    pub fn secured(&mut self, now: Time) {
        if self.awaited.front() == Some(&Awaited::Handshake) && !self.closed {
            self.awaited.clear();
            self.forget_offer();
            self.replies = Replies::default();
            self.parameters.security = Security::AsItIs;
            self.unsent.push_back(Awaited::Ehlo);
            self.write_commands(now);
        }
    }

    /// Who is greeted begins TLS, or logs in, or waits for a message.
    pub(super) fn greeted(&mut self, now: Time) {
        let offered = self.offered.contains(&Extension::StartTls);
        match self.parameters.security {
            Security::Offered | Security::Demanded if offered => {
                self.unsent.push_back(Awaited::StartTls);
                self.write_commands(now);
            }
            Security::Offered | Security::Demanded if self.demands_tls() => {
                self.awaited.push_front(Awaited::Ehlo);
                self.leave(&NO_TLS);
            }
            _ => self.admitted(now),
        }
    }

    /// Whether nothing goes in clear.
    pub(super) fn demands_tls(&self) -> bool {
        match self.parameters.security {
            Security::Demanded => true,
            Security::Offered => self.parameters.login,
            Security::AsItIs => false,
        }
    }

    pub(super) fn forget_offer(&mut self) {
        self.offered.clear();
        self.size_max = None;
        self.logins = login::Offered::default();
        self.ehlo_line = 0;
    }

    /// Notes an extension, if EHLO is what is answered. The first line is the server's name.
    pub(super) fn read_offer(&mut self, text: &str) {
        if self.awaited.front() != Some(&Awaited::Ehlo) {
            return;
        }
        self.ehlo_line += 1;
        let mut words = text.split(' ').filter(|w| !w.is_empty());
        let keyword = words.next().and_then(Extension::from_keyword);
        if let (Some(extension), 2..) = (keyword, self.ehlo_line) {
            self.offered.push(extension);
            if extension == Extension::Size {
                // SIZE without a number, or SIZE 0, states no limit (RFC 1870 §4).
                self.size_max = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
            } else if extension == Extension::Auth {
                self.logins.read(words);
            }
        }
    }
}
