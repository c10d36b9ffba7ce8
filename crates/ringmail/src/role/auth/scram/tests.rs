use super::super::tests::{found, give_key, question, with_auth};
use super::*;
use crate::drive::arrow::{Receiver, Sender};
use crate::ipc::check::{Checked, Evidence};
use crate::passwords::scram::{Salts, proof_of, secret};
use crate::ticket::{LoggedIn, Tickets};
use mail::Mailbox;
use smtp::scram;
use std::fs::File;

const ANN: &str = "ann@a.test";
const PASSWORD: &[u8] = b"right";
const WITHOUT_PROOF: &str = "c=biws,r=?";
const BARE: &str = "n=ann@a.test,r=x";

/// A file where ann has a secret and bob has none.
fn file() -> File {
    let everybody = Salts::new_line();
    let salts = Salts::parse(everybody.split_once(':').unwrap().1).unwrap();
    let hash = crate::passwords::hash(PASSWORD);
    let ann = secret(PASSWORD, &Mailbox::parse(ANN).unwrap(), &salts);
    let text = format!(
        "{}\n{ANN}:{}:{}\nbob@a.test:{}\n",
        *everybody, *hash, *ann, *hash
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    File::open(file.path()).unwrap()
}

fn first(user: &str, bare: &str) -> Question {
    Question {
        evidence: Evidence::First(bare.into()),
        ..question(user)
    }
}

fn last(user: &str, bare: &str, challenge: &Challenge, password: &[u8]) -> Question {
    let Challenge {
        nonce,
        salt,
        iterations,
    } = challenge;
    let server_first = scram::server_first("x", nonce, salt, *iterations);
    let message = scram::auth_message(bare, &server_first, WITHOUT_PROOF);
    let proof = Proof {
        bare: bare.into(),
        nonce: nonce.clone(),
        without_proof: WITHOUT_PROOF.into(),
        code: proof_of(password, salt, *iterations, message.as_bytes()),
    };
    Question {
        evidence: Evidence::Proof(Box::new(proof)),
        ..question(user)
    }
}

async fn asked(
    ask: &Sender<Question>,
    answers: &mut Receiver<Checked>,
    question: &Question,
) -> Found {
    ask.say(question, &[], None).unwrap();
    answers.hear().await.unwrap().head.found
}

async fn challenged(
    ask: &Sender<Question>,
    answers: &mut Receiver<Checked>,
    user: &str,
    bare: &str,
) -> Challenge {
    match asked(ask, answers, &first(user, bare)).await {
        Found::Challenge(challenge) => *challenge,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_proves_his_password_has_a_ticket_and_our_signature() {
    with_auth(async |auth, ask, mut answers| {
        let later = asked(&ask, &mut answers, &first(ANN, BARE)).await;
        assert_eq!(later, Found::Later, "there are no passwords");
        auth.load(Some(file())).unwrap();
        let challenge = challenged(&ask, &mut answers, ANN, BARE).await;
        let proof = last(ANN, BARE, &challenge, PASSWORD);
        let later = asked(&ask, &mut answers, &proof).await;
        assert_eq!(later, Found::Later, "there is no key");
        give_key(&auth);
        let Found::Proved(login, signature) = asked(&ask, &mut answers, &proof).await else {
            panic!("not proved");
        };
        let key = crate::seal::Key::new([1; crate::seal::KEY_OCTETS]);
        let (login, ticket) = *login;
        let logged_in = LoggedIn {
            session: 7,
            peer: [192, 0, 2, 7].into(),
            login: &login,
        };
        assert!(Tickets::new(&key).knows(&ticket, &logged_in));
        assert_eq!(login.to_string(), ANN);
        assert_ne!(signature, [0; 32]);
        // The same once more is the same ticket, and no other.
        let again = asked(&ask, &mut answers, &proof).await;
        assert_eq!(again, Found::Proved(Box::new((login, ticket)), signature));
    })
    .await;
}

/// A proof is good in its session, for its client, its name and its first message, and by an auth that lives on.
#[tokio::test]
async fn a_proof_from_elsewhere_is_none() {
    with_auth(async |auth, ask, mut answers| {
        auth.load(Some(file())).unwrap();
        give_key(&auth);
        let challenge = challenged(&ask, &mut answers, ANN, BARE).await;
        let proof = || last(ANN, BARE, &challenge, PASSWORD);
        let other = Auth::new(super::super::Checkers::start().unwrap());
        other.load(Some(file())).unwrap();
        let drawn_by_another = match other.challenge(&question(ANN), BARE) {
            Ok(Found::Challenge(challenge)) => last(ANN, BARE, &challenge, PASSWORD),
            found => panic!("{found:?}"),
        };
        let nothing = Challenge {
            nonce: String::new(),
            ..challenge.clone()
        };
        for wrong in [
            Question {
                session: 8,
                ..proof()
            },
            Question {
                peer: [192, 0, 2, 8].into(),
                ..proof()
            },
            last("bob@a.test", BARE, &challenge, PASSWORD),
            last(ANN, "n=ann@a.test,r=y", &challenge, PASSWORD),
            last(ANN, BARE, &nothing, PASSWORD),
            drawn_by_another,
        ] {
            let found = asked(&ask, &mut answers, &wrong).await;
            assert_eq!(found, Found::Later, "{wrong:?}");
        }
        let wrong = last(ANN, BARE, &challenge, b"wrong");
        let found = asked(&ask, &mut answers, &wrong).await;
        assert_eq!(found, Found::Wrong);
        let right = asked(&ask, &mut answers, &proof()).await;
        assert!(matches!(right, Found::Proved(..)), "{right:?}");
        // Who began in another name was not challenged.
        let found = asked(&ask, &mut answers, &first("bob@a.test", BARE)).await;
        assert_eq!(found, Found::Later);
    })
    .await;
}

/// Whoever asks is challenged in the same way and refused in the same words, whether the name is there, has a secret, or not.
#[tokio::test]
async fn nothing_tells_whether_a_name_is_there() {
    with_auth(async |auth, ask, mut answers| {
        auth.load(Some(file())).unwrap();
        give_key(&auth);
        let mut salts = Vec::new();
        for user in [ANN, "bob@a.test", "nobody@a.test", "nobody"] {
            let bare = format!("n={user},r=x");
            let challenge = challenged(&ask, &mut answers, user, &bare).await;
            assert_eq!(challenge.salt.len(), 16, "{user}");
            assert_eq!(challenge.iterations, 60_000, "{user}");
            let again = challenged(&ask, &mut answers, user, &bare).await;
            assert_eq!(again.salt, challenge.salt, "{user}");
            assert_ne!(again.nonce, challenge.nonce, "{user}");
            assert_eq!(again.nonce.len(), challenge.nonce.len());
            let wrong = last(user, &bare, &challenge, b"wrong");
            assert_eq!(asked(&ask, &mut answers, &wrong).await, Found::Wrong);
            salts.push(challenge.salt);
        }
        salts.sort();
        salts.dedup();
        assert_eq!(salts.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn proofs_that_are_wrong_count_as_wrong_passwords_do() {
    with_auth(async |auth, ask, mut answers| {
        auth.load(Some(file())).unwrap();
        give_key(&auth);
        let challenge = challenged(&ask, &mut answers, ANN, BARE).await;
        let (right, wrong) = (
            last(ANN, BARE, &challenge, PASSWORD),
            last(ANN, BARE, &challenge, b"wrong"),
        );
        let mut count = 0;
        while asked(&ask, &mut answers, &wrong).await == Found::Wrong {
            count += 1;
            assert!(count < 100);
        }
        assert_eq!(count, 20);
        // Nor does a password tell more then.
        let password = found(&ask, &mut answers, ANN, b"wrong").await;
        assert_eq!(password, Found::Later);
        assert_eq!(asked(&ask, &mut answers, &right).await, Found::Later);
    })
    .await;
}

#[tokio::test]
async fn an_arrow_that_says_too_much_ends() {
    with_auth(async |auth, ask, mut answers| {
        auth.load(Some(file())).unwrap();
        let long = format!("n={ANN},r={}", "x".repeat(20_000));
        ask.say(&first(ANN, &long), &[], None).unwrap();
        assert!(answers.hear().await.is_none());
    })
    .await;
}
