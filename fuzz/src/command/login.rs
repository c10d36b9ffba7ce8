//! A second reading of AUTH: which reply each line of it has, and what is asked about.

use super::scram::{self, First, Refused};
use super::{Door, judge};
use mail::limits;
use smtp::Command;
use smtp::server::Answer;

/// A name, and a password or what was said of it.
pub type Login = (String, Vec<u8>);

/// What was read of logins so far.
#[derive(Debug, Default)]
pub struct Logins {
    door: Door,
    /// Whether the client was greeted, having said who it is.
    pub greeted: bool,
    /// Whether somebody has logged in.
    done: bool,
    /// What was asked about.
    pub asked: Vec<Login>,
    step: Step,
    refused: u32,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    None,
    Plain,
    Name,
    Password(String),
    First {
        plus: bool,
    },
    Proof(First),
    Nothing,
}

/// The code of a session's last word.
const LAST_WORD: u16 = 421;

impl Logins {
    /// Of a session with whoever comes there.
    pub(super) fn new(door: Door) -> Self {
        Self {
            door,
            ..Self::default()
        }
    }

    fn needed(&self) -> bool {
        self.door != Door::Mx
    }

    fn is_bound(&self) -> bool {
        self.door == Door::Bound
    }

    /// Whether somebody has logged in.
    pub fn is_logged_in(&self) -> bool {
        self.done
    }

    /// The code that a line is answered with, if it belongs to a login; its CRLF is not given.
    pub fn read(&mut self, line: &[u8]) -> Option<u16> {
        match std::mem::take(&mut self.step) {
            Step::None => self.command(line),
            _ if line.len() + 2 > limits::LOGIN_LINE_OCTETS => Some(500),
            _ if line == b"*" => Some(501),
            step => {
                let octets = base64(line);
                if octets.is_none() && Command::ends_the_session(line).is_some() {
                    return Some(LAST_WORD);
                }
                Some(self.response(step, octets))
            }
        }
    }

    /// The same for a line that is a command, if it is AUTH.
    fn command(&mut self, line: &[u8]) -> Option<u16> {
        let text = String::from_utf8(line.to_vec()).ok()?.to_uppercase();
        if text.trim_end() != "AUTH" && !text.starts_with("AUTH ") {
            return None;
        }
        // Who is not greeted may be one who is not wanted: all is the same to him.
        if !self.greeted {
            return None;
        }
        // How much is read of it where nobody can log in is seen elsewhere.
        let is_long = line.len() + 2 > limits::COMMAND_LINE_OCTETS;
        let can_log_in = self.needed() && !self.done;
        let graphic = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\t';
        if is_long && !can_log_in {
            return None;
        }
        if line.len() + 2 > limits::LOGIN_LINE_OCTETS || !line.iter().all(graphic) {
            return Some(500);
        }
        let text = std::str::from_utf8(line).ok()?;
        let text = text.trim_end_matches([' ', '\t']);
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let (mechanism, response) = match words[..] {
            [_, mechanism] => (mechanism.to_uppercase(), None),
            [_, mechanism, response] => (mechanism.to_uppercase(), Some(response)),
            _ => return Some(501),
        };
        let step = match &*mechanism {
            _ if !self.needed() => return Some(502),
            _ if self.done => return Some(503),
            "PLAIN" => Step::Plain,
            "LOGIN" => Step::Name,
            "SCRAM-SHA-256" => Step::First { plus: false },
            "SCRAM-SHA-256-PLUS" if self.is_bound() => Step::First { plus: true },
            _ => return Some(504),
        };
        Some(match response {
            None => {
                self.step = step;
                334
            }
            Some("=") => self.response(step, Some(Vec::new())),
            Some(response) => self.response(step, base64(response.as_bytes())),
        })
    }

    fn response(&mut self, step: Step, octets: Option<Vec<u8>>) -> u16 {
        let Some(octets) = octets else {
            return 501;
        };
        let (acts_as, name, password) = match step {
            Step::None => unreachable!("there is an exchange"),
            Step::Plain => {
                let parts: Vec<&[u8]> = octets.split(|octet| *octet == 0).collect();
                match parts[..] {
                    [acts_as, name, password] => {
                        let acts_as = if acts_as.is_empty() { name } else { acts_as };
                        (acts_as.to_vec(), name.to_vec(), password.to_vec())
                    }
                    _ => return 501,
                }
            }
            Step::Name => {
                if !is_text(&octets, limits::LOGIN_NAME_OCTETS) {
                    return 501;
                }
                self.step = Step::Password(String::from_utf8(octets).expect("it is text"));
                return 334;
            }
            Step::First { plus } => {
                return self.first(scram::first(&octets, plus, self.is_bound()));
            }
            Step::Proof(first) => {
                return self.proof(first.user.clone(), scram::last(&octets, &first));
            }
            Step::Nothing if octets.is_empty() => {
                self.done = true;
                return 235;
            }
            Step::Nothing => return 501,
            Step::Password(name) => (name.clone().into_bytes(), name.into_bytes(), octets),
        };
        let are_names =
            [&acts_as, &name].map(|name| is_text(name, limits::LOGIN_NAME_OCTETS)) == [true, true];
        if !are_names || !is_text(&password, limits::LOGIN_PASSWORD_OCTETS) {
            return 501;
        }
        if acts_as != name {
            return self.refused();
        }
        let name = String::from_utf8(name).expect("it is text");
        match self.judged(name, password) {
            235 => {
                self.done = true;
                235
            }
            code => code,
        }
    }

    /// What is said of this name, by who is asked; 235 where it is good.
    fn judged(&mut self, name: String, said: Vec<u8>) -> u16 {
        let answer = judge(&name);
        self.asked.push((name, said));
        match answer {
            Answer::Accept => 235,
            Answer::Refuse(reply) if reply.code() < 500 => 454,
            Answer::Refuse(_) => self.refused(),
        }
    }

    fn first(&mut self, first: Result<First, Refused>) -> u16 {
        match first {
            Err(Refused::Malformed) => 501,
            Err(Refused::Wrong) => self.refused(),
            Ok(first) => match self.judged(first.user.clone(), first.bare.clone().into_bytes()) {
                235 => {
                    self.step = Step::Proof(first);
                    334
                }
                code => code,
            },
        }
    }

    fn proof(&mut self, user: String, proof: Result<Vec<u8>, Refused>) -> u16 {
        match proof {
            Err(Refused::Malformed) => 501,
            Err(Refused::Wrong) => self.refused(),
            Ok(said) => match self.judged(user, said) {
                235 => {
                    self.step = Step::Nothing;
                    334
                }
                code => code,
            },
        }
    }

    fn refused(&mut self) -> u16 {
        self.refused += 1;
        if self.refused < limits::SESSION_LOGINS_REFUSED {
            535
        } else {
            LAST_WORD
        }
    }

    /// The session says that this code is the answer to a line that was to have that one.
    pub fn agree(wanted: u16, code: u16, closed: bool) {
        // Any line may be the one too many; 501 is the last word to BDAT.
        let ends = closed && matches!(code, LAST_WORD | 501);
        assert!(code == wanted || ends, "{code} for {wanted}");
        assert!(wanted != LAST_WORD || closed);
    }
}

/// Base64 undone, RFC 4648 §4: whole groups, padding at the very end, and no bit that means nothing.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padding = text.iter().rev().take_while(|b| **b == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let (mut octets, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in &text[..text.len() - padding] {
        let value = ALPHABET.iter().position(|letter| letter == byte)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count & 0xFF).try_into().ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(octets)
}

pub fn is_text(octets: &[u8], octets_max: usize) -> bool {
    let controls = |text: &str| {
        text.chars()
            .any(|c| matches!(u32::from(c), 0..32 | 127..160))
    };
    (1..=octets_max).contains(&octets.len())
        && std::str::from_utf8(octets).is_ok_and(|text| !controls(text))
}
