//! The second reading: what is written.

use super::encode::Encoder;
use super::header::{Encoding, Header, Kind, encoding, is_encoding, value};
use super::lines::Piece;
use super::plan::{Decision, Plan};
use super::walk::{Behind, Field, Place, Shape, Visitor, Walk};
use super::{put_ascii, words};

/// Writes content that was read before, in seven bits. It has no `Debug`, for it holds content.
pub struct Conversion {
    walk: Walk<Writer>,
}

impl Conversion {
    /// By the plan that was made of this content.
    pub fn new(plan: Plan) -> Self {
        Self {
            walk: Walk::new(Writer {
                plan,
                part: 0,
                decision: Decision::Leave,
                has_label: false,
                is_dropping: false,
                encoder: Encoder::default(),
                out: Vec::new(),
            }),
        }
    }

    /// Takes the next slice of content, and puts behind `out` what can be written by now.
    pub fn write(&mut self, slice: &[u8], out: &mut Vec<u8>) {
        std::mem::swap(&mut self.walk.visitor().out, out);
        self.walk.read(slice);
        std::mem::swap(&mut self.walk.visitor().out, out);
    }

    /// Puts the last behind `out`.
    pub fn end(mut self, out: &mut Vec<u8>) {
        std::mem::swap(&mut self.walk.visitor().out, out);
        *out = self.walk.end().out;
    }
}

struct Writer {
    plan: Plan,
    /// Parts so far.
    part: usize,
    /// What the plan has for the last of them.
    decision: Decision,
    /// Its Content-Transfer-Encoding was written anew.
    has_label: bool,
    /// Pieces of a long field are left out.
    is_dropping: bool,
    encoder: Encoder,
    out: Vec<u8>,
}

impl Writer {
    fn put_label(&mut self, label: &str) {
        self.put_field("Content-Transfer-Encoding", label);
        self.has_label = true;
    }

    fn put_field(&mut self, name: &str, body: &str) {
        for text in [name, ": ", body, "\r\n"] {
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    /// Whether a Content-Transfer-Encoding goes, and another comes in its place.
    fn replaces(&mut self, field: Field) -> bool {
        match self.decision {
            // What it is to say is known at the end of the section.
            Decision::Unplanned => true,
            decision => {
                let Some(label) = decision.label() else {
                    return false;
                };
                let is_right = label == "7bit"
                    && field.is_whole
                    && encoding(value(field.octets)) == Encoding::SevenBit;
                if !is_right && !self.has_label {
                    self.put_label(label);
                }
                !is_right || std::mem::replace(&mut self.has_label, true)
            }
        }
    }
}

impl Visitor for Writer {
    fn header(&mut self) {
        self.decision = self.plan.decision(self.part);
        self.part += 1;
        self.has_label = false;
    }

    fn mailbox_file(&mut self, piece: Piece) {
        Encoder::Mask.write(piece, &mut self.out);
    }

    fn field(&mut self, field: Field) {
        if field.begins {
            self.is_dropping = is_encoding(field.octets) && self.replaces(field);
        }
        if self.is_dropping {
            return;
        }
        if field.is_whole {
            words::write(field.octets, &mut self.out);
        } else {
            put_ascii(field.octets, &mut self.out);
        }
    }

    fn header_end(&mut self, header: &Header, shape: Shape, behind: Behind) {
        if self.decision == Decision::Unplanned {
            self.decision = Decision::unplanned(header, shape);
            let label = match self.decision {
                Decision::MendQuotedPrintable => Some("quoted-printable"),
                Decision::MendBase64 => Some("base64"),
                decision => decision.label(),
            };
            if let Some(label) = label {
                self.put_label(label);
            }
        } else if self.decision.encodes() && !self.has_label {
            self.put_label(if self.decision == Decision::Base64 {
                "base64"
            } else {
                "quoted-printable"
            });
        }
        let encodes = self.decision.encodes();
        // Which charset it is nobody has said; RFC 1428 §3.
        let adds_type = encodes && !header.has_type && header.kind == Kind::Text;
        if adds_type {
            self.put_field("Content-Type", "text/plain; charset=unknown-8bit");
        }
        let says_something = encodes || matches!(header.kind, Kind::Multipart(_));
        let adds_version = header.is_of_message
            && !header.has_version
            && says_something
            && self.plan.needs_version();
        if adds_version {
            self.put_field("MIME-Version", "1.0");
        }
        // Fields that are put in behind a message's section must not become fields of it.
        let next = self.plan.decision(self.part);
        let adds_below = shape == Shape::Message && (next.encodes() || next == Decision::Unplanned);
        let puts_in = self.has_label || adds_type || adds_version || adds_below;
        let ends = match behind {
            Behind::EmptyLine => true,
            // Without the octets that made it text it could be a field.
            Behind::Text(line) => puts_in || !line.is_ascii(),
            // Behind an empty line the delimiter could be this part's own.
            Behind::Nothing => false,
        };
        if ends {
            self.out.extend_from_slice(b"\r\n");
        }
        self.encoder = self.decision.encoder();
    }

    fn body(&mut self, place: Place, piece: Piece) {
        match place {
            Place::Body => self.encoder.write(piece, &mut self.out),
            Place::Epilogue => Encoder::Mask.write(piece, &mut self.out),
        }
    }

    fn body_end(&mut self, place: Place, at_delimiter: bool, _: bool) {
        if place == Place::Body {
            std::mem::take(&mut self.encoder).end(at_delimiter, &mut self.out);
        }
    }

    fn delimiter(&mut self, piece: Piece) {
        Encoder::Mask.write(piece, &mut self.out);
    }
}
