//! `ringmail status`: what stands. Roles and what confines them, listeners, the queue, the last reload.

use super::queue::{unavailable, with_daemon};
use super::{DONE, TEMPORARY};
use crate::config::Config;
use crate::confine::Missing;
use crate::drive::clock::Clock;
use crate::ipc::control::{Answer, Counts, Request};
use crate::ipc::supervise::{RoleStatus, Supervision};
use mail::Time;
use serde_json::json;
use std::time::Duration;

/// Asks and shows.
pub fn status(config: &Config, json: bool) -> u8 {
    with_daemon(config, |control| {
        let Answer::Status(stands, counts) = control.ask(&Request::Status)?.0 else {
            return Ok(unavailable());
        };
        let now = Time::from_micros(Clock::start().now_micros());
        if json {
            println!("{}", as_json(&stands, counts.as_ref(), now));
        } else {
            print!("{}", as_text(&stands, counts.as_ref(), now));
        }
        let serve = stands.roles.iter().all(|role| role.ready);
        Ok(if serve && counts.is_some() {
            DONE
        } else {
            TEMPORARY
        })
    })
}

fn as_text(stands: &Supervision, counts: Option<&Counts>, now: Time) -> String {
    let mut lines = vec![format!(
        "running for {} with {}",
        ago(now.since(stands.began)),
        stands.path
    )];
    if stands.roles.iter().any(|role| role.uid == stands.uid) {
        lines.push(format!(
            "started without root: no user of its own for each process, all are uid {}",
            stands.uid
        ));
    }
    lines.push(String::new());
    lines.push(format!(
        "{:<12} {:>6} {:>8} {:>10} {:>9}  {:<10} {}",
        "role", "uid", "pid", "up", "restarts", "sandbox", "last end"
    ));
    lines.extend(stands.roles.iter().map(|role| role_line(role, now)));
    for role in &stands.roles {
        lines.extend(role.missing.iter().map(|missing| {
            let (name, Missing { layer, cause }) = (role.role.name(), missing);
            format!("{name:<12} goes without {layer}: {cause}")
        }));
    }
    lines.push(String::new());
    for (listener, address) in &stands.listeners {
        lines.push(format!("{listener:<12} {address}"));
    }
    lines.push(String::new());
    match counts {
        Some(counts) => lines.push(queue_line(counts)),
        None => lines.push("queue        does not answer now".into()),
    }
    match &stands.last_reload {
        Some((at, what)) => lines.push(format!("last reload  {} ago: {what}", ago(now.since(*at)))),
        None => lines.push("last reload  none since the start".into()),
    }
    lines.join("\n") + "\n"
}

fn role_line(role: &RoleStatus, now: Time) -> String {
    let pid = role.pid.map_or_else(|| "-".into(), |pid| pid.to_string());
    let up = match (role.pid, role.ready) {
        (Some(_), true) => ago(now.since(role.since)),
        (Some(_), false) => "starting".into(),
        (None, _) => "down".into(),
    };
    let line = format!(
        "{:<12} {:>6} {pid:>8} {up:>10} {:>9}  {:<10} {}",
        role.role.name(),
        role.uid,
        role.restarts,
        layers(role),
        role.last_end.as_deref().unwrap_or_default()
    );
    line.trim_end().to_owned()
}

/// What confines a role, in a word.
fn layers(role: &RoleStatus) -> &'static str {
    match (role.stand.is_empty(), role.missing.is_empty()) {
        (_, false) => "not all",
        (false, true) => "all",
        (true, true) => "-",
    }
}

fn queue_line(counts: &Counts) -> String {
    let oldest = counts
        .oldest_secs
        .map(|secs| format!(", oldest {}", ago(Duration::from_secs(secs))));
    format!(
        "queue        {} messages: {} sending, {} due, {} waiting, {} held, {} dead{}; new mail is {}",
        counts.messages,
        counts.sending,
        counts.due,
        counts.waiting,
        counts.held,
        counts.dead,
        oldest.unwrap_or_default(),
        if counts.room {
            "taken"
        } else {
            "refused: no room"
        }
    )
}

/// A time in its two largest units.
fn ago(time: Duration) -> String {
    let secs = time.as_secs();
    let (d, h, m, s) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m {s}s"),
        (0, _, _) => format!("{h}h {m}m"),
        _ => format!("{d}d {h}h"),
    }
}

fn as_json(stands: &Supervision, counts: Option<&Counts>, now: Time) -> serde_json::Value {
    let roles = stands.roles.iter().map(|role| {
        json!({
            "role": role.role.name(),
            "uid": role.uid,
            "pid": role.pid,
            "ready": role.ready,
            "up_secs": role.pid.map(|_| now.since(role.since).as_secs()),
            "restarts": role.restarts,
            "last_end": role.last_end,
            "sandbox": role.stand.iter().map(|layer| layer.name()).collect::<Vec<_>>(),
            "missing": role.missing.iter().map(|missing| json!({
                "layer": missing.layer.name(),
                "cause": missing.cause,
            })).collect::<Vec<_>>(),
        })
    });
    let listeners = stands.listeners.iter();
    let listeners = listeners.map(|(name, at)| json!({ "listener": name, "address": at }));
    json!({
        "up_secs": now.since(stands.began).as_secs(),
        "configuration": stands.path,
        "uid": stands.uid,
        "roles": roles.collect::<Vec<_>>(),
        "listeners": listeners.collect::<Vec<_>>(),
        "queue": counts.map(|counts| json!({
            "messages": counts.messages,
            "sending": counts.sending,
            "due": counts.due,
            "waiting": counts.waiting,
            "held": counts.held,
            "dead": counts.dead,
            "oldest_secs": counts.oldest_secs,
            "room": counts.room,
        })),
        "last_reload": stands.last_reload.as_ref().map(|(at, what)| json!({
            "at": at.stamp().to_string(),
            "what": what,
        })),
    })
}
