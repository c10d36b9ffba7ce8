//! Addresses beyond ASCII across two servers (RFC 6531): mail from one to the other and back, or the report where the other does
//! not take them.

use super::{LONGEST, Start, configuration};
use crate::peer::{OURS, THEIRS};
use crate::{Client, Program, cell, free_port, left_out, maildir, wait_until};

/// A mailbox on either side, and who writes to it.
const SOMEONE: &str = "jörg";
const WRITER: &str = "käthe";
/// A mailbox on either side that anybody can name.
const ANYBODY: &str = "anybody";

/// Whether a server takes addresses beyond ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// It offers SMTPUTF8.
    BeyondAscii,
    /// It does not.
    Ascii,
}

/// Each hands a message on to the other, as far as the other takes it.
pub fn addresses_beyond_ascii_are_handed_on(test: &str, start: Start, takes: Takes) {
    if let Some(why) = cell::lacks() {
        return left_out(test, why);
    }
    let port = free_port();
    let each = [SOMEONE, WRITER, ANYBODY].map(String::from);
    let peer = match start(port, &each) {
        Ok(peer) => peer,
        Err(why) => return left_out(test, &why),
    };
    let route = format!(
        "[relay]\nto = \"smtp://127.0.0.1:{}\"\nfrom = \"127.0.0.1\"\n",
        peer.port
    );
    let ours = Program::start(&configuration(port, &each, &route));
    let here = |name: &str| {
        let mut mail = maildir::contents(&ours.folder().join("mail"));
        only(mail.remove(name).unwrap_or_default())
    };
    let there = |name: &str| only(peer.arrived().remove(name).unwrap_or_default());

    let mut client = Client::connect(port).expect("the server listens");
    send(&mut client, WRITER, OURS, &[SOMEONE, ANYBODY], THEIRS);
    match takes {
        Takes::BeyondAscii => {
            wait_until("it is with them", LONGEST, || {
                !there(SOMEONE).is_empty() && !there(ANYBODY).is_empty()
            });
            assert!(there(SOMEONE).contains("\nSubject: Grüße\n"));
            let mut client = Client::connect_to_peer(peer.port).expect("the server listens");
            send(&mut client, WRITER, THEIRS, &[SOMEONE, ANYBODY], OURS);
            wait_until("it is with us", LONGEST, || {
                !here(SOMEONE).is_empty() && !here(ANYBODY).is_empty()
            });
            let mail = here(SOMEONE);
            assert!(mail.contains("\nSubject: Grüße\n"), "{mail}");
            assert!(mail.contains(" with UTF8SMTP"), "{mail}");
            let from = format!("Return-Path: <{WRITER}@{THEIRS}>\n");
            assert!(mail.starts_with(&from), "{mail}");
        }
        Takes::Ascii => {
            wait_until("we are told that it is not", LONGEST, || {
                !here(WRITER).is_empty()
            });
            let report = here(WRITER);
            assert_eq!(report.matches("\nStatus: 5.6.7\n").count(), 2, "{report}");
            // Who can be named is, where the sender can be.
            send(&mut client, ANYBODY, OURS, &[SOMEONE, ANYBODY], THEIRS);
            wait_until("they have what they take", LONGEST, || {
                !there(ANYBODY).is_empty() && !here(ANYBODY).is_empty()
            });
            let report = here(ANYBODY);
            assert_eq!(report.matches("\nStatus: 5.6.7\n").count(), 1, "{report}");
            assert!(
                report.contains("Final-Recipient: utf-8; j\\x{F6}rg@"),
                "{report}"
            );
        }
    }
    wait_until("nothing is left", LONGEST, || ours.queued() == Some(0));
}

fn send(client: &mut Client, from: &str, of: &str, to: &[&str], their: &str) {
    let mut said = |line: String, code: &str| {
        let answer = client.say(&line).expect("an answer");
        assert!(answer.starts_with(code), "{line}: {answer}");
    };
    said(
        format!("MAIL FROM:<{from}@{of}> SMTPUTF8 BODY=8BITMIME"),
        "250",
    );
    for to in to {
        said(format!("RCPT TO:<{to}@{their}>"), "250");
    }
    said("DATA".into(), "354");
    let content = "Subject: Grüße\r\nFrom: <x@x.test>\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\n\
                   Message-ID: <1@x.test>\r\n\r\nthe body\r\n.";
    said(content.into(), "250");
}

/// The one message that has come, with LF lines; empty where none has.
fn only(mut messages: Vec<Vec<u8>>) -> String {
    assert!(messages.len() <= 1, "{} messages", messages.len());
    let text = messages.pop().unwrap_or_default();
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}
