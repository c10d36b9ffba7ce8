//! The rooms stand as ARCHITECTURE.md draws them: who may use whom, what each crate may depend on, where `unsafe`
//! may stand, that no role reaches into another. Each fence is also shown something made up, and must bite.
//!
//! A test that fails here is not in the way: it asks whether the new edge or dependency was meant. If it was, the
//! table here changes in the same commit, and a page in `docs/adr/` says why (CONTRIBUTING.md).

mod manifests;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's top folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the repository")
        .to_path_buf()
}

/// Names of the folders in a folder, sorted.
fn folders(of: &Path) -> Vec<String> {
    let entries = fs::read_dir(of).expect("a readable folder");
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Reads a file of the repository.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with all that was found, one a line.
fn nothing(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
