//! `ringmail queue …`: the daemon's messages, over the control socket.

use super::control::Control;
use super::{DONE, Later, NO, NO_DAEMON, NOT_PERMITTED, TEMPORARY, USAGE, not_built};
use crate::config::Config;
use crate::ipc::control::{Answer, Deed, Filter, Message, Request};
use clap::{Args, Subcommand};
use mail::QueueId;
use std::io;

/// Which messages are meant; several conditions are joined by "and".
#[derive(Args, Default)]
pub struct FilterArguments {
    /// These messages.
    ids: Vec<QueueId>,
    /// A recipient, or its domain.
    #[arg(long)]
    to: Option<String>,
    /// The reverse-path, or its domain.
    #[arg(long)]
    from: Option<String>,
    /// At least so old: 30s, 5m, 2h, 3d.
    #[arg(long, value_parser = age)]
    age: Option<u64>,
    /// The reason for waiting has this in it.
    #[arg(long)]
    reason: Option<String>,
    /// Kept as dead.
    #[arg(long)]
    dead: bool,
}

/// What is done with the queue.
#[derive(Subcommand)]
pub enum QueueCommand {
    /// Lists messages.
    List(FilterArguments),
    /// One message: its envelope, its standing, the first of its content.
    Show {
        /// The message.
        id: QueueId,
    },
    /// Attempts messages now.
    Retry(FilterArguments),
    /// Holds messages back.
    Hold(FilterArguments),
    /// Takes a hold back.
    Release(FilterArguments),
    /// Forgets messages, without a report.
    Drop(FilterArguments),
    /// Attempts all that waits, now.
    Run,
    /// Not supported yet.
    #[command(hide = true)]
    Bounce(Later),
    /// Not supported yet.
    #[command(hide = true)]
    Shape(Later),
}

/// A number and its unit, in seconds.
pub fn age(text: &str) -> Result<u64, String> {
    let wrong = || "a number and s, m, h or d".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(secs).ok_or_else(wrong)
}

impl FilterArguments {
    fn filter(&self) -> Filter {
        Filter {
            queue_ids: self.ids.clone(),
            to: self.to.clone(),
            from: self.from.clone(),
            age_min_secs: self.age,
            reason: self.reason.clone(),
            dead: self.dead,
        }
    }
}

/// Does it.
pub fn obey(config: &Config, command: &QueueCommand, json: bool) -> u8 {
    match command {
        QueueCommand::List(arguments) => list(config, &arguments.filter(), json),
        QueueCommand::Show { id } => show(config, *id, json),
        QueueCommand::Retry(arguments) => bulk(config, Deed::Retry, arguments.filter(), json),
        QueueCommand::Hold(arguments) => bulk(config, Deed::Hold, arguments.filter(), json),
        QueueCommand::Release(arguments) => bulk(config, Deed::Release, arguments.filter(), json),
        QueueCommand::Drop(arguments) => bulk(config, Deed::Drop, arguments.filter(), json),
        QueueCommand::Run => deed(config, Deed::Retry, Filter::default(), json),
        QueueCommand::Bounce(_) => not_built("queue bounce"),
        QueueCommand::Shape(_) => not_built("queue shape"),
    }
}

fn list(config: &Config, filter: &Filter, json: bool) -> u8 {
    with_daemon(config, |control| {
        let (mut after, mut count) = (None, 0);
        loop {
            let request = Request::List {
                filter: filter.clone(),
                after,
            };
            let Answer::List(messages) = control.ask(&request)?.0 else {
                return Ok(unavailable());
            };
            let Some(last) = messages.last() else { break };
            after = Some(last.queue_id);
            count += messages.len();
            for message in &messages {
                println!(
                    "{}",
                    if json {
                        as_json(message).to_string()
                    } else {
                        as_text(message)
                    }
                );
            }
        }
        if count == 0 && !json {
            println!("no messages");
        }
        Ok(DONE)
    })
}

fn show(config: &Config, queue_id: QueueId, json: bool) -> u8 {
    with_daemon(config, |control| {
        match control.ask(&Request::Show(queue_id))? {
            (Answer::Show(message), content) => {
                let content = String::from_utf8_lossy(&content);
                if json {
                    let mut shown = as_json(&message);
                    shown["content"] = content.into();
                    println!("{shown}");
                } else {
                    println!("{}\n", as_text(&message));
                    for line in content.lines() {
                        println!("{}", line.escape_debug());
                    }
                }
                Ok(DONE)
            }
            (Answer::Nothing, _) => {
                eprintln!("ringmail: no message {queue_id}");
                Ok(NO)
            }
            _ => Ok(unavailable()),
        }
    })
}

/// What is done to many at once needs a filter: all of them is never meant by accident.
fn bulk(config: &Config, what: Deed, filter: Filter, json: bool) -> u8 {
    if filter == Filter::default() {
        eprintln!("ringmail: name messages, or a filter (--to, --from, --age, --reason)");
        return USAGE;
    }
    deed(config, what, filter, json)
}

fn deed(config: &Config, what: Deed, filter: Filter, json: bool) -> u8 {
    with_daemon(config, |control| {
        match control.ask(&Request::Do(what, filter))?.0 {
            Answer::Done(count) => {
                if json {
                    println!("{}", serde_json::json!({ "messages": count }));
                } else {
                    println!("{count} messages");
                }
                Ok(DONE)
            }
            _ => Ok(unavailable()),
        }
    })
}

/// The daemon is there, and whoever was asked behind it does not answer.
pub fn unavailable() -> u8 {
    eprintln!("ringmail: no answer from the daemon now");
    TEMPORARY
}

/// Connects and works; says what is wrong where that is not possible.
pub fn with_daemon(config: &Config, work: impl FnOnce(&mut Control) -> io::Result<u8>) -> u8 {
    let mut control = match Control::connect(config) {
        Ok(control) => control,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("ringmail: not permitted to ask the daemon");
            return NOT_PERMITTED;
        }
        Err(_) => {
            eprintln!(
                "ringmail: no daemon answers at {}",
                super::control::socket_path(config).display()
            );
            return NO_DAEMON;
        }
    };
    work(&mut control).unwrap_or_else(|error| {
        eprintln!("ringmail: the daemon did not answer: {error}");
        TEMPORARY
    })
}

/// One message as JSON.
pub fn as_json(message: &Message) -> serde_json::Value {
    serde_json::json!({
        "queue_id": message.queue_id.to_string(),
        "reverse_path": message.reverse_path,
        "recipients": message.recipients,
        "arrival": message.arrival.as_secs(),
        "size_bytes": message.octets,
        "attempts": message.attempts,
        "next_attempt": message.next_attempt.as_secs(),
        "state": message.state,
        "reason": message.reason,
    })
}

/// One message in three lines.
pub fn as_text(message: &Message) -> String {
    let recipients = message.recipients.join(", ");
    format!(
        "{}  {}  {} octets  {}\n  from <{}> to {}\n  {}",
        message.queue_id,
        message.arrival.date(),
        message.octets,
        message.state,
        message.reverse_path,
        recipients,
        message.reason
    )
}
