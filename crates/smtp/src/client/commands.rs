//! The commands of a session: how each is written, how long its reply is waited for.

use super::login::{Answer, Step};
use super::{Dialect, Session};
use crate::extension::Extension;
use mail::{DsnRequest, RecipientRequest, Time, limits};
use std::time::Duration;

/// What is awaited of the server: the reply to a command, most of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// No reply: TLS, which the driver begins.
    Handshake,
    /// A line of the login, after which this step is due.
    Auth(Step),
    /// No reply: what the login needs of the driver.
    Answer(Answer),
    Mail,
    Rcpt(usize),
    Data,
    /// The end of content; of LMTP for this recipient.
    End(usize),
    Rset,
    Quit,
}

impl Session {
    /// Puts commands on the wire: all at once to a server that pipelines (RFC 2920), else the next.
    pub(super) fn write_commands(&mut self, now: Time) {
        let pipelining = self.offered.contains(&Extension::Pipelining);
        while let Some(command) = self.unsent.pop_front() {
            self.write_command(command);
            self.awaited.push_back(command);
            if !pipelining {
                break;
            }
        }
        if let Some(first) = self.awaited.front() {
            self.wait(wait_for(*first), now);
        }
    }

    fn write_command(&mut self, command: Awaited) {
        use std::io::Write as _;
        let takes_smtputf8 = self.takes_smtputf8();
        let hostname = &self.parameters.hostname;
        let wire = &mut self.wire;
        let message = self.attempt.as_ref().map(|a| &a.message);
        let takes_requests = self.offered.contains(&Extension::Dsn);
        // Writing into a Vec does not fail.
        let _ = match (command, message) {
            (Awaited::Ehlo, _) if self.parameters.dialect == Dialect::Lmtp => {
                write!(wire, "LHLO {hostname}")
            }
            (Awaited::Ehlo, _) => write!(wire, "EHLO {hostname}"),
            (Awaited::Helo, _) => write!(wire, "HELO {hostname}"),
            (Awaited::Mail, Some(message)) => {
                let _ = write!(wire, "MAIL FROM:<{}>", message.reverse_path);
                // How large it will be in seven bits is not known yet.
                if self.offered.contains(&Extension::Size) && message.is_fit_for(&self.offered) {
                    let _ = write!(wire, " SIZE={}", message.octets);
                }
                if message.eight_bit && self.offered.contains(&Extension::EightBitMime) {
                    let _ = write!(wire, " BODY=8BITMIME");
                }
                //= https://www.rfc-editor.org/rfc/rfc6531#section-3.4
                //# If the envelope or message being sent requires the capabilities of
                //# the SMTPUTF8 extension, the SMTPUTF8-aware SMTP client MUST supply
                //# the SMTPUTF8 parameter with the MAIL command.
                if takes_smtputf8 && (message.smtputf8 || message.needs_smtputf8()) {
                    let _ = write!(wire, " SMTPUTF8");
                }
                if let Some(dsn) = message.dsn.as_ref().filter(|_| takes_requests) {
                    write_mail_request(dsn, wire);
                }
                //= https://www.rfc-editor.org/rfc/rfc4954#section-5
                //# then the server MUST supply the AUTH=<> parameter when
                //# relaying the message to any server which it has authenticated to
                //# using the AUTH extension.
                if self.logged_in && self.offered.contains(&Extension::Auth) {
                    let _ = write!(wire, " AUTH=<>");
                }
                Ok(())
            }
            (Awaited::Rcpt(place), Some(message)) => {
                let forward_path = &message.forward_paths[place];
                let _ = write!(wire, "RCPT TO:<{forward_path}>");
                let dsn = message.dsn.as_ref().filter(|_| takes_requests);
                if let Some(request) = dsn.and_then(|dsn| dsn.of(forward_path)) {
                    write_recipient_request(request, wire);
                }
                Ok(())
            }
            (Awaited::StartTls, _) => write!(wire, "STARTTLS"),
            (Awaited::Data, _) => write!(wire, "DATA"),
            (Awaited::Rset, _) => write!(wire, "RSET"),
            (Awaited::Quit, _) => write!(wire, "QUIT"),
            (
                Awaited::Greeting
                | Awaited::Handshake
                | Awaited::Auth(_)
                | Awaited::Answer(_)
                | Awaited::End(_)
                | Awaited::Mail
                | Awaited::Rcpt(_),
                _,
            ) => return,
        };
        wire.extend_from_slice(b"\r\n");
    }
}

// Writing into a Vec does not fail, here and below.
fn write_mail_request(dsn: &DsnRequest, wire: &mut Vec<u8>) {
    use std::io::Write as _;
    if let Some(ret) = dsn.ret {
        let _ = write!(wire, " RET={}", ret.word());
    }
    if let Some(envid) = &dsn.envid {
        let _ = write!(wire, " ENVID={}", envid.as_str());
    }
}

//= https://www.rfc-editor.org/rfc/rfc3461#section-5.2.1
//# If any ORCPT parameter was present in the RCPT command for a
//# recipient when the message was received, an ORCPT parameter with
//# the identical original-recipient-address MUST appear in the RCPT
//# command issued for that recipient when relaying the message.
fn write_recipient_request(request: &RecipientRequest, wire: &mut Vec<u8>) {
    use std::io::Write as _;
    if let Some(notify) = request.notify {
        let _ = write!(wire, " NOTIFY={notify}");
    }
    if let Some(original) = &request.original {
        let _ = write!(wire, " ORCPT={}", original.as_str());
    }
}

/// RFC 5321 §4.5.3.2.
pub fn wait_for(awaited: Awaited) -> Duration {
    match awaited {
        Awaited::Greeting | Awaited::Ehlo | Awaited::Helo | Awaited::StartTls => {
            limits::CLIENT_GREETING_WAIT
        }
        Awaited::Handshake => limits::CLIENT_HANDSHAKE_WAIT,
        Awaited::Auth(_) | Awaited::Answer(_) | Awaited::Mail | Awaited::Rset | Awaited::Quit => {
            limits::CLIENT_MAIL_WAIT
        }
        Awaited::Rcpt(_) => limits::CLIENT_RCPT_WAIT,
        Awaited::Data => limits::CLIENT_DATA_WAIT,
        Awaited::End(_) => limits::CLIENT_END_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.5.3.2 gives minutes for each.
    #[test]
    fn each_command_is_waited_for_as_long_as_rfc_5321_asks() {
        for (wait, minutes) in [
            (wait_for(Awaited::Greeting), 5),
            (wait_for(Awaited::Mail), 5),
            (wait_for(Awaited::Rcpt(0)), 5),
            (wait_for(Awaited::Data), 2),
            (limits::CLIENT_BLOCK_WAIT, 3),
            (wait_for(Awaited::End(0)), 10),
        ] {
            assert!(wait >= Duration::from_mins(minutes), "{wait:?}");
        }
    }
}
