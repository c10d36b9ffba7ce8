//! `[tls]`: which TLS is demanded of next hops.

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use super::top::{absolute, domain_name};
use mail::Domain;
use std::collections::BTreeSet;
use std::path::PathBuf;

pub(super) const SECTION: Section = Section {
    name: "tls",
    shape: Shape::Plain,
    doc: "TLS on the way to next hops. They are asked for it wherever they offer it, whoever's certificate they show; here \
          is what is demanded beyond that.",
    rows: &[
        OptionRow {
            key: "verify",
            kind: Kind::List,
            default: "",
            doc: "domains that get mail only under TLS, with a certificate that is theirs",
            more: "The host's own name where it lies in the domain, else the domain. Mail waits until such a host is \
                   there. A smart host is verified by `smtps://` or `starttls://` in relay.to.",
            example: "[\"example.net\", \"bank.example\"]",
            state: State::Built,
        },
        OptionRow {
            key: "roots",
            kind: Kind::Text,
            default: "",
            doc: "a file with certificates of the authorities that verify others; the system's where there is none",
            more: "PEM. The system's is the first that is there of /etc/ssl/certs/ca-certificates.crt, \
                   /etc/pki/tls/certs/ca-bundle.crt, /etc/ssl/ca-bundle.pem and /etc/ssl/cert.pem. It is read when relay \
                   starts and at a reload.",
            example: "\"/etc/ringmail/roots.pem\"",
            state: State::Built,
        },
    ],
};

/// What is demanded of next hops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Domains whose hosts are verified.
    pub verify: BTreeSet<Domain>,
    /// The authorities; the system's where there is none.
    pub roots: Option<PathBuf>,
}

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    if row.key == "roots" {
        let Some(written) = read::text(row, value, &mut reader.errors) else {
            return;
        };
        match absolute(&written.text) {
            Ok(()) => reader.tls.roots = Some(written.text.into()),
            Err(label) => {
                let title = format!("`{}` in tls.roots is not a path", written.text);
                reader.errors.add(written.span, title, label);
            }
        }
        return;
    }
    for written in read::list(row, value, &mut reader.errors) {
        match domain_name(&written.text) {
            Ok(domain) => _ = reader.tls.verify.insert(domain),
            Err(label) => {
                let title = format!("`{}` in tls.verify is not a domain", written.text);
                reader.errors.add(written.span, title, label);
            }
        }
    }
}
