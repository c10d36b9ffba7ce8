//! The messages of RFC 7677 §3, and what is none.

use super::*;
use Mechanism::{ScramSha256 as BARE, ScramSha256Plus as PLUS};

/// RFC 7677 §3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
/// What both ends of a connection exported.
const EXPORTED: [u8; BINDING_OCTETS] = [0xAB; BINDING_OCTETS];

fn first(text: &str) -> Result<First, Refused> {
    First::parse(text.as_bytes(), BARE, false)
}

fn last(text: &str) -> Result<Proof, Unproved> {
    let first = first(FIRST).unwrap();
    Proof::parse(text.as_bytes(), &first, SERVER_NONCE, None)
}

#[test]
fn the_example_of_rfc_7677_is_read_and_said() {
    let first = first(FIRST).unwrap();
    assert_eq!(first.user(), "user");
    assert_eq!(first.bare(), "n=user,r=rOprNGfwEbeRWgbNEkqO");
    let nonce = Bare::parse(first.bare()).unwrap().nonce;
    let salt = BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let said = server_first(nonce, SERVER_NONCE, &salt, 4096);
    assert_eq!(said, SERVER_FIRST);
    let proof = last(LAST).unwrap();
    assert_eq!(
        BASE64.encode(&proof.code),
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let without_proof = LAST.rsplit_once(',').unwrap().0;
    assert_eq!(&*proof.without_proof, without_proof);
    assert_eq!(
        auth_message(&proof.bare, &said, &proof.without_proof),
        format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{SERVER_FIRST},{without_proof}")
    );
    let signature = BASE64
        .decode(b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        .unwrap();
    assert_eq!(
        server_final(&signature.try_into().unwrap()),
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
}

#[test]
fn names_have_their_commas_and_equals_signs_back() {
    let long = "x".repeat(LOGIN_NAME_OCTETS);
    for (written, name) in [
        ("ann@a.test", "ann@a.test"),
        ("a=2Cb=3Dc", "a,b=c"),
        ("=3D2C", "=2C"),
        ("=2C=2C", ",,"),
        ("R\u{f6}schen ", "R\u{f6}schen "),
        (&*long, &*long),
    ] {
        let read = first(&format!("n,,n={written},r=x")).unwrap();
        assert_eq!(read.user(), name);
        let same = first(&format!("n,a={written},n={written},r=x"));
        assert_eq!(same.unwrap().user(), name, "who acts as himself");
    }
    let longer = "x".repeat(LOGIN_NAME_OCTETS + 1);
    for wrong in [
        "", "=", "a=", "a=2", "a=2c", "a=3d", "a=41", "a\0b", "a\u{7f}", &longer,
    ] {
        for message in [
            format!("n,,n={wrong},r=x"),
            format!("n,a={wrong},n=ann,r=x"),
        ] {
            assert_eq!(first(&message), Err(Refused::Malformed), "{message:?}");
        }
    }
    assert_eq!(first("n,a=eve,n=ann,r=x"), Err(Refused::ForAnother));
}

#[test]
fn what_the_grammar_does_not_have_is_not_taken() {
    let long = "r".repeat(SCRAM_NONCE_OCTETS);
    for good in [
        "n,,n=a,r=x",
        "y,,n=a,r=x",
        "n,,n=a,r=x,z=1,Y=a=b",
        "n,,n=a,r=!~+=",
        &format!("n,,n=a,r={long}"),
    ] {
        assert!(first(good).is_ok(), "{good}");
    }
    for wrong in [
        "",
        ",",
        ",,",
        "n,,",
        "n,n=a,r=x",
        "N,,n=a,r=x",
        "p=,,n=a,r=x",
        "p=tls_exporter,,n=a,r=x",
        "p,,n=a,r=x",
        "n,b=x,n=a,r=x",
        "n,a,n=a,r=x",
        "n,,n=a",
        "n,,r=x",
        "n,,r=x,n=a",
        "n,,n=a,r=",
        "n,,n=a,r=a b",
        "n,,n=a,r=\u{f6}",
        "n,,n=a,r=a\0",
        "n,,n=a,r=a\u{7f}",
        &format!("n,,n=a,r={long}r"),
        // Extensions that must be known, and such as are none.
        "n,,m=x,n=a,r=x",
        "n,,n=a,m=x,r=x",
        "n,,n=a,r=x,m=x",
        "n,,n=a,r=x,",
        "n,,n=a,r=x,z",
        "n,,n=a,r=x,z=",
        "n,,n=a,r=x,zz=1",
        "n,,n=a,r=x,1=1",
        "n,,n=a,r=x,z=a\0",
    ] {
        assert_eq!(first(wrong), Err(Refused::Malformed), "{wrong:?}");
    }
    let octets = b"n,,n=\xFF,r=x";
    assert_eq!(First::parse(octets, BARE, false), Err(Refused::Malformed));
}

/// RFC 5802 §6: who could have bound and did not was lied to, and a binding is had by its own mechanism only.
#[test]
fn flags_are_those_of_the_mechanism_and_of_the_offer() {
    let exporter = "p=tls-exporter";
    let refused = Err(Refused::Binding);
    for (flag, mechanism, offered, read) in [
        ("n", BARE, false, Ok(())),
        ("n", BARE, true, Ok(())),
        ("y", BARE, false, Ok(())),
        ("y", BARE, true, refused),
        (exporter, BARE, true, refused),
        (exporter, BARE, false, refused),
        (exporter, PLUS, true, Ok(())),
        (exporter, PLUS, false, refused),
        ("n", PLUS, true, refused),
        ("y", PLUS, true, refused),
        ("p=tls-unique", PLUS, true, refused),
        ("p=tls-server-end-point", PLUS, true, refused),
        ("p=TLS-EXPORTER", PLUS, true, refused),
    ] {
        let message = format!("{flag},,n=a,r=x");
        let first = First::parse(message.as_bytes(), mechanism, offered);
        assert_eq!(first.map(|_| ()), read, "{message} {mechanism:?} {offered}");
    }
}

#[test]
fn a_last_message_is_that_of_its_challenge() {
    let wrong_nonces = [
        "rOprNGfwEbeRWgbNEkqO",
        "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k",
        "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0x",
        "ROprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    ];
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    for wrong in wrong_nonces {
        let message = LAST.replace(nonce, wrong);
        assert_eq!(last(&message), Err(Unproved::Elsewhere), "{wrong}");
    }
    // `y,,`, `n,a=user,` and the header with something behind it.
    for header in ["eSws", "bixhPXVzZXIs", "biwsAA=="] {
        let message = LAST.replace("biws", header);
        assert_eq!(last(&message), Err(Unproved::Elsewhere), "{header}");
    }
    assert!(last(&LAST.replace(",p=", ",z=1,p=")).is_ok());
    for (part, with) in [
        ("c=biws,", ""),
        ("c=biws", "c="),
        ("c=biws", "c=biw"),
        ("c=biws", "c=b=ws"),
        ("c=biws", "C=biws"),
        ("r=", "R="),
        (nonce, ""),
        (nonce, "\u{f6}"),
        (",p=", ",m=1,p="),
        (",p=", ",z,p="),
        (",p=", ",,p="),
        (",p=", ",P="),
        ("dHzb", ""),
        ("dHzb", "dHzbdHzb"),
        ("ndVQ=", "ndVR="),
        ("ndVQ=", "ndVQ"),
        ("ndVQ=", "ndVQ=,z=1"),
        ("ndVQ=", "ndVQ=\0"),
    ] {
        let message = LAST.replace(part, with);
        assert_ne!(message, LAST, "{part}");
        assert_eq!(last(&message), Err(Unproved::Malformed), "{message}");
    }
    for none in ["", ",", "p=", "c=biws"] {
        assert_eq!(last(none), Err(Unproved::Malformed), "{none}");
    }
}

#[test]
fn who_binds_says_what_this_connection_exported() {
    let first = First::parse(b"p=tls-exporter,,n=a,r=x", PLUS, true).unwrap();
    let read = |bound: &[u8], binding: Option<&[u8; BINDING_OCTETS]>| {
        let (bound, proof) = (BASE64.encode(bound), BASE64.encode(&[1; CODE_OCTETS]));
        let message = format!("c={bound},r=xy,p={proof}");
        Proof::parse(message.as_bytes(), &first, "y", binding).map(|proof| proof.code)
    };
    let header = b"p=tls-exporter,,".as_slice();
    let right = [header, &EXPORTED].concat();
    assert_eq!(read(&right, Some(&EXPORTED)), Ok([1; CODE_OCTETS]));
    let mut other = EXPORTED;
    other[31] ^= 1;
    for (bound, binding) in [
        (right.clone(), Some(&other)),
        (right.clone(), None),
        (header.to_vec(), Some(&EXPORTED)),
        ([b"n,,".as_slice(), &EXPORTED].concat(), Some(&EXPORTED)),
    ] {
        assert_eq!(read(&bound, binding), Err(Unproved::Elsewhere));
    }
}
