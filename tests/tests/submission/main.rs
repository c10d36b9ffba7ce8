//! Submission: who logs in sends to anybody under his own addresses, and nobody else sends anything there.

mod clients;
mod scram;

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::{
    Authority, Client, Hop, Manner, Program, find_files, free_port, left_out, memory_of, rooted,
    set_password, wait_until,
};

const SOON: Duration = Duration::from_mins(1);
const NAME: &str = "mx.a.test";
const ANN: &str = "ann@a.test";
const BOB: &str = "bob@a.test";
/// No other octets of a test are like these.
const PASSWORD: &str = "sieben R\u{f6}sslein 0815";

const PASSWORD_OF_BOB: &str = "another password";

/// The ports of one server.
struct Ports {
    mx: u16,
    at_once: u16,
    start_tls: u16,
}

impl Ports {
    fn free() -> Self {
        Self {
            mx: free_port(),
            at_once: free_port(),
            start_tls: free_port(),
        }
    }
}

fn configuration(ports: &Ports, relay_to: u16) -> String {
    let Ports {
        mx,
        at_once,
        start_tls,
    } = ports;
    format!(
        "hostname = \"{NAME}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\ncert = \"{{dir}}/tls\"\n\
         [listen]\nmx = \"127.0.0.1:{mx}\"\n\
         submission = [\"tls://127.0.0.1:{at_once}\", \"starttls://127.0.0.1:{start_tls}\"]\n\
         [auth]\npasswords = \"file:{{dir}}/passwords\"\nsenders = {{ \"{BOB}\" = \"@b.test\" }}\n\
         [relay]\nto = \"smtp://127.0.0.1:{relay_to}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\", \"bob\"]\ndeliver = \"maildir:{{dir}}/mail/{{user}}\"\n\
         aliases = {{ postmaster = \"ann\", info = [\"ann\", \"bob\"] }}\n\
         [queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"1s\"\n"
    )
}

fn prepare(folder: &Path, by: &Authority) {
    by.certify(&[NAME, "127.0.0.1"], &folder.join("tls"));
    fs::write(folder.join("roots.pem"), by.pem()).expect("ours");
    set_password(&folder.join("passwords"), ANN, PASSWORD, "add");
    set_password(&folder.join("passwords"), BOB, PASSWORD_OF_BOB, "add");
}

fn started(by: &Authority, relay_to: u16) -> (Program, Ports) {
    let ports = Ports::free();
    let program = Program::start_with(&configuration(&ports, relay_to), |folder| {
        prepare(folder, by);
    });
    (program, ports)
}

fn logged_in(ports: &Ports, by: &Authority) -> Client {
    let mut client = Client::connect_tls_at_once(ports.at_once, NAME, by).expect("TLS");
    let answer = client.log_in(ANN, PASSWORD).expect("an answer");
    assert!(answer.starts_with("235 2.7.0 "), "{answer}");
    client
}

#[test]
fn who_logs_in_sends_to_anybody_at_both_doors() {
    let by = Authority::new();
    let hop = Hop::start(Manner::Clear, &by, &["127.0.0.1"]).expect("a next hop");
    let (program, ports) = started(&by, hop.port());
    let at_once = Client::connect_tls_at_once(ports.at_once, NAME, &by).expect("TLS");
    let (start_tls, _) = Client::connect_tls(ports.start_tls, NAME, &by).expect("TLS");
    for mut client in [at_once, start_tls] {
        let answer = client.log_in(ANN, PASSWORD).expect("an answer");
        assert!(answer.starts_with("235 2.7.0 "), "{answer}");
        let to = ["x@far.test".to_owned(), BOB.to_owned()];
        let answer = client.send(ANN, &to, b"Subject: x\r\nBcc: secret@far.test\r\n\r\nx\r\n");
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("250 2.0.0 "), "{answer}");
        assert!(client.say("QUIT").expect("an answer").starts_with("221 "));
    }
    wait_until("both are there", SOON, || {
        hop.taken().len() == 2 && program.queued() == Some(0)
    });
    let files = find_files(&program.folder().join("mail/bob/new"));
    assert_eq!(files.len(), 2, "{files:?}");
    let mut messages: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(file).expect("mail"))
        .collect();
    let taken = hop.taken();
    let relayed = taken
        .iter()
        .map(|one| String::from_utf8_lossy(&one.content));
    messages.extend(relayed.map(std::borrow::Cow::into_owned));
    for message in messages {
        // What a message needs is there, and nothing of who wrote it but what he said.
        for field in ["From: ann@a.test", "Date: ", "Message-ID: <", "Subject: x"] {
            assert!(message.contains(field), "{field}: {message}");
        }
        assert!(message.contains(" with ESMTPSA id "), "{message}");
        assert!(message.contains(" tls TLS_AES_"), "{message}");
        for told in ["secret@", "Bcc", "client.test", "127.0.0.1"] {
            assert!(!message.contains(told), "{told}: {message}");
        }
    }
    let log = program.log();
    assert_eq!(log.matches("event=login.accepted").count(), 2, "{log}");
    // Who sent it is in the log, where Received does not say it.
    let accepted = log.matches(" login=ann@a.test reverse_path=ann@a.test");
    assert_eq!(accepted.count(), 2, "{log}");
    for secret in ["sslein", "0815"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn who_is_not_logged_in_sends_nothing_and_at_port_25_nobody_logs_in() {
    let by = Authority::new();
    let (program, ports) = started(&by, free_port());
    let mut client = Client::connect(ports.start_tls).expect("it listens");
    for (command, reply) in [
        ("MAIL FROM:<ann@a.test>", "530 5.7.0 "),
        ("AUTH PLAIN AGFubkBhLnRlc3QAeA==", "530 5.7.0 "),
        ("NOOP", "250 "),
    ] {
        let answer = client.say(command).expect("an answer");
        assert!(answer.starts_with(reply), "{command}: {answer}");
    }
    let (mut client, _) = Client::connect_tls(ports.start_tls, NAME, &by).expect("TLS");
    let answer = client.say("MAIL FROM:<ann@a.test>").expect("an answer");
    assert!(answer.starts_with("530 5.7.0 "), "{answer}");
    let (mut client, _) = Client::connect_tls(ports.mx, NAME, &by).expect("TLS");
    let answer = client.log_in(ANN, PASSWORD).expect("an answer");
    assert!(answer.starts_with("502 5.5.1 "), "{answer}");
    assert!(!program.log().contains("login.accepted"));
}

#[test]
fn nobody_sends_under_the_address_of_another() {
    let by = Authority::new();
    let (_program, ports) = started(&by, free_port());
    let mut client = logged_in(&ports, &by);
    for (from, reply) in [
        ("ann@a.test", "250 "),
        ("ANN+lists@A.TEST", "250 "),
        ("info@a.test", "250 "),
        ("postmaster@a.test", "250 "),
        ("", "250 "),
        ("bob@a.test", "550 5.7.1 "),
        ("ann@far.test", "550 5.7.1 "),
        ("x@b.test", "550 5.7.1 "),
    ] {
        let opened = client.say(&format!("MAIL FROM:<{from}>"));
        assert!(opened.expect("an answer").starts_with("250 "), "{from}");
        let answer = client.say("RCPT TO:<x@far.test>").expect("an answer");
        assert!(answer.starts_with(reply), "{from}: {answer}");
        client.say("RSET").expect("an answer");
    }
    // A telephone writes it so.
    let mut client = Client::connect_tls_at_once(ports.at_once, NAME, &by).expect("TLS");
    let answer = client.log_in("Ann@A.test", PASSWORD).expect("an answer");
    assert!(answer.starts_with("235 "), "{answer}");
    let mut client = Client::connect_tls_at_once(ports.at_once, NAME, &by).expect("TLS");
    let answer = client.log_in(BOB, PASSWORD_OF_BOB).expect("an answer");
    assert!(answer.starts_with("235 "), "{answer}");
    client.say("MAIL FROM:<x@b.test>").expect("an answer");
    let answer = client.say("RCPT TO:<x@far.test>").expect("an answer");
    assert!(answer.starts_with("250 "), "{answer}");
}

#[test]
fn a_wrong_password_and_a_name_that_is_none_have_the_same_answer() {
    let by = Authority::new();
    let (program, ports) = started(&by, free_port());
    let mut answers = Vec::new();
    for (user, password) in [
        (ANN, "wrong"),
        ("nobody@a.test", "wrong"),
        ("ann", PASSWORD),
        ("nobody", "x"),
    ] {
        let mut client = Client::connect_tls_at_once(ports.at_once, NAME, &by).expect("TLS");
        let answer = client.log_in(user, password).expect("an answer");
        // The token at its end is the session's.
        let words = answer.rsplit_once(' ').map(|(words, _)| words.to_owned());
        answers.push(words.expect("words"));
        // Who guessed may not go on as if he had not.
        let answer = client.say("MAIL FROM:<ann@a.test>").expect("an answer");
        assert!(answer.starts_with("530 "), "{answer}");
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].starts_with("535 5.7.8 "), "{answers:?}");
    let mut client = Client::connect_tls_at_once(ports.at_once, NAME, &by).expect("TLS");
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(client.log_in(ANN, "wrong").expect("an answer"));
    }
    assert!(said[2].starts_with("421 4.7.0 "), "{said:?}");
    wait_until("it is logged", SOON, || {
        program.log().matches("event=login.refused").count() == 7
    });
}

#[test]
fn a_new_password_is_good_with_a_reload_and_a_file_of_no_use_changes_nothing() {
    let by = Authority::new();
    let (program, ports) = started(&by, free_port());
    let mut before = logged_in(&ports, &by);
    set_password(
        &program.folder().join("passwords"),
        ANN,
        "a better one than that",
        "passwd",
    );
    let log_in = |password: &str| {
        let client = Client::connect_tls_at_once(ports.at_once, NAME, &by);
        client
            .expect("TLS")
            .log_in(ANN, password)
            .expect("an answer")
    };
    assert!(log_in(PASSWORD).starts_with("235 "));
    let reload = program.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    assert!(log_in(PASSWORD).starts_with("535 "));
    assert!(log_in("a better one than that").starts_with("235 "));
    // A session goes on as it began.
    let answer = before.send(ANN, &[BOB.to_owned()], b"Subject: x\r\n\r\nx\r\n");
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("250 2.0.0 "), "{answer}");
    // Written over in place, as an editor may do.
    fs::write(program.folder().join("passwords"), "ann@a.test:hunter2\n").expect("ours");
    let reload = program.command(&["reload"]);
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    let told = String::from_utf8_lossy(&reload.stderr).into_owned();
    assert!(
        told.contains("line 1") && !told.contains("hunter2"),
        "{told}"
    );
    assert!(log_in("a better one than that").starts_with("235 "));
}

#[test]
fn without_auth_or_policy_of_before_who_is_logged_in_logs_in_again() {
    let by = Authority::new();
    let (program, ports) = started(&by, free_port());
    for role in ["auth", "policy"] {
        let mut client = logged_in(&ports, &by);
        let pid_of = || {
            let found = program.roles().into_iter().find(|(name, _)| name == role);
            found.map(|(_, pid)| pid)
        };
        let old = pid_of().expect("it lives");
        let killed = Command::new("kill")
            .args(["-KILL", &old.to_string()])
            .status();
        assert!(killed.expect("kill").success());
        wait_until("it lives again", SOON, || {
            pid_of().is_some_and(|pid| pid != old) && program.command(&["health"]).status.success()
        });
        let answer = client.send(ANN, &[BOB.to_owned()], b"Subject: x\r\n\r\nx\r\n");
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("421 4.7.0 "), "{role}: {answer}");
        let mut again = logged_in(&ports, &by);
        let answer = again.send(ANN, &[BOB.to_owned()], b"Subject: x\r\n\r\nx\r\n");
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("250 2.0.0 "), "{role}: {answer}");
    }
}

#[test]
fn what_auth_cannot_use_stops_the_start() {
    let by = Authority::new();
    for (text, mode, why) in [
        (Some("ann@a.test:hunter2\n"), 0o600, "line 1"),
        (Some(""), 0o644, "chmod"),
        (None, 0o600, "passwords"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = Ports::free();
        by.certify(&[NAME], &folder.path().join("tls"));
        let file = folder.path().join("passwords");
        if let Some(text) = text {
            fs::write(&file, text).expect("ours");
            fs::set_permissions(&file, Permissions::from_mode(mode)).expect("ours");
        }
        let config = folder.path().join("ringmail.toml");
        let path = folder.path().display().to_string();
        let text = configuration(&ports, 25).replace("{dir}", &path);
        fs::write(&config, text).expect("ours");
        let run = tests::service(&[folder.path()])
            .args(["run", "--config"])
            .arg(&config)
            .output()
            .expect("the program");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && said.contains(why), "{why}: {said}");
    }
}

#[test]
fn hashes_are_in_auth_and_in_no_other_process() {
    let name = "hashes_are_in_auth_and_in_no_other_process";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let (by, ports) = (Authority::new(), Ports::free());
    let mut hash = String::new();
    let program = Program::start_by_root_with(&configuration(&ports, 25), |folder| {
        prepare(folder, &by);
        let text = fs::read_to_string(folder.join("passwords")).expect("ours");
        let line = text.lines().next().expect("a line");
        hash = line.rsplit('$').next().expect("a hash").into();
    });
    logged_in(&ports, &by);
    let mut roles = program.roles();
    roles.push(("supervisor".into(), program.pid()));
    for (role, pid) in roles {
        let memory = memory_of(pid);
        let decoded = data_encoding::BASE64_NOPAD.decode(hash.as_bytes());
        let decoded = decoded.expect("a hash");
        let has = |wanted: &[u8]| memory.windows(wanted.len()).any(|octets| octets == wanted);
        let knows = has(hash.as_bytes()) || has(&decoded);
        assert_eq!(knows, role == "auth", "{role}");
    }
}

/// Who has enough sessions is left before a handshake, which he might never end: nothing waits for him.
#[test]
fn who_is_refused_where_tls_is_spoken_at_once_costs_no_handshake() {
    let (by, ports) = (Authority::new(), Ports::free());
    let limits = "[limits]\nclient_sessions = 3\n";
    let text = configuration(&ports, free_port()) + limits;
    let program = Program::start_with(&text, |folder| prepare(folder, &by));
    let connect = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ports.at_once)).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time");
        stream
    };
    let silent: Vec<TcpStream> = (0..3).map(|_| connect()).collect();
    let mut octet = [0];
    let read = connect().read(&mut octet).expect("an end");
    assert_eq!(read, 0);
    wait_until("it is said", SOON, || {
        program.log().contains(
            "event=session.refused level=warn role=submission peer_ip=127.0.0.1 listener=submission rule=limits.client_sessions",
        )
    });
    drop(silent);
    wait_until("others have their turn again", SOON, || {
        Client::connect_tls_at_once(ports.at_once, NAME, &by).is_ok()
    });
}

/// What a client may take in a minute is asked of those who have not logged in: their own programs come as they like.
#[test]
fn who_logs_in_is_not_counted_and_who_does_not_is() {
    let (by, ports) = (Authority::new(), Ports::free());
    let limits = "[limits]\nclient_connections = 2\nclient_messages = 1\nclient_recipients = 1\nclient_refused = 1\n";
    let text = configuration(&ports, free_port()) + limits;
    let program = Program::start_with(&text, |folder| prepare(folder, &by));
    for _ in 0..4 {
        let mut client = logged_in(&ports, &by);
        for _ in 0..2 {
            let to = [BOB.to_owned(), "nobody@a.test".to_owned(), ANN.to_owned()];
            let answer = client.send(ANN, &to, b"Subject: x\r\n\r\nx\r\n");
            let answer = answer.expect("an answer");
            assert!(answer.starts_with("250 2.0.0 "), "{answer}");
        }
    }
    assert!(!program.log().contains("client.limited"));
    for _ in 0..2 {
        Client::connect_tls_at_once(ports.at_once, NAME, &by).expect("TLS");
    }
    assert!(Client::connect_tls_at_once(ports.at_once, NAME, &by).is_err());
    wait_until("it is said", SOON, || {
        let log = program.log();
        log.contains("event=client.limited level=warn role=submission")
            && log.contains("listener=submission rule=limits.client_connections count=1")
    });
    // Port 25 has a process of its own, which has counted nobody yet.
    assert!(Client::connect(ports.mx).is_ok());
}
