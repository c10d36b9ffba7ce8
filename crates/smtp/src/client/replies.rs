//! Reads the replies of a server that is trusted with nothing: any length, any octets, cut anywhere.

use mail::limits::{REPLY_LINE_OCTETS, REPLY_LINES};
use mail::{RemoteReply, Status};

/// The server does not speak SMTP, or tries to fill our memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rubbish;

/// Puts replies together out of lines.
#[derive(Debug, Default)]
pub struct Replies {
    code: Option<u16>,
    text: String,
    lines: usize,
}

/// A reply, and each line's text as it came for those who read EHLO.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A line of a reply that goes on; its text is given.
    Line(String, usize),
    /// The last line: the reply, its last line's text, and the octets used.
    Reply(RemoteReply, String, usize),
    /// No whole line yet.
    Partial,
}

impl Replies {
    /// Reads one line from the front of `input`. A bare LF is taken for a line end here: nothing can
    /// be smuggled to us in a reply, and old servers do it.
    pub fn next(&mut self, input: &[u8]) -> Result<Read, Rubbish> {
        let within = &input[..input.len().min(REPLY_LINE_OCTETS)];
        let Some(end) = memchr::memchr(b'\n', within) else {
            return if input.len() >= REPLY_LINE_OCTETS {
                Err(Rubbish)
            } else {
                Ok(Read::Partial)
            };
        };
        let line = within[..end].strip_suffix(b"\r").unwrap_or(&within[..end]);
        let used = end + 1;
        let (digits, rest) = line.split_at_checked(3).ok_or(Rubbish)?;
        let code = number(digits).ok_or(Rubbish)?;
        let (last, text) = match rest {
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err(Rubbish),
        };
        self.lines += 1;
        if self.lines > REPLY_LINES || *self.code.get_or_insert(code) != code {
            return Err(Rubbish);
        }
        let text: String = text.iter().map(|b| harmless(*b)).collect();
        self.keep(code, &text);
        if !last {
            return Ok(Read::Line(text, used));
        }
        let whole = std::mem::take(self);
        let (status, kept) = match status_of(code, &whole.text) {
            Some((status, rest)) => (Some(status), rest),
            None => (None, &whole.text[..]),
        };
        let reply = RemoteReply {
            code,
            status,
            text: kept.into(),
            inner: false,
        };
        Ok(Read::Reply(reply, text, used))
    }

    /// Joins the lines' texts; a status code that each line repeats is kept from the first only.
    fn keep(&mut self, code: u16, text: &str) {
        let first = self.text.is_empty();
        let text = match status_of(code, text) {
            Some((_, rest)) if !first => rest,
            _ => text,
        };
        if !first {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self.text.truncate(RemoteReply::TEXT_OCTETS);
    }
}

/// A reply code of RFC 5321 §4.2.1: 200 to 599.
fn number(digits: &[u8]) -> Option<u16> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits
        .iter()
        .fold(0u16, |n, d| n * 10 + u16::from(d - b'0'));
    (200..600).contains(&code).then_some(code)
}

/// An enhanced status code whose class agrees with the reply code (RFC 2034 §4).
fn status_of(code: u16, text: &str) -> Option<(Status, &str)> {
    let (status, rest) = Status::parse_prefix(text)?;
    (u16::from(status.class().digit()) == code / 100).then_some((status, rest))
}

fn harmless(byte: u8) -> char {
    if (b' '..=b'~').contains(&byte) {
        char::from(byte)
    } else {
        '?'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut input: &[u8]) -> Result<Vec<RemoteReply>, Rubbish> {
        let (mut replies, mut all) = (Replies::default(), Vec::new());
        loop {
            match replies.next(input)? {
                Read::Line(_, used) => input = &input[used..],
                Read::Reply(reply, _, used) => {
                    all.push(reply);
                    input = &input[used..];
                }
                Read::Partial => return Ok(all),
            }
        }
    }

    #[test]
    fn lines_are_joined_and_the_status_is_taken_off() {
        let all = read(b"550-5.1.1 no\r\n550 5.1.1 such user\r\n250\r\n451 5.1.1 x\r\n").unwrap();
        assert_eq!(all[0].status.unwrap().to_string(), "5.1.1");
        assert_eq!(&*all[0].text, "no such user");
        assert_eq!((all[1].code, &*all[1].text), (250, ""));
        assert_eq!((all[2].status, &*all[2].text), (None, "5.1.1 x"));
    }

    #[test]
    fn rubbish_is_told_from_replies() {
        for bad in [
            &b"\r\n"[..],
            b"25\r\n",
            b"2x0 a\r\n",
            b"100 a\r\n",
            b"600 a\r\n",
            b"250_a\r\n",
            b"250-a\r\n251 b\r\n",
        ] {
            assert_eq!(read(bad), Err(Rubbish), "{bad:?}");
        }
        assert_eq!(read(&vec![b'2'; REPLY_LINE_OCTETS]), Err(Rubbish));
        assert_eq!(read(&b"250-a\r\n".repeat(REPLY_LINES + 1)), Err(Rubbish));
    }

    #[test]
    fn what_a_server_says_is_made_harmless() {
        let all = read(b"553-x\x1b[2J\0\xff\r\n553 dispatcher: local\n").unwrap();
        assert_eq!(&*all[0].text, "x?[2J?? dispatcher: local");
        let long = [b"250 ".to_vec(), vec![b'a'; 2000], b"\r\n".to_vec()].concat();
        assert_eq!(read(&long).unwrap()[0].text.len(), RemoteReply::TEXT_OCTETS);
    }
}
