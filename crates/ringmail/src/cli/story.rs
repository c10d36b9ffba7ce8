//! `ringmail explain message` and `ringmail explain reply`: what was said of a message or of a session, and where the
//! message stands now in the queue's own words. The first needs no daemon, the second asks one if there is one.

use super::control::Control;
use super::log::{said, show};
use super::queue::{as_json, as_text};
use super::{DONE, NO, USAGE};
use crate::config::Config;
use crate::event::read::{Record, each};
use crate::ipc::control::{Answer, Filter, Message, Request};
use mail::{QueueId, Time};
use serde_json::json;

/// Events of one story that are shown; a message that is tried for days has some hundreds.
const EVENTS_MAX: usize = 10_000;

/// Why a message is still here, or what became of it.
pub fn message(config: &Config, id: &str, json: bool) -> u8 {
    let Ok(queue_id) = id.trim_matches(['[', ']']).parse::<QueueId>() else {
        eprintln!("ringmail explain: {id} is no queue id");
        return USAGE;
    };
    tell(config, queue_id, &["queue_id", "about"], json)
}

/// The story behind the token at the end of a reply: a session's name, or a message's after 250.
pub fn reply(config: &Config, token: &str, json: bool) -> u8 {
    let Ok(token) = token.trim_matches(['[', ']']).parse::<QueueId>() else {
        eprintln!("ringmail explain: {token} is no token of ours");
        return USAGE;
    };
    tell(config, token, &["session", "queue_id"], json)
}

fn tell(config: &Config, name: QueueId, fields: &[&str], json: bool) -> u8 {
    let here = in_queue(config, name);
    let wanted = name.to_string();
    let mut events: Vec<Record> = Vec::new();
    let read = each(&config.log.folder, Time::default(), |record| {
        if fields
            .iter()
            .any(|field| record.field(field) == Some(&*wanted))
        {
            events.push(record);
        }
        events.len() < EVENTS_MAX
    });
    // Events that cannot be read matter where nothing else is known.
    if let Err(error) = read
        && events.is_empty()
        && here.is_none()
    {
        return said(config, &error);
    }
    if here.is_none() && events.is_empty() {
        eprintln!("ringmail explain: nothing is known of {name}");
        return NO;
    }
    if json {
        let events: Vec<_> = events.iter().map(Record::json).collect();
        println!(
            "{}",
            json!({ "message": here.as_ref().map(as_json), "events": events })
        );
        return DONE;
    }
    match &here {
        Some(message) => println!("{}", as_text(message)),
        None if fields.contains(&"about") => println!("{name} is not here any more"),
        None => {}
    }
    for record in &events {
        if let Err(error) = show(record, false) {
            return said(config, &error);
        }
    }
    DONE
}

/// The message as the daemon has it, if there is a daemon and it has it.
fn in_queue(config: &Config, queue_id: QueueId) -> Option<Message> {
    let mut control = Control::connect(config).ok()?;
    let filter = Filter {
        queue_ids: vec![queue_id],
        ..Filter::default()
    };
    match control.ask(&Request::List {
        filter,
        after: None,
    }) {
        Ok((Answer::List(mut messages), _)) => messages.pop(),
        _ => None,
    }
}
