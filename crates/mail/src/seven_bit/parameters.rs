//! Values of fields that have parameters (RFC 2045 §5.1, RFC 2183), and how a parameter is written whose value has octets
//! above 127 (RFC 2231).

use super::put_ascii;
use super::words::charset;
use std::ops::Range;

/// Octets of an extended value in one piece: with its name it fits a line.
const PIECE_OCTETS: usize = 48;

/// The parameters of a field's value, in their order.
pub(super) struct Parameters<'a> {
    value: &'a [u8],
    at: usize,
}

/// Where a parameter stands in the field's value.
#[derive(Clone)]
pub(super) struct Parameter {
    name: Range<usize>,
    value: Range<usize>,
}

impl Parameter {
    pub fn name<'a>(&self, of: &'a [u8]) -> &'a [u8] {
        &of[self.name.clone()]
    }

    /// A token, or a quoted-string with its quotes.
    pub fn value<'a>(&self, of: &'a [u8]) -> &'a [u8] {
        &of[self.value.clone()]
    }
}

impl<'a> Parameters<'a> {
    pub fn new(value: &'a [u8]) -> Self {
        Self { value, at: 0 }
    }

    /// Goes on to the next octet that is one of these, outside of comments and quotes; behind the end where there is none.
    fn seek(&mut self, wanted: &[u8]) {
        while let Some(octet) = self.value.get(self.at) {
            match octet {
                octet if wanted.contains(octet) => return,
                b'"' => self.at = quoted_end(self.value, self.at),
                b'(' => self.at = comment_end(self.value, self.at),
                _ => self.at += 1,
            }
        }
    }

    fn skip_blanks(&mut self) {
        self.at = skip_blanks(self.value, self.at);
    }

    /// The octets from here that are of a token: RFC 2045 §5.1, and those above 127.
    fn token(&mut self) -> Range<usize> {
        let start = self.at;
        let is_of_token = |octet: &u8| {
            !octet.is_ascii() || octet.is_ascii_graphic() && !b"()<>,;:\\\"[]=".contains(octet)
        };
        while self.value.get(self.at).is_some_and(is_of_token) {
            self.at += 1;
        }
        start..self.at
    }
}

impl Iterator for Parameters<'_> {
    type Item = Parameter;

    fn next(&mut self) -> Option<Parameter> {
        loop {
            self.seek(b";");
            if self.at >= self.value.len() {
                return None;
            }
            self.at += 1;
            self.skip_blanks();
            let name = self.token();
            self.skip_blanks();
            if name.is_empty() || self.value.get(self.at) != Some(&b'=') {
                continue;
            }
            self.at += 1;
            self.skip_blanks();
            let value = if self.value.get(self.at) == Some(&b'"') {
                let start = self.at;
                self.at = quoted_end(self.value, start);
                start..self.at
            } else {
                self.token()
            };
            return Some(Parameter { name, value });
        }
    }
}

/// What comes first in a value, behind blanks and comments, up to a blank, a comment or a parameter.
pub(super) fn first_word(value: &[u8]) -> &[u8] {
    let start = skip_blanks(value, 0);
    let is_end = |octet: &u8| b" \t\r\n(;".contains(octet);
    let end = value[start..].iter().position(is_end);
    &value[start..end.map_or(value.len(), |end| start + end)]
}

/// What a token or a quoted-string means: without quotes, backslashes and folding.
pub(super) fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return value.to_vec();
    };
    let mut octets = inner.iter();
    let mut plain = Vec::with_capacity(inner.len());
    while let Some(octet) = octets.next() {
        match octet {
            b'"' => break,
            b'\\' => plain.extend(octets.next()),
            b'\r' | b'\n' => {}
            _ => plain.push(*octet),
        }
    }
    plain
}

/// Behind the quoted-string that begins here.
pub(super) fn quoted_end(value: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(octet) = value.get(at) {
        match octet {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    value.len()
}

/// Behind the comment that begins here; comments stand in comments (RFC 5322 §3.2.2).
fn comment_end(value: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(octet) = value.get(at) {
        match octet {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    value.len()
}

fn skip_blanks(value: &[u8], mut at: usize) -> usize {
    while let Some(octet) = value.get(at) {
        match octet {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'(' => at = comment_end(value, at),
            _ => break,
        }
    }
    at
}

/// Writes a value in seven bits: the value of a parameter is extended.
pub(super) fn write(value: &[u8], out: &mut Vec<u8>) {
    let mut done = 0;
    for parameter in Parameters::new(value) {
        let (name, raw) = (parameter.name(value), parameter.value(value));
        // One that is extended already, or one piece of several, has octets that mean nothing.
        if raw.is_ascii() || !name.is_ascii() || name.contains(&b'*') {
            continue;
        }
        put_ascii(&value[done..parameter.name.start], out);
        done = parameter.value.end;
        extend(name, &unquoted(raw), out);
    }
    put_ascii(&value[done..], out);
}

/// Writes `name*=charset''value`, in pieces where it is long (RFC 2231 §3, §4.1).
fn extend(name: &[u8], text: &[u8], out: &mut Vec<u8>) {
    let mut pieces = vec![format!("{}''", charset(text))];
    for octet in text {
        let written = if octet.is_ascii_alphanumeric() || b"-._~".contains(octet) {
            char::from(*octet).to_string()
        } else {
            format!("%{octet:02X}")
        };
        let last = pieces.len() - 1;
        if pieces[last].len() + written.len() > PIECE_OCTETS {
            pieces.push(written);
        } else {
            pieces[last].push_str(&written);
        }
    }
    let is_one = pieces.len() == 1;
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(b";\r\n ");
        }
        out.extend_from_slice(name);
        let star = if is_one {
            "*=".into()
        } else {
            format!("*{number}*=")
        };
        out.extend_from_slice(star.as_bytes());
        out.extend_from_slice(piece.as_bytes());
    }
}
