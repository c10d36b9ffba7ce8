//! How an act went, told by how its process ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use sys::sandbox::calls::TRAPPED;

/// What a process ends with whose act was done.
pub const DONE: u8 = 200;
/// What it ends with when there is no such act, or it did not come so far.
pub const NOTHING: u8 = 201;

/// The signal's number, the same on every Linux that we run on.
const SIGXFSZ: i32 = 25;

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The system refused it with this error.
    Refused(i32),
    /// The filter ended the process.
    Trapped,
    /// A limit ended it: the signal for a file that grows too large.
    TooLarge,
    /// Something else: the test is wrong, or the role.
    Odd(String),
}

impl Outcome {
    /// From how the process ended.
    pub fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(DONE) => Outcome::Done,
            (Some(code), _) if code == TRAPPED => Outcome::Trapped,
            (_, Some(SIGXFSZ)) => Outcome::TooLarge,
            (Some(code @ 1..=133), _) => Outcome::Refused(code),
            _ => Outcome::Odd(status.to_string()),
        }
    }

    /// Whether it was done, or cannot be told.
    pub fn is_done(&self) -> bool {
        matches!(self, Outcome::Done | Outcome::Odd(_))
    }
}

/// The errors that come up, by their names.
const ERRORS: [(i32, &str); 17] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (22, "EINVAL"),
    (24, "EMFILE"),
    (30, "EROFS"),
    (38, "ENOSYS"),
    (93, "EPROTONOSUPPORT"),
    (94, "ESOCKTNOSUPPORT"),
    (97, "EAFNOSUPPORT"),
    (101, "ENETUNREACH"),
];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Trapped => f.write_str("TRAP"),
            Outcome::TooLarge => f.write_str("SIGXFSZ"),
            Outcome::Odd(status) => write!(f, "({status})"),
            Outcome::Refused(number) => match ERRORS.iter().find(|(known, _)| known == number) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "error {number}"),
            },
        }
    }
}
