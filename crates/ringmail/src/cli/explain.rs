//! `ringmail explain`: what would happen, by which rule and line, and what would change it. It asks the same
//! policy brain that a session asks.

use super::{DONE, NO, USAGE};
use crate::config::Config;
use crate::drive::connection::refusal_reply;
use clap::Subcommand;
use mail::{ForwardPath, Mailbox, Recipient, ReversePath, Route};
use policy::{Client, Decision, Listener, Origin, Policy, Refusal};
use serde_json::json;
use smtp::server::replies;
use std::net::{IpAddr, Ipv4Addr};

/// What is to be explained.
#[derive(Subcommand)]
pub enum Explain {
    /// What a session would answer to RCPT.
    Rcpt {
        /// The recipient.
        address: String,
        /// The reverse-path; null where it is not given.
        #[arg(long)]
        from: Option<String>,
        /// The client's address.
        #[arg(long)]
        ip: Option<IpAddr>,
    },
    /// Aliases, then where each mailbox's mail goes.
    Route {
        /// The recipient.
        address: String,
    },
    /// The story of a session, by the token of one of its replies.
    Reply {
        /// The token.
        token: String,
    },
    /// Why a message is still here.
    Message {
        /// The message.
        id: String,
    },
}

/// Explains it.
pub fn explain(config: &Config, what: &Explain, json: bool) -> u8 {
    let policy = Policy::new(config.policy.clone());
    match what {
        Explain::Rcpt { address, from, ip } => {
            let paths = (
                ForwardPath::parse(address),
                ReversePath::parse(from.as_deref().unwrap_or_default()),
            );
            let (Ok(forward_path), Ok(reverse_path)) = paths else {
                return malformed();
            };
            // Without --ip it is a client that nobody lists: TEST-NET-3 of RFC 5737.
            let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)));
            rcpt(
                &policy,
                Client {
                    ip,
                    listener: Listener::Mx,
                },
                &reverse_path,
                &forward_path,
                json,
            )
        }
        Explain::Route { address } => {
            let Ok(forward_path) = ForwardPath::parse(address) else {
                return malformed();
            };
            route(&policy, &forward_path, json)
        }
        Explain::Reply { token } => super::story::reply(config, token, json),
        Explain::Message { id } => super::story::message(config, id, json),
    }
}

fn malformed() -> u8 {
    eprintln!("ringmail explain: the address is malformed");
    USAGE
}

fn rcpt(
    policy: &Policy,
    client: Client,
    reverse_path: &ReversePath,
    forward_path: &ForwardPath,
    json: bool,
) -> u8 {
    let explained = policy.explain_recipient(client, reverse_path, forward_path);
    let (word, code, reply) = match &explained.verdict.decision {
        Decision::Accept(_) => ("ACCEPT", DONE, replies::RECIPIENT_OK),
        Decision::Refuse(refusal) => ("REFUSE", NO, refusal_reply(*refusal)),
    };
    let status = reply.status().map(|s| s.to_string()).unwrap_or_default();
    if json {
        let steps = explained.steps.iter();
        let steps: Vec<_> = steps.map(|s| json!({ "subject": s.subject, "text": s.text, "origin": origin(s.origin.as_ref()) })).collect();
        println!(
            "{}",
            json!({ "verdict": word, "code": reply.code(), "status": status, "text": reply.text(),
                    "rule": explained.verdict.rule.name, "steps": steps, "otherwise": explained.otherwise })
        );
        return code;
    }
    println!("{word}  {} {status} {}", reply.code(), reply.text());
    for step in &explained.steps {
        println!(
            "  {:<8} {:<60} {}",
            step.subject,
            step.text,
            origin(step.origin.as_ref())
        );
    }
    println!("  {:<8} {}", "rule", explained.verdict.rule.name);
    if let Some(otherwise) = explained.otherwise {
        println!("Would be accepted if: {otherwise}.");
    }
    code
}

fn origin(origin: Option<&Origin>) -> String {
    origin.map(ToString::to_string).unwrap_or_default()
}

fn route(policy: &Policy, forward_path: &ForwardPath, json: bool) -> u8 {
    // A client that may relay, so that routes of domains that are not ours are shown too.
    let ForwardPath::Mailbox(mailbox) = forward_path else {
        return malformed();
    };
    let client = Client {
        ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
        listener: Listener::Mx,
    };
    let recipients = match policy
        .recipient(client, &ReversePath::Null, forward_path)
        .decision
    {
        Decision::Accept(recipients) => recipients,
        Decision::Refuse(Refusal::RelayingDenied) => {
            vec![Recipient {
                mailbox: mailbox.clone(),
                originals: Vec::new(),
            }]
        }
        Decision::Refuse(refusal) => {
            println!("{mailbox}: {}", refusal_reply(refusal).text());
            return NO;
        }
    };
    let mut code = DONE;
    for recipient in recipients {
        code = code.max(show_route(policy, &recipient.mailbox, json));
    }
    code
}

fn show_route(policy: &Policy, mailbox: &Mailbox, json: bool) -> u8 {
    let (code, text) = match policy.route(mailbox) {
        Route::To(destination) => (DONE, destination.to_string()),
        Route::Nowhere(status, text) => (NO, format!("nowhere: {status} {text}")),
    };
    if json {
        println!(
            "{}",
            json!({ "mailbox": mailbox.to_string(), "route": text })
        );
    } else {
        println!("{mailbox} -> {text}");
    }
    code
}
