//! Who has taken smtpd over asks keys for signatures of everything.

use super::random::Random;
use super::{Besieged, SOON, run, words};
use crate::role::Place;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use ringmail::drive::arrow::{self, Receiver, Sender};
use ringmail::ipc::sign::{FromKeys, ToKeys};
use ringmail::ipc::spawn::{Arrow, Part, Role, SecretFile, ToRole};
use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

const SEED: u64 = 0x5161_4E3D;
/// Questions, each a message and a scheme.
const ROUNDS: u32 = 3000;
/// Arrows on which rubbish is said.
const ARROWS: u32 = 20;
/// Many more than keys signs.
const FLOOD: u32 = 30_000;
/// What keys signs at once, and in a second.
const BURST: u32 = 5_000;
/// Of those, asked at once.
const AT_ONCE: u32 = 200;

/// ECDSA with P-256 and SHA-256 (RFC 8446 §4.2.3): what the key here can.
const ECDSA: u16 = 0x0403;
/// What the server of TLS 1.3 signs begins with this, and a hash follows.
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";

pub fn look() -> Vec<String> {
    run(async |place: &Place| {
        let (orders, scalar) = with_certificate(place)?;
        let mut real = Besieged::start_by(place, Role::Keys, &orders).map_err(words)?;
        for (part, name) in [(Part::Chain, "fullchain.pem"), (Part::Key, "privkey.pem")] {
            let file = File::open(place.folder().join(name)).map_err(words)?;
            let told = ToRole::File(SecretFile::Certificate(0, part));
            real.birth.order(&told, Some(&file.into())).map_err(words)?;
        }
        let (ask, mut answers) = open(&real)?;
        real.serves().await?;
        let before = place.all_but("");
        shown(&mut answers, &scalar).await?;
        let mut random = Random::new(SEED);
        for round in 0..ROUNDS {
            let (message, is_part) = message(&mut random);
            let scheme = *random.of(&[ECDSA, ECDSA, 0x0401, 0x0804, 0x0203, 0x0807, 0]);
            let number = *random.of(&[0, 0, 0, 1, u16::MAX]);
            let token = random.next();
            let question = ToKeys::Sign {
                token,
                number,
                scheme,
            };
            ask.say(&question, &message, None).map_err(words)?;
            let good = is_part && scheme == ECDSA && number == 0;
            match hear(&mut answers, &scalar).await? {
                FromKeys::Signed { token: of } if good && of == token => {}
                FromKeys::Refused { token: of } if !good && of == token => {}
                other => {
                    let asked = String::from_utf8_lossy(&message);
                    return Err(format!("round {round}: {question:?} {asked:?}: {other:?}"));
                }
            }
        }
        // Rubbish ends its own arrow and no other.
        for _ in 0..ARROWS {
            for arrow in [Arrow::Sign, Arrow::Login] {
                let other = real.arrow(arrow);
                // What was not taken was more than enough.
                let _ = sys::socket::send(&other, &random.rubbish(), &[]);
            }
        }
        flood(&ask, &mut answers, &scalar).await?;
        if place.all_but("") != before {
            return Err("files have changed".into());
        }
        if real.lives() {
            Ok(())
        } else {
            Err("keys has ended".into())
        }
    })
}

type Ends = (Sender<ToKeys>, Receiver<FromKeys>);

fn open(real: &Besieged) -> Result<Ends, String> {
    arrow::open(real.arrow(Arrow::Sign)).map_err(words)
}

/// A certificate in this folder, orders that name one, and the private number.
fn with_certificate(place: &Place) -> Result<(ToRole, Vec<u8>), String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(words)?;
    let params = CertificateParams::new(vec!["mx.a.test".to_owned()]).map_err(words)?;
    let chain = params.self_signed(&key).map_err(words)?;
    for (name, text) in [
        ("fullchain.pem", chain.pem()),
        ("privkey.pem", key.serialize_pem()),
    ] {
        let mut file = File::create(place.folder().join(name)).map_err(words)?;
        file.write_all(text.as_bytes()).map_err(words)?;
    }
    let ToRole::Orders {
        configuration,
        path,
        situation,
        walls,
    } = place.orders()
    else {
        return Err("no orders".into());
    };
    let orders = ToRole::Orders {
        configuration: format!("cert = \"/etc/tls\"\n{configuration}"),
        path,
        situation,
        walls,
    };
    // RFC 5915: version 1, then the number.
    let (der, before) = (key.serialize_der(), [2, 1, 1, 4, 32]);
    let at = der.windows(5).position(|octets| octets == before);
    let at = at.ok_or("no key of P-256")? + before.len();
    Ok((orders, der[at..at + 32].to_vec()))
}

/// Which certificates there are.
async fn shown(answers: &mut Receiver<FromKeys>, scalar: &[u8]) -> Result<(), String> {
    match hear(answers, scalar).await? {
        FromKeys::Certificate(one) if one.names == ["mx.a.test"] && one.schemes == [ECDSA] => {}
        other => return Err(format!("{other:?}")),
    }
    match hear(answers, scalar).await? {
        FromKeys::All => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// What keys says, which never has the private number in it.
async fn hear(answers: &mut Receiver<FromKeys>, scalar: &[u8]) -> Result<FromKeys, String> {
    let heard = tokio::time::timeout(SOON, answers.hear()).await;
    let heard = heard.map_err(words)?.ok_or("the arrow ended")?;
    let words = format!("{:?}", heard.head);
    let reversed: Vec<u8> = scalar.iter().rev().copied().collect();
    let has = |wanted: &[u8]| {
        heard
            .tail
            .windows(wanted.len())
            .any(|octets| octets == wanted)
    };
    if has(scalar) || has(&reversed) || words.contains(&format!("{scalar:?}")) {
        return Err("it has told the key".into());
    }
    if heard.fd.is_some() {
        return Err("it has given a descriptor away".into());
    }
    Ok(heard.head)
}

/// Something to be signed, and whether it is part of a handshake.
fn message(random: &mut Random) -> (Vec<u8>, bool) {
    let mut octets =
        |count: u64| -> Vec<u8> { (0..count).map(|_| random.next().to_le_bytes()[5]).collect() };
    let verify = |context: &[u8], hash: Vec<u8>| [&[b' '; 64][..], context, &hash].concat();
    let exchange = |randoms: Vec<u8>, kind: u8, curve: u16, share: Vec<u8>, length: usize| {
        let [high, low] = curve.to_be_bytes();
        let length = u8::try_from(length).unwrap_or(0);
        [&randoms[..], &[kind, high, low, length], &share].concat()
    };
    let point = |mut share: Vec<u8>| {
        share[0] = 4;
        share
    };
    match octets(1)[0] % 14 {
        0 => (verify(CONTEXT, octets(32)), true),
        1 => (verify(CONTEXT, octets(48)), true),
        2 => (exchange(octets(64), 3, 29, octets(32), 32), true),
        3 => (exchange(octets(64), 3, 23, point(octets(65)), 65), true),
        // What else this key might be wanted for.
        4 => (
            verify(b"TLS 1.3, client CertificateVerify\0", octets(32)),
            false,
        ),
        5 => (verify(CONTEXT, octets(20)), false),
        6 => ([&verify(CONTEXT, octets(32))[..], b"\r\n"].concat(), false),
        7 => (exchange(octets(64), 1, 23, point(octets(65)), 65), false),
        8 => (exchange(octets(64), 3, 29, octets(33), 32), false),
        9 => (exchange(octets(63), 3, 29, octets(32), 32), false),
        10 => (octets(32), false),
        11 => (
            b"v=1; a=ecdsa-sha256; d=a.test; s=x; h=from; bh=x; b=".to_vec(),
            false,
        ),
        12 => ([&[0x30, 0x82][..], &octets(300)].concat(), false),
        _ => (Vec::new(), false),
    }
}

/// Asks for more than there can be handshakes: no more is signed than a burst and what comes with time, and the arrow stays.
async fn flood(
    ask: &Sender<ToKeys>,
    answers: &mut Receiver<FromKeys>,
    scalar: &[u8],
) -> Result<(), String> {
    let question = ToKeys::Sign {
        token: 1,
        number: 0,
        scheme: ECDSA,
    };
    let good = [&[b' '; 64][..], CONTEXT, &[7; 32]].concat();
    let (began, mut signed) = (Instant::now(), 0);
    for _ in 0..FLOOD / AT_ONCE {
        for _ in 0..AT_ONCE {
            ask.say(&question, &good, None).map_err(words)?;
        }
        for _ in 0..AT_ONCE {
            let answer = hear(answers, scalar).await?;
            signed += u32::from(matches!(answer, FromKeys::Signed { .. }));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let most = f64::from(BURST) + seconds * f64::from(BURST);
    if f64::from(signed) > most {
        return Err(format!("{signed} of {FLOOD} are signed in {seconds} s"));
    }
    Ok(())
}
