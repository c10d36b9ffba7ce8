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
    /// RFC 2920.
    Pipelining,
    /// RFC 1870.
    Size,
    /// RFC 3207.
    StartTls,
}

impl Extension {
    /// All of them, in the order that a server offers them.
    pub const ALL: [Extension; 8] = [
        Extension::Pipelining,
        Extension::Size,
        Extension::EightBitMime,
        Extension::EnhancedStatusCodes,
        Extension::Chunking,
        Extension::Dsn,
        Extension::StartTls,
        Extension::Auth,
    ];

    /// The EHLO keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Extension::Auth => "AUTH",
            Extension::Chunking => "CHUNKING",
            Extension::Dsn => "DSN",
            Extension::EightBitMime => "8BITMIME",
            Extension::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Extension::Pipelining => "PIPELINING",
            Extension::Size => "SIZE",
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

/// A mechanism of AUTH that we speak. Both say the password as it is, and go under TLS alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Never a standard (draft-murchison-sasl-login), and all that some clients and servers have.
    Login,
}

impl Mechanism {
    /// All of them, in the order that a server offers them.
    pub const ALL: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

    /// Its name in the registry of SASL.
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
        }
    }

    /// The mechanism of a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
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
                    for mechanism in Mechanism::ALL {
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
