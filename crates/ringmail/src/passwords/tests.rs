//! What holds of the file of password hashes as a whole; `vectors.txt` has hashes that other programs made.

use super::kind::Work;
use super::*;

const NEW_WORK: Work = Work("argon2id", [19_456, 2, 1]);
/// Cheap ones, of the password `correct horse`, by `vectors.txt`'s programs.
const CHEAP: [&str; 4] = [
    "$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
    "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    "$y$j75$abcd$RU2Kkby1H6yvchmPV6ZobgSigPvmsUpIjba5LqR9pOB",
    "$6$rounds=1000$abc$3EgFb4AlyVHHbB8rZGsx.UO9EloeRJkmmCazg5i8FYgCDMmLggphTmz.lZDeWybZ2DY3jFUtB1pLy87i2YoZr.",
];
const PASSWORD: &[u8] = b"correct horse";

fn parsed(text: &str) -> Passwords {
    Passwords::parse(text.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn ann() -> Mailbox {
    Mailbox::parse("ann@example.org").unwrap()
}

/// Programs, passwords and hashes.
fn vectors() -> Vec<(&'static str, &'static str, &'static str)> {
    let lines = include_str!("vectors.txt").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    let mut parts = lines.map(|line| line.split('\t'));
    let vectors: Option<Vec<_>> = parts
        .by_ref()
        .map(|mut parts| Some((parts.next()?, parts.next()?, parts.next()?)))
        .collect();
    vectors.unwrap()
}

#[test]
fn hashes_of_other_programs_are_of_their_passwords_and_of_no_others() {
    let vectors = vectors();
    assert!(vectors.len() > 40);
    for (program, password, hash) in vectors {
        let passwords = parsed(&format!("ann@example.org:{hash}\n"));
        let mut memory = Memory::new(&passwords);
        let mut check =
            |password: &str| passwords.check("ann@example.org", password.as_bytes(), &mut memory);
        let right = Checked::Right(ann());
        assert_eq!(check(password), right, "{program}: {hash}");
        let other = format!("x{}", &password[..password.len() - 3]);
        assert_eq!(check(&other), Checked::Wrong, "{program}: {hash}");
        // One bit of another digest, in a symbol that no padding is in.
        let mut other = hash.as_bytes().to_vec();
        let place = other.len() - 8;
        other[place] = if other[place] == b'z' { b'y' } else { b'z' };
        let other = String::from_utf8(other).unwrap();
        let passwords = parsed(&format!("ann@example.org:{other}\n"));
        let checked = passwords.check("ann@example.org", password.as_bytes(), &mut memory);
        assert_eq!(checked, Checked::Wrong, "{program}: {other}");
        assert!(memory.is_wiped());
    }
}

#[test]
fn a_new_hash_is_argon2id_with_salt_of_its_own_and_is_read_back() {
    let (one, other) = (hash(PASSWORD), hash(PASSWORD));
    assert!(
        one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{}",
        *one
    );
    assert_ne!(one, other);
    let passwords = parsed(&format!("ann@example.org:{}\n", *one));
    let mut memory = Memory::new(&passwords);
    let mut check = |password| passwords.check("ann@example.org", password, &mut memory);
    assert_eq!(check(PASSWORD), Checked::Right(ann()));
    assert_eq!(check(b"correct horsf"), Checked::Wrong);
    assert!(memory.is_wiped());
}

#[test]
fn what_dovecot_writes_before_a_hash_is_read_where_it_is_for_that_hash() {
    let argon2id = hash(PASSWORD);
    let good = [
        ("{SHA256-CRYPT}", CHEAP[0]),
        ("{CRYPT}", CHEAP[0]),
        ("{BLF-CRYPT}", CHEAP[1]),
        ("{crypt}", CHEAP[2]),
        ("{SHA512-CRYPT}", CHEAP[3]),
        ("{ARGON2ID}", &**argon2id),
    ];
    for (scheme, hash) in good {
        let passwords = parsed(&format!("ann@example.org:{scheme}{hash}"));
        let mut memory = Memory::new(&passwords);
        let checked = passwords.check("ann@example.org", PASSWORD, &mut memory);
        assert_eq!(checked, Checked::Right(ann()), "{scheme}");
    }
    for scheme in ["{SHA512-CRYPT}", "{PLAIN}", "{}", "{ARGON2ID}"] {
        let line = format!("ann@example.org:{scheme}{}", CHEAP[0]);
        let mistakes = Passwords::parse(line.as_bytes()).unwrap_err();
        assert_eq!(mistakes, [Wrong::Scheme.at(1)], "{scheme}");
    }
    let line = format!("ann@example.org:{{CRYPT}}{}", *argon2id);
    let mistakes = Passwords::parse(line.as_bytes()).unwrap_err();
    assert_eq!(mistakes, [Wrong::Scheme.at(1)]);
}

#[test]
fn names_are_compared_in_any_case() {
    let text = format!(
        "# who may log in\n\n  ann@Example.ORG:{0}  \r\n\"#j:o e\"@[IPv6:2001:db8::1]:{0}\n",
        CHEAP[1]
    );
    let passwords = parsed(&text);
    assert_eq!(passwords.logins.len(), 2);
    let mut memory = Memory::new(&passwords);
    let mut check = |user: &str| passwords.check(user, PASSWORD, &mut memory);
    assert_eq!(check("ann@eXample.org"), Checked::Right(ann()));
    assert_eq!(check("\"ann\"@example.org"), Checked::Right(ann()));
    let joe = Mailbox::parse("\"#j:o e\"@[IPv6:2001:DB8::1]").unwrap();
    assert_eq!(check(&joe.to_string()), Checked::Right(joe));
    assert_eq!(check("ANN@example.org"), Checked::Right(ann()));
    for nobody in ["ann", "ann@example.com", "", "@", "ann@"] {
        assert_eq!(check(nobody), Checked::Unknown, "{nobody}");
    }
}

#[test]
fn a_name_is_written_so_that_it_is_read_back_and_is_no_comment() {
    for name in ["ann@example.org", "#ann@example.org", "\"a:b # c\"@b.test"] {
        let name = Mailbox::parse(name).unwrap();
        let line = format!("{}:!", written(&name));
        assert_eq!(Line::name(line.as_bytes()), Some(name), "{line}");
    }
}

#[test]
fn who_is_disabled_does_not_log_in_whatever_stands_behind_the_mark() {
    for hash in [format!("!{}", CHEAP[1]), "!".into(), "*".into()] {
        let passwords = parsed(&format!("ann@example.org:{hash}\njoe@b.test:{}", CHEAP[0]));
        let mut memory = Memory::new(&passwords);
        let checked = passwords.check("ann@example.org", PASSWORD, &mut memory);
        assert_eq!(checked, Checked::Disabled, "{hash}");
        assert_eq!(memory.work.len(), 1);
    }
    // What crypt(3) gives for an error is no mark.
    assert!(Passwords::parse(b"ann@example.org:*0").is_err());
}

#[test]
fn passwords_that_nobody_has_are_nobodys_and_cost_the_same() {
    // bcrypt goes round its key and the NUL behind it: there these two are one.
    let passwords = parsed(&format!("ann@example.org:{}", CHEAP[1]));
    let twice = [PASSWORD, b"\0", PASSWORD].concat();
    let long = vec![b'x'; PASSWORD_OCTETS + 1];
    for password in [&b""[..], &twice, &long] {
        let mut memory = Memory::new(&passwords);
        let checked = passwords.check("ann@example.org", password, &mut memory);
        assert_eq!(checked, Checked::Wrong);
        assert_eq!(memory.work, [Work("bcrypt", [4, 0, 0])]);
    }
}

#[test]
fn a_name_that_is_not_there_costs_what_one_that_is_there_costs() {
    let names = [
        "joe@example.org",
        "ann@b.test",
        "ann",
        "",
        "\u{1F980}@x",
        "disabled@b.test",
    ];
    let work = |passwords: &Passwords, name: &str| {
        let mut memory = Memory::new(passwords);
        let checked = passwords.check(name, PASSWORD, &mut memory);
        assert!(!matches!(checked, Checked::Right(_)), "{name}");
        let [work] = &memory.work[..] else {
            panic!("{name}: {:?}", memory.work);
        };
        work.clone()
    };
    // Of one kind: the same for all.
    for hash in CHEAP {
        let passwords = parsed(&format!("ann@example.org:{hash}\ndisabled@b.test:!"));
        let mut memory = Memory::new(&passwords);
        passwords.check("ann@example.org", b"wrong", &mut memory);
        let [own] = &memory.work[..] else { panic!() };
        for name in names {
            assert_eq!(work(&passwords, name), *own, "{hash}: {name}");
        }
    }
    // Of several kinds: one of them, the same for a name each time, and not one for all names.
    let lines = (0..).zip(CHEAP);
    let lines = lines.map(|(number, hash)| format!("u{number}@b.test:{hash}\n"));
    let passwords = parsed(&lines.collect::<String>());
    let costs: Vec<Work> = passwords.hashes.iter().map(Hash::work).collect();
    let found: Vec<Work> = (0..32)
        .map(|number| {
            let name = format!("nobody{number}@b.test");
            let found = work(&passwords, &name);
            // As whoever asks writes the domain.
            assert_eq!(work(&passwords, &name.replace("b.test", "B.Test")), found);
            found
        })
        .collect();
    assert!(found.iter().all(|work| costs.contains(work)));
    // By chance all are one once in 4^31 runs.
    assert!(found.iter().any(|work| *work != found[0]), "{found:?}");
    // Of none: what a new hash costs.
    let none = parsed("# nobody\ndisabled@b.test:*\n");
    for name in names {
        assert_eq!(work(&none, name), NEW_WORK);
    }
}

#[test]
fn memory_is_as_large_as_the_dearest_hash_wants_and_grows_where_a_dearer_one_comes() {
    let of = |m: u32| {
        let hash = hash(PASSWORD).replace("m=19456", &format!("m={m}"));
        parsed(&format!("ann@example.org:{hash}\njoe@b.test:{}", CHEAP[2]))
    };
    let (small, large) = (of(64), of(32 * 1024));
    let mut memory = Memory::new(&small);
    assert_eq!(memory.octets(), 64 * 1024);
    let checked = large.check("ann@example.org", PASSWORD, &mut memory);
    assert_eq!(checked, Checked::Wrong);
    assert_eq!(memory.octets(), 32 * 1024 * 1024);
    assert!(memory.is_wiped());
    let none = Memory::new(&parsed("joe@b.test:!"));
    assert_eq!(none.octets(), 19_456 * 1024);
}

/// One line, and what is wrong with it.
const MISTAKES_AND_WHY: [(&str, &str); 34] = [
    ("ann@example.org", "no colon"),
    (
        "ann:$H",
        "the name is not a whole mailbox such as ann@example.org: malformed domain",
    ),
    ("ann@example.org:", "no hash stands behind the name"),
    (
        "ann@example.org:secret42",
        "hashes of this kind are not read",
    ),
    (
        "ann@example.org:{PLAIN}secret42",
        "hashes of this kind are not read",
    ),
    ("ann@example.org:{PLAIN", "hashes of this kind are not read"),
    (
        "ann@example.org:!secret42",
        "hashes of this kind are not read",
    ),
    (
        "ann@example.org:$1$saltsalt$x",
        "hashes of this kind are not read",
    ),
    (
        "ann@example.org:$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$x",
        "hashes of this kind are not read",
    ),
    (
        "ann@example.org:!:1000:1000::/home/ann",
        "something stands behind the hash",
    ),
    ("ann@exa\tmple.org:!", "not a line of text"),
    ("ann@example.org:!\0", "not a line of text"),
    (
        "ann@example.org:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ",
        "not a whole argon2id hash",
    ),
    (
        "ann@example.org:$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$dhot+upsrGHS/NQaybDD0Q",
        "not a whole argon2id hash",
    ),
    (
        "ann@example.org:$argon2id$v=19$t=1,m=64,p=1$c2FsdHNhbHQ$dhot+upsrGHS/NQaybDD0Q",
        "not a whole argon2id hash",
    ),
    (
        "ann@example.org:$argon2id$v=19$m=+64,t=1,p=1$c2FsdHNhbHQ$dhot+upsrGHS/NQaybDD0Q",
        "not a whole argon2id hash",
    ),
    (
        "ann@example.org:$argon2id$v=19$m=64,t=1,p=1$c2FsdHM$dhot+upsrGHS/NQaybDD0Q",
        "not a whole argon2id hash",
    ),
    (
        "ann@example.org:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$dhot",
        "not a whole argon2id hash",
    ),
    (
        "ann@example.org:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHR$dhot+upsrGHS/NQaybDD0Q",
        "not a whole argon2id hash",
    ),
    (
        "ann@example.org:$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ$dhot+upsrGHS/NQaybDD0Q",
        "m of argon2id is 8 to 262144",
    ),
    (
        "ann@example.org:$argon2id$v=19$m=31,t=1,p=4$c2FsdHNhbHQ$dhot+upsrGHS/NQaybDD0Q",
        "m of argon2id is 32 to 262144",
    ),
    (
        "ann@example.org:$argon2id$v=19$m=64,t=17,p=1$c2FsdHNhbHQ$dhot+upsrGHS/NQaybDD0Q",
        "t of argon2id is 1 to 16",
    ),
    (
        "ann@example.org:$argon2id$v=19$m=64,t=1,p=5$c2FsdHNhbHQ$dhot+upsrGHS/NQaybDD0Q",
        "p of argon2id is 1 to 4",
    ),
    (
        "ann@example.org:$2b$15$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
        "cost of bcrypt is 4 to 14",
    ),
    (
        "ann@example.org:$2b$4$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
        "not a whole bcrypt hash",
    ),
    (
        "ann@example.org:$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc",
        "not a whole bcrypt hash",
    ),
    (
        "ann@example.org:$2x$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
        "hashes of this kind are not read",
    ),
    (
        "ann@example.org:$5$rounds=1000001$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        "rounds of sha256-crypt is 1000 to 1000000",
    ),
    (
        "ann@example.org:$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4",
        "not a whole sha256-crypt hash",
    ),
    (
        "ann@example.org:$6$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        "not a whole sha512-crypt hash",
    ),
    (
        "ann@example.org:$5$saltsaltsaltsalts$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        "not a whole sha256-crypt hash",
    ),
    // 2^17 blocks of 32 times 128 octets are 512 MiB.
    (
        "ann@example.org:$y$jET$abcd$RU2Kkby1H6yvchmPV6ZobgSigPvmsUpIjba5LqR9pOB",
        "memory (KiB) of yescrypt is 256 to 262144",
    ),
    // Time beside memory.
    (
        "ann@example.org:$y$j951.$abcd$RU2Kkby1H6yvchmPV6ZobgSigPvmsUpIjba5LqR9pOB",
        "not a whole yescrypt hash",
    ),
    (
        "ann@example.org:$y$j75$abcd$RU2Kkby1H6yvchmPV6ZobgSigPvmsUpIjba5LqR9pO",
        "not a whole yescrypt hash",
    ),
];

#[test]
fn each_mistake_has_its_line_and_a_reason_and_no_piece_of_the_hash() {
    for (line, why) in MISTAKES_AND_WHY {
        let text = format!("# one\njoe@b.test:!\n{line}\n");
        let mistakes = Passwords::parse(text.as_bytes()).unwrap_err();
        let [mistake] = mistakes[..] else {
            panic!("{line}: {mistakes:?}")
        };
        let said = mistake.to_string();
        assert!(
            said.starts_with("line 3: ") && said.contains(why),
            "{line}: {said}"
        );
        for text in [said, format!("{mistake:?}")] {
            for piece in ["secret42", "dhot", "ydOTSfIH", "myjXcp", "RU2K"] {
                assert!(!text.contains(piece), "{text}");
            }
        }
    }
    let not_text = Passwords::parse(b"ann@example.org:\xFF").unwrap_err();
    assert_eq!(not_text, [Wrong::NotText.at(1)]);
}

#[test]
fn all_mistakes_are_said_and_a_name_stands_once() {
    let text = format!(
        "ann@b.test:!\nx\nann@B.test:{0}\nann@b.test:!\nAnn@b.test:!\n",
        CHEAP[0]
    );
    let mistakes = Passwords::parse(text.as_bytes()).unwrap_err();
    let expected = [
        Wrong::NoColon.at(2),
        Wrong::Twice(1).at(3),
        Wrong::Twice(1).at(4),
        // In whatever case.
        Wrong::Twice(1).at(5),
    ];
    assert_eq!(mistakes, expected);
}

#[test]
fn a_file_is_bounded() {
    let lines = "a@b.test:!\n".len();
    assert!(Passwords::parse("\n".repeat(LINES).as_bytes()).is_ok());
    let mistakes = Passwords::parse("\n".repeat(LINES + 1).as_bytes()).unwrap_err();
    assert_eq!(mistakes, [Wrong::TooManyLines.at(LINES + 1)]);
    let wrong = Passwords::parse("x\n".repeat(LINES).as_bytes()).unwrap_err();
    assert_eq!(wrong.len(), MISTAKES);
    let mut large = vec![b' '; usize::try_from(FILE_OCTETS).unwrap()];
    large[..lines].copy_from_slice(b"a@b.test:!\n");
    assert_eq!(Passwords::parse(&large).unwrap().logins.len(), 1);
    large.push(b' ');
    assert_eq!(
        Passwords::parse(&large).unwrap_err(),
        [Wrong::TooLarge.at(0)]
    );
    assert!(parsed("").logins.is_empty());
}

#[test]
fn whatever_is_let_in_of_yescrypt_is_worked_with() {
    use ::yescrypt::{Mode, Params};
    let rest = "$abcd$RU2Kkby1H6yvchmPV6ZobgSigPvmsUpIjba5LqR9pOB";
    for r in [8, 9, 31, 32, 33, 64] {
        for n in [32, 64, 128, 256, 512, 1024, 2048] {
            let parameters = Params::new(Mode::default(), n, r, 1).unwrap();
            let hash = Hash::parse(&format!("$y${parameters}{rest}"));
            let kib = n * u64::from(r) / 8;
            assert_eq!(hash.is_ok(), kib >= 256, "{n} {r}");
            if let Ok(Hash::Yescrypt(hash)) = hash {
                assert!(hash.digest_of(PASSWORD).is_some(), "{n} {r}");
            }
        }
    }
}

#[test]
fn nothing_of_a_hash_is_shown() {
    let passwords = parsed(&format!("ann@example.org:{}", CHEAP[0]));
    assert_eq!(format!("{passwords:?}"), "Passwords(1 logins)");
}
