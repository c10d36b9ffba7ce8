//! Whose an address is: what is near to a login's is not his.

use super::*;
use crate::accept::tests::{aliases, mailbox, origin, parameters};
use crate::{Client, Decision, Listener, Policy};
use mail::ForwardPath;
use proptest::prelude::*;

fn may(parameters: &Parameters, login: &str, from: &str) -> bool {
    let from = ReversePath::parse(from).unwrap();
    parameters.sender(&mailbox(login), &from).is_his
}

#[test]
fn his_own_are_the_null_path_his_mailbox_its_details_and_aliases_that_lead_to_him() {
    let p = parameters();
    for (login, from, his) in [
        ("bob@us.example", "", true),
        ("bob@us.example", "bob@us.example", true),
        ("bob@us.example", "BOB@US.example", true),
        ("Bob@us.example", "bob@us.example", true),
        ("bob@us.example", "bob+list@us.example", true),
        ("bob@us.example", "Bob+List@us.example", true),
        ("bob@us.example", "info@us.example", true),
        ("bob@us.example", "info+x@us.example", true),
        ("bob@us.example", "ops@mail.us.example", true),
        ("bob@us.example", "postmaster@us.example", true),
        ("bob@us.example", "bob@mail.us.example", false),
        ("bob@us.example", "bob@all.example", false),
        ("bob@us.example", "bob-list@us.example", false),
        ("bob@us.example", "bobby@us.example", false),
        ("bob@us.example", "ann@us.example", false),
        ("bob@us.example", "nobody@us.example", false),
        ("bob@us.example", "loop@us.example", false),
        ("bob@us.example", "x@far.example", false),
        ("bob@us.example", "bob@us.example.far.example", false),
        ("bob@us.example", "bob%far.example@us.example", false),
        ("bob@us.example", "\"bob@us.example\"@far.example", false),
        ("bob+list@us.example", "bob@us.example", false),
        ("ann@us.example", "info@us.example", true),
        ("ann@us.example", "ann+x@us.example", true),
        // A user of his own, though his name looks like a detail of another's.
        ("c@us.example", "c+d@us.example", false),
        ("c@us.example", "c+e@us.example", true),
        ("c+d@us.example", "c+d@us.example", true),
        ("c+d@us.example", "c+d+e@us.example", false),
        // An alias as a login; and one that leads elsewhere, to somebody who logs in here.
        ("out@us.example", "out@us.example", true),
        ("out@us.example", "out+x@us.example", true),
        ("x@far.example", "out@us.example", true),
        // What a catch-all takes is nobody's.
        ("eve@all.example", "anything@all.example", false),
        ("eve@all.example", "eve+x@all.example", true),
        // Where the users are known elsewhere, and where nothing is known.
        ("a@far-mx.example", "a+x@far-mx.example", true),
        ("a@far-mx.example", "b@far-mx.example", false),
        ("a@far.example", "A@far.example", true),
        ("a@far.example", "a+x@far.example", false),
    ] {
        assert_eq!(may(&p, login, from), his, "{login} as <{from}>");
    }
}

#[test]
fn an_alias_that_looks_like_a_detail_is_whose_it_leads_to() {
    let mut p = parameters();
    let us = Domain::parse_name("us.example").unwrap();
    let us = p.domains.get_mut(&us).unwrap();
    us.aliases.extend(aliases(&[("bob+boss", &["ann"])]));
    assert!(!may(&p, "bob@us.example", "bob+boss@us.example"));
    assert!(may(&p, "ann@us.example", "bob+boss@us.example"));
    assert!(may(&p, "bob@us.example", "bob+else@us.example"));
}

#[test]
fn grants_are_for_one_login_and_no_wider_than_they_are_written() {
    let mut p = parameters();
    let grant = |grants: &[Grant]| Grants {
        grants: grants.to_vec(),
        origin: origin(5),
    };
    let domain = Grant::Domain(Domain::parse_name("granted.example").unwrap());
    let boss = [
        Grant::Mailbox(mailbox("Boss@far.example")),
        Grant::Mailbox(mailbox("ann@us.example")),
    ];
    let new = p.senders.add(&mailbox("Bob@us.example"), grant(&[domain]));
    assert!(new && p.senders.add(&mailbox("eve@all.example"), grant(&boss)));
    p.senders
        .add(&mailbox("list@us.example"), grant(&[Grant::Anything]));
    let again = p
        .senders
        .clone()
        .add(&mailbox("BOB@us.example"), grant(&[]));
    assert!(!again, "the same login in another case");
    for (login, from, his) in [
        ("bob@us.example", "anybody@granted.example", true),
        ("BOB@us.example", "anybody@Granted.example", true),
        ("bob@us.example", "anybody@x.granted.example", false),
        ("bob@us.example", "anybody@xgranted.example", false),
        ("bob@us.example", "boss@far.example", false),
        ("eve@all.example", "boss@far.example", true),
        ("eve@all.example", "BOSS@far.example", true),
        ("eve@all.example", "boss+x@far.example", false),
        ("eve@all.example", "ann+x@us.example", true),
        ("eve@all.example", "x@granted.example", false),
        ("list@us.example", "whoever@anywhere.example", true),
        ("list+x@us.example", "whoever@anywhere.example", false),
        ("ann@us.example", "whoever@anywhere.example", false),
    ] {
        assert_eq!(may(&p, login, from), his, "{login} as <{from}>");
    }
    let said = p.sender(
        &mailbox("ann@us.example"),
        &ReversePath::parse("q@q.example").unwrap(),
    );
    let origin = said.origin.unwrap();
    assert_eq!((&*origin.key, origin.line), ("auth.senders", 5));
}

/// Names and domains that meet often.
fn address() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "ann", "bob", "BOB", "c", "c+d", "eve", "info", "out", "root", "x", "bob+x", "a.b", "a%b",
    ]);
    let domain = prop::sample::select(vec![
        "us.example",
        "all.example",
        "far-mx.example",
        "mail.us.example",
        "far.example",
        "else.example",
    ]);
    (name, domain).prop_map(|(name, domain)| format!("{name}@{domain}"))
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let grant = address().prop_map(|text| {
        let mailbox = mailbox(&text);
        if text.len() % 2 == 0 {
            Grant::Domain(mailbox.domain)
        } else {
            Grant::Mailbox(mailbox)
        }
    });
    prop::collection::vec(grant, 0..3)
}

proptest! {
    /// Whoever sends to others is logged in or listed; a foreign reverse-path is then his own or written in a grant;
    /// and at either door a no is the same no for each recipient.
    #[test]
    fn nobody_sends_under_a_foreign_address_that_is_not_his_or_granted(
        login in prop::option::of(address()),
        granted in grants(),
        holder in address(),
        from in prop::option::of(address()),
        to in address(),
        friend in any::<bool>(),
    ) {
        let mut p = parameters();
        let written = Grants { grants: granted.clone(), origin: origin(5) };
        p.senders.add(&mailbox(&holder), written);
        let ours = |m: &Mailbox| p.is_ours(&m.domain);
        let login = login.map(|text| mailbox(&text));
        let from = ReversePath::parse(&from.unwrap_or_default()).unwrap();
        let ip = if friend { "10.1.1.1" } else { "198.51.100.7" }.parse().unwrap();
        let path = ForwardPath::parse(&to).unwrap();
        let listener = Listener::Submission(login.as_ref());
        let policy = Policy::new(p.clone());
        let verdict = policy.recipient(Client { ip, listener }, &from, &path);
        let is_accepted = matches!(verdict.decision, Decision::Accept(_));
        let Some(login) = login else {
            prop_assert!(!is_accepted, "without a login");
            return Ok(());
        };
        if let (true, ReversePath::Mailbox(from)) = (is_accepted, &from) {
            let same = |a: &Mailbox, b: &Mailbox| {
                a.to_string().eq_ignore_ascii_case(&b.to_string())
            };
            let has = same(&mailbox(&holder), &login);
            let fits = |grant: &Grant| match grant {
                Grant::Anything => true,
                Grant::Domain(domain) => *domain == from.domain,
                Grant::Mailbox(mailbox) => same(mailbox, from),
            };
            let is_granted = has && granted.iter().any(fits);
            prop_assert!(ours(from) || same(from, &login) || is_granted, "{login} as {from}");
        }
        // A login takes nobody anything at the other door, where it cannot be said.
        let at_mx = policy.recipient(Client { ip, listener: Listener::Mx }, &from, &path);
        if !friend && !ours(&mailbox(&to)) {
            prop_assert!(!matches!(at_mx.decision, Decision::Accept(_)), "{to} by a stranger");
        }
    }
}
