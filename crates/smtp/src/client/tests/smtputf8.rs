//! Addresses beyond ASCII (RFC 6531): to whom they are said, and what becomes of them elsewhere.

use super::*;

/// A message from `from` to these.
fn from_to(from: &str, to: &[&str]) -> Message {
    let mailbox = |text: &&str| Mailbox::parse(text).unwrap();
    Message {
        reverse_path: ReversePath::parse(from).unwrap(),
        forward_paths: to.iter().map(mailbox).collect(),
        eight_bit: false,
        ..message(1)
    }
}

/// What is said of a message to a server that offers this.
fn said(offer: &str, message: Message) -> (String, Session) {
    let mut session = offered(offer);
    while session.poll() != Some(Output::Idle) {}
    session.send(message, NOW);
    let said = String::from_utf8(std::mem::take(session.wire())).unwrap();
    (said, session)
}

const TAKES: &str = "8BITMIME, SMTPUTF8 ignored";

#[test]
fn smtputf8_is_said_where_an_address_needs_it_or_the_sender_said_it() {
    let (sent, _) = said(TAKES, from_to("jörg@b.c", &["a@b.c"]));
    assert_eq!(
        sent,
        "MAIL FROM:<jörg@b.c> SMTPUTF8\r\nRCPT TO:<a@b.c>\r\nDATA\r\n"
    );
    let (sent, _) = said(TAKES, from_to("", &["a@b.c", "用户@bücher.example"]));
    assert_eq!(
        sent,
        "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<用户@xn--bcher-kva.example>\r\nDATA\r\n"
    );
    let ascii = from_to("a@b.c", &["a@bücher.example"]);
    let (sent, _) = said(TAKES, ascii.clone());
    assert!(!sent.contains("SMTPUTF8") && sent.is_ascii(), "{sent}");
    let its_sender_said = Message {
        smtputf8: true,
        ..ascii
    };
    let (sent, _) = said(TAKES, its_sender_said.clone());
    assert!(sent.starts_with("MAIL FROM:<a@b.c> SMTPUTF8\r\n"), "{sent}");
    // Nothing that needs it: it goes where nobody knows the word.
    let (sent, _) = said("HELP", its_sender_said);
    assert!(!sent.contains("SMTPUTF8"), "{sent}");
}

#[test]
fn to_a_server_that_does_not_offer_it_no_address_beyond_ascii_is_said() {
    // Who offers it without 8BITMIME cannot mean it.
    for offer in ["8BITMIME", "SMTPUTF8"] {
        let to = ["a@b.c", "jörg@b.c", "b@b.c"];
        let (sent, mut session) = said(offer, from_to("x@y.z", &to));
        assert_eq!(
            sent.replace(" SIZE=10", ""),
            "MAIL FROM:<x@y.z>\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<b@b.c>\r\nDATA\r\n"
        );
        session.receive(b"250 a\r\n250 b\r\n550 c\r\n354 e\r\n", NOW);
        session.content_sent(NOW);
        while session.poll().is_some() {}
        session.receive(b"250 f\r\n", NOW);
        let Some(Output::Outcomes(outcomes)) = session.poll() else {
            panic!("no outcomes")
        };
        let outcomes: Vec<Outcome> = outcomes.into_iter().map(|ending| ending.outcome).collect();
        assert_eq!(outcomes[0], Outcome::Delivered);
        assert_eq!(outcomes[1], Outcome::Failed(BEYOND_ASCII));
        assert!(matches!(&outcomes[2], Outcome::Failed(Cause::Reply(reply)) if reply.code == 550));
    }
}

#[test]
fn where_nobody_can_be_named_nothing_is_said() {
    for (from, to) in [
        ("jörg@b.c", &["a@b.c", "b@b.c"][..]),
        ("a@b.c", &["ö@b.c", "ä@b.c"]),
    ] {
        let (sent, mut session) = said("8BITMIME", from_to(from, to));
        assert_eq!(sent, "");
        let failed = Ending::from(Outcome::Failed(BEYOND_ASCII));
        let all = vec![failed.clone(), failed];
        assert_eq!(session.poll(), Some(Output::Outcomes(all)));
        assert_eq!(session.poll(), Some(Output::Idle));
    }
}

#[test]
fn a_refusal_for_now_does_not_undo_what_cannot_be() {
    let (_, mut session) = said("8BITMIME", from_to("a@b.c", &["ö@b.c", "b@b.c"]));
    session.receive(b"450 later\r\n503 no\r\n503 no\r\n", NOW);
    let Some(Output::Outcomes(outcomes)) = session.poll() else {
        panic!("no outcomes")
    };
    assert_eq!(outcomes[0].outcome, Outcome::Failed(BEYOND_ASCII));
    assert!(matches!(outcomes[1].outcome, Outcome::Deferred(_)));
}
