//! The authorities that vouch for certificates of next hops, as a file of this machine has them: read before a role loses
//! sight of it, and only where something is verified at all.

use crate::config::Config;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Where distributions keep theirs: Debian, Fedora, SUSE, Alpine.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Largest file that is read: some four times what all authorities of a distribution take.
const FILE_OCTETS: u64 = 1024 * 1024;

/// What the file says; nothing where there is none, or none is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    pem: Vec<u8>,
    /// Somebody is verified.
    needed: bool,
}

impl Roots {
    /// Reads the file that the configuration names, or the system's; an error says which, and why not.
    pub fn read(config: &Config) -> Result<Self, (PathBuf, io::Error)> {
        if !is_needed(config) {
            return Ok(Self::default());
        }
        let is_there = |path: &&&str| Path::new(path).exists();
        let system = SYSTEM.iter().find(is_there).unwrap_or(&SYSTEM[0]);
        let path = config.tls.roots.clone().unwrap_or_else(|| system.into());
        let mut pem = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(FILE_OCTETS + 1).read_to_end(&mut pem));
        match read {
            Ok(octets) if octets as u64 > FILE_OCTETS => {
                let why = format!("larger than {} KiB", FILE_OCTETS / 1024);
                Err((path, io::Error::other(why)))
            }
            Ok(_) => Ok(Self { pem, needed: true }),
            Err(error) => Err((path, error)),
        }
    }

    /// Whether they can vouch for anybody, where somebody is verified.
    pub fn vouch(&self) -> bool {
        !self.needed || !self.store().is_empty()
    }

    /// The certificates in it that are any.
    pub fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        // What is none vouches for nobody.
        let certificates = CertificateDer::pem_slice_iter(&self.pem).filter_map(Result::ok);
        store.add_parsable_certificates(certificates);
        store
    }
}

/// Whether anybody is verified.
fn is_needed(config: &Config) -> bool {
    let to = config.policy.relay_to.as_ref();
    !config.tls.verify.is_empty() || to.is_some_and(|to| to.scheme.is_verified())
}
