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
/// To BDAT, when its octets were taken and more of the content is to come.
pub const CHUNK_OK: Reply = ok(250, 0, 0, "go on");
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
/// To AUTH PLAIN, or SCRAM: its message is to come (RFC 4954 §4: no challenge, and still the blank).
pub const ASK_MESSAGE: Reply = Reply::bare(334, "");
/// To AUTH LOGIN: base64 of `Username:`, which is all that some clients know.
pub const ASK_USER: Reply = Reply::bare(334, "VXNlcm5hbWU6");
/// To the name, of LOGIN: base64 of `Password:`.
pub const ASK_PASSWORD: Reply = Reply::bare(334, "UGFzc3dvcmQ6");
/// To AUTH, when name and password are right.
pub const LOGGED_IN: Reply = ok(235, 7, 0, "logged in");
/// To HELP.
pub const HELP: Reply = ok(214, 0, 0, "see RFC 5321");

/// Nothing more in this session: too long without a command.
pub const TIMED_OUT: Reply = transient(421, 4, 2, "too long without a command");
/// Nothing more in this session: something behind us did not answer in time.
pub const NO_ANSWER: Reply = transient(421, 3, 0, "no answer in time, try again later");
/// Nothing more in this session: nothing but commands that bring no mail.
pub const TOO_IDLE: Reply = transient(421, 7, 0, "too many commands without mail");
/// Nothing more in this session: the client speaks another protocol.
pub const NOT_SMTP: Reply = transient(421, 5, 1, "SMTP is spoken here, and nothing else");
/// Nothing more in this session: too many commands failed.
pub const TOO_MANY_ERRORS: Reply = transient(421, 7, 0, "too many errors");
/// Nothing more in this session: who was logged in is not known any more.
pub const LOGGED_OUT: Reply = transient(421, 7, 0, "connect and log in again");
/// Nothing more in this session: too many logins were refused.
pub const TOO_MANY_LOGINS: Reply = transient(421, 7, 0, "too many logins failed");
/// Nothing more in this session: it was long enough.
pub const TOO_MANY_TRANSACTIONS: Reply =
    transient(421, 7, 0, "too many transactions, connect again");
/// Nothing more in this session: the service stops, or is too busy for another.
pub const SHUTTING_DOWN: Reply = transient(421, 3, 2, "service not available now");
/// No session: this client has enough of them.
pub const TOO_MANY_SESSIONS: Reply = transient(421, 7, 0, "too many sessions of yours");
/// No session: this client has connected often and brought nothing.
pub const CONNECTIONS_LATER: Reply = transient(
    421,
    7,
    0,
    "too many connections without mail, try again later",
);
/// No session: commands of this client have failed often.
pub const ERRORS_LATER: Reply = transient(421, 7, 0, "too many errors of yours, try again later");
/// To MAIL: this client has sent many messages.
pub const MESSAGES_LATER: Reply =
    transient(451, 7, 0, "too many messages of yours, try again later");
/// To RCPT: this client has named many recipients. Not 452, after which a client goes on at once (§4.5.3.1.10).
pub const RECIPIENTS_LATER: Reply =
    transient(450, 7, 0, "too many recipients of yours, try again later");
/// To RCPT: many recipients of this client were refused. Nobody has looked whether there is this one.
pub const REFUSED_LATER: Reply = transient(
    450,
    7,
    0,
    "too many refused recipients of yours, try again later",
);
/// Nothing more in this session: it names recipients still, though each is put off.
pub const RECIPIENTS_END: Reply =
    transient(421, 7, 0, "too many recipients of yours, try again later");
/// A question that stands behind the session was not answered.
pub const TRY_LATER: Reply = transient(451, 3, 0, "try again later");
/// The commit failed or was not answered: the content is not ours.
pub const NOT_STORED: Reply = transient(451, 3, 0, "not accepted, try again later");
/// TLS cannot be had just now (RFC 3207 §4).
pub const NO_TLS_NOW: Reply = transient(454, 7, 0, "TLS not available now");
/// Whether name and password are right cannot be said just now (RFC 4954 §6).
pub const LOGIN_LATER: Reply = transient(454, 7, 0, "try again later");
/// No room for content.
pub const NO_ROOM: Reply = transient(452, 3, 1, "no room now, try again later");
/// More recipients than one transaction may have; a client sends the rest in another (§4.5.3.1.10).
pub const TOO_MANY_RECIPIENTS: Reply = transient(452, 5, 3, "too many recipients");

/// A verb that is none.
pub const UNRECOGNIZED: Reply = permanent(500, 5, 2, "command not recognised");
/// A line longer than a command may be.
pub const LINE_TOO_LONG: Reply = permanent(500, 5, 2, "line too long");
/// AUTH, or a line of its exchange, that is longer than either may be (RFC 4954 §6).
pub const LOGIN_TOO_LONG: Reply = permanent(500, 5, 6, "line too long");
/// A line with octets that no command has, or one that is not ended by CRLF.
pub const BAD_OCTETS: Reply = permanent(500, 5, 2, "line has octets that may not stand there");
/// An argument that is malformed, missing, or too many.
pub const BAD_ARGUMENT: Reply = permanent(501, 5, 4, "malformed argument");
/// A reverse-path that is none.
pub const BAD_REVERSE_PATH: Reply = permanent(501, 1, 7, "malformed reverse-path");
/// A forward-path that is none.
pub const BAD_FORWARD_PATH: Reply = permanent(501, 1, 3, "malformed forward-path");
/// A reverse-path beyond ASCII without SMTPUTF8 (RFC 6531 §3.5).
pub const SENDER_BEYOND_ASCII: Reply = permanent(550, 6, 7, "say SMTPUTF8 for such an address");
/// A forward-path beyond ASCII in a transaction without SMTPUTF8 (RFC 6531 §3.5).
pub const RECIPIENT_BEYOND_ASCII: Reply = permanent(553, 6, 7, "say SMTPUTF8 for such an address");
/// What a client says of itself with AUTH is no base64, or not what the mechanism wants (RFC 4954 §4).
pub const MALFORMED_LOGIN: Reply = permanent(501, 5, 2, "malformed response");
/// The client went back on AUTH (RFC 4954 §4).
pub const LOGIN_CANCELLED: Reply = permanent(501, 7, 0, "login cancelled");
/// EXPN is known and never done; STARTTLS and AUTH are not to be had everywhere.
pub const NOT_IMPLEMENTED: Reply = permanent(502, 5, 1, "not implemented");
/// AUTH with a mechanism that is none of ours (RFC 4954 §4).
pub const UNKNOWN_MECHANISM: Reply = permanent(504, 5, 4, "mechanism not known");
/// AUTH from somebody who has logged in (RFC 4954 §4).
pub const LOGGED_IN_ALREADY: Reply = permanent(503, 5, 1, "logged in already");
/// AUTH, or MAIL from who must log in, in clear (RFC 3207 §4, RFC 4954 §6).
pub const TLS_FIRST: Reply = permanent(530, 7, 0, "say STARTTLS first");
/// MAIL from who must log in (RFC 4954 §6).
pub const LOGIN_FIRST: Reply = permanent(530, 7, 0, "log in first");
/// Name or password is wrong; which of them is not said (RFC 4954 §6).
pub const BAD_LOGIN: Reply = permanent(535, 7, 8, "name or password is wrong");
/// MAIL before HELO or EHLO.
pub const HELLO_FIRST: Reply = permanent(503, 5, 1, "say HELO or EHLO first");
/// Anything but QUIT from a client that was told so with the greeting (RFC 5321 §3.1).
pub const NO_SERVICE: Reply = permanent(503, 5, 1, "no service for you, say QUIT");
/// MAIL within a transaction.
pub const NESTED_MAIL: Reply = permanent(503, 5, 1, "a transaction is open already");
/// Something else than BDAT, or DATA, while content comes in chunks (RFC 3030 §2).
pub const CHUNKS_FIRST: Reply = permanent(503, 5, 1, "say BDAT with LAST, or RSET, first");
/// Anything of a transaction that failed with a chunk (RFC 3030 §2).
pub const FAILED: Reply = permanent(503, 5, 1, "the transaction failed, say RSET");
/// RCPT or DATA behind a MAIL that was refused.
pub const MAIL_REFUSED: Reply = permanent(503, 5, 1, "the transaction was refused");
/// STARTTLS where TLS is spoken already.
pub const TLS_ALREADY: Reply = permanent(503, 5, 1, "TLS is spoken already");
/// Something stands behind STARTTLS that cannot be part of a handshake: no reply was awaited, or somebody put it there.
pub const NOT_THE_LAST: Reply = permanent(
    554,
    5,
    1,
    "STARTTLS must be the last command before its reply",
);
/// RCPT, DATA or BDAT without MAIL.
pub const MAIL_FIRST: Reply = permanent(503, 5, 1, "say MAIL first");
/// DATA or BDAT without an accepted recipient (RFC 5321 §3.3).
pub const NO_RECIPIENTS: Reply = permanent(554, 5, 1, "no valid recipients");
/// BDAT with no size that can be read: what comes behind it may be content, and is not taken for commands.
pub const BAD_CHUNK: Reply = permanent(501, 5, 4, "malformed chunk size, nothing more is read");
/// BDAT with a size that no content has: its octets are not waited for.
pub const CHUNK_TOO_LARGE: Reply = permanent(552, 3, 4, "chunk too large, nothing more is read");
/// A parameter that EHLO did not offer.
pub const BAD_PARAMETER: Reply = permanent(555, 5, 4, "parameter not recognised");
/// SIZE says more than we take, or content is more.
pub const TOO_LARGE: Reply = permanent(552, 3, 4, "content too large");
/// Content with a bare CR, a bare LF after DATA, or a NUL.
pub const BAD_CONTENT: Reply = permanent(550, 6, 0, "content has a bare CR, a bare LF or a NUL");
/// Content with more Received fields than any road is long.
pub const LOOP: Reply = permanent(554, 4, 6, "too many hops");
/// A message to somebody else from somebody we do not relay for.
pub const RELAYING_DENIED: Reply = permanent(550, 7, 1, "relaying denied");
/// A message under a reverse-path that is not the login's (RFC 6409 §6.1).
pub const NOT_YOUR_SENDER: Reply = permanent(550, 7, 1, "not a sender address of yours");
/// A message from one of our users to a domain of one label (RFC 6409 §4.2).
pub const NOT_QUALIFIED: Reply = permanent(550, 1, 2, "not a full domain name");
/// No such mailbox in a domain of ours.
pub const UNKNOWN_USER: Reply = permanent(550, 1, 1, "no such recipient here");
/// An address that loops to itself, or expands beyond all bounds.
pub const BAD_ALIAS: Reply = permanent(550, 4, 6, "the address cannot be resolved");
