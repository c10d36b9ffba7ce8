//! Cases one by one, and then any content at all: against a slow reading of the whole, and cut anywhere.

use super::*;
use proptest::prelude::*;

const DATE: &str = "Date: Tue, 24 Nov 2026 12:47:00 +0000\r\n";
const FROM: &str = "From: ann@example.org\r\n";
const MESSAGE_ID: &str = "Message-ID: <0000000000001@mx.example.org>\r\n";
/// A header section that wants nothing.
const WHOLE: &str = "Date: x\r\nFrom: y\r\nMessage-ID: z\r\n";

fn completed(mailbox: &str, hostname: &str) -> Completed {
    Completed {
        mailbox: Mailbox::parse(mailbox).unwrap(),
        hostname: hostname.into(),
        message_id: QueueId::from_u64(1),
        arrival: Time::from_secs(1_795_524_420),
    }
}

fn completion() -> Completion {
    Completion::new(completed("ann@example.org", "mx.example.org"))
}

/// What is handed on, and whether the section was too large, of content that comes in pieces of `cut` octets. As with a
/// desk that waits for more, what was left in the buffer stays there in every other turn.
fn mended(content: &[u8], cut: usize) -> (Vec<u8>, bool) {
    let (mut completion, mut buffer, mut out) = (completion(), Vec::new(), Vec::new());
    for (turn, piece) in content.chunks(cut).enumerate() {
        buffer.extend_from_slice(piece);
        completion.pass(&mut buffer);
        if turn % 2 == 0 {
            out.append(&mut buffer);
        }
    }
    completion.end(&mut buffer);
    out.append(&mut buffer);
    (out, completion.was_too_large())
}

fn mended_text(content: &str) -> String {
    let (out, too_large) = mended(content.as_bytes(), usize::MAX);
    assert!(!too_large);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_every_message_has_is_put_where_it_is_missing() {
    for (content, made) in [
        ("Subject: hi\r\n\r\nDate: x\r\n", [DATE, FROM, MESSAGE_ID]),
        ("Date: x\r\n\r\n", ["", FROM, MESSAGE_ID]),
        ("FROM : x\r\n\r\n", [DATE, "", MESSAGE_ID]),
        ("message-id\t:\r\n x\r\n\r\n", [DATE, FROM, ""]),
        ("X-Date: x\r\nDateline: x\r\n", [DATE, FROM, MESSAGE_ID]),
        // A folded line is no field, whatever stands in it.
        ("Subject:\r\n Date: x\r\n\r\n", [DATE, FROM, MESSAGE_ID]),
        ("\r\nbody\r\n", [DATE, FROM, MESSAGE_ID]),
        ("", [DATE, FROM, MESSAGE_ID]),
    ] {
        assert_eq!(mended_text(content), made.concat() + content, "{content:?}");
    }
}

#[test]
fn bcc_goes_with_its_folded_lines_and_nothing_else_goes() {
    let content = "Date: x\r\nReturn-path: <a@b.c>\r\nBcc: a@b.c,\r\n\td@e.f,\r\n  \r\n g@h.i\r\nFrom: y\r\nBCC :\r\nMessage-ID: z\r\nresent-bcc: j@k.l\r\n\
                   X-Bcc: m\r\n\r\nBcc: body\r\n";
    let rest = "Date: x\r\nFrom: y\r\nMessage-ID: z\r\nX-Bcc: m\r\n\r\nBcc: body\r\n";
    assert_eq!(mended_text(content), rest);
    // The last line of all may be one, and it need not have an end.
    assert_eq!(mended_text(&format!("{WHOLE}Bcc: a@b.c")), WHOLE);
}

#[test]
fn a_message_that_wants_nothing_passes_octet_for_octet() {
    let odd = b"subject : \xe4\xf6\r\n\t\r\nFROM: a\r\nfrom: b\r\nDate:\r\nmessage-ID:\r\nSender: c\r\n\r\n\xff\n\r\0\r\n";
    for cut in 1..odd.len() {
        assert_eq!(
            mended(odd, cut),
            (odd.to_vec(), false),
            "in pieces of {cut}"
        );
    }
    for content in [
        WHOLE.to_owned(),
        format!("{WHOLE}\r\n"),
        format!("{WHOLE}\r\nbody"),
    ] {
        assert_eq!(mended_text(&content), content);
    }
}

#[test]
fn a_signed_message_passes_octet_for_octet() {
    for field in ["DKIM-Signature: a=b;\r\n c=d", "arc-seal : i=1"] {
        for content in [
            format!("{field}\r\nBcc: a@b.c\r\n\r\nbody\r\n"),
            format!("From ann Mon\r\nBcc: a@b.c\r\n{field}\r\ntext\r\n"),
        ] {
            assert_eq!(mended_text(&content), content);
        }
    }
    // In the body, or as a piece of another field, it signs nothing.
    let content = "Subject: x\r\n DKIM-Signature: y\r\n\r\nDKIM-Signature: z\r\n";
    let made = [DATE, FROM, MESSAGE_ID].concat();
    assert_eq!(mended_text(content), made + content);
}

#[test]
fn content_that_does_not_begin_with_a_field_is_text() {
    let made = [DATE, FROM, MESSAGE_ID, "\r\n"].concat();
    for content in [
        "Hello\r\nBcc: a@b.c\r\n\r\nDear all\r\n",
        " Subject: x\r\n\r\n",
        "Dear all: hello\r\n",
        ": x\r\n",
        "Gr\u{fc}\u{df}e: x\r\n",
        "\r",
        "Subject",
    ] {
        assert_eq!(mended_text(content), made.clone() + content, "{content:?}");
    }
    let long = format!("{}: x\r\n", "n".repeat(998));
    assert_eq!(mended_text(&long), made + &long);
}

#[test]
fn a_line_that_is_no_field_ends_the_section() {
    let content = "Subject: x\r\n y\r\nHello\r\nBcc: a@b.c\r\n\r\nbody\r\n";
    let made = [DATE, FROM, MESSAGE_ID].concat();
    assert_eq!(
        mended_text(content),
        made + "Subject: x\r\n y\r\n\r\nHello\r\nBcc: a@b.c\r\n\r\nbody\r\n"
    );
}

#[test]
fn lines_of_a_mailbox_file_go_from_before_a_field_and_from_nowhere_else() {
    let from = "From ann Mon Nov 23 12:47:00 2026\r\n";
    let content = format!("{from}>From bob Mon\r\n{WHOLE}\r\n{from}");
    assert_eq!(mended_text(&content), format!("{WHOLE}\r\n{from}"));
    let made = [DATE, FROM, MESSAGE_ID, "\r\n"].concat();
    for text in [
        "From all of us: thanks\r\n",
        "From all of us\r\n\r\nSubject: x\r\n",
        "From all of us\r\nthanks\r\n",
        "From ",
    ] {
        assert_eq!(mended_text(text), made.clone() + text, "{text:?}");
    }
}

#[test]
fn a_section_that_does_not_end_within_the_bound_passes_unchanged_and_is_said() {
    let line = "X: 3456789 123456789 123456789\r\n";
    let fields = format!("Bcc: a@b.c\r\n{}", line.repeat(SECTION_OCTETS / line.len()));
    // One octet more or less, before the empty line that ends it.
    for (pad, too_large) in [(0, false), (1, true)] {
        let last = SECTION_OCTETS - "Y: \r\n\r\n".len() + pad;
        let at = fields[..last - 100].rfind("\r\n").unwrap() + 2;
        let content = format!(
            "{}Y: {}\r\n\r\nbody\r\n",
            &fields[..at],
            "y".repeat(last - at)
        );
        for cut in [60_000, 64 * 1024, usize::MAX] {
            let (out, said) = mended(content.as_bytes(), cut);
            assert_eq!(said, too_large, "{pad} in pieces of {cut}");
            assert_eq!(out == content.as_bytes(), too_large);
            assert_eq!(out.windows(6).any(|octets| octets == b"a@b.c\r"), too_large);
        }
    }
    // Without an empty line the bound is the same, whether the end is told with the last octets or later.
    let whole = [b"X:".to_vec(), vec![b'x'; SECTION_OCTETS - 2]].concat();
    assert_eq!(mended(&whole, usize::MAX), (whole.clone(), true));
    let (mut completion, mut buffer) = (completion(), whole.clone());
    completion.end(&mut buffer);
    assert!(buffer == whole && completion.was_too_large());
    assert!(!mended(&whole[..whole.len() - 1], usize::MAX).1);
    // It is said before the first octet is let go, and no more is held than a piece beyond the bound.
    let (mut completion, mut buffer) = (self::completion(), whole);
    buffer.pop();
    completion.pass(&mut buffer);
    assert!(buffer.is_empty() && !completion.was_too_large());
    completion.pass(&mut vec![]);
    buffer.push(b'x');
    completion.pass(&mut buffer);
    assert!(buffer.len() == SECTION_OCTETS && completion.was_too_large());
}

#[test]
fn text_without_end_is_not_held_back() {
    // Which line is no field is known before the line ends.
    let (mut completion, mut buffer) = (completion(), b"Dear a".to_vec());
    completion.pass(&mut buffer);
    assert!(buffer.ends_with(b"\r\n\r\nDear a"));
    // Nor is a name that grows longer than a line may be.
    let mut completion = self::completion();
    let mut buffer = vec![b'n'; 997];
    completion.pass(&mut buffer);
    assert!(buffer.is_empty());
    buffer.push(b'n');
    completion.pass(&mut buffer);
    assert!(buffer.ends_with(&[b'n'; 998]));
}

#[test]
fn what_is_handed_on_behind_the_section_is_not_touched() {
    let (mut completion, mut buffer) = (completion(), b"\r\n".to_vec());
    completion.pass(&mut buffer);
    let mut piece = Vec::with_capacity(100);
    piece.extend_from_slice(b"Bcc: a@b.c\r\n");
    let (place, before) = (piece.as_ptr(), piece.clone());
    completion.pass(&mut piece);
    assert_eq!((piece.as_ptr(), &piece), (place, &before));
}

#[test]
fn made_fields_keep_to_a_lines_length_and_to_ascii() {
    let local_part = "\\\"".repeat(255);
    let labels = [["d"; 63].concat().as_str(); 4].join(".");
    let mailbox = format!("\"{local_part}\"@{}", &labels[..255]);
    let hostname = format!("mx\r\nBcc: a@b.c\u{e9}{}", ".".repeat(2000));
    let mut buffer = Vec::new();
    Completion::new(completed(&mailbox, &hostname)).end(&mut buffer);
    assert!(buffer.is_ascii() && buffer.len() + 2 <= ADDED_OCTETS);
    let lines: Vec<&[u8]> = buffer.split(|octet| *octet == b'\n').collect();
    assert_eq!(
        lines.len(),
        4,
        "three fields and what is behind the last CRLF"
    );
    assert!(lines.iter().all(|line| line.len() <= 999));
    assert_eq!(lines[1], format!("From: {mailbox}\r").as_bytes());
}

/// What is to be handed on, by looking at whole lines; of content below the bound.
fn model(content: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = vec![vec![]];
    for octet in content {
        let line = lines.last_mut().unwrap();
        line.push(*octet);
        if line.ends_with(b"\r\n") {
            lines.push(vec![]);
        }
    }
    lines.retain(|line| !line.is_empty());
    let field_name = |line: &[u8]| -> Option<String> {
        let text: String = line.iter().map(|octet| char::from(*octet)).collect();
        let name = text.split_once(':')?.0.trim_end_matches([' ', '\t']);
        let fits = !name.is_empty() && name.chars().all(|c| ('!'..='~').contains(&c));
        fits.then(|| name.to_lowercase())
    };
    let is_from = |line: &[u8]| line.starts_with(b"From ") || line.starts_with(b">From ");
    let is_blank = |line: &[u8]| line.starts_with(b" ") || line.starts_with(b"\t");
    let front = lines
        .iter()
        .take_while(|line| field_name(line).is_none() && is_from(line))
        .count();
    let starts_well = lines
        .get(front)
        .is_some_and(|line| field_name(line).is_some());
    let front = if starts_well { front } else { 0 };
    let mut rest = &lines[front..];
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some((line, behind)) = rest.split_first() {
        match (field_name(line), fields.last_mut()) {
            (_, Some((_, field))) if is_blank(line) => field.extend(line),
            (Some(name), _) => fields.push((name, line.clone())),
            _ => break,
        }
        rest = behind;
    }
    let has = |name: &str| fields.iter().any(|field| field.0 == name);
    if has("dkim-signature") || has("arc-seal") {
        return content.to_vec();
    }
    let mut out = Vec::new();
    for (name, made) in [("date", DATE), ("from", FROM), ("message-id", MESSAGE_ID)] {
        if !has(name) {
            out.extend(made.as_bytes());
        }
    }
    for (name, field) in &fields {
        if name != "bcc" && name != "resent-bcc" {
            out.extend(field);
        }
    }
    if rest.first().is_some_and(|line| line != b"\r\n") {
        out.extend(b"\r\n");
    }
    out.extend(rest.concat());
    out
}

/// Content of pieces that matter; what comes first is rarely what it would be by chance.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "Date: x\r\n",
        "date",
        "From: y\r\n",
        "From ",
        ">From z\r\n",
        "Message-ID:",
        "MESSAGE-ID \t: <a@b>\r\n",
        "Bcc: a@b.c\r\n",
        "bcc",
        "Resent-Bcc :c\r\n",
        "Subject: s\r\n",
        "DKIM-Signature: v\r\n",
        "ARC-Seal",
        "X",
        ":",
        " ",
        "\t",
        " folded\r\n",
        "text\r\n",
        "\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "\u{e9}",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_handed_on_is_what_a_slow_reading_gives(content in content()) {
        prop_assert_eq!(mended(&content, usize::MAX), (model(&content), false));
    }

    #[test]
    fn cutting_content_anywhere_changes_nothing(content in content(), cut in 1usize..9) {
        prop_assert_eq!(mended(&content, cut), mended(&content, usize::MAX));
    }

    #[test]
    fn what_was_mended_once_passes_octet_for_octet(content in content(), body in any::<Vec<u8>>()) {
        let content = [content, body].concat();
        let (once, _) = mended(&content, usize::MAX);
        prop_assert!(once.len() <= content.len() + ADDED_OCTETS);
        prop_assert_eq!(&mended(&once, usize::MAX).0, &once);
    }

    #[test]
    fn a_whole_message_passes_octet_for_octet(
        more in prop::collection::vec("(X-[a-z]{0,3}|Sender|To|Date)[ \t]{0,2}:[ -~]{0,9}(\r\n[ \t][ -~]{0,3}){0,2}\r\n", 0..4),
        body in any::<Vec<u8>>(),
        cut in 1usize..9,
    ) {
        let content = [WHOLE.as_bytes(), more.concat().as_bytes(), b"\r\n", &body].concat();
        prop_assert_eq!(mended(&content, cut), (content, false));
    }
}
