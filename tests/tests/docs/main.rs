//! What is written of options, commands and confinement is what the program has: docs/configuration.md, the manual pages
//! and docs/confinement.md are made from its tables and from the definitions of the command line, and compared here.
//!
//! `cargo xtask docs` writes them.

mod command;
mod markdown;
mod options;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::left_out;

/// Makes a page.
type Make = fn() -> String;

/// What is made, and by what.
const MADE: [(&str, Make); 4] = [
    ("docs/confinement.md", ringmail::confine::page::markdown),
    ("docs/configuration.md", markdown::configuration),
    ("docs/man/ringmail.toml.5", page::ringmail_toml),
    ("docs/man/ringmail.8", command::ringmail),
];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests lie in the repository")
        .to_path_buf()
}

#[test]
fn every_page_is_what_its_table_gives() {
    let mut old = Vec::new();
    for (name, make) in MADE {
        let (path, made) = (root().join(name), make());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &made).expect("writable");
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        if written != made {
            let line = written.lines().zip(made.lines()).position(|(a, b)| a != b);
            let line = line.unwrap_or(written.lines().count().min(made.lines().count()));
            let of = |text: &str| text.lines().nth(line).unwrap_or_default().to_owned();
            old.push(format!(
                "{name}:{}: {:?} should be {:?}",
                line + 1,
                of(&written),
                of(&made)
            ));
        }
    }
    assert!(
        old.is_empty(),
        "cargo xtask docs writes them anew:\n{}",
        old.join("\n")
    );
}

#[test]
fn every_option_stands_in_the_page_and_in_the_manual() {
    let (markdown, page) = (markdown::configuration(), page::ringmail_toml());
    let mut options = 0;
    for (section, row) in options::all() {
        let key = options::name(section, row);
        assert!(
            markdown.contains(&format!("| `{key}` |")),
            "{key} is not in the table"
        );
        assert!(
            page.contains(&page::escaped(row.key)),
            "{key} is not in the manual page"
        );
        options += 1;
    }
    assert!(options > 20, "only {options} options");
}

#[test]
fn every_command_stands_in_the_manual() {
    let page = command::ringmail();
    for line in [
        "ringmail queue list",
        "ringmail explain rcpt",
        "ringmail config show",
        "ringmail check",
        "ringmail try",
    ] {
        assert!(
            page.contains(&format!(".SS \"{line}")),
            "{line} is not there"
        );
    }
    assert!(
        !page.contains("Not supported yet."),
        "a command that is not built is in the manual"
    );
}

#[test]
fn the_manual_pages_are_set_without_a_warning() {
    let groff = Command::new("groff")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !groff.is_ok_and(|status| status.success()) {
        return left_out("the_manual_pages_are_set_without_a_warning", "no groff(1)");
    }
    for (name, _) in MADE
        .iter()
        .filter(|(name, _)| name.starts_with("docs/man/"))
    {
        let set = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-z"])
            .arg(root().join(name))
            .output();
        let set = set.expect("groff runs");
        let said = String::from_utf8_lossy(&set.stderr);
        assert!(set.status.success() && said.is_empty(), "{name}: {said}");
    }
}

/// The threat model is worth what its tests are: each that it names is there.
#[test]
fn every_claim_of_the_threat_model_names_a_test_that_is_there() {
    let page = fs::read_to_string(root().join("docs/threat-model.md")).expect("it is there");
    let claims = page
        .lines()
        .skip_while(|line| !line.starts_with("| claim |"))
        .skip(2);
    let (mut named, mut missing) = (0, Vec::new());
    for line in claims {
        let tests = line.rsplit('|').nth(1).unwrap_or_default();
        // Between backticks: a path, or what else names a test.
        for name in tests
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('/'))
        {
            named += 1;
            if !root().join(name).exists() {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(named > 15, "only {named} paths");
    assert!(missing.is_empty(), "not there: {missing:?}");
}
