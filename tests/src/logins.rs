//! The file of who may log in, made as an administrator makes it.

use crate::binary;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Says `ringmail user COMMAND USER`, `add` or `passwd`, of this file.
pub fn set_password(file: &Path, user: &str, password: &str, command: &str) {
    say(file, password, &[command, user]);
}

/// The same, with a secret of SCRAM beside the hash.
pub fn set_password_for_scram(file: &Path, user: &str, password: &str, command: &str) {
    say(file, password, &[command, user, "--scram"]);
}

fn say(file: &Path, password: &str, words: &[&str]) {
    let mut child = Command::new(binary())
        .arg("user")
        .args(words)
        .arg("--file")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "{password}").expect("it reads");
    drop(stdin);
    let done = child.wait_with_output().expect("it ends");
    assert!(done.status.success(), "{done:?}");
}
