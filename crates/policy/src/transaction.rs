//! A whole transaction judged: every forward-path by the rule of RCPT, and whom all of them together stand for.

use crate::accept::{Client, Decision, Rule};
use crate::{Policy, Refusal};
use mail::{ForwardPath, Mailbox, Recipient, ReversePath};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Most recipients of one message after aliases, counted before those that were named twice are put together.
pub const EXPANDED_MAX: usize = 10_000;

/// The first forward-path that may not be, and why; the transaction may not be then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// Which.
    pub forward_path: &'a ForwardPath,
    /// Why; nothing where it is just one too many.
    pub refusal: Option<Refusal>,
    /// By which rule.
    pub rule: Rule,
}

impl Policy {
    /// Whom a transaction is for: each mailbox once, in the order in which they were named first, at most
    /// [`EXPANDED_MAX`]. The same as the answers of [`Policy::recipient`] put together.
    pub fn transaction<'a>(
        &self,
        client: Client<'_>,
        reverse_path: &ReversePath,
        forward_paths: &'a [ForwardPath],
    ) -> Result<Vec<Recipient>, Refused<'a>> {
        let mut accepted = Vec::with_capacity(forward_paths.len());
        for forward_path in forward_paths {
            let verdict = self.recipient(client, reverse_path, forward_path);
            let refused = |refusal, rule| Refused {
                forward_path,
                refusal,
                rule,
            };
            match verdict.decision {
                Decision::Accept(recipients)
                    if accepted.len() + recipients.len() > EXPANDED_MAX =>
                {
                    return Err(refused(None, Rule::new("recipients.too_many", None)));
                }
                Decision::Accept(recipients) => accepted.extend(recipients),
                Decision::Refuse(refusal) => return Err(refused(Some(refusal), verdict.rule)),
            }
        }
        Ok(each_once(accepted))
    }
}

/// Each mailbox once, in the order in which they were named.
fn each_once(accepted: Vec<Recipient>) -> Vec<Recipient> {
    if accepted.len() < 2 {
        return accepted;
    }
    let mut recipients: Vec<Recipient> = Vec::new();
    let mut places: HashMap<Mailbox, usize> = HashMap::new();
    for recipient in accepted {
        match places.entry(recipient.mailbox.clone()) {
            Entry::Occupied(place) => recipients[*place.get()].join(&recipient),
            Entry::Vacant(place) => {
                place.insert(recipients.len());
                recipients.push(recipient);
            }
        }
    }
    recipients
}

#[cfg(test)]
mod tests;
