//! Addresses beyond ASCII (RFC 6531): mailboxes of ours that have them, next hops that take them, next hops that do not, and what
//! the sender is told then (RFC 6533).

use std::fs;
use std::time::Duration;
use tests::debian::{self, CLIENTS};
use tests::{Authority, Client, Hop, Manner, Program, find_files, free_port, left_out, wait_until};

const SOON: Duration = Duration::from_mins(1);
/// Reads the report with Python's `email`, and prints what machines are told, and the Subject that comes back.
const READ: &str = "\
import base64, email, email.policy, sys
report = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.SMTPUTF8)
words, status, returned = list(report.iter_parts())
print(words.get_content_type(), words.get_content_charset())
for group in status.get_payload():
    for name in ('Original-Recipient', 'Final-Recipient', 'Action', 'Status'):
        if group[name]:
            print(name + ':', group[name])
print(returned.get_content_type(), returned['Content-Transfer-Encoding'])
# It knows no encoding below message/.
returned = base64.b64decode(returned.get_payload(0).get_payload())
print(email.message_from_bytes(returned, policy=email.policy.SMTPUTF8)['Subject'])
";

/// A server that relays for loopback clients to this hop, and has a domain beyond ASCII.
fn started(hop: u16) -> (Program, u16) {
    let port = free_port();
    let configuration = format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n\
         [relay]\nfrom = [\"127.0.0.1\"]\nto = \"smtp://127.0.0.1:{hop}\"\n\
         [aliases]\npostmaster = \"ann@bücher.test\"\n\
         [domain.\"Bücher.test\"]\nusers = [\"ann\", \"Jörg\", \"用户\"]\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n\
         aliases = {{ \"Großmutter\" = \"jörg@bücher.test\" }}\n"
    );
    (Program::start_with(&configuration, |_| {}), port)
}

fn hop(manner: Manner) -> Hop {
    Hop::start(manner, &Authority::new(), &["127.0.0.1"]).expect("a hop")
}

/// Sends a message from one to these; of which it says what each was answered.
fn send(port: u16, mail: &str, to: &[(&str, &str)]) {
    let mut client = Client::connect(port).expect("a connection");
    let mut said = |line: &str, code: &str| {
        let answer = client.say(line).expect("an answer");
        assert!(answer.starts_with(code), "{line}: {answer}");
        assert!(answer.is_ascii(), "{answer}");
    };
    said(&format!("MAIL FROM:{mail}"), "250");
    for (to, code) in to {
        said(&format!("RCPT TO:<{to}>"), code);
    }
    said("DATA", "354");
    said(
        "From: Jörg <jörg@bücher.test>\r\nSubject: Grüße\r\n\r\nthe body: ö\r\n.",
        "250",
    );
    said("QUIT", "221");
}

fn mail_of(program: &Program, user: &str) -> Vec<String> {
    let folder = program.folder().join("mail").join(user).join("new");
    let files = find_files(&folder).into_iter();
    files
        .map(|file| fs::read_to_string(file).expect("mail"))
        .collect()
}

#[test]
fn a_mailbox_beyond_ascii_is_found_however_its_name_is_written() {
    let (program, port) = started(free_port());
    let to = [
        ("jörg@bücher.test", "250"),
        ("JO\u{308}RG+x@xn--bcher-kva.test", "250"),
        ("grossmutter@bücher.test", "550"),
        ("großmutter@BÜCHER.test", "250"),
        ("用户@bücher.test", "250"),
        ("ann@bücher.test", "250"),
        ("jorg@bücher.test", "550"),
        ("jörg\u{202e}@bücher.test", "501"),
    ];
    send(port, "<käthe@far.test> SMTPUTF8", &to);
    let each = ["jörg", "用户", "ann"];
    wait_until("all have it", SOON, || {
        each.iter().all(|user| !mail_of(&program, user).is_empty()) && program.queued() == Some(0)
    });
    for user in each {
        let mail = mail_of(&program, user).concat();
        assert!(
            mail.starts_with("Return-Path: <käthe@far.test>\n"),
            "{mail}"
        );
        assert!(mail.contains(" with UTF8SMTP id "), "{mail}");
        assert!(mail.ends_with("Subject: Grüße\n\nthe body: ö\n"), "{mail}");
    }
    // One name, one copy.
    let jörg = mail_of(&program, "jörg");
    assert_eq!(
        jörg.len(),
        2,
        "one for the name, one for the name with its detail"
    );
    let delivered_to = |mail: &String| {
        let line = mail.lines().find(|line| line.starts_with("Delivered-To: "));
        line.unwrap_or_default().to_owned()
    };
    let mut delivered_to: Vec<String> = jörg.iter().map(delivered_to).collect();
    delivered_to.sort();
    assert_eq!(
        delivered_to,
        [
            "Delivered-To: JO\u{308}RG+x@xn--bcher-kva.test",
            "Delivered-To: jörg@xn--bcher-kva.test"
        ]
    );
}

#[test]
fn a_next_hop_that_takes_such_addresses_is_told_them_as_they_are() {
    let hop = hop(Manner::SmtpUtf8);
    let (program, port) = started(hop.port());
    send(
        port,
        "<jörg@bücher.test> SMTPUTF8 BODY=8BITMIME",
        &[("用户@例え.test", "250"), ("x@far.test", "250")],
    );
    // Whose addresses are ASCII, and whose sender did not say it: nobody is asked for more than before.
    send(port, "<ann@xn--bcher-kva.test>", &[("y@far.test", "250")]);
    wait_until("both are there", SOON, || {
        hop.taken().len() == 2 && program.queued() == Some(0)
    });
    let mut commands: Vec<_> = hop
        .taken()
        .into_iter()
        .map(|taken| taken.commands)
        .collect();
    commands.sort_by_key(Vec::len);
    assert_eq!(
        commands,
        [
            vec![
                "MAIL FROM:<ann@xn--bcher-kva.test> BODY=8BITMIME",
                "RCPT TO:<y@far.test>",
            ],
            vec![
                "MAIL FROM:<jörg@xn--bcher-kva.test> BODY=8BITMIME SMTPUTF8",
                "RCPT TO:<用户@xn--r8jz45g.test>",
                "RCPT TO:<x@far.test>",
            ],
        ]
    );
}

#[test]
fn a_next_hop_that_does_not_gets_what_needs_no_such_address_and_the_sender_is_told() {
    let test = "a_next_hop_that_does_not_gets_what_needs_no_such_address_and_the_sender_is_told";
    let root = match debian::root(CLIENTS) {
        Ok(root) => root,
        Err(why) => return left_out(test, &why),
    };
    let hop = hop(Manner::Clear);
    let (program, port) = started(hop.port());
    let to = [
        ("用户@far.test", "250"),
        ("x@例え.test", "250"),
        ("y@far.test", "250"),
    ];
    send(port, "<ann@bücher.test> SMTPUTF8", &to);
    wait_until("the report is there", SOON, || {
        mail_of(&program, "ann").len() == 1 && program.queued() == Some(0)
    });
    let commands: Vec<_> = hop.taken().into_iter().flat_map(|t| t.commands).collect();
    assert_eq!(
        commands,
        [
            "MAIL FROM:<ann@xn--bcher-kva.test> BODY=8BITMIME",
            "RCPT TO:<x@xn--r8jz45g.test>",
            "RCPT TO:<y@far.test>",
        ]
    );
    let folder = program.folder().join("mail/ann/new");
    let report = find_files(&folder).remove(0);
    let told = root
        .command("usr/bin/python3")
        .args(["-c", READ])
        .arg(report)
        .output()
        .expect("Python runs");
    assert_eq!(
        String::from_utf8_lossy(&told.stdout),
        "text/plain utf-8\n\
         Final-Recipient: utf-8; \\x{7528}\\x{6237}@far.test\nAction: failed\nStatus: 5.6.7\n\
         message/global-headers base64\nGrüße\n",
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
}

#[test]
fn a_sender_beyond_ascii_goes_nowhere_where_it_cannot_be_named() {
    let hop = hop(Manner::Clear);
    let (program, port) = started(hop.port());
    send(
        port,
        "<jörg@bücher.test> SMTPUTF8",
        &[("x@far.test", "250"), ("y@far.test", "250")],
    );
    wait_until("the report is there", SOON, || {
        mail_of(&program, "jörg").len() == 1 && program.queued() == Some(0)
    });
    assert_eq!(hop.taken(), []);
    let report = &mail_of(&program, "jörg")[0];
    for part in [
        "To: <jörg@xn--bcher-kva.test>\n",
        "Final-Recipient: rfc822; x@far.test\nAction: failed\nStatus: 5.6.7\n",
        "Final-Recipient: rfc822; y@far.test\nAction: failed\nStatus: 5.6.7\n",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}
