//! `ringmail reload`: the daemon reads its configuration anew, and this says what changed.

use super::queue::{unavailable, with_daemon};
use super::{CONFIGURATION, DONE, NO, TEMPORARY};
use crate::config::Config;
use crate::ipc::control::{Answer, Request};
use crate::ipc::supervise::{Change, Reload};
use serde_json::json;

/// Asks for it. The daemon reads the file that it was started with, checks it whole, and changes nothing if anything
/// is wrong with it.
pub fn reload(config: &Config, json: bool) -> u8 {
    with_daemon(config, |control| {
        let Answer::Reload(reload) = control.ask(&Request::Reload)?.0 else {
            return Ok(unavailable());
        };
        Ok(tell(&reload, json))
    })
}

fn tell(reload: &Reload, json: bool) -> u8 {
    let (code, word) = match reload {
        Reload::Done { .. } => (DONE, "done"),
        Reload::Mistakes(_) => (CONFIGURATION, "mistakes"),
        Reload::Restart(_) => (NO, "restart"),
        Reload::Surroundings(_) => (NO, "surroundings"),
        Reload::Busy => (TEMPORARY, "busy"),
    };
    if json {
        let mut said = json!({ "reload": word });
        match reload {
            Reload::Done {
                changes,
                more,
                late,
            } => {
                let late: Vec<&str> = late.iter().map(|role| role.name()).collect();
                said["changes"] = changes.iter().map(change_json).collect();
                said["more"] = (*more).into();
                said["late"] = late.into();
            }
            Reload::Mistakes(text) | Reload::Surroundings(text) => {
                said["text"] = text.as_str().into();
            }
            Reload::Restart(keys) => said["keys"] = keys.clone().into(),
            Reload::Busy => {}
        }
        println!("{said}");
        return code;
    }
    match reload {
        Reload::Done {
            changes,
            more,
            late,
        } => {
            if changes.is_empty() {
                println!("nothing changed");
            }
            for change in changes {
                println!("{}", change_text(change));
            }
            if *more > 0 {
                println!("and {more} more");
            }
            for role in late {
                println!("{role} has not taken it yet");
            }
        }
        Reload::Mistakes(text) => eprint!("{text}"),
        Reload::Restart(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            eprintln!(
                "ringmail reload: nothing changed: {} needs a restart",
                keys.join(", ")
            );
        }
        Reload::Surroundings(why) => eprintln!("ringmail reload: nothing changed: {why}"),
        Reload::Busy => eprintln!("ringmail reload: another reload is under way"),
    }
    code
}

/// `limits.errors: 20 → 30`; a value that is not written is the default.
fn change_text(change: &Change) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(default)".into());
    format!(
        "{}: {} -> {}",
        change.key,
        value(&change.before),
        value(&change.after)
    )
}

fn change_json(change: &Change) -> serde_json::Value {
    json!({ "key": change.key, "before": change.before, "after": change.after })
}
