//! A second reading of SCRAM's messages, RFC 5802 §7, and what the driver of the session says for who knows the secrets.

use super::login::is_text;
use mail::limits;
use smtp::server::Challenge;

/// The server's part of every nonce.
const NONCE: &str = "ours";
/// What both ends exported, where the connection is bound.
pub const EXPORTED: [u8; 32] = [0xAB; 32];
/// The signature of who knows every secret.
pub const SIGNATURE: [u8; 32] = [5; 32];

/// Whom a message is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Malformed,
    Wrong,
}

/// What a client began with.
#[derive(Debug)]
pub struct First {
    pub user: String,
    pub bare: String,
    header: String,
    nonce: String,
    is_bound: bool,
}

pub fn challenge() -> Challenge {
    Challenge {
        nonce: NONCE.into(),
        salt: b"01234567".as_slice().into(),
        iterations: 4096,
    }
}

/// The client-first-message; by -PLUS or not, on a connection that is bound or not.
pub fn first(octets: &[u8], plus: bool, is_bound: bool) -> Result<First, Refused> {
    let wrong = Err(Refused::Wrong);
    let read = || {
        let text = std::str::from_utf8(octets).ok()?;
        let parts: Vec<&str> = text.split(',').collect();
        let [flag, acts_as, name, nonce, extensions @ ..] = &parts[..] else {
            return None;
        };
        let user = saslname(name.strip_prefix("n=")?)?;
        let nonce = nonce.strip_prefix("r=")?.to_owned();
        let acts_as = match *acts_as {
            "" => user.clone(),
            written => saslname(written.strip_prefix("a=")?)?,
        };
        let is_binding = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            !name.is_empty() && name.chars().all(fits)
        };
        let is_flag = ["n", "y"].contains(flag) || flag.strip_prefix("p=").is_some_and(is_binding);
        let is_good = is_flag
            && is_nonce(&nonce)
            && nonce.len() <= limits::SCRAM_NONCE_OCTETS
            && extensions.iter().all(|one| is_extension(one));
        let first = First {
            user,
            bare: parts[2..].join(","),
            header: format!("{},{},", parts[0], parts[1]),
            nonce,
            is_bound: plus,
        };
        is_good.then(|| ((*flag).to_owned(), acts_as, first))
    };
    let (flag, acts_as, first) = read().ok_or(Refused::Malformed)?;
    let fits = match &*flag {
        "n" => !plus,
        "y" => !plus && !is_bound,
        "p=tls-exporter" => plus,
        _ => false,
    };
    if fits && acts_as == first.user {
        Ok(first)
    } else {
        wrong
    }
}

/// What is asked about with the client-final-message behind that one: all of it but for the letters of its proof, and the
/// proof.
pub fn last(octets: &[u8], first: &First) -> Result<Vec<u8>, Refused> {
    let read = || {
        let text = std::str::from_utf8(octets).ok()?;
        let parts: Vec<&str> = text.split(',').collect();
        let [bound, nonce, extensions @ .., proof] = &parts[..] else {
            return None;
        };
        let bound = base64(bound.strip_prefix("c=")?)?;
        let nonce = nonce.strip_prefix("r=")?;
        let proof = base64(proof.strip_prefix("p=")?)?;
        let is_good =
            is_nonce(nonce) && proof.len() == 32 && extensions.iter().all(|one| is_extension(one));
        let without_proof = parts[..parts.len() - 1].join(",");
        is_good.then(|| {
            (
                bound,
                nonce.to_owned(),
                [without_proof.into_bytes(), proof].concat(),
            )
        })
    };
    let (bound, nonce, asked) = read().ok_or(Refused::Malformed)?;
    let mut wanted = first.header.clone().into_bytes();
    if first.is_bound {
        wanted.extend(EXPORTED);
    }
    if bound == wanted && nonce == format!("{}{NONCE}", first.nonce) {
        Ok(asked)
    } else {
        Err(Refused::Wrong)
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let octets = super::login::base64(text.as_bytes())?;
    (!octets.is_empty()).then_some(octets)
}

fn saslname(written: &str) -> Option<String> {
    let (mut name, mut rest) = (String::new(), written);
    while let Some(letter) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("=2C") {
            (name, rest) = (name + ",", behind);
        } else if let Some(behind) = rest.strip_prefix("=3D") {
            (name, rest) = (name + "=", behind);
        } else if letter == '=' {
            return None;
        } else {
            name.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    is_text(name.as_bytes(), limits::LOGIN_NAME_OCTETS).then_some(name)
}

fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.chars().all(|c| ('!'..='~').contains(&c))
}

fn is_extension(attribute: &str) -> bool {
    let mut letters = attribute.chars();
    let name = letters.next().filter(char::is_ascii_alphabetic);
    name.is_some_and(|name| name != 'm')
        && letters.next() == Some('=')
        && !letters.as_str().is_empty()
        && !letters.as_str().contains('\0')
}
