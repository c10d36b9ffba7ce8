//! TLS as its client speaks it, on the way to next hops. Who demands nothing takes whatever certificate is shown, for that
//! is better than to go in clear; who demands a name takes the certificates of that name that the authorities vouch for.

use super::roots::Roots;
use super::{Agreed, provider};
use crate::drive::edge::Stream;
use mail::limits::CLIENT_HANDSHAKE_WAIT;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What a handshake offers for the exchange of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// All that there is, the hybrid of X25519 and ML-KEM first: the hello is larger than a packet.
    Hybrid,
    /// What there was before. Some who swallow a large hello answer a small one.
    Classic,
}

/// Makes dialers.
pub struct Clients {
    hybrid: Kinds,
    classic: Kinds,
}

/// Those of one exchange. Sessions that are resumed are resumed by the same kind.
struct Kinds {
    anybody: TlsConnector,
    verified: TlsConnector,
}

impl Clients {
    /// With these authorities.
    pub fn new(roots: &Roots) -> io::Result<Self> {
        let roots = Arc::new(roots.store());
        let kinds = |provider: Arc<CryptoProvider>| -> io::Result<Kinds> {
            Ok(Kinds {
                anybody: connector(&provider, None)?,
                verified: connector(&provider, Some(Arc::clone(&roots)))?,
            })
        };
        let mut classic = CryptoProvider::clone(&provider());
        let hybrid = rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768.name();
        classic.kx_groups.retain(|group| group.name() != hybrid);
        Ok(Self {
            hybrid: kinds(provider())?,
            classic: kinds(Arc::new(classic))?,
        })
    }

    /// How TLS is begun with this host: by its name where one is demanded, else by that which DNS has for it.
    pub fn dialer(&self, exchange: Exchange, to: &To<'_>) -> io::Result<Dialer> {
        let kinds = match exchange {
            Exchange::Hybrid => &self.hybrid,
            Exchange::Classic => &self.classic,
        };
        let (connector, name, ip) = match *to {
            To::Verified { name } => (&kinds.verified, name, None),
            To::Anybody { name, ip } => (&kinds.anybody, name, Some(ip)),
        };
        // A host of a name that no certificate can have may be asked without one.
        let name = match (ServerName::try_from(name.to_owned()), ip) {
            (Ok(name), _) => name,
            (Err(_), Some(ip)) => ServerName::from(ip),
            (Err(error), None) => return Err(io::Error::other(error)),
        };
        Ok(Dialer {
            connector: connector.clone(),
            name,
        })
    }
}

/// Whom TLS is to be with.
#[derive(Clone, Copy, Debug)]
pub enum To<'a> {
    /// Whoever answers; he is asked for this name.
    Anybody {
        /// As DNS has it.
        name: &'a str,
        /// Where he is.
        ip: IpAddr,
    },
    /// Who shows a certificate of this name, or of this address.
    Verified {
        /// The name.
        name: &'a str,
    },
}

fn connector(
    provider: &Arc<CryptoProvider>,
    roots: Option<Arc<RootCertStore>>,
) -> io::Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match roots {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(Arc::clone(provider)))),
    };
    Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
}

/// Begins TLS with one host.
pub struct Dialer {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Dialer {
    /// Shakes hands; gives the connection as it is under TLS, and what was agreed on.
    pub async fn shake(&self, stream: Box<dyn Stream>) -> io::Result<(Box<dyn Stream>, Agreed)> {
        let shaking = self.connector.connect(self.name.clone(), stream);
        let shaken = tokio::time::timeout(CLIENT_HANDSHAKE_WAIT, shaking).await;
        let stream = shaken.map_err(|_| io::ErrorKind::TimedOut)??;
        let agreed = Agreed::of(stream.get_ref().1);
        Ok((Box::new(stream), agreed))
    }
}

/// Whether a handshake failed for the certificate that was shown: another one would show the same.
pub fn is_of_the_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(Error::InvalidCertificate(_)))
}

/// Takes every certificate, and signatures only where they are right: who shows it has its key.
#[derive(Debug)]
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
