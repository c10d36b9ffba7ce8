//! What senders asked of reports: they are told of what they want to know, of each address once, and of nothing else.

use super::*;
use crate::BODY_OCTETS;
use mail::{DsnRequest, Envid, Notify, OriginalRecipient, RecipientRequest, RemoteReply, Ret};

/// Some recipients become members of an alias, and for some addresses something is asked.
pub(super) fn ask(envelope: &mut Envelope, random: &mut Random) {
    let list = Mailbox::parse("list@good.test").unwrap();
    for recipient in &mut envelope.recipients {
        if random.below(3) == 0 {
            recipient.originals.push(list.clone());
        }
        if random.below(6) == 0 {
            recipient.originals.push(recipient.mailbox.clone());
        }
    }
    let known = envelope.recipients.iter().flat_map(Recipient::known);
    let mut known: Vec<Mailbox> = known.cloned().collect();
    known.sort_by_key(ToString::to_string);
    known.dedup();
    let requests = known.into_iter().filter_map(|known| {
        let notify = match random.below(8) {
            0 => return None,
            1 => Notify::NEVER,
            n => Notify {
                success: n & 1 != 0,
                failure: n & 2 != 0,
                delay: n & 4 != 0,
            },
        };
        let request = RecipientRequest {
            notify: Some(notify),
            original: None,
        };
        Some((known, request))
    });
    let dsn = DsnRequest {
        ret: None,
        envid: None,
        recipients: requests.collect(),
    };
    envelope.dsn = (!dsn.is_empty()).then(|| Box::new(dsn));
}

/// Whether the next hop takes requests, and reports on what they ask.
pub(super) fn takes_requests(destination: &Destination) -> bool {
    matches!(destination, Destination::Mx(domain) if domain.name() == Some("full.test"))
}

pub(super) fn any_failure_is_wanted(envelope: &Envelope, recipient: &Recipient) -> bool {
    let known = recipient.known().iter();
    known
        .map(|known| envelope.asked(known))
        .any(|asked| asked.and_then(|a| a.notify).is_none_or(|n| n.failure))
}

/// Everybody was told of what he asked for, and of nothing that he did not want.
pub(super) fn check(world: &World, crashes: u32, seed: u64) {
    for (queue_id, envelope) in &world.accepted {
        let Some(dsn) = &envelope.dsn else { continue };
        for (known, request) in &dsn.recipients {
            let notify = request.notify.unwrap();
            let told = |actions: &[&str]| {
                let told = world.told.iter().filter(|(about, whom, what)| {
                    about == queue_id
                        && *whom == known.to_string()
                        && actions.contains(&what.as_str())
                });
                told.count()
            };
            let members: Vec<&Recipient> = envelope
                .recipients
                .iter()
                .filter(|recipient| recipient.known().contains(known))
                .collect();
            let delivered = |r: &&&Recipient| {
                let key = (*queue_id, r.mailbox.clone());
                world.delivered.contains_key(&key)
            };
            let place = format!("seed {seed}: {queue_id} to {known}");
            if envelope.reverse_path.is_null() {
                assert_eq!(
                    told(&["delivered", "relayed", "expanded", "delayed"]),
                    0,
                    "{place}"
                );
                continue;
            }
            if !notify.failure {
                assert_eq!(told(&["failed"]), 0, "{place}: a failure that nobody wants");
            }
            if !notify.delay {
                assert_eq!(told(&["delayed"]), 0, "{place}: a delay that nobody wants");
            }
            let successes = told(&["delivered", "relayed", "expanded"]);
            assert_eq!(
                successes == told(&["expanded"]),
                successes == 0 || members.len() > 1
            );
            if !notify.success {
                assert_eq!(successes, 0, "{place}: a success that nobody wants");
                continue;
            }
            // Where the next hop took the request of the one who is meant, it reports.
            let handed_on = members.len() == 1
                && members[0].known().len() == 1
                && members[0].mailbox.domain.name() == Some("full.test");
            let reached = members.iter().any(|r| delivered(&r));
            // Delivered, and then said to have failed: an attempt whose outcome was lost, before a crash or an expiry.
            let undone = told(&["failed"]) > 0 || !notify.failure;
            assert!(
                successes > 0 || handed_on || !reached || undone,
                "{place}: nobody was told of a delivery"
            );
            assert!(
                successes <= 1 + crashes as usize,
                "{place}: told {successes} times"
            );
        }
    }
}

/// A message for which this is asked of each recipient, and its brain.
fn asking(
    reverse_path: &str,
    recipients: &[Recipient],
    dsn: DsnRequest,
    content: &[u8],
) -> (Queue<Everywhere>, World, Time) {
    let now = Time::from_secs(1_000_000);
    let mut world = World::default();
    let mut queue = start(&world, now, 1);
    let envelope = Envelope {
        reverse_path: ReversePath::parse(reverse_path).unwrap(),
        recipients: recipients.to_vec(),
        arrival: now,
        eight_bit: false,
        smtputf8: false,
        dsn: Some(Box::new(dsn)),
    };
    let message = NewMessage {
        envelope,
        received: None,
        content: Content::Inline(Arc::from(content)),
    };
    queue.handle(Input::Accept { token: 1, message }, now);
    commit(&mut queue, &mut world, now).expect("it is accepted");
    (queue, world, now)
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn request(notify: &str, original: Option<&str>) -> RecipientRequest {
    RecipientRequest {
        notify: Notify::parse(notify),
        original: original.and_then(OriginalRecipient::parse),
    }
}

/// The one attempt that is due.
fn attempt(queue: &mut Queue<Everywhere>) -> (u64, Vec<(u32, Mailbox)>, Option<Box<DsnRequest>>) {
    loop {
        match queue.poll().expect("an attempt") {
            Output::Attempt {
                attempt,
                recipients,
                dsn,
                ..
            } => return (attempt, recipients, dsn),
            Output::Commit { .. } => panic!("an attempt, and a commit comes"),
            _ => {}
        }
    }
}

/// The reports of what is committed next, the first octets of the content being these.
fn reports(
    queue: &mut Queue<Everywhere>,
    world: &mut World,
    now: Time,
    octets: &[u8],
) -> Vec<String> {
    while let Some(output) = queue.poll() {
        match output {
            Output::NeedHeader { queue_id } => {
                let octets = octets.to_vec();
                queue.handle(Input::Header { queue_id, octets }, now);
            }
            Output::Commit { batch, entries } => {
                let mut made = Vec::new();
                for entry in &entries {
                    keep(world, entry);
                    if let Entry::Progress { reports, .. } = entry {
                        made.extend(reports.iter().map(text));
                    }
                }
                queue.handle(Input::Committed { batch, ok: true }, now);
                if !made.is_empty() {
                    return made;
                }
            }
            _ => {}
        }
    }
    Vec::new()
}

#[test]
fn who_asks_for_success_is_told_once_with_his_own_names() {
    let to = mailbox("b@good.test");
    let dsn = DsnRequest {
        ret: Some(Ret::Full),
        envid: Envid::parse("QQ+20314"),
        recipients: vec![(to.clone(), request("SUCCESS", Some("rfc822;B@Good.test")))],
    };
    let content = b"Subject: x\r\n\r\nsecret body\r\n";
    let (mut queue, mut world, now) = asking(
        "a@good.test",
        &[Recipient::direct(to.clone())],
        dsn.clone(),
        content,
    );
    let (number, recipients, onward) = attempt(&mut queue);
    assert_eq!(recipients, [(0, to)]);
    assert_eq!(onward.as_deref(), Some(&dsn));
    ended(
        &mut queue,
        number,
        vec![(0, Outcome::Delivered.into())],
        now,
    );
    let made = reports(&mut queue, &mut world, now, content);
    let [report] = &made[..] else {
        panic!("{made:?}")
    };
    for line in [
        "Original-Envelope-Id: QQ 314\r\n",
        "Original-Recipient: rfc822; B@Good.test\r\nFinal-Recipient: rfc822; b@good.test\r\nAction: relayed\r\n",
    ] {
        assert!(report.contains(line), "{report}");
    }
    assert!(!report.contains("secret body"), "{report}");
}

#[test]
fn where_the_next_hop_takes_the_request_it_reports_and_we_do_not() {
    let to = mailbox("b@good.test");
    let dsn = DsnRequest {
        recipients: vec![(to.clone(), request("SUCCESS", None))],
        ..DsnRequest::default()
    };
    let (mut queue, mut world, now) =
        asking("a@good.test", &[Recipient::direct(to)], dsn, b"x\r\n");
    let (number, ..) = attempt(&mut queue);
    let mut ending = Ending::from(Outcome::Delivered);
    ending.handed_on = true;
    ended(&mut queue, number, vec![(0, ending)], now);
    queue.handle(Input::Stop, now);
    assert_eq!(reports(&mut queue, &mut world, now, b"x\r\n"), [""; 0]);
    assert!(world.disk.is_empty());
}

#[test]
fn an_alias_of_several_is_reported_as_expanded_and_its_members_are_not_named() {
    let list = mailbox("list@good.test");
    let members = ["b@one.test", "c@one.test"].map(|member| Recipient {
        mailbox: mailbox(member),
        originals: vec![list.clone()],
    });
    let dsn = DsnRequest {
        recipients: vec![(
            list,
            request("SUCCESS,FAILURE", Some("rfc822;list@good.test")),
        )],
        ..DsnRequest::default()
    };
    let (mut queue, mut world, now) = asking("a@good.test", &members, dsn, b"x\r\n");
    let (number, recipients, onward) = attempt(&mut queue);
    assert_eq!(recipients.len(), 2);
    let asked = request("FAILURE", Some("rfc822;list@good.test"));
    let onward = onward
        .expect("something is asked of the next hop")
        .recipients;
    assert_eq!(onward.len(), 2);
    assert!(onward.iter().all(|(_, request)| *request == asked));
    let outcomes = (0..2).map(|n| {
        let mut ending = Ending::from(Outcome::Delivered);
        ending.handed_on = true;
        (n, ending)
    });
    ended(&mut queue, number, outcomes.collect(), now);
    let made = reports(&mut queue, &mut world, now, b"x\r\n");
    let [report] = &made[..] else {
        panic!("{made:?}")
    };
    assert_eq!(
        report
            .matches("Final-Recipient: rfc822; list@good.test\r\nAction: expanded\r\n")
            .count(),
        1
    );
    assert_eq!(report.matches("Action: ").count(), 1);
    assert!(!report.contains("one.test"), "{report}");
}

#[test]
fn a_failure_brings_the_whole_message_where_that_is_asked_and_nothing_where_nothing_is_wanted() {
    let to = mailbox("b@good.test");
    let content = b"Subject: x\r\n\r\nthe body\r\n";
    let failed = || {
        let status = Status::new(Class::Permanent, 1, 1);
        Ending::from(Outcome::Failed(Cause::Ours(status, "no".into())))
    };
    let wants = |ret, notify: &str| DsnRequest {
        ret,
        recipients: vec![(to.clone(), request(notify, None))],
        ..DsnRequest::default()
    };
    for (dsn, first, whole) in [
        (wants(Some(Ret::Full), "FAILURE"), &content[..], true),
        // What was read is not all of it: it is too long.
        (wants(Some(Ret::Full), "FAILURE"), &content[..20], false),
        (wants(Some(Ret::Hdrs), "FAILURE"), &content[..], false),
        (wants(None, "FAILURE,DELAY"), &content[..], false),
    ] {
        let recipients = [Recipient::direct(to.clone())];
        let (mut queue, mut world, now) = asking("a@good.test", &recipients, dsn, content);
        let (number, ..) = attempt(&mut queue);
        ended(&mut queue, number, vec![(0, failed())], now);
        let made = reports(&mut queue, &mut world, now, first);
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].contains("the body"), whole, "{}", made[0]);
        assert_eq!(made[0].contains("message/rfc822"), whole);
    }
    for notify in ["NEVER", "SUCCESS,DELAY"] {
        let recipients = [Recipient::direct(to.clone())];
        let (mut queue, mut world, now) =
            asking("a@good.test", &recipients, wants(None, notify), content);
        let (number, ..) = attempt(&mut queue);
        ended(&mut queue, number, vec![(0, failed())], now);
        queue.handle(Input::Stop, now);
        assert_eq!(reports(&mut queue, &mut world, now, content), [""; 0]);
        assert!(world.disk.is_empty(), "it is done with");
    }
}

#[test]
fn what_is_to_be_told_is_told_in_reports_that_can_be_kept_and_sent_however_much_it_is() {
    let long = "x".repeat(200);
    let recipients: Vec<Recipient> = (0..1000)
        .map(|n| Recipient::direct(mailbox(&format!("{n}{long}@good.test"))))
        .collect();
    let original = format!("rfc822;{}", "+2B".repeat(164));
    for notify in ["SUCCESS", "FAILURE"] {
        let asked = recipients
            .iter()
            .map(|recipient| (recipient.mailbox.clone(), request(notify, Some(&original))));
        let dsn = DsnRequest {
            ret: Some(Ret::Full),
            envid: Envid::parse(&"e".repeat(100)),
            recipients: asked.collect(),
        };
        let content = [b"Subject: x\r\n\r\n", &vec![b'.'; 60_000][..]].concat();
        let (mut queue, mut world, now) = asking("a@good.test", &recipients, dsn, &content);
        let mut made = Vec::new();
        while made.is_empty() {
            while let Some(output) = queue.poll() {
                match output {
                    Output::Attempt {
                        attempt,
                        recipients,
                        ..
                    } => {
                        let text = "n".repeat(RemoteReply::TEXT_OCTETS).into_boxed_str();
                        let reply = RemoteReply {
                            code: 550,
                            status: None,
                            text,
                            inner: false,
                        };
                        let outcome = match notify {
                            "SUCCESS" => Outcome::Delivered,
                            _ => Outcome::Failed(Cause::Reply(reply)),
                        };
                        let each = recipients.iter().map(|(n, _)| (*n, outcome.clone().into()));
                        ended(&mut queue, attempt, each.collect(), now);
                    }
                    Output::NeedHeader { queue_id } => {
                        let octets = content.clone();
                        queue.handle(Input::Header { queue_id, octets }, now);
                    }
                    Output::Commit { batch, entries } => {
                        for entry in &entries {
                            keep(&mut world, entry);
                            if let Entry::Progress { reports, .. } = entry {
                                made.extend(reports.clone());
                            }
                        }
                        queue.handle(Input::Committed { batch, ok: true }, now);
                    }
                    _ => {}
                }
            }
        }
        assert!(made.len() > 1, "{}", made.len());
        let octets = made.iter().map(|report| report.content.octets());
        assert!(octets.max() < Some(BODY_OCTETS));
        // Reports fail here too, and are told to postmaster.
        let each = made.iter().flat_map(told).map(|(whom, _)| whom);
        let mut each: Vec<String> = each.filter(|whom| whom != "a@good.test").collect();
        assert_eq!(each.len(), 1000, "everybody is told of");
        each.sort();
        each.dedup();
        assert_eq!(each.len(), 1000, "once");
    }
}

#[test]
fn a_report_that_is_owed_is_made_after_a_crash_and_nothing_is_delivered_again() {
    let to = mailbox("b@good.test");
    let dsn = DsnRequest {
        recipients: vec![(to.clone(), request("SUCCESS", None))],
        ..DsnRequest::default()
    };
    let (mut queue, mut world, now) =
        asking("a@good.test", &[Recipient::direct(to)], dsn, b"x\r\n");
    let (number, ..) = attempt(&mut queue);
    ended(
        &mut queue,
        number,
        vec![(0, Outcome::Delivered.into())],
        now,
    );
    queue.handle(Input::Stop, now);
    commit(&mut queue, &mut world, now).expect("the outcome is written before its report");
    let mut queue = start(&world, now, 2);
    queue.handle(Input::Wake, now);
    let made = reports(&mut queue, &mut world, now, b"x\r\n");
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(world.disk.len(), 1, "the report is what is left");
}
