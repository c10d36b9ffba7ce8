//! Paths that are read, and paths that are none.

use super::*;
use crate::limits::LOCAL_PART_OCTETS;

fn again(text: &str) -> String {
    Mailbox::parse(text).map_or_else(|e| format!("{e:?}"), |m| m.to_string())
}

#[test]
fn mailboxes_are_read_as_meant_and_written_so_that_they_read_back() {
    for (text, shown) in [
        ("joe@example.org", "joe@example.org"),
        ("Joe.Doe+tag@EXAMPLE.org", "Joe.Doe+tag@example.org"),
        ("\"joe\"@example.org", "joe@example.org"),
        ("\"a b\"@c.d", "\"a b\"@c.d"),
        ("\"a\\\"b\\\\\"@c.d", "\"a\\\"b\\\\\"@c.d"),
        ("\"a@b\"@c.d", "\"a@b\"@c.d"),
        ("a@[127.0.0.1]", "a@[127.0.0.1]"),
        ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("a@[x-tag:some.thing]", "a@[x-tag:some.thing]"),
        ("a@under_score.example", "a@under_score.example"),
        ("Jörg@BÜCHER.example", "Jörg@xn--bcher-kva.example"),
        ("jo\u{308}rg@c.d", "jo\u{308}rg@c.d"),
        ("\"用 户\"@c.d", "\"用 户\"@c.d"),
        ("\"用户\"@c.d", "用户@c.d"),
        ("\"ö\\\"\"@c.d", "\"ö\\\"\"@c.d"),
    ] {
        assert_eq!(again(text), shown);
        assert_eq!(again(shown), shown);
    }
}

#[test]
fn what_is_no_mailbox_is_refused_for_its_reason() {
    use PathError::*;
    for (text, why) in [
        ("", Domain),
        ("joe", Domain),
        ("@example.org", LocalPart),
        ("a b@c.d", LocalPart),
        ("\"\"@c.d", LocalPart),
        ("\"a@c.d", LocalPart),
        ("\"a\\", LocalPart),
        ("a@", Domain),
        ("a@b@c", Domain),
        ("a@-b.c", Domain),
        ("a@b.", Domain),
        ("a@b..c", Domain),
        ("a@b c", Domain),
        ("a@\u{e9}_.example", Domain),
        ("\u{2028}@c.d", LocalPart),
        ("\"\\\u{e9}\"@c.d", LocalPart),
        ("a@[1.2.3.4.5]", Literal),
        ("a@[1.2.3.4", Literal),
        ("a@[IPv6:::::]", Literal),
        ("a@[-:x]", Literal),
        ("a@[t:]", Literal),
        ("a@#2130706433", Domain),
        ("a@127.0.0.9", Domain),
        ("\"a\"b@c.d", Domain),
    ] {
        assert_eq!(Mailbox::parse(text), Err(why), "{text}");
    }
    let long = format!("{}@c.d", "a".repeat(LOCAL_PART_OCTETS + 1));
    assert_eq!(Mailbox::parse(&long), Err(TooLong));
    let long = format!("a@{}", "a.".repeat(128) + "a");
    assert_eq!(Mailbox::parse(&long), Err(TooLong));
    assert!(Mailbox::parse(&format!("{}@c.d", "a".repeat(LOCAL_PART_OCTETS))).is_ok());
}

#[test]
fn a_source_route_is_read_and_dropped() {
    let read = |inner| ForwardPath::parse(inner).map(|p| p.to_string());
    assert_eq!(read("@a.b,@c.d:joe@e.f"), Ok("joe@e.f".into()));
    assert_eq!(read("@[IPv6:::1]:joe@e.f"), Ok("joe@e.f".into()));
    assert_eq!(read("@a.b,c.d:joe@e.f"), Err(PathError::Route));
    assert_eq!(read("@a.b"), Err(PathError::Route));
    assert_eq!(read("@us:user@other"), Ok("user@other".into()));
}

#[test]
fn postmaster_needs_no_domain_and_nobody_else_goes_without() {
    assert_eq!(
        ForwardPath::parse("PostMaster"),
        Ok(ForwardPath::Postmaster)
    );
    assert_eq!(ForwardPath::parse(""), Err(PathError::Missing));
    assert_eq!(ReversePath::parse(""), Ok(ReversePath::Null));
    assert!(ReversePath::parse("postmaster").is_err());
}

#[test]
fn a_bracket_inside_quotes_or_a_literal_does_not_end_the_path() {
    for inner in ["a@[x:y>z]", "a@[x:\"]", "\"[\"@b.c", "@[x:>]:a@b.c"] {
        let argument = format!("<{inner}> SIZE=1");
        assert_eq!(split_brackets(&argument), Ok((inner, " SIZE=1")));
        assert!(ReversePath::parse(inner).is_ok(), "{inner}");
    }
    assert_eq!(split_brackets("<a@[1.2.3.4>"), Err(PathError::Brackets));
    assert_eq!(
        split_brackets("<\"a>b\"@c.d> SIZE=1"),
        Ok(("\"a>b\"@c.d", " SIZE=1"))
    );
    assert_eq!(
        split_brackets("<\"a\\\">b\"@c.d>"),
        Ok(("\"a\\\">b\"@c.d", ""))
    );
    assert_eq!(split_brackets("a@b"), Ok(("a@b", "")));
    assert_eq!(split_brackets("a@b SIZE=1"), Ok(("a@b", " SIZE=1")));
    assert_eq!(split_brackets("\"a b\"@c X"), Ok(("\"a b\"@c", " X")));
    for bad in ["", "\"a b@c"] {
        assert_eq!(split_brackets(bad), Err(PathError::Brackets), "{bad}");
    }
    assert_eq!(split_brackets("<a@b"), Err(PathError::Brackets));
    assert_eq!(split_brackets(" SIZE=1"), Err(PathError::Brackets));
}

#[test]
fn a_record_cannot_make_a_path_that_the_grammar_does_not_have() {
    let mailbox = Mailbox::parse("\"a b\"@c.d").unwrap();
    let bytes = postcard::to_stdvec(&mailbox).unwrap();
    assert_eq!(postcard::from_bytes::<Mailbox>(&bytes), Ok(mailbox));
    let forged = postcard::to_stdvec("a\r\nb@c.d").unwrap();
    assert!(postcard::from_bytes::<Mailbox>(&forged).is_err());
    let null = postcard::to_stdvec(&ReversePath::Null).unwrap();
    assert_eq!(
        postcard::from_bytes::<ReversePath>(&null),
        Ok(ReversePath::Null)
    );
}
