//! Every state meets everything that may come: the table `transitions.txt` is under review, and every reply in it is
//! one that RFC 5321 §4.3.2 knows for the command.

use super::*;
use crate::table::{self, Row};

const NOW: Time = Time::from_secs(1000);
const RECIPIENTS_MAX: usize = 2;
const ERRORS_MAX: u32 = 3;

const HEAD: &str = "\
What the server's side of a session does in each state with each thing that may come.
Below each state: what it says or asks, the state then where it is another, and what leads to it.
`waits`: the line stays unread until the open question is answered. `!`: counts as an error; the last one that
is allowed ends the session. Recipients: accepted so far, of at most two here.";

/// How each state is reached.
type Reach = (&'static str, fn(&mut Desk));

const STATES: [Reach; 17] = [
    ("connecting", |_| {}),
    ("unwanted", |d| d.answer(Answer::Refuse(NEVER))),
    ("greeted", Desk::greeted),
    ("ready (HELO)", |d| {
        d.greeted();
        d.hear("HELO c.test");
    }),
    ("ready (EHLO)", Desk::ready),
    ("opening", |d| {
        d.ready();
        d.hear("MAIL FROM:<a@b.c>");
    }),
    ("open, 0 recipients", Desk::open),
    ("open, 0 recipients, 1 asked", |d| {
        d.open();
        d.hear("RCPT TO:<x@y.z>");
    }),
    ("open, 1 recipient", |d| d.recipients(1)),
    ("open, 1 recipient, 1 asked", |d| {
        d.recipients(1);
        d.hear("RCPT TO:<x@y.z>");
    }),
    ("open, 2 recipients", |d| d.recipients(2)),
    ("content", Desk::content),
    ("committing", |d| {
        d.content();
        d.hear_raw(b".\r\n");
    }),
    ("securing", |d| {
        d.ready();
        d.hear("STARTTLS");
    }),
    ("secured", |d| {
        d.ready();
        d.hear("STARTTLS");
        d.answer(Answer::Accept);
        d.session.secured(NOW);
    }),
    ("content, stopping", |d| {
        d.content();
        d.session.stop(NOW);
    }),
    ("closed", |d| {
        d.ready();
        d.hear("QUIT");
    }),
];

/// What may come.
enum Comes {
    /// A command line.
    Line(&'static str),
    /// A command line, after something was done.
    After(fn(&mut Desk), &'static str),
    /// Octets; they are no command where content is read.
    Raw(fn() -> Vec<u8>),
    /// Content with its end, where content is read.
    Content(fn() -> Vec<u8>),
    /// No octets.
    Does(fn(&mut Desk)),
}

const COMING: [(&str, Comes); 43] = [
    ("EHLO c", Comes::Line("EHLO c.test")),
    ("EHLO", Comes::Line("EHLO")),
    ("HELO c", Comes::Line("HELO c.test")),
    ("MAIL", Comes::Line("MAIL FROM:<a@b.c> BODY=8BITMIME")),
    ("MAIL, null reverse-path", Comes::Line("MAIL FROM:<>")),
    ("MAIL, no brackets", Comes::Line("MAIL FROM: a@b.c")),
    ("MAIL, too large", Comes::Line("MAIL FROM:<> SIZE=2001")),
    ("MAIL, malformed path", Comes::Line("MAIL FROM:<a@>")),
    (
        "MAIL, malformed parameter",
        Comes::Line("MAIL FROM:<> SIZE=x"),
    ),
    (
        "MAIL, unknown parameter",
        Comes::Line("MAIL FROM:<> HOLDFOR=9"),
    ),
    ("RCPT", Comes::Line("RCPT TO:<x@y.z>")),
    ("RCPT, malformed path", Comes::Line("RCPT TO:<>")),
    (
        "RCPT, unknown parameter",
        Comes::Line("RCPT TO:<x@y.z> X=1"),
    ),
    ("DATA", Comes::Line("DATA")),
    ("DATA x", Comes::Line("DATA x")),
    ("RSET", Comes::Line("RSET")),
    ("VRFY x", Comes::Line("VRFY x")),
    ("EXPN x", Comes::Line("EXPN x")),
    ("HELP", Comes::Line("HELP")),
    ("NOOP", Comes::Line("NOOP")),
    ("QUIT", Comes::Line("QUIT")),
    ("STARTTLS", Comes::Line("STARTTLS")),
    ("STARTTLS x", Comes::Line("STARTTLS x")),
    (
        "STARTTLS with a command behind it",
        Comes::Raw(|| b"STARTTLS\r\nNOOP\r\n".to_vec()),
    ),
    ("unknown verb", Comes::Line("WIZ")),
    ("empty line", Comes::Line("")),
    ("line with NUL", Comes::Line("NOOP \0")),
    ("line with bare LF", Comes::Line("NOOP\nQUIT")),
    (
        "line too long",
        Comes::Raw(|| [vec![b'N'; 5000], b"\r\n".to_vec()].concat()),
    ),
    (
        "the last error",
        Comes::After(|d| d.session.errors = ERRORS_MAX - 1, "WIZ"),
    ),
    (
        "the last idle command",
        Comes::After(|d| d.session.idle = limits::SESSION_IDLE_COMMANDS, "NOOP"),
    ),
    (
        "content, sound",
        Comes::Content(|| b"S: x\r\n\r\n..\r\n.\r\n".to_vec()),
    ),
    (
        "content, bare LF",
        Comes::Content(|| b"S: x\n.\r\n.\r\n".to_vec()),
    ),
    (
        "content, too large",
        Comes::Content(|| [vec![b'x'; 2001], b"\r\n.\r\n".to_vec()].concat()),
    ),
    (
        "content, 101 hops",
        Comes::Content(|| [b"Received: x\r\n".repeat(101), b".\r\n".to_vec()].concat()),
    ),
    ("answer: accept", Comes::Does(|d| d.answer(Answer::Accept))),
    (
        "answer: not now",
        Comes::Does(|d| d.answer(Answer::Refuse(NOT_NOW))),
    ),
    (
        "answer: never",
        Comes::Does(|d| d.answer(Answer::Refuse(NEVER))),
    ),
    (
        "answer: close",
        Comes::Does(|d| d.answer(Answer::Refuse(replies::SHUTTING_DOWN))),
    ),
    (
        "time is up",
        Comes::Does(|d| d.session.wake(NOW + limits::SERVER_COMMAND_WAIT)),
    ),
    ("hands are shaken", Comes::Does(|d| d.session.secured(NOW))),
    ("the service stops", Comes::Does(|d| d.session.stop(NOW))),
    ("the stop waits no longer", Comes::Does(|d| d.session.cut())),
];

/// Refusals that any question may be answered with.
const NOT_NOW: Reply = Reply::new(450, mail::Status::new(Class::Transient, 7, 1), "not now");
const NEVER: Reply = Reply::new(554, mail::Status::new(Class::Permanent, 7, 1), "never");

struct Desk {
    session: Session,
    content: Vec<u8>,
}

impl Desk {
    fn new() -> Self {
        let parameters = Parameters {
            content_octets_max: 2000,
            recipients_max: RECIPIENTS_MAX,
            errors_max: ERRORS_MAX,
            start_tls: true,
        };
        Self {
            session: Session::new(parameters, NOW),
            content: Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.session.answer(answer, NOW);
    }

    fn hear(&mut self, line: &str) -> usize {
        self.hear_raw(format!("{line}\r\n").as_bytes())
    }

    fn hear_raw(&mut self, octets: &[u8]) -> usize {
        self.session.receive(octets, &mut self.content, NOW)
    }

    fn greeted(&mut self) {
        self.answer(Answer::Accept);
    }

    fn ready(&mut self) {
        self.greeted();
        self.hear("EHLO c.test");
    }

    fn open(&mut self) {
        self.ready();
        self.hear("MAIL FROM:<a@b.c>");
        self.answer(Answer::Accept);
    }

    fn recipients(&mut self, count: usize) {
        self.open();
        for _ in 0..count {
            self.hear("RCPT TO:<x@y.z>");
            self.answer(Answer::Accept);
        }
    }

    fn content(&mut self) {
        self.recipients(1);
        self.hear("DATA");
    }

    /// Everything that was put out since the last time.
    fn said(&mut self) -> Vec<String> {
        let tls = self.session.offer("").start_tls;
        std::iter::from_fn(|| self.session.poll())
            .map(|output| match output {
                Output::Reply(reply) => {
                    let status = reply.status().map_or(String::new(), |s| format!(" {s}"));
                    format!("{}{status} {}", reply.code(), reply.text())
                }
                Output::Extensions if tls => "250 extensions".into(),
                Output::Extensions => "250 extensions, no TLS".into(),
                Output::Ask(question) => format!("ask {question:?}"),
                Output::DiscardContent => "discard content".into(),
                Output::StartTls => "shake hands".into(),
                Output::Close => "close".into(),
            })
            .collect()
    }

    /// The state's name: all that the next thing to come may depend on.
    fn state(&self) -> String {
        let session = &self.session;
        let hello = match &session.hello {
            None if session.secure => "secured",
            None => "greeted",
            Some(hello) if hello.extended => "ready (EHLO)",
            Some(_) => "ready (HELO)",
        };
        let name = match &session.state {
            State::Connecting => "connecting".to_owned(),
            State::Unwanted => "unwanted".to_owned(),
            State::Ready => hello.to_owned(),
            State::Opening(_) => "opening".to_owned(),
            State::Open(transaction) => {
                let known = transaction.recipients.len() - session.asked;
                let s = if known == 1 { "" } else { "s" };
                let asked = match session.asked {
                    0 => String::new(),
                    asked => format!(", {asked} asked"),
                };
                format!("open, {known} recipient{s}{asked}")
            }
            State::Content(..) => "content".to_owned(),
            State::Committing(_) => "committing".to_owned(),
            State::Securing => "securing".to_owned(),
            State::Closed => "closed".to_owned(),
        };
        let stopping = session.stopping && !session.is_closed();
        format!("{name}{}", if stopping { ", stopping" } else { "" })
    }
}

/// One row: a state, what comes, what is said, the state then. Nothing where it cannot come.
fn row(reach: Reach, name: &str, comes: &Comes) -> Option<Row> {
    let mut desk = Desk::new();
    reach.1(&mut desk);
    desk.said();
    let state = desk.state();
    assert_eq!(state, reach.0);
    let octets = match comes {
        // Between 354 and its end everything is content.
        Comes::Line(_) | Comes::After(..) | Comes::Raw(_) if desk.session.wants_content() => {
            return None;
        }
        Comes::Content(_) if !desk.session.wants_content() => return None,
        Comes::Line(line) => format!("{line}\r\n").into_bytes(),
        Comes::After(before, line) => {
            before(&mut desk);
            format!("{line}\r\n").into_bytes()
        }
        Comes::Raw(octets) | Comes::Content(octets) => octets(),
        Comes::Does(_) => Vec::new(),
    };
    let errors = desk.session.errors;
    let used = desk.hear_raw(&octets);
    if let Comes::Does(does) = comes {
        does(&mut desk);
    }
    let (said, counted) = (desk.said(), desk.session.errors > errors);
    let mut output = said.join("; ");
    if said.is_empty() {
        let waits = used < octets.len();
        output = if waits { "waits" } else { "nothing" }.into();
    } else if counted {
        output.push_str(" !");
    }
    Some(Row {
        state,
        input: name.into(),
        output,
        then: desk.state(),
    })
}

fn rows() -> Vec<Row> {
    let all = STATES
        .iter()
        .flat_map(|state| COMING.iter().map(|(name, comes)| row(*state, name, comes)));
    all.flatten().collect()
}

#[test]
fn every_state_meets_everything_as_transitions_txt_says() {
    table::compare("src/server/transitions.txt", HEAD, &rows());
}

/// RFC 5321 §4.3.2, with what §4.2.4 and §3.8 allow to every command: 421, 500, 501 (and 503, 521 of RFC 7504 for
/// who is not wanted). 455 and 555 stand there too; we say the second.
const ALLOWED: [(&str, &[u16]); 15] = [
    ("EHLO", &[250, 504, 550, 502]),
    ("HELO", &[250, 504, 550, 502]),
    ("MAIL", &[250, 552, 451, 452, 550, 553, 503, 455, 555]),
    (
        "RCPT",
        &[250, 251, 550, 551, 552, 553, 450, 451, 452, 503, 455, 555],
    ),
    ("DATA", &[354, 450, 550, 503, 554]),
    ("RSET", &[250]),
    ("VRFY", &[250, 251, 252, 550, 551, 553, 502, 504]),
    ("EXPN", &[250, 252, 550, 502, 504]),
    ("HELP", &[211, 214, 502, 504]),
    ("NOOP", &[250]),
    ("QUIT", &[221]),
    // RFC 3207 §4, and what may be said of a command out of order.
    // The last is the reply to the NOOP behind it, where the session goes on.
    ("STARTTLS with", &[503, 554, 250]),
    ("STARTTLS", &[220, 454, 503, 554]),
    ("content", &[250, 552, 554, 451, 452, 450, 550]),
    ("", &[]),
];

#[test]
fn every_reply_is_one_that_the_command_may_have() {
    let mut replies = 0;
    for row in rows().iter().filter(|row| !row.input.starts_with("answer")) {
        let mut allowed = vec![421, 500, 501];
        let of = ALLOWED.iter().find(|(verb, _)| row.input.starts_with(verb));
        allowed.extend(of.expect("the last takes everything").1);
        if row.state == "unwanted" {
            allowed.push(503);
        }
        for said in row.output.split("; ") {
            if let Some(Ok(code)) = said.get(..3).map(str::parse::<u16>) {
                assert!(allowed.contains(&code), "{row:?}");
                replies += 1;
            }
        }
    }
    assert!(replies > 150, "{replies}");
}

/// RFC 5321 §4.1.4: these can be used at any time, and are not told that they came out of order.
#[test]
fn noop_help_expn_vrfy_and_rset_are_never_out_of_order() {
    for row in rows() {
        let any_time = ["NOOP", "HELP", "EXPN", "VRFY", "RSET"];
        if any_time.iter().any(|verb| row.input.starts_with(verb)) && row.state != "unwanted" {
            assert!(!row.output.starts_with("503"), "{row:?}");
        }
    }
}
