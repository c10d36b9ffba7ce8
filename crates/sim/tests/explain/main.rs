//! `explain` says what a session says, and no configuration that loads relays for a stranger: shown on thousands of
//! configurations, each with the smtpd and policy roles that `run` starts, fed octets and heard at the arrow to queue.

mod server;

use policy::{Client, Decision, Listener, Policy};
use ringmail::cli::explain::rehearsal::{Asked, Told, rehearse};
use ringmail::config::Config;
use ringmail::drive::connection::parameters;
use ringmail::event::{self, Event};
use ringmail::ipc::spawn::Situation;
use server::Server;
use sim::rng::Rng;
use sim::wishes::{Comes, Try, Wish};
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

/// Configurations that load, in each test.
const CONFIGURATIONS: usize = 10_000;
/// Clients that try each of them.
const TRIES: usize = 3;
/// What the log wrote of refusals: their rules.
type Rules = Rc<RefCell<Vec<&'static str>>>;

/// Runs a test on so many configurations that load; gives how many were written for that.
fn on_configurations<T, F>(first_seed: u64, mut test: T) -> usize
where
    T: FnMut(u64, Wish, Config, Rng, Rules) -> F,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a loop");
    let (mut loaded, mut seed) = (0, first_seed);
    let rules = Rules::default();
    let heard = Rc::clone(&rules);
    event::hear(Some(Box::new(move |event| {
        if let Event::RecipientRefused { rule, .. } = event {
            heard.borrow_mut().push(rule);
        }
    })));
    while loaded < CONFIGURATIONS {
        seed += 1;
        let mut rng = Rng::new(seed);
        let wish = Wish::new(&mut rng);
        let Ok(config) = Config::parse(&wish.text, "ringmail.toml", Situation::Run) else {
            continue;
        };
        loaded += 1;
        rules.borrow_mut().clear();
        let set = tokio::task::LocalSet::new();
        set.block_on(&runtime, test(seed, wish, config, rng, Rc::clone(&rules)));
    }
    usize::try_from(seed - first_seed).expect("few")
}

/// What may be counted, so that a test cannot pass because nothing happened.
#[derive(Debug, Default)]
struct Seen {
    accepted: usize,
    relayed: usize,
    refused: usize,
    malformed: usize,
    expanded: usize,
    logged_in: usize,
    rules: std::collections::BTreeSet<&'static str>,
}

#[test]
fn explain_says_what_a_session_says() {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let written = on_configurations(0, |seed, wish, config, mut rng, rules| {
        let seen = Rc::clone(&seen);
        async move {
            let server = Server::start(&wish.text).expect("a server");
            let policy = Policy::new(config.policy.clone());
            for _ in 0..TRIES {
                let ask = Try::new(&wish, &mut rng);
                compare(&server, &policy, &config, &ask, &rules, &seen)
                    .await
                    .unwrap_or_else(|why| panic!("seed {seed}: {why}\n{ask:?}\n{}", wish.text));
            }
            server.stop();
        }
    });
    let seen = seen.borrow();
    println!("{CONFIGURATIONS} of {written} loaded; {seen:?}");
    assert!(written < 3 * CONFIGURATIONS, "most wishes should load");
    for (what, count) in [
        ("accepted", seen.accepted),
        ("relayed", seen.relayed),
        ("refused", seen.refused),
        ("malformed", seen.malformed),
        ("expanded", seen.expanded),
        ("logged in", seen.logged_in),
    ] {
        assert!(count > 500, "{what}: only {count}");
    }
    for rule in [
        "login",
        "login.needed",
        "login.sender",
        "relay.denied",
        "relay.from",
        "relay.literal",
        "recipient.alias",
        "recipient.any",
        "recipient.catch_all",
        "recipient.global_alias",
        "recipient.postmaster",
        "recipient.unknown",
        "recipient.user",
    ] {
        assert!(seen.rules.contains(rule), "{rule} was never met");
    }
}

async fn compare(
    server: &Server,
    policy: &Policy,
    config: &Config,
    ask: &Try,
    rules: &Rules,
    seen: &RefCell<Seen>,
) -> Result<(), String> {
    let login = login(ask);
    let asked = Asked {
        ip: ask.ip,
        listener: listener(ask, login.as_ref()),
        helo: &ask.helo,
        reverse_path: &ask.reverse_path,
        forward_path: &ask.forward_path,
    };
    // Who is logged in was asked for it before.
    let needs_login = config.has_logins() && ask.comes == Comes::AsNobody;
    let parameters = parameters(&config.limits, false, needs_login, false);
    let told = rehearse(policy, parameters, &asked);
    if login.is_some() {
        return with_login(policy, &asked, told, ask, seen);
    }
    let status = told
        .reply
        .status()
        .map(|status| format!("{status} "))
        .unwrap_or_default();
    let explained = format!("{} {status}{}", told.reply.code(), told.reply.text());
    let replies = server.session(ask).await;
    let place = ["helo", "mail", "rcpt"]
        .iter()
        .position(|command| *command == told.command);
    let said = replies.last().cloned().unwrap_or_default();
    if place != Some(replies.len() - 1) || said != explained {
        return Err(format!(
            "explain: {} {explained}; the session: {replies:?}",
            told.command
        ));
    }
    let Some(explanation) = told.explanation else {
        seen.borrow_mut().malformed += 1;
        return Ok(());
    };
    let rule = explanation.verdict.rule.name;
    let mut seen = seen.borrow_mut();
    seen.rules.insert(rule);
    match &explanation.verdict.decision {
        Decision::Refuse(_) => {
            seen.refused += 1;
            if rules.borrow_mut().pop() != Some(rule) {
                return Err(format!("explain refuses by {rule}, the session by another"));
            }
        }
        Decision::Accept(recipients) => {
            seen.accepted += 1;
            seen.relayed += usize::from(rule == "relay.from");
            seen.expanded += usize::from(
                recipients
                    .iter()
                    .any(|recipient| !recipient.originals.is_empty()),
            );
            let kept = server.kept.borrow_mut().pop();
            if kept.map(|envelope| envelope.recipients).as_ref() != Some(recipients) {
                return Err("explain names other recipients than queue was told".into());
            }
        }
    }
    if !rules.borrow().is_empty() {
        return Err("the session refused what explain accepts".into());
    }
    would_be_accepted(policy, &explanation, ask)
}

/// Who is logged in, if somebody is.
fn login(ask: &Try) -> Option<mail::Mailbox> {
    match &ask.comes {
        Comes::As(login) => Some(mail::Mailbox::parse(login).expect("a login")),
        Comes::AsServer | Comes::AsNobody => None,
    }
}

fn listener<'a>(ask: &Try, login: Option<&'a mail::Mailbox>) -> Listener<'a> {
    match ask.comes {
        Comes::AsServer => Listener::Mx,
        Comes::AsNobody | Comes::As(_) => Listener::Submission(login),
    }
}

/// What explain says of somebody who is logged in is what policy seals.
fn with_login(
    policy: &Policy,
    asked: &Asked<'_>,
    told: Told,
    ask: &Try,
    seen: &RefCell<Seen>,
) -> Result<(), String> {
    let mut seen = seen.borrow_mut();
    let Some(explanation) = told.explanation else {
        seen.malformed += 1;
        return Ok(());
    };
    let client = Client {
        ip: asked.ip,
        listener: asked.listener,
    };
    let reverse_path = mail::ReversePath::parse(asked.reverse_path).map_err(|e| e.to_string())?;
    // A parameter may stand behind the path.
    let forward_path = ask.forward_path.split('>').next().unwrap_or_default();
    let forward_path = mail::ForwardPath::parse(forward_path).map_err(|e| e.to_string())?;
    let rule = explanation.verdict.rule.name;
    seen.rules.insert(rule);
    let all = [forward_path];
    match (
        policy.transaction(client, &reverse_path, &all),
        &explanation.verdict.decision,
    ) {
        (Ok(sealed), Decision::Accept(recipients)) if sealed == *recipients => seen.logged_in += 1,
        (Err(refused), Decision::Refuse(refusal))
            if refused.refusal == Some(*refusal) && refused.rule == explanation.verdict.rule => {}
        (sealed, explained) => {
            return Err(format!("explain: {explained:?}; policy: {sealed:?}"));
        }
    }
    would_be_accepted(policy, &explanation, ask)
}

/// What explain says would change a refusal does change it.
fn would_be_accepted(
    policy: &Policy,
    explanation: &policy::Explanation,
    ask: &Try,
) -> Result<(), String> {
    let Some(otherwise) = &explanation.otherwise else {
        return Ok(());
    };
    let forward_path = mail::ForwardPath::parse(&ask.forward_path).map_err(|e| e.to_string())?;
    let mail::ForwardPath::Mailbox(mailbox) = &forward_path else {
        return Ok(());
    };
    let origin = policy::Origin {
        key: "test".into(),
        line: 1,
    };
    let target =
        policy::Target::Mailbox(mail::Mailbox::parse("x@far-away.example").expect("an address"));
    let alias = policy::Alias {
        targets: vec![target.clone()],
        origin: origin.clone(),
    };
    let rule = policy::DomainRule {
        users: policy::Users::Listed(
            [mailbox.local_part.as_str().to_ascii_lowercase().into()].into(),
        ),
        aliases: policy::parameters::Aliases::new(),
        deliver: policy::Deliver::Mx,
        catch_all: None,
        separators: "".into(),
        origin: origin.clone(),
    };
    let reverse_path = mail::ReversePath::parse(&ask.reverse_path).map_err(|e| e.to_string())?;
    let mut login = login(ask);
    let mut logged_in = policy.parameters().clone();
    let mut ways = otherwise.as_str();
    if ways.starts_with("the client logs in") || ways.starts_with("auth.senders lets") {
        // Then the recipient is looked at.
        ways = ways.split_once(", and ").map_or("", |(_, ways)| ways);
        let own = match &reverse_path {
            mail::ReversePath::Null => mail::Mailbox::parse("who@us.example").expect("an address"),
            mail::ReversePath::Mailbox(own) => own.clone(),
        };
        if let Some(login) = &login {
            let grants = vec![policy::Grant::Mailbox(own)];
            let origin = origin.clone();
            logged_in
                .senders
                .add(login, policy::Grants { grants, origin });
        } else {
            login = Some(own);
        }
    }
    for way in ways.split(", or ") {
        let mut changed = logged_in.clone();
        if way.is_empty() {
            // To log in, or to be granted, is all.
        } else if way.ends_with("is listed in relay.from") {
            let network = policy::Network::around(
                ask.ip.to_canonical(),
                if ask.ip.to_canonical().is_ipv4() {
                    32
                } else {
                    128
                },
            );
            let network = network.expect("an address is a network");
            changed.relay_from.push(policy::RelayFrom {
                network,
                origin: origin.clone(),
            });
        } else if way.ends_with("is a domain of ours") {
            changed.domains.insert(mailbox.domain.clone(), rule.clone());
        } else if way.starts_with("[aliases] has a name") {
            changed.aliases.insert(
                mailbox.local_part.as_str().to_ascii_lowercase().into(),
                alias.clone(),
            );
        } else if let Some(ours) = changed.domains.get_mut(&mailbox.domain) {
            if way.contains("catch_all") {
                ours.catch_all = Some(target.clone());
            } else {
                ours.aliases.insert(
                    mailbox.local_part.as_str().to_ascii_lowercase().into(),
                    alias.clone(),
                );
            }
        }
        let client = Client {
            ip: ask.ip,
            listener: listener(ask, login.as_ref()),
        };
        let verdict = Policy::new(changed).recipient(client, &reverse_path, &forward_path);
        if !matches!(verdict.decision, Decision::Accept(_)) {
            return Err(format!("`{way}` changes nothing: {verdict:?}"));
        }
    }
    Ok(())
}

#[test]
fn no_configuration_that_loads_relays_for_a_stranger() {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let written = on_configurations(1_000_000, |seed, wish, config, mut rng, _| {
        let seen = Rc::clone(&seen);
        async move {
            let server = Server::start(&wish.text).expect("a server");
            let policy = Policy::new(config.policy.clone());
            for _ in 0..TRIES {
                let ask = Try::new(&wish, &mut rng);
                if let Comes::As(login) = &ask.comes {
                    let lets = lets(&policy, &ask);
                    seen.borrow_mut().logged_in += usize::from(lets);
                    assert!(
                        !lets || wish.may_let(login, &ask.reverse_path),
                        "seed {seed}: {login} may send under another's address\n{ask:?}\n{}",
                        wish.text
                    );
                    continue;
                }
                server.session(&ask).await;
                let Some(envelope) = server.kept.borrow_mut().pop() else {
                    seen.borrow_mut().refused += 1;
                    continue;
                };
                assert_eq!(
                    ask.comes,
                    Comes::AsServer,
                    "seed {seed}: without a login\n{ask:?}\n{}",
                    wish.text
                );
                seen.borrow_mut().accepted += 1;
                if wish.lists(ask.ip) {
                    seen.borrow_mut().relayed += 1;
                    continue;
                }
                for recipient in &envelope.recipients {
                    let mailbox = recipient.mailbox.to_string();
                    let known = recipient.known().iter();
                    assert!(
                        wish.names(&mailbox)
                            && known.map(ToString::to_string).all(|m| wish.names(&m)),
                        "seed {seed}: {mailbox} is relayed for a stranger\n{ask:?}\n{}",
                        wish.text
                    );
                }
            }
            server.stop();
        }
    });
    let seen = seen.borrow();
    println!("{CONFIGURATIONS} of {written} loaded; {seen:?}");
    assert!(
        seen.accepted > 1000 && seen.refused > 1000 && seen.relayed > 500 && seen.logged_in > 500,
        "{seen:?}"
    );
}

/// Whether policy would seal what somebody who is logged in wants; a path that is none is asked of nobody.
fn lets(policy: &Policy, ask: &Try) -> bool {
    let login = login(ask);
    let client = Client {
        ip: ask.ip,
        listener: listener(ask, login.as_ref()),
    };
    let from = mail::ReversePath::parse(&ask.reverse_path);
    let to = mail::ForwardPath::parse(&ask.forward_path);
    let (Ok(from), Ok(to)) = (from, to) else {
        return false;
    };
    policy.transaction(client, &from, &[to]).is_ok()
}

#[test]
fn no_configuration_that_loads_lists_the_internet() {
    let mut widest = 0u128;
    let mut loaded = 0usize;
    for seed in 2_000_000u64.. {
        let wish = Wish::new(&mut Rng::new(seed));
        if Config::parse(&wish.text, "ringmail.toml", Situation::Run).is_err() {
            continue;
        }
        // Counted anew, without the code that refuses: how much of IPv4 outside private networks is listed.
        let mut ranges: Vec<(u32, u32)> = wish
            .relay_from
            .iter()
            .filter_map(|(ip, bits)| range(*ip, *bits))
            .collect();
        ranges.sort_unstable();
        let (mut listed, mut next) = (0u128, 0u64);
        for (first, last) in ranges {
            let first = u64::from(first).max(next);
            next = next.max(u64::from(last) + 1);
            listed += u128::from(next.saturating_sub(first));
        }
        widest = widest.max(listed);
        assert!(
            listed <= 1 << 24,
            "seed {seed}: {listed} addresses\n{}",
            wish.text
        );
        loaded += 1;
        if loaded == CONFIGURATIONS {
            break;
        }
    }
    println!("at most {widest} addresses of the internet are listed");
    assert!(widest >= 1 << 16, "only small networks were tried");
}

/// The first and the last address of a public IPv4 network.
fn range(ip: IpAddr, bits: u32) -> Option<(u32, u32)> {
    let (IpAddr::V4(v4), bits) = (
        ip.to_canonical(),
        if ip.is_ipv6() {
            bits.checked_sub(96)?
        } else {
            bits
        },
    ) else {
        return None;
    };
    let private = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || (v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64);
    let rest = u32::MAX.checked_shr(bits).unwrap_or(0);
    (!private).then_some((v4.to_bits(), v4.to_bits() | rest))
}
