//! The messages of a load: each has an id and a checksum in its content, so that whoever gets it can say whether
//! it came whole, and whether it came before.

use memchr::memmem;

const ID: &[u8] = b"X-Bench-Id: ";
const SUM: &[u8] = b"X-Bench-Sum: ";
/// Octets of one line of a body, its CRLF included.
const LINE_OCTETS: usize = 78;
/// Digits of a message's number.
const NUMBER_DIGITS: usize = 8;

/// Names one load; mail of another one is not counted.
pub type Tag = u32;

/// What every message of a load shares; only number and checksum differ.
pub struct Template {
    wire: Vec<u8>,
    numbers: Vec<usize>,
    sum: usize,
    body: usize,
}

impl Template {
    /// Messages of `octets` of content each, or of as few as header section and one line need.
    pub fn new(tag: Tag, octets: usize) -> Self {
        let mut wire = Vec::with_capacity(octets + 8);
        let mut numbers = Vec::new();
        wire.extend_from_slice(
            b"From: Load <load@sender.test>\r\nTo: You <you@bench.test>\r\nSubject: a message of the bench\r\n\
              Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <",
        );
        wire.extend_from_slice(format!("{tag:08x}-").as_bytes());
        let number = |wire: &mut Vec<u8>, numbers: &mut Vec<usize>| {
            numbers.push(wire.len());
            wire.extend_from_slice(&[b'0'; NUMBER_DIGITS]);
        };
        number(&mut wire, &mut numbers);
        wire.extend_from_slice(b"@sender.test>\r\n");
        wire.extend_from_slice(ID);
        wire.extend_from_slice(format!("{tag:08x}-").as_bytes());
        number(&mut wire, &mut numbers);
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(SUM);
        let sum = wire.len();
        wire.extend_from_slice(b"00000000\r\n\r\n");
        let body = wire.len();
        // One line that begins with a dot, stuffed: a server that forgets about dots is found out.
        wire.extend_from_slice(b"..a line that begins with a dot\r\n");
        // The octet stuffed in is not content; each line names its message, so that no two bodies are alike.
        let mut filler = (b'a'..=b'z').chain(b'0'..=b'9').cycle();
        while wire.len() - 1 < octets {
            let room = (octets + 1 - wire.len()).clamp(NUMBER_DIGITS + 3, LINE_OCTETS);
            number(&mut wire, &mut numbers);
            wire.push(b' ');
            wire.extend(filler.by_ref().take(room - NUMBER_DIGITS - 3));
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        Self {
            wire,
            numbers,
            sum,
            body,
        }
    }

    /// Message `number` as it goes on the wire after `354`: dots stuffed, its end included.
    pub fn write(&mut self, number: usize) -> &[u8] {
        let digits = format!("{number:0NUMBER_DIGITS$}");
        for place in &self.numbers {
            self.wire[*place..*place + NUMBER_DIGITS].copy_from_slice(digits.as_bytes());
        }
        let end = self.wire.len() - 3;
        let sum = format!("{:08x}", crc32c::crc32c(&self.wire[self.body..end]));
        self.wire[self.sum..self.sum + 8].copy_from_slice(sum.as_bytes());
        &self.wire
    }
}

/// Tag and number of a content as it came over the wire, dots still stuffed, without the line that ends it. `None`:
/// it is not whole.
pub fn read(wire: &[u8]) -> Option<(Tag, usize)> {
    let header = memmem::find(wire, b"\r\n\r\n")?;
    let (head, body) = (&wire[..header], &wire[header + 4..]);
    let id = field(head, ID)?;
    let (tag, number) = id.split_once('-')?;
    let sum = u32::from_str_radix(field(head, SUM)?, 16).ok()?;
    (sum == crc32c::crc32c(body)).then_some(())?;
    Some((u32::from_str_radix(tag, 16).ok()?, number.parse().ok()?))
}

/// The same for a file with LF line ends and no dots stuffed, as a Maildir holds it.
pub fn read_file(file: &[u8]) -> Option<(Tag, usize)> {
    let mut wire = Vec::with_capacity(file.len() + file.len() / 32);
    for line in file.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        let text = line.strip_suffix(b"\n")?;
        wire.extend_from_slice(text);
        wire.extend_from_slice(b"\r\n");
    }
    read(&wire)
}

fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let start = memmem::find(head, name)? + name.len();
    let rest = &head[start..];
    let end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the sink sees it: with trace fields before it and without the line that ends it.
    fn arrived(template: &mut Template, number: usize) -> Vec<u8> {
        let wire = template.write(number);
        let mut arrived = b"Received: from x\r\n\tby y; now\r\n".to_vec();
        arrived.extend_from_slice(&wire[..wire.len() - 3]);
        arrived
    }

    #[test]
    fn a_message_is_as_long_as_was_asked_and_tells_its_number() {
        let mut template = Template::new(7, 4096);
        // Less the line that ends it and the dot that is stuffed.
        assert_eq!(template.write(1).len() - 4, 4096);
        assert_eq!(read(&arrived(&mut template, 12_345)), Some((7, 12_345)));
    }

    #[test]
    fn a_message_that_lost_or_changed_an_octet_is_not_whole() {
        let mut template = Template::new(7, 600);
        let whole = arrived(&mut template, 3);
        let body = memmem::find(&whole, b"\r\n\r\n").unwrap() + 4;
        for place in body..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert_eq!(read(&changed), None, "octet {place} changed");
            changed.remove(place);
            assert_eq!(read(&changed), None, "octet {place} lost");
        }
        assert!(read(&whole).is_some());
    }

    #[test]
    fn a_file_of_a_maildir_is_read_like_the_message_it_was() {
        let mut template = Template::new(9, 2000);
        let wire = arrived(&mut template, 42);
        let text = String::from_utf8(wire).unwrap();
        let file = text.replace("\r\n", "\n").replace("\n.", "\n");
        assert_eq!(read_file(file.as_bytes()), Some((9, 42)));
        assert_eq!(read_file(file.replace("dot", "dod").as_bytes()), None);
    }
}
