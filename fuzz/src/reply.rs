//! The client's side of a session: any octets as a next hop, over SMTP and LMTP, cut in any way. A second
//! reading of what was said ([`model`]) gives the outcome that each recipient must have; there is exactly
//! one, and `Delivered` only with a 2xx to RCPT and to the content.
//!
//! The first three octets say what the session is like; all the rest is what the server says.

mod model;

use crate::octets::{Octets, pieces};
use mail::limits::{COMMAND_LINE_OCTETS, REPLY_LINE_OCTETS};
use mail::{Cause, Detail, Mailbox, Outcome, RemoteReply, ReversePath, Time};
use smtp::Command;
use smtp::client::{Answer, Dialect, Message, Output, Parameters, Security, Session};

const START: Time = Time::from_secs(1000);
/// Whom messages are for, in turn.
const MAILBOXES: [&str; 5] = [
    "ann@example.org",
    "\"b >\\\"o\\\\b\"@example.org",
    "eve@[192.0.2.1]",
    "x@[IPv6:2001:db8::1]",
    "very.long.name+detail@a.b.c.d.example",
];

/// One in their midst that not every server can be told of.
const BEYOND_ASCII: &str = "j\u{f6}rg@example.org";
/// Its place, of [`MAILBOXES`].
const ITS_PLACE: usize = 1;

/// Any octets from a next hop.
pub fn run(data: &[u8]) {
    check(data, &|outcome| outcome);
}

/// A client that takes 450 for a yes.
pub fn planted(data: &[u8]) {
    check(data, &|outcome| match outcome {
        Outcome::Deferred(Cause::Reply(reply)) if reply.code == 450 => Outcome::Delivered,
        other => other,
    });
}

type Mistake<'a> = &'a dyn Fn(Outcome) -> Outcome;

/// What the session is like.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
struct Choices {
    dialect: Dialect,
    security: Security,
    /// A login is needed before the first message.
    login: bool,
    end: End,
    eight_bit: bool,
    /// All that the server says comes at once, before it was asked.
    at_once: bool,
    messages: usize,
    recipients: usize,
    octets: u64,
    /// One of the mailboxes is beyond ASCII; with `eight_bit` the message's sender has said so.
    beyond_ascii: bool,
    /// Replies that come while content is still being sent.
    early: usize,
}

/// What happens when the server has said all.
#[derive(Clone, Copy, Debug)]
enum End {
    Lost,
    Silent,
}

impl Choices {
    fn new(octets: &mut Octets<'_>) -> Self {
        let (first, second) = (octets.octet(), octets.octet());
        Self {
            security: Security::AsItIs,
            login: false,
            dialect: if first & 1 == 0 {
                Dialect::Smtp
            } else {
                Dialect::Lmtp
            },
            end: if first & 2 == 0 {
                End::Lost
            } else {
                End::Silent
            },
            eight_bit: first & 4 != 0,
            at_once: first & 8 != 0,
            messages: 1 + usize::from(first >> 4 & 3),
            early: usize::from(first >> 6),
            recipients: 1 + usize::from(second & 7),
            octets: u64::from(second >> 3) * 8,
            beyond_ascii: second >> 3 == 31,
        }
    }
}

/// What came of a session.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    /// Lines that were sent, without CRLF.
    sent: Vec<String>,
    /// Octets that were used of what the server said.
    used: usize,
    /// Outcomes of each message that was given to the session.
    outcomes: Vec<Vec<Outcome>>,
    given: usize,
    unusable: bool,
    closed: bool,
}

fn check(data: &[u8], mistake: Mistake<'_>) {
    let mut octets = Octets(data);
    let mut choices = Choices::new(&mut octets);
    let seed = u64::from(octets.octet());
    choices.security = match seed >> 6 {
        2 => Security::Offered,
        3 => Security::Demanded,
        _ => Security::AsItIs,
    };
    choices.login = seed >> 4 & 3 == 3;
    let server = octets.0;
    let agree = |story: &Story| {
        if choices.login {
            logged_in(story, server);
        } else {
            model::agree(story, server, choices);
        }
    };
    if choices.at_once {
        agree(&talk(&[server], choices, mistake));
        return;
    }
    // A server that speaks when it is asked is read line by line; within a line the cut is anywhere.
    let lines: Vec<&[u8]> = server.split_inclusive(|b| *b == b'\n').collect();
    let story = talk(&lines, choices, mistake);
    agree(&story);
    let cut: Vec<&[u8]> = lines
        .iter()
        .flat_map(|line| pieces(line, seed, 9))
        .collect();
    assert_eq!(talk(&cut, choices, mistake), story, "cut elsewhere");
}

/// What the driver gives for each answer of the login: no two alike, and none a command.
const ANSWERS: [(Answer, &str); 3] = [
    (Answer::Plain, "AHBsYWlu"),
    (Answer::User, "dXNlcg=="),
    (Answer::Password, "cGFzcw=="),
];

/// A login: nothing of a message before the server has said yes to the last line of it, what it needs only when it was
/// offered and asked for, and each once.
fn logged_in(story: &Story, server: &[u8]) {
    let place = |wanted: &str| story.sent.iter().position(|line| line.starts_with(wanted));
    let plain = place("AUTH PLAIN");
    let [_, (_, user), (_, password)] = ANSWERS;
    if let Some(mail) = place("MAIL") {
        let last = plain.or(place(password)).expect("a login");
        assert!(last < mail, "{story:?}");
        let said_yes = server
            .split(|b| *b == b'\n')
            .any(|line| line.starts_with(b"2"));
        assert!(said_yes, "{story:?}");
    }
    if let Some(place_of_it) = place(password) {
        assert!(plain.is_none() && place(user) < Some(place_of_it));
    }
    let offered = server
        .windows(4)
        .any(|word| word.eq_ignore_ascii_case(b"AUTH"));
    assert!(place("AUTH").is_none() || offered, "{story:?}");
    for (_, words) in ANSWERS {
        let count = story
            .sent
            .iter()
            .filter(|line| line.ends_with(words))
            .count();
        assert!(count <= 1, "{story:?}");
    }
}

fn message(choices: Choices) -> Message {
    let mut mailboxes = MAILBOXES;
    if choices.beyond_ascii {
        mailboxes[ITS_PLACE] = BEYOND_ASCII;
    }
    let forward_paths = mailboxes.iter().cycle().take(choices.recipients);
    Message {
        reverse_path: ReversePath::parse("\"a b\"@example.net").expect("a constant"),
        forward_paths: forward_paths
            .map(|text| Mailbox::parse(text).expect("a constant"))
            .collect(),
        octets: choices.octets,
        eight_bit: choices.eight_bit,
        smtputf8: choices.beyond_ascii && choices.eight_bit,
        dsn: None,
    }
}

/// A session and its driver.
struct Driver<'a> {
    session: Session,
    choices: Choices,
    story: Story,
    /// Replies still to come before all content is with the kernel.
    sending: Option<usize>,
    mistake: Mistake<'a>,
    now: Time,
}

/// Runs a session against a server that says these pieces.
fn talk(pieces: &[&[u8]], choices: Choices, mistake: Mistake<'_>) -> Story {
    let parameters = Parameters {
        hostname: "me.test".into(),
        dialect: choices.dialect,
        security: choices.security,
        login: choices.login,
    };
    let mut driver = Driver {
        session: Session::new(parameters, START),
        choices,
        story: Story::default(),
        sending: None,
        mistake,
        now: START,
    };
    let mut pending: Vec<u8> = Vec::new();
    driver.listen();
    for piece in pieces {
        pending.extend_from_slice(piece);
        loop {
            let used = driver.session.receive(&pending, driver.now);
            let lines = pending[..used].split(|b| *b == b'\n').count() - 1;
            pending.drain(..used);
            driver.story.used += used;
            if !driver.listen() && used == 0 {
                break;
            }
            driver.send_content(lines);
        }
        assert!(driver.story.closed || pending.len() < REPLY_LINE_OCTETS);
    }
    driver.end()
}

impl Driver<'_> {
    /// Does what the session wants; whether it wanted anything.
    fn listen(&mut self) -> bool {
        let mut busy = false;
        while let Some(output) = self.session.poll() {
            busy = true;
            assert!(!self.story.closed, "{output:?} after the end");
            // What was written before this was asked for goes out before it.
            self.flush();
            match output {
                Output::Content | Output::SevenBitContent | Output::EmptyContent => {
                    self.sending = Some(self.choices.early);
                    self.send_content(0);
                }
                Output::Outcomes(outcomes) => {
                    let outcomes = outcomes.into_iter().map(|ending| {
                        assert!(ending.detail.as_str().len() <= Detail::OCTETS);
                        (self.mistake)(ending.outcome)
                    });
                    let outcomes = outcomes.collect();
                    self.story.outcomes.push(outcomes);
                    assert_eq!(self.story.outcomes.len(), self.story.given);
                }
                Output::Idle => self.go_on(),
                // A handshake of which the server says nothing here.
                Output::StartTls => self.session.secured(self.now),
                Output::Login(answer) => {
                    let octets: &[u8] = match answer {
                        Answer::Plain => b"\0plain",
                        Answer::User => b"user",
                        Answer::Password => b"pass",
                    };
                    self.session.answer(Some(octets), self.now);
                }
                Output::Unusable(cause) => {
                    assert!(!self.story.unusable && self.story.given == 0);
                    harmless(&cause);
                    self.story.unusable = true;
                }
                Output::Close => self.story.closed = true,
            }
        }
        self.flush();
        assert_eq!(self.story.closed, self.session.is_closed());
        busy
    }

    fn go_on(&mut self) {
        assert_eq!(self.story.outcomes.len(), self.story.given);
        if !self.session.is_idle() {
            // It was closed meanwhile.
            return;
        }
        if self.story.given < self.choices.messages {
            self.story.given += 1;
            self.session.send(message(self.choices), self.now);
        } else {
            self.session.quit(self.now);
        }
    }

    /// So many more lines came while content was on its way.
    fn send_content(&mut self, lines: usize) {
        let Some(left) = self.sending else { return };
        self.sending = left.checked_sub(lines);
        if self.sending.is_some_and(|left| left > 0) {
            self.session.content_moves(self.now);
        } else {
            self.sending = None;
            self.session.content_sent(self.now);
        }
    }

    /// What is on the wire: commands that a server understands.
    fn flush(&mut self) {
        let wire = std::mem::take(self.session.wire());
        for line in wire.split_inclusive(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\r\n").expect("lines end in CRLF");
            assert!(line.len() + 2 <= COMMAND_LINE_OCTETS);
            let text = String::from_utf8(line.to_vec()).expect("commands are UTF-8");
            let smtp = text.replacen("LHLO", "EHLO", 1);
            let of_the_login =
                smtp == "AUTH LOGIN" || ANSWERS.iter().any(|(_, said)| smtp.ends_with(said));
            assert!(
                of_the_login || Command::parse(smtp.as_bytes()).is_ok(),
                "{text:?}"
            );
            self.story.sent.push(text);
        }
    }

    fn end(mut self) -> Story {
        match self.choices.end {
            End::Lost => self.session.lost(),
            End::Silent => {
                let wake_at = self.session.wake_at();
                if wake_at > START {
                    self.session.wake(START);
                    assert!(!self.listen(), "woken before its time");
                }
                // Who has nothing to say any more gets a word, and then silence is the end.
                for _ in 0..2 {
                    self.now = self.session.wake_at();
                    self.session.wake(self.now);
                    self.listen();
                }
            }
        }
        self.listen();
        assert!(self.story.closed);
        assert_eq!(self.session.wake_at(), Time::NEVER);
        assert_eq!(self.story.outcomes.len(), self.story.given);
        self.session.lost();
        self.session.quit(self.now);
        assert!(!self.listen(), "something after the end");
        assert_eq!(self.session.receive(b"250 x\r\n", self.now), 0);
        self.story
    }
}

/// What is kept of a server's words is printable and bounded.
fn harmless(cause: &Cause) {
    assert!(cause.status().to_string().len() <= 9);
    if let Cause::Reply(reply) = cause {
        assert!((200..600).contains(&reply.code));
        assert!(reply.text.len() <= RemoteReply::TEXT_OCTETS);
        assert!(reply.text.bytes().all(|b| (b' '..=b'~').contains(&b)));
    }
}
