//! Where TLS begins and ends: what is said before it, what a hello asks for, what comes behind its end, whose certificate
//! it is.

use crate::server::{NAME, SOON, Server, Session, contains};
use rcgen::{CertificateParams, DnType, SanType};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::{Authority, Client, Hop, Manner, wait_until};

/// CVE-2021-38371 and the others of that kind: what stood behind STARTTLS in clear was obeyed under TLS. CVE-2020-28018:
/// much is said without reading, and the connection is closed by half.
#[test]
fn what_is_said_behind_starttls_is_not_obeyed() {
    let server = Server::start("");
    let mail =
        "MAIL FROM:<joe@b.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n";
    for behind in [mail, "EHLO x\r\n", "NOOP\r\n", "\r\n", "\0", "Q"] {
        let mut session = server.session();
        session.put(format!("STARTTLS\r\n{behind}"));
        let said = session.rest();
        let told = "554 5.5.1 STARTTLS must be the last command before its reply";
        assert!(
            said.starts_with(told) && said.lines().count() == 1,
            "{behind:?}: {said}"
        );
    }
    for commands in [
        "EHLO x\r\nMAIL FROM:<joe@b.test>\r\nRCPT TO:<bob@a.test>\r\nSTARTTLS\r\nNOOP\r\n",
        "EHLO x\r\nSTARTTLS\r\nNOOP\r\n",
        "STARTTLS\r\nNOOP\r\n",
    ] {
        let mut session = Session::open(server.port);
        session.put(commands);
        session.says_no_more();
        let said = session.rest();
        assert!(!said.contains("220 2.0.0 "), "{commands:?}: {said}");
    }
    // In clear behind the 220, or nothing at all: no handshake, and no more words.
    for behind in [mail, ""] {
        let mut session = server.session();
        session.is_told("STARTTLS", "220 2.0.0 ");
        session.put(behind);
        session.says_no_more();
        let said = session.rest();
        assert!(!said.contains("250 ") && !said.contains("354 "), "{said}");
    }
    server.lives();
}

/// CVE-2019-15846, CVE-2015-7687: a name in a hello that is none, or longer than a record.
#[test]
fn a_hello_may_ask_for_any_name() {
    let server = Server::start("");
    let (good, short) = (NAME.as_bytes(), &b"a\\\0"[..]);
    let alert = [21, 3, 3, 0, 2, 2];
    for (name, answer) in [
        (good.to_vec(), &[22, 3, 3][..]),
        (b"other.test".to_vec(), &[22, 3, 3]),
        (b"x".repeat(63), &[22, 3, 3]),
        (short.to_vec(), &alert),
        (b"a\\".to_vec(), &alert),
        (b"mx.a.test\n".to_vec(), &alert),
        (b"mx.a.test\0.b.test".to_vec(), &alert),
        (b"\xff\xfe.test".to_vec(), &alert),
        (b"x".repeat(255), &alert),
        (b"x".repeat(256), &alert),
        (b"y.".repeat(7000), &alert),
        (Vec::new(), &alert),
    ] {
        let mut session = server.session();
        session.is_told("STARTTLS", "220 2.0.0 ");
        session.put(hello_for(&server.authority, &name));
        let mut said = vec![0; answer.len()];
        let read = session.stream().read_exact(&mut said);
        let about = crate::server::shown(&name);
        assert!(read.is_ok() && said == answer, "{about}: {said:?}");
    }
    // Records that are none.
    for record in [
        &b"\x16\x03\x01\xff\xff\x01"[..],
        &[0; 64],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0, 0],
    ] {
        let mut session = server.session();
        session.is_told("STARTTLS", "220 2.0.0 ");
        session.put(record);
        session.says_no_more();
        assert!(!session.rest().contains("250"), "{record:?}");
    }
    let (mut client, _) = Client::connect_tls(server.port, NAME, &server.authority).expect("TLS");
    assert!(
        client
            .say("NOOP")
            .is_ok_and(|answer| answer.starts_with("250 2.0.0 "))
    );
    server.lives();
}

/// A client's hello that asks for this name, whatever it is like (RFC 6066 §3).
fn hello_for(authority: &Authority, name: &[u8]) -> Vec<u8> {
    let asked = ServerName::try_from("name.test").expect("a name");
    let mut connection = ClientConnection::new(authority.trusted(), asked).expect("a client");
    let mut record = Vec::new();
    connection.write_tls(&mut record).expect("into memory");
    // The name's type, its length, the name; before it the list's length, the extension's, its type.
    let old = [&[0, 0, 9][..], b"name.test"].concat();
    let at = record
        .windows(old.len())
        .position(|octets| octets == old)
        .expect("a name");
    let length = |octets: usize| u16::try_from(octets).expect("a short name").to_be_bytes();
    let new = [
        &length(name.len() + 5)[..],
        &length(name.len() + 3),
        &[0],
        &length(name.len()),
        name,
    ]
    .concat();
    let grown = new.len().wrapping_sub(old.len() + 4);
    let mut octets = [&record[5..at - 4], &new[..], &record[at + old.len()..]].concat();
    let sum = octets.len() - 4;
    // The lengths of the handshake's message and of all extensions.
    octets[1..4].copy_from_slice(&u32::try_from(sum).expect("short").to_be_bytes()[1..]);
    let extensions = extensions_at(&octets);
    let before = u16::from_be_bytes([octets[extensions], octets[extensions + 1]]);
    let after = length(usize::from(before).wrapping_add(grown) & 0xFFFF);
    octets[extensions..extensions + 2].copy_from_slice(&after);
    [&[22, 3, 1][..], &length(octets.len()), &octets].concat()
}

/// Where the length of all extensions stands in a hello (RFC 8446 §4.1.2).
fn extensions_at(hello: &[u8]) -> usize {
    let session = 4 + 2 + 32;
    let suites = session + 1 + usize::from(hello[session]);
    let methods = suites + 2 + usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    methods + 1 + usize::from(hello[methods])
}

/// Exim 2026-05-01.1 and what else came of ends of TLS in the middle: content that stops with the end of TLS, and more in
/// clear behind it. CVE-2020-28024: a CR that is the last octet of its record.
#[test]
fn what_comes_behind_the_end_of_tls_is_nothing() {
    let server = Server::start("");
    let begin = || {
        let mut session = server.session();
        session.is_told("STARTTLS", "220 2.0.0 ");
        let name = ServerName::try_from(NAME).expect("a name");
        let connection = ClientConnection::new(server.authority.trusted(), name);
        let socket = session.stream().try_clone().expect("a socket");
        StreamOwned::new(connection.expect("a client"), socket)
    };
    let hear = |tls: &mut StreamOwned<ClientConnection, TcpStream>, wanted: &str| {
        let (mut said, mut room) = (String::new(), [0; 512]);
        while !said.contains(wanted) {
            let count = tls.read(&mut room).unwrap_or(0);
            assert!(count > 0, "{said:?} and then the end, and not {wanted}");
            said += &String::from_utf8_lossy(&room[..count]);
        }
    };
    let commands = "EHLO x\r\nMAIL FROM:<joe@b.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n";
    for (before, behind) in [
        (commands, ".\r\n"),
        (&*format!("{commands}Subject: x\r\n\r\nx\r\n"), ".\r\n"),
        (&*format!("{commands}x\r"), "\n.\r\n"),
        (
            "EHLO x\r\nMAIL FROM:<joe@b.test>\r\n",
            "RCPT TO:<bob@a.test>\r\nDATA\r\nx\r\n.\r\n",
        ),
    ] {
        let mut tls = begin();
        tls.write_all(before.as_bytes()).expect("written");
        tls.flush().expect("written");
        hear(&mut tls, "250 2.1.0 ");
        tls.conn.send_close_notify();
        tls.flush().expect("written");
        let _ = tls.sock.write_all(behind.as_bytes());
        let _ = tls.sock.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = tls.sock.read_to_end(&mut rest);
        assert!(!contains(&rest, b"250 "), "it went on in clear");
    }
    // Each octet in a record of its own, and a CR that is none.
    let mut tls = begin();
    for octet in "EHLO x\r\nNOOP\r\nNOOP\rx\r\n".as_bytes() {
        tls.write_all(&[*octet]).expect("written");
        tls.flush().expect("written");
    }
    hear(&mut tls, "500 5.5.2 ");
    server.lives();
}

/// CVE-2009-4565: a name with a NUL in it was read to the NUL. And a name that stands only where names stood once.
#[test]
fn a_certificate_is_for_the_whole_of_its_name() {
    for (name, alone) in [
        ("localhost", true),
        ("localhost\0.evil.test", false),
        ("localhost.evil.test", false),
    ] {
        let by = Authority::new();
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        if !alone {
            let text = name.to_owned().try_into().expect("ASCII");
            params.subject_alt_names = vec![SanType::DnsName(text)];
        }
        let hop = Hop::showing(Manner::StartTls, &by.certified(&params)).expect("a hop");
        waits(hop.port(), &by, &hop, name);
    }
    // That the same is taken where the name is the right one shows that it was looked at.
    let by = Authority::new();
    let hop = Hop::start(Manner::StartTls, &by, &["localhost"]).expect("a hop");
    let server = sending(hop.port(), &by);
    send(&server);
    wait_until("it is taken", SOON, || hop.taken().len() == 1);
    server.lives();
}

/// sendmail 8.16.1: a connection that was kept is gone, and the next is made without TLS. And a server that says more behind its 220, of which a client took the rest for what was said under TLS (CVE-2021-38371).
#[test]
fn each_connection_has_to_come_under_tls_anew() {
    let by = Authority::new();
    let secure = Hop::start(Manner::StartTls, &by, &["localhost"]).expect("a hop");
    let clear = Hop::start(Manner::Clear, &by, &["localhost"]).expect("a hop");
    let (port, later) = switch(secure.port(), clear.port());
    let server = sending(port, &by);
    send(&server);
    wait_until("it is taken", SOON, || secure.taken().len() == 1);
    wait_until("it is known", SOON, || server.program.queued() == Some(0));
    later.store(1, Ordering::SeqCst);
    // Until the connection that was kept is given up.
    std::thread::sleep(std::time::Duration::from_secs(7));
    send(&server);
    wait_until("it is deferred", SOON, || {
        server.program.log().contains("does not offer TLS")
    });
    server.lives_with(0, 1);
    assert_eq!((secure.taken().len(), clear.taken().len()), (1, 0));
    let injects = Hop::start(Manner::Injects, &by, &["localhost"]).expect("a hop");
    waits(injects.port(), &by, &injects, "more behind the 220");
}

/// One that sends everything to a smart host that has to be itself.
fn sending(port: u16, by: &Authority) -> Server {
    let more = format!(
        "[relay]\nto = \"starttls://localhost:{port}\"\nfrom = \"127.0.0.1\"\n[tls]\nroots = \"{{dir}}/roots.pem\"\n\
         [queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"1s\"\n"
    );
    Server::start_with(&more, |folder, _| {
        fs::write(folder.join("roots.pem"), by.pem()).expect("our own folder");
    })
}

fn send(server: &Server) {
    let mut client = Client::connect(server.port).expect("it listens");
    let to = ["ann@far.test".to_owned()];
    let answer = client.send("joe@b.test", &to, b"Subject: x\r\n\r\nx\r\n");
    assert!(answer.is_ok_and(|answer| answer.starts_with("250 2.0.0 ")));
}

/// What is for this hop waits, and is tried more than once.
fn waits(port: u16, by: &Authority, hop: &Hop, about: &str) {
    let server = sending(port, by);
    send(&server);
    wait_until(about, SOON, || {
        server
            .program
            .log()
            .matches("event=attempt.deferred")
            .count()
            >= 2
    });
    server.lives_with(0, 1);
    assert!(hop.taken().is_empty(), "{about}");
}

/// A port that leads to the first of these, and to the second once it is told so.
fn switch(first: u16, second: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let place = Arc::new(AtomicUsize::new(0));
    let which = Arc::clone(&place);
    std::thread::spawn(move || {
        for from in listener.incoming().map_while(Result::ok) {
            let to = [first, second][which.load(Ordering::SeqCst)];
            let to = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
            for (mut from, mut to) in [(from.try_clone()?, to.try_clone()?), (to, from)] {
                std::thread::spawn(move || {
                    let copied = std::io::copy(&mut from, &mut to);
                    // The other way ends too: who was there is gone.
                    let _ = to.shutdown(std::net::Shutdown::Both);
                    copied
                });
            }
        }
        std::io::Result::Ok(())
    });
    (port, place)
}
