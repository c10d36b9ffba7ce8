//! docs/configuration.md.

use super::options::{self, built, example, later, name, sections, values};
use ringmail::config::EXAMPLES;
use ringmail::config::options::SECTIONS_LATER;
use std::fmt::Write as _;

const INTRODUCTION: &str = "# Configuration

<!-- Made from the table of options in crates/ringmail/src/config; a test compares. cargo xtask docs -->

One TOML file, `/etc/ringmail/ringmail.toml` or what `--config` names. Nothing listens unless `[listen]` names it, and
no key and no combination of keys can make an open relay. A key that is not in this table does not exist: it is an
error, as every other mistake is, and all of them are said at once, each with its line and a way out.

- `ringmail check` says what is wrong with the file, and with what it needs around it.
- `ringmail config show --effective --origin` prints every value in force and where it comes from; what it prints is a
  file that means the same. `ringmail config diff` prints what differs from the defaults.
- `ringmail explain rcpt ADDRESS` says what would happen to a recipient, by which line, and what would change it.
- `ringmail config schema` prints a JSON schema for editors.
";

/// All of it.
pub fn configuration() -> String {
    let mut out = String::from(INTRODUCTION);
    // Writing into a String does not fail, here and below.
    let _ = write!(
        out,
        "\n## All keys\n\n| key | default | what it is for |\n|---|---|---|\n"
    );
    for (section, row) in options::all() {
        let default = row
            .written_default()
            .map(|default| format!("`{default}`"))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "| `{}` | {default} | {} |",
            name(section, row),
            row.doc
        );
    }
    for section in sections() {
        let head = section.head();
        let head = if head.is_empty() {
            "The top of the file".into()
        } else {
            format!("`{head}`")
        };
        let _ = write!(out, "\n## {head}\n\n{}\n", section.doc);
        for row in built(section) {
            let more = if row.more.is_empty() {
                String::new()
            } else {
                format!(" {}", row.more)
            };
            let _ = write!(
                out,
                "\n**`{}`**: {}.{more} {}\n\n```toml\n{}\n```\n",
                name(section, row),
                row.doc,
                values(row),
                example(section, row)
            );
        }
    }
    out.push_str(
        "\n## Not supported yet\n\nThese are known, and refused with a clear word: what a key asks for is never silently left out.\n\n\
         | key | what it will be for |\n|---|---|\n",
    );
    for (name, doc) in later() {
        let _ = writeln!(out, "| `{name}` | {doc} |");
    }
    for (name, doc) in SECTIONS_LATER {
        let _ = writeln!(out, "| `[{name}]` | {doc} |");
    }
    out.push_str("\n## Five situations\n\n`ringmail config example NAME` prints each; the files lie in [examples](examples).\n\n");
    for example in EXAMPLES {
        let _ = writeln!(out, "- `{}`: {}", example.name, example.doc());
    }
    out
}
