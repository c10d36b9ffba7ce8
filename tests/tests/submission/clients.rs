//! Programs that people send mail with log in: each way that we have, after STARTTLS and under TLS at once.

use super::{ANN, BOB, PASSWORD, Ports, SOON, started};
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::debian::{self, CLIENTS, Root};
use tests::{Authority, Program, find_files, free_port, left_out, wait_until};

/// Where a client is to send, and how.
struct Door<'a> {
    port: u16,
    at_once: bool,
    /// Whom it believes.
    roots: &'a Path,
    /// A message, with LF lines.
    message: &'a Path,
    mechanism: &'a str,
}

/// Who logs in, and his password.
type Login = (&'static str, &'static str);

const ANNS: Login = (ANN, PASSWORD);
/// For who cannot say what is not ASCII.
const BOBS: Login = (BOB, super::PASSWORD_OF_BOB);

/// Has a client send at both doors, by both ways.
fn by_each_way(name: &str, (user, _): Login, send: impl Fn(&Root, &Door<'_>) -> Command) {
    let root = match debian::root(CLIENTS) {
        Ok(root) => root,
        Err(why) => return left_out(name, &why),
    };
    let by = Authority::new();
    let (program, ports) = started(&by, free_port());
    let (roots, message) = (
        program.folder().join("roots.pem"),
        program.folder().join("message"),
    );
    let Ports {
        at_once, start_tls, ..
    } = ports;
    let mut count = 0;
    for mechanism in ["PLAIN", "LOGIN"] {
        for (port, at_once) in [(at_once, true), (start_tls, false)] {
            let subject = format!("{mechanism} {at_once}");
            let text = format!("From: {user}\nTo: {BOB}\nSubject: {subject}\n\nhello\n");
            fs::write(&message, text).expect("ours");
            let door = Door {
                port,
                at_once,
                roots: &roots,
                message: &message,
                mechanism,
            };
            let done = send(&root, &door).output().expect("it runs");
            assert!(done.status.success(), "{subject}: {done:?}");
            count += 1;
            arrives(&program, count, user, &subject);
        }
    }
    let log = program.log();
    assert_eq!(log.matches("event=login.accepted").count(), count, "{log}");
}

fn arrives(program: &Program, count: usize, user: &str, subject: &str) {
    let folder = program.folder().join("mail/bob/new");
    wait_until("it arrives", SOON, || find_files(&folder).len() == count);
    let has = |file: &std::path::PathBuf| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.contains(&format!("Subject: {subject}"))
            && text.contains(&format!("Return-Path: <{user}>"))
    };
    assert!(find_files(&folder).iter().any(has), "{subject}");
}

#[test]
fn msmtp_logs_in() {
    by_each_way("msmtp_logs_in", ANNS, |root, door| {
        let password = door.roots.with_file_name("said");
        fs::write(&password, PASSWORD).expect("ours");
        let start_tls = if door.at_once { "off" } else { "on" };
        let mut msmtp = root.command("usr/bin/msmtp");
        msmtp
            .args(["--host=127.0.0.1", "--tls=on", "--from", ANN])
            .arg(format!("--port={}", door.port))
            .arg(format!("--tls-starttls={start_tls}"))
            .arg(format!("--tls-trust-file={}", door.roots.display()))
            .arg(format!("--auth={}", door.mechanism.to_ascii_lowercase()))
            .arg(format!("--user={ANN}"))
            .arg(format!("--passwordeval=cat {}", password.display()))
            .arg(BOB)
            .stdin(fs::File::open(door.message).expect("ours"));
        msmtp
    });
}

#[test]
fn curl_logs_in() {
    by_each_way("curl_logs_in", ANNS, |root, door| {
        let scheme = if door.at_once { "smtps" } else { "smtp" };
        let mut curl = root.command("usr/bin/curl");
        curl.args(["-sS", "--ssl-reqd", "--crlf", "--url"])
            .arg(format!("{scheme}://127.0.0.1:{}", door.port))
            .arg("--cacert")
            .arg(door.roots)
            .args(["--mail-from", ANN, "--mail-rcpt", BOB, "--user"])
            .arg(format!("{ANN}:{PASSWORD}"))
            .arg("--login-options")
            .arg(format!("AUTH={}", door.mechanism))
            .arg("-T")
            .arg(door.message);
        curl
    });
}

#[test]
fn swaks_logs_in() {
    by_each_way("swaks_logs_in", ANNS, |root, door| {
        let mut swaks = root.perl();
        swaks
            .arg(root.path().join("usr/bin/swaks"))
            .args(["--server", "127.0.0.1", "--from", ANN, "--to", BOB])
            .args(["--suppress-data", "--port", &door.port.to_string()])
            .arg(if door.at_once { "--tlsc" } else { "--tls" })
            .args(["--auth", door.mechanism, "--auth-user", ANN])
            .args(["--auth-password", PASSWORD, "--data"])
            .arg(format!("@{}", door.message.display()));
        swaks
    });
}

#[test]
fn pythons_smtplib_logs_in() {
    const SCRIPT: &str = "\
import smtplib, ssl, sys
port, at_once, roots, way, user, password, to, message = sys.argv[1:]
context = ssl.create_default_context(cafile=roots)
if at_once == 'true':
    server = smtplib.SMTP_SSL('127.0.0.1', int(port), context=context)
else:
    server = smtplib.SMTP('127.0.0.1', int(port))
    server.starttls(context=context)
server.ehlo()
if way == 'PLAIN':
    server.login(user, password)
else:
    server.user, server.password = user, password
    server.auth('LOGIN', server.auth_login, initial_response_ok=False)
server.sendmail(user, [to], open(message, 'rb').read())
server.quit()
";
    by_each_way("pythons_smtplib_logs_in", BOBS, |root, door| {
        let mut python = root.command("usr/bin/python3");
        python
            .env("PYTHONHOME", root.path().join("usr"))
            .args(["-c", SCRIPT, &door.port.to_string()])
            .arg(door.at_once.to_string())
            .arg(door.roots)
            .args([door.mechanism, BOBS.0, BOBS.1, BOB])
            .arg(door.message);
        python
    });
}
