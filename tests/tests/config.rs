//! Configurations: every bad one is answered with exactly the message beside it, every good one means exactly what
//! stands beside it, and the five situations load or say what is not supported yet.
//!
//! `UPDATE=1` writes what the program says now; read the difference before you commit it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::binary;

/// The file is wrong.
const WRONG: Option<i32> = Some(3);

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

/// The names in a folder that end so, sorted.
fn names(folder: &Path, ending: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder).expect("a corpus");
    let names = files.map(|file| {
        file.expect("readable")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    names
        .filter_map(|name| Some(name.strip_suffix(ending)?.to_owned()))
        .collect()
}

/// Runs a command on a file of the folder, by its bare name, so that messages name no path of this machine.
fn ringmail(folder: &Path, file: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .current_dir(folder)
        .args(["--config", file])
        .args(arguments);
    command.output().expect("the program runs")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("UTF-8")
}

/// What was said, and what should have been.
fn compare(expected: &Path, said: &str, differences: &mut Vec<String>) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(expected, said).expect("writable");
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    if said != wanted {
        let name = expected.display();
        differences.push(format!("--- {name} says\n{wanted}--- and it is\n{said}"));
    }
}

#[test]
fn every_mistake_is_said_in_the_words_beside_it() {
    let folder = corpus("bad");
    let (files, mut differences) = (names(&folder, ".toml"), Vec::new());
    assert!(files.len() >= 60, "only {} bad files", files.len());
    for name in &files {
        let output = ringmail(&folder, &format!("{name}.toml"), &["check"]);
        assert_eq!(output.status.code(), WRONG, "{name}");
        assert_eq!(text(&output.stdout), "", "{name}");
        compare(
            &folder.join(format!("{name}.txt")),
            &text(&output.stderr),
            &mut differences,
        );
    }
    assert_eq!(files, names(&folder, ".txt"), "a message without a file");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_mistake_has_a_way_out() {
    let folder = corpus("bad");
    for name in names(&folder, ".txt") {
        let said = fs::read_to_string(folder.join(format!("{name}.txt"))).expect("readable");
        for mistake in said.split("error: ").skip(1) {
            // A label behind the carets, a line that begins with `=`, or all of it in one sentence.
            let label = mistake.lines().any(|line| {
                line.split_once('^')
                    .is_some_and(|(_, rest)| !rest.trim_matches(['^', ' ']).is_empty())
            });
            let way_out = label || mistake.contains("\n  = ") || !mistake.contains("-->");
            assert!(way_out, "{name}: {mistake}");
        }
    }
}

#[test]
fn every_good_file_means_what_stands_beside_it() {
    let folder = corpus("good");
    let (files, mut differences) = (names(&folder, ".toml"), Vec::new());
    assert!(files.len() >= 10, "only {} good files", files.len());
    for name in &files {
        let arguments = ["config", "show", "--effective", "--origin"];
        let output = ringmail(&folder, &format!("{name}.toml"), &arguments);
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), String::new()),
            "{name}"
        );
        compare(
            &folder.join(format!("{name}.txt")),
            &text(&output.stdout),
            &mut differences,
        );
        // What was printed is a file itself, and means the same.
        let again = tempfile::tempdir().expect("a scratch folder");
        fs::write(again.path().join("again.toml"), &output.stdout).expect("writable");
        let again = ringmail(
            again.path(),
            "again.toml",
            &["config", "show", "--effective"],
        );
        let plain = ringmail(
            &folder,
            &format!("{name}.toml"),
            &["config", "show", "--effective"],
        );
        let sorted = |output: &Output| {
            text(&output.stdout)
                .lines()
                .map(String::from)
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(
            sorted(&again),
            sorted(&plain),
            "{name}: {}",
            text(&again.stderr)
        );
    }
    assert_eq!(files, names(&folder, ".txt"), "an answer without a file");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_five_situations_load_or_say_what_is_not_supported_yet() {
    let folder = corpus("situations");
    let mut differences = Vec::new();
    for name in ["send-only", "smarthost", "domain", "mx", "submission"] {
        let example = ringmail(&folder, "none", &["config", "example", name]);
        assert_eq!(example.status.code(), Some(0), "{name}");
        let scratch = tempfile::tempdir().expect("a scratch folder");
        fs::write(scratch.path().join("ringmail.toml"), &example.stdout).expect("writable");
        let output = ringmail(scratch.path(), "ringmail.toml", &["config", "show"]);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        compare(&folder.join(format!("{name}.txt")), &said, &mut differences);
        if output.status.success() {
            assert_eq!(text(&example.stderr), "", "{name}");
            continue;
        }
        assert_eq!(output.status.code(), WRONG, "{name}");
        assert!(
            text(&example.stderr).contains("does not support all of it yet"),
            "{name}"
        );
        let mistakes = said.matches("error: ").count();
        let later = said.matches(" not supported yet\n").count();
        assert_eq!(
            mistakes, later,
            "{name} has a mistake of another kind:\n{said}"
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake_too() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    for command in ["check", "run"] {
        let output = ringmail(scratch.path(), "missing.toml", &[command]);
        assert_eq!(output.status.code(), WRONG);
        let way_out = "name another with --config, or see `ringmail config example`";
        assert_eq!(
            text(&output.stderr),
            format!("error: missing.toml: there is no such file; {way_out}\n")
        );
        let output = ringmail(scratch.path(), ".", &[command]);
        assert_eq!(output.status.code(), WRONG);
        assert_eq!(
            text(&output.stderr),
            "error: .: this is a folder, not a file\n"
        );
    }
}
