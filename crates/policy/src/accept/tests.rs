//! Who is accepted and who is not; the tricks that have made other servers relay.

use super::*;
use crate::address::Fault;
use crate::parameters::{Alias, Aliases};
use crate::{Deliver, DomainRule, Grant, Grants, Network, RelayFrom, Target, Users};

pub(crate) fn origin(line: u32) -> Origin {
    let key = "test".into();
    Origin { key, line }
}

pub(crate) fn aliases(list: &[(&str, &[&str])]) -> Aliases {
    let target = |text: &&str| match Mailbox::parse(text) {
        Ok(mailbox) => Target::Mailbox(mailbox),
        Err(_) => Target::Name(LocalPart::from_meant(text).unwrap()),
    };
    list.iter()
        .map(|(name, targets)| {
            let targets = targets.iter().map(target).collect();
            let alias = Alias {
                targets,
                origin: origin(7),
            };
            ((*name).into(), alias)
        })
        .collect()
}

fn rule(users: Option<&[&str]>, deliver: Deliver) -> DomainRule {
    DomainRule {
        users: users.map_or(Users::Any, |u| {
            Users::Listed(u.iter().map(|u| (*u).into()).collect())
        }),
        aliases: Aliases::new(),
        deliver,
        catch_all: None,
        separators: crate::parameters::SEPARATORS.into(),
        origin: origin(3),
    }
}

pub(crate) fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

pub(crate) fn parameters() -> Parameters {
    let name = |text| Domain::parse_name(text).unwrap();
    let mut p = Parameters::empty(name("mail.us.example"));
    let maildir = || Deliver::Maildir("/m/{domain}/{user}".into());
    let mut us = rule(Some(&["ann", "bob", "c+d"]), maildir());
    us.aliases = aliases(&[
        ("info", &["ann", "BOB", "ann"]),
        ("out", &["x@far.example"]),
        ("loop", &["pool"]),
        ("pool", &["loop"]),
        ("ann", &["ann", "copy@far.example"]),
        ("lost", &["nobody"]),
    ]);
    p.domains.insert(name("us.example"), us);
    p.domains
        .insert(name("far-mx.example"), rule(None, Deliver::Mx));
    let mut all = rule(Some(&["eve"]), maildir());
    all.catch_all = Some(Target::Name(LocalPart::from_meant("eve").unwrap()));
    p.domains.insert(name("all.example"), all);
    p.aliases = aliases(&[("root", &["bob"]), ("ops", &["root"])]);
    p.relay_from.push(RelayFrom {
        network: Network::parse("10.0.0.0/8").unwrap(),
        origin: origin(9),
    });
    p
}

fn ask(ip: &str, forward_path: &str) -> String {
    let policy = Policy::new(parameters());
    let client = Client {
        ip: ip.parse().unwrap(),
        listener: Listener::Mx,
    };
    let Ok(path) = ForwardPath::parse(forward_path) else {
        return "malformed".into();
    };
    let verdict = policy.recipient(client, &ReversePath::Null, &path);
    let story = policy.explain_recipient(client, &ReversePath::Null, &path);
    assert_eq!(story.verdict, verdict);
    match verdict.decision {
        Decision::Refuse(refusal) => {
            assert!(story.otherwise.is_some() || forward_path.contains('['));
            format!("{refusal:?}")
        }
        Decision::Accept(list) => {
            let list: Vec<_> = list.iter().map(|r| r.mailbox.to_string()).collect();
            list.join(" ")
        }
    }
}

const STRANGER: &str = "198.51.100.7";

#[test]
fn users_aliases_and_sub_addresses_are_found() {
    for (path, whom) in [
        ("bob@us.example", "bob@us.example"),
        ("BOB@US.example", "BOB@us.example"),
        ("bob+list@us.example", "bob+list@us.example"),
        ("c+d@us.example", "c+d@us.example"),
        ("c@us.example", "UnknownUser"),
        ("+x@us.example", "UnknownUser"),
        ("ann@us.example", "ann@us.example copy@far.example"),
        (
            "info@us.example",
            "ann@us.example copy@far.example BOB@us.example",
        ),
        (
            "info+x@us.example",
            "ann@us.example copy@far.example BOB@us.example",
        ),
        ("out@us.example", "x@far.example"),
        ("nobody@us.example", "UnknownUser"),
        ("lost@us.example", "BadAlias"),
        ("loop@us.example", "BadAlias"),
        ("any.thing@all.example", "eve@all.example"),
        ("any@far-mx.example", "any@far-mx.example"),
        ("ops@mail.us.example", "bob@us.example"),
        ("bob@mail.us.example", "UnknownUser"),
    ] {
        assert_eq!(ask(STRANGER, path), whom, "{path}");
    }
}

#[test]
fn postmaster_is_always_somebody() {
    for path in [
        "postmaster",
        "Postmaster@us.example",
        "postmaster@all.example",
        "postmaster@mail.us.example",
        "postmaster@far-mx.example",
    ] {
        assert_eq!(ask(STRANGER, path), "bob@us.example", "{path}");
    }
}

#[test]
fn no_trick_makes_us_relay_for_a_stranger() {
    for (path, answer) in [
        ("a@other.example", "RelayingDenied"),
        ("a%other.example@us.example", "UnknownUser"),
        ("a%other.example@far-mx.example", "UnknownUser"),
        ("a%other.example@all.example", "eve@all.example"),
        ("@us.example:a@other.example", "RelayingDenied"),
        ("@us.example,@all.example:a@other.example", "RelayingDenied"),
        ("other.example!a@us.example", "UnknownUser"),
        ("other.example!a@far-mx.example", "UnknownUser"),
        ("\"a@other.example\"@us.example", "UnknownUser"),
        ("\"a@other.example\"@far-mx.example", "UnknownUser"),
        ("a@other.example@us.example", "malformed"),
        ("<a@other.example>@us.example", "malformed"),
        ("a@[192.0.2.1]", "RelayingDenied"),
        ("a@[IPv6:::1]", "RelayingDenied"),
        ("a@[x:y]", "RelayingDenied"),
        ("bob@us.example.", "malformed"),
        ("\"a@b\"", "malformed"),
        ("a@", "malformed"),
        ("a@x.us.example", "RelayingDenied"),
        ("a@xus.example", "RelayingDenied"),
    ] {
        assert_eq!(ask(STRANGER, path), answer, "{path}");
        assert_eq!(ask("::ffff:198.51.100.7", path), answer, "{path}");
    }
}

#[test]
fn clients_in_relay_from_send_anywhere_but_into_this_host() {
    for ip in ["10.1.2.3", "::ffff:10.1.2.3"] {
        assert_eq!(ask(ip, "a@other.example"), "a@other.example");
        assert_eq!(ask(ip, "a@[192.0.2.1]"), "a@[192.0.2.1]");
        assert_eq!(ask(ip, "nobody@us.example"), "UnknownUser");
        for own in [
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "a@[IPv6:::ffff:127.0.0.1]",
            "a@[0.0.0.0]",
            "a@[x:y]",
        ] {
            assert_eq!(ask(ip, own), "RelayingDenied", "{own}");
        }
    }
}

#[test]
fn aliases_that_grow_without_end_are_cut_off() {
    let mut p = parameters();
    let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let us = p
        .domains
        .get_mut(&Domain::parse_name("us.example").unwrap())
        .unwrap();
    for pair in names.windows(2) {
        us.aliases.extend(aliases(&[(&pair[0], &[&pair[1]])]));
    }
    us.aliases.extend(aliases(&[("n39", &["ann"])]));
    let many: Vec<String> = (0..=crate::address::EXPANSION)
        .map(|n| format!("u{n}@far.example"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    us.aliases
        .extend(aliases(&[("wide", &many), ("fits", &many[1..])]));
    let expand = |name: &str| {
        p.expand(
            &Mailbox::parse(&format!("{name}@us.example")).unwrap(),
            &mut |_, _| {},
        )
        .0
    };
    assert_eq!(expand("n0"), Expansion::Broken(Fault::TooDeep));
    assert!(matches!(expand("n30"), Expansion::Mailboxes(_)));
    assert_eq!(expand("wide"), Expansion::Broken(Fault::TooMany));
    assert!(
        matches!(expand("fits"), Expansion::Mailboxes(m) if m.len() == crate::address::EXPANSION)
    );
}

#[test]
fn an_alias_that_leads_nowhere_says_why() {
    let p = parameters();
    let why = |text: &str| match p.expand(&Mailbox::parse(text).unwrap(), &mut |_, _| {}).0 {
        Expansion::Broken(Fault::Circle(circle)) => {
            circle.iter().map(ToString::to_string).collect()
        }
        Expansion::Broken(Fault::Nobody(mailbox)) => vec![mailbox.to_string()],
        other => vec![format!("{other:?}")],
    };
    assert_eq!(
        why("loop@us.example"),
        ["loop@us.example", "pool@us.example"]
    );
    assert_eq!(why("lost@us.example"), ["nobody@us.example"]);
    assert_eq!(why("nobody@us.example"), ["Unknown"]);
}

#[test]
fn each_domain_has_separators_of_its_own() {
    let mut p = parameters();
    let mut expand = |separators: &str, name: &str| {
        let domain = Domain::parse_name("us.example").unwrap();
        p.domains.get_mut(&domain).unwrap().separators = separators.into();
        let mailbox = Mailbox::parse(&format!("{name}@us.example")).unwrap();
        matches!(
            p.expand(&mailbox, &mut |_, _| {}).0,
            Expansion::Mailboxes(_)
        )
    };
    assert!(expand("+", "bob+x") && !expand("+", "bob-x"));
    assert!(expand("-", "bob-x") && !expand("-", "bob+x"));
    assert!(expand("+-", "bob-x+y") && expand("+-", "bob+x-y"));
    assert!(!expand("", "bob+x") && expand("", "c+d"));
}

#[test]
fn the_postmaster_of_the_hostname_is_that_of_the_domain_it_lies_in() {
    let mut p = parameters();
    p.aliases.clear();
    let expand = |p: &Parameters| {
        p.expand(&mailbox("Postmaster@mail.us.example"), &mut |_, _| {})
            .0
    };
    assert_eq!(
        expand(&p),
        Expansion::Broken(Fault::Nobody(
            Mailbox::parse("Postmaster@us.example").unwrap()
        ))
    );
    let us = p
        .domains
        .get_mut(&Domain::parse_name("us.example").unwrap());
    us.unwrap()
        .aliases
        .extend(aliases(&[("postmaster", &["ann"])]));
    assert!(matches!(expand(&p), Expansion::Mailboxes(m) if m.len() == 2));
}

#[test]
fn under_try_every_domain_is_ours_and_nothing_leaves() {
    let mut p = parameters();
    p.any_domain = Some("/try/{domain}/{user}".into());
    let expand = |text: &str| p.expand(&Mailbox::parse(text).unwrap(), &mut |_, _| {}).0;
    assert!(matches!(expand("a@other.example"), Expansion::Mailboxes(_)));
    assert_eq!(expand("\"../x\"@other.example"), Expansion::Unknown);
    assert!(!p.is_ours(&Domain::parse("[192.0.2.1]").unwrap()));
    let client = Client {
        ip: "203.0.113.1".parse().unwrap(),
        listener: Listener::Mx,
    };
    let path = ForwardPath::parse("a@[192.0.2.1]").unwrap();
    let story = Policy::new(p).explain_recipient(client, &ReversePath::Null, &path);
    assert_eq!(
        story.verdict.decision,
        Decision::Refuse(Refusal::RelayingDenied)
    );
    assert_eq!(story.otherwise, None, "nothing leaves");
}

/// Who says what he likes and has no login sends nothing to others: neither from where `relay.from` lists nobody, nor
/// at the door of users from anywhere.
#[test]
fn what_a_stranger_says_of_himself_lets_nothing_through() {
    let mut p = parameters();
    let anything = Grants {
        grants: vec![Grant::Anything],
        origin: origin(11),
    };
    p.senders.add(&mailbox("ann@us.example"), anything);
    let policy = Policy::new(p);
    let to = ForwardPath::parse("victim@else.example").unwrap();
    let ours = ForwardPath::parse("bob@us.example").unwrap();
    let client = |ip: &str, listener| Client {
        ip: ip.parse().unwrap(),
        listener,
    };
    for from in [
        "",
        "ann@us.example",
        "postmaster@mail.us.example",
        "victim@else.example",
    ] {
        let from = ReversePath::parse(from).unwrap();
        let ask = |ip, listener, to| policy.recipient(client(ip, listener), &from, to).decision;
        let refused = |refusal| Decision::Refuse(refusal);
        assert_eq!(
            ask(STRANGER, Listener::Mx, &to),
            refused(Refusal::RelayingDenied)
        );
        let relayed = ask("10.9.9.9", Listener::Mx, &to);
        assert!(matches!(relayed, Decision::Accept(_)));
        for (ip, to) in [
            (STRANGER, &to),
            (STRANGER, &ours),
            ("10.9.9.9", &to),
            ("10.9.9.9", &ours),
        ] {
            assert_eq!(
                ask(ip, Listener::Submission(None), to),
                refused(Refusal::LoginNeeded),
                "{ip} to {to}"
            );
        }
    }
}

#[test]
fn who_is_logged_in_sends_to_anybody_but_into_this_host() {
    let policy = Policy::new(parameters());
    let bob = mailbox("bob@us.example");
    let client = Client {
        ip: STRANGER.parse().unwrap(),
        listener: Listener::Submission(Some(&bob)),
    };
    let ask = |from: &str, to: &str| {
        let (from, to) = (
            ReversePath::parse(from).unwrap(),
            ForwardPath::parse(to).unwrap(),
        );
        let story = policy.explain_recipient(client, &from, &to);
        assert_eq!(policy.recipient(client, &from, &to), story.verdict);
        let all = policy.transaction(client, &from, std::slice::from_ref(&to));
        assert_eq!(
            all.is_ok(),
            matches!(story.verdict.decision, Decision::Accept(_))
        );
        let otherwise = story.otherwise.unwrap_or_default();
        let said = match story.verdict.decision {
            Decision::Accept(list) => list[0].mailbox.to_string(),
            Decision::Refuse(refusal) => format!("{refusal:?}"),
        };
        (story.verdict.rule.name, said, otherwise)
    };
    let told = |rule, said: &str, otherwise: &str| (rule, said.to_owned(), otherwise.to_owned());
    let (us, far) = ("bob@us.example", "x@far.example");
    assert_eq!(ask(us, far), told("login", far, ""));
    assert_eq!(
        ask(us, "ops@mail.us.example"),
        told("recipient.global_alias", us, "")
    );
    let (rule, said, otherwise) = ask(us, "nobody@us.example");
    assert_eq!((rule, &*said), ("recipient.unknown", "UnknownUser"));
    assert!(otherwise.contains("`nobody`"), "{otherwise}");
    for here in ["a@[127.0.0.1]", "a@[IPv6:::1]", "a@[0.0.0.0]", "a@[x:y]"] {
        assert_eq!(ask(us, here), told("relay.literal", "RelayingDenied", ""));
    }
    for bare in ["root@localhost", "ann@intranet"] {
        let (rule, said, otherwise) = ask(us, bare);
        assert_eq!((rule, &*said), ("recipient.unqualified", "NotQualified"));
        assert!(otherwise.ends_with(" is a domain of ours"), "{otherwise}");
    }
    let ann = "ann@us.example";
    let grant = "auth.senders lets bob@us.example send as ann@us.example";
    assert_eq!(ask(ann, far), told("login.sender", "NotYourSender", grant));
    assert_eq!(ask(ann, us), told("login.sender", "NotYourSender", grant));
    let both = format!("{grant}, and us.example has a user or an alias `nobody`, or a catch_all");
    assert_eq!(
        ask(ann, "nobody@us.example"),
        told("login.sender", "NotYourSender", &both)
    );
    let here = ask(ann, "a@[127.0.0.1]");
    assert_eq!(
        here,
        told("login.sender", "NotYourSender", ""),
        "nothing helps"
    );
}

/// There are no logins under `try`, so none is asked for, and none opens a way out.
#[test]
fn under_try_a_login_is_neither_needed_nor_of_use() {
    let mut p = parameters();
    p.any_domain = Some("/try/{domain}/{user}".into());
    p.relay_from.clear();
    let policy = Policy::new(p);
    let ann = mailbox("ann@us.example");
    for login in [None, Some(&ann)] {
        let client = Client {
            ip: STRANGER.parse().unwrap(),
            listener: Listener::Submission(login),
        };
        let ask = |from: &str, to: &str| {
            let from = ReversePath::parse(from).unwrap();
            let to = ForwardPath::parse(to).unwrap();
            policy.recipient(client, &from, &to).rule.name
        };
        assert_eq!(
            ask("bob@us.example", "x@anywhere.example"),
            "recipient.any",
            "{login:?}"
        );
        assert_eq!(
            ask("ann@us.example", "x@[192.0.2.1]"),
            "relay.denied",
            "{login:?}"
        );
    }
}
