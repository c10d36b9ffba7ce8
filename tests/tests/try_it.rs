//! `ringmail try`: what it prints can be pasted and does what it says; every common client can send to it; Ctrl-C ends
//! it tidily, and a second start finds what was queued.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tests::debian::{self, CLIENTS};
use tests::{Client, Trial, binary, find_files, left_out, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// As a person pastes it into a shell.
fn paste(line: &str) -> Output {
    Command::new("sh")
        .arg("-c")
        .arg(line)
        .output()
        .expect("a shell")
}

/// The value of a field in a mailbox file.
fn has_line(file: &Path, line: &str) -> bool {
    text(&fs::read(file).expect("readable"))
        .lines()
        .any(|found| found == line)
}

#[test]
fn every_line_that_is_printed_can_be_pasted_and_does_what_it_says() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    // A folder that somebody may really have.
    let trial = Trial::start(&scratch.path().join("it's $HOME \"mail\""));
    let pastes = trial.pastes();
    let [curl, ours, explain, queue, cat] = &pastes[..] else {
        panic!("five lines, but these: {pastes:#?}");
    };
    let sent = paste(curl);
    assert!(
        sent.status.success() && sent.stderr.is_empty(),
        "{curl}: {}",
        text(&sent.stderr)
    );
    let again = paste(ours);
    assert_eq!(text(&again.stdout), "you@example.net: accepted\n");
    let mailbox = trial.mailbox("example.net", "you");
    for subject in ["hello", "test message"] {
        let line = trial.wait_for(&format!(" | {subject} | "));
        let (from, path) = (
            line.split(" | ").next().unwrap_or_default(),
            line.rsplit(" | ").next().unwrap_or_default(),
        );
        assert!(from.contains("me@example.org"), "{line}");
        assert!(Path::new(path).starts_with(&mailbox), "{line}");
        assert!(
            has_line(Path::new(path), &format!("Subject: {subject}")),
            "{line}"
        );
    }
    let explained = paste(explain);
    assert_eq!(explained.status.code(), Some(1));
    assert!(
        text(&explained.stdout).starts_with("REFUSE  550 5.7.1 relaying denied\n"),
        "{}",
        text(&explained.stdout)
    );
    // And so it is.
    let mut client = Client::connect(trial.port()).expect("it listens");
    client.say("MAIL FROM:<me@example.org>").expect("an answer");
    let refused = client.say("RCPT TO:<you@[192.0.2.1]>").expect("an answer");
    assert!(
        refused.starts_with("550 5.7.1 relaying denied ["),
        "{refused}"
    );
    wait_until("the queue is empty", SOON, || {
        text(&paste(queue).stdout) == "no messages\n"
    });
    let shown = text(&paste(cat).stdout);
    assert!(
        shown.contains("\nIt works.\n") && shown.contains("\nThis is a test.\n"),
        "{shown}"
    );
}

#[test]
fn where_there_is_no_curl_python_sends_and_where_there_is_neither_we_do() {
    let python = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    let Ok(python) = python.map(|found| text(&found.stdout).trim().to_owned()) else {
        return left_out(
            "where_there_is_no_curl_python_sends_and_where_there_is_neither_we_do",
            "no python3",
        );
    };
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let programs = scratch.path().join("bin");
    fs::create_dir(&programs).expect("writable");
    let trial = Trial::start_with(
        &scratch.path().join("none"),
        Command::new(binary()).env("PATH", &programs),
    );
    let pastes = trial.pastes();
    assert_eq!(pastes.len(), 4, "{pastes:#?}");
    assert!(pastes[0].contains(" send --from "), "{pastes:#?}");
    std::os::unix::fs::symlink(python, programs.join("python3")).expect("writable");
    let trial = Trial::start_with(
        &scratch.path().join("python"),
        Command::new(binary()).env("PATH", &programs),
    );
    let line = &trial.pastes()[0];
    assert!(line.starts_with("python3 -c "), "{line}");
    let sent = paste(line);
    assert!(sent.status.success(), "{line}: {}", text(&sent.stderr));
    trial.wait_for("me@example.org | hello | ");
}

#[test]
fn ports_that_are_taken_are_said_and_the_next_ones_used() {
    // Whoever has them, we or another test: they are taken.
    let held: Vec<_> = [2525, 2587]
        .into_iter()
        .map(|port| TcpListener::bind(("127.0.0.1", port)))
        .collect();
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let trial = Trial::start(scratch.path());
    let (port, submission) = (trial.port(), trial.submission_port());
    for (wanted, got, held) in [(2525, port, &held[0]), (2587, submission, &held[1])] {
        if held.is_ok() {
            assert_ne!(got, wanted);
        }
        let said = trial
            .lines()
            .contains(&format!("Port {wanted} is taken: {got} it is."));
        assert_eq!(said, got != wanted, "{:?}", trial.lines());
    }
    for port in [port, submission] {
        let mut client = Client::connect(port).expect("it listens");
        let answer = client
            .send(
                "a@b.test",
                &["you@example.net".into()],
                b"Subject: x\r\n\r\n",
            )
            .expect("an answer");
        assert!(answer.starts_with("250 2.0.0"), "{answer}");
    }
}

#[test]
fn several_start_at_once_and_none_twice_in_a_folder() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let folders: Vec<PathBuf> = (0..3).map(|n| scratch.path().join(n.to_string())).collect();
    let trials: Vec<Trial> = std::thread::scope(|scope| {
        let starts: Vec<_> = folders
            .iter()
            .map(|folder| scope.spawn(|| Trial::start(folder)))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().expect("it starts"))
            .collect()
    });
    let mut ports: Vec<u16> = trials
        .iter()
        .flat_map(|trial| [trial.port(), trial.submission_port()])
        .collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 6);
    let again = Command::new(binary())
        .arg("try")
        .arg(&folders[0])
        .output()
        .expect("the program runs");
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("runs here already: end it first, or name another folder"),
        "{}",
        text(&again.stderr)
    );
    // The first one was not disturbed, nor was the file that commands find it by.
    let sent = trials[0].command(&["send", "--to", "you@example.net"]);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    trials[0].wait_for(" | test message | ");
}

#[test]
fn folders_that_cannot_be_are_refused_in_words() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    for (name, why) in [
        ("{user}".to_owned(), "has { or }"),
        ("x".repeat(120), "too long for a socket"),
    ] {
        let output = Command::new(binary())
            .arg("try")
            .arg(scratch.path().join(&name))
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            text(&output.stderr).contains(why),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn ctrl_c_ends_it_tidily_and_a_second_start_finds_what_is_queued() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let trial = Trial::start(scratch.path());
    // A mailbox that cannot be made: the message waits.
    let mailbox = trial.mailbox("blocked.test", "you");
    let blocked = scratch.path().join("mail/blocked.test");
    fs::create_dir_all(scratch.path().join("mail")).expect("writable");
    fs::write(&blocked, "").expect("writable");
    let mut client = Client::connect(trial.port()).expect("it listens");
    let answer = client.send(
        "a@b.test",
        &["you@blocked.test".into()],
        b"From: a@b.test\r\nSubject: late\r\n\r\n",
    );
    assert!(answer.expect("an answer").starts_with("250 2.0.0"));
    wait_until("it was tried", SOON, || {
        text(&fs::read(scratch.path().join("log")).unwrap_or_default())
            .contains("event=attempt.deferred")
    });
    let (status, lines) = trial.ctrl_c();
    assert!(status.success(), "{status}");
    assert!(
        lines
            .last()
            .is_some_and(|line| line.starts_with("Ended; what was queued waits in ")),
        "{lines:?}"
    );
    let log = text(&fs::read(scratch.path().join("log")).expect("a log"));
    assert!(
        log.contains("event=service.stopped") && !log.contains("event=role.ended"),
        "{log}"
    );
    fs::remove_file(&blocked).expect("ours");
    let trial = Trial::start(scratch.path());
    trial.wait_for("1 message is queued from before.");
    trial.command(&["queue", "run"]);
    trial.wait_for("a@b.test | late | ");
    wait_until("it is there", SOON, || find_files(&mailbox).len() == 1);
}

/// Contents as clients are given them: with LF line ends, as a file on a disk has them.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    // Whole: no client has a field to add.
    let header = |subject: &str| {
        format!(
            "Date: Wed, 25 Nov 2026 00:01:06 +0000\nFrom: me@example.org\nTo: you@example.net\n\
             Message-ID: <{subject}@example.org>\nSubject: {subject}\n\n"
        )
    };
    let with =
        |subject: &'static str, body: &[u8]| (subject, [header(subject).as_bytes(), body].concat());
    let lines: String = (0..20_000).map(|n| n.to_string() + "\n").collect();
    vec![
        with("plain", b"It works.\n"),
        with("dots", b".\n..\n.x\nx.\n...\n"),
        with("eight-bit", "h\u{e4}tte \u{20ac}\u{1f4e7}\n".as_bytes()),
        with("long", &[&[b'x'; 990][..], b"\n"].concat()),
        with("blank", b"\n\n  \n\t\n"),
        with("many", lines.as_bytes()),
    ]
}

/// Sends each content with a client, and compares what lies in the Maildir byte for byte.
fn byte_for_byte(send: impl Fn(&Trial, &Path)) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let trial = Trial::start(&scratch.path().join("try"));
    for (name, content) in contents() {
        let file = scratch.path().join(name);
        fs::write(&file, &content).expect("writable");
        send(&trial, &file);
        let line = trial.wait_for(&format!(" | {name} | "));
        let arrived =
            fs::read(line.rsplit(" | ").next().unwrap_or_default()).expect("it lies there");
        // Return-Path, Delivered-To, and a Received field of three lines are ours.
        let ours: usize = arrived
            .split_inclusive(|octet| *octet == b'\n')
            .take(5)
            .map(<[u8]>::len)
            .sum();
        let (head, rest) = arrived.split_at(ours);
        let head = text(head);
        assert!(
            head.starts_with(
                "Return-Path: <me@example.org>\nDelivered-To: you@example.net\nReceived: from "
            ),
            "{head}"
        );
        assert!(
            rest == content,
            "{name}: {} octets were sent, {} arrived",
            content.len(),
            rest.len()
        );
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the client runs");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Whether the machine has a program.
fn is_there(program: &str) -> bool {
    let answer = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    answer.is_ok_and(|status| status.success())
}

#[test]
fn pythons_smtplib_sends_byte_for_byte() {
    if !is_there("python3") {
        return left_out("pythons_smtplib_sends_byte_for_byte", "no python3");
    }
    let script = "import smtplib, sys\n\
                  with smtplib.SMTP('127.0.0.1', int(sys.argv[1])) as session:\n    \
                      session.sendmail('me@example.org', 'you@example.net', open(sys.argv[2], 'rb').read().replace(b'\\n', b'\\r\\n'))\n";
    byte_for_byte(|trial, file| {
        let port = trial.submission_port().to_string();
        run(Command::new("python3")
            .args(["-c", script, &port])
            .arg(file));
    });
}

#[test]
fn curl_sends_byte_for_byte() {
    if !is_there("curl") {
        return left_out("curl_sends_byte_for_byte", "no curl");
    }
    byte_for_byte(|trial, file| {
        let url = format!("smtp://127.0.0.1:{}", trial.port());
        let addresses = [
            "--mail-from",
            "me@example.org",
            "--mail-rcpt",
            "you@example.net",
        ];
        run(Command::new("curl")
            .args(["-sS", "--crlf", &url])
            .args(addresses)
            .arg("-T")
            .arg(file));
    });
}

#[test]
fn msmtp_sends_byte_for_byte() {
    let root = match debian::root(CLIENTS) {
        Ok(root) => root,
        Err(why) => return left_out("msmtp_sends_byte_for_byte", &why),
    };
    byte_for_byte(|trial, file| {
        let port = format!("--port={}", trial.port());
        let to = [
            "--host=127.0.0.1",
            &port,
            "--from=me@example.org",
            "you@example.net",
        ];
        run(root
            .command("usr/bin/msmtp")
            .args(to)
            .stdin(fs::File::open(file).expect("written")));
    });
}

#[test]
fn swaks_sends_byte_for_byte() {
    let root = match debian::root(CLIENTS) {
        Ok(root) => root,
        Err(why) => return left_out("swaks_sends_byte_for_byte", &why),
    };
    byte_for_byte(|trial, file| {
        // swaks ends the last line itself.
        let content = fs::read(file).expect("written");
        fs::write(file, content.strip_suffix(b"\n").unwrap_or(&content)).expect("writable");
        let server = format!("127.0.0.1:{}", trial.port());
        let mut swaks = root.perl();
        swaks.arg(root.path().join("usr/bin/swaks"));
        swaks.args([
            "--server",
            &server,
            "--from",
            "me@example.org",
            "--to",
            "you@example.net",
            "--suppress-data",
        ]);
        run(swaks.arg("--data").arg(format!("@{}", file.display())));
    });
}
