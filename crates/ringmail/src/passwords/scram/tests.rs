//! What holds of secrets and salts; the example is that of RFC 7677 §3.

use super::super::{Checked, Mistake, Passwords};
use super::*;

/// RFC 7677 §3.
const BARE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO";
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const WITHOUT_PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const HASH: &str = "$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/";

fn octets<const N: usize>(text: &str) -> [u8; N] {
    BASE64.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

/// The secret of the RFC's example, as it would stand in a file.
fn example() -> String {
    let salt: [u8; 16] = octets(SALT);
    let (stored_key, server_key) = keys(b"pencil", &salt, NonZeroU32::new(4096).unwrap());
    let [stored_key, server_key] = [stored_key, server_key].map(|key| BASE64.encode(&*key));
    format!("{SCHEME}4096,{SALT},{stored_key},{server_key}")
}

/// The names and passwords of the example and of nobody: what they are checked with is the same.
fn proved<'m>(bare: &'m str, code: &'m [u8; CODE_OCTETS]) -> Proved<'m> {
    Proved {
        bare,
        nonce: NONCE,
        without_proof: WITHOUT_PROOF,
        code,
    }
}

fn parsed(text: &str) -> Passwords {
    Passwords::parse(text.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// As gsasl 2.2 makes it of the same.
#[test]
fn a_secret_is_what_other_programs_make_of_the_same_password() {
    let other = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,\
                 wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert_eq!(example(), other);
}

#[test]
fn the_example_of_rfc_7677_is_proved_and_nothing_else_is() {
    let passwords = parsed(&format!("user@a.test:{HASH}:{}\n", example()));
    assert_eq!(
        passwords.challenge("USER@a.test"),
        (octets::<16>(SALT).to_vec(), 4096)
    );
    let code: [u8; CODE_OCTETS] = octets(PROOF);
    let user = Mailbox::parse("user@a.test").unwrap();
    let (checked, signature) = passwords.prove("User@A.test", &proved(BARE, &code));
    assert_eq!(checked, Checked::Right(user));
    assert_eq!(BASE64.encode(&signature), SIGNATURE);
    for at in 0..CODE_OCTETS {
        let mut code = code;
        code[at] ^= 1;
        let (checked, _) = passwords.prove("user@a.test", &proved(BARE, &code));
        assert_eq!(checked, Checked::Wrong);
    }
    let right = proved(BARE, &code);
    let changed = WITHOUT_PROOF.replace("biws", "eSws");
    for wrong in [
        proved("n=user,r=rOprNGfwEbeRWgbNEkqo", &code),
        proved("", &code),
        Proved { nonce: "", ..right },
        Proved {
            without_proof: &changed,
            ..right
        },
    ] {
        assert_eq!(passwords.prove("user@a.test", &wrong).0, Checked::Wrong);
    }
}

/// By who has the password, what a client would say.
fn answer(passwords: &Passwords, user: &str, password: &[u8]) -> Checked {
    let bare = format!("n={user},r=x");
    let (salt, iterations) = passwords.challenge(user);
    let first = scram::server_first("x", NONCE, &salt, iterations);
    let message = scram::auth_message(&bare, &first, WITHOUT_PROOF);
    let code = proof_of(password, &salt, iterations, message.as_bytes());
    passwords.prove(user, &proved(&bare, &code)).0
}

fn line(name: &str, password: &[u8], salts: &Salts) -> String {
    let mailbox = Mailbox::parse(name).unwrap();
    format!("{name}:{HASH}:{}\n", *secret(password, &mailbox, salts))
}

#[test]
fn a_new_secret_is_proved_by_its_password_alone() {
    let everybody = Salts::new_line();
    let salts = Salts::parse(everybody.split_once(':').unwrap().1).unwrap();
    let ann = line("ann@a.test", b"correct horse", &salts);
    let eve = line("eve@a.test", b"eve's own", &salts).replacen(':', ":!", 1);
    let text = format!("{}\n{ann}bob@a.test:{HASH}\n{eve}", *everybody);
    let passwords = parsed(&text);
    let right = Checked::Right(Mailbox::parse("ann@a.test").unwrap());
    assert_eq!(answer(&passwords, "ann@a.test", b"correct horse"), right);
    for (user, password, checked) in [
        ("ann@a.test", "Correct horse", Checked::Wrong),
        ("ann@a.test", "", Checked::Wrong),
        ("bob@a.test", "correct horse", Checked::NoSecret),
        ("eve@a.test", "eve's own", Checked::Disabled),
        ("joe@a.test", "correct horse", Checked::Unknown),
        ("ann", "correct horse", Checked::Unknown),
        ("", "correct horse", Checked::Unknown),
    ] {
        assert_eq!(
            answer(&passwords, user, password.as_bytes()),
            checked,
            "{user}"
        );
    }
}

/// Whoever asks for salts sees nothing when a name comes, has another password, goes, or the file is read again.
#[test]
fn the_salt_of_a_name_is_the_same_whether_it_is_there_or_not() {
    let everybody = Salts::new_line();
    let salts = Salts::parse(everybody.split_once(':').unwrap().1).unwrap();
    let of_ann = line("ann@a.test", b"correct horse", &salts);
    let of_ann_anew = line("ann@a.test", b"another horse", &salts);
    let of_bob = line("bob@a.test", b"a third horse", &salts);
    let told = [
        String::new(),
        of_ann.clone(),
        of_ann + &of_bob,
        of_ann_anew + "joe@a.test:!\n",
        of_bob,
    ]
    .map(|lines| {
        let passwords = parsed(&format!("{}\n{lines}", *everybody));
        ["ann@a.test", "ANN@a.test", "bob@a.test", "joe@a.test", "x"]
            .map(|name| passwords.challenge(name))
    });
    assert!(told.iter().all(|salts| *salts == told[0]));
    let [ann, ann_in_capitals, bob, ..] = &told[0];
    assert_eq!((ann, ann.0.len(), ann.1), (ann_in_capitals, 16, 60_000));
    assert_ne!(ann, bob);
    // By another key all salts are others.
    let other = parsed(&Salts::new_line());
    assert_ne!(other.challenge("ann@a.test"), *ann);
    assert!(!format!("{:?}", parsed(&everybody)).contains("SALT"));
}

#[test]
fn what_is_no_whole_secret_is_a_mistake() {
    let good = example();
    let at = |text: &str, wrong: Wrong| {
        let line = format!("user@a.test:{HASH}:{text}\n");
        let mistakes = Passwords::parse(line.as_bytes()).unwrap_err();
        assert_eq!(mistakes, [Mistake { line: 1, wrong }], "{text}");
    };
    let form = Wrong::Form(Kind::ScramSha256);
    let long = BASE64.encode(&[1; 33]);
    for (part, with) in [
        ("4096,", ""),
        ("4096", "04096"),
        ("4096", "4_096"),
        (SALT, ""),
        (SALT, "W22ZaJ0="),
        (SALT, &*long),
        (SALT, "W22ZaJ0SNY7soEsUEjb6gQ"),
        ("==,", "==,AAAA,"),
    ] {
        at(&good.replacen(part, with, 1), form);
    }
    at(&format!("{good},"), form);
    at(&good[..good.len() - 4], form);
    for iterations in ["4095", "10000001"] {
        let bounds = Wrong::Bounds {
            kind: Kind::ScramSha256,
            parameter: "iterations",
            least: 4096,
            most: 10_000_000,
        };
        at(&good.replacen("4096", iterations, 1), bounds);
    }
    for more in [
        "1000",
        "x",
        "",
        "{scram-sha-256}",
        "{SCRAM-SHA-1}4096,x,y,z",
    ] {
        at(more, Wrong::More);
    }
    at(&format!("{good}:"), form);
    // It does not stand for a hash.
    let line = format!("user@a.test:{good}\n");
    let mistakes = Passwords::parse(line.as_bytes()).unwrap_err();
    assert_eq!(mistakes[0].wrong, Wrong::Kind);
}

#[test]
fn the_key_of_salts_stands_once_and_whole() {
    let key = Salts::new_line();
    assert!(Passwords::parse(key.as_bytes()).is_ok());
    let wrong = |text: &str| Passwords::parse(text.as_bytes()).unwrap_err()[0].wrong;
    let twice = format!("{}\n# x\n{}\n", *key, *key);
    assert_eq!(wrong(&twice), Wrong::Twice(1));
    for none in ["*:!", "*:", "*:{SCRAM-SALT}", "*:{SCRAM-SALT}AAAA", "*:x"] {
        assert_eq!(wrong(none), Wrong::Everybody, "{none}");
    }
    assert_eq!(wrong(&format!("{}:", *key)), Wrong::Everybody);
    assert_eq!(wrong(&key[..key.len() - 1]), Wrong::Everybody);
}

#[test]
fn secrets_are_made_of_printable_ascii_alone() {
    assert!(takes(b" Az09~!"));
    for other in ["R\u{f6}schen", "a\0", "\u{7f}", "\t"] {
        assert!(!takes(other.as_bytes()), "{other:?}");
    }
}
