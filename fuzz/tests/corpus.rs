//! Proves that what the engine kept still holds, and that each target sees its planted mistake.

use fuzz::{TARGETS, Target};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn files(folder: &str, target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(target.name);
    let entries = std::fs::read_dir(&folder).expect("each target has a folder");
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Runs the kept corpus of a target; says at which file it is when one does not hold.
fn holds(name: &str) {
    let target = fuzz::target(name).expect("there is such a target");
    let files = files("corpus", target);
    assert!(files.len() >= 20, "{name}: {} files", files.len());
    for file in files {
        let octets = std::fs::read(&file).expect("a readable corpus");
        let run = target.run;
        let held = catch_unwind(|| run(&octets)).is_ok();
        assert!(held, "{} does not hold", file.display());
    }
}

#[test]
fn the_corpus_of_arrows_holds() {
    holds("arrow");
}

#[test]
fn the_corpus_of_commands_holds() {
    holds("command");
}

#[test]
fn the_corpus_of_completions_holds() {
    holds("completion");
}

#[test]
fn the_corpus_of_configurations_holds() {
    holds("configuration");
}

#[test]
fn the_corpus_of_paths_holds() {
    holds("path");
}

#[test]
fn the_corpus_of_records_holds() {
    holds("record");
}

#[test]
fn the_corpus_of_replies_holds() {
    holds("reply");
}

#[test]
fn the_corpus_of_conversions_to_seven_bits_holds() {
    holds("seven_bit");
}

#[test]
fn every_target_has_a_test_of_its_corpus() {
    let source = include_str!("corpus.rs");
    for target in &TARGETS {
        assert!(source.contains(&format!("holds(\"{}\")", target.name)));
    }
}

#[test]
fn octets_that_bring_a_planted_mistake_out_hold_without_it() {
    for target in &TARGETS {
        let files = files("planted", target);
        assert!(!files.is_empty(), "{}", target.name);
        for file in files {
            let octets = std::fs::read(&file).expect("a readable file");
            let (run, planted) = (target.run, target.planted);
            assert!(catch_unwind(|| run(&octets)).is_ok(), "{}", file.display());
            let seen = catch_unwind(|| planted(&octets)).is_err();
            assert!(seen, "{}: {} was not seen", file.display(), target.mistake);
        }
    }
}

#[test]
fn nothing_at_all_holds_everywhere() {
    for target in &TARGETS {
        (target.run)(b"");
    }
}
