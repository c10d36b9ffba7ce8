//! Dialogs with AUTH SCRAM-SHA-256 and its -PLUS. Who is asked says yes to the proof of `PROOF`, whoever it is.

use super::*;
use crate::extension::Mechanism;
use crate::scram::{BINDING_OCTETS, CODE_OCTETS};

/// RFC 7677 §3, but for the name.
const BARE: &str = "n=ann,r=rOprNGfwEbeRWgbNEkqO";
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const NONCES: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: [u8; CODE_OCTETS] = [7; CODE_OCTETS];
const SIGNATURE: [u8; CODE_OCTETS] = [8; CODE_OCTETS];
const EXPORTED: [u8; BINDING_OCTETS] = [9; BINDING_OCTETS];
const BARE_MECHANISM: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// A session where SCRAM is offered, and what was asked of whoever knows the secrets.
struct Prover {
    session: Session,
    asked: Vec<String>,
}

impl Prover {
    /// After EHLO; `exported` is what TLS gave.
    fn ready(exported: Option<[u8; BINDING_OCTETS]>) -> Self {
        let parameters = Parameters {
            scram: Scram::Offered,
            ..PARAMETERS
        };
        let mut it = Self {
            session: Session::under_tls(parameters, NOW),
            asked: Vec::new(),
        };
        it.session.bind(exported);
        it.told("EHLO c.test\r\n");
        it
    }

    /// What is said to this.
    fn told(&mut self, input: impl AsRef<[u8]>) -> String {
        let (mut rest, mut said) = (input.as_ref(), Vec::new());
        loop {
            let used = self.session.receive(rest, &mut Vec::new(), NOW);
            rest = &rest[used..];
            let mut busy = false;
            while let Some(output) = self.session.poll() {
                busy = true;
                match output {
                    Output::Reply(reply) => reply.write(Public::Nothing, &mut said),
                    Output::Extensions => self.session.offer("mx.test").write(&mut said),
                    Output::Challenge => self.session.write_challenge(&mut said),
                    Output::Ask(Question::Login) => {
                        let answer = self.login();
                        self.session.answer_login(answer, NOW);
                    }
                    Output::Ask(_) => self.session.answer(Answer::Accept, NOW),
                    Output::Close => said.extend_from_slice(b"(closed)\r\n"),
                    Output::StartTls | Output::ContentBegins | Output::DiscardContent => {}
                }
            }
            if used == 0 && !busy {
                return String::from_utf8(said).unwrap();
            }
        }
    }

    fn login(&mut self) -> LoginAnswer {
        let Credentials { user, evidence } = self.session.take_credentials().unwrap();
        match evidence {
            Evidence::First(bare) => {
                self.asked.push(format!("{user}: {bare}"));
                LoginAnswer::Challenge(Challenge {
                    nonce: NONCE.into(),
                    salt: b"0123456789abcdef".as_slice().into(),
                    iterations: 60_000,
                })
            }
            Evidence::Proof(proof) => {
                assert_eq!(&*proof.server_nonce, NONCE);
                self.asked.push(format!("{user}: {}", proof.without_proof));
                if proof.code == PROOF {
                    LoginAnswer::Proved(SIGNATURE)
                } else {
                    LoginAnswer::Refuse(replies::BAD_LOGIN)
                }
            }
            Evidence::Password(_) => panic!("nobody says one"),
        }
    }

    /// Begins, by this message; what is said to it.
    fn begin(&mut self, mechanism: &str, message: &str) -> String {
        self.told(format!("AUTH {mechanism} {}\r\n", b64(message)))
    }

    /// Says this in the exchange.
    fn say(&mut self, message: impl AsRef<[u8]>) -> String {
        self.told(format!("{}\r\n", b64(message)))
    }
}

fn last(bound: &[u8], nonces: &str, proof: &[u8]) -> String {
    format!("c={},r={nonces},p={}", b64(bound), b64(proof))
}

/// The message of a challenge.
fn challenge(told: &str) -> String {
    let text = told.strip_prefix("334 ").unwrap().strip_suffix("\r\n");
    let octets = BASE64.decode(text.unwrap().as_bytes()).unwrap();
    String::from_utf8(octets).unwrap()
}

const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=60000";

#[test]
fn who_proves_his_password_is_told_that_we_know_him_and_is_in_when_he_has_heard() {
    for (exported, mechanism, header, bound) in [
        (None, BARE_MECHANISM, "n,,", Vec::new()),
        (None, BARE_MECHANISM, "y,,", Vec::new()),
        (None, BARE_MECHANISM, "n,a=ann,", Vec::new()),
        (Some(EXPORTED), BARE_MECHANISM, "n,,", Vec::new()),
        (Some(EXPORTED), PLUS, "p=tls-exporter,,", EXPORTED.to_vec()),
    ] {
        let first = format!("{header}{BARE}");
        let bound = [header.as_bytes(), &bound].concat();
        for at_once in [true, false] {
            let mut it = Prover::ready(exported);
            let told = if at_once {
                it.begin(mechanism, &first)
            } else {
                assert_eq!(it.told(format!("AUTH {mechanism}\r\n")), "334 \r\n");
                it.say(&first)
            };
            assert_eq!(challenge(&told), SERVER_FIRST);
            let told = it.say(last(&bound, NONCES, &PROOF));
            assert_eq!(challenge(&told), format!("v={}", b64(SIGNATURE)));
            assert!(!it.session.is_logged_in());
            assert_eq!(it.told("\r\n"), "235 2.7.0 logged in\r\n");
            assert!(it.session.is_logged_in());
            let without_proof = last(&bound, NONCES, &PROOF);
            let without_proof = without_proof.rsplit_once(',').unwrap().0;
            let asked = [format!("ann: {BARE}"), format!("ann: {without_proof}")];
            assert_eq!(it.asked, asked);
            assert!(it.told("MAIL FROM:<ann@b.c>\r\n").starts_with("250 "));
        }
    }
}

#[test]
fn it_is_offered_where_it_is_wanted_and_bound_where_tls_can() {
    let offer = |it: &mut Prover| {
        let told = it.told("EHLO a\r\n");
        let line = told.lines().find(|line| line.contains("AUTH"));
        line.unwrap_or_default().to_owned()
    };
    let mut it = Prover::ready(None);
    assert_eq!(offer(&mut it), "250-AUTH PLAIN LOGIN SCRAM-SHA-256");
    assert!(
        it.begin(PLUS, "p=tls-exporter,,n=a,r=x")
            .starts_with("504 5.5.4 ")
    );
    let mut it = Prover::ready(Some(EXPORTED));
    let all = Mechanism::ALL.map(Mechanism::name).join(" ");
    assert_eq!(offer(&mut it), format!("250-AUTH {all}"));
    assert!(all.ends_with(" SCRAM-SHA-256 SCRAM-SHA-256-PLUS"));
    // Where it is not wanted nobody is asked about it.
    let mut it = Submission::ready();
    it.session.bind(Some(EXPORTED));
    for mechanism in [BARE_MECHANISM, PLUS] {
        let told = it.told(format!("AUTH {mechanism}\r\n"));
        assert!(told.starts_with("504 5.5.4 "), "{told}");
    }
}

#[test]
fn what_begins_wrong_goes_no_further_and_nobody_is_asked() {
    let long = format!("n,,n=ann,r={}", "x".repeat(600));
    for (exported, mechanism, message, code) in [
        (None, BARE_MECHANISM, "", "501 5.5.2 "),
        (None, BARE_MECHANISM, "n,,n=,r=x", "501 5.5.2 "),
        (None, BARE_MECHANISM, "n,,n=a=b,r=x", "501 5.5.2 "),
        (None, BARE_MECHANISM, "n,,n=a\0,r=x", "501 5.5.2 "),
        (None, BARE_MECHANISM, "n,,m=x,n=ann,r=x", "501 5.5.2 "),
        (None, BARE_MECHANISM, "\0ann\0secret", "501 5.5.2 "),
        (None, BARE_MECHANISM, &long, "501 5.5.2 "),
        // Who acts as another, hears nothing of our offer, or means another connection: in the words for a wrong password.
        (None, BARE_MECHANISM, "n,a=eve,n=ann,r=x", "535 5.7.8 "),
        (Some(EXPORTED), BARE_MECHANISM, "y,,n=ann,r=x", "535 5.7.8 "),
        (
            Some(EXPORTED),
            BARE_MECHANISM,
            "p=tls-exporter,,n=ann,r=x",
            "535 5.7.8 ",
        ),
        (Some(EXPORTED), PLUS, "n,,n=ann,r=x", "535 5.7.8 "),
        (Some(EXPORTED), PLUS, "y,,n=ann,r=x", "535 5.7.8 "),
        (
            Some(EXPORTED),
            PLUS,
            "p=tls-unique,,n=ann,r=x",
            "535 5.7.8 ",
        ),
    ] {
        let mut it = Prover::ready(exported);
        let message = if message.is_empty() {
            "=".to_owned()
        } else {
            b64(message)
        };
        let told = it.told(format!("AUTH {mechanism} {message}\r\n"));
        assert!(told.starts_with(code), "{message}: {told}");
        assert!(it.asked.is_empty());
        assert!(
            it.told("NOOP\r\n").starts_with("250 "),
            "a command is one again"
        );
    }
}

#[test]
fn what_ends_wrong_logs_nobody_in() {
    let bound = b"p=tls-exporter,,".as_slice();
    let right = [bound, &EXPORTED].concat();
    let other = [bound, &[1; BINDING_OCTETS]].concat();
    let wrong = "535 5.7.8 name or password is wrong\r\n";
    let malformed = "501 5.5.2 malformed response\r\n";
    for (message, told, asked) in [
        (last(&right, NONCES, &[0; CODE_OCTETS]), wrong, 2),
        (last(&right, "rOprNGfwEbeRWgbNEkqO", &PROOF), wrong, 1),
        (last(&right, &NONCES.to_lowercase(), &PROOF), wrong, 1),
        (last(&other, NONCES, &PROOF), wrong, 1),
        (last(bound, NONCES, &PROOF), wrong, 1),
        (last(b"n,,", NONCES, &PROOF), wrong, 1),
        (last(&right, NONCES, &PROOF[1..]), malformed, 1),
        (last(&right, NONCES, b""), malformed, 1),
        (
            format!("m=x,{}", last(&right, NONCES, &PROOF)),
            malformed,
            1,
        ),
        (format!("c=biws,r={NONCES}"), malformed, 1),
        (String::new(), malformed, 1),
        ("\0".to_owned(), malformed, 1),
    ] {
        let mut it = Prover::ready(Some(EXPORTED));
        it.begin(PLUS, &format!("p=tls-exporter,,{BARE}"));
        assert_eq!(it.say(&message), told, "{message}");
        assert_eq!(it.asked.len(), asked, "{message}");
        assert!(!it.session.is_logged_in());
        assert!(it.told("MAIL FROM:<ann@b.c>\r\n").starts_with("530 "));
    }
}

#[test]
fn every_step_can_be_gone_back_on_and_is_read_as_base64_alone() {
    let steps: [fn(&mut Prover); 3] = [
        |it| {
            it.told("AUTH SCRAM-SHA-256\r\n");
        },
        |it| {
            it.begin(BARE_MECHANISM, &format!("n,,{BARE}"));
        },
        |it| {
            it.begin(BARE_MECHANISM, &format!("n,,{BARE}"));
            let told = it.say(last(b"n,,", NONCES, &PROOF));
            assert!(told.starts_with("334 "), "{told}");
        },
    ];
    for reach in steps {
        for (line, told) in [
            ("*".to_owned(), "501 5.7.0 login cancelled\r\n"),
            ("biw".to_owned(), "501 5.5.2 malformed response\r\n"),
            ("=".to_owned(), "501 5.5.2 malformed response\r\n"),
            ("bi=s".to_owned(), "501 5.5.2 malformed response\r\n"),
            ("biws".to_owned(), "501 5.5.2 malformed response\r\n"),
            ("NOOP".to_owned(), "501 5.5.2 malformed response\r\n"),
            ("A".repeat(64 * 1024), "500 5.5.6 line too long\r\n"),
        ] {
            let mut it = Prover::ready(None);
            reach(&mut it);
            let shown = line.get(..10).unwrap_or(&line).to_owned();
            assert_eq!(it.told(line + "\r\n"), told, "{shown}");
            assert!(!it.session.is_logged_in());
            assert!(it.told("NOOP\r\n").starts_with("250 "));
            assert!(it.told("MAIL FROM:<ann@b.c>\r\n").starts_with("530 "));
        }
    }
}

/// RFC 4954 §9 asks for three at least.
#[test]
fn proofs_that_are_wrong_end_the_session_as_passwords_do() {
    let mut it = Prover::ready(None);
    for code in ["535", "535", "421"] {
        it.begin(BARE_MECHANISM, &format!("n,,{BARE}"));
        let told = it.say(last(b"n,,", NONCES, &[0; CODE_OCTETS]));
        assert!(told.starts_with(code), "{told}");
    }
    assert!(it.session.is_closed());
}

#[test]
fn nothing_that_is_said_is_shown() {
    let mut it = Prover::ready(None);
    it.begin(BARE_MECHANISM, &format!("n,,{BARE}"));
    assert!(!format!("{:?}", it.session).contains("rOpr"));
    it.session.receive(
        format!("{}\r\n", b64(last(b"n,,", NONCES, &PROOF))).as_bytes(),
        &mut Vec::new(),
        NOW,
    );
    let shown = format!("{:?}", it.session);
    assert!(
        shown.contains("LoggingIn") && !shown.contains("rOpr"),
        "{shown}"
    );
}
