//! What a client may answer to a challenge: base64, text, and how much of it.

use super::*;
use mail::limits::{LOGIN_LINE_OCTETS, LOGIN_NAME_OCTETS, LOGIN_PASSWORD_OCTETS};

//= https://www.rfc-editor.org/rfc/rfc4954#section-4
//= type=test
//# In particular, servers and clients
//# MUST reject (and not ignore) any character not explicitly
//# allowed by the BASE64 alphabet, and MUST reject any sequence
//# of BASE64 characters that contains the pad character ('=')
//# anywhere other than the end of the string (e.g., "=AAA" and
//# "AAA=BBB" are not allowed).
#[test]
fn base64_is_read_strictly() {
    // `AGEAYg==` is NUL a NUL b; with a longer name and password no padding is needed.
    for bad in [
        "=AAA",
        "AAA=BBB",
        "AGEAYg",
        "AGEAYg=",
        "AGEAYg===",
        "AGEAYg====",
        "AGEAYh==",
        "AGE AYg==",
        " AGEAYg==",
        "AGEAYg== ",
        "AGE\tAYg==",
        "AGEAYg==AGEAYg==",
        "AGFhAA==YmI=",
        "AG_hAGJi",
        "AGFh-GJi",
        "A",
        "AG",
        "AGE",
        "====",
        "==",
        "=",
        "**",
        "AGEAYg==\0",
        "AGEAYg==\n",
        "\u{e4}GEAYg==",
        "QUIT ",
        "AGEAYg==, a",
    ] {
        let mut it = Submission::ready();
        let told = it.statuses(format!("AUTH PLAIN\r\n{bad}\r\n"));
        assert_eq!(told, "334 , 501 5.5.2", "{bad:?}");
        assert!(it.logins.is_empty(), "{bad:?}");
        assert_eq!(it.codes("NOOP\r\n"), "250", "{bad:?}");
        if !bad.contains([' ', '\t', '\0', '\n', '\u{e4}']) && bad != "=" {
            assert_eq!(
                it.statuses(format!("AUTH PLAIN {bad}\r\n")),
                "501 5.5.2",
                "{bad:?}"
            );
        }
    }
    let mut it = Submission::ready();
    assert_eq!(it.codes("AUTH PLAIN AGEAYg==\r\n"), "535");
    assert_eq!(it.logins, [("a".into(), "b".into())]);
}

#[test]
fn name_and_password_are_text_that_can_be_typed() {
    let long = |count: usize| "x".repeat(count);
    let (name, secret) = (long(LOGIN_NAME_OCTETS), long(LOGIN_PASSWORD_OCTETS));
    for (message, is_asked) in [
        (b"\0ann\0p\xc3\xa4ss w\xc3\xb6rd".to_vec(), true),
        ("\0änn@b.c\0 ".into(), true),
        (format!("\0{name}\0{secret}").into(), true),
        (format!("\0{name}x\0{secret}").into(), false),
        (format!("\0{name}\0{secret}x").into(), false),
        (b"\0\0secret".to_vec(), false),
        (b"\0ann\0".to_vec(), false),
        (b"\0ann".to_vec(), false),
        (b"ann\0secret".to_vec(), false),
        (b"\0ann\0secret\0".to_vec(), false),
        (b"\0ann\0sec\0ret".to_vec(), false),
        (b"\0ann\0secret\n".to_vec(), false),
        (b"\0an\tn\0secret".to_vec(), false),
        (b"\0ann\x7f\0secret".to_vec(), false),
        ("\0ann\0sec\u{85}ret".into(), false),
        (b"\0ann\0sec\xff".to_vec(), false),
        (b"\0an\xc3\0secret".to_vec(), false),
        (b"\xff\0ann\0secret".to_vec(), false),
        (b"a\nb\0ann\0secret".to_vec(), false),
        (b"\0\0".to_vec(), false),
        (b"\0".to_vec(), false),
        (b"".to_vec(), false),
    ] {
        let shown = String::from_utf8_lossy(&message)
            .chars()
            .take(30)
            .collect::<String>();
        let mut it = Submission::ready();
        let wanted = if is_asked {
            "334 , 535 5.7.8"
        } else {
            "334 , 501 5.5.2"
        };
        let told = it.statuses(format!("AUTH PLAIN\r\n{}\r\n", b64(&message)));
        assert_eq!(told, wanted, "{shown:?}");
        assert_eq!(it.logins.len(), usize::from(is_asked), "{shown:?}");
        // LOGIN says the same in parts.
        let parts: Vec<&[u8]> = message.split(|octet| *octet == 0).collect();
        if let [b"", name, secret] = parts[..] {
            let input = format!("AUTH LOGIN\r\n{}\r\n{}\r\n", b64(name), b64(secret));
            assert_eq!(
                it.told(input).contains("\r\n535 5.7.8"),
                is_asked,
                "{shown:?}"
            );
            assert_eq!(it.logins.len(), 2 * usize::from(is_asked), "{shown:?}");
        }
    }
    // An empty initial response is none that either mechanism knows.
    let mut it = Submission::ready();
    assert_eq!(
        it.statuses("AUTH PLAIN =\r\nAUTH LOGIN =\r\n"),
        "501 5.5.2, 501 5.5.2"
    );
}

#[test]
fn nobody_acts_as_another() {
    let mut it = Submission::ready();
    let told = it.statuses(format!("AUTH PLAIN {}\r\n", b64("root\0ann\0secret")));
    assert_eq!(told, "535 5.7.8");
    assert!(it.logins.is_empty() && !it.session.is_logged_in());
    assert_eq!(
        it.codes(format!("AUTH PLAIN {}\r\n", b64("ann\0ann\0secret"))),
        "235"
    );
}

//= https://www.rfc-editor.org/rfc/rfc4954#section-4
//= type=test
//# If, during an authentication exchange,
//# the server receives a line that is longer than the server's
//# authentication buffer, the server fails the AUTH command with the
//# 500 reply.
#[test]
fn a_line_of_an_exchange_may_be_long_and_no_other_may() {
    let wanted = [("501 5.5.2", 0), ("500 5.5.6", 1)];
    for (status, more) in wanted {
        for (begin, verb) in [
            ("", "AUTH PLAIN "),
            ("AUTH PLAIN\r\n", ""),
            ("AUTH LOGIN\r\n", ""),
        ] {
            let line = format!(
                "{verb}{:A<width$}\r\n",
                "",
                width = LOGIN_LINE_OCTETS + more - 2 - verb.len()
            );
            assert_eq!(line.len(), LOGIN_LINE_OCTETS + more);
            for cut in [1000, 4095, 4096, 4097, 12_287, 12_288, 12_289, 20_000] {
                let mut it = Submission::ready();
                it.hear(begin.as_bytes());
                it.said.clear();
                let input = format!("{line}NOOP\r\n");
                let mut pending = Vec::new();
                for piece in input.as_bytes().chunks(cut) {
                    pending.extend_from_slice(piece);
                    let used = it.hear(&pending);
                    pending.drain(..used);
                    assert!(pending.len() < LOGIN_LINE_OCTETS, "it waits for no more");
                }
                let said = String::from_utf8(it.said.clone()).unwrap();
                let ends = said.ends_with("\r\n250 2.0.0 ok\r\n");
                assert!(said.starts_with(status) && ends, "{said}");
                assert_eq!(it.codes(auth_plain("ann", "secret")), "235");
            }
        }
    }
    let command = format!(
        "{:N<width$}\r\n",
        "NOOP ",
        width = limits::COMMAND_LINE_OCTETS - 1
    );
    assert_eq!(Submission::ready().statuses(&command), "500 5.5.2");
    let auth = format!(
        "{:A<width$}\r\n",
        "AUTH PLAIN ",
        width = limits::COMMAND_LINE_OCTETS - 1
    );
    assert_eq!(Submission::ready().statuses(&auth), "501 5.5.2");
    assert_eq!(Submission::logged_in().statuses(&auth), "500 5.5.2");
    let mut it = Submission::ready();
    it.session = Session::new(PARAMETERS, NOW);
    it.hear(b"EHLO a\r\n");
    assert_eq!(it.statuses(&auth), "500 5.5.2");
}
