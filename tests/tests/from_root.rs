//! Root's socket hears root alone, by the kernel's word for who connects: its mode, which keeps others away as well, is
//! taken away here.

use ringmail::ipc::encode;
use ringmail::ipc::reload::Brought;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::rooted::{self, id_of};
use tests::{Program, free_port, left_out, wait_until};

const SOON: Duration = Duration::from_secs(20);
/// The user who owns nothing.
const NOBODY: u32 = 65_534;
/// Says what stands in a file over a socket, and how many octets come back. One that is not heard may find its connection
/// closed at any point.
const SAYS: &str = "import socket, sys\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.connect(sys.argv[1])\n\
    said = open(sys.argv[2], 'rb').read()\n\
    try:\n    s.sendall(said)\n    print(len(s.recv(1000)))\n\
    except (BrokenPipeError, ConnectionResetError):\n    print(0)\n";

fn configuration(port: u16, hold: &str) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = [\"127.0.0.1:{port}\"]\n\
         [domain.\"a.test\"]\nusers = [\"ann\"{hold}]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    )
}

/// How many octets of an answer a user gets who says all of a reload, in the right words.
fn heard(folder: &Path, user: u32) -> usize {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SAYS]);
    command.args([folder.join("run/reload"), folder.join("said")]);
    let output = command.current_dir("/").uid(user).gid(user).output();
    let output = output.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = text.trim().parse();
    count.unwrap_or_else(|_| panic!("{user}: {output:?}"))
}

#[test]
fn who_is_not_root_is_not_heard_even_where_he_may_open_roots_socket() {
    let name = "who_is_not_root_is_not_heard_even_where_he_may_open_roots_socket";
    let python = Path::new("/usr/bin/python3");
    let lacks = rooted::lacks().or((!python.exists()).then_some("it takes /usr/bin/python3"));
    if let Some(why) = lacks {
        return left_out(name, why);
    }
    let port = free_port();
    let program = Program::start_by_root(&configuration(port, ""));
    let folder = program.folder();
    let dir = folder.display().to_string();
    // One user more, so that a reload changes something.
    let text = configuration(port, ", \"bob\"").replace("{dir}", &dir);
    let mut said = Vec::new();
    encode(&Brought::Text, text.as_bytes(), 0, &mut said).expect("it fits");
    encode(&Brought::All, &[], 0, &mut said).expect("it fits");
    fs::write(folder.join("said"), said).expect("writable");
    let open = |path: &str, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(folder.join(path), permissions).expect("our own");
    };
    open("run", 0o755);
    open("said", 0o644);
    open("run/reload", 0o666);
    let strangers = ["supervisor", "launch", "queue", "admin", "smtpd"].map(id_of);
    for stranger in strangers.into_iter().chain([NOBODY]) {
        assert_eq!(heard(folder, stranger), 0, "{stranger}");
    }
    let log = program.log();
    assert!(!log.contains("event=configuration."), "{log}");
    // Nobody was thought to have brought half of it, either.
    assert!(!log.contains("place=reload"), "{log}");
    // What was said was right: root is heard with the same octets.
    assert!(heard(folder, 0) > 0);
    wait_until("it is in force", SOON, || {
        program.log().contains("event=configuration.reloaded")
    });
}
