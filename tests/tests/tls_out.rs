//! TLS on the way out, with the program started for real: next hops that speak it, that fail to, that show certificates of
//! any kind, and a smart host that has to be itself.

use std::fs;
use std::time::Duration;
use tests::{Authority, Came, Client, Hop, Manner, Program, free_port, wait_until};

/// A handshake that is not answered takes half a minute.
const SOON: Duration = Duration::from_mins(1);
/// A name that DNS is not asked for.
const HERE: &str = "127.0.0.1";

/// One that sends everything to this smart host, and believes this authority.
fn started(to: &str, by: &Authority) -> (Program, u16) {
    let mx = free_port();
    let configuration = format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [aliases]\npostmaster = \"root@b.test\"\n[relay]\nto = \"{to}\"\nfrom = [\"127.0.0.1\"]\n[tls]\nroots = \"{{dir}}/roots.pem\"\n\
         [queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"1s\"\n"
    );
    let program = Program::start_with(&configuration, |folder| {
        fs::write(folder.join("roots.pem"), by.pem()).expect("our own folder");
    });
    (program, mx)
}

fn send(port: u16, content: &[u8]) {
    let to = ["ann@b.test".to_owned()];
    let mut client = Client::connect(port).expect("it listens");
    let answer = client.send("joe@a.test", &to, content);
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("250 2.0.0"), "{answer}");
}

/// What came of one small message: under TLS or not, by which name.
fn delivered(program: &Program, port: u16, hop: &Hop) -> Came {
    send(port, b"Subject: x\r\n\r\n.x\r\n");
    wait_until("it is taken", SOON, || !hop.taken().is_empty());
    wait_until("it is logged", SOON, || {
        program.log().contains("event=recipient.delivered")
    });
    let taken = hop.taken().remove(0);
    assert!(taken.content.ends_with(b"Subject: x\r\n\r\n.x\r\n"));
    taken.came
}

fn waits(program: &Program, port: u16, hop: &Hop, why: &str) {
    send(port, b"Subject: x\r\n\r\nx\r\n");
    wait_until(why, SOON, || {
        let log = program.log();
        log.lines()
            .any(|line| line.contains("event=attempt.deferred") && line.contains(why))
    });
    assert!(hop.taken().is_empty());
    assert_eq!(program.queued(), Some(1), "it waits");
}

#[test]
fn where_tls_is_offered_mail_goes_under_it_whoever_s_certificate_is_shown() {
    let unknown = Authority::new();
    let hop = Hop::start(Manner::StartTls, &unknown, &["elsewhere.test"]).expect("a hop");
    let to = format!("smtp://localhost:{}", hop.port());
    let (program, port) = started(&to, &Authority::new());
    assert_eq!(
        delivered(&program, port, &hop),
        Came::Tls(Some("localhost".into()))
    );
    let agreed = "tls=TLSv1_3:TLS13_AES_256_GCM_SHA384:X25519MLKEM768";
    let log = program.log();
    assert!(log.contains(agreed), "{log}");
    assert!(!log.contains("no TLS"), "{log}");
    // Content that does not fit into any buffer, and the same connection for the next.
    let large = [
        &b"Subject: large\r\n\r\n"[..],
        &b"a line of it\r\n".repeat(100_000),
    ]
    .concat();
    send(port, &large);
    wait_until("it is taken", SOON, || hop.taken().len() == 2);
    assert!(hop.taken()[1].content.ends_with(&large));
    assert_ne!(hop.taken()[1].came, Came::Clear);
}

/// Where nothing is demanded no fault of a host in its TLS holds mail up: each is met in one attempt.
#[test]
fn what_fails_under_tls_goes_in_clear_in_the_same_attempt() {
    let by = Authority::new();
    let hops = [
        (Manner::Clear, ""),
        (Manner::NotNow, ""),
        // TLS 1.0 alone, and the exchange of keys by RSA alone: that is how their servers answer us.
        (Manner::Alert(70), "ProtocolVersion"),
        (Manner::Alert(40), "HandshakeFailure"),
    ];
    let start = |manner| Hop::start(manner, &by, &["hop.test"]).expect("a hop");
    let old = Hop::with_an_old_certificate().expect("a hop");
    let hops = hops.into_iter().map(|(manner, said)| (start(manner), said));
    for (hop, said) in hops.chain([(old, "UnsupportedCertVersion")]) {
        let (program, port) = started(&format!("smtp://{HERE}:{}", hop.port()), &by);
        assert_eq!(delivered(&program, port, &hop), Came::Clear);
        let log = program.log();
        assert_eq!(log.matches("event=attempt.deferred").count(), 0, "{log}");
        let failed = usize::from(!said.is_empty()) * 2;
        assert_eq!(log.matches("event=host.failed").count(), failed, "{log}");
        assert!(log.contains(said) && log.contains("tls=none"), "{log}");
    }
}

#[test]
fn who_swallows_a_large_hello_is_asked_with_a_small_one_and_known_then() {
    let by = Authority::new();
    let hop = Hop::start(Manner::SwallowsLarge, &by, &["hop.test"]).expect("a hop");
    let (program, port) = started(&format!("smtp://{HERE}:{}", hop.port()), &by);
    assert_eq!(delivered(&program, port, &hop), Came::Tls(None));
    let log = program.log();
    assert!(
        log.contains("tls=TLSv1_3:TLS13_AES_256_GCM_SHA384:X25519 "),
        "{log}"
    );
    // The connection that was kept is gone by then.
    std::thread::sleep(Duration::from_secs(7));
    send(port, b"Subject: y\r\n\r\ny\r\n");
    wait_until("it is taken", Duration::from_secs(20), || {
        hop.taken().len() == 2
    });
    assert_eq!(program.log().matches("event=host.failed").count(), 1);
}

#[test]
fn a_smart_host_that_is_verified_is_itself_or_gets_nothing() {
    let by = Authority::new();
    for (scheme, manner) in [("smtps", Manner::AtOnce), ("starttls", Manner::StartTls)] {
        let hop = Hop::start(manner, &by, &[HERE]).expect("a hop");
        let (program, port) = started(&format!("{scheme}://{HERE}:{}", hop.port()), &by);
        assert_eq!(delivered(&program, port, &hop), Came::Tls(None));
        assert!(
            program
                .log()
                .contains(&format!("next_hop={scheme}://{HERE}"))
        );
        // Of another name, and by an authority that nobody knows.
        let other = Hop::start(manner, &by, &["other.test"]).expect("a hop");
        let stranger = Hop::start(manner, &Authority::new(), &[HERE]).expect("a hop");
        for hop in [other, stranger] {
            let (program, port) = started(&format!("{scheme}://{HERE}:{}", hop.port()), &by);
            waits(
                &program,
                port,
                &hop,
                "the certificate of the next hop is not its own",
            );
            // Once an attempt: another hello would be shown the same.
            let log = program.log();
            let tries = log.matches("event=host.failed").count();
            let attempts = log.matches("event=attempt.deferred").count();
            assert!(tries <= attempts + 1, "{log}");
        }
    }
}

#[test]
fn without_tls_a_smart_host_that_is_verified_gets_nothing() {
    let by = Authority::new();
    for (manner, why) in [
        (Manner::Clear, "does not offer TLS"),
        (Manner::NotNow, "454 not now"),
        (Manner::Alert(70), "no TLS came to be"),
        (Manner::Injects, "did not speak SMTP"),
    ] {
        let hop = Hop::start(manner, &by, &[HERE]).expect("a hop");
        let (program, port) = started(&format!("starttls://{HERE}:{}", hop.port()), &by);
        waits(&program, port, &hop, why);
    }
}
