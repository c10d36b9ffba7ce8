//! Counts the Received fields of content as it comes: the loop detection of RFC 5321 §6.3.

/// The field's name with its colon, in lower case.
const NAME: &[u8] = b"received:";

/// Looks at content in pieces, until the empty line that ends the header section.
#[derive(Debug, Default)]
pub struct Hops {
    count: usize,
    /// Octets of the line so far, up to one more than the name has.
    column: usize,
    /// Whether all of them so far were the name's.
    matches: bool,
    /// Behind the header section, or too far into a section that has no end.
    done: bool,
    octets: usize,
}

impl Hops {
    /// How many were seen.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes the next piece of content, dot-stuffing undone, lines ended by CRLF.
    pub fn read(&mut self, piece: &[u8]) {
        for &byte in piece {
            if self.done {
                return;
            }
            self.octets += 1;
            self.done = self.octets > mail::limits::HEADER_SECTION_OCTETS;
            match byte {
                // A CR as the first octet of a line: the empty line.
                b'\r' if self.column == 0 => self.done = true,
                b'\n' => self.column = 0,
                _ => {
                    self.matches = (self.column == 0 || self.matches)
                        && NAME.get(self.column) == Some(&byte.to_ascii_lowercase());
                    self.column = (self.column + 1).min(NAME.len() + 1);
                    self.count += usize::from(self.matches && self.column == NAME.len());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_received_fields_of_the_header_section_count() {
        let content = b"Received: a\r\n Received: folded\r\nX-Received: b\r\nRECEIVED:c\r\nReceivedx: d\r\n\r\nReceived: body\r\n";
        for cut in 1..content.len() {
            let mut hops = Hops::default();
            content.chunks(cut).for_each(|piece| hops.read(piece));
            assert_eq!(hops.count(), 2, "in pieces of {cut}");
        }
    }
}
