//! Configurations that load, and that each mistake is said; the corpus of mistakes stands in tests/config.

use super::*;

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
fn a_small_domain_loads_with_its_defaults() {
    let config = parse(SMALL).unwrap();
    assert_eq!(&*config.hostname, "mail.example.org");
    assert_eq!(config.listen.mx, ["[::]:25".parse().unwrap()]);
    assert_eq!(config.limits.message_octets, 50 << 20);
    assert_eq!(config.queue.retry_delay_max, Duration::from_hours(4));
    let shown = config.show(true, true);
    assert!(
        shown.contains("listen.mx = \"[::]:25\"    # line 4\n"),
        "{shown}"
    );
    assert!(
        shown.contains("queue.expiry = \"5d\"    # default\n"),
        "{shown}"
    );
}

#[test]
fn every_mistake_is_said_at_once() {
    let said = parse("hostnme = \"a.b\"\n[listen]\nmx = 25\n[relay]\nfrom = [\"0.0.0.0/0\"]\n")
        .unwrap_err();
    assert!(said.contains("unknown key `hostnme`"), "{said}");
    assert!(said.contains("did you mean `hostname`?"), "{said}");
    assert!(
        said.contains("`mx` must be a string or a list of strings"),
        "{said}"
    );
    assert!(
        said.contains("this would be an open relay; refused"),
        "{said}"
    );
    assert!(said.contains("ringmail.toml:5:9"), "{said}");
}

#[test]
fn the_schema_names_every_option_once() {
    let rows: Vec<serde_json::Value> = serde_json::from_str(&schema()).unwrap();
    let mut keys: Vec<String> = rows
        .iter()
        .map(|row| format!("{}.{}", row["section"], row["key"]))
        .collect();
    keys.sort();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count);
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
