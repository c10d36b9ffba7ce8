//! Cargo's target folder, where tests keep what they fetch and what they have to say at the end.

use std::path::PathBuf;

/// The nearest folder above the running program that cargo marked as its own.
pub fn folder() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a file");
    let marked = program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked
        .expect("tests and tasks lie below cargo's target folder")
        .to_owned()
}
