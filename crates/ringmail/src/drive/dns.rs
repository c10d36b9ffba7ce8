//! DNS: where the hosts of a domain are, RFC 5321 §5. Asks; what the answers mean is the policy brain's
//! to say.

use super::edge::{MxRecords, NoAnswer};
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Most addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// A resolver, with its cache.
pub struct Dns(TokioResolver);

impl Dns {
    /// Asks these servers, or those of the system where none are named.
    pub fn new(servers: &[SocketAddr]) -> io::Result<Self> {
        let builder = if servers.is_empty() {
            Resolver::builder_tokio().map_err(io::Error::other)?
        } else {
            let servers = servers.iter().map(|server| {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut config.connections {
                    connection.port = server.port();
                }
                config
            });
            let config = ResolverConfig::from_parts(None, vec![], servers.collect());
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        Ok(Self(builder.build().map_err(io::Error::other)?))
    }

    /// The MX records of a domain: preference and exchange, as DNS has it.
    pub async fn mx(&self, domain: &str) -> Result<MxRecords, NoAnswer> {
        let answer = self
            .0
            .mx_lookup(rooted(domain))
            .await
            .map_err(|e| reason(&e))?;
        let records = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::MX(mx) => Some((mx.preference, mx.exchange.to_utf8().into())),
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
            .lookup_ip(rooted(host))
            .await
            .map_err(|e| reason(&e))?;
        Ok(answer.iter().take(ADDRESSES_MAX).collect())
    }
}

/// A name from its root: no search list of the system is tried.
fn rooted(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn reason(error: &hickory_resolver::net::NetError) -> NoAnswer {
    if error.is_no_records_found() || error.is_nx_domain() {
        NoAnswer::NotFound
    } else {
        NoAnswer::Later
    }
}
