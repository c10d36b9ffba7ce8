//! A header section's end and its fields, RFC 5322 §2.2, with the obsolete blanks before the colon (§4.5).

use crate::limits::TEXT_LINE_OCTETS;

/// Where a header section stands in content. Both places are 0 where there is none.
pub(super) struct Section {
    /// Its first field; what is before it are lines of a mailbox file.
    pub start: usize,
    /// Behind its last field: at the empty line, if there is one.
    pub end: usize,
    /// Whether text stands there instead of an empty line.
    pub runs_into_text: bool,
}

/// Looks for the end of the header section in content that grows.
#[derive(Default)]
pub(super) struct Search {
    /// Where the line begins that is looked at.
    line: usize,
    /// How far its end was looked for.
    seen: usize,
    /// Where the first field begins.
    first: Option<usize>,
}

/// What a line is.
enum Line {
    /// A field begins.
    Field,
    /// It begins with a blank: a field goes on (RFC 5322 §2.2.3).
    Folded,
    /// The empty line.
    Empty,
    /// There is none: content ended before it.
    Missing,
    /// Neither.
    Text,
}

impl Search {
    /// Goes on in `content`, which is what was there the last time and what came since; `ended` says that nothing more
    /// comes. Gives the section when its end is in there: always, where content ended.
    pub(super) fn go_on(&mut self, content: &[u8], ended: bool) -> Option<Section> {
        loop {
            let rest = &content[self.line..];
            match (Line::read(rest, ended)?, self.first) {
                (Line::Field, None) => self.first = Some(self.line),
                (Line::Field | Line::Folded, Some(_)) => {}
                (Line::Text, None) if is_of_mailbox_file(rest) => {}
                (line, _) => return Some(self.section(&line)),
            }
            // A CR that was seen may have got its LF.
            let from = self.line.max(self.seen.saturating_sub(1));
            self.line = match line_end(content, from) {
                Some(end) => end,
                None if ended => content.len(),
                None => {
                    self.seen = content.len();
                    return None;
                }
            };
        }
    }

    /// The section that ends before `line`.
    fn section(&self, line: &Line) -> Section {
        let ends_well = matches!(line, Line::Empty | Line::Missing);
        match self.first {
            Some(start) => Section {
                start,
                end: self.line,
                runs_into_text: !ends_well,
            },
            // Lines as of a mailbox file with no field behind them are text.
            None => Section {
                start: 0,
                end: 0,
                runs_into_text: !ends_well || self.line > 0,
            },
        }
    }
}

impl Line {
    /// What begins here, as soon as that can be said.
    fn read(rest: &[u8], ended: bool) -> Option<Line> {
        match rest {
            [] => return ended.then_some(Line::Missing),
            [b'\r'] if !ended => return None,
            [b'\r', b'\n', ..] => return Some(Line::Empty),
            [b' ' | b'\t', ..] => return Some(Line::Folded),
            _ => {}
        }
        // A name that is longer than a line may be is none.
        let reach = &rest[..rest.len().min(TEXT_LINE_OCTETS)];
        let behind_name = &reach[name(reach).len()..];
        let behind_blanks = behind_name.iter().find(|octet| !is_blank(**octet));
        match behind_blanks {
            Some(b':') if reach[0] != b':' => Some(Line::Field),
            None if reach.len() < TEXT_LINE_OCTETS && !ended => None,
            _ => Some(Line::Text),
        }
    }
}

/// The fields of a header section one by one, each with its folded lines and its CRLF.
pub(super) fn fields(mut section: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let next_line = |at| line_end(section, at).unwrap_or(section.len());
        let mut end = next_line(0);
        while section.get(end).is_some_and(|octet| is_blank(*octet)) {
            end = next_line(end);
        }
        let (field, rest) = section.split_at(end);
        section = rest;
        (!field.is_empty()).then_some(field)
    })
}

/// Whether a field has this name, in any case (RFC 5322 §1.2.2).
pub(crate) fn is_named(field: &[u8], wanted: &str) -> bool {
    name(field).eq_ignore_ascii_case(wanted.as_bytes())
}

/// Whether a header section has a field of this name.
pub(super) fn has(section: &[u8], wanted: &str) -> bool {
    fields(section).any(|field| is_named(field, wanted))
}

/// What could be a field's name at the front: printable ASCII without the colon, RFC 5322 §3.6.8.
pub(crate) fn name(line: &[u8]) -> &[u8] {
    let is_of_name = |octet: &u8| octet.is_ascii_graphic() && *octet != b':';
    let end = line.iter().position(|octet| !is_of_name(octet));
    &line[..end.unwrap_or(line.len())]
}

pub(crate) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Whether a line is of a mailbox file: `From ann Mon …`, `>From …` (RFC 4155).
pub(crate) fn is_of_mailbox_file(line: &[u8]) -> bool {
    line.strip_prefix(b">")
        .unwrap_or(line)
        .starts_with(b"From ")
}

/// The place behind the next CRLF.
fn line_end(content: &[u8], from: usize) -> Option<usize> {
    let mut pairs = content[from..].windows(2);
    pairs
        .position(|pair| pair == b"\r\n")
        .map(|at| from + at + 2)
}
