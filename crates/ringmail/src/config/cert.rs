//! `cert`: certificates with their private keys, by their files.

use super::options::OptionRow;
use super::read::{self, Value};
use super::reader::Reader;
use super::secret::{self, CREDENTIAL};
use super::top::absolute;
use crate::ipc::sign::CERTIFICATES_MAX;
use crate::ipc::spawn::Part;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cert {
    /// In a folder, as `fullchain.pem` and `privkey.pem`; or both in one file.
    Path(PathBuf),
    /// With the service manager, which hands them over as `NAME_fullchain.pem` and `NAME_privkey.pem`, which is what it
    /// makes of a folder; or both as `NAME`.
    Credential(String),
}

impl Cert {
    /// The file of a part, as it is now.
    pub fn file(&self, part: Part) -> io::Result<PathBuf> {
        let name = part_name(part);
        match self {
            Cert::Path(path) if path.is_dir() => Ok(path.join(name)),
            Cert::Path(path) => Ok(path.clone()),
            Cert::Credential(credential) => secret::credential(credential, &both(credential, name)),
        }
    }

    /// Whether the service manager hands this part over: then it is the service's own, and nobody else need bring it.
    pub fn is_managers(&self, part: Part) -> bool {
        match self {
            Cert::Path(_) => false,
            Cert::Credential(credential) => secret::is_managers(&both(credential, part_name(part))),
        }
    }
}

const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Chain => "fullchain.pem",
        Part::Key => "privkey.pem",
    }
}

/// A credential with both parts, and the one that systemd makes of a part in a folder.
fn both(credential: &str, part: &str) -> [String; 2] {
    [credential.into(), format!("{credential}_{part}")]
}

impl fmt::Display for Cert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cert::Path(path) => path.display().fmt(f),
            Cert::Credential(name) => write!(f, "{CREDENTIAL}{name}"),
        }
    }
}

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    for written in read::list(row, value, &mut reader.errors) {
        let cert = match written.text.strip_prefix(CREDENTIAL) {
            Some(name) if secret::is_name(name) => Ok(Cert::Credential(name.into())),
            Some(_) => Err("a name of letters, digits, `-`, `_` and `.`"),
            None => absolute(&written.text).map(|()| Cert::Path(written.text.into())),
        };
        let (title, label) = match cert {
            Err(label) => ("cert is no absolute path", label),
            Ok(cert) if reader.certs.contains(&cert) => {
                ("cert names one twice", "leave one of them out")
            }
            Ok(_) if reader.certs.len() == CERTIFICATES_MAX => (
                "cert names more than 64",
                "a certificate may be for many names",
            ),
            Ok(cert) => {
                reader.certs.push(cert);
                continue;
            }
        };
        reader.errors.add(written.span, title, label);
    }
}

const _: () = assert!(CERTIFICATES_MAX == 64, "as the mistake says");

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::ipc::spawn::Situation;

    fn certs(written: &str) -> Result<Vec<String>, String> {
        let text = format!("hostname = \"mx.example.org\"\ncert = {written}\n");
        let config = Config::parse(&text, "ringmail.toml", Situation::Run);
        let config = config.map_err(|errors| errors.to_string())?;
        Ok(config.certs.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn paths_and_credentials_are_named() {
        let both = certs("[\"/etc/letsencrypt/live/a\", \"credential:tls\"]").unwrap();
        assert_eq!(both, ["/etc/letsencrypt/live/a", "credential:tls"]);
        assert!(certs("\"live/a\"").unwrap_err().contains("begin it with /"));
        assert!(
            certs("\"credential:../x\"")
                .unwrap_err()
                .contains("a name of letters")
        );
        assert!(certs("[\"/a/b\", \"/a/b\"]").unwrap_err().contains("twice"));
        let many: Vec<String> = (0..65).map(|number| format!("/etc/tls/{number}")).collect();
        assert!(
            certs(&format!("{many:?}"))
                .unwrap_err()
                .contains("more than 64")
        );
    }
}
