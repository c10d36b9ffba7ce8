//! A spool whose record is damaged: `spool verify` says so and changes nothing, and a start keeps what may be left of
//! the message.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::{Client, Program, find_files, free_port, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// Every file below a folder with its content.
fn picture(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = find_files(folder).into_iter();
    files
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// Changes one octet of the first record that names this recipient.
fn rot(spool: &Path, recipient: &str) {
    for path in find_files(&spool.join("segment")) {
        let mut octets = fs::read(&path).unwrap();
        let found = octets
            .windows(recipient.len())
            .position(|w| w == recipient.as_bytes());
        if let Some(at) = found {
            octets[at] ^= 1;
            fs::write(&path, octets).unwrap();
            return;
        }
    }
    panic!("no record names {recipient}");
}

#[test]
fn what_is_left_of_a_damaged_message_is_kept() {
    let (mx, nobody) = (free_port(), free_port());
    let mut program = Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{domain}}/{{user}}\"\n\
         [relay]\nto = \"smtp://127.0.0.1:{nobody}\"\nfrom = \"127.0.0.1\"\n"
    ));
    let spool = program.folder().join("spool");
    let large = [
        b"Subject: large\r\n\r\n".to_vec(),
        b"0123456789\r\n".repeat(50_000),
    ]
    .concat();
    let mut client = Client::connect(mx).unwrap();
    for (to, content) in [
        ("large@b.test", &large[..]),
        ("small@b.test", b"Subject: x\r\n\r\n"),
    ] {
        let answer = client.send("ann@a.test", &[to.into()], content).unwrap();
        assert!(answer.starts_with("250"), "{answer}");
    }
    drop(client);
    wait_until("both were tried", SOON, || {
        program.log().matches("attempt.deferred").count() >= 2
    });
    assert!(program.stop());
    let sound = program.command(&["spool", "verify"]);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    rot(&spool, "large@b.test");
    let before = picture(&spool);
    for _ in 0..2 {
        let verify = program.command(&["spool", "verify"]);
        let said = String::from_utf8_lossy(&verify.stdout).into_owned();
        assert_eq!(verify.status.code(), Some(1), "{said}");
        assert!(said.contains("DAMAGED"), "{said}");
        assert!(
            said.contains("1 bodies belong to no message that can be read"),
            "{said}"
        );
        assert!(picture(&spool) == before, "verify changed the spool");
    }
    // A start that knows it from the checkpoint keeps it and its body; what is wrong is said when it is read.
    program.run();
    assert_eq!(program.queued(), Some(2));
    let retry = program.command(&["queue", "retry", "--to", "large@b.test"]);
    assert_eq!(retry.status.code(), Some(0), "{retry:?}");
    wait_until("the damage is said", SOON, || {
        program.log().contains("the record is damaged")
    });
    let is_large = |path: &PathBuf| fs::read(path).unwrap() == large;
    assert!(find_files(&spool.join("body")).iter().any(is_large));
    assert!(program.stop());
    // A start that reads the whole log finds no message that the body belongs to.
    fs::remove_file(spool.join("segment/checkpoint")).unwrap();
    program.run();
    assert_eq!(program.queued(), Some(1));
    assert!(program.log().contains("moved to aside/"));
    assert!(find_files(&spool.join("aside")).iter().any(is_large));
}
