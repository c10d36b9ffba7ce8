//! The server's side of an SMTP session, RFC 5321 §3 and §4.1.
//!
//! Octets go in with [`Session::receive`], answers with [`Session::answer`], the passing of time with
//! [`Session::wake`]; what is to be done comes out of [`Session::poll`], in order. What is not the
//! session's to decide leaves it as a [`Question`]: `250` after content is the answer to
//! [`Question::Commit`], and there is no other way to say it.

mod ending;
mod hops;
mod lines;
pub mod replies;

use crate::command::{Command, CommandError, MailParameters};
use crate::content::{Content, Fault, Progress};
use crate::extension::Offer;
use hops::Hops;
use lines::{Line, Lines};
use mail::{Class, ForwardPath, Reply, ReversePath, Time, limits};
use std::collections::VecDeque;

/// What a session is told at its start; the same for all sessions of a listener.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Largest content, in octets; announced by SIZE.
    pub content_octets_max: u64,
    /// Most recipients of one transaction.
    pub recipients_max: usize,
    /// Failed commands without mail taken between them before the session is ended.
    pub errors_max: u32,
    /// Whether TLS can be had.
    pub start_tls: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            content_octets_max: limits::CONTENT_OCTETS,
            recipients_max: limits::RECIPIENTS,
            errors_max: limits::SESSION_ERRORS,
            start_tls: false,
        }
    }
}

/// How the client greeted us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it calls itself; not to be believed.
    pub name: Box<str>,
    /// Whether it said EHLO.
    pub extended: bool,
}

/// One mail transaction, RFC 5321 §3.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Whom failures go to.
    pub reverse_path: ReversePath,
    /// What the client said of the content.
    pub parameters: MailParameters,
    /// Recipients asked for so far; those refused are gone once the answer came.
    pub recipients: Vec<ForwardPath>,
}

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
    /// Get it answered.
    Ask(Question),
    /// What was put into the content buffer since DATA is void.
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
    Content(Transaction, Content, Hops),
    /// Content is with the spool.
    Committing(Transaction),
    /// STARTTLS was given: until hands are shaken nothing is read.
    Securing,
    /// Over.
    Closed,
}

/// One session with one client.
#[derive(Debug)]
pub struct Session {
    parameters: Parameters,
    state: State,
    hello: Option<Hello>,
    /// Whether the connection is under TLS.
    secure: bool,
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
            secure: false,
            lines: Lines::default(),
            outputs: VecDeque::from([Output::Ask(Question::Connect)]),
            asked: 0,
            eight_bit: false,
            errors: 0,
            idle: 0,
            transactions: 0,
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
            State::Opening(t) | State::Open(t) | State::Content(t, ..) | State::Committing(t) => {
                Some(t)
            }
            State::Connecting
            | State::Unwanted
            | State::Ready
            | State::Securing
            | State::Closed => None,
        }
    }

    /// The forward-path of the oldest [`Question::Recipient`] that is not answered.
    pub fn asked_recipient(&self) -> Option<&ForwardPath> {
        let recipients = &self.transaction()?.recipients;
        recipients.get(recipients.len().checked_sub(self.asked)?)
    }

    /// Whether the content that was last read, or is being read, has octets above 127.
    pub fn content_is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// How the client greeted us, once it has.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Whether what is said now is under TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// What is said to EHLO now, under this name.
    pub fn offer<'a>(&self, hostname: &'a str) -> Offer<'a> {
        Offer {
            hostname,
            content_octets_max: self.parameters.content_octets_max,
            start_tls: self.parameters.start_tls && !self.secure,
        }
    }

    /// Takes note that hands were shaken after [`Output::StartTls`]: all that the client said before is forgotten, for
    /// anybody may have said it (RFC 3207 §4.2).
    pub fn secured(&mut self, now: Time) {
        if matches!(self.state, State::Securing) {
            self.state = State::Ready;
            self.hello = None;
            self.secure = true;
            self.wake_at = now + self.patience();
            self.stop_if_told();
        }
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether octets between 354 and CRLF.CRLF are what comes next.
    pub fn wants_content(&self) -> bool {
        matches!(self.state, State::Content(..))
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
                State::Unwanted | State::Ready | State::Open(_) => self.read_line(rest),
                State::Closed => rest.len(),
                State::Connecting | State::Opening(_) | State::Committing(_) | State::Securing => 0,
            };
            if step == 0 {
                break;
            }
            used += step;
            self.wake_at = now + self.patience();
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
            (State::Opening(_) | State::Committing(_) | State::Securing, Answer::Refuse(reply)) => {
                (State::Ready, reply)
            }
            // An answer that nobody asked for changes nothing.
            (state, _) => {
                self.state = state;
                return;
            }
        };
        self.state = next;
        if matches!(reply.code(), 421 | 521) {
            // These codes say that the channel closes (RFC 5321 §3.8, RFC 7504 §3).
            return self.end(reply);
        }
        if reply.class() == Class::Permanent && !matches!(self.state, State::Unwanted) {
            self.fault(reply);
        } else {
            self.say(reply);
        }
        self.stop_if_told();
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

    fn read_content(&mut self, wire: &[u8], out: &mut Vec<u8>) -> usize {
        let State::Content(_, content, hops) = &mut self.state else {
            return 0;
        };
        let before = out.len();
        let progress = content.read(wire, out);
        hops.read(&out[before..]);
        self.eight_bit = content.eight_bit();
        let Progress::Ended(used) = progress else {
            return wire.len();
        };
        let refusal = match content.fault() {
            Some(Fault::TooLarge) => Some(replies::TOO_LARGE),
            Some(Fault::BareCr | Fault::BareLf | Fault::Nul) => Some(replies::BAD_CONTENT),
            None if hops.count() > limits::RECEIVED_FIELDS => Some(replies::LOOP),
            None => None,
        };
        match (refusal, std::mem::replace(&mut self.state, State::Ready)) {
            (None, State::Content(transaction, ..)) => {
                self.state = State::Committing(transaction);
                self.outputs.push_back(Output::Ask(Question::Commit));
            }
            (refusal, _) => {
                self.outputs.push_back(Output::DiscardContent);
                self.fault(refusal.unwrap_or(replies::NOT_STORED));
                self.stop_if_told();
            }
        }
        used
    }

    fn read_line(&mut self, input: &[u8]) -> usize {
        match self.lines.next(input) {
            Line::Partial => 0,
            // While recipients stand unanswered the reply must wait its turn, and so must the line.
            Line::TooLong(_) | Line::EndOfTooLong(_) if self.asked > 0 => {
                self.lines = Lines::default();
                0
            }
            Line::TooLong(used) => used,
            Line::EndOfTooLong(used) => {
                self.fault(replies::LINE_TOO_LONG);
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
                    _ if matches!(self.state, State::Unwanted) => self.fault(replies::NO_SERVICE),
                    Ok(command) => self.obey(command, used < input.len()),
                    Err(error) => self.fault(refusal(error)),
                }
                used
            }
        }
    }

    /// Does what a command says; `more` came behind it already.
    fn obey(&mut self, command: Command<'_>, more: bool) {
        self.idle += u32::from(!matches!(command, Command::Rcpt { .. } | Command::Quit));
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
            Command::Rcpt { forward_path } => self.rcpt(forward_path),
            Command::Data => self.data(),
            Command::Rset => {
                self.state = State::Ready;
                self.say(replies::FINE);
            }
            Command::Vrfy => self.say(replies::CANNOT_VRFY),
            Command::Expn => self.fault(replies::NOT_IMPLEMENTED),
            Command::Help => self.say(replies::HELP),
            Command::Noop => self.say(replies::FINE),
            Command::Quit => self.end(replies::BYE),
            Command::StartTls => self.start_tls(more),
        }
    }

    /// EHLO and HELO also end a transaction (RFC 5321 §4.1.4).
    fn greet(&mut self, name: &str, extended: bool) {
        self.state = State::Ready;
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

    /// What stands behind it was not said under TLS, and would be
    /// taken as if it had been (RFC 3207 §6).
    fn start_tls(&mut self, more: bool) {
        if !self.parameters.start_tls {
            return self.fault(replies::NOT_IMPLEMENTED);
        }
        if self.secure {
            return self.fault(replies::TLS_ALREADY);
        }
        if self.hello.is_none() {
            return self.fault(replies::HELLO_FIRST);
        }
        if !matches!(self.state, State::Ready) {
            return self.fault(replies::NESTED_MAIL);
        }
        if more {
            return self.end(replies::NOT_THE_LAST);
        }
        self.state = State::Securing;
        self.outputs.push_back(Output::Ask(Question::StartTls));
    }

    fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) {
        if self.hello.is_none() {
            return self.fault(replies::HELLO_FIRST);
        }
        if matches!(self.state, State::Open(_)) {
            return self.fault(replies::NESTED_MAIL);
        }
        if parameters
            .size_octets
            .is_some_and(|size| size > self.parameters.content_octets_max)
        {
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

    fn rcpt(&mut self, forward_path: ForwardPath) {
        let State::Open(transaction) = &mut self.state else {
            return self.fault(replies::MAIL_FIRST);
        };
        if transaction.recipients.len() >= self.parameters.recipients_max {
            return self.say(replies::TOO_MANY_RECIPIENTS);
        }
        transaction.recipients.push(forward_path);
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
                self.say(replies::SEND_CONTENT);
                let content = Content::new(self.parameters.content_octets_max);
                State::Content(transaction, content, Hops::default())
            }
            state => {
                self.state = state;
                return self.fault(replies::MAIL_FIRST);
            }
        };
    }
}

/// What a malformed command is told.
fn refusal(error: CommandError) -> Reply {
    match error {
        CommandError::Unrecognized => replies::UNRECOGNIZED,
        CommandError::Octets => replies::BAD_OCTETS,
        CommandError::Argument | CommandError::Parameter => replies::BAD_ARGUMENT,
        CommandError::ReversePath(_) => replies::BAD_REVERSE_PATH,
        CommandError::ForwardPath(_) => replies::BAD_FORWARD_PATH,
        CommandError::UnknownParameter => replies::BAD_PARAMETER,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;
