//! What is signed and what is not, with real keys.

use super::*;
use crate::drive::tls::{Tls, dial};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use std::io::Write as _;
use sys::socket::{Kind, pair};

/// A certificate of its own, as PEM files of a chain and a key.
fn files(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> (File, File) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let chain = CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (file(&chain.pem()), file(&key.serialize_pem()))
}

fn file(text: &str) -> File {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    File::open(file.path()).unwrap()
}

fn identity(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Identity {
    let (chain, key) = files(names, algorithm);
    certificate::load(&chain, &key).unwrap()
}

/// What the server of TLS 1.3 signs.
fn verify() -> Vec<u8> {
    [
        &[b' '; 64][..],
        b"TLS 1.3, server CertificateVerify\0",
        &[7; 32],
    ]
    .concat()
}

#[test]
fn only_what_a_handshake_needs_is_signed_and_only_so() {
    let loaded = [identity(&["mx.test"], &PKCS_ECDSA_P256_SHA256)];
    let ask = |number, scheme: SignatureScheme, message: &[u8]| {
        let scheme = scheme.into();
        let token = 7;
        let question = ToKeys::Sign {
            token,
            number,
            scheme,
        };
        sign(&loaded, &question, message)
    };
    let ecdsa = SignatureScheme::ECDSA_NISTP256_SHA256;
    assert!(ask(0, ecdsa, &verify()).is_ok());
    assert!(ask(1, ecdsa, &verify()).is_err(), "no such certificate");
    assert!(
        ask(0, SignatureScheme::ED25519, &verify()).is_err(),
        "another key's"
    );
    assert!(ask(0, ecdsa, b"a contract").is_err());
    assert!(ask(0, ecdsa, &[0; 32]).is_err(), "a hash");
    assert!(ask(0, SignatureScheme::ECDSA_SHA1_Legacy, &verify()).is_err());
}

#[test]
fn a_key_of_another_certificate_or_none_is_said() {
    let (chain, _) = files(&["a.test"], &PKCS_ECDSA_P256_SHA256);
    let (_, key) = files(&["a.test"], &PKCS_ECDSA_P256_SHA256);
    let why = |chain: &File, key: &File| certificate::load(chain, key).err().unwrap();
    assert_eq!(why(&chain, &key), "the key is not that of the certificate");
    assert!(why(&key, &key).contains("none in this file"));
    assert!(why(&chain, &chain).contains("the key: none"));
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(why(&chain, &file(locked)).contains("encrypted"));
    assert!(
        why(
            &file("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"),
            &key
        )
        .contains("the certificate")
    );
    let both = files(&["A.test", "*.b.test"], &PKCS_ED25519);
    let loaded = certificate::load(&both.0, &both.1).unwrap();
    // What rcgen makes where it is told nothing.
    assert_eq!(
        loaded.until.date().to_string(),
        "Sun, 1 Jan 4096 00:00:00 +0000"
    );
    assert_eq!(loaded.names, ["a.test", "*.b.test"]);
}

/// A handshake whose server has no key, over the arrow.
#[test]
fn hands_are_shaken_with_a_key_that_is_elsewhere() {
    crate::role::in_event_loop(async {
        let loaded = vec![
            identity(&["mx.test"], &PKCS_ED25519),
            identity(&["mx.test"], &PKCS_ECDSA_P256_SHA256),
            identity(&["*.other.test"], &PKCS_ECDSA_P256_SHA256),
        ];
        let chains: Vec<Vec<u8>> = loaded.iter().map(|one| one.chain[0].to_vec()).collect();
        let (ours, theirs) = pair(Kind::Stream)?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        // Who signs waits for the answer: it must be another thread, as it is another process.
        let serving = std::thread::spawn(move || {
            crate::role::in_event_loop(async move {
                let rate = Rc::new(RefCell::new(Rate::full(Instant::now())));
                let served = serve(Rc::new(loaded), rate, Rc::default(), theirs);
                tokio::select! {
                    served = served => served,
                    _ = stopped => Ok(()),
                }
            })
        });
        let tls = Tls::hear(ours).await?.expect("there are certificates");
        assert!(tls.stands());
        for (name, versions, shown) in [
            ("mx.test", &dial::BOTH[..], 0),
            ("mx.test", &[&rustls::version::TLS12][..], 0),
            ("a.other.test", &dial::BOTH[..], 2),
            // A name that no certificate is for: the first is shown, and whoever looks at the name finds out.
            ("elsewhere.test", &dial::BOTH[..], 0),
        ] {
            let seen = dial::shake(&tls, name, versions).await?;
            assert_eq!(seen, chains[shown], "{name}");
        }
        // What logins are bound to is what the client exports, another on each connection, and nothing before TLS 1.3.
        let [of_1_3, of_1_2] = dial::BOTH;
        let (ours, theirs) = dial::exported(&tls, of_1_3).await?;
        assert_eq!(ours, Some(theirs));
        assert_ne!(dial::exported(&tls, of_1_3).await?.0, ours);
        assert_eq!(dial::exported(&tls, of_1_2).await?.0, None);
        drop(stop);
        serving.join().expect("it does not panic")?;
        assert!(dial::shake(&tls, "mx.test", &dial::BOTH).await.is_err());
        assert!(!tls.stands(), "nobody is there to be asked");
        Ok(())
    })
    .unwrap();
}
