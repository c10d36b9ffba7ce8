//! Enhanced status codes, RFC 3463: what happened, in three numbers.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The first number: did it work, may it work later, will it never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// 2: done.
    Success,
    /// 4: a persistent transient failure; sending again may work.
    Transient,
    /// 5: a permanent failure; sending the same again will not work.
    Permanent,
}

impl Class {
    /// The digit as it is written: 2, 4 or 5.
    pub const fn digit(self) -> u8 {
        match self {
            Class::Success => 2,
            Class::Transient => 4,
            Class::Permanent => 5,
        }
    }
}

/// An enhanced status code `class.subject.detail`; subject and detail are at most 999 (RFC 3463 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Class, u16, u16)", into = "(Class, u16, u16)")]
pub struct Status {
    class: Class,
    subject: u16,
    detail: u16,
}

impl Status {
    /// A code known when the program is written. Panics, at compile time in a constant, above 999.
    pub const fn new(class: Class, subject: u16, detail: u16) -> Self {
        assert!(subject <= 999 && detail <= 999);
        Self {
            class,
            subject,
            detail,
        }
    }

    /// The class of this code.
    pub const fn class(self) -> Class {
        self.class
    }

    /// The second number: what it is about (RFC 3463 §3).
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The same code in another class.
    pub const fn with_class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// Reads `2.1.5` from the start of `text`; gives the code and what follows it.
    /// `None` where the text does not begin with one, followed by a blank or the end.
    pub fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        let end = text.find(' ').unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let mut numbers = word.split('.');
        let class = match numbers.next()? {
            "2" => Class::Success,
            "4" => Class::Transient,
            "5" => Class::Permanent,
            _ => return None,
        };
        let (subject, detail) = (number(numbers.next()?)?, number(numbers.next()?)?);
        if numbers.next().is_some() {
            return None;
        }
        Some((Self::new(class, subject, detail), rest.trim_start()))
    }
}

/// One to three digits, RFC 3463 §2.
fn number(digits: &str) -> Option<u16> {
    let well_formed = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if well_formed {
        digits.parse().ok()
    } else {
        None
    }
}

impl From<Status> for (Class, u16, u16) {
    fn from(status: Status) -> Self {
        (status.class, status.subject, status.detail)
    }
}

impl TryFrom<(Class, u16, u16)> for Status {
    type Error = &'static str;

    fn try_from((class, subject, detail): (Class, u16, u16)) -> Result<Self, Self::Error> {
        if subject > 999 || detail > 999 {
            return Err("a number of an enhanced status code is above 999");
        }
        Ok(Self::new(class, subject, detail))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class.digit(), self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_only_when_it_is_whole() {
        let read = |text| Status::parse_prefix(text).map(|(s, rest)| (s.to_string(), rest));
        assert_eq!(read("5.1.1 no user"), Some(("5.1.1".into(), "no user")));
        assert_eq!(read("4.2.2"), Some(("4.2.2".into(), "")));
        for bad in [
            "", "5", "5.1", "3.1.1", "5.1.1000", "5.1.1.1", "5.1.x", "5.+1.1", "5..1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
