//! What servers do to a content that is not as RFC 5322 wants it, done once more here, so that it can be expected.

use super::manners::ANYTHING;

/// Ends the header section where the first line stands that is neither a field nor the continuation of one: such a
/// line begins the body, and RFC 5322 §2.1 wants an empty line before that.
pub fn empty_line_before_body(content: &[u8]) -> Vec<u8> {
    let mut at = 0;
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line == b"\r\n" {
            break;
        }
        if !is_field(line) && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            return [&content[..at], b"\r\n", &content[at..]].concat();
        }
        at += line.len();
    }
    content.to_vec()
}

/// Adds the empty line that ends the header section to a content which is nothing but that.
pub fn empty_line_after_header(content: &[u8]) -> Vec<u8> {
    let with_body = empty_line_before_body(content);
    let mut lines = with_body.split_inclusive(|octet| *octet == b'\n');
    let end: &[u8] = if lines.any(|line| line == b"\r\n") {
        b""
    } else {
        b"\r\n"
    };
    [content, end].concat()
}

/// Completes a header section that has no Date or no Message-ID (RFC 6409 §8.1 and §8.2 let a submission server do so);
/// they come last in it.
pub fn date_and_message_id(content: &[u8], host: &str) -> Vec<u8> {
    let mut end = 0;
    let (mut date, mut id) = (false, false);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line == b"\r\n" {
            break;
        }
        date |= has_name(line, "date");
        id |= has_name(line, "message-id");
        end += line.len();
    }
    let mut added = Vec::new();
    if !date {
        added.extend([b"Date: ", &[ANYTHING][..], b"\r\n"].concat());
    }
    if !id {
        added.extend(
            [
                b"Message-ID: <",
                &[ANYTHING][..],
                b"@",
                host.as_bytes(),
                b">\r\n",
            ]
            .concat(),
        );
    }
    [&content[..end], &added, &content[end..]].concat()
}

/// Puts a host behind each name that stands without a domain in From, To and Cc.
pub fn names_qualified(content: &[u8], host: &str) -> Vec<u8> {
    let mut in_header = true;
    let lines = content
        .split_inclusive(|octet| *octet == b'\n')
        .map(|line| {
            in_header &= line != b"\r\n";
            let is_of_addresses = ["from", "to", "cc"].iter().any(|name| has_name(line, name));
            if !in_header || !is_of_addresses {
                return line.to_vec();
            }
            let line = String::from_utf8_lossy(line);
            let addresses = line.trim_end().split(',').map(|address| {
                let (_, address_only) = address.split_once(": ").unwrap_or(("", address));
                let open = address_only.strip_suffix('>');
                let name = open
                    .and_then(|open| open.rsplit('<').next())
                    .unwrap_or(address_only.trim());
                let is_bare = !name.is_empty() && name.bytes().all(|o| o.is_ascii_alphanumeric());
                match address.strip_suffix('>') {
                    _ if !is_bare => address.to_owned(),
                    Some(open) => format!("{open}@{host}>"),
                    None => format!("{address}@{host}"),
                }
            });
            let addresses: Vec<String> = addresses.collect();
            format!("{}\r\n", addresses.join(",")).into_bytes()
        });
    lines.collect::<Vec<_>>().concat()
}

/// Leaves a field out of the header section.
pub fn without_field(content: &[u8], name: &str) -> Vec<u8> {
    let (mut in_header, mut dropping) = (true, false);
    let lines = content.split_inclusive(|octet| *octet == b'\n');
    let kept = lines.filter(|line| {
        in_header &= *line != b"\r\n";
        let continued = line.starts_with(b" ") || line.starts_with(b"\t");
        dropping = in_header
            && if continued {
                dropping
            } else {
                has_name(line, name)
            };
        !dropping
    });
    kept.collect::<Vec<_>>().concat()
}

/// Takes all blanks and line ends out of the fields that hold addresses, but each one's last.
pub fn without_blanks_in_addresses(content: &[u8]) -> Vec<u8> {
    let (mut in_header, mut in_addresses) = (true, false);
    let mut out: Vec<u8> = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        in_header &= line != b"\r\n";
        let continued = line.starts_with(b" ") || line.starts_with(b"\t");
        if continued && in_addresses {
            out.truncate(out.len() - 2);
        }
        let begins = ADDRESS_FIELDS.iter().any(|name| has_name(line, name));
        in_addresses = in_header && (begins || continued && in_addresses);
        if in_addresses {
            out.extend(line.iter().filter(|octet| !octet.is_ascii_whitespace()));
            out.extend(b"\r\n");
        } else {
            out.extend(line);
        }
    }
    out
}

/// Leaves the fields out that hold addresses.
pub fn without_addresses(content: &[u8]) -> Vec<u8> {
    let names = ADDRESS_FIELDS.iter();
    names.fold(content.to_vec(), |content, name| {
        without_field(&content, name)
    })
}

/// The fields that hold addresses (RFC 5322 §3.6.2 and §3.6.3, and what older mail has).
const ADDRESS_FIELDS: &[&str] = &["from", "sender", "reply-to", "to", "cc", "bcc", "errors-to"];

/// Whether the header section has a line without a colon that continues no field.
pub fn has_line_without_colon(content: &[u8]) -> bool {
    let lines = content.split_inclusive(|octet| *octet == b'\n');
    let mut fields = lines.take_while(|line| *line != b"\r\n");
    fields.any(|line| !line.contains(&b':') && !line.starts_with(b" ") && !line.starts_with(b"\t"))
}

/// Whether a line begins a field of this name, given in lower case.
fn has_name(line: &[u8], name: &str) -> bool {
    let field = line.get(..name.len() + 1);
    field.is_some_and(|field| field.to_ascii_lowercase() == format!("{name}:").as_bytes())
}

/// RFC 5322 §2.2: printable characters and a colon; before that blanks, which its obsolete grammar allows (§4.5).
fn is_field(line: &[u8]) -> bool {
    let name = line
        .iter()
        .take_while(|o| (33..=126).contains(*o) && **o != b':')
        .count();
    let blanks = line[name..]
        .iter()
        .take_while(|o| [b' ', b'\t'].contains(*o))
        .count();
    name > 0 && line.get(name + blanks) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_section_ends_where_no_field_stands() {
        for (content, expected) in [
            ("", ""),
            ("\r\nx\r\n", "\r\nx\r\n"),
            ("x\r\n", "\r\nx\r\n"),
            ("A: b\r\n", "A: b\r\n"),
            (
                "A: b\r\n c\r\nD : e\r\n\r\nx\r\n",
                "A: b\r\n c\r\nD : e\r\n\r\nx\r\n",
            ),
            (
                "A: b\r\nno field\r\nC: d\r\n",
                "A: b\r\n\r\nno field\r\nC: d\r\n",
            ),
            ("From a\r\nA: b\r\n", "\r\nFrom a\r\nA: b\r\n"),
        ] {
            assert_eq!(
                empty_line_before_body(content.as_bytes()),
                expected.as_bytes()
            );
        }
    }

    #[test]
    fn what_is_missing_in_a_header_section_comes_last_in_it() {
        for (content, expected) in [
            ("", "Date: \0\r\nMessage-ID: <\0@h>\r\n"),
            (
                "A: b\r\n\r\nDate: x\r\n",
                "A: b\r\nDate: \0\r\nMessage-ID: <\0@h>\r\n\r\nDate: x\r\n",
            ),
            (
                "DATE: b\r\nmessage-id: c\r\n\r\n",
                "DATE: b\r\nmessage-id: c\r\n\r\n",
            ),
        ] {
            let completed = date_and_message_id(content.as_bytes(), "h");
            assert_eq!(completed, expected.as_bytes());
        }
    }

    #[test]
    fn a_name_without_a_domain_gets_the_host() {
        let content = b"From: a\r\nTo: A <a>, b@c, d\r\nX: e\r\n\r\nCc: f\r\n";
        let qualified = names_qualified(content, "h");
        let expected = b"From: a@h\r\nTo: A <a@h>, b@c, d@h\r\nX: e\r\n\r\nCc: f\r\n";
        assert_eq!(qualified, expected);
    }

    #[test]
    fn a_field_is_left_out_with_its_continuation_and_only_in_the_header_section() {
        let content = b"A: b\r\nBCC: c,\r\n d\r\nE: f\r\n\r\nbcc: g\r\n";
        let left = without_field(content, "bcc");
        assert_eq!(left, b"A: b\r\nE: f\r\n\r\nbcc: g\r\n");
    }

    #[test]
    fn blanks_vanish_from_address_fields_only() {
        let content = b"To: a b,\r\n c\r\nX: d e\r\n f\r\nCc: g\r\n\r\nTo: h i\r\n";
        let without = without_blanks_in_addresses(content);
        let expected = b"To:ab,c\r\nX: d e\r\n f\r\nCc:g\r\n\r\nTo: h i\r\n";
        assert_eq!(without, expected);
    }

    #[test]
    fn a_header_section_alone_gets_its_end() {
        for (content, expected) in [
            ("", "\r\n"),
            ("A: b\r\n", "A: b\r\n\r\n"),
            ("A: b\r\n\r\n", "A: b\r\n\r\n"),
            ("A: b\r\nx\r\n", "A: b\r\nx\r\n"),
        ] {
            let ended = empty_line_after_header(content.as_bytes());
            assert_eq!(ended, expected.as_bytes());
        }
    }
}
