//! A second reading of what a client says, as simple as can be: CRLF ends a command, CRLF.CRLF ends content,
//! each of them is answered once.

use super::{PARAMETERS, is_full};
use mail::limits;

/// What was read so far.
#[derive(Debug, Default)]
pub struct Model {
    /// The command that is not ended yet.
    line: Vec<u8>,
    /// The content that is being read.
    content: Vec<u8>,
    /// Commands and contents that came to their end.
    ended: usize,
    /// Octets of what was said that were looked at.
    heard: usize,
    replies: usize,
    faults: u32,
}

/// RFC 5321 §4.5.3.1.5.
const REPLY_LINE_OCTETS: usize = 512;

impl Model {
    /// What was read of the content that is not ended yet.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Takes what the session used, as commands or as content.
    pub fn read(&mut self, octets: &[u8], as_content: bool) {
        if as_content {
            self.content.extend_from_slice(octets);
            return;
        }
        for octet in octets {
            self.line.push(*octet);
            if self.line.ends_with(b"\r\n") {
                self.line.clear();
                self.ended += 1;
            }
        }
    }

    /// Whether the session thinks that what was read is a whole content, and what it kept of it.
    pub fn agree_on_content(&mut self, ended: bool, kept: Option<(&[u8], bool)>) {
        let ends = self.content == b".\r\n" || self.content.ends_with(b"\r\n.\r\n");
        assert_eq!(ended, ends, "content ends at CRLF.CRLF and nowhere else");
        if !ends {
            return;
        }
        let wire = std::mem::take(&mut self.content);
        self.ended += 1;
        let content = unstuffed(&wire[..wire.len() - 3]);
        let good = is_sound(&wire)
            && content.len() as u64 <= PARAMETERS.content_octets_max
            && hops(&content) <= limits::RECEIVED_FIELDS;
        match kept {
            Some((kept, eight_bit)) => {
                assert!(good, "refused by the model");
                if !is_full(kept) {
                    // Mail was taken: a new count of what goes wrong begins.
                    self.faults = 0;
                }
                assert_eq!(kept, content);
                assert_eq!(eight_bit, !content.is_ascii());
            }
            None => assert!(!good, "good by the model, and not kept"),
        }
    }

    /// Every command and every content was answered once, in lines that SMTP has.
    pub fn agree(&mut self, said: &[u8], closed: bool) {
        let new = std::str::from_utf8(&said[self.heard..]).expect("replies are ASCII");
        self.heard = said.len();
        for line in new.split_inclusive("\r\n") {
            let text = line.strip_suffix("\r\n").expect("lines end in CRLF");
            assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text:?}");
            assert!(line.len() <= REPLY_LINE_OCTETS, "{text:?}");
            let code: u16 = text[..3].parse().expect("three digits");
            assert!((200..600).contains(&code));
            self.replies += usize::from(text.as_bytes()[3] == b' ');
            self.faults += u32::from(matches!(code, 500..=503 | 555));
        }
        assert!(self.faults < PARAMETERS.errors_max || closed);
        if !closed {
            assert_eq!(
                self.replies,
                1 + self.ended,
                "one greeting, one reply to each"
            );
        }
    }
}

/// Dot-stuffing undone, RFC 5321 §4.5.2.
fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut start = true;
    for (place, octet) in wire.iter().enumerate() {
        if !(start && *octet == b'.') {
            content.push(*octet);
        }
        start = wire[..=place].ends_with(b"\r\n");
    }
    content
}

/// No bare CR, no bare LF, no NUL.
pub fn is_sound(octets: &[u8]) -> bool {
    (0..octets.len()).all(|at| match octets[at] {
        b'\r' => octets.get(at + 1) == Some(&b'\n'),
        b'\n' => at > 0 && octets[at - 1] == b'\r',
        octet => octet != 0,
    })
}

/// Received fields of the header section.
fn hops(content: &[u8]) -> usize {
    content
        .split(|b| *b == b'\n')
        .take_while(|line| !matches!(line, [b'\r', ..]))
        .filter(|line| {
            line.get(..9)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"received:"))
        })
        .count()
}
