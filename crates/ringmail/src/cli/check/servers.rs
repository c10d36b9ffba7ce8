//! Servers that mail is handed to, and servers that are asked: LMTP servers take a connection, name servers answer.

use super::Finding;
use crate::config::Config;
use crate::drive::dns::{Dns, Names};
use crate::drive::edge::NoAnswer;
use mail::LmtpSocket;
use policy::Deliver;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

/// How long an LMTP server may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long name servers may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

pub(super) fn lmtp(config: &Config, findings: &mut Vec<Finding>) {
    let mut told = BTreeSet::new();
    for (domain, rule) in &config.policy.domains {
        let Deliver::Lmtp(socket) = &rule.deliver else {
            continue;
        };
        if !told.insert(socket) {
            continue;
        }
        let (name, wrong) = match socket {
            LmtpSocket::Unix(path) => (path.to_string(), unix(Path::new(&**path))),
            LmtpSocket::Tcp(host, port) => (format!("{host}:{port}"), tcp(host, *port)),
        };
        if let Err((why, label)) = wrong {
            let key = format!("domain.\"{domain}\".deliver");
            findings.push(Finding::error(
                &key,
                format!("LMTP server {name} {why}"),
                label,
            ));
        }
    }
}

fn unix(path: &Path) -> Result<(), (String, &'static str)> {
    let start = "start the server that makes it, or name its socket";
    let kind = match path.metadata() {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(("is not there".into(), start));
        }
        Err(error) => {
            return Err((
                format!("cannot be reached: {error}"),
                "it must be reachable",
            ));
        }
    };
    if !kind.is_socket() {
        return Err(("is not a socket".into(), "name the socket of the server"));
    }
    match sys::socket::connects(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Err((
            "has nobody who listens".into(),
            "start the server that made it",
        )),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err((
            "may not be used by this user".into(),
            "chmod the socket, or add this user to its group",
        )),
        Err(error) => Err((
            format!("cannot be connected to: {}", error.kind()),
            "it must take connections",
        )),
    }
}

fn tcp(host: &str, port: u16) -> Result<(), (String, &'static str)> {
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        (
            format!("has no address: {error}"),
            "write its address, or see to its name",
        )
    })?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_WAIT) {
            Ok(_) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map_or("has no address".into(), |error| {
        format!("cannot be connected to: {}", error.kind())
    });
    Err((why, "start it, or name another"))
}

/// Name servers that do not answer are a warning: they may when they are needed.
pub(super) fn names(config: &Config, findings: &mut Vec<Finding>) {
    if !asks_dns(config) {
        return;
    }
    let silent = crate::role::in_event_loop(async {
        let mut silent = Vec::new();
        let (said, mut answers) = tokio::sync::mpsc::unbounded_channel();
        let servers = config.dns.servers.iter().map(|server| Some(*server));
        let servers: Vec<Option<SocketAddr>> = if config.dns.servers.is_empty() {
            vec![None]
        } else {
            servers.collect()
        };
        for server in servers {
            let (said, hostname, names) =
                (said.clone(), config.hostname.clone(), Names::read(config));
            tokio::task::spawn_local(async move {
                // Nobody hears it when the wait is over.
                let _ = said.send((server, answers_for(server, &names, &hostname).await));
            });
        }
        drop(said);
        while let Some((server, answered)) = answers.recv().await {
            if let Err(why) = answered {
                silent.push((server, why));
            }
        }
        Ok(silent)
    });
    for (server, why) in silent.unwrap_or_default() {
        let name = server.map_or("the system's name servers".into(), |server| {
            format!("name server {server}")
        });
        let title = format!("{name}: {why}");
        let label = "mail for other hosts waits until they answer";
        findings.push(Finding::warning("dns.servers", title, label));
    }
}

/// Whether mail may go where DNS has to say where that is.
fn asks_dns(config: &Config) -> bool {
    let policy = &config.policy;
    let to_address = policy
        .relay_to
        .as_ref()
        .is_some_and(|to| to.host.parse::<IpAddr>().is_ok());
    let by_mx = policy
        .domains
        .values()
        .any(|rule| rule.deliver == Deliver::Mx);
    policy.any_domain.is_none() && (by_mx || !to_address)
}

/// Any answer will do, also that there is no such name.
async fn answers_for(
    server: Option<SocketAddr>,
    names: &Names,
    hostname: &str,
) -> Result<(), String> {
    let servers: Vec<SocketAddr> = server.into_iter().collect();
    let dns = Dns::new(&servers, names).map_err(|error| format!("cannot be asked: {error}"))?;
    match tokio::time::timeout(ANSWER_WAIT, dns.addresses(hostname)).await {
        Ok(Ok(_) | Err(NoAnswer::NotFound)) => Ok(()),
        Ok(Err(NoAnswer::Later)) | Err(_) => Err("no answer".into()),
    }
}
