//! What is asked of reports (RFC 3461): taken from whom it is offered to, and from nobody else.

use super::*;
use mail::{Envid, Notify, OriginalRecipient, Ret};

pub(super) struct Asking {
    pub session: Session,
}

impl Asking {
    /// A session that said EHLO.
    pub fn new(dsn: bool) -> Self {
        let parameters = Parameters {
            dsn,
            ..Parameters::default()
        };
        let mut asking = Self {
            session: Session::new(parameters, Time::default()),
        };
        asking.hear("");
        asking.hear("EHLO x");
        asking
    }

    /// What is said to a line.
    pub fn hear(&mut self, line: &str) -> String {
        self.hear_octets(line.as_bytes())
    }

    pub fn hear_octets(&mut self, line: &[u8]) -> String {
        let line = [line, b"\r\n"].concat();
        let now = Time::default();
        if line.len() > 2 {
            let used = self.session.receive(&line, &mut Vec::new(), now);
            assert_eq!(used, line.len());
        }
        let mut said = Vec::new();
        while let Some(output) = self.session.poll() {
            match output {
                Output::Reply(reply) => reply.write(Public::Nothing, &mut said),
                Output::Extensions => self.session.offer("mx.test").write(&mut said),
                Output::Ask(_) => self.session.answer(Answer::Accept, now),
                _ => {}
            }
        }
        String::from_utf8(said).unwrap()
    }
}

#[test]
fn who_may_ask_is_told_so_and_what_he_asks_stands_in_the_transaction() {
    let mut it = Asking::new(true);
    assert!(it.hear("EHLO x").contains("\r\n250-DSN\r\n"));
    let mail = it.hear("MAIL FROM:<a@b.c> RET=full ENVID=QQ+2B1 SIZE=10");
    assert!(mail.starts_with("250 "), "{mail}");
    for rcpt in [
        "RCPT TO:<r0@b.c> NOTIFY=never",
        "RCPT TO:<r1@b.c>",
        "RCPT TO:<r2@b.c> ORCPT=rfc822;R2@b.c NOTIFY=SUCCESS,FAILURE,DELAY",
    ] {
        let said = it.hear(rcpt);
        assert!(said.starts_with("250 "), "{said}");
    }
    let transaction = it.session.transaction().unwrap();
    assert_eq!(transaction.parameters.ret, Some(Ret::Full));
    assert_eq!(transaction.parameters.envid, Envid::parse("QQ+2B1"));
    let [first, second, third] = &transaction.recipients[..] else {
        panic!("three recipients")
    };
    assert_eq!(first.request.notify, Some(Notify::NEVER));
    assert!(second.request.is_empty());
    assert_eq!(third.request.notify, Notify::parse("SUCCESS,FAILURE,DELAY"));
    assert_eq!(
        third.request.original,
        OriginalRecipient::parse("rfc822;R2@b.c")
    );
}

#[test]
fn who_may_not_ask_is_not_offered_it_and_refused_with_555() {
    let mut it = Asking::new(false);
    assert!(!it.hear("EHLO x").contains("DSN"));
    for mail in [
        "RET=FULL",
        "ENVID=x",
        "RET=x",
        "ENVID=+",
        "RET=FULL RET=FULL",
    ] {
        let said = it.hear(&format!("MAIL FROM:<a@b.c> {mail}"));
        assert!(said.starts_with("555 5.5.4"), "{mail}: {said}");
    }
    it.hear("MAIL FROM:<a@b.c>");
    for rcpt in ["NOTIFY=NEVER", "ORCPT=rfc822;x", "NOTIFY=x", "ORCPT=x"] {
        let said = it.hear(&format!("RCPT TO:<a@b.c> {rcpt}"));
        assert!(said.starts_with("555 5.5.4"), "{rcpt}: {said}");
    }
    assert!(it.hear("RCPT TO:<a@b.c>").starts_with("250 "));
}

#[test]
fn what_is_malformed_or_said_twice_is_refused_with_501() {
    let mut it = Asking::new(true);
    for mail in [
        "RET=x",
        "RET",
        "ENVID=+",
        "ENVID=a=b",
        "RET=FULL RET=FULL",
        "ENVID=x ENVID=x",
    ] {
        let said = it.hear(&format!("MAIL FROM:<a@b.c> {mail}"));
        assert!(said.starts_with("501 5.5.4"), "{mail}: {said}");
    }
    it.hear("MAIL FROM:<a@b.c>");
    for rcpt in [
        "NOTIFY=NEVER,DELAY",
        "NOTIFY",
        "ORCPT=x",
        "NOTIFY=DELAY NOTIFY=DELAY",
    ] {
        let said = it.hear(&format!("RCPT TO:<a@b.c> {rcpt}"));
        assert!(said.starts_with("501 5.5.4"), "{rcpt}: {said}");
    }
}

#[test]
fn the_longest_that_can_be_asked_is_taken() {
    let mut it = Asking::new(true);
    let mail = it.hear(&format!(
        "MAIL FROM:<a@b.c> RET=FULL ENVID={}",
        "x".repeat(100)
    ));
    assert!(mail.starts_with("250 "), "{mail}");
    let local_part = "x".repeat(limits::LOCAL_PART_OCTETS);
    let domain = [&*"d".repeat(63); 4].join(".");
    let domain = &domain[..limits::DOMAIN_OCTETS - 2];
    let original = format!("rfc822;{}", "y".repeat(493));
    let rcpt =
        format!("RCPT TO:<{local_part}@{domain}> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT={original}");
    assert!(rcpt.len() > 1036);
    let said = it.hear(&rcpt);
    assert!(said.starts_with("250 "), "{said}");
}
