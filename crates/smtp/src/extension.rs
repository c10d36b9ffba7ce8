//! Service extensions, RFC 5321 §2.2: one entry each, for both sides. What is not here is not spoken.

/// One extension that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// RFC 4954; on either side with the mechanisms of [`Mechanism`] alone.
    Auth,
    /// RFC 3030; without BINARYMIME.
    Chunking,
    /// RFC 3461.
    Dsn,
    /// RFC 6152.
    EightBitMime,
    /// RFC 2034.
    EnhancedStatusCodes,
    /// RFC 5321 §4.1.1.8. A command that not every server has is listed (§4.1.1.1); clients need not ask for it.
    Help,
    /// RFC 2920.
    Pipelining,
    /// RFC 1870.
    Size,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 3207.
    StartTls,
}

impl Extension {
    /// All of them, in the order that a server offers them.
    pub const ALL: [Extension; 10] = [
        Extension::Pipelining,
        Extension::Size,
        Extension::EightBitMime,
        Extension::SmtpUtf8,
        Extension::EnhancedStatusCodes,
        Extension::Chunking,
        Extension::Dsn,
        Extension::StartTls,
        Extension::Auth,
        Extension::Help,
    ];

    /// The EHLO keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Extension::Auth => "AUTH",
            Extension::Chunking => "CHUNKING",
            Extension::Dsn => "DSN",
            Extension::EightBitMime => "8BITMIME",
            Extension::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Extension::Help => "HELP",
            Extension::Pipelining => "PIPELINING",
            Extension::Size => "SIZE",
            Extension::SmtpUtf8 => "SMTPUTF8",
            Extension::StartTls => "STARTTLS",
        }
    }

    /// The extension of a keyword that a server offered, in any case.
    pub fn from_keyword(keyword: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|e| e.keyword().eq_ignore_ascii_case(keyword))
    }
}

/// A mechanism of AUTH that we speak: the first two say the password as it is. All go under TLS alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Never a standard (draft-murchison-sasl-login), and all that some clients and servers have.
    Login,
    /// RFC 7677: a proof that the password is known. As a server only, and where the administrator wants it.
    ScramSha256,
    /// The same, bound to the connection.
    ScramSha256Plus,
}

impl Mechanism {
    /// All of them, in the order that a server offers them. Clients that take the first they know have one that every user
    /// can log in by.
    pub const ALL: [Mechanism; 4] = [
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::ScramSha256,
        Mechanism::ScramSha256Plus,
    ];

    /// Its name in the registry of SASL.
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

/// Which mechanisms a server offers besides those that say the password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// Whether a password can be proved.
    pub scram: bool,
    /// Whether the proof can be bound to the connection.
    pub binding: bool,
}

impl Proofs {
    /// Whether this mechanism is offered, where any is.
    pub fn has(self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Plain | Mechanism::Login => true,
            Mechanism::ScramSha256 => self.scram,
            Mechanism::ScramSha256Plus => self.scram && self.binding,
        }
    }
}

/// What a server says of itself in reply to EHLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The name that we publish.
    pub hostname: &'a str,
    /// Largest content, in octets.
    pub content_octets_max: u64,
    /// Whether TLS can begin: never where it has (RFC 3207 §4.2).
    pub start_tls: bool,
    /// Whether the client can log in.
    pub auth: bool,
    /// How, besides by its password.
    pub proofs: Proofs,
    /// Whether the client may say what is to be reported.
    pub dsn: bool,
}

impl Offer<'_> {
    /// Writes it: the name, then each extension.
    pub fn write(&self, out: &mut Vec<u8>) {
        let offered = |e: &Extension| match e {
            Extension::Auth => self.auth,
            Extension::Dsn => self.dsn,
            Extension::StartTls => self.start_tls,
            _ => true,
        };
        let mut offered = Extension::ALL.into_iter().filter(offered).peekable();
        out.extend_from_slice(b"250-");
        out.extend_from_slice(self.hostname.as_bytes());
        while let Some(extension) = offered.next() {
            let last = offered.peek().is_none();
            out.extend_from_slice(if last { b"\r\n250 " } else { b"\r\n250-" });
            out.extend_from_slice(extension.keyword().as_bytes());
            match extension {
                Extension::Size => {
                    out.extend_from_slice(format!(" {}", self.content_octets_max).as_bytes());
                }
                Extension::Auth => {
                    let has = |mechanism: &Mechanism| self.proofs.has(*mechanism);
                    for mechanism in Mechanism::ALL.into_iter().filter(has) {
                        out.push(b' ');
                        out.extend_from_slice(mechanism.name().as_bytes());
                    }
                }
                _ => {}
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    /// IANA's registry of SMTP service extensions, without those that are obsolete.
    const REGISTERED: [&str; 31] = [
        "8BITMIME",
        "ATRN",
        "AUTH",
        "BINARYMIME",
        "BURL",
        "CHECKPOINT",
        "CHUNKING",
        "CONNEG",
        "CONPERM",
        "DELIVERBY",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "ETRN",
        "EXPN",
        "FUTURERELEASE",
        "HELP",
        "LIMITS",
        "MT-PRIORITY",
        "MTRK",
        "NO-SOLICITING",
        "PIPELINING",
        "REQUIRETLS",
        "RRVS",
        "SAML",
        "SEND",
        "SIZE",
        "SMTPUTF8",
        "SOML",
        "STARTTLS",
        "SUBMITTER",
        "TURN",
    ];

    #[test]
    fn every_keyword_is_registered_and_read_in_any_case() {
        for extension in Extension::ALL {
            let keyword = extension.keyword();
            assert!(REGISTERED.contains(&keyword), "{keyword}");
            for written in [keyword.to_ascii_lowercase(), keyword.to_owned()] {
                assert_eq!(Extension::from_keyword(&written), Some(extension));
            }
            assert_eq!(Extension::from_keyword(&format!("X{keyword}")), None);
        }
    }

    /// RFC 5321 §4.1.1.1: a command that §4.5.1 does not require is listed, or not done.
    #[test]
    fn what_is_done_and_not_required_is_listed() {
        let offer = Offer {
            hostname: "mx.test",
            content_octets_max: 10,
            start_tls: true,
            auth: true,
            proofs: Proofs::default(),
            dsn: true,
        };
        let mut said = Vec::new();
        offer.write(&mut said);
        assert_eq!(
            String::from_utf8(said).unwrap(),
            "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 10\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n\
             250-CHUNKING\r\n250-DSN\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 HELP\r\n"
        );
        for (line, listed_by) in [
            ("AUTH PLAIN", Extension::Auth),
            ("BDAT 1", Extension::Chunking),
            ("HELP", Extension::Help),
            ("STARTTLS", Extension::StartTls),
        ] {
            assert!(Command::parse(line.as_bytes()).is_ok(), "{line}");
            assert!(Extension::ALL.contains(&listed_by), "{line}");
        }
        for line in ["ATRN", "ETRN a.test", "TURN", "SEND FROM:<a@b.c>"] {
            assert!(Command::parse(line.as_bytes()).is_err(), "{line}");
        }
        assert_eq!(Extension::from_keyword("EXPN"), None);
    }
}
