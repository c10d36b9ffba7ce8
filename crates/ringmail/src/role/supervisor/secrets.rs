//! Files with secrets: opened while we may, kept open, handed to who needs them, and never read here. What we keep are
//! descriptors, so that a role that is started anew has the files that were there at the start or the last reload.

use super::Supervisor;
use crate::config::{self, Cert, Config};
use crate::drive::certificate::PEM_OCTETS;
use crate::drive::password::PASSWORD_FILE_OCTETS;
use crate::ipc::spawn::{Part, Role, SecretFile, ToRole};
use crate::passwords::FILE_OCTETS as PASSWORDS_OCTETS;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use sys::file::{For, plain_file};

/// Bits of a secret's mode that let others than its owner change it, or others than its group read it.
const TOO_WIDE: u32 = 0o037;

/// One open file.
pub struct Secret {
    /// What it is.
    pub what: SecretFile,
    /// The file.
    pub file: OwnedFd,
}

/// A file that the configuration names.
enum Named<'c> {
    Cert(u16, &'c Cert, Part),
    Password(&'c config::Secret),
    Passwords(&'c Path),
}

impl Named<'_> {
    const fn what(&self) -> SecretFile {
        match self {
            Named::Cert(place, _, part) => SecretFile::Certificate(*place, *part),
            Named::Password(_) => SecretFile::RelayPassword,
            Named::Passwords(_) => SecretFile::Passwords,
        }
    }

    /// Whether the service's own manager hands it over.
    fn is_managers(&self) -> bool {
        match self {
            Named::Cert(_, cert, part) => cert.is_managers(*part),
            Named::Password(secret) => secret.is_managers(),
            Named::Passwords(_) => false,
        }
    }

    const fn is_credential(&self) -> bool {
        matches!(
            self,
            Named::Cert(_, Cert::Credential(_), _) | Named::Password(config::Secret::Credential(_))
        )
    }

    fn open(&self) -> io::Result<Secret> {
        let (opened, key) = match self {
            Named::Cert(_, cert, part) => (open(cert, *part), format!("cert = \"{cert}\"")),
            Named::Password(secret) => (
                open_password(secret),
                format!("relay.password = \"{secret}\""),
            ),
            Named::Passwords(path) => (
                open_passwords(path),
                format!("auth.passwords = \"file:{}\"", path.display()),
            ),
        };
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{key}: {error}"));
        Ok(Secret {
            what: self.what(),
            file: opened.map_err(told)?.into(),
        })
    }
}

/// Opens all that the configuration names; the error names what cannot be used, and why.
pub fn open_all(config: &Config) -> io::Result<Vec<Secret>> {
    named(config).map(|one| one.open()).collect()
}

/// What root opens for a service that has given root up. A credential that he does not find is with the service manager,
/// and the service's own.
pub fn open_for_service(config: &Config) -> io::Result<Vec<Secret>> {
    let opened = named(config).map(|one| match one.open() {
        Err(error) if one.is_credential() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    });
    let opened: io::Result<Vec<Option<Secret>>> = opened.collect();
    Ok(opened?.into_iter().flatten().collect())
}

/// All that the configuration names: what the service manager hands over, what was brought, and what neither has.
pub fn gather(config: &Config, mut brought: Vec<Secret>) -> io::Result<Vec<Secret>> {
    let secrets = named(config).map(|one| {
        let what = one.what();
        match brought.iter().position(|secret| secret.what == what) {
            Some(at) if !one.is_managers() => Ok(brought.swap_remove(at)),
            _ => one.open(),
        }
    });
    secrets.collect()
}

/// Each file.
fn named(config: &Config) -> impl Iterator<Item = Named<'_>> {
    let certs = (0..).zip(&config.certs);
    let parts = |(place, cert)| [Part::Chain, Part::Key].map(|part| Named::Cert(place, cert, part));
    let password = config.relay_login.as_ref();
    let password = password.map(|login| Named::Password(&login.password));
    let passwords = config.passwords().map(Named::Passwords);
    certs.flat_map(parts).chain(password).chain(passwords)
}

/// Opens a part of a certificate.
pub fn open(cert: &Cert, part: Part) -> io::Result<File> {
    open_path(&cert.file(part)?, part == Part::Key, PEM_OCTETS)
}

/// Opens a password.
pub fn open_password(secret: &config::Secret) -> io::Result<File> {
    open_path(&secret.file()?, true, PASSWORD_FILE_OCTETS)
}

/// Opens the file of hashes.
pub fn open_passwords(path: &Path) -> io::Result<File> {
    open_path(path, true, PASSWORDS_OCTETS)
}

/// Opens a plain file of at most so many octets; a secret only where others than its owner and its group cannot read it,
/// and others than its owner cannot change it. The error names the file.
pub fn open_path(path: &Path, is_secret: bool, octets_max: u64) -> io::Result<File> {
    let opened = || {
        // A pipe that somebody put there is not waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if plain_file(&file, For::Reading)? > octets_max {
            return Err(io::Error::other(format!("larger than {octets_max} octets")));
        }
        let mode = file.metadata()?.mode();
        if is_secret && mode & TOO_WIDE != 0 {
            let cause = format!(
                "mode {:04o} lets others than its owner and its group at the secret: chmod 0600, or 0640",
                mode & 0o7777
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, cause));
        }
        Ok(file)
    };
    let told =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    opened().map_err(told)
}

impl Supervisor {
    /// Gives a role those files that are for it, each by a descriptor of its own.
    pub(super) fn give_secrets(&self, role: Role) {
        self.give_files(role, &self.secrets);
    }

    /// Gives a role those of these that are for it.
    pub(super) fn give_files(&self, role: Role, secrets: &[Secret]) {
        for secret in secrets.iter().filter(|secret| secret.what.role() == role) {
            self.tell(role, &ToRole::File(secret.what), Some(&secret.file));
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
