//! What is said of many at once, and what one message's fate means for others of its site.

use super::*;

fn mailboxes(names: &[&str]) -> Vec<Mailbox> {
    let parsed = names.iter().map(|name| Mailbox::parse(name).unwrap());
    parsed.collect()
}

/// RFC 5321 §4.4.
#[test]
fn all_who_fail_together_are_told_in_one_report() {
    let to = ["b@bad.test", "c@bad.test", "d@good.test"];
    let (mut queue, mut world, now) = with_message("a@good.test", &to);
    drive(&mut queue, &mut world, &mut Random(1), now, false);
    assert_eq!(world.words.len(), 1);
    for (mailbox, told) in [(to[0], 1), (to[1], 1), (to[2], 0)] {
        let line = format!("Final-Recipient: rfc822; {mailbox}\r\n");
        assert_eq!(world.words[0].matches(&line).count(), told, "{mailbox}");
    }
}

/// RFC 5321 §4.5.4.1.
#[test]
fn whoever_is_at_one_site_gets_one_copy() {
    let to = ["b@good.test", "c@dead.test", "d@good.test"];
    let (mut queue, mut world, now) = with_message("a@good.test", &to);
    drive(&mut queue, &mut world, &mut Random(1), now, false);
    world.attempts.sort_by_key(Vec::len);
    assert_eq!(
        world.attempts,
        [mailboxes(&to[1..2]), mailboxes(&[to[0], to[2]])]
    );
}

/// RFC 5321 §4.5.4.1: a refusal is of one message, and is not remembered.
#[test]
fn a_message_that_is_refused_stops_no_other_for_its_site() {
    let (mut queue, mut world, now) = with_message("a@good.test", &["b@bad.test"]);
    drive(&mut queue, &mut world, &mut Random(1), now, false);
    accept(&mut queue, "a@good.test", &["c@bad.test"], now);
    drive(&mut queue, &mut world, &mut Random(1), now, false);
    let tried = |name| world.attempts.contains(&mailboxes(&[name]));
    assert!(tried("b@bad.test") && tried("c@bad.test"));
}

/// RFC 5321 §4.5.4.1: where nobody was, nobody is looked for again at once.
#[test]
fn a_site_that_was_of_no_use_is_left_alone_for_a_while() {
    let (mut queue, mut world, now) = with_message("a@good.test", &["b@dead.test"]);
    drive(&mut queue, &mut world, &mut Random(1), now, false);
    accept(&mut queue, "a@good.test", &["c@dead.test"], now);
    drive(&mut queue, &mut world, &mut Random(1), now, false);
    assert_eq!(world.attempts, [mailboxes(&["b@dead.test"])]);
    let mut again = now;
    while world.attempts.len() == 1 {
        again = queue.wake_at();
        assert!(again != Time::NEVER, "nobody goes there again");
        queue.handle(Input::Wake, again);
        drive(&mut queue, &mut world, &mut Random(1), again, false);
    }
    let pause = Duration::from_mins(5);
    let pauses = pause.mul_f64(0.75)..=pause.mul_f64(1.25);
    assert!(pauses.contains(&again.since(now)), "{:?}", again.since(now));
}
