//! The first reading: how each part is to be written.

use super::PARTS;
use super::encode::{Base64, Columns, Encoder, MendedQuotedPrintable, QuotedPrintable};
use super::header::{Encoding, Header, Kind};
use super::lines::Piece;
use super::walk::{Behind, Field, Place, Shape, Visitor, Walk};
use crate::limits::TEXT_LINE_OCTETS;

/// How a part is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// As it came.
    Leave,
    /// As it came, but it says 7bit.
    Label,
    /// It is descended into, and says 7bit.
    Descend,
    QuotedPrintable,
    Base64,
    MendQuotedPrintable,
    MendBase64,
    /// Not looked at: by what it says of itself.
    Unplanned,
}

impl Decision {
    /// What its Content-Transfer-Encoding is to say; nothing where it stays.
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Label | Self::Descend => Some("7bit"),
            Self::QuotedPrintable => Some("quoted-printable"),
            Self::Base64 => Some("base64"),
            Self::Leave | Self::MendQuotedPrintable | Self::MendBase64 | Self::Unplanned => None,
        }
    }

    /// Whether the body gets an encoding that it had not.
    pub fn encodes(self) -> bool {
        matches!(self, Self::QuotedPrintable | Self::Base64)
    }

    /// Whether the body changes.
    pub fn converts(self) -> bool {
        self.encodes() || matches!(self, Self::MendQuotedPrintable | Self::MendBase64)
    }

    /// What writes the body.
    pub fn encoder(self) -> Encoder {
        match self {
            Self::Leave | Self::Label | Self::Descend | Self::Unplanned => Encoder::Mask,
            Self::QuotedPrintable => Encoder::QuotedPrintable(QuotedPrintable::default()),
            Self::Base64 => Encoder::Base64(Base64::default()),
            Self::MendQuotedPrintable => {
                Encoder::MendedQuotedPrintable(MendedQuotedPrintable::default())
            }
            Self::MendBase64 => Encoder::MendedBase64(Columns::default()),
        }
    }

    /// Of a part that was not looked at.
    pub fn unplanned(header: &Header, shape: Shape) -> Self {
        match (shape, header.encoding) {
            (Shape::Message | Shape::Multipart, _) => Self::Descend,
            (Shape::Leaf, Encoding::QuotedPrintable) => Self::MendQuotedPrintable,
            (Shape::Leaf, Encoding::Base64) => Self::MendBase64,
            (Shape::Leaf, _) if header.kind != Kind::Other => Self::QuotedPrintable,
            (Shape::Leaf, _) => Self::Base64,
        }
    }
}

/// How content is written for a next hop that takes seven bits only.
#[derive(Debug)]
pub struct Plan {
    decisions: Vec<Decision>,
    /// Parts whose body changes, as far as they were counted.
    parts: u32,
    /// There are parts that were not looked at.
    is_partial: bool,
    is_signed: bool,
    has_signed_part: bool,
}

impl Plan {
    /// How many parts change, of the first [`PARTS`].
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// Whether a signature stands in the content that does not hold any more for what is written: DKIM's (RFC 6376), or that
    /// of a multipart/signed where parts change.
    pub fn breaks_signature(&self) -> bool {
        self.is_signed || self.has_signed_part && self.parts > 0
    }

    pub(super) fn decision(&self, part: usize) -> Decision {
        self.decisions
            .get(part)
            .copied()
            .unwrap_or(Decision::Unplanned)
    }

    /// Whether MIME is needed to read what is written.
    pub(super) fn needs_version(&self) -> bool {
        self.parts > 0 || self.is_partial
    }
}

/// Reads content for the first time.
pub struct Survey {
    walk: Walk<Surveyor>,
}

impl Default for Survey {
    fn default() -> Self {
        let plan = Plan {
            decisions: Vec::new(),
            parts: 0,
            is_partial: false,
            is_signed: false,
            has_signed_part: false,
        };
        Self {
            walk: Walk::new(Surveyor {
                plan,
                part: 0,
                header: None,
                facts: Facts::default(),
            }),
        }
    }
}

impl Survey {
    /// Takes the next slice of content.
    pub fn read(&mut self, slice: &[u8]) {
        self.walk.read(slice);
    }

    /// Takes note that nothing more comes.
    pub fn end(self) -> Plan {
        self.walk.end().plan
    }
}

struct Surveyor {
    plan: Plan,
    /// Parts so far.
    part: usize,
    /// The last header section, while its body is not over.
    header: Option<Header>,
    /// Of that body.
    facts: Facts,
}

impl Surveyor {
    fn decide(&mut self, decision: Decision) {
        if let Some(decided) = self.plan.decisions.get_mut(self.part - 1) {
            *decided = decision;
            self.plan.parts += u32::from(decision.converts());
        }
    }
}

impl Visitor for Surveyor {
    fn header(&mut self) {
        self.part += 1;
        if self.part <= PARTS {
            self.plan.decisions.push(Decision::Leave);
        } else {
            self.plan.is_partial = true;
        }
    }

    fn mailbox_file(&mut self, _: Piece) {}

    fn field(&mut self, _: Field) {}

    fn header_end(&mut self, header: &Header, shape: Shape, _: Behind) {
        self.plan.is_signed |= header.is_first && header.is_signed;
        if let Kind::Multipart(multipart) = &header.kind {
            self.plan.has_signed_part |= multipart.is_signed;
        }
        self.facts = Facts::default();
        self.header = Some(header.clone()).filter(|_| shape != Shape::Message);
        if shape == Shape::Message {
            self.decide(Decision::Descend);
        }
    }

    fn body(&mut self, place: Place, piece: Piece) {
        if place == Place::Body {
            self.facts.count(piece);
        }
    }

    fn body_end(&mut self, _: Place, _: bool, is_divided: bool) {
        let Some(header) = self.header.take() else {
            return;
        };
        self.decide(if is_divided {
            Decision::Descend
        } else {
            self.facts.decide(&header)
        });
    }

    fn delimiter(&mut self, _: Piece) {}
}

/// What was seen of a body.
#[derive(Default)]
struct Facts {
    octets: u64,
    /// Octets above 127.
    eight_bit: u64,
    /// Octets that quoted-printable writes with three, those among them.
    costly: u64,
    line_octets: usize,
    /// A line is too long, or there is a NUL, a CR or an LF that ends no line: not even seven bits are enough to send it.
    is_binary: bool,
}

impl Facts {
    fn count(&mut self, piece: Piece) {
        if piece.begins {
            self.line_octets = 0;
        }
        self.line_octets = self.line_octets.saturating_add(piece.text.len());
        self.is_binary |= self.line_octets > TEXT_LINE_OCTETS;
        self.octets = self.octets.saturating_add(piece.text.len() as u64);
        for octet in piece.text {
            match octet {
                0x80.. => {
                    self.eight_bit += 1;
                    self.costly += 1;
                }
                b'\0' | b'\r' | b'\n' => {
                    self.is_binary = true;
                    self.costly += 1;
                }
                b'\t' | b' '..=b'<' | b'>'..=b'~' => {}
                _ => self.costly += 1,
            }
        }
    }

    fn decide(&self, header: &Header) -> Decision {
        let is_eight_bit = self.eight_bit > 0;
        // One octet in six: there base64 becomes the shorter one.
        let is_mostly_ascii = self.costly.saturating_mul(6) <= self.octets;
        let encoded = if header.kind != Kind::Other || is_mostly_ascii {
            Decision::QuotedPrintable
        } else {
            Decision::Base64
        };
        match header.encoding {
            Encoding::QuotedPrintable if is_eight_bit => Decision::MendQuotedPrintable,
            Encoding::Base64 if is_eight_bit => Decision::MendBase64,
            Encoding::QuotedPrintable | Encoding::Base64 => Decision::Leave,
            Encoding::EightBit | Encoding::Binary if self.is_binary => encoded,
            _ if is_eight_bit => encoded,
            Encoding::EightBit | Encoding::Binary => Decision::Label,
            Encoding::SevenBit | Encoding::Unknown => Decision::Leave,
        }
    }
}
