//! AUTH, RFC 4954: how a client says who it is. What it says is read here, strictly and within bounds; whether it is right
//! leaves as [`Question::Login`]. Two mechanisms say the password as it is, so that nothing is offered and nothing is read
//! but under TLS; SCRAM, which proves it, is in `scram`.

mod scram;

pub(super) use scram::Unsaid;
pub use scram::{Challenge, LoginAnswer};

use super::{Output, Question, Session, Standing, State, replies};
use crate::command::{Command, InitialResponse};
use crate::extension::Mechanism;
use crate::scram::{CODE_OCTETS, First, Proof, Refused, Unproved};
use data_encoding::BASE64;
use mail::limits::{
    COMMAND_LINE_OCTETS, LOGIN_LINE_OCTETS, LOGIN_NAME_OCTETS, LOGIN_PASSWORD_OCTETS,
    SESSION_LOGINS_REFUSED,
};
use mail::{Class, Reply};
use scram::{Challenged, Then};
use std::fmt;
use zeroize::Zeroizing;

/// What somebody logs in with.
pub struct Credentials {
    /// His name: UTF-8 of at most [`LOGIN_NAME_OCTETS`] octets, not empty, without control characters.
    pub user: Box<str>,
    /// What he has to show for it.
    pub evidence: Evidence,
}

/// What is asked about.
pub enum Evidence {
    /// His password: UTF-8 of at most [`LOGIN_PASSWORD_OCTETS`] octets, not empty, without control characters. It is wiped
    /// when it is dropped. Where it is right the answer is [`LoginAnswer::Accept`].
    Password(Zeroizing<Vec<u8>>),
    /// Nothing yet: he began SCRAM with this client-first-message-bare, and is to have a [`LoginAnswer::Challenge`], whoever
    /// he is.
    First(Box<str>),
    /// A proof by SCRAM; where it is right the answer is [`LoginAnswer::Proved`].
    Proof(Box<Proof>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Somebody logs in, and is asked about.
#[derive(Debug)]
pub(super) struct Asking {
    /// Until somebody takes it.
    credentials: Option<Credentials>,
    then: Then,
}

/// What the client is to say next.
pub(super) enum Exchange {
    /// The whole message of PLAIN.
    Plain,
    /// The name, of LOGIN.
    User,
    /// The password, of LOGIN; this was the name.
    Password(Box<str>),
    /// The client-first-message of SCRAM, by this mechanism.
    First(Mechanism),
    /// The client-final-message, behind this challenge.
    Proof(Box<Challenged>),
    /// Nothing: he has proved himself, and is told by this signature that we know him too.
    Empty([u8; CODE_OCTETS]),
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exchange::Plain => "Plain",
            Exchange::User => "User",
            Exchange::Password(_) => "Password(..)",
            Exchange::First(_) => "First",
            Exchange::Proof(_) => "Proof",
            Exchange::Empty(_) => "Empty",
        })
    }
}

/// Why nobody is asked about what the client said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfit {
    /// It is nothing that the mechanism knows.
    Malformed,
    /// Whoever it is, this is no login: he wants to act as another, or what he says does not belong to this exchange or to
    /// this connection.
    Wrong,
}

impl From<Refused> for Unfit {
    fn from(why: Refused) -> Self {
        match why {
            Refused::Malformed => Unfit::Malformed,
            Refused::ForAnother | Refused::Binding => Unfit::Wrong,
        }
    }
}

impl From<Unproved> for Unfit {
    fn from(why: Unproved) -> Self {
        match why {
            Unproved::Malformed => Unfit::Malformed,
            Unproved::Elsewhere => Unfit::Wrong,
        }
    }
}

impl Session {
    /// Whether the client has logged in. RSET, EHLO and HELO change nothing in that.
    pub fn is_logged_in(&self) -> bool {
        self.standing == Standing::LoggedIn
    }

    /// What [`Question::Login`] is about; it can be had once.
    pub fn take_credentials(&mut self) -> Option<Credentials> {
        match &mut self.state {
            State::LoggingIn(asking) => asking.credentials.take(),
            _ => None,
        }
    }

    /// Whether AUTH is offered: not in clear, and not to who has logged in, for it would be refused him. RFC 4954 §4 leaves
    /// that open.
    ///
    //= https://www.rfc-editor.org/rfc/rfc4954#section-4
    //# Note: A server implementation MUST implement a configuration in which
    //# it does NOT permit any plaintext password mechanisms, unless either
    //# the STARTTLS [SMTP-TLS] command has been negotiated or some other
    //# mechanism that protects the session from password snooping has been
    //# provided.
    //
    // There is no other configuration.
    pub(super) fn offers_auth(&self) -> bool {
        self.parameters.needs_login && self.standing == Standing::UnderTls
    }

    /// What somebody is told who wants to begin a transaction and may not yet.
    ///
    //= https://www.rfc-editor.org/rfc/rfc6409#section-4.3
    //# The MSA MUST, by default, issue an error response to the MAIL command
    //# if the session has not been authenticated using [SMTP-AUTH], unless
    //# it has already independently established authentication or
    //# authorization (such as being within a protected subnetwork).
    pub(super) fn lacks_login(&self) -> Option<Reply> {
        match self.standing {
            _ if !self.parameters.needs_login => None,
            Standing::InClear => Some(replies::TLS_FIRST),
            Standing::UnderTls => Some(replies::LOGIN_FIRST),
            Standing::LoggedIn => None,
        }
    }

    /// How many octets the line may have that begins so, with its CRLF.
    ///
    //= https://www.rfc-editor.org/rfc/rfc4954#section-4
    //# Clients and servers MUST be able to
    //# handle the maximum encoded size of challenges and responses
    //# generated by their supported authentication mechanisms.
    pub(super) fn line_octets_max(&self, input: &[u8]) -> usize {
        let verb = input.get(..VERB.len());
        let is_login = match self.state {
            State::Authenticating(_) => true,
            State::Ready => {
                self.offers_auth() && verb.is_some_and(|verb| verb.eq_ignore_ascii_case(VERB))
            }
            _ => false,
        };
        if is_login {
            LOGIN_LINE_OCTETS
        } else {
            COMMAND_LINE_OCTETS
        }
    }

    /// Begins an exchange. Who said HELO may do so too: printers and the like log in without having asked whether they can,
    /// and RFC 5321 §4.1.4 wants no more than one of both greetings.
    pub(super) fn auth(
        &mut self,
        mechanism: Option<Mechanism>,
        initial_response: Option<InitialResponse<'_>>,
    ) {
        if !self.parameters.needs_login {
            return self.fault(replies::NOT_IMPLEMENTED);
        }
        if self.hello.is_none() {
            return self.fault(replies::HELLO_FIRST);
        }
        match self.standing {
            Standing::InClear => return self.fault(replies::TLS_FIRST),
            Standing::UnderTls => {}
            //= https://www.rfc-editor.org/rfc/rfc4954#section-4
            //# After a
            //# successful AUTH command completes, a server MUST reject any
            //# further AUTH commands with a 503 reply.
            //
            //= https://www.rfc-editor.org/rfc/rfc4954#section-4
            //# An AUTH command issued during a mail transaction MUST be
            //# rejected with a 503 reply.
            //
            // Who has one open has logged in.
            Standing::LoggedIn => return self.fault(replies::LOGGED_IN_ALREADY),
        }
        let (exchange, challenge) = match mechanism.filter(|one| self.proofs().has(*one)) {
            Some(Mechanism::Plain) => (Exchange::Plain, replies::ASK_MESSAGE),
            Some(Mechanism::Login) => (Exchange::User, replies::ASK_USER),
            Some(scram) => (Exchange::First(scram), replies::ASK_MESSAGE),
            None => return self.fault(replies::UNKNOWN_MECHANISM),
        };
        match initial_response {
            None => {
                self.state = State::Authenticating(exchange);
                self.say(challenge);
            }
            Some(InitialResponse("=")) => self.hear(exchange, Some(Zeroizing::default())),
            // RFC 4954 §4 has 501 for a mechanism that the client does not begin. LOGIN has no specification that says which
            // it is, and many clients begin it.
            Some(InitialResponse(text)) => self.hear(exchange, decoded(text.as_bytes())),
        }
    }

    /// Takes a line of an exchange: no command has a meaning there.
    pub(super) fn respond(&mut self, line: &[u8]) {
        let exchange = match std::mem::replace(&mut self.state, State::Ready) {
            State::Authenticating(exchange) => exchange,
            state => {
                self.state = state;
                return;
            }
        };
        //= https://www.rfc-editor.org/rfc/rfc4954#section-4
        //# If the client wishes to cancel the
        //# authentication exchange, it issues a line with a single "*".
        //# If the server receives such a response, it MUST reject the
        //# AUTH command by sending a 501 reply.
        if line == b"*" {
            return self.fault(replies::LOGIN_CANCELLED);
        }
        let response = decoded(line);
        match Command::ends_the_session(line) {
            // Who never hears us may have sent all this for commands, with a chunk behind them.
            Some(error) if response.is_none() => self.end(self.refusal(error)),
            _ => self.hear(exchange, response),
        }
    }

    /// The line of an exchange, or AUTH itself, was too long.
    pub(super) fn login_too_long(&mut self) {
        self.state = State::Ready;
        self.fault(replies::LOGIN_TOO_LONG);
    }

    /// Takes the octets of a response; nothing where they could not be read. The state is that of no exchange.
    fn hear(&mut self, exchange: Exchange, response: Option<Zeroizing<Vec<u8>>>) {
        let read = response.ok_or(Unfit::Malformed).and_then(|octets| {
            Ok(match exchange {
                Exchange::Plain => Heard::All(plain(&octets)?),
                Exchange::User => Heard::User(user(&octets)?),
                Exchange::Password(user) => Heard::All(Credentials {
                    user,
                    evidence: Evidence::Password(password(&octets)?),
                }),
                Exchange::First(mechanism) => {
                    let binding = self.binding.is_some();
                    Heard::First(First::parse(&octets, mechanism, binding)?)
                }
                Exchange::Proof(challenged) => {
                    Heard::Proof(challenged.proved(&octets, self.binding.as_ref())?)
                }
                Exchange::Empty(_) if octets.is_empty() => Heard::Nothing,
                Exchange::Empty(_) => return Err(Unfit::Malformed),
            })
        });
        match read {
            Ok(Heard::User(user)) => {
                self.state = State::Authenticating(Exchange::Password(user));
                self.say(replies::ASK_PASSWORD);
            }
            Ok(Heard::All(credentials)) => self.ask_about(credentials, Then::Password),
            Ok(Heard::Proof(credentials)) => self.ask_about(credentials, Then::Proof),
            Ok(Heard::First(first)) => self.ask_about(first.credentials(), Then::Challenge(first)),
            Ok(Heard::Nothing) => self.let_in(),
            //= https://www.rfc-editor.org/rfc/rfc4954#section-4
            //# If the server cannot [BASE64] decode any client response, it
            //# MUST reject the AUTH command with a 501 reply (and an enhanced
            //# status code of 5.5.2).
            Err(Unfit::Malformed) => self.fault(replies::MALFORMED_LOGIN),
            Err(Unfit::Wrong) => {
                let reply = self.refused_login(replies::BAD_LOGIN);
                self.refuse(reply);
            }
        }
    }

    fn ask_about(&mut self, credentials: Credentials, then: Then) {
        let credentials = Some(credentials);
        self.state = State::LoggingIn(Asking { credentials, then });
        self.outputs.push_back(Output::Ask(Question::Login));
    }

    /// Somebody has logged in.
    fn let_in(&mut self) {
        self.standing = Standing::LoggedIn;
        self.say(replies::LOGGED_IN);
    }

    /// Counts a login that is refused; what is to be said of it.
    pub(super) fn refused_login(&mut self, reply: Reply) -> Reply {
        self.logins_refused += u32::from(reply.class() == Class::Permanent);
        if self.logins_refused >= SESSION_LOGINS_REFUSED {
            replies::TOO_MANY_LOGINS
        } else {
            reply
        }
    }
}

/// What a response was.
enum Heard {
    User(Box<str>),
    All(Credentials),
    Proof(Credentials),
    First(First),
    Nothing,
}

/// Undoes base64. What is decoded is wiped, also where it turns out to be none.
///
//= https://www.rfc-editor.org/rfc/rfc4954#section-4
//# In particular, servers and clients
//# MUST reject (and not ignore) any character not explicitly
//# allowed by the BASE64 alphabet, and MUST reject any sequence
//# of BASE64 characters that contains the pad character ('=')
//# anywhere other than the end of the string (e.g., "=AAA" and
//# "AAA=BBB" are not allowed).
fn decoded(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let end = text.iter().rposition(|byte| *byte != b'=');
    // The library takes several texts, each with its padding, for one.
    if text[..end.unwrap_or(0)].contains(&b'=') {
        return None;
    }
    let mut octets = Zeroizing::new(vec![0; BASE64.decode_len(text.len()).ok()?]);
    let length = BASE64.decode_mut(text, &mut octets).ok()?;
    octets.truncate(length);
    Some(octets)
}

/// `[authzid] UTF8NUL authcid UTF8NUL passwd`, RFC 4616 §2.
fn plain(message: &[u8]) -> Result<Credentials, Unfit> {
    let mut parts = message.split(|octet| *octet == 0);
    let (Some(acts_as), Some(name), Some(secret), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Unfit::Malformed);
    };
    let credentials = Credentials {
        user: user(name)?,
        evidence: Evidence::Password(password(secret)?),
    };
    if acts_as.is_empty() || acts_as == name {
        Ok(credentials)
    } else {
        user(acts_as)?;
        Err(Unfit::Wrong)
    }
}

fn user(octets: &[u8]) -> Result<Box<str>, Unfit> {
    text(octets, LOGIN_NAME_OCTETS).map(Box::from)
}

fn password(octets: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unfit> {
    let text = text(octets, LOGIN_PASSWORD_OCTETS)?;
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

/// UTF-8 that somebody could have typed in. It is not prepared as RFC 4013 has it: what it is compared with came in as
/// it was typed in too.
fn text(octets: &[u8], octets_max: usize) -> Result<&str, Unfit> {
    let text = std::str::from_utf8(octets).map_err(|_| Unfit::Malformed)?;
    let is_fit =
        !text.is_empty() && text.len() <= octets_max && !text.chars().any(char::is_control);
    is_fit.then_some(text).ok_or(Unfit::Malformed)
}

/// How AUTH begins, to which a longer line is allowed.
const VERB: &[u8] = b"AUTH ";
