//! Where mail for an accepted mailbox is taken, and in which order its MX hosts are tried.

mod ourselves;
mod tls;

pub use ourselves::{Onward, Ourselves};
pub use tls::Tls;

use crate::address::without_detail;
use crate::{Deliver, Parameters, Policy, Users};
use mail::{Class, Destination, Domain, Mailbox, Route, Status};

/// Longest user name that becomes a folder, in octets: well below `NAME_MAX`.
pub const FOLDER_OCTETS: usize = 200;
/// Most MX records of one answer that we look at.
pub const MX_RECORDS: usize = 100;

const fn permanent(subject: u16, detail: u16) -> Status {
    Status::new(Class::Permanent, subject, detail)
}

impl Policy {
    /// Where the mailbox's mail is taken. Asked for each mailbox after aliases, at each attempt.
    pub fn route(&self, mailbox: &Mailbox) -> Route {
        self.parameters().route(mailbox)
    }
}

impl Parameters {
    /// See [`Policy::route`].
    pub fn route(&self, mailbox: &Mailbox) -> Route {
        let domain = &mailbox.domain;
        let name = mailbox.local_part.folded();
        let base = without_detail(&name, self.separators(domain)).unwrap_or(&name);
        if let Some(rule) = self.domains.get(domain) {
            let listed =
                matches!(&rule.users, Users::Listed(users) if users.contains(name.as_str()));
            let user = if listed { name.as_str() } else { base };
            return match &rule.deliver {
                Deliver::Maildir(template) => maildir(template, domain, user),
                Deliver::Home(folder) => home(folder, user),
                Deliver::Lmtp(socket) => Route::To(Destination::Lmtp(socket.clone())),
                Deliver::Mx => Route::To(Destination::Mx(domain.clone())),
            };
        }
        if let (Some(template), Some(_)) = (&self.any_domain, domain.name()) {
            return maildir(template, domain, base);
        }
        if *domain == self.hostname {
            return Route::Nowhere(permanent(1, 1), "no such recipient here");
        }
        match &self.relay_to {
            Some(to) => Route::To(Destination::SmartHost(to.scheme, to.host.clone(), to.port)),
            None => Route::To(Destination::Mx(domain.clone())),
        }
    }
}

/// Longest name of a user of the machine, as its own tools make them.
pub const USER_OCTETS: usize = 32;

/// Whether this can be the name of a user of a machine: of letters, digits, `_`, `-` and `.`, the first of them no `-`
/// and no `.`.
pub fn can_be_a_user(name: &str) -> bool {
    let fine = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet);
    (1..=USER_OCTETS).contains(&name.len())
        && name.bytes().all(fine)
        && !name.starts_with(['-', '.'])
}

fn home(folder: &str, user: &str) -> Route {
    if can_be_a_user(user) {
        let (user, folder) = (user.into(), folder.into());
        Route::To(Destination::Home { user, folder })
    } else {
        Route::Nowhere(permanent(1, 1), "the name cannot be a user's")
    }
}

/// Fills the template. Names that could leave the folder, hide in it or be too long go nowhere.
fn maildir(template: &str, domain: &Domain, user: &str) -> Route {
    let safe = |name: &str| {
        !name.is_empty()
            && name.len() <= FOLDER_OCTETS
            && !name.starts_with('.')
            && name
                .chars()
                .all(|c| c.is_ascii_graphic() || (!c.is_ascii() && !c.is_whitespace()))
            && !name.contains(['/', '\\', '{', '}', ':'])
    };
    match domain.name() {
        Some(domain) if safe(domain) && safe(user) => {
            let path = template.replace("{domain}", domain).replace("{user}", user);
            Route::To(Destination::Maildir(path.into()))
        }
        _ => Route::Nowhere(permanent(1, 1), "the name cannot be a folder"),
    }
}

/// In which order the hosts of a domain are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MxOrder {
    /// Host names by preference, the best first; each group is shuffled. Never empty.
    Hosts(Vec<Vec<Domain>>),
    /// There is no way, for good.
    Nowhere(Status, &'static str),
}

/// Orders the MX records of `domain` (RFC 5321 §5.1). `records` are preference and exchange; the root is
/// `.` or empty. No record at all means the domain itself. `own_names` are ours: hosts at or behind the
/// best preference of one of them are left out, for they would send the mail back. `random(n)` gives a
/// number below `n`.
pub fn mx_order(
    domain: &Domain,
    records: &[(u16, Box<str>)],
    own_names: &[Domain],
    random: &mut dyn FnMut(usize) -> usize,
) -> MxOrder {
    let is_root = |exchange: &str| exchange.is_empty() || exchange == ".";
    if let [(_, exchange)] = records
        && is_root(exchange)
    {
        return MxOrder::Nowhere(permanent(1, 10), "the domain takes no mail (null MX)");
    }
    let mut hosts: Vec<(u16, Domain)> = records
        .iter()
        .take(MX_RECORDS)
        .filter(|(_, exchange)| !is_root(exchange))
        .filter_map(|(preference, exchange)| {
            let name = exchange.strip_suffix('.').unwrap_or(exchange);
            Some((*preference, Domain::parse_name(name).ok()?))
        })
        .collect();
    if records.is_empty() {
        hosts.push((0, domain.clone()));
    }
    if hosts.is_empty() {
        return MxOrder::Nowhere(permanent(4, 4), "no usable MX");
    }
    hosts.sort();
    hosts.dedup_by(|later, first| later.1 == first.1);
    if let Some(ours) = hosts.iter().find(|(_, host)| own_names.contains(host)) {
        let ours = ours.0;
        hosts.retain(|(preference, _)| *preference < ours);
    }
    if hosts.is_empty() {
        return MxOrder::Nowhere(permanent(4, 6), "the domain's best MX is this host");
    }
    let groups = hosts.chunk_by(|a, b| a.0 == b.0);
    MxOrder::Hosts(groups.map(|group| shuffled(group, random)).collect())
}

/// Fisher and Yates.
fn shuffled(group: &[(u16, Domain)], random: &mut dyn FnMut(usize) -> usize) -> Vec<Domain> {
    let mut hosts: Vec<Domain> = group.iter().map(|(_, host)| host.clone()).collect();
    for last in (1..hosts.len()).rev() {
        hosts.swap(last, random(last + 1) % (last + 1));
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Domain {
        Domain::parse_name(text).unwrap()
    }

    fn order(records: &[(u16, &str)]) -> String {
        let records: Vec<_> = records.iter().map(|(p, h)| (*p, (*h).into())).collect();
        let own = [name("mx.us.example")];
        match mx_order(&name("them.example"), &records, &own, &mut |n| n - 1) {
            MxOrder::Hosts(groups) => groups
                .iter()
                .map(|g| {
                    g.iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(",")
                })
                .collect::<Vec<_>>()
                .join(" "),
            MxOrder::Nowhere(status, _) => status.to_string(),
        }
    }

    #[test]
    fn mx_hosts_go_by_preference_and_never_back_to_us() {
        assert_eq!(order(&[]), "them.example");
        assert_eq!(
            order(&[(20, "b.x"), (10, "a.x."), (20, "c.x")]),
            "a.x b.x,c.x"
        );
        assert_eq!(
            order(&[(10, "a.x"), (20, "MX.us.example"), (20, "c.x")]),
            "a.x"
        );
        assert_eq!(order(&[(10, "mx.us.example"), (20, "a.x")]), "5.4.6");
        assert_eq!(
            order(&[(10, "mx.us.example"), (20, "mx.us.example"), (30, "a.x")]),
            "5.4.6"
        );
        assert_eq!(order(&[(0, ".")]), "5.1.10");
        assert_eq!(order(&[(0, "")]), "5.1.10");
        assert_eq!(order(&[(0, "."), (5, "a.x")]), "a.x");
        assert_eq!(order(&[(5, "not a host")]), "5.4.4");
        assert_eq!(order(&[(5, "a.x"), (9, "a.x")]), "a.x");
    }

    #[test]
    fn a_preference_group_is_shuffled_by_the_numbers_it_is_given() {
        let records = [(1, "a.x".into()), (1, "b.x".into()), (1, "c.x".into())];
        let shuffle = |r: fn(usize) -> usize| mx_order(&name("d.x"), &records, &[], &mut { r });
        assert_ne!(shuffle(|_| 0), shuffle(|n| n - 1));
    }

    #[test]
    fn no_user_name_leaves_the_tree_of_its_template() {
        let to = |user| maildir("/m/{domain}/{user}", &name("us.example"), user);
        assert_eq!(
            to("ann"),
            Route::To(Destination::Maildir("/m/us.example/ann".into()))
        );
        assert_eq!(
            to("jörg"),
            Route::To(Destination::Maildir("/m/us.example/jörg".into()))
        );
        let long = "a".repeat(FOLDER_OCTETS + 1);
        for bad in [
            "",
            ".",
            "..",
            ".ann",
            "a/b",
            "../x",
            "a\0b",
            "a b",
            "ö\u{a0}b",
            "{domain}",
            &long,
        ] {
            assert!(matches!(to(bad), Route::Nowhere(..)), "{bad}");
        }
    }
}
