//! What a role reaches beyond its arrows: folders, sockets, ports. It follows from the configuration, and a role
//! whose reach is another after a reload is started anew, for walls are never taken down.

use crate::config::Config;
use crate::drive::dns::Names;
use crate::drive::tls::roots::Roots;
use crate::ipc::spawn::Role;
use mail::LmtpSocket;
use policy::Deliver;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The port of DNS (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

/// What a role reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Folders that it keeps files in, as the configuration writes them; none lies in another.
    pub folders: BTreeSet<PathBuf>,
    /// Folders of Unix sockets that it connects to.
    pub sockets: BTreeSet<PathBuf>,
    /// TCP ports that it connects to, on whatever host.
    pub ports: BTreeSet<u16>,
    /// What it asks name servers by; nothing where it asks none.
    pub names: Option<Names>,
    /// Whom it believes that vouch for certificates.
    pub roots: Roots,
}

impl Reach {
    /// Of a role by this configuration.
    pub fn of(role: Role, config: &Config) -> Self {
        match role {
            Role::Auth | Role::Keys | Role::Policy | Role::Smtpd | Role::Submission => {
                Self::default()
            }
            Role::Admin => Self::of_folder(&config.log.folder),
            Role::Queue => Self::of_folder(&config.spool),
            Role::Local => Self::of_mailboxes(config),
            Role::Relay => Self::of_next_hops(config),
        }
    }

    /// Of a process that delivers as the user whose home this is: the Maildirs in it that the configuration names.
    pub fn of_courier(home: &Path, config: &Config) -> Self {
        let rules = config.policy.domains.values();
        let folders = rules.filter_map(|rule| match &rule.deliver {
            Deliver::Home(folder) => Some(home.join(&**folder)),
            _ => None,
        });
        Self {
            folders: folders.collect(),
            ..Self::default()
        }
    }

    /// Whether it sees this machine's network at all.
    pub fn has_network(&self) -> bool {
        !self.ports.is_empty() || self.names.is_some()
    }

    fn of_folder(folder: &Path) -> Self {
        Self {
            folders: [folder.to_owned()].into(),
            ..Self::default()
        }
    }

    fn of_mailboxes(config: &Config) -> Self {
        let mut reach = Self::default();
        let mut bases = BTreeSet::new();
        for (domain, rule) in &config.policy.domains {
            match &rule.deliver {
                // The domain's own, so that what else lies beside it is out of reach.
                Deliver::Maildir(template) => {
                    let name = domain.name().unwrap_or("{domain}");
                    bases.insert(fixed(&template.replace("{domain}", name)));
                }
                Deliver::Lmtp(LmtpSocket::Unix(path)) => {
                    let folder = Path::new(&**path).parent().unwrap_or(Path::new("/"));
                    reach.sockets.insert(folder.to_owned());
                }
                Deliver::Lmtp(LmtpSocket::Tcp(host, port)) => {
                    reach.ports.insert(*port);
                    if host.parse::<std::net::IpAddr>().is_err() {
                        reach.names = Some(Names::read(config));
                    }
                }
                // Others go there: `of_courier`.
                Deliver::Home(_) | Deliver::Mx => {}
            }
        }
        bases.extend(config.policy.any_domain.as_deref().map(fixed));
        let within = |path: &PathBuf| path.ancestors().skip(1).any(|above| bases.contains(above));
        reach.folders = bases.iter().filter(|path| !within(path)).cloned().collect();
        if reach.names.is_some() {
            reach.ports.extend(dns_ports(config));
        }
        reach
    }

    fn of_next_hops(config: &Config) -> Self {
        let mut reach = Self {
            names: Some(Names::read(config)),
            // Without the file nobody is verified, and `check` says so.
            roots: Roots::read(config).unwrap_or_default(),
            ..Self::default()
        };
        reach.ports.insert(config.dns.smtp_port());
        reach
            .ports
            .extend(config.policy.relay_to.iter().map(|host| host.port));
        reach.ports.extend(dns_ports(config));
        reach
    }
}

/// Name servers are asked over TCP where an answer does not fit (RFC 7766).
fn dns_ports(config: &Config) -> BTreeSet<u16> {
    let ports = config.dns.servers.iter().map(std::net::SocketAddr::port);
    let ports: BTreeSet<u16> = ports.collect();
    if ports.is_empty() {
        [DNS_PORT].into()
    } else {
        ports
    }
}

/// The folder that all Maildirs of a template lie in: what stands before its first name that changes.
pub fn fixed(template: &str) -> PathBuf {
    let before = template.split('{').next().unwrap_or_default();
    let end = before.rfind('/').unwrap_or(0);
    // A template begins below the root: config says so.
    PathBuf::from(&before[..end.max(1)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::spawn::Situation;

    fn config(more: &str) -> Config {
        let text = format!("hostname = \"mx.example.org\"\n{more}");
        Config::parse(&text, "ringmail.toml", Situation::Run).unwrap()
    }

    #[test]
    fn local_reaches_the_folders_and_sockets_that_are_named() {
        let reach = Reach::of(
            Role::Local,
            &config(
                "[domain.\"a.example\"]\nusers = [\"u\", \"postmaster\"]\ndeliver = \"maildir:/srv/mail/{domain}/{user}\"\n\
                 [domain.\"b.example\"]\nusers = [\"u\", \"postmaster\"]\ndeliver = \"maildir:/srv/mail/b/x-{user}\"\n\
                 [domain.\"c.example\"]\nusers = [\"u\", \"postmaster\"]\ndeliver = \"lmtp:/run/dovecot/lmtp\"\n\
                 [domain.\"d.example\"]\nusers = [\"u\", \"postmaster\"]\ndeliver = \"lmtp:127.0.0.1:24\"\n",
            ),
        );
        assert_eq!(
            reach.folders,
            ["/srv/mail/a.example".into(), "/srv/mail/b".into()].into()
        );
        assert_eq!(reach.sockets, ["/run/dovecot".into()].into());
        assert_eq!((reach.ports, reach.names), ([24].into(), None));
    }

    #[test]
    fn relay_reaches_mail_ports_and_name_servers_and_no_file() {
        let reach = Reach::of(
            Role::Relay,
            &config(
                "[relay]\nto = \"smtp://smart.example:2525\"\n[dns]\nservers = [\"127.0.0.1:5353\"]\n",
            ),
        );
        assert_eq!(reach.ports, [25, 2525, 5353].into());
        assert!(reach.folders.is_empty() && reach.sockets.is_empty());
        assert_eq!(reach.names.unwrap().resolv_conf, None);
    }

    #[test]
    fn queue_and_policy_have_no_network() {
        let config = config("spool = \"/srv/spool\"\n");
        let queue = Reach::of(Role::Queue, &config);
        assert_eq!(queue.folders, ["/srv/spool".into()].into());
        assert!(!queue.has_network());
        assert!(!Reach::of(Role::Policy, &config).has_network());
        assert!(!Reach::of(Role::Smtpd, &config).has_network());
    }
}
