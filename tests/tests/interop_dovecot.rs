//! Dovecot takes what we hand it by LMTP, and what it says of each recipient decides for that recipient alone.

use std::time::Duration;
use tests::interop::{Manners, we_send_by_lmtp};
use tests::peer::{OURS, Quota, THEIRS, dovecot, dovecot_with_quotas};
use tests::{Client, Program, cell, free_port, left_out, maildir, wait_until};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn dovecot_takes_two_hundred_messages_by_lmtp() {
    we_send_by_lmtp(
        "dovecot_takes_two_hundred_messages_by_lmtp",
        dovecot,
        &Manners::NONE,
    );
}

#[test]
fn each_recipient_behind_lmtp_has_an_outcome_of_its_own() {
    let test = "each_recipient_behind_lmtp_has_an_outcome_of_its_own";
    if let Some(why) = cell::lacks() {
        return left_out(test, why);
    }
    // Dovecot does not know the fifth, though our list has it.
    let names = ["good", "other", "full", "later", "unknown"];
    let quotas = [Quota::Any, Quota::Any, Quota::Full, Quota::FullNow];
    let mut mailboxes: Vec<_> = names.into_iter().zip(quotas).collect();
    let peer = match dovecot_with_quotas(&mailboxes) {
        Ok(peer) => peer,
        Err(why) => return left_out(test, &why),
    };
    let port = free_port();
    let ours = Program::start(&format!(
        "hostname = \"mx.{OURS}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"{THEIRS}\"]\nusers = {names:?}\naliases = {{ postmaster = \"good\" }}\n\
         deliver = \"lmtp:127.0.0.1:{}\"\n\
         [domain.\"{OURS}\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n\
         [queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"2s\"\n",
        peer.port
    ));
    let content = b"Subject: to five\r\n\r\n.\r\nhello \xE4\r\n";
    let to = names.map(|name| format!("{name}@{THEIRS}"));
    let mut client = Client::connect(port).unwrap();
    let answer = client.send(&format!("ann@{OURS}"), &to, content).unwrap();
    assert!(answer.starts_with("250"), "{answer}");

    let reports = || {
        let mut all = maildir::contents(&ours.folder().join("mail"));
        all.remove("ann").unwrap_or_default()
    };
    let reported = |name: &str| {
        let line = format!("Final-Recipient: rfc822; {name}@{THEIRS}\r\n");
        let all = reports();
        let texts = all
            .iter()
            .map(|report| String::from_utf8_lossy(report).into_owned());
        texts.filter(|report| report.contains(&line)).count()
    };
    wait_until("both failures are reported", SOON, || {
        reported("full") == 1 && reported("unknown") == 1
    });
    let arrived = |name: &str| {
        let mut all = peer.arrived();
        all.remove(name).unwrap_or_default()
    };
    wait_until("the good ones have it", SOON, || {
        arrived("good").len() == 1 && arrived("other").len() == 1
    });
    for name in ["good", "other"] {
        let one = &arrived(name)[0];
        assert!(one.ends_with(content), "{}", one.escape_ascii());
    }
    // The last waits, and is tried again.
    wait_until("the last was tried twice", SOON, || {
        let log = ours.log();
        let deferred = log.lines().filter(|line| {
            line.contains("event=recipient.deferred") || line.contains("event=attempt.deferred")
        });
        deferred.count() >= 2
    });
    assert_eq!(ours.queued(), Some(1));
    mailboxes[3].1 = Quota::Any;
    peer.set_quotas(&mailboxes);
    wait_until("the last has it", SOON, || arrived("later").len() == 1);
    wait_until("nothing is left", SOON, || ours.queued() == Some(0));
    // Nobody got it twice, and only two were reported.
    for (name, copies) in names.iter().zip([1, 1, 0, 1, 0]) {
        assert_eq!(arrived(name).len(), copies, "{name}");
        assert_eq!(
            reported(name),
            usize::from(["full", "unknown"].contains(name)),
            "{name}"
        );
    }
    for report in reports() {
        let report = String::from_utf8_lossy(&report).into_owned();
        let leaks = [
            "Remote-MTA",
            "Diagnostic-Code",
            "127.0.0.1",
            "ovecot",
            "LMTP",
            "lmtp",
            "uota",
            "/mail/",
            "exist",
            "hello",
        ];
        for leak in leaks {
            assert!(!report.contains(leak), "{leak:?} is told: {report}");
        }
        let full = report.contains("Final-Recipient: rfc822; full@");
        assert!(!full || report.contains("Status: 5.2.2\r\n"), "{report}");
        let unknown = report.contains("Final-Recipient: rfc822; unknown@");
        assert!(!unknown || report.contains("Status: 5.1.1\r\n"), "{report}");
    }
}
