//! Exim and we hand each other two hundred varied messages, and what is changed on the way is named here.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tests::interop::beyond_ascii::{Takes, addresses_beyond_ascii_are_handed_on};
use tests::interop::differences::{empty_line_after_header, empty_line_before_body};
use tests::interop::reports::reports_are_asked_for;
use tests::interop::{BOTH_WAYS, Difference, Manners, Message, they_send, we_send};
use tests::peer::{OURS, THEIRS, exim, exim_for_account};
use tests::{Account, Authority, Client, Program, cell, free_port, left_out, wait_until};

const MANNERS: &Manners = &Manners {
    differences: &[
        Difference {
            ways: BOTH_WAYS,
            what: "the header section ends before the first line that is no field",
            change: empty_line_before_body,
        },
        Difference {
            ways: BOTH_WAYS,
            what: "an empty line ends the header section even where no body follows",
            change: empty_line_after_header,
        },
    ],
    sent_in_chunks: Some(in_chunks),
    cannot_send: Some(has_no_header_section),
    ..Manners::NONE
};

/// Of what it delivered by SMTP it notes a K where that went by BDAT.
fn in_chunks(line: &str) -> bool {
    line.contains("T=smart_host") && line.contains(" K ")
}

/// Of one that begins with its body Exim 4.96 says in BDAT one octet less than comes. Where another transaction stands behind
/// it in the session, that octet is before a command, and the message of that is returned to who sent it.
fn has_no_header_section(message: &Message) -> bool {
    let mut lines = message.content.split(|octet| *octet == b'\n');
    lines.next().is_some_and(|line| !line.contains(&b':'))
}

#[test]
fn exim_sends_two_hundred_messages_to_us() {
    they_send("exim_sends_two_hundred_messages_to_us", exim, MANNERS);
}

#[test]
fn we_send_two_hundred_messages_to_exim() {
    we_send("we_send_two_hundred_messages_to_exim", exim, MANNERS);
}

/// As a smart host that knows us by a login, each way it can be said.
#[test]
fn exim_takes_our_login() {
    let name = "exim_takes_our_login";
    if let Some(why) = cell::lacks() {
        return left_out(name, why);
    }
    for mechanisms in ["PLAIN", "LOGIN"] {
        let account = Account {
            mechanisms,
            user: "web1@relay.test",
            password: "s3cret.of-two words",
        };
        let by = Authority::new();
        let peer = match exim_for_account(&["ann".to_owned()], &by, account) {
            Ok(peer) => peer,
            Err(why) => return left_out(name, &why),
        };
        let (port, next_hop) = (free_port(), peer.port);
        let configuration = format!(
            "hostname = \"mx.{OURS}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
             [listen]\nmx = \"127.0.0.1:{port}\"\n[aliases]\npostmaster = \"root@{THEIRS}\"\n\
             [relay]\nto = \"starttls://127.0.0.1:{next_hop}\"\nfrom = \"127.0.0.1\"\n\
             user = \"{}\"\npassword = \"file:{{dir}}/password\"\n[tls]\nroots = \"{{dir}}/roots.pem\"\n",
            account.user
        );
        let program = Program::start_with(&configuration, |folder| {
            fs::write(folder.join("roots.pem"), by.pem()).expect("our own folder");
            let password = folder.join("password");
            fs::write(&password, account.password).expect("our own folder");
            fs::set_permissions(password, Permissions::from_mode(0o600)).expect("our own file");
        });
        let mut client = Client::connect(port).expect("it listens");
        let to = [format!("ann@{THEIRS}")];
        let answer = client.send("joe@ours.test", &to, b"Subject: x\r\n\r\nx\r\n");
        assert!(answer.expect("an answer").starts_with("250 "));
        wait_until("it is delivered", Duration::from_mins(1), || {
            peer.arrived().contains_key("ann")
        });
        let arrived = &peer.arrived()["ann"][0];
        let arrived = String::from_utf8_lossy(arrived);
        // Exim's word for SMTP under TLS by somebody whom it knows (RFC 3848).
        assert!(arrived.contains("with esmtpsa"), "{arrived}");
        assert_eq!(program.queued(), Some(0), "{}", program.log());
    }
}

#[test]
fn exim_and_we_hand_on_what_is_asked_of_reports() {
    reports_are_asked_for(
        "exim_and_we_hand_on_what_is_asked_of_reports",
        exim,
        &[
            // It tells both as they were written, and not what they stand for.
            "Original-Envelope-ID:QQ+2B314",
            "Original-Recipient:rfc822;Some+2Bone@theirs.test",
            "Final-Recipient:rfc822;someone@theirs.test",
            "Action:delivered",
        ],
    );
}

#[test]
fn exim_and_we_hand_on_addresses_beyond_ascii() {
    addresses_beyond_ascii_are_handed_on(
        "exim_and_we_hand_on_addresses_beyond_ascii",
        exim,
        Takes::BeyondAscii,
    );
}
