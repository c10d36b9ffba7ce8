//! `ringmail health`: is the daemon there, and well? Over the control socket: no SMTP session, no line in the log.

use super::control::Control;
use super::queue::with_daemon;
use super::{DONE, NO, TEMPORARY, queue};
use crate::config::Config;
use crate::ipc::control::{Answer, Request};
use clap::Args;
use serde_json::json;
use std::io;
use std::time::{Duration, Instant};

/// The longest that `--wait` waits.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How it is asked.
#[derive(Args)]
pub struct Health {
    /// Waits until it is well, at most a minute.
    #[arg(long)]
    wait: bool,
}

/// Asks.
pub fn health(config: &Config, how: &Health, json: bool) -> u8 {
    let began = Instant::now();
    while how.wait && began.elapsed() < WAIT_MAX && !is_well(config) {
        std::thread::sleep(LOOK_EVERY);
    }
    with_daemon(config, |control| {
        let Some((messages, room, absent)) = ask(control)? else {
            return Ok(queue::unavailable());
        };
        if json {
            println!(
                "{}",
                json!({ "messages": messages, "room": room, "absent": absent })
            );
        } else {
            let room_words = if room { "taken" } else { "refused: no room" };
            println!("{messages} messages queued; new mail is {room_words}");
            for role in &absent {
                println!("{role} does not serve now");
            }
        }
        Ok(match (room, absent.is_empty()) {
            (true, true) => DONE,
            (_, false) => TEMPORARY,
            (false, true) => NO,
        })
    })
}

fn is_well(config: &Config) -> bool {
    let asked = Control::connect(config).and_then(|mut control| ask(&mut control));
    matches!(asked, Ok(Some((_, true, absent))) if absent.is_empty())
}

/// Messages, whether there is room, and the roles that do not serve.
fn ask(control: &mut Control) -> io::Result<Option<(u64, bool, Vec<String>)>> {
    Ok(match control.ask(&Request::Health)?.0 {
        Answer::Healthy {
            messages,
            room,
            absent,
        } => Some((messages, room, absent)),
        _ => None,
    })
}
