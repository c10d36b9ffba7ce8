//! The client brain against scripted servers: what each kind of reply means for each recipient.

mod smtputf8;

use super::*;
use mail::{Envid, Notify, OriginalRecipient, RecipientRequest, Ret};

const NOW: Time = Time::from_secs(100);

fn message(recipients: usize) -> Message {
    let mailbox = |n| Mailbox::parse(&format!("r{n}@b.c")).unwrap();
    Message {
        reverse_path: ReversePath::parse("a@b.c").unwrap(),
        forward_paths: (0..recipients).map(mailbox).collect(),
        octets: 10,
        eight_bit: true,
        smtputf8: false,
        dsn: None,
    }
}

/// Lets a session for `recipients` run against a server that says `script`, in pieces of `cut` octets.
/// Gives what was sent, with content as `(content)`, and how it ended for each recipient.
fn run(dialect: Dialect, recipients: usize, script: &str, cut: usize) -> (String, Vec<String>) {
    run_by(dialect, Security::AsItIs, recipients, script, cut)
}

fn run_by(
    dialect: Dialect,
    security: Security,
    recipients: usize,
    script: &str,
    cut: usize,
) -> (String, Vec<String>) {
    let parameters = Parameters {
        hostname: "me.test".into(),
        dialect,
        security,
        login: false,
    };
    let mut session = Session::new(parameters, NOW);
    let (mut pending, mut sent, mut ended) = (Vec::new(), String::new(), Vec::new());
    let mut message = Some(message(recipients));
    for piece in script.as_bytes().chunks(cut).map(Some).chain([None]) {
        match piece {
            Some(piece) => pending.extend_from_slice(piece),
            None => session.lost(),
        }
        // A server that pipelines in its script is read reply by reply, as a slow network would.
        loop {
            let used = session.receive(&pending, NOW);
            pending.drain(..used);
            let mut busy = used > 0;
            while let Some(output) = session.poll() {
                busy = true;
                sent.push_str(std::str::from_utf8(&std::mem::take(session.wire())).unwrap());
                match output {
                    Output::Content | Output::SevenBitContent | Output::EmptyContent => {
                        sent.push_str(match output {
                            Output::Content => "(content)",
                            Output::SevenBitContent => "(seven bits)",
                            _ => "(empty)",
                        });
                        session.content_sent(NOW);
                    }
                    Output::Outcomes(outcomes) => ended.extend(outcomes.iter().map(short)),
                    Output::Idle => match message.take() {
                        Some(message) => session.send(message, NOW),
                        None => session.quit(NOW),
                    },
                    Output::StartTls => {
                        sent.push_str("(handshake)");
                        session.secured(NOW);
                    }
                    Output::Login(answer) => panic!("nobody asked for a login: {answer:?}"),
                    Output::Unusable(cause) => ended.push(format!("unusable {}", cause.status())),
                    Output::Close => {}
                }
            }
            if !busy {
                break;
            }
        }
        sent.push_str(std::str::from_utf8(&std::mem::take(session.wire())).unwrap());
    }
    (sent.replace("\r\n", "|"), ended)
}

/// A session that was greeted, with this offer.
fn offered(offer: &str) -> Session {
    let parameters = Parameters {
        hostname: "me.test".into(),
        dialect: Dialect::Smtp,
        security: Security::AsItIs,
        login: false,
    };
    let mut session = Session::new(parameters, NOW);
    let offer = offer.replace(", ", "\r\n250-");
    let script = format!("220 x\r\n250-x\r\n250-{offer}\r\n250 PIPELINING\r\n");
    session.receive(script.as_bytes(), NOW);
    session.wire().clear();
    session
}

#[test]
fn what_is_asked_of_reports_is_said_to_a_server_that_takes_it_and_to_no_other() {
    let asked = |n: usize, notify: &str, original: &str| {
        let mailbox = Mailbox::parse(&format!("r{n}@b.c")).unwrap();
        let request = RecipientRequest {
            notify: Notify::parse(notify),
            original: OriginalRecipient::parse(original),
        };
        (mailbox, request)
    };
    let dsn = DsnRequest {
        ret: Some(Ret::Hdrs),
        envid: Envid::parse("QQ+2B1"),
        recipients: vec![
            asked(2, "", "rfc822;R2+2B@b.c"),
            asked(0, "DELAY,SUCCESS", ""),
        ],
    };
    for (offer, handed_on, mail, first, last) in [
        (
            "dsn",
            true,
            " RET=HDRS ENVID=QQ+2B1",
            " NOTIFY=SUCCESS,DELAY",
            " ORCPT=rfc822;R2+2B@b.c",
        ),
        ("SIZE", false, " SIZE=10", "", ""),
    ] {
        let mut session = offered(offer);
        let message = Message {
            dsn: Some(Box::new(dsn.clone())),
            eight_bit: false,
            ..message(3)
        };
        session.send(message, NOW);
        let sent = String::from_utf8(std::mem::take(session.wire())).unwrap();
        let expected = format!(
            "MAIL FROM:<a@b.c>{mail}\r\nRCPT TO:<r0@b.c>{first}\r\nRCPT TO:<r1@b.c>\r\nRCPT TO:<r2@b.c>{last}\r\nDATA\r\n"
        );
        assert_eq!(sent, expected);
        while session.poll().is_some() {}
        session.receive(b"250 a\r\n250 b\r\n550 c\r\n250 d\r\n354 e\r\n", NOW);
        session.content_sent(NOW);
        while session.poll().is_some() {}
        session.receive(b"250 f\r\n", NOW);
        let Some(Output::Outcomes(outcomes)) = session.poll() else {
            panic!("no outcomes")
        };
        let handed: Vec<bool> = outcomes.iter().map(|ending| ending.handed_on).collect();
        assert_eq!(handed, [handed_on, false, handed_on], "{offer}");
    }
    // Where nothing is asked nothing is said, and nothing was handed on.
    let mut session = offered("DSN");
    session.send(message(1), NOW);
    let sent = String::from_utf8(std::mem::take(session.wire())).unwrap();
    assert_eq!(sent, "MAIL FROM:<a@b.c>\r\nRCPT TO:<r0@b.c>\r\nDATA\r\n");
}

#[test]
fn octets_above_127_go_to_a_server_that_offers_to_take_them_and_to_no_other() {
    for dialect in [Dialect::Smtp, Dialect::Lmtp] {
        let said = |offer: &str| {
            let hello = format!("220 x\r\n250-x\r\n250-SIZE 100\r\n250 {offer}\r\n");
            let script = format!("{hello}250 a\r\n250 b\r\n354 c\r\n250 d\r\n");
            run(dialect, 1, &script, 1).0
        };
        let it = said("8BITMIME");
        assert!(it.contains("<a@b.c> SIZE=10 BODY=8BITMIME|"), "{it}");
        assert!(it.contains("DATA|(content)"), "{it}");
        // How large it is in seven bits nobody knows yet.
        let it = said("HELP");
        assert!(it.contains("MAIL FROM:<a@b.c>|RCPT"), "{it}");
        assert!(it.contains("DATA|(seven bits)"), "{it}");
    }
    // Who does not know EHLO offers nothing.
    let script = "220 x\r\n502 x\r\n250 x\r\n250 a\r\n250 b\r\n354 c\r\n250 d\r\n";
    let it = run(Dialect::Smtp, 1, script, 1).0;
    assert!(it.contains("DATA|(seven bits)"), "{it}");
}

#[test]
fn what_took_a_message_is_told_with_its_words_and_each_recipient_of_lmtp_has_its_own() {
    let hello = "220 x\r\n250-x\r\n250 PIPELINING\r\n";
    let taken = |dialect, ends: &str| {
        let parameters = Parameters {
            hostname: "me.test".into(),
            dialect,
            security: Security::AsItIs,
            login: false,
        };
        let mut session = Session::new(parameters, NOW);
        let mut message = Some(message(2));
        for said in [hello, "250 a\r\n250 b\r\n250 c\r\n354 d\r\n", ends] {
            session.receive(said.as_bytes(), NOW);
            while let Some(output) = session.poll() {
                match output {
                    Output::Idle => session.send(message.take().unwrap(), NOW),
                    Output::Content | Output::SevenBitContent => session.content_sent(NOW),
                    Output::Outcomes(endings) => {
                        let said = |ending: &Ending| ending.detail.to_string();
                        return endings.iter().map(said).collect::<Vec<_>>();
                    }
                    output => panic!("{output:?}"),
                }
            }
        }
        panic!("no outcome");
    };
    assert_eq!(
        taken(
            Dialect::Smtp,
            "250-2.0.0 Ok:\r\n250 2.0.0 queued as 4F2\r\n"
        ),
        ["250 2.0.0 Ok: queued as 4F2"; 2]
    );
    assert_eq!(
        taken(Dialect::Lmtp, "250 2.1.5 in box\r\n250 again\r\n"),
        ["250 2.1.5 in box", "250 again"]
    );
}

fn short(ending: &Ending) -> String {
    match &ending.outcome {
        Outcome::Delivered => "delivered".into(),
        Outcome::Deferred(cause) => format!("deferred {}", cause.status()),
        Outcome::Failed(cause) => format!("failed {}", cause.status()),
    }
}

const PIPELINING: &str = "220 x\r\n250-x\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100\r\n";

/// Runs a server that offers pipelining and then says `rest`, one line for each `|`.
fn pipelined(recipients: usize, rest: &str) -> (String, Vec<String>) {
    let script = format!("{PIPELINING}{}", rest.replace('|', "\r\n"));
    let whole = run(Dialect::Smtp, recipients, &script, 1);
    for cut in [2, 3, 7] {
        assert_eq!(
            run(Dialect::Smtp, recipients, &script, cut),
            whole,
            "in pieces of {cut}"
        );
    }
    whole
}

#[test]
fn a_message_is_pipelined_and_delivered() {
    let (sent, ended) = pipelined(2, "250 ok|250 ok|250 ok|354 go|250 done|221 bye|");
    assert_eq!(
        sent,
        "EHLO me.test|MAIL FROM:<a@b.c> SIZE=10 BODY=8BITMIME|RCPT TO:<r0@b.c>|RCPT TO:<r1@b.c>|DATA|(content)QUIT|"
    );
    assert_eq!(ended, ["delivered", "delivered"]);
}

#[test]
fn a_server_without_extensions_gets_one_command_at_a_time() {
    let script = "220 x\r\n502 what\r\n250 x\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n250 done\r\n221 bye\r\n";
    let (sent, ended) = run(Dialect::Smtp, 2, script, 1);
    assert_eq!(
        sent,
        "EHLO me.test|HELO me.test|MAIL FROM:<a@b.c>|RCPT TO:<r0@b.c>|RCPT TO:<r1@b.c>|DATA|(seven bits)QUIT|"
    );
    assert_eq!(ended, ["failed 5.0.0", "delivered"]);
}

#[test]
fn each_reply_class_decides_what_it_should() {
    let ended = |rest| pipelined(2, rest).1;
    assert_eq!(
        ended("550 5.7.1 no|503 x|503 x|503 x|250 ok|221 x|"),
        ["failed 5.7.1", "failed 5.7.1"]
    );
    assert_eq!(
        ended("451 no|503 x|503 x|503 x|250 ok|221 x|"),
        ["deferred 4.0.0", "deferred 4.0.0"]
    );
    assert_eq!(
        ended("250 x|550 5.1.1 x|450 4.2.0 x|554 x|250 ok|221 x|"),
        ["failed 5.1.1", "deferred 4.2.0"]
    );
    assert_eq!(
        ended("250 x|250 x|552 too many|354 go|250 x|221 x|"),
        ["delivered", "deferred 5.0.0"]
    );
    assert_eq!(
        ended("250 x|250 x|550 x|354 go|452 4.3.1 full|221 x|"),
        ["deferred 4.3.1", "failed 5.0.0"]
    );
    assert_eq!(
        ended("250 x|250 x|250 x|451 4.3.0 x|250 x|221 x|"),
        ["deferred 4.3.0", "deferred 4.3.0"]
    );
    assert_eq!(
        ended("250 x|250 x|550 x|354 go|554 5.6.0 x|221 x|"),
        ["failed 5.6.0", "failed 5.0.0"]
    );
}

/// RFC 5321 §4.3.2: a code that is in no list means what its first digit says.
#[test]
fn codes_that_nobody_knows_are_read_by_their_first_digit() {
    let ended = |rest| pipelined(2, rest).1;
    assert_eq!(
        ended("259 x|299 x|459 x|354 go|277 x|221 x|"),
        ["delivered", "deferred 4.0.0"]
    );
    assert_eq!(
        ended("599 x|503 x|503 x|503 x|250 ok|221 x|"),
        ["failed 5.0.0", "failed 5.0.0"]
    );
    assert_eq!(
        ended("250 x|599 x|250 x|354 go|499 x|221 x|"),
        ["failed 5.0.0", "deferred 4.0.0"]
    );
}

#[test]
fn content_is_not_sent_to_nobody() {
    let (sent, ended) = pipelined(1, "250 x|550 x|354 go|554 no|221 x|");
    assert!(sent.ends_with("DATA|(empty)QUIT|"), "{sent}");
    assert_eq!(ended, ["failed 5.0.0"]);
}

#[test]
fn trouble_with_the_session_decides_nothing_for_good() {
    let deferred = ["deferred 4.4.2", "deferred 4.4.2"];
    assert_eq!(pipelined(2, "").1, deferred);
    assert_eq!(pipelined(2, "250 x|250 x|250 x|354 go|").1, deferred);
    assert_eq!(
        pipelined(2, "250 x|550 5.1.1 x|421 4.3.2 bye|").1,
        ["failed 5.1.1", "deferred 4.3.2"]
    );
    assert_eq!(
        pipelined(2, "250 x|250 x|250 x|354 go|421 bye|").1,
        ["deferred 4.0.0", "deferred 4.0.0"]
    );
    assert_eq!(pipelined(1, "250 x|what?|").1, ["deferred 4.5.0"]);
    let run = |script| run(Dialect::Smtp, 1, script, 1).1;
    assert_eq!(run("554 5.7.1 go away\r\n"), ["unusable 5.7.1"]);
    assert_eq!(run("220 x\r\n500 x\r\n500 x\r\n"), ["unusable 5.0.0"]);
    assert_eq!(run(""), ["unusable 4.4.2"]);
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let script = "220 x\r\n250-x\r\n250 PIPELINING\r\n250 x\r\n250 x\r\n550 5.1.1 x\r\n250 x\r\n354 go\r\n250 x\r\n452 4.2.2 full\r\n221 x\r\n";
    for cut in [1, 5] {
        let (sent, ended) = run(Dialect::Lmtp, 3, script, cut);
        assert!(sent.starts_with("LHLO me.test|"), "{sent}");
        assert_eq!(ended, ["delivered", "failed 5.1.1", "deferred 4.2.2"]);
    }
}

#[test]
fn what_is_too_large_is_not_even_tried() {
    let mut session = Session::new(
        Parameters {
            hostname: "me".into(),
            dialect: Dialect::Smtp,
            security: Security::AsItIs,
            login: false,
        },
        NOW,
    );
    session.receive(PIPELINING.as_bytes(), NOW);
    while session.poll() != Some(Output::Idle) {}
    session.send(
        Message {
            octets: 101,
            ..message(1)
        },
        NOW,
    );
    assert_eq!(
        session.poll(),
        Some(Output::Outcomes(vec![Outcome::Failed(TOO_LARGE).into()]))
    );
    assert_eq!(session.poll(), Some(Output::Idle));
}

#[test]
fn content_that_is_sent_after_the_end_sets_no_timer() {
    let parameters = Parameters {
        hostname: "me".into(),
        dialect: Dialect::Smtp,
        security: Security::AsItIs,
        login: false,
    };
    let mut session = Session::new(parameters, NOW);
    session.receive(PIPELINING.as_bytes(), NOW);
    while session.poll() != Some(Output::Idle) {}
    session.send(message(1), NOW);
    session.receive(b"250 x\r\n250 x\r\n354 go\r\n421 bye\r\n", NOW);
    assert!(session.is_closed());
    session.content_moves(NOW);
    session.content_sent(NOW);
    assert_eq!(session.wake_at(), Time::NEVER);
}

#[test]
fn a_silent_server_is_left_when_its_time_is_up() {
    let mut session = Session::new(
        Parameters {
            hostname: "me".into(),
            dialect: Dialect::Smtp,
            security: Security::AsItIs,
            login: false,
        },
        NOW,
    );
    session.wake(NOW);
    assert!(!session.is_closed());
    session.wake(NOW + limits::CLIENT_GREETING_WAIT);
    assert_eq!(session.poll(), Some(Output::Unusable(TIMED_OUT)));
    assert_eq!(session.poll(), Some(Output::Close));
}

const TLS: &str = "220 x\r\n250-x\r\n250-SIZE 5\r\n250 STARTTLS\r\n";

fn under_tls(security: Security, script: &str, cut: usize) -> (String, Vec<String>) {
    run_by(Dialect::Smtp, security, 1, script, cut)
}

#[test]
fn tls_is_begun_where_it_is_offered_and_what_was_offered_in_clear_is_forgotten() {
    let script = format!(
        "{TLS}220 go\r\n|250-x\r\n250 STARTTLS\r\n|250 a\r\n|250 b\r\n|354 c\r\n|250 d\r\n"
    );
    for security in [Security::Offered, Security::Demanded] {
        // What comes at once with the 220 is not a server's that speaks TLS: it is cut between.
        let (mut sent, mut ended) = (String::new(), Vec::new());
        let parameters = Parameters {
            hostname: "me.test".into(),
            dialect: Dialect::Smtp,
            security,
            login: false,
        };
        let mut session = Session::new(parameters, NOW);
        let mut message = Some(message(1));
        for piece in script.split('|') {
            assert_eq!(session.receive(piece.as_bytes(), NOW), piece.len());
            sent.push_str(std::str::from_utf8(&std::mem::take(session.wire())).unwrap());
            while let Some(output) = session.poll() {
                match output {
                    Output::StartTls => {
                        assert!(session.wire().is_empty());
                        session.secured(NOW);
                    }
                    Output::Idle => {
                        if let Some(message) = message.take() {
                            session.send(message, NOW);
                        }
                    }
                    Output::Content | Output::SevenBitContent => session.content_sent(NOW),
                    Output::Outcomes(outcomes) => ended.extend(outcomes.iter().map(short)),
                    other => panic!("{other:?}"),
                }
                sent.push_str(std::str::from_utf8(&std::mem::take(session.wire())).unwrap());
            }
        }
        // The size was the word of somebody between.
        let wanted = "EHLO me.test|STARTTLS|EHLO me.test|MAIL FROM:<a@b.c>|RCPT TO:<r0@b.c>|DATA|";
        assert_eq!(sent.replace("\r\n", "|"), wanted);
        assert_eq!(ended, ["delivered"]);
    }
}

#[test]
fn what_is_said_behind_the_220_of_starttls_ends_the_session() {
    for security in [Security::Offered, Security::Demanded] {
        let script = format!("{TLS}220 go\r\n250-x\r\n250 injected\r\n");
        let (sent, ended) = under_tls(security, &script, script.len());
        assert_eq!(sent, "EHLO me.test|STARTTLS|");
        assert_eq!(ended, ["unusable 4.5.0"]);
    }
}

#[test]
fn without_tls_mail_goes_in_clear_or_not_at_all() {
    let clear = "220 x\r\n250 x\r\n250 a\r\n250 b\r\n354 c\r\n250 d\r\n";
    let refused = format!("{TLS}454 4.7.0 no\r\n250 a\r\n250 b\r\n354 c\r\n250 d\r\n");
    let old = "220 x\r\n502 x\r\n250 x\r\n250 a\r\n250 b\r\n354 c\r\n250 d\r\n";
    for script in [clear, &refused.replace("SIZE 5", "SIZE"), old] {
        let (sent, ended) = under_tls(Security::Offered, script, 1);
        assert!(sent.contains("MAIL FROM"), "{sent}");
        assert_eq!(ended, ["delivered"]);
        let (sent, ended) = under_tls(Security::Demanded, script, 1);
        assert!(
            !sent.contains("MAIL FROM") && sent.ends_with("QUIT|"),
            "{sent}"
        );
        let wanted = if script == clear || script == old {
            "4.7.4"
        } else {
            "4.7.0"
        };
        assert_eq!(ended, [format!("unusable {wanted}")]);
    }
}

#[test]
fn a_server_has_greeted_when_its_greeting_is_whole() {
    let parameters = Parameters {
        hostname: "me.test".into(),
        dialect: Dialect::Smtp,
        security: Security::AsItIs,
        login: false,
    };
    let mut session = Session::new(parameters, NOW);
    for (said, greeted) in [
        ("2", false),
        ("220-x\r\n", false),
        ("220-y\r\n220 z\r\n", true),
    ] {
        session.receive(said.as_bytes(), NOW);
        assert_eq!(session.is_greeted(), greeted, "{said}");
    }
}
