//! The structure of content while it goes by: header sections, bodies, delimiters (RFC 2046 §5.1). Both readings walk the
//! same way, and so speak of the same parts.

use super::header::{Header, Kind};
use super::lines::{Lines, Piece};
use super::{FIELD_OCTETS, HEAD_OCTETS, NESTING};
use crate::completion::{is_blank, is_of_mailbox_file, name};
use crate::limits::TEXT_LINE_OCTETS;

/// What a part is walked as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Its body is one.
    Leaf,
    /// Its body is a message.
    Message,
    /// Its body is parts, if a delimiter comes.
    Multipart,
}

/// Where octets of a body stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the body of the last header section; of a multipart no delimiter came yet.
    Body,
    /// Behind the last delimiter of a multipart.
    Epilogue,
}

/// What stands behind the last field of a header section.
#[derive(Clone, Copy)]
pub(super) enum Behind<'a> {
    /// The empty line.
    EmptyLine,
    /// A line of text, or its head, where the empty line is missing.
    Text(&'a [u8]),
    /// A delimiter, or the end of content.
    Nothing,
}

/// Octets of a field.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    /// With its CRLFs.
    pub octets: &'a [u8],
    /// The field begins with them.
    pub begins: bool,
    /// They are all of it, and it may be read.
    pub is_whole: bool,
}

/// Who sees what is walked by.
pub(super) trait Visitor {
    /// A part begins with its header section.
    fn header(&mut self);
    /// A line of a mailbox file stands before the fields.
    fn mailbox_file(&mut self, piece: Piece);
    /// A field of the section, or a piece of one that is too long.
    fn field(&mut self, field: Field);
    /// The section is over.
    fn header_end(&mut self, header: &Header, shape: Shape, behind: Behind);
    /// The next of a body.
    fn body(&mut self, place: Place, piece: Piece);
    /// The body is over: at a delimiter, or at the end of content. `is_divided` says that it is that of a multipart, at
    /// its first delimiter.
    fn body_end(&mut self, place: Place, at_delimiter: bool, is_divided: bool);
    /// A line that is a delimiter.
    fn delimiter(&mut self, piece: Piece);
}

/// What the innermost part is that was descended into.
struct Open {
    /// In delimiters; nothing for a message.
    boundary: Option<Vec<u8>>,
    is_digest: bool,
}

/// One reading.
pub(super) struct Walk<V> {
    lines: Lines,
    steps: Steps<V>,
}

struct Steps<V> {
    visitor: V,
    open: Vec<Open>,
    header: Option<Header>,
    field: PartialField,
    place: Place,
    /// The last part is the innermost that is open: a multipart before its first delimiter.
    is_undivided: bool,
}

/// A field of which more lines may come.
#[derive(Default)]
struct PartialField {
    octets: Vec<u8>,
    is_open: bool,
    is_cut: bool,
}

impl<V: Visitor> Walk<V> {
    pub fn new(mut visitor: V) -> Self {
        visitor.header();
        let first = Header {
            is_of_message: true,
            is_first: true,
            ..Header::default()
        };
        Self {
            lines: Lines::default(),
            steps: Steps {
                visitor,
                open: Vec::new(),
                header: Some(first),
                field: PartialField::default(),
                place: Place::Body,
                is_undivided: false,
            },
        }
    }

    pub fn read(&mut self, slice: &[u8]) {
        let steps = &mut self.steps;
        self.lines.read(slice, &mut |piece| steps.take(piece));
    }

    pub fn visitor(&mut self) -> &mut V {
        &mut self.steps.visitor
    }

    pub fn end(mut self) -> V {
        let steps = &mut self.steps;
        self.lines.end(&mut |piece| steps.take(piece));
        steps.end_headers();
        steps.visitor.body_end(steps.place, false, false);
        self.steps.visitor
    }
}

impl<V: Visitor> Steps<V> {
    fn take(&mut self, piece: Piece) {
        if piece.begins {
            if let Some((level, is_last)) = self.delimiter(piece) {
                return self.divide(level, is_last, piece);
            }
            if self.header.is_some() {
                return self.take_header_line(piece);
            }
        } else if self.header.is_some() {
            return self.go_on_with_field(piece);
        }
        self.visitor.body(self.place, piece);
    }

    /// Which multipart's delimiter a line is, and whether its last one. Of two with one boundary it is the inner one's.
    fn delimiter(&self, piece: Piece) -> Option<(usize, bool)> {
        let is_whole = piece.ends || piece.text.len() < HEAD_OCTETS;
        let text = piece.text.strip_prefix(b"--").filter(|_| is_whole)?;
        let levels = self.open.iter().enumerate().rev();
        levels.into_iter().find_map(|(level, open)| {
            let behind = text.strip_prefix(open.boundary.as_deref()?)?;
            let (padding, is_last) = match behind.strip_prefix(b"--") {
                Some(padding) => (padding, true),
                None => (behind, false),
            };
            padding
                .iter()
                .all(|octet| is_blank(*octet))
                .then_some((level, is_last))
        })
    }

    fn divide(&mut self, level: usize, is_last: bool, piece: Piece) {
        self.end_headers();
        let is_divided = self.is_undivided && level + 1 == self.open.len();
        self.visitor.body_end(self.place, true, is_divided);
        self.is_undivided = false;
        self.visitor.delimiter(piece);
        if is_last {
            self.open.truncate(level);
            self.place = Place::Epilogue;
        } else {
            self.open.truncate(level + 1);
            self.begin_header(false);
        }
    }

    fn begin_header(&mut self, is_of_message: bool) {
        self.visitor.header();
        let is_of_digest = !is_of_message && self.open.last().is_some_and(|open| open.is_digest);
        self.header = Some(Header {
            kind: if is_of_digest {
                Kind::Message
            } else {
                Kind::Text
            },
            is_of_message,
            ..Header::default()
        });
        self.place = Place::Body;
    }

    fn take_header_line(&mut self, piece: Piece) {
        let text = piece.text;
        if self.field.is_open && text.first().is_some_and(|octet| is_blank(*octet)) {
            return self.go_on_with_field(piece);
        }
        self.end_field();
        if text.is_empty() {
            self.end_header(Behind::EmptyLine);
        } else if begins_field(text) {
            self.field.is_open = true;
            self.go_on_with_field(piece);
        } else if is_of_mailbox_file(text)
            && self.header.as_ref().is_some_and(|header| !header.has_field)
        {
            self.visitor.mailbox_file(piece);
        } else {
            self.end_header(Behind::Text(text));
            self.take(piece);
        }
    }

    /// Takes more of the field that is open, or of a line of a mailbox file.
    fn go_on_with_field(&mut self, piece: Piece) {
        if !self.field.is_open {
            return self.visitor.mailbox_file(piece);
        }
        self.field.octets.extend_from_slice(piece.text);
        if piece.ends {
            self.field.octets.extend_from_slice(b"\r\n");
        }
        if self.field.octets.len() > FIELD_OCTETS {
            self.tell_field(false);
            self.field.is_cut = true;
        }
    }

    fn tell_field(&mut self, ended: bool) {
        let octets = std::mem::take(&mut self.field.octets);
        self.visitor.field(Field {
            octets: &octets,
            begins: !self.field.is_cut,
            is_whole: ended && !self.field.is_cut,
        });
    }

    fn end_field(&mut self) {
        if !std::mem::take(&mut self.field.is_open) {
            return;
        }
        if let Some(header) = &mut self.header {
            if self.field.is_cut {
                header.has_field = true;
            } else {
                header.read(&self.field.octets);
            }
        }
        self.tell_field(true);
        self.field.is_cut = false;
    }

    /// Ends the header section that there is, and those that begin at once behind it.
    fn end_headers(&mut self) {
        while self.header.is_some() {
            self.end_header(Behind::Nothing);
        }
    }

    /// Ends the header section that there is, and begins the next where it is a message's.
    fn end_header(&mut self, behind: Behind) {
        self.end_field();
        let Some(header) = self.header.take() else {
            return;
        };
        let has_room = self.open.len() < NESTING;
        let shape = match &header.kind {
            Kind::Multipart(_) if has_room => Shape::Multipart,
            Kind::Message if has_room && header.encoding.is_identity() => Shape::Message,
            _ => Shape::Leaf,
        };
        self.visitor.header_end(&header, shape, behind);
        match (shape, header.kind) {
            (Shape::Multipart, Kind::Multipart(multipart)) => {
                self.open.push(Open {
                    boundary: Some(multipart.boundary),
                    is_digest: multipart.is_digest,
                });
                self.is_undivided = true;
            }
            (Shape::Message, _) => {
                self.open.push(Open {
                    boundary: None,
                    is_digest: false,
                });
                self.begin_header(true);
            }
            _ => {}
        }
    }
}

/// Whether a field begins here: a name, blanks of old (RFC 5322 §4.5), a colon.
fn begins_field(text: &[u8]) -> bool {
    let reach = &text[..text.len().min(TEXT_LINE_OCTETS)];
    let name = name(reach);
    let colon = reach[name.len()..].iter().find(|octet| !is_blank(**octet));
    !name.is_empty() && colon == Some(&b':')
}
