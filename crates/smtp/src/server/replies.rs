//! Everything the server says, in one table. The texts name no product, no version and no host but the
//! published one, and do not tell one unknown thing from another.

use mail::{Class, Reply, Status};

const fn ok(code: u16, subject: u16, detail: u16, text: &'static str) -> Reply {
    Reply::new(code, Status::new(Class::Success, subject, detail), text)
}

const fn transient(code: u16, subject: u16, detail: u16, text: &'static str) -> Reply {
    Reply::new(code, Status::new(Class::Transient, subject, detail), text)
}

const fn permanent(code: u16, subject: u16, detail: u16, text: &'static str) -> Reply {
    Reply::new(code, Status::new(Class::Permanent, subject, detail), text)
}

/// The greeting; our published name stands before the text.
pub const GREETING: Reply = Reply::bare(220, "ESMTP");
/// To HELO; our published name is the text.
pub const HELO: Reply = Reply::bare(250, "at your service");
/// To MAIL, when the transaction is open.
pub const SENDER_OK: Reply = ok(250, 1, 0, "ok");
/// To RCPT, when the recipient is accepted.
pub const RECIPIENT_OK: Reply = ok(250, 1, 5, "ok");
/// To DATA.
pub const SEND_CONTENT: Reply = Reply::bare(354, "end with CRLF.CRLF");
/// To the end of content, and only when it is on stable storage.
pub const ACCEPTED: Reply = ok(250, 0, 0, "accepted");
/// To RSET and NOOP.
pub const FINE: Reply = ok(250, 0, 0, "ok");
/// To QUIT.
pub const BYE: Reply = ok(221, 0, 0, "bye");
/// To VRFY, whatever is asked (RFC 5321 §3.5.3).
pub const CANNOT_VRFY: Reply = ok(252, 0, 0, "send some mail, I will try");
/// To STARTTLS: what comes next is a handshake.
pub const BEGIN_TLS: Reply = ok(220, 0, 0, "begin TLS");
/// To HELP.
pub const HELP: Reply = ok(214, 0, 0, "see RFC 5321");

/// Nothing more in this session: too long without a command.
pub const TIMED_OUT: Reply = transient(421, 4, 2, "too long without a command");
/// Nothing more in this session: something behind us did not answer in time.
pub const NO_ANSWER: Reply = transient(421, 3, 0, "no answer in time, try again later");
/// Nothing more in this session: nothing but commands that bring no mail.
pub const TOO_IDLE: Reply = transient(421, 7, 0, "too many commands without mail");
/// Nothing more in this session: too many commands failed.
pub const TOO_MANY_ERRORS: Reply = transient(421, 7, 0, "too many errors");
/// Nothing more in this session: it was long enough.
pub const TOO_MANY_TRANSACTIONS: Reply =
    transient(421, 7, 0, "too many transactions, connect again");
/// Nothing more in this session: the service stops, or is too busy for another.
pub const SHUTTING_DOWN: Reply = transient(421, 3, 2, "service not available now");
/// A question that stands behind the session was not answered.
pub const TRY_LATER: Reply = transient(451, 3, 0, "try again later");
/// The commit failed or was not answered: the content is not ours.
pub const NOT_STORED: Reply = transient(451, 3, 0, "not accepted, try again later");
/// TLS cannot be had just now (RFC 3207 §4).
pub const NO_TLS_NOW: Reply = transient(454, 7, 0, "TLS not available now");
/// No room for content.
pub const NO_ROOM: Reply = transient(452, 3, 1, "no room now, try again later");
/// More recipients than one transaction may have; a client sends the rest in another (§4.5.3.1.10).
pub const TOO_MANY_RECIPIENTS: Reply = transient(452, 5, 3, "too many recipients");

/// A verb that is none.
pub const UNRECOGNIZED: Reply = permanent(500, 5, 2, "command not recognised");
/// A line longer than a command may be.
pub const LINE_TOO_LONG: Reply = permanent(500, 5, 2, "line too long");
/// A line with octets that no command has, or one that is not ended by CRLF.
pub const BAD_OCTETS: Reply = permanent(500, 5, 2, "line has octets that may not stand there");
/// An argument that is malformed, missing, or too many.
pub const BAD_ARGUMENT: Reply = permanent(501, 5, 4, "malformed argument");
/// A reverse-path that is none.
pub const BAD_REVERSE_PATH: Reply = permanent(501, 1, 7, "malformed reverse-path");
/// A forward-path that is none.
pub const BAD_FORWARD_PATH: Reply = permanent(501, 1, 3, "malformed forward-path");
/// EXPN is known and never done.
pub const NOT_IMPLEMENTED: Reply = permanent(502, 5, 1, "not implemented");
/// MAIL before HELO or EHLO.
pub const HELLO_FIRST: Reply = permanent(503, 5, 1, "say HELO or EHLO first");
/// Anything but QUIT from a client that was told so with the greeting (RFC 5321 §3.1).
pub const NO_SERVICE: Reply = permanent(503, 5, 1, "no service for you, say QUIT");
/// MAIL within a transaction.
pub const NESTED_MAIL: Reply = permanent(503, 5, 1, "a transaction is open already");
/// STARTTLS where TLS is spoken already.
pub const TLS_ALREADY: Reply = permanent(503, 5, 1, "TLS is spoken already");
/// Something stands behind STARTTLS that cannot be part of a handshake: no reply was awaited, or somebody put it there.
pub const NOT_THE_LAST: Reply = permanent(
    554,
    5,
    1,
    "STARTTLS must be the last command before its reply",
);
/// RCPT or DATA without MAIL.
pub const MAIL_FIRST: Reply = permanent(503, 5, 1, "say MAIL first");
/// DATA without an accepted recipient (RFC 5321 §3.3).
pub const NO_RECIPIENTS: Reply = permanent(554, 5, 1, "no valid recipients");
/// A parameter that EHLO did not offer.
pub const BAD_PARAMETER: Reply = permanent(555, 5, 4, "parameter not recognised");
/// SIZE says more than we take, or content is more.
pub const TOO_LARGE: Reply = permanent(552, 3, 4, "content too large");
/// Content with a bare CR, a bare LF or a NUL.
pub const BAD_CONTENT: Reply = permanent(550, 6, 0, "content has a bare CR, a bare LF or a NUL");
/// Content with more Received fields than any road is long.
pub const LOOP: Reply = permanent(554, 4, 6, "too many hops");
/// A message to somebody else from somebody we do not relay for.
pub const RELAYING_DENIED: Reply = permanent(550, 7, 1, "relaying denied");
/// No such mailbox in a domain of ours.
pub const UNKNOWN_USER: Reply = permanent(550, 1, 1, "no such recipient here");
/// An address that loops to itself, or expands beyond all bounds.
pub const BAD_ALIAS: Reply = permanent(550, 4, 6, "the address cannot be resolved");
