//! Cuts command lines out of what the socket gave. Only CRLF ends a line (RFC 5321 §2.3.8).

use mail::limits::COMMAND_LINE_OCTETS;

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line, without its CRLF, and how many octets it took with it.
    Whole(&'a [u8], usize),
    /// A line beyond its limit; the reader drops octets until its CRLF. How many were dropped so far.
    TooLong(usize),
    /// The rest of a line that was too long; its CRLF is included in the count. Commands follow.
    EndOfTooLong(usize),
    /// No whole line yet.
    Partial,
}

/// Remembers whether a line that was too long is still going on, and how its last octet looked.
#[derive(Debug, Default)]
pub struct Lines {
    dropping: bool,
    after_cr: bool,
}

impl Lines {
    /// Looks at the front of `input`, which begins where the last line ended.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Line<'a> {
        if self.dropping {
            return self.drop_line(input);
        }
        let within = &input[..input.len().min(COMMAND_LINE_OCTETS)];
        let mut from = 0;
        while let Some(place) = memchr::memchr(b'\n', &within[from..]).map(|p| p + from) {
            if place > 0 && within[place - 1] == b'\r' {
                return Line::Whole(&within[..place - 1], place + 1);
            }
            // A bare LF stays in the line, where the command parser refuses it.
            from = place + 1;
        }
        if input.len() < COMMAND_LINE_OCTETS {
            return Line::Partial;
        }
        self.dropping = true;
        self.after_cr = within.last() == Some(&b'\r');
        Line::TooLong(within.len())
    }

    fn drop_line<'a>(&mut self, input: &'a [u8]) -> Line<'a> {
        for (place, &byte) in input.iter().enumerate() {
            if byte == b'\n' && self.after_cr {
                *self = Self::default();
                return Line::EndOfTooLong(place + 1);
            }
            self.after_cr = byte == b'\r';
        }
        if input.is_empty() {
            Line::Partial
        } else {
            Line::TooLong(input.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crlf_ends_a_line() {
        let mut lines = Lines::default();
        assert_eq!(lines.next(b"NOOP\r\nQUIT"), Line::Whole(b"NOOP", 6));
        assert_eq!(
            lines.next(b"NOOP\nQUIT\r\n"),
            Line::Whole(b"NOOP\nQUIT", 11)
        );
        assert_eq!(lines.next(b"NOOP\r"), Line::Partial);
        assert_eq!(lines.next(b"\n\r\n"), Line::Whole(b"\n", 3));
    }

    #[test]
    fn a_line_beyond_the_limit_is_dropped_to_its_end() {
        let mut lines = Lines::default();
        let mut input = vec![b'x'; COMMAND_LINE_OCTETS - 1];
        input.push(b'\r');
        assert_eq!(lines.next(&input), Line::TooLong(COMMAND_LINE_OCTETS));
        assert_eq!(lines.next(b"\nNOOP\r\n"), Line::EndOfTooLong(1));
        assert_eq!(lines.next(b"NOOP\r\n"), Line::Whole(b"NOOP", 6));
        let longest = [vec![b'x'; COMMAND_LINE_OCTETS - 2], b"\r\n".to_vec()].concat();
        assert!(matches!(
            lines.next(&longest),
            Line::Whole(_, COMMAND_LINE_OCTETS)
        ));
    }
}
