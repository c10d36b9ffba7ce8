//! `ringmail explain route`: aliases, then where each mailbox's mail is taken, down to the addresses that DNS names
//! now.

use super::{Place, STRANGER, print_step};
use crate::cli::{DONE, NO, TEMPORARY, USAGE};
use crate::config::Config;
use crate::drive::connection::refusal_reply;
use crate::drive::dns::Names;
use crate::drive::edge::{Internet, Network, NoAnswer};
use clap::Args;
use mail::{Destination, Domain, ForwardPath, Recipient, ReversePath};
use policy::{
    Client, Decision, Listener, MxOrder, Onward, Ourselves, Policy, Refusal, Step, Tls, mx_order,
};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};

/// Whose mail.
#[derive(Args)]
pub struct Route {
    /// The recipient.
    address: String,
    /// Asks no name servers.
    #[arg(long)]
    no_dns: bool,
}

/// A host that is tried, and its addresses; or why there are none.
struct Host {
    preference: usize,
    name: String,
    addresses: Result<Vec<IpAddr>, Unfit>,
}

/// Why a host is not tried.
#[derive(PartialEq, Eq)]
enum Unfit {
    /// DNS gives no address of it.
    Unknown(NoAnswer),
    /// It, or another of its preference, is this host.
    Ourselves,
}

/// Explains it.
pub fn explain(config: &Config, what: &Route, place: &Place<'_>, json: bool) -> u8 {
    let Ok(forward_path) = ForwardPath::parse(&what.address) else {
        eprintln!("ringmail explain: the address is malformed");
        return USAGE;
    };
    let policy = Policy::new(config.policy.clone());
    let (found, steps) = recipients(&policy, &forward_path);
    if !json {
        print_steps(&steps, place);
    }
    let recipients = match found {
        Ok(recipients) => recipients,
        Err(refusal) => {
            let text = refusal_reply(refusal).text();
            if json {
                let mailbox = forward_path.to_string();
                println!("{}", json!({ "mailbox": mailbox, "nowhere": text }));
            } else {
                println!("{forward_path}: {text}");
            }
            return NO;
        }
    };
    let mut code = DONE;
    for recipient in recipients {
        code = code.max(one(config, &policy, &recipient, what.no_dns, json));
    }
    code
}

fn print_steps(steps: &[Step], place: &Place<'_>) {
    for step in steps.iter().filter(|step| step.subject == "rcpt") {
        print_step(step.subject, &step.text, &place.of(step.origin.as_ref()));
    }
}

/// Whom the address stands for; one of another domain stands for itself, whoever may send to it.
fn recipients(
    policy: &Policy,
    forward_path: &ForwardPath,
) -> (Result<Vec<Recipient>, Refusal>, Vec<Step>) {
    let stranger = Client {
        ip: STRANGER,
        listener: Listener::Mx,
    };
    let explained = policy.explain_recipient(stranger, &ReversePath::Null, forward_path);
    let found = match (explained.verdict.decision, forward_path) {
        (Decision::Accept(recipients), _) => Ok(recipients),
        (Decision::Refuse(Refusal::RelayingDenied), ForwardPath::Mailbox(mailbox)) => {
            Ok(vec![Recipient::direct(mailbox.clone())])
        }
        (Decision::Refuse(refusal), _) => Err(refusal),
    };
    (found, explained.steps)
}

/// One mailbox's way.
fn one(config: &Config, policy: &Policy, recipient: &Recipient, no_dns: bool, json: bool) -> u8 {
    let mailbox = &recipient.mailbox;
    let destination = match policy.route(mailbox) {
        mail::Route::To(destination) => destination,
        mail::Route::Nowhere(status, text) => {
            if json {
                println!(
                    "{}",
                    json!({ "mailbox": mailbox.to_string(), "nowhere": format!("{status} {text}") })
                );
            } else {
                println!("{mailbox} → nowhere: {status} {text}");
            }
            return NO;
        }
    };
    let hosts = if no_dns {
        Ok(Vec::new())
    } else {
        hosts(config, &destination)
    };
    let (code, why) = match &hosts {
        Ok(hosts) if hosts.iter().any(|host| host.addresses.is_ok()) || hosts.is_empty() => {
            (DONE, None)
        }
        Ok(hosts)
            if hosts
                .iter()
                .any(|host| host.addresses == Err(Unfit::Unknown(NoAnswer::Later))) =>
        {
            (TEMPORARY, Some("DNS does not answer now".to_owned()))
        }
        Ok(_) => (NO, Some("none of the hosts has an address".to_owned())),
        Err((code, why)) => (*code, Some(why.clone())),
    };
    let hosts = hosts.unwrap_or_default();
    if json {
        let hosts: Vec<_> = hosts
            .iter()
            .map(|host| json!({ "host": host.name, "addresses": host.addresses.as_ref().unwrap_or(&Vec::new()) }))
            .collect();
        let route = destination.to_string();
        println!(
            "{}",
            json!({
                "mailbox": mailbox.to_string(), "route": route, "tls": tls(config, &destination),
                "login": login(config, &destination),
                "hosts": hosts, "cause": why
            })
        );
        return code;
    }
    println!("{mailbox} → {destination}");
    if let Some(tls) = tls(config, &destination) {
        print_step("tls", tls, "");
    }
    if let Some(user) = login(config, &destination) {
        print_step("login", user, "relay.user");
    }
    for host in &hosts {
        let addresses = match &host.addresses {
            Ok(addresses) => addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            Err(Unfit::Unknown(NoAnswer::NotFound)) => "has no address".into(),
            Err(Unfit::Unknown(NoAnswer::Later)) => "DNS does not answer now".into(),
            Err(Unfit::Ourselves) => "left out: mail would come back to this host".into(),
        };
        print_step(&format!("host {}", host.preference), &host.name, &addresses);
    }
    if let Some(why) = why {
        println!("  {why}");
    }
    code
}

/// Who we are there; nothing where nobody asks.
fn login<'c>(config: &'c Config, destination: &Destination) -> Option<&'c str> {
    let (host, login) = config.login_at()?;
    (host == *destination).then_some(&login.user)
}

/// Which TLS mail goes there under; nothing where it is never asked for.
fn tls(config: &Config, destination: &Destination) -> Option<&'static str> {
    if destination.is_local() {
        return None;
    }
    // Whether a host is verified does not hang on its name, only by which.
    let verified = Tls::of(destination, "", &config.tls.verify)
        .verified
        .is_some();
    Some(if verified {
        "verified"
    } else {
        "where it is offered"
    })
}

/// The hosts that are tried, in order; those of one preference are tried in any order.
fn hosts(config: &Config, destination: &Destination) -> Result<Vec<Host>, (u8, String)> {
    if destination.is_local() {
        return Ok(Vec::new());
    }
    let asked = crate::role::in_event_loop(async {
        let network = Internet::new(config, &Names::read(config))?;
        Ok(ask(config, &network, destination).await)
    });
    asked.unwrap_or_else(|error| Err((TEMPORARY, format!("DNS cannot be asked: {error}"))))
}

async fn ask(
    config: &Config,
    network: &dyn Network,
    destination: &Destination,
) -> Result<Vec<Host>, (u8, String)> {
    let groups = match destination {
        Destination::SmartHost(_, host, _) => vec![vec![host.to_string()]],
        Destination::Mx(Domain::Ipv4(ip)) => vec![vec![ip.to_string()]],
        Destination::Mx(Domain::Ipv6(ip)) => vec![vec![ip.to_string()]],
        Destination::Mx(domain) => by_preference(config, network, domain).await?,
        Destination::Maildir(_) | Destination::Home { .. } | Destination::Lmtp(_) => Vec::new(),
    };
    let mut hosts = Vec::new();
    for (group, names) in groups.into_iter().enumerate() {
        let mut equal = Vec::new();
        for name in names {
            equal.push(Host {
                preference: group + 1,
                addresses: network.addresses(&name).await.map_err(Unfit::Unknown),
                name,
            });
        }
        match onward(config, network, destination, group == 0, &equal) {
            Onward::Try => hosts.append(&mut equal),
            Onward::Stop => {
                for host in &mut equal {
                    host.addresses = Err(Unfit::Ourselves);
                }
                hosts.append(&mut equal);
                break;
            }
            Onward::Nowhere(status, text) => return Err((NO, format!("{status} {text}"))),
        }
    }
    Ok(hosts)
}

/// As relay judges it.
fn onward(
    config: &Config,
    network: &dyn Network,
    destination: &Destination,
    best: bool,
    hosts: &[Host],
) -> Onward {
    if destination.is_inner() {
        return Onward::Try;
    }
    let port = config.dns.smtp_port();
    let ourselves = Ourselves {
        listeners: &config.listen.all(),
        is_here: &|ip| network.is_here(ip),
    };
    let addresses = hosts
        .iter()
        .flat_map(|host| host.addresses.iter().flatten());
    let targets: Vec<SocketAddr> = addresses.map(|ip| SocketAddr::new(*ip, port)).collect();
    ourselves.onward(best, &targets)
}

async fn by_preference(
    config: &Config,
    network: &dyn Network,
    domain: &Domain,
) -> Result<Vec<Vec<String>>, (u8, String)> {
    let Some(name) = domain.name() else {
        return Err((NO, "the address cannot be reached by SMTP".into()));
    };
    let records = match network.mx(name).await {
        Ok(records) => records,
        // No MX: the domain's own addresses (RFC 5321 §5.1).
        Err(NoAnswer::NotFound) => Vec::new(),
        Err(NoAnswer::Later) => return Err((TEMPORARY, "DNS does not answer now".into())),
    };
    let own = [config.policy.hostname.clone()];
    match mx_order(domain, &records, &own, &mut |_| 0) {
        MxOrder::Hosts(groups) => Ok(groups
            .iter()
            .map(|group| group.iter().map(ToString::to_string).collect())
            .collect()),
        MxOrder::Nowhere(status, text) => Err((NO, format!("{status} {text}"))),
    }
}
