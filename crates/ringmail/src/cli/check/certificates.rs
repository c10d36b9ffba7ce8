//! Certificates: whether they can be read, belong to their keys, and are for our name; and whether there is anybody who
//! vouches for those of next hops that are verified.

use super::Finding;
use crate::config::{Cert, Config};
use crate::drive::certificate::{self, Identity};
use crate::drive::clock::Clock;
use crate::drive::password;
use crate::drive::tls::roots::Roots;
use crate::ipc::spawn::Part;
use crate::role::supervisor::secrets;
use mail::Time;
use std::time::Duration;

/// A certificate that ends within this should have been renewed: certbot does a month before.
const SOON: Duration = Duration::from_hours(14 * 24);

/// Reads one as keys will; the error says what it would say. For commands alone: a service's supervisor reads no key.
pub(in crate::cli) fn load(cert: &Cert) -> Result<Identity, String> {
    let open = |part| secrets::open(cert, part).map_err(|error| error.to_string());
    certificate::load(&open(Part::Chain)?, &open(Part::Key)?)
}

/// Without authorities no next hop that has to be verified gets mail.
pub(super) fn roots(config: &Config, findings: &mut Vec<Finding>) {
    let what = match Roots::read(config) {
        Ok(roots) if roots.vouch() => return,
        Ok(_) => "no authority is in it".to_owned(),
        Err((path, error)) => format!("{}: {error}", path.display()),
    };
    findings.push(Finding::error(
        "tls.roots",
        format!("nobody vouches for next hops that have to be verified: {what}"),
        "a file of certificates in PEM that the service's users may read; Debian's are in the package ca-certificates",
    ));
}

/// The password at the smart host, read as keys will read it.
pub(super) fn password(config: &Config, findings: &mut Vec<Finding>) {
    let Some(login) = &config.relay_login else {
        return;
    };
    let file = secrets::open_password(&login.password).map_err(|error| error.to_string());
    if let Err(why) = file.and_then(|file| password::load(&file)) {
        findings.push(Finding::error(
            "relay.password",
            format!("{}: {why}", login.password),
            "one line of text, in a file that its owner alone may read; the service's user opens it, root where root starts it",
        ));
    }
}

/// Looks at each as the service will, as who runs this.
pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    let now = Time::from_micros(Clock::start().now_micros());
    let mut names = Vec::new();
    for cert in &config.certs {
        match load(cert) {
            Ok(identity) => {
                if identity.until <= now + SOON {
                    let ended = identity.until <= now;
                    let what = if ended { "ended on" } else { "ends on" };
                    findings.push(Finding::warning(
                        "cert",
                        format!("{cert}: the certificate {what} {}", identity.until.date()),
                        "renew it, and say `ringmail reload`",
                    ));
                }
                names.extend(identity.names);
            }
            Err(why) => findings.push(Finding::error(
                "cert",
                format!("{cert}: {why}"),
                "fullchain.pem and privkey.pem in a folder, or both in one file; the service's user opens them, root where root starts it",
            )),
        }
    }
    let hostname = &config.hostname;
    if !names.is_empty() && !certificate::is_for(&names, hostname) {
        findings.push(Finding::warning(
            "cert",
            format!("no certificate is for {hostname}"),
            "servers that look at the name will not send to us, or not under TLS",
        ));
    }
}
