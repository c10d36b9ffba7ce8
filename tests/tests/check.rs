//! `ringmail check` beyond the file: folders, sockets, ports and name servers as they are. All findings at once; 1
//! where the service could not do its work, 0 where somebody should merely look.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::{Authority, Program, Unprivileged, binary, free_port, left_out, service};

/// A folder with a configuration whose surroundings are in order but for what a test does to them.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        fs::create_dir(folder.path().join("mail")).expect("writable");
        let place = Self {
            folder,
            port: free_port(),
        };
        place.write("");
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("ringmail.toml")
    }

    /// The configuration, with more at its end. No name server is needed: all mail for others goes to an address.
    fn write(&self, more: &str) {
        let dir = self.path().display();
        let text = format!(
            "hostname = \"mx.a.test\"\nspool = \"{dir}/spool\"\nruntime = \"{dir}/run\"\n\
             [listen]\nmx = \"127.0.0.1:{}\"\n\
             [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
             deliver = \"maildir:{dir}/mail/{{domain}}/{{user}}\"\n\
             [relay]\nto = \"smtp://127.0.0.1:1\"\n{more}",
            self.port
        );
        fs::write(self.config(), text).expect("writable");
    }

    fn check(&self) -> Found {
        self.check_with(Command::new(binary()))
    }

    fn check_with(&self, mut command: Command) -> Found {
        let output = command
            .arg("--config")
            .arg(self.config())
            .arg("check")
            .output();
        Found::of(&output.expect("the program runs"))
    }
}

/// What check found.
struct Found {
    code: Option<i32>,
    said: String,
}

impl Found {
    fn of(output: &Output) -> Self {
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("UTF-8");
        Self {
            code: output.status.code(),
            said: text(&output.stderr) + &text(&output.stdout),
        }
    }

    /// Each is said, with this exit code.
    fn says(&self, code: i32, all: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for one in all {
            assert!(self.said.contains(one), "{one:?} is not in\n{}", self.said);
        }
    }
}

#[test]
fn surroundings_in_order_are_no_news() {
    let place = Place::new();
    // What nothing is wrong with may still lie in memory on this machine: that is a warning.
    place.check().says(0, &["ringmail.toml: no mistakes"]);
    assert!(!place.path().join("spool").exists(), "check makes nothing");
    let quiet = Command::new(binary())
        .arg("--quiet")
        .arg("--config")
        .arg(place.config())
        .arg("check")
        .output();
    assert_eq!(quiet.expect("the program runs").stdout, b"");
}

#[test]
fn a_port_that_another_process_has_is_said_with_its_name() {
    let holder = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let mut place = Place::new();
    place.port = holder.local_addr().expect("bound").port();
    place.write("");
    let pid = std::process::id();
    place.check().says(
        1,
        &[
            &format!("127.0.0.1:{} is taken by ", place.port),
            &format!("(pid {pid})"),
            ":5 listen.mx",
        ],
    );
    drop(holder);
    place.check().says(0, &[]);
}

#[test]
fn a_port_that_our_own_daemon_has_is_in_order() {
    let port = free_port();
    let mut program = Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{port}\"\n\
         [aliases]\nroot = \"ops@b.test\"\n[relay]\nto = \"smtp://127.0.0.1:1\"\n"
    ));
    Found::of(&program.command(&["check"])).says(0, &["no mistakes"]);
    // Who it is itself may not look at what it has open, and asks it.
    let mut check = tests::service(&[program.folder()]);
    let output = check
        .arg("--config")
        .arg(program.config())
        .arg("check")
        .output();
    Found::of(&output.expect("the program")).says(0, &["no mistakes"]);
    assert!(program.stop());
}

#[test]
fn an_address_that_is_not_ours_is_said() {
    let place = Place::new();
    // TEST-NET-2 (RFC 5737): no machine has it.
    let text = fs::read_to_string(place.config())
        .expect("written")
        .replace("127.0.0.1:", "198.51.100.1:");
    fs::write(
        place.config(),
        text.replace("smtp://198.51.100.1", "smtp://127.0.0.1"),
    )
    .expect("writable");
    place
        .check()
        .says(1, &["198.51.100.1", "is no address of this machine"]);
}

#[test]
fn mailboxes_that_are_missing_are_said() {
    let place = Place::new();
    fs::remove_dir(place.path().join("mail")).expect("ours");
    place.check().says(
        1,
        &[
            "mail: is missing",
            ":9 domain.\"a.test\".deliver",
            "not mounted",
        ],
    );
    fs::write(place.path().join("mail"), "").expect("writable");
    place.check().says(1, &["mail: is not a folder"]);
}

#[test]
fn a_file_of_passwords_is_there_where_users_log_in_and_others_cannot_read_it() {
    let place = Place::new();
    let passwords = place.path().join("passwords");
    let tls = place.path().join("tls");
    fs::create_dir(&tls).expect("writable");
    Authority::new().certify(&["mx.a.test"], &tls);
    let auth = format!("[auth]\npasswords = \"file:{}\"\n", passwords.display());
    place.write(&auth);
    place.check().says(0, &["no mistakes"]);
    let listens = format!("submission = \"127.0.0.1:{}\"\n[domain", free_port());
    let text = fs::read_to_string(place.config()).expect("written");
    let text = text.replace("[domain", &listens);
    let cert = format!("cert = \"{}\"\n[listen]", tls.display());
    fs::write(place.config(), text.replace("[listen]", &cert)).expect("writable");
    let missing = ["passwords: ", "ringmail user add", ":15 auth.passwords"];
    place.check().says(1, &missing);
    fs::write(&passwords, "").expect("writable");
    let mode = |mode| {
        fs::set_permissions(&passwords, fs::Permissions::from_mode(mode)).expect("ours");
    };
    mode(0o644);
    place.check().says(1, &["mode 0644", "auth.passwords"]);
    mode(0o640);
    place.check().says(0, &["no mistakes"]);
    fs::remove_file(&passwords).expect("ours");
    fs::create_dir(&passwords).expect("writable");
    place.check().says(1, &["auth.passwords"]);
}

#[test]
fn every_state_of_an_lmtp_socket_is_told_apart() {
    let place = Place::new();
    let socket = place.path().join("lmtp");
    place.write(&format!(
        "[domain.\"b.test\"]\naliases = {{ postmaster = \"ann@a.test\" }}\ndeliver = \"lmtp:{}\"\n",
        socket.display()
    ));
    place
        .check()
        .says(1, &["is not there", "start the server that makes it"]);
    fs::write(&socket, "").expect("writable");
    place.check().says(1, &["is not a socket"]);
    fs::remove_file(&socket).expect("ours");
    let server = UnixListener::bind(&socket).expect("a socket");
    place.check().says(0, &[]);
    drop(server);
    place.check().says(1, &["has nobody who listens"]);
    place.write("[domain.\"b.test\"]\naliases = { postmaster = \"ann@a.test\" }\ndeliver = \"lmtp:127.0.0.1:1\"\n");
    place.check().says(
        1,
        &["LMTP server 127.0.0.1:1 cannot be connected to: connection refused"],
    );
}

#[test]
fn name_servers_that_do_not_answer_are_a_warning() {
    let place = Place::new();
    let silent = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    let address = silent.local_addr().expect("bound");
    let servers = format!("[dns]\nservers = [\"{address}\"]\n");
    place.write(&servers);
    place.check().says(0, &["no mistakes"]);
    // Now DNS is needed.
    let text = fs::read_to_string(place.config())
        .expect("written")
        .replace("[relay]\nto = \"smtp://127.0.0.1:1\"\n", "");
    fs::write(place.config(), text).expect("writable");
    place.check().says(
        0,
        &[
            &format!("warning: name server {address}: no answer"),
            "no mistakes, ",
        ],
    );
}

#[test]
fn a_file_that_anybody_may_change_is_a_warning() {
    let place = Place::new();
    fs::set_permissions(place.config(), fs::Permissions::from_mode(0o666)).expect("ours");
    place
        .check()
        .says(0, &["warning: anybody may change this file"]);
}

#[test]
fn folders_that_this_user_may_not_write_to_are_said_all_at_once() {
    let place = Place::new();
    let user = match Unprivileged::new(place.path()) {
        Ok(user) => user,
        Err(why) => {
            return left_out(
                "folders_that_this_user_may_not_write_to_are_said_all_at_once",
                &why,
            );
        }
    };
    for folder in ["spool", "mail/a.test/ann"] {
        fs::create_dir_all(place.path().join(folder)).expect("writable");
    }
    let shut = |folder: &str, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(place.path().join(folder), mode).expect("ours");
    };
    shut("mail", 0o777);
    shut("mail/a.test/ann", 0o555);
    shut("spool", 0o555);
    shut("", 0o555);
    place.check_with(user.command()).says(
        1,
        &[
            "spool: may not be written to by this user",
            "run: cannot be made: ",
            "mail/a.test/ann: may not be written to by this user",
            "events: cannot be made: ",
        ],
    );
    // The folder must be writable again, so that it can be removed.
    shut("", 0o755);
}

#[test]
fn findings_are_json_lines_where_that_is_asked_for() {
    let place = Place::new();
    fs::remove_dir(place.path().join("mail")).expect("ours");
    let output = Command::new(binary())
        .args(["--json", "--config"])
        .arg(place.config())
        .arg("check")
        .output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let found: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let missing = found.iter().find(|f| {
        f["title"]
            .as_str()
            .is_some_and(|title| title.ends_with("is missing"))
    });
    let missing = missing.expect("it is said");
    assert_eq!(
        (&missing["severity"], &missing["line"]),
        (&"error".into(), &9.into())
    );
}

#[test]
fn nothing_found_is_json_too() {
    let place = Place::new();
    let output = service(&[place.path()])
        .args(["--json", "--config"])
        .arg(place.config())
        .arg("check")
        .output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(0));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let last = lines.lines().last().expect("a line");
    let last: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(last["severity"], "none");
    assert_eq!(last["title"], "no mistakes");
}

#[test]
fn mail_for_our_own_name_that_goes_to_its_mx_is_a_warning() {
    let place = Place::new();
    let own = "[domain.\"mx.a.test\"]\ndeliver = \"mx\"\nusers = [\"postmaster\"]\n";
    place.write(own);
    let found = place.check();
    let title = "mail for mx.a.test goes to its MX, and mx.a.test is this host";
    found.says(
        0,
        &[
            &format!("warning: {title}"),
            " domain.\"mx.a.test\".deliver",
        ],
    );
    place.write(&own.replace("mx.a.test", "other.test"));
    assert!(!place.check().said.contains("goes to its MX"));
}

#[test]
fn a_spool_with_little_room_is_a_warning_with_figures() {
    let name = "a_spool_with_little_room_is_a_warning_with_figures";
    let place = Place::new();
    fs::create_dir(place.path().join("spool")).expect("writable");
    // A file system of its own, in a mount namespace of its own.
    let script = "mount -t tmpfs -o size=$2 none \"$1/spool\" || exit 77
                  \"$0\" --config \"$1/ringmail.toml\" check || exit
                  [ $2 = 64m ] || exit 0
                  \"$0\" --config \"$1/ringmail.toml\" run 2>\"$1/log\" & pid=$!
                  for look in $(seq 300); do grep -q room.changed \"$1/log\" && break; sleep 0.1; done
                  kill $pid; wait $pid; grep room.changed \"$1/log\"";
    for (size, said) in [
        (
            "64m",
            "has no room: 64 MiB free; new mail is refused at 128 MiB",
        ),
        (
            "200m",
            "has little room: 200 MiB free; new mail is refused at 128 MiB",
        ),
    ] {
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(binary())
            .arg(place.path())
            .arg(size)
            .output();
        let output = match output {
            Ok(output) if output.status.code() != Some(77) => output,
            Ok(output) => return left_out(name, &String::from_utf8_lossy(&output.stderr)),
            Err(error) => return left_out(name, &format!("unshare(1): {error}")),
        };
        let found = Found::of(&output);
        found.says(0, &[said]);
        // The log has the figures in octets.
        if size == "64m" {
            let line = " room=false free_bytes=67";
            assert!(found.said.contains(line), "{}", found.said);
            let line = " wanted_bytes=134217728\n";
            assert!(found.said.contains(line), "{}", found.said);
        }
    }
}

#[test]
fn the_bridge_of_a_container_engine_on_this_machine_is_a_warning() {
    let name = "the_bridge_of_a_container_engine_on_this_machine_is_a_warning";
    let place = Place::new();
    let text = fs::read_to_string(place.config()).expect("written");
    let text = text.replace(
        "[relay]\n",
        "[relay]\nfrom = [\"10.0.0.0/8\", \"172.16.0.0/12\"]\n",
    );
    fs::write(place.config(), text).expect("writable");
    // A network namespace of its own, with a bridge of a container engine's name.
    let script = "ip link set lo up && ip link add docker0 type bridge && ip address add 172.17.0.1/16 dev docker0 || exit 77
                  exec \"$0\" --config \"$1\" check";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", script])
        .arg(binary())
        .arg(place.config())
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) => output,
        Ok(output) => return left_out(name, &String::from_utf8_lossy(&output.stderr)),
        Err(error) => return left_out(name, &format!("unshare(1): {error}")),
    };
    let found = Found::of(&output);
    let warned = "relay.from contains 172.16.0.0/12, and with it 172.17.0.1, the address of docker0 on this machine";
    found.says(0, &[&format!("warning: {warned}")]);
    assert!(
        !found.said.contains("contains 10.0.0.0/8"),
        "{}",
        found.said
    );
}

#[test]
fn a_gateway_that_hides_strangers_is_an_open_relay_and_nothing_starts() {
    let name = "a_gateway_that_hides_strangers_is_an_open_relay_and_nothing_starts";
    let place = Place::new();
    let text = fs::read_to_string(place.config()).expect("written");
    let text = text.replace("[relay]\n", "[relay]\nfrom = [\"10.99.0.0/24\"]\n");
    fs::write(place.config(), text).expect("writable");
    // A network namespace of its own, with a default gateway, marked as containers are.
    let script = "ip link set lo up && ip address add 10.99.0.2/24 dev lo && ip route add default via 10.99.0.1 dev lo || exit 77
                  for command in check run; do \"$0\" --config \"$1\" $command; echo $command $?; done
                  unset container; [ -e /.dockerenv ] || [ -e /run/.containerenv ] || \"$0\" --config \"$1\" check; echo outside $?";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", script])
        .arg(binary())
        .arg(place.config())
        .env("container", "test")
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) && output.status.success() => output,
        Ok(output) => return left_out(name, &String::from_utf8_lossy(&output.stderr)),
        Err(error) => return left_out(name, &format!("unshare(1): {error}")),
    };
    let found = Found::of(&output);
    found.says(
        0,
        &[
            "relay.from contains 10.99.0.0/24, and this container shows every client as 10.99.0.1: an open relay; refused",
            "check 1\n",
            "run 1\n",
            "outside 0\n",
        ],
    );
    assert!(
        !place.path().join("spool").exists(),
        "it started:\n{}",
        found.said
    );
}

#[test]
fn without_authorities_nobody_can_be_verified() {
    let place = Place::new();
    let roots = place.path().join("roots.pem");
    let more = format!(
        "[tls]\nverify = [\"b.test\"]\nroots = \"{}\"\n",
        roots.display()
    );
    place.write(&more);
    let found = place.check();
    assert_eq!(found.code, Some(1), "{}", found.said);
    assert!(
        found.said.contains("roots.pem: No such file"),
        "{}",
        found.said
    );
    fs::write(&roots, "nothing\n").expect("writable");
    let found = place.check();
    assert_eq!(found.code, Some(1), "{}", found.said);
    assert!(
        found.said.contains("no authority is in it"),
        "{}",
        found.said
    );
    fs::write(&roots, tests::Authority::new().pem()).expect("writable");
    let found = place.check();
    assert!(!found.said.contains("vouches"), "{}", found.said);
}
