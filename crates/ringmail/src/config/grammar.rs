//! What the TOML reader says of a file that is not TOML, and a way out. The reader's words are those of one
//! version of a library: what is not known here is passed on as it is, and tests/config pins what is.

/// Beginnings of the reader's messages, what we say, and what to do. Nothing for a title keeps the reader's.
const KNOWN: [(&str, &str, &str); 11] = [
    (
        "string values must be quoted",
        "a text stands in quotes",
        "write it in quotes",
    ),
    (
        "missing comma",
        "",
        "put , between them, or ] behind the last",
    ),
    (
        "invalid value, expected unicode",
        "",
        "four hexadecimal digits, none of D800 to DFFF",
    ),
    (
        "invalid basic string, expected `\"`",
        "the string does not end on this line",
        "end it with \"",
    ),
    (
        "invalid basic string",
        "a string has a character that may not stand there",
        "leave it out",
    ),
    ("key with no value", "", "write key = value"),
    (
        "invalid unquoted key",
        "",
        "write key = value, and other keys in quotes",
    ),
    (
        "unclosed table",
        "the head of a section does not end",
        "end it with ]",
    ),
    ("unclosed array", "a list does not end", "end it with ]"),
    (
        "missing escaped value",
        "a backslash begins no escape",
        "write \\\\, or the string in '…'",
    ),
    ("carriage return", "", "end lines with LF, or CR LF"),
];

/// A title and a way out, for a message of the reader about `written`.
pub fn told(message: &str, written: &str) -> (String, &'static str) {
    if message == "duplicate key" {
        return (
            format!("`{written}` stands here twice"),
            "leave one of them",
        );
    }
    if message.starts_with("string values must be quoted") && written.trim().is_empty() {
        return ("a value is missing".into(), "write one behind the =");
    }
    let known = KNOWN
        .iter()
        .find(|(begins, ..)| message.starts_with(begins));
    match known {
        Some((_, "", label)) => (message.into(), label),
        Some((_, title, label)) => ((*title).into(), label),
        None => (message.into(), ""),
    }
}
