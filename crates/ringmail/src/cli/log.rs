//! `ringmail log`: the events that were kept, as they are read from their folder; no daemon is asked.

use super::{DONE, NO, NOT_PERMITTED, USAGE};
use crate::config::Config;
use crate::drive::clock::Clock;
use crate::event::read::{Follow, Record, each};
use clap::{Args, Subcommand};
use mail::{Domain, Mailbox, Time};
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::time::Duration;

/// Lines that `log` shows of what there is.
const LINES: usize = 20;
/// How often `log -f` looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Messages that one search follows; beyond it the search is to be narrowed.
const MESSAGES_MAX: usize = 100_000;

/// What of the log.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Log {
    /// Goes on as more is said.
    #[arg(short, long)]
    follow: bool,
    #[command(subcommand)]
    find: Option<LogCommand>,
}

#[derive(Subcommand)]
enum LogCommand {
    /// What became of messages, and what was refused.
    Find(Find),
}

/// Which events are meant; several conditions are joined by "and".
#[derive(Args)]
pub struct Find {
    /// A recipient, or its domain.
    #[arg(long)]
    to: Option<String>,
    /// The reverse-path, or its domain; <> for the null one.
    #[arg(long)]
    from: Option<String>,
    /// Not before: an age (30m, 2h, 3d), a date or a time in UTC (2026-11-24, 2026-11-24T12:00).
    #[arg(long, value_parser = since)]
    since: Option<Time>,
}

/// Shows it.
pub fn log(config: &Config, what: &Log, json: bool) -> u8 {
    let shown = match &what.find {
        Some(LogCommand::Find(find)) => find_events(config, find, json),
        None => follow(config, what.follow, json),
    };
    shown.unwrap_or_else(|error| said(config, &error))
}

/// What an error with the folder means for whoever asked.
pub fn said(config: &Config, error: &io::Error) -> u8 {
    let folder = config.log.folder.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            eprintln!("ringmail: no events were kept yet in {folder}");
            NO
        }
        io::ErrorKind::PermissionDenied => {
            eprintln!("ringmail: {folder} may not be read by this user");
            NOT_PERMITTED
        }
        // Whoever read our output has had enough.
        io::ErrorKind::BrokenPipe => DONE,
        _ => {
            eprintln!("ringmail: {folder}: {error}");
            NO
        }
    }
}

/// One event on standard output.
pub fn show(record: &Record, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", record.json())
    } else {
        // Its texts are escaped again: a terminal must not obey what a stranger wrote.
        writeln!(out, "{}", record.text())
    }
}

fn follow(config: &Config, on: bool, json: bool) -> io::Result<u8> {
    let (mut follow, last) = Follow::begin(&config.log.folder, LINES)?;
    if last.is_empty() && !on {
        return Err(io::ErrorKind::NotFound.into());
    }
    for record in &last {
        show(record, json)?;
    }
    if !on {
        return Ok(DONE);
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        let mut shown = Ok(());
        follow.more(|record| {
            if shown.is_ok() {
                shown = show(&record, json);
            }
        })?;
        shown?;
    }
}

fn find_events(config: &Config, find: &Find, json: bool) -> io::Result<u8> {
    let folder = &config.log.folder;
    let wanted = (
        Wanted::parse(find.to.as_deref()),
        Wanted::parse(find.from.as_deref()),
    );
    let (Some(to), Some(from)) = wanted else {
        eprintln!("ringmail log find: an address is malformed");
        return Ok(USAGE);
    };
    let since = find.since.unwrap_or_default();
    // A message's events name its recipients and its reverse-path in different lines: first the messages are
    // found that have both, then all that was said of them.
    let (mut with_to, mut with_from) = (BTreeSet::new(), BTreeSet::new());
    let mut too_many = false;
    each(folder, since, |record| {
        if let Some(queue_id) = record.field("queue_id") {
            if to.is(record.field("forward_path")) {
                with_to.insert(queue_id.to_owned());
            }
            if from.is(record.field("reverse_path")) {
                with_from.insert(queue_id.to_owned());
            }
        }
        too_many = with_to.len().max(with_from.len()) > MESSAGES_MAX;
        !too_many
    })?;
    if too_many {
        eprintln!("ringmail log find: more than {MESSAGES_MAX} messages; narrow it with --since");
        return Ok(USAGE);
    }
    let all = to == Wanted::Any && from == Wanted::Any;
    let (mut found, mut shown) = (false, Ok(()));
    each(folder, since, |record| {
        let by_message = record
            .field("queue_id")
            .is_some_and(|id| with_to.contains(id) && with_from.contains(id));
        let by_itself = record.field("queue_id").is_none()
            && to.is(record.field("forward_path"))
            && from.is(record.field("reverse_path"));
        if all || by_message || by_itself {
            found = true;
            shown = show(&record, json);
        }
        shown.is_ok()
    })?;
    shown?;
    if !found && !json {
        eprintln!("ringmail log find: nothing found");
    }
    Ok(if found { DONE } else { NO })
}

/// An address that is looked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Any,
    Null,
    Mailbox(Mailbox),
    Domain(Domain),
}

impl Wanted {
    /// `None`: it is no address.
    fn parse(text: Option<&str>) -> Option<Self> {
        Some(match text {
            None => Self::Any,
            Some("" | "<>") => Self::Null,
            Some(text) => match Mailbox::parse(text) {
                Ok(mailbox) => Self::Mailbox(mailbox),
                Err(_) => Self::Domain(Domain::parse(text.trim_start_matches('@')).ok()?),
            },
        })
    }

    /// Whether a field says this address. With any address wanted every event that has one, or none, is meant.
    fn is(&self, field: Option<&str>) -> bool {
        match (self, field) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Null, Some(text)) => text.is_empty(),
            (Self::Mailbox(wanted), Some(text)) => Mailbox::parse(text).is_ok_and(|m| m == *wanted),
            (Self::Domain(wanted), Some(text)) => {
                Mailbox::parse(text).is_ok_and(|m| m.domain == *wanted)
            }
        }
    }
}

/// An age, or a date and time.
fn since(text: &str) -> Result<Time, String> {
    if let Some(time) = Time::parse_stamp(text) {
        return Ok(time);
    }
    let age = super::queue::age(text)
        .map_err(|_| "an age such as 2h or 3d, or a date such as 2026-11-24".to_owned())?;
    let now = Time::from_micros(Clock::start().now_micros());
    Ok(now - Duration::from_secs(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_by_itself_and_by_its_domain() {
        let is = |wanted, field| Wanted::parse(Some(wanted)).unwrap().is(field);
        assert!(is("Ann@Example.org", Some("Ann@example.ORG")));
        assert!(is("example.org", Some("ann@example.org")));
        assert!(is("@example.org", Some("ann@example.org")));
        assert!(!is("example.org", Some("ann@sub.example.org")));
        assert!(!is("example.org", None));
        assert!(is("<>", Some("")) && !is("<>", Some("a@b.c")));
        assert!(Wanted::parse(Some("a b")).is_none());
        assert!(Wanted::parse(None).unwrap().is(None));
    }

    #[test]
    fn a_time_is_an_age_or_a_date() {
        assert_eq!(
            since("2026-11-24").unwrap().stamp().to_string(),
            "2026-11-24T00:00:00.000000Z"
        );
        assert!(since("2h").unwrap() < since("1h").unwrap());
        assert!(since("yesterday").is_err());
    }
}
