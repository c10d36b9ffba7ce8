//! Which messages are meant, and what is shown of each.

use crate::{Standing, Stored};
use mail::{Domain, Mailbox, QueueId, Time};
use std::time::Duration;

/// A message as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the spool holds of it.
    pub stored: &'a Stored,
    /// Whether it is with a transport, or waits for one.
    pub sending: bool,
}

impl View<'_> {
    /// Recipients that still wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Mailbox> {
        let recipients = self
            .stored
            .envelope
            .recipients
            .iter()
            .zip(&self.stored.state.recipients);
        recipients
            .filter(|(_, s)| matches!(s, Standing::Waiting(_)))
            .map(|(r, _)| &r.mailbox)
    }

    /// Where it stands, in a word.
    pub fn word(&self, now: Time) -> &'static str {
        let state = &self.stored.state;
        if state.dead {
            "dead"
        } else if state.held {
            "held"
        } else if self.sending {
            "sending"
        } else if state.next_attempt <= now {
            "due"
        } else {
            "waiting"
        }
    }

    /// Why the last attempt for a recipient that waits did not work.
    pub fn cause(&self) -> Option<&mail::Cause> {
        let mut standings = self.stored.state.recipients.iter();
        standings.find_map(|standing| match standing {
            Standing::Waiting(Some(outcome)) => mail::dsn::cause_of(outcome),
            _ => None,
        })
    }

    /// Why it is still here, in words.
    pub fn reason(&self) -> String {
        let state = &self.stored.state;
        let last = match self.cause() {
            Some(mail::Cause::Ours(status, words)) => format!("{status} {words}"),
            Some(mail::Cause::Reply(reply)) => format!("{} {}", reply.code, reply.text),
            None if state.attempts == 0 => "not attempted yet".into(),
            None => "no reason is known".into(),
        };
        let next = if state.dead {
            "nobody can be told".to_owned()
        } else if state.held {
            "held until released".to_owned()
        } else if self.sending {
            "being sent".to_owned()
        } else {
            format!("next attempt {}", state.next_attempt.date())
        };
        format!("{last}; attempts {}; {next}", state.attempts)
    }
}

/// Conditions joined by "and"; none means all messages.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these.
    pub queue_ids: Vec<QueueId>,
    /// A recipient, or its domain.
    pub to: Option<String>,
    /// A recipient is at this domain.
    pub domain: Option<String>,
    /// The reverse-path, or its domain.
    pub from: Option<String>,
    /// At least so old.
    pub age_min: Option<Duration>,
    /// The reason has this in it.
    pub reason: Option<String>,
    /// Dead ones only.
    pub dead: bool,
}

impl Filter {
    /// Whether a message is meant.
    pub fn matches(&self, view: &View<'_>, now: Time) -> bool {
        let stored = view.stored;
        let named =
            |wanted: &Option<String>, is: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(is);
        (self.queue_ids.is_empty() || self.queue_ids.contains(&stored.queue_id))
            && named(&self.to, &|to| {
                stored
                    .envelope
                    .recipients
                    .iter()
                    .any(|r| is(&r.mailbox, to))
            })
            && named(&self.domain, &|wanted| {
                let Ok(wanted) = Domain::parse(wanted) else {
                    return false;
                };
                let mut recipients = stored.envelope.recipients.iter();
                recipients.any(|recipient| recipient.mailbox.domain == wanted)
            })
            && named(&self.from, &|from| match &stored.envelope.reverse_path {
                mail::ReversePath::Mailbox(mailbox) => is(mailbox, from),
                mail::ReversePath::Null => from.is_empty() || from == "<>",
            })
            && self
                .age_min
                .is_none_or(|age| now.since(stored.envelope.arrival) >= age)
            && named(&self.reason, &|words| {
                view.reason().to_lowercase().contains(&words.to_lowercase())
            })
            && (!self.dead || stored.state.dead)
    }
}

/// Whether a mailbox is this one, or at this domain.
fn is(mailbox: &Mailbox, wanted: &str) -> bool {
    match Mailbox::parse(wanted) {
        Ok(wanted) => *mailbox == wanted,
        Err(_) => Domain::parse(wanted.trim_start_matches('@'))
            .is_ok_and(|domain| domain == mailbox.domain),
    }
}
