//! Content on the wire: what ends it, what is refused, and that no cut of the input changes either.

use super::*;
use proptest::prelude::*;

/// Content, fault and what was left of the input, when `wire` comes in pieces of `cut` octets.
fn read(wire: &[u8], cut: usize) -> (Vec<u8>, Option<Fault>, Option<Vec<u8>>) {
    let mut content = Content::new(1 << 20);
    let mut out = Vec::new();
    let mut at = 0;
    for piece in wire.chunks(cut) {
        if let Progress::Ended(used) = content.read(piece, &mut out) {
            return (out, content.fault(), Some(wire[at + used..].to_vec()));
        }
        at += piece.len();
    }
    (out, content.fault(), None)
}

#[test]
fn an_empty_content_ends_at_its_first_line() {
    assert_eq!(
        read(b".\r\nQUIT\r\n", 99),
        (vec![], None, Some(b"QUIT\r\n".to_vec()))
    );
}

#[test]
fn stuffed_dots_are_undone() {
    let (content, fault, rest) = read(b"..\r\n...a\r\n.b\r\nc.\r\n.\r\n", 99);
    assert_eq!(content, b".\r\n..a\r\nb\r\nc.\r\n");
    assert_eq!((fault, rest), (None, Some(vec![])));
}

#[test]
fn nothing_but_crlf_dot_crlf_ends_content() {
    // Each of these ends content in some mail server that is in use.
    for (trick, fault) in [
        (&b"\n.\n"[..], Fault::BareLf),
        (b"\n.\r\n", Fault::BareLf),
        (b"\r\n.\n", Fault::BareLf),
        (b"\r.\r", Fault::BareCr),
        (b"\r.\r\n", Fault::BareCr),
        (b"\r\n.\r\rx", Fault::BareCr),
        (b"\n.\r", Fault::BareLf),
        (b"\r\n\0.\r\n", Fault::Nul),
        (b"\r\n.\0\r\n", Fault::Nul),
        (b"\r\n.\r\0\n", Fault::BareCr),
        (b"\r\n.\r\r\n", Fault::BareCr),
    ] {
        let wire = [b"line1", trick, b"MAIL FROM:<a@b.c>\r\n.\r\nNOOP\r\n"].concat();
        for cut in 1..wire.len() {
            let (_, found, rest) = read(&wire, cut);
            assert_eq!(found, Some(fault), "{trick:?} in pieces of {cut}");
            assert_eq!(rest.as_deref(), Some(&b"NOOP\r\n"[..]), "{trick:?}");
        }
    }
}

#[test]
fn content_beyond_its_size_is_read_on_but_not_kept() {
    let mut content = Content::new(4);
    let mut out = Vec::new();
    assert_eq!(
        content.read(b"ab\r\ncd\r\n.\r\nX", &mut out),
        Progress::Ended(11)
    );
    assert_eq!(content.fault(), Some(Fault::TooLarge));
    assert_eq!(out, b"ab\r\n");
}

#[test]
fn a_content_without_final_crlf_gets_one() {
    let mut wire = Vec::new();
    let mut stuffing = Stuffing::default();
    stuffing.write(b"a\r", &mut wire);
    stuffing.write(b"\n", &mut wire);
    stuffing.write(b".", &mut wire);
    stuffing.end(&mut wire);
    assert_eq!(wire, b"a\r\n..\r\n.\r\n");
}

/// Content and fault, when it comes in chunks of `cut` octets.
fn read_chunks(octets: &[u8], cut: usize) -> (Vec<u8>, Option<Fault>) {
    let mut content = Content::new(1 << 20);
    let mut out = Vec::new();
    for chunk in octets.chunks(cut) {
        content.read_chunk(chunk, &mut out);
    }
    content.end(&mut out);
    if content.fault().is_none() {
        assert_eq!(content.octets(), out.len() as u64);
    }
    (out, content.fault())
}

#[test]
fn in_chunks_dots_are_content_and_every_line_ends_in_crlf() {
    for (octets, kept) in [
        (&b""[..], &b""[..]),
        (b".\r\n", b".\r\n"),
        (b"a\r\n.\r\n..b\r\n", b"a\r\n.\r\n..b\r\n"),
        (b"a\n.\nb", b"a\r\n.\r\nb\r\n"),
        (b"\n\r\n\n", b"\r\n\r\n\r\n"),
        (b"no end", b"no end\r\n"),
        (b"half an end\r", b"half an end\r\n"),
        (b"x\r\n\r", b"x\r\n\r\n"),
    ] {
        for cut in 1..=octets.len().max(1) {
            assert_eq!(
                read_chunks(octets, cut),
                (kept.to_vec(), None),
                "{octets:?}"
            );
        }
    }
}

#[test]
fn in_chunks_a_bare_cr_and_a_nul_are_faults() {
    for (octets, fault) in [
        (&b"a\rb\r\n"[..], Fault::BareCr),
        (b"a\r\r\n", Fault::BareCr),
        (b"a\r\0\n", Fault::BareCr),
        (b"a\0\r\n", Fault::Nul),
    ] {
        for cut in 1..=octets.len() {
            assert_eq!(read_chunks(octets, cut).1, Some(fault), "{octets:?}");
        }
    }
}

#[test]
fn the_line_ends_that_chunks_lack_count_as_octets() {
    let mut content = Content::new(3);
    let mut out = Vec::new();
    content.read_chunk(b"\n\n", &mut out);
    assert_eq!(content.fault(), Some(Fault::TooLarge));
    assert_eq!(out, b"\r\n");
}

/// Octets that matter to the grammar, thickly sown.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        Just(b'\r'),
        Just(b'\n'),
        Just(b'.'),
        Just(0u8),
        Just(b'a'),
        any::<u8>()
    ];
    prop::collection::vec(octet, 0..64)
}

proptest! {
    #[test]
    fn cutting_the_input_anywhere_changes_nothing(wire in hostile(), cut in 1usize..9) {
        prop_assert_eq!(read(&wire, cut), read(&wire, usize::MAX));
    }

    #[test]
    fn where_chunks_begin_changes_nothing(octets in hostile(), cut in 1usize..9) {
        let whole = read_chunks(&octets, usize::MAX);
        prop_assert_eq!(&read_chunks(&octets, cut), &whole);
        // What needs no change comes by DATA as it comes in chunks.
        if whole == (octets.clone(), None) {
            let mut wire = Vec::new();
            let mut stuffing = Stuffing::default();
            stuffing.write(&octets, &mut wire);
            stuffing.end(&mut wire);
            prop_assert_eq!(read(&wire, cut), (octets, None, Some(vec![])));
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was(lines in prop::collection::vec("[.a\u{e9}]{0,6}", 0..8), cut in 1usize..9) {
        let content: Vec<u8> = lines.iter().flat_map(|l| [l.as_bytes(), b"\r\n"].concat()).collect();
        let mut wire = Vec::new();
        let mut stuffing = Stuffing::default();
        for piece in content.chunks(cut) {
            stuffing.write(piece, &mut wire);
        }
        stuffing.end(&mut wire);
        prop_assert_eq!(read(&wire, usize::MAX), (content, None, Some(vec![])));
    }
}

#[test]
fn a_bare_lf_of_our_own_users_becomes_crlf_and_ends_nothing() {
    for (wire, stored, fault) in [
        (&b"a\nb\r\n.\r\n"[..], &b"a\r\nb\r\n"[..], None),
        (
            b"\n.\nx\n.\r\nRCPT\r\n.\r\n",
            b"\r\n.\r\nx\r\n.\r\nRCPT\r\n",
            None,
        ),
        (b"\n..a\r\n..b\r\n.\r\n", b"\r\n..a\r\n.b\r\n", None),
        (b".\nx\r\n.\r\n", b"\r\nx\r\n", None),
        (b"a\r\r\n.\r\n", b"a", Some(Fault::BareCr)),
        (b"a\n\0\r\n.\r\n", b"a\r\n", Some(Fault::Nul)),
    ] {
        for cut in 1..=wire.len() {
            let (mut reader, mut content) = (Content::mending_lines(99), Vec::new());
            let mut used = 0;
            for piece in wire.chunks(cut) {
                match reader.read(piece, &mut content) {
                    Progress::More => used += piece.len(),
                    Progress::Ended(more) => {
                        used += more;
                        break;
                    }
                }
            }
            assert_eq!(
                (used, reader.fault()),
                (wire.len(), fault),
                "{wire:?} by {cut}"
            );
            assert_eq!(content, stored, "{wire:?} by {cut}");
        }
    }
}
