//! Addresses beyond ASCII (RFC 6531): taken where SMTPUTF8 was said, and nowhere else.

use super::dsn::Asking;

#[test]
fn who_says_smtputf8_may_name_mailboxes_beyond_ascii() {
    let mut it = Asking::new(true);
    let offer = it.hear("EHLO x");
    assert!(
        offer.contains("\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"),
        "{offer}"
    );
    let mail = it.hear("MAIL FROM:<jörg@bücher.example> smtputf8 BODY=8BITMIME SIZE=10");
    assert!(mail.starts_with("250 "), "{mail}");
    for rcpt in [
        "RCPT TO:<用户@例え.テスト>",
        "RCPT TO:<\"ö \\\" ö\"@b.c> ORCPT=utf-8;ö@b.c",
        "RCPT TO:<ann@b.c>",
    ] {
        let said = it.hear(rcpt);
        assert!(said.starts_with("250 "), "{said}");
    }
    let transaction = it.session.transaction().unwrap();
    assert!(transaction.parameters.smtputf8);
    let reverse_path = transaction.reverse_path.to_string();
    assert_eq!(reverse_path, "jörg@xn--bcher-kva.example");
    let each = transaction.recipients.iter();
    let recipients: Vec<String> = each.map(|asked| asked.forward_path.to_string()).collect();
    assert_eq!(
        recipients,
        ["用户@xn--r8jz45g.xn--zckzah", "\"ö \\\" ö\"@b.c", "ann@b.c"]
    );
    let original = transaction.recipients[1].request.original.as_ref();
    assert_eq!(original.unwrap().as_str(), "utf-8;\\x{F6}@b.c");
}

#[test]
fn who_does_not_say_it_is_refused_as_rfc_6531_has_it() {
    let mut it = Asking::new(false);
    for mail in [
        "MAIL FROM:<jörg@b.c>",
        "MAIL FROM:<a@bücher.example> SIZE=10",
    ] {
        assert_eq!(
            it.hear(mail),
            "550 5.6.7 say SMTPUTF8 for such an address\r\n"
        );
    }
    assert!(it.hear("MAIL FROM:<a@b.c>").starts_with("250 "));
    for rcpt in ["RCPT TO:<jörg@b.c>", "RCPT TO:<a@bücher.example>"] {
        assert_eq!(
            it.hear(rcpt),
            "553 5.6.7 say SMTPUTF8 for such an address\r\n"
        );
    }
    assert!(
        it.hear("RCPT TO:<a@xn--bcher-kva.example>")
            .starts_with("250 ")
    );
}

#[test]
fn smtputf8_has_no_value_is_said_once_and_brings_nothing_else_beyond_ascii() {
    let mut it = Asking::new(true);
    for malformed in [
        "MAIL FROM:<a@b.c> SMTPUTF8=1",
        "MAIL FROM:<a@b.c> SMTPUTF8 SMTPUTF8",
        "MAIL FROM:<a@b.c> SMTPUTF8 ENVID=ö",
        "MAIL FROM:<a@b.c> SMTPUTF8 SIZE=１",
        "MAIL FROM:<a\u{202e}@b.c> SMTPUTF8",
    ] {
        let said = it.hear(malformed);
        assert!(said.starts_with("501 5."), "{malformed}: {said}");
    }
    let mut it = Asking::new(true);
    for (line, code) in [
        ("EHLO bücher.example", "500 5.5.2 "),
        ("NOOP ö", "500 5.5.2 "),
        ("VRFY jörg SMTPUTF8", "252 "),
        ("EXPN jörg SMTPUTF8", "502 5.5.1 "),
        ("MAIL FROM:<a@b.c> SMTPUTF8", "250 "),
        ("RCPT TO:<a@b.c> ORCPT=rfc822;ö@b.c", "501 5.5.4 "),
        ("RCPT TO:<a@b.c> ORCPT=ö;a", "501 5.5.4 "),
        ("RCPT TO:<a@b.c> ORCPT=utf-8;ö\u{85}@b.c", "501 5.5.4 "),
        ("RCPT TO:<a\u{2028}@b.c>", "501 5.1.3 "),
    ] {
        let said = it.hear(line);
        assert!(said.starts_with(code), "{line}: {said}");
        assert!(said.is_ascii());
    }
}

#[test]
fn what_is_no_utf_8_is_no_command() {
    let mut it = Asking::new(true);
    for line in [
        b"MAIL FROM:<j\xf6rg@b.c> SMTPUTF8".as_slice(),
        b"MAIL FROM:<j\xc3@b.c> SMTPUTF8",
        b"MAIL FROM:<j\xed\xa0\x80@b.c> SMTPUTF8",
        b"MAIL FROM:<j\xc0\xaf@b.c> SMTPUTF8",
    ] {
        let said = it.hear_octets(line);
        assert!(said.starts_with("500 5.5.2 "), "{said}");
    }
}
