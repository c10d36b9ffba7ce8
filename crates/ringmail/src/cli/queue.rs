//! `ringmail queue …`: the daemon's messages, over the control socket.

use super::control::Control;
use super::{DONE, Later, NO, NO_DAEMON, NOT_PERMITTED, TEMPORARY, USAGE, not_built};
use crate::config::Config;
use crate::ipc::control::{Answer, Deed, Filter, Message, Request};
use clap::{Args, Subcommand};
use mail::{Domain, QueueId};
use std::io::{self, IsTerminal as _, Write as _};

/// Which messages are meant; several conditions are joined by "and".
#[derive(Args, Default)]
pub struct FilterArguments {
    /// These messages.
    ids: Vec<QueueId>,
    /// A recipient, or its domain.
    #[arg(long)]
    to: Option<String>,
    /// A recipient's domain.
    #[arg(long, value_parser = domain)]
    domain: Option<Domain>,
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

/// What is done to several at once.
#[derive(Args, Default)]
pub struct Bulk {
    #[command(flatten)]
    filter: FilterArguments,
    /// Does it without asking; only where there is a terminal it is asked for.
    #[arg(long)]
    yes: bool,
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
    Retry(Bulk),
    /// Holds messages back.
    Hold(Bulk),
    /// Takes a hold back.
    Release(Bulk),
    /// Forgets messages, without a report.
    Drop(Bulk),
    /// Attempts all that waits and is not held, now.
    Run,
    /// Not supported yet.
    #[command(hide = true)]
    Bounce(Later),
    /// Not supported yet.
    #[command(hide = true)]
    Shape(Later),
}

/// A domain's name.
fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text.trim_start_matches('@')).map_err(|_| "a domain such as example.org".into())
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
            domain: self.domain.as_ref().map(ToString::to_string),
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
        QueueCommand::Retry(arguments) => bulk(config, Deed::Retry, arguments, json),
        QueueCommand::Hold(arguments) => bulk(config, Deed::Hold, arguments, json),
        QueueCommand::Release(arguments) => bulk(config, Deed::Release, arguments, json),
        QueueCommand::Drop(arguments) => bulk(config, Deed::Drop, arguments, json),
        QueueCommand::Run => deed(config, Deed::Retry, &Filter::default(), json, false),
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
fn bulk(config: &Config, what: Deed, arguments: &Bulk, json: bool) -> u8 {
    let filter = arguments.filter.filter();
    if filter == Filter::default() {
        eprintln!(
            "ringmail: name messages, or a filter (--to, --domain, --from, --age, --reason, --dead)"
        );
        return USAGE;
    }
    // Messages that were named one by one are meant; of a filter nobody knows how many it means.
    let named = Filter {
        queue_ids: filter.queue_ids.clone(),
        ..Filter::default()
    };
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let ask = filter != named && terminal && !json && !arguments.yes;
    deed(config, what, &filter, json, ask)
}

/// Says how many are meant, asks where somebody is there to answer, does it, and says to how many it was done.
fn deed(config: &Config, what: Deed, filter: &Filter, json: bool, ask: bool) -> u8 {
    with_daemon(config, |control| {
        let Answer::Counts(meant) = control.ask(&Request::Meant(filter.clone()))?.0 else {
            return Ok(unavailable());
        };
        if !json {
            println!("{} meant", messages(meant.messages));
        }
        if ask && meant.messages > 0 && !agreed(what)? {
            println!("nothing was done");
            return Ok(NO);
        }
        let Answer::Done(done) = control.ask(&Request::Do(what, filter.clone()))?.0 else {
            return Ok(unavailable());
        };
        let held = if what == Deed::Retry { meant.held } else { 0 };
        if json {
            let said =
                serde_json::json!({ "meant": meant.messages, "messages": done, "held": held });
            println!("{said}");
            return Ok(DONE);
        }
        println!("{} {}", messages(done), past(what));
        if held > 0 {
            println!(
                "{} held and stay so: `queue release` frees them",
                messages(held)
            );
        }
        Ok(DONE)
    })
}

fn messages(count: u64) -> String {
    match count {
        1 => "1 message".into(),
        many => format!("{many} messages"),
    }
}

/// What was done, in words.
const fn past(what: Deed) -> &'static str {
    match what {
        Deed::Drop => "dropped",
        Deed::Hold => "held",
        Deed::Release => "released",
        Deed::Retry => "attempted now",
    }
}

/// Whether whoever sits at the terminal wants it.
fn agreed(what: Deed) -> io::Result<bool> {
    let word = match what {
        Deed::Drop => "drop",
        Deed::Hold => "hold",
        Deed::Release => "release",
        Deed::Retry => "attempt",
    };
    print!("{word} them? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
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
                config.control_socket().display()
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
    let waits = matches!(&*message.state, "due" | "waiting");
    serde_json::json!({
        "queue_id": message.queue_id.to_string(),
        "reverse_path": message.reverse_path,
        "recipients": message.recipients,
        "arrival": message.arrival.as_secs(),
        "size_bytes": message.octets,
        "attempts": message.attempts,
        "next_attempt": waits.then(|| message.next_attempt.as_secs()),
        "state": message.state,
        "status": message.status,
        "cause": message.cause,
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
