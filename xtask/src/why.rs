//! Why tests failed, said once more where a long output ends: what a test had logged by then can be thousands of
//! lines, and whoever keeps only the end of the output keeps the reason too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

/// How many lines after the one that tells where it happened: the reason, and what it names.
const REASON_LINES: usize = 14;
/// How long each may be.
const LINE_CHARS: usize = 300;
/// How many lines in all: past it every test failed, and for one reason.
const LINES_MAX: usize = 200;

/// Runs the test runner with its output passed on as it comes; where it fails, the reasons of all tests follow.
pub fn run(command: &mut Command) -> bool {
    let started = command.stderr(Stdio::piped()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            eprintln!("cargo xtask: {}: {error}", command.get_program().display());
            return false;
        }
    };
    let mut reasons = Reasons::default();
    if let Some(output) = child.stderr.take() {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            // Who reads our output may have gone; the tests go on.
            let _ = std::io::stderr().write_all(&[&line, &b"\n"[..]].concat());
            reasons.see(&String::from_utf8_lossy(&line));
        }
    }
    let passed = child.wait().is_ok_and(|status| status.success());
    if !passed {
        eprintln!("why tests failed:\n{}", reasons.found.join("\n"));
    }
    passed
}

/// What is kept of an output while it passes.
#[derive(Default)]
struct Reasons {
    found: Vec<String>,
    /// How many more lines belong to the reason that began last.
    left: usize,
}

impl Reasons {
    /// One line of the output.
    fn see(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with("thread '") && line.contains(" panicked at ") {
            self.left = REASON_LINES;
        } else if line.starts_with("stack backtrace:") || line.starts_with("--- ") {
            self.left = 0;
        }
        if self.left > 0 && self.found.len() < LINES_MAX {
            self.left -= 1;
            self.found.push(line.chars().take(LINE_CHARS).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_kept_and_what_was_logged_is_not() {
        let mut reasons = Reasons::default();
        let output = "running 1 test\n    thread 'a_test' (7) panicked at tests/src/x.rs:1:2:\n    2 differ:\n    \
                      m1: did not arrive\n    stack backtrace:\n       0: begin\n--- the log of x\nsmtp connected";
        output.lines().for_each(|line| reasons.see(line));
        assert_eq!(
            reasons.found,
            [
                "thread 'a_test' (7) panicked at tests/src/x.rs:1:2:",
                "2 differ:",
                "m1: did not arrive"
            ]
        );
    }
}
