//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, RFC 5802 with the hash of RFC 7677: what both sides say, by the grammar of RFC 5802
//! §7 and within bounds. Nothing is computed here: who keeps the secrets does that, with what was said.

use crate::extension::Mechanism;
use data_encoding::BASE64;
use mail::limits::{LOGIN_NAME_OCTETS, SCRAM_NONCE_OCTETS};
use std::fmt;

/// Octets of a proof, and of a server's signature: as many as the hash gives.
pub const CODE_OCTETS: usize = 32;
/// Octets of the channel binding `tls-exporter` (RFC 9266 §2).
pub const BINDING_OCTETS: usize = 32;
/// The channel binding that we have, by its name in the registry: under TLS 1.3 alone, where nobody can make two connections
/// export the same (RFC 9266 §3).
pub const BINDING: &str = "tls-exporter";

/// Why a client's first message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not as RFC 5802 §7 has it, is beyond our bounds, or wants an extension that we do not know.
    Malformed,
    /// It wants to act as another.
    ForAnother,
    /// It says that we have no channel binding, and we offered one: somebody stands between that took it out of the offer
    /// (RFC 5802 §6); or it wants another binding than there is.
    Binding,
}

/// The client-first-message.
#[derive(PartialEq, Eq)]
pub struct First {
    /// The gs2-header, as it is to be said again.
    header: Box<str>,
    /// Whether the client binds its login to the connection.
    binds: bool,
    /// The client-first-message-bare.
    bare: Box<str>,
    /// Who logs in.
    user: Box<str>,
}

/// Who logs in is not shown.
impl fmt::Debug for First {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("First(..)")
    }
}

impl First {
    /// Reads one that began this mechanism; `binding` says whether -PLUS was offered. The gs2-cbind-flag is held against
    /// both (RFC 5802 §6): who says `y` was not shown our offer.
    pub fn parse(octets: &[u8], mechanism: Mechanism, binding: bool) -> Result<Self, Refused> {
        let text = std::str::from_utf8(octets).map_err(|_| Refused::Malformed)?;
        let malformed = Refused::Malformed;
        let (flag, rest) = text.split_once(',').ok_or(malformed)?;
        let (acts_as, bare) = rest.split_once(',').ok_or(malformed)?;
        let binds = match flag.strip_prefix("p=") {
            Some(name) if is_binding_name(name) => Some(name),
            None if matches!(flag, "n" | "y") => None,
            _ => return Err(malformed),
        };
        let acts_as = match acts_as.strip_prefix("a=") {
            Some(name) => Some(name_of(name).ok_or(malformed)?),
            None if acts_as.is_empty() => None,
            None => return Err(malformed),
        };
        let Bare { user, .. } = Bare::parse(bare).ok_or(malformed)?;
        match (mechanism, binds) {
            // The name of the mechanism and the flag say the same, or one of them is not the client's.
            (Mechanism::ScramSha256Plus, Some(BINDING)) if binding => {}
            (Mechanism::ScramSha256, None) if flag == "n" || !binding => {}
            _ => return Err(Refused::Binding),
        }
        if acts_as.is_some_and(|name| name != user) {
            return Err(Refused::ForAnother);
        }
        Ok(Self {
            header: text[..text.len() - bare.len()].into(),
            binds: binds.is_some(),
            bare: bare.into(),
            user,
        })
    }

    /// Who logs in, as the client wrote it, its `=2C` and `=3D` undone.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The client-first-message-bare.
    pub fn bare(&self) -> &str {
        &self.bare
    }

    /// What stands behind `c=` in the client's last message.
    fn bound(&self, binding: Option<&[u8; BINDING_OCTETS]>) -> Vec<u8> {
        let mut bound = self.header.as_bytes().to_vec();
        if self.binds {
            bound.extend(binding.into_iter().flatten());
        }
        bound
    }
}

/// What a client-first-message-bare says: `n=NAME,r=NONCE`, and extensions that nobody has to know.
#[derive(Debug, PartialEq, Eq)]
pub struct Bare<'m> {
    /// Who logs in.
    pub user: Box<str>,
    /// The client's part of the nonce, of at most [`SCRAM_NONCE_OCTETS`].
    pub nonce: &'m str,
}

impl<'m> Bare<'m> {
    /// Reads one. `m=`, which is for extensions that must be known, may stand nowhere (RFC 5802 §5.1).
    pub fn parse(text: &'m str) -> Option<Self> {
        let mut attributes = text.split(',');
        let user = name_of(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let is_fit = is_nonce(nonce) && nonce.len() <= SCRAM_NONCE_OCTETS;
        (is_fit && attributes.all(is_extension)).then_some(Self { user, nonce })
    }
}

/// The server-first-message: the nonce whole, and what the client needs to compute its proof.
pub fn server_first(
    client_nonce: &str,
    server_nonce: &str,
    salt: &[u8],
    iterations: u32,
) -> String {
    let salt = BASE64.encode(salt);
    format!("r={client_nonce}{server_nonce},s={salt},i={iterations}")
}

/// What the proof and the server's signature are computed over (RFC 5802 §3).
pub fn auth_message(bare: &str, server_first: &str, without_proof: &str) -> String {
    format!("{bare},{server_first},{without_proof}")
}

/// The server-final-message of a server that knows the secret too.
pub fn server_final(signature: &[u8; CODE_OCTETS]) -> String {
    format!("v={}", BASE64.encode(signature))
}

/// What a client's last message proves, if it does.
#[derive(PartialEq, Eq)]
pub struct Proof {
    /// The client-first-message-bare.
    pub bare: Box<str>,
    /// The server's part of the nonce.
    pub server_nonce: Box<str>,
    /// The client-final-message-without-proof.
    pub without_proof: Box<str>,
    /// The proof.
    pub code: [u8; CODE_OCTETS],
}

/// With what is beside it in a message, passwords can be tried out on it.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

/// Why a client's last message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproved {
    /// It is not as RFC 5802 §7 has it.
    Malformed,
    /// It is the answer to another challenge, or comes over another connection than the client thinks.
    Elsewhere,
}

impl Proof {
    /// Reads the client-final-message behind this first one and this nonce of ours, on a connection with this binding: it
    /// says both nonces again, and the binding (RFC 5802 §5.1).
    pub fn parse(
        octets: &[u8],
        first: &First,
        server_nonce: &str,
        binding: Option<&[u8; BINDING_OCTETS]>,
    ) -> Result<Self, Unproved> {
        let malformed = Unproved::Malformed;
        let text = std::str::from_utf8(octets).map_err(|_| malformed)?;
        let (without_proof, proof) = text.rsplit_once(',').ok_or(malformed)?;
        let proof = proof.strip_prefix("p=").and_then(decoded);
        let code = proof.and_then(|proof| proof.try_into().ok());
        let code = code.ok_or(malformed)?;
        let mut attributes = without_proof.split(',');
        let mut next = |name| attributes.next().and_then(|part| part.strip_prefix(name));
        let bound = next("c=").and_then(decoded).ok_or(malformed)?;
        let nonce = next("r=").filter(|nonce| is_nonce(nonce));
        let nonce = nonce.ok_or(malformed)?;
        if !attributes.all(is_extension) {
            return Err(malformed);
        }
        let own = Bare::parse(&first.bare).ok_or(malformed)?.nonce;
        let is_ours = nonce.strip_prefix(own) == Some(server_nonce);
        if !is_ours || bound != first.bound(binding) {
            return Err(Unproved::Elsewhere);
        }
        Ok(Self {
            bare: first.bare.clone(),
            server_nonce: server_nonce.into(),
            without_proof: without_proof.into(),
            code,
        })
    }
}

/// `saslname`, with `=2C` for a comma and `=3D` for an equals sign; with another `=` it is none (RFC 5802 §5.1). It is not
/// prepared as RFC 4013 has it: whoever looks for it folds it, as all names of ours are (docs/adr/0041).
fn name_of(written: &str) -> Option<Box<str>> {
    let mut parts = written.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match part.strip_prefix("2C") {
            Some(rest) => (',', rest),
            None => ('=', part.strip_prefix("3D")?),
        };
        name.push(sign);
        name.push_str(rest);
    }
    let is_fit =
        !name.is_empty() && name.len() <= LOGIN_NAME_OCTETS && !name.chars().any(char::is_control);
    is_fit.then(|| name.into())
}

/// `cb-name`.
fn is_binding_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    !name.is_empty() && name.bytes().all(fits)
}

/// `printable`; a comma has parted it from its neighbours already.
fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `attr-val` that need not be known: not `m=`.
fn is_extension(attribute: &str) -> bool {
    let is_optional = |name: &str| {
        let mut letters = name.bytes();
        letters
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() && b != b'm')
            && letters.next().is_none()
    };
    let part = attribute.split_once('=');
    part.is_some_and(|(name, value)| {
        is_optional(name) && !value.is_empty() && !value.contains('\0')
    })
}

/// Undoes base64 that is as RFC 5802 §7 has it: whole groups, padding at the end.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let end = text.trim_end_matches('=');
    // The library takes several texts, each with its padding, for one.
    let is_one = !end.contains('=') && !text.is_empty();
    is_one
        .then(|| BASE64.decode(text.as_bytes()).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
