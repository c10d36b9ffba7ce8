//! A client of TLS, for tests: it takes whatever certificate is shown, and says which.

use super::client::Anybody;
use super::{Shaken, Tls, provider};
use crate::drive::edge::Stream;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use std::io;
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The versions that there are.
pub const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

type Client = TlsStream<DuplexStream>;

/// Shakes hands with a server; gives both ends.
async fn met(
    tls: &Tls,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<(Shaken, Client)> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let connector = connector(versions)?;
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let (server, client) =
        tokio::join!(tls.accept(Box::new(theirs)), connector.connect(name, ours));
    Ok((server?, client?))
}

/// Shakes hands with a server; gives what it binds logins to, and what the client exports by RFC 9266 §2.
pub async fn exported(
    tls: &Tls,
    version: &'static SupportedProtocolVersion,
) -> io::Result<(Option<[u8; 32]>, [u8; 32])> {
    let (server, client) = met(tls, "mx.test", &[version]).await?;
    let client = client.get_ref().1;
    let label = b"EXPORTER-Channel-Binding";
    let exported = client.export_keying_material([0; 32], label, Some(b""));
    Ok((server.exported, exported.map_err(io::Error::other)?))
}

/// Shakes hands with a server; gives the certificate that it showed, its signature being good.
pub async fn shake(
    tls: &Tls,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Vec<u8>> {
    let (_, client) = met(tls, name, versions).await?;
    let shown = client
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    Ok(shown.map(|der| der.to_vec()).unwrap_or_default())
}

fn connector(versions: &[&'static SupportedProtocolVersion]) -> io::Result<TlsConnector> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider())))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection under TLS over a pipe that holds so many octets, the tickets of the server at least: its end and the
/// client's.
pub async fn narrow(octets: usize) -> io::Result<(Box<dyn Stream>, Box<dyn Stream>)> {
    let made = rcgen::generate_simple_self_signed(["mx.test".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .map_err(io::Error::other)?;
    let (ours, theirs) = tokio::io::duplex(octets);
    let name = ServerName::try_from("mx.test").map_err(io::Error::other)?;
    let connector = connector(&BOTH)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (server, client) = tokio::join!(acceptor.accept(theirs), connector.connect(name, ours));
    Ok((Box::new(server?), Box::new(client?)))
}
