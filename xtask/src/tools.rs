//! What a bare machine lacks: the test runner and the reader of dependencies, installed under `target/` when
//! they are not there.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the test runner is told for the whole suite; a filter may follow.
pub const SUITE: [&str; 5] = [
    "nextest",
    "run",
    "--workspace",
    "--locked",
    "--no-fail-fast",
];

/// A cargo subcommand that the chores call.
struct Tool {
    /// Its package and its program.
    name: &'static str,
    /// The version installed when the machine has none.
    version: &'static str,
    /// What it answers to, if it is there.
    asked: &'static [&'static str],
    /// How it is built.
    how: &'static [&'static str],
}

const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.143",
    asked: &["nextest", "--version"],
    how: &[],
};

/// Built without optimisation: that takes a minute on two cores instead of many, and a check two seconds.
const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    asked: &["--version"],
    how: &["--debug"],
};

/// Gives a program to call as `cargo-nextest`, installing one below `target/tools` if need be.
pub fn nextest() -> Result<PathBuf, String> {
    NEXTEST.find()
}

/// Gives a program to call as `cargo-deny`, likewise.
pub fn deny() -> Result<PathBuf, String> {
    DENY.find()
}

impl Tool {
    fn find(&self) -> Result<PathBuf, String> {
        let system = PathBuf::from(self.name);
        if self.answers(&system) {
            return Ok(system);
        }
        let root = root().join("target/tools");
        let installed = root.join("bin").join(self.name);
        if self.answers(&installed) {
            return Ok(installed);
        }
        let (name, version) = (self.name, self.version);
        println!("{name} is missing: installing it below {}", root.display());
        let status = Command::new("cargo")
            .args(["install", name, "--locked", "--version", version])
            .args(self.how)
            .arg("--root")
            .arg(&root)
            .status();
        if status.is_ok_and(|status| status.success()) {
            Ok(installed)
        } else {
            Err(format!("{name} {version} could not be installed"))
        }
    }

    fn answers(&self, program: &Path) -> bool {
        let output = Command::new(program).args(self.asked).output();
        output.is_ok_and(|output| output.status.success())
    }
}

/// The repository's top folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
}
