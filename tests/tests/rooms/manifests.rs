//! What manifests say: edges between our crates, dependencies, lints, and what a brain's lints forbid.

use super::{folders, nothing, read, root};
use std::collections::BTreeSet;
use toml::{Table, Value};

/// One of our crates: whom of ours it may use, and what from outside, in the program and in its tests.
struct Room {
    name: &'static str,
    ours: &'static [&'static str],
    outside: &'static [&'static str],
    in_tests: &'static [&'static str],
}

/// The seven crates. The lists from outside are short where outside data is decided upon.
const ROOMS: [Room; 7] = [
    Room {
        name: "mail",
        ours: &[],
        outside: &["icu_normalizer", "idna", "serde"],
        in_tests: &["postcard", "proptest"],
    },
    Room {
        name: "policy",
        ours: &["mail"],
        outside: &[],
        in_tests: &["proptest"],
    },
    Room {
        name: "queue",
        ours: &["mail"],
        outside: &["crc32c", "postcard", "serde"],
        in_tests: &["proptest"],
    },
    Room {
        name: "ringmail",
        ours: &["mail", "policy", "queue", "smtp", "sys"],
        outside: &[
            "annotate-snippets",
            "argon2",
            "aws-lc-rs",
            "bcrypt",
            "clap",
            "crc32c",
            "data-encoding",
            "hickory-resolver",
            "postcard",
            "rustix",
            "rustls",
            "rustls-webpki",
            "serde",
            "serde_json",
            "sha-crypt",
            "tokio",
            "tokio-rustls",
            "toml",
            "yescrypt",
            "zeroize",
        ],
        in_tests: &["proptest", "rcgen", "tempfile"],
    },
    Room {
        name: "sim",
        ours: &["mail", "policy", "queue", "ringmail", "smtp", "sys"],
        outside: &["rustix", "tokio"],
        in_tests: &["crc32c", "proptest"],
    },
    Room {
        name: "smtp",
        ours: &["mail"],
        outside: &["data-encoding", "memchr", "zeroize"],
        in_tests: &["proptest"],
    },
    Room {
        name: "sys",
        ours: &[],
        outside: &["landlock", "libc", "rustix", "seccompiler"],
        in_tests: &["tempfile"],
    },
];
/// The brains: no I/O, no clock, no configuration; their clippy.toml forbids them the world.
const BRAINS: [&str; 3] = ["policy", "queue", "smtp"];
/// Members of the workspace beside the crates.
const BESIDE: [&str; 4] = ["bench", "fuzz", "tests", "xtask"];
/// What every brain's clippy.toml must forbid, at least.
const FORBIDDEN_METHODS: [&str; 10] = [
    "std::env::args",
    "std::env::var",
    "std::fs::read",
    "std::fs::write",
    "std::net::ToSocketAddrs::to_socket_addrs",
    "std::thread::sleep",
    "std::thread::spawn",
    "std::time::Instant::now",
    "std::time::SystemTime::elapsed",
    "std::time::SystemTime::now",
];
const FORBIDDEN_TYPES: [&str; 8] = [
    "std::fs::File",
    "std::fs::OpenOptions",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os::unix::net::UnixDatagram",
    "std::os::unix::net::UnixStream",
    "std::process::Command",
];

fn parse(text: &str) -> Table {
    text.parse().expect("a manifest is TOML")
}

/// The keys of a dependency section and of the same section for one target only.
fn dependencies<'a>(manifest: &'a Table, section: &str) -> Vec<(&'a str, &'a Value)> {
    let mut tables: Vec<&Table> = manifest
        .get(section)
        .and_then(Value::as_table)
        .into_iter()
        .collect();
    let targets = manifest.get("target").and_then(Value::as_table);
    for target in targets.into_iter().flat_map(Table::values) {
        tables.extend(target.get(section).and_then(Value::as_table));
    }
    tables
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

/// What is wrong with the dependencies of one of our crates.
fn wrong_dependencies(room: &Room, manifest: &Table) -> Vec<String> {
    let ours: BTreeSet<&str> = ROOMS.iter().map(|room| room.name).collect();
    let mut found = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, value) in dependencies(manifest, section) {
            let at = format!("crates/{}/Cargo.toml [{section}] {name}", room.name);
            if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                found.push(format!("{at}: write {name}.workspace = true"));
            }
            if ours.contains(name) || BESIDE.contains(&name) {
                if !room.ours.contains(&name) {
                    found.push(format!("{at}: a new edge between our crates"));
                }
            } else if section == "build-dependencies" {
                found.push(format!("{at}: our crates have no build scripts"));
            } else if !room.outside.contains(&name)
                && (section != "dev-dependencies" || !room.in_tests.contains(&name))
            {
                found.push(format!("{at}: not on this crate's list"));
            }
        }
    }
    found
}

/// What is wrong with a member's lints.
fn wrong_lints(path: &str, manifest: &Table) -> Option<String> {
    let inherits = manifest.get("lints").and_then(|l| l.get("workspace")) == Some(&true.into());
    (!inherits).then(|| format!("{path}: [lints] workspace = true is missing"))
}

/// What a brain's clippy.toml lets through.
fn let_through(brain: &str, clippy: &str) -> Vec<String> {
    let table = parse(clippy);
    let paths = |key: &str| -> BTreeSet<String> {
        let entries = table.get(key).and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                entry
                    .get("path")
                    .or(Some(entry))?
                    .as_str()
                    .map(String::from)
            })
            .collect()
    };
    let (methods, types) = (paths("disallowed-methods"), paths("disallowed-types"));
    let missing = FORBIDDEN_METHODS
        .iter()
        .filter(|m| !methods.contains(**m))
        .chain(FORBIDDEN_TYPES.iter().filter(|t| !types.contains(**t)));
    missing
        .map(|path| format!("crates/{brain}/clippy.toml does not forbid {path}"))
        .collect()
}

#[test]
fn the_seven_crates_are_there_and_no_other() {
    let names: Vec<&str> = ROOMS.iter().map(|room| room.name).collect();
    assert_eq!(folders(&root().join("crates")), names);
    let workspace = parse(&read(&root().join("Cargo.toml")));
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let members: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
    assert_eq!(members, ["bench", "crates/*", "fuzz", "tests", "xtask"]);
}

#[test]
fn what_cargo_runs_is_the_program() {
    // `cargo run --release -- try` stands in the README: one package by default, and one program in it.
    let workspace = parse(&read(&root().join("Cargo.toml")));
    let default = workspace["workspace"]["default-members"]
        .as_array()
        .unwrap();
    let default: Vec<&str> = default.iter().filter_map(Value::as_str).collect();
    assert_eq!(default, ["crates/ringmail"]);
    let manifest = parse(&read(&root().join("crates/ringmail/Cargo.toml")));
    let programs = manifest["bin"].as_array().unwrap();
    assert_eq!(programs.len(), 1);
    assert_eq!(programs[0]["name"].as_str(), Some("ringmail"));
    assert!(!root().join("crates/ringmail/src/bin").exists());
}

#[test]
fn no_crate_uses_another_that_it_may_not_use() {
    let mut found = Vec::new();
    for room in &ROOMS {
        let manifest = read(&root().join("crates").join(room.name).join("Cargo.toml"));
        found.extend(wrong_dependencies(room, &parse(&manifest)));
    }
    nothing(&found);
}

#[test]
fn a_name_in_the_workspace_is_the_package_of_that_name() {
    // A renamed package would walk around the lists above.
    let workspace = parse(&read(&root().join("Cargo.toml")));
    let table = workspace["workspace"]["dependencies"].as_table().unwrap();
    let renamed = table
        .iter()
        .filter(|(_, value)| value.get("package").is_some())
        .map(|(name, _)| format!("Cargo.toml: {name} is another package's name"));
    nothing(&renamed.collect::<Vec<_>>());
}

#[test]
fn every_member_has_the_lints_of_the_workspace() {
    let crates = ROOMS.iter().map(|room| format!("crates/{}", room.name));
    let members = crates.chain(BESIDE.iter().map(|name| (*name).to_owned()));
    let found: Vec<String> = members
        .map(|member| format!("{member}/Cargo.toml"))
        .filter_map(|path| wrong_lints(&path, &parse(&read(&root().join(&path)))))
        .collect();
    nothing(&found);
    let workspace = parse(&read(&root().join("Cargo.toml")));
    let rust = &workspace["workspace"]["lints"]["rust"];
    assert_eq!(rust["unsafe_code"].as_str(), Some("deny"));
    assert!(rust.get("missing_docs").is_some());
}

#[test]
fn every_brain_is_forbidden_the_world() {
    let mut found = Vec::new();
    for brain in BRAINS {
        let path = root().join("crates").join(brain).join("clippy.toml");
        found.extend(let_through(brain, &read(&path)));
    }
    nothing(&found);
}

#[test]
fn deny_toml_lets_in_no_copyleft_no_second_tls_and_no_other_source() {
    let deny = parse(&read(&root().join("deny.toml")));
    let texts = |value: &Value| -> Vec<String> {
        let entries = value.as_array().expect("a list");
        let name = |v: &Value| {
            v.as_str()
                .or_else(|| v.get("crate")?.as_str())
                .map(String::from)
        };
        entries.iter().filter_map(name).collect()
    };
    let copyleft = [
        "GPL", "MPL", "EPL", "CDDL", "EUPL", "OSL", "SSPL", "BUSL", "CC-BY-SA",
    ];
    let licences = texts(&deny["licenses"]["allow"]);
    assert!(licences.len() > 3);
    for licence in licences {
        assert!(
            !copyleft.iter().any(|word| licence.contains(word)),
            "{licence}"
        );
    }
    assert!(deny["licenses"].get("exceptions").is_none());
    let banned = texts(&deny["bans"]["deny"]);
    for name in ["openssl", "openssl-sys", "native-tls", "ring", "boring"] {
        assert!(banned.iter().any(|b| b == name), "{name} is not banned");
    }
    let sources = &deny["sources"];
    assert_eq!(sources["unknown-registry"].as_str(), Some("deny"));
    assert_eq!(sources["unknown-git"].as_str(), Some("deny"));
    assert_eq!(texts(&sources["allow-git"]), [""; 0]);
    assert_eq!(texts(&sources["allow-registry"]).len(), 1);
}

#[test]
fn the_fences_around_manifests_bite() {
    let smtp = &ROOMS[5];
    assert_eq!(smtp.name, "smtp");
    let wrong = |manifest: &str| wrong_dependencies(smtp, &parse(manifest)).join("; ");
    let good = "[dependencies]\nmail.workspace = true\nmemchr.workspace = true\n[dev-dependencies]\nproptest.workspace = true";
    assert_eq!(wrong(good), "");
    for (manifest, bite) in [
        (
            "[dependencies]\nqueue.workspace = true",
            "a new edge between our crates",
        ),
        (
            "[dev-dependencies]\nsys.workspace = true",
            "a new edge between our crates",
        ),
        (
            "[dependencies]\ntokio.workspace = true",
            "not on this crate's list",
        ),
        (
            "[dependencies]\nproptest.workspace = true",
            "not on this crate's list",
        ),
        (
            "[target.'cfg(unix)'.dependencies]\nlibc.workspace = true",
            "not on this crate's list",
        ),
        (
            "[build-dependencies]\ncc.workspace = true",
            "no build scripts",
        ),
        (
            "[dependencies]\nmemchr = \"2\"",
            "write memchr.workspace = true",
        ),
        (
            "[dependencies]\nmemchr = { package = \"evil\", version = \"2\" }",
            "write memchr.workspace = true",
        ),
    ] {
        assert!(
            wrong(manifest).contains(bite),
            "{manifest}: {}",
            wrong(manifest)
        );
    }
    assert!(wrong_lints("x", &parse("[lints]\nworkspace = true")).is_none());
    assert!(wrong_lints("x", &parse("[lints.rust]\nunsafe_code = \"allow\"")).is_some());
    let clippy = "disallowed-methods = [{ path = \"std::time::SystemTime::now\", reason = \"\" }]\ndisallowed-types = [\"std::fs::File\"]";
    assert_eq!(
        let_through("x", clippy).len(),
        FORBIDDEN_METHODS.len() + FORBIDDEN_TYPES.len() - 2
    );
}
