//! What a bare machine lacks: the test runner, installed under `target/` when it is not there.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The version installed when the machine has none.
const NEXTEST_VERSION: &str = "0.9.143";

/// Gives a program to call as `cargo-nextest`, installing one below `target/tools` if need be.
pub fn nextest() -> Result<PathBuf, String> {
    let system = PathBuf::from("cargo-nextest");
    if answers(&system) {
        return Ok(system);
    }
    let root = root().join("target/tools");
    let installed = root.join("bin/cargo-nextest");
    if !answers(&installed) {
        println!(
            "cargo-nextest is missing: installing it below {}",
            root.display()
        );
        let status = Command::new("cargo")
            .args([
                "install",
                "cargo-nextest",
                "--locked",
                "--version",
                NEXTEST_VERSION,
                "--root",
            ])
            .arg(&root)
            .status();
        if !status.is_ok_and(|s| s.success()) {
            return Err(format!(
                "cargo-nextest {NEXTEST_VERSION} could not be installed"
            ));
        }
    }
    Ok(installed)
}

/// The repository's top folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
}

fn answers(program: &Path) -> bool {
    let output = Command::new(program)
        .args(["nextest", "--version"])
        .output();
    output.is_ok_and(|o| o.status.success())
}
