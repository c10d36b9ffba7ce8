//! The project's chores. `cargo xtask test` is the one test command; `cargo xtask fuzz` looks for what it misses, and
//! `cargo xtask bench` measures.

mod calls;
mod compliance;
mod fuzz;
mod left_out;
mod tools;
mod why;

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("bench") => bench(&arguments[1..]),
        Some("calls") => calls::main(),
        Some("compliance") => compliance::main(),
        Some("docs") => docs(),
        Some("fuzz") => fuzz::main(&arguments[1..]),
        Some("test") => test(&arguments[1..]),
        Some("help") | None => {
            println!(
                "cargo xtask bench [--quick] [--help]        Ringmail beside other mail servers"
            );
            println!(
                "cargo xtask calls                         which allowed system calls no closed role makes in the tests"
            );
            println!("{}", compliance::USAGE);
            println!(
                "cargo xtask docs                          writes the pages that are made from the program's tables"
            );
            println!("{}", fuzz::USAGE);
            println!(
                "cargo xtask test [NEXTEST ARGUMENTS]      format, lints, dependencies, then every test"
            );
            ExitCode::SUCCESS
        }
        Some(other) => {
            eprintln!("cargo xtask: no task named {other}; see cargo xtask help");
            ExitCode::from(2)
        }
    }
}

/// Requirements, format, lints as errors, dependencies, in CI the fuzz engine, then the tests; ends with the test runner's
/// own summary.
fn test(rest: &[String]) -> ExitCode {
    let steps: [&[&str]; 3] = [
        &["fmt", "--all", "--check"],
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
        // The tests of the whole start the program itself.
        &["build", "--workspace", "--locked", "--quiet"],
    ];
    if !compliance::check() {
        return ExitCode::FAILURE;
    }
    for step in steps {
        println!("cargo {}", step.join(" "));
        if !run(Command::new("cargo").args(step)) {
            return ExitCode::FAILURE;
        }
    }
    if !dependencies() {
        return ExitCode::FAILURE;
    }
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    if is_ci && let Err(why) = fuzz::in_ci() {
        eprintln!("cargo xtask test: fuzz: {why}");
        return ExitCode::FAILURE;
    }
    let nextest = match tools::nextest() {
        Ok(nextest) => nextest,
        Err(why) => {
            eprintln!("cargo xtask test: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut command = Command::new(nextest);
    command.args(tools::SUITE).args(rest);
    left_out::begin();
    let by_others = !is_ci || by_others(command.get_program());
    let passed = if is_ci {
        why::run(&mut command)
    } else {
        // At a terminal the runner shows its progress.
        run(&mut command)
    };
    left_out::say();
    if passed && by_others {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What carries real mail, once more with a service that others start than a plain user: root, with its spool in memory,
/// and root in a container without extra rights.
fn by_others(nextest: &std::ffi::OsStr) -> bool {
    let real_mail = "package(tests) and (binary(kill) or binary(/^interop_/))";
    ["root", "container"].into_iter().all(|by| {
        println!(
            "RINGMAIL_TESTS_BY={by} cargo {} -E {real_mail}",
            tools::SUITE.join(" ")
        );
        let mut command = Command::new(nextest);
        command
            .args(tools::SUITE)
            .args(["-E", real_mail])
            .env("RINGMAIL_TESTS_BY", by);
        if by == "root" && std::path::Path::new(MEMORY).is_dir() {
            command.env("TMPDIR", MEMORY);
        }
        why::run(&mut command)
    })
}

/// A file system in memory that every Linux has.
const MEMORY: &str = "/dev/shm";

/// The pages that tests compare with the tables of the program, written by the same tests.
fn docs() -> ExitCode {
    let nextest = match tools::nextest() {
        Ok(nextest) => nextest,
        Err(why) => {
            eprintln!("cargo xtask docs: {why}");
            return ExitCode::FAILURE;
        }
    };
    let pages = "(package(tests) and binary(docs) and test(every_page)) or (package(ringmail) and test(log_md))";
    let mut command = Command::new(nextest);
    command.args(tools::SUITE).args(["-E", pages]);
    if run(command.env("UPDATE", "1")) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Licences, sources and banned crates, as deny.toml says; why advisories are left out stands there.
fn dependencies() -> bool {
    let deny = match tools::deny() {
        Ok(deny) => deny,
        Err(why) => {
            eprintln!("cargo xtask test: {why}");
            return false;
        }
    };
    let check = ["check", "bans", "licenses", "sources"];
    println!("cargo deny {}", check.join(" "));
    run(Command::new(deny)
        .args(["--locked", "--log-level", "warn"])
        .args(check))
}

/// Builds program and bench as they are shipped, and starts the bench.
fn bench(rest: &[String]) -> ExitCode {
    let build = [
        "build",
        "--release",
        "--locked",
        "-p",
        "ringmail",
        "-p",
        "bench",
        "--bins",
        "--example",
        "unsealed",
    ];
    println!("cargo {}", build.join(" "));
    if !run(Command::new("cargo").args(build)) {
        return ExitCode::FAILURE;
    }
    let bench = tools::root().join("target/release/bench");
    if run(Command::new(bench).args(rest)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cargo xtask: {}: {error}", command.get_program().display());
            false
        }
    }
}
