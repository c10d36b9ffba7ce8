//! What the server of a TLS handshake signs, and nothing else: whoever asks for signatures may be taken over, and what
//! else could be signed by a key of ours is not for him to say.

use rustls::SignatureScheme;

/// Versions of TLS that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl Version {
    /// Whether it signs so. RSA is PKCS #1 or PSS in TLS 1.2 and PSS alone in TLS 1.3 (RFC 8446 §4.2.3); SHA-1 is in
    /// neither, for us.
    pub fn has(self, scheme: SignatureScheme) -> bool {
        match scheme {
            SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512 => self == Version::Tls12,
            SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512
            | SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512
            | SignatureScheme::ED25519 => true,
            _ => false,
        }
    }
}

/// Before the context of a signature of TLS 1.3 (RFC 8446 §4.4.3).
const PADDING: [u8; 64] = [b' '; 64];
/// The context of a server, and the octet that ends it.
const SERVER: &[u8] = b"TLS 1.3, server CertificateVerify\0";
/// Lengths of the hashes that the cipher suites of TLS 1.3 have: SHA-256 and SHA-384 (RFC 8446 §B.4).
const HASHES: [usize; 2] = [32, 48];
/// The random values of client and server (RFC 5246 §7.4.1.2).
const RANDOMS: usize = 64;
/// The kind of curve that has a name (RFC 8422 §5.4).
const NAMED_CURVE: u8 = 3;
/// Curves by their numbers (RFC 8422 §5.1.1), with the length of a share and how it begins: 4 says that a point is not
/// compressed, the only form there is; those of RFC 7748 are plain numbers.
const CURVES: [(u16, usize, Option<u8>); 5] = [
    (23, 65, Some(4)),
    (24, 97, Some(4)),
    (25, 133, Some(4)),
    (29, 32, None),
    (30, 56, None),
];

/// Which version's server signs this; nothing where none does.
pub fn of(message: &[u8]) -> Option<Version> {
    if is_verify(message) {
        Some(Version::Tls13)
    } else if is_key_exchange(message) {
        Some(Version::Tls12)
    } else {
        None
    }
}

/// RFC 8446 §4.4.3.
fn is_verify(message: &[u8]) -> bool {
    let context = message.strip_prefix(&PADDING);
    let hash = context.and_then(|context| context.strip_prefix(SERVER));
    hash.is_some_and(|hash| HASHES.contains(&hash.len()))
}

/// RFC 8422 §5.4: the two random values, then the server's share of an exchange on a named curve.
fn is_key_exchange(message: &[u8]) -> bool {
    let Some((client, [NAMED_CURVE, high, low, length, share @ ..])) =
        message.split_at_checked(RANDOMS)
    else {
        return false;
    };
    let number = u16::from_be_bytes([*high, *low]);
    let curve = CURVES.iter().find(|(curve, ..)| *curve == number);
    let fits = curve.is_some_and(|(_, octets, first)| {
        share.len() == *octets
            && usize::from(*length) == *octets
            && first.is_none_or(|first| share.first() == Some(&first))
    });
    // What begins like a signature of TLS 1.3 is none of TLS 1.2, whatever stands behind.
    fits && !client.starts_with(&PADDING[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(context: &[u8], hash: usize) -> Vec<u8> {
        [&PADDING[..], context, &vec![7; hash]].concat()
    }

    fn exchange(curve: u16, length: usize, first: u8) -> Vec<u8> {
        let octet = u8::try_from(length).unwrap();
        let mut message = vec![9; RANDOMS];
        message.extend([
            NAMED_CURVE,
            curve.to_be_bytes()[0],
            curve.to_be_bytes()[1],
            octet,
        ]);
        message.extend(std::iter::once(first).chain(std::iter::repeat_n(5, length - 1)));
        message
    }

    #[test]
    fn what_a_server_signs_is_known() {
        assert_eq!(of(&verify(SERVER, 32)), Some(Version::Tls13));
        assert_eq!(of(&verify(SERVER, 48)), Some(Version::Tls13));
        assert_eq!(of(&exchange(23, 65, 4)), Some(Version::Tls12));
        assert_eq!(of(&exchange(29, 32, 5)), Some(Version::Tls12));
    }

    #[test]
    fn nothing_else_is() {
        // What a client signs, what a hash of another length would be, and what is cut or has more behind it.
        assert_eq!(
            of(&verify(b"TLS 1.3, client CertificateVerify\0", 32)),
            None
        );
        assert_eq!(of(&verify(SERVER, 20)), None);
        assert_eq!(of(&verify(SERVER, 64)), None);
        assert_eq!(of(&verify(SERVER, 0)), None);
        assert_eq!(of(b""), None);
        assert_eq!(of(&[0; 32]), None);
        assert_eq!(
            of(b"v=1; a=rsa-sha256; d=example.org; s=x; h=from; bh=; b="),
            None
        );
        assert_eq!(of(&exchange(23, 65, 2)), None, "a compressed point");
        assert_eq!(of(&exchange(23, 64, 4)), None, "a point of another length");
        assert_eq!(of(&exchange(22, 65, 4)), None, "another curve");
        for whole in [verify(SERVER, 32), exchange(23, 65, 4)] {
            assert_eq!(of(&whole[..whole.len() - 1]), None);
            assert_eq!(of(&[&whole[..], b"x"].concat()), None);
        }
        let mut explicit = exchange(23, 65, 4);
        explicit[RANDOMS] = 1;
        assert_eq!(of(&explicit), None, "a curve without a name");
    }

    #[test]
    fn each_version_has_its_signatures() {
        let pkcs1 = SignatureScheme::RSA_PKCS1_SHA256;
        assert!(Version::Tls12.has(pkcs1) && !Version::Tls13.has(pkcs1));
        assert!(Version::Tls13.has(SignatureScheme::RSA_PSS_SHA256));
        assert!(!Version::Tls12.has(SignatureScheme::RSA_PKCS1_SHA1));
    }
}
