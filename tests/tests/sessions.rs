//! Sessions are shared out: one client does not take those of the others.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;
use tests::{Program, free_port, left_out, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn started(port: u16, more: &str) -> Program {
    Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n[limits]\nclient_sessions = 3\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n{more}"
    ))
}

/// A connection of ours, and how it is greeted.
fn greeted(port: u16) -> (TcpStream, String) {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a time");
    let mut line = String::new();
    let mut reader = BufReader::new(&stream);
    reader.read_line(&mut line).expect("a greeting");
    (stream, line)
}

/// How another client of loopback is greeted.
fn greeted_elsewhere(port: u16) -> Option<String> {
    let asks = format!(
        "import socket\ns = socket.create_connection(('127.0.0.1', {port}), 20, ('127.0.0.2', 0))\n\
         print(s.recv(200).decode())"
    );
    let output = Command::new("python3").args(["-c", &asks]).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn one_client_has_so_many_sessions_and_others_have_theirs() {
    let port = free_port();
    let program = started(port, "");
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        let (stream, greeting) = greeted(port);
        assert!(greeting.starts_with("220 "), "{greeting}");
        held.push(stream);
    }
    let (_, greeting) = greeted(port);
    let told = "421 4.7.0 too many sessions of yours";
    assert!(greeting.starts_with(told), "{greeting}");
    wait_until("it is said, and of whom", SOON, || {
        let log = program.log();
        let line = "event=session.refused level=warn role=smtpd peer_ip=127.0.0.1 listener=mx rule=limits.client_sessions";
        log.contains(line)
    });
    match greeted_elsewhere(port) {
        Some(greeting) => assert!(greeting.starts_with("220 "), "{greeting}"),
        None => left_out(
            "one_client_has_so_many_sessions_and_others_have_theirs",
            "python3, which speaks from another address, is missing",
        ),
    }
    // One that ends makes room for the next.
    held.pop();
    wait_until("there is room again", SOON, || {
        greeted(port).1.starts_with("220 ")
    });
}

#[test]
fn those_who_are_listed_may_have_more() {
    let port = free_port();
    let _program = started(port, "[relay]\nfrom = \"127.0.0.1\"\n");
    let mut held = Vec::new();
    for _ in 0..10 {
        let (stream, greeting) = greeted(port);
        assert!(greeting.starts_with("220 "), "{greeting}");
        held.push(stream);
    }
}
