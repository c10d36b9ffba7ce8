//! Login at a next hop (RFC 4954): which way is taken of those that are offered, and what is said in it. What is secret is
//! not here: the driver is asked for each answer, and what it gives goes on the wire and nowhere else.

use super::commands::Awaited;
use super::{LOGIN_UNREADY, NO_LOGIN, NOT_SMTP, Output, Session};
use crate::extension::Mechanism;
use data_encoding::BASE64;
use mail::{Cause, RemoteReply, Time, limits};

/// What the driver is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The whole message of PLAIN: NUL, the user's name, NUL, his password (RFC 4616 §2).
    Plain,
    /// The user's name, for LOGIN.
    User,
    /// His password, for LOGIN.
    Password,
}

/// Which answer a command or line of ours waits for the reply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// That all was said: 235, or a refusal.
    Last,
    /// 334, after which this is said.
    Next(Answer),
}

/// The ways that a server offers, of those that we have: those of SASL's registry that say the password as it is. They go
/// under TLS alone, to a host that is itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offered {
    plain: bool,
    login: bool,
}

impl Offered {
    /// Notes the words behind AUTH in the reply to EHLO.
    pub fn read<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for word in words {
            match Mechanism::from_name(word) {
                Some(Mechanism::Plain) => self.plain = true,
                Some(Mechanism::Login) => self.login = true,
                Some(Mechanism::ScramSha256 | Mechanism::ScramSha256Plus) | None => {}
            }
        }
    }
}

impl Session {
    /// Logs in, where that has to be, and takes messages then.
    pub(super) fn admitted(&mut self, now: Time) {
        if !self.parameters.login {
            return self.rest(now);
        }
        let Offered { plain, login } = self.logins;
        if plain {
            self.ask(Answer::Plain, now);
        } else if login {
            self.wire.extend_from_slice(b"AUTH LOGIN\r\n");
            self.await_step(Step::Next(Answer::User), now);
        } else {
            self.awaited.push_front(Awaited::Ehlo);
            self.leave(&NO_LOGIN);
        }
    }

    fn ask(&mut self, answer: Answer, now: Time) {
        self.outputs.push_back(Output::Login(answer));
        self.awaited.push_front(Awaited::Answer(answer));
        self.wait(limits::CLIENT_MAIL_WAIT, now);
    }

    fn await_step(&mut self, step: Step, now: Time) {
        self.awaited.push_front(Awaited::Auth(step));
        self.wait(limits::CLIENT_MAIL_WAIT, now);
    }

    /// Takes what [`Output::Login`] asked for; nothing where it cannot be had. Of a session that ended meanwhile it changes
    /// nothing.
    pub fn answer(&mut self, octets: Option<&[u8]>, now: Time) {
        let Some(Awaited::Answer(answer)) = self.awaited.front().copied() else {
            return;
        };
        if self.closed {
            return;
        }
        let Some(octets) = octets else {
            return self.leave(&LOGIN_UNREADY);
        };
        self.awaited.pop_front();
        if answer == Answer::Plain {
            self.wire.extend_from_slice(b"AUTH PLAIN ");
        }
        let start = self.wire.len();
        self.wire.resize(start + BASE64.encode_len(octets.len()), 0);
        BASE64.encode_mut(octets, &mut self.wire[start..]);
        self.wire.extend_from_slice(b"\r\n");
        let step = match answer {
            Answer::User => Step::Next(Answer::Password),
            Answer::Plain | Answer::Password => Step::Last,
        };
        self.await_step(step, now);
    }

    /// Takes the reply to a line of the login. Who is refused leaves: mail is not refused by that, it waits.
    ///
    //= https://www.rfc-editor.org/rfc/rfc4954#section-4
    //# If the client is transmitting an initial response of zero length, it
    //# MUST instead transmit the response as a single equals sign ("=").
    //
    // Ours never has zero length: it has two NULs.
    pub(super) fn logging_in(&mut self, step: Step, reply: RemoteReply, now: Time) {
        match (step, reply.code) {
            (Step::Last, 200..=299) => {
                self.parameters.login = false;
                self.logged_in = true;
                self.rest(now);
            }
            (Step::Next(answer), 334) => self.ask(answer, now),
            (_, 421) => {
                self.awaited.push_front(Awaited::Auth(step));
                self.give_up(&Cause::Reply(reply));
            }
            (_, 400..) => {
                self.refused_login = reply.code / 100 == 5;
                self.awaited.push_front(Awaited::Auth(step));
                self.leave(&Cause::Reply(reply));
            }
            _ => {
                self.awaited.push_front(Awaited::Auth(step));
                self.give_up(&NOT_SMTP);
            }
        }
    }

    /// Whether it ended because the login was refused for good: to say the same again would not help.
    pub fn is_login_refused(&self) -> bool {
        self.refused_login
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, Message, Parameters, Security};
    use super::*;
    use mail::{Mailbox, ReversePath};

    const NOW: Time = Time::from_secs(1000);

    /// What is sent, and how it ends, where a server says this.
    fn said(security: Security, script: &[&str]) -> (String, Vec<String>) {
        let mut session = Session::new(
            Parameters {
                hostname: "me.test".into(),
                dialect: Dialect::Smtp,
                security,
                login: true,
            },
            NOW,
        );
        let (mut sent, mut ended) = (String::new(), Vec::new());
        for reply in script {
            session.receive(reply.as_bytes(), NOW);
            while let Some(output) = session.poll() {
                match output {
                    Output::Login(Answer::Plain) => session.answer(Some(b"\0ann\0secret"), NOW),
                    Output::Login(Answer::User) => session.answer(Some(b"ann"), NOW),
                    Output::Login(Answer::Password) => session.answer(Some(b"secret"), NOW),
                    Output::StartTls => {
                        sent.push_str("(handshake)");
                        session.secured(NOW);
                    }
                    Output::Idle => ended.push("idle".to_owned()),
                    Output::Unusable(cause) => ended.push(format!("unusable {}", cause.status())),
                    Output::Close => ended.push("close".to_owned()),
                    other => panic!("{other:?}"),
                }
            }
            sent.push_str(std::str::from_utf8(session.wire()).unwrap());
            session.wire().clear();
        }
        (sent.replace("\r\n", "|"), ended)
    }

    const HELLO: &str = "220 x\r\n";
    const BOTH: &str = "250-x\r\n250 AUTH LOGIN PLAIN XOAUTH2\r\n";

    #[test]
    fn plain_is_said_at_once_and_login_in_steps() {
        let (sent, ended) = said(Security::AsItIs, &[HELLO, BOTH, "235 2.7.0 yes\r\n"]);
        assert_eq!(sent, "EHLO me.test|AUTH PLAIN AGFubgBzZWNyZXQ=|");
        assert_eq!(ended, ["idle"]);
        let old = "250-x\r\n250 AUTH LOGIN\r\n";
        let steps = [
            HELLO,
            old,
            "334 VXNlcm5hbWU6\r\n",
            "334 anything\r\n",
            "235 yes\r\n",
        ];
        let (sent, ended) = said(Security::AsItIs, &steps);
        assert_eq!(sent, "EHLO me.test|AUTH LOGIN|YW5u|c2VjcmV0|");
        assert_eq!(ended, ["idle"]);
    }

    #[test]
    fn nothing_is_said_in_clear() {
        let clear = "250-x\r\n250 AUTH PLAIN\r\n";
        let (sent, ended) = said(Security::Offered, &[HELLO, clear]);
        assert_eq!(sent, "EHLO me.test|QUIT|");
        assert_eq!(ended, ["unusable 4.7.4", "close"]);
        let both = "250-x\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n";
        let (sent, ended) = said(Security::Offered, &[HELLO, both, "454 4.7.0 not now\r\n"]);
        assert_eq!(sent, "EHLO me.test|STARTTLS|QUIT|");
        assert_eq!(ended, ["unusable 4.7.0", "close"]);
        // What was offered in clear is forgotten.
        let none = "250-x\r\n250 PIPELINING\r\n";
        let (sent, ended) = said(Security::Demanded, &[HELLO, both, "220 go\r\n", none]);
        assert_eq!(sent, "EHLO me.test|STARTTLS|(handshake)EHLO me.test|QUIT|");
        assert_eq!(ended, ["unusable 4.7.4", "close"]);
    }

    #[test]
    fn who_is_refused_leaves_and_no_mail_is_refused_by_it() {
        for (reply, status) in [
            ("535 5.7.8 no\r\n", "5.7.8"),
            ("454 4.7.0 later\r\n", "4.7.0"),
        ] {
            let (sent, ended) = said(Security::AsItIs, &[HELLO, BOTH, reply]);
            assert!(sent.ends_with("|QUIT|"), "{sent}");
            assert_eq!(ended, [&format!("unusable {status}"), "close"]);
        }
        let (_, ended) = said(Security::AsItIs, &[HELLO, BOTH, "334 more\r\n"]);
        assert_eq!(ended, ["unusable 4.5.0", "close"]);
    }

    //= https://www.rfc-editor.org/rfc/rfc4954#section-5
    //= type=test
    //# then the server MUST supply the AUTH=<> parameter when
    //# relaying the message to any server which it has authenticated to
    //# using the AUTH extension.
    #[test]
    fn mail_vouches_for_nobody_where_we_are_logged_in_and_says_nothing_elsewhere() {
        for (login, said) in [(true, " AUTH=<>"), (false, "")] {
            let mut session = Session::new(
                Parameters {
                    hostname: "me.test".into(),
                    dialect: Dialect::Smtp,
                    security: Security::AsItIs,
                    login,
                },
                NOW,
            );
            for reply in [HELLO, BOTH, "235 2.7.0 yes\r\n"] {
                if !session.is_idle() {
                    session.receive(reply.as_bytes(), NOW);
                }
                while let Some(output) = session.poll() {
                    if let Output::Login(_) = output {
                        session.answer(Some(b"\0ann\0secret"), NOW);
                    }
                }
            }
            session.wire().clear();
            let message = Message {
                reverse_path: ReversePath::Null,
                forward_paths: vec![Mailbox::parse("x@b.c").unwrap()],
                octets: 1,
                eight_bit: false,
                smtputf8: false,
                dsn: None,
            };
            session.send(message, NOW);
            let wire = String::from_utf8(session.wire().clone()).unwrap();
            assert_eq!(wire, format!("MAIL FROM:<>{said}\r\n"));
        }
    }
}
