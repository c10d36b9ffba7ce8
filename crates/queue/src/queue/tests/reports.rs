//! What senders are told when time runs out, and before: once, in time, durable with its mark, and in the right words.

use super::*;
use mail::RemoteReply;

/// What a host that the configuration names says.
fn said() -> Cause {
    Cause::Reply(RemoteReply {
        code: 451,
        status: None,
        text: "no room at inner.lan".into(),
        inner: false,
    })
}

/// Lets attempts fail until `end`, with `commits_fail` every other commit too; gives each report with the time it was written.
fn reports_until(
    queue: &mut Queue<Everywhere>,
    world: &mut World,
    mut now: Time,
    end: Time,
    commits_fail: bool,
) -> Vec<(Time, String)> {
    let (mut reports, mut commits) = (Vec::new(), 0);
    let cause = Cause::Ours(
        Status::new(Class::Transient, 4, 3),
        "DNS did not answer".into(),
    );
    while now <= end {
        while let Some(output) = queue.poll() {
            match output {
                Output::Commit { batch, entries } => {
                    commits += 1;
                    let ok = !commits_fail || commits % 2 == 0;
                    for entry in entries.iter().filter(|_| ok) {
                        keep(world, entry);
                        if let Entry::Progress { reports: made, .. } = entry {
                            reports.extend(made.iter().map(|report| (now, text(report))));
                        }
                    }
                    queue.handle(Input::Committed { batch, ok }, now);
                }
                Output::Attempt {
                    attempt,
                    recipients,
                    destination,
                    ..
                } => {
                    let inner = matches!(destination, Destination::SmartHost(..));
                    let outcome = match destination {
                        Destination::Mx(domain) if domain.name() == Some("good.test") => {
                            Outcome::Delivered
                        }
                        _ => Outcome::Deferred(if inner { said() } else { cause.clone() }),
                    };
                    let outcomes = recipients.iter().map(|(n, _)| (*n, outcome.clone().into()));
                    ended(queue, attempt, outcomes.collect(), now);
                }
                Output::NeedHeader { queue_id } => {
                    let octets = b"Subject: x\r\n".to_vec();
                    queue.handle(Input::Header { queue_id, octets }, now);
                }
                _ => {}
            }
        }
        now = queue.wake_at().max(now);
        if now <= end {
            queue.handle(Input::Wake, now);
        }
    }
    reports
}

#[test]
fn who_expires_is_reported_as_such_with_the_last_reason() {
    let (mut queue, mut world, now) = with_message("a@good.test", &["b@dead.test"]);
    let end = now + Duration::from_hours(121);
    let reports = reports_until(&mut queue, &mut world, now, end, false);
    let [(at, report)] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!(at.since(now), Duration::from_hours(120));
    assert!(
        report.contains("Action: failed\r\nStatus: 5.4.7\r\n"),
        "{report}"
    );
    let words = "5.4.7 it was tried for 5 days; the last reason: DNS did not answer";
    assert!(report.contains(words), "{report}");
}

#[test]
fn a_sender_is_told_of_a_delay_once_and_in_time() {
    for commits_fail in [false, true] {
        let (mut queue, mut world, now) =
            with_message("a@good.test", &["b@dead.test", "c@good.test"]);
        queue.parameters.delay_notice = Some(Duration::from_hours(4));
        let end = now + Duration::from_hours(100);
        let reports = reports_until(&mut queue, &mut world, now, end, commits_fail);
        let [(at, report)] = &reports[..] else {
            panic!("{reports:?}");
        };
        let after = at.since(now);
        assert!(
            after >= Duration::from_hours(4) && after < Duration::from_secs(4 * 3600 + 10),
            "{after:?}"
        );
        assert!(
            report.contains("rfc822; b@dead.test\r\nAction: delayed\r\nStatus: 4.4.7\r\n"),
            "{report}"
        );
        assert!(!report.contains("c@good.test"), "{report}");
        // It is written with the message: another life does not say it again.
        let mut queue = start(&world, end, 2);
        let again = end + Duration::from_hours(10);
        assert!(reports_until(&mut queue, &mut world, end, again, false).is_empty());
    }
}

#[test]
fn nobody_is_told_of_a_delay_who_wants_no_report_or_where_that_is_off() {
    for (reverse_path, notice) in [("", Some(Duration::from_hours(4))), ("a@good.test", None)] {
        let (mut queue, mut world, now) = with_message(reverse_path, &["b@dead.test"]);
        queue.parameters.delay_notice = notice;
        let end = now + Duration::from_hours(100);
        assert!(reports_until(&mut queue, &mut world, now, end, false).is_empty());
    }
}

#[test]
fn postmaster_is_not_told_that_mail_of_somebody_else_is_his() {
    let (mut queue, mut world, now) = with_message("", &["b@dead.test"]);
    let end = now + Duration::from_hours(121);
    let reports = reports_until(&mut queue, &mut world, now, end, false);
    let [(_, report)] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert!(
        report.contains("\r\nTo: <postmaster@mx.test>\r\n"),
        "{report}"
    );
    assert!(
        !report.to_ascii_lowercase().contains("your message"),
        "{report}"
    );
}

#[test]
fn what_a_hop_that_the_configuration_names_said_is_not_told_when_time_runs_out_either() {
    let (mut queue, mut world, now) = with_message("a@good.test", &["b@inner.test"]);
    queue.parameters.delay_notice = Some(Duration::from_hours(4));
    let end = now + Duration::from_hours(121);
    let reports = reports_until(&mut queue, &mut world, now, end, false);
    assert_eq!(reports.len(), 2);
    for (_, report) in reports {
        assert!(report.contains("the message was not accepted"), "{report}");
        assert!(!report.contains("inner.lan"), "{report}");
    }
}
