//! The client's side of a session with a next hop, over SMTP (RFC 5321 §3.3, §4.5.3.2) or LMTP (RFC 2033).
//!
//! A session greets, then takes one message after another: [`Session::send`], replies in by
//! [`Session::receive`], what to do out of [`Session::poll`]. What goes on the wire is taken from
//! [`Session::wire`]; content is put there by the driver when [`Output::Content`] asks for it.
//!
//! Only a 5xx to MAIL, RCPT, DATA or the end of content fails a recipient. Everything else that goes
//! wrong is this session's trouble: the recipients stay undecided, for another host or another day.

mod attempt;
mod causes;
mod commands;
mod login;
mod opening;
mod replies;

use attempt::{Attempt, refused};
use causes::{BEYOND_ASCII, LOGIN_UNREADY, LOST, NO_LOGIN, NO_TLS, NOT_SMTP, TIMED_OUT, TOO_LARGE};
use commands::{Awaited, wait_for};

pub use login::Answer;
pub use replies::{Read, Replies, Rubbish};

use crate::extension::Extension;
use mail::{Cause, DsnRequest, Ending, Mailbox, Outcome, RemoteReply, ReversePath, Time, limits};
use std::collections::VecDeque;
use std::time::Duration;

/// Which protocol the next hop speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 2033: LHLO, and a reply for each recipient after content.
    Lmtp,
    /// RFC 5321.
    Smtp,
}

/// What a session does about TLS (RFC 3207).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Nothing: the connection is as it should be.
    AsItIs,
    /// It begins TLS where that is offered.
    Offered,
    /// No message goes without TLS.
    Demanded,
}

/// What a session is told at its start.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// What we call ourselves: the published host name.
    pub hostname: Box<str>,
    /// Which protocol to speak.
    pub dialect: Dialect,
    /// Whether to begin TLS.
    pub security: Security,
    /// Whether to log in before the first message. No login goes in clear: with it [`Security::Offered`] is
    /// [`Security::Demanded`], and [`Security::AsItIs`] says that the connection is under TLS.
    pub login: bool,
}

/// One message for this next hop.
#[derive(Clone, Debug)]
pub struct Message {
    /// Whom failures go to.
    pub reverse_path: ReversePath,
    /// Whom it goes to; not empty, at most [`limits::RECIPIENTS`].
    pub forward_paths: Vec<Mailbox>,
    /// Octets of content.
    pub octets: u64,
    /// Whether content has octets above 127.
    pub eight_bit: bool,
    /// Whether its sender said SMTPUTF8: that is handed on to a server that takes it (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// What its sender asks of reports, by the mailboxes of `forward_paths`: said to a server that takes it (RFC 3461).
    pub dsn: Option<Box<DsnRequest>>,
}

impl Message {
    /// Whether a server that offers these takes the content as it is.
    fn is_fit_for(&self, offered: &[Extension]) -> bool {
        !self.eight_bit || offered.contains(&Extension::EightBitMime)
    }

    /// Whether it cannot be sent to a server that takes no more than ASCII (RFC 6531 §3.2): one of its addresses is beyond
    /// that. Its header section alone does not count: docs/adr/0041.
    fn needs_smtputf8(&self) -> bool {
        !self.reverse_path.is_ascii() || !self.forward_paths.iter().all(Mailbox::is_ascii)
    }
}

/// What the driver is to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Put the content behind [`Session::wire`], dot-stuffed and ended, and call
    /// [`Session::content_sent`] when all of it is with the kernel.
    Content,
    /// The same, but what is put there has no octet above 127: the server did not offer to take such (8BITMIME).
    ///
    //= https://www.rfc-editor.org/rfc/rfc6152#section-3
    //# or by not including the EHLO keyword value 8BITMIME in its
    //# response), then the client SMTP must not, under any circumstances,
    //# attempt to transfer a content that contains characters outside of
    //# the US-ASCII octet range (hex 00-7F).
    SevenBitContent,
    /// Content of no recipients is asked for: put only the end of content there.
    EmptyContent,
    /// The message is done with: one outcome a recipient, in their order.
    Outcomes(Vec<Ending>),
    /// Ready for a message.
    Idle,
    /// Begin TLS, and call [`Session::secured`] when it stands, or [`Session::lost`]. Nothing is on the wire.
    StartTls,
    /// Say this to [`Session::answer`].
    Login(Answer),
    /// The session is of no use, before any message was decided; this is why. Try the next host.
    Unusable(Cause),
    /// Send what is on the wire, then close.
    Close,
}

/// One session with one next hop.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own: what a session does now, and how its last message went"
)]
pub struct Session {
    parameters: Parameters,
    replies: Replies,
    offered: Vec<Extension>,
    size_max: Option<u64>,
    logins: login::Offered,
    refused_login: bool,
    /// We are logged in.
    logged_in: bool,
    ehlo_line: usize,
    awaited: VecDeque<Awaited>,
    /// Commands not sent yet, because the server does not pipeline.
    unsent: VecDeque<Awaited>,
    attempt: Option<Attempt>,
    sending: bool,
    idle: bool,
    closed: bool,
    outputs: VecDeque<Output>,
    wire: Vec<u8>,
    wake_at: Time,
}

impl Session {
    /// A session on a connection that was just made.
    pub fn new(parameters: Parameters, now: Time) -> Self {
        Self {
            parameters,
            replies: Replies::default(),
            offered: Vec::new(),
            size_max: None,
            logins: login::Offered::default(),
            refused_login: false,
            logged_in: false,
            ehlo_line: 0,
            awaited: VecDeque::from([Awaited::Greeting]),
            unsent: VecDeque::new(),
            attempt: None,
            sending: false,
            idle: false,
            closed: false,
            outputs: VecDeque::new(),
            wire: Vec::new(),
            wake_at: now + limits::CLIENT_GREETING_WAIT,
        }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is to be sent: the driver takes it out as the socket takes it.
    pub fn wire(&mut self) -> &mut Vec<u8> {
        &mut self.wire
    }

    /// When to call [`Session::wake`].
    pub fn wake_at(&self) -> Time {
        self.wake_at
    }

    /// Whether a message may be given to [`Session::send`].
    pub fn is_idle(&self) -> bool {
        self.idle && !self.closed
    }

    /// Whether the server's greeting has come, whatever it was.
    pub fn is_greeted(&self) -> bool {
        self.awaited.front() != Some(&Awaited::Greeting)
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Begins with a message. Panics when the session is not idle or nobody is to get it: both are the
    /// driver's to see to.
    pub fn send(&mut self, message: Message, now: Time) {
        assert!(self.is_idle() && !message.forward_paths.is_empty());
        self.idle = false;
        let count = message.forward_paths.len();
        if self.size_max.is_some_and(|max| message.octets > max) {
            let failed = Ending::from(Outcome::Failed(TOO_LARGE));
            self.outputs
                .push_back(Output::Outcomes(vec![failed; count]));
            return self.rest(now);
        }
        let attempt = Attempt::new(message, self.takes_smtputf8());
        let undecided = |place: &usize| attempt.outcomes[*place].is_none();
        let recipients: Vec<Awaited> = (0..count).filter(undecided).map(Awaited::Rcpt).collect();
        let hopeless = recipients.is_empty();
        self.attempt = Some(attempt);
        if hopeless {
            self.finish();
            return self.rest(now);
        }
        self.unsent.push_back(Awaited::Mail);
        self.unsent.extend(recipients);
        self.unsent.push_back(Awaited::Data);
        self.write_commands(now);
    }

    /// Whether the server takes addresses beyond ASCII. Who offers that has to take octets above 127 too (RFC 6531 §3.1 (8)).
    fn takes_smtputf8(&self) -> bool {
        let offers = |extension| self.offered.contains(&extension);
        offers(Extension::SmtpUtf8) && offers(Extension::EightBitMime)
    }

    /// Takes note that all content is with the kernel. Of a session that ended meanwhile it changes nothing.
    pub fn content_sent(&mut self, now: Time) {
        if self.sending && !self.closed {
            self.sending = false;
            self.wait(limits::CLIENT_END_WAIT, now);
        }
    }

    /// Takes note that the peer took some octets of content: it is alive.
    pub fn content_moves(&mut self, now: Time) {
        if self.sending && !self.closed {
            self.wait(limits::CLIENT_BLOCK_WAIT, now);
        }
    }

    /// Ends an idle session in order.
    pub fn quit(&mut self, now: Time) {
        if self.is_idle() {
            self.idle = false;
            self.unsent.push_back(Awaited::Quit);
            self.write_commands(now);
        }
    }

    /// Takes octets from the server; all are used but an unfinished line. Gives how many were used.
    pub fn receive(&mut self, input: &[u8], now: Time) -> usize {
        let mut used = 0;
        while !self.closed {
            match self.replies.next(&input[used..]) {
                Ok(Read::Partial) => break,
                Ok(Read::Line(text, octets)) => {
                    used += octets;
                    self.read_offer(&text);
                }
                Ok(Read::Reply(reply, text, octets)) => {
                    used += octets;
                    self.read_offer(&text);
                    self.obey(reply, now);
                    if self.awaited.front() == Some(&Awaited::Handshake) {
                        if used < input.len() {
                            // Said before the handshake, to be taken for what is said after it.
                            self.give_up(&NOT_SMTP);
                        } else if !self.closed {
                            self.outputs.push_back(Output::StartTls);
                        }
                    }
                }
                Err(Rubbish) => self.give_up(&NOT_SMTP),
            }
        }
        used
    }

    /// Takes note that the connection is gone.
    pub fn lost(&mut self) {
        self.give_up(&LOST);
    }

    /// Takes note that `wake_at` has come.
    pub fn wake(&mut self, now: Time) {
        if now < self.wake_at {
            return;
        }
        if self.is_idle() {
            self.quit(now);
        } else {
            self.give_up(&TIMED_OUT);
        }
    }

    fn wait(&mut self, time: Duration, now: Time) {
        self.wake_at = now + time;
    }

    /// The session goes no further. What is undecided of a message is deferred.
    fn give_up(&mut self, cause: &Cause) {
        if self.closed {
            return;
        }
        let greeting = matches!(
            self.awaited.front(),
            Some(
                Awaited::Greeting
                    | Awaited::Ehlo
                    | Awaited::Helo
                    | Awaited::StartTls
                    | Awaited::Handshake
                    | Awaited::Auth(_)
                    | Awaited::Answer(_)
            )
        );
        if let Some(attempt) = self.attempt.take() {
            let undecided = || Outcome::Deferred(cause.clone()).into();
            let outcomes = attempt
                .outcomes
                .into_iter()
                .map(|o| o.unwrap_or_else(undecided));
            self.outputs.push_back(Output::Outcomes(outcomes.collect()));
        } else if greeting {
            self.outputs.push_back(Output::Unusable(cause.clone()));
        }
        self.close();
    }

    /// The server wants nothing of us, but is there: it is told that we go before we do.
    ///
    //= https://www.rfc-editor.org/rfc/rfc5321#section-4.1.1.10
    //# The sender MUST NOT intentionally close the transmission channel until
    //# it sends a QUIT command, and it SHOULD wait until it receives the
    //# reply (even if there was an error response to a previous command).
    fn leave(&mut self, cause: &Cause) {
        self.wire.extend_from_slice(b"QUIT\r\n");
        self.give_up(cause);
    }

    fn close(&mut self) {
        self.outputs.push_back(Output::Close);
        self.closed = true;
        self.idle = false;
        self.wake_at = Time::NEVER;
    }

    fn obey(&mut self, reply: RemoteReply, now: Time) {
        let Some(awaited) = self.awaited.pop_front() else {
            // Said without being asked: 421 as the server goes, or rubbish. Either way the end.
            return self.give_up(&Cause::Reply(reply));
        };
        let positive = reply.code / 100 == 2;
        match awaited {
            Awaited::Ehlo if reply.code / 100 == 5 && self.parameters.dialect == Dialect::Smtp => {
                self.forget_offer();
                self.unsent.push_back(Awaited::Helo);
                self.write_commands(now);
            }
            Awaited::Greeting | Awaited::Ehlo | Awaited::Helo | Awaited::Rset if !positive => {
                self.awaited.push_front(awaited);
                if reply.code == 421 {
                    self.give_up(&Cause::Reply(reply));
                } else {
                    self.leave(&Cause::Reply(reply));
                }
            }
            Awaited::Greeting => {
                self.unsent.push_back(Awaited::Ehlo);
                self.write_commands(now);
            }
            Awaited::Ehlo | Awaited::Helo => self.greeted(now),
            Awaited::Rset => self.rest(now),
            Awaited::Quit => self.close(),
            Awaited::StartTls | Awaited::Handshake | Awaited::Answer(_) if reply.code == 421 => {
                self.awaited.push_front(awaited);
                self.give_up(&Cause::Reply(reply));
            }
            Awaited::Auth(step) => self.logging_in(step, reply, now),
            _ if reply.code == 421 => self.give_up(&Cause::Reply(reply)),
            Awaited::StartTls if reply.code == 220 => {
                self.awaited.push_front(Awaited::Handshake);
                self.wait(limits::CLIENT_HANDSHAKE_WAIT, now);
            }
            Awaited::StartTls if reply.code < 400 => {
                self.awaited.push_front(awaited);
                self.give_up(&NOT_SMTP);
            }
            Awaited::StartTls if self.demands_tls() => {
                self.awaited.push_front(awaited);
                self.leave(&Cause::Reply(reply));
            }
            // It offered what it does not do now. In clear, as if it had not.
            Awaited::StartTls => self.rest(now),
            Awaited::Handshake | Awaited::Answer(_) => {
                self.awaited.push_front(awaited);
                self.give_up(&NOT_SMTP);
            }
            Awaited::Mail | Awaited::Rcpt(_) | Awaited::Data | Awaited::End(_) => {
                self.decide(awaited, reply, now);
            }
        }
    }

    /// Takes a reply to a command of the transaction.
    fn decide(&mut self, awaited: Awaited, reply: RemoteReply, now: Time) {
        let lmtp = self.parameters.dialect == Dialect::Lmtp;
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        let code = reply.code;
        let sense = match awaited {
            Awaited::Data => code == 354 || code >= 400,
            // A yes before the server has it all is no yes.
            Awaited::End(_) => code >= 400 || (code < 300 && !self.sending),
            _ => !(300..400).contains(&code),
        };
        if !sense {
            return self.give_up(&NOT_SMTP);
        }
        match awaited {
            Awaited::Mail if code / 100 != 2 => {
                attempt.refused = true;
                attempt.decide_rest(&refused(reply));
            }
            Awaited::Rcpt(place) if !attempt.refused => {
                if code / 100 == 2 {
                    attempt.accepted.push(place);
                } else {
                    // 552 here is the old way to say 452 (RFC 5321 §4.5.3.1.10).
                    let outcome = if code == 552 {
                        Outcome::Deferred(Cause::Reply(reply)).into()
                    } else {
                        refused(reply)
                    };
                    attempt.outcomes[place] = Some(outcome);
                }
            }
            Awaited::Data if code == 354 => {
                let accepted = std::mem::take(&mut attempt.accepted);
                self.sending = true;
                if accepted.is_empty() {
                    self.outputs.push_back(Output::EmptyContent);
                    self.awaited.push_back(Awaited::End(usize::MAX));
                } else {
                    let is_fit = attempt.message.is_fit_for(&self.offered);
                    self.outputs.push_back(if is_fit {
                        Output::Content
                    } else {
                        Output::SevenBitContent
                    });
                    let first = accepted[0];
                    let ends = if lmtp { accepted.clone() } else { vec![first] };
                    self.awaited.extend(ends.into_iter().map(Awaited::End));
                    attempt.accepted = accepted;
                }
                return self.wait(limits::CLIENT_BLOCK_WAIT, now);
            }
            Awaited::Data => attempt.decide_rest(&refused(reply)),
            Awaited::End(place) => {
                let outcome = if code / 100 == 2 {
                    Ending {
                        handed_on: attempt.message.dsn.is_some()
                            && self.offered.contains(&Extension::Dsn),
                        ..Ending::taken(&reply)
                    }
                } else {
                    refused(reply)
                };
                if lmtp && place < attempt.outcomes.len() {
                    attempt.outcomes[place] = Some(outcome);
                } else {
                    attempt.decide_rest(&outcome);
                }
                if self.sending {
                    // The server answered before it had read everything: what it says holds, but
                    // the session is out of step.
                    self.finish();
                    return self.close();
                }
            }
            _ => {}
        }
        self.go_on(awaited, now);
    }

    /// What follows a reply within a transaction.
    fn go_on(&mut self, awaited: Awaited, now: Time) {
        let Some(attempt) = &self.attempt else { return };
        let hopeless = attempt.refused || attempt.outcomes.iter().all(Option::is_some);
        if hopeless {
            // Not sent yet, and of no use any more.
            self.unsent.clear();
        }
        if !self.awaited.is_empty() {
            return self.wait(wait_for(self.awaited[0]), now);
        }
        if !self.unsent.is_empty() {
            return self.write_commands(now);
        }
        self.finish();
        if matches!(awaited, Awaited::End(_)) {
            self.rest(now);
        } else {
            // The transaction did not come to its end: clear the table before the next.
            self.unsent.push_back(Awaited::Rset);
            self.write_commands(now);
        }
    }

    /// Hands the outcomes over.
    fn finish(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            let undecided = || Outcome::Deferred(NOT_SMTP).into();
            let outcomes = attempt
                .outcomes
                .into_iter()
                .map(|o| o.unwrap_or_else(undecided));
            self.outputs.push_back(Output::Outcomes(outcomes.collect()));
        }
    }

    fn rest(&mut self, now: Time) {
        self.idle = true;
        self.outputs.push_back(Output::Idle);
        self.wait(limits::SERVER_COMMAND_WAIT, now);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;
