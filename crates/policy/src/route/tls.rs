//! Which TLS a next hop has to be spoken to under, by where mail goes and what the administrator demands.

use mail::{Destination, Domain, Scheme};
use std::collections::BTreeSet;

/// What is demanded of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name that its certificate has to have, and then nothing goes there in clear; nothing where TLS is only asked for,
    /// and any certificate will do.
    pub verified: Option<String>,
    /// TLS begins with the first octet.
    pub at_once: bool,
}

impl Tls {
    /// Of this host, for mail to this destination; `verify` are domains whose hosts are verified.
    pub fn of(destination: &Destination, host: &str, verify: &BTreeSet<Domain>) -> Self {
        let (verified, at_once) = match destination {
            Destination::SmartHost(scheme, name, _) => {
                let name = scheme.is_verified().then(|| name.to_string());
                (name, *scheme == Scheme::Smtps)
            }
            Destination::Mx(domain) if verify.contains(domain) => {
                (Some(name_in(domain, host)), false)
            }
            _ => (None, false),
        };
        Self { verified, at_once }
    }
}

/// A host of the domain is verified by its own name. DNS is not believed for another: what lies elsewhere shows a
/// certificate of the domain itself.
fn name_in(domain: &Domain, host: &str) -> String {
    let domain = domain.to_string();
    let mut rest = Some(host);
    while let Some(name) = rest {
        if name.eq_ignore_ascii_case(&domain) {
            return host.to_owned();
        }
        rest = name.split_once('.').map(|(_, above)| above);
    }
    domain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> Domain {
        Domain::parse_name("b.test").unwrap()
    }

    fn of(destination: &Destination, verify: &BTreeSet<Domain>) -> (Option<String>, bool) {
        let tls = Tls::of(destination, "elsewhere.test", verify);
        (tls.verified, tls.at_once)
    }

    #[test]
    fn who_is_named_is_verified_and_nobody_else() {
        let (none, verify) = (BTreeSet::new(), [domain()].into());
        let smart = |scheme| Destination::SmartHost(scheme, "b.test".into(), 2525);
        let mx = Destination::Mx(domain());
        let name = || Some("b.test".to_owned());
        assert_eq!(of(&mx, &none), (None, false));
        assert_eq!(of(&smart(Scheme::Smtp), &verify), (None, false));
        assert_eq!(of(&mx, &verify), (name(), false));
        assert_eq!(of(&smart(Scheme::StartTls), &none), (name(), false));
        assert_eq!(of(&smart(Scheme::Smtps), &none), (name(), true));
    }

    #[test]
    fn a_host_within_the_domain_is_itself_and_another_is_the_domain() {
        for (host, name) in [
            ("mx.b.test", "mx.b.test"),
            ("a.mx.B.test", "a.mx.B.test"),
            ("b.test", "b.test"),
            ("xb.test", "b.test"),
            ("mx.evil.test", "b.test"),
            ("b.test.evil", "b.test"),
        ] {
            assert_eq!(name_in(&domain(), host), name, "{host}");
        }
    }
}
