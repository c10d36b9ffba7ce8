//! Which of the system calls that docs/confinement.md allows the tests really make: `cargo xtask calls`. A part of the suite
//! that goes every way of a message runs under strace(1); what a closed role did is compared with the table, and a call
//! that nobody made is named, unless it is one that only trouble or another machine brings forth.

use crate::{run, tools};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The tests that are looked at.
const TESTS: &str = "package(tests) and (binary(flow) or binary(control) or binary(stop) or binary(confinement) or \
                     binary(sealed_names) or binary(try_it) or binary(tls) or test(what_fails_under_tls) or binary(damaged_spool) or test(/dovecot/) or \
                     test(we_send_two_hundred_messages_to_postfix))";
/// Calls that are rarely made, and when.
const RARE: [(&str, &str); 11] = [
    (
        "getsockname",
        "where net.ipv4.ip_nonlocal_bind lets anybody bind anything",
    ),
    ("sched_yield", "when two threads meet in a channel"),
    ("sched_getaffinity", "when two threads want memory at once"),
    ("gettid", "when a role panics"),
    (
        "clock_gettime",
        "where the kernel does not show the time in memory",
    ),
    ("mremap", "when a large buffer grows"),
    ("mprotect", "when the heap of a thread grows"),
    ("restart_syscall", "after SIGSTOP and SIGCONT"),
    (
        "fstat",
        "which the C library of other machines calls in the place of newfstatat",
    ),
    (
        "newfstatat",
        "which the C library of other machines calls in the place of fstat",
    ),
    ("rename", "when a segment is taken again"),
];

/// A row of the table.
struct Row {
    call: String,
    only: String,
    who: String,
}

/// Looks, and says what was never made.
pub fn main() -> ExitCode {
    match look() {
        Ok(never) if never.is_empty() => {
            println!("every call of docs/confinement.md was made by a closed role");
            ExitCode::SUCCESS
        }
        Ok(never) => {
            for line in never {
                println!("never made: {line}");
            }
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("cargo xtask calls: {why}");
            ExitCode::FAILURE
        }
    }
}

fn look() -> Result<Vec<String>, String> {
    let rows = rows(&fs::read_to_string("docs/confinement.md").map_err(|e| e.to_string())?);
    if rows.len() < 40 {
        return Err("docs/confinement.md has no table of calls".into());
    }
    let folder = PathBuf::from("target/calls");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let build = ["build", "--workspace", "--locked", "--quiet"];
    if !run(Command::new("cargo").args(build)) {
        return Err("it does not build".into());
    }
    let mut command = Command::new("strace");
    command
        .args(["-ff", "-qq", "-s", "64", "-e", "signal=none", "-o"])
        .arg(folder.join("of"))
        .arg(tools::nextest()?)
        .args(tools::SUITE)
        .args(["-E", TESTS]);
    if !run(&mut command) {
        return Err("the tests did not pass, or strace(1) is not here".into());
    }
    let made = made(&folder)?;
    for (role, calls) in &made {
        println!("{role}: {} lines of calls", calls.len());
    }
    let unmade = rows.iter().filter(|row| !is_made(row, &made));
    let unmade = unmade.filter(|row| !RARE.iter().any(|(call, _)| *call == row.call));
    Ok(unmade
        .map(|row| format!("{} {} ({})", row.call, row.only, row.who))
        .collect())
}

/// The table of system calls of the page.
fn rows(page: &str) -> Vec<Row> {
    let lines = page
        .lines()
        .skip_while(|line| !line.starts_with("| call |"))
        .skip(2);
    let cells = lines.map_while(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        Some(Row {
            call: (*cells.first()?).to_owned(),
            only: (*cells.get(1)?).to_owned(),
            who: (*cells.get(2)?).to_owned(),
        })
    });
    cells.collect()
}

/// What each role did after its filter was closed, as strace writes it: distinct fronts of lines.
fn made(folder: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder)
        .map_err(|error| error.to_string())?
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(pid) = name.strip_prefix("of.") {
            let octets = fs::read(entry.path()).map_err(|error| error.to_string())?;
            texts.insert(
                pid.to_owned(),
                String::from_utf8_lossy(&octets).into_owned(),
            );
        }
    }
    let mut made: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for text in texts.values() {
        let Some(role) = role(text) else { continue };
        let calls = made.entry(role).or_default();
        let closed = text
            .find("SECCOMP_FILTER_FLAG_TSYNC")
            .map_or(text.len(), |at| at);
        calls.extend(text[closed..].lines().skip(1).map(front));
        // Its threads were started before.
        let started = text.lines().filter(|line| line.starts_with("clone"));
        for thread in started.filter_map(|line| line.rsplit(" = ").next()) {
            let text = texts.get(thread.trim());
            calls.extend(text.into_iter().flat_map(|text| text.lines().map(front)));
        }
    }
    Ok(made)
}

/// The front of a line: the call and its first arguments; what they are about is cut off.
fn front(line: &str) -> String {
    line.chars()
        .filter(|c| !c.is_ascii_digit())
        .take(60)
        .collect()
}

/// Which role a process was executed as.
fn role(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find(|line| line.starts_with("execve(") && line.contains("\"role\", \""))?;
    let rest = line.split("\"role\", \"").nth(1)?;
    Some(rest.split('"').next()?.to_owned())
}

/// Whether somebody who may make a call did, with the constant that the row names, where it names one.
fn is_made(row: &Row, made: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let begins = format!("{}(", row.call);
    // Digits were cut from the lines.
    let begins: String = begins.chars().filter(|c| !c.is_ascii_digit()).collect();
    let constant =
        row.only.chars().all(|c| c.is_ascii_uppercase() || c == '_') && !row.only.is_empty();
    let of_this = |calls: &BTreeSet<String>| {
        calls
            .iter()
            .any(|line| line.starts_with(&begins) && (!constant || line.contains(&row.only)))
    };
    let who = |role: &str| row.who == "all" || row.who.contains(role);
    made.iter().any(|(role, calls)| who(role) && of_this(calls))
}
