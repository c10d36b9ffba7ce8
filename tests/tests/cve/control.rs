//! The control socket, said rubbish to by whoever may open it.

use crate::server::{SOON, Server};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::{find_files, left_out, wait_until};

/// Connections at once, more than are served.
const MANY: usize = 300;

/// CVE-2025-62875: rubbish on a control socket that anybody may open ended the daemon. What another user hears is looked at
/// where such a user can be had (`crates/ringmail/tests/from_inside`).
#[test]
fn rubbish_on_the_control_socket_ends_that_connection_alone() {
    let server = Server::start("");
    let socket = socket_of(server.program.folder());
    let mode = std::fs::metadata(&socket)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let prefix = |version: u8, head: u32, tail: u32, fds: u8| {
        [
            &[version][..],
            &head.to_le_bytes(),
            &tail.to_le_bytes(),
            &[fds],
        ]
        .concat()
    };
    let version = 3;
    for rubbish in [
        pseudo_random(100),
        pseudo_random(100_000),
        vec![0; 100],
        vec![0xFF; 100],
        prefix(version, 0, 0, 0),
        prefix(version, u32::MAX, 0, 0),
        prefix(version, 0, u32::MAX, 0),
        prefix(version, 1 << 31, 1 << 31, 255),
        [prefix(version, 1, 0, 255), vec![0]].concat(),
        [prefix(version, 1, 0, 1), vec![0]].concat(),
        [prefix(version, 1, 0, 0), vec![200]].concat(),
        [prefix(version, 2, 0, 0), vec![0, 0]].concat(),
        [prefix(version + 1, 1, 0, 0), vec![0]].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time");
        // It may have been closed before all was written.
        let _ = stream.write_all(&rubbish);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert_eq!(said, b"", "{}", crate::server::shown(&rubbish));
    }
    // Cut in the middle, and kept open.
    let held: Vec<_> = (0..MANY)
        .filter_map(|_| UnixStream::connect(&socket).ok())
        .collect();
    for (number, mut stream) in held.iter().enumerate() {
        let _ = stream.write_all(&prefix(version, 1, 0, 0)[..number % 10]);
    }
    std::thread::sleep(Duration::from_millis(100));
    drop(held);
    wait_until("a command is served again", SOON, || {
        server.program.command(&["health"]).status.success()
    });
    match descriptors_by_the_hundred(&socket) {
        Some(said) => assert_eq!(said, "closed\n"),
        None => left_out(
            "rubbish_on_the_control_socket_ends_that_connection_alone",
            "python3, which hands descriptors over, is missing",
        ),
    }
    let admin = server.pid_of("admin");
    let open = std::fs::read_dir(format!("/proc/{admin}/fd"));
    // As who it is not: another user's process is not looked into.
    if let Ok(open) = open {
        let count = open.count();
        assert!(count < 100, "{count} descriptors are open");
    }
    server.lives_but_for(Some("admin"), 0, 0);
}

fn socket_of(folder: &Path) -> PathBuf {
    let files = find_files(&folder.join("run"));
    let is_socket = |path: &PathBuf| UnixStream::connect(path).is_ok();
    files
        .into_iter()
        .find(is_socket)
        .expect("a socket that listens")
}

/// Octets in no order, the same each time.
fn pseudo_random(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let octets = (0..count).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    octets.collect()
}

/// Hands over more descriptors than anybody announced, again and again.
fn descriptors_by_the_hundred(socket: &Path) -> Option<String> {
    let hands = format!(
        "import socket\n\
         for _ in range(20):\n \
         s = socket.socket(socket.AF_UNIX)\n \
         s.settimeout(20)\n \
         s.connect('{}')\n \
         try:\n  \
         for _ in range(5): socket.send_fds(s, [bytes(10)], [0] * 100)\n  \
         while s.recv(100): pass\n \
         except OSError: pass\n\
         print('closed')",
        socket.display()
    );
    let output = Command::new("python3").args(["-c", &hands]).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
