//! Who makes certificates that a test trusts.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// A certification authority of one test.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    trusted: Arc<ClientConfig>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// With a key of its own.
    pub fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are right names");
        // Another name than those of its certificates, which clients would take for signed by themselves.
        let name = "Authority of a test";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let own = params.self_signed(&key).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(own.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trusted = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that there are")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            pem: own.pem(),
            issuer: Issuer::new(params, key),
            trusted: Arc::new(trusted),
        }
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// How a client is told to trust nobody else.
    pub fn trusted(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.trusted)
    }

    /// Makes a certificate of these names with a new key, as certbot leaves them in a folder. Gives the private key as
    /// the number that it is, the highest octets first.
    pub fn certify(&self, names: &[&str], folder: &Path) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("right names");
        let (key, chain) = self.sign(&params);
        fs::create_dir_all(folder).expect("a writable scratch folder");
        for (name, text, mode) in [
            ("fullchain.pem", chain, 0o644),
            ("privkey.pem", key.serialize_pem(), 0o600),
        ] {
            // As a renewal does: another file of the same name.
            let (path, new) = (folder.join(name), folder.join("new"));
            fs::write(&new, text).expect("a writable scratch folder");
            fs::set_permissions(&new, fs::Permissions::from_mode(mode)).expect("our own file");
            fs::rename(&new, &path).expect("a writable scratch folder");
        }
        scalar(&key.serialize_der())
    }

    /// A certificate of any kind with a new key, in PEM: the key, the certificate, its own.
    pub fn certified(&self, params: &CertificateParams) -> Vec<u8> {
        let (key, chain) = self.sign(params);
        (key.serialize_pem() + &chain).into_bytes()
    }

    fn sign(&self, params: &CertificateParams) -> (KeyPair, String) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        (key, made.pem() + &self.pem)
    }
}

/// The private number of a key of P-256 in PKCS #8: behind the version of RFC 5915 it stands as an octet string of 32.
fn scalar(der: &[u8]) -> Vec<u8> {
    let before = [2, 1, 1, 4, 32];
    let at = der
        .windows(before.len())
        .position(|octets| octets == before);
    let at = at.expect("a key of P-256") + before.len();
    der[at..at + 32].to_vec()
}
