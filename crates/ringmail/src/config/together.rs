//! What no value may make together with others: an alias that leads nowhere, a domain without a postmaster, a
//! smart host that is ourselves. The policy brain is asked as a session would ask it.

use super::SMTP_PORT;
use super::aliases;
use super::log;
use super::mistakes::Errors;
use super::nearest::nearest;
use super::reader::Reader;
use super::relay;
use super::{Config, Origin};
use crate::ipc::spawn::Situation;
use mail::{Domain, LocalPart, Mailbox, Route};
use policy::address::{DEPTH, EXPANSION, Expansion, Fault};
use policy::{Deliver, Parameters, Target, Users};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;

impl Reader {
    /// The whole, or all that is wrong with it.
    pub fn together(mut self) -> Result<Config, Errors> {
        if !self.hostname_written && !self.suggested.contains(&(0, "hostname")) {
            let label = "add a line at the top: hostname = \"mail.example.org\"";
            self.errors.add(0..0, "hostname is not set", label);
        }
        self.times();
        self.notices();
        self.folders();
        self.somebody();
        self.submission_needs_tls();
        self.not_ourselves();
        self.trying();
        let relay_login = relay::login(&mut self);
        self.mailboxes();
        let aliases_are_sound = self.aliases_lead_somewhere();
        self.postmasters(aliases_are_sound);
        if self.log.folder.as_os_str().is_empty() {
            let spool = self.written.contains_key("spool").then_some(&*self.spool);
            self.log.folder = log::default_folder(spool);
        }
        match self.hostname {
            Some(hostname) if self.errors.is_empty() => Ok(Config {
                hostname,
                auth: self.auth,
                listen: self.listen,
                policy: self.policy,
                limits: self.limits,
                queue: self.queue,
                dns: self.dns,
                log: self.log,
                spool: self.spool,
                runtime: self.runtime,
                sandbox_required: self.sandbox_required,
                certs: self.certs,
                tls: self.tls,
                relay_login,
                written: self.written,
            }),
            _ => Err(self.errors),
        }
    }

    fn times(&mut self) {
        let place = |keys: [&str; 2]| {
            let written = keys.iter().find_map(|key| self.queue_places.get(key));
            written.cloned().unwrap_or(0..0)
        };
        // What is malformed has its default here, which nobody compared with anything.
        let read = |keys: &[&str]| !self.is_malformed(keys);
        let (min, max) = ("queue.retry_delay_min", "queue.retry_delay_max");
        let queue = &self.queue;
        if queue.retry_delay_min > queue.retry_delay_max && read(&[min, max]) {
            let span = place(["retry_delay_min", "retry_delay_max"]);
            let title = "queue.retry_delay_min is longer than queue.retry_delay_max";
            self.errors
                .add(span, title, "the first pause is the shortest");
        } else if queue.retry_delay_min > queue.expiry && read(&[min, "queue.expiry"]) {
            let span = place(["expiry", "retry_delay_min"]);
            let title = "queue.expiry comes before the second attempt";
            self.errors
                .add(span, title, "longer than queue.retry_delay_min");
        }
    }

    /// A notice of a delay that would come behind the failure.
    fn notices(&mut self) {
        let queue = &self.queue;
        let late = queue
            .delay_notice
            .is_some_and(|notice| notice > queue.expiry);
        if late && !self.is_malformed(&["queue.delay_notice", "queue.expiry"]) {
            let places = ["delay_notice", "expiry"].map(|key| self.queue_places.get(key));
            let span = places.into_iter().flatten().next().cloned();
            let title = "queue.delay_notice comes when it is too late";
            self.errors
                .add(span.unwrap_or(0..0), title, "not longer than queue.expiry");
        }
    }

    fn folders(&mut self) {
        if self.spool == self.runtime && !self.is_malformed(&["spool", "runtime"]) {
            let title = "spool and runtime are the same folder";
            self.errors.add(
                0..0,
                title,
                "the spool is kept, the runtime folder is emptied at a start",
            );
        }
    }

    /// A listener that would refuse everything is a mistake of somebody who forgot something.
    fn somebody(&mut self) {
        let policy = &self.policy;
        let nobody = policy.domains.is_empty()
            && policy.any_domain.is_none()
            && policy.relay_from.is_empty()
            && policy.aliases.is_empty();
        // A section that could not be read may have named somebody.
        let unread = self.is_malformed(&["domain", "relay", "aliases", "try"]);
        if !self.listen.mx.is_empty() && nobody && !unread {
            let span = self.head_of("listen");
            let title = "we listen and would refuse everything";
            self.errors
                .add(span, title, "add a [domain.\"…\"] or relay.from");
        }
    }

    /// Passwords are said under TLS alone (RFC 4954 §4, RFC 8314 §3). Under `try` there are no logins.
    fn submission_needs_tls(&mut self) {
        let has_tls = !self.certs.is_empty() || self.is_malformed(&["cert", "acme"]);
        if has_tls || self.situation == Situation::Try {
            return;
        }
        let mut written = self.listeners.iter();
        if let Some(first) = written.find(|listener| listener.key == "submission") {
            let name = self.hostname.as_deref().unwrap_or("mail.example.org");
            let title = "submission needs TLS, and there is no certificate";
            let label = format!("add a line at the top: cert = \"/etc/letsencrypt/live/{name}\"");
            self.errors.add(first.span.clone(), title, label);
        }
    }

    /// A smart host that is one of our own listeners would send everything round in a circle.
    fn not_ourselves(&mut self) {
        let Some(to) = &self.policy.relay_to else {
            return;
        };
        let ip = to.host.parse::<IpAddr>().ok();
        let here = self.policy.hostname.name() == Some(&to.host) || &*to.host == "localhost";
        let ours = |listener: &std::net::SocketAddr| {
            listener.port() == to.port
                && match ip {
                    Some(ip) => {
                        ip == listener.ip()
                            || ip.is_unspecified()
                            || (ip.is_loopback() && listener.ip().is_unspecified())
                    }
                    None => here,
                }
        };
        let named = to.port == SMTP_PORT && self.policy.hostname.name() == Some(&to.host);
        if named || self.listen.all().iter().any(ours) {
            let title = "relay.to is this host";
            let label = "mail would go round in a circle: name another host";
            self.errors.add(self.relay_to.clone(), title, label);
        }
    }

    /// What `try` promises: on this machine only, and nothing leaves.
    fn trying(&mut self) {
        if self.situation != Situation::Try {
            return;
        }
        let listeners = self.listeners.iter();
        let far: Vec<_> = listeners
            .filter(|listener| !listener.address.ip().is_loopback())
            .map(|listener| listener.span.clone())
            .collect();
        for span in far {
            let title = "`ringmail try` listens on loopback only";
            self.errors
                .add(span, title, "write a file of your own, without [try]");
        }
        if let Some(span) = self.sections.get("relay").cloned() {
            let label = "nothing leaves this machine";
            self.errors
                .add(span, "`ringmail try` does not relay", label);
        }
    }

    /// Every listed user can have the mailbox that the domain promises.
    fn mailboxes(&mut self) {
        for (domain, rule) in &self.policy.domains {
            let Users::Listed(users) = &rule.users else {
                continue;
            };
            for user in users {
                let Some(mailbox) = mailbox(user, domain) else {
                    continue;
                };
                if let Route::Nowhere(..) = self.policy.route(&mailbox) {
                    let span = self
                        .domains
                        .get(domain)
                        .and_then(|places| places.users.get(user));
                    let title = format!("user `{user}` cannot have a Maildir");
                    let label = if matches!(rule.deliver, Deliver::Home(_)) {
                        "a user of this machine has letters, digits, _ - . in its name, at most 32"
                    } else {
                        "no blanks, none of / \\ : { }, no dot in front, at most 200 octets"
                    };
                    self.errors.add(span.cloned().unwrap_or(0..0), title, label);
                }
            }
        }
    }

    /// Domains of which not all names could be read: whom they have not is not said.
    fn unread(&self) -> BTreeSet<Domain> {
        let domains = self.domains.iter().filter(|(_, places)| places.unread);
        let mut unread: BTreeSet<Domain> = domains.map(|(domain, _)| domain.clone()).collect();
        let unnamed =
            self.unnamed_domains || (self.domains.is_empty() && self.is_malformed(&["domain"]));
        if self.is_malformed(&["aliases:names"])
            || (unnamed && *self.policy.home() == self.policy.hostname)
        {
            unread.insert(self.policy.hostname.clone());
            unread.insert(self.policy.home().clone());
        }
        unread
    }

    /// Says which aliases lead nowhere; whether there are none.
    fn aliases_lead_somewhere(&mut self) -> bool {
        let policy = &self.policy;
        let mut wrong = Wrong::new(policy);
        wrong.unread = self.unread();
        let place = |places: &aliases::Places, name: &str| {
            places.get(name).map_or(0..0, |(span, _)| span.clone())
        };
        for (domain, rule) in &policy.domains {
            let Some(places) = self.domains.get(domain) else {
                continue;
            };
            for (target, span) in aliases::targets(&rule.aliases, &places.aliases) {
                wrong.target(&policy.meant(target, domain, false), target, span);
            }
            if let Some(target) = &rule.catch_all {
                let meant = policy.meant(target, domain, false);
                wrong.catch_all(&meant, target, places.catch_all.clone());
            }
            for name in rule.aliases.keys() {
                wrong.alias(name, domain, place(&places.aliases, name));
            }
        }
        let hostname = &policy.hostname;
        // Without our name nobody knows whom a bare one means.
        let named = self.hostname.is_some();
        let global = aliases::targets(&policy.aliases, &self.aliases);
        for (target, span) in
            global.filter(|(target, _)| named || matches!(target, Target::Mailbox(_)))
        {
            wrong.target(&policy.meant(target, hostname, true), target, span);
        }
        for name in policy.aliases.keys().filter(|_| named) {
            wrong.alias(name, hostname, place(&self.aliases, name));
        }
        let sound = wrong.found.is_empty();
        for (span, title, label) in wrong.found {
            self.errors.add(span, title, label);
        }
        sound
    }

    /// Every domain of ours has a postmaster, and where we listen so has our name (RFC 5321 §4.5.1).
    fn postmasters(&mut self, aliases_are_sound: bool) {
        if self.policy.any_domain.is_some() || self.is_malformed(&["try", "aliases:names"]) {
            return;
        }
        let nobody = |domain: &Domain| {
            let expansion = mailbox("postmaster", domain).map(|m| expand(&self.policy, &m));
            match expansion {
                // Whoever the way ends at and who is nobody is said where that stands.
                Some(Expansion::Mailboxes(_) | Expansion::Broken(Fault::Nobody(_))) => false,
                // A circle that no alias closes alone is said here.
                Some(Expansion::Broken(_)) => aliases_are_sound,
                Some(Expansion::Unknown) | None => true,
            }
        };
        let mut wrong = Vec::new();
        for (domain, places) in &self.domains {
            if !places.unread && nobody(domain) {
                let label = "add postmaster to its users or aliases, or to [aliases]";
                wrong.push((
                    places.head.clone(),
                    format!("domain {domain} has no postmaster"),
                    label,
                ));
            }
        }
        // Our name may be, or lie in, a domain of ours: of that it is said above, and of one with a bad name nobody knows.
        let hostname = &self.policy.hostname;
        let asked = self.hostname.is_some()
            && !self.listen.mx.is_empty()
            && !self.policy.domains.contains_key(hostname)
            && !self.unread().contains(hostname);
        if asked && nobody(hostname) {
            let title = format!("nobody is postmaster of {}", self.policy.hostname);
            let label = "add below [aliases]: postmaster = \"you@example.org\"";
            wrong.push((self.head_of("listen"), title, label));
        }
        for (span, title, label) in wrong {
            self.errors.add(span, title, label);
        }
    }
}

fn mailbox(name: &str, domain: &Domain) -> Option<Mailbox> {
    Some(Mailbox {
        local_part: LocalPart::from_meant(name).ok()?,
        domain: domain.clone(),
    })
}

fn expand(policy: &Parameters, mailbox: &Mailbox) -> Expansion {
    policy.expand(mailbox, &mut |_, _: Option<&Origin>| {}).0
}

/// What is wrong with aliases: each mistake once, where it is made.
struct Wrong<'p> {
    policy: &'p Parameters,
    found: Vec<(Range<usize>, String, String)>,
    /// Domains of which it is not known whom they have.
    unread: BTreeSet<Domain>,
    circles: BTreeSet<Vec<String>>,
    too_deep: bool,
}

impl<'p> Wrong<'p> {
    fn new(policy: &'p Parameters) -> Self {
        Self {
            policy,
            found: Vec::new(),
            unread: BTreeSet::new(),
            circles: BTreeSet::new(),
            too_deep: false,
        }
    }

    /// A target that is nobody.
    fn target(&mut self, meant: &Mailbox, written: &Target, span: Range<usize>) {
        if self.policy.is_ours(&meant.domain)
            && !self.unread.contains(&meant.domain)
            && expand(self.policy, meant) == Expansion::Unknown
        {
            self.nobody(meant, written, span);
        }
    }

    /// A catch-all that is nobody leads to itself.
    fn catch_all(&mut self, meant: &Mailbox, written: &Target, span: Range<usize>) {
        if self.unread.contains(&meant.domain) {
            return;
        }
        match expand(self.policy, meant) {
            Expansion::Unknown => self.nobody(meant, written, span),
            Expansion::Broken(Fault::Circle(circle)) if circle == [meant.clone()] => {
                self.nobody(meant, written, span);
            }
            _ => {}
        }
    }

    fn nobody(&mut self, meant: &Mailbox, written: &Target, span: Range<usize>) {
        let label = match self.policy.domains.get(&meant.domain) {
            Some(rule) if rule.users == Users::Any => {
                format!("{} lists no users: add users = [\"…\"]", meant.domain)
            }
            Some(rule) => {
                let users = match &rule.users {
                    Users::Listed(users) => Some(users.iter()),
                    Users::Any => None,
                };
                let users = users.into_iter().flatten().map(|name| &**name);
                let names = users.chain(rule.aliases.keys().map(|name| &**name));
                let near = nearest(meant.local_part.as_str(), names);
                near.map_or(
                    format!("{} has no such user or alias", meant.domain),
                    |near| format!("did you mean `{near}`?"),
                )
            }
            None => format!(
                "name a whole address: users of {} are not supported yet",
                meant.domain
            ),
        };
        self.found
            .push((span, format!("`{written}` is nobody"), label));
    }

    /// An alias that leads in a circle, too deep or too far.
    fn alias(&mut self, name: &str, domain: &Domain, span: Range<usize>) {
        let Some(mailbox) = mailbox(name, domain) else {
            return;
        };
        let Expansion::Broken(fault) = expand(self.policy, &mailbox) else {
            return;
        };
        match fault {
            // Said where the target stands.
            Fault::Nobody(_) => {}
            // It may end at a user who could not be read.
            Fault::Circle(circle) if circle.iter().any(|m| self.unread.contains(&m.domain)) => {}
            Fault::Circle(circle) => {
                let circle: Vec<String> = circle.iter().map(|m| m.folded().to_string()).collect();
                let mut members = circle.clone();
                members.sort();
                // An alias that leads into a circle is not in it, and the circle is said once.
                if !circle.contains(&mailbox.to_string()) || !self.circles.insert(members) {
                    return;
                }
                let again = circle.first().cloned().unwrap_or_default();
                let label = format!("{} → {again}", circle.join(" → "));
                self.found
                    .push((span, format!("alias `{name}` leads back to itself"), label));
            }
            Fault::TooDeep => {
                if !std::mem::replace(&mut self.too_deep, true) {
                    let label = format!("at most {DEPTH} may lead one to the next");
                    self.found
                        .push((span, format!("alias `{name}` leads too far"), label));
                }
            }
            Fault::TooMany => {
                let label = format!("at most {EXPANSION}");
                self.found.push((
                    span,
                    format!("alias `{name}` stands for too many mailboxes"),
                    label,
                ));
            }
        }
    }
}
