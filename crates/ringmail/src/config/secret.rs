//! Secrets are named in the configuration and never written there: this is where one lies.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of what the service manager hands over (systemd.exec(5)).
const MANAGERS_FOLDER: &str = "CREDENTIALS_DIRECTORY";
/// Where credentials lie that root keeps himself: for who starts without a service manager, as cron does.
pub const ROOTS_FOLDER: &str = "/etc/ringmail/credentials";
/// How the name of one begins.
pub const CREDENTIAL: &str = "credential:";
/// How the path of one begins.
pub const FILE: &str = "file:";

/// Where a secret lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In this file.
    File(PathBuf),
    /// With the service manager, or in root's folder, by this name.
    Credential(String),
}

impl Secret {
    /// Reads a reference; the error says what it should be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(name) = text.strip_prefix(CREDENTIAL) {
            return if is_name(name) {
                Ok(Secret::Credential(name.into()))
            } else {
                Err("a name of letters, digits, `-`, `_` and `.`")
            };
        }
        match text.strip_prefix(FILE) {
            Some(path) if Path::new(path).is_absolute() => Ok(Secret::File(path.into())),
            Some(_) => Err("the path begins with /"),
            // What stands there may be the secret itself: it is not said again.
            None => Err("secrets do not stand here: write \"credential:NAME\" or \"file:/PATH\""),
        }
    }

    /// Its file, as it is now.
    pub fn file(&self) -> io::Result<PathBuf> {
        match self {
            Secret::File(path) => Ok(path.clone()),
            Secret::Credential(name) => credential(name, std::slice::from_ref(name)),
        }
    }

    /// Whether the service manager hands it over: then it is the service's own, and nobody else need bring it.
    pub fn is_managers(&self) -> bool {
        match self {
            Secret::File(_) => false,
            Secret::Credential(name) => is_managers(std::slice::from_ref(name)),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::File(path) => write!(f, "{FILE}{}", path.display()),
            Secret::Credential(name) => write!(f, "{CREDENTIAL}{name}"),
        }
    }
}

/// A name that systemd takes for a credential, and no path.
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !name.is_empty() && name != "." && name != ".." && name.bytes().all(plain)
}

fn managers() -> Option<PathBuf> {
    std::env::var_os(MANAGERS_FOLDER).map(PathBuf::from)
}

/// Whether the service manager has a file of one of these names.
pub fn is_managers(files: &[String]) -> bool {
    managers().is_some_and(|folder| files.iter().any(|file| folder.join(file).is_file()))
}

/// The first of these files that there is: with the service manager, then in root's folder.
pub fn credential(name: &str, files: &[String]) -> io::Result<PathBuf> {
    let folders = managers().into_iter().chain([ROOTS_FOLDER.into()]);
    let mut paths = folders.flat_map(|folder| files.iter().map(move |file| folder.join(file)));
    paths.find(|path| path.is_file()).ok_or_else(|| {
        let cause = match managers() {
            Some(_) => format!("{CREDENTIAL}{name} is neither in ${MANAGERS_FOLDER} nor in {ROOTS_FOLDER}"),
            None => format!(
                "{CREDENTIAL}{name} is not in {ROOTS_FOLDER}, and ${MANAGERS_FOLDER} is not set: no service manager hands it over"
            ),
        };
        io::Error::new(io::ErrorKind::NotFound, cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_and_never_written() {
        let good = ["credential:smarthost", "file:/etc/ringmail/password"];
        for text in good {
            assert_eq!(Secret::parse(text).unwrap().to_string(), text);
        }
        for (text, why) in [
            ("hunter2", "secrets do not stand here"),
            ("credential:../x", "a name of letters"),
            ("credential:", "a name of letters"),
            ("file:password", "the path begins with /"),
        ] {
            let said = Secret::parse(text).unwrap_err();
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
    }
}
