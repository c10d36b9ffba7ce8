//! `ringmail run`, and reading a spool that nobody uses.

use super::{DONE, Loaded, NO, NOT_PERMITTED, read, refuse};
use crate::config::Config;
use crate::drive::disk::RealDisk;
use crate::drive::gateway;
use crate::role::supervisor::{self, Start, root};
use mail::QueueId;
use serde_json::json;
use std::io;
use std::path::Path;

/// Descriptors that a busy service may need.
const FILES_MAX: u64 = 65_536;

/// Runs the supervisor until it is told to stop.
pub fn run(path: &Path) -> u8 {
    match read(path) {
        Ok(loaded) => {
            // Now: the configuration may have been one of them.
            sys::process::close_inherited();
            if let Some(hidden) = gateway::open_relay(&loaded.config.policy) {
                eprintln!("ringmail: {hidden}\n  = {}", hidden.advice());
                return NO;
            }
            match start(loaded, path, "ready".into()) {
                Ok(()) => DONE,
                Err(error) => {
                    eprintln!("ringmail: {error}");
                    NO
                }
            }
        }
        Err(errors) => refuse(&errors),
    }
}

/// Gets ready, gives root up where it has it, then supervises until it is told to end.
pub fn start(loaded: Loaded, path: &Path, ready: String) -> io::Result<()> {
    crate::event::speak_as("supervisor");
    sys::process::raise_file_limit(FILES_MAX);
    // Before the event loop begins: who gives root up has one thread and has heard nothing.
    let ready_to_go = root::get_ready(&loaded.config)?;
    crate::role::in_event_loop(async move {
        supervisor::run(
            Start {
                config: loaded.config,
                configuration: loaded.text,
                path: path.display().to_string(),
                situation: loaded.situation,
                ready,
                watch_round: supervisor::WATCH_ROUND,
            },
            ready_to_go,
        )
        .await
    })
}

/// Looks at the spool as a start without a checkpoint would find it, compares the checkpoint with it, reads every
/// message and says what it found. Changes nothing.
pub fn verify(config: &Config, json: bool) -> u8 {
    match look(config) {
        Ok(looked) => looked.say(json),
        Err((why, code)) => {
            if json {
                println!("{}", json!({ "error": why }));
            } else {
                eprintln!("ringmail: {why}");
            }
            code
        }
    }
}

/// What a look at the whole spool found.
struct Looked {
    findings: Vec<String>,
    messages: usize,
    unreadable: Vec<(QueueId, String)>,
}

fn look(config: &Config) -> Result<Looked, (String, u8)> {
    let spool = config.spool.display();
    let told = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => NOT_PERMITTED,
            _ => NO,
        };
        (format!("spool {spool}: {error}"), code)
    };
    let Some(disk) = RealDisk::open_existing(&config.spool).map_err(told)? else {
        return Err(("the spool is in use; stop the daemon first".into(), NO));
    };
    let options = ::queue::spool::Options::default();
    let (spool, recovered) = ::queue::spool::Spool::look(disk, options).map_err(told)?;
    let ids = recovered.messages.iter().map(|message| message.queue_id);
    let unreadable = ids.filter_map(|id| Some((id, spool.read(id).err()?.to_string())));
    Ok(Looked {
        unreadable: unreadable.collect(),
        findings: recovered.findings.iter().map(ToString::to_string).collect(),
        messages: recovered.messages.len(),
    })
}

impl Looked {
    fn say(&self, json: bool) -> u8 {
        if json {
            let unreadable = self.unreadable.iter();
            let unreadable =
                unreadable.map(|(id, cause)| json!({ "queue_id": id.to_string(), "cause": cause }));
            let said = json!({
                "messages": self.messages,
                "findings": self.findings,
                "unreadable": unreadable.collect::<Vec<_>>(),
            });
            println!("{said}");
        } else {
            for finding in &self.findings {
                println!("{finding}");
            }
            for (queue_id, cause) in &self.unreadable {
                println!("{queue_id}: {cause}");
            }
            println!(
                "{} messages, {} of them cannot be read",
                self.messages,
                self.unreadable.len()
            );
        }
        if self.unreadable.is_empty() && self.findings.is_empty() {
            DONE
        } else {
            NO
        }
    }
}
