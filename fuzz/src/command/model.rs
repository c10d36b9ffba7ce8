//! A second reading of what a client says, as simple as can be: CRLF ends a command, CRLF.CRLF ends content, so many
//! octets as it was to have end a chunk; each of them is answered once.

use super::login::{Login, Logins};
use super::{Door, PARAMETERS, is_full};
use mail::limits;

/// What was read so far.
#[derive(Debug, Default)]
pub struct Model {
    /// The command that is not ended yet.
    line: Vec<u8>,
    /// The content that is being read.
    content: Vec<u8>,
    /// Octets still to come of the chunk that is being read.
    chunk_left: u64,
    /// All octets of chunks, taken or not, since a transaction began.
    chunks: Vec<u8>,
    logins: Logins,
    /// The code that the line which came last is to have, where that is known.
    wanted: Option<u16>,
    /// What came to its end last.
    last: Last,
    /// Commands, contents and chunks that came to their end.
    ended: usize,
    /// Octets of what was said that were looked at.
    heard: usize,
    replies: usize,
    faults: u32,
}

/// What is being answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Other,
    Hello,
    Mail,
    Chunk,
}

/// RFC 5321 §4.5.3.1.5.
const REPLY_LINE_OCTETS: usize = 512;

impl Model {
    /// Of a session with whoever comes there.
    pub(super) fn new(door: Door) -> Self {
        Self {
            logins: Logins::new(door),
            ..Self::default()
        }
    }

    /// What was read of the content that is not ended yet.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Takes what the session used, as commands or as content.
    pub fn read(&mut self, octets: &[u8], as_content: bool) {
        if self.chunk_left > 0 {
            self.chunks.extend_from_slice(octets);
            self.chunk_left = self.chunk_left.saturating_sub(octets.len() as u64);
            self.ended += usize::from(self.chunk_left == 0);
            return;
        }
        if as_content {
            self.content.extend_from_slice(octets);
            return;
        }
        for octet in octets {
            self.line.push(*octet);
            if self.line.ends_with(b"\r\n") {
                let line = std::mem::take(&mut self.line);
                self.wanted = self.logins.read(&line[..line.len() - 2]);
                // In an exchange no command has a meaning.
                let line = self.wanted.map_or(line, |_| Vec::new());
                let size = chunk_size(&line);
                self.last = match size {
                    Some(_) => Last::Chunk,
                    None if line.starts_with(b"MAIL") => Last::Mail,
                    None if is_hello(&line) => Last::Hello,
                    None => Last::Other,
                };
                self.chunk_left = size.unwrap_or(0);
                self.ended += usize::from(self.chunk_left == 0);
            }
        }
    }

    /// Whether what comes next is of a chunk.
    pub fn in_chunk(&self) -> bool {
        self.chunk_left > 0
    }

    /// The session kept this of what came in chunks.
    pub fn agree_on_chunks(&mut self, kept: &[u8], eight_bit: bool) {
        assert!(self.last == Last::Chunk && !self.in_chunk());
        let octets = std::mem::take(&mut self.chunks);
        assert!(is_sound_in_chunks(&octets), "refused by the model");
        assert_eq!(kept, with_line_ends(&octets));
        assert!(kept.len() as u64 <= PARAMETERS.content_octets_max);
        assert!(hops(kept) <= limits::RECEIVED_FIELDS);
        assert_eq!(eight_bit, !octets.is_ascii());
        if !is_full(kept) {
            self.faults = 0;
        }
    }

    /// What is said of the chunk that came last, and why.
    fn agree_on_refusal(&self, text: &str) {
        let content = with_line_ends(&self.chunks);
        if text.contains("has a bare CR") {
            assert!(!is_sound_in_chunks(&self.chunks), "good by the model");
        } else if text.contains("content too large") {
            assert!(content.len() as u64 > PARAMETERS.content_octets_max);
        } else if text.contains("too many hops") {
            assert!(hops(&content) > limits::RECEIVED_FIELDS);
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
        let unstuffed = unstuffed(&wire[..wire.len() - 3]);
        let (is_sound, content) = if self.logins.is_logged_in() {
            (no_bare_cr(&wire), mended(&unstuffed))
        } else {
            (is_sound(&wire), unstuffed)
        };
        let good = is_sound
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

    /// The same was asked about, in the same order.
    pub fn agree_on_logins(&self, asked: &[Login], closed: bool) {
        assert!(closed || asked == self.logins.asked);
    }

    /// Every command and every content was answered once, in lines that SMTP has.
    pub fn agree(&mut self, said: &[u8], closed: bool) {
        let new = std::str::from_utf8(&said[self.heard..]).expect("replies are ASCII");
        self.heard = said.len();
        for line in new.split_inclusive("\r\n") {
            let text = line.strip_suffix("\r\n").expect("lines end in CRLF");
            assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text:?}");
            // A challenge has the client's nonce in it (RFC 4954 §4).
            let is_challenge = text.starts_with("334 ");
            assert!(
                line.len()
                    <= if is_challenge {
                        limits::LOGIN_LINE_OCTETS
                    } else {
                        REPLY_LINE_OCTETS
                    }
            );
            let code: u16 = text[..3].parse().expect("three digits");
            assert!((200..600).contains(&code));
            let ends = text.as_bytes()[3] == b' ';
            self.replies += usize::from(ends);
            if let Some(wanted) = self.wanted.take_if(|_| ends) {
                Logins::agree(wanted, code, closed);
            }
            self.logins.greeted |= self.last == Last::Hello && code == 250;
            // Of what comes behind a refusal in one go it is no error.
            let counts = !text.contains("the transaction failed")
                && !text.contains("the transaction was refused");
            self.faults += u32::from(matches!(code, 500..=504 | 530 | 535 | 555) && counts);
            if self.last == Last::Mail && code == 250 {
                self.chunks.clear();
            }
            if self.last == Last::Chunk && self.heard > 0 {
                self.agree_on_refusal(text);
            }
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

/// Whether it is EHLO or HELO.
fn is_hello(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|verb| {
        verb.eq_ignore_ascii_case(b"EHLO ") || verb.eq_ignore_ascii_case(b"HELO ")
    })
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

/// No bare CR, no NUL.
fn no_bare_cr(octets: &[u8]) -> bool {
    (0..octets.len()).all(|at| match octets[at] {
        b'\r' => octets.get(at + 1) == Some(&b'\n'),
        octet => octet != 0,
    })
}

/// Every bare LF as CRLF.
fn mended(octets: &[u8]) -> Vec<u8> {
    let mut mended = Vec::new();
    for (at, octet) in octets.iter().enumerate() {
        let is_bare = *octet == b'\n' && !octets[..at].ends_with(b"\r");
        mended.extend_from_slice(if is_bare { b"\r" } else { b"" });
        mended.push(*octet);
    }
    mended
}

/// How many octets BDAT announces, where that can be read.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    if line.len() + 2 > limits::COMMAND_LINE_OCTETS || !line.to_uppercase().starts_with("BDAT ") {
        return None;
    }
    let mut words = line.trim_end_matches([' ', '\t']).split(' ');
    let mut words = words.by_ref().skip(1).filter(|word| !word.is_empty());
    let size = words.next()?;
    let marked = words
        .next()
        .is_none_or(|word| word.to_uppercase() == "LAST");
    let digits = size.bytes().all(|b| b.is_ascii_digit());
    (marked && digits && words.next().is_none())
        .then(|| size.parse().ok())
        .flatten()
}

/// No bare CR, no NUL; what the last line lacks of its end is given to it.
pub fn is_sound_in_chunks(octets: &[u8]) -> bool {
    (0..octets.len()).all(|at| match octets[at] {
        b'\r' => octets.get(at + 1).is_none_or(|next| *next == b'\n'),
        octet => octet != 0,
    })
}

/// Every line, and the last, ended by CRLF.
pub fn with_line_ends(octets: &[u8]) -> Vec<u8> {
    let lines = octets.split_inclusive(|b| *b == b'\n');
    let bare = lines.map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    });
    bare.flat_map(|line| [line, b"\r\n"].concat()).collect()
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
