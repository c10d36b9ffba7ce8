//! `ringmail explain rcpt`: the answer to RCPT, by which rule and line, and what would change it.

use super::rehearsal::{Asked, Told, rehearse};
use super::{Place, STRANGER, print_step};
use crate::cli::{DONE, NO, NOT_BUILT, TEMPORARY, USAGE};
use crate::config::Config;
use crate::drive::connection::parameters;
use clap::Args;
use mail::{Class, Mailbox, Route};
use policy::{Decision, Explanation, Listener, Policy, Step};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Who asks for whom.
#[derive(Args)]
pub struct Rcpt {
    /// The recipient.
    address: String,
    /// The reverse-path; null where it is not given.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "ADDRESS"
    )]
    from: String,
    /// The client's address; a stranger's where it is not given.
    #[arg(long, default_value_t = STRANGER, hide_default_value = true)]
    ip: IpAddr,
    /// What the client calls itself.
    #[arg(long, default_value = "client.example", value_name = "NAME")]
    helo: String,
    /// The client has logged in as USER, an address, at listen.submission.
    #[arg(long, value_name = "USER")]
    auth: Option<String>,
    /// The client speaks TLS (not supported yet).
    #[arg(long)]
    tls: bool,
}

/// Explains it.
pub fn explain(config: &Config, what: &Rcpt, place: &Place<'_>, json: bool) -> u8 {
    if what.tls {
        eprintln!("ringmail explain: TLS is not supported yet");
        return NOT_BUILT;
    }
    let Ok(login) = what.auth.as_deref().map(Mailbox::parse).transpose() else {
        eprintln!("ringmail explain: a login is an address, such as ann@example.org");
        return USAGE;
    };
    if login.is_some() && config.listen.submission.is_empty() {
        eprintln!("ringmail explain: nobody can log in: listen.submission is not set");
        return USAGE;
    }
    let said = [&what.address, &what.from, &what.helo];
    if said
        .iter()
        .any(|text| text.contains(|c: char| c.is_control()))
    {
        eprintln!("ringmail explain: no command of SMTP has a control character");
        return USAGE;
    }
    let asked = Asked {
        ip: what.ip,
        listener: match &login {
            Some(login) => Listener::Submission(Some(login)),
            None => Listener::Mx,
        },
        helo: &what.helo,
        reverse_path: if what.from == "<>" { "" } else { &what.from },
        forward_path: &what.address,
    };
    let policy = Policy::new(config.policy.clone());
    let told = rehearse(
        &policy,
        parameters(&config.limits, false, false, false),
        &asked,
    );
    if json {
        println!("{}", as_json(&policy, &asked, &told));
    } else {
        print(&policy, &asked, &told, place);
    }
    match told.reply.class() {
        Class::Success => DONE,
        Class::Transient => TEMPORARY,
        Class::Permanent => NO,
    }
}

/// The word of the verdict.
fn word(told: &Told) -> &'static str {
    match told.reply.class() {
        Class::Success => "ACCEPT",
        Class::Transient => "DEFER",
        Class::Permanent => "REFUSE",
    }
}

/// Where each recipient's mail is taken.
fn routes(policy: &Policy, explanation: &Explanation) -> Vec<(String, String)> {
    let Decision::Accept(recipients) = &explanation.verdict.decision else {
        return Vec::new();
    };
    let routes = recipients.iter().map(|recipient| {
        let route = match policy.route(&recipient.mailbox) {
            Route::To(destination) => destination.to_string(),
            Route::Nowhere(status, text) => format!("nowhere: {status} {text}"),
        };
        (recipient.mailbox.to_string(), route)
    });
    routes.collect()
}

/// What was looked at, in order: the client, its commands up to the one that was answered, and each step of the
/// policy brain.
fn story(asked: &Asked<'_>, told: &Told) -> Vec<Step> {
    let commands = [
        ("helo", asked.helo.to_owned()),
        ("mail", format!("<{}>", asked.reverse_path)),
        ("rcpt", format!("<{}>", asked.forward_path)),
    ];
    let step = |subject, text| Step {
        subject,
        text,
        origin: None,
    };
    let Some(explanation) = &told.explanation else {
        let mut steps = Vec::new();
        for (command, text) in commands {
            if command == told.command {
                steps.push(step(command, format!("{text}: {}", told.reply.text())));
                break;
            }
            steps.push(step(command, format!("{text} is not judged")));
        }
        return steps;
    };
    let mut steps = explanation.steps.clone();
    let helo = step("helo", format!("{} is not judged", asked.helo));
    // The brain looks at the client first.
    steps.insert(steps.len().min(1), helo);
    steps
}

fn print(policy: &Policy, asked: &Asked<'_>, told: &Told, place: &Place<'_>) {
    let (verdict, reply) = (word(told), told.reply);
    let status = reply.status().map(|s| format!("{s} ")).unwrap_or_default();
    println!("{verdict}  {} {status}{}", reply.code(), reply.text());
    for step in story(asked, told) {
        print_step(step.subject, &step.text, &place.of(step.origin.as_ref()));
    }
    let Some(explanation) = &told.explanation else {
        return;
    };
    let rule = &explanation.verdict.rule;
    let origin = match &rule.origin {
        Some(origin) if origin.line > 0 => place.of(Some(origin)),
        _ => "built in".into(),
    };
    print_step("rule", &format!("{} → {verdict}", rule.name), &origin);
    for (mailbox, route) in routes(policy, explanation) {
        print_step("route", &format!("{mailbox} → {route}"), "");
    }
    match &explanation.otherwise {
        Some(otherwise) => println!("Would be accepted if: {otherwise}."),
        None if verdict == "REFUSE" => println!("Nothing would make it accepted."),
        None => {}
    }
}

fn as_json(policy: &Policy, asked: &Asked<'_>, told: &Told) -> Value {
    let reply = told.reply;
    let mut shown = json!({
        "verdict": word(told).to_ascii_lowercase(),
        "code": reply.code(),
        "status": reply.status().map(|status| status.to_string()),
        "text": reply.text(),
        "command": told.command,
    });
    let steps = story(asked, told).into_iter().map(|step| {
        let (key, line) = Place::json(step.origin.as_ref());
        json!({ "subject": step.subject, "text": step.text, "key": key, "line": line })
    });
    shown["steps"] = steps.collect();
    if let Some(explanation) = &told.explanation {
        let rule = &explanation.verdict.rule;
        let (key, line) = Place::json(rule.origin.as_ref());
        shown["rule"] = json!({ "name": rule.name, "key": key, "line": line });
        shown["otherwise"] = json!(explanation.otherwise);
        let routes = routes(policy, explanation).into_iter();
        shown["recipients"] = routes
            .map(|(mailbox, route)| json!({ "mailbox": mailbox, "route": route }))
            .collect();
    }
    shown
}
