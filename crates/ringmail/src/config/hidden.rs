//! A file's text as mistakes show it: lines that may have a secret in them, at whatever place it was written by mistake, are
//! shown without it. What mistakes are is printed into journals.

/// How words begin that a secret may stand behind.
const WORDS: [&str; 5] = ["pass", "pasw", "pwd", "secret", "credential"];
/// What names a secret and is none.
const REFERENCES: [&str; 3] = ["credential:", "dovecot:", "file:"];

/// The text with stars in those places, so that every other octet and every other character stays where it was.
pub fn hide(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut goes_on = false;
    for line in text.split_inclusive('\n') {
        let from = if goes_on { Some(0) } else { secret_from(line) };
        let (before, secret) = line.split_at(from.unwrap_or(line.len()));
        shown.push_str(before);
        shown.extend(stars(secret));
        // A value may stand in the line below.
        let value = secret.trim_matches(|c: char| c.is_whitespace() || "=:[\"'".contains(c));
        goes_on = value.is_empty() && !secret.trim().is_empty();
    }
    shown
}

/// Where in a line a secret may begin.
fn secret_from(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    if lower.trim_start().starts_with('#') {
        return None;
    }
    let word = WORDS.iter().filter_map(|word| lower.find(word)).min();
    if let Some(word) = word {
        let is_key = |c: char| c.is_alphanumeric() || "_-\"'.".contains(c);
        let behind = lower[word..].find(|c| !is_key(c)).map(|at| word + at)?;
        let value = lower[behind..].trim_start_matches(|c: char| " \t=:\"'".contains(c));
        let is_named = REFERENCES.iter().any(|name| value.starts_with(name));
        let names_it = REFERENCES
            .iter()
            .any(|name| lower[word..].starts_with(name));
        return (!is_named && !names_it).then_some(behind);
    }
    // A login before a host: `to = "smtps://user:secret@host"`, and what is near to it.
    let is_to = lower
        .trim_start()
        .trim_start_matches(['"', '\''])
        .starts_with("to");
    let value = lower.find('=').map(|at| at + 1)?;
    let has_login = lower[value..].contains('@') || lower[value..].contains("%40");
    (is_to && has_login).then_some(value)
}

/// Of a secret, as many octets and as many characters, and its white space: a place behind it in the line is told by both.
pub fn stars(secret: &str) -> impl Iterator<Item = char> {
    secret.chars().map(|c| match c.len_utf8() {
        _ if c.is_whitespace() => c,
        1 => '*',
        2 => '\u{A4}',
        3 => '\u{2022}',
        _ => '\u{10101}',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_wherever_it_was_written() {
        for line in [
            "password = \"hunter2\"",
            "password=\"hunter2",
            "password = hunter2",
            "password \"hunter2\"",
            "password: \"hunter2\"",
            "password = \"hunter2\" junk",
            "password = [\"hunter2\"]",
            "password =\n\"hunter2\"\n",
            "password = [\n  \"hunter2\",\n",
            "password = { x = \"hunter2\" }",
            "password.x = \"hunter2\"",
            "pasword = \"hunter2\"",
            "Password = \"hunter2\"",
            "pass = \"hunter2\"",
            "secret = 'hunter2'",
            "relay = { user = \"u\", password = \"hunter2\" x }",
            "to = \"u:hunter2@mail.example.org\"",
            "to = [\"smtps://u:hunter2@mail.example.org\"]",
            "to = \"smtps://u:hunter2%40mail.example.org\"",
            "password = \"hunter2\u{E9}\u{20AC}\u{1F70B}\" junk",
        ] {
            let shown = hide(line);
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(shown.len(), line.len());
            assert_eq!(shown.chars().count(), line.chars().count());
        }
    }

    #[test]
    fn what_is_none_is_shown() {
        for line in [
            "password = \"credential:smarthost\"",
            "password = \"file:/etc/ringmail/password\"",
            "cert = \"credential:tls\"",
            "to = \"smtps://mail.example.org\"",
            "# password = \"x\"",
            "postmaster = \"ann@example.org\"",
        ] {
            assert_eq!(hide(line), line);
        }
    }
}
