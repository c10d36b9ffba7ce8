//! Reports as they are written.

use super::*;

fn report(inner: bool, private: bool) -> String {
    let reply = RemoteReply {
        code: 550,
        status: None,
        text: "inner.lan (10.1.2.3) /srv/mail: no such user".into(),
        inner: private,
    };
    let why = Why {
        cause: Cause::Reply(reply),
        inner,
        tried: None,
    };
    text(false, Action::Failed(why))
}

fn text(foreign: bool, action: Action) -> String {
    written(foreign, None, action, Returned::Header(HEADER))
}

const HEADER: &[u8] = b"Subject: hi\r\n--=_report_0000000000001\r\nX: y\r\n\r\nsecret body\r\n";

fn written(
    foreign: bool,
    asked: Option<(&Envid, &OriginalRecipient)>,
    action: Action,
    returned: Returned<'_>,
) -> String {
    let to = Mailbox::parse("a@b.c").unwrap();
    let delayed = action.class() == Class::Transient;
    let recipients = [Reported {
        mailbox: Mailbox::parse("x@y.z").unwrap(),
        original: asked.map(|(_, original)| original.clone()),
        action,
    }];
    let report = Report {
        queue_id: QueueId::from_u64(1),
        hostname: "mx.test",
        to: &to,
        now: Time::from_secs(0),
        arrival: Time::from_secs(0),
        envid: asked.map(|(envid, _)| envid),
        retry_until: delayed.then_some(Time::from_secs(86_400)),
        foreign,
        recipients: &recipients,
        returned,
        smtputf8: false,
    };
    String::from_utf8(report.content()).unwrap()
}

#[test]
fn a_report_names_recipient_status_and_header_and_not_the_body() {
    let text = report(false, false);
    assert!(text.contains("Final-Recipient: rfc822; x@y.z\r\nAction: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 550 inner.lan"));
    assert!(text.contains("Subject: hi\r\n--=_report_0000000000001\r\nX: y\r\n"));
    assert!(!text.contains("secret body"));
    assert!(!text.contains("Original-"), "{text}");
    // What looks like our boundary is none.
    assert_eq!(text.matches("--=_report_0000000000001_").count(), 4);
}

#[test]
fn a_report_carries_what_the_sender_calls_envelope_and_recipient() {
    let envid = Envid::parse("QQ+20314159").unwrap();
    let original = OriginalRecipient::parse("rfc822;X+2Bz@y.z").unwrap();
    let asked = Some((&envid, &original));
    for (action, word) in [
        (Action::Delivered, "delivered"),
        (Action::Relayed, "relayed"),
        (Action::Expanded, "expanded"),
    ] {
        let text = written(false, asked, action, Returned::Header(HEADER));
        assert!(text.contains("\r\n\r\nOriginal-Envelope-Id: QQ 314159\r\nReporting-MTA:"));
        let fields = format!(
            "\r\n\r\nOriginal-Recipient: rfc822; X+z@y.z\r\nFinal-Recipient: rfc822; x@y.z\r\n\
             Action: {word}\r\nStatus: 2.0.0\r\n\r\n--"
        );
        assert!(text.contains(&fields), "{text}");
        assert!(text.contains("Subject: Your message was delivered\r\n"));
    }
}

#[test]
fn a_message_that_comes_back_whole_is_whole() {
    let content =
        "Subject: \u{e4}\r\n\r\n--=_report_0000000000001--\r\n--=_report_0000000000001_\r\n";
    let failed = in_time(Duration::from_hours(1));
    let returned = Returned::Whole(content.as_bytes());
    let text = written(false, None, Action::Failed(failed), returned);
    let boundary = "--=_report_0000000000001__";
    let part = format!(
        "\r\n{boundary}\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{content}\r\n{boundary}--\r\n"
    );
    assert!(text.ends_with(&part), "{text}");
    assert_eq!(
        text.matches("Content-Transfer-Encoding: 8bit\r\n").count(),
        2
    );
}

fn in_time(tried: Duration) -> Why {
    let status = Status::new(Class::Transient, 4, 3);
    Why {
        cause: Cause::Ours(status, "DNS did not answer".into()),
        inner: false,
        tried: Some(tried),
    }
}

#[test]
fn a_report_on_an_expired_message_says_that_time_ran_out_and_why() {
    let expired = in_time(Duration::from_hours(5 * 24 + 1));
    let text = text(false, Action::Failed(expired));
    assert!(
        text.contains("Action: failed\r\nStatus: 5.4.7\r\n"),
        "{text}"
    );
    let words = "    5.4.7 it was tried for 5 days; the last reason: DNS did not answer\r\n";
    assert!(text.contains(words), "{text}");
    assert!(!text.contains("Will-Retry-Until"), "{text}");
}

#[test]
fn a_report_on_a_delay_says_until_when_it_is_tried() {
    let text = text(false, Action::Delayed(in_time(Duration::from_hours(1))));
    assert!(
        text.contains("Subject: Your message is delayed\r\n"),
        "{text}"
    );
    assert!(
        text.contains("Action: delayed\r\nStatus: 4.4.7\r\n"),
        "{text}"
    );
    let words = "    4.4.7 it was tried for 1 hour; the last reason: DNS did not answer\r\n";
    assert!(text.contains(words), "{text}");
    let until = "Will-Retry-Until: Fri, 2 Jan 1970 00:00:00 +0000\r\n";
    assert!(text.contains(until), "{text}");
}

#[test]
fn a_report_on_mail_of_somebody_else_does_not_call_it_yours() {
    let expired = in_time(Duration::from_hours(1));
    let text = text(true, Action::Failed(expired));
    assert!(!text.to_ascii_lowercase().contains("your"), "{text}");
    assert!(
        text.contains("Subject: A message could not be delivered\r\n"),
        "{text}"
    );
}

#[test]
fn what_an_inner_hop_says_of_itself_stays_here() {
    for text in [report(true, false), report(false, true)] {
        for leak in ["inner.lan", "10.1.2.3", "/srv/mail"] {
            assert!(!text.contains(leak), "{leak}");
        }
        assert!(text.contains("Status: 5.0.0"));
    }
}

/// A report on one address, of a message whose sender said SMTPUTF8; for what is no UTF-8 there stands a sign.
fn beyond_ascii(mailbox: &str, original: Option<&str>, returned: Returned<'_>) -> String {
    let to = Mailbox::parse("a@b.c").unwrap();
    let recipients = [Reported {
        mailbox: Mailbox::parse(mailbox).unwrap(),
        original: original.map(|text| OriginalRecipient::parse(text).unwrap()),
        action: Action::Failed(in_time(Duration::from_hours(1))),
    }];
    let report = Report {
        queue_id: QueueId::from_u64(1),
        hostname: "mx.test",
        to: &to,
        now: Time::from_secs(0),
        arrival: Time::from_secs(0),
        envid: None,
        retry_until: None,
        foreign: false,
        recipients: &recipients,
        returned,
        smtputf8: true,
    };
    assert!(recipients[0].octets() > in_ascii(&recipients[0].mailbox).len());
    String::from_utf8_lossy(&report.content()).into_owned()
}

#[test]
fn an_address_beyond_ascii_is_told_to_people_as_it_is_and_to_machines_in_ascii() {
    let text = beyond_ascii(
        "jörg@bücher.example",
        Some(
            "utf-8;j\u{f6}rg+@bücher.example"
                .replace('+', "\\x{2B}")
                .as_str(),
        ),
        Returned::Header(HEADER),
    );
    for part in [
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        "\r\n  <jörg@xn--bcher-kva.example>\r\n",
        "\r\n\r\nOriginal-Recipient: utf-8; j\\x{F6}rg\\x{2B}@b\\x{FC}cher.example\r\n\
         Final-Recipient: utf-8; j\\x{F6}rg@xn--bcher-kva.example\r\n",
        "Content-Type: text/rfc822-headers\r\n\r\nSubject: hi\r\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let head = text.split("\r\n\r\n").next().unwrap();
    assert!(head.contains("\r\nContent-Transfer-Encoding: 8bit\r\n"));
    let status = text.split("message/delivery-status").nth(1).unwrap();
    assert!(status.split("\r\n--").next().unwrap().is_ascii());
}

#[test]
fn what_is_utf_8_by_right_comes_back_in_seven_bits() {
    let long = format!("Subject: {}\r\n\r\nsecret", "ä".repeat(LINE_OCTETS));
    let text = beyond_ascii("x@y.z", None, Returned::Header(long.as_bytes()));
    assert!(text.is_ascii(), "{text}");
    let (_, part) = text
        .split_once(
            "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        )
        .unwrap();
    assert!(part.lines().all(|line| line.len() <= 76));
    let text = beyond_ascii(
        "x@y.z",
        None,
        Returned::Whole("Subject: ä\r\n\r\nö\r\n".as_bytes()),
    );
    assert!(
        text.contains(
            "Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n\
             U3ViamVjdDogw6QNCg0Kw7YNCg==\r\n\r\n--"
        ),
        "{text}"
    );
    // What is not UTF-8 is what it is without a promise.
    let text = beyond_ascii("x@y.z", None, Returned::Header(b"Subject: \xe4\r\n\r\n"));
    assert!(text.contains("Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit"));
    // Cut off within a character, as a long one may be.
    let text = beyond_ascii("x@y.z", None, Returned::Header(b"Subject: \xc3\xa4\xc3"));
    assert!(text.contains("Content-Type: message/global-headers\r\n"));
}

#[test]
fn a_line_that_is_too_long_is_cut_and_never_lost() {
    for (line, at) in [
        (b"x".repeat(LINE_OCTETS), LINE_OCTETS),
        (b"x".repeat(LINE_OCTETS + 1), LINE_OCTETS),
        (
            [b"x".repeat(LINE_OCTETS - 1), "ä".into()].concat(),
            LINE_OCTETS - 1,
        ),
        (
            [b"x".repeat(LINE_OCTETS - 3), "\u{1f600}".into()].concat(),
            LINE_OCTETS - 3,
        ),
        // Octets of another charset, of which none begins a character of UTF-8.
        (b"\xa4".repeat(2 * LINE_OCTETS), LINE_OCTETS),
    ] {
        assert_eq!(cut_at(&line), at);
    }
}
