//! Logins by SCRAM, as programs that others wrote make them, and what strangers learn by it.

use super::{ANN, BOB, NAME, PASSWORD, PASSWORD_OF_BOB, Ports, SOON, configuration, prepare};
use data_encoding::BASE64;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tests::debian::{self, CLIENTS, Root};
use tests::{
    Authority, Client, Program, find_files, free_port, left_out, set_password,
    set_password_for_scram, wait_until,
};

const PLUS: &str = "SCRAM-SHA-256-PLUS";
const BARE: &str = "SCRAM-SHA-256";

/// bob can prove his password, ann can only say hers. Who is not logged in may send one message a minute.
fn started(by: &Authority) -> (Program, Ports) {
    let ports = Ports::free();
    let text = configuration(&ports, free_port()) + "[limits]\nclient_messages = 1\n";
    let text = text.replace("[auth]\n", "[auth]\nscram = \"offer\"\n");
    let program = Program::start_with(&text, |folder| {
        prepare(folder, by);
        let file = folder.join("passwords");
        set_password_for_scram(&file, BOB, PASSWORD_OF_BOB, "passwd");
    });
    (program, ports)
}

fn roots(program: &Program) -> PathBuf {
    program.folder().join("roots.pem")
}

/// Has gsasl log in at the door that speaks STARTTLS; whether it did, and what it said.
fn gsasl(root: &Root, program: &Program, ports: &Ports, words: &[&str]) -> (bool, String) {
    let mut gsasl = root.command("usr/bin/gsasl");
    let done = gsasl
        .arg("--smtp")
        .arg(format!("--connect=127.0.0.1:{}", ports.start_tls))
        .arg(format!("--x509-ca-file={}", roots(program).display()))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = [&done.stdout[..], &done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (done.status.success(), said)
}

/// How gsasl is told of a mechanism. Where it could bind and is not to, it goes no further unless it is told that too.
fn way(mechanism: &str) -> Vec<&str> {
    let mut words = vec!["-m", mechanism];
    if mechanism == BARE {
        words.push("--no-cb");
    }
    words
}

#[test]
fn gsasl_logs_in_by_each_mechanism_and_by_the_best_of_them() {
    let root = match debian::root(CLIENTS) {
        Ok(root) => root,
        Err(why) => return left_out("gsasl_logs_in_by_each_mechanism", &why),
    };
    let by = Authority::new();
    let (program, ports) = started(&by);
    let bob = ["-a", BOB, "-p", PASSWORD_OF_BOB];
    let accepted = || program.log().matches("event=login.accepted").count();
    let all = ["PLAIN", "LOGIN", BARE, PLUS];
    for (number, mechanism) in (1..).zip(all) {
        let words = [&bob[..], &way(mechanism)].concat();
        let (_, said) = gsasl(&root, &program, &ports, &words);
        assert!(said.contains("235 2.7.0 "), "{mechanism}: {said}");
        assert_eq!(accepted(), number, "{mechanism}: {said}");
    }
    // What it takes itself of our offer is the last of these.
    let (_, said) = gsasl(&root, &program, &ports, &bob);
    assert!(said.contains("235 2.7.0 ") && said.contains(PLUS), "{said}");
    for (user, password) in [
        (BOB, "another passwore"),
        (ANN, PASSWORD_OF_BOB),
        ("nobody@a.test", PASSWORD_OF_BOB),
    ] {
        for mechanism in [BARE, PLUS] {
            let words = [&["-a", user, "-p", password][..], &way(mechanism)].concat();
            let (is_good, said) = gsasl(&root, &program, &ports, &words);
            let refused = said.contains("535 5.7.8 name or password is wrong");
            assert!(refused && !is_good, "{user}: {said}");
        }
    }
    assert_eq!(accepted(), all.len() + 1);
    let log = program.log();
    for cause in ["another password", "no secret of SCRAM", "no such name"] {
        assert!(log.contains(cause), "{cause}: {log}");
    }
}

#[test]
fn msmtp_sends_by_scram_at_both_doors() {
    let root = match debian::root(CLIENTS) {
        Ok(root) => root,
        Err(why) => return left_out("msmtp_sends_by_scram", &why),
    };
    let by = Authority::new();
    let (program, ports) = started(&by);
    let message = program.folder().join("message");
    fs::write(&message, "Subject: x\n\nhello\n").expect("ours");
    let password = program.folder().join("said");
    fs::write(&password, PASSWORD_OF_BOB).expect("ours");
    let doors = [(ports.at_once, "off"), (ports.start_tls, "on")];
    for (port, start_tls) in doors {
        let sent = root
            .command("usr/bin/msmtp")
            .args(["--host=127.0.0.1", "--tls=on", "--from", BOB])
            .arg(format!("--port={port}"))
            .arg(format!("--tls-starttls={start_tls}"))
            .arg(format!("--tls-trust-file={}", roots(&program).display()))
            .arg("--auth=scram-sha-256")
            .arg(format!("--user={BOB}"))
            .arg(format!("--passwordeval=cat {}", password.display()))
            .arg(BOB)
            .stdin(fs::File::open(&message).expect("ours"))
            .output()
            .expect("it runs");
        assert!(sent.status.success(), "{sent:?}");
    }
    let folder = program.folder().join("mail/bob/new");
    wait_until("both arrive", SOON, || {
        find_files(&folder).len() == doors.len()
    });
    let log = program.log();
    assert_eq!(
        log.matches("event=login.accepted").count(),
        doors.len(),
        "{log}"
    );
    assert!(!log.contains(PASSWORD_OF_BOB), "{log}");
}

/// The proof is computed by Python's own library, and the signature looked at.
#[test]
fn a_script_proves_its_password_and_knows_the_server() {
    const SCRIPT: &str = "\
import base64, hashlib, hmac, smtplib, ssl, sys
port, roots, user, password, to = sys.argv[1:]
def code(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()
class Scram:
    step = 0
    def __call__(self, challenge=None):
        self.step += 1
        if self.step == 1:
            self.bare = 'n=%s,r=some-thing!' % user
            return 'n,,' + self.bare
        if self.step == 2:
            said = challenge.decode()
            nonce, salt, count = [part[2:] for part in said.split(',')]
            assert nonce.startswith('some-thing!') and len(nonce) > 60
            salted = hashlib.pbkdf2_hmac('sha256', password.encode(), base64.b64decode(salt), int(count))
            last = 'c=biws,r=' + nonce
            message = ','.join([self.bare, said, last]).encode()
            key = code(salted, b'Client Key')
            mask = code(hashlib.sha256(key).digest(), message)
            self.signature = base64.b64encode(code(code(salted, b'Server Key'), message)).decode()
            proof = bytes(a ^ b for a, b in zip(key, mask))
            return last + ',p=' + base64.b64encode(proof).decode()
        assert challenge.decode() == 'v=' + self.signature, challenge
        return ''
server = smtplib.SMTP_SSL('127.0.0.1', int(port), context=ssl.create_default_context(cafile=roots))
server.ehlo()
server.auth('SCRAM-SHA-256', Scram())
server.sendmail(user, [to], b'Subject: x\\r\\n\\r\\nx\\r\\n')
server.quit()
";
    let root = match debian::root(CLIENTS) {
        Ok(root) => root,
        Err(why) => return left_out("a_script_proves_its_password", &why),
    };
    let by = Authority::new();
    let (program, ports) = started(&by);
    let run = |password: &str| {
        let mut python: Command = root.command("usr/bin/python3");
        python
            .env("PYTHONHOME", root.path().join("usr"))
            .args(["-c", SCRIPT, &ports.at_once.to_string()])
            .arg(roots(&program))
            .args([BOB, password, BOB]);
        python.output().expect("it runs")
    };
    let done = run(PASSWORD_OF_BOB);
    assert!(done.status.success(), "{done:?}");
    let folder = program.folder().join("mail/bob/new");
    wait_until("it arrives", SOON, || find_files(&folder).len() == 1);
    let done = run("another passwore");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && told.contains("535"), "{told}");
}

/// Salt and iterations that a name is challenged with.
fn challenged(ports: &Ports, by: &Authority, user: &str) -> String {
    let mut client = Client::connect_tls_at_once(ports.at_once, NAME, by).expect("TLS");
    let first = BASE64.encode(format!("n,,n={user},r=x").as_bytes());
    let answer = client
        .say(&format!("AUTH {BARE} {first}"))
        .expect("an answer");
    let challenge = answer.trim_end().strip_prefix("334 ").expect("a challenge");
    let challenge = BASE64.decode(challenge.as_bytes()).expect("base64");
    let challenge = String::from_utf8(challenge).expect("text");
    let answer = client.say("*").expect("an answer");
    assert!(answer.starts_with("501 5.7.0 "), "{answer}");
    challenge.split_once(',').expect("a salt").1.to_owned()
}

#[test]
fn nobody_learns_by_its_salt_whether_a_name_is_there() {
    let by = Authority::new();
    let (mut program, ports) = started(&by);
    let file = program.folder().join("passwords");
    let names = [BOB, ANN, "eve@a.test", "no.mailbox"];
    let all = || names.map(|name| challenged(&ports, &by, name));
    let first = all();
    for salt in &first {
        assert!(salt.ends_with(",i=60000"), "{salt}");
        assert_eq!(salt.len(), first[0].len());
        assert_eq!(first.iter().filter(|other| *other == salt).count(), 1);
    }
    // One has another password, one can prove hers now, one comes.
    set_password_for_scram(&file, BOB, "a third password", "passwd");
    set_password_for_scram(&file, ANN, "a fourth password", "passwd");
    set_password(&file, "eve@a.test", PASSWORD, "add");
    let reload = program.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    assert_eq!(all(), first);
    assert!(program.stop());
    program.run();
    assert_eq!(all(), first);
}

#[test]
fn it_is_offered_where_the_configuration_says_so_and_under_tls_alone() {
    let by = Authority::new();
    let (_program, ports) = started(&by);
    let offer = |client: &mut Client| {
        let lines = client.hello().expect("an answer");
        let auth = lines.iter().find(|line| line.contains("AUTH "));
        auth.map(|line| line.trim_end()[4..].to_owned())
    };
    let all = Some(format!("AUTH PLAIN LOGIN {BARE} {PLUS}"));
    let mut client = Client::connect_tls_at_once(ports.at_once, NAME, &by).expect("TLS");
    assert_eq!(offer(&mut client), all);
    let (mut client, _) = Client::connect_tls(ports.start_tls, NAME, &by).expect("TLS");
    assert_eq!(offer(&mut client), all);
    let mut client = Client::connect(ports.start_tls).expect("it listens");
    assert_eq!(offer(&mut client), None);
    let answer = client.say(&format!("AUTH {BARE}")).expect("an answer");
    assert!(answer.starts_with("530 5.7.0 "), "{answer}");
    let (_program, ports) = super::started(&by, free_port());
    let mut client = Client::connect_tls_at_once(ports.at_once, NAME, &by).expect("TLS");
    assert_eq!(offer(&mut client), Some("AUTH PLAIN LOGIN".to_owned()));
    let answer = client.say(&format!("AUTH {BARE}")).expect("an answer");
    assert!(answer.starts_with("504 5.5.4 "), "{answer}");
}
