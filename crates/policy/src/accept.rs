//! Who may send to whom. The answer to RCPT, and the story of that answer.

use crate::address::Expansion;
use crate::network::canonical;
use crate::{Origin, Parameters, Policy};
use mail::{Domain, ForwardPath, LocalPart, Mailbox, Recipient, ReversePath};
use std::net::IpAddr;

/// Which door a client came through. A login is nowhere but where users come in: at `listen.mx` nobody can be told
/// to have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener<'a> {
    /// `listen.mx`: other servers.
    Mx,
    /// `listen.submission`: programs of users, and who has logged in. Only under `ringmail try` may a client that has
    /// not send anything (RFC 6409 §4.3).
    Submission(Option<&'a Mailbox>),
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its address; v4-mapped ones are compared as IPv4.
    pub ip: IpAddr,
    /// Its door, and its login.
    pub listener: Listener<'a>,
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
    /// 530 5.7.0: a client at `listen.submission` that has not logged in.
    LoginNeeded,
    /// 550 5.7.1: who is logged in has no such address to send under (RFC 6409 §6.1).
    NotYourSender,
    /// 550 5.1.2: who is logged in writes to a domain of one label, which is no name in the world (RFC 6409 §4.2).
    NotQualified,
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
    /// Which part of the question: `connect`, `login`, `mail`, `rcpt`, `relay`.
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
        client: Client<'_>,
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
        client: Client<'_>,
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
            Decision::Refuse(refusal) => {
                self.otherwise(refusal, client, reverse_path, forward_path)
            }
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
        client: Client<'_>,
        reverse_path: &ReversePath,
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
            Refusal::NotQualified => Some(format!("{domain} is a domain of ours")),
            Refusal::BadAlias => {
                Some("every alias on the way leads to a user, or to another server".into())
            }
            Refusal::LoginNeeded | Refusal::NotYourSender => {
                let first = match (client.listener, reverse_path) {
                    (Listener::Submission(Some(login)), _) => {
                        format!("auth.senders lets {login} send as {reverse_path}")
                    }
                    (_, ReversePath::Null) => "the client logs in".into(),
                    (_, ReversePath::Mailbox(mailbox)) => {
                        format!("the client logs in as one who may send as {mailbox}")
                    }
                };
                // Then the recipient is looked at, which may be refused for reasons of its own.
                match submit(self.parameters(), forward_path, &mut Notes(None)).decision {
                    Decision::Accept(_) => Some(first),
                    Decision::Refuse(next) => self
                        .otherwise(next, client, reverse_path, forward_path)
                        .map(|then| format!("{first}, and {then}")),
                }
            }
        }
    }
}

fn decide(
    parameters: &Parameters,
    client: Client<'_>,
    reverse_path: &ReversePath,
    forward_path: &ForwardPath,
    notes: &mut Notes,
) -> Verdict {
    match client.listener {
        // Under `try` there are no logins, and nothing leaves.
        Listener::Submission(login) if parameters.any_domain.is_none() => {
            match may_submit(parameters, login, reverse_path, notes) {
                Ok(()) => submit(parameters, forward_path, notes),
                Err(verdict) => verdict,
            }
        }
        Listener::Mx | Listener::Submission(_) => {
            from_anybody(parameters, client.ip, reverse_path, forward_path, notes)
        }
    }
}

/// Whether somebody is logged in, and may send under this reverse-path; else the no. Where the client is counts for
/// nothing: who `relay.from` lists has `listen.mx`.
fn may_submit(
    parameters: &Parameters,
    login: Option<&Mailbox>,
    reverse_path: &ReversePath,
    notes: &mut Notes,
) -> Result<(), Verdict> {
    let refuse = |refusal, rule| Verdict {
        decision: Decision::Refuse(refusal),
        rule,
    };
    let Some(login) = login else {
        notes.add("login", || "nobody is logged in".into(), None);
        return Err(refuse(
            Refusal::LoginNeeded,
            Rule::new("login.needed", None),
        ));
    };
    notes.add("login", || format!("{login} is logged in"), None);
    let sender = parameters.sender(login, reverse_path);
    let (text, origin) = (sender.text, sender.origin);
    notes.add("mail", || text, origin.clone());
    if sender.is_his {
        return Ok(());
    }
    let rule = Rule::new("login.sender", origin);
    Err(refuse(Refusal::NotYourSender, rule))
}

/// For somebody who is logged in, under an address of his own: to anybody.
fn submit(parameters: &Parameters, forward_path: &ForwardPath, notes: &mut Notes) -> Verdict {
    let given = parameters.given(forward_path);
    if parameters.is_ours(&given.domain) {
        return expand(parameters, &given, notes);
    }
    not_ours(parameters, &given.domain, notes);
    if !may_be_elsewhere(&given.domain) {
        return no_single_host(&given.domain, notes);
    }
    //= https://www.rfc-editor.org/rfc/rfc6409#section-4.2
    //# The MSA MUST ensure that all domains in the SMTP envelope are fully
    //# qualified.
    if given.domain.name().is_some_and(|name| !name.contains('.')) {
        let text = || format!("{} is no full domain name", given.domain);
        notes.add("rcpt", text, None);
        return Verdict {
            decision: Decision::Refuse(Refusal::NotQualified),
            rule: Rule::new("recipient.unqualified", None),
        };
    }
    let text = || "who is logged in may send to anybody".into();
    notes.add("relay", text, None);
    Verdict {
        decision: Decision::Accept(vec![Recipient::direct(given)]),
        rule: Rule::new("login", None),
    }
}

/// For a client of which nothing is known but where it is.
fn from_anybody(
    parameters: &Parameters,
    ip: IpAddr,
    reverse_path: &ReversePath,
    forward_path: &ForwardPath,
    notes: &mut Notes,
) -> Verdict {
    let ip = canonical(ip);
    let listed = parameters.listed(ip);
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
    not_ours(parameters, &given.domain, notes);
    let Some(listed) = listed else {
        let text = || "others may send to our domains only".into();
        notes.add("relay", text, Some(relay_from()));
        return Verdict {
            decision: Decision::Refuse(Refusal::RelayingDenied),
            rule: Rule::new("relay.denied", Some(relay_from())),
        };
    };
    if !may_be_elsewhere(&given.domain) {
        return no_single_host(&given.domain, notes);
    }
    let text = || format!("{ip} may send to anybody");
    notes.add("relay", text, Some(listed.origin.clone()));
    Verdict {
        decision: Decision::Accept(vec![Recipient::direct(given)]),
        rule: Rule::new("relay.from", Some(listed.origin.clone())),
    }
}

/// Notes that a domain is somebody else's.
fn not_ours(parameters: &Parameters, domain: &Domain, notes: &mut Notes) {
    let domains = || {
        let first = parameters.domains.values().map(|rule| &rule.origin);
        let first = first.min_by_key(|origin| origin.line).cloned();
        first.unwrap_or_else(|| Origin {
            key: "[domain]".into(),
            line: 0,
        })
    };
    let text = || format!("{domain} is not one of our domains");
    notes.add("rcpt", text, Some(domains()));
}

/// The no to a literal that [`may_be_elsewhere`] finds to be here.
fn no_single_host(domain: &Domain, notes: &mut Notes) -> Verdict {
    let text = || format!("{domain} may be this host, or no single one");
    notes.add("relay", text, None);
    Verdict {
        decision: Decision::Refuse(Refusal::RelayingDenied),
        rule: Rule::new("relay.literal", None),
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
    pub(crate) fn given(&self, forward_path: &ForwardPath) -> Mailbox {
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
