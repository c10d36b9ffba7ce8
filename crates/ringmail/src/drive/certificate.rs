//! A certificate with its private key, read from PEM files (RFC 7468) that somebody else has opened.

use mail::Time;
use rustls::SignatureScheme;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;
use sys::file::{For, plain_file};
use zeroize::{Zeroize as _, Zeroizing};

/// Largest file of a chain or of a key, in octets.
pub const PEM_OCTETS: u64 = 256 * 1024;
/// Most certificates of a chain: itself and those above it.
const CHAIN_MAX: usize = 10;
/// Most names of a certificate that are told; public CAs put at most 100 into one.
const NAMES_MAX: usize = 256;

/// A certificate and the key to it.
pub struct Identity {
    /// Itself first, then those above it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// The last second at which it is valid.
    pub until: Time,
    /// Its private key.
    pub key: Arc<dyn SigningKey>,
}

impl Identity {
    /// What its key can sign with, the best first.
    pub fn schemes(&self) -> Vec<SignatureScheme> {
        const ALL: [SignatureScheme; 10] = [
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA256,
        ];
        let can = |scheme: &SignatureScheme| self.key.choose_scheme(&[*scheme]).is_some();
        ALL.into_iter().filter(can).collect()
    }
}

/// Reads both; the error says what is wrong with which.
pub fn load(chain: &File, key: &File) -> Result<Identity, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&octets(chain)?)
        .take(CHAIN_MAX + 1)
        .collect::<Result<_, PemError>>()
        .map_err(|error| format!("the certificate: {error}"))?;
    if chain.is_empty() {
        return Err("the certificate: none in this file".into());
    }
    if chain.len() > CHAIN_MAX {
        return Err(format!(
            "the certificate: more than {CHAIN_MAX} in one chain"
        ));
    }
    let key = private_key(key)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".into(),
        other => format!("the certificate: {other}"),
    })?;
    let CertifiedKey { cert, key, .. } = certified;
    let leaf = webpki::EndEntityCert::try_from(&cert[0]);
    let leaf = leaf.map_err(|error| format!("the certificate: {error}"))?;
    let until = until(&leaf).ok_or("the certificate: its end cannot be read")?;
    let names = leaf.valid_dns_names().take(NAMES_MAX);
    Ok(Identity {
        names: names.map(str::to_ascii_lowercase).collect(),
        chain: cert,
        until,
        key,
    })
}

/// When a certificate ends. The library tells it to who asks whether it is valid at the end of all time, before it asks for
/// anything else.
fn until(leaf: &webpki::EndEntityCert<'_>) -> Option<Time> {
    let late = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let server = webpki::KeyUsage::server_auth();
    match leaf.verify_for_usage(&[], &[], &[], late, server, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            Some(Time::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
}

/// The first private key of a file; its octets are gone afterwards from where they were read to.
fn private_key(file: &File) -> Result<Arc<dyn SigningKey>, String> {
    let pem = octets(file)?;
    let mut der = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        PemError::NoItemsFound if pem.windows(9).any(|word| word == b"ENCRYPTED") => {
            "the key: it is encrypted, and nobody is there to say the word".into()
        }
        PemError::NoItemsFound => "the key: none in this file".into(),
        other => format!("the key: {other}"),
    })?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der);
    der.zeroize();
    key.map_err(|error| format!("the key: {error}"))
}

/// All of a file, from its start, whoever read it before.
fn octets(file: &File) -> Result<Zeroizing<Vec<u8>>, String> {
    let length = plain_file(file, For::Reading).map_err(|error| error.to_string())?;
    if length > PEM_OCTETS {
        return Err(format!("a file larger than {} KiB", PEM_OCTETS / 1024));
    }
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    let mut octets = Zeroizing::new(vec![0; length]);
    let read = file.read_exact_at(&mut octets, 0);
    read.map_err(|error| error.to_string())?;
    Ok(octets)
}

/// Whether a certificate of these names is for this one (RFC 6125 §6.4.3: `*` stands for the whole leftmost label).
pub fn is_for(names: &[String], name: &str) -> bool {
    let above = name.split_once('.').map(|(_, above)| above);
    names.iter().any(|known| match known.strip_prefix("*.") {
        Some(known) => above.is_some_and(|above| known.eq_ignore_ascii_case(above)),
        None => known.eq_ignore_ascii_case(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        let names = ["mx.example.org".to_owned(), "*.example.net".to_owned()];
        assert!(is_for(&names, "MX.example.org"));
        assert!(is_for(&names, "a.example.net"));
        assert!(!is_for(&names, "a.b.example.net"));
        assert!(!is_for(&names, "example.net"));
        assert!(!is_for(&names, "net"));
    }
}
