//! Header fields with octets above 127, written in seven bits as encoded-words (RFC 2047). UTF-8 says that it is; of all else
//! nobody knows what it is, and that is what it says (RFC 1428).

use super::header::value;
use super::parameters::{quoted_end, unquoted, write as write_parameters};
use crate::completion::is_named;
use std::borrow::Cow;

/// Fields of addresses, RFC 5322 §3.6: text stands in their phrases and comments, and a quoted-string is one word.
const ADDRESSES: [&str; 11] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
];
/// Fields that have parameters, and those of MIME that have no text but comments.
const PARAMETERS: [&str; 4] = [
    "Content-Type",
    "Content-Disposition",
    "Content-Transfer-Encoding",
    "MIME-Version",
];
/// Longest line with an encoded-word, RFC 2047 §2.
const LINE_OCTETS: usize = 76;

/// Which charset text is in.
pub(super) fn charset(text: &[u8]) -> &'static str {
    match std::str::from_utf8(text) {
        Ok(_) => "utf-8",
        Err(_) => "unknown-8bit",
    }
}

/// Writes a whole field, with its CRLF if it has one.
pub(super) fn write(field: &[u8], out: &mut Vec<u8>) {
    if field.is_ascii() {
        return out.extend_from_slice(field);
    }
    // What a quote that is never closed begins goes no further than its field.
    let whole = field.strip_suffix(b"\r\n").unwrap_or(field);
    let value = value(whole);
    out.extend_from_slice(&whole[..whole.len() - value.len()]);
    let is_one_of = |names: &[&str]| names.iter().any(|name| is_named(field, name));
    if is_one_of(&PARAMETERS) {
        write_parameters(value, out);
    } else {
        write_words(&tokens(value, is_one_of(&ADDRESSES)), charset(value), out);
    }
    out.extend_from_slice(&field[whole.len()..]);
}

/// What a field's text is made of.
#[derive(Clone, Copy)]
enum Token<'a> {
    /// White space, with the CRLFs of folding.
    Blank(&'a [u8]),
    /// An octet that stands between words of addresses.
    Special(&'a [u8]),
    /// Text of anything else.
    Word(&'a [u8]),
    /// A quoted-string of addresses.
    Quoted(&'a [u8]),
}

impl<'a> Token<'a> {
    /// What it means, if it wants to be encoded.
    fn raw(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Token::Word(word) if !word.is_ascii() => Some(word.into()),
            Token::Quoted(word) if !word.is_ascii() => Some(unquoted(word).into()),
            _ => None,
        }
    }

    /// Whether readers take it for an encoded-word: blanks between two of those are none (RFC 2047 §6.2).
    fn is_encoded(self) -> bool {
        matches!(self, Token::Word([b'=', b'?', .., b'?', b'=']))
    }
}

fn tokens(value: &[u8], of_addresses: bool) -> Vec<Token<'_>> {
    let is_blank = |octet: &u8| b" \t\r\n".contains(octet);
    let is_special = |octet: &u8| of_addresses && b"()<>[]:;,@\"".contains(octet);
    let mut tokens = Vec::new();
    let mut rest = value;
    while let Some(first) = rest.first() {
        let run = |is: &dyn Fn(&u8) -> bool| rest.iter().position(|o| !is(o)).unwrap_or(rest.len());
        let (end, token): (usize, fn(_) -> _) = match first {
            octet if is_blank(octet) => (run(&is_blank), Token::Blank),
            b'"' if of_addresses => (quoted_end(rest, 0).min(rest.len()), Token::Quoted),
            octet if is_special(octet) => (1, Token::Special),
            _ => (
                run(&|octet| !is_blank(octet) && !is_special(octet)),
                Token::Word,
            ),
        };
        let (text, behind) = rest.split_at(end);
        tokens.push(token(text));
        rest = behind;
    }
    tokens
}

fn write_words(tokens: &[Token], charset: &str, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Some(word) = token.raw() else {
            let (Token::Blank(text)
            | Token::Special(text)
            | Token::Word(text)
            | Token::Quoted(text)) = token;
            out.extend_from_slice(text);
            continue;
        };
        // Words with blanks between them are one text: between encoded-words readers would not see the blanks.
        let mut text = Vec::new();
        if let [.., before, Token::Blank(blank)] = &tokens[..at - 1]
            && before.is_encoded()
        {
            unfold(blank, &mut text);
        }
        text.extend_from_slice(&word);
        while let [Token::Blank(blank), next, ..] = &tokens[at..] {
            if let Some(word) = next.raw() {
                unfold(blank, &mut text);
                text.extend_from_slice(&word);
                at += 2;
            } else {
                if next.is_encoded() {
                    unfold(blank, &mut text);
                }
                break;
            }
        }
        encode(&text, charset, out);
    }
}

/// Puts white space behind `text`, without the CRLFs of folding.
fn unfold(blank: &[u8], text: &mut Vec<u8>) {
    text.extend(blank.iter().filter(|octet| !b"\r\n".contains(octet)));
}

/// Writes a text as encoded-words by the `Q` encoding, in lines as short as they have to be.
fn encode(text: &[u8], charset: &str, out: &mut Vec<u8>) {
    let opening = format!("=?{charset}?Q?");
    let line = out.iter().rposition(|octet| *octet == b'\n');
    let line = line.map_or(0, |at| at + 1);
    let mut column = out.len() - line;
    let mut is_open = false;
    for unit in units(text, charset) {
        let written = written(unit);
        let needed = written.len() + "?=".len() + if is_open { 0 } else { opening.len() };
        if column + needed > LINE_OCTETS {
            if is_open {
                out.extend_from_slice(b"?=\r\n ");
                column = 1;
            } else if !out[line..].trim_ascii().is_empty() {
                // In place of a blank where there is one: a second would be text.
                if out.last().is_some_and(|octet| b" \t".contains(octet)) {
                    out.pop();
                }
                out.extend_from_slice(b"\r\n ");
                column = 1;
            }
            is_open = false;
        }
        if !is_open {
            out.extend_from_slice(opening.as_bytes());
            column += opening.len();
            is_open = true;
        }
        out.extend_from_slice(written.as_bytes());
        column += written.len();
    }
    if is_open {
        out.extend_from_slice(b"?=");
    }
}

/// What must not be cut: characters, RFC 2047 §5.
fn units<'a>(text: &'a [u8], charset: &str) -> Vec<&'a [u8]> {
    match std::str::from_utf8(text) {
        Ok(text) if charset == "utf-8" => text
            .char_indices()
            .map(|(at, char)| &text.as_bytes()[at..at + char.len_utf8()])
            .collect(),
        _ => text.chunks(1).collect(),
    }
}

/// As the `Q` encoding has it where it is strictest, RFC 2047 §5 (3).
fn written(unit: &[u8]) -> String {
    unit.iter()
        .map(|octet| match octet {
            b' ' => "_".into(),
            octet if octet.is_ascii_alphanumeric() => char::from(*octet).to_string(),
            octet => format!("={octet:02X}"),
        })
        .collect()
}
