//! Who has taken submission over asks auth for logins: with passwords that are guessed, names that are none, in the name of
//! clients that it makes up, in frames that are no words, more than can be looked at, and without reading an answer.

use super::random::Random;
use super::{Besieged, SOON, mailbox, run, words};
use crate::role::Place;
use ringmail::drive::arrow::{self, Receiver, Sender};
use ringmail::ipc::check::{Checked, Evidence, Found, Proof, Question};
use ringmail::ipc::spawn::{Arrow, FromRole, Role, SecretFile, Share, ToRole};
use ringmail::seal::{KEY_OCTETS, Key};
use ringmail::ticket::{LoggedIn, Tickets};
use std::fs::{self, File};
use std::net::IpAddr;

const SEED: u64 = 0xA074;
/// Guesses, each from a client of its own.
const GUESSES: u32 = 100;
/// Questions at once.
const FLOOD: u64 = 2000;
/// Of these auth looks at no more, where nobody was right from before.
const WAITING: u64 = 48;
/// How often it is given another file.
const REDONE: u8 = 2;
/// Questions that are dear to look at, with each.
const DEAR: u8 = 6;
/// Arrows on which rubbish is said.
const ARROWS: u32 = 20;
/// Those who can log in.
const USERS: [(&str, &str); 2] = [("ann@a.test", "ann's own"), ("bob@a.test", "another")];

type Checks = (Sender<Question>, Receiver<Checked>);

pub fn look() -> Vec<String> {
    run(async |place: &Place| {
        let file_path = place.folder().join("passwords");
        let mut hashes = Vec::new();
        for (user, password) in USERS {
            let hash = ringmail::passwords::hash(password.as_bytes());
            hashes.push(format!("{user}:{}\n", *hash));
        }
        fs::write(&file_path, hashes.concat()).map_err(words)?;
        let mut auth = Besieged::start(place, Role::Auth).map_err(words)?;
        let file = File::open(&file_path).map_err(words)?;
        let told = ToRole::File(SecretFile::Passwords);
        auth.birth.order(&told, Some(&file.into())).map_err(words)?;
        let key = Key::new([9; KEY_OCTETS]);
        let order = ToRole::Key(Share::Tickets, key.clone());
        auth.birth.order(&order, None).map_err(words)?;
        let mut checks: Checks = arrow::open(auth.arrow(Arrow::Check)).map_err(words)?;
        auth.serves().await?;
        fs::remove_file(&file_path).map_err(words)?;
        let before = place.all_but("");
        let tickets = Tickets::new(&key);
        right(&mut checks, &tickets, 1).await?;
        guess(&mut checks, &hashes).await?;
        forge(&mut checks).await?;
        let mut random = Random::new(SEED);
        // Rubbish ends its own arrow and no other.
        for _ in 0..ARROWS {
            let other = auth.arrow(Arrow::Check);
            // What was not taken was more than enough.
            let _ = sys::socket::send(&other, &random.rubbish(), &[]);
        }
        flood(&mut checks, &tickets).await?;
        let unread: Checks = arrow::open(auth.arrow(Arrow::Check)).map_err(words)?;
        for token in 0..FLOOD {
            let asked = question(token, "ann@a.test", [10, 3, 0, 1]);
            unread.0.say(&asked, b"wrong", None).map_err(words)?;
        }
        right(&mut checks, &tickets, 2).await?;
        give_dearest(place, &auth, &mut checks).await?;
        if place.all_but("") != before {
            return Err("files have changed".into());
        }
        if auth.lives() {
            Ok(())
        } else {
            Err("auth has ended".into())
        }
    })
}

/// The dearest hashes that a file may hold fit into what auth may have, all threads at them, and again after each reload.
async fn give_dearest(place: &Place, auth: &Besieged, checks: &mut Checks) -> Result<(), String> {
    let file = place.folder().join("passwords");
    // 256 MiB each, of a password that nobody says.
    let argon2id = "$argon2id$v=19$m=262144,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let yescrypt = "$y$jDT$5HGYyYd3fSZTJQJ8gXMdV.$rvHNNlNcvd.S2JHBPwGjyvGJtfW5ggyPcXmG7Bw8dF8";
    for round in 0..REDONE {
        fs::write(
            &file,
            format!("ann@a.test:{argon2id}\nbob@a.test:{yescrypt}\n"),
        )
        .map_err(words)?;
        let open = File::open(&file).map_err(words)?;
        for (order, fd) in [
            (place.orders(), None),
            (ToRole::File(SecretFile::Passwords), Some(open.into())),
        ] {
            auth.birth.order(&order, fd.as_ref()).map_err(words)?;
        }
        auth.birth.order(&ToRole::Begin, None).map_err(words)?;
        match tokio::time::timeout(SOON, auth.birth.report()).await {
            Ok(Ok(Some(FromRole::Ready))) => {}
            other => return Err(format!("it does not take the file: {other:?}")),
        }
        for number in 0..DEAR {
            let (user, _) = USERS[usize::from(number % 2)];
            let asked = question(u64::from(number), user, [10, 4, round, number]);
            checks.0.say(&asked, b"wrong", None).map_err(words)?;
        }
        for _ in 0..DEAR {
            let found = hear(checks).await?.found;
            if found != Found::Wrong {
                return Err(format!("a dear hash was not looked at: {found:?}"));
            }
        }
    }
    fs::remove_file(&file).map_err(words)
}

fn question(token: u64, user: &str, peer: [u8; 4]) -> Question {
    Question {
        token,
        session: 7,
        peer: IpAddr::from(peer),
        user: user.into(),
        evidence: Evidence::Password,
    }
}

async fn hear(checks: &mut Checks) -> Result<Checked, String> {
    let heard = tokio::time::timeout(SOON, checks.1.hear()).await;
    let heard = heard.map_err(words)?.ok_or("the arrow ended")?;
    if heard.fd.is_some() || !heard.tail.is_empty() {
        return Err("it has given more than an answer".into());
    }
    Ok(heard.head)
}

/// Who has the password is logged in, as himself, in his session and from where he is.
async fn right(checks: &mut Checks, tickets: &Tickets, last: u8) -> Result<(), String> {
    for (user, password) in USERS {
        let asked = question(1, user, [192, 0, 2, last]);
        checks
            .0
            .say(&asked, password.as_bytes(), None)
            .map_err(words)?;
        let Found::Right(login) = hear(checks).await?.found else {
            return Err(format!("{user} is not logged in with his own password"));
        };
        let (login, ticket) = *login;
        let is_his = LoggedIn {
            session: 7,
            peer: asked.peer,
            login: &mailbox(user),
        };
        let is_others = LoggedIn {
            session: 8,
            ..is_his
        };
        if login != mailbox(user)
            || !tickets.knows(&ticket, &is_his)
            || tickets.knows(&ticket, &is_others)
        {
            return Err(format!("the ticket of {user} is not his"));
        }
    }
    Ok(())
}

/// Nobody is logged in by a guess, and no answer tells a name that there is from one that there is not.
async fn guess(checks: &mut Checks, hashes: &[String]) -> Result<(), String> {
    let names = ["ann@a.test", "nobody@a.test", "", "ann", "ann@a.test:x"];
    let hash = hashes[0].split(':').nth(1).unwrap_or_default().trim_end();
    let guesses = ["another", "", "ann's own ", "Ann's own", hash, "\0"];
    for number in 0..GUESSES {
        let at = usize::try_from(number).map_err(words)?;
        let (name, guess) = (names[at % names.len()], guesses[at % guesses.len()]);
        let [.., high, low] = number.to_be_bytes();
        let asked = question(u64::from(number), name, [10, 1, high, low]);
        checks
            .0
            .say(&asked, guess.as_bytes(), None)
            .map_err(words)?;
        let checked = hear(checks).await?;
        if checked.token != u64::from(number) || checked.found != Found::Wrong {
            return Err(format!("{name} with {guess:?}: {:?}", checked.found));
        }
    }
    Ok(())
}

/// Nobody is logged in by a proof of SCRAM that is made up, and every name is challenged.
async fn forge(checks: &mut Checks) -> Result<(), String> {
    for number in 0..u8::try_from(GUESSES).map_err(words)? {
        let user = ["ann@a.test", "nobody@a.test"][usize::from(number % 2)];
        let asked = |evidence| Question {
            evidence,
            ..question(u64::from(number), user, [10, 5, number, 1])
        };
        let bare = format!("n={user},r=x");
        let first = asked(Evidence::First(bare.clone()));
        checks.0.say(&first, &[], None).map_err(words)?;
        let Found::Challenge(challenge) = hear(checks).await?.found else {
            return Err(format!("{user} is not challenged"));
        };
        // With its nonce, with half of it, with another.
        let half = challenge.nonce[..challenge.nonce.len() / 2].to_owned();
        for (nonce, wanted) in [
            (challenge.nonce, Found::Wrong),
            (half, Found::Later),
            ("x".repeat(64), Found::Later),
        ] {
            let proof = Proof {
                bare: bare.clone(),
                nonce,
                without_proof: "c=biws".into(),
                code: [number; 32],
            };
            let last = asked(Evidence::Proof(Box::new(proof)));
            checks.0.say(&last, &[], None).map_err(words)?;
            let found = hear(checks).await?.found;
            if found != wanted {
                return Err(format!("{user} by a proof that is none: {found:?}"));
            }
        }
    }
    Ok(())
}

/// Of more than can be looked at most are answered at once that it was not, and nothing else is waited for.
async fn flood(checks: &mut Checks, tickets: &Tickets) -> Result<(), String> {
    for token in 0..FLOOD {
        let [.., high, low] = token.to_be_bytes();
        let asked = question(token, "ann@a.test", [10, 2, high, low]);
        checks.0.say(&asked, b"wrong", None).map_err(words)?;
    }
    let mut looked_at = 0_u64;
    for _ in 0..FLOOD {
        match hear(checks).await?.found {
            Found::Wrong => looked_at += 1,
            Found::Later => {}
            _ => return Err("a flood logged somebody in".into()),
        }
    }
    // While some are looked at others may come.
    if !(WAITING..=FLOOD / 2).contains(&looked_at) {
        return Err(format!("{looked_at} of a flood of {FLOOD} were looked at"));
    }
    right(checks, tickets, 3).await
}
