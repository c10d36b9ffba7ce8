//! Reports that a sender asks for, across two servers (RFC 3461): who takes the mail first hands the request on, and who delivers
//! it reports, with the sender's own names.

use super::{LONGEST, Start, configuration};
use crate::peer::{OURS, THEIRS};
use crate::{Client, Program, cell, free_port, left_out, maildir, wait_until};

/// A mailbox on either side.
const SOMEONE: &str = "someone";
/// Who sends and is to be told.
const ASKER: &str = "asker";
/// What the report of a server says that has all of it and decodes what has to be decoded.
pub const ALL: &[&str] = &[
    "Original-Envelope-Id:QQ+314",
    "Original-Recipient:rfc822;Some+one@theirs.test",
    "Final-Recipient:rfc822;someone@theirs.test",
    "Action:delivered",
];

/// Each server is asked for a report on success, of mail for the other. What theirs says is named, without blanks behind the
/// marks of fields.
pub fn reports_are_asked_for(test: &str, start: Start, theirs: &[&str]) {
    if let Some(why) = cell::lacks() {
        return left_out(test, why);
    }
    let port = free_port();
    let peer = match start(port, &[SOMEONE.into(), ASKER.into()]) {
        Ok(peer) => peer,
        Err(why) => return left_out(test, &why),
    };
    let route = format!(
        "[relay]\nto = \"smtp://127.0.0.1:{}\"\nfrom = \"127.0.0.1\"\n",
        peer.port
    );
    let ours = Program::start(&configuration(port, &[SOMEONE.into()], &route));

    ask(port, OURS, THEIRS);
    let mut report = String::new();
    wait_until("their report on what we passed on", LONGEST, || {
        let mut mail = maildir::contents(&ours.folder().join("mail"));
        report = only(mail.remove("reports").unwrap_or_default());
        !report.is_empty()
    });
    says(&report, theirs);
    assert!(
        !report.contains(&format!("mx.{OURS}\n")),
        "it is of ours: {report}"
    );

    ask(peer.port, THEIRS, OURS);
    wait_until("our report on what they passed on", LONGEST, || {
        report = only(peer.arrived().remove(ASKER).unwrap_or_default());
        !report.is_empty()
    });
    let of_ours: Vec<String> = ALL
        .iter()
        .map(|field| field.replace(THEIRS, OURS))
        .collect();
    says(&report, &of_ours);
    says(&report, &[format!("Reporting-MTA:dns;mx.{OURS}")]);
    wait_until("nothing is left", LONGEST, || ours.queued() == Some(0));
}

/// Hands a message of this domain's to the server at this port, for the other domain, and asks for a report.
fn ask(port: u16, from: &str, to: &str) {
    let mut client = if from == OURS {
        Client::connect(port).expect("the server listens")
    } else {
        Client::connect_to_peer(port).expect("the server listens")
    };
    let content = "Subject: asked\r\nFrom: <asker@x.test>\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\n\
                   Message-ID: <1@x.test>\r\n\r\nthe body\r\n.";
    for (line, code) in [
        (
            format!("MAIL FROM:<{ASKER}@{from}> RET=HDRS ENVID=QQ+2B314"),
            "250",
        ),
        (
            format!("RCPT TO:<{SOMEONE}@{to}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Some+2Bone@{to}"),
            "250",
        ),
        ("DATA".into(), "354"),
        (content.into(), "250"),
        ("QUIT".into(), "221"),
    ] {
        let answer = client.say(&line).expect("an answer");
        assert!(answer.starts_with(code), "{line}: {answer}");
    }
}

/// The one message that has come, with LF lines; empty where none has.
fn only(mut messages: Vec<Vec<u8>>) -> String {
    assert!(messages.len() <= 1, "{} reports", messages.len());
    let text = messages.pop().unwrap_or_default();
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

fn says(report: &str, fields: &[impl AsRef<str>]) {
    let squeezed = report.replace(": ", ":").replace("; ", ";").to_lowercase();
    for field in fields {
        let line = format!("\n{}\n", field.as_ref().to_lowercase());
        assert!(squeezed.contains(&line), "{line}: {report}");
    }
    assert!(!report.contains("the body"), "{report}");
}
