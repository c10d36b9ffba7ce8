//! What outlives a session: a client that has taken its share of a minute is put off, whatever session it comes with, and nobody
//! else is. That shares come back is in the tests of `role/smtpd/rates.rs`, where the time can be handed in.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::{Program, find_files, free_port, left_out, wait_until};

const SOON: Duration = Duration::from_secs(20);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// Connects from an address of its own, and hands lines on.
const ELSEWHERE: &str = "\
import socket, sys, threading
source, port = sys.argv[1], int(sys.argv[2])
s = socket.create_connection(('127.0.0.1', port), 20, (source, 0))
def hear():
    while (octets := s.recv(4096)):
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()
    sys.stdout.close()
threading.Thread(target=hear).start()
while (line := sys.stdin.buffer.readline()):
    s.sendall(line)
s.shutdown(socket.SHUT_WR)
";

fn configuration(port: u16, limits: &str) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = [\"127.0.0.1:{port}\", \"[::1]:{port}\"]\n\
         [domain.\"a.test\"]\nusers = [\"ann\", \"bob\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n[limits]\n{limits}\n"
    )
}

/// A session of ours that says what it is told, and hears.
struct Session {
    reader: Box<dyn BufRead>,
    writer: Box<dyn Write>,
    /// Who speaks in its place.
    child: Option<Child>,
}

impl Session {
    /// From the address that it goes to; how it is greeted.
    fn connect(to: IpAddr, port: u16) -> (Self, String) {
        let stream = TcpStream::connect(SocketAddr::from((to, port))).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time");
        let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        Self::begin(Box::new(reader), Box::new(stream), None)
    }

    /// From another address of loopback. Nothing where nobody can speak from there.
    fn connect_from(from: &str, port: u16) -> Option<(Self, String)> {
        let mut child = Command::new("python3")
            .args(["-c", ELSEWHERE, from, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let writer = child.stdin.take()?;
        let reader = BufReader::new(child.stdout.take()?);
        Some(Self::begin(Box::new(reader), Box::new(writer), Some(child)))
    }

    fn begin(
        reader: Box<dyn BufRead>,
        writer: Box<dyn Write>,
        child: Option<Child>,
    ) -> (Self, String) {
        let mut session = Self {
            reader,
            writer,
            child,
        };
        let greeting = session.hears();
        (session, greeting)
    }

    /// One that is greeted, has said HELO and begun a transaction.
    fn in_transaction((mut session, greeting): (Self, String)) -> Self {
        assert!(greeting.starts_with("220 "), "{greeting}");
        assert!(session.says("HELO b.test").starts_with("250 "));
        let said = session.says("MAIL FROM:<joe@b.test>");
        assert!(said.starts_with("250 2.1.0 "), "{said}");
        session
    }

    fn hears(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a reply in time");
        line
    }

    fn says(&mut self, line: &str) -> String {
        let line = format!("{line}\r\n");
        self.writer.write_all(line.as_bytes()).expect("it hears");
        self.writer.flush().expect("it hears");
        self.hears()
    }

    /// To this recipient.
    fn names(&mut self, local_part: &str) -> String {
        self.says(&format!("RCPT TO:<{local_part}@a.test>"))
    }

    /// To ann, and whole.
    fn brings_mail(self) {
        let mut session = Self::in_transaction((self, "220 ".into()));
        assert!(session.names("ann").starts_with("250 "));
        session.sends_content();
    }

    fn sends_content(&mut self) {
        assert!(self.says("DATA").starts_with("354 "));
        let said = self.says("Subject: x\r\n\r\nx\r\n.");
        assert!(said.starts_with("250 2.0.0 "), "{said}");
    }

    fn ends(mut self) {
        assert!(self.says("QUIT").starts_with("221 "));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Without the token at its end, and the token.
fn split(reply: &str) -> (&str, &str) {
    let reply = reply.trim_end();
    reply.rsplit_once(' ').expect("a token")
}

#[test]
fn names_cannot_be_tried_out_in_session_after_session_and_others_are_told_as_before() {
    let port = free_port();
    let program = Program::start(&configuration(port, "client_refused = 3"));
    let mut first = Session::in_transaction(Session::connect(V4, port));
    let mut second = Session::in_transaction(Session::connect(V4, port));
    for (session, name) in [(0, "guess1"), (1, "guess2"), (0, "guess3")] {
        let said = [&mut first, &mut second][session].names(name);
        assert!(said.starts_with("550 5.1.1 "), "{said}");
    }
    first.ends();
    // Beyond the bound nobody looks: there is ann, there is no guess4, and nobody relays.
    let told = "450 4.7.0 too many refused recipients of yours, try again later";
    let replies = ["ann@a.test", "guess4@a.test", "joe@far.test", "postmaster"]
        .map(|name| second.says(&format!("RCPT TO:<{name}>")));
    let tokens = replies.each_ref().map(|reply| {
        let (words, token) = split(reply);
        assert_eq!(words, told);
        token
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    let log = program.log();
    let line = "event=client.limited level=warn role=smtpd session=";
    assert_eq!(log.matches(line).count(), 1, "{log}");
    assert!(
        log.contains(" peer_ip=127.0.0.1 listener=mx rule=limits.client_refused count=1"),
        "{log}"
    );
    // Everybody else: another address, and another family.
    let elsewhere = Session::connect_from("127.0.0.2", port);
    if elsewhere.is_none() {
        left_out(
            "names_cannot_be_tried_out_in_session_after_session_and_others_are_told_as_before",
            "python3, which speaks from another address, is missing",
        );
    }
    for others in elsewhere.into_iter().chain([Session::connect(V6, port)]) {
        let mut others = Session::in_transaction(others);
        assert!(others.names("guess1").starts_with("550 5.1.1 "));
        assert!(others.names("ann").starts_with("250 2.1.5 "));
        others.sends_content();
        others.ends();
    }
    // The token of any of the replies leads to the bound.
    let token = tokens[1].to_owned();
    second.ends();
    wait_until("the story is told", SOON, || {
        let output = program.command(&["explain", "reply", &token]);
        let story = String::from_utf8_lossy(&output.stdout).into_owned();
        story.lines().any(|line| {
            line.contains("session.closed") && line.contains("rule=limits.client_refused")
        })
    });
    // What the administrator takes back is gone at once.
    let written = fs::read_to_string(program.config()).expect("ours");
    let without = written.replace("client_refused = 3", "client_refused = 0");
    fs::write(program.config(), without).expect("ours");
    let output = program.command(&["reload"]);
    assert!(output.status.success(), "{output:?}");
    let mut third = Session::in_transaction(Session::connect(V4, port));
    for _ in 0..5 {
        assert!(third.names("guess1").starts_with("550 5.1.1 "));
    }
    assert!(third.names("ann").starts_with("250 2.1.5 "));
    wait_until("what was sent is delivered", SOON, || {
        !find_files(&program.folder().join("mail/ann/new")).is_empty()
    });
}

#[test]
fn a_network_of_ipv6_that_is_put_off_puts_off_nobody_of_ipv4() {
    let port = free_port();
    let _program = Program::start(&configuration(port, "client_refused = 1"));
    let mut six = Session::in_transaction(Session::connect(V6, port));
    assert!(six.names("guess1").starts_with("550 "));
    assert!(six.names("ann").starts_with("450 4.7.0 "));
    let mut four = Session::in_transaction(Session::connect(V4, port));
    assert!(four.names("ann").starts_with("250 "));
}

#[test]
fn connections_that_bring_nothing_are_counted_and_those_that_bring_mail_are_not() {
    let port = free_port();
    let program = Program::start(&configuration(port, "client_connections = 2"));
    for _ in 0..5 {
        Session::connect(V4, port).0.brings_mail();
    }
    for _ in 0..2 {
        let (session, greeting) = Session::connect(V4, port);
        assert!(greeting.starts_with("220 "), "{greeting}");
        session.ends();
    }
    let (mut session, greeting) = Session::connect(V4, port);
    let told = "421 4.7.0 too many connections without mail, try again later";
    assert_eq!(split(&greeting).0, told);
    assert_eq!(session.hears(), "", "it is closed");
    Session::connect(V6, port).0.brings_mail();
    assert!(
        program
            .log()
            .contains("rule=limits.client_connections count=1")
    );
}

#[test]
fn messages_and_recipients_are_counted_over_all_sessions() {
    let port = free_port();
    let limits = "client_messages = 3\nclient_recipients = 3";
    let program = Program::start(&configuration(port, limits));
    Session::connect(V4, port).0.brings_mail();
    let mut session = Session::in_transaction(Session::connect(V4, port));
    for name in ["ann", "bob"] {
        assert!(session.names(name).starts_with("250 "));
    }
    let said = session.names("ann");
    let told = "450 4.7.0 too many recipients of yours, try again later";
    assert_eq!(split(&said).0, told);
    // Those that were accepted get it.
    session.sends_content();
    let mut session = Session::in_transaction(Session::connect(V4, port));
    assert!(session.says("RSET").starts_with("250 "));
    let said = session.says("MAIL FROM:<joe@b.test>");
    let told = "451 4.7.0 too many messages of yours, try again later";
    assert_eq!(split(&said).0, told);
    // It may stay, and is told the same.
    let said = session.says("MAIL FROM:<>");
    assert_eq!(split(&said).0, told);
    session.ends();
    Session::connect(V6, port).0.brings_mail();
    wait_until("all are there", SOON, || {
        let mailbox = |user: &str| find_files(&program.folder().join(format!("mail/{user}/new")));
        (mailbox("ann").len(), mailbox("bob").len()) == (3, 1)
    });
}

#[test]
fn who_errs_in_session_after_session_is_not_greeted_for_a_while() {
    let port = free_port();
    let limits = "errors = 4\nclient_errors = 8";
    let _program = Program::start(&configuration(port, limits));
    for _ in 0..2 {
        let (mut session, greeting) = Session::connect(V4, port);
        assert!(greeting.starts_with("220 "), "{greeting}");
        for wrong in ["GUESS", "RCPT TO:<ann@a.test>", "MAIL"] {
            assert!(session.says(wrong).starts_with("50"));
        }
        let said = session.says("MAIL FROM:<joe@b.test> X=Y");
        assert!(said.starts_with("421 4.7.0 too many errors "), "{said}");
    }
    let (_, greeting) = Session::connect(V4, port);
    let told = "421 4.7.0 too many errors of yours, try again later";
    assert_eq!(split(&greeting).0, told);
    Session::connect(V6, port).0.brings_mail();
}

#[test]
fn who_goes_on_naming_recipients_that_are_all_put_off_has_to_connect_again() {
    let port = free_port();
    let limits = "recipients = 100\nclient_refused = 1";
    let _program = Program::start(&configuration(port, limits));
    let mut session = Session::in_transaction(Session::connect(V4, port));
    assert!(session.names("guess").starts_with("550 "));
    for _ in 0..100 {
        assert!(session.names("ann").starts_with("450 4.7.0 "));
    }
    let said = session.names("ann");
    assert!(said.starts_with("421 4.7.0 too many recipients "), "{said}");
    assert_eq!(session.hears(), "", "it is closed");
}

#[test]
fn nothing_is_counted_of_those_who_are_listed() {
    let port = free_port();
    let limits = "client_connections = 1\nclient_messages = 1\nclient_recipients = 1\nclient_refused = 1\n\
                  client_errors = 1\n[relay]\nfrom = \"127.0.0.1\"";
    let program = Program::start(&configuration(port, limits));
    for _ in 0..3 {
        let mut session = Session::in_transaction(Session::connect(V4, port));
        for _ in 0..3 {
            assert!(session.says("GUESS").starts_with("500 "));
            assert!(session.names("guess").starts_with("550 5.1.1 "));
            assert!(session.names("ann").starts_with("250 "));
        }
        session.ends();
    }
    assert!(!program.log().contains("client.limited"));
    // A stranger is counted meanwhile.
    let mut session = Session::in_transaction(Session::connect(V6, port));
    assert!(session.names("ann").starts_with("250 "));
    assert!(session.names("bob").starts_with("450 4.7.0 "));
}
