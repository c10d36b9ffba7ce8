//! What the reader promises; the corpora of good and bad files stand in tests/config.

use super::*;
use options::{Kind, SECTIONS, Shape, State};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, "ringmail.toml", Situation::Run).map_err(|errors| errors.to_string())
}

const SMALL: &str = r#"
hostname = "mail.example.org"
[listen]
mx = "[::]:25"
[domain."example.org"]
users   = ["ann", "bob", "eve"]
aliases = { postmaster = "ann", info = ["ann", "bob"] }
deliver = "maildir:/var/mail/{domain}/{user}"
"#;

#[test]
fn a_small_domain_loads_with_the_defaults_of_the_table() {
    let config = parse(SMALL).unwrap();
    assert_eq!(&*config.hostname, "mail.example.org");
    assert_eq!(config.listen.mx, ["[::]:25".parse().unwrap()]);
    assert_eq!(config.limits.message_octets, mail::limits::CONTENT_OCTETS);
    assert_eq!(config.limits.recipients, mail::limits::RECIPIENTS);
    assert_eq!(config.limits.errors, mail::limits::SESSION_ERRORS);
    assert_eq!(config.limits.sessions, 1000);
    assert_eq!(config.queue.retry_delay_min, Duration::from_mins(5));
    assert_eq!(config.queue.retry_delay_max, Duration::from_hours(4));
    assert_eq!(config.queue.expiry, Duration::from_hours(5 * 24));
    assert_eq!(config.dns.smtp_port, Some(25));
    assert_eq!(config.spool, Path::new("/var/spool/ringmail"));
    assert_eq!(config.runtime, Path::new("/run/ringmail"));
}

#[test]
fn what_show_prints_is_a_file_that_means_the_same() {
    let config = parse(SMALL).unwrap();
    for effective in [false, true] {
        let shown = show(&config.entries(effective), true);
        let again = parse(&shown).unwrap();
        // The same but for the lines where it stands.
        let plain = |config: &Config| show(&config.entries(true), false);
        assert_eq!(plain(&again), plain(&config));
        assert_eq!(again.policy.domains.keys().count(), 1);
        assert_eq!(again.limits.message_octets, config.limits.message_octets);
    }
}

#[test]
fn only_what_is_written_and_differs_is_a_difference() {
    let text = format!("{SMALL}[limits]\nmessage = \"50 MiB\"\nerrors = 7\n");
    let differences = parse(&text).unwrap().differences();
    assert!(differences.iter().all(|d| d.entry.key != "limits.message"));
    let errors = differences
        .iter()
        .find(|d| d.entry.key == "limits.errors")
        .unwrap();
    assert_eq!(
        (errors.entry.value.as_str(), errors.default.as_deref()),
        ("7", Some("20"))
    );
}

#[test]
fn every_row_of_the_table_is_whole_and_its_example_is_taken() {
    for section in SECTIONS {
        assert!(section.doc.ends_with('.'), "{}", section.name);
        for (place, row) in section.rows.iter().enumerate() {
            let name = format!("{} {}", section.name, row.key);
            assert!(!row.doc.is_empty() && !row.doc.ends_with('.'), "{name}");
            assert!(row.more.is_empty() || row.more.ends_with('.'), "{name}");
            assert!(
                section.rows[..place]
                    .iter()
                    .all(|other| other.key != row.key),
                "{name} twice"
            );
            if row.state != State::Built {
                continue;
            }
            let line = match section.shape {
                Shape::Top if row.key == "hostname" => String::new(),
                Shape::Top => format!("{} = {}\n", row.key, row.example),
                // Half a login is none.
                Shape::Plain if ["user", "password"].contains(&row.key) => {
                    let other = section.rows.iter().find(|other| {
                        other.key != row.key && ["user", "password"].contains(&other.key)
                    });
                    let other = other.unwrap();
                    format!(
                        "[{}]\nto = \"smtps://mail.example.net\"\n{} = {}\n{} = {}\n",
                        section.name, row.key, row.example, other.key, other.example
                    )
                }
                Shape::Plain => {
                    let submission = section.name == "listen" && row.key == "submission";
                    let cert = if submission { "cert = \"/a/b\"\n" } else { "" };
                    format!("{cert}[{}]\n{} = {}\n", section.name, row.key, row.example)
                }
                Shape::Free => format!("[{}]\ninfo = {}\n", section.name, row.example),
                Shape::Named => {
                    let rest = match row.key {
                        "deliver" => "users = [\"ann\", \"bob\"]",
                        "aliases" | "catch_all" => {
                            "users = [\"ann\", \"bob\"]\ndeliver = \"lmtp:/run/lmtp\""
                        }
                        _ => "deliver = \"mx\"",
                    };
                    format!(
                        "[{}.\"example.org\"]\n{rest}\n{} = {}\n",
                        section.name, row.key, row.example
                    )
                }
            };
            let postmaster = if section.shape == Shape::Free {
                ""
            } else {
                "[aliases]\npostmaster = \"ann@example.net\"\n"
            };
            let text = format!("hostname = \"mail.example.com\"\n{line}{postmaster}");
            if let Err(said) = parse(&text) {
                panic!("the example of {name}:\n{text}\n{said}");
            }
        }
    }
}

#[test]
fn the_ends_of_every_range_are_taken_and_what_lies_beyond_is_not() {
    let parse_with = |section: &str, key: &str, value: &str| {
        // Times stand in an order of their own: all four are moved together.
        let value = if section == "queue" {
            format!(
                "retry_delay_min = {value}\nretry_delay_max = {value}\nexpiry = {value}\ndelay_notice = {value}"
            )
        } else {
            format!("{key} = {value}")
        };
        parse(&format!(
            "hostname = \"mail.example.com\"\n[{section}]\n{value}\n"
        ))
        .is_ok()
    };
    let mut ranges = 0;
    for section in SECTIONS {
        for row in section.rows.iter().filter(|row| row.state == State::Built) {
            let (inside, outside) = match row.kind {
                Kind::Count { min, max } => (
                    [min.to_string(), max.to_string()],
                    [(i128::from(min) - 1).to_string(), (max + 1).to_string()],
                ),
                Kind::Duration { min_secs, max_secs } => (
                    [format!("\"{min_secs}s\""), format!("\"{max_secs}s\"")],
                    [
                        format!("\"{}s\"", min_secs - 1),
                        format!("\"{}s\"", max_secs + 1),
                    ],
                ),
                Kind::Size {
                    min_octets,
                    max_octets,
                } => (
                    [min_octets, max_octets].map(|octets| format!("\"{} KiB\"", octets >> 10)),
                    [(min_octets >> 10) - 1, (max_octets >> 10) + 1]
                        .map(|kib| format!("\"{kib} KiB\"")),
                ),
                _ => continue,
            };
            ranges += 1;
            for value in inside {
                assert!(
                    parse_with(section.name, row.key, &value),
                    "{} {value}",
                    row.key
                );
            }
            for value in outside {
                assert!(
                    !parse_with(section.name, row.key, &value),
                    "{} {value}",
                    row.key
                );
            }
        }
    }
    assert_eq!(ranges, 17);
}

#[test]
fn every_default_of_a_domain_is_what_the_policy_brain_says() {
    let row = domain::SECTION.row("separators").unwrap();
    assert_eq!(row.default, policy::parameters::SEPARATORS);
    let config = parse(SMALL).unwrap();
    assert!(
        config
            .policy
            .domains
            .values()
            .all(|rule| &*rule.separators == row.default)
    );
}

#[test]
fn logins_and_what_they_are_granted_reach_the_policy_brain() {
    let config = parse(SMALL).unwrap();
    let passwords = config.auth.passwords.to_str();
    assert_eq!(passwords, Some("/etc/ringmail/passwords"));
    assert!(config.listen.submission.is_empty() && !config.auth.scram);
    let text = SMALL.replace(
        "[listen]",
        "cert = \"/a/b\"\n[auth]\npasswords = \"file:/c/d\"\nscram = \"offer\"\nsenders = { \"ann@example.org\" = [\"@example.com\", \"x@example.net\"], \"Bob@Example.org\" = \"*\" }\n[listen]\nsubmission = [\"[::]:465\", \"[::]:587\"]",
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.auth.passwords.to_str(), Some("/c/d"));
    assert!(config.auth.scram);
    let doors = config.listen.submission.iter();
    let doors: Vec<_> = doors.map(|d| (d.address.port(), d.at_once)).collect();
    assert_eq!(doors, [(465, true), (587, false)]);
    assert_eq!(config.listen.all().len(), 3);
    let of = |login| {
        let login = mail::Mailbox::parse(login).unwrap();
        let grants = config.policy.senders.of(&login);
        grants.map(|granted| granted.grants.clone())
    };
    let domain = mail::Domain::parse_name("example.com").unwrap();
    let boss = mail::Mailbox::parse("x@example.net").unwrap();
    assert_eq!(
        of("ann@example.org"),
        Some(vec![
            policy::Grant::Domain(domain),
            policy::Grant::Mailbox(boss)
        ])
    );
    assert_eq!(
        of("bob@example.org"),
        Some(vec![policy::Grant::Anything]),
        "in any case"
    );
    assert_eq!(of("eve@example.org"), None);
    let narrower = parse(&text.replace("\"*\"", "\"@example.net\"")).unwrap();
    let changed = changes(&config, &narrower);
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0].key, "auth.senders.\"Bob@Example.org\"");
}

#[test]
fn a_file_of_nothing_but_mistakes_is_answered_in_bounds() {
    let lines: Vec<String> = (0..5000).map(|n| format!("nonsense{n} = 1")).collect();
    let said = parse(&lines.join("\n")).unwrap_err();
    assert!(said.contains("and 4901 more"), "{said}");
    assert!(said.len() < 40_000, "{}", said.len());
}

#[test]
fn events_lie_beside_a_spool_that_was_moved() {
    let folder = |more: &str| parse(&format!("{more}{SMALL}")).unwrap().log.folder;
    assert_eq!(folder("").to_str(), Some("/var/log/ringmail"));
    assert_eq!(
        folder("spool = \"/srv/mail/spool\"\n").to_str(),
        Some("/srv/mail/events")
    );
    let written = parse(&format!(
        "{SMALL}[log]\nfolder = \"/a/b\"\nkeep = \"3d\"\nsize = \"64 MiB\"\n"
    ));
    let log = written.unwrap().log;
    assert_eq!(log.folder.to_str(), Some("/a/b"));
    assert_eq!((log.keep, log.octets), (Duration::from_hours(72), 64 << 20));
}

#[test]
fn what_changed_is_named_with_both_values() {
    let before = parse(SMALL).unwrap();
    let after = parse(
        &SMALL
            .replace("[::]:25", "[::]:26")
            .replace("\"eve\"", "\"joe\""),
    )
    .unwrap();
    let keys: Vec<String> = changes(&before, &after)
        .into_iter()
        .map(|c| c.key)
        .collect();
    assert!(keys.contains(&"listen.mx".to_owned()), "{keys:?}");
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(changes(&before, &before).is_empty());
    let more = parse(&format!("{SMALL}[queue]\nexpiry = \"4d\"\n")).unwrap();
    let only = &changes(&before, &more)[0];
    assert_eq!(
        (only.key.as_str(), only.before.as_deref()),
        ("queue.expiry", None)
    );
}

#[test]
fn under_try_nothing_listens_beyond_this_machine_and_nothing_leaves() {
    let said = |more: &str| {
        let text = format!(
            "hostname = \"try.localhost\"\n[try]\ndeliver = \"maildir:/tmp/try/mail/{{domain}}/{{user}}\"\n{more}"
        );
        let read = Config::parse(&text, "ringmail.toml", Situation::Try);
        read.err()
            .map(|errors| errors.to_string())
            .unwrap_or_default()
    };
    assert_eq!(
        said(
            "[listen]\nmx = [\"127.0.0.1:2525\", \"[::1]:2525\"]\nsubmission = \"127.0.0.1:2587\"\n"
        ),
        ""
    );
    for far in ["[::]:2525", "0.0.0.0:2525", "192.0.2.1:2525"] {
        let said = said(&format!("[listen]\nmx = \"{far}\"\n"));
        assert!(
            said.contains("`ringmail try` listens on loopback only"),
            "{said}"
        );
    }
    let said = said("[relay]\nfrom = \"127.0.0.1\"\n");
    assert!(said.contains("`ringmail try` does not relay"), "{said}");
}
