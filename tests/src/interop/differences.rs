//! What servers do to a content that is not as RFC 5322 wants it, done once more here, so that it can be expected.

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
}
