//! The brain's events, as the log has them.

use crate::event::{self, Event};
use mail::{Cause, Detail, Outcome};

/// The brain's events, for the log.
pub(super) fn tell(event: ::queue::Event) {
    use ::queue::Event as Said;
    event::say(&match event {
        Said::Accepted {
            queue_id,
            came,
            reverse_path,
            recipients,
            octets,
        } => {
            let (peer, login) = came.unzip();
            let login = login.flatten();
            Event::MessageAccepted {
                queue_id,
                peer_ip: peer.map(|ip| ip.to_string()).unwrap_or_default(),
                login: login.map(|login| login.to_string()).unwrap_or_default(),
                reverse_path: reverse_path.to_string(),
                recipients,
                size_bytes: octets,
            }
        }
        Said::Outcome {
            queue_id,
            mailbox,
            destination,
            attempt,
            host,
            ending,
        } => {
            let forward_path = mailbox.to_string();
            let next_hop = destination.map(|d| d.to_string()).unwrap_or_default();
            let peer_ip = host.ip.map(|ip| ip.to_string()).unwrap_or_default();
            let tls = host.tls.as_str();
            let tls = if tls.is_empty() { "none" } else { tls }.to_owned();
            let host = host.name.to_string();
            let detail = ending.detail;
            match ending.outcome {
                Outcome::Delivered => Event::RecipientDelivered {
                    queue_id,
                    forward_path,
                    tls,
                    next_hop,
                    host,
                    peer_ip,
                    attempt,
                    reply: detail.to_string(),
                },
                Outcome::Deferred(cause) => {
                    let (status, cause) = (cause.status().to_string(), words(&cause, &detail));
                    Event::AttemptDeferred {
                        queue_id,
                        forward_path,
                        next_hop,
                        host,
                        peer_ip,
                        attempt,
                        status,
                        cause,
                    }
                }
                Outcome::Failed(cause) => {
                    let (status, cause) = (cause.status().to_string(), words(&cause, &detail));
                    Event::RecipientFailed {
                        queue_id,
                        forward_path,
                        next_hop,
                        host,
                        peer_ip,
                        attempt,
                        status,
                        cause,
                    }
                }
            }
        }
        Said::DsnQueued { queue_id, about } => Event::DsnQueued { queue_id, about },
        Said::Ended { queue_id } => Event::MessageEnded { queue_id },
        Said::Dead { queue_id } => Event::MessageDead { queue_id },
        Said::Held { queue_id } => Event::MessageHeld { queue_id },
        Said::Dropped { queue_id } => Event::MessageDropped { queue_id },
    });
}

/// A cause as the log has it: with what stands behind it.
fn words(cause: &Cause, detail: &Detail) -> String {
    match cause {
        Cause::Ours(_, words) if detail.as_str().is_empty() => words.to_string(),
        Cause::Ours(_, words) => format!("{words}: {detail}"),
        Cause::Reply(reply) => format!("{} {}", reply.code, reply.text),
    }
}
