//! The server's side of a session: any octets as a client, cut in any way, with questions answered at once
//! or late. Beside it runs a second, simpler reading of the same octets ([`model`]); both must agree on
//! what is a command, where content ends and what of it is kept.
//!
//! The first octet says how the session ends and how patient its driver is, the next two how the octets are
//! cut; all the rest is what the client says.

mod login;
mod model;
mod scram;

use crate::octets::{Octets, pieces};
use login::Login;
use mail::{Class, Public, Reply, Status, Time, limits};
use model::Model;
use smtp::content::{Content, Progress, Stuffing};
use smtp::server::{
    Answer, Evidence, LoginAnswer, Output, Parameters, Question, Scram, Session, replies,
};
use smtp::{Command, CommandError};
use std::collections::VecDeque;

/// Small, so that short inputs reach the bounds.
const PARAMETERS: Parameters = Parameters {
    content_octets_max: 3000,
    recipients_max: 4,
    errors_max: 6,
    // What comes with STARTTLS and what behind it depends on how octets are cut, and must: transitions.txt has it.
    start_tls: false,
    needs_login: false,
    scram: Scram::Off,
    dsn: false,
};
/// Where users log in.
const SUBMISSION: Parameters = Parameters {
    needs_login: true,
    scram: Scram::Offered,
    dsn: true,
    ..PARAMETERS
};
/// Longest piece that a client's octets are cut into.
const PIECE_OCTETS: usize = 700;
/// To a client that is not wanted (RFC 5321 §3.1).
const UNWANTED: Reply = Reply::new(554, Status::new(Class::Permanent, 7, 1), "no service");
const START: Time = Time::from_secs(1000);

/// Any octets from a client.
pub fn run(data: &[u8]) {
    check(data, false);
}

/// A server that takes LF.CRLF for the end of content, as many did.
pub fn planted(data: &[u8]) {
    check(data, true);
}

fn check(data: &[u8], planted: bool) {
    let mut octets = Octets(data);
    let choices = Choices::new(octets.octet());
    let seed = u64::from(octets.number());
    let input = octets.0;
    for line in input.split(|b| *b == b'\n') {
        command(line.strip_suffix(b"\r").unwrap_or(line));
    }
    content(input, seed);
    chunks(input, seed);
    let watched = watched(input, choices, planted);
    for patience in [0, choices.patience] {
        let pieces = pieces(input, seed, PIECE_OCTETS);
        assert_eq!(talk(&pieces, choices, patience), watched, "cut elsewhere");
    }
}

/// What the driver does.
#[derive(Clone, Copy)]
struct Choices {
    refuse_connection: bool,
    stray_answer: bool,
    patience: usize,
    last: Last,
    door: Door,
}

/// Who comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Door {
    /// Strangers, in clear.
    #[default]
    Mx,
    /// Users, under TLS.
    Submission,
    /// Users, under TLS of which both ends have exported the same.
    Bound,
}

/// How the session ends when the client has said all.
#[derive(Clone, Copy)]
enum Last {
    Gone,
    Slow,
    Stop,
}

impl Choices {
    fn new(octet: u8) -> Self {
        Self {
            refuse_connection: octet & 0x0F == 0x0F,
            stray_answer: octet & 0x10 != 0,
            patience: usize::from(octet & 3),
            last: match octet >> 5 & 3 {
                0 => Last::Gone,
                1 => Last::Slow,
                _ => Last::Stop,
            },
            door: match (octet & 0x80 != 0, octet & 0x04 != 0) {
                (false, _) => Door::Mx,
                (true, false) => Door::Submission,
                (true, true) => Door::Bound,
            },
        }
    }
}

/// What came of a session.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    said: Vec<u8>,
    stored: Vec<Stored>,
    /// Who was asked about.
    logins: Vec<Login>,
    closed: bool,
}

/// A message that the session wanted to be kept.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    reverse_path: String,
    recipients: Vec<String>,
    eight_bit: bool,
    content: Vec<u8>,
    hello: Option<String>,
}

/// A session and its driver.
struct Driver {
    session: Session,
    choices: Choices,
    story: Story,
    content: Vec<u8>,
    asked: VecDeque<Question>,
    now: Time,
}

impl Driver {
    fn new(choices: Choices) -> Self {
        let mut session = match choices.door {
            Door::Mx => Session::new(PARAMETERS, START),
            Door::Submission | Door::Bound => Session::under_tls(SUBMISSION, START),
        };
        session.bind((choices.door == Door::Bound).then_some(scram::EXPORTED));
        Self {
            session,
            choices,
            story: Story::default(),
            content: Vec::new(),
            asked: VecDeque::new(),
            now: START,
        }
    }

    /// Gives octets; how many were used.
    fn receive(&mut self, octets: &[u8]) -> usize {
        let used = self.session.receive(octets, &mut self.content, self.now);
        assert!(used <= octets.len());
        used
    }

    /// Does what the session wants, but answers nothing.
    fn listen(&mut self) -> bool {
        let mut busy = false;
        while let Some(output) = self.session.poll() {
            busy = true;
            assert!(!self.story.closed, "{output:?} after the end");
            match output {
                Output::Reply(reply) => reply.write(Public::Token(7), &mut self.story.said),
                Output::Extensions => self.session.offer("mx.test").write(&mut self.story.said),
                Output::Challenge => self.session.write_challenge(&mut self.story.said),
                Output::Ask(question) => self.asked.push_back(question),
                Output::ContentBegins => {
                    // Its recipients were decided on, or it is over already.
                    let transaction = self.session.transaction();
                    let all = transaction.is_none_or(|t| {
                        t.recipients
                            .iter()
                            .all(|asked| judge(&asked.forward_path.to_string()) == Answer::Accept)
                    });
                    assert!(all && self.session.asked_recipient().is_none());
                }
                Output::DiscardContent => self.content.clear(),
                Output::StartTls => unreachable!("it was not offered"),
                Output::Close => {
                    self.story.closed = true;
                    // Nobody waits for these answers any more.
                    self.asked.clear();
                }
            }
        }
        assert_eq!(self.story.closed, self.session.is_closed());
        busy
    }

    /// Answers the oldest question, as what is asked for says it.
    fn answer(&mut self) -> bool {
        let Some(question) = self.asked.pop_front() else {
            return false;
        };
        let answer = match question {
            Question::Connect if self.choices.refuse_connection => Answer::Refuse(UNWANTED),
            Question::Connect => Answer::Accept,
            Question::Mail => {
                assert_eq!(self.session.is_logged_in(), self.choices.door != Door::Mx);
                let transaction = self.session.transaction().expect("it is being opened");
                judge(&transaction.reverse_path.to_string())
            }
            Question::Recipient => {
                let path = self.session.asked_recipient().expect("one is asked for");
                judge(&path.to_string())
            }
            Question::Commit => self.commit(),
            Question::StartTls => unreachable!("it was not offered"),
            Question::Login => {
                let answer = self.log_in();
                self.session.answer_login(answer, self.now);
                self.stray();
                return true;
            }
        };
        self.session.answer(answer, self.now);
        self.stray();
        true
    }

    fn stray(&mut self) {
        if self.choices.stray_answer && self.asked.is_empty() {
            // Nobody asked: nothing may come of it.
            self.session.answer(Answer::Accept, self.now);
        }
    }

    fn log_in(&mut self) -> LoginAnswer {
        assert!(self.choices.door != Door::Mx && !self.session.is_logged_in());
        let credentials = self.session.take_credentials().expect("somebody asks");
        assert!(self.session.take_credentials().is_none());
        let answer = judge(&credentials.user);
        let (said, good) = match credentials.evidence {
            Evidence::Password(password) => (password.to_vec(), LoginAnswer::Accept),
            Evidence::First(bare) => {
                let challenge = LoginAnswer::Challenge(scram::challenge());
                (bare.as_bytes().to_vec(), challenge)
            }
            Evidence::Proof(proof) => {
                let said = [proof.without_proof.as_bytes(), &proof.code].concat();
                (said, LoginAnswer::Proved(scram::SIGNATURE))
            }
        };
        self.story.logins.push((credentials.user.into(), said));
        match answer {
            Answer::Accept => good,
            Answer::Refuse(reply) if reply == replies::TRY_LATER => {
                LoginAnswer::Refuse(replies::LOGIN_LATER)
            }
            Answer::Refuse(_) => LoginAnswer::Refuse(replies::BAD_LOGIN),
        }
    }

    fn commit(&mut self) -> Answer {
        let transaction = self.session.transaction().expect("its content is here");
        let recipients: Vec<String> = transaction
            .recipients
            .iter()
            .map(|asked| asked.forward_path.to_string())
            .collect();
        assert!((1..=PARAMETERS.recipients_max).contains(&recipients.len()));
        assert!(recipients.iter().all(|r| judge(r) == Answer::Accept));
        let ascii = recipients.iter().all(|path| path.is_ascii());
        let ascii = ascii && transaction.reverse_path.is_ascii();
        assert!(ascii || transaction.parameters.smtputf8);
        let content = std::mem::take(&mut self.content);
        assert!(content.len() as u64 <= PARAMETERS.content_octets_max);
        let full = is_full(&content);
        self.story.stored.push(Stored {
            reverse_path: transaction.reverse_path.to_string(),
            recipients,
            eight_bit: self.session.content_is_eight_bit(),
            content,
            hello: self.session.hello().map(|hello| hello.name.to_string()),
        });
        if full {
            Answer::Refuse(replies::NO_ROOM)
        } else {
            Answer::Accept
        }
    }

    /// Listens and answers until there is no more to do.
    fn settle(&mut self) -> bool {
        let mut busy = false;
        while self.listen() || self.answer() {
            busy = true;
        }
        busy
    }

    fn end(mut self) -> Story {
        self.settle();
        match self.choices.last {
            Last::Gone => {}
            Last::Slow => {
                let wake_at = self.session.wake_at();
                self.session.wake(START);
                assert!(!self.listen(), "woken before its time");
                if wake_at != Time::NEVER {
                    self.now = wake_at;
                    self.session.wake(self.now);
                    assert!(self.session.is_closed());
                }
            }
            Last::Stop => self.session.stop(self.now),
        }
        self.settle();
        if self.story.closed {
            assert_eq!(self.receive(b"NOOP\r\n"), 6);
            assert!(!self.settle(), "something after the end");
        }
        self.story
    }
}

/// A content that begins so finds no room.
fn is_full(content: &[u8]) -> bool {
    content.starts_with(b"full")
}

/// A path, or a user's name, that begins with `no` is nobody's, one that begins with `later` comes too early.
fn judge(path: &str) -> Answer {
    if path.starts_with("no") {
        Answer::Refuse(replies::RELAYING_DENIED)
    } else if path.starts_with("later") {
        Answer::Refuse(replies::TRY_LATER)
    } else {
        Answer::Accept
    }
}

/// Runs a session in these pieces; questions wait for so many pieces.
fn talk(pieces: &[&[u8]], choices: Choices, patience: usize) -> Story {
    let mut driver = Driver::new(choices);
    let mut pending = Vec::new();
    let mut waited = 0;
    for piece in std::iter::once(&&b""[..]).chain(pieces) {
        pending.extend_from_slice(piece);
        loop {
            let used = driver.receive(&pending);
            pending.drain(..used);
            let heard = driver.listen();
            let answered = waited >= patience && driver.answer();
            if used == 0 && !heard && !answered {
                break;
            }
            if answered && driver.asked.is_empty() {
                waited = 0;
            }
        }
        waited += 1;
    }
    // The last questions are answered, and what waited for them is read.
    while driver.settle() {
        let used = driver.receive(&pending);
        pending.drain(..used);
    }
    driver.end()
}

/// Runs a session an octet at a time, and the model beside it.
fn watched(input: &[u8], choices: Choices, planted: bool) -> Story {
    let mut driver = Driver::new(choices);
    let mut model = Model::new(choices.door);
    driver.settle();
    let mut pending = Vec::new();
    for octet in input {
        pending.push(*octet);
        loop {
            let in_content = driver.session.wants_content();
            let in_chunk = model.in_chunk();
            assert!(
                in_content || !in_chunk || driver.story.closed,
                "out of step"
            );
            let stored = driver.story.stored.len();
            let used = driver.receive(&pending);
            model.read(&pending[..used], in_content);
            pending.drain(..used);
            if planted && in_content && !in_chunk && model.content().ends_with(b"\n.\r\n") {
                driver.receive(b"\r\n.\r\n");
            }
            let heard = driver.settle();
            let kept = driver.story.stored.get(stored);
            let kept = kept.map(|s| (&s.content[..], s.eight_bit));
            if in_content && !in_chunk {
                let ended = !driver.session.wants_content();
                model.agree_on_content(ended, kept);
            } else if let Some((kept, eight_bit)) = kept {
                model.agree_on_chunks(kept, eight_bit);
            }
            model.agree(&driver.story.said, driver.story.closed);
            model.agree_on_logins(&driver.story.logins, driver.story.closed);
            if used == 0 && !heard {
                break;
            }
        }
    }
    driver.end()
}

/// One line as a command: what parses, prints and parses again.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|octet| (b' '..=b'~').contains(&octet))
}

fn command(line: &[u8]) {
    let names_mailboxes = line.get(..5).is_some_and(|verb| {
        let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
        is(b"MAIL ") || is(b"RCPT ") || is(b"VRFY ") || is(b"EXPN ")
    });
    let beyond = names_mailboxes && std::str::from_utf8(line).is_ok();
    let control = line
        .iter()
        .any(|b| !(b' '..=b'~').contains(b) && *b != b'\t' && !(beyond && *b > 127));
    match Command::parse(line) {
        Err(why) => {
            let ends_the_session = matches!(why, CommandError::Chunk | CommandError::Foreign);
            assert!(!control || ends_the_session || why == CommandError::Octets);
        }
        Ok(_) if control => panic!("a control character was taken"),
        Ok(Command::Mail {
            reverse_path,
            parameters,
        }) => {
            assert!(line.is_ascii() || parameters.smtputf8);
            let mut text = format!("MAIL FROM:<{reverse_path}>");
            if parameters.smtputf8 {
                text.push_str(" smtpUTF8");
            }
            if let Some(size) = parameters.size_octets {
                text.push_str(" SIZE=");
                text.push_str(&size.to_string());
            }
            if let Some(ret) = parameters.ret {
                text.push_str(" RET=");
                text.push_str(ret.word());
            }
            if let Some(envid) = &parameters.envid {
                text.push_str(" ENVID=");
                text.push_str(envid.as_str());
                assert!(is_printable(&envid.decoded()));
            }
            match Command::parse(text.as_bytes()) {
                Ok(Command::Mail {
                    reverse_path: again,
                    parameters: said,
                }) => {
                    assert_eq!(again, reverse_path);
                    assert_eq!(said.size_octets, parameters.size_octets);
                    assert_eq!(said.smtputf8, parameters.smtputf8);
                    assert_eq!((said.ret, said.envid), (parameters.ret, parameters.envid));
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        Ok(Command::Rcpt {
            forward_path,
            request,
            is_ascii,
        }) => {
            assert_eq!(is_ascii, line.is_ascii());
            let mut text = format!("RCPT TO:<{forward_path}>");
            if let Some(notify) = request.notify {
                text.push_str(" NOTIFY=");
                text.push_str(&notify.to_string());
            }
            if let Some(original) = &request.original {
                text.push_str(" ORCPT=");
                text.push_str(original.as_str());
                assert!(is_printable(original.as_str()) && is_printable(&original.decoded().1));
            }
            let again = Command::parse(text.as_bytes());
            assert_eq!(
                again,
                Ok(Command::Rcpt {
                    forward_path,
                    request,
                    is_ascii: text.is_ascii(),
                })
            );
        }
        Ok(Command::Bdat { size_octets, last }) => {
            let text = format!("BDAT {size_octets}{}", if last { " LAST" } else { "" });
            let again = Command::parse(text.as_bytes());
            assert_eq!(again, Ok(Command::Bdat { size_octets, last }));
        }
        Ok(Command::Auth {
            mechanism: Some(mechanism),
            initial_response,
        }) => {
            let response = initial_response.map_or(String::new(), |r| format!(" {}", r.0));
            let text = format!("auth {}{response}", mechanism.name());
            let again = Command::parse(text.as_bytes());
            assert_eq!(again, Command::parse(line));
        }
        Ok(Command::Ehlo(name) | Command::Helo(name)) => {
            // It will stand in our Received field.
            assert!(
                name.len() <= limits::DOMAIN_OCTETS + 2
                    && name.bytes().all(|b| b.is_ascii_graphic()),
                "{name}"
            );
        }
        Ok(_) => {}
    }
}

/// A content stuffed in one way of cutting and read in another is the same, and ends where it ends.
fn content(octets: &[u8], seed: u64) {
    let mut wire = Vec::new();
    let mut stuffing = Stuffing::default();
    for piece in pieces(octets, seed, 40) {
        stuffing.write(piece, &mut wire);
    }
    stuffing.end(&mut wire);
    let (mut reader, mut read, mut ended) = (Content::new(u64::MAX), Vec::new(), None);
    let mut at = 0;
    for piece in pieces(&wire, !seed, 40) {
        if let Progress::Ended(used) = reader.read(piece, &mut read) {
            ended = Some(at + used);
            break;
        }
        at += piece.len();
    }
    assert_eq!(ended, Some(wire.len()), "it ended elsewhere");
    assert_eq!(reader.fault().is_none(), model::is_sound(octets));
    if reader.fault().is_none() {
        let end: &[u8] = if octets.is_empty() || octets.ends_with(b"\r\n") {
            b""
        } else {
            b"\r\n"
        };
        assert_eq!(read, [octets, end].concat());
        assert_eq!(reader.octets(), read.len() as u64);
        assert_eq!(reader.eight_bit(), !octets.is_ascii());
    }
}

/// A content in chunks is the same however it is cut into them.
fn chunks(octets: &[u8], seed: u64) {
    let (mut reader, mut read) = (Content::new(u64::MAX), Vec::new());
    for chunk in pieces(octets, seed, 40) {
        reader.read_chunk(chunk, &mut read);
    }
    reader.end(&mut read);
    assert_eq!(reader.fault().is_none(), model::is_sound_in_chunks(octets));
    if reader.fault().is_none() {
        assert_eq!(read, model::with_line_ends(octets));
        assert_eq!(reader.octets(), read.len() as u64);
        assert_eq!(reader.eight_bit(), !octets.is_ascii());
        assert!(model::is_sound(&read));
    }
}
