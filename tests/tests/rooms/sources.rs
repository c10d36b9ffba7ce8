//! What sources say: where `unsafe` stands, which role a role names, how long a file is.

use super::{nothing, read, root};
use std::fs;
use std::path::Path;

/// Roles that are, and those that a place is kept for: a module of `role/` with such a name is a role, every
/// other one belongs to all of them.
const ROLES: [&str; 16] = [
    "acme",
    "admin",
    "auth",
    "https",
    "keys",
    "launch",
    "local",
    "lookup",
    "pickup",
    "policy",
    "queue",
    "relay",
    "smtpd",
    "submission",
    "supervisor",
    "verify",
];
/// Lines of a file beyond which somebody must look for its seam.
const LINES_MAX: usize = 600;
/// Files that are longer today. One that was split must leave this list.
const LONGER: [&str; 0] = [];
/// Folders that hold no source of ours.
const NOT_OURS: [&str; 3] = ["target", ".git", "corpus"];

/// Every Rust file of the repository: its path from the top, and its text.
fn sources() -> Vec<(String, String)> {
    let top = root();
    let (mut folders, mut found) = (vec![top.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if !NOT_OURS.iter().any(|not| name == *not) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&top).expect("below the top");
                found.push((name.display().to_string(), read(&path)));
            }
        }
    }
    found.sort();
    found
}

/// A piece of source that matters here; comments, strings and characters are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Colons,
    Mark(u8),
}

/// Cuts source into words and marks. Knows enough of Rust not to look into comments and strings.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let octets = source.as_bytes();
    let (mut tokens, mut at) = (Vec::new(), 0);
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    while at < octets.len() {
        let rest = &octets[at..];
        let skipped = skip(rest);
        if skipped > 0 {
            at += skipped;
        } else if word(rest[0]) {
            let end = rest.iter().position(|b| !word(*b)).unwrap_or(rest.len());
            tokens.push(Token::Word(&source[at..at + end]));
            at += end;
        } else {
            if rest.starts_with(b"::") {
                tokens.push(Token::Colons);
                at += 1;
            } else if !rest[0].is_ascii_whitespace() {
                tokens.push(Token::Mark(rest[0]));
            }
            at += 1;
        }
    }
    tokens
}

/// Octets of a comment, a string or a character at the front; 0 where none begins.
fn skip(rest: &[u8]) -> usize {
    let until = |from: usize, end: &[u8]| {
        let found = rest[from..].windows(end.len()).position(|w| w == end);
        found.map_or(rest.len(), |place| from + place + end.len())
    };
    if rest.starts_with(b"//") {
        return until(2, b"\n");
    }
    if rest.starts_with(b"/*") {
        // Comments may stand within comments.
        let (mut depth, mut at) = (1, 2);
        while depth > 0 && at < rest.len() {
            let pair = rest.get(at..at + 2).unwrap_or_default();
            (depth, at) = match pair {
                b"/*" => (depth + 1, at + 2),
                b"*/" => (depth - 1, at + 2),
                _ => (depth, at + 1),
            };
        }
        return at;
    }
    // A prefix of a string: b, r, br, c, cr.
    let prefix = rest.iter().take_while(|b| b"brc".contains(b)).count();
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    if rest[..prefix].contains(&b'r') && rest.get(prefix + hashes) == Some(&b'"') {
        let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
        return until(prefix + hashes + 1, &end);
    }
    match rest.get(prefix) {
        Some(b'"') if prefix < 3 => escaped(rest, prefix + 1, b'"'),
        Some(b'\'') if prefix < 2 => match rest.get(prefix + 1) {
            Some(b'\\') => escaped(rest, prefix + 1, b'\''),
            // A lifetime has no second quote behind its first letter.
            Some(first) => {
                let long = first.leading_ones().saturating_sub(1) as usize;
                if rest.get(prefix + 2 + long) == Some(&b'\'') {
                    prefix + 3 + long
                } else {
                    0
                }
            }
            None => 0,
        },
        _ => 0,
    }
}

/// The place behind the closing quote.
fn escaped(rest: &[u8], mut at: usize, quote: u8) -> usize {
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Places where a source is unsafe, or takes the leave to be.
fn unsafe_places(path: &str, source: &str) -> Vec<String> {
    if path.starts_with("crates/sys/") {
        return Vec::new();
    }
    let tokens = tokens(source);
    let is = |at: usize, word: &str| tokens.get(at) == Some(&Token::Word(word));
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if is(at, "unsafe") {
            found.push(format!("{path}: `unsafe` outside crates/sys"));
        }
        // #[allow(…, unsafe_code, …)], or expect, or warn.
        if is(at, "unsafe_code") && path != "tests/tests/rooms/sources.rs" {
            found.push(format!("{path}: a leave for `unsafe` outside crates/sys"));
        }
    }
    found
}

/// Rooms that touch nothing: the brains, and the nouns that they speak of.
const STILL: [&str; 4] = ["mail", "policy", "queue", "smtp"];
/// Parts of the standard library that a brain must not name, whatever it takes from them.
const WORLD: [&str; 5] = ["env", "fs", "os", "process", "thread"];
/// Names that lead out of a brain by another way.
const WAYS_OUT: [&str; 19] = [
    "Instant",
    "OpenOptions",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "dbg",
    "eprint",
    "eprintln",
    "libc",
    "print",
    "println",
    "rustix",
    "stderr",
    "stdin",
    "stdout",
    "to_socket_addrs",
    "tokio",
];
/// Files of these rooms that are tests as a whole: they read and write tables under review.
const TESTS: [&str; 4] = ["tests.rs", "transitions.rs", "table.rs", "corpus.rs"];

/// Places where a room that touches nothing names the world.
fn ways_out(path: &str, source: &str) -> Vec<String> {
    let still = STILL
        .iter()
        .any(|room| path.starts_with(&format!("crates/{room}/src/")));
    if !still || TESTS.iter().any(|test| path.ends_with(&format!("/{test}"))) {
        return Vec::new();
    }
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        // `std::fs`, and `use std::{fs, …}`; a variable of that name stands behind neither.
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let in_path = matches!(before, Some(Token::Colons | Token::Mark(b'{' | b',')))
            && !matches!(tokens.get(at + 1), Some(Token::Mark(b':' | b'.')));
        if WAYS_OUT.contains(word) || (WORLD.contains(word) && in_path) {
            found.push(format!("{path}: `{word}` in a room that touches nothing"));
        }
    }
    found
}

/// The module of a file of a crate's `src`, from the crate's root.
fn module_of(path: &str) -> Option<Vec<String>> {
    let (_, inner) = path.split_once("/src/")?;
    let inner = inner.strip_suffix(".rs")?;
    let mut names: Vec<String> = inner.split('/').map(String::from).collect();
    if matches!(
        names.last().map(String::as_str),
        Some("lib" | "main" | "mod")
    ) {
        names.pop();
    }
    Some(names)
}

/// Every path that a source names, groups of `use` taken apart, `crate`, `self` and `super` resolved; paths that
/// begin with something else are left out.
fn paths(module: &[String], source: &str) -> Vec<Vec<String>> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    // Modules within the file: how deep in braces each began.
    let (mut depth, mut inner) = (0usize, Vec::<(usize, String)>::new());
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            Token::Mark(b'{') => depth += 1,
            Token::Mark(b'}') => {
                depth = depth.saturating_sub(1);
                if inner.last().is_some_and(|(began, _)| *began == depth) {
                    inner.pop();
                }
            }
            Token::Word("mod") => {
                if let (Some(Token::Word(name)), Some(Token::Mark(b'{'))) =
                    (tokens.get(at + 1), tokens.get(at + 2))
                {
                    inner.push((depth, (*name).to_owned()));
                }
            }
            Token::Word(first @ ("crate" | "self" | "super"))
                if tokens.get(at + 1) == Some(&Token::Colons) =>
            {
                let mut here: Vec<String> = module.to_vec();
                here.extend(inner.iter().map(|(_, name)| name.clone()));
                let start = match first {
                    "crate" => Vec::new(),
                    "self" => here,
                    _ => here[..here.len().saturating_sub(1)].to_vec(),
                };
                at = follow(&tokens, at + 2, start, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Follows a path from behind a `::`; gives the place behind it.
fn follow(
    tokens: &[Token<'_>],
    mut at: usize,
    mut path: Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    loop {
        match tokens.get(at) {
            Some(Token::Word("super")) => drop(path.pop()),
            Some(Token::Word("self")) => {}
            Some(Token::Word(name)) => path.push((*name).to_owned()),
            Some(Token::Mark(b'{')) => {
                at += 1;
                while !matches!(tokens.get(at), None | Some(Token::Mark(b'}'))) {
                    let next = follow(tokens, at, path.clone(), found);
                    // A comma, `as name`, or something that no group has: go on either way.
                    at = next.max(at + usize::from(next == at));
                }
                return at + 1;
            }
            _ => {
                found.push(path);
                return at;
            }
        }
        at += 1;
        if tokens.get(at) != Some(&Token::Colons) {
            found.push(path);
            return at;
        }
        at += 1;
    }
}

/// Places where a role names another role.
fn foreign_roles(path: &str, source: &str) -> Vec<String> {
    if !path.starts_with("crates/ringmail/src/role/") {
        return Vec::new();
    }
    let Some(module) = module_of(path) else {
        return Vec::new();
    };
    let Some(role) = module.get(1).filter(|name| ROLES.contains(&&***name)) else {
        // What all roles share may know none of them.
        return paths(&module, source)
            .into_iter()
            .filter_map(|p| named_role(&p).map(String::from))
            .map(|other| format!("{path}: what roles share names the role {other}"))
            .collect();
    };
    paths(&module, source)
        .iter()
        .filter_map(|p| named_role(p))
        .filter(|other| other != role)
        .map(|other| format!("{path}: the role {role} names the role {other}"))
        .collect()
}

/// The role that a path leads into.
fn named_role(path: &[String]) -> Option<&str> {
    match path {
        [first, role, ..] if first == "role" && ROLES.contains(&&**role) => Some(role),
        _ => None,
    }
}

/// What is wrong with the length of files, given as path and count of lines.
fn too_long(files: &[(&str, usize)], exceptions: &[&str]) -> Vec<String> {
    let long = files
        .iter()
        .filter(|(path, lines)| *lines > LINES_MAX && !exceptions.contains(path))
        .map(|(path, lines)| format!("{path}: {lines} lines; past {LINES_MAX} look for the seam"));
    let short = exceptions
        .iter()
        .filter(|exception| {
            !files
                .iter()
                .any(|(path, lines)| path == *exception && *lines > LINES_MAX)
        })
        .map(|exception| format!("{exception} is no longer too long: take it off the list"));
    long.chain(short).collect()
}

#[test]
fn only_sys_is_unsafe() {
    let all = sources();
    assert!(all.len() > 80, "only {} sources were found", all.len());
    let found: Vec<String> = all
        .iter()
        .flat_map(|(path, source)| unsafe_places(path, source))
        .collect();
    nothing(&found);
}

#[test]
fn brains_and_nouns_touch_nothing() {
    let all = sources();
    let found = all.iter().flat_map(|(path, source)| ways_out(path, source));
    nothing(&found.collect::<Vec<_>>());
}

#[test]
fn the_fence_around_brains_bites() {
    let places = |source| ways_out("crates/policy/src/x.rs", source).len();
    for source in [
        "fn f() { std::fs::read(\"x\"); }",
        "use std::{fs, fmt};",
        "use std::{fmt, env};",
        "use std::fs::OpenOptions as Doors;",
        "fn f() { \"h:25\".to_socket_addrs(); }",
        "fn f(t: SystemTime) { t.elapsed(); }",
        "use std::os::unix::net::UnixDatagram;",
        "fn f() { eprintln!(\"x\"); }",
        "fn f() { std::thread::yield_now(); }",
        "fn f() { std::io::stdin(); }",
    ] {
        assert!(places(source) > 0, "{source}");
    }
    for source in ["// std::fs", "let process = 1; f(process);", "\"std::env\""] {
        assert_eq!(places(source), 0, "{source}");
    }
    assert!(ways_out("crates/ringmail/src/x.rs", "use std::fs;").is_empty());
}

#[test]
fn no_role_names_another() {
    let all = sources();
    let roles = all
        .iter()
        .filter(|(path, _)| path.contains("/role/"))
        .count();
    assert!(roles >= 6, "only {roles} files of roles were found");
    let found: Vec<String> = all
        .iter()
        .flat_map(|(path, source)| foreign_roles(path, source))
        .collect();
    nothing(&found);
}

#[test]
fn every_role_of_the_program_is_known_here() {
    let folder = root().join("crates/ringmail/src/role");
    let spawn = read(&root().join("crates/ringmail/src/ipc/spawn.rs"));
    for role in ROLES {
        let variant = format!("=> \"{role}\"");
        // Two processes, one program: the other has other listeners and arrows.
        let program = if role == "submission" { "smtpd" } else { role };
        let file = Path::new(&folder).join(format!("{program}.rs"));
        if spawn.contains(&variant) {
            assert!(file.exists(), "{} is missing", file.display());
        }
    }
    // `Role::X => "name",` in `Role::name`.
    let names = spawn.lines().filter_map(|line| {
        let (_, name) = line.trim().strip_prefix("Role::")?.split_once("=> \"")?;
        name.split('"').next()
    });
    let names: Vec<&str> = names.collect();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        assert!(ROLES.contains(&name), "the role {name} is not in this list");
    }
}

#[test]
fn files_are_small() {
    let all = sources();
    let lines: Vec<(&str, usize)> = all
        .iter()
        .map(|(path, source)| (path.as_str(), source.lines().count()))
        .collect();
    nothing(&too_long(&lines, &LONGER));
}

#[test]
fn the_fence_around_unsafe_bites() {
    let places = |source| unsafe_places("crates/mail/src/x.rs", source).len();
    assert_eq!(places("fn f() { unsafe { g() } }"), 1);
    assert_eq!(places("#![allow(missing_docs, unsafe_code)]"), 1);
    assert_eq!(
        places("#[expect(unsafe_code, reason = \"x\")] unsafe fn f() {}"),
        2
    );
    assert_eq!(unsafe_places("crates/sys/src/x.rs", "unsafe {}").len(), 0);
    for harmless in [
        "// unsafe\n/* /* unsafe */ unsafe */ //! unsafe",
        "\"unsafe \\\" unsafe\" b\"unsafe\" r#\"unsafe \" unsafe\"# '\\'' 'u' b'\\\\'",
        "fn is_unsafe<'unsafe_>(x: &'unsafe_ str) -> bool { x == \"unsafe\" }",
    ] {
        assert_eq!(places(harmless), 0, "{harmless}");
    }
    // What follows a lifetime, a character or a string is still seen.
    assert_eq!(places("f::<'a>('\u{e9}', '\"', \"x\\\\\"); unsafe {}"), 1);
}

#[test]
fn the_fence_between_roles_bites() {
    let found =
        |path: &str, source| foreign_roles(&format!("crates/ringmail/src/role/{path}"), source);
    for (path, source) in [
        ("smtpd.rs", "use crate::role::queue::Desk;"),
        ("smtpd.rs", "use super::queue;"),
        ("smtpd.rs", "use super::{local, relay::x};"),
        ("smtpd.rs", "use crate::{config, role::{self, relay}};"),
        ("smtpd.rs", "fn f() { crate::role::relay::run() }"),
        ("queue/desk.rs", "use super::super::local;"),
        (
            "queue/desk.rs",
            "mod tests { use super::super::super::local::x; }",
        ),
        ("edges.rs", "use super::queue;"),
    ] {
        assert!(!found(path, source).is_empty(), "{path}: {source}");
    }
    assert_eq!(found("smtpd.rs", "use super::{local, relay::x};").len(), 2);
    for (path, source) in [
        (
            "smtpd.rs",
            "use crate::role::in_event_loop;\nuse super::edges::Clock;",
        ),
        (
            "smtpd.rs",
            "use crate::ipc::{self, accept, queue::x};\nuse ::queue::Content;",
        ),
        (
            "smtpd.rs",
            "// super::queue\nmod tests { use super::*; use super::relay_of; }",
        ),
        (
            "queue/desk.rs",
            "use super::{committer, super::queue::x};\nuse crate::role::queue::y;",
        ),
        ("queue/desk.rs", "mod relay { use super::local; }"),
    ] {
        let bites = found(path, source);
        assert!(bites.is_empty(), "{path}: {source}: {bites:?}");
    }
}

#[test]
fn the_fence_around_length_bites() {
    assert_eq!(too_long(&[("a", 600), ("b", 601)], &["b"]), [""; 0]);
    assert_eq!(too_long(&[("a", 601), ("b", 600)], &["b"]).len(), 2);
    assert_eq!(too_long(&[], &["gone"]).len(), 1);
}
