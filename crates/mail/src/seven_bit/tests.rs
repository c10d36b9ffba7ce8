//! Cases one by one, and then any content at all, cut anywhere. `fuzz/src/seven_bit.rs` reads both sides as a reader would.

use super::*;
use proptest::prelude::*;

/// A header section of text that wants nothing but its encoding.
const TEXT: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n";

fn converted_in(content: &[u8], cut: usize) -> Vec<u8> {
    let mut survey = Survey::default();
    for piece in content.chunks(cut) {
        survey.read(piece);
    }
    let mut conversion = Conversion::new(survey.end());
    let (mut out, mut taken) = (Vec::new(), Vec::new());
    for (turn, piece) in content.chunks(cut).enumerate() {
        conversion.write(piece, &mut out);
        // As with a driver that sends when there is enough.
        if turn % 3 == 0 {
            taken.append(&mut out);
        }
    }
    conversion.end(&mut out);
    taken.append(&mut out);
    taken
}

fn plan(content: &[u8]) -> Plan {
    let mut survey = Survey::default();
    survey.read(content);
    survey.end()
}

#[track_caller]
fn becomes(content: impl AsRef<[u8]>, wanted: &str) {
    let content = content.as_ref();
    let out = converted_in(content, usize::MAX);
    assert_eq!(String::from_utf8_lossy(&out), wanted);
    for cut in [1, 2, 3, 7, 1000] {
        assert_eq!(converted_in(content, cut), out, "cut to {cut}");
    }
}

/// Text becomes this body in quoted-printable.
#[track_caller]
fn text_becomes(body: impl AsRef<[u8]>, wanted: &str) {
    let content = [
        format!("{TEXT}Content-Transfer-Encoding: 8bit\r\n\r\n").as_bytes(),
        body.as_ref(),
    ]
    .concat();
    let label = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
    becomes(content, &format!("{TEXT}{label}{wanted}"));
}

/// A field becomes this one.
#[track_caller]
fn field_becomes(field: impl AsRef<[u8]>, wanted: &str) {
    let content = [field.as_ref(), b"\r\nX: x\r\n\r\nbody\r\n"].concat();
    becomes(content, &format!("{wanted}\r\nX: x\r\n\r\nbody\r\n"));
}

#[test]
fn content_that_says_nothing_of_itself_is_said_to_be_text_of_an_unknown_charset() {
    becomes(
        b"Subject: x\r\n\r\nGr\xFC\xDFe\r\n",
        "Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
         MIME-Version: 1.0\r\n\r\nGr=FC=DFe\r\n",
    );
    // What is said stays, and no more is added than wanting.
    becomes(
        "MIME-Version: 1.0\r\ncontent-type: text/html\r\n\r\n\u{e4}",
        "MIME-Version: 1.0\r\ncontent-type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4",
    );
    // A section without its empty line, and one without a field.
    becomes(
        "Subject: x\r\nGr\u{fc}\u{df}e\r\n",
        "Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
         MIME-Version: 1.0\r\n\r\nGr=C3=BC=C3=9Fe\r\n",
    );
}

#[test]
fn a_field_that_says_how_a_part_is_encoded_is_replaced_where_it_stands_and_said_once() {
    becomes(
        "Content-Transfer-Encoding:\r\n 8bit (really)\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\nContent-Type: TEXT/plain\r\n\r\n\u{e4}\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\nContent-Type: TEXT/plain\r\n\r\n=C3=A4\r\n",
    );
}

#[test]
fn text_in_quoted_printable_survives_every_way_that_mail_goes() {
    text_becomes("\u{e4} \t\r\n \r\n", "=C3=A4 =09\r\n=20\r\n");
    text_becomes(
        "\u{e4}\r\n.\r\n..x\r\nFrom me\r\nFroms\r\n--b\r\n-b\r\n",
        "=C3=A4\r\n=2E\r\n=2E.x\r\n=46rom me\r\nFroms\r\n=2D-b\r\n-b\r\n",
    );
    text_becomes(b"\xE4=3D\x00\x7F\rx\ny\r\n", "=E4=3D3D=00=7F=0Dx=0Ay\r\n");
    // No line is too long, and none begins with what is risky.
    let (x, y, z) = ("x".repeat(69), "y".repeat(72), "z".repeat(68));
    text_becomes(
        format!("\u{e4}{x}.{y}From {z}-- \r\n"),
        &format!("=C3=A4{x}=\r\n=2E{y}=\r\n=46rom {z}=\r\n=2D-=20\r\n"),
    );
    text_becomes("\u{e4}", "=C3=A4");
    text_becomes("\u{e4} ", "=C3=A4=20");
}

#[test]
fn each_part_is_written_as_suits_it_and_what_is_fit_passes() {
    becomes(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b \\b\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
          pr\xE9amble\r\n--b b\r\n\r\nASCII  \r\n--b b \t\r\nContent-Type: text/plain\r\n\r\n\xE9\r\n--b b\r\n\
          Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\xE9\xE9\xE9\r\n\xE9\r\n\r\n--b b\r\n\
          Content-Type: application/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\nmostly ASCII \xE9\r\n--b b\r\n\
          Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\n6enp\r\n--b b\r\n\
          Content-Transfer-Encoding: 8bit\r\n\r\nASCII\r\n--b b--\r\n\xE9pilogue\r\n--b b\r\n\xE9\r\n",
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b \\b\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
          pr?amble\r\n--b b\r\n\r\nASCII  \r\n--b b \t\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n--b b\r\n\
          Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\n6enpDQrpDQo=\r\n--b b\r\n\
          Content-Type: application/x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nmostly ASCII =E9\r\n--b b\r\n\
          Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\n6enp\r\n--b b\r\n\
          Content-Transfer-Encoding: 7bit\r\n\r\nASCII\r\n--b b--\r\n?pilogue\r\n--b b\r\n?\r\n",
    );
}

#[test]
fn a_message_in_a_message_is_descended_into() {
    let inner = "Subject: \u{e4}\r\nMIME-Version: 1.0\r\n\r\n\u{e4}\r\n";
    let inner_out = "Subject: =?utf-8?Q?=C3=A4?=\r\nMIME-Version: 1.0\r\n\
        Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\r\n=C3=A4\r\n";
    becomes(
        format!(
            "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n{inner}"
        ),
        &format!(
            "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{inner_out}"
        ),
    );
    // In a digest every part is one that does not say otherwise; one that came out of a mailbox file says where from.
    becomes(
        format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n>From ann\r\n{inner}--b\r\nContent-Type: text/x\r\n\r\n\u{e4}\r\n--b--\r\n"
        ),
        &format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n>From ann\r\n{inner_out}--b\r\nContent-Type: text/x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n--b--\r\n"
        ),
    );
    // One that is encoded as none may be is not looked into.
    let encoded = "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\nSubject: ";
    becomes(
        format!("{encoded}\u{e4}\r\n\r\neA==\r\n"),
        &format!("{encoded}=?utf-8?Q?=C3=A4?=\r\n\r\neA==\r\n"),
    );
}

#[test]
fn a_multipart_without_a_delimiter_is_a_part_like_another() {
    let section = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n";
    becomes(
        format!("{section}\r\n\u{e4} long line of text\r\n--bb\r\n--b -\r\n"),
        &format!(
            "{section}Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4 long line of text\r\n=2D-bb\r\n=2D-b -\r\n"
        ),
    );
    for unknown in [
        "",
        "; boundary",
        "; boundary=\"\"",
        "; boundary=\"  \"",
        &format!("; boundary={}", "b".repeat(BOUNDARY_OCTETS + 1)),
    ] {
        let section = format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed{unknown}\r\n");
        let text = "what is in a multipart of which nobody knows where it ends";
        becomes(
            format!("{section}\r\n{text}\u{e4}\r\n"),
            &format!(
                "{section}Content-Transfer-Encoding: quoted-printable\r\n\r\n{text}=C3=A4\r\n"
            ),
        );
    }
}

#[test]
fn of_what_is_one_within_the_other_so_much_is_descended_into_and_no_more() {
    for depth in [NESTING, NESTING + 1] {
        let section = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
        let opening = (0..depth).map(section).collect::<Vec<_>>().concat();
        let out = converted_in(
            format!("MIME-Version: 1.0\r\n{opening}\r\n\u{e4}\r\n").as_bytes(),
            usize::MAX,
        );
        let out = String::from_utf8(out).unwrap();
        let labels = out
            .matches("Content-Transfer-Encoding: quoted-printable\r\n")
            .count();
        let inner = out.find("=2D-b32");
        assert_eq!((labels, inner.is_some()), (1, depth > NESTING), "{out}");
        assert!(out.ends_with("=C3=A4\r\n"));
    }
}

#[test]
fn parts_beyond_those_that_are_remembered_are_written_in_seven_bits_too() {
    let part = |n: usize| format!("--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{n}\r\n");
    let parts: String = (0..PARTS).map(part).collect();
    let last = "--b\r\nContent-Type: image/x\r\n\r\n\u{e4}\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n\
        --b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\u{e4}\r\n--c--\r\n--b--\r\n";
    let section = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    let out = converted_in(format!("{section}{parts}{last}").as_bytes(), usize::MAX);
    let out = String::from_utf8(out).unwrap();
    assert!(out.is_ascii());
    // The outermost is one of them.
    let part =
        |label: &str, n: usize| format!("--b\r\nContent-Transfer-Encoding: {label}\r\n\r\n{n}\r\n");
    let more = "quoted-printable\r\nContent-Type: text/plain; charset=unknown-8bit";
    assert!(out.contains(&(part("7bit", PARTS - 2) + &part(more, PARTS - 1))));
    let wanted = "--b\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n\
        --b\r\nContent-Type: multipart/mixed; boundary=c\r\nContent-Transfer-Encoding: 7bit\r\n\r\n??\r\n--c--\r\n--b--\r\n";
    assert!(out.ends_with(wanted), "{}", &out[out.len() - 400..]);
}

#[test]
fn a_part_that_is_encoded_and_has_octets_that_it_must_not_have_decodes_to_what_it_did() {
    let becomes = |label: &str, body: &[u8], wanted: &str| {
        let section = format!("{TEXT}Content-Transfer-Encoding: {label}\r\n\r\n");
        super::tests::becomes([section.as_bytes(), body].concat(), &(section + wanted));
    };
    becomes(
        "quoted-printable",
        b"=E4\xE4 \r\n=e4=\r\n= \r\n=\xE4=4=\r\n==E4=4",
        "=E4=E4 \r\n=e4=\r\n= \r\n=3D=E4=3D4=\r\n=3D=E4=3D4",
    );
    let long = [
        "\u{e4}".into(),
        "x".repeat(894),
        "=41.".repeat(300),
        "\r\n".into(),
    ]
    .concat();
    let out = converted_in(
        format!("{TEXT}Content-Transfer-Encoding: quoted-printable\r\n\r\n{long}").as_bytes(),
        5,
    );
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.lines()
            .all(|line| line.len() <= 998 && !line.starts_with('.'))
    );
    assert!(
        out.replace("=\r\n", "")
            .replace("=2E", ".")
            .ends_with(&long.replace('\u{e4}', "=C3=A4"))
    );
    let line = "QUJD".repeat(20);
    becomes(
        "base64",
        format!("{line}\u{e4}-\r\nQQ==\r\n").as_bytes(),
        &format!("{}\r\n{}QQ==\r\n", &line[..76], &line[76..]),
    );
}

#[test]
fn an_encoding_that_nobody_knows_is_an_octet_stream() {
    becomes(
        "MIME-Version: 1.0\r\nContent-Type: text/x\r\nContent-Transfer-Encoding: x-y\r\n\r\n\u{e4}",
        "MIME-Version: 1.0\r\nContent-Type: text/x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4",
    );
    let passes = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: x-y\r\n\r\nx\r\n";
    becomes(passes, passes);
}

#[test]
fn a_part_that_says_binary_and_is_does_not_say_7bit() {
    let long = "x".repeat(999);
    for (body, wanted) in [
        ("x\r\n", None),
        ("x\0y\r\n", Some("x=00y\r\n")),
        (&long, Some("")),
    ] {
        let section = |label| format!("{TEXT}Content-Transfer-Encoding: {label}\r\n\r\n");
        let out = converted_in((section("binary") + body).as_bytes(), 9);
        let label = if wanted.is_some() {
            "quoted-printable"
        } else {
            "7bit"
        };
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with(&section(label)), "{out}");
        assert!(out.ends_with(wanted.unwrap_or(body)), "{out}");
    }
}

#[test]
fn text_in_fields_becomes_encoded_words() {
    field_becomes(
        "Subject: Gr\u{fc}\u{df}e aus  K\u{f6}ln am Rhein",
        "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus  =?utf-8?Q?K=C3=B6ln?= am Rhein",
    );
    field_becomes(
        "Subject: \u{e4} \r\n\t\u{e4} =?a?Q?b?= \u{e4}",
        "Subject: =?utf-8?Q?=C3=A4_=09=C3=A4_?= =?a?Q?b?= =?utf-8?Q?_=C3=A4?=",
    );
    field_becomes(b"Subject: \xE4=", "Subject: =?unknown-8bit?Q?=E4=3D?=");
    field_becomes("Subject: \"\u{e4}\"", "Subject: =?utf-8?Q?=22=C3=A4=22?=");
    field_becomes(
        "To: \"M\u{fc}ller, \\\"J\\\"\" <a@b>, \"x, y\" <c@d> (\u{e4}),\r\n J\u{f6} <e@f>",
        "To: =?utf-8?Q?M=C3=BCller=2C_=22J=22?= <a@b>, \"x, y\" <c@d> (\r\n =?utf-8?Q?=C3=A4?=),\r\n =?utf-8?Q?J=C3=B6?= <e@f>",
    );
    // Lines stay short, and no character is cut.
    let out = converted_in(
        format!(
            "Subject: {}{}\r\n\r\n",
            "x ".repeat(20),
            "\u{20ac}".repeat(40)
        )
        .as_bytes(),
        usize::MAX,
    );
    let out = String::from_utf8(out).unwrap();
    assert!(out.lines().all(|line| line.len() <= 76), "{out}");
    assert_eq!(out.matches("=E2=82=AC").count(), 40);
    assert!(
        out.lines()
            .skip(1)
            .all(|line| line.is_empty() || line.starts_with(" =?utf-8?Q?=E2")),
        "{out}"
    );
}

#[test]
fn the_value_of_a_parameter_is_extended() {
    field_becomes(
        "Content-Disposition: attachment; filename=\"na\u{ef}ve \\\"x\\\".txt\"; size=3",
        "Content-Disposition: attachment; filename*=utf-8''na%C3%AFve%20%22x%22.txt; size=3",
    );
    field_becomes(
        b"Content-Type: text/x (\xE9); name=\xE9; name*=\xE9; y",
        "Content-Type: text/x (?); name*=unknown-8bit''%E9; name*=?; y",
    );
    field_becomes(
        format!("Content-Type: text/x; name={}", "\u{20ac}".repeat(8)),
        "Content-Type: text/x; name*0*=utf-8''%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2;\r\n name*1*=%82%AC%E2%82%AC%E2%82%AC%E2%82%AC",
    );
}

#[test]
fn a_quote_that_is_never_closed_goes_no_further_than_its_field() {
    field_becomes("From: \"\u{e4}", "From: =?utf-8?Q?=C3=A4?=");
    field_becomes(
        "Content-Type: text/x; name=\"\u{e4}",
        "Content-Type: text/x; name*=utf-8''%C3%A4",
    );
}

#[test]
fn fields_that_are_put_in_for_a_message_are_not_those_of_the_part_that_it_is() {
    let section = "Content-Type: multipart/digest; boundary=b\r\nMIME-Version: 1.0\r\n\r\n--b\r\n";
    becomes(
        format!("{section}no field \u{e4}\r\n--b--\r\n"),
        &format!(
            "{section}\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
             MIME-Version: 1.0\r\n\r\nno field =C3=A4\r\n--b--\r\n"
        ),
    );
}

#[test]
fn text_that_is_no_field_for_an_octet_above_127_does_not_become_one() {
    let section = "Content-Type: multipart/mixed; boundary=b\r\nMIME-Version: 1.0\r\n";
    becomes(
        format!("{section}no\u{e4}field: x\r\n--b\r\n\r\nx\r\n--b--\r\n"),
        &format!("{section}\r\nno??field: x\r\n--b\r\n\r\nx\r\n--b--\r\n"),
    );
}

#[test]
fn a_header_section_that_a_delimiter_ends_gets_no_empty_line() {
    let digest =
        "MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n\r\n";
    let inner = "Content-Type: multipart/mixed; boundary=c\r\n";
    let rest = "--c\r\n\r\nSubject: x\r\n\r\n";
    // With one it would be a multipart that begins, and not a part without a body that ends.
    becomes(
        format!("{digest}{inner}{rest}\u{e4}\r\n--c--\r\n"),
        &format!(
            "{digest}{inner}MIME-Version: 1.0\r\n--c\r\n\r\nSubject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\
             Content-Type: text/plain; charset=unknown-8bit\r\nMIME-Version: 1.0\r\n\r\n=C3=A4\r\n--c--\r\n"
        ),
    );
}

#[test]
fn a_field_beyond_all_measure_says_nothing_and_is_masked() {
    let long = "x".repeat(FIELD_OCTETS);
    field_becomes(
        format!("Subject: {long}\u{e4}"),
        &format!("Subject: {long}??"),
    );
    let out = converted_in(
        format!("Content-Transfer-Encoding: {long}\r\n\r\n\u{e4}\r\n").as_bytes(),
        999,
    );
    let wanted = "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=unknown-8bit\r\nMIME-Version: 1.0\r\n\r\n=C3=A4\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), wanted);
}

#[test]
fn it_is_known_what_changes_and_whether_a_signature_breaks() {
    let told = |content: &str| {
        let plan = plan(content.as_bytes());
        (plan.parts(), plan.breaks_signature())
    };
    assert_eq!(told("Subject: \u{e4}\r\n\r\nx\r\n"), (0, false));
    assert_eq!(told("DKIM-Signature: x\r\n\r\n\u{e4}\r\n"), (1, true));
    assert_eq!(told("X: x\r\n\r\nDKIM-Signature: \u{e4}\r\n"), (1, false));
    let signed = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n";
    assert_eq!(
        told(&format!("{signed}\u{e4}\r\n--b\r\n\r\n\u{e4}\r\n")),
        (2, true)
    );
    assert_eq!(
        told(&format!("Subject: \u{e4}\r\n{signed}\r\nx\r\n")),
        (0, false)
    );
}

proptest! {
    #[test]
    fn whatever_comes_in_seven_bits_come_out_and_where_it_is_cut_decides_nothing(
        pieces in proptest::collection::vec(piece(), 0..40),
        cut in 1_usize..40,
    ) {
        let content = pieces.concat();
        let out = converted_in(&content, usize::MAX);
        prop_assert!(out.is_ascii());
        prop_assert_eq!(&converted_in(&content, cut), &out);
        prop_assert_eq!(&converted_in(&out, cut), &out);
        if content.is_ascii() && !content.windows(9).any(|at| at == b"Encoding:") {
            prop_assert_eq!(out, content);
        }
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "\r\n",
        "\r\n\r\n",
        "--b",
        "--c",
        "--",
        "Content-Type: ",
        "multipart/mixed; boundary=",
        "b",
        "c",
        "\"c\"",
        "message/rfc822",
        "multipart/digest; boundary=b\r\n\r\n--b\r\n",
        "text/plain",
        "image/x; name=\u{e4}",
        "Content-Transfer-Encoding: ",
        "8bit",
        "binary",
        "base64",
        "quoted-printable",
        "MIME-Version: 1.0\r\n",
        "Subject: ",
        "To: ",
        "\u{e4}",
        "=",
        "=\r\n",
        " ",
        "\t",
        "\r",
        "\n",
        "\0",
        ".",
        "From ",
        "text\r\n",
        "\"",
        "(",
        ";",
    ];
    prop_oneof![
        12 => proptest::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 1..5),
        1 => (900_usize..1100).prop_map(|length| vec![b'x'; length]),
        1 => Just(vec![0xE4; 300]),
    ]
}
