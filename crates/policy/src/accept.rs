//! Who may send to whom. The answer to RCPT, and the story of that answer.

use crate::address::Expansion;
use crate::network::canonical;
use crate::{Origin, Parameters, Policy};
use mail::{Domain, ForwardPath, LocalPart, Mailbox, Recipient, ReversePath};
use std::net::IpAddr;

/// Which door a client came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// `listen.mx`: other servers.
    Mx,
    /// `listen.submission`: programs of users.
    Submission,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; v4-mapped ones are compared as IPv4.
    pub ip: IpAddr,
    /// Its door.
    pub listener: Listener,
}

/// Why a recipient is refused. Each has one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 550 5.7.1: somebody else's domain, and a client we do not relay for.
    RelayingDenied,
    /// 550 5.1.1: nobody of that name in a domain of ours.
    UnknownUser,
    /// 550 5.4.6: an alias that loops, leads too far, or leads to nobody.
    BadAlias,
}

/// The rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for the log and metrics: one of a fixed set.
    pub name: &'static str,
    /// Where the configuration says it; none for what is built in.
    pub origin: Option<Origin>,
}

impl Rule {
    pub(crate) fn new(name: &'static str, origin: Option<Origin>) -> Self {
        Self { name, origin }
    }
}

/// Yes or no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// For these, after aliases: at least one, each once, at most [`crate::address::EXPANSION`].
    Accept(Vec<Recipient>),
    /// For good.
    Refuse(Refusal),
}

/// The answer, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Yes or no.
    pub decision: Decision,
    /// Why.
    pub rule: Rule,
}

/// One thing that was looked at on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which part of the question: `connect`, `mail`, `rcpt`, `relay`.
    pub subject: &'static str,
    /// What was found.
    pub text: String,
    /// Where the configuration says it.
    pub origin: Option<Origin>,
}

/// A verdict and how it came about. For the administrator, never for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The same as [`Policy::recipient`] gives.
    pub verdict: Verdict,
    /// In order.
    pub steps: Vec<Step>,
    /// What would make a refusal an acceptance, in a sentence; nothing where nothing would.
    pub otherwise: Option<String>,
}

/// Keeps steps where somebody wants them; costs nothing else.
struct Notes(Option<Vec<Step>>);

impl Notes {
    fn add(
        &mut self,
        subject: &'static str,
        text: impl FnOnce() -> String,
        origin: Option<Origin>,
    ) {
        if let Some(steps) = &mut self.0 {
            steps.push(Step {
                subject,
                text: text(),
                origin,
            });
        }
    }
}

impl Policy {
    /// Whether the recipient is accepted, and whom it stands for. Asked at RCPT.
    pub fn recipient(
        &self,
        client: Client,
        reverse_path: &ReversePath,
        forward_path: &ForwardPath,
    ) -> Verdict {
        decide(
            self.parameters(),
            client,
            reverse_path,
            forward_path,
            &mut Notes(None),
        )
    }

    /// The same, with its story.
    pub fn explain_recipient(
        &self,
        client: Client,
        reverse_path: &ReversePath,
        forward_path: &ForwardPath,
    ) -> Explanation {
        let mut notes = Notes(Some(Vec::new()));
        let verdict = decide(
            self.parameters(),
            client,
            reverse_path,
            forward_path,
            &mut notes,
        );
        let otherwise = match verdict.decision {
            Decision::Accept(_) => None,
            Decision::Refuse(refusal) => self.otherwise(refusal, client, forward_path),
        };
        Explanation {
            verdict,
            steps: notes.0.unwrap_or_default(),
            otherwise,
        }
    }

    /// What would have to be so.
    fn otherwise(
        &self,
        refusal: Refusal,
        client: Client,
        forward_path: &ForwardPath,
    ) -> Option<String> {
        let Mailbox { local_part, domain } = self.parameters().given(forward_path);
        let name = local_part.as_str();
        match refusal {
            // Under `try` nothing leaves.
            Refusal::RelayingDenied if self.parameters().any_domain.is_some() => None,
            Refusal::RelayingDenied => {
                let ip = canonical(client.ip);
                let listed =
                    may_be_elsewhere(&domain).then(|| format!("{ip} is listed in relay.from"));
                let ours = domain
                    .name()
                    .map(|name| format!("{name} is a domain of ours"));
                let ways: Vec<String> = listed.into_iter().chain(ours).collect();
                (!ways.is_empty()).then(|| ways.join(", or "))
            }
            Refusal::UnknownUser if !self.parameters().domains.contains_key(&domain) => {
                let known = !name.contains('@') && domain == self.parameters().hostname;
                known.then(|| format!("[aliases] has a name `{name}`"))
            }
            Refusal::UnknownUser if name.contains('@') => Some(format!("{domain} has a catch_all")),
            Refusal::UnknownUser => Some(format!(
                "{domain} has a user or an alias `{name}`, or a catch_all"
            )),
            Refusal::BadAlias => {
                Some("every alias on the way leads to a user, or to another server".into())
            }
        }
    }
}

fn decide(
    parameters: &Parameters,
    client: Client,
    reverse_path: &ReversePath,
    forward_path: &ForwardPath,
    notes: &mut Notes,
) -> Verdict {
    let ip = canonical(client.ip);
    let listed = parameters
        .relay_from
        .iter()
        .find(|r| r.network.contains(ip));
    let relay_from = || {
        let line = parameters.relay_from.first().map_or(0, |r| r.origin.line);
        let key = "relay.from".into();
        Origin { key, line }
    };
    let (is, origin) = match listed {
        Some(listed) => ("is", listed.origin.clone()),
        None => ("is not", relay_from()),
    };
    notes.add(
        "connect",
        || format!("{ip} {is} in relay.from"),
        Some(origin),
    );
    notes.add("mail", || format!("<{reverse_path}> is not judged"), None);
    let given = parameters.given(forward_path);
    if parameters.is_ours(&given.domain) {
        return expand(parameters, &given, notes);
    }
    let domain = given.domain.clone();
    let domains = || {
        let first = parameters.domains.values().map(|rule| &rule.origin);
        let first = first.min_by_key(|origin| origin.line).cloned();
        first.unwrap_or_else(|| Origin {
            key: "[domain]".into(),
            line: 0,
        })
    };
    notes.add(
        "rcpt",
        || format!("{domain} is not one of our domains"),
        Some(domains()),
    );
    let refuse = |rule| Verdict {
        decision: Decision::Refuse(Refusal::RelayingDenied),
        rule,
    };
    let Some(listed) = listed else {
        let text = || "others may send to our domains only".into();
        notes.add("relay", text, Some(relay_from()));
        return refuse(Rule::new("relay.denied", Some(relay_from())));
    };
    if !may_be_elsewhere(&given.domain) {
        let text = || format!("{domain} may be this host, or no single one");
        notes.add("relay", text, None);
        return refuse(Rule::new("relay.literal", None));
    }
    let text = || format!("{ip} may send to anybody");
    notes.add("relay", text, Some(listed.origin.clone()));
    Verdict {
        decision: Decision::Accept(vec![Recipient::direct(given)]),
        rule: Rule::new("relay.from", Some(listed.origin.clone())),
    }
}

/// A literal that leads back into this host or to no single host is never relayed to.
fn may_be_elsewhere(domain: &Domain) -> bool {
    let ip = match domain {
        Domain::Name(_) => return true,
        Domain::Ipv4(v4) => IpAddr::V4(*v4),
        Domain::Ipv6(v6) => canonical(IpAddr::V6(*v6)),
        Domain::General(..) => return false,
    };
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast() || v4.is_link_local());
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || broadcast)
}

fn expand(parameters: &Parameters, given: &Mailbox, notes: &mut Notes) -> Verdict {
    let mut note = |text: String, origin: Option<&Origin>| {
        notes.add("rcpt", || text, origin.cloned());
    };
    let (expansion, rule) = parameters.expand(given, &mut note);
    let decision = match expansion {
        Expansion::Unknown => Decision::Refuse(Refusal::UnknownUser),
        Expansion::Broken(_) => Decision::Refuse(Refusal::BadAlias),
        Expansion::Mailboxes(mailboxes) => Decision::Accept(
            mailboxes
                .into_iter()
                .map(|mailbox| Recipient {
                    originals: (mailbox != *given)
                        .then(|| given.clone())
                        .into_iter()
                        .collect(),
                    mailbox,
                })
                .collect(),
        ),
    };
    Verdict { decision, rule }
}

impl Parameters {
    /// The mailbox that a forward-path means.
    fn given(&self, forward_path: &ForwardPath) -> Mailbox {
        match forward_path {
            ForwardPath::Mailbox(mailbox) => mailbox.clone(),
            ForwardPath::Postmaster => self.bare_postmaster(),
        }
    }

    /// `<postmaster>` without a domain (RFC 5321 §4.5.1): of the home domain.
    fn bare_postmaster(&self) -> Mailbox {
        let local_part = LocalPart::from_meant("postmaster");
        Mailbox {
            // Eleven printable octets are a local-part.
            local_part: local_part.expect("a constant local-part"),
            domain: self.home().clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
