//! Whose a reverse-path is: under which ones somebody who is logged in may send (RFC 6409 §6.1).
//!
//! His own are the null one, his mailbox with its sub-addresses, and every alias that leads to him. What else he may
//! use the configuration grants him. What a catch-all takes is nobody's: to get it is not to be everybody.

use crate::address::{Expansion, without_detail};
use crate::parameters::Parameters;
use crate::{Origin, Rule};
use mail::{Domain, Mailbox, ReversePath};
use std::collections::BTreeMap;

/// What a login may say besides his own addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Anything.
    Anything,
    /// Every address of this domain; not of those below it.
    Domain(Domain),
    /// This mailbox, and its sub-addresses where its domain is ours.
    Mailbox(Mailbox),
}

/// What one login is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// These.
    pub grants: Vec<Grant>,
    /// Where they are written.
    pub origin: Origin,
}

/// `auth.senders`: grants by login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders(BTreeMap<Mailbox, Grants>);

impl Senders {
    /// Notes what a login is granted; whether he has not been there before, in any case of letters.
    pub fn add(&mut self, login: &Mailbox, grants: Grants) -> bool {
        self.0.insert(login.folded(), grants).is_none()
    }

    /// What a login is granted, if anything.
    pub fn of(&self, login: &Mailbox) -> Option<&Grants> {
        self.0.get(&login.folded())
    }

    /// Where the first stands; the key without a line where there is none.
    fn origin(&self) -> Origin {
        let first = self.0.values().map(|grants| &grants.origin);
        let line = first.map(|origin| origin.line).min().unwrap_or(0);
        let key = "auth.senders".into();
        Origin { key, line }
    }
}

/// Whether a login may send under a reverse-path, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    /// Whether he may.
    pub is_his: bool,
    /// What was found, in words.
    pub text: String,
    /// Where the configuration says it.
    pub origin: Option<Origin>,
}

impl Parameters {
    /// Whether `login` may send under this reverse-path.
    pub(crate) fn sender(&self, login: &Mailbox, reverse_path: &ReversePath) -> Sender {
        let his = |text, origin| Sender {
            is_his: true,
            text,
            origin,
        };
        let ReversePath::Mailbox(mailbox) = reverse_path else {
            return his("<> is everybody's who is logged in".into(), None);
        };
        if self.is_of(mailbox, login) {
            return his(format!("<{mailbox}> is {login}'s own"), None);
        }
        if let Some(rule) = self.leads_to(mailbox, login) {
            return his(format!("<{mailbox}> leads to {login}"), rule.origin);
        }
        let granted = self.senders.of(login);
        let fits = |grant: &Grant| match grant {
            Grant::Anything => true,
            Grant::Domain(domain) => *domain == mailbox.domain,
            Grant::Mailbox(granted) => self.is_of(mailbox, granted),
        };
        if let Some(granted) = granted
            && granted.grants.iter().any(fits)
        {
            let origin = Some(granted.origin.clone());
            return his(format!("<{mailbox}> is granted to {login}"), origin);
        }
        let origin = granted.map_or_else(|| self.senders.origin(), |g| g.origin.clone());
        Sender {
            is_his: false,
            text: format!("<{mailbox}> is no address of {login}"),
            origin: Some(origin),
        }
    }

    /// Whether an address is the mailbox `whose`, or a sub-address of it where its domain is ours: what divides a name
    /// elsewhere nobody here knows.
    fn is_of(&self, address: &Mailbox, whose: &Mailbox) -> bool {
        if address.domain != whose.domain {
            return false;
        }
        let (name, whose) = (address.local_part.folded(), whose.local_part.folded());
        name == whose || (self.is_ours(&address.domain) && self.base(&name, address) == whose)
    }

    /// The name that an address of ours is found by: all of it where somebody has that, else what stands before its
    /// detail. `name` is its local-part, in lower case.
    fn base<'n>(&self, name: &'n str, address: &Mailbox) -> &'n str {
        let domain = &address.domain;
        let Some(base) = without_detail(name, self.separators(domain)) else {
            return name;
        };
        // In the order in which a delivery looks them up.
        let has = |name| self.domains.get(domain).is_some_and(|d| d.has_name(name));
        let is_global = *domain == self.hostname && self.aliases.contains_key(name);
        if has(name) || (is_global && !has(base)) {
            name
        } else {
            base
        }
    }

    /// The rule by which a delivery to this address would come to a login, where an alias of ours leads there.
    fn leads_to(&self, mailbox: &Mailbox, login: &Mailbox) -> Option<Rule> {
        if !self.is_ours(&mailbox.domain) {
            return None;
        }
        let (expansion, rule) = self.expand(mailbox, &mut |_, _| {});
        let Expansion::Mailboxes(found) = expansion else {
            return None;
        };
        let is_alias = rule.name != crate::address::CATCH_ALL;
        (is_alias && found.iter().any(|found| self.is_of(found, login))).then_some(rule)
    }
}

#[cfg(test)]
mod tests;
