//! Every state of the client's side meets every class of reply, silence and a lost connection: the table
//! `transitions.txt` is under review.

use super::*;
use crate::table::{self, Row};

const NOW: Time = Time::from_secs(1000);

const HEAD: &str = "\
What the client's side of a session does in each state with each thing that may come.
A state is what is awaited, in the order sent; `…` behind it is not sent yet. Two recipients, r0 and r1.\n\
What comes while a handshake is awaited comes in clear.
Below each state: what is sent, what comes out for each recipient, the state then where it is another, and what
leads to it. Only 5xx to MAIL, RCPT, DATA or the end of content fails a recipient for good.";

const GREETING: &str = "220 x\r\n";
const PIPELINING: &str = "250-x\r\n250 PIPELINING\r\n";
const PLAIN: &str = "250 x\r\n";

/// Dialect, what the server said so far (with [`LOGIN`] first, a login is needed); a message is given when the session is
/// idle, but for the last state.
type Reach = (Dialect, Security, &'static [&'static str], bool);

use Dialect::{Lmtp, Smtp};
use Security::{AsItIs, Demanded, Offered};

const TLS: &str = "250-x\r\n250 STARTTLS\r\n";

const LOGIN: &str = "login";
const BOTH: &str = "250-x\r\n250 AUTH LOGIN PLAIN\r\n";
const OLD: &str = "250-x\r\n250 AUTH LOGIN\r\n";
const GO_ON: &str = "334 x\r\n";

const STATES: [Reach; 38] = [
    (Smtp, Offered, &[LOGIN, GREETING], true),
    (Smtp, Offered, &[LOGIN, GREETING, TLS], true),
    (Smtp, AsItIs, &[LOGIN, GREETING], true),
    (Smtp, AsItIs, &[LOGIN, GREETING, BOTH], true),
    (Smtp, AsItIs, &[LOGIN, GREETING, BOTH, "answer"], true),
    (Smtp, AsItIs, &[LOGIN, GREETING, OLD], true),
    (Smtp, AsItIs, &[LOGIN, GREETING, OLD, GO_ON], true),
    (Smtp, AsItIs, &[LOGIN, GREETING, OLD, GO_ON, "answer"], true),
    (
        Smtp,
        AsItIs,
        &[LOGIN, GREETING, OLD, GO_ON, "answer", GO_ON],
        true,
    ),
    (
        Smtp,
        AsItIs,
        &[LOGIN, GREETING, OLD, GO_ON, "answer", GO_ON, "answer"],
        true,
    ),
    (Smtp, Offered, &[GREETING], true),
    (Smtp, Offered, &[GREETING, TLS], true),
    (Smtp, Offered, &[GREETING, TLS, GREETING], true),
    (Smtp, Demanded, &[GREETING], true),
    (Smtp, Demanded, &[GREETING, TLS], true),
    (Smtp, Demanded, &[GREETING, TLS, GREETING], true),
    (Smtp, AsItIs, &[], true),
    (Smtp, AsItIs, &[GREETING], true),
    (Smtp, AsItIs, &[GREETING, "502 x\r\n"], true),
    (Smtp, AsItIs, &[GREETING, PLAIN], false),
    (Smtp, AsItIs, &[GREETING, PLAIN], true),
    (Smtp, AsItIs, &[GREETING, PLAIN, "250 x\r\n"], true),
    (
        Smtp,
        AsItIs,
        &[GREETING, PLAIN, "250 x\r\n", "250 x\r\n"],
        true,
    ),
    (
        Smtp,
        AsItIs,
        &[GREETING, PLAIN, "250 x\r\n", "550 x\r\n"],
        true,
    ),
    (
        Smtp,
        AsItIs,
        &[GREETING, PLAIN, "250 x\r\n", "250 x\r\n", "250 x\r\n"],
        true,
    ),
    (
        Smtp,
        AsItIs,
        &[GREETING, PLAIN, "250 x\r\n250 x\r\n250 x\r\n354 x\r\n"],
        true,
    ),
    (
        Smtp,
        AsItIs,
        &[
            GREETING,
            PLAIN,
            "250 x\r\n250 x\r\n250 x\r\n354 x\r\n",
            "sent",
        ],
        true,
    ),
    (Smtp, AsItIs, &[GREETING, PIPELINING], true),
    (Smtp, AsItIs, &[GREETING, PIPELINING, "250 x\r\n"], true),
    (Smtp, AsItIs, &[GREETING, PIPELINING, "550 x\r\n"], true),
    (
        Smtp,
        AsItIs,
        &[GREETING, PIPELINING, "250 x\r\n250 x\r\n"],
        true,
    ),
    (
        Smtp,
        AsItIs,
        &[GREETING, PIPELINING, "250 x\r\n550 x\r\n550 x\r\n"],
        true,
    ),
    (
        Smtp,
        AsItIs,
        &[
            GREETING,
            PIPELINING,
            "250 x\r\n550 x\r\n550 x\r\n354 x\r\n",
            "sent",
        ],
        true,
    ),
    (Smtp, AsItIs, &[GREETING, PLAIN, "550 x\r\n"], true),
    (Smtp, AsItIs, &[GREETING, PLAIN, "quit"], false),
    (Lmtp, AsItIs, &[GREETING], true),
    (
        Lmtp,
        AsItIs,
        &[
            GREETING,
            PIPELINING,
            "250 x\r\n250 x\r\n250 x\r\n354 x\r\n",
            "sent",
        ],
        true,
    ),
    (
        Lmtp,
        AsItIs,
        &[
            GREETING,
            PIPELINING,
            "250 x\r\n250 x\r\n250 x\r\n354 x\r\n",
            "sent",
            "250 x\r\n",
        ],
        true,
    ),
];

const COMING: [(&str, &str); 18] = [
    ("250, and a login is offered", BOTH),
    ("334", GO_ON),
    ("the login's answer", "answer"),
    ("no answer for the login", "no answer"),
    ("250", "250 x\r\n"),
    ("250, said to be failed", "250 5.7.1 x\r\n"),
    ("220 of another command", "220 x\r\n"),
    ("354", "354 x\r\n"),
    ("421", "421 4.3.2 x\r\n"),
    ("451", "451 4.3.0 x\r\n"),
    ("452 too many", "452 4.5.3 x\r\n"),
    ("550", "550 5.7.1 x\r\n"),
    ("552", "552 5.3.4 x\r\n"),
    ("no code", "hello\r\n"),
    ("half a reply", "250-x\r\n"),
    ("two codes in one reply", "250-x\r\n550 x\r\n"),
    ("connection lost", ""),
    ("time is up", ""),
];

struct Desk {
    session: Session,
    /// What was put out since it was last asked for.
    out: Vec<String>,
    message: Option<Message>,
}

impl Desk {
    fn new(dialect: Dialect, security: Security, login: bool, message: bool) -> Self {
        let mailbox = |n: u32| Mailbox::parse(&format!("r{n}@b.c")).unwrap();
        let parameters = Parameters {
            hostname: "me.test".into(),
            dialect,
            security,
            login,
        };
        let mut desk = Self {
            session: Session::new(parameters, NOW),
            out: Vec::new(),
            message: message.then(|| Message {
                reverse_path: ReversePath::parse("a@b.c").unwrap(),
                forward_paths: vec![mailbox(0), mailbox(1)],
                octets: 10,
                eight_bit: false,
                smtputf8: false,
                dsn: None,
            }),
        };
        desk.drive();
        desk
    }

    fn hear(&mut self, said: &str) {
        match said {
            "sent" => self.session.content_sent(NOW),
            "quit" => self.session.quit(NOW),
            "answer" => self.session.answer(Some(b"x"), NOW),
            "no answer" => self.session.answer(None, NOW),
            LOGIN => {}
            said => {
                let used = self.session.receive(said.as_bytes(), NOW);
                assert!(used == said.len() || self.session.is_closed());
            }
        }
        self.drive();
    }

    /// Does what is put out, but never says that content was sent.
    fn drive(&mut self) {
        loop {
            let wire = std::mem::take(self.session.wire());
            let lines = String::from_utf8(wire).unwrap();
            self.out
                .extend(lines.lines().map(|line| format!("> {line}")));
            let Some(output) = self.session.poll() else {
                return;
            };
            let text = match output {
                Output::Content => "send content".into(),
                Output::SevenBitContent => "send content in seven bits".into(),
                Output::EmptyContent => "send the end of content".into(),
                Output::Outcomes(outcomes) => {
                    let each = outcomes.iter().enumerate();
                    let each = each.map(|(n, o)| format!("r{n} {}", outcome(o)));
                    each.collect::<Vec<_>>().join(", ")
                }
                Output::Idle => {
                    if let Some(message) = self.message.take() {
                        self.session.send(message, NOW);
                        continue;
                    }
                    "idle".into()
                }
                Output::StartTls => "begin TLS".into(),
                Output::Login(answer) => format!("ask for {answer:?}"),
                Output::Unusable(cause) => format!("unusable {}", cause.status()),
                Output::Close => "close".into(),
            };
            self.out.push(text);
        }
    }

    fn state(&self) -> String {
        let session = &self.session;
        if session.closed {
            return "closed".into();
        }
        if session.idle {
            return "idle".into();
        }
        let names = |commands: &VecDeque<Awaited>| -> Vec<String> {
            commands.iter().map(|c| self.name(*c)).collect()
        };
        let mut name = names(&session.awaited).join(", ");
        if !session.unsent.is_empty() {
            name = format!("{name} … {}", names(&session.unsent).join(", "));
        }
        let decided = session.attempt.as_ref().map(|attempt| {
            let each = attempt.outcomes.iter().enumerate();
            let each = each.filter_map(|(n, o)| Some(format!("r{n} {}", outcome(o.as_ref()?))));
            each.collect::<Vec<_>>().join(", ")
        });
        let decided = decided.filter(|d| !d.is_empty());
        if let Some(decided) = decided {
            name = format!("{name} ({decided})");
        }
        if session.sending {
            name.push_str(", sending");
        }
        name
    }

    fn name(&self, awaited: Awaited) -> String {
        match awaited {
            Awaited::Ehlo if self.session.parameters.dialect == Lmtp => "LHLO".into(),
            Awaited::Rcpt(n) => format!("RCPT r{n}"),
            Awaited::End(usize::MAX) => "end for nobody".into(),
            Awaited::End(n) if self.session.parameters.dialect == Lmtp => format!("end r{n}"),
            Awaited::End(_) => "end".into(),
            other => format!("{other:?}").to_uppercase(),
        }
    }
}

fn outcome(ending: &Ending) -> String {
    match &ending.outcome {
        Outcome::Delivered => "delivered".into(),
        Outcome::Deferred(cause) => format!("deferred {}", cause.status()),
        Outcome::Failed(cause) => format!("failed {}", cause.status()),
    }
}

fn reach((dialect, security, said, message): Reach) -> Desk {
    let login = said.first() == Some(&LOGIN);
    let mut desk = Desk::new(dialect, security, login, message);
    for said in said {
        desk.hear(said);
    }
    desk.out.clear();
    desk
}

fn row(to: Reach, (name, said): (&str, &str)) -> Row {
    let mut desk = reach(to);
    let dialect = match to {
        (_, Offered, [LOGIN, ..], _) => "with login, TLS if offered: ",
        (_, _, [LOGIN, ..], _) => "with login: ",
        (Lmtp, ..) => "LMTP: ",
        (_, Offered, ..) => "TLS if offered: ",
        (_, Demanded, ..) => "TLS demanded: ",
        _ => "",
    };
    let before = desk.state();
    match name {
        "connection lost" => desk.session.lost(),
        "time is up" => desk.session.wake(desk.session.wake_at()),
        _ => {}
    }
    desk.hear(said);
    let output = if desk.out.is_empty() {
        "nothing".into()
    } else {
        desk.out.join("; ")
    };
    let then = desk.state();
    let unchanged = then == before;
    Row {
        state: format!("{dialect}{before}"),
        input: name.into(),
        output,
        then: if unchanged {
            format!("{dialect}{before}")
        } else {
            then
        },
    }
}

fn rows() -> Vec<Row> {
    let all = STATES.iter();
    all.flat_map(|state| COMING.iter().map(|coming| row(*state, *coming)))
        .collect()
}

#[test]
fn every_state_meets_everything_as_transitions_txt_says() {
    table::compare("src/client/transitions.txt", HEAD, &rows());
}

/// Only 5xx to MAIL, RCPT, DATA or the end of content fails a recipient.
#[test]
fn nothing_but_5xx_to_the_transaction_fails_a_recipient() {
    let (mut failed, mut delivered) = (0, 0);
    for row in rows() {
        let was = row.state.matches("failed").count();
        if row.output.matches("failed").count() > was {
            assert!(row.input.starts_with("55"), "{row:?}");
            let first = row.state.rsplit(": ").next().unwrap_or_default();
            assert!(
                ["MAIL", "RCPT", "DATA", "end"]
                    .iter()
                    .any(|c| first.starts_with(c)),
                "{row:?}"
            );
            failed += 1;
        }
        if row.output.contains("delivered") && !row.state.contains("delivered") {
            let good = row.input.starts_with("250") || row.input.starts_with("220");
            assert!(good && row.state.contains("end"), "{row:?}");
            delivered += 1;
        }
    }
    assert!(failed >= 5 && delivered >= 3, "{failed} {delivered}");
}

/// RFC 5321 §4.1.1.10: a client says QUIT before it closes, whatever was answered; but for a server that closes
/// itself, that is gone, silent or out of step.
#[test]
fn a_session_that_is_given_up_is_ended_with_quit() {
    for row in rows() {
        let forced = [
            "421",
            "no code",
            "two codes",
            "connection lost",
            "time is up",
        ];
        let forced = forced.iter().any(|input| row.input.starts_with(input));
        let refuses = ["451", "452", "550", "552", "no answer"];
        let refuses = refuses.iter().any(|input| row.input.starts_with(input));
        // What is no answer to STARTTLS, or comes in clear where TLS was to begin, is not SMTP either.
        let out_of_step = row.state.contains("HANDSHAKE")
            || row.state.contains("STARTTLS")
                && ["250", "334", "354"]
                    .iter()
                    .any(|code| row.input.starts_with(code))
            || row.state.contains("AUTH(") && !refuses
            || row.state.contains("ANSWER(") && row.input != "no answer for the login";
        if row.output.contains("unusable") && !forced && !out_of_step {
            assert!(row.output.contains("> QUIT"), "{row:?}");
        }
    }
}
