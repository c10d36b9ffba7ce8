//! The server's side of an SMTP session, RFC 5321 §3 and §4.1.
//!
//! Octets go in with [`Session::receive`], answers with [`Session::answer`], the passing of time with
//! [`Session::wake`]; what is to be done comes out of [`Session::poll`], in order. What is not the
//! session's to decide leaves it as a [`Question`]: `250` after content is the answer to
//! [`Question::Commit`], and there is no other way to say it.

mod chunks;
mod ending;
mod hops;
mod incoming;
mod lines;
mod login;
mod parameters;
mod refusals;
pub mod replies;
mod tls;
mod transaction;

pub use login::{Challenge, Credentials, Evidence, LoginAnswer};
pub use parameters::{Parameters, Scram};
pub use transaction::{Asked, Hello, Transaction};

use crate::command::{Command, CommandError, MailParameters};
use crate::extension::Offer;
use crate::scram::BINDING_OCTETS;
use chunks::{Chunk, Refused};
use incoming::Incoming;
use lines::{Line, Lines, TLS_HANDSHAKE};
use login::{Asking, Exchange, Unsaid};
use mail::{Class, ForwardPath, RecipientRequest, Reply, ReversePath, Time, limits};
use std::collections::VecDeque;

/// What others decide. Each is answered by [`Session::answer`], in the order asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this peer talk to us?
    Connect,
    /// May this transaction begin? Its reverse-path and parameters are in [`Session::transaction`].
    Mail,
    /// Is this forward-path, the last of [`Session::transaction`], one we take mail for?
    /// Several may be asked before the first is answered: commands that a client pipelined.
    Recipient,
    /// Content is complete and sound: make it durable with its envelope.
    Commit,
    /// Can TLS begin now?
    StartTls,
    /// Is what somebody logs in with right? It is had from [`Session::take_credentials`], and answered by
    /// [`Session::answer_login`]. A refusal for good counts as a login that was refused; [`replies::LOGIN_LATER`] is for
    /// where nobody can say.
    Login,
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes; of a commit: it is on stable storage.
    Accept,
    /// No, and this is what to say.
    Refuse(Reply),
}

/// What the driver is to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Say it.
    Reply(Reply),
    /// Say what EHLO is answered with: our name and the extensions of [`crate::extension`].
    Extensions,
    /// Say what [`Session::write_challenge`] writes.
    Challenge,
    /// Get it answered.
    Ask(Question),
    /// Recipients are complete and content comes: what must be asked of the transaction can be asked meanwhile. Where a
    /// client pipelined, [`Session::transaction`] may be gone already.
    ContentBegins,
    /// What was put into the content buffer since DATA, or the first BDAT, is void.
    DiscardContent,
    /// Send what was said, then shake hands; [`Session::secured`] says that it was done. Octets that came before are none
    /// of the handshake.
    StartTls,
    /// Send what was said, then close.
    Close,
}

/// The states of a session; each holds what is true in it alone.
#[derive(Debug)]
enum State {
    /// Nothing was said yet: whether this peer may talk is asked.
    Connecting,
    /// Told with the greeting that nothing is done for it: all that is left is QUIT (§3.1).
    Unwanted,
    /// Greeted, or between transactions.
    Ready,
    /// MAIL is asked.
    Opening(Transaction),
    /// MAIL was accepted. How many recipients stand unanswered is in `Session::asked`.
    Open(Transaction),
    /// Between 354 and CRLF.CRLF.
    Content(Transaction, Incoming),
    /// Behind BDAT, while the chunk's octets come.
    Chunk(Transaction, Incoming, Chunk),
    /// A chunk was taken, and another is to come.
    BetweenChunks(Transaction, Incoming),
    /// Behind a BDAT that is refused, while the chunk's octets come.
    Skipping(Refused),
    /// A chunk was refused that was not the last: what is left of the transaction is RSET.
    Failed,
    /// Content is with the spool.
    Committing(Transaction),
    /// STARTTLS was given: until hands are shaken nothing is read.
    Securing,
    /// Behind AUTH, or a line of its exchange, that was answered with a challenge.
    Authenticating(Exchange),
    /// What somebody logs in with is asked about; it is here until somebody takes it.
    LoggingIn(Asking),
    /// Over.
    Closed,
}

/// What the client and its connection are trusted with. Nobody logs in but under TLS, and nobody is logged out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    InClear,
    UnderTls,
    LoggedIn,
}

/// One session with one client.
#[derive(Debug)]
pub struct Session {
    parameters: Parameters,
    state: State,
    hello: Option<Hello>,
    standing: Standing,
    /// What the connection is known by at both ends, where TLS has it.
    binding: Option<[u8; BINDING_OCTETS]>,
    /// What a client of SCRAM is told next.
    challenge: Unsaid,
    lines: Lines,
    outputs: VecDeque<Output>,
    /// Recipients asked and not yet answered: the last so many of the transaction.
    asked: usize,
    eight_bit: bool,
    /// Failed commands since mail was last taken.
    errors: u32,
    /// Commands since mail was last taken, RCPT apart.
    idle: u32,
    transactions: u32,
    /// As many RCPTs, and a DATA, may follow a MAIL that was refused without being errors: a client that pipelines had sent
    /// them already (RFC 2920 §3.1).
    in_vain: usize,
    logins_refused: u32,
    /// The service stops: the session ends when the content that is under way was answered.
    stopping: bool,
    wake_at: Time,
}

impl Session {
    /// A session with a peer that has just connected; asks [`Question::Connect`].
    pub fn new(parameters: Parameters, now: Time) -> Self {
        Self {
            parameters,
            state: State::Connecting,
            hello: None,
            standing: Standing::InClear,
            binding: None,
            challenge: Unsaid::default(),
            lines: Lines::default(),
            outputs: VecDeque::from([Output::Ask(Question::Connect)]),
            asked: 0,
            eight_bit: false,
            errors: 0,
            idle: 0,
            transactions: 0,
            in_vain: 0,
            logins_refused: 0,
            stopping: false,
            wake_at: now + limits::SERVER_COMMAND_WAIT,
        }
    }

    /// What to do next; `None` when nothing is to be done until something comes in.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Session::wake`].
    pub fn wake_at(&self) -> Time {
        self.wake_at
    }

    /// The transaction that is open, if one is.
    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.state {
            State::Opening(t)
            | State::Open(t)
            | State::Content(t, _)
            | State::Chunk(t, ..)
            | State::BetweenChunks(t, _)
            | State::Committing(t) => Some(t),
            State::Connecting
            | State::Unwanted
            | State::Ready
            | State::Skipping(_)
            | State::Failed
            | State::Securing
            | State::Authenticating(_)
            | State::LoggingIn(_)
            | State::Closed => None,
        }
    }

    /// The forward-path of the oldest [`Question::Recipient`] that is not answered.
    pub fn asked_recipient(&self) -> Option<&ForwardPath> {
        let recipients = &self.transaction()?.recipients;
        let place = recipients.len().checked_sub(self.asked)?;
        Some(&recipients.get(place)?.forward_path)
    }

    /// Whether the content that was last read, or is being read, has octets above 127.
    pub fn content_is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// How the client greeted us, once it has.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// What is said to EHLO now, under this name.
    pub fn offer<'a>(&self, hostname: &'a str) -> Offer<'a> {
        Offer {
            hostname,
            content_octets_max: self.parameters.content_octets_max,
            start_tls: self.offers_tls(),
            auth: self.offers_auth(),
            proofs: self.proofs(),
            dsn: self.parameters.dsn,
        }
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether content is what comes next, taken or not: octets between 354 and CRLF.CRLF, or of a chunk.
    pub fn wants_content(&self) -> bool {
        matches!(
            self.state,
            State::Content(..) | State::Chunk(..) | State::Skipping(_)
        )
    }

    /// Takes octets from the peer; gives how many were used up. What is left is to be given again,
    /// with what came after it, when more came in or a question was answered. Content is put behind
    /// `content`, which the driver empties as it likes.
    pub fn receive(&mut self, input: &[u8], content: &mut Vec<u8>, now: Time) -> usize {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            let step = match self.state {
                State::Content(..) => self.read_content(rest, content),
                State::Chunk(..) | State::Skipping(_) => self.read_chunk(rest, content),
                State::Unwanted
                | State::Ready
                | State::Open(_)
                | State::BetweenChunks(..)
                | State::Failed
                | State::Authenticating(_) => self.read_line(rest),
                State::Closed => rest.len(),
                State::Connecting
                | State::Opening(_)
                | State::Committing(_)
                | State::Securing
                | State::LoggingIn(_) => 0,
            };
            if step == 0 {
                break;
            }
            used += step;
            self.wake_at = now + self.patience();
            if self.chunk_left() == Some(0) {
                self.end_chunk(content);
            }
        }
        used
    }

    /// Takes the answer to the oldest open question.
    pub fn answer(&mut self, answer: Answer, now: Time) {
        self.wake_at = now + limits::SERVER_COMMAND_WAIT;
        let (next, reply) = match (std::mem::replace(&mut self.state, State::Closed), answer) {
            (State::Connecting, Answer::Accept) => (State::Ready, replies::GREETING),
            (State::Connecting, Answer::Refuse(reply)) => (State::Unwanted, reply),
            (State::Opening(transaction), Answer::Accept) => {
                (State::Open(transaction), replies::SENDER_OK)
            }
            (State::Open(mut transaction), answer) if self.asked > 0 => {
                let place = transaction.recipients.len() - self.asked;
                self.asked -= 1;
                let reply = match answer {
                    Answer::Accept => replies::RECIPIENT_OK,
                    Answer::Refuse(reply) => {
                        transaction.recipients.remove(place);
                        reply
                    }
                };
                (State::Open(transaction), reply)
            }
            (State::Committing(_), Answer::Accept) => {
                (self.errors, self.idle) = (0, 0);
                (State::Ready, replies::ACCEPTED)
            }
            (State::Securing, Answer::Accept) => {
                self.state = State::Securing;
                self.say(replies::BEGIN_TLS);
                self.outputs.push_back(Output::StartTls);
                return;
            }
            (State::LoggingIn(asking), answer) => {
                self.state = State::LoggingIn(asking);
                return self.answer_login(answer.into(), now);
            }
            (State::Opening(_), Answer::Refuse(reply)) => {
                self.in_vain = self.parameters.recipients_max + 1;
                (State::Ready, reply)
            }
            (State::Committing(_) | State::Securing, Answer::Refuse(reply)) => {
                (State::Ready, reply)
            }
            // An answer that nobody asked for changes nothing.
            (state, _) => {
                self.state = state;
                return;
            }
        };
        self.state = next;
        self.refuse(reply);
        self.stop_if_told();
    }

    /// Says what an answer came to.
    fn refuse(&mut self, reply: Reply) {
        if matches!(reply.code(), 421 | 521) {
            // These codes say that the channel closes (RFC 5321 §3.8, RFC 7504 §3).
            self.end(reply);
        } else if reply.class() == Class::Permanent && !matches!(self.state, State::Unwanted) {
            self.fault(reply);
        } else {
            self.say(reply);
        }
    }

    fn say(&mut self, reply: Reply) {
        self.outputs.push_back(Output::Reply(reply));
    }

    /// Says no to a command that is wrong in itself; too many of these end the session.
    fn fault(&mut self, reply: Reply) {
        self.errors += 1;
        if self.errors >= self.parameters.errors_max {
            self.end(replies::TOO_MANY_ERRORS);
        } else {
            self.say(reply);
        }
    }

    fn read_line(&mut self, input: &[u8]) -> usize {
        let begins = self.lines.is_at_start();
        if begins && self.asked == 0 && input.first() == Some(&TLS_HANDSHAKE) {
            // Nobody would answer its hello, and both would wait.
            self.end(replies::NOT_SMTP);
            return 1;
        }
        match self.lines.next(input, self.line_octets_max(input)) {
            Line::Partial => 0,
            // While recipients stand unanswered the reply must wait its turn, and so must the line.
            Line::TooLong(_) | Line::EndOfTooLong(..) if self.asked > 0 => {
                self.lines = Lines::default();
                0
            }
            Line::TooLong(used) => {
                if let Some(error) = Command::ends_the_session(input).filter(|_| begins) {
                    self.end(self.refusal(error));
                }
                used
            }
            Line::EndOfTooLong(used, limits::LOGIN_LINE_OCTETS) => {
                self.login_too_long();
                used
            }
            Line::EndOfTooLong(used, _) => {
                self.fault(replies::LINE_TOO_LONG);
                used
            }
            Line::Whole(line, used) if matches!(self.state, State::Authenticating(_)) => {
                self.respond(line);
                used
            }
            Line::Whole(line, used) => {
                let command = Command::parse(line);
                let may_join = matches!(command, Ok(Command::Rcpt { .. })) && self.has_room();
                if self.asked > 0 && !may_join {
                    return 0;
                }
                match command {
                    Ok(Command::Quit) => self.end(replies::BYE),
                    Err(error @ (CommandError::Chunk | CommandError::Foreign)) => {
                        self.end(self.refusal(error));
                    }
                    // Its octets are read all the same.
                    Ok(command @ Command::Bdat { .. }) => self.obey(command, false),
                    _ if matches!(self.state, State::Unwanted) => self.fault(replies::NO_SERVICE),
                    Ok(command) => self.obey(command, used < input.len()),
                    Err(error) => self.fault(self.refusal(error)),
                }
                self.stop_if_told();
                used
            }
        }
    }

    /// Does what a command says; `more` came behind it already.
    fn obey(&mut self, command: Command<'_>, more: bool) {
        let brings = match command {
            Command::Rcpt { .. } | Command::Quit => true,
            Command::Bdat { size_octets, .. } => size_octets > 0,
            _ => false,
        };
        if !matches!(command, Command::Rcpt { .. } | Command::Data) {
            self.in_vain = 0;
        }
        self.idle += u32::from(!brings);
        if self.idle > limits::SESSION_IDLE_COMMANDS {
            return self.end(replies::TOO_IDLE);
        }
        match command {
            Command::Ehlo(name) => self.greet(name, true),
            Command::Helo(name) => self.greet(name, false),
            Command::Mail {
                reverse_path,
                parameters,
            } => self.mail(reverse_path, parameters),
            Command::Rcpt {
                forward_path,
                request,
                is_ascii,
            } => self.rcpt(forward_path, request, is_ascii),
            Command::Data => self.data(),
            Command::Bdat { size_octets, last } => self.bdat(size_octets, last),
            Command::Rset => {
                self.reset();
                self.say(replies::FINE);
            }
            Command::Vrfy => self.say(replies::CANNOT_VRFY),
            Command::Expn => self.fault(replies::NOT_IMPLEMENTED),
            Command::Help => self.say(replies::HELP),
            Command::Noop => self.say(replies::FINE),
            Command::Quit => self.end(replies::BYE),
            Command::StartTls => self.start_tls(more),
            Command::Auth {
                mechanism,
                initial_response,
            } => self.auth(mechanism, initial_response),
        }
    }

    /// No transaction is open any more, and what came of its content is void.
    fn reset(&mut self) {
        if matches!(self.state, State::BetweenChunks(..)) {
            self.outputs.push_back(Output::DiscardContent);
        }
        self.state = State::Ready;
    }

    /// EHLO and HELO also end a transaction (RFC 5321 §4.1.4).
    fn greet(&mut self, name: &str, extended: bool) {
        self.reset();
        self.hello = Some(Hello {
            name: name.into(),
            extended,
        });
        self.outputs.push_back(if extended {
            Output::Extensions
        } else {
            Output::Reply(replies::HELO)
        });
    }

    fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) {
        let asks = parameters.ret.is_some() || parameters.envid.is_some();
        if parameters.auth && !self.parameters.needs_login || asks && !self.parameters.dsn {
            return self.fault(replies::BAD_PARAMETER);
        }
        if self.hello.is_none() {
            return self.fault(replies::HELLO_FIRST);
        }
        if let Some(reply) = self.lacks_login() {
            return self.fault(reply);
        }
        match self.state {
            State::Open(_) | State::BetweenChunks(..) => return self.fault(replies::NESTED_MAIL),
            State::Failed => return self.fault(replies::FAILED),
            _ => {}
        }
        if parameters
            .size_octets
            .is_some_and(|size| size > self.parameters.content_octets_max)
        {
            self.in_vain = self.parameters.recipients_max + 1;
            return self.say(replies::TOO_LARGE);
        }
        if self.transactions >= limits::SESSION_TRANSACTIONS {
            return self.end(replies::TOO_MANY_TRANSACTIONS);
        }
        self.transactions += 1;
        self.state = State::Opening(Transaction {
            reverse_path,
            parameters,
            recipients: Vec::new(),
        });
        self.outputs.push_back(Output::Ask(Question::Mail));
    }

    /// Whether the open transaction can take one more recipient.
    fn has_room(&self) -> bool {
        self.transaction()
            .is_some_and(|t| t.recipients.len() < self.parameters.recipients_max)
    }

    fn rcpt(&mut self, forward_path: ForwardPath, request: RecipientRequest, is_ascii: bool) {
        if !request.is_empty() && !self.parameters.dsn {
            return self.fault(replies::BAD_PARAMETER);
        }
        let State::Open(transaction) = &mut self.state else {
            return self.comes_too_early();
        };
        if !is_ascii && !transaction.parameters.smtputf8 {
            return self.fault(replies::RECIPIENT_BEYOND_ASCII);
        }
        if transaction.recipients.len() >= self.parameters.recipients_max {
            return self.say(replies::TOO_MANY_RECIPIENTS);
        }
        transaction.recipients.push(Asked {
            forward_path,
            request,
        });
        self.asked += 1;
        self.outputs.push_back(Output::Ask(Question::Recipient));
    }

    fn data(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Ready) {
            State::Open(transaction) if transaction.recipients.is_empty() => {
                // No error of its own: who pipelines sends DATA before it knows of the refusals (RFC 2920).
                self.say(replies::NO_RECIPIENTS);
                State::Open(transaction)
            }
            State::Open(transaction) => {
                self.outputs.push_back(Output::ContentBegins);
                self.say(replies::SEND_CONTENT);
                let most = self.parameters.content_octets_max;
                let incoming = Incoming::new(most, self.is_logged_in());
                State::Content(transaction, incoming)
            }
            state => {
                self.state = state;
                self.comes_too_early();
                self.in_vain = 0;
                return;
            }
        };
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;
