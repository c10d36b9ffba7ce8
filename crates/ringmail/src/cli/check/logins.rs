//! Logins: the file of password hashes is there, where users log in, nobody else may read it, and it can be used.

use super::Finding;
use crate::config::Config;
use crate::drive::password;
use crate::role::supervisor::secrets;
use std::io;

/// Looks at it as the service will, as who runs this.
pub(super) fn passwords(config: &Config, findings: &mut Vec<Finding>) {
    let Some(path) = config.passwords() else {
        return;
    };
    let why = match secrets::open_passwords(path) {
        Ok(file) => {
            if let Err(why) = password::load_hashes(&file) {
                let title = format!("{}: {why}", path.display());
                let label =
                    "every line is NAME:HASH as `ringmail user add` writes it, empty, or a comment";
                findings.push(Finding::error("auth.passwords", title, label));
            }
            return;
        }
        Err(why) => why,
    };
    let label = if why.kind() == io::ErrorKind::NotFound {
        "nobody can log in: say `ringmail user add NAME`, which makes it"
    } else {
        "a file of `ringmail user add`, which its owner and its group alone may read; the service's user opens it, root where root starts it"
    };
    findings.push(Finding::error("auth.passwords", why.to_string(), label));
}
