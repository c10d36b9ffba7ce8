//! What may come to a session: the columns of `transitions.txt`.

use super::*;

/// What may come.
pub(super) enum Comes {
    /// A command line.
    Line(&'static str),
    /// A command line, after something was done.
    After(fn(&mut Desk), &'static str),
    /// Octets; they are no command where content is read.
    Raw(fn() -> Vec<u8>),
    /// Content with its end, where content after 354 is read.
    Content(fn() -> Vec<u8>),
    /// The rest of a chunk, where one is read.
    Chunk(&'static [u8]),
    /// No octets.
    Does(fn(&mut Desk)),
}

pub(super) const COMING: [(&str, Comes); 92] = [
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
    (
        "MAIL, beyond ASCII",
        Comes::Line("MAIL FROM:<\u{f6}@b.c> SMTPUTF8"),
    ),
    (
        "MAIL, beyond ASCII and not said",
        Comes::Line("MAIL FROM:<\u{f6}@b.c>"),
    ),
    ("RCPT", Comes::Line("RCPT TO:<x@y.z>")),
    (
        "RCPT, beyond ASCII and not said",
        Comes::Line("RCPT TO:<\u{f6}@y.z>"),
    ),
    ("RCPT, malformed path", Comes::Line("RCPT TO:<>")),
    (
        "RCPT, unknown parameter",
        Comes::Line("RCPT TO:<x@y.z> X=1"),
    ),
    ("DATA", Comes::Line("DATA")),
    ("DATA x", Comes::Line("DATA x")),
    ("BDAT 0", Comes::Line("BDAT 0")),
    ("BDAT 0 LAST", Comes::Line("BDAT 0 LAST")),
    ("BDAT", Comes::Raw(|| b"BDAT 2\r\nx\n".to_vec())),
    ("BDAT LAST", Comes::Raw(|| b"BDAT 2 LAST\r\n.\n".to_vec())),
    (
        "BDAT with a command behind it",
        Comes::Raw(|| b"BDAT 2\r\nx\nNOOP\r\n".to_vec()),
    ),
    (
        "BDAT LAST, bare CR",
        Comes::Raw(|| b"BDAT 2 LAST\r\n\rx".to_vec()),
    ),
    (
        "BDAT, too large",
        Comes::Raw(|| [b"BDAT 2001\r\n".to_vec(), vec![b'x'; 2001]].concat()),
    ),
    (
        "BDAT LAST, too large",
        Comes::Raw(|| [b"BDAT 2001 LAST\r\n".to_vec(), vec![b'x'; 2001]].concat()),
    ),
    ("BDAT, absurd", Comes::Line("BDAT 1073741825")),
    ("BDAT, malformed", Comes::Line("BDAT -1")),
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
    ("AUTH PLAIN", Comes::Line("AUTH PLAIN")),
    (
        "AUTH PLAIN, all of it",
        Comes::Line("auth plain AGFubgBzZWNyZXQ="),
    ),
    (
        "AUTH PLAIN with a command behind it",
        Comes::Raw(|| b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\nNOOP\r\n".to_vec()),
    ),
    (
        "AUTH PLAIN for another",
        Comes::Line("AUTH PLAIN Ym9iAGFubgBzZWNyZXQ="),
    ),
    ("AUTH PLAIN, malformed", Comes::Line("AUTH PLAIN YW5u")),
    ("AUTH PLAIN, empty", Comes::Line("AUTH PLAIN =")),
    ("AUTH LOGIN", Comes::Line("AUTH LOGIN")),
    ("AUTH LOGIN, a name", Comes::Line("AUTH LOGIN YW5u")),
    ("AUTH LOGIN, no base64", Comes::Line("AUTH LOGIN YW5")),
    ("AUTH SCRAM", Comes::Line("auth scram-sha-256")),
    ("AUTH SCRAM, a first message", Comes::Line(BEGINS)),
    (
        "AUTH SCRAM, not bound though it could be",
        Comes::After(
            |d| d.session.bind(Some([1; 32])),
            "AUTH SCRAM-SHA-256 eSwsbj1hbm4scj14",
        ),
    ),
    ("AUTH SCRAM, bound", Comes::Line("AUTH SCRAM-SHA-256-PLUS")),
    ("AUTH, unknown", Comes::Line("AUTH CRAM-MD5")),
    ("AUTH, malformed", Comes::Line("AUTH")),
    (
        "AUTH, line too long",
        Comes::Raw(|| [b"AUTH ".to_vec(), vec![b'A'; 12_282], b"\r\n".to_vec()].concat()),
    ),
    ("name, or password", Comes::Line("YW5u")),
    ("message of PLAIN", Comes::Line("AGFubgBzZWNyZXQ=")),
    ("first message of SCRAM", Comes::Line("biwsbj1hbm4scj14")),
    ("proof of SCRAM", Comes::Line(PROVES)),
    ("asterisk", Comes::Line("*")),
    (
        "MAIL, AUTH=",
        Comes::Line("MAIL FROM:<a@b.c> AUTH=x+2By@z.test"),
    ),
    (
        "MAIL, malformed AUTH=",
        Comes::Line("MAIL FROM:<a@b.c> AUTH=x"),
    ),
    (
        "the last login",
        Comes::After(
            |d| d.session.logins_refused = limits::SESSION_LOGINS_REFUSED - 1,
            "AUTH PLAIN Ym9iAGFubgBzZWNyZXQ=",
        ),
    ),
    ("unknown verb", Comes::Line("WIZ")),
    ("request of HTTP", Comes::Line("POST / HTTP/1.1")),
    ("hello of TLS", Comes::Line("\u{16}\u{3}\u{1}")),
    ("empty line", Comes::Line("")),
    ("line beyond ASCII", Comes::Line("NOOP \u{f6}")),
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
    ("rest of a chunk, sound", Comes::Chunk(b"\r\n")),
    ("rest of a chunk, bare CR", Comes::Chunk(b"\rx")),
    (
        "rest of a chunk with a command",
        Comes::Chunk(b"\r\nNOOP\r\n"),
    ),
    ("part of a chunk", Comes::Chunk(b".")),
    ("answer: accept", Comes::Does(|d| d.answer(Answer::Accept))),
    (
        "answer: a challenge",
        Comes::Does(|d| d.session.answer_login(challenge(), NOW)),
    ),
    (
        "answer: proved",
        Comes::Does(|d| d.session.answer_login(LoginAnswer::Proved([1; 32]), NOW)),
    ),
    (
        "answer: not now",
        Comes::Does(|d| d.answer(Answer::Refuse(NOT_NOW))),
    ),
    (
        "answer: never",
        Comes::Does(|d| d.answer(Answer::Refuse(NEVER))),
    ),
    (
        "answer: never, the last login",
        Comes::Does(|d| {
            d.session.logins_refused = limits::SESSION_LOGINS_REFUSED - 1;
            d.answer(Answer::Refuse(replies::BAD_LOGIN));
        }),
    ),
    (
        "answer: close",
        Comes::Does(|d| d.answer(Answer::Refuse(replies::SHUTTING_DOWN))),
    ),
    (
        "time is up",
        Comes::Does(|d| d.session.wake(NOW + limits::SERVER_COMMAND_WAIT)),
    ),
    (
        "answer: a challenge, stopping",
        Comes::Does(|d| {
            d.session.stop(NOW);
            d.session.answer_login(challenge(), NOW);
        }),
    ),
    ("hands are shaken", Comes::Does(|d| d.session.secured(NOW))),
    ("the service stops", Comes::Does(|d| d.session.stop(NOW))),
    ("the stop waits no longer", Comes::Does(|d| d.session.cut())),
    (
        "others need its place",
        Comes::Does(|d| {
            d.session.make_room();
        }),
    ),
];

/// Refusals that any question may be answered with.
const NOT_NOW: Reply = Reply::new(450, mail::Status::new(Class::Transient, 7, 1), "not now");
pub(super) const NEVER: Reply = Reply::new(554, mail::Status::new(Class::Permanent, 7, 1), "never");
