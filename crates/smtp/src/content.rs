//! Content as it crosses the wire. After DATA, RFC 5321 §4.5.2: dot-stuffing undone while it is read,
//! done while it is written. Only CRLF.CRLF ends content; a bare CR, a bare LF and a NUL are noted, and
//! what has one is read to its end and then refused, so that no two readers can see two messages in it.
//! Of our own users a bare LF is taken for the end of a line that was meant, and becomes CRLF; it ends nothing else.
//! In chunks, RFC 3030 §2: its length ends it, a dot is a dot, and a bare LF becomes CRLF (`docs/adr/0031`).

use memchr::memchr3;

/// What is wrong with content that was read; the first fault counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A CR that no LF follows.
    BareCr,
    /// An LF that no CR precedes.
    BareLf,
    /// An octet of value 0.
    Nul,
    /// More octets than may come.
    TooLarge,
}

/// How far [`Content::read`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All octets given were taken and content goes on.
    More,
    /// Content ended after this many of the octets given; the rest are commands.
    Ended(usize),
}

/// Where in a line the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a line: after 354, or after CRLF.
    LineStart,
    /// Behind a dot that began a line; the dot is held back.
    Dot,
    /// Behind a dot and a CR that began a line; both are held back.
    DotCr,
    /// Within a line.
    Within,
    /// Behind a CR within a line; the CR is held back.
    Cr,
}

/// Reads one content, by [`Content::read`] after DATA, by [`Content::read_chunk`] and [`Content::end`] after
/// BDAT. Make a new one for each message.
#[derive(Debug)]
pub struct Content {
    place: Place,
    fault: Option<Fault>,
    octets: u64,
    octets_max: u64,
    eight_bit: bool,
    /// Whether a bare LF becomes CRLF after DATA too.
    mends_lines: bool,
}

impl Content {
    /// A reader that takes at most `octets_max` octets, counted as SIZE counts them (RFC 1870 §3:
    /// CRLFs count, dots added for transparency do not).
    pub fn new(octets_max: u64) -> Self {
        Self {
            place: Place::LineStart,
            fault: None,
            octets: 0,
            octets_max,
            eight_bit: false,
            mends_lines: false,
        }
    }

    /// The same for content of a client of ours, whose programs write LF for CRLF (RFC 6409 §8): a bare LF becomes CRLF. It
    /// does not begin a line of the wire, so that what follows it can neither end the content nor be unstuffed.
    pub fn mending_lines(octets_max: u64) -> Self {
        Self {
            mends_lines: true,
            ..Self::new(octets_max)
        }
    }

    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Octets of content so far, dot-stuffing undone.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether an octet above 127 was seen.
    pub fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Reads octets from the wire and puts the content they carry behind `out`. Once a fault was seen
    /// nothing more is put there: the content will be refused.
    pub fn read(&mut self, wire: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while at < wire.len() {
            let byte = wire[at];
            match (self.place, byte) {
                (Place::LineStart, b'.') => self.place = Place::Dot,
                (Place::Dot, b'\r') => self.place = Place::DotCr,
                (Place::DotCr, b'\n') => return Progress::Ended(at + 1),
                (Place::DotCr, _) => {
                    // ".CR" and something else: the dot was stuffing, the CR is bare.
                    self.flaw(Fault::BareCr);
                    self.place = Place::Within;
                    continue;
                }
                (Place::Cr, b'\n') => {
                    self.put(b"\r\n", out);
                    self.place = Place::LineStart;
                }
                (Place::Cr, _) => {
                    self.flaw(Fault::BareCr);
                    self.place = Place::Within;
                    continue;
                }
                (Place::LineStart | Place::Within, b'\r') => self.place = Place::Cr,
                (_, b'\n') => {
                    // A bare LF does not begin a line: what follows it can neither end the content
                    // nor be unstuffed.
                    if self.mends_lines {
                        self.put(b"\r\n", out);
                    } else {
                        self.flaw(Fault::BareLf);
                    }
                    self.place = Place::Within;
                }
                (_, 0) => {
                    self.flaw(Fault::Nul);
                    self.place = Place::Within;
                }
                _ => {
                    // A dot that began a line is dropped here: something else follows it (§4.5.2).
                    at += self.put_run(&wire[at..], out);
                    continue;
                }
            }
            at += 1;
        }
        Progress::More
    }

    /// Reads octets of a chunk, all of which are content, and puts them behind `out` with every line ended by CRLF.
    /// A CR that comes last waits for the LF that the next chunk may begin with. Faults are as in [`Content::read`].
    pub fn read_chunk(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        while at < octets.len() {
            match (self.place, octets[at]) {
                (_, b'\n') => {
                    self.put(b"\r\n", out);
                    self.place = Place::LineStart;
                }
                (Place::Cr, _) => {
                    self.flaw(Fault::BareCr);
                    self.place = Place::Within;
                    continue;
                }
                (_, b'\r') => self.place = Place::Cr,
                (_, 0) => {
                    self.flaw(Fault::Nul);
                    self.place = Place::Within;
                }
                _ => {
                    at += self.put_run(&octets[at..], out);
                    continue;
                }
            }
            at += 1;
        }
    }

    /// Ends content that came in chunks: a last line without an end, or with half of one, gets one.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        match self.place {
            Place::LineStart => {}
            Place::Within | Place::Cr | Place::Dot | Place::DotCr => self.put(b"\r\n", out),
        }
        self.place = Place::LineStart;
    }

    /// Takes octets up to the next that may end a line or is a fault; how many.
    fn put_run(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let run = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        self.put(&rest[..run], out);
        self.place = Place::Within;
        run
    }

    fn flaw(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn put(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        if self.octets > self.octets_max {
            self.flaw(Fault::TooLarge);
        }
        if self.fault.is_none() {
            self.eight_bit |= !octets.is_ascii();
            out.extend_from_slice(octets);
        }
    }
}

/// Writes content for the wire: each line that begins with a dot gets another, and CRLF.CRLF ends it.
/// Content that does not end in CRLF gets one (RFC 5321 §4.1.1.4).
#[derive(Debug)]
pub struct Stuffing {
    line_start: bool,
    after_cr: bool,
}

impl Default for Stuffing {
    fn default() -> Self {
        Self {
            line_start: true,
            after_cr: false,
        }
    }
}

impl Stuffing {
    /// Puts the next piece of content behind `wire`.
    pub fn write(&mut self, content: &[u8], wire: &mut Vec<u8>) {
        let mut rest = content;
        while !rest.is_empty() {
            if self.line_start && rest[0] == b'.' {
                wire.push(b'.');
            }
            // A line ends at CRLF only; the CR may have come with the piece before.
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |place| place + 1);
            let (line, next) = rest.split_at(end);
            wire.extend_from_slice(line);
            self.line_start = match line {
                [b'\n'] => self.after_cr,
                [.., b'\r', b'\n'] => true,
                _ => false,
            };
            self.after_cr = line.last() == Some(&b'\r');
            rest = next;
        }
    }

    /// Ends the content.
    pub fn end(self, wire: &mut Vec<u8>) {
        wire.extend_from_slice(if self.line_start {
            b".\r\n"
        } else {
            b"\r\n.\r\n"
        });
    }
}

#[cfg(test)]
mod tests;
