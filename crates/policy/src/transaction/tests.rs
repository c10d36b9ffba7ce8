//! A transaction is what its recipients are, one by one, and nothing more.

use super::*;
use crate::Listener;
use crate::accept::tests::parameters;

fn client(ip: &str) -> Client<'static> {
    Client {
        ip: ip.parse().unwrap(),
        listener: Listener::Mx,
    }
}

fn paths(names: &[&str]) -> Vec<ForwardPath> {
    let parse = |name: &&str| ForwardPath::parse(name).unwrap();
    names.iter().map(parse).collect()
}

fn ask(ip: &str, names: &[&str]) -> Result<Vec<String>, (String, &'static str)> {
    let paths = paths(names);
    let policy = Policy::new(parameters());
    let told = policy.transaction(client(ip), &ReversePath::Null, &paths);
    let show = |recipient: &Recipient| {
        let known: Vec<String> = recipient.known().iter().map(Mailbox::to_string).collect();
        format!("{} for {}", recipient.mailbox, known.join(", "))
    };
    told.map(|recipients| recipients.iter().map(show).collect())
        .map_err(|refused| (refused.forward_path.to_string(), refused.rule.name))
}

const STRANGER: &str = "192.0.2.7";
const FRIEND: &str = "10.1.2.3";

#[test]
fn all_of_them_once_in_the_order_named() {
    assert_eq!(
        ask(
            STRANGER,
            &["bob@us.example", "ops@mail.us.example", "bob@us.example"]
        )
        .unwrap(),
        ["bob@us.example for bob@us.example, ops@mail.us.example"]
    );
    assert_eq!(ask(STRANGER, &["eve@all.example"]).unwrap().len(), 1);
}

#[test]
fn one_that_may_not_be_stops_all_of_it() {
    let denied = ("x@else.example".to_owned(), "relay.denied");
    assert_eq!(
        ask(STRANGER, &["bob@us.example", "x@else.example"]),
        Err(denied)
    );
    assert!(ask(FRIEND, &["bob@us.example", "x@else.example"]).is_ok());
    let (unknown, _) = ask(FRIEND, &["nobody@us.example", "bob@us.example"]).unwrap_err();
    assert_eq!(unknown, "nobody@us.example");
}

#[test]
fn one_too_many_is_refused_by_its_own_rule() {
    let many: Vec<String> = (0..=EXPANDED_MAX)
        .map(|n| format!("u{n}@far.example"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(ask(FRIEND, &many[1..]).unwrap().len(), EXPANDED_MAX);
    let (last, rule) = ask(FRIEND, &many).unwrap_err();
    assert_eq!(last, format!("u{EXPANDED_MAX}@far.example"));
    assert_eq!(rule, "recipients.too_many");
}
