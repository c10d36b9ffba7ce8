//! Whom an address of ours is for: users, aliases, sub-addresses, catch-all; loops found, results bounded.

use crate::parameters::{Alias, Aliases, DomainRule, Parameters, Target, Users};
use crate::{Origin, Rule};
use mail::{Domain, Mailbox, Route};

/// Most mailboxes that one forward-path may stand for.
pub const EXPANSION: usize = 1000;
/// Most aliases that may lead one to the next.
pub const DEPTH: usize = 20;
/// Most aliases that are followed for one forward-path, whatever they lead to.
const LOOKUPS: usize = 10_000;

/// The rule of an address that a catch-all takes.
pub(crate) const CATCH_ALL: &str = "recipient.catch_all";

/// What an address of ours stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expansion {
    /// These, each once.
    Mailboxes(Vec<Mailbox>),
    /// Nobody has this name.
    Unknown,
    /// It is an alias that leads nowhere.
    Broken(Fault),
}

/// Why an alias leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It leads back to where it was; by these, the first once.
    Circle(Vec<Mailbox>),
    /// It leads to this name, which nobody has.
    Nobody(Mailbox),
    /// More than [`DEPTH`] aliases lead one to the next, or too many are looked up.
    TooDeep,
    /// It stands for more than [`EXPANSION`] mailboxes.
    TooMany,
}

/// What one name is in a domain of ours.
enum Found<'a> {
    User,
    Alias(&'a Alias, &'static str),
    CatchAll(&'a Target, &'a Origin),
    /// The postmaster of the hostname, where the domain it lies in has one.
    Home,
    Anybody,
    Nobody,
}

/// The name before the first separator, where there is one and something stands before it.
pub fn without_detail<'a>(name: &'a str, separators: &str) -> Option<&'a str> {
    let place = name.find(|c| separators.contains(c))?;
    (place > 0).then(|| &name[..place])
}

/// Whether a name tries to say a route: `a%b`, `a!b`, `a@b`. Such a name is only taken where it is listed.
pub fn says_route(name: &str) -> bool {
    name.contains(['%', '!', '@'])
}

impl Parameters {
    /// Whether mail for the domain is ours to judge.
    pub fn is_ours(&self, domain: &Domain) -> bool {
        self.domains.contains_key(domain)
            || *domain == self.hostname
            || (self.any_domain.is_some() && domain.name().is_some())
    }

    /// What an address of ours stands for, and by which rule. `note` is told each step.
    pub fn expand(
        &self,
        mailbox: &Mailbox,
        note: &mut dyn FnMut(String, Option<&Origin>),
    ) -> (Expansion, Rule) {
        let mut walk = Walk {
            parameters: self,
            note,
            found: Vec::new(),
            path: Vec::new(),
            lookups: 0,
            rule: None,
        };
        let end = walk.follow(mailbox.clone());
        let rule = walk.rule.take();
        let found = walk.found;
        let at_once = walk.path.is_empty();
        let expansion = match end {
            Ok(()) => Expansion::Mailboxes(found),
            Err(Fault::Nobody(_)) if at_once => Expansion::Unknown,
            Err(fault) => Expansion::Broken(fault),
        };
        let rule = match (&expansion, rule) {
            (Expansion::Broken(_), rule) => Rule::new("alias.broken", rule.and_then(|r| r.origin)),
            (Expansion::Unknown, _) => {
                let origin = self.domains.get(&mailbox.domain).map(|d| d.origin.clone());
                Rule::new("recipient.unknown", origin)
            }
            (Expansion::Mailboxes(_), rule) => rule.unwrap_or(Rule::new("recipient.user", None)),
        };
        (expansion, rule)
    }

    /// What a name is; the order is the documentation: alias, user, the same without detail, postmaster,
    /// catch-all, anybody.
    fn look_up(&self, mailbox: &Mailbox) -> Found<'_> {
        let name = mailbox.local_part.folded();
        let base = without_detail(&name, self.separators(&mailbox.domain));
        let Some(domain) = self.domains.get(&mailbox.domain) else {
            return self.look_up_outside(mailbox, &name, base);
        };
        for name in std::iter::once(name.as_str()).chain(base) {
            if let Some(alias) = domain.aliases.get(name) {
                return Found::Alias(alias, "recipient.alias");
            }
            if domain.has_user(name) {
                return Found::User;
            }
        }
        if mailbox.domain == self.hostname
            && let Some(alias) = global(&self.aliases, &name, base)
        {
            return Found::Alias(alias, "recipient.global_alias");
        }
        if mailbox.local_part.is_postmaster()
            && let Some(alias) = self.postmaster()
        {
            return Found::Alias(alias, "recipient.postmaster");
        }
        if let Some(target) = &domain.catch_all {
            return Found::CatchAll(target, &domain.origin);
        }
        match domain.users {
            Users::Any if !says_route(&name) => Found::Anybody,
            _ => Found::Nobody,
        }
    }

    /// The hostname where it is no domain of ours, and every domain under `try`.
    fn look_up_outside(&self, mailbox: &Mailbox, name: &str, base: Option<&str>) -> Found<'_> {
        if mailbox.domain == self.hostname {
            if let Some(alias) = global(&self.aliases, name, base) {
                return Found::Alias(alias, "recipient.global_alias");
            }
            if mailbox.local_part.is_postmaster()
                && let Some(alias) = self.postmaster()
            {
                return Found::Alias(alias, "recipient.postmaster");
            }
            if mailbox.local_part.is_postmaster() && *self.home() != self.hostname {
                return Found::Home;
            }
        }
        if self.any_domain.is_some() && mailbox.domain.name().is_some() && !says_route(name) {
            return Found::Anybody;
        }
        Found::Nobody
    }

    /// Who stands for the postmaster where a domain names none: `[aliases]` postmaster, then root.
    pub fn postmaster(&self) -> Option<&Alias> {
        self.aliases
            .get("postmaster")
            .or_else(|| self.aliases.get("root"))
    }
}

impl DomainRule {
    /// Whether a user or an alias has this name, folded.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.aliases.contains_key(name) || self.has_user(name)
    }

    fn has_user(&self, name: &str) -> bool {
        matches!(&self.users, Users::Listed(users) if users.contains(name))
    }
}

fn global<'a>(aliases: &'a Aliases, name: &str, base: Option<&str>) -> Option<&'a Alias> {
    aliases
        .get(name)
        .or_else(|| base.and_then(|base| aliases.get(base)))
}

struct Walk<'a, 'n> {
    parameters: &'a Parameters,
    note: &'n mut dyn FnMut(String, Option<&Origin>),
    found: Vec<Mailbox>,
    path: Vec<(String, Mailbox)>,
    lookups: usize,
    rule: Option<Rule>,
}

impl Walk<'_, '_> {
    fn follow(&mut self, mailbox: Mailbox) -> Result<(), Fault> {
        let parameters = self.parameters;
        if !parameters.is_ours(&mailbox.domain) {
            (self.note)(format!("{mailbox} is elsewhere"), None);
            return self.keep(mailbox);
        }
        self.lookups += 1;
        if self.path.len() >= DEPTH || self.lookups > LOOKUPS {
            (self.note)("aliases lead too far".into(), None);
            return Err(Fault::TooDeep);
        }
        let name = mailbox.local_part.folded();
        let met =
            |(folded, met): &(String, Mailbox)| *folded == name && met.domain == mailbox.domain;
        if let Some(place) = self.path.iter().position(met) {
            return self.come_back(mailbox, &name, place);
        }
        let here = (name, mailbox.clone());
        match parameters.look_up(&mailbox) {
            Found::User => self.deliver(mailbox, "recipient.user"),
            Found::Anybody => self.deliver(mailbox, "recipient.any"),
            Found::Nobody => {
                (self.note)(format!("{mailbox} is nobody here"), None);
                Err(Fault::Nobody(mailbox))
            }
            Found::Home => {
                let home = Mailbox {
                    local_part: mailbox.local_part.clone(),
                    domain: parameters.home().clone(),
                };
                let origin = parameters.domains.get(&home.domain);
                let origin = origin.map(|rule| rule.origin.clone());
                (self.note)(format!("{mailbox} is {home}"), origin.as_ref());
                self.rule
                    .get_or_insert_with(|| Rule::new("recipient.postmaster", origin));
                self.path.push(here);
                self.follow(home)?;
                self.path.pop();
                Ok(())
            }
            Found::Alias(alias, rule) => {
                (self.note)(format!("{mailbox} is an alias"), Some(&alias.origin));
                self.rule
                    .get_or_insert_with(|| Rule::new(rule, Some(alias.origin.clone())));
                let global = rule != "recipient.alias";
                self.path.push(here);
                for target in &alias.targets {
                    self.follow(parameters.meant(target, &mailbox.domain, global))?;
                }
                self.path.pop();
                Ok(())
            }
            Found::CatchAll(target, origin) => {
                (self.note)(format!("{mailbox} goes to catch_all"), Some(origin));
                self.rule
                    .get_or_insert_with(|| Rule::new(CATCH_ALL, Some(origin.clone())));
                self.path.push(here);
                self.follow(parameters.meant(target, &mailbox.domain, false))?;
                self.path.pop();
                Ok(())
            }
        }
    }

    /// An alias that names itself means the user of that name; where there is none it is a loop.
    fn come_back(&mut self, mailbox: Mailbox, name: &str, place: usize) -> Result<(), Fault> {
        let domain = self.parameters.domains.get(&mailbox.domain);
        if domain.is_some_and(|domain| domain.has_user(name)) {
            return self.deliver(mailbox, "recipient.user");
        }
        (self.note)(format!("{mailbox} leads back to itself"), None);
        let circle = self.path[place..].iter();
        Err(Fault::Circle(circle.map(|(_, met)| met.clone()).collect()))
    }

    fn deliver(&mut self, mailbox: Mailbox, rule: &'static str) -> Result<(), Fault> {
        if let Route::Nowhere(..) = self.parameters.route(&mailbox) {
            (self.note)(format!("{mailbox} cannot be a folder's name"), None);
            return Err(Fault::Nobody(mailbox));
        }
        let origin = self.parameters.domains.get(&mailbox.domain);
        let origin = origin.map(|domain| domain.origin.clone());
        (self.note)(format!("{mailbox} has a mailbox here"), origin.as_ref());
        self.rule.get_or_insert_with(|| Rule::new(rule, origin));
        self.keep(mailbox)
    }

    fn keep(&mut self, mailbox: Mailbox) -> Result<(), Fault> {
        if self.found.contains(&mailbox) {
            return Ok(());
        }
        if self.found.len() >= EXPANSION {
            (self.note)("aliases lead to too many mailboxes".into(), None);
            return Err(Fault::TooMany);
        }
        self.found.push(mailbox);
        Ok(())
    }
}

impl Parameters {
    /// The mailbox that a target means. A bare name of a domain's alias is of that domain; one of
    /// `[aliases]` (`global`) is another of `[aliases]` where there is one, else of the home domain.
    pub fn meant(&self, target: &Target, domain: &Domain, global: bool) -> Mailbox {
        match target {
            Target::Mailbox(mailbox) => mailbox.clone(),
            Target::Name(name) => {
                let domain = if !global {
                    domain
                } else if self.aliases.contains_key(name.folded().as_str()) {
                    &self.hostname
                } else {
                    self.home()
                };
                Mailbox {
                    local_part: name.clone(),
                    domain: domain.clone(),
                }
            }
        }
    }
}
