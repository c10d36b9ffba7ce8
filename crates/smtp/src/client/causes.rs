//! Why a session with a next hop came to nothing, where the reason is ours: in words that the log and a report may have.

use mail::{Cause, Class, Status};
use std::borrow::Cow;

pub const NOT_SMTP: Cause = ours(Class::Transient, 5, 0, "the next hop did not speak SMTP");
pub const LOST: Cause = ours(
    Class::Transient,
    4,
    2,
    "the connection to the next hop was lost",
);
pub const TIMED_OUT: Cause = ours(
    Class::Transient,
    4,
    2,
    "the next hop did not answer in time",
);
pub const NO_TLS: Cause = ours(
    Class::Transient,
    7,
    4,
    "the next hop does not offer TLS, and mail goes there under TLS alone",
);
pub const NO_LOGIN: Cause = ours(
    Class::Transient,
    7,
    4,
    "the next hop offers no login that we have",
);
pub const LOGIN_UNREADY: Cause = ours(
    Class::Transient,
    7,
    0,
    "the login at the next hop cannot be had now",
);
pub const TOO_LARGE: Cause = ours(
    Class::Permanent,
    3,
    4,
    "the message is larger than the next hop takes",
);

pub const BEYOND_ASCII: Cause = ours(
    Class::Permanent,
    6,
    7,
    "the next hop takes no addresses beyond ASCII, and this message has one",
);

const fn ours(class: Class, subject: u16, detail: u16, text: &'static str) -> Cause {
    Cause::Ours(Status::new(class, subject, detail), Cow::Borrowed(text))
}
