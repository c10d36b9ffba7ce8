//! Files with secrets: opened while we may, kept open, handed to who needs them, and never read here. What we keep are
//! descriptors, so that a role that is started anew has the files that were there at the start or the last reload.

use super::Supervisor;
use crate::config::{Cert, Config};
use crate::drive::certificate::PEM_OCTETS;
use crate::ipc::spawn::{Part, Role, ToRole};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use sys::file::{For, plain_file};

/// Bits of a key's mode that let others than its owner change it, or others than its group read it.
const TOO_WIDE: u32 = 0o037;

/// One open file.
pub struct Secret {
    /// Of which certificate, in the order of the configuration.
    pub certificate: u16,
    /// Which of its files.
    pub part: Part,
    /// The file.
    pub file: OwnedFd,
}

/// Opens all that the configuration names; the error names what cannot be used, and why.
pub fn open_all(config: &Config) -> io::Result<Vec<Secret>> {
    gather(config, Vec::new())
}

/// What root opens for a service that has given root up. What the service manager handed over is the service's own.
pub fn open_for_service(config: &Config) -> io::Result<Vec<Secret>> {
    let roots = named(config).filter(|(_, cert, _)| matches!(cert, Cert::Path(_)));
    roots.map(open_one).collect()
}

/// All that the configuration names: what was brought, and what was not opened here.
pub fn gather(config: &Config, mut brought: Vec<Secret>) -> io::Result<Vec<Secret>> {
    let secrets = named(config).map(|(certificate, cert, part)| {
        let is_it = |one: &Secret| one.certificate == certificate && one.part == part;
        match brought.iter().position(is_it) {
            Some(at) => Ok(brought.swap_remove(at)),
            None => open_one((certificate, cert, part)),
        }
    });
    secrets.collect()
}

/// Each file, by its certificate's place.
fn named(config: &Config) -> impl Iterator<Item = (u16, &Cert, Part)> {
    let certs = (0..).zip(&config.certs);
    certs.flat_map(|(place, cert)| [Part::Chain, Part::Key].map(|part| (place, cert, part)))
}

fn open_one((certificate, cert, part): (u16, &Cert, Part)) -> io::Result<Secret> {
    let told =
        |error: io::Error| io::Error::new(error.kind(), format!("cert = \"{cert}\": {error}"));
    let file = open(cert, part).map_err(told)?.into();
    Ok(Secret {
        certificate,
        part,
        file,
    })
}

/// Opens one of them.
pub fn open(cert: &Cert, part: Part) -> io::Result<File> {
    let path = cert.file(part)?;
    let told =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    open_path(&path, part).map_err(told)
}

fn open_path(path: &Path, part: Part) -> io::Result<File> {
    // A pipe that somebody put there is not waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if plain_file(&file, For::Reading)? > PEM_OCTETS {
        return Err(io::Error::other(format!(
            "larger than {} KiB",
            PEM_OCTETS / 1024
        )));
    }
    let mode = file.metadata()?.mode();
    if part == Part::Key && mode & TOO_WIDE != 0 {
        let cause = format!(
            "mode {:04o} lets others than its owner and its group at the key: chmod 0600, or 0640",
            mode & 0o7777
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, cause));
    }
    Ok(file)
}

impl Supervisor {
    /// Gives keys what it needs, each file by a descriptor of its own.
    pub(super) fn give_secrets(&self, role: Role) {
        if role == Role::Keys {
            self.give_files(&self.secrets);
        }
    }

    /// Gives keys these files.
    pub(super) fn give_files(&self, secrets: &[Secret]) {
        for secret in secrets {
            let (certificate, part) = (secret.certificate, secret.part);
            let file = ToRole::File { certificate, part };
            self.tell(Role::Keys, &file, Some(&secret.file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_that_others_may_read_is_refused_and_so_is_what_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (
            folder.path().join("fullchain.pem"),
            folder.path().join("privkey.pem"),
        );
        fs::write(&chain, "x").unwrap();
        fs::write(&key, "x").unwrap();
        let cert = Cert::Path(folder.path().into());
        let set = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false)] {
            set(mode);
            assert_eq!(open(&cert, Part::Key).is_ok(), good, "{mode:o}");
        }
        fs::set_permissions(&chain, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open(&cert, Part::Chain).is_ok());
        fs::remove_file(&key).unwrap();
        let missing = open(&cert, Part::Key).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().contains("privkey.pem"), "{missing}");
        fs::create_dir(&key).unwrap();
        assert!(open(&cert, Part::Key).is_err());
        fs::remove_dir(&key).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &key, Mode::RUSR).unwrap();
        assert!(open(&cert, Part::Key).is_err());
    }
}
