//! DNS: where the hosts of a domain are, RFC 5321 §5. Asks; what the answers mean is the policy brain's
//! to say.

use super::edge::{MxRecords, NoAnswer};
use crate::config::Config;
use hickory_resolver::Hosts;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Resolver, TokioResolver};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Most addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// Largest file of the system that is read.
const SYSTEM_OCTETS: u64 = 1024 * 1024;

/// What this machine says of names: read before a role loses sight of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// What `/etc/resolv.conf` says; nothing where the configuration names servers.
    pub resolv_conf: Option<String>,
    /// What `/etc/hosts` says.
    pub hosts: String,
}

impl Names {
    /// Reads them; a file that is not there says nothing.
    pub fn read(config: &Config) -> Self {
        let own = config.dns.servers.is_empty();
        Self {
            resolv_conf: own.then(|| read("/etc/resolv.conf")),
            hosts: read("/etc/hosts"),
        }
    }
}

fn read(path: &str) -> String {
    use std::io::Read as _;
    let mut octets = Vec::new();
    // What is not there, or cannot be read, names nobody.
    let _ = std::fs::File::open(path)
        .and_then(|file| file.take(SYSTEM_OCTETS).read_to_end(&mut octets));
    String::from_utf8_lossy(&octets).into_owned()
}

/// A resolver, with its cache.
pub struct Dns(TokioResolver);

impl Dns {
    /// Asks these servers, or where none are named those that `/etc/resolv.conf` says; names that `/etc/hosts` has are
    /// not asked for.
    pub fn new(servers: &[SocketAddr], names: &Names) -> io::Result<Self> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if servers.is_empty() {
            let said = names.resolv_conf.as_deref().unwrap_or_default();
            let (config, options) = parse_resolv_conf(said).map_err(io::Error::other)?;
            Resolver::builder_with_config(config, provider).with_options(options)
        } else {
            let servers = servers.iter().map(|server| {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut config.connections {
                    connection.port = server.port();
                }
                config
            });
            let config = ResolverConfig::from_parts(None, vec![], servers.collect());
            Resolver::builder_with_config(config, provider)
        };
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        let mut resolver = builder.build().map_err(io::Error::other)?;
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(names.hosts.as_bytes())?;
        resolver.set_hosts(Arc::new(hosts));
        Ok(Self(resolver))
    }

    /// The MX records of a domain: preference and exchange, as DNS has it.
    pub async fn mx(&self, domain: &str) -> Result<MxRecords, NoAnswer> {
        let answer = self
            .0
            .mx_lookup(rooted(domain)?)
            .await
            .map_err(|e| reason(&e))?;
        let records = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii().into())),
                _ => None,
            });
        Ok(records.collect())
    }

    /// The addresses of a host, IPv6 and IPv4.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NoAnswer> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let answer = self
            .0
            .lookup_ip(rooted(host)?)
            .await
            .map_err(|e| reason(&e))?;
        Ok(answer.iter().take(ADDRESSES_MAX).collect())
    }
}

/// A name from its root: no search list of the system is tried. It is asked for as it is: what looks like an A-label and is
/// none is a name that nobody has, and not one that cannot be asked for.
fn rooted(name: &str) -> Result<Name, NoAnswer> {
    let rooted = format!("{}.", name.trim_end_matches('.'));
    Name::from_ascii(rooted).map_err(|_| NoAnswer::NotFound)
}

fn reason(error: &hickory_resolver::net::NetError) -> NoAnswer {
    if error.is_no_records_found() || error.is_nx_domain() {
        NoAnswer::NotFound
    } else {
        NoAnswer::Later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str) -> String {
        rooted(name).expect("a name").to_ascii()
    }

    /// RFC 5321 §5.1: no name is completed by what the system would try.
    #[test]
    fn a_name_is_asked_for_from_its_root() {
        for name in ["mx.a.test", "mx.a.test."] {
            assert_eq!(asked(name), "mx.a.test.");
        }
        assert_eq!(asked("mx"), "mx.");
        for name in ["xn--a.test", "xn--0.test", "_dmarc.a.test"] {
            assert_eq!(asked(name), format!("{name}."));
        }
    }
}
