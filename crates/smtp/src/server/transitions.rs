//! Every state meets everything that may come: the table `transitions.txt` is under review, and every reply in it is
//! one that RFC 5321 §4.3.2 knows for the command.

mod coming;

use super::*;
use crate::table::{self, Row};
use coming::{COMING, Comes, NEVER};

const NOW: Time = Time::from_secs(1000);
const RECIPIENTS_MAX: usize = 2;
const ERRORS_MAX: u32 = 3;

const HEAD: &str = "\
What the server's side of a session does in each state with each thing that may come.
Below each state: what it says or asks, the state then where it is another, and what leads to it.
`waits`: the line stays unread until the open question is answered. `!`: counts as an error; the last one that
is allowed ends the session. Recipients: accepted so far, of at most two here. Where a login is needed, and where there
was one, the state says so.";

/// How each state is reached.
type Reach = (&'static str, fn(&mut Desk));

const STATES: [Reach; 44] = [
    ("connecting", |_| {}),
    ("unwanted", |d| d.answer(Answer::Refuse(NEVER))),
    ("greeted", Desk::greeted),
    ("ready (HELO)", |d| {
        d.greeted();
        d.hear("HELO c.test");
    }),
    ("ready (EHLO)", Desk::ready),
    ("ready, MAIL refused", |d| {
        d.ready();
        d.hear("MAIL FROM:<> SIZE=2001");
    }),
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
    ("chunk, 2 left", |d| d.chunk("BDAT 3")),
    ("between chunks", |d| d.chunk("BDAT 1")),
    ("refused chunk, 2 left", |d| {
        d.open();
        d.hear_raw(b"BDAT 3\r\nx");
    }),
    ("failed", |d| {
        d.open();
        d.hear("BDAT 0");
    }),
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
    ("chunk, 2 left, stopping", |d| {
        d.chunk("BDAT 3");
        d.session.stop(NOW);
    }),
    ("between chunks, stopping", |d| {
        d.chunk("BDAT 1");
        d.session.stop(NOW);
    }),
    ("refused chunk, 2 left, stopping", |d| {
        d.open();
        d.hear_raw(b"BDAT 3\r\nx");
        d.session.stop(NOW);
    }),
    ("closed", |d| {
        d.ready();
        d.hear("QUIT");
    }),
    ("connecting, in clear, login needed", Desk::submission),
    ("greeted, in clear, login needed", |d| {
        d.submission();
        d.greeted();
    }),
    ("ready (EHLO), in clear, login needed", |d| {
        d.submission();
        d.ready();
    }),
    ("securing, in clear, login needed", |d| {
        d.submission();
        d.ready();
        d.hear("STARTTLS");
    }),
    ("secured, login needed", |d| {
        d.submission();
        d.ready();
        d.hear("STARTTLS");
        d.answer(Answer::Accept);
        d.session.secured(NOW);
    }),
    ("connecting, login needed", Desk::under_tls),
    ("ready (HELO), login needed", |d| {
        d.under_tls();
        d.greeted();
        d.hear("HELO c.test");
    }),
    ("ready (EHLO), login needed", |d| {
        d.under_tls();
        d.ready();
    }),
    ("message of PLAIN awaited, login needed", |d| {
        d.exchange("AUTH PLAIN");
    }),
    ("name awaited, login needed", |d| d.exchange("AUTH LOGIN")),
    ("password awaited, login needed", |d| {
        d.exchange("AUTH LOGIN YW5u");
    }),
    ("logging in, login needed", |d| {
        d.exchange("AUTH PLAIN AGFubgBzZWNyZXQ=");
    }),
    ("first message of SCRAM awaited, login needed", |d| {
        d.exchange("AUTH SCRAM-SHA-256");
    }),
    ("challenge asked, login needed", |d| d.exchange(BEGINS)),
    ("proof awaited, login needed", Desk::challenged),
    ("proof asked, login needed", |d| {
        d.challenged();
        d.hear(PROVES);
    }),
    ("nothing awaited, login needed", |d| {
        d.challenged();
        d.hear(PROVES);
        d.session.answer_login(LoginAnswer::Proved([1; 32]), NOW);
    }),
    ("ready (EHLO), logged in", Desk::logged_in),
    ("open, 0 recipients, logged in", |d| {
        d.logged_in();
        d.hear("MAIL FROM:<a@b.c>");
        d.answer(Answer::Accept);
    }),
];

struct Desk {
    session: Session,
    content: Vec<u8>,
}

const PARAMETERS: Parameters = Parameters {
    content_octets_max: 2000,
    recipients_max: RECIPIENTS_MAX,
    errors_max: ERRORS_MAX,
    start_tls: true,
    needs_login: false,
    scram: Scram::Off,
    dsn: false,
};

const SUBMISSION: Parameters = Parameters {
    needs_login: true,
    scram: Scram::Offered,
    dsn: true,
    ..PARAMETERS
};

/// `n,,n=ann,r=x`
const BEGINS: &str = "AUTH SCRAM-SHA-256 biwsbj1hbm4scj14";
/// `c=biws,r=xy,p=` and a proof.
const PROVES: &str =
    "Yz1iaXdzLHI9eHkscD1BUUVCQVFFQkFRRUJBUUVCQVFFQkFRRUJBUUVCQVFFQkFRRUJBUUVCQVFFPQ==";

fn challenge() -> LoginAnswer {
    LoginAnswer::Challenge(Challenge {
        nonce: "y".into(),
        salt: [1; 16].into(),
        iterations: 4096,
    })
}

impl Desk {
    fn new() -> Self {
        Self {
            session: Session::new(PARAMETERS, NOW),
            content: Vec::new(),
        }
    }

    fn submission(&mut self) {
        self.session = Session::new(SUBMISSION, NOW);
    }

    fn under_tls(&mut self) {
        self.session = Session::under_tls(SUBMISSION, NOW);
    }

    fn exchange(&mut self, auth: &str) {
        self.under_tls();
        self.ready();
        self.hear(auth);
    }

    fn challenged(&mut self) {
        self.exchange(BEGINS);
        self.session.answer_login(challenge(), NOW);
    }

    fn logged_in(&mut self) {
        self.exchange("AUTH PLAIN AGFubgBzZWNyZXQ=");
        self.answer(Answer::Accept);
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

    /// A chunk with one octet of its content.
    fn chunk(&mut self, command: &str) {
        self.recipients(1);
        self.hear_raw(format!("{command}\r\nx").as_bytes());
    }

    fn content(&mut self) {
        self.recipients(1);
        self.hear("DATA");
    }

    /// Everything that was put out since the last time.
    fn said(&mut self) -> Vec<String> {
        let offer = self.session.offer("");
        let (tls, auth) = (offer.start_tls, offer.auth);
        let mut outputs = Vec::new();
        while let Some(output) = self.session.poll() {
            outputs.push(output);
        }
        let said = outputs.into_iter();
        said.map(|output| match output {
            Output::Reply(reply) => {
                let status = reply.status().map_or(String::new(), |s| format!(" {s}"));
                format!("{}{status} {}", reply.code(), reply.text())
            }
            Output::Challenge => {
                let mut line = Vec::new();
                self.session.write_challenge(&mut line);
                let has_one = line.len() > b"334 \r\n".len();
                if has_one {
                    "334 a challenge"
                } else {
                    "no challenge"
                }
                .into()
            }
            Output::Extensions if tls => "250 extensions".into(),
            Output::Extensions if auth => "250 extensions, no TLS, AUTH".into(),
            Output::Extensions => "250 extensions, no TLS".into(),
            Output::Ask(question) => format!("ask {question:?}"),
            Output::ContentBegins => "content begins".into(),
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
            None if session.is_secure() => "secured",
            None => "greeted",
            Some(hello) if hello.extended => "ready (EHLO)",
            Some(_) => "ready (HELO)",
        };
        let left = session.chunk_left().unwrap_or(0);
        let name = match &session.state {
            State::Connecting => "connecting".to_owned(),
            State::Unwanted => "unwanted".to_owned(),
            State::Ready if session.in_vain > 0 => "ready, MAIL refused".to_owned(),
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
            State::Chunk(..) => format!("chunk, {left} left"),
            State::BetweenChunks(..) => "between chunks".to_owned(),
            State::Skipping(_) => format!("refused chunk, {left} left"),
            State::Failed => "failed".to_owned(),
            State::Committing(_) => "committing".to_owned(),
            State::Securing => "securing".to_owned(),
            State::Authenticating(Exchange::Plain) => "message of PLAIN awaited".to_owned(),
            State::Authenticating(Exchange::User) => "name awaited".to_owned(),
            State::Authenticating(Exchange::Password(_)) => "password awaited".to_owned(),
            State::Authenticating(Exchange::First(_)) => {
                "first message of SCRAM awaited".to_owned()
            }
            State::Authenticating(Exchange::Proof(_)) => "proof awaited".to_owned(),
            State::Authenticating(Exchange::Empty(_)) => "nothing awaited".to_owned(),
            State::LoggingIn(asking) => asking.asks().to_owned(),
            State::Closed => return "closed".to_owned(),
        };
        let login = match session.standing {
            _ if !session.parameters.needs_login => "",
            Standing::InClear => ", in clear, login needed",
            Standing::UnderTls => ", login needed",
            Standing::LoggedIn => ", logged in",
        };
        let stopping = if session.stopping { ", stopping" } else { "" };
        format!("{name}{login}{stopping}")
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
        // Between 354 and its end everything is content, and so is all of a chunk.
        Comes::Line(_) | Comes::After(..) | Comes::Raw(_) if desk.session.wants_content() => {
            return None;
        }
        Comes::Content(_) if !matches!(desk.session.state, State::Content(..)) => return None,
        Comes::Chunk(_) if desk.session.chunk_left().is_none() => return None,
        Comes::Chunk(octets) => octets.to_vec(),
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
const ALLOWED: [(&str, &[u16]); 25] = [
    ("EHLO", &[250, 504, 550, 502]),
    ("HELO", &[250, 504, 550, 502]),
    // 530: RFC 4954 §6.
    ("MAIL", &[250, 552, 451, 452, 550, 553, 503, 455, 555, 530]),
    (
        "RCPT",
        &[250, 251, 550, 551, 552, 553, 450, 451, 452, 503, 455, 555],
    ),
    ("DATA", &[354, 450, 550, 503, 554]),
    // RFC 3030 §2 gives 250 and 503, and to the last what content has. Behind one stands a NOOP.
    ("BDAT", &[250, 503, 550, 552, 554]),
    ("rest of a chunk", &[250, 503, 550, 552, 554]),
    ("part of a chunk", &[]),
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
    // RFC 4954 §4 and §6. Behind one stands a NOOP.
    ("AUTH PLAIN with", &[235, 454, 502, 503, 530, 535, 250]),
    ("AUTH", &[235, 334, 454, 502, 503, 504, 530, 535]),
    ("name, or password", &[334]),
    ("first message of SCRAM", &[334]),
    ("proof of SCRAM", &[334]),
    // What is said to a server's signature.
    ("empty line", &[235]),
    ("the last login", &[502, 503, 530]),
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

/// RFC 2034 §4: a status code of the reply's class stands in every reply but the greeting, those to EHLO and HELO, and
/// those of the third class.
#[test]
fn every_reply_has_a_status_code_of_its_class() {
    let mut replies = 0;
    for row in rows() {
        for said in row.output.split("; ") {
            let Some(Ok(code)) = said.get(..3).map(str::parse::<u16>) else {
                continue;
            };
            let bare = code / 100 == 3
                || ["220 ESMTP", "250 at your service", "250 extensions"]
                    .iter()
                    .any(|hello| said.starts_with(hello));
            let class = format!("{}.", code / 100);
            assert!(bare || said[4..].starts_with(&class), "{row:?}");
            replies += usize::from(!bare);
        }
    }
    assert!(replies > 150, "{replies}");
}
