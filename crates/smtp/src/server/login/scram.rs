//! SCRAM within a session: what is asked about, and how it goes on with the answer. Its messages are in [`crate::scram`].

use super::{Asking, Credentials, Evidence, Exchange, Unfit};
use crate::extension::Proofs;
use crate::scram::{BINDING_OCTETS, Bare, CODE_OCTETS, First, Proof, server_final, server_first};
use crate::server::{Answer, Output, Scram, Session, State, replies};
use data_encoding::BASE64;
use mail::{Reply, Time, limits};
use std::fmt;

/// What a name is to be proved with; whether anybody has the name is not told by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Our part of the nonce: printable ASCII without a comma (RFC 5802 §7), another each time.
    pub nonce: Box<str>,
    /// The salt of the name's secret.
    pub salt: Box<[u8]>,
    /// The iterations of the name's secret.
    pub iterations: u32,
}

/// The answer to [`Question::Login`](crate::server::Question::Login).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginAnswer {
    /// The password is right.
    Accept,
    /// This is to be said to who began SCRAM.
    Challenge(Challenge),
    /// The proof is right, and this is the server's signature.
    Proved([u8; CODE_OCTETS]),
    /// No, and this is what to say.
    Refuse(Reply),
}

impl From<Answer> for LoginAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Accept => LoginAnswer::Accept,
            Answer::Refuse(reply) => LoginAnswer::Refuse(reply),
        }
    }
}

/// How it goes on with the answer.
#[derive(Debug)]
pub(super) enum Then {
    /// It is the last word on a password.
    Password,
    /// It is the last word on a proof, but for our signature.
    Proof,
    /// It is a challenge to who began so.
    Challenge(First),
}

#[cfg(test)]
impl Asking {
    /// What is asked, for tests.
    pub(in crate::server) fn asks(&self) -> &'static str {
        match self.then {
            Then::Challenge(_) => "challenge asked",
            Then::Proof => "proof asked",
            Then::Password => "logging in",
        }
    }
}

/// The challenge that [`Output::Challenge`] is about. It has a name in it, and is not shown.
#[derive(Default)]
pub(in crate::server) struct Unsaid(String);

impl fmt::Debug for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsaid(..)")
    }
}

/// Who was challenged, and with what.
pub(in crate::server) struct Challenged {
    first: First,
    challenge: Challenge,
}

impl Challenged {
    fn message(&self) -> String {
        let Challenge {
            nonce,
            salt,
            iterations,
        } = &self.challenge;
        // It was read before, and has one.
        let own = Bare::parse(self.first.bare()).map_or("", |bare| bare.nonce);
        server_first(own, nonce, salt, *iterations)
    }

    /// What the client's last message proves, if anything.
    pub(super) fn proved(
        &self,
        octets: &[u8],
        binding: Option<&[u8; BINDING_OCTETS]>,
    ) -> Result<Credentials, Unfit> {
        let proof = Proof::parse(octets, &self.first, &self.challenge.nonce, binding)?;
        Ok(Credentials {
            user: self.first.user().into(),
            evidence: Evidence::Proof(Box::new(proof)),
        })
    }
}

impl First {
    pub(super) fn credentials(&self) -> Credentials {
        Credentials {
            user: self.user().into(),
            evidence: Evidence::First(self.bare().into()),
        }
    }
}

impl Session {
    /// Takes what both ends of the connection exported for `tls-exporter` (RFC 9266), once hands were shaken; nothing where
    /// they cannot. Without it SCRAM-SHA-256-PLUS is not offered.
    pub fn bind(&mut self, exported: Option<[u8; BINDING_OCTETS]>) {
        self.binding = exported;
    }

    /// What is offered to prove a password with.
    pub(in crate::server) fn proofs(&self) -> Proofs {
        Proofs {
            scram: self.parameters.scram == Scram::Offered,
            binding: self.binding.is_some(),
        }
    }

    /// Takes the answer to [`Question::Login`](crate::server::Question::Login); one that nobody asked for changes nothing.
    pub fn answer_login(&mut self, answer: LoginAnswer, now: Time) {
        let Asking { then, .. } = match std::mem::replace(&mut self.state, State::Ready) {
            State::LoggingIn(asking) => asking,
            state => {
                self.state = state;
                return;
            }
        };
        self.wake_at = now + limits::SERVER_COMMAND_WAIT;
        match (then, answer) {
            (Then::Password, LoginAnswer::Accept) => self.let_in(),
            // RFC 4954 §4: what a mechanism has to say with its success is a challenge, to which nothing is said.
            (Then::Proof, LoginAnswer::Proved(signature)) => {
                self.challenge(Exchange::Empty(signature));
            }
            (Then::Challenge(first), LoginAnswer::Challenge(challenge)) => {
                let challenged = Challenged { first, challenge };
                self.challenge(Exchange::Proof(Box::new(challenged)));
            }
            (_, LoginAnswer::Refuse(reply)) => {
                let reply = self.refused_login(reply);
                self.refuse(reply);
            }
            // It is the answer to something else.
            _ => self.refuse(replies::LOGIN_LATER),
        }
        self.stop_if_told();
    }

    fn challenge(&mut self, exchange: Exchange) {
        let message = match &exchange {
            Exchange::Proof(challenged) => challenged.message(),
            Exchange::Empty(signature) => server_final(signature),
            // These are answered by a reply that is always the same.
            _ => return,
        };
        self.challenge = Unsaid(message);
        self.state = State::Authenticating(exchange);
        self.outputs.push_back(Output::Challenge);
    }

    /// Writes the line of [`Output::Challenge`], once. The next is only made when who is challenged has been asked about.
    pub fn write_challenge(&mut self, out: &mut Vec<u8>) {
        let Unsaid(message) = std::mem::take(&mut self.challenge);
        out.extend_from_slice(b"334 ");
        out.extend_from_slice(BASE64.encode(message.as_bytes()).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
