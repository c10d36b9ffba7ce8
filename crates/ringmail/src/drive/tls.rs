//! TLS as its server speaks it (RFC 8446, RFC 5246): the handshake here, its signature in another process. `client` is
//! the other side.

pub mod client;
#[cfg(test)]
pub mod dial;
pub mod roots;
mod signer;

use crate::drive::certificate::is_for;
use crate::drive::edge::Stream;
use crate::ipc::sign::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CommonState, ProtocolVersion, ServerConfig, ServerConnection};
use signer::{RemoteKey, Signer};
use smtp::scram::BINDING_OCTETS;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// How long a client may take to shake hands.
const HANDSHAKE_WAIT: Duration = Duration::from_mins(1);
/// How long keys may take to say which certificates there are: it starts when we do.
const CERTIFICATES_WAIT: Duration = Duration::from_secs(10);

/// RFC 9266 §2.
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// What a server shows and signs with.
pub struct Tls {
    acceptor: TlsAcceptor,
    signer: Arc<Signer>,
}

impl Tls {
    /// Hears over this end of the arrow which certificates there are. `None`: none at all, and no TLS.
    pub async fn hear(socket: OwnedFd) -> io::Result<Option<Self>> {
        let heard = tokio::time::timeout(CERTIFICATES_WAIT, signer::certificates(socket)).await;
        let (certificates, signer) = heard.map_err(|_| io::ErrorKind::TimedOut)??;
        if certificates.is_empty() {
            return Ok(None);
        }
        let signer = Arc::new(signer);
        let shown = Shown::new(certificates, &signer);
        // TLS 1.2 and 1.3 with the provider's own order of everything: the hybrid of X25519 and ML-KEM first.
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        // Tickets are made by keys of this process, which change every six hours and end with it.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(io::Error::other)?;
        Ok(Some(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            signer,
        }))
    }

    /// Whether a handshake can succeed: keys is there, and has not just left a question without its answer.
    pub fn stands(&self) -> bool {
        self.signer.stands()
    }

    /// Shakes hands.
    pub async fn accept(&self, stream: Box<dyn Stream>) -> io::Result<Shaken> {
        let shaken = tokio::time::timeout(HANDSHAKE_WAIT, self.acceptor.accept(stream)).await;
        let stream = shaken.map_err(|_| io::ErrorKind::TimedOut)??;
        let connection = stream.get_ref().1;
        Ok(Shaken {
            agreed: Agreed::of(connection),
            exported: exported(connection),
            stream: Box::new(stream),
        })
    }
}

/// A connection after its handshake.
pub struct Shaken {
    /// As it is under TLS.
    pub stream: Box<dyn Stream>,
    /// What was agreed on.
    pub agreed: Agreed,
    /// The channel binding `tls-exporter` (RFC 9266); none before TLS 1.3.
    pub exported: Option<[u8; BINDING_OCTETS]>,
}

/// What both ends export under the label of RFC 9266 §2 with no context. TLS 1.2 would have to prove first that nobody can
/// make two connections alike (§3): with it nothing is bound.
fn exported(connection: &ServerConnection) -> Option<[u8; BINDING_OCTETS]> {
    let is_1_3 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let exported = connection.export_keying_material([0; BINDING_OCTETS], EXPORTER, Some(b""));
    exported.ok().filter(|_| is_1_3)
}

/// Lets the library look around while that can be done: for sources of random numbers that only some systems have.
pub fn warm_up() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    // Without random numbers each handshake fails by itself.
    let _ = provider.secure_random.fill(&mut [0; 32]);
}

/// What all TLS here is made of.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Version, suite and group, for the log.
    words: String,
    /// The suite alone.
    suite: String,
}

impl Agreed {
    fn of(connection: &CommonState) -> Self {
        let version = connection.protocol_version().and_then(|v| v.as_str());
        let suite = connection.negotiated_cipher_suite();
        let suite = suite.and_then(|suite| suite.suite().as_str());
        let group = connection.negotiated_key_exchange_group();
        let group = group.and_then(|group| group.name().as_str());
        let words = [version, suite, group].into_iter().flatten();
        Self {
            words: words.collect::<Vec<_>>().join(":"),
            // The library says which suites are of TLS 1.3; the registry does not.
            suite: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
        }
    }

    /// The suite, by its name in IANA's registry; empty where it has none.
    pub fn suite(&self) -> &str {
        &self.suite
    }
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// Certificates, and which of them is shown to whom.
#[derive(Debug)]
struct Shown(Vec<(Vec<String>, Arc<CertifiedKey>)>);

impl Shown {
    fn new(certificates: Vec<Certificate>, signer: &Arc<Signer>) -> Self {
        let shown = certificates.into_iter().map(|certificate| {
            let key = Arc::new(RemoteKey::new(&certificate, Arc::clone(signer)));
            let chain = certificate.chain.into_iter().map(CertificateDer::from);
            let certified = CertifiedKey::new(chain.collect(), key);
            (certificate.names, Arc::new(certified))
        });
        Self(shown.collect())
    }
}

impl ResolvesServerCert for Shown {
    /// The first that is for the name asked for and that the client can verify; where none is for that name, the first
    /// that it can verify: most who send mail do not look at the name, and who looks finds out.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let can: Vec<_> = self.0.iter().filter(|(_, key)| can(key)).collect();
        let asked = hello.server_name();
        let named = asked.and_then(|name| can.iter().find(|(names, _)| is_for(names, name)));
        let chosen = named.or(can.first())?;
        Some(Arc::clone(&chosen.1))
    }
}
