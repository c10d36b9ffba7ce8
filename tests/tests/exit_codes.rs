//! What every command ends with: 0 yes or done, 1 no, 2 usage, 3 configuration, 4 no daemon, 5 not permitted, 6 not
//! now, 69 not built yet. Scripts go by these.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::{Client, Program, Unprivileged, binary, find_files, free_port, left_out, wait_until};

const DONE: i32 = 0;
const NO: i32 = 1;
const USAGE: i32 = 2;
const CONFIGURATION: i32 = 3;
const NO_DAEMON: i32 = 4;
const NOT_PERMITTED: i32 = 5;
const TEMPORARY: i32 = 6;
const NOT_BUILT: i32 = 69;

/// A configuration of one domain, in a folder; `more` stands at its end.
fn configuration(port: u16, more: &str) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{domain}}/{{user}}\"\n[relay]\nto = \"smtp://127.0.0.1:1\"\n{more}"
    )
}

/// The same, written into a folder where nothing runs.
fn written(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let text =
        configuration(free_port(), more).replace("{dir}", &folder.path().display().to_string());
    fs::write(folder.path().join("ringmail.toml"), text).expect("writable");
    fs::create_dir(folder.path().join("mail")).expect("writable");
    folder
}

/// Each command line ends with the code.
fn end_with(code: i32, config: &Path, lines: &[&str]) {
    for line in lines {
        let words = line.split(' ').filter(|word| !word.is_empty());
        let output = Command::new(binary())
            .arg("--config")
            .arg(config)
            .args(words)
            .output();
        let output = output.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "ringmail {line}: {said}");
        let silent = output.stdout.is_empty() && output.stderr.is_empty();
        assert!(
            !silent || line.contains("--quiet") || line.contains("list --json"),
            "ringmail {line} says nothing"
        );
    }
}

#[test]
fn what_needs_no_daemon_is_done_without_one() {
    let folder = written("[aliases]\nops = \"ops@b.test\"\n[limits]\nerrors = 7\n");
    end_with(
        DONE,
        &folder.path().join("ringmail.toml"),
        &[
            "check",
            "--quiet check",
            "config show",
            "config show --effective --origin",
            "config show --json",
            "config diff",
            "config example",
            "config example mx",
            "config schema",
            "explain rcpt ann@a.test",
            "explain rcpt postmaster",
            "explain rcpt ann@a.test --from a@b.test --ip ::1 --helo x.test --json",
            "explain route ann@a.test",
            "explain route ops@mx.a.test",
            "version",
            "version --json",
            "help",
            "--help",
            "queue --help",
            "user --help",
        ],
    );
}

#[test]
fn a_no_is_1() {
    let folder = written("");
    let config = folder.path().join("ringmail.toml");
    end_with(
        NO,
        &config,
        &[
            "explain rcpt who@other.test",
            "explain rcpt who@a.test",
            "explain rcpt not-an-address",
            "explain rcpt ann@a.test --helo not_a_name!",
            "explain route who@a.test",
            "explain reply 0000000000000",
            "explain message 0000000000000",
        ],
    );
    fs::remove_dir(folder.path().join("mail")).expect("ours");
    end_with(NO, &config, &["check"]);
    let text = fs::read_to_string(&config).expect("written");
    let held = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = held.local_addr().expect("bound").port();
    let ours = text
        .lines()
        .find(|line| line.starts_with("mx = "))
        .expect("written")
        .to_owned();
    fs::write(
        &config,
        text.replace(&ours, &format!("mx = \"127.0.0.1:{port}\"")),
    )
    .expect("writable");
    end_with(NO, &config, &["run"]);
    let there = folder.path().join("file");
    fs::write(&there, "").expect("writable");
    end_with(NO, &config, &[&format!("try {}/below", there.display())]);
}

#[test]
fn explain_says_what_somebody_who_is_logged_in_may() {
    let folder = written("[auth]\nsenders = { \"ann@a.test\" = \"@b.test\" }\n");
    let config = folder.path().join("ringmail.toml");
    let text = fs::read_to_string(&config).expect("written");
    let listens = "cert = \"/etc/tls\"\n[listen]\nsubmission = \"127.0.0.1:2465\"\n";
    fs::write(&config, text.replace("[listen]\n", listens)).expect("writable");
    end_with(
        DONE,
        &config,
        &[
            "explain rcpt who@other.test --auth ann@a.test",
            "explain rcpt who@other.test --auth ann@a.test --from ann+x@a.test",
            "explain rcpt who@other.test --auth ann@a.test --from who@b.test --json",
            "explain rcpt ann@a.test --auth who@c.test --from who@c.test",
        ],
    );
    end_with(
        NO,
        &config,
        &[
            "explain rcpt who@other.test --auth ann@a.test --from who@c.test",
            "explain rcpt ann@a.test --auth who@c.test --from ann@a.test",
            "explain rcpt who@a.test --auth ann@a.test",
            "explain rcpt who@other.test --from ann@a.test",
        ],
    );
}

#[test]
fn a_command_line_that_is_wrong_is_2() {
    let folder = written("");
    end_with(
        USAGE,
        &folder.path().join("ringmail.toml"),
        &[
            "",
            "nonsense",
            "--nonsense check",
            "check --nonsense",
            "--color green check",
            "config",
            "config nonsense",
            "config example nonsense",
            "explain",
            "explain rcpt",
            "explain rcpt ann@a.test --ip nonsense",
            "explain rcpt ann@a.test --auth ann",
            "explain rcpt ann@a.test --auth ann@a.test",
            "explain rcpt ann\t@a.test",
            "explain route not-an-address",
            "explain reply nonsense!",
            "explain message nonsense!",
            "queue",
            "queue nonsense",
            "queue show",
            "queue show nonsense!",
            "queue list --age nonsense",
            "queue list --domain not_a..name",
            "queue drop",
            "queue drop --yes",
            "queue hold",
            "queue release",
            "queue retry",
            "send",
            "send --to not-an-address",
            "spool",
            "log find --since nonsense",
            "role smtpd",
        ],
    );
}

#[test]
fn a_configuration_that_is_wrong_is_3_for_all_who_read_it() {
    let folder = written("nonsense = 1\n");
    end_with(
        CONFIGURATION,
        &folder.path().join("ringmail.toml"),
        &[
            "check",
            "--json check",
            "run",
            "config show",
            "config diff",
            "explain rcpt ann@a.test",
            "explain route ann@a.test",
            "explain reply 0000000000000",
            "queue list",
            "queue run",
            "health",
            "status",
            "reload",
            "log",
            "send --to ann@a.test",
            "spool verify",
        ],
    );
}

#[test]
fn no_daemon_is_4() {
    let folder = written("");
    end_with(
        NO_DAEMON,
        &folder.path().join("ringmail.toml"),
        &[
            "queue list",
            "queue show 0000000000000",
            "queue retry --to b.test",
            "queue hold --to b.test",
            "queue release --to b.test",
            "queue drop --to b.test",
            "queue run",
            "health",
            "status",
            "reload",
            "send --to ann@a.test",
        ],
    );
}

#[test]
fn what_is_not_permitted_is_5() {
    let name = "what_is_not_permitted_is_5";
    let program = Program::start(&configuration(free_port(), ""));
    let user = match Unprivileged::new(program.folder()) {
        Ok(user) => user,
        Err(why) => return left_out(name, &why),
    };
    for line in ["queue list", "queue run", "health", "status", "reload"] {
        let mut command = user.command();
        command
            .arg("--config")
            .arg(program.config())
            .args(line.split(' '));
        let output = command.output().expect("the program runs");
        if output.status.code() == Some(DONE) {
            return left_out(name, "the tests run as the user who owns the daemon");
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(NOT_PERMITTED), "{line}: {said}");
    }
}

#[test]
fn a_spool_that_may_not_be_read_is_5() {
    let name = "a_spool_that_may_not_be_read_is_5";
    let mut program = Program::start(&configuration(free_port(), ""));
    assert!(program.stop());
    let user = match Unprivileged::new(program.folder()) {
        Ok(user) => user,
        Err(why) => return left_out(name, &why),
    };
    let mut command = user.command();
    command.arg("--config").arg(program.config());
    let output = command.args(["spool", "verify"]).output();
    let output = output.expect("the program runs");
    if output.status.code() == Some(DONE) {
        return left_out(name, "the tests run as the user who owns the daemon");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(NOT_PERMITTED), "{said}");
    assert!(said.starts_with("ringmail: spool "), "{said}");
}

#[test]
fn the_names_of_other_mail_servers_are_69() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for name in ["sendmail", "mailq", "newaliases"] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(binary(), &link).expect("writable");
        for arguments in [&[][..], &["-t", "-oi"], &["check"]] {
            let output = Command::new(&link).args(arguments).output();
            let output = output.expect("the program runs");
            assert_eq!(
                output.status.code(),
                Some(NOT_BUILT),
                "{name} {arguments:?}"
            );
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(said, format!("{name}: not supported yet\n"));
            assert_eq!(output.stdout, b"");
        }
    }
}

#[test]
fn not_now_is_6() {
    // A daemon that has one session, and somebody who has it.
    let port = free_port();
    let program = Program::start(&configuration(port, "[limits]\nsessions = 1\n"));
    let somebody = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut greeting = [0; 3];
    std::io::Read::read_exact(&mut &somebody, &mut greeting).expect("a greeting");
    assert_eq!(&greeting, b"220");
    end_with(TEMPORARY, &program.config(), &["send --to ann@a.test"]);
    // A name server that does not answer.
    let silent = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    let servers = format!(
        "[dns]\nservers = \"{}\"\n",
        silent.local_addr().expect("bound")
    );
    let folder = written(&servers);
    let config = folder.path().join("ringmail.toml");
    let text = fs::read_to_string(&config)
        .expect("written")
        .replace("[relay]\nto = \"smtp://127.0.0.1:1\"\n", "");
    fs::write(&config, text).expect("writable");
    end_with(TEMPORARY, &config, &["explain route ann@b.test"]);
    end_with(DONE, &config, &["explain route ann@b.test --no-dns"]);
    // A session that would be ended with 421.
    let folder = written("[limits]\nerrors = 1\n");
    end_with(
        TEMPORARY,
        &folder.path().join("ringmail.toml"),
        &["explain rcpt not-an-address"],
    );
}

#[test]
fn a_daemon_answers_with_0_and_1() {
    let port = free_port();
    let mut program = Program::start(&configuration(port, ""));
    end_with(
        DONE,
        &program.config(),
        &[
            "queue list",
            "queue list --json --dead",
            "queue retry --to b.test",
            "queue hold --to b.test",
            "queue release --to b.test",
            "queue drop --to b.test",
            "queue run",
            "health",
            "health --json",
            "status",
            "reload",
            "send --to ann@a.test",
            "send --to ann@a.test --from ann@b.test",
            "send --to ann@a.test --from <>",
            "send --to ann@a.test --from=",
            "queue drop --domain b.test --yes",
        ],
    );
    end_with(
        NO,
        &program.config(),
        &[
            "queue show 0000000000000",
            "send --to who@a.test",
            "send --to who@other.test",
            "spool verify",
        ],
    );
    let mut client = Client::connect(port).expect("it listens");
    assert!(client.say("NOOP").expect("an answer").starts_with("250"));
    let mail = program.folder().join("mail/a.test/ann/new");
    wait_until("all are delivered", Duration::from_secs(30), || {
        find_files(&mail).len() == 4
    });
    assert!(program.stop());
    end_with(
        DONE,
        &program.config(),
        &["spool verify", "log find --to ann@a.test"],
    );
}

#[test]
fn what_is_not_built_yet_is_69() {
    let folder = written("");
    end_with(
        NOT_BUILT,
        &folder.path().join("ringmail.toml"),
        &[
            "acme",
            "alias test root",
            "cert list",
            "completions bash",
            "deliver ann@b.test --probe",
            "dns check b.test",
            "key new b.test",
            "lookup table key",
            "man",
            "migrate postfix",
            "report dmarc",
            "setup domain",
            "top",
            "queue bounce --to b.test",
            "queue shape",
            "spool backup",
            "spool restore x",
            "explain rcpt ann@a.test --tls",
        ],
    );
}
