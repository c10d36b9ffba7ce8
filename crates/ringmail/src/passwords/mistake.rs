//! What may be wrong with a file of password hashes. No piece of a line is in it: who writes a password where a hash
//! belongs must not find it in a log.

use super::{FILE_OCTETS, Kind, LINES};
use mail::PathError;
use std::fmt;

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its line, counted from 1; 0 where it is the whole file's.
    pub line: usize,
    /// What is wrong.
    pub wrong: Wrong,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.wrong),
            line => write!(f, "line {line}: {}", self.wrong),
        }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The file is larger than [`FILE_OCTETS`].
    TooLarge,
    /// The file has more lines than [`LINES`].
    TooManyLines,
    /// The line is not UTF-8, or has a control character.
    NotText,
    /// Nothing parts a name from a hash.
    NoColon,
    /// The name is not a mailbox.
    Name(PathError),
    /// The name stands on this line already.
    Twice(usize),
    /// Nothing stands behind the name.
    NoHash,
    /// Something stands behind the hash, and is no secret of SCRAM.
    More,
    /// What stands for all names is no key of salts.
    Everybody,
    /// A kind of hash that is not read.
    Kind,
    /// The word in braces names another kind of hash than stands behind it.
    Scheme,
    /// The hash is not whole, or not as its kind is written.
    Form(Kind),
    /// A parameter is out of its bounds.
    Bounds {
        /// The kind of hash.
        kind: Kind,
        /// The parameter, as the kind calls it.
        parameter: &'static str,
        /// The least that is read.
        least: u32,
        /// The most that is read.
        most: u32,
    },
}

impl Wrong {
    /// On this line.
    pub(super) const fn at(self, line: usize) -> Mistake {
        Mistake { line, wrong: self }
    }

    /// Of the file as a whole.
    pub(super) const fn of_file(self) -> Mistake {
        self.at(0)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::TooLarge => write!(f, "the file is larger than {FILE_OCTETS} octets"),
            Wrong::TooManyLines => write!(f, "the file has more than {LINES} lines"),
            Wrong::NotText => f.write_str("this is not a line of text"),
            Wrong::NoColon => f.write_str("no colon parts a name from its hash"),
            Wrong::Name(why) => write!(
                f,
                "the name is not a whole mailbox such as ann@example.org: {why}"
            ),
            Wrong::Twice(first) => write!(f, "the name stands on line {first} already"),
            Wrong::NoHash => {
                f.write_str("no hash stands behind the name; `!` is for who may not log in")
            }
            Wrong::More => f.write_str(
                "something stands behind the hash; only NAME:HASH is read, and NAME:HASH:{SCRAM-SHA-256}...",
            ),
            Wrong::Everybody => {
                f.write_str("behind `*` stands a whole {SCRAM-SALT} key, and nothing else")
            }
            Wrong::Kind => f.write_str(
                "hashes of this kind are not read; $argon2id$, $y$, $2b$, $6$ and $5$ are",
            ),
            Wrong::Scheme => f.write_str("the word in braces is not for the hash behind it"),
            Wrong::Form(kind) => write!(f, "this is not a whole {kind} hash"),
            Wrong::Bounds {
                kind,
                parameter,
                least,
                most,
            } => write!(f, "{parameter} of {kind} is {least} to {most}"),
        }
    }
}
