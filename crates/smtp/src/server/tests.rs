//! Dialogs with the session brain: every question is answered on the spot, by address.

mod chunks;
mod dsn;
mod login;
mod smtputf8;

use super::*;
use mail::Public;

/// Drives a session with `input` in pieces of `cut` octets; gives all that was said and what was stored.
fn talk(input: &[u8], cut: usize) -> (String, Vec<Vec<u8>>) {
    let now = Time::from_secs(0);
    let parameters = Parameters {
        content_octets_max: 200,
        recipients_max: 3,
        errors_max: 6,
        start_tls: true,
        needs_login: false,
        scram: Scram::Off,
        dsn: false,
    };
    let mut session = Session::new(parameters, now);
    let (mut said, mut stored) = (Vec::new(), Vec::new());
    let (mut pending, mut content) = (Vec::new(), Vec::new());
    for piece in std::iter::once(&b""[..]).chain(input.chunks(cut)) {
        pending.extend_from_slice(piece);
        loop {
            let used = session.receive(&pending, &mut content, now);
            pending.drain(..used);
            let busy = drive(&mut session, &mut said, &mut content, &mut stored, now);
            if used == 0 && !busy {
                break;
            }
        }
    }
    (String::from_utf8(said).unwrap(), stored)
}

fn drive(
    session: &mut Session,
    said: &mut Vec<u8>,
    content: &mut Vec<u8>,
    stored: &mut Vec<Vec<u8>>,
    now: Time,
) -> bool {
    let (mut busy, mut asked, mut read) = (false, Vec::new(), 0);
    while let Some(output) = session.poll() {
        busy = true;
        match output {
            Output::Reply(reply) => reply.write(Public::Nothing, said),
            Output::Extensions => session.offer("mx.test").write(said),
            Output::Challenge => session.write_challenge(said),
            Output::Ask(question) => asked.push(question),
            Output::ContentBegins => {}
            Output::DiscardContent => content.clear(),
            Output::StartTls => session.secured(now),
            Output::Close => said.extend_from_slice(b"(closed)\r\n"),
        }
    }
    // Recipients that were asked together are answered in the order asked.
    let waiting: Vec<String> = session.transaction().map_or_else(Vec::new, |t| {
        t.recipients
            .iter()
            .map(|asked| asked.forward_path.to_string())
            .collect()
    });
    let first = waiting.len() - asked.iter().filter(|q| **q == Question::Recipient).count();
    for question in asked {
        let answer = match question {
            Question::Recipient => {
                read += 1;
                if waiting[first + read - 1].starts_with("no") {
                    Answer::Refuse(replies::UNKNOWN_USER)
                } else {
                    Answer::Accept
                }
            }
            Question::Commit => {
                stored.push(std::mem::take(content));
                Answer::Accept
            }
            Question::Connect | Question::Mail | Question::StartTls | Question::Login => {
                Answer::Accept
            }
        };
        session.answer(answer, now);
    }
    busy
}

fn codes(input: &str) -> String {
    let (said, _) = talk(input.as_bytes(), usize::MAX);
    let lines = said.lines().filter(|l| l.as_bytes().get(3) != Some(&b'-'));
    lines
        .map(|l| &l[..l.len().min(3)])
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_message_goes_through_and_arrives_as_it_was() {
    let input = b"EHLO c.test\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<x@y.z>\r\nDATA\r\nS: 1\r\n\r\n..dot\r\n.\r\nQUIT\r\n";
    let (said, stored) = talk(input, usize::MAX);
    assert_eq!(stored, vec![b"S: 1\r\n\r\n.dot\r\n".to_vec()]);
    assert!(
        said.starts_with("220 ESMTP\r\n250-mx.test\r\n250-PIPELINING\r\n250-SIZE 200\r\n"),
        "{said}"
    );
    assert!(
        said.ends_with(
            "354 end with CRLF.CRLF\r\n250 2.0.0 accepted\r\n221 2.0.0 bye\r\n(closed)\r\n"
        ),
        "{said}"
    );
}

#[test]
fn cutting_the_input_anywhere_gives_the_same_session() {
    let long = "N".repeat(5000);
    let input = format!(
        "EHLO c.test\r\n{long}\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<no@y.z>\r\nRCPT TO:<x@y.z>\r\nRCPT TO:<no2@y.z>\r\n\
         RCPT TO:<z@y.z>\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<b@b.c>\r\n{long}\r\nDATA\r\n.\r\nMAIL FROM:<>\r\n\
         RCPT TO:<postmaster>\r\nDATA\r\nx\ny\r\n.\r\nVRFY root\r\nQUIT\r\nNOOP\r\n"
    );
    let whole = talk(input.as_bytes(), usize::MAX);
    assert_eq!(whole.1, vec![Vec::<u8>::new()]);
    for cut in (1..40).chain([4094, 4095, 4096, 4097, 5000, 5001]) {
        assert_eq!(talk(input.as_bytes(), cut), whole, "in pieces of {cut}");
    }
}

#[test]
fn commands_out_of_order_are_told_so() {
    assert_eq!(codes("MAIL FROM:<a@b.c>\r\nQUIT\r\n"), "220 503 221 (cl");
    assert_eq!(
        codes("EHLO a\r\nRCPT TO:<a@b.c>\r\nDATA\r\n"),
        "220 250 503 503"
    );
    assert_eq!(
        codes("EHLO a\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\n"),
        "220 250 250 503 554"
    );
    assert_eq!(
        codes("EHLO a\r\nMAIL FROM:<>\r\nEHLO b\r\nRCPT TO:<a@b.c>\r\n"),
        "220 250 250 250 503"
    );
    assert_eq!(
        codes("HELO a\r\nMAIL FROM:<>\r\nRSET\r\nDATA\r\n"),
        "220 250 250 250 503"
    );
    assert_eq!(
        codes("EXPN x\r\nHELP\r\nNOOP\r\nVRFY a\r\n"),
        "220 502 214 250 252"
    );
}

#[test]
fn bounds_hold() {
    assert_eq!(codes("EHLO a\r\nMAIL FROM:<> SIZE=201\r\n"), "220 250 552");
    let big = format!(
        "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n{}\r\n.\r\nNOOP\r\n",
        "x".repeat(300)
    );
    assert_eq!(codes(&big), "220 250 250 250 354 552 250");
    let four = "EHLO a\r\nMAIL FROM:<>\r\n".to_owned()
        + &"RCPT TO:<a@b.c>\r\n".repeat(4)
        + "DATA\r\n.\r\n";
    assert_eq!(codes(&four), "220 250 250 250 250 250 452 354 250");
    assert_eq!(
        codes(&"WIZ\r\n".repeat(9)),
        "220 500 500 500 500 500 421 (cl"
    );
}

#[test]
fn a_message_that_has_been_everywhere_is_a_loop() {
    let mut session = Session::new(Parameters::default(), Time::default());
    let mut content = Vec::new();
    let start = "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n";
    let input = start.to_owned() + &"Received: x\r\n".repeat(101) + "\r\n.\r\n";
    let mut rest = input.as_bytes();
    let mut last = None;
    for _ in 0..20 {
        rest = &rest[session.receive(rest, &mut content, Time::default())..];
        while let Some(output) = session.poll() {
            match output {
                Output::Ask(_) => session.answer(Answer::Accept, Time::default()),
                Output::Reply(reply) => last = Some(reply),
                _ => {}
            }
        }
    }
    assert_eq!(last, Some(replies::LOOP));
}

#[test]
fn an_idle_session_is_closed_after_five_minutes() {
    let mut session = Session::new(Parameters::default(), Time::from_secs(0));
    session.answer(Answer::Accept, Time::from_secs(10));
    assert_eq!(session.wake_at(), Time::from_secs(310));
    session.wake(Time::from_secs(309));
    assert!(!session.is_closed());
    session.wake(Time::from_secs(310));
    assert!(session.is_closed());
}

/// RFC 3207 §4.2: what was said before is forgotten, and TLS is not offered within TLS.
#[test]
fn after_the_handshake_the_session_begins_anew() {
    let (said, stored) = talk(b"EHLO a\r\nSTARTTLS\r\n", usize::MAX);
    assert!(said.contains("250-STARTTLS\r\n") || said.contains("250 STARTTLS\r\n"));
    assert!(said.ends_with("220 2.0.0 begin TLS\r\n"), "{said}");
    assert!(stored.is_empty());
    let (said, _) = talk(b"EHLO a\r\nSTARTTLS\r\nMAIL FROM:<>\r\n", 18);
    assert!(
        said.ends_with("503 5.5.1 say HELO or EHLO first\r\n"),
        "{said}"
    );
    let (said, _) = talk(b"EHLO a\r\nSTARTTLS\r\nEHLO a\r\n", 18);
    assert_eq!(said.matches("STARTTLS").count(), 1, "{said}");
}

/// RFC 3207 §6: a command that somebody put behind STARTTLS is not taken for one that came under TLS.
#[test]
fn nothing_may_stand_behind_starttls() {
    let (said, _) = talk(b"EHLO a\r\nSTARTTLS\r\nMAIL FROM:<>\r\n", usize::MAX);
    assert!(said.ends_with("before its reply\r\n(closed)\r\n"), "{said}");
}

/// What stands behind a line that is no command, and brings octets that somebody else wrote, is not read, however long that
/// line is.
#[test]
fn nothing_behind_a_chunk_of_no_size_or_a_request_of_another_protocol_is_obeyed() {
    let mail = "HELO a.test\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<x@b.c>\r\nDATA\r\nsmuggled\r\n.\r\n";
    let long = "0".repeat(5000);
    let blanks = " ".repeat(5000);
    for (line, code) in [
        (format!("BDAT {long}88 LAST"), "501 "),
        (format!("bdat{blanks}88 LAST"), "501 "),
        (format!("BDAT 88 LAST{blanks}"), "501 "),
        (format!("POST /{long} HTTP/1.1"), "421 "),
        (format!("get{blanks}/ HTTP/1.1"), "421 "),
        ("POST /\u{e4} HTTP/1.1".into(), "421 "),
        ("post / http/1.1".into(), "421 "),
        ("GET /".into(), "421 "),
        ("GET / HTTP/1.1 x".into(), "421 "),
        ("GET / HTTP/1.1\nHost: x".into(), "421 "),
        ("OPTIONS rtsp://x/ RTSP/1.0".into(), "421 "),
        ("REGISTER sip:x SIP/2.0".into(), "421 "),
    ] {
        for cut in [1, 700, 4096, 100_000] {
            let (said, stored) = talk(format!("{line}\r\n{mail}").as_bytes(), cut);
            let last = said.lines().nth(1).unwrap_or_default();
            let shown: String = line.chars().take(30).collect();
            assert!(last.starts_with(code), "{shown}: {said}");
            assert!(
                said.ends_with("(closed)\r\n") && stored.is_empty(),
                "{shown}: {said}"
            );
        }
    }
}

/// RFC 2920 §3.1: who pipelines has sent RCPT and DATA before it knows what became of MAIL.
#[test]
fn what_a_client_pipelined_behind_a_mail_that_is_refused_is_no_error_of_its() {
    let batch = |recipients| {
        let rcpt = "RCPT TO:<a@b.c>\r\n".repeat(recipients);
        format!("MAIL FROM:<a@b.c> SIZE=999\r\n{rcpt}DATA\r\n")
    };
    let (said, _) = talk(format!("EHLO x\r\n{}", batch(3).repeat(9)).as_bytes(), 64);
    assert!(!said.contains("(closed)"), "{said}");
    let refused = "503 5.5.1 the transaction was refused\r\n";
    assert_eq!(said.matches(refused).count(), 9 * 4);
    // More than a transaction may have, and what comes behind DATA, are errors.
    for more in [
        batch(9),
        batch(3) + &"DATA\r\n".repeat(6),
        batch(1) + "NOOP\r\n" + &"RCPT TO:<a@b.c>\r\n".repeat(6),
    ] {
        let (said, _) = talk(format!("EHLO x\r\n{more}").as_bytes(), 64);
        assert!(said.ends_with("(closed)\r\n"), "{said}");
        assert!(said.contains("503 5.5.1 say MAIL first\r\n"));
    }
}
