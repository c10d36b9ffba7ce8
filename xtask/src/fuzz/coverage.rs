//! Lines of each target's room that its kept corpus reaches: the targets compiled with the compiler's own
//! counters, the counters read by a small program of its own (`fuzz/coverage`), for the tools that come with
//! LLVM are not on every machine, and an older one does not read a newer one's counters.

use super::engine::HOST;
use super::{corpus, root};
use std::path::PathBuf;
use std::process::Command;

/// Least part of a room that a target must reach, in percent.
const LEAST: &str = "85";

/// Says it of each target; an error where one reaches too little.
pub fn all(targets: &[String]) -> Result<(), String> {
    let folder = root().join("target/fuzz/coverage");
    let replay = replay(&folder)?;
    let reader = reader()?;
    println!("fuzz: lines of each room that the kept corpus reaches, at least {LEAST} %");
    let mut short = Vec::new();
    for target in targets {
        let counters = folder.join(format!("{target}.profraw"));
        let mut run = Command::new(&replay);
        run.env("LLVM_PROFILE_FILE", &counters)
            .arg(target)
            .arg(corpus().join(target))
            .stdout(std::process::Stdio::null());
        if !crate::run(&mut run) {
            return Err(format!("{target}: the corpus does not hold"));
        }
        let rooms = Command::new(&replay)
            .env("LLVM_PROFILE_FILE", "/dev/null")
            .args(["--room", target])
            .output();
        let rooms = rooms.map_err(|e| format!("{}: {e}", replay.display()))?;
        let mut read = Command::new(&reader);
        read.args([target, LEAST])
            .args([&counters, &replay])
            .arg(root())
            .args(String::from_utf8_lossy(&rooms.stdout).lines());
        if !crate::run(&mut read) {
            short.push(target.as_str());
        }
    }
    if short.is_empty() {
        Ok(())
    } else {
        Err(format!("too little of the room: {}", short.join(", ")))
    }
}

/// The program that runs files through a target, with counters.
fn replay(folder: &std::path::Path) -> Result<PathBuf, String> {
    let mut build = Command::new("cargo");
    build
        .current_dir(root())
        .env("RUSTFLAGS", "-Cinstrument-coverage")
        // Of what runs while building, nobody wants to know.
        .env("LLVM_PROFILE_FILE", "/dev/null")
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "fuzz",
            "--bin",
            "replay",
        ])
        .args(["--target", HOST, "--target-dir"])
        .arg(folder);
    if !crate::run(&mut build) {
        return Err("the targets were not built with counters".into());
    }
    Ok(folder.join(HOST).join("debug/replay"))
}

/// The program that reads the counters.
fn reader() -> Result<PathBuf, String> {
    let folder = root().join("target/fuzz/reader");
    let mut build = Command::new("cargo");
    build
        .current_dir(root())
        .args([
            "build",
            "--quiet",
            "--locked",
            "--manifest-path",
            "fuzz/coverage/Cargo.toml",
        ])
        .arg("--target-dir")
        .arg(&folder);
    if !crate::run(&mut build) {
        return Err("the reader of counters was not built".into());
    }
    Ok(folder.join("debug/coverage"))
}
