//! Tests that this machine cannot run are named and counted, never passed over in silence: `cargo xtask test`
//! reads the list at its end. Under continuous integration (`CI=true`) leaving one out is a failure.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

/// The list below the target folder: a line a test.
pub const LIST: &str = "left-out.txt";

/// Says that a test is left out, and why; the caller returns.
///
/// # Panics
/// Where `CI=true`: there every test must run.
pub fn left_out(test: &str, why: &str) {
    let why = why.replace('\n', "; ");
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{test} cannot run here, and CI=true forbids to leave it out: {why}"
    );
    let line = format!("left out: {test}: {why}\n");
    print!("{line}");
    // One short write to a file opened for appending: tests of other processes do not cut into the line.
    let list = OpenOptions::new().create(true).append(true).open(list());
    list.and_then(|mut list| list.write_all(line.as_bytes()))
        .expect("the target folder can be written to");
}

/// Where the list stands.
fn list() -> PathBuf {
    crate::target::folder().join(LIST)
}
