//! `docs/log.md`, made from the table of events: a test compares it, `UPDATE=1 cargo nextest run log_md` writes it.

use super::{Kind, TABLE};
use std::fmt::Write as _;

/// What each field means, in the order of the alphabet. The same thing has the same name in every event.
pub const FIELDS: &[(&str, &str)] = &[
    ("about", "the message that a report is about"),
    ("accepted", "messages that were taken in the session"),
    ("address", "where a listener listens"),
    ("attempt", "which attempt for the message this was, from 1"),
    ("cause", "why, in words; of a next hop its reply"),
    ("cert", "a certificate, as the configuration names it"),
    ("changes", "how many keys of the configuration changed"),
    ("count", "how many times"),
    ("events", "how many events"),
    ("finding", "what the spool found, in words"),
    ("folder", "which folder"),
    ("forward_path", "the recipient"),
    ("free_bytes", "octets that are free on the file system"),
    ("helo", "what the client called itself; not to be believed"),
    (
        "host",
        "the host that an attempt was made at, the last of several: its name or its socket",
    ),
    ("keys", "which keys, separated by blanks"),
    (
        "layer",
        "the layer of confinement: docs/confinement.md has them",
    ),
    ("listener", "what the listener is for: mx, submission"),
    (
        "login",
        "who is logged in: his mailbox; empty where nobody is",
    ),
    ("messages", "how many messages"),
    ("name", "what the kernel calls the system call"),
    ("names", "the DNS names that a certificate is for"),
    (
        "next_hop",
        "where the message was to go: a Maildir, an LMTP socket, a domain's MX, a smart host",
    ),
    ("parts", "how many parts of a message"),
    (
        "pause_ms",
        "how long until it is started again, in milliseconds",
    ),
    (
        "peer_ip",
        "the client's address; of an attempt that of the next hop",
    ),
    ("pid", "the process"),
    ("place", "where in the program"),
    ("process", "the role that was started or ended"),
    (
        "queue_id",
        "the message's name for ever: the token in the 250 after content",
    ),
    ("recipients", "how many recipients"),
    (
        "reply",
        "what the next hop said as it took the message, or the file that it lies in",
    ),
    (
        "reverse_path",
        "whom failures go to; empty for the null reverse-path",
    ),
    ("room", "whether new mail is taken"),
    (
        "rule",
        "the rule or bound that decided; of a rule `explain rcpt` says more",
    ),
    ("session", "the session's name: the token in its refusals"),
    ("signed", "whether a signature was broken"),
    ("silent_s", "for how many seconds it said nothing"),
    ("size_bytes", "octets of content"),
    ("spool", "the spool's folder"),
    ("status", "the enhanced status code (RFC 3463)"),
    ("syscall", "the number of a system call"),
    (
        "tls",
        "what a handshake agreed on: the version, the cipher suite, the key exchange; or `none`",
    ),
    (
        "unsaid",
        "how many more of the same there were since the line before",
    ),
    ("until", "the last second at which a certificate is valid"),
    ("user", "the name that a client gave to log in"),
    (
        "wanted_bytes",
        "octets that must be free for new mail to be taken",
    ),
];

const HEAD: &str = "\
# The log

<!-- Made from the table of events in crates/ringmail/src/event.rs; a test compares. UPDATE=1 cargo nextest run log_md -->

Every line says one event, in logfmt: `event=NAME level=LEVEL role=ROLE`, then the event's fields in a fixed order.
What is no plain word stands in quotes, with everything but printable ASCII escaped as Rust does it (`\\n`, `\\u{e9}`),
so that no line can be forged by what a stranger chose to say. Content, passwords and keys have no field.

Lines go to standard error, which systemd gives to the journal. Besides, they are kept in the files of `[log] folder`,
each with its time in front (`at=2026-11-24T12:47:00.000000Z`, UTC): for 14 days and up to 1 GiB by default. There
`ringmail log`, `ringmail log -f`, `ringmail log find --to ADDRESS --from ADDRESS --since 2h`, `ringmail explain message
ID` and `ringmail explain reply TOKEN` read them, whether the daemon runs or not. `--json` gives one object a line, with
numbers and truths as such and everything else as text; the names are those below, and stay.

Levels: `info` is as it should be, `warn` somebody should look at some day, `error` now.

";

/// The document.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    text.push_str("## Events\n");
    // Writing into a String does not fail.
    for row in TABLE {
        let _ = write!(text, "\n### {}\n\n", row.name);
        for line in row.doc.lines() {
            let _ = writeln!(text, "{}", line.trim());
        }
        let fields: Vec<String> = row
            .fields
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let fields = if fields.is_empty() {
            "none".into()
        } else {
            fields.join(" ")
        };
        let _ = writeln!(text, "\nLevel: {}. Fields: {fields}.", row.level.name());
    }
    text.push_str("\n## Fields\n\n| field | value | meaning |\n|---|---|---|\n");
    for (name, meaning) in FIELDS {
        let kind = TABLE
            .iter()
            .flat_map(|row| row.fields)
            .find(|(field, _)| field == name);
        let kind = match kind {
            Some((_, Kind::Number)) => "number",
            Some((_, Kind::Truth)) => "true, false",
            Some((_, Kind::Text)) | None => "text",
        };
        let _ = writeln!(text, "| `{name}` | {kind} | {meaning} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn log_md_is_what_the_table_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/log.md");
        if std::env::var("UPDATE").is_ok() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(
            written == markdown(),
            "docs/log.md is old: UPDATE=1 writes it"
        );
    }

    #[test]
    fn every_field_has_a_meaning_and_one_kind() {
        let used: BTreeSet<&str> = TABLE
            .iter()
            .flat_map(|row| row.fields.iter().map(|(name, _)| *name))
            .collect();
        let told: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), told);
        let kinds: BTreeSet<(&str, &str)> = TABLE
            .iter()
            .flat_map(|row| row.fields.iter())
            .map(|(name, kind)| {
                (
                    *name,
                    if *kind == Kind::Number {
                        "number"
                    } else {
                        "other"
                    },
                )
            })
            .collect();
        assert_eq!(
            kinds.len(),
            told.len(),
            "a field is a number here and a text there"
        );
    }

    #[test]
    fn names_are_a_noun_and_what_happened_to_it_and_sorted_by_nobody_twice() {
        let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        for name in &names {
            let (noun, past) = name.split_once('.').unwrap();
            assert!(
                noun.bytes()
                    .chain(past.bytes())
                    .all(|b| b.is_ascii_lowercase()),
                "{name}"
            );
        }
        let once: BTreeSet<&&str> = names.iter().collect();
        assert_eq!(once.len(), names.len());
    }
}
