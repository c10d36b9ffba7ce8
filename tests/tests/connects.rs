//! How next hops are connected to: not stormed, whatever there is to send.

use std::time::Duration;
use tests::{Authority, Client, Hop, Manner, Program, free_port, wait_until};

const SOON: Duration = Duration::from_mins(1);
/// The shortest queue of connections that servers in use ask the kernel for, less one.
const UNGREETED_MAX: usize = 4;
/// Enough for a storm.
const MESSAGES: usize = 40;

#[test]
fn a_host_that_greets_late_is_not_stormed_and_gets_everything_once() {
    let hop = Hop::start(Manner::GreetsLate, &Authority::new(), &["hop.test"]).expect("a hop");
    let mx = free_port();
    let to = hop.port();
    let program = Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{mx}\"\n[aliases]\npostmaster = \"root@b.test\"\n\
         [relay]\nto = \"smtp://127.0.0.1:{to}\"\nfrom = \"127.0.0.1\"\n"
    ));
    let mut client = Client::connect(mx).expect("it listens");
    for number in 0..MESSAGES {
        let content = format!("Subject: {number}\r\n\r\nx\r\n");
        let to = ["ann@b.test".to_owned()];
        let answer = client.send("joe@a.test", &to, content.as_bytes());
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("250 "), "{answer}");
    }
    wait_until("everything is taken", SOON, || {
        hop.taken().len() >= MESSAGES && program.queued() == Some(0)
    });
    let taken = hop.taken();
    for number in 0..MESSAGES {
        let subject = format!("Subject: {number}\r\n\r\nx\r\n");
        let copies = taken
            .iter()
            .filter(|taken| taken.content.ends_with(subject.as_bytes()));
        assert_eq!(copies.count(), 1, "message {number}");
    }
    let most = hop.ungreeted_at_most();
    assert!(
        (1..=UNGREETED_MAX).contains(&most),
        "{most} waited for their greeting at once"
    );
    // Who waited took a connection that was free by then.
    let log = program.log();
    assert_eq!(log.matches("event=attempt.deferred").count(), 0, "{log}");
}
