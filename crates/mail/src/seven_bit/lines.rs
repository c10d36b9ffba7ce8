//! Lines out of slices: each line's head is whole, or as long as [`HEAD_OCTETS`], wherever the slices were cut.

use super::HEAD_OCTETS;

/// Octets of one line.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Without the CRLF.
    pub text: &'a [u8],
    /// They begin the line: all of it is there, or its first [`HEAD_OCTETS`].
    pub begins: bool,
    /// A CRLF is behind them.
    pub ends: bool,
}

/// Makes lines.
#[derive(Default)]
pub(super) struct Lines {
    /// What came and cannot be told yet: a head, or within a line a CR.
    held: Vec<u8>,
    /// The head of a long line was told.
    within: bool,
}

impl Lines {
    /// Takes a slice, and tells what it can.
    pub fn read(&mut self, slice: &[u8], tell: &mut impl FnMut(Piece)) {
        let mut rest = slice;
        while !rest.is_empty() {
            let used = if self.held.is_empty() {
                self.go_on(rest, tell)
            } else {
                self.go_on_held(rest, tell)
            };
            rest = &rest[used..];
        }
    }

    /// Tells what is left.
    pub fn end(&mut self, tell: &mut impl FnMut(Piece)) {
        let held = std::mem::take(&mut self.held);
        // What is held of a line that was not told is as long as a head, or longer by a CR.
        let (front, behind) = held.split_at(held.len().min(HEAD_OCTETS));
        for part in [front, behind] {
            if !part.is_empty() {
                tell(self.piece(part, false));
            }
        }
        self.within = false;
    }

    /// Goes on where nothing is held; how many octets were used.
    fn go_on(&mut self, rest: &[u8], tell: &mut impl FnMut(Piece)) -> usize {
        let window = if self.within {
            rest
        } else {
            &rest[..rest.len().min(HEAD_OCTETS + 2)]
        };
        if let Some(end) = line_end(window) {
            tell(self.piece(&rest[..end], true));
            return end + 2;
        }
        if self.within {
            let text = rest.strip_suffix(b"\r").unwrap_or(rest);
            if !text.is_empty() {
                tell(self.piece(text, false));
            }
            self.held.extend_from_slice(&rest[text.len()..]);
            return rest.len();
        }
        if window.len() == HEAD_OCTETS + 2 {
            tell(self.piece(&rest[..HEAD_OCTETS], false));
            return HEAD_OCTETS;
        }
        self.held.extend_from_slice(rest);
        rest.len()
    }

    /// Goes on where something is held: with as much as a head needs.
    fn go_on_held(&mut self, rest: &[u8], tell: &mut impl FnMut(Piece)) -> usize {
        let before = self.held.len();
        let reach = if self.within { 2 } else { HEAD_OCTETS + 2 };
        let more = &rest[..rest.len().min(reach.saturating_sub(before))];
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(more);
        let used = if self.within {
            // A CR, and what decides whether it is of a line's end.
            let is_end = held == b"\r\n";
            let text: &[u8] = if is_end { b"" } else { b"\r" };
            tell(self.piece(text, is_end));
            if is_end { 2 } else { 1 }
        } else {
            self.go_on(&held, tell)
        };
        match held.get(used..before) {
            // A long head was told, and one octet of what was held is behind it.
            Some(b"\r") => self.held.push(b'\r'),
            Some(text @ [_]) => tell(self.piece(text, false)),
            _ => {}
        }
        used.saturating_sub(before)
    }

    fn piece<'a>(&mut self, text: &'a [u8], ends: bool) -> Piece<'a> {
        let begins = !self.within;
        self.within = !ends;
        Piece { text, begins, ends }
    }
}

/// Where the first CRLF is.
fn line_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let lf = from + text[from..].iter().position(|octet| *octet == b'\n')?;
        if lf > 0 && text[lf - 1] == b'\r' {
            return Some(lf - 1);
        }
        from = lf + 1;
    }
}
