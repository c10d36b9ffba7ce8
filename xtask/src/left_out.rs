//! Tests that could not run on this machine, named and counted after the others.

use std::path::PathBuf;
use std::{fs, io};

/// The list below the target folder, to which each such test adds a line.
const LIST: &str = "left-out.txt";

/// Forgets what an earlier run left out.
pub fn begin() {
    match fs::remove_file(list()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            eprintln!("cargo xtask: {}: {error}", list().display());
        }
        _ => {}
    }
}

/// Names and counts what was left out; under `CI=true` these tests have failed by themselves.
pub fn say() {
    let text = fs::read_to_string(list()).unwrap_or_default();
    print!("{text}");
    if !text.is_empty() {
        println!("{} tests were left out", text.lines().count());
    }
}

fn list() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a file");
    // target/PROFILE/xtask
    let target = program.ancestors().nth(2);
    target
        .expect("cargo builds its tasks below its target folder")
        .join(LIST)
}
