//! Cuts command lines out of what the socket gave. Only CRLF ends a line (RFC 5321 §2.3.8).

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line, without its CRLF, and how many octets it took with it.
    Whole(&'a [u8], usize),
    /// A line beyond its limit; the reader drops octets until its CRLF. How many were dropped so far.
    TooLong(usize),
    /// The rest of a line that was too long; its CRLF is included in the count. Commands follow. With it the limit that the
    /// line was beyond.
    EndOfTooLong(usize, usize),
    /// No whole line yet.
    Partial,
}

/// Remembers whether a line that was too long is still going on, beyond which limit, and how its last octet looked.
#[derive(Debug, Default)]
pub struct Lines {
    dropping: Option<usize>,
    after_cr: bool,
}

/// How a record of a TLS handshake begins (RFC 8446 §5.1), and no command line.
pub const TLS_HANDSHAKE: u8 = 22;

impl Lines {
    /// Whether what comes next is the first octet of a line.
    pub fn is_at_start(&self) -> bool {
        self.dropping.is_none()
    }

    /// Looks at the front of `input`, which begins where the last line ended. A line that begins there may have so many
    /// octets, its CRLF among them.
    pub fn next<'a>(&mut self, input: &'a [u8], octets_max: usize) -> Line<'a> {
        if let Some(octets_max) = self.dropping {
            return self.drop_line(input, octets_max);
        }
        let within = &input[..input.len().min(octets_max)];
        let mut from = 0;
        while let Some(place) = memchr::memchr(b'\n', &within[from..]).map(|p| p + from) {
            if place > 0 && within[place - 1] == b'\r' {
                return Line::Whole(&within[..place - 1], place + 1);
            }
            // A bare LF stays in the line, where the command parser refuses it.
            from = place + 1;
        }
        if input.len() < octets_max {
            return Line::Partial;
        }
        self.dropping = Some(octets_max);
        self.after_cr = within.last() == Some(&b'\r');
        Line::TooLong(within.len())
    }

    fn drop_line<'a>(&mut self, input: &'a [u8], octets_max: usize) -> Line<'a> {
        for (place, &byte) in input.iter().enumerate() {
            if byte == b'\n' && self.after_cr {
                *self = Self::default();
                return Line::EndOfTooLong(place + 1, octets_max);
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
    use mail::limits::COMMAND_LINE_OCTETS as MAX;

    #[test]
    fn only_crlf_ends_a_line() {
        let mut lines = Lines::default();
        assert_eq!(lines.next(b"NOOP\r\nQUIT", MAX), Line::Whole(b"NOOP", 6));
        assert_eq!(
            lines.next(b"NOOP\nQUIT\r\n", MAX),
            Line::Whole(b"NOOP\nQUIT", 11)
        );
        assert_eq!(lines.next(b"NOOP\r", MAX), Line::Partial);
        assert_eq!(lines.next(b"\n\r\n", MAX), Line::Whole(b"\n", 3));
    }

    #[test]
    fn a_line_beyond_the_limit_is_dropped_to_its_end() {
        let mut lines = Lines::default();
        let mut input = vec![b'x'; MAX - 1];
        input.push(b'\r');
        assert_eq!(lines.next(&input, MAX), Line::TooLong(MAX));
        assert_eq!(lines.next(b"\nNOOP\r\n", MAX), Line::EndOfTooLong(1, MAX));
        assert_eq!(lines.next(b"NOOP\r\n", MAX), Line::Whole(b"NOOP", 6));
        let longest = [vec![b'x'; MAX - 2], b"\r\n".to_vec()].concat();
        assert!(matches!(lines.next(&longest, MAX), Line::Whole(_, MAX)));
    }
}
