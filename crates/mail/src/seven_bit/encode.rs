//! The encodings of a part's body, RFC 2045 §6.7 and §6.8: from lines as they come to octets below 128.

use super::lines::Piece;
use crate::limits::TEXT_LINE_OCTETS;

/// Longest encoded line without its CRLF, RFC 2045 §6.7 (5) and §6.8.
const LINE_OCTETS: usize = 76;
/// From this column on a soft line break is put into lines of a mended quoted-printable part: they have been too long before.
const MENDED_LINE_OCTETS: usize = 900;
/// What must not begin a line of which it is not known how it goes on: a dot, `From `, a delimiter.
const RISKY: &[u8] = b".F-";
const HEX: &[u8; 16] = b"0123456789ABCDEF";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What becomes of a body.
#[derive(Debug, Default)]
pub(super) enum Encoder {
    /// Nothing, but a `?` for each octet above 127.
    #[default]
    Mask,
    QuotedPrintable(QuotedPrintable),
    Base64(Base64),
    MendedQuotedPrintable(MendedQuotedPrintable),
    MendedBase64(Columns),
}

impl Encoder {
    /// Takes what comes next of the body.
    pub fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        match self {
            Encoder::Mask => super::put_ascii(piece.text, out),
            Encoder::QuotedPrintable(encoder) => return encoder.write(piece, out),
            Encoder::MendedQuotedPrintable(encoder) => return encoder.write(piece, out),
            Encoder::Base64(encoder) => return encoder.write(piece, out),
            // All else is of no meaning there, and the lines are made anew.
            //
            //= https://www.rfc-editor.org/rfc/rfc2045#section-6.8
            //# All line breaks or other
            //# characters not found in Table 1 must be ignored by decoding
            //# software.
            Encoder::MendedBase64(columns) => {
                let has_meaning = |octet: &&u8| **octet == b'=' || BASE64.contains(octet);
                for octet in piece.text.iter().filter(has_meaning) {
                    columns.put(*octet, out);
                }
                return;
            }
        }
        if piece.ends {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Ends the body: the last CRLF was not part of it if a delimiter is next (RFC 2046 §5.1.1).
    pub fn end(self, before_delimiter: bool, out: &mut Vec<u8>) {
        match self {
            Encoder::Mask => {}
            Encoder::QuotedPrintable(encoder) => encoder.end(out),
            Encoder::MendedQuotedPrintable(mut encoder) => encoder.end_line(out),
            Encoder::Base64(encoder) => encoder.end(before_delimiter, out),
            Encoder::MendedBase64(columns) => columns.end(out),
        }
    }
}

fn put_hex(octet: u8, out: &mut Vec<u8>) {
    let (high, low) = (usize::from(octet >> 4), usize::from(octet & 15));
    out.extend_from_slice(&[b'=', HEX[high], HEX[low]]);
}

/// quoted-printable.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    column: usize,
    /// The line was begun by a soft line break.
    is_soft: bool,
    /// A blank that came last: at the end of a line it is encoded.
    blank: Option<u8>,
}

impl QuotedPrintable {
    fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        let mut text = piece.text;
        if piece.begins && (text.starts_with(b"From ") || text.starts_with(b"--")) {
            // The one is mended by who writes mailbox files, the other may be a delimiter to who reads less closely.
            self.put_encoded(text[0], out);
            text = &text[1..];
        }
        for octet in text {
            self.settle(false, out);
            match octet {
                b' ' | b'\t' => self.blank = Some(*octet),
                b'=' => self.put_encoded(b'=', out),
                octet if octet.is_ascii_graphic() => self.put_plain(*octet, out),
                octet => self.put_encoded(*octet, out),
            }
        }
        if piece.ends {
            self.settle(true, out);
            out.extend_from_slice(b"\r\n");
            self.column = 0;
            self.is_soft = false;
        }
    }

    fn end(mut self, out: &mut Vec<u8>) {
        self.settle(true, out);
    }

    //= https://www.rfc-editor.org/rfc/rfc2045#section-6.7
    //# Octets with values of 9 and 32 MAY be
    //# represented as US-ASCII TAB (HT) and SPACE characters,
    //# respectively, but MUST NOT be so represented at the end
    //# of an encoded line.
    fn settle(&mut self, at_end: bool, out: &mut Vec<u8>) {
        match self.blank.take() {
            Some(blank) if at_end => self.put_encoded(blank, out),
            Some(blank) => self.put_plain(blank, out),
            None => {}
        }
    }

    fn put_plain(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.make_room(1, out);
        // Within a line of text it is not known here what follows.
        let is_risky = octet == b'.' || self.is_soft && RISKY.contains(&octet);
        if self.column == 0 && is_risky {
            return self.put_encoded(octet, out);
        }
        out.push(octet);
        self.column += 1;
    }

    fn put_encoded(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.make_room(3, out);
        put_hex(octet, out);
        self.column += 3;
    }

    /// Puts a soft line break where so many octets and one more would be too many.
    fn make_room(&mut self, octets: usize, out: &mut Vec<u8>) {
        if self.column + octets >= LINE_OCTETS {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
            self.is_soft = true;
        }
    }
}

/// base64.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    columns: Columns,
    /// Up to two octets, which wait to be three.
    waiting: Vec<u8>,
    /// A CRLF that came last.
    line_end: bool,
}

impl Base64 {
    fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.line_end, false) {
            self.put(b"\r\n", out);
        }
        self.put(piece.text, out);
        self.line_end = piece.ends;
    }

    pub fn end(mut self, before_delimiter: bool, out: &mut Vec<u8>) {
        if self.line_end && !before_delimiter {
            self.put(b"\r\n", out);
        }
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.put_group(&waiting, out);
        }
        self.columns.end(out);
    }

    pub fn put(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets {
            if let [first, second] = self.waiting[..] {
                self.waiting.clear();
                self.put_group(&[first, second, *octet], out);
            } else {
                self.waiting.push(*octet);
            }
        }
    }

    /// Puts four characters for up to three octets.
    fn put_group(&mut self, group: &[u8], out: &mut Vec<u8>) {
        let octet = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place)) & 63;
            let character = if place <= group.len() {
                BASE64[six as usize]
            } else {
                b'='
            };
            self.columns.put(character, out);
        }
    }
}

/// Lines of encoded octets that mean nothing but themselves.
#[derive(Debug, Default)]
pub(super) struct Columns(usize);

impl Columns {
    fn put(&mut self, octet: u8, out: &mut Vec<u8>) {
        if self.0 == LINE_OCTETS {
            out.extend_from_slice(b"\r\n");
            self.0 = 0;
        }
        out.push(octet);
        self.0 += 1;
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.0 > 0 {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// quoted-printable that has octets which it must not have: they are encoded, and nothing else changes.
#[derive(Debug, Default)]
pub(super) struct MendedQuotedPrintable {
    column: usize,
    /// An equals sign and what came behind it, while that is not known for what it is: up to two octets.
    sign: Vec<u8>,
}

impl MendedQuotedPrintable {
    fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        for octet in piece.text {
            match (&self.sign[..], octet) {
                ([], b'=') => self.sign.push(b'='),
                ([], _) => self.put(*octet, out),
                // A soft line break with blanks behind it.
                ([_], b' ' | b'\t') => self.put_signed(*octet, out),
                ([_], octet) if octet.is_ascii_hexdigit() => self.sign.push(*octet),
                ([_, _], octet) if octet.is_ascii_hexdigit() => self.put_signed(*octet, out),
                _ => {
                    self.settle(out);
                    if *octet == b'=' {
                        self.sign.push(b'=');
                    } else {
                        self.put(*octet, out);
                    }
                }
            }
        }
        if piece.ends {
            self.end_line(out);
            out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        if self.sign == b"=" {
            // A soft line break.
            out.append(&mut self.sign);
        }
        self.settle(out);
    }

    /// Writes an equals sign that says nothing as what most readers take it for: itself.
    fn settle(&mut self, out: &mut Vec<u8>) {
        let sign = std::mem::take(&mut self.sign);
        if let [_, behind @ ..] = &sign[..] {
            self.put_encoded(b'=', out);
            for octet in behind {
                self.put(*octet, out);
            }
        }
    }

    fn put_signed(&mut self, last: u8, out: &mut Vec<u8>) {
        self.sign.push(last);
        self.make_room_in(MENDED_LINE_OCTETS, self.sign.len(), out);
        out.append(&mut self.sign);
    }

    fn put(&mut self, octet: u8, out: &mut Vec<u8>) {
        if octet.is_ascii() {
            // A blank that comes last on a line means nothing, and before a soft line break it would.
            let line_octets = match octet {
                b' ' | b'\t' => TEXT_LINE_OCTETS - 1,
                _ => MENDED_LINE_OCTETS,
            };
            if self.make_room_in(line_octets, 1, out) && RISKY.contains(&octet) {
                self.column += 2;
                put_hex(octet, out);
            } else {
                out.push(octet);
            }
        } else {
            self.put_encoded(octet, out);
        }
    }

    fn put_encoded(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.make_room_in(MENDED_LINE_OCTETS, 3, out);
        put_hex(octet, out);
    }

    /// Makes room for so many octets in a line of so many; whether a soft line break was put before them.
    fn make_room_in(&mut self, line_octets: usize, octets: usize, out: &mut Vec<u8>) -> bool {
        let is_full = self.column + octets > line_octets;
        if is_full {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        self.column += octets;
        is_full
    }
}
