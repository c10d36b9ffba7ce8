//! Dialogs with AUTH: as clients write them, as nobody should, and how they end.

mod responses;
mod scram;

use super::*;
use data_encoding::BASE64;

const NOW: Time = Time::from_secs(1000);
const PARAMETERS: Parameters = Parameters {
    content_octets_max: 200,
    recipients_max: 3,
    errors_max: 6,
    start_tls: true,
    needs_login: true,
    scram: Scram::Off,
    dsn: true,
};

/// A session, and who is asked: `ann` with `secret` is known, of `later` nobody can say, all others are wrong.
struct Submission {
    session: Session,
    said: Vec<u8>,
    logins: Vec<(String, String)>,
}

impl Submission {
    fn under_tls() -> Self {
        Self {
            session: Session::under_tls(PARAMETERS, NOW),
            said: Vec::new(),
            logins: Vec::new(),
        }
    }

    /// After EHLO, with nothing said yet.
    fn ready() -> Self {
        let mut it = Self::under_tls();
        it.hear(b"EHLO c.test\r\n");
        it.said.clear();
        it
    }

    fn logged_in() -> Self {
        let mut it = Self::ready();
        assert_eq!(it.codes(auth_plain("ann", "secret")), "235");
        it
    }

    /// Gives all of this, as far as it is taken; how much that was.
    fn hear(&mut self, input: &[u8]) -> usize {
        let mut rest = input;
        loop {
            let used = self.session.receive(rest, &mut Vec::new(), NOW);
            rest = &rest[used..];
            let busy = self.settle();
            if used == 0 && !busy {
                return input.len() - rest.len();
            }
        }
    }

    fn settle(&mut self) -> bool {
        let mut busy = false;
        while let Some(output) = self.session.poll() {
            busy = true;
            match output {
                Output::Reply(reply) => reply.write(Public::Nothing, &mut self.said),
                Output::Extensions => self.session.offer("mx.test").write(&mut self.said),
                Output::Ask(Question::Login) => {
                    let credentials = self.session.take_credentials().expect("somebody asks");
                    assert!(
                        self.session.take_credentials().is_none(),
                        "they are had once"
                    );
                    let Evidence::Password(password) = &credentials.evidence else {
                        panic!("SCRAM is not offered");
                    };
                    let password = std::str::from_utf8(password).unwrap();
                    let answer = match (&*credentials.user, password) {
                        ("ann", "secret") => Answer::Accept,
                        ("later", _) => Answer::Refuse(replies::LOGIN_LATER),
                        _ => Answer::Refuse(replies::BAD_LOGIN),
                    };
                    let login = (credentials.user.to_string(), password.to_owned());
                    self.logins.push(login);
                    self.session.answer(answer, NOW);
                }
                Output::Challenge => panic!("SCRAM is not offered"),
                Output::Ask(_) => self.session.answer(Answer::Accept, NOW),
                Output::StartTls => self.session.secured(NOW),
                Output::ContentBegins | Output::DiscardContent => {}
                Output::Close => self.said.extend_from_slice(b"(closed)\r\n"),
            }
        }
        busy
    }

    /// What is said to this.
    fn told(&mut self, input: impl AsRef<[u8]>) -> String {
        self.said.clear();
        self.hear(input.as_ref());
        String::from_utf8(self.said.clone()).unwrap()
    }

    /// Its codes.
    fn codes(&mut self, input: impl AsRef<[u8]>) -> String {
        let told = self.told(input);
        let lines = told.lines().filter(|l| l.as_bytes().get(3) != Some(&b'-'));
        lines.map(|l| &l[..3]).collect::<Vec<_>>().join(" ")
    }

    /// Its codes with their enhanced codes.
    fn statuses(&mut self, input: impl AsRef<[u8]>) -> String {
        let told = self.told(input);
        let words = |l: &str| l.split(' ').take(2).collect::<Vec<_>>().join(" ");
        told.lines().map(words).collect::<Vec<_>>().join(", ")
    }
}

fn b64(octets: impl AsRef<[u8]>) -> String {
    BASE64.encode(octets.as_ref())
}

fn auth_plain(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}\r\n", b64(format!("\0{user}\0{password}")))
}

/// What stands between a client's first octet and its first MAIL, as it is written under TLS. However it is cut, the
/// replies are the same.
#[test]
fn clients_log_in_as_they_write_it() {
    let (ann, secret, plain) = (b64("ann"), b64("secret"), b64("\0ann\0secret"));
    for (client, lines, codes) in [
        (
            "swaks, LOGIN",
            vec!["EHLO pc.test", "AUTH LOGIN", &ann, &secret],
            "250 334 334 235",
        ),
        (
            "swaks, PLAIN",
            vec!["EHLO pc.test", &format!("AUTH PLAIN {plain}")],
            "250 235",
        ),
        (
            "msmtp",
            vec!["EHLO localhost", &format!("AUTH PLAIN {plain}")],
            "250 235",
        ),
        (
            "Thunderbird, PLAIN",
            vec!["EHLO [192.168.1.7]", &format!("AUTH PLAIN {plain}")],
            "250 235",
        ),
        (
            "Thunderbird, LOGIN",
            vec!["EHLO [192.168.1.7]", "AUTH LOGIN", &ann, &secret],
            "250 334 334 235",
        ),
        (
            "smtplib, the name at once",
            vec!["ehlo [127.0.1.1]", &format!("AUTH LOGIN {ann}"), &secret],
            "250 334 235",
        ),
        (
            "smtplib, no initial response",
            vec!["ehlo [127.0.1.1]", "AUTH PLAIN", &plain],
            "250 334 235",
        ),
        (
            "mutt, who says whom he acts as",
            vec![
                "EHLO pc",
                &format!("AUTH PLAIN {}", b64("ann\0ann\0secret")),
            ],
            "250 235",
        ),
        (
            "a printer",
            vec!["HELO printer", "auth login", &ann, &secret],
            "250 334 334 235",
        ),
    ] {
        let input = lines.join("\r\n") + "\r\nMAIL FROM:<ann@b.c>\r\nQUIT\r\n";
        for cut in 1..=input.len() {
            let mut it = Submission::under_tls();
            let mut pending = Vec::new();
            for piece in input.as_bytes().chunks(cut) {
                pending.extend_from_slice(piece);
                let used = it.hear(&pending);
                pending.drain(..used);
            }
            let said = String::from_utf8(it.said.clone()).unwrap();
            let all: Vec<&str> = said
                .lines()
                .filter(|l| l.as_bytes().get(3) != Some(&b'-'))
                .map(|l| &l[..3])
                .collect();
            let wanted = format!("220 {codes} 250 221 (cl");
            assert_eq!(all.join(" "), wanted, "{client}, in pieces of {cut}");
            assert_eq!(it.logins, [("ann".into(), "secret".into())], "{client}");
        }
    }
}

//= https://www.rfc-editor.org/rfc/rfc4954#section-4
//= type=test
//# This challenge MUST NOT contain any text other
//# than the BASE64 encoded challenge.
#[test]
fn a_challenge_is_base64_and_no_more() {
    let mut it = Submission::ready();
    assert_eq!(it.told("AUTH PLAIN\r\n"), "334 \r\n");
    assert_eq!(it.statuses("*\r\n"), "501 5.7.0");
    assert_eq!(it.told("AUTH LOGIN\r\n"), "334 VXNlcm5hbWU6\r\n");
    assert_eq!(it.told("YW5u\r\n"), "334 UGFzc3dvcmQ6\r\n");
    let asked =
        [replies::ASK_USER, replies::ASK_PASSWORD].map(|r| BASE64.decode(r.text().as_bytes()));
    assert_eq!(
        asked,
        [Ok(b"Username:".to_vec()), Ok(b"Password:".to_vec())]
    );
}

#[test]
fn auth_is_offered_under_tls_until_somebody_logs_in() {
    let offers = |told: &str| told.contains("AUTH PLAIN LOGIN\r\n");
    let mut it = Submission::under_tls();
    let told = it.told("EHLO a\r\n");
    assert!(offers(&told) && !told.contains("STARTTLS"), "{told}");
    assert_eq!(it.codes("STARTTLS\r\n"), "503");
    assert!(it.session.is_secure() && !it.session.is_logged_in());
    it.hear(auth_plain("ann", "secret").as_bytes());
    assert!(!offers(&it.told("EHLO a\r\n")));

    it.session = Session::new(PARAMETERS, NOW);
    let told = it.told("EHLO a\r\n");
    assert!(
        !told.contains("AUTH") && told.contains("STARTTLS"),
        "{told}"
    );
    let told = it.told("STARTTLS\r\n") + &it.told("EHLO a\r\n");
    assert!(offers(&told), "{told}");
}

//= https://www.rfc-editor.org/rfc/rfc6409#section-4.3
//= type=test
//# The MSA MUST, by default, issue an error response to the MAIL command
//# if the session has not been authenticated using [SMTP-AUTH], unless
//# it has already independently established authentication or
//# authorization (such as being within a protected subnetwork).
#[test]
fn no_mail_comes_from_who_has_not_logged_in() {
    let mail = "MAIL FROM:<a@b.c>\r\nRCPT TO:<x@y.z>\r\nDATA\r\n";
    let mut it = Submission::ready();
    assert_eq!(it.statuses(mail), "530 5.7.0, 503 5.5.1, 503 5.5.1");
    it.session = Session::new(PARAMETERS, NOW);
    it.hear(b"EHLO a\r\n");
    assert_eq!(it.statuses(mail), "530 5.7.0, 503 5.5.1, 503 5.5.1");
    assert_eq!(
        it.codes("VRFY a\r\nHELP\r\nNOOP\r\nRSET\r\n"),
        "252 214 250 250"
    );
    let told = it.told(auth_plain("ann", "secret"));
    assert_eq!(told, "530 5.7.0 say STARTTLS first\r\n");
    assert!(it.logins.is_empty() && !it.session.is_logged_in());
    // What was said in clear is forgotten under TLS, and nobody is logged in by it.
    it.session = Session::new(PARAMETERS, NOW);
    assert_eq!(it.codes("EHLO a\r\nSTARTTLS\r\n"), "220 250 220");
    assert_eq!(it.codes("MAIL FROM:<a@b.c>\r\n"), "503");
    assert_eq!(it.codes("EHLO a\r\nMAIL FROM:<a@b.c>\r\n"), "250 530");
}

#[test]
fn where_nobody_logs_in_auth_is_not_known() {
    for session in [Session::new, Session::under_tls] {
        let parameters = Parameters {
            needs_login: false,
            ..PARAMETERS
        };
        let mut it = Submission::under_tls();
        it.session = session(parameters, NOW);
        let told = it.told("EHLO a\r\n");
        assert!(!told.contains("AUTH"), "{told}");
        assert_eq!(it.statuses("AUTH PLAIN\r\n"), "502 5.5.1");
        assert_eq!(it.statuses(auth_plain("ann", "secret")), "502 5.5.1");
        let mail = "MAIL FROM:<> AUTH=<>\r\nMAIL FROM:<> AUTH=x\r\nMAIL FROM:<>\r\n";
        assert_eq!(it.statuses(mail), "555 5.5.4, 555 5.5.4, 250 2.1.0");
        assert!(it.logins.is_empty());
    }
}

#[test]
fn bare_lfs_of_who_is_logged_in_are_taken_and_end_nothing() {
    let mut it = Submission::logged_in();
    let start = "MAIL FROM:<a@b.c>\r\nRCPT TO:<x@y.z>\r\nDATA\r\n";
    let content = "a\nb\n.\nQUIT\n.\r\nc\r\n.\r\nNOOP\r\n";
    assert_eq!(it.codes(format!("{start}{content}")), "250 250 354 250 250");
    let content = "a\rb\r\n.\r\nNOOP\r\n";
    assert_eq!(it.codes(format!("{start}{content}")), "250 250 354 550 250");
}

//= https://www.rfc-editor.org/rfc/rfc4954#section-4
//= type=test
//# After a
//# successful AUTH command completes, a server MUST reject any
//# further AUTH commands with a 503 reply.
//
//= https://www.rfc-editor.org/rfc/rfc4954#section-4
//= type=test
//# An AUTH command issued during a mail transaction MUST be
//# rejected with a 503 reply.
#[test]
fn there_is_one_login_a_session_and_it_stays() {
    let mut it = Submission::logged_in();
    assert_eq!(
        it.statuses("AUTH PLAIN\r\nAUTH LOGIN\r\nAUTH X\r\n"),
        "503 5.5.1, 503 5.5.1, 503 5.5.1"
    );
    let mail = "MAIL FROM:<a@b.c>\r\n";
    assert_eq!(it.codes(format!("{mail}AUTH PLAIN\r\n")), "250 503");
    assert_eq!(
        it.codes(format!("RSET\r\n{mail}EHLO b\r\n{mail}HELO c\r\n{mail}")),
        "250 250 250 250 250 250"
    );
    assert!(it.session.is_logged_in() && it.session.is_secure());
    assert_eq!(it.logins.len(), 1);
    // Before a greeting there is none.
    assert_eq!(
        Submission::under_tls().statuses("AUTH PLAIN\r\n"),
        "220 ESMTP, 503 5.5.1"
    );
}

//= https://www.rfc-editor.org/rfc/rfc4954#section-4
//= type=test
//# If the client wishes to cancel the
//# authentication exchange, it issues a line with a single "*".
//# If the server receives such a response, it MUST reject the
//# AUTH command by sending a 501 reply.
#[test]
fn an_exchange_can_be_cancelled_at_each_step() {
    for begin in ["AUTH PLAIN\r\n", "AUTH LOGIN\r\n", "AUTH LOGIN YW5u\r\n"] {
        let mut it = Submission::ready();
        assert_eq!(it.codes(begin), "334");
        assert_eq!(it.statuses("*\r\n"), "501 5.7.0");
        assert!(it.logins.is_empty());
        assert_eq!(it.codes("NOOP\r\n"), "250");
        assert_eq!(it.codes(auth_plain("ann", "secret")), "235");
    }
    // It has no meaning elsewhere.
    assert_eq!(
        Submission::ready().statuses("AUTH PLAIN *\r\n*\r\n"),
        "501 5.5.2, 500 5.5.2"
    );
}

//= https://www.rfc-editor.org/rfc/rfc4954#section-9
//= type=test
//# If they do so,
//# they SHOULD NOT drop the connection until at least 3 attempts to
//# authenticate have failed.
#[test]
fn the_third_login_that_is_refused_is_the_last() {
    let (wrong, later) = (auth_plain("ann", "Secret"), auth_plain("later", "x"));
    let for_another = format!("AUTH PLAIN {}\r\n", b64("root\0ann\0secret"));
    for second in [&wrong, &for_another] {
        for third in [&wrong, &for_another] {
            let mut it = Submission::ready();
            assert_eq!(it.statuses(&wrong), "535 5.7.8");
            assert_eq!(it.statuses(later.repeat(9)), ["454 4.7.0"; 9].join(", "));
            assert_eq!(it.statuses(second), "535 5.7.8");
            assert_eq!(it.statuses("AUTH PLAIN\r\n!\r\n"), "334 , 501 5.5.2");
            assert_eq!(it.statuses(third), "421 4.7.0, (closed)");
            assert!(it.session.is_closed() && !it.session.is_logged_in());
        }
    }
    let mut it = Submission::ready();
    assert_eq!(it.codes(wrong.repeat(2)), "535 535");
    assert_eq!(it.codes(auth_plain("ann", "secret")), "235");
}

/// What goes wrong with AUTH counts as any command does.
#[test]
fn exchanges_that_fail_are_errors() {
    for failing in ["AUTH PLAIN\r\n*\r\n", "AUTH PLAIN !\r\n", "AUTH X\r\n"] {
        let mut it = Submission::ready();
        let told = it.told(failing.repeat(6));
        assert!(
            told.ends_with("421 4.7.0 too many errors\r\n(closed)\r\n"),
            "{told}"
        );
    }
    assert_eq!(
        Submission::ready().statuses("AUTH CRAM-MD5\r\nAUTH\r\n"),
        "504 5.5.4, 501 5.5.4"
    );
}

/// RFC 4954 §4: an initial response of PLAIN need not be the last of a group. What follows a challenge is the response.
#[test]
fn what_comes_behind_auth_waits_for_its_outcome() {
    let rest = "MAIL FROM:<a@b.c>\r\nRCPT TO:<x@y.z>\r\n";
    let good = auth_plain("ann", "secret") + rest;
    assert_eq!(Submission::ready().codes(&good), "235 250 250");
    let bad = auth_plain("ann", "Secret") + rest;
    assert_eq!(Submission::ready().codes(&bad), "535 530 503");
    let steps = "AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n".to_owned() + rest;
    assert_eq!(Submission::ready().codes(&steps), "334 334 235 250 250");
    let quits = "AUTH LOGIN\r\nQUIT\r\nNOOP\r\n";
    assert_eq!(Submission::ready().codes(quits), "334 501 250");

    let mut session = Submission::ready().session;
    let used = session.receive(good.as_bytes(), &mut Vec::new(), NOW);
    assert_eq!(used, good.len() - rest.len());
    assert_eq!(session.poll(), Some(Output::Ask(Question::Login)));
    assert_eq!(session.receive(rest.as_bytes(), &mut Vec::new(), NOW), 0);
    assert_eq!(session.poll(), None);
    session.answer(Answer::Accept, NOW);
    assert_eq!(session.poll(), Some(Output::Reply(replies::LOGGED_IN)));
    // Nobody took them, and now nobody can.
    assert!(session.take_credentials().is_none());
}

/// Octets that a client means for a chunk, or a browser for its server, are not read as commands behind a challenge either.
#[test]
fn what_would_end_a_session_ends_it_within_an_exchange() {
    for line in [
        "BDAT 6 LAST",
        "BDAT 6",
        "bdat x",
        "POST / HTTP/1.1",
        "GET /x",
    ] {
        for begin in ["AUTH PLAIN\r\n", "AUTH LOGIN\r\n", "AUTH LOGIN YW5u\r\n"] {
            let mut it = Submission::ready();
            let told = it.told(format!("{begin}{line}\r\nNOOP\r\n"));
            assert!(told.ends_with("(closed)\r\n"), "{told}");
        }
    }
    // It is base64 all the same, where it is.
    assert_eq!(
        Submission::ready().codes("AUTH LOGIN\r\nhead\r\nNOOP\r\n"),
        "334 501 250"
    );
}

/// RFC 4954 §5: it is read, and nobody is believed.
#[test]
fn the_parameter_of_mail_is_read_and_forgotten() {
    for (parameter, told) in [
        ("AUTH=<>", "250 2.1.0"),
        ("auth=e+3Dmc2@example.com", "250 2.1.0"),
        ("SIZE=1 AUTH=a@b.c BODY=7BIT", "250 2.1.0"),
        ("AUTH=a", "501 5.5.4"),
        ("AUTH=a+@b.c", "501 5.5.4"),
        ("AUTH=", "501 5.5.4"),
        ("AUTH", "501 5.5.4"),
        ("AUTH=<> AUTH=<>", "501 5.5.4"),
    ] {
        let mut it = Submission::logged_in();
        assert_eq!(
            it.statuses(format!("MAIL FROM:<a@b.c> {parameter}\r\n")),
            told,
            "{parameter}"
        );
    }
    assert_eq!(
        Submission::ready().statuses("MAIL FROM:<a@b.c> AUTH=<>\r\n"),
        "530 5.7.0"
    );
}

#[test]
fn nothing_that_is_said_in_a_login_is_ever_shown() {
    let mut session = Submission::ready().session;
    let mut shown = Vec::new();
    let plain = b64("\0ann\0secret");
    for line in [
        "AUTH LOGIN",
        &b64("ann"),
        "*",
        "AUTH LOGIN YW5u",
        &b64("secret"),
    ] {
        session.receive(format!("{line}\r\n").as_bytes(), &mut Vec::new(), NOW);
        shown.push(format!("{session:?}"));
    }
    shown.push(format!("{:?}", session.take_credentials()));
    let command = format!("AUTH PLAIN {plain}");
    shown.push(format!("{:?}", Command::parse(command.as_bytes())));
    let shown = shown.concat();
    assert!(shown.contains("LoggingIn"), "{shown}");
    for secret in [
        "ann",
        "secret",
        "YW5u",
        &plain,
        &b64("secret"),
        "115, 101, 99",
    ] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

/// A session ends within an exchange as between commands, and while a password is looked at as while MAIL is.
#[test]
fn sessions_end_in_the_middle_of_a_login() {
    type End = (&'static str, fn(&mut Session));
    let ends: [End; 4] = [
        ("421 4.3.2", |s| s.stop(NOW)),
        ("421 4.3.2", Session::cut),
        ("421 4.3.2", |s| assert!(s.make_room())),
        ("421 4.", |s| s.wake(s.wake_at())),
    ];
    for (status, end) in ends {
        for begin in ["AUTH PLAIN\r\n", "AUTH LOGIN\r\n", "AUTH LOGIN YW5u\r\n"] {
            let mut it = Submission::ready();
            it.hear(begin.as_bytes());
            it.said.clear();
            end(&mut it.session);
            it.settle();
            let said = String::from_utf8(it.said.clone()).unwrap();
            assert!(
                said.starts_with(status) && said.ends_with("(closed)\r\n"),
                "{said}"
            );
            assert_eq!(it.codes("c2VjcmV0\r\n"), "");
        }
        let mut session = Submission::ready().session;
        session.receive(auth_plain("ann", "secret").as_bytes(), &mut Vec::new(), NOW);
        assert_eq!(session.poll(), Some(Output::Ask(Question::Login)));
        end(&mut session);
        assert!(session.is_closed() && session.take_credentials().is_none());
        // The answer comes too late.
        session.answer(Answer::Accept, NOW);
        assert!(session.is_closed() && !session.is_logged_in());
    }
    let waits = |input: &str| {
        let mut session = Submission::ready().session;
        session.receive(input.as_bytes(), &mut Vec::new(), NOW);
        while session.poll().is_some() {}
        session.wake(session.wake_at());
        session.poll()
    };
    assert_eq!(
        waits("AUTH PLAIN\r\n"),
        Some(Output::Reply(replies::TIMED_OUT))
    );
    assert_eq!(
        waits(&auth_plain("a", "b")),
        Some(Output::Reply(replies::NO_ANSWER))
    );
}
